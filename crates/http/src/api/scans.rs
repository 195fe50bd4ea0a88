//! `/v1/scans`: presenting passes at readers, one by one or told later by a reader without a network, and taking it back.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use domain::{
    Action, Amount, Answer, EventId, Facts, IdempotencyKey, OfflineScan, PassId, PassRef, ProjectId, Proof, RefusedScan,
    RejectCode, ScanInput, ScanOrder, ScanRecord, Timestamp,
};
use engine::{EngineError, Outcome};
use serde::{Deserialize, Serialize};
use store::OrgCatalog;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::{Acted, ERASED, Once, command, fingerprint},
    config,
    pass_view::View,
    scan_read::{self, MAX_CODE_BYTES, Reading},
    schema::{self, AmountInput, AmountText, IdText, TimeText},
};
use crate::{
    App, Body, FieldError, PathParam, Problem,
    auth::{Caller, Can, scope},
};

/// Most scans of one batch.
const MAX_BATCH: usize = 500;
/// Most characters of a reader's own id of a scan.
const MAX_ID_CHARS: usize = 64;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(scan)).routes(routes!(batch)).routes(routes!(undo)).routes(routes!(scan_pass))
}

/// By whom and how a pass is scanned.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = ScanInput)]
#[serde(deny_unknown_fields)]
struct Scan {
    /// Who scans: at most 256 bytes.
    operator: Option<String>,
    /// With which device: at most 256 bytes.
    device: Option<String>,
    /// Where: at most 256 bytes.
    location: Option<String>,
    /// What the scanner books, as far as the project's `scan.scanner_may` lets it: above zero adds, below takes away.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, AmountInput>, required = false)]
    book: BTreeMap<String, Amount>,
}

/// A pass that is presented: what the reader read, or the pass's id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ScanRequest {
    /// What the reader read, as it stands: 1 to 2,953 bytes.
    #[schema(min_length = 1, max_length = 2953)]
    code: Option<String>,
    /// The pass's id, in place of a code.
    #[schema(value_type = Option<IdText>)]
    pass: Option<PassId>,
    /// Only passes of this project are taken. Without it a text by which several projects know a pass means that of the project
    /// which was made first.
    #[schema(value_type = Option<IdText>)]
    project: Option<ProjectId>,
    /// Who scans: at most 256 bytes.
    operator: Option<String>,
    /// With which device: at most 256 bytes.
    device: Option<String>,
    /// Where: at most 256 bytes.
    location: Option<String>,
    /// What the scanner books, as far as the project's `scan.scanner_may` lets it: above zero adds, below takes away.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, AmountInput>, required = false)]
    book: BTreeMap<String, Amount>,
}

/// Scans that a reader made without a network.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ScanBatch {
    /// Which reader: 1 to 256 bytes. With it, an id of a scan is the reader's own.
    #[schema(min_length = 1, max_length = 256)]
    device: String,
    /// Who scanned: at most 256 bytes.
    operator: Option<String>,
    /// Where: at most 256 bytes.
    location: Option<String>,
    /// Only passes of this project are taken; see `POST /v1/scans`.
    #[schema(value_type = Option<IdText>)]
    project: Option<ProjectId>,
    /// The scans, oldest first: at most 500.
    #[schema(min_items = 1, max_items = 500)]
    scans: Vec<OfflineItem>,
}

/// One scan that was made without a network.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OfflineScan)]
#[serde(deny_unknown_fields)]
struct OfflineItem {
    /// The reader's own id of it, 1 to 64 visible ASCII characters: told twice, it counts once.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    id: String,
    /// What was read.
    #[schema(min_length = 1, max_length = 2953)]
    code: String,
    /// When, by the reader's clock.
    #[schema(value_type = TimeText)]
    at: Timestamp,
    /// Whether the reader let the holder in: what it refused uses and books nothing. Null while it waits for the answer, and the
    /// scan is judged as of now.
    accepted: Option<bool>,
    /// What was booked.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, AmountInput>, required = false)]
    book: BTreeMap<String, Amount>,
}

/// What became of a scan.
#[derive(Debug, Serialize, ToSchema)]
struct ScanResult {
    /// Its id, to take it back by: that of its event.
    #[schema(value_type = Option<IdText>)]
    id: Option<EventId>,
    /// Whether the pass was accepted.
    accepted: bool,
    /// Why it was refused.
    #[schema(value_type = Option<schema::RefusedScan>)]
    reason: Option<RefusedScan>,
    /// Uses that are left; null means no limit.
    remaining: Option<u32>,
    /// By how much balances changed.
    #[schema(value_type = BTreeMap<String, AmountText>)]
    booked: BTreeMap<String, Amount>,
    /// The holder's name.
    holder: Option<String>,
    /// The name of the pass's project.
    project: Option<String>,
    /// The name of its variant.
    variant: Option<String>,
    /// The pass after it; null when what was read leads to none.
    pass: Option<View>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
struct ScanBatchResult {
    /// One for each scan, in their order.
    results: Vec<OfflineResult>,
    /// How many ended otherwise here than at the reader.
    conflicts: usize,
}

/// What became of a scan that was made without a network.
#[derive(Debug, Serialize, ToSchema)]
struct OfflineResult {
    /// The reader's id of it.
    scan: String,
    /// Whether the reader let the holder in and we had to refuse, because another reader was first, or the pass had ended; or it
    /// turned the holder away after we had accepted, whose answer it missed: then take the scan back.
    conflict: bool,
    /// Whether it was told before.
    replayed: bool,
    /// What became of it; null when it could not be taken at all.
    result: Option<ScanResult>,
    /// Why it could not be taken.
    error: Option<FieldError>,
}

/// Why and by whom a scan is taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ScanUndo {
    /// Who takes it back: at most 256 bytes.
    operator: Option<String>,
    /// With which device: at most 256 bytes.
    device: Option<String>,
    /// Where: at most 256 bytes.
    location: Option<String>,
    /// Why: at most 256 bytes.
    reason: Option<String>,
}

impl OfflineItem {
    /// What it is, whatever the reader made of it meanwhile: one that waited in vain for the answer decides by itself, and tells
    /// the same scan again.
    fn fingerprint(&self) -> Result<[u8; 32], Problem> {
        let told = serde_json::to_vec(&(&self.code, self.at, &self.book));
        Ok(fingerprint(&[&told.map_err(|error| Problem::Internal(error.to_string()))?]))
    }
}

impl ScanResult {
    fn of(app: &App, catalog: &OrgCatalog, outcome: &Outcome) -> Result<Self, Problem> {
        let (id, reason, remaining, booked) = match &outcome.answer {
            Answer::Scanned { scan, remaining, booked, .. } => (Some(*scan), None, *remaining, booked.clone()),
            Answer::ScanRefused { scan, reason, .. } => (*scan, Some(*reason), None, BTreeMap::new()),
            // What an erased person's stored answer has become.
            Answer::Done { .. } | Answer::Unchanged { .. } | Answer::Noted { .. } => return Err(ERASED),
        };
        let project = outcome.pass.as_ref().and_then(|pass| catalog.project(pass.project));
        let variant = outcome.pass.as_ref().and_then(|pass| project?.variant(Some(&pass.variant)));
        Ok(Self {
            id,
            accepted: reason.is_none(),
            reason,
            remaining,
            booked,
            holder: outcome.contact.as_ref().and_then(|contact| contact.name.clone()),
            project: project.map(|project| project.name.clone()),
            variant: variant.map(|variant| variant.name.clone()),
            pass: outcome.pass.as_ref().map(|pass| View::of(app, catalog, pass)),
        })
    }
}

/// Scan what a reader read.
///
/// A refused scan is an answer too, with `accepted` false, and is kept as an event, also when what was read leads to no pass.
/// What is read may be a pass's id, external id, link or signed code, or whatever its design puts into the barcode around one
/// of these or around the holder's external id or e-mail address.
#[utoipa::path(post, path = "/v1/scans", tag = "Scans", security(("key" = ["scan"])),
    request_body = ScanRequest, responses((status = 200, body = ScanResult, description = "Accepted or refused.")))]
async fn scan(
    can: Can<scope::Scan>,
    State(app): State<Arc<App>>,
    once: Once,
    body: Body<ScanRequest>,
) -> Result<Acted<Json<ScanResult>>, Problem> {
    let catalog = config::org(&app, can.org)?;
    let ScanRequest { code, pass, project, operator, device, location, book } = body.value;
    let (reading, read) = match (code, pass) {
        (Some(code), None) => (read(&app, &can, &catalog, &code, project, app.now(), "code").await?, Some(digest_of(&code))),
        (None, Some(pass)) => (Reading { passes: vec![PassRef::Id(pass)], proof: Proof::None }, None),
        _ => return Err(Problem::field("code", "give either what was read as code, or the id of a pass")),
    };
    let input = ScanInput { operator, device, location, offline: None };
    let order = Box::new(ScanOrder { input, book, project, proof: reading.proof, read, is_mirrored: false });
    let action = Action::Scan { passes: reading.passes, order };
    let outcome = once.submit(&app, &can, &body.bytes, action).await?;
    Ok(Acted::new(outcome.replayed, Json(ScanResult::of(&app, &catalog, &outcome)?)))
}

/// Scan a pass by its id.
///
/// As `POST /v1/scans` with the pass's id; a pass that there is not is no scan but an error.
#[utoipa::path(post, path = "/v1/passes/{pass}/scan", tag = "Passes", security(("key" = ["scan"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    request_body = Option<Scan>, responses((status = 200, body = ScanResult, description = "Accepted or refused.")))]
async fn scan_pass(
    can: Can<scope::Scan>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    once: Once,
    body: Body<Scan>,
) -> Result<Acted<Json<ScanResult>>, Problem> {
    let catalog = config::org(&app, can.org)?;
    app.store.pass(can.org, id).await?.ok_or_else(|| Problem::no_such("pass"))?;
    let Scan { operator, device, location, book } = body.value;
    let input = ScanInput { operator, device, location, offline: None };
    let order = Box::new(ScanOrder { input, book, ..ScanOrder::default() });
    let outcome = once.submit(&app, &can, &body.bytes, Action::Scan { passes: vec![PassRef::Id(id)], order }).await?;
    Ok(Acted::new(outcome.replayed, Json(ScanResult::of(&app, &catalog, &outcome)?)))
}

/// Tell of scans that were made without a network.
///
/// Each is judged as of the time at which it was made, in the order given, and told twice it counts once. What the reader
/// accepted and the server has to refuse (two readers let the same single-use ticket in) is a conflict: it is kept as a
/// refused scan whose `offline.accepted` is true. What the reader refused stays refused.
#[utoipa::path(post, path = "/v1/scans/batch", tag = "Scans", security(("key" = ["scan"])),
    request_body = ScanBatch, responses((status = 200, body = ScanBatchResult, description = "What became of each.")))]
async fn batch(
    can: Can<scope::Scan>,
    State(app): State<Arc<App>>,
    body: Body<ScanBatch>,
) -> Result<Json<ScanBatchResult>, Problem> {
    let batch = body.value;
    check_batch(&batch)?;
    let catalog = config::org(&app, can.org)?;
    let mut commands = Vec::with_capacity(batch.scans.len());
    for (index, item) in batch.scans.iter().enumerate() {
        let path = format!("scans.{index}.code");
        let reading = read(&app, &can, &catalog, &item.code, batch.project, item.at, &path).await?;
        let key = IdempotencyKey {
            principal: format!("reader {} {}", can.key.id, batch.device),
            key: item.id.clone(),
            fingerprint: item.fingerprint()?,
            keep_image: true,
        };
        let input = ScanInput {
            operator: batch.operator.clone(),
            device: Some(batch.device.clone()),
            location: batch.location.clone(),
            offline: item.accepted.map(|accepted| OfflineScan { at: item.at, accepted }),
        };
        let (project, book) = (batch.project, item.book.clone());
        let order = Box::new(ScanOrder {
            input,
            book,
            project,
            proof: reading.proof,
            read: Some(digest_of(&item.code)),
            is_mirrored: false,
        });
        commands.push(command(&app, &can, Some(key), Action::Scan { passes: reading.passes, order }));
    }
    let verdicts = app.engine.submit_all(commands).await;
    let mut results = Vec::with_capacity(verdicts.len());
    for (item, verdict) in batch.scans.iter().zip(verdicts) {
        results.push(offline_result(&app, &catalog, item, verdict)?);
    }
    let conflicts = results.iter().filter(|result| result.conflict).count();
    Ok(Json(ScanBatchResult { results, conflicts }))
}

fn check_batch(batch: &ScanBatch) -> Result<(), Problem> {
    if batch.scans.is_empty() || batch.scans.len() > MAX_BATCH {
        return Err(Problem::field("scans", "give 1 to 500"));
    }
    if batch.device.is_empty() {
        return Err(Problem::field("device", "say which reader it was"));
    }
    for (index, item) in batch.scans.iter().enumerate() {
        if !(1..=MAX_ID_CHARS).contains(&item.id.len()) || !item.id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Problem::field(format!("scans.{index}.id"), "expected 1 to 64 visible ASCII characters"));
        }
    }
    Ok(())
}

fn offline_result(
    app: &App,
    catalog: &OrgCatalog,
    item: &OfflineItem,
    verdict: Result<Outcome, EngineError>,
) -> Result<OfflineResult, Problem> {
    let scan = item.id.clone();
    match verdict {
        Ok(outcome) => {
            let result = ScanResult::of(app, catalog, &outcome).ok();
            let conflict = result.as_ref().is_some_and(|result| item.accepted.is_some_and(|there| there != result.accepted));
            Ok(OfflineResult { scan, conflict, replayed: outcome.replayed, result, error: None })
        }
        Err(EngineError::Rejected(reject)) => {
            let error = Some(match reject.code {
                RejectCode::KeyReused => {
                    FieldError::new("id", "this reader told another scan under it: give each one of its own")
                }
                _ => FieldError::new(reject.path, reject.message),
            });
            Ok(OfflineResult { scan, conflict: item.accepted == Some(true), replayed: false, result: None, error })
        }
        Err(error) => Err(error.into()),
    }
}

/// Take a scan back.
///
/// Uses, balances and an extended validity become what they were, by an event of its own; within 14 days, and once: asked again
/// it answers as before.
#[utoipa::path(post, path = "/v1/scans/{scan}/undo", tag = "Scans", security(("key" = ["scan_undo"])),
    params(("scan" = IdText, Path, description = "Its id.")),
    request_body = Option<ScanUndo>, responses((status = 200, body = View, description = "The pass as it is now.")))]
async fn undo(
    can: Can<scope::ScanUndo>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<EventId>,
    body: Body<ScanUndo>,
) -> Result<Acted<Json<View>>, Problem> {
    let event = app.store.event(can.org, id).await?.and_then(store::LoggedEvent::whole);
    let event = event.ok_or_else(|| Problem::no_such("scan"))?;
    let (Facts::PassScanned { balance_changes, day, extended, .. }, Some(pass)) = (event.facts, event.pass) else {
        return Err(Problem::no_such("scan"));
    };
    let record = ScanRecord { id, recorded_at: event.recorded_at, booked: balance_changes, day, extended };
    let ScanUndo { operator, device, location, reason } = body.value;
    let by = ScanInput { operator, device, location, offline: None };
    let action = Action::UndoScan { pass: PassRef::Id(pass), scan: Box::new(record), by, reason };
    let key = IdempotencyKey {
        principal: "scan undo".to_owned(),
        key: id.to_string(),
        fingerprint: fingerprint(&[id.uuid().as_bytes()]),
        keep_image: true,
    };
    let outcome = app.engine.submit(command(&app, &can, Some(key), action)).await?;
    let pass = outcome.pass.as_ref().ok_or(ERASED)?;
    Ok(Acted::new(outcome.replayed, Json(View::of(&app, &*config::org(&app, can.org)?, pass))))
}

async fn read(
    app: &Arc<App>,
    caller: &Caller,
    catalog: &OrgCatalog,
    code: &str,
    project: Option<ProjectId>,
    at: Timestamp,
    path: &str,
) -> Result<Reading, Problem> {
    if code.trim().is_empty() || code.len() > MAX_CODE_BYTES {
        return Err(Problem::field(path, "expected 1 to 2953 bytes"));
    }
    scan_read::read(app, caller.org, catalog, code, project, at).await
}

/// What the record of an unknown code keeps of it.
fn digest_of(code: &str) -> String {
    fingerprint(&[code.as_bytes()])[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
