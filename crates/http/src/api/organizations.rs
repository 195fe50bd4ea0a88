//! `/v1/organizations`: tenants. For keys with the operator scope; with the header `Passbridge-Organization` such a key
//! then works inside one of them.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{OrgId, Organization, Timestamp};
use serde::{Deserialize, Serialize};
use store::ConfigChange;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    once::Made,
    page::{Page, Paging, page},
    schema::{IdText, TimeText},
    text,
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{Can, scope},
    restated::Restated,
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, rename))
}

/// What an organization is made of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrganizationInput {
    /// Name shown to people: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// The tenant; everything else belongs to one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: OrgId,
    /// Name shown to people.
    name: String,
    /// When it was set up.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl View {
    fn of(organization: &Organization) -> Self {
        Self { id: organization.id, name: organization.name.clone(), created_at: organization.created_at }
    }
}

/// Set up an organization.
///
/// It has nothing yet: make its first API key with `POST /v1/keys` and the header `Passbridge-Organization`.
#[utoipa::path(post, path = "/v1/organizations", tag = "Organizations", security(("key" = ["operator"])),
    request_body = OrganizationInput, responses((status = 201, body = View, description = "Set up.")))]
async fn create(
    can: Can<scope::Operator>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<OrganizationInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let name = text::name(body.value.name, "name")?;
    let now = app.now();
    let organization = Organization { id: OrgId::mint(now, &*app.entropy), name, created_at: now };
    let write = app.store.org_write(&organization, config::change(&app, &can).actor, now)?;
    let shown = Shown::new(format!("/v1/organizations/{}", organization.id), View::of(&organization));
    once.write(&app, &can, &body.bytes, write, shown).await
}

/// List organizations.
#[utoipa::path(get, path = "/v1/organizations", tag = "Organizations", security(("key" = ["operator"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    _: Can<scope::Operator>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Json<Page<View>> {
    let after = paging.after().map(OrgId::from_uuid);
    let catalog = app.store.catalog();
    let mut rows: Vec<View> = catalog
        .orgs()
        .filter(|(id, _)| after.is_none_or(|after| *id > after))
        .filter_map(|(_, org)| org.organization.as_ref().map(|stored| View::of(&stored.value)))
        .collect();
    rows.sort_unstable_by_key(|view| view.id);
    Json(page(&rows, paging.limit, |view| view.id.uuid(), |view| View { name: view.name.clone(), ..*view }))
}

/// Read an organization.
#[utoipa::path(get, path = "/v1/organizations/{organization}", tag = "Organizations", security(("key" = ["operator"])),
    params(("organization" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    _: Can<scope::Operator>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<OrgId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, id)?;
    let stored = catalog.organization.as_ref().ok_or_else(|| Problem::no_such("organization"))?;
    Ok(Shown::at(stored.revision, View::of(&stored.value)))
}

/// Rename an organization.
#[utoipa::path(put, path = "/v1/organizations/{organization}", tag = "Organizations", security(("key" = ["operator"])),
    params(("organization" = IdText, Path, description = "Its id."), IfMatch),
    request_body = OrganizationInput, responses((status = 200, body = View, description = "As it is now.")))]
async fn rename(
    can: Can<scope::Operator>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<OrgId>,
    if_match: IfMatch,
    body: Restated<OrganizationInput, View>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, id)?;
    let stored = catalog.organization.as_ref().ok_or_else(|| Problem::no_such("organization"))?;
    let changed = Organization { name: text::name(body.value.name, "name")?, ..(*stored.value).clone() };
    let change = ConfigChange { org: id, ..config::change(&app, &can) };
    if_match.check(stored.revision)?;
    config::put(&app, &change, &changed, stored.revision).await?;
    Ok(Shown::at(stored.revision + 1, View::of(&changed)))
}
