//! `/ingest/{source}` and `/rudderstack/...`: where business events come in.
//!
//! A request is read whole within its limit, inflated when it is gzip, let in by its write key, taken apart by its
//! connector, written down, and only then answered, in the words that the sender knows: `text/plain`, `OK`.

mod cors;
mod gather;

use std::{borrow::Cow, sync::Arc};

use aws_lc_rs::digest;
use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Response},
    routing::{MethodFilter, any, on},
};
use bytes::Bytes;
use connectors::{
    catalog,
    kit::{self, Answer, Entrance, Fault, Inbound, InflateError, WriteKey},
};
use domain::{OrgId, Source, SourceEvent, SourceEventId, SourceKind};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use store::Arrival;

pub(crate) use gather::Intake;

use self::gather::NotTaken;
use crate::{App, Problem, auth, extract::read_body};

/// Seconds after which a sender may try again when events cannot be written down now.
const RETRY_AFTER_SECONDS: u16 = 2;
/// Most bytes of a reason that is kept with an event that cannot be read.
const MAX_REASON_BYTES: usize = 1_024;
/// Most segments of a path that are looked at.
const MAX_SEGMENTS: usize = 16;

pub(crate) fn routes() -> Router<Arc<App>> {
    let writes = MethodFilter::POST.or(MethodFilter::PUT).or(MethodFilter::PATCH);
    Router::new()
        .route("/ingest/{source}", on(writes, webhook))
        .route("/ingest/{source}/{*rest}", on(writes, webhook_below))
        .route("/rudderstack/{*path}", any(rudderstack))
}

/// The webhook address of a source.
async fn webhook(State(app): State<Arc<App>>, Path(source): Path<String>, request: Request) -> Response {
    let door = Door { entrance: Entrance::Webhook, kind: None, source: Some(&source), path: Vec::new() };
    take(&app, door, request).await
}

/// RudderStack's transformations may append segments to the address; they mean nothing to us.
async fn webhook_below(State(app): State<Arc<App>>, Path((source, rest)): Path<(String, String)>, request: Request) -> Response {
    let door = Door { entrance: Entrance::Webhook, kind: None, source: Some(&source), path: segments(&rest) };
    take(&app, door, request).await
}

/// The data plane for RudderStack's SDKs, and the configuration that its browser SDK asks for first.
async fn rudderstack(State(app): State<Arc<App>>, Path(path): Path<String>, request: Request) -> Response {
    // Only a browser's page asks across origins.
    let method = request.method().clone();
    let asked = request.headers().contains_key(header::ORIGIN).then(|| request.headers().clone());
    let is_configuration = path.trim_end_matches('/') == "sourceConfig";
    let mut response = match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        Method::GET if is_configuration => configuration(&app, request).await,
        Method::POST if !is_configuration => {
            let kind = Some(SourceKind::Rudderstack);
            take(&app, Door { entrance: Entrance::Api, kind, source: None, path: segments(&path) }, request).await
        }
        _ => Problem::MethodNotAllowed.into_response(),
    };
    if let Some(asked) = asked {
        cors::allow(&method, &asked, response.headers_mut());
    }
    response
}

/// What RudderStack's browser SDK asks before it sends: no destinations in the browser, everything comes to us.
async fn configuration(app: &App, request: Request) -> Response {
    let inbound = match inbound(Entrance::Api, Vec::new(), request.into_parts().0) {
        Ok(inbound) => inbound,
        Err(refusal) => return refusal.into_response(),
    };
    let Some(key) = connectors::rudderstack::credential(&inbound) else { return Refusal::NO_KEY.into_response() };
    let (org, source) = match owner(app, &key).await {
        Ok(owner) => owner,
        Err(refusal) => return refusal.into_response(),
    };
    let quiet = serde_json::json!({ "enabled": false });
    Json(serde_json::json!({
        "source": {
            "id": source.id.to_string(),
            "name": source.name,
            "enabled": source.enabled,
            "workspaceId": org.to_string(),
            "config": { "statsCollection": { "errors": quiet, "metrics": quiet } },
            "destinations": [],
        },
        "updatedAt": source.created_at.to_string(),
    }))
    .into_response()
}

/// By which door a request came, and for whom.
struct Door<'a> {
    entrance: Entrance,
    /// Which connector's paths these are; none takes any.
    kind: Option<SourceKind>,
    /// Which source the address names.
    source: Option<&'a str>,
    path: Vec<String>,
}

/// An answer other than what a connector says.
struct Refusal {
    status: StatusCode,
    text: Cow<'static, str>,
}

impl Refusal {
    const NO_KEY: Self =
        Self::new(StatusCode::UNAUTHORIZED, "no write key: send it as the user name of HTTP Basic, or in X-Write-Key");

    const fn new(status: StatusCode, text: &'static str) -> Self {
        Self { status, text: Cow::Borrowed(text) }
    }
    fn later(text: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }
    fn store(error: &store::StoreError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "source events not taken");
            Self::later(match error {
                store::StoreError::DiskFull => {
                    "the server's disk is full and nothing is taken until there is room: send it again"
                }
                _ => "the database does not take it now: send it again",
            })
        } else {
            tracing::error!(%error, "source events not taken");
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something is wrong on our side; the log has more")
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.text.into_owned()).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

async fn take(app: &Arc<App>, door: Door<'_>, request: Request) -> Response {
    match taken(app, door, request).await {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, answer.text).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn taken(app: &Arc<App>, door: Door<'_>, request: Request) -> Result<Answer, Refusal> {
    // Every connector of today has the same credential and limits; which one it is follows from the source.
    let connector = connector(door.kind.unwrap_or(SourceKind::Rudderstack))?;
    let (parts, body) = request.into_parts();
    let shell = inbound(door.entrance, door.path, parts)?;
    let body = read_body(Request::new(body), connector.max_body_bytes).await.map_err(|problem| unreadable(&problem))?;
    let inbound = Inbound { body: inflated(body, connector.max_body_bytes)?, ..shell };
    let key = (connector.credential)(&inbound).ok_or(Refusal::NO_KEY)?;
    let (org, source) = owner(app, &key).await?;
    if door.source.is_some_and(|named| named != source.slug && named.parse() != Ok(source.id)) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "the write key belongs to another source than the address names"));
    }
    if !source.enabled {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "the source is disabled"));
    }
    let wrong = Refusal::new(StatusCode::UNAUTHORIZED, "the write key is not the one of this source");
    let authentic = (connector.verify)(inbound, &key.hash()).map_err(|_| wrong)?;
    let received_at = app.now();
    let fresh = SourceEventId::mint(received_at, &*app.entropy).uuid();
    let decoded = (connector.decode)(&authentic, &kit::Arrival { received_at, fresh, strict: source.strict });
    let arrival = |event, fault| Arrival { org, source: source.id, received_at, event, fault };
    let mut arrivals: Vec<Arrival> = decoded.events.into_iter().map(|event| arrival(event, None)).collect();
    arrivals.extend(decoded.faults.into_iter().map(|fault| {
        let (event, reason) = parked(fault);
        arrival(event, Some(reason))
    }));
    if !arrivals.is_empty() {
        app.intake.accept(arrivals).await.map_err(|error| match error {
            NotTaken::Full => Refusal::later("too much is waiting to be written down: send it again"),
            NotTaken::Store(error) => Refusal::store(&error),
        })?;
    }
    Ok(decoded.answer)
}

fn connector(kind: SourceKind) -> Result<catalog::Source, Refusal> {
    let slug = match kind {
        SourceKind::Rudderstack => "rudderstack",
    };
    let source = catalog::find(slug).and_then(|connector| connector.source);
    source.ok_or(Refusal::new(StatusCode::NOT_FOUND, "nothing takes events here"))
}

async fn owner(app: &App, key: &WriteKey) -> Result<(OrgId, Arc<Source>), Refusal> {
    let found = auth::source_of_write_key(app, key).await.map_err(|error| Refusal::store(&error))?;
    found.ok_or(Refusal::new(StatusCode::UNAUTHORIZED, "no source has this write key"))
}

/// A request without its body.
fn inbound(entrance: Entrance, path: Vec<String>, parts: Parts) -> Result<Inbound, Refusal> {
    let query = match parts.uri.query() {
        None => Vec::new(),
        Some(_) => {
            let unreadable = |_| Refusal::new(StatusCode::BAD_REQUEST, "the query string cannot be read");
            Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(unreadable)?.0
        }
    };
    Ok(Inbound { entrance, headers: parts.headers, path, query, body: Bytes::new() })
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).take(MAX_SEGMENTS).map(str::to_owned).collect()
}

fn unreadable(problem: &Problem) -> Refusal {
    Refusal { status: problem.status(), text: problem.to_string().into() }
}

fn inflated(body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    let inflated = match kit::inflate(&body, limit) {
        Ok(Cow::Borrowed(_)) => None,
        Ok(Cow::Owned(inflated)) => Some(Bytes::from(inflated)),
        Err(error @ InflateError::TooLarge { .. }) => {
            return Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, text: error.to_string().into() });
        }
        Err(error @ InflateError::Damaged) => {
            return Err(Refusal { status: StatusCode::BAD_REQUEST, text: error.to_string().into() });
        }
    };
    Ok(inflated.unwrap_or(body))
}

/// What cannot be read, as the inbox keeps it: the same text again is the same fault.
fn parked(fault: Fault) -> (SourceEvent, String) {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(fault.path.as_bytes());
    hash.update(&[0]);
    hash.update(fault.raw.as_bytes());
    let hex: String = hash.finish().as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let key = format!("unreadable {hex}");
    let mut reason = if fault.path.is_empty() { fault.message } else { format!("{}: {}", fault.path, fault.message) };
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    let event = SourceEvent {
        dedupe_key: key.clone(),
        order_key: key,
        name: "unreadable".to_owned(),
        occurred_at: None,
        payload: fault.raw,
    };
    (event, reason)
}
