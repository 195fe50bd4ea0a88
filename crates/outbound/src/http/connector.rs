//! The connector under the pool: resolve, judge, connect, TLS.
//!
//! The pool hands a connector nothing but the URL. What else it needs of the request that caused it, the deadline and
//! a place to say how far it got, comes in a task-local; it is read when the pool calls, because the pool may finish
//! the connection on another task when an idle one turns up first.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{StatusCode, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use super::classify;
use super::failure::{Failure, Phase};
use crate::dial::Dialler;
use crate::policy::{Host, Target};
use crate::socket::Socket;

tokio::task_local! {
    /// The request on whose behalf the pool connects.
    pub(super) static CALL: Call;
}

/// How long a connection may take to come up when no request waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a connection attempt knows of its request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) deadline: Instant,
    after: Duration,
    phase: Arc<AtomicU8>,
}

impl Call {
    pub(super) fn new(started: Instant, after: Duration) -> Self {
        Self { deadline: started + after, after, phase: Arc::new(AtomicU8::new(Phase::Answer as u8)) }
    }

    fn current() -> Self {
        CALL.try_with(Clone::clone).unwrap_or_else(|_| Self::new(Instant::now(), CONNECT_TIMEOUT))
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(super) fn timeout(&self, phase: Phase, status: Option<StatusCode>) -> Failure {
        Failure::Timeout { phase, after: self.after, status }
    }

    pub(super) fn phase(&self) -> Phase {
        let now = self.phase.load(Ordering::Relaxed);
        [Phase::Dns, Phase::Connect, Phase::Tls].into_iter().find(|p| *p as u8 == now).unwrap_or(Phase::Answer)
    }
}

/// Makes connections for the pool.
#[derive(Clone)]
pub(super) struct Connector {
    dialler: Dialler,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(dialler: Dialler, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { dialler, tls: TlsConnector::from(tls) }
    }

    async fn connect(&self, uri: &Uri, call: &Call) -> Result<Stream, Failure> {
        let target = self.dialler.policy().check_uri(uri).map_err(Failure::Forbidden)?;
        call.enter(Phase::Dns);
        let addresses = self.dialler.resolve(&target).await.map_err(|e| classify::of_dial(e, &target))?;
        call.enter(Phase::Connect);
        let tcp = self.dialler.connect(&addresses).await.map_err(|e| classify::of_dial(e, &target))?;
        let stream = if target.https {
            call.enter(Phase::Tls);
            let name = server_name(&target)?;
            let tls = self.tls.connect(name, tcp).await.map_err(|e| classify::of_handshake(&e, &target))?;
            Stream::Tls(Box::new(tls), LateAlert::default())
        } else {
            Stream::Plain(tcp)
        };
        call.enter(Phase::Answer);
        Ok(stream)
    }
}

pub(crate) fn server_name(target: &Target) -> Result<ServerName<'static>, Failure> {
    match &target.host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| classify::unnameable(target)),
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let call = Call::current();
        let this = self.clone();
        Box::pin(async move {
            match tokio::time::timeout_at(call.deadline, this.connect(&uri, &call)).await {
                Ok(outcome) => outcome.map(TokioIo::new),
                Err(_) => Err(call.timeout(call.phase(), None)),
            }
        })
    }
}

/// A connection, plain or encrypted.
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>, LateAlert),
}

/// A TLS error after the handshake. In TLS 1.3 a server judges our certificate only then, and HTTP/2 passes the error on
/// as text; the connection's metadata carries it past that.
#[derive(Debug, Clone, Default)]
pub(super) struct LateAlert(Arc<OnceLock<rustls::Error>>);

impl LateAlert {
    pub(super) fn get(&self) -> Option<&rustls::Error> {
        self.0.get()
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let Self::Tls(tls, alert) = self else {
            return Connected::new();
        };
        let connected = Connected::new().extra(alert.clone());
        if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
            return connected.negotiated_h2();
        }
        connected
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls, alert) => {
                let read = Pin::new(tls).poll_read(cx, buf);
                if let Poll::Ready(Err(error)) = &read
                    && let Some(error) = classify::find::<rustls::Error>(error)
                {
                    alert.0.get_or_init(|| error.clone());
                }
                read
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls, _) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls, _) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls, _) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls, _) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls, _) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
