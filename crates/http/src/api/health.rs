//! `/v1/deliveries/health`: how webhooks and destinations fare.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{DeliveryId, EventId, Target, TargetId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{AttemptFilter, AttemptRow, StoredTarget};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config,
    deliveries::Outcome,
    page::{After, Limit, Page, sorted_page},
    schema::{IdText, TimeText},
    targets,
};
use crate::{
    App, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// How a webhook or destination fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TargetState)]
enum Fares {
    /// Nothing was sent to it yet.
    Unused,
    /// It took what was sent to it last.
    Working,
    /// It did not.
    Failing,
    /// It is switched off: nothing is owed to it.
    SwitchedOff,
}

/// The last try at a webhook or destination.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastAttempt)]
struct Last {
    /// The delivery.
    #[schema(value_type = IdText)]
    delivery: DeliveryId,
    /// The event.
    #[schema(value_type = IdText)]
    event: EventId,
    /// When it started.
    #[schema(value_type = TimeText)]
    at: Timestamp,
    /// How it ended.
    outcome: Outcome,
    /// The HTTP status, when there was one.
    status: Option<i16>,
    /// What went wrong.
    error: Option<String>,
}

impl Last {
    fn of(row: &AttemptRow) -> Self {
        Self {
            delivery: row.delivery,
            event: row.event,
            at: row.at,
            outcome: Outcome::of(row.outcome),
            status: row.status,
            error: row.error.clone(),
        }
    }
}

/// Whether a target is a webhook or a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TargetKind)]
enum Kind {
    Webhook,
    Destination,
}

impl Kind {
    fn of(target: &Target) -> Self {
        if targets::vendor(target).is_some() { Self::Destination } else { Self::Webhook }
    }
}

/// Of which.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only webhooks, or only destinations.
    kind: Option<Kind>,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<After>,
}

/// How a webhook or destination fares.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TargetHealth)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: TargetId,
    /// What it is.
    kind: Kind,
    /// Its name.
    name: String,
    /// How it fares.
    state: Fares,
    /// Why we switched it off, when we did.
    disabled_reason: Option<String>,
    /// The last try, while the log has it.
    last_attempt: Option<Last>,
    /// When it last took something.
    #[schema(value_type = Option<TimeText>)]
    took_last_at: Option<Timestamp>,
    /// While it fails: since when it has taken nothing, at least.
    #[schema(value_type = Option<TimeText>)]
    failing_since: Option<Timestamp>,
    /// How many deliveries it is owed, replays too. What it takes at once is never among them.
    #[schema(minimum = 0)]
    owed: u64,
    /// When the first of them is due.
    #[schema(value_type = Option<TimeText>)]
    due_at: Option<Timestamp>,
}

/// See how webhooks and destinations fare.
///
/// The last try at each, since when it has taken nothing, and how much it is owed; by when they were made.
#[utoipa::path(get, path = "/v1/deliveries/health", tag = "Deliveries", security(("key" = ["config_read"])),
    params(Filter), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(filter): QueryParams<Filter>,
) -> Result<Json<Page<View>>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let wanted =
        catalog.targets.iter().filter(|(_, stored)| filter.kind.is_none_or(|kind| kind == Kind::of(&stored.value.target)));
    let after = filter.cursor.map(|cursor| cursor.0);
    let page = sorted_page(wanted, after, filter.limit, |stored| Arc::clone(&stored.value));
    let mut data = Vec::with_capacity(page.data.len());
    for stored in page.data {
        data.push(of(&app, &can, &stored).await?);
    }
    Ok(Json(Page { data, next_cursor: page.next_cursor }))
}

/// See how a webhook or destination fares.
#[utoipa::path(get, path = "/v1/deliveries/health/{webhook}", tag = "Deliveries", security(("key" = ["config_read"])),
    params(("webhook" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TargetId>,
) -> Result<Json<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.targets, id.uuid(), "webhook")?;
    Ok(Json(of(&app, &can, &stored.value).await?))
}

async fn of(app: &App, caller: &Caller, stored: &StoredTarget) -> Result<View, Problem> {
    let target = &stored.target;
    let newest = async |outcome: Option<Outcome>| {
        let outcome = outcome.map(Outcome::number);
        let filter = AttemptFilter { target: Some(target.id), outcome, ..AttemptFilter::default() };
        Ok::<_, Problem>(app.store.backend().attempts(caller.org, &filter, 1).await?.into_iter().next())
    };
    let last = newest(None).await?;
    let took_last_at = match &last {
        Some(last) if Outcome::of(last.outcome) == Outcome::Delivered => Some(last.at),
        Some(_) => newest(Some(Outcome::Delivered)).await?.map(|row| row.at),
        None => None,
    };
    let state = match &last {
        _ if !target.enabled => Fares::SwitchedOff,
        None => Fares::Unused,
        Some(last) if Outcome::of(last.outcome) == Outcome::Delivered => Fares::Working,
        Some(_) => Fares::Failing,
    };
    let (owed, due_at) = app.store.backend().owed(caller.org, target.id).await?;
    Ok(View {
        id: target.id,
        kind: Kind::of(target),
        name: target.name.clone(),
        state,
        disabled_reason: target.disabled_reason.clone(),
        last_attempt: last.as_ref().map(Last::of),
        took_last_at,
        failing_since: (state == Fares::Failing).then(|| took_last_at.unwrap_or(target.created_at)),
        owed,
        due_at,
    })
}
