//! `/v1/keys`: API keys. Their secret is shown once, when they are made.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{ApiKey, KeyId, Scope, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::NameKind;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    once::Made,
    page::{Page, Paging},
    schema::{self, IdText, TimeText},
    text,
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{self, Can, scope},
};

/// Most requests per second that a key may be allowed.
const MAX_RATE: u32 = 100_000;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, delete))
}

/// What an API key is made of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyInput {
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it may do; at least one, and none that the key which makes it lacks.
    #[schema(value_type = Vec<schema::Scope>, min_items = 1)]
    scopes: Vec<Scope>,
    /// Requests per second that it may make; the server's default unless given.
    #[schema(minimum = 1, maximum = 100_000)]
    rate_per_second: Option<u32>,
    /// When it stops working; never unless given.
    #[schema(value_type = Option<TimeText>)]
    expires_at: Option<Timestamp>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(super) struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: KeyId,
    /// Name shown to people.
    name: String,
    /// First characters of its secret, to recognise it by.
    prefix: String,
    /// What it may do.
    #[schema(value_type = Vec<schema::Scope>)]
    scopes: Vec<Scope>,
    /// Requests per second that it may make; null means the server's default.
    rate_per_second: Option<u32>,
    /// When it stops working; null means never.
    #[schema(value_type = Option<TimeText>)]
    expires_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

/// A new API key with its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewApiKey)]
struct Created {
    #[serde(flatten)]
    key: View,
    /// The secret: shown this once, to be kept by whoever uses the key.
    #[schema(examples("pbk_..."))]
    secret: String,
}

impl View {
    pub(super) fn of(key: &ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            prefix: key.prefix.clone(),
            scopes: key.scopes.clone(),
            rate_per_second: key.rate_per_second,
            expires_at: key.expires_at,
            created_at: key.created_at,
        }
    }
}

/// Make an API key.
#[utoipa::path(post, path = "/v1/keys", tag = "API keys", security(("key" = ["admin"])),
    request_body = KeyInput, responses((status = 201, body = Created, description = "Made. This answer alone shows the secret.")))]
async fn create(can: Can<scope::Admin>, State(app): State<Arc<App>>, once: Once, body: Body<KeyInput>) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let input = body.value;
    let now = app.now();
    if input.scopes.is_empty() {
        return Err(Problem::field("scopes", "name at least one"));
    }
    if let Some(index) = input.scopes.iter().position(|wanted| !can.key.may(*wanted)) {
        return Err(Problem::field(format!("scopes.{index}"), "your own key does not have this scope"));
    }
    if input.rate_per_second.is_some_and(|rate| !(1..=MAX_RATE).contains(&rate)) {
        return Err(Problem::field("rate_per_second", "expected 1 to 100000"));
    }
    if input.expires_at.is_some_and(|end| end <= now) {
        return Err(Problem::field("expires_at", "lies in the past"));
    }
    let mut scopes = input.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    let minted = auth::mint(auth::API_KEY_PREFIX, &*app.entropy);
    let key = ApiKey {
        id: KeyId::mint(now, &*app.entropy),
        name: text::name(input.name, "name")?,
        prefix: minted.prefix,
        scopes,
        rate_per_second: input.rate_per_second,
        expires_at: input.expires_at,
        created_at: now,
    };
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::ApiKey, minted.hash.to_vec(), key.id.uuid()));
    let write = app.store.config_write(&change, &key, 0, false)?;
    let view = Created { key: View::of(&key), secret: minted.secret };
    once.write(&app, &can, &body.bytes, write, Shown::new(format!("/v1/keys/{}", key.id), view)).await
}

/// List API keys.
#[utoipa::path(get, path = "/v1/keys", tag = "API keys", security(("key" = ["admin"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::Admin>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    Ok(Json(paging.of(&config::org(&app, can.org)?.keys, |stored| View::of(&stored.value))))
}

/// Read an API key.
#[utoipa::path(get, path = "/v1/keys/{key}", tag = "API keys", security(("key" = ["admin"])),
    params(("key" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::Admin>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<KeyId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.keys, id.uuid(), "API key")?;
    Ok(Shown::at(stored.revision, View::of(&stored.value)))
}

/// Revoke an API key.
///
/// It stops working at once. A key cannot revoke itself, so that nobody locks themselves out.
#[utoipa::path(delete, path = "/v1/keys/{key}", tag = "API keys", security(("key" = ["admin"])),
    params(("key" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Revoked.")))]
async fn delete(
    can: Can<scope::Admin>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<KeyId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.keys, id.uuid(), "API key")?;
    if_match.check(stored.revision)?;
    if stored.value.id == can.key.id {
        return Err(Problem::Conflict {
            code: Conflict::InUse,
            detail: "a key cannot revoke itself: use another one".to_owned(),
        });
    }
    if stored.value.may(Scope::Operator) && !can.key.may(Scope::Operator) {
        return Err(Problem::Forbidden(Scope::Operator));
    }
    config::remove(&app, &config::change(&app, &can), stored).await
}
