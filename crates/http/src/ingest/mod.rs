//! `/ingest/{source}`, `/rudderstack/...` and `/segment/...`: where business events come in.
//!
//! The source is found by the write key that a request shows, or by the address. The request is read whole within its
//! limit, inflated when it is gzip, let in by the source's connector (by write key or by signature), taken apart by it,
//! written down, and only then answered, in the words that the sender knows: `text/plain`, `OK`.

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
    catalog::{self, Greeting},
    kit::{self, Answer, Decoded, Entrance, Fault, Inbound, InflateError, KeyHash, Lock, SharedSecret, WriteKey},
};
use domain::{OrgId, Source, SourceEvent, SourceEventId, SourceId, Timestamp};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use store::Arrival;

pub(crate) use gather::Intake;

use self::gather::NotTaken;
use crate::{App, Problem, auth, extract::read_body, problem};

/// Seconds after which a sender may try again when events cannot be written down now.
const RETRY_AFTER_SECONDS: u16 = 2;
/// Most bytes of a reason that is kept with an event that cannot be read.
const MAX_REASON_BYTES: usize = 1_024;
/// What a webhook's address takes.
const WEBHOOK_METHODS: HeaderValue = HeaderValue::from_static("POST, PUT, PATCH, DELETE");
/// Most segments of a path that are looked at.
const MAX_SEGMENTS: usize = 16;

pub(crate) fn routes() -> Router<Arc<App>> {
    // PassKit tells of deletions by DELETE, with a body; CloudEvents' handshake is an OPTIONS.
    let writes =
        MethodFilter::POST.or(MethodFilter::PUT).or(MethodFilter::PATCH).or(MethodFilter::DELETE).or(MethodFilter::OPTIONS);
    Router::new()
        .route("/ingest/{source}", on(writes, webhook))
        .route("/ingest/{source}/{*rest}", on(writes, webhook_below))
        .route("/rudderstack/{*path}", any(rudderstack))
        .route("/segment/{*path}", any(segment))
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
    data_plane(&app, "rudderstack", &path, request).await
}

/// The data plane for Segment's SDKs.
async fn segment(State(app): State<Arc<App>>, Path(path): Path<String>, request: Request) -> Response {
    data_plane(&app, "segment", &path, request).await
}

async fn data_plane(app: &Arc<App>, kind: &'static str, path: &str, request: Request) -> Response {
    // Only a browser's page asks across origins.
    let method = request.method().clone();
    let asked = request.headers().contains_key(header::ORIGIN).then(|| request.headers().clone());
    let is_configuration = path.trim_end_matches('/') == "sourceConfig" && kind == "rudderstack";
    let mut response = match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        Method::GET if is_configuration => configuration(app, request).await,
        Method::POST if !is_configuration => {
            let door = Door { entrance: Entrance::Api, kind: Some(kind), source: None, path: segments(path) };
            take(app, door, request).await
        }
        _ => {
            let allow = HeaderValue::from_static(if is_configuration { "GET, OPTIONS" } else { "POST, OPTIONS" });
            ([(header::ALLOW, allow)], Problem::MethodNotAllowed).into_response()
        }
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
    let Some(key) = kit::tracking::credential(&inbound) else { return Refusal::NO_KEY.into_response() };
    let (org, source) = match owner(app, &key).await {
        Ok(Some(owner)) => owner,
        Ok(None) => return Refusal::WRONG_KEY.into_response(),
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
    /// Whose API paths these are; none takes any.
    kind: Option<&'static str>,
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
    const WRONG_KEY: Self = Self::new(StatusCode::UNAUTHORIZED, "no source has this write key");

    const fn new(status: StatusCode, text: &'static str) -> Self {
        Self { status, text: Cow::Borrowed(text) }
    }
    fn damaged(error: InflateError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, text: error.to_string().into() }
    }
    fn later(text: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }
    fn store(error: &store::StoreError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "source events not taken");
            Self::later(problem::public_reason(error))
        } else {
            tracing::error!(%error, "source events not taken");
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, problem::public_reason(error))
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.text.into_owned()).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, WEBHOOK_METHODS);
        }
        response
    }
}

async fn take(app: &Arc<App>, door: Door<'_>, request: Request) -> Response {
    match taken(app, door, request).await {
        Ok(Greeting { answer, headers }) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, answer.text).into_response();
            for (name, value) in headers {
                if let Ok(value) = HeaderValue::try_from(value) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn taken(app: &Arc<App>, door: Door<'_>, request: Request) -> Result<Greeting, Refusal> {
    let (parts, body) = request.into_parts();
    let shell = inbound(door.entrance, door.path, parts)?;
    let mut found = found(app, door.source, &shell).await?;
    let limit = match &found {
        Some(found) => connector(found)?.max_body_bytes,
        None => kit::tracking::MAX_BODY_BYTES,
    };
    let body = read_body(Request::new(body), limit).await.map_err(|problem| unreadable(&problem))?;
    let (body, damage) = unpacked(&shell, body, limit)?;
    let inbound = Inbound { body, ..shell };
    if found.is_none() {
        // Some SDKs show their key in the body alone.
        found = by_key(app, kit::tracking::credential(&inbound)).await?;
    }
    let Found { org, source, key } = found.ok_or_else(|| unknown(door.source, &inbound))?;
    let connector = connector_of(&source)?;
    if door.kind.is_some_and(|kind| !connector.api || kind != source.kind && source.kind != "rudderstack") {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "the write key belongs to a source that has no SDKs"));
    }
    if door.source.is_some_and(|named| named != source.slug && named.parse() != Ok(source.id)) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "the write key belongs to another source than the address names"));
    }
    if !source.enabled {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "the source is disabled"));
    }
    if let Some(greeting) = connector.greet.and_then(|greet| greet(&inbound)) {
        return Ok(greeting);
    }
    if inbound.method == Method::OPTIONS {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "send events by POST"));
    }
    let received_at = app.now();
    let secrets = secrets(app, org, &source)?;
    let lock = Lock { key: key.as_ref(), secrets: &secrets, settings: &source.settings, now: received_at };
    let refused = |refused: kit::Refused| Refusal {
        status: StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::UNAUTHORIZED),
        text: refused.to_string().into(),
    };
    // What was signed cannot be told when it cannot be unpacked; a key can.
    let authentic = (connector.verify)(inbound, &lock).map_err(|why| damage.map_or_else(|| refused(why), Refusal::damaged))?;
    let fresh = SourceEventId::mint(received_at, &*app.entropy).uuid();
    let arrival = kit::Arrival { received_at, fresh, strict: source.strict, settings: &source.settings };
    let mut decoded = match damage {
        Some(damage) => Decoded::packed(&authentic, source.strict, damage),
        None => (connector.decode)(&authentic, &arrival),
    };
    let via = kit::via::read(&authentic.inbound().headers);
    decoded.events.iter_mut().for_each(|event| kit::via::keep(&mut event.payload, &via));
    write_down(app, org, source.id, received_at, decoded).await.map(|answer| Greeting { answer, headers: Vec::new() })
}

/// Keeps what a request brought; its answer is given when that is durable.
async fn write_down(
    app: &Arc<App>,
    org: OrgId,
    source: SourceId,
    received_at: Timestamp,
    decoded: Decoded,
) -> Result<Answer, Refusal> {
    let arrival = |event, fault| Arrival { org, source, received_at, event, fault };
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

/// A source, and the write key of it that a request showed.
struct Found {
    org: OrgId,
    source: Arc<Source>,
    key: Option<KeyHash>,
}

/// The source of a request: that of the write key in its headers or query, else the one that the address names by its id.
async fn found(app: &App, named: Option<&str>, inbound: &Inbound) -> Result<Option<Found>, Refusal> {
    let anywhere = |inbound: &Inbound| {
        let mut keys = catalog::CONNECTORS.iter().filter_map(|connector| connector.source);
        keys.find_map(|source| (source.credential)(inbound).filter(auth::is_write_key))
    };
    if let Some(found) = by_key(app, anywhere(inbound)).await? {
        return Ok(Some(found));
    }
    let Some(id) = named.and_then(|named| named.parse::<SourceId>().ok()) else { return Ok(None) };
    let found = auth::source_of_address(app, id).await.map_err(|error| Refusal::store(&error))?;
    Ok(found.map(|(org, source)| Found { org, source, key: None }))
}

async fn by_key(app: &App, key: Option<WriteKey>) -> Result<Option<Found>, Refusal> {
    let Some(key) = key else { return Ok(None) };
    Ok(owner(app, &key).await?.map(|(org, source)| Found { org, source, key: Some(key.hash()) }))
}

/// What is wrong when no source was found.
fn unknown(named: Option<&str>, inbound: &Inbound) -> Refusal {
    match (kit::tracking::credential(inbound), named.map(str::parse::<SourceId>)) {
        (Some(_), _) => Refusal::WRONG_KEY,
        (None, Some(Ok(_))) => Refusal::new(StatusCode::NOT_FOUND, "there is no source at this address"),
        (None, _) => Refusal::NO_KEY,
    }
}

fn connector(found: &Found) -> Result<catalog::Source, Refusal> {
    connector_of(&found.source)
}

fn connector_of(source: &Source) -> Result<catalog::Source, Refusal> {
    let found = catalog::find(&source.kind).and_then(|connector| connector.source);
    found.ok_or_else(|| {
        tracing::error!(source = %source.id, kind = source.kind, "a source of a connector that is not there");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "something is wrong on our side; the log has more")
    })
}

/// The signing secrets of a source, opened.
fn secrets(app: &App, org: OrgId, source: &Source) -> Result<Vec<SharedSecret>, Refusal> {
    let open = |sealed: &String| {
        let opened = app.store.open_of::<Source>(org, source.id.uuid(), sealed).map_err(|error| Refusal::store(&error))?;
        let secret = std::str::from_utf8(&opened).ok().and_then(SharedSecret::new);
        secret.ok_or(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "something is wrong on our side; the log has more"))
    };
    source.sealed_secrets.iter().map(open).collect()
}

async fn owner(app: &App, key: &WriteKey) -> Result<Option<(OrgId, Arc<Source>)>, Refusal> {
    auth::source_of_write_key(app, key).await.map_err(|error| Refusal::store(&error))
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
    Ok(Inbound { entrance, method: parts.method, headers: parts.headers, path, query, body: Bytes::new() })
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).take(MAX_SEGMENTS).map(str::to_owned).collect()
}

fn unreadable(problem: &Problem) -> Refusal {
    Refusal { status: problem.status(), text: problem.to_string().into() }
}

/// A body unpacked; at the webhook entrance one that cannot be is given on as it came, with what is wrong, to be kept.
fn unpacked(shell: &Inbound, body: Bytes, limit: usize) -> Result<(Bytes, Option<InflateError>), Refusal> {
    let mut damage = None;
    let inflated = match kit::inflate(&body, &shell.headers, limit) {
        Ok(Cow::Borrowed(_)) => None,
        Ok(Cow::Owned(inflated)) => Some(Bytes::from(inflated)),
        Err(error @ (InflateError::Damaged | InflateError::OtherCoding)) if shell.entrance == Entrance::Webhook => {
            damage = Some(error);
            None
        }
        Err(error) => return Err(Refusal::damaged(error)),
    };
    Ok((inflated.unwrap_or(body), damage))
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
