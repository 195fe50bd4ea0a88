//! `/v1/scans/keys`: what readers verify signed codes with, published and renewed.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use domain::OrgId;
use http::{HeaderName, header};
use serde::{Deserialize, Serialize};
use store::{Catalog, OrgCatalog, ScanKeys};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config::{self, FirstSeen, IfMatch},
    redraw, scan_read,
    schema::IdText,
};
use crate::{
    App, Body, Conflict, PathParam, Problem,
    auth::{Can, scope},
};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(keys, renew))
}

/// The same for everybody, without what rotating codes are checked with.
pub(crate) fn public_routes() -> Router<Arc<App>> {
    Router::new().route("/scan/keys/{organization}", get(public))
}

/// What a reader verifies signed codes with. Their format is documented at the crate `scan-code`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScanKeys)]
struct View {
    /// The organization, which is signed with every code.
    #[schema(value_type = IdText)]
    organization: OrgId,
    /// Its 16 bytes as hexadecimal digits.
    organization_hex: String,
    /// The keys in force; the last one signs.
    keys: Vec<KeyView>,
    /// Seconds for which a rotating code stays.
    period_seconds: i64,
}

/// One signing key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScanKey)]
struct KeyView {
    /// Its number, which every code names.
    number: u8,
    /// The Ed25519 public key as hexadecimal digits.
    public_key: String,
    /// What rotating codes are checked with, as hexadecimal digits; only for readers with a key of the scope `scan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    rotation_key: Option<String>,
}

/// Whether older keys stay in force.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ScanKeyRenewal)]
#[serde(deny_unknown_fields)]
struct Renewal {
    /// Whether codes signed with older keys are refused from now on. A pass shows a new code once its wallet fetched it anew.
    #[serde(default)]
    #[schema(required = false)]
    retire_older: bool,
}

impl View {
    fn of(app: &Arc<App>, org: OrgId, catalog: &OrgCatalog, whole: bool) -> Result<Self, Problem> {
        let key = |key: scan_code::PublicKey| KeyView {
            number: key.number,
            public_key: hex(&key.key),
            rotation_key: key.rotation_key.filter(|_| whole).map(|key| hex(&key)),
        };
        let keys = scan_read::reader(app, org, catalog)?.keys.into_iter().map(key).collect();
        let organization_hex = hex(org.uuid().as_bytes());
        Ok(Self { organization: org, organization_hex, keys, period_seconds: scan_code::PERIOD_SECONDS })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Read the scan keys.
///
/// With these a reader checks signed and rotating codes without a network. The same without `rotation_key` is public at
/// `/scan/keys/{organization}`.
#[utoipa::path(get, path = "/v1/scans/keys", tag = "Scans", security(("key" = ["scan"])),
    responses((status = 200, body = View, description = "The keys in force.")))]
async fn keys(can: Can<scope::Scan>, State(app): State<Arc<App>>) -> Result<Json<View>, Problem> {
    Ok(Json(View::of(&app, can.org, &*config::org(&app, can.org)?, true)?))
}

/// Renew the scan keys.
///
/// New codes are signed with a new key; older ones stay good unless they are retired, as after the loss of a reader. Passes whose
/// code is signed are drawn anew, as after a publication (see `GET /v1/publications`): retire the older keys once that is done.
#[utoipa::path(put, path = "/v1/scans/keys", tag = "Scans", security(("key" = ["config_write"])),
    params(IfMatch), request_body = Renewal, responses((status = 200, body = View, description = "As they are now.")))]
async fn renew(
    can: Can<scope::ConfigWrite>,
    State(app): State<Arc<App>>,
    if_match: IfMatch,
    body: Body<Renewal>,
) -> Result<Json<View>, Problem> {
    // Whoever renews them at the same time has done it for both.
    let first = FirstSeen::new();
    let (app, can, body, first) = (&app, &can, &body, &first);
    config::settled(app, |catalog: Arc<Catalog>| async move {
        let org = config::part(&catalog, can.org)?;
        let (numbers, revision) = (org.scan_key_numbers(), org.scan_keys.values().next().map_or(0, |stored| stored.revision));
        let spent =
            || Problem::Conflict { code: Conflict::InUse, detail: "the keys were renewed 255 times, which is all".to_owned() };
        if_match.check(revision)?;
        first.still(revision)?;
        let current = numbers.end().checked_add(1).ok_or_else(spent)?;
        let oldest = if body.value.retire_older { current } else { *numbers.start() };
        let keys = ScanKeys { id: can.org, current, oldest };
        let row = app.store.config_write(&config::change(app, can), &keys, revision, false)?;
        Ok(redraw::write(app, can, org, row, redraw::shows_signature).await?.then_some(()))
    })
    .await?;
    Ok(Json(View::of(app, can.org, &*config::org(app, can.org)?, false)?))
}

async fn public(
    State(app): State<Arc<App>>,
    PathParam(org): PathParam<OrgId>,
) -> Result<([(HeaderName, &'static str); 2], Json<View>), Problem> {
    let catalog = app.store.catalog();
    let config = catalog.org(org).filter(|it| it.organization.is_some()).ok_or_else(|| Problem::no_such("organization"))?;
    let headers = [(header::CACHE_CONTROL, "public, max-age=300"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    Ok((headers, Json(View::of(&app, org, config, false)?)))
}
