//! `/v1/flows`: when this source event, if this holds, do these commands with these fields.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{FromRequest, Request, State},
};
use bytes::Bytes;
use domain::{FlowId, OrgId, Project, Source, Timestamp};
use flows::flow::{Flow, Plan};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use store::{Catalog, OrgCatalog, StoredFlow, StoredTransformation, Unchanged};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, IfMatch, Shown},
    flow_versions,
    once::Made,
    page::{Page, Paging},
    schema::{IdText, TimeText},
    transformations,
};
use crate::{
    App, Conflict, FieldError, PathParam, Problem, QueryParams,
    auth::{Can, scope},
    extract::{parse, read_body},
};

/// Most faults that a refused change names.
const MOST_TOLD: usize = 10;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, replace, delete))
}

/// A flow document. What it may say is described in the documentation of flows; every mistake is answered with its place.
#[derive(ToSchema)]
#[schema(as = FlowDocument)]
#[allow(dead_code, reason = "describes `flows::flow::Flow` in the document")]
pub(super) struct Document {
    /// Short name, unique in the organization: lower case letters, digits and hyphens.
    slug: String,
    /// Name shown to people.
    name: Option<String>,
    /// Whether it runs.
    #[schema(required = false, default = true)]
    enabled: bool,
    /// The project whose passes it changes: slug or id.
    project: String,
    /// The sources that it listens to, slugs or ids, one or a list; all of them where none is named.
    #[schema(required = false, value_type = Value)]
    sources: Value,
    /// A transformation that events go through before it looks at them: slug or id.
    transformation: Option<String>,
    /// What becomes of events whose own timestamp is older than what last changed the pass: `apply` or `skip`.
    #[schema(required = false, default = "apply")]
    late: String,
    /// At most so many events in a time, such as `10/second`, `300/minute` or `5000/hour`; others wait their turn.
    rate: Option<String>,
    /// Which events it is for.
    #[schema(value_type = Object)]
    when: Value,
    /// What it does, in order.
    #[schema(min_items = 1, max_items = 20, value_type = Vec<Object>)]
    steps: Vec<Value>,
}

/// A flow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Flow)]
pub(super) struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: FlowId,
    /// Its slug.
    slug: String,
    /// The document, in JSON.
    #[schema(value_type = Object)]
    document: Value,
    /// The number of the document; later ones are greater.
    version: i64,
    /// What keeps it from running, because something that it names has changed since it was saved: events that it is for are
    /// parked until it is mended, and can be replayed then.
    problems: Vec<FieldError>,
    /// A document that is being worked on, which does not run until it is published.
    #[schema(value_type = Option<Object>)]
    draft: Option<Value>,
    /// What keeps the draft from being published.
    draft_problems: Vec<FieldError>,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl View {
    /// As it is at a revision.
    pub(super) fn of(flow: &StoredFlow, revision: i64, catalog: &OrgCatalog) -> Self {
        let draft = flow.draft.clone();
        let draft_problems = draft.as_ref().map(|draft| problems(draft, flow.id, catalog)).unwrap_or_default();
        let problems = problems(&flow.document, flow.id, catalog);
        let version = flow.version.unwrap_or(revision);
        let (id, slug, document) = (flow.id, flow.slug.clone(), flow.document.clone());
        Self { id, slug, document, version, problems, draft, draft_problems, created_at: flow.created_at }
    }
}

/// A flow that was read from JSON or YAML, with its text when it was YAML.
pub(super) struct Written {
    bytes: Bytes,
    pub(super) flow: Flow,
    yaml: Option<String>,
}

impl FromRequest<Arc<App>> for Written {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Problem> {
        let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let bytes = read_body(request, flows::flow::MAX_DOCUMENT_BYTES).await?;
        match essence.as_str() {
            "application/json" => {
                let document: Value = parse(&bytes)?;
                let flow = Flow::from_json(&document).map_err(|problem| refused(vec![problem]))?;
                Ok(Self { bytes, flow, yaml: None })
            }
            "application/yaml" | "application/x-yaml" | "text/yaml" => {
                let yaml = String::from_utf8(bytes.to_vec()).map_err(|_| Problem::Malformed("not UTF-8".to_owned()))?;
                let flow = Flow::from_yaml(&yaml).map_err(|problem| refused(vec![problem]))?;
                Ok(Self { bytes, flow, yaml: Some(yaml) })
            }
            _ => Err(Problem::MediaType("application/json or application/yaml")),
        }
    }
}

pub(super) fn refused(problems: Vec<flows::Problem>) -> Problem {
    let fault = |problem: flows::Problem| {
        let line = problem.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        FieldError::new(problem.path, format!("{line}{}", problem.message))
    };
    Problem::Invalid(problems.into_iter().map(fault).collect())
}

pub(super) fn checked(flow: &Flow, id: FlowId, catalog: &OrgCatalog) -> Result<Plan, Vec<flows::Problem>> {
    let projects: Vec<Project> = catalog.projects.values().map(|stored| (*stored.value).clone()).collect();
    let sources: Vec<Source> = catalog.sources.values().map(|stored| (*stored.value).clone()).collect();
    flow.check(id, &projects, &sources)
}

/// A document as a flow that may run.
pub(super) fn from_document(document: &Value, id: FlowId, catalog: &OrgCatalog) -> Result<Flow, Problem> {
    let flow = Flow::from_json(document).map_err(|problem| refused(vec![problem]))?;
    checked(&flow, id, catalog).map_err(refused)?;
    if let Some(name) = &flow.transformation {
        transformations::of_flow(catalog, name)?;
    }
    Ok(flow)
}

/// What a flow that may run was found to name.
pub(super) fn named(catalog: &Catalog, org: OrgId) -> Vec<Unchanged> {
    let transformations = catalog.unchanged::<StoredTransformation>(org);
    vec![catalog.unchanged::<Project>(org), catalog.unchanged::<Source>(org), transformations]
}

/// What keeps a document from running.
pub(super) fn problems(document: &Value, id: FlowId, catalog: &OrgCatalog) -> Vec<FieldError> {
    match from_document(document, id, catalog) {
        Err(Problem::Invalid(problems)) => problems,
        _ => Vec::new(),
    }
}

/// The flows that are enabled and cannot run, by their slugs, with what keeps each from it.
pub(super) fn broken(catalog: &OrgCatalog) -> BTreeMap<&str, Vec<FieldError>> {
    let enabled = catalog.flows.values().map(|stored| &stored.value).filter(|flow| flow.document["enabled"] != false);
    let told = enabled.map(|flow| (flow.slug.as_str(), problems(&flow.document, flow.id, catalog)));
    told.filter(|(_, problems)| !problems.is_empty()).collect()
}

/// Refuses a change that flows which run would not survive.
pub(super) fn survive(before: &OrgCatalog, after: &OrgCatalog) -> Result<(), Problem> {
    let already = broken(before);
    let told: Vec<String> = broken(after)
        .into_iter()
        .filter(|(slug, _)| !already.contains_key(slug))
        .flat_map(|(slug, problems)| problems.into_iter().map(move |it| format!("flow `{slug}`, {}: {}", it.path, it.message)))
        .take(MOST_TOLD)
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let told = told.join("; ");
    let detail = format!(
        "flows that run would break: {told}. Change or disable them first; one that names its project and sources by their ids \
         holds when these are called something else"
    );
    Err(Problem::Conflict { code: Conflict::InUse, detail })
}

impl Written {
    fn stored(&self, id: FlowId, catalog: &OrgCatalog, held: Option<&StoredFlow>, now: Timestamp) -> Result<StoredFlow, Problem> {
        if let Err(problems) = checked(&self.flow, id, catalog) {
            return Err(refused(match &self.yaml {
                Some(yaml) => Flow::locate(yaml, problems),
                None => problems,
            }));
        }
        if let Some(name) = &self.flow.transformation {
            transformations::of_flow(catalog, name)?;
        }
        let document = self.flow.to_json().map_err(|problem| refused(vec![problem]))?;
        Ok(followed_by(held, id, &self.flow, document, now))
    }
}

/// The flow with another document, or a new one.
pub(super) fn followed_by(held: Option<&StoredFlow>, id: FlowId, flow: &Flow, document: Value, now: Timestamp) -> StoredFlow {
    let was_enabled = held.is_some_and(|held| held.document["enabled"] != false);
    let enabled_at = match held {
        Some(held) if was_enabled || !flow.enabled => held.enabled_at,
        Some(_) => Some(now),
        None => None,
    };
    let created_at = held.map_or(now, |held| held.created_at);
    let draft = held.and_then(|held| held.draft.clone());
    let slug = flow.slug.clone();
    StoredFlow { id, slug, document, draft, version: None, published_at: None, enabled_at, created_at }
}

/// Make a flow, from JSON or YAML.
#[utoipa::path(post, path = "/v1/flows", tag = "Flows", security(("key" = ["config_write"])),
    request_body(content((Document = "application/json"), (String = "application/yaml"))),
    responses((status = 201, body = View, description = "Made. It runs on the next source event.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    written: Written,
) -> Result<Made, Problem> {
    let bytes = written.bytes.clone();
    if let Some(made) = once.kept(&app, &can, &bytes).await? {
        return Ok(made);
    }
    let now = app.now();
    let id = FlowId::mint(now, &*app.entropy);
    let (app, can, once, written, bytes) = (&app, &can, &once, &written, &bytes);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let flow = written.stored(id, org, None, now)?;
        let shown = Shown::new(format!("/v1/flows/{id}"), View::of(&flow, 1, org));
        let mut write = app.store.config_write(&config::change(app, can), &flow, 0, false)?;
        write.unchanged = named(&catalog, can.org);
        once.write_unless_raced(app, can, bytes, write, shown).await
    })
    .await
}

/// List flows.
#[utoipa::path(get, path = "/v1/flows", tag = "Flows", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    let catalog = config::org(&app, can.org)?;
    Ok(Json(paging.of(&catalog.flows, |stored| View::of(&stored.value, stored.revision, &catalog))))
}

/// Read a flow.
#[utoipa::path(get, path = "/v1/flows/{flow}", tag = "Flows", security(("key" = ["config_read"])),
    params(("flow" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<FlowId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.flows, id.uuid(), "flow")?;
    Ok(Shown::at(stored.revision, View::of(&stored.value, stored.revision, &catalog)))
}

/// Replace a flow, from JSON or YAML.
///
/// The document before is kept as an earlier version, and a draft stays as it is.
///
/// Keep the ids of steps that stay: an event does a step once, also when it is replayed after the change.
#[utoipa::path(put, path = "/v1/flows/{flow}", tag = "Flows", security(("key" = ["config_write"])),
    params(("flow" = IdText, Path, description = "Its id."), IfMatch),
    request_body(content((Document = "application/json"), (String = "application/yaml"))),
    responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<FlowId>,
    if_match: IfMatch,
    written: Written,
) -> Result<Shown<View>, Problem> {
    let (app, can, written) = (&app, &can, &written);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let held = config::one(&org.flows, id.uuid(), "flow")?;
        if_match.check(held.revision)?;
        let flow = written.stored(id, org, Some(&held.value), app.now())?;
        flow_versions::supersede(app, can, &catalog, held, flow).await
    })
    .await
}

/// Delete a flow.
#[utoipa::path(delete, path = "/v1/flows/{flow}", tag = "Flows", security(("key" = ["config_write"])),
    params(("flow" = IdText, Path, description = "Its id."), IfMatch), responses((status = 204, description = "Deleted.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<FlowId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.flows, id.uuid(), "flow")?;
    if_match.check(stored.revision)?;
    let change = config::change(&app, &can);
    let mut write = app.store.config_write(&change, &*stored.value, stored.revision, true)?;
    for version in flow_versions::superseded(&catalog, id) {
        write = write.and(app.store.config_write(&change, &*version.value, version.revision, true)?);
    }
    if app.store.written(write).await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::raced()) }
}
