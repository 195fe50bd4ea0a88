//! `/v1/passes/{pass}/installations`: on which devices and accounts a pass is and was.

use std::sync::Arc;

use axum::{Json, extract::State};
use domain::{Action, Confidence, Installation, InstallationState, PassId, PassRef, Timestamp, UninstallReason, Wallet};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    commands::{Acted, Once},
    config::Shown,
    cursor::{self, Cursor, Place},
    page::{Limit, Page},
    pass_view::{ConfidenceName, ReasonName, View},
    passes::acted,
    schema::{IdText, TimeText, WalletName},
};
use crate::{
    App, Body, PathParam, Problem, QueryParams,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, record_former))
}

/// One pass on one device or account of one wallet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Installation)]
struct InstallationView {
    /// `apple`, `google`, or `unknown` where another platform told of it and not of the wallet.
    wallet: &'static str,
    /// Apple: the device library identifier. Google: empty. What another platform told of: its name for the device, or one that
    /// begins with `former-` where it gave none.
    device: String,
    /// Whether it is there now.
    active: bool,
    /// Since when it is there or gone.
    #[schema(value_type = TimeText)]
    since: Timestamp,
    /// Why it is thought to be gone.
    #[schema(value_type = Option<ReasonName>)]
    reason: Option<UninstallReason>,
    /// How sure that is.
    #[schema(value_type = Option<ConfidenceName>)]
    confidence: Option<Confidence>,
    /// When it first got there.
    #[schema(value_type = TimeText)]
    first_installed_at: Timestamp,
}

impl InstallationView {
    /// The installation as clients see it: without its push token.
    fn of(installation: &Installation) -> Self {
        let (active, since, reason) = match installation.state {
            InstallationState::Active { since } => (true, since, None),
            InstallationState::Gone { since, reason } => (false, since, Some(reason)),
        };
        Self {
            wallet: installation.wallet.name(),
            device: installation.device.clone(),
            active,
            since,
            reason,
            confidence: reason.map(UninstallReason::confidence),
            first_installed_at: installation.first_installed_at,
        }
    }
}

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// How many: 1 to 100, 50 unless told.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Holder>>,
}

/// Who holds the pass: the list goes on after it.
#[derive(Debug)]
struct Holder(Wallet, String);

impl Holder {
    fn text(installation: &Installation) -> Option<String> {
        serde_json::to_vec(&(installation.wallet, &installation.device)).ok().map(|place| cursor::text(&place))
    }
}

impl Place for Holder {
    fn read(place: &[u8]) -> Option<Self> {
        serde_json::from_slice(place).ok().map(|(wallet, device)| Self(wallet, device))
    }
}

/// List a pass's installations.
///
/// On which devices and accounts it is and was, in the order of wallets and devices.
#[utoipa::path(get, path = "/v1/passes/{pass}/installations", tag = "Passes", security(("key" = ["passes_read"])),
    params(("pass" = IdText, Path, description = "Its id."), Filter),
    responses((status = 200, body = Page<InstallationView>, description = "A page.")))]
async fn list(
    can: Can<scope::PassesRead>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    QueryParams(filter): QueryParams<Filter>,
) -> Result<Json<Page<InstallationView>>, Problem> {
    app.store.pass(can.org, id).await?.ok_or_else(|| Problem::no_such("pass"))?;
    let after = filter.cursor.map(|Cursor(Holder(wallet, device))| (wallet, device));
    let mut found = app.store.installations(can.org, id, after, filter.limit.and_one()).await?;
    let more = found.len() > filter.limit.get() as usize;
    found.truncate(filter.limit.get() as usize);
    let next_cursor = found.last().filter(|_| more).and_then(Holder::text);
    Ok(Json(Page { data: found.iter().map(InstallationView::of).collect(), next_cursor }))
}

/// What another platform knew of a pass in a wallet.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FormerInstallation {
    /// Which wallet.
    #[schema(value_type = WalletName)]
    wallet: Wallet,
    /// Since when it held the pass.
    #[schema(value_type = TimeText)]
    installed_at: Timestamp,
    /// Until when; absent when it holds it still.
    #[schema(value_type = Option<TimeText>)]
    uninstalled_at: Option<Timestamp>,
}

/// Tell what another platform knew.
///
/// For passes that were in wallets before they came here: the pass's and the contact's wallet status get the times that are told,
/// and the events `pass.installed` and `pass.uninstalled` say that they happened then. A pass of which a wallet told us anything
/// itself is left as it is. A phone that registers here later takes the place of the one that was told of.
#[utoipa::path(post, path = "/v1/passes/{pass}/installations", tag = "Passes", security(("key" = ["passes_write"])),
    params(("pass" = IdText, Path, description = "Its id.")),
    request_body = FormerInstallation, responses((status = 200, body = View, description = "As it is now.")))]
async fn record_former(
    can: Can<scope::PassesWrite>,
    State(app): State<Arc<App>>,
    PathParam(id): PathParam<PassId>,
    once: Once,
    body: Body<FormerInstallation>,
) -> Result<Acted<Shown<View>>, Problem> {
    let FormerInstallation { wallet, installed_at, uninstalled_at } = body.value;
    let action = Action::RecordFormer { pass: PassRef::Id(id), wallet, installed_at, uninstalled_at };
    let outcome = once.submit(&app, &can, &body.bytes, action).await?;
    acted(&app, &can, &outcome)
}
