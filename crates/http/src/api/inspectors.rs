//! `/v1/inspectors`: request bins on demand, to see what a webhook or any other client sends.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use domain::{InspectorId, LinkCode, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{NameKind, StoredInspector};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    once::Made,
    page::{Page, Paging},
    schema::{IdText, TimeText},
    text,
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{self, Can, scope},
    inspector::{self, Captured},
};

/// What the key to a bin's page starts with.
const VIEW_KEY_PREFIX: &str = "pbv_";
/// Longest life of a bin: a year.
const MAX_HOURS: u32 = 8_760;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, delete)).routes(routes!(requests))
}

/// What an inspector is made of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InspectorInput {
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Whether looking at it takes a key beside its address. Sending to it never does.
    #[serde(default)]
    keyed: bool,
    /// How many hours it lives: 1 to 8760.
    #[serde(default = "a_week")]
    #[schema(default = 168, minimum = 1, maximum = 8760)]
    expires_in_hours: u32,
}

const fn a_week() -> u32 {
    168
}

/// A request bin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Inspector)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: InspectorId,
    /// Name shown to people.
    name: String,
    /// Whether looking at it takes a key beside its address.
    keyed: bool,
    /// Where to send: any method, any path below it. A webhook that points here has its signatures checked.
    url: String,
    /// The page that shows what came, newest first.
    page_url: String,
    /// When it ends.
    #[schema(value_type = TimeText)]
    expires_at: Timestamp,
    /// Whether that has passed.
    expired: bool,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

/// An inspector with the key to its page.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewInspector)]
struct Created {
    #[serde(flatten)]
    inspector: View,
    /// The page's key, to be given as `?key=`: shown this once. Null for an inspector without one.
    view_key: Option<String>,
}

impl View {
    fn of(app: &App, inspector: &StoredInspector) -> Self {
        Self {
            id: inspector.id,
            name: inspector.name.clone(),
            keyed: inspector.view_key.is_some(),
            url: app.url(&format!("/inspect/{}/in", inspector.bin)),
            page_url: app.url(&format!("/inspect/{}", inspector.bin)),
            expires_at: inspector.expires_at,
            expired: inspector.expires_at <= app.now(),
            created_at: inspector.created_at,
        }
    }
}

/// Make an inspector.
///
/// It takes any request that is sent to its `url` and keeps the newest 200, sealed, with what their signatures are worth.
#[utoipa::path(post, path = "/v1/inspectors", tag = "Inspectors", security(("key" = ["config_write"])),
    request_body = InspectorInput,
    responses((status = 201, body = Created, description = "Made. This answer alone shows the page's key.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<InspectorInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let InspectorInput { name, keyed, expires_in_hours } = body.value;
    if !(1..=MAX_HOURS).contains(&expires_in_hours) {
        return Err(Problem::field("expires_in_hours", "expected 1 to 8760"));
    }
    let now = app.now();
    let key = keyed.then(|| auth::mint(VIEW_KEY_PREFIX, &*app.entropy));
    let inspector = StoredInspector {
        id: InspectorId::mint(now, &*app.entropy),
        bin: LinkCode::mint(&*app.entropy).to_string(),
        name: text::name(name, "name")?,
        view_key: key.as_ref().map(|key| key.hash),
        expires_at: now.plus(Duration::from_secs(3_600 * u64::from(expires_in_hours))),
        created_at: now,
    };
    let mut change = config::change(&app, &can);
    change.names.push((NameKind::InspectorBin, inspector.bin.as_bytes().to_vec(), inspector.id.uuid()));
    let write = app.store.config_write(&change, &inspector, 0, false)?;
    let view = Created { inspector: View::of(&app, &inspector), view_key: key.map(|key| key.secret) };
    once.write(&app, &can, &body.bytes, write, Shown::new(format!("/v1/inspectors/{}", inspector.id), view)).await
}

/// List inspectors.
#[utoipa::path(get, path = "/v1/inspectors", tag = "Inspectors", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    Ok(Json(paging.of(&config::org(&app, can.org)?.inspectors, |stored| View::of(&app, &stored.value))))
}

/// Read about an inspector.
#[utoipa::path(get, path = "/v1/inspectors/{inspector}", tag = "Inspectors", security(("key" = ["config_read"])),
    params(("inspector" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<InspectorId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.inspectors, id.uuid(), "inspector")?;
    Ok(Shown::at(stored.revision, View::of(&app, &stored.value)))
}

/// What an inspector has taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InspectedRequests)]
struct Requests {
    /// The newest 200 at most, newest first, each with method, path, headers, body (in `base64` too where it is no
    /// text) and what its signatures are worth.
    #[schema(value_type = Vec<Object>)]
    data: Vec<Captured>,
}

/// Read what an inspector has taken, newest first.
///
/// Erasing a contact empties the inspectors of the organization.
#[utoipa::path(get, path = "/v1/inspectors/{inspector}/requests", tag = "Inspectors", security(("key" = ["config_read"])),
    params(("inspector" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = Requests, description = "The newest.")))]
async fn requests(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<InspectorId>,
) -> Result<Json<Requests>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.inspectors, id.uuid(), "inspector")?;
    Ok(Json(Requests { data: inspector::held(&app, can.org, &stored.value.bin).await? }))
}

/// Delete an inspector.
///
/// Nothing is taken at its address any more, and what it took is removed.
#[utoipa::path(delete, path = "/v1/inspectors/{inspector}", tag = "Inspectors", security(("key" = ["config_write"])),
    params(("inspector" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Deleted.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<InspectorId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.inspectors, id.uuid(), "inspector")?;
    if_match.check(stored.revision)?;
    let mut change = config::change(&app, &can);
    change.removed_names.push((NameKind::InspectorBin, stored.value.bin.as_bytes()));
    let removed = config::remove(&app, &change, stored).await?;
    app.store.backend().drop_captures(can.org, &StoredInspector::ring(&stored.value.bin)).await?;
    Ok(removed)
}
