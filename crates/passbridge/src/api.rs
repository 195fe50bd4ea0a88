//! A client of our own API, for the command line and the demo.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use outbound::{
    http::{Client, Limits, Open, Reply, Roots, Settings},
    policy::AddressPolicy,
};
use serde_json::Value;

const LIMITS: Limits = Limits { deadline: Duration::from_secs(60), max_body: 32 << 20 };

/// A server and a key to it.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    key: Option<String>,
    client: Client,
}

impl Api {
    /// A client of the server at `base`. It may be anywhere: the person at the keyboard chose it.
    pub(crate) fn new(base: &str, key: Option<String>) -> anyhow::Result<Self> {
        let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect();
        let policy = AddressPolicy { allow_loopback: true, allow_networks: anywhere, ..AddressPolicy::default() };
        let client = Client::new(Settings::new(policy, Roots::system_and(&[])?))?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key, client })
    }

    /// The same server with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The absolute address of a path; absolute addresses stay.
    pub(crate) fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) }
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Reply> {
        let mut request = Request::builder().method(method).uri(self.url(path));
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).with_context(|| format!("{path} is no address"))?;
        self.client.send(request, LIMITS).await.with_context(|| format!("no answer from {}", self.base))
    }

    /// Opens an answer that lasts.
    pub(crate) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Open> {
        let mut request = Request::builder().method(Method::GET).uri(self.url(path));
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::new()).with_context(|| format!("{path} is no address"))?;
        self.client.open(request, LIMITS.deadline).await.with_context(|| format!("no answer from {}", self.base))
    }

    /// Sends a request to somebody else, without our key.
    pub(crate) async fn pass_on(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
        limits: Limits,
    ) -> anyhow::Result<Reply> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).with_context(|| format!("{url} is no address"))?;
        self.client.send(request, limits).await.with_context(|| format!("no answer from {url}"))
    }

    /// Sends JSON and wants JSON; a problem becomes an error with its words.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let headers: &[_] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        let reply = self.send(method.clone(), path, headers, bytes).await?;
        read(&reply).with_context(|| format!("{method} {path}"))
    }
}

/// A reply's JSON; a problem becomes an error with its words.
pub(crate) fn read(reply: &Reply) -> anyhow::Result<Value> {
    if reply.status.is_success() {
        if reply.status == StatusCode::NO_CONTENT || reply.body.is_empty() {
            return Ok(Value::Null);
        }
        return serde_json::from_slice(&reply.body).context("the answer is no JSON");
    }
    let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let mut words = format!("{}: ", reply.status);
    match problem["detail"].as_str().or(problem["title"].as_str()) {
        Some(detail) => words.push_str(detail),
        None => words.push_str(String::from_utf8_lossy(&reply.body).trim()),
    }
    for error in problem["errors"].as_array().into_iter().flatten() {
        let path = error["path"].as_str().or(error["pointer"].as_str()).unwrap_or_default();
        words.push_str(&format!("\n  {path}: {}", error["detail"].as_str().or(error["message"].as_str()).unwrap_or_default()));
    }
    bail!(words)
}
