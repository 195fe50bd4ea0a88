//! A client of our own API, for the command line and the demo.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, StatusCode, header, request::Builder};
use outbound::{
    http::{Client, Limits, Open, Reply, Roots, Settings},
    policy::AddressPolicy,
};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

/// Of a file on its way, whose length nobody knows.
const LONG: Limits = Limits { deadline: outbound::http::MAX_DEADLINE, max_body: 32 << 20 };
/// Bytes of a file that are sent together.
const PIECE_BYTES: usize = 128 << 10;
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
        let allow_ports = (1..=u16::MAX).collect();
        let policy = AddressPolicy { allow_loopback: true, allow_networks: anywhere, allow_ports, https_only: false };
        let client = Client::new(Settings::new(policy, Roots::system_and(&[])?))?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key, client })
    }

    /// The same server with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The absolute address of a path; absolute addresses stay.
    pub(crate) fn url(&self, path: &str) -> String {
        if is_absolute(path) { path.to_owned() } else { format!("{}/{}", self.base, path.trim_start_matches('/')) }
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Reply> {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).with_context(|| format!("{path} is no address"))?;
        self.client.send(request, LIMITS).await.with_context(|| format!("no answer from {}", self.base))
    }

    /// Opens an answer that lasts.
    pub(crate) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Open> {
        let mut request = self.request(Method::GET, path);
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

    /// Sends a file, read while it is sent, and wants JSON; `told` hears of every piece.
    pub(crate) async fn upload(&self, path: &str, file: &Path, told: impl Fn(u64) + Send + 'static) -> anyhow::Result<Value> {
        let open = tokio::fs::File::open(file).await.with_context(|| format!("cannot read {}", file.display()))?;
        let pieces = stream::try_unfold((open, told), |(mut open, told)| async move {
            let mut piece = vec![0; PIECE_BYTES];
            let read = open.read(&mut piece).await?;
            piece.truncate(read);
            told(read as u64);
            Ok((read > 0).then(|| (Bytes::from(piece), (open, told))))
        });
        let request = self.request(Method::PUT, path).body(pieces).with_context(|| format!("{path} is no address"))?;
        let sent = self.client.upload(request, LONG).await;
        read(&sent.with_context(|| format!("no answer from {}", self.base))?)
    }

    /// Gets a file and gives it to `take` piece by piece.
    pub(crate) async fn download(&self, path: &str, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let mut open = self.open(path, &[]).await?;
        let mut refusal = Vec::new();
        while let Some(piece) = open.next(LIMITS.deadline).await.with_context(|| format!("{path} broke off"))? {
            if open.status.is_success() { take(&piece) } else { refusal.extend_from_slice(&piece) }
        }
        if open.status.is_success() { Ok(()) } else { Err(refused(open.status, &refusal)) }
    }

    /// Gets JSON. Of a stream of events nothing is left to answer: `take` gets every piece as it comes, until it wants no more.
    pub(crate) async fn follow(&self, path: &str, mut take: impl FnMut(&[u8]) -> bool) -> anyhow::Result<Option<Value>> {
        let mut open = self.open(path, &[]).await?;
        let kind = open.headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let streams = open.status.is_success() && kind == Some(true);
        let mut body = Vec::new();
        while let Some(piece) = open.next(LIMITS.deadline).await.with_context(|| format!("{path} broke off"))? {
            if !streams {
                body.extend_from_slice(&piece);
                anyhow::ensure!(body.len() <= LIMITS.max_body, "the answer is longer than {} bytes", LIMITS.max_body);
            } else if !take(&piece) {
                break;
            }
        }
        if streams { Ok(None) } else { json(open.status, &body).with_context(|| format!("GET {path}")).map(Some) }
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let url = self.url(path);
        let ours = url.strip_prefix(&self.base).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        let mut request = Request::builder().method(method).uri(url);
        // The key is for nobody else.
        if let Some(key) = self.key.as_ref().filter(|_| ours) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        request
    }
}

fn is_absolute(path: &str) -> bool {
    path.starts_with("http://") || path.starts_with("https://")
}

/// A reply's JSON; a problem becomes an error with its words.
pub(crate) fn read(reply: &Reply) -> anyhow::Result<Value> {
    json(reply.status, &reply.body)
}

fn json(status: StatusCode, body: &[u8]) -> anyhow::Result<Value> {
    if status.is_success() {
        if status == StatusCode::NO_CONTENT || body.is_empty() {
            return Ok(Value::Null);
        }
        return serde_json::from_slice(body).context("the answer is no JSON");
    }
    Err(refused(status, body))
}

/// A problem in its words.
fn refused(status: StatusCode, body: &[u8]) -> anyhow::Error {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut words = format!("{status}: ");
    match problem["detail"].as_str().or(problem["title"].as_str()) {
        Some(detail) => words.push_str(detail),
        None => words.push_str(String::from_utf8_lossy(body).trim()),
    }
    for error in problem["errors"].as_array().into_iter().flatten() {
        let path = error["path"].as_str().or(error["pointer"].as_str()).unwrap_or_default();
        let line = format!("{path}: {}", error["detail"].as_str().or(error["message"].as_str()).unwrap_or_default());
        // A problem with one fault tells it by itself.
        if !words.ends_with(&line) {
            words.push_str(&format!("\n  {line}"));
        }
    }
    anyhow!(words)
}
