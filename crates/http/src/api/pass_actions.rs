//! `/v1/passes/{pass}/...`: what happens to a pass: activate, revoke, scan, notify.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Action, Answer, PassId, PassRef, ScanInput};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::{Acted, Once},
    config::Shown,
    pass_view::View,
    passes::{acted, shown},
    schema::IdText,
};
use crate::{
    App, Body, PathParam, Problem,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(activate)).routes(routes!(revoke)).routes(routes!(scan)).routes(routes!(notify))
}

/// Nothing needs to be said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Why a pass is called back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Revocation {
    /// In the issuer's words, for the record: at most 256 bytes.
    reason: Option<String>,
}

/// By whom and how a pass is scanned.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ScanInput)]
#[serde(deny_unknown_fields)]
struct Scan {
    /// Who scans: at most 256 bytes.
    operator: Option<String>,
    /// With which device: at most 256 bytes.
    device: Option<String>,
    /// Where: at most 256 bytes.
    location: Option<String>,
}

/// What became of a scan.
#[derive(Debug, Serialize, ToSchema)]
struct ScanResult {
    /// Whether the pass was accepted.
    accepted: bool,
    /// Why it was refused: `already_used`, `expired`, `not_yet_valid`, `inactive`, `revoked` or `deleted`.
    #[schema(value_type = Option<RefusalName>)]
    reason: Option<domain::RefusedScan>,
    /// Uses that are left; null means no limit.
    remaining: Option<u32>,
    /// The pass after it.
    pass: View,
}

/// Why a scan is refused.
#[derive(ToSchema)]
#[schema(as = RefusedScan, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes `domain::RefusedScan` in the document")]
enum RefusalName {
    AlreadyUsed,
    Expired,
    NotYetValid,
    Inactive,
    Revoked,
    Deleted,
}

/// What the holder is told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Notice {
    /// At most 500 characters; shown on the lock screen and on the back of the pass.
    #[schema(min_length = 1, max_length = 500)]
    text: String,
}

/// Activate a pass.
///
/// From inactive, or back from revoked or expired.
#[utoipa::path(post, path = "/v1/passes/{pass}/activate", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    request_body = Option<Nothing>, responses((status = 200, body = View, description = "As it is now.")))]
async fn activate(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    once: Once,
    body: Body<Nothing>,
) -> Result<Acted<Shown<View>>, Problem> {
    let Nothing {} = body.value;
    let outcome = once.submit(&app, &can, &body.bytes, Action::Activate { pass: PassRef::Id(id) }).await?;
    acted(&app, &can, &outcome)
}

/// Revoke a pass.
///
/// Wallets show it as void; it can be activated again.
#[utoipa::path(post, path = "/v1/passes/{pass}/revoke", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    request_body = Option<Revocation>, responses((status = 200, body = View, description = "As it is now.")))]
async fn revoke(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    once: Once,
    body: Body<Revocation>,
) -> Result<Acted<Shown<View>>, Problem> {
    let action = Action::Revoke { pass: PassRef::Id(id), reason: body.value.reason };
    let outcome = once.submit(&app, &can, &body.bytes, action).await?;
    acted(&app, &can, &outcome)
}

/// Scan a pass.
///
/// A refused scan is an answer too, with `accepted` false, and is kept as an event.
#[utoipa::path(post, path = "/v1/passes/{pass}/scan", tag = "Passes", security(("key" = ["scan"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    request_body = Option<Scan>, responses((status = 200, body = ScanResult, description = "Accepted or refused.")))]
async fn scan(
    can: Can<scope::Scan>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    once: Once,
    body: Body<Scan>,
) -> Result<Acted<Json<ScanResult>>, Problem> {
    let Scan { operator, device, location } = body.value;
    let action = Action::Scan { pass: PassRef::Id(id), scan: ScanInput { operator, device, location } };
    let outcome = once.submit(&app, &can, &body.bytes, action).await?;
    let reason = match &outcome.answer {
        Answer::ScanRefused { reason, .. } => Some(*reason),
        _ => None,
    };
    let remaining = outcome.pass.as_ref().and_then(|pass| Some(pass.uses.limit?.saturating_sub(pass.uses.count)));
    let result = ScanResult { accepted: reason.is_none(), reason, remaining, pass: shown(&app, &can, &outcome)? };
    Ok(Acted::new(outcome.replayed, Json(result)))
}

/// Tell the holder something.
#[utoipa::path(post, path = "/v1/passes/{pass}/notify", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    request_body = Notice, responses((status = 200, body = View, description = "As it is now.")))]
async fn notify(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    once: Once,
    body: Body<Notice>,
) -> Result<Acted<Shown<View>>, Problem> {
    let action = Action::Notify { pass: PassRef::Id(id), text: body.value.text };
    let outcome = once.submit(&app, &can, &body.bytes, action).await?;
    acted(&app, &can, &outcome)
}
