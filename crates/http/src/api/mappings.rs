//! `/v1/projects/{project}/mapping…`: what a map of a flow's step or of a batch can set, a guess at one, and what one makes of a
//! sample.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Project, ProjectId};
use flows::{
    flow::StepAction,
    targets::{self, Over, Target, Tested},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{config, flows::refused, page::Page, schema::IdText};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(places)).routes(routes!(suggest)).routes(routes!(test))
}

/// What the step, or the batch, does.
#[derive(ToSchema)]
#[schema(as = MappingAction, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `flows::flow::StepAction` in the document")]
enum ActionName {
    Issue,
    Update,
    Activate,
    Revoke,
    Delete,
    Notify,
    Send,
    Wait,
    RecordInstall,
    RecordUninstall,
    RecordScan,
}

const fn issue() -> StepAction {
    StepAction::Issue
}

/// What the map is for: source events, in a flow, or rows, in a batch.
#[derive(ToSchema)]
#[schema(as = MappingOver, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `flows::targets::Over` in the document")]
enum OverName {
    Events,
    Rows,
}

/// What a place takes: `amount` is a decimal of at most six digits after the point, `count` a whole number, `message` a text in
/// Jinja's syntax.
#[derive(ToSchema)]
#[schema(as = MappingTakes, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `flows::targets::Takes` in the document")]
enum TakesName {
    Text,
    Number,
    Flag,
    Time,
    Count,
    Amount,
    Object,
    Message,
}

/// A place of a map.
#[derive(ToSchema)]
#[schema(as = MappingTarget)]
#[allow(dead_code, reason = "describes `flows::targets::Target` in the document")]
struct Place {
    /// Where it stands in the map, such as `contact.email` or `fields.tier`.
    place: String,
    /// What people call it.
    label: String,
    /// What it takes.
    takes: TakesName,
    /// Whether nothing is done without it.
    required: bool,
    /// Of the places with the same text here, `pass` or `person`, one is needed and one is enough.
    one_of: Option<String>,
    /// What it may be; empty where that is not fixed.
    choices: Vec<String>,
    /// Its value where none is given.
    #[schema(value_type = Option<Value>)]
    default: Option<Value>,
}

/// Which map.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// What the step, or the batch, does.
    #[serde(default = "issue")]
    #[param(inline, value_type = Option<ActionName>)]
    action: StepAction,
    /// What the map is for.
    #[serde(default)]
    #[param(inline, value_type = Option<OverName>)]
    over: Over,
}

fn project(app: &App, caller: &Caller, id: ProjectId) -> Result<Arc<Project>, Problem> {
    let catalog = config::org(app, caller.org)?;
    Ok(Arc::clone(&config::one(&catalog.projects, id.uuid(), "project")?.value))
}

/// List what a map can set.
///
/// Of a flow's step, or of a batch: the person, the project's fields and balances, and what passes have besides, with what
/// each takes.
#[utoipa::path(get, path = "/v1/projects/{project}/mapping-targets", tag = "Mappings", security(("key" = ["config_read"])),
    params(("project" = IdText, Path, description = "Its id."), Which),
    responses((status = 200, body = Page<Place>, description = "All of them.")))]
async fn places(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ProjectId>,
    QueryParams(which): QueryParams<Which>,
) -> Result<Json<Page<Target>>, Problem> {
    let project = project(&app, &can, id)?;
    Ok(Json(Page { data: targets::targets(&project, which.action, which.over), next_cursor: None }))
}

/// A sample to guess a map for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MappingSample)]
struct Sample {
    /// What the step, or the batch, does; `issue` unless told.
    #[serde(default = "issue")]
    #[schema(value_type = ActionName, required = false)]
    action: StepAction,
    /// What the map is for; `events` unless told.
    #[serde(default)]
    #[schema(value_type = OverName, required = false)]
    over: Over,
    /// A source event as flows see it, or a row as an object of column names and cells.
    #[serde(default)]
    #[schema(value_type = Object)]
    sample: Map<String, Value>,
}

/// A map.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MappingSuggestion)]
struct Suggested {
    /// As a flow's step or a batch takes it.
    #[schema(value_type = Object)]
    map: Map<String, Value>,
}

/// Guess a map for a sample.
///
/// What is called in the sample as a place is, or as people usually call it, and whose value fits there. Look at it before you
/// use it.
#[utoipa::path(post, path = "/v1/projects/{project}/mapping-suggestion", tag = "Mappings", security(("key" = ["config_read"])),
    params(("project" = IdText, Path, description = "Its id.")), request_body = Sample,
    responses((status = 200, body = Suggested, description = "A guess.")))]
async fn suggest(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ProjectId>,
    body: Body<Sample>,
) -> Result<Json<Suggested>, Problem> {
    let project = project(&app, &can, id)?;
    let Sample { action, over, sample } = body.value;
    Ok(Json(Suggested { map: targets::suggest(&project, action, over, &Value::Object(sample)) }))
}

/// A map to be tried on a sample.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MappingTrial)]
struct Trial {
    /// What the step, or the batch, does; `issue` unless told.
    #[serde(default = "issue")]
    #[schema(value_type = ActionName, required = false)]
    action: StepAction,
    /// What the map is for; `events` unless told.
    #[serde(default)]
    #[schema(value_type = OverName, required = false)]
    over: Over,
    /// A source event as flows see it, or a row as an object of column names and cells.
    #[serde(default)]
    #[schema(value_type = Object)]
    sample: Map<String, Value>,
    /// The map, as a flow's step or a batch takes it; this or `text`.
    #[schema(value_type = Option<Object>)]
    map: Option<Map<String, Value>>,
    /// The map in YAML or JSON.
    text: Option<String>,
}

/// What is wrong with a map, or with the sample for it.
#[derive(ToSchema)]
#[schema(as = MappingProblem)]
#[allow(dead_code, reason = "describes `flows::Problem` in the document")]
struct Fault {
    /// The place in the map.
    path: String,
    /// What is wrong.
    message: String,
}

/// What a map makes of a sample.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MappingTested)]
struct Found {
    /// The map, as it was read.
    #[schema(value_type = Object)]
    map: Map<String, Value>,
    /// What would be asked for, with values of their type; null where something is wrong.
    #[schema(value_type = Option<Object>)]
    resolved: Option<Value>,
    /// What is wrong; empty where nothing is.
    #[schema(value_type = Vec<Fault>)]
    problems: Vec<flows::Problem>,
    /// What each place finds in the sample, as it stands there; places that find nothing are left out.
    #[schema(value_type = Object)]
    values: Value,
}

/// Try a map on a sample.
///
/// Says what would be asked for, with every value brought to its type, and what is wrong and where. Nothing is done, and no pass
/// is looked up.
#[utoipa::path(post, path = "/v1/projects/{project}/mapping-test", tag = "Mappings", security(("key" = ["config_read"])),
    params(("project" = IdText, Path, description = "Its id.")), request_body = Trial,
    responses((status = 200, body = Found, description = "What it makes of the sample.")))]
async fn test(
    can: Can<scope::ConfigRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<ProjectId>,
    body: Body<Trial>,
) -> Result<Json<Found>, Problem> {
    let project = project(&app, &can, id)?;
    let Trial { action, over, sample, map, text } = body.value;
    let map = match (map, text) {
        (Some(map), None) => map,
        (None, Some(text)) => flows::batch::Batch::map_of_yaml(&text).map_err(|problem| refused(vec![problem.under("text")]))?,
        _ => return Err(Problem::field("map", "give either `map` or `text`")),
    };
    let about = (app.now(), &*app.entropy);
    let Tested { resolved, problems, values } = targets::test(&project, action, over, &map, &Value::Object(sample), about);
    let values = Value::Object(values.into_iter().collect());
    Ok(Json(Found { map, resolved, problems, values }))
}
