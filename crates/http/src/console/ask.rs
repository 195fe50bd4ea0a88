//! The console is a client of the API, in the same process: a request of a page becomes requests to `/v1` with the session's
//! key, carried through the API's own router. So scopes, limits, checks, audit, idempotency and problems are the API's own, and
//! the console has no rule, no SQL and no way round.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header, request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{api::commands::IDEMPOTENCY_KEY, auth};

/// Most bytes of an answer that a page is made of; files pass through as they come.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// What tells the API who is calling, as far as it asks.
const PASSED_ON: [HeaderName; 3] =
    [header::USER_AGENT, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("forwarded")];
/// What is told of a file that passes through.
const OF_FILES: [HeaderName; 5] =
    [header::CONTENT_TYPE, header::CONTENT_DISPOSITION, header::CONTENT_LENGTH, header::ETAG, header::CONTENT_SECURITY_POLICY];
/// What stands for itself within one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The API's router, as the main port has it.
#[derive(Clone)]
pub(super) struct Api(pub(super) Router);

/// Asks the API with a key.
#[derive(Clone)]
pub(super) struct Ask {
    api: Api,
    headers: HeaderMap,
    peer: Option<ConnectInfo<SocketAddr>>,
}

/// Why the API did not do it, in the words of its problem. As an answer it becomes a page within the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The status.
    pub(super) status: StatusCode,
    /// The kind of problem in words.
    pub(super) title: String,
    /// What is wrong here and what to change.
    pub(super) detail: String,
    /// The kind of problem for programs.
    pub(super) code: String,
    /// The values that do not fit: path and message.
    pub(super) errors: Box<[(String, String)]>,
    /// What to name when it is reported.
    pub(super) request_id: Option<String>,
}

impl Fault {
    /// A fault that the console finds itself.
    pub(super) fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title: title.to_owned(),
            detail: detail.into(),
            code: String::new(),
            errors: Box::default(),
            request_id: None,
        }
    }

    /// A value of a form that the console cannot make a request of.
    pub(super) fn field(path: &str, message: &str) -> Self {
        let errors = Box::new([(path.to_owned(), message.to_owned())]);
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Values that do not fit", format!("{path}: {message}")) }
    }

    /// There is no such page.
    pub(super) fn nowhere() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", "There is nothing at this address.")
    }

    /// The faults of a value at a path.
    pub(super) fn at<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        self.errors.iter().filter(move |(at, _)| at == path).map(|(_, message)| message.as_str())
    }

    async fn read(response: Response) -> Self {
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), MAX_ANSWER_BYTES).await.unwrap_or_default();
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| problem[name].as_str().map(str::to_owned);
        let error = |error: &Value| Some((error["path"].as_str()?.to_owned(), error["message"].as_str()?.to_owned()));
        Self {
            status,
            title: text("title").unwrap_or_else(|| status.canonical_reason().unwrap_or("Fault").to_owned()),
            detail: text("detail").unwrap_or_default(),
            code: text("code").unwrap_or_default(),
            errors: problem["errors"].as_array().into_iter().flatten().filter_map(error).collect(),
            request_id: text("request_id"),
        }
    }
}

/// Carried to the frame, which draws it as a page for whoever is signed in.
impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Ask {
    /// With a key, in an organization where one is named, for the client of a request.
    pub(super) fn new(api: Api, key: &str, organization: Option<&str>, parts: &Parts) -> Self {
        let mut headers = HeaderMap::new();
        for name in PASSED_ON {
            for value in parts.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        // What is no header value is no key either: without one the API answers that.
        if let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {key}")) {
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        if let Some(Ok(organization)) = organization.map(HeaderValue::from_str) {
            headers.insert(HeaderName::from_static(auth::ORGANIZATION), organization);
        }
        Self { api, headers, peer: parts.extensions.get().copied() }
    }

    /// Reads: `/v1/passes/…`, with [`query`] where there is one.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Fault> {
        json(self.send(Method::GET, path, HeaderMap::new(), Body::empty()).await?).await
    }

    /// Reads, with the version of what is read: for a form, to be given to [`Ask::write_over`].
    pub(super) async fn get_version(&self, path: &str) -> Result<(Value, String), Fault> {
        let response = self.send(Method::GET, path, HeaderMap::new(), Body::empty()).await?;
        let version = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        Ok((json(response).await?, version))
    }

    /// Writes JSON, or nothing where `body` is null.
    pub(super) async fn write(&self, method: Method, path: &str, body: &Value) -> Result<Value, Fault> {
        self.write_once(method, path, body, "").await
    }

    /// Writes under an idempotency key, such as the form's own (`Sheet::once`): a second press does nothing more.
    pub(super) async fn write_once(&self, method: Method, path: &str, body: &Value, once: &str) -> Result<Value, Fault> {
        self.write_with(method, path, body, HeaderName::from_static(IDEMPOTENCY_KEY), once).await
    }

    /// Writes over the version that a form was made from ([`super::form::Sheet::version`]), and over no other: that is refused
    /// with 412.
    pub(super) async fn write_over(&self, method: Method, path: &str, body: &Value, version: &str) -> Result<Value, Fault> {
        self.write_with(method, path, body, header::IF_MATCH, version).await
    }

    /// Writes with a header, where it has a value.
    async fn write_with(&self, method: Method, path: &str, body: &Value, name: HeaderName, value: &str) -> Result<Value, Fault> {
        let mut headers = HeaderMap::new();
        if let Some(Ok(value)) = Some(value).filter(|value| !value.is_empty()).map(HeaderValue::from_str) {
            headers.insert(name, value);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Body::from(body.to_string())
        };
        json(self.send(method, path, headers, body).await?).await
    }

    /// `POST` of JSON.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Fault> {
        self.write(Method::POST, path, body).await
    }

    /// Sends a file as it comes: nothing of it is kept here. Headers are the API's, such as `Content-Type`.
    pub(super) async fn upload(&self, method: Method, path: &str, headers: HeaderMap, file: Body) -> Result<Value, Fault> {
        json(self.send(method, path, headers, file).await?).await
    }

    /// A file, or a stream, passed through to the browser as it comes. `headers` are those of the browser that matter.
    pub(super) async fn download(&self, path: &str, headers: HeaderMap) -> Result<Response, Fault> {
        let (parts, body) = self.send(Method::GET, path, headers, Body::empty()).await?.into_parts();
        let mut response = Response::new(body);
        *response.status_mut() = parts.status;
        for name in OF_FILES {
            if let Some(value) = parts.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }

    async fn send(&self, method: Method, path: &str, headers: HeaderMap, body: Body) -> Result<Response, Fault> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| Fault::nowhere())?;
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().extend(headers);
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        let response = match self.api.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if response.status().is_success() { Ok(response) } else { Err(Fault::read(response).await) }
    }
}

async fn json(response: Response) -> Result<Value, Fault> {
    let unreadable = |why: String| Fault::new(StatusCode::BAD_GATEWAY, "Answer not readable", why);
    let body = axum::body::to_bytes(response.into_body(), MAX_ANSWER_BYTES).await;
    let body = body.map_err(|error| unreadable(error.to_string()))?;
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))
}

/// One segment of a path out of what somebody wrote: it cannot become two, or a query.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A path with a query; what is empty is left out.
pub(super) fn query(path: &str, pairs: &[(&str, &str)]) -> String {
    let given: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let text = serde_urlencoded::to_string(&given).unwrap_or_default();
    if text.is_empty() { path.to_owned() } else { format!("{path}?{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_what_they_are() {
        assert_eq!(segment("03515U2nk4hy0GFQOIxS1K"), "03515U2nk4hy0GFQOIxS1K");
        assert_eq!(segment("../keys?x#y z/é"), "..%2Fkeys%3Fx%23y%20z%2F%C3%A9");
        assert_eq!(query("/v1/passes", &[("project", ""), ("cursor", "a+b&c")]), "/v1/passes?cursor=a%2Bb%26c");
        assert_eq!(query("/v1/passes", &[("project", "")]), "/v1/passes");
    }
}
