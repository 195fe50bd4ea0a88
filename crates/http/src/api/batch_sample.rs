//! `/v1/batches/{batch}/sample` and `/failures`: the first rows of a batch, and the first of those that failed.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::BatchId;
use flows::batch::{Batch as Document, Layout, Place, Reader, Report, Row};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Batch;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{batches::find, page::Limit, schema::IdText};
use crate::{
    App, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

/// Chunks of a file that are read for its first rows: 4 MiB.
const FIRST_CHUNKS: u32 = 8;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(sample)).routes(routes!(failures))
}

/// How many rows to show.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct First {
    /// How many at most: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
}

/// The first rows of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchSample)]
struct Sample {
    /// The names of the columns: of NDJSON, those that the first rows have.
    columns: Vec<String>,
    /// CSV: what stands between cells.
    delimiter: Option<String>,
    /// The rows.
    rows: Vec<RowView>,
    /// Why the file cannot be read any further.
    fault: Option<String>,
}

/// A row of a file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchRow)]
struct RowView {
    /// Counts rows from 1, without the one that names the columns.
    #[schema(minimum = 1)]
    row: u64,
    /// The line on which it begins.
    #[schema(minimum = 1)]
    line: u64,
    /// Its cells under the names of their columns, as a map sees them; null where it cannot be read.
    #[schema(value_type = Option<Object>)]
    cells: Option<Value>,
    /// Why it cannot be read.
    fault: Option<String>,
}

impl RowView {
    fn of(row: Row) -> Self {
        let (cells, fault) = match row.value {
            Ok(cells) => (Some(cells), None),
            Err(why) => (None, Some(why)),
        };
        Self { row: row.number, line: row.line, cells, fault }
    }
}

/// What a file begins with.
pub(super) struct Beginning {
    /// How it is written.
    pub(super) layout: Layout,
    rows: Vec<Row>,
    fault: Option<String>,
}

/// The first rows of a batch; without any where they are not there yet. The inner error: they are not kept any longer.
pub(super) async fn first_rows(
    app: &App,
    batch: &Batch,
    document: &Document,
    most: usize,
) -> Result<Result<Beginning, &'static str>, Problem> {
    let stored = batch.progress.intake.as_ref().and_then(|_| serde_json::from_value(batch.progress.layout.clone()).ok());
    let layout = stored.unwrap_or_else(|| Layout::of(document));
    let Some(file) = batch.progress.file else { return Ok(Ok(Beginning { layout, rows: Vec::new(), fault: None })) };
    let chunks = u32::try_from(file.bytes.div_ceil(store::CHUNK_BYTES as u64)).unwrap_or(u32::MAX);
    read(app, batch, (file.bundle, chunks), layout, most).await
}

/// The first rows of a file in chunks.
async fn read(
    app: &App,
    batch: &Batch,
    (bundle, chunks): (Uuid, u32),
    layout: Layout,
    most: usize,
) -> Result<Result<Beginning, &'static str>, Problem> {
    let mut reader = Reader::new(layout, Place::default());
    let (mut rows, mut fault, mut number) = (Vec::new(), None, 0);
    while rows.len() < most {
        match reader.next(number == chunks) {
            Ok(Some(row)) => rows.push(row),
            Ok(None) if number == chunks || number == FIRST_CHUNKS => break,
            Ok(None) => {
                let Some(chunk) = app.store.chunk(batch.org, bundle, number).await? else {
                    return Ok(Err("its rows are not kept any longer"));
                };
                reader.push(&chunk);
                number += 1;
            }
            Err(why) => {
                fault = Some(why);
                break;
            }
        }
    }
    Ok(Ok(Beginning { layout: reader.layout().clone(), rows, fault }))
}

fn document_of(batch: &Batch) -> Result<Document, Problem> {
    serde_json::from_value(batch.progress.document.clone()).map_err(|error| Problem::Internal(error.to_string()))
}

/// Look at the first rows of a batch.
///
/// As they were uploaded, or brought in from a file of columns; none before they are there. They are gone when the batch is over.
#[utoipa::path(get, path = "/v1/batches/{batch}/sample", tag = "Batches", security(("key" = ["passes_read"])),
    params(("batch" = IdText, Path, description = "Its id."), First),
    responses((status = 200, body = Sample, description = "The first rows."), (status = 410, description = "They are gone.")))]
async fn sample(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
    QueryParams(first): QueryParams<First>,
) -> Result<Json<Sample>, Problem> {
    let batch = find(&app, &can, id).await?;
    let most = first.limit.get() as usize;
    let found = first_rows(&app, &batch, &document_of(&batch)?, most).await?.map_err(Problem::Gone)?;
    let mut columns = found.layout.columns;
    for key in found.rows.iter().filter_map(|row| row.value.as_ref().ok()?.as_object()).flat_map(Map::keys) {
        if !columns.contains(key) {
            columns.push(key.clone());
        }
    }
    let rows = found.rows.into_iter().map(RowView::of).collect();
    let delimiter = found.layout.delimiter.map(String::from);
    Ok(Json(Sample { columns, delimiter, rows, fault: found.fault }))
}

/// Rows that failed, or would.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchFailures)]
struct Failures {
    /// The first of them.
    data: Vec<Failure>,
}

/// A row that failed, or would.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchFailure)]
struct Failure {
    /// Counts rows from 1, without the one that names the columns.
    row: u64,
    /// The line on which it begins.
    line: u64,
    /// The columns that it is about, where that can be said.
    column: String,
    /// Why.
    reason: String,
    /// Its cells under the names of their columns.
    #[schema(value_type = Object)]
    cells: Map<String, Value>,
}

/// Look at the first rows that failed.
///
/// Before the batch runs, those that would fail. The report (`/v1/batches/{batch}/report`) has all of them.
#[utoipa::path(get, path = "/v1/batches/{batch}/failures", tag = "Batches", security(("key" = ["passes_read"])),
    params(("batch" = IdText, Path, description = "Its id."), First),
    responses((status = 200, body = Failures, description = "Rows with their reasons."),
        (status = 410, description = "The report is not kept any longer.")))]
async fn failures(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
    QueryParams(first): QueryParams<First>,
) -> Result<Json<Failures>, Problem> {
    let batch = find(&app, &can, id).await?;
    let tally = batch.progress.reported();
    let layout: Option<Layout> = serde_json::from_value(batch.progress.layout.clone()).ok();
    let (Some(bundle), Some(layout)) = (tally.report, layout) else { return Ok(Json(Failures { data: Vec::new() })) };
    let report = Report::of(&layout).layout();
    let found = read(&app, &batch, (bundle, tally.report_chunks), report, first.limit.get() as usize).await?;
    let rows = found.map_err(Problem::Gone)?.rows;
    let data = rows.iter().filter_map(|row| Report::read(row.value.as_ref().ok()?));
    let data =
        data.map(|(note, cells)| Failure { row: note.row, line: note.line, column: note.column, reason: note.reason, cells });
    Ok(Json(Failures { data: data.collect() }))
}
