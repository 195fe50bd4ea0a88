//! A small HTTP/1.1 client with a deadline, for talking to what is tested.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Most bytes of an answer.
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// What was asked for is no request.
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    /// No whole answer came.
    #[error("{0}")]
    Network(String),
    /// Another answer than asked for.
    #[error("{method} {url} answered {status}: {body}")]
    Status {
        /// Of the request.
        method: Method,
        /// Of the request.
        url: String,
        /// Of the answer.
        status: StatusCode,
        /// Of the answer.
        body: String,
    },
    /// The answer is no JSON.
    #[error("no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A pooled client; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Default for Client {
    fn default() -> Self {
        Self { pool: Pool::builder(TokioExecutor::new()).build_http() }
    }
}

impl Client {
    /// Sends one request.
    ///
    /// # Errors
    /// When no whole answer comes within 30 seconds.
    pub async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Reply, CallError> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let (head, body) = self.pool.request(request).await.map_err(|error| network(&error))?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| CallError::Network(error.to_string()))?;
            Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(DEADLINE, exchange).await.map_err(|_| CallError::Network(format!("no answer in {DEADLINE:?}")))?
    }

    /// Sends JSON with a bearer key and reads JSON.
    ///
    /// # Errors
    /// When no answer comes, or one that is not a success.
    pub async fn json(&self, key: &str, method: Method, url: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![(header::AUTHORIZATION.as_str(), bearer.as_str())];
        if body.is_some() {
            headers.push((header::CONTENT_TYPE.as_str(), "application/json"));
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        read(method.clone(), url, &self.send(method, url, &headers, bytes).await?)
    }
}

/// The JSON of a successful answer.
///
/// # Errors
/// When it is no success, or no JSON.
pub fn read(method: Method, url: &str, reply: &Reply) -> Result<Value, CallError> {
    if !reply.status.is_success() {
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        return Err(CallError::Status { method, url: url.to_owned(), status: reply.status, body });
    }
    if reply.body.is_empty() {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_slice(&reply.body)?)
}

fn network(error: &hyper_util::client::legacy::Error) -> CallError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    CallError::Network(text)
}
