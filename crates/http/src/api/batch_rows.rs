//! The rows of a batch on their way in, and those that failed on their way out.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::{BatchId, OrgId};
use flows::batch::{Decoder, Format, Layout, Report};
use futures_util::stream;
use http::header;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use store::{Batch, BatchFile, BatchPhase, CHUNK_BYTES, Chunk, Intake, IntakeFrom, JobState, StoreError};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    batches::{BatchState, View, find, not_allowed},
    config,
    schema::IdText,
};
use crate::{
    App, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

/// Seconds that the next piece of an upload may take.
const PIECE_SECONDS: u64 = 30;
/// Most bytes that are read and thrown away after a fault, because a client that is cut off while it writes never reads the
/// answer.
const DISCARDED_BYTES: usize = 16 << 20;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(report))
}

/// What becomes of rows when they are there.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Held {
    /// Whether they wait to be checked until the batch is changed.
    #[serde(default)]
    #[param(default = false)]
    hold: bool,
}

/// Upload the rows of a batch.
///
/// The body is the file itself, CSV, NDJSON or Parquet as the batch says, of at most 4 GiB; send it in pieces of any size. It is
/// kept sealed until the batch is over, or 30 days. The check begins at once, or when the rows of a Parquet file were read; one
/// that is broken, encrypted or unpacks to more than it may fails the batch, and its `fault` says why. With `hold` the rows wait:
/// look at the first of them (`/sample`), then change the batch to have them checked.
#[utoipa::path(put, path = "/v1/batches/{batch}/rows", tag = "Batches", security(("key" = ["passes_write"])),
    params(("batch" = IdText, Path, description = "Its id."), Held),
    request_body(description = "The file.", content(
        (Vec<u8> = "text/csv"), (Vec<u8> = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"))),
    responses((status = 200, body = View, description = "Kept whole. It is being checked, or waits for that.")))]
async fn upload(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
    QueryParams(Held { hold }): QueryParams<Held>,
    request: Request,
) -> Result<Json<View>, Problem> {
    let mut batch = find(&app, &can, id).await?;
    let state = BatchState::of(&batch);
    if state != BatchState::AwaitingRows {
        return Err(not_allowed(state, "its rows are there; make another batch for others"));
    }
    let bundle = BatchId::mint(app.now(), &*app.entropy).uuid();
    let format = format_of(&batch);
    let decoder = match format {
        Format::Parquet => None,
        Format::Csv | Format::Ndjson => {
            Some(Decoder::new(batch.progress.document["encoding"].as_str()).map_err(Problem::Internal)?)
        }
    };
    let mut keep = Keep { app: &app, org: can.org, bundle, decoder, text: Vec::new(), bytes: 0, number: 0 };
    let kept = keep.all(request.into_body()).await;
    let file = match kept {
        Ok(bytes) => BatchFile { bundle, bytes },
        Err(problem) => {
            app.store.drop_bundle(can.org, bundle).await?;
            return Err(problem);
        }
    };
    if format == Format::Parquet {
        batch.progress.intake = Some(Intake::of(IntakeFrom::Upload(file)));
        batch.progress.phase = BatchPhase::Read;
    } else {
        batch.progress.file = Some(file);
        batch.progress.phase = BatchPhase::Check;
    }
    batch.progress.hold = hold;
    batch.state = if hold && batch.progress.phase == BatchPhase::Check { JobState::Paused } else { JobState::Running };
    if app.store.written(app.store.batch_write(&config::change(&app, &can), &batch, "upload")?).await? {
        return Ok(Json(View::of(&batch)));
    }
    app.store.drop_bundle(can.org, bundle).await?;
    Err(Problem::raced())
}

fn format_of(batch: &Batch) -> Format {
    serde_json::from_value(batch.progress.document["format"].clone()).unwrap_or_default()
}

/// An upload on its way into the store.
struct Keep<'a> {
    app: &'a App,
    org: OrgId,
    bundle: Uuid,
    /// None where bytes are kept as they come.
    decoder: Option<Decoder>,
    /// What is no whole chunk yet.
    text: Vec<u8>,
    /// Bytes of chunks that are kept.
    bytes: u64,
    number: u32,
}

impl Keep<'_> {
    /// Keeps a body in chunks, whose length is the answer. What is left of a body that is refused is taken in, up to a bound.
    async fn all(&mut self, mut body: Body) -> Result<u64, Problem> {
        let kept = self.pieces(&mut body).await;
        if matches!(kept, Err(Problem::Invalid(_) | Problem::TooLarge(_))) {
            let mut left = DISCARDED_BYTES;
            while let Ok(Some(piece)) = next(&mut body).await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    break;
                }
            }
        }
        kept
    }

    async fn pieces(&mut self, body: &mut Body) -> Result<u64, Problem> {
        let most = self.app.settings.batch_bytes;
        let mut read = 0;
        while let Some(piece) = next(body).await? {
            read += piece.len() as u64;
            if read > most {
                return Err(Problem::TooLarge(usize::try_from(most).unwrap_or(usize::MAX)));
            }
            self.decode(&piece, false)?;
            while self.text.len() >= CHUNK_BYTES {
                let rest = self.text.split_off(CHUNK_BYTES);
                self.keep(rest).await?;
            }
        }
        self.decode(&[], true)?;
        while !self.text.is_empty() {
            let rest = self.text.split_off(self.text.len().min(CHUNK_BYTES));
            self.keep(rest).await?;
        }
        if self.bytes == 0 {
            return Err(Problem::field("", "the file is empty"));
        }
        Ok(self.bytes)
    }

    fn decode(&mut self, piece: &[u8], last: bool) -> Result<(), Problem> {
        match &mut self.decoder {
            Some(decoder) => decoder.push(piece, last, &mut self.text).map_err(|misread| Problem::field("", misread.to_string())),
            None => {
                self.text.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// Keeps what there is, and goes on with the rest.
    async fn keep(&mut self, rest: Vec<u8>) -> Result<(), StoreError> {
        let bytes = std::mem::replace(&mut self.text, rest);
        self.bytes += bytes.len() as u64;
        let chunk = Chunk { bundle: self.bundle, number: self.number, bytes };
        self.number += 1;
        self.app.store.put_chunk(self.org, &chunk, self.app.now()).await
    }
}

/// The next piece of a body.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(PIECE_SECONDS), body.frame()).await;
        match frame.map_err(|_| Problem::Timeout(PIECE_SECONDS))? {
            None => return Ok(None),
            Some(Err(error)) => return Err(Problem::Malformed(format!("the body ended early: {error}"))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Download the rows that failed.
///
/// In the format of the file (NDJSON, where that was Parquet), as they stood there, with `batch_row`, `batch_line`,
/// `batch_column` and `batch_reason` beside them: mend them and feed them back as a new batch. Before the batch runs it has the
/// rows that would fail. Reports are kept for 30 days.
#[utoipa::path(get, path = "/v1/batches/{batch}/report", tag = "Batches", security(("key" = ["passes_read"])),
    params(("batch" = IdText, Path, description = "Its id.")),
    responses((status = 200, description = "The rows.", content((String = "text/csv"), (String = "application/x-ndjson")))))]
async fn report(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<BatchId>,
) -> Result<Response, Problem> {
    let batch = find(&app, &can, id).await?;
    let work = &batch.progress;
    let layout: Option<Layout> = serde_json::from_value(work.layout.clone()).ok();
    let head = layout.as_ref().map(|layout| Report::of(layout).head()).unwrap_or_default();
    let (media_type, ending) = match format_of(&batch).kept() {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::Ndjson | Format::Parquet => ("application/x-ndjson", "ndjson"),
    };
    let tally = work.reported();
    let chunks = Chunks { app, org: can.org, bundle: tally.report, number: 0, count: tally.report_chunks, head: Some(head) };
    let body = Body::from_stream(stream::try_unfold(chunks, Chunks::next));
    let name = format!("attachment; filename=\"batch-{id}-failed.{ending}\"");
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, body).into_response())
}

/// A report on its way out.
struct Chunks {
    app: Arc<App>,
    org: OrgId,
    bundle: Option<Uuid>,
    number: u32,
    count: u32,
    head: Option<String>,
}

impl Chunks {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, StoreError> {
        if let Some(head) = self.head.take() {
            return Ok(Some((Bytes::from(head), self)));
        }
        let Some(bundle) = self.bundle.filter(|_| self.number < self.count) else { return Ok(None) };
        let chunk = self.app.store.chunk(self.org, bundle, self.number).await?;
        self.number += 1;
        // One that is not kept any longer is passed over.
        let bytes = chunk.map(|chunk| Bytes::copy_from_slice(&chunk)).unwrap_or_default();
        Ok(Some((bytes, self)))
    }
}
