//! `/v1/flows/{flow}/draft`, `/publish` and `/versions`: what is worked on, what runs, and what ran before.

use std::{cmp::Reverse, sync::Arc};

use axum::{Json, extract::State};
use domain::{FlowId, Timestamp};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use store::{Catalog, OrgCatalog, Stored, StoredFlow, StoredFlowVersion};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config::{self, IfMatch, Shown},
    flows::{self, Document, View, Written},
    page::Page,
    schema::{IdText, TimeText},
};
use crate::{
    App, Conflict, PathParam, Problem,
    auth::{Caller, Can, scope},
};

/// Most earlier versions of a flow that are kept; the oldest go.
const MAX_VERSIONS: usize = 100;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(put_draft, drop_draft))
        .routes(routes!(publish))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(restore))
}

/// A version of a flow that runs or ran.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlowVersion)]
struct Version {
    /// Its number; later ones are greater. It stands in the traces of events.
    version: i64,
    /// When it began to run.
    #[schema(value_type = TimeText)]
    published_at: Timestamp,
    /// When the next one did; null for the one that runs.
    #[schema(value_type = Option<TimeText>)]
    superseded_at: Option<Timestamp>,
}

/// A version with its document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeFlowVersion)]
struct Whole {
    #[serde(flatten)]
    version: Version,
    /// The document, in JSON.
    #[schema(value_type = Object)]
    document: Value,
}

pub(super) fn superseded(catalog: &OrgCatalog, flow: FlowId) -> impl Iterator<Item = &Stored<StoredFlowVersion>> {
    catalog.flow_versions.values().filter(move |stored| stored.value.flow == flow)
}

fn published_at(held: &Stored<StoredFlow>) -> Timestamp {
    held.value.published_at.unwrap_or(held.updated_at)
}

/// Puts another document in the place of a flow's, and keeps that as an earlier version: all in one commit. Nothing where it was
/// raced by a change of what it names.
pub(super) async fn supersede(
    app: &App,
    caller: &Caller,
    catalog: &Catalog,
    held: &Stored<StoredFlow>,
    mut next: StoredFlow,
) -> Result<Option<Shown<View>>, Problem> {
    let (now, change) = (app.now(), config::change(app, caller));
    let org = config::part(catalog, caller.org)?;
    let unchanged = flows::named(catalog, caller.org);
    if next.document == held.value.document {
        (next.version, next.published_at) = (Some(held.version()), Some(published_at(held)));
        let write = app.store.config_write(&change, &next, held.revision, false)?;
        return written(app, org, held, next, store::ConfigWrite { unchanged, ..write }).await;
    }
    let document = serde_json::to_vec(&held.value.document).map_err(|error| Problem::Internal(error.to_string()))?;
    let blob = store::blob_row(caller.org, "application/json", document, now);
    let version = StoredFlowVersion {
        id: FlowId::mint(now, &*app.entropy),
        flow: next.id,
        version: held.version(),
        document: blob.sha256,
        published_at: published_at(held),
        superseded_at: now,
    };
    let mut write = app
        .store
        .config_write(&change, &next, held.revision, false)?
        .and(app.store.config_write(&change, &version, 0, false)?)
        .and(store::ConfigWrite { blobs: vec![blob], unchanged, ..store::ConfigWrite::default() });
    let mut kept: Vec<_> = superseded(org, next.id).collect();
    kept.sort_unstable_by_key(|stored| Reverse(stored.value.version));
    for oldest in kept.iter().skip(MAX_VERSIONS - 1) {
        write = write.and(app.store.config_write(&change, &*oldest.value, oldest.revision, true)?);
    }
    written(app, org, held, next, write).await
}

async fn written(
    app: &App,
    catalog: &OrgCatalog,
    held: &Stored<StoredFlow>,
    next: StoredFlow,
    write: store::ConfigWrite,
) -> Result<Option<Shown<View>>, Problem> {
    let revision = held.revision + 1;
    config::write_unless_raced(app, write, Shown::at(revision, View::of(&next, revision, catalog))).await
}

/// The flow with another draft, or none.
fn with_draft(held: &Stored<StoredFlow>, draft: Option<Value>) -> StoredFlow {
    let (version, published_at) = (Some(held.version()), Some(published_at(held)));
    StoredFlow { draft, version, published_at, ..(*held.value).clone() }
}

/// Save a draft of a flow, from JSON or YAML.
///
/// What runs stays as it is until the draft is published. A draft may lack something that it needs to run: `draft_problems`
/// says what. Try it with `POST /v1/flows/test` (`flow`, `"draft": true`, and a sample or a stored event).
#[utoipa::path(put, path = "/v1/flows/{flow}/draft", tag = "Flows", security(("key" = ["config_write"])),
    params(("flow" = IdText, Path, description = "Its id."), IfMatch),
    request_body(content((Document = "application/json"), (String = "application/yaml"))),
    responses((status = 200, body = View, description = "As it is now.")))]
async fn put_draft(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<FlowId>,
    if_match: IfMatch,
    draft: Written,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let held = config::one(&catalog.flows, id.uuid(), "flow")?;
    if_match.check(held.revision)?;
    let document = draft.flow.to_json().map_err(|problem| flows::refused(vec![problem]))?;
    let next = with_draft(held, Some(document));
    let write = app.store.config_write(&config::change(&app, &can), &next, held.revision, false)?;
    written(&app, &catalog, held, next, write).await?.ok_or_else(Problem::raced)
}

/// Drop the draft of a flow.
#[utoipa::path(delete, path = "/v1/flows/{flow}/draft", tag = "Flows", security(("key" = ["config_write"])),
    params(("flow" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 204, description = "There is none any more.")))]
async fn drop_draft(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<FlowId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let held = config::one(&catalog.flows, id.uuid(), "flow")?;
    if_match.check(held.revision)?;
    if held.value.draft.is_some() {
        config::put(&app, &config::change(&app, &can), &with_draft(held, None), held.revision).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Publish the draft of a flow.
///
/// It runs on the next source event. What ran before is kept as an earlier version.
#[utoipa::path(post, path = "/v1/flows/{flow}/publish", tag = "Flows", security(("key" = ["config_write"])),
    params(("flow" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 200, body = View, description = "As it is now.")))]
async fn publish(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<FlowId>,
    if_match: IfMatch,
) -> Result<Shown<View>, Problem> {
    let (app, can) = (&app, &can);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let held = config::one(&org.flows, id.uuid(), "flow")?;
        if_match.check(held.revision)?;
        let no_draft = || Problem::Conflict { code: Conflict::NotAllowed, detail: "there is no draft to publish".to_owned() };
        let draft = held.value.draft.clone().ok_or_else(no_draft)?;
        let flow = flows::from_document(&draft, id, org)?;
        let next = flows::followed_by(Some(&held.value), id, &flow, draft, app.now());
        supersede(app, can, &catalog, held, StoredFlow { draft: None, ..next }).await
    })
    .await
}

/// List the versions of a flow, newest first.
///
/// The one that runs and the hundred before it.
#[utoipa::path(get, path = "/v1/flows/{flow}/versions", tag = "Flows", security(("key" = ["config_read"])),
    params(("flow" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = Page<Version>, description = "All of them.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<FlowId>,
) -> Result<Json<Page<Version>>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let held = config::one(&catalog.flows, id.uuid(), "flow")?;
    let mut data = vec![present(held)];
    data.extend(superseded(&catalog, id).map(|stored| past(&stored.value)));
    data.sort_unstable_by_key(|version| Reverse(version.version));
    Ok(Json(Page { data, next_cursor: None }))
}

fn present(held: &Stored<StoredFlow>) -> Version {
    Version { version: held.version(), published_at: published_at(held), superseded_at: None }
}

fn past(version: &StoredFlowVersion) -> Version {
    let StoredFlowVersion { version, published_at, superseded_at, .. } = *version;
    Version { version, published_at, superseded_at: Some(superseded_at) }
}

async fn whole(
    app: &App,
    caller: &Caller,
    held: &Stored<StoredFlow>,
    catalog: &OrgCatalog,
    number: i64,
) -> Result<Whole, Problem> {
    if held.version() == number {
        return Ok(Whole { version: present(held), document: held.value.document.clone() });
    }
    let missing = || Problem::no_such("version of this flow");
    let stored = superseded(catalog, held.value.id).find(|stored| stored.value.version == number).ok_or_else(missing)?;
    let blob = app.store.backend().blob(caller.org, stored.value.document).await?.ok_or_else(missing)?;
    let document = serde_json::from_slice(&blob.bytes).map_err(|error| Problem::Internal(format!("a kept flow: {error}")))?;
    Ok(Whole { version: past(&stored.value), document })
}

/// Read a version of a flow.
#[utoipa::path(get, path = "/v1/flows/{flow}/versions/{version}", tag = "Flows", security(("key" = ["config_read"])),
    params(("flow" = IdText, Path, description = "Its id."), ("version" = i64, Path, description = "Its number.")),
    responses((status = 200, body = Whole, description = "It, with its document.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam((id, number)): PathParam<(FlowId, i64)>,
) -> Result<Json<Whole>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let held = config::one(&catalog.flows, id.uuid(), "flow")?;
    whole(&app, &can, held, &catalog, number).await.map(Json)
}

/// Bring an earlier version of a flow back.
///
/// Its document runs again, under a new number; what ran until now is kept as an earlier version, and a draft stays as it is.
#[utoipa::path(post, path = "/v1/flows/{flow}/versions/{version}/restore", tag = "Flows", security(("key" = ["config_write"])),
    params(("flow" = IdText, Path, description = "Its id."), ("version" = i64, Path, description = "Its number."), IfMatch),
    responses((status = 200, body = View, description = "As it is now.")))]
async fn restore(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam((id, number)): PathParam<(FlowId, i64)>,
    if_match: IfMatch,
) -> Result<Shown<View>, Problem> {
    let (app, can) = (&app, &can);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let held = config::one(&org.flows, id.uuid(), "flow")?;
        if_match.check(held.revision)?;
        let document = whole(app, can, held, org, number).await?.document;
        let flow = flows::from_document(&document, id, org)?;
        let next = flows::followed_by(Some(&held.value), id, &flow, document, app.now());
        supersede(app, can, &catalog, held, next).await
    })
    .await
}
