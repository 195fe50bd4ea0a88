//! `/webhooks`: subscriptions as PassEngine's clients, Zapier among them, make and end them: one event and one address each.
//!
//! PassEngine publishes how one is made (`{event, targetUrl}`, ten of an organization); that the answer has the `id` by which it
//! is ended, and the secret that bodies are signed with, is chosen as its clients need it. A subscription is a webhook of the shape
//! `passengine` (`/v1/webhooks`) and whatever is true of those.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use domain::{Scope, Target, TargetEvents, TargetId};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::{EVENTS, answer::Refused, kinds};
use crate::{App, Body, Caller, PathParam, Problem, api::webhooks};

const SHAPE: &str = "passengine";

/// What is subscribed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wish {
    event: String,
    target_url: String,
}

/// A subscription.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    id: TargetId,
    /// PassEngine's name of what it is told of; null of a webhook that was made otherwise and is told of several.
    event: Option<&'static str>,
    target_url: String,
    active: bool,
    created_at: String,
    /// What bodies are signed with: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl View {
    fn of(target: &Target) -> Self {
        let event = match &target.events {
            TargetEvents::Only(kinds) => EVENTS.iter().find(|(_, known)| kinds.iter().all(|kind| known.contains(kind))),
            TargetEvents::All | TargetEvents::Operational => None,
        };
        Self {
            id: target.id,
            event: event.map(|(name, _)| *name),
            target_url: target.url.clone(),
            active: target.enabled,
            created_at: target.created_at.to_string(),
            secret: None,
        }
    }
}

fn needs(caller: &Caller, scope: Scope) -> Result<(), Refused> {
    if caller.key.may(scope) { Ok(()) } else { Err(Problem::Forbidden(scope).into()) }
}

/// Subscribes.
pub(super) async fn subscribe(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    wish: Result<Body<Wish>, Problem>,
) -> Result<Response, Refused> {
    needs(&caller, Scope::ConfigWrite)?;
    let Wish { event, target_url } = wish?.value;
    let (target, secret) = webhooks::subscribe(&app, &caller, SHAPE, &target_url, kinds(&event)?).await?;
    let view = View { secret: Some(secret.expose().to_owned()), ..View::of(&target) };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(view)).into_response())
}

/// Lists what is subscribed, the oldest first.
pub(super) async fn list(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Result<Json<Vec<View>>, Refused> {
    needs(&caller, Scope::ConfigRead)?;
    let mut all: Vec<View> = webhooks::of_shape(&app, caller.org, SHAPE)?.iter().map(View::of).collect();
    all.sort_by_key(|view| view.id);
    Ok(Json(all))
}

/// Ends a subscription. What is still owed to it is given up.
pub(super) async fn unsubscribe(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    PathParam(id): PathParam<TargetId>,
) -> Result<StatusCode, Refused> {
    needs(&caller, Scope::ConfigWrite)?;
    Ok(webhooks::unsubscribe(&app, &caller, SHAPE, id).await?)
}
