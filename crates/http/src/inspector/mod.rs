//! The inspector: `/inspect/{bin}/in` takes any request, `/inspect/{bin}` shows what it took, as a request bin does.
//!
//! Bins are made by `POST /v1/inspectors`. A bin's name is drawn, not chosen: whoever knows it may send, and may look unless
//! the bin has a key. After its time a bin is not there any more. Bodies are kept sealed, in a ring of the newest 200.
//! Signatures are checked against the webhooks that point at the bin.

mod page;
mod signature;

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::constant_time;
use axum::{
    Json, Router,
    extract::{OriginalUri, Query, Request, State},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{EventIdKind, Id, OrgId, Timestamp};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use store::{NameKind, StoreError, StoredInspector};

use crate::{App, Client, PathParam, Problem, auth, extract::read_body};

/// How many requests a bin keeps.
const KEPT: u32 = 200;
/// Most bytes of a body that are kept; the rest is counted.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Most bytes of a body that is taken.
const MAX_TAKEN_BYTES: usize = 2 * 1024 * 1024;
/// Most headers that are kept.
const MAX_HEADERS: usize = 64;
const MAX_BIN_BYTES: usize = 64;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/inspect/{bin}", get(show))
        .route("/inspect/{bin}/requests", get(list))
        .route("/inspect/{bin}/in", any(take))
        .route("/inspect/{bin}/in/{*rest}", any(take_below))
        .route("/assets/inspector.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)))
        .route("/assets/inspector.js", get(async || ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], page::SCRIPT)))
}

/// A request as it was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Captured {
    /// Its id, sorts by time.
    #[serde(default)]
    id: String,
    /// When it came.
    at: Timestamp,
    method: String,
    /// Path and query.
    path: String,
    /// From which address.
    from: String,
    headers: BTreeMap<String, String>,
    /// The body as text; bytes that are no UTF-8 are replaced.
    body: String,
    /// The body as it came, in base64, where it is no text in UTF-8 and kept whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Bytes of the whole body.
    size: usize,
    /// What its signatures turned out to be.
    #[serde(default)]
    signatures: Vec<signature::Checked>,
}

#[derive(Serialize)]
struct Requests {
    data: Vec<Captured>,
}

/// A bin that is there.
struct Bin {
    org: OrgId,
    inspector: Option<Arc<StoredInspector>>,
}

async fn find(app: &App, bin: &str) -> Result<Bin, Problem> {
    let missing = || Problem::no_such("inspector bin");
    if bin.len() > MAX_BIN_BYTES {
        return Err(missing());
    }
    let found = app.store.look_up(NameKind::InspectorBin, bin.as_bytes()).await?;
    let (org, id) = found.ok_or_else(missing)?;
    // Made on another node, perhaps a moment ago.
    let catalog = app.store.catalog_now().await?;
    let inspector = catalog.org(org).and_then(|config| config.inspectors.get(&id)).map(|stored| Arc::clone(&stored.value));
    match inspector {
        Some(inspector) if inspector.expires_at <= app.now() => Err(missing()),
        inspector => Ok(Bin { org, inspector }),
    }
}

/// A bin for whoever may look at it.
async fn shown_to(app: &App, bin: &str, uri: &Uri) -> Result<OrgId, Problem> {
    let Bin { org, inspector } = find(app, bin).await?;
    let Some(expected) = inspector.and_then(|inspector| inspector.view_key) else { return Ok(org) };
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
    let given = pairs.into_iter().find(|(name, _)| name == "key").map(|(_, key)| auth::hash(&key));
    let fits = given.is_some_and(|given| constant_time::verify_slices_are_equal(&given, &expected).is_ok());
    // As if it were not there: an address alone tells nothing.
    if fits { Ok(org) } else { Err(Problem::no_such("inspector bin")) }
}

async fn take_below(
    state: State<Arc<App>>,
    PathParam((bin, _)): PathParam<(String, String)>,
    uri: OriginalUri,
    client: Client,
    request: Request,
) -> Result<Response, Problem> {
    take(state, PathParam(bin), uri, client, request).await
}

async fn take(
    State(app): State<Arc<App>>,
    PathParam(bin): PathParam<String>,
    OriginalUri(uri): OriginalUri,
    client: Client,
    request: Request,
) -> Result<Response, Problem> {
    let Bin { org, .. } = find(&app, &bin).await?;
    let at = app.now();
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let body = read_body(request, MAX_TAKEN_BYTES).await?;
    let is_whole_text = std::str::from_utf8(&body).is_ok();
    let captured = Captured {
        id: String::new(),
        at,
        method: method.to_string(),
        path: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        from: client.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        headers: as_shown(&headers),
        body: String::from_utf8_lossy(&body[..body.len().min(MAX_BODY_BYTES)]).into_owned(),
        base64: (!is_whole_text && body.len() <= MAX_BODY_BYTES).then(|| STANDARD.encode(&body)),
        size: body.len(),
        signatures: signature::check(&app, org, &bin, &headers, &body),
    };
    let json = serde_json::to_vec(&captured).map_err(|error| StoreError::Internal(error.to_string()))?;
    app.store.capture(org, &StoredInspector::ring(&bin), at, &json, KEPT).await?;
    Ok((StatusCode::OK, "taken\n").into_response())
}

/// Headers by name; one that came several times as the list that it stands for.
fn as_shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::<String, String>::new();
    for (name, value) in headers.iter().take(MAX_HEADERS) {
        let value = String::from_utf8_lossy(value.as_bytes());
        match shown.get_mut(name.as_str()) {
            Some(held) => held.extend([if *name == header::COOKIE { "; " } else { ", " }, &*value]),
            None => drop(shown.insert(name.to_string(), value.into_owned())),
        }
    }
    shown
}

/// What a bin of an organization has taken, newest first.
pub(crate) async fn held(app: &App, org: OrgId, bin: &str) -> Result<Vec<Captured>, Problem> {
    let rows = app.store.captures(org, &StoredInspector::ring(bin), KEPT).await?;
    let mut requests = Vec::with_capacity(rows.len());
    for row in rows {
        let mut captured: Captured =
            serde_json::from_slice(&row.body).map_err(|error| StoreError::Internal(error.to_string()))?;
        captured.id = Id::<EventIdKind>::from_uuid(row.id).to_string();
        requests.push(captured);
    }
    Ok(requests)
}

async fn list(
    State(app): State<Arc<App>>,
    PathParam(bin): PathParam<String>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<Requests>, Problem> {
    let org = shown_to(&app, &bin, &uri).await?;
    Ok(Json(Requests { data: held(&app, org, &bin).await? }))
}

async fn show(
    State(app): State<Arc<App>>,
    PathParam(bin): PathParam<String>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let org = shown_to(&app, &bin, &uri).await?;
    let requests = held(&app, org, &bin).await?;
    let address = app.url(&format!("/inspect/{bin}/in"));
    Ok(([(header::CACHE_CONTROL, "no-store")], page::page(&bin, &address, &requests)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list is joined by commas (RFC 9110, 5.3); the pieces of a cookie by semicolons (RFC 9113, 8.2.3).
    #[test]
    fn what_came_in_several_lines_is_shown_as_the_one_that_they_stand_for() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("accept", "text/html"), ("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2")] {
            headers.append(name, value.parse().unwrap());
        }
        let shown = as_shown(&headers);
        assert_eq!((shown["accept"].as_str(), shown["cookie"].as_str()), ("text/html, */*", "a=1; b=2"));
    }
}
