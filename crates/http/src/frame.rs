//! What stands around every handler: request ids, spans, metrics, panics, security headers, and a problem for whatever was
//! answered without one.

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::{app::App, limits, problem::Problem};

/// The header that carries a request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a page may load unless it says otherwise: our own files and images.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

tokio::task_local! {
    static CURRENT: Arc<str>;
}

/// The id of the request that is being answered: in its log lines, its `X-Request-Id` header and its problems.
#[derive(Debug, Clone, Copy)]
pub struct RequestId;

impl RequestId {
    /// The id, when a request is being answered.
    pub fn current() -> Option<String> {
        CURRENT.try_with(|id| id.to_string()).ok()
    }
}

/// Puts the frame around the rooms.
pub(crate) fn around(rooms: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    rooms
        .fallback(async || Problem::NotFound("nothing is served at this path".into()))
        .layer(middleware::from_fn_with_state(Arc::clone(app), limits::doors::guard))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send + 'static>| panicked(&*panic)))
        .layer(middleware::from_fn_with_state(Arc::clone(app), frame))
}

async fn frame(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = request_id(&app);
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let span = tracing::info_span!("request", id = &*id, method, route);
    let started = tokio::time::Instant::now();
    let answer = async {
        let response = next.run(request).await;
        dress(response)
    };
    let mut response = CURRENT.scope(Arc::clone(&id), answer).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    secure(&app, &mut response);
    let status = response.status().as_str().to_owned();
    let labels = [("method", method), ("route", route), ("status", status)];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_seconds", &labels[..2]).record(started.elapsed().as_secs_f64());
    response
}

/// 96 random bits in hexadecimal digits.
fn request_id(app: &App) -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut random = [0u8; 12];
    app.entropy.fill(&mut random);
    let digits = random.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let id: String = digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect();
    id.into()
}

/// Gives a body to the router's own bare answers.
fn dress(response: Response) -> Response {
    let problem = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => Problem::MethodNotAllowed,
        _ => return response,
    };
    if response.headers().contains_key(header::CONTENT_TYPE) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut dressed = problem.into_response();
    if let Some(allow) = allow {
        dressed.headers_mut().insert(header::ALLOW, allow);
    }
    dressed
}

fn secure(app: &App, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    if app.settings.public_url.starts_with("https://") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Problem::Internal(format!("a handler panicked: {text}")).into_response()
}
