//! The phone's own HTTP client: HTTP/1.1 or 2, plain or TLS, no redirects, one time-out. Many phones share one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::Service;

use crate::tls::TlsError;

/// How long a phone waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that a phone reads, in bytes.
const MAX_ANSWER_BYTES: usize = 20 << 20;
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request that was answered, for assertions and for narration.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request's method.
    pub method: Method,
    /// The request's URL.
    pub url: String,
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer's body.
    pub body: Bytes,
}

impl Exchange {
    /// An answer header as text, or nothing when absent or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A request without an answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{method} {url}: {detail}")]
pub struct NoAnswer {
    /// The request's method.
    pub method: Method,
    /// The request's URL.
    pub url: String,
    /// What went wrong.
    pub detail: String,
}

/// The network that simulated phones are on.
#[derive(Clone)]
pub struct Network {
    client: legacy::Client<Connector, Full<Bytes>>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    /// A network in which https is trusted under `roots` (DER), and under nothing else.
    ///
    /// # Errors
    /// When a root cannot be read.
    pub fn new(roots: &[CertificateDer<'_>]) -> Result<Self, TlsError> {
        let tls = TlsConnector::from(Arc::new(crate::tls::client(roots)?));
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(Connector { tls });
        Ok(Self { client })
    }

    /// Fetches an address as the browser of a phone does.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn browse(&self, url: &str) -> Result<Exchange, NoAnswer> {
        let headers = [("user-agent", super::BROWSER), ("accept", "text/html,*/*;q=0.8")];
        self.send(Method::GET, url, &headers, Bytes::new()).await
    }

    /// Sends one request and reads the whole answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Exchange, NoAnswer> {
        let failed = |detail: String| NoAnswer { method: method.clone(), url: url.to_owned(), detail };
        let mut request = Request::builder().method(method.clone()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| failed(chain(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|error| failed(chain(&*error)))?;
            Ok(Exchange {
                method: method.clone(),
                url: url.to_owned(),
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(failed(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Link>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.clone();
        Box::pin(async move {
            let https = uri.scheme_str() == Some("https");
            let host = uri.host().ok_or("the URL has no host")?.trim_matches(['[', ']']).to_owned();
            let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
            let tcp = TcpStream::connect((host.as_str(), port)).await?;
            tcp.set_nodelay(true)?;
            let link: Link = if https {
                let tls = tls.connect(ServerName::try_from(host)?, tcp).await?;
                let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                Link { io: Box::new(tls), h2 }
            } else {
                Link { io: Box::new(tcp), h2: false }
            };
            Ok(TokioIo::new(link))
        })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection of either kind.
struct Link {
    io: Box<dyn Io>,
    h2: bool,
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        if self.h2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
