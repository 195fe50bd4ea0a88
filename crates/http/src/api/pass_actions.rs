//! `/v1/passes/{pass}/...`: what happens to a pass: activate, revoke, notify.

use std::sync::Arc;

use axum::extract::State;
use domain::{Action, PassId, PassRef, Reject, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::{Acted, Once},
    config::Shown,
    pass_view::View,
    passes::acted,
    schema::{IdText, TimeText},
};
use crate::{
    App, Body, PathParam, Problem,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(activate))
        .routes(routes!(revoke))
        .routes(routes!(notify))
        .routes(routes!(cancel_notices))
        .routes(routes!(renew_barcode))
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

/// What the holder is told.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Notice {
    /// At most 500 characters; shown on the lock screen and on the back of the pass.
    #[schema(min_length = 1, max_length = 500)]
    text: String,
    /// When it is sent; at once unless that is yet to come. At most eight messages of a pass wait.
    #[schema(value_type = Option<TimeText>)]
    at: Option<Timestamp>,
    /// Until when it is worth showing: Google Wallet takes it away then, and it is not sent afterwards. Apple Wallet keeps it on
    /// the back of the pass until the next.
    #[schema(value_type = Option<TimeText>)]
    until: Option<Timestamp>,
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

/// Renew a pass's barcode.
///
/// Signed codes that were given out before are refused from now on; wallets get the new one by themselves.
#[utoipa::path(post, path = "/v1/passes/{pass}/barcode", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    request_body = Option<Nothing>, responses((status = 200, body = View, description = "As it is now.")))]
async fn renew_barcode(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    once: Once,
    body: Body<Nothing>,
) -> Result<Acted<Shown<View>>, Problem> {
    let Nothing {} = body.value;
    let outcome = once.submit(&app, &can, &body.bytes, Action::RenewBarcode { pass: PassRef::Id(id) }).await?;
    acted(&app, &can, &outcome)
}

/// What is wrong with a message, at the name that it has in this body.
fn as_text(problem: Problem) -> Problem {
    match problem {
        Problem::Rejected(reject) if reject.path == "message" => Reject { path: "text".into(), ..reject }.into(),
        other => other,
    }
}

/// Tell the holder something.
///
/// At once, or at a time: then it waits in the pass (`planned_messages`), over restarts, until it is sent (`pass.notified`), or
/// cancelled, missed because `until` had come, or the pass is over: then the event `pass.message_dropped` says so and why.
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
    let Notice { text, at, until } = body.value;
    let action = Action::Notify { pass: PassRef::Id(id), text, at, until };
    let outcome = once.submit(&app, &can, &body.bytes, action).await.map_err(as_text)?;
    acted(&app, &can, &outcome)
}

/// Cancel what a holder was to be told.
///
/// All messages that wait for their time.
#[utoipa::path(post, path = "/v1/passes/{pass}/notify/cancel", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    request_body = Option<Nothing>, responses((status = 200, body = View, description = "As it is now.")))]
async fn cancel_notices(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    once: Once,
    body: Body<Nothing>,
) -> Result<Acted<Shown<View>>, Problem> {
    let Nothing {} = body.value;
    let outcome = once.submit(&app, &can, &body.bytes, Action::CancelNotices { pass: PassRef::Id(id) }).await?;
    acted(&app, &can, &outcome)
}
