//! `/v1/transformations`: JavaScript that flows run events through before they look at them, and libraries for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use domain::{OrgId, Payload, SourceEventId, SourceId, Target, Timestamp, TransformationId};
use flows::transform::{self, Arrived, Transformation};
use http::StatusCode;
use script::{Entry, Fault, Host, Limits, Program, Warning};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{Catalog, ConfigWrite, OrgCatalog, Stored, StoredFlow, StoredTarget, StoredTransformation};
use tokio::time::Instant;
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
    App, Body, Conflict, FieldError, PathParam, Problem, QueryParams,
    auth::{Can, scope},
    restated::Restated,
};

/// Most events of one trial.
const MAX_TRIAL: usize = 200;
/// The longest that code is waited for; the engine stops nearly all of it long before.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest name of a library or transformation, in characters.
const MAX_NAME: usize = 64;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, replace, delete))
        .routes(routes!(publish))
        .routes(routes!(test))
}

/// A transformation or a library as it is written.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TransformationInput {
    /// What flows name it by, or what code imports a library by: a letter, then letters, digits, hyphens, underscores.
    #[schema(examples("cleanEvents"))]
    slug: String,
    /// Name shown to people.
    name: String,
    /// Whether it is a library, to be imported by its slug, and not a transformation.
    #[serde(default)]
    #[schema(required = false, default = false)]
    library: bool,
    /// The code: an ES module that exports `transformEvent(event, metadata)` or `transformBatch(events, metadata)`, as
    /// RudderStack's do.
    #[schema(examples("export function transformEvent(event, metadata) { return event; }"))]
    code: String,
    /// Code that is being worked on: it may be broken, and runs in tests alone until it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draft: Option<String>,
    /// Whether it runs. Events pass by a transformation that does not, unchanged; a library that does not is not found.
    #[serde(default = "yes")]
    #[schema(required = false, default = true)]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// A transformation or a library.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transformation)]
struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: TransformationId,
    #[serde(flatten)]
    input: TransformationInput,
    /// Counts its changes; the audit log has each.
    version: i64,
    /// What its code may do otherwise than at RudderStack, and what is wrong with its draft.
    #[schema(value_type = Vec<Object>)]
    warnings: Vec<Value>,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl View {
    fn of(stored: &StoredTransformation, version: i64, warnings: Vec<Value>) -> Self {
        let StoredTransformation { id, slug, name, library, code, draft, enabled, created_at, .. } = stored.clone();
        Self { id, input: TransformationInput { slug, name, library, code, draft, enabled }, version, warnings, created_at }
    }
}

/// A clock for the time limit, and nothing of the outside: a trial does nothing.
pub(super) struct Indoors(Instant);

impl Indoors {
    pub(super) fn host() -> Arc<dyn Host> {
        Arc::new(Self(Instant::now()))
    }
}

impl Host for Indoors {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    fn fetch(&self, request: &script::Request) -> Result<script::Reply, String> {
        Err(format!("a trial sends nothing: {} {}", request.method, request.url))
    }
}

/// Nothing of the outside, for code that is only looked at.
pub(super) fn indoors() -> Arc<dyn Host> {
    Indoors::host()
}

/// Runs code off the server's threads, for a bounded time.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Problem::Internal(error.to_string())),
        Err(_) => Err(Problem::field("code", "it did not end when it was stopped")),
    }
}

/// What the catalog's libraries become with a change of one.
fn libraries(catalog: &OrgCatalog, changed: &StoredTransformation, present: bool) -> BTreeMap<String, String> {
    let others = catalog.transformations.values().map(|stored| &stored.value).filter(|it| it.id != changed.id);
    let mut libraries: BTreeMap<String, String> =
        others.filter(|it| it.library && it.enabled).map(|it| (it.slug.clone(), it.code.clone())).collect();
    if present && changed.library && changed.enabled {
        libraries.insert(changed.slug.clone(), changed.code.clone());
    }
    libraries
}

/// Checks code on its own; a library is checked by importing it.
fn check(code: &str, library: Option<&str>, libraries: &Arc<BTreeMap<String, String>>) -> Result<Program, Fault> {
    let limits = Limits::default();
    match library {
        None => Program::check(code, Arc::clone(libraries), Indoors::host(), &limits),
        Some(name) => {
            let mut with = (**libraries).clone();
            with.insert(name.to_owned(), code.to_owned());
            let importing = format!("import {name:?};\nexport const transformEvent = (event) => event;");
            Program::check(&importing, Arc::new(with), Indoors::host(), &limits)
        }
    }
}

fn shown(warning: &Warning) -> Value {
    json!(warning)
}

/// Checks a change with everything that depends on it, and gives it with warnings.
async fn checked(catalog: &Arc<OrgCatalog>, mut it: StoredTransformation) -> Result<(StoredTransformation, Vec<Value>), Problem> {
    let catalog = Arc::clone(catalog);
    blocking(move || {
        let libraries = Arc::new(libraries(&catalog, &it, true));
        let name = it.library.then_some(it.slug.as_str());
        let program = check(&it.code, name, &libraries).map_err(|fault| Problem::field("code", fault.to_string()))?;
        it.batch = program.entry() == Entry::Batch;
        let mut warnings: Vec<Value> = program.warnings().iter().filter(|it| it.file == "transformation").map(shown).collect();
        if let Some(fault) = it.draft.as_deref().and_then(|draft| check(draft, name, &libraries).err()) {
            warnings.push(json!({"draft": true, "message": fault.to_string(), "line": fault.line, "column": fault.column}));
        }
        if it.library {
            dependents(&catalog, it.id, &libraries)?;
        }
        Ok((it, warnings))
    })
    .await?
}

/// Refuses what breaks a transformation that runs.
fn dependents(catalog: &OrgCatalog, but: TransformationId, libraries: &Arc<BTreeMap<String, String>>) -> Result<(), Problem> {
    let others = catalog.transformations.values().map(|stored| &stored.value);
    for other in others.filter(|it| !it.library && it.enabled && it.id != but) {
        if let Err(fault) = check(&other.code, None, libraries) {
            let detail = format!("transformation {} would break: {fault}", other.slug);
            return Err(Problem::Conflict { code: Conflict::InUse, detail });
        }
    }
    Ok(())
}

impl TransformationInput {
    fn stored(self, id: TransformationId, created_at: Timestamp) -> Result<StoredTransformation, Problem> {
        let starts = self.slug.starts_with(|c: char| c.is_ascii_alphabetic());
        let plain = self.slug.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !starts || !plain || self.slug.len() > MAX_NAME {
            let message = format!("expected a letter, then letters, digits, hyphens and underscores, at most {MAX_NAME}");
            return Err(Problem::field("slug", message));
        }
        let Self { slug, name, library, code, draft, enabled } = self;
        let name = text::name(name, "name")?;
        Ok(StoredTransformation { id, slug, name, library, code, draft, enabled, batch: false, created_at })
    }
}

/// Make a transformation or a library.
///
/// Its code is checked: that it is JavaScript, finds its libraries, loads within the limits and exports what is called.
#[utoipa::path(post, path = "/v1/transformations", tag = "Transformations", security(("key" = ["config_write"])),
    request_body = TransformationInput, responses((status = 201, body = View, description = "Made.")))]
async fn create(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<TransformationInput>,
) -> Result<Made, Problem> {
    if let Some(made) = once.kept(&app, &can, &body.bytes).await? {
        return Ok(made);
    }
    let now = app.now();
    let id = TransformationId::mint(now, &*app.entropy);
    let (app, can, once, body) = (&app, &can, &once, &body);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let written = body.value.clone().stored(id, now)?;
        let (stored, warnings) = checked(config::part(&catalog, can.org)?, written).await?;
        let write = app.store.config_write(&config::change(app, can), &stored, 0, false)?;
        let shown = Shown::new(format!("/v1/transformations/{id}"), View::of(&stored, 1, warnings));
        once.write_unless_raced(app, can, &body.bytes, relying(&catalog, can.org, write), shown).await
    })
    .await
}

/// List transformations and libraries.
#[utoipa::path(get, path = "/v1/transformations", tag = "Transformations", security(("key" = ["config_read"])),
    params(Paging), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<View>>, Problem> {
    let view = |stored: &Stored<StoredTransformation>| View::of(&stored.value, stored.revision, Vec::new());
    Ok(Json(paging.of(&config::org(&app, can.org)?.transformations, view)))
}

/// Read a transformation or a library.
#[utoipa::path(get, path = "/v1/transformations/{transformation}", tag = "Transformations", security(("key" = ["config_read"])),
    params(("transformation" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TransformationId>,
) -> Result<Shown<View>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let stored = config::one(&catalog.transformations, id.uuid(), "transformation")?;
    Ok(Shown::at(stored.revision, View::of(&stored.value, stored.revision, Vec::new())))
}

/// Replace a transformation or a library.
///
/// Give `draft` to work on code while the code before it keeps running. A library that a transformation would break on is
/// refused.
#[utoipa::path(put, path = "/v1/transformations/{transformation}", tag = "Transformations", security(("key" = ["config_write"])),
    params(("transformation" = IdText, Path, description = "Its id."), IfMatch), request_body = TransformationInput,
    responses((status = 200, body = View, description = "As it is now.")))]
async fn replace(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TransformationId>,
    if_match: IfMatch,
    body: Restated<TransformationInput, View>,
) -> Result<Shown<View>, Problem> {
    let (app, can, body) = (&app, &can, &body);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let held = config::one(&org.transformations, id.uuid(), "transformation")?;
        if_match.check(held.revision)?;
        if body.value.library != held.value.library {
            return Err(Problem::field("library", "cannot be changed: make another one"));
        }
        let written = body.value.clone().stored(id, held.value.created_at)?;
        if written.slug != held.value.slug {
            unused(org, &held.value)?;
        }
        if held.value.enabled && !written.enabled {
            makes_nothing(org, &held.value)?;
        }
        change(app, can, &catalog, written, held.revision).await
    })
    .await
}

/// A change that was decided on what imports it and what it imports, and on what runs through it.
fn relying(catalog: &Catalog, org: OrgId, write: ConfigWrite) -> ConfigWrite {
    let users = [catalog.unchanged::<StoredFlow>(org), catalog.unchanged::<StoredTarget>(org)];
    let unchanged = users.into_iter().chain([catalog.unchanged::<StoredTransformation>(org)]).collect();
    ConfigWrite { unchanged, ..write }
}

async fn change(
    app: &Arc<App>,
    can: &Can<scope::ConfigWrite>,
    catalog: &Catalog,
    written: StoredTransformation,
    revision: i64,
) -> Result<Option<Shown<View>>, Problem> {
    let (stored, warnings) = checked(config::part(catalog, can.org)?, written).await?;
    let write = app.store.config_write(&config::change(app, can), &stored, revision, false)?;
    let shown = Shown::at(revision + 1, View::of(&stored, revision + 1, warnings));
    config::write_unless_raced(app, relying(catalog, can.org, write), shown).await
}

/// Publish a draft.
///
/// From then on the draft is the code that runs.
#[utoipa::path(post, path = "/v1/transformations/{transformation}/publish", tag = "Transformations",
    security(("key" = ["config_write"])), params(("transformation" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 200, body = View, description = "As it is now.")))]
async fn publish(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TransformationId>,
    if_match: IfMatch,
) -> Result<Shown<View>, Problem> {
    let (app, can) = (&app, &can);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let held = config::one(&config::part(&catalog, can.org)?.transformations, id.uuid(), "transformation")?;
        if_match.check(held.revision)?;
        let mut written = (*held.value).clone();
        let no_draft = || Problem::Conflict { code: Conflict::NotAllowed, detail: "there is no draft to publish".to_owned() };
        written.code = written.draft.take().ok_or_else(no_draft)?;
        change(app, can, &catalog, written, held.revision).await
    })
    .await
}

/// Refuses while a flow, a webhook or a destination names it.
fn unused(catalog: &OrgCatalog, it: &StoredTransformation) -> Result<(), Problem> {
    let names = |flow: &Value| flow["transformation"].as_str().is_some_and(|name| is_named(it, name));
    if let Some(flow) = catalog.flows.values().find(|stored| !it.library && names(&stored.value.document)) {
        let detail = format!("flow {} runs its events through it: change the flow first", flow.value.slug);
        return Err(Problem::Conflict { code: Conflict::InUse, detail });
    }
    makes_nothing(catalog, it)
}

fn is_named(it: &StoredTransformation, name: &str) -> bool {
    name == it.slug || name.parse() == Ok(it.id)
}

/// Refuses while a webhook or a destination has its bodies made by it: they would be given up.
fn makes_nothing(catalog: &OrgCatalog, it: &StoredTransformation) -> Result<(), Problem> {
    let made = |target: &Target| matches!(&target.payload, Some(Payload::Transformation(name)) if is_named(it, name));
    let Some(stored) = catalog.targets.values().find(|stored| !it.library && made(&stored.value.target)) else { return Ok(()) };
    let Target { name, id, .. } = &stored.value.target;
    let detail = format!("`payload` of the webhook or destination “{name}” ({id}) is made by it: change that first");
    Err(Problem::Conflict { code: Conflict::InUse, detail })
}

/// Delete a transformation or a library.
#[utoipa::path(delete, path = "/v1/transformations/{transformation}", tag = "Transformations",
    security(("key" = ["config_write"])), params(("transformation" = IdText, Path, description = "Its id."), IfMatch),
    responses((status = 204, description = "Deleted.")))]
async fn delete(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<TransformationId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let (app, can) = (&app, &can);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let stored = config::one(&org.transformations, id.uuid(), "transformation")?;
        if_match.check(stored.revision)?;
        unused(org, &stored.value)?;
        if stored.value.library {
            let (org, gone) = (Arc::clone(org), Arc::clone(&stored.value));
            blocking(move || dependents(&org, gone.id, &Arc::new(libraries(&org, &gone, false)))).await??;
        }
        let write = app.store.config_write(&config::change(app, can), &*stored.value, stored.revision, true)?;
        config::write_unless_raced(app, relying(&catalog, can.org, write), StatusCode::NO_CONTENT).await
    })
    .await
}

/// Events to try code on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CodeTrial {
    /// Code to try.
    code: Option<String>,
    /// Try this transformation, its draft when it has one; either this or `code`.
    #[schema(value_type = Option<IdText>)]
    transformation: Option<TransformationId>,
    /// The events, as sources send them; all in one context.
    #[schema(value_type = Vec<Object>, min_items = 1, max_items = 200)]
    events: Vec<Map<String, Value>>,
}

/// Try a transformation on events.
///
/// Answers what it makes of each event, what it wrote with `log` or `console`, and where it failed. Nothing is changed and
/// nothing is sent: `fetch` fails in a trial.
#[utoipa::path(post, path = "/v1/transformations/test", tag = "Transformations", security(("key" = ["config_read"])),
    request_body = CodeTrial, responses((status = 200, body = Object, description = "For each event: `kept` with the events in \
        its place, `dropped`, or `failed` with the place in the code; and its log.")))]
async fn test(can: Can<scope::ConfigRead>, State(app): State<Arc<App>>, body: Body<CodeTrial>) -> Result<Json<Value>, Problem> {
    let CodeTrial { code, transformation, events } = body.value;
    if events.is_empty() || events.len() > MAX_TRIAL {
        return Err(Problem::field("events", format!("expected 1 to {MAX_TRIAL} events")));
    }
    let catalog = config::org(&app, can.org)?;
    let code = match (code, transformation) {
        (Some(code), None) => code,
        (None, Some(id)) => {
            let it = &config::one(&catalog.transformations, id.uuid(), "transformation")?.value;
            if it.library {
                return Err(Problem::field("transformation", "this is a library: try code that imports it"));
            }
            it.draft.clone().unwrap_or_else(|| it.code.clone())
        }
        _ => return Err(Problem::field("", "give either `code` or `transformation`")),
    };
    let (libraries, received_at) = (Arc::new(catalog.libraries()), app.now());
    let id = transformation.unwrap_or_else(|| TransformationId::from_uuid(uuid::Uuid::nil()));
    let answer = blocking(move || {
        let program = check(&code, None, &libraries).map_err(|fault| Problem::field("code", fault.to_string()))?;
        let warnings: Vec<Value> = program.warnings().iter().map(shown).collect();
        let events: Vec<Value> = events.into_iter().map(Value::Object).collect();
        let arrived: Vec<Arrived<'_>> = events.iter().map(|event| Arrived { event, source: None, received_at }).collect();
        let ran = Transformation { id, version: 0, program }.run(&arrived, Indoors::host(), &Limits::default());
        let results: Vec<Value> = (0..)
            .zip(&ran.events)
            .map(|(index, became)| {
                let log: Vec<_> = ran.log.iter().filter(|line| line.event == Some(index)).cloned().collect();
                transform::shown(became, &log, 0)
            })
            .collect();
        let log: Vec<&str> = ran.log.iter().filter(|line| line.event.is_none()).map(|line| line.text.as_str()).collect();
        Ok::<_, Problem>(json!({"events": results, "log": log, "log_left_out": ran.log_left_out, "warnings": warnings}))
    });
    Ok(Json(answer.await??))
}

/// The transformation that a flow document names, ready for a trial; its draft is not what the flow runs.
pub(super) fn of_flow(catalog: &OrgCatalog, name: &str) -> Result<Option<Transformation>, Problem> {
    let missing = || {
        Problem::Invalid(vec![FieldError::new("transformation", format!("there is no transformation `{name}`: make it first"))])
    };
    let stored = catalog.transformation_named(name).ok_or_else(missing)?;
    let entry = if stored.value.batch { Entry::Batch } else { Entry::Event };
    let program = Program::load(&stored.value.code, Arc::new(catalog.libraries()), entry);
    Ok(stored.value.enabled.then(|| Transformation { id: stored.value.id, version: stored.revision, program }))
}

/// A stored source event, to try something on: its payload, where it came from and when.
pub(super) async fn stored_event(
    app: &App,
    org: domain::OrgId,
    id: SourceEventId,
) -> Result<(Value, SourceId, Timestamp), Problem> {
    let entry = app.store.source_event(org, id).await?.ok_or_else(|| Problem::no_such("source event"))?;
    let payload = entry.payload.ok_or(Problem::Gone("its person has been erased: nothing is left to try"))?;
    let payload = serde_json::from_str(&payload).map_err(|_| Problem::field("source_event", "what arrived is not JSON"))?;
    Ok((payload, entry.source, entry.received_at))
}
