//! `PATCH /v1/batches/{batch}`: another map for rows that are there, or another of what a batch was told.

use std::sync::Arc;

use axum::extract::State;
use domain::{BatchId, Project};
use flows::batch::Batch as Document;
use serde_json::{Map, Value};
use store::{Batch, BatchPhase, BatchTally, JobState};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    batch_sample::first_rows,
    batches::{BatchState, EmptyCellsName, IfExistsName, MAX_RACES, OperationName, Start, View, find, not_allowed, start_at},
    config::{self, IfMatch, Shown},
    flows::refused,
    schema::{IdText, TimeText},
};
use crate::{
    App, Body, Conflict, FieldError, PathParam, Problem,
    auth::{Caller, Can, scope},
};

/// What is settled once there are rows.
const SETTLED: [&str; 3] = ["project", "format", "encoding"];

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(change))
}

/// What becomes different of a batch; what is left out stays, null takes it back.
#[derive(ToSchema)]
#[schema(as = BatchChange)]
#[allow(dead_code, reason = "describes members of `flows::batch::Batch` in the document")]
struct Asked {
    /// What is done for each row.
    operation: Option<OperationName>,
    /// `issue`: what happens when the project has a pass of that external id.
    if_exists: Option<IfExistsName>,
    /// Which columns become what, the whole of it.
    #[schema(value_type = Option<Object>)]
    map: Option<Value>,
    /// Whether what `map` leaves out is taken from the columns of that name.
    match_columns: Option<bool>,
    /// CSV: what stands between cells, one character.
    #[schema(min_length = 1, max_length = 1)]
    delimiter: Option<String>,
    /// Whether an empty cell says nothing or removes what it would set.
    empty_cells: Option<EmptyCellsName>,
    /// When it runs.
    start: Option<Start>,
    /// Not before this time.
    #[schema(value_type = Option<TimeText>)]
    start_at: Option<domain::Timestamp>,
}

/// Change a batch that did not run yet, and have its rows checked.
///
/// For one whose rows were held back when they were uploaded, one that was checked, or whose check was paused. A column that the
/// file does not have is refused at once. What the check before found is forgotten. An empty change checks it as it is.
#[utoipa::path(patch, path = "/v1/batches/{batch}", tag = "Batches", security(("key" = ["passes_write"])),
    params(("batch" = IdText, Path, description = "Its id."), IfMatch), request_body = Asked,
    responses((status = 200, body = View, description = "It is being checked.")))]
async fn change(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
    if_match: IfMatch,
    body: Body<Map<String, Value>>,
) -> Result<Shown<View>, Problem> {
    for _ in 0..MAX_RACES {
        let mut batch = find(&app, &can, id).await?;
        if_match.check(batch.revision)?;
        let before = batch.progress.check.report;
        refuse_late(&batch)?;
        apply(&app, &can, &mut batch, body.value.clone()).await?;
        batch.progress.phase = BatchPhase::Check;
        batch.progress.check = BatchTally::default();
        batch.progress.hold = false;
        batch.state = JobState::Running;
        if app.store.written(app.store.batch_write(&config::change(&app, &can), &batch, "change")?).await? {
            if let Some(report) = before {
                app.store.drop_bundle(can.org, report).await?;
            }
            return Ok(Shown::at(batch.revision + 1, View::of(&batch)));
        }
    }
    Err(Problem::raced())
}

fn refuse_late(batch: &Batch) -> Result<(), Problem> {
    if batch.progress.intake.as_ref().is_some_and(|intake| intake.sync().is_some() || intake.is_trial()) {
        let detail = "it is a run of a sync: change the sync".to_owned();
        return Err(Problem::Conflict { code: Conflict::NotAllowed, detail });
    }
    match BatchState::of(batch) {
        BatchState::Uploaded | BatchState::Checked => Ok(()),
        BatchState::Paused if batch.progress.phase == BatchPhase::Check => Ok(()),
        state => Err(not_allowed(state, instead(state))),
    }
}

/// What to do where it is too early or too late for a change.
const fn instead(state: BatchState) -> &'static str {
    match state {
        BatchState::AwaitingRows => "upload them first",
        BatchState::Reading => "change it when that is done",
        BatchState::Checking => "pause it first, or change it when that is done",
        BatchState::Scheduled | BatchState::Running | BatchState::Paused => {
            "its rows are carried out as it is; cancel it and make another batch to have the rest done otherwise"
        }
        _ => "make another batch",
    }
}

async fn apply(app: &App, caller: &Caller, batch: &mut Batch, mut asked: Map<String, Value>) -> Result<(), Problem> {
    let settled: Vec<FieldError> = SETTLED
        .into_iter()
        .filter(|key| asked.contains_key(*key))
        .map(|key| FieldError::new(key, "is settled once the rows are there: make another batch"))
        .collect();
    if !settled.is_empty() {
        return Err(Problem::Invalid(settled));
    }
    let start = match asked.remove("start") {
        None => Start::of(batch.progress.start),
        Some(Value::Null) => Start::default(),
        Some(start) => serde_json::from_value(start).map_err(|error| Problem::field("start", error.to_string()))?,
    };
    let until = match asked.remove("start_at") {
        None => serde_json::to_value(batch.progress.start_at).ok().filter(|_| !matches!(start, Start::ByHand)),
        given => given,
    };
    batch.progress.start_at = start_at(until, start, app.now())?;
    batch.progress.start = start.stored();
    let mut document = batch.progress.document.as_object().cloned().unwrap_or_default();
    document.extend(asked);
    document.retain(|_, value| !value.is_null());
    let document = Document::from_json(&Value::Object(document)).map_err(|problem| refused(vec![problem]))?;
    let catalog = config::org(app, caller.org)?;
    let projects: Vec<Project> = catalog.projects.values().map(|stored| (*stored.value).clone()).collect();
    let known = first_rows(app, batch, &document, 1).await?.ok().map(|first| first.layout);
    let known = known.as_ref().and_then(|layout| layout.known());
    document.check(&projects, known).map_err(refused)?;
    batch.progress.document = serde_json::to_value(&document).map_err(|error| Problem::Internal(error.to_string()))?;
    Ok(())
}
