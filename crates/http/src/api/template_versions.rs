//! `/v1/templates/{template}/versions`: what was published, and what took its place.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Design, TemplateId, TemplateStatus, Timestamp};
use serde::Serialize;
use store::{OrgCatalog, Stored, StoredVersion};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config,
    page::Page,
    schema::{IdText, TimeText},
    schema_design,
};
use crate::{
    App, PathParam, Problem,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// Where a version stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum VersionStatus {
    /// Passes are drawn with it.
    Published,
    /// A later one took its place.
    Superseded,
}

/// A version of a template that is or was published.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateVersion)]
struct View {
    /// Its number, from 1.
    version: u32,
    /// Name shown to people.
    name: String,
    /// Where it stands.
    status: VersionStatus,
    /// When it was published.
    #[schema(value_type = TimeText)]
    published_at: Timestamp,
    /// When the next one was.
    #[schema(value_type = Option<TimeText>)]
    superseded_at: Option<Timestamp>,
}

/// A version with its design.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeTemplateVersion)]
struct Whole {
    #[serde(flatten)]
    version: View,
    /// The design: give it to `PUT /v1/templates/{template}` and publish that to go back to it.
    #[schema(value_type = schema_design::Design)]
    design: Design,
}

fn superseded(catalog: &OrgCatalog, template: TemplateId) -> impl Iterator<Item = &Stored<StoredVersion>> {
    catalog.versions.values().filter(move |stored| stored.value.template == template)
}

fn past(version: &StoredVersion) -> View {
    View {
        version: version.version,
        name: version.name.clone(),
        status: VersionStatus::Superseded,
        published_at: version.published_at,
        superseded_at: Some(version.superseded_at),
    }
}

fn present(catalog: &OrgCatalog, id: TemplateId) -> Result<Option<(View, Design)>, Problem> {
    let stored = config::one(&catalog.templates, id.uuid(), "template")?;
    let template = &stored.value;
    Ok((template.status == TemplateStatus::Published).then(|| {
        let view = View {
            version: template.version,
            name: template.name.clone(),
            status: VersionStatus::Published,
            published_at: stored.updated_at,
            superseded_at: None,
        };
        (view, template.design.clone())
    }))
}

/// List the versions of a template, newest first.
#[utoipa::path(get, path = "/v1/templates/{template}/versions", tag = "Templates", security(("key" = ["config_read"])),
    params(("template" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = Page<View>, description = "All of them.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TemplateId>,
) -> Result<Json<Page<View>>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let mut data: Vec<View> = present(&catalog, id)?.map(|(view, _)| view).into_iter().collect();
    data.extend(superseded(&catalog, id).map(|stored| past(&stored.value)));
    data.sort_unstable_by_key(|view| std::cmp::Reverse(view.version));
    Ok(Json(Page { data, next_cursor: None }))
}

/// Read a version of a template.
#[utoipa::path(get, path = "/v1/templates/{template}/versions/{version}", tag = "Templates", security(("key" = ["config_read"])),
    params(("template" = IdText, Path, description = "Its id."), ("version" = u32, Path, description = "Its number.", minimum = 0)),
    responses((status = 200, body = Whole, description = "It, with its design.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam((id, number)): PathParam<(TemplateId, u32)>,
) -> Result<Json<Whole>, Problem> {
    let catalog = config::org(&app, can.org)?;
    if let Some((version, design)) = present(&catalog, id)?.filter(|(view, _)| view.version == number) {
        return Ok(Json(Whole { version, design }));
    }
    let missing = || Problem::no_such("published version of this template");
    let stored = superseded(&catalog, id).find(|stored| stored.value.version == number).ok_or_else(missing)?;
    let blob = app.store.backend().blob(can.org, stored.value.design).await?.ok_or_else(missing)?;
    let design = serde_json::from_slice(&blob.bytes).map_err(|error| Problem::Internal(format!("a kept design: {error}")))?;
    Ok(Json(Whole { version: past(&stored.value), design }))
}
