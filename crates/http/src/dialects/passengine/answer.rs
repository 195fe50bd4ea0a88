//! Who may ask, how often, and how PassEngine says no.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::{App, Conflict, FieldError, Problem, auth};

/// Requests a minute and key to webhooks and triggers.
const PER_MINUTE: u32 = 10;
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// An error in PassEngine's words.
pub(super) struct Refused(StatusCode, String);

impl Refused {
    pub(super) fn parameter(name: &str, why: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, format!("{name}: {why}"))
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let (said, is_quota) = match &problem {
            // It calls the address of a webhook so.
            Problem::Invalid(errors) => (said(errors), false),
            Problem::Conflict { code: Conflict::LimitReached, detail } => (detail.clone(), true),
            other => (other.to_string(), false),
        };
        let status = match problem.into_response().status() {
            _ if is_quota => StatusCode::FORBIDDEN,
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::UNSUPPORTED_MEDIA_TYPE => StatusCode::BAD_REQUEST,
            status => status,
        };
        // What is wrong with us is for the log, which has it.
        let said = if status.is_server_error() { "the server cannot answer now".to_owned() } else { said };
        Self(status, said)
    }
}

/// What does not fit, each with its place as PassEngine calls it.
fn said(errors: &[FieldError]) -> String {
    let place = |error: &FieldError| if error.path == "url" { "targetUrl".to_owned() } else { error.path.clone() };
    let one = |error: &FieldError| match place(error) {
        path if path.is_empty() => error.message.clone(),
        path => format!("{path}: {}", error.message),
    };
    errors.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

pub(super) async fn no_such_path() -> Refused {
    Refused(StatusCode::NOT_FOUND, "there is no such path".to_owned())
}

pub(super) async fn no_such_method() -> Refused {
    Refused(StatusCode::METHOD_NOT_ALLOWED, "this path does not know that method".to_owned())
}

/// Answers preflights, lets requests with a valid key through within their limit, and tells the limit on every answer.
pub(super) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        match auth::caller(&app, request.headers()).await {
            Err(problem) => Refused::from(problem).into_response(),
            Ok(caller) => {
                let verdict = app.doors.per_minute.take(caller.key.id, PER_MINUTE);
                let mut response = match verdict.refused {
                    Some(seconds) => {
                        let said = format!("too many requests: wait {seconds} seconds");
                        let retry = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
                        (retry, Refused(StatusCode::TOO_MANY_REQUESTS, said)).into_response()
                    }
                    None => {
                        request.extensions_mut().insert(caller);
                        next.run(request).await
                    }
                };
                let now = u64::try_from(app.now().as_seconds()).unwrap_or_default();
                let headers = response.headers_mut();
                headers.insert(LIMIT, HeaderValue::from(PER_MINUTE));
                headers.insert(REMAINING, HeaderValue::from(verdict.remaining));
                // When the next request is let through, in seconds since the epoch.
                headers.insert(RESET, HeaderValue::from(now + verdict.refused.unwrap_or_default()));
                response
            }
        }
    };
    allow(response.headers_mut());
    response
}

/// Lets pages of any origin ask: the key is not in a cookie.
fn allow(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Link, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
