//! `/v1/syncs/{sync}/try`, `/run` and `/runs`: a sync's query is tried, and its rows are carried out.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use domain::SyncId;
use flows::batch::Batch as Document;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Batch, BatchWork, JobState, SyncScope};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    batches,
    config::{self, Shown},
    flows::refused,
    jobs,
    page::{Page, Paging, page},
    schema::IdText,
    syncs::project,
};
use crate::{
    App, Body, Conflict, PathParam, Problem, QueryParams,
    auth::{Caller, Can, scope},
};

/// How long a trial is waited for.
const TRIED_WITHIN: Duration = Duration::from_secs(25);
/// How often it is looked whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(attempt)).routes(routes!(run)).routes(routes!(runs))
}

/// A column of what a query finds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncColumn)]
struct ColumnView {
    /// Its name.
    name: String,
    /// Its type, as PostgreSQL calls it.
    #[serde(rename = "type")]
    kind: String,
}

/// What a query finds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncTrial)]
struct Trial {
    /// The columns.
    columns: Vec<ColumnView>,
    /// The first rows.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
}

/// Try a sync's query.
///
/// Answers with the columns and up to ten rows, as a map would find them. Nothing is done.
#[utoipa::path(post, path = "/v1/syncs/{sync}/try", tag = "Syncs", security(("key" = ["config_write"])),
    params(("sync" = IdText, Path, description = "Its id.")),
    responses((status = 200, body = Trial, description = "What it finds."),
        (status = 422, body = crate::problem::ProblemBody, content_type = "application/problem+json",
            description = "The database does not answer, or not as it should; `errors` says why.")))]
async fn attempt(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SyncId>,
) -> Result<Json<Trial>, Problem> {
    let begun = begin(&app, &can, id, SyncScope::Trial).await?;
    let mut waited = Duration::ZERO;
    let ended = loop {
        let batch = batches::find(&app, &can, begun.id).await?;
        if batch.state.is_over() {
            break batch;
        }
        if waited >= TRIED_WITHIN {
            jobs::turn::<BatchWork>(&app, &can, begun.id, "trial", &[JobState::Running], JobState::Cancelled).await?;
            let seconds = TRIED_WITHIN.as_secs();
            return Err(Problem::field("database", format!("there was no answer within {seconds} s")));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        waited += LOOK_AGAIN;
    };
    let work = &ended.progress;
    if ended.state != JobState::Done {
        return Err(Problem::field("query", work.fault.clone().unwrap_or_else(|| "the trial was ended".to_owned())));
    }
    let columns = serde_json::from_value::<Vec<(String, String)>>(work.layout.clone()).unwrap_or_default();
    let mut rows = Vec::new();
    if let Some(file) = work.file {
        let text = app.store.chunk(can.org, file.bundle, 0).await?.unwrap_or_default();
        rows.extend(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()));
        app.store.drop_bundle(can.org, file.bundle).await?;
    }
    let columns = columns.into_iter().map(|(name, kind)| ColumnView { name, kind }).collect();
    Ok(Json(Trial { columns, rows }))
}

async fn begin(app: &App, caller: &Caller, id: SyncId, scope: SyncScope) -> Result<Batch, Problem> {
    let catalog = config::org(app, caller.org)?;
    let sync = &config::one(&catalog.syncs, id.uuid(), "sync")?.value;
    let document = Document::from_json(&sync.document).map_err(|problem| refused(vec![problem]))?;
    let project = project(app, caller, &document).map_err(refused)?;
    let (batch, mut write) = app.store.begin_sync(caller.org, sync, project, caller.actor(), scope, app.now())?;
    if scope != SyncScope::Trial {
        write.audit.push(app.store.audit_of(&config::change(app, caller), &batch, "run")?);
    }
    if app.store.written(write).await? {
        return Ok(batch);
    }
    let detail = "a run of it is under way, or waits for somebody: end that first".to_owned();
    Err(Problem::Conflict { code: Conflict::NotAllowed, detail })
}

/// What a run reads.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RunInput {
    /// All rows, also where the sync says what tells that one changed.
    #[serde(default)]
    #[schema(required = false, default = false)]
    full: bool,
}

/// Run a sync now.
///
/// The run is a batch, to be looked at, paused, resumed and cancelled like one. Another is not begun before it is over.
#[utoipa::path(post, path = "/v1/syncs/{sync}/run", tag = "Syncs", security(("key" = ["passes_write"])),
    params(("sync" = IdText, Path, description = "Its id.")), request_body = Option<RunInput>,
    responses((status = 202, body = batches::View, description = "Its rows are being read.")))]
async fn run(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SyncId>,
    body: Body<RunInput>,
) -> Result<Shown<batches::View>, Problem> {
    let scope = if body.value.full { SyncScope::All } else { SyncScope::Changed };
    Ok(Shown::later(batches::View::of(&begin(&app, &can, id, scope).await?)))
}

/// List the runs of a sync, newest first.
#[utoipa::path(get, path = "/v1/syncs/{sync}/runs", tag = "Syncs", security(("key" = ["passes_read"])),
    params(("sync" = IdText, Path, description = "Its id."), Paging),
    responses((status = 200, body = Page<batches::View>, description = "A page.")))]
async fn runs(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<SyncId>,
    QueryParams(paging): QueryParams<Paging>,
) -> Result<Json<Page<batches::View>>, Problem> {
    config::one(&config::org(&app, can.org)?.syncs, id.uuid(), "sync")?;
    let before = paging.after().map(domain::BatchId::from_uuid);
    let rows = app.store.jobs_about::<BatchWork>(can.org, id.uuid(), before, paging.limit.and_one()).await?;
    Ok(Json(page(&rows, paging.limit, |row| row.id.uuid(), batches::View::of)))
}
