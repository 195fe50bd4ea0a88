//! HTTP/1.1 and HTTP/2, plain and over TLS, with or without a certificate of our own; so APNs too.
//!
//! One [`Client`] is shared by everything that has the same policy and identity: it pools connections, and building
//! one costs a TLS configuration. It follows no redirect, reads no proxy from the environment (one that is to be
//! used is an [`Egress`]) and retries nothing that a peer may have seen.

pub(crate) mod classify;
pub(crate) mod connector;
mod failure;
pub(crate) mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Request, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt as _};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::dial::{Dialler, Exit, Names, SystemNames};
use crate::egress::Egress;
use crate::policy::AddressPolicy;
use connector::{Call, Connector};
pub(crate) use failure::Progress;
pub use failure::{ConnectReason, Failure, Phase, TlsReason};
pub use tls::{BadIdentity, BadRoot, Identity, Roots, system_roots};

/// Idle connections kept per host unless set otherwise. Many webhooks go to one host (a hub of automations, a chat): what is
/// not kept after a burst is opened anew, with its handshake, for the next.
pub const IDLE_PER_HOST: usize = 128;
/// How long an idle connection is kept unless set otherwise.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most header lines of an answer over HTTP/1.1.
pub const MAX_HEADERS: usize = 128;
/// Most header bytes of an answer.
pub const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// Longest deadline of one request; a longer one is cut to this.
pub const MAX_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Silence after which an HTTP/2 connection with requests under way is probed.
const PING_AFTER: Duration = Duration::from_secs(30);
/// How long the probe may take.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams that a peer may have reset and we not yet forgotten, per HTTP/2 connection.
const MAX_RESET_STREAMS: usize = 128;

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 where the peer offers it by ALPN, else HTTP/1.1.
    #[default]
    Negotiated,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 without asking, over TLS or plain; what APNs expects.
    Http2,
}

/// What a client is built from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which addresses may be dialled.
    pub policy: AddressPolicy,
    /// Who knows the addresses of names.
    pub names: Arc<dyn Names>,
    /// Whom we trust.
    pub roots: Roots,
    /// Our certificate, where the peer asks for one.
    pub identity: Option<Identity>,
    /// By which way it goes out; none is the machine's own.
    pub egress: Option<Arc<Egress>>,
    /// Which HTTP is spoken.
    pub protocol: Protocol,
    /// Idle connections kept per host.
    pub idle_per_host: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
}

impl Settings {
    /// No certificate of our own, negotiated HTTP, the default pool.
    #[must_use]
    pub fn new(policy: AddressPolicy, roots: Roots) -> Self {
        Self {
            policy,
            names: Arc::new(SystemNames),
            roots,
            identity: None,
            egress: None,
            protocol: Protocol::default(),
            idle_per_host: IDLE_PER_HOST,
            idle_timeout: IDLE_TIMEOUT,
        }
    }
}

/// The bounds of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time for everything from resolving the name to the last byte of the body, up to [`MAX_DEADLINE`].
    pub deadline: Duration,
    /// Bytes of the body that are read; more is left unread and the connection dropped.
    pub max_body: usize,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status, whatever it is: 3xx, 4xx and 5xx are answers too.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to [`Limits::max_body`] bytes.
    pub body: Bytes,
    /// Whether the peer had more to say.
    pub body_truncated: bool,
    /// From the call to the last byte.
    pub elapsed: Duration,
}

/// What is sent: bytes at hand, or what is read while it is sent.
type Sent = UnsyncBoxBody<Bytes, io::Error>;

/// A pooled client. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<Connector, Sent>,
    dialler: Dialler,
    tls: Arc<rustls::ClientConfig>,
    settings: Arc<Settings>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("policy", self.dialler.policy()).finish_non_exhaustive()
    }
}

impl Client {
    /// Builds a client and its TLS configuration. Opens nothing yet.
    ///
    /// # Errors
    /// When the identity's key does not belong to its certificate, or cannot be read.
    pub fn new(settings: Settings) -> Result<Self, BadIdentity> {
        let tls = Arc::new(tls::configuration(&settings.roots, settings.identity.as_ref(), settings.protocol)?);
        let exit = |egress: Arc<Egress>| {
            let roots = egress.trusts().unwrap_or(&settings.roots);
            tls::of_another_protocol(roots).map(|tls| Exit { egress, tls: Arc::new(tls) })
        };
        let exit = settings.egress.clone().map(exit).transpose()?;
        let dialler = Dialler::new(settings.policy.clone(), Arc::clone(&settings.names), exit);
        let connector = Connector::new(dialler.clone(), Arc::clone(&tls));
        let inner = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.idle_per_host)
            .http1_max_headers(MAX_HEADERS)
            .http1_max_buf_size(MAX_HEADER_BYTES as usize)
            .http2_only(settings.protocol == Protocol::Http2)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .http2_max_concurrent_reset_streams(MAX_RESET_STREAMS)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(connector);
        Ok(Self { inner, dialler, tls, settings: Arc::new(settings) })
    }

    /// A client like this one that shows a certificate where it is asked for one. It has a pool of its own.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_identity(&self, identity: Identity) -> Result<Self, BadIdentity> {
        Self::new(Settings { identity: Some(identity), ..(*self.settings).clone() })
    }

    /// A client like this one whose connections all leave by an egress. It has a pool of its own.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_egress(&self, egress: Egress) -> Result<Self, BadIdentity> {
        Self::new(Settings { egress: Some(Arc::new(egress)), ..(*self.settings).clone() })
    }

    /// What mail is sent with: the same policy, resolver and roots, and no protocol of HTTP's in TLS.
    pub(crate) fn for_mail(&self) -> (Dialler, rustls::ClientConfig) {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols.clear();
        (self.dialler.clone(), tls)
    }

    /// The policy under which this client dials.
    #[must_use]
    pub fn policy(&self) -> &AddressPolicy {
        self.dialler.policy()
    }

    /// What opens sockets under that policy.
    pub(crate) fn dialler(&self) -> &Dialler {
        &self.dialler
    }

    /// Whom it trusts.
    pub(crate) fn roots(&self) -> &Roots {
        &self.settings.roots
    }

    /// Sends one request and waits at most `deadline` for the head of its answer; the body is read by [`Open::next`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn open(&self, request: Request<Bytes>, deadline: Duration) -> Result<Open, Failure> {
        let (response, _) = self.head(request.map(whole), deadline).await?;
        let (head, body) = response.into_parts();
        Ok(Open { status: head.status, headers: head.headers, body })
    }

    /// Sends one request and waits for the head of its answer.
    async fn head(&self, request: Request<Sent>, deadline: Duration) -> Result<(Response<Incoming>, Call), Failure> {
        let target = self.policy().check_uri(request.uri()).map_err(Failure::Forbidden)?;
        let call = Call::new(Instant::now(), deadline.min(MAX_DEADLINE));
        let exchange = connector::CALL.scope(call.clone(), self.inner.request(request));
        match tokio::time::timeout_at(call.deadline, exchange).await {
            Ok(Ok(response)) => Ok((response, call)),
            Ok(Err(error)) => Err(classify::of_exchange(&error, &target)),
            Err(_) => Err(call.timeout(call.phase(), None)),
        }
    }

    /// Sends one request and reads its answer within `limits`. A stale pooled connection is replaced silently as long
    /// as nothing was written to it.
    ///
    /// # Errors
    /// The [`Failure`] says how far the request got.
    pub async fn send(&self, request: Request<Bytes>, limits: Limits) -> Result<Reply, Failure> {
        self.exchange(request.map(whole), limits).await
    }

    /// Sends a request whose body is read while it is sent, so that it may be of any length.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn upload<S>(&self, request: Request<S>, limits: Limits) -> Result<Reply, Failure>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let body = |stream: S| StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync();
        self.exchange(request.map(body), limits).await
    }

    async fn exchange(&self, request: Request<Sent>, limits: Limits) -> Result<Reply, Failure> {
        let started = Instant::now();
        let (response, call) = self.head(request, limits.deadline).await?;
        let (head, body) = response.into_parts();
        let reading = tokio::time::timeout_at(call.deadline, read_capped(body, limits.max_body));
        let (body, body_truncated) = match reading.await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(classify::of_body(&error, head.status)),
            Err(_) => return Err(call.timeout(Phase::Body, Some(head.status))),
        };
        let elapsed = started.elapsed();
        Ok(Reply { status: head.status, headers: head.headers, body, body_truncated, elapsed })
    }
}

fn whole(bytes: Bytes) -> Sent {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// An answer whose body is read piece by piece, for streams that last. Dropping it closes an HTTP/1.1 connection.
#[derive(Debug)]
pub struct Open {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Open {
    /// The next bytes; nothing once the peer has ended.
    ///
    /// # Errors
    /// When the peer is silent for longer than `patience`, or the connection breaks.
    pub async fn next(&mut self, patience: Duration) -> Result<Option<Bytes>, Failure> {
        let started = Instant::now();
        loop {
            let frame = match tokio::time::timeout(patience, self.body.frame()).await {
                Ok(Some(frame)) => frame.map_err(|error| classify::of_body(&error, self.status))?,
                Ok(None) => return Ok(None),
                Err(_) => return Err(Call::new(started, patience).timeout(Phase::Body, Some(self.status))),
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

/// Reads up to `max` bytes. Dropping the rest closes an HTTP/1.1 connection and resets an HTTP/2 stream.
async fn read_capped(mut body: Incoming, max: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut read = Gathered::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let room = max - read.len();
        if data.len() > room {
            read.push(data.slice(..room));
            return Ok((read.finish(), true));
        }
        read.push(data);
        if read.len() == max && !body.is_end_stream() && body.size_hint().exact() != Some(0) {
            // Exactly at the cap with no end in sight yet: one more frame decides.
            let more = matches!(body.frame().await.transpose()?, Some(frame) if frame.is_data());
            return Ok((read.finish(), more));
        }
    }
    Ok((read.finish(), false))
}

/// A body that usually arrives in one piece, which is then handed on without a copy.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    rest: BytesMut,
}

impl Gathered {
    fn len(&self) -> usize {
        if self.rest.is_empty() { self.first.len() } else { self.rest.len() }
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
        }
        self.rest.extend_from_slice(&data);
    }

    fn finish(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}
