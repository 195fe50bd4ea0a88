//! `/v1/batches`: files of rows, each of which becomes one command on a pass.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use domain::{BatchId, Project, ProjectId, SyncId, Timestamp};
use flows::{
    batch::{Batch as Document, Operation},
    flow::MAX_WAIT_DAYS,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::{Batch, BatchPhase, BatchStart, BatchTally, BatchWork, Intake, JobState, Removal};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::Once,
    config::{self, Shown},
    flows::refused,
    jobs,
    once::Made,
    page::{After, Limit, Page, page},
    schema::{IdText, TimeText},
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
};

/// How often a change is tried again that a worker's progress came before.
pub(super) const MAX_RACES: usize = 20;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get))
        .routes(routes!(run))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
}

/// A batch to be made.
#[derive(ToSchema)]
#[schema(as = NewBatch)]
#[allow(dead_code, reason = "describes `flows::batch::Batch` in the document")]
struct Asked {
    /// The project whose passes it is about: slug or id.
    project: String,
    /// What is done for each row.
    operation: OperationName,
    /// `issue`: what happens when the project has a pass of that external id: `update` (unless told), `skip` or `reject`.
    if_exists: Option<IfExistsName>,
    /// Which columns become what, as in a step of a flow whose event is the row: `{"external_id": "$.member_no", "contact":
    /// {"email": "$['E-Mail']"}, "fields": {"tier": "$.tier"}}`. An `issue` whose rows have nothing that tells passes apart says
    /// `"external_id": null`: then every run of the same rows issues new passes.
    #[schema(required = false, value_type = Object)]
    map: Value,
    /// Whether what `map` leaves out is taken from the columns of that name.
    #[schema(required = false, default = true)]
    match_columns: bool,
    /// How the file is written.
    #[schema(required = false, default = "csv")]
    format: FormatName,
    /// CSV: what stands between cells, one character; found out from the first line unless told.
    #[schema(min_length = 1, max_length = 1)]
    delimiter: Option<String>,
    /// The file's encoding, a label of the WHATWG Encoding Standard such as `windows-1252`; UTF-8 unless told.
    encoding: Option<String>,
    /// Whether an empty cell of CSV, or a null of Parquet, says nothing or removes what it would set.
    #[schema(required = false, default = "ignore")]
    empty_cells: EmptyCellsName,
    /// When it runs.
    #[schema(required = false, default = "by_hand")]
    start: Start,
    /// Not before this time, at most 400 days ahead; for batches that start by themselves.
    #[schema(value_type = Option<TimeText>)]
    start_at: Option<Timestamp>,
}

/// What is done for each row.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BatchOperation)]
pub(super) enum OperationName {
    /// Issue a pass, or change the one of that external id.
    Issue,
    /// Change a pass.
    Update,
    /// Call a pass back.
    Revoke,
    /// Remove a pass.
    Delete,
    /// Tell a pass's holder something.
    Notify,
}

#[derive(ToSchema)]
#[schema(as = BatchIfExists, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `flows::flow::IfExists` in the document")]
pub(super) enum IfExistsName {
    Update,
    Reactivate,
    Skip,
    Reject,
}

#[derive(ToSchema)]
#[schema(as = BatchFormat, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `flows::batch::Format` in the document")]
enum FormatName {
    Csv,
    Ndjson,
    Parquet,
}

#[derive(ToSchema)]
#[schema(as = BatchEmptyCells, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `flows::batch::EmptyCells` in the document")]
pub(super) enum EmptyCellsName {
    Ignore,
    Clear,
}

/// When a batch runs that was checked.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BatchStart)]
pub(super) enum Start {
    /// When somebody says so.
    #[default]
    ByHand,
    /// At once, unless a row would fail.
    IfClean,
    /// At once; rows that fail are reported.
    Always,
}

impl Start {
    pub(super) const fn of(start: BatchStart) -> Self {
        match start {
            BatchStart::ByHand => Self::ByHand,
            BatchStart::IfClean => Self::IfClean,
            BatchStart::Always => Self::Always,
        }
    }

    pub(super) const fn stored(self) -> BatchStart {
        match self {
            Self::ByHand => BatchStart::ByHand,
            Self::IfClean => BatchStart::IfClean,
            Self::Always => BatchStart::Always,
        }
    }
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BatchState {
    /// Its rows were not uploaded yet.
    AwaitingRows,
    /// Its rows are there and were held back: change the batch to have them checked.
    Uploaded,
    /// Its rows are read from the file of columns that was uploaded, or from a database.
    Reading,
    /// Its rows are looked at, nothing is done.
    Checking,
    /// It waits to be run.
    Checked,
    /// It waits for its time.
    Scheduled,
    /// Its rows are carried out.
    Running,
    /// Halted until it is resumed.
    Paused,
    /// Every row was carried out or is in the report.
    Done,
    /// Ended by somebody. What was done before stays done.
    Cancelled,
    /// Its file cannot be read, see `fault`.
    Failed,
}

impl BatchState {
    pub(super) fn of(batch: &Batch) -> Self {
        match (batch.state, batch.progress.phase) {
            (JobState::Done, _) => Self::Done,
            (JobState::Cancelled | JobState::Superseded, _) => Self::Cancelled,
            (JobState::Failed, _) => Self::Failed,
            (_, BatchPhase::Rows) => Self::AwaitingRows,
            (JobState::Running, BatchPhase::Read) => Self::Reading,
            (JobState::Running, BatchPhase::Check) => Self::Checking,
            (JobState::Running, BatchPhase::Run) if batch.progress.waits_until().is_some() => Self::Scheduled,
            (JobState::Running, BatchPhase::Run) => Self::Running,
            (JobState::Paused, BatchPhase::Check) if batch.progress.hold => Self::Uploaded,
            (JobState::Paused, BatchPhase::Check) if batch.progress.check.ended_at.is_some() => Self::Checked,
            (JobState::Paused, _) => Self::Paused,
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::AwaitingRows => "waiting for its rows",
            Self::Uploaded => "waiting for its map",
            Self::Reading => "being read",
            Self::Checking => "being checked",
            Self::Checked => "checked and waits to be run",
            Self::Scheduled => "waiting for its time",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done already",
            Self::Cancelled => "cancelled already",
            Self::Failed => "failed already",
        }
    }
}

/// What became of rows, or would.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchCounts)]
struct Counts {
    /// Rows that were read.
    #[schema(minimum = 0)]
    rows: u64,
    /// Bytes of the file that were read, in UTF-8.
    #[schema(minimum = 0)]
    bytes: u64,
    /// Rows that issued a pass.
    #[schema(minimum = 0)]
    created: u64,
    /// Rows that changed something else.
    #[schema(minimum = 0)]
    changed: u64,
    /// Rows after which everything is as it was.
    #[schema(minimum = 0)]
    unchanged: u64,
    /// Rows that met a pass which is revoked, used up or expired, and stays so: see `if_exists`.
    #[schema(minimum = 0)]
    still_void: u64,
    /// Rows that failed; the report has them.
    #[schema(minimum = 0)]
    failed: u64,
    /// When it began.
    #[schema(value_type = Option<TimeText>)]
    began_at: Option<Timestamp>,
    /// When it came to the last row.
    #[schema(value_type = Option<TimeText>)]
    ended_at: Option<Timestamp>,
}

impl Counts {
    fn of(tally: &BatchTally) -> Self {
        Self {
            rows: tally.rows,
            bytes: tally.offset,
            created: tally.created,
            changed: tally.changed,
            unchanged: tally.unchanged,
            still_void: tally.still_void,
            failed: tally.failed,
            began_at: tally.began_at,
            ended_at: tally.ended_at,
        }
    }
}

/// What became of passes of which an earlier run of a sync had a row and this one has none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchRemoval)]
struct RemovalView {
    /// How many they are; null before all rows were carried out.
    #[schema(minimum = 0)]
    found: Option<u64>,
    /// How many were revoked or deleted, as the sync says.
    #[schema(minimum = 0)]
    done: u64,
    /// Why they were left as they are: rows failed, or they are too many.
    kept: Option<String>,
}

impl RemovalView {
    fn of(removal: &Removal) -> Self {
        Self { found: removal.found, done: removal.done, kept: removal.kept.clone() }
    }
}

/// A file of rows, each of which becomes one command.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub(super) struct View {
    /// Its id.
    #[schema(value_type = IdText)]
    id: BatchId,
    /// The project whose passes it is about.
    #[schema(value_type = IdText)]
    project: ProjectId,
    /// What is done for each row.
    operation: OperationName,
    /// Where it stands.
    state: BatchState,
    /// When it runs that was checked.
    start: Start,
    /// Not before this time.
    #[schema(value_type = Option<TimeText>)]
    start_at: Option<Timestamp>,
    /// What was asked for.
    #[schema(value_type = Object)]
    document: Value,
    /// How many bytes its rows have, in UTF-8; null before they are there.
    #[schema(minimum = 0)]
    bytes: Option<u64>,
    /// The sync whose run it is.
    #[schema(value_type = Option<IdText>)]
    sync: Option<SyncId>,
    /// Whether the query of a sync was only tried: nothing is done.
    trial: bool,
    /// How many rows were read of a Parquet file or a database; null for others.
    #[schema(minimum = 0)]
    rows_read: Option<u64>,
    /// Where the column of an incremental sync was when its rows were read: the next run begins there.
    changed_until: Option<String>,
    /// Columns, and members of rows, that nothing takes, the first hundred: what stands there is lost. Known as the check comes on.
    unused_columns: Vec<String>,
    /// What would become of its rows.
    check: Counts,
    /// What became of its rows.
    run: Counts,
    /// What became of passes whose rows are gone; null where the sync says nothing of them, or not all rows were read.
    removal: Option<RemovalView>,
    /// Why it failed.
    fault: Option<String>,
    /// Which reader of a log it gives way to at the moment, so that live events stay live.
    waits_for: Option<String>,
    /// When it was made.
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
    /// When it last came on.
    #[schema(value_type = TimeText)]
    updated_at: Timestamp,
}

impl View {
    pub(super) fn of(batch: &Batch) -> Self {
        let work = &batch.progress;
        let operation = serde_json::from_value(work.document["operation"].clone()).unwrap_or(Operation::Issue);
        Self {
            id: batch.id,
            project: work.project,
            operation: match operation {
                Operation::Issue => OperationName::Issue,
                Operation::Update => OperationName::Update,
                Operation::Revoke => OperationName::Revoke,
                Operation::Delete => OperationName::Delete,
                Operation::Notify => OperationName::Notify,
            },
            state: BatchState::of(batch),
            start: Start::of(work.start),
            start_at: work.start_at,
            sync: work.intake.as_ref().and_then(Intake::sync),
            document: work.document.clone(),
            bytes: work.file.map(|file| file.bytes),
            trial: is_trial(work),
            rows_read: work.intake.as_ref().map(|intake| intake.rows),
            changed_until: work.intake.as_ref().and_then(|intake| intake.mark.clone()),
            unused_columns: work.unused.clone(),
            check: Counts::of(&work.check),
            run: Counts::of(&work.run),
            removal: work.removal.as_ref().filter(|removal| removal.is_due).map(RemovalView::of),
            fault: work.fault.clone(),
            waits_for: work.waits_for.clone(),
            created_at: batch.created_at,
            updated_at: batch.updated_at,
        }
    }
}

pub(super) async fn find(app: &App, caller: &Caller, id: BatchId) -> Result<Batch, Problem> {
    jobs::find(app, caller, id, "batch").await
}

/// Make a batch.
///
/// Says what is done for each row and which columns become what; `PUT /v1/batches/{batch}/rows` brings the rows. They are
/// checked first: nothing is done, and the report has every row that would fail with the reason. Then the batch is run.
///
/// What `map` leaves out is taken from columns of that name: `external_id`, `variant`, `starts_at`, `expires_at`, `uses_limit`,
/// `inactive`, `reason`, `message`, `pass_id`; `contact_external_id`, `email`, `name` and `phone` of the contact; fields and
/// balances of the project by their keys, or as `fields.KEY` and `balances.KEY`.
#[utoipa::path(post, path = "/v1/batches", tag = "Batches", security(("key" = ["passes_write"])),
    request_body = Asked, responses((status = 201, body = View, description = "Made. It awaits its rows.")))]
async fn create(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<Map<String, Value>>,
) -> Result<Made, Problem> {
    let Body { value: mut asked, bytes } = body;
    if let Some(made) = once.kept(&app, &can, &bytes).await? {
        return Ok(made);
    }
    let start: Start = match asked.remove("start") {
        None | Some(Value::Null) => Start::default(),
        Some(start) => serde_json::from_value(start).map_err(|error| Problem::field("start", error.to_string()))?,
    };
    let start_at = start_at(asked.remove("start_at"), start, app.now())?;
    asked.retain(|_, value| !value.is_null());
    let document = Document::from_json(&Value::Object(asked)).map_err(|problem| refused(vec![problem]))?;
    let catalog = config::org(&app, can.org)?;
    let projects: Vec<Project> = catalog.projects.values().map(|stored| (*stored.value).clone()).collect();
    let plan = document.check(&projects, None).map_err(refused)?;
    let document = serde_json::to_value(&document).map_err(|error| Problem::Internal(error.to_string()))?;
    let work = BatchWork { start_at, ..BatchWork::new(document, plan.project(), can.actor(), start.stored()) };
    let (batch, write) = app.store.new_batch(&config::change(&app, &can), work)?;
    once.write(&app, &can, &bytes, write, Shown::new(format!("/v1/batches/{}", batch.id), View::of(&batch))).await
}

/// The time before which a batch does not run.
pub(super) fn start_at(asked: Option<Value>, start: Start, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    let Some(asked) = asked.filter(|asked| !asked.is_null()) else { return Ok(None) };
    let at: Timestamp = serde_json::from_value(asked).map_err(|error| Problem::field("start_at", error.to_string()))?;
    if at > now.plus(Duration::from_secs(MAX_WAIT_DAYS * 86_400)) {
        return Err(Problem::field("start_at", format!("lies more than {MAX_WAIT_DAYS} days ahead")));
    }
    match start {
        Start::ByHand => {
            Err(Problem::field("start_at", "a batch that starts by hand has no time: set `start` to `if_clean` or `always`"))
        }
        Start::IfClean | Start::Always => Ok(Some(at)),
    }
}

/// Which batches to list, newest first.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Also the trials of syncs' queries, of which nothing is done.
    #[serde(default)]
    #[param(default = false)]
    trials: bool,
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<After>,
}

/// List batches, newest first.
#[utoipa::path(get, path = "/v1/batches", tag = "Batches", security(("key" = ["passes_read"])),
    params(Filter), responses((status = 200, body = Page<View>, description = "A page.")))]
async fn list(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    QueryParams(filter): QueryParams<Filter>,
) -> Result<Json<Page<View>>, Problem> {
    let mut before = filter.cursor.map(|cursor| BatchId::from_uuid(cursor.0));
    let (wanted, mut rows) = (filter.limit.and_one(), Vec::new());
    loop {
        let read = app.store.jobs::<BatchWork>(can.org, before, wanted).await?;
        before = read.last().map(|row| row.id);
        let is_last = read.len() < wanted as usize;
        rows.extend(read.into_iter().filter(|row| filter.trials || !is_trial(&row.progress)));
        if is_last || rows.len() >= wanted as usize {
            return Ok(Json(page(&rows, filter.limit, |row| row.id.uuid(), View::of)));
        }
    }
}

fn is_trial(work: &BatchWork) -> bool {
    work.intake.as_ref().is_some_and(Intake::is_trial)
}

/// Read a batch: how far it is.
#[utoipa::path(get, path = "/v1/batches/{batch}", tag = "Batches", security(("key" = ["passes_read"])),
    params(("batch" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "It.")))]
async fn get(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
) -> Result<Shown<View>, Problem> {
    let batch = find(&app, &can, id).await?;
    Ok(Shown::at(batch.revision, View::of(&batch)))
}

/// Run a batch that was checked.
///
/// Rows that fail do not hold the others; the report has them. One that waits for its time runs at once.
#[utoipa::path(post, path = "/v1/batches/{batch}/run", tag = "Batches", security(("key" = ["passes_write"])),
    params(("batch" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "Running.")))]
async fn run(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
) -> Result<Json<View>, Problem> {
    for _ in 0..MAX_RACES {
        let mut batch = find(&app, &can, id).await?;
        match BatchState::of(&batch) {
            BatchState::Checked | BatchState::Scheduled => {}
            BatchState::Running => return Ok(Json(View::of(&batch))),
            BatchState::Paused => return Err(not_allowed(BatchState::Paused, "resume it")),
            BatchState::AwaitingRows => return Err(not_allowed(BatchState::AwaitingRows, "upload them first")),
            BatchState::Uploaded => return Err(not_allowed(BatchState::Uploaded, "change it first")),
            other => return Err(not_allowed(other, "only one that was checked can be run")),
        }
        batch.progress.phase = BatchPhase::Run;
        batch.progress.start_at = None;
        batch.state = JobState::Running;
        if app.store.written(app.store.batch_write(&config::change(&app, &can), &batch, "run")?).await? {
            return Ok(Json(View::of(&batch)));
        }
    }
    Err(Problem::raced())
}

/// What cannot be done of a batch in this state, and what can be.
pub(super) fn not_allowed(state: BatchState, todo: &str) -> Problem {
    Problem::Conflict { code: Conflict::NotAllowed, detail: format!("the batch is {}: {todo}", state.words()) }
}

async fn turn(app: &App, caller: &Caller, id: BatchId, from: &[JobState], to: JobState) -> Result<Batch, Problem> {
    jobs::turn::<BatchWork>(app, caller, id, "batch", from, to).await
}

/// Pause a batch, its check or its run.
///
/// The rows that are under way are finished. Reading a Parquet file or a database begins anew when the batch is resumed.
#[utoipa::path(post, path = "/v1/batches/{batch}/pause", tag = "Batches", security(("key" = ["passes_write"])),
    params(("batch" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "Paused.")))]
async fn pause(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
) -> Result<Json<View>, Problem> {
    Ok(Json(View::of(&turn(&app, &can, id, &[JobState::Running], JobState::Paused).await?)))
}

/// Resume a batch that was paused.
///
/// It goes on where it was.
#[utoipa::path(post, path = "/v1/batches/{batch}/resume", tag = "Batches", security(("key" = ["passes_write"])),
    params(("batch" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "Going on.")))]
async fn resume(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
) -> Result<Json<View>, Problem> {
    match BatchState::of(&find(&app, &can, id).await?) {
        BatchState::AwaitingRows => Err(not_allowed(BatchState::AwaitingRows, "upload them first")),
        BatchState::Uploaded => Err(not_allowed(BatchState::Uploaded, "change it first")),
        BatchState::Checked => Err(not_allowed(BatchState::Checked, "run it")),
        _ => Ok(Json(View::of(&turn(&app, &can, id, &[JobState::Paused], JobState::Running).await?))),
    }
}

/// Cancel a batch.
///
/// No more rows are carried out; what was done stays done. The uploaded rows are removed.
#[utoipa::path(post, path = "/v1/batches/{batch}/cancel", tag = "Batches", security(("key" = ["passes_write"])),
    params(("batch" = IdText, Path, description = "Its id.")), responses((status = 200, body = View, description = "Cancelled.")))]
async fn cancel(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
) -> Result<Json<View>, Problem> {
    let batch = turn(&app, &can, id, &[JobState::Running, JobState::Paused], JobState::Cancelled).await?;
    app.store.forget_rows(can.org, &batch.progress).await?;
    Ok(Json(View::of(&batch)))
}
