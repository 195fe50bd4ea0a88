//! A local APNs that takes pushes for passes: HTTP/2 over TLS with the pass certificate as the client's identity.
//!
//! Source: Apple, *Sending notification requests to APNs* and *Handling notification responses from APNs*; for passes,
//! *Adding a Web Service to Update Passes*: the topic is the pass type identifier and the payload an empty object.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use der::Decode;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use crate::tls::TlsError;

/// Pushes that a slow subscriber may be behind before it loses the oldest.
pub const MAX_UNREAD_PUSHES: usize = 8192;
/// Largest payload in bytes, as Apple's.
const MAX_PAYLOAD_BYTES: usize = 4096;
/// Shortest device token, in hexadecimal digits.
const MIN_TOKEN_DIGITS: usize = 64;
/// Longest device token, in hexadecimal digits.
const MAX_TOKEN_DIGITS: usize = 200;
/// Connections under way at once.
const MAX_CONNECTIONS: usize = 1024;
/// Pause after the system refused to accept a connection.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The attribute `userid` (RFC 4519), where a pass certificate's subject holds its pass type identifier.
const USER_ID: der::asn1::ObjectIdentifier = der::asn1::ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1");

/// A push that was accepted and is on its way to a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The device token, as in the path.
    pub token: String,
    /// The topic: the pass type whose passes have changed.
    pub topic: String,
    /// The id that went back as `apns-id`.
    pub id: String,
}

/// What a token is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answer {
    /// 200, and the phone wakes.
    #[default]
    Accepted,
    /// 400: not a token of this environment.
    BadDeviceToken,
    /// 400: the token belongs to another topic.
    DeviceTokenNotForTopic,
    /// 403: the certificate is not accepted for pushes.
    BadCertificate,
    /// 410: the token is dead since this time, in milliseconds since 1970.
    Unregistered {
        /// When APNs learnt of it.
        timestamp_ms: u64,
    },
    /// 429: too many pushes to one token.
    TooManyRequests,
    /// 500.
    InternalServerError,
    /// 503.
    ServiceUnavailable,
    /// The request is taken and never answered.
    Silence,
}

impl Answer {
    fn status(self) -> StatusCode {
        match self {
            Self::Accepted | Self::Silence => StatusCode::OK,
            Self::BadDeviceToken | Self::DeviceTokenNotForTopic => StatusCode::BAD_REQUEST,
            Self::BadCertificate => StatusCode::FORBIDDEN,
            Self::Unregistered { .. } => StatusCode::GONE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Accepted | Self::Silence => "",
            Self::BadDeviceToken => "BadDeviceToken",
            Self::DeviceTokenNotForTopic => "DeviceTokenNotForTopic",
            Self::BadCertificate => "BadCertificate",
            Self::Unregistered { .. } => "Unregistered",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalServerError => "InternalServerError",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }
}

struct State {
    answers: Mutex<HashMap<String, Answer>>,
    /// Pushes to tokens whose answer was set.
    asked: Mutex<HashMap<String, u64>>,
    refused: Mutex<Vec<CertificateDer<'static>>>,
    pushes: broadcast::Sender<Push>,
    requests: AtomicU64,
    accepted: AtomicU64,
    connections: AtomicU64,
}

/// A running APNs. Stops, with its connections, when dropped.
pub struct ApnsServer {
    /// Where it listens, on 127.0.0.1.
    pub addr: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

impl Drop for ApnsServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Why APNs did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The certificates or the key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No port could be opened.
    #[error("the simulated APNs cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] io::Error),
}

impl ApnsServer {
    /// Starts on a free port of 127.0.0.1 with a server certificate (chain leaf first, DER; key as PKCS#8 DER), taking
    /// clients whose certificate leads up to `client_root`.
    ///
    /// # Errors
    /// When the certificates do not fit or no port can be opened.
    pub async fn start(
        chain: Vec<CertificateDer<'static>>,
        pkcs8: Vec<u8>,
        client_root: &CertificateDer<'_>,
    ) -> Result<Self, StartError> {
        Self::start_at(0, chain, pkcs8, client_root).await
    }

    /// Starts on a port of 127.0.0.1; 0 takes a free one.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_at(
        port: u16,
        chain: Vec<CertificateDer<'static>>,
        pkcs8: Vec<u8>,
        client_root: &CertificateDer<'_>,
    ) -> Result<Self, StartError> {
        let config = crate::tls::mutual_server(chain, pkcs8, client_root)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State {
            answers: Mutex::default(),
            asked: Mutex::default(),
            refused: Mutex::default(),
            pushes: broadcast::channel(MAX_UNREAD_PUSHES).0,
            requests: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&state))).abort_handle();
        Ok(Self { addr, state, accepting })
    }

    /// The base URL; the certificate must be for `localhost`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.addr.port())
    }

    /// The pushes accepted from now on.
    #[must_use]
    pub fn pushes(&self) -> broadcast::Receiver<Push> {
        self.state.pushes.subscribe()
    }

    /// Sets what a token is answered from now on.
    pub fn answer(&self, token: &str, answer: Answer) {
        self.state.asked.lock().insert(token.to_ascii_lowercase(), 0);
        self.state.answers.lock().insert(token.to_ascii_lowercase(), answer);
    }

    /// Pushes that came for a token whose answer was set, since it was.
    #[must_use]
    pub fn asked(&self, token: &str) -> u64 {
        self.state.asked.lock().get(&token.to_ascii_lowercase()).copied().unwrap_or_default()
    }

    /// Answers every push with this certificate (DER) by 403 from now on, as after its revocation.
    pub fn refuse(&self, certificate: CertificateDer<'static>) {
        self.state.refused.lock().push(certificate);
    }

    /// Requests that arrived, whatever they were answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// Pushes that were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// Connections that completed their handshake: a good client needs few.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }
}

/// Accepts until aborted; the set ends its connections with it.
async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((tcp, _)) => {
                    connections.spawn(serve(tcp, acceptor.clone(), Arc::clone(&state)));
                }
                // Out of sockets, most likely; they come back.
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN_AFTER).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    let Some(leaf) = tls.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|leaf| leaf.clone().into_owned()) else {
        return;
    };
    let Some(topic) = subject_user_id(&leaf) else { return };
    state.connections.fetch_add(1, Ordering::Relaxed);
    let service = service_fn(|request| {
        let (state, topic, leaf) = (Arc::clone(&state), topic.clone(), leaf.clone());
        async move {
            let refused = state.refused.lock().contains(&leaf).then_some(Answer::BadCertificate);
            Ok::<_, Infallible>(push(&state, &topic, refused, request).await)
        }
    });
    // A client that goes away is no news to APNs.
    let _ = http2::Builder::new(TokioExecutor::new()).timer(TokioTimer::new()).serve_connection(TokioIo::new(tls), service).await;
}

/// The subject's user id: a pass type identifier in a pass certificate.
fn subject_user_id(certificate: &[u8]) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let subject = certificate.tbs_certificate().subject();
    let attribute = subject.iter().find(|attribute| attribute.oid == USER_ID)?;
    std::str::from_utf8(attribute.value.value()).ok().map(str::to_owned)
}

async fn push(
    state: &State,
    certified_topic: &str,
    refused: Option<Answer>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let number = state.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let id = header("apns-id").map_or_else(|| format!("00000000-0000-4000-8000-{number:012x}"), str::to_owned);
    let refuse = |status, reason| respond(status, &id, &json!({ "reason": reason }));

    if head.method != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
    }
    let Some(token) = head.uri.path().strip_prefix("/3/device/").filter(|token| !token.contains('/')) else {
        return refuse(StatusCode::NOT_FOUND, "BadPath");
    };
    match header("apns-topic") {
        None => return refuse(StatusCode::BAD_REQUEST, "MissingTopic"),
        Some(topic) if topic != certified_topic => return refuse(StatusCode::BAD_REQUEST, "TopicDisallowed"),
        Some(_) => {}
    }
    let Ok(payload) = Limited::new(body, MAX_PAYLOAD_BYTES).collect().await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge");
    };
    match &payload.to_bytes()[..] {
        b"" => return refuse(StatusCode::BAD_REQUEST, "PayloadEmpty"),
        b"{}" => {}
        // Apple ignores what is inside; a sender that puts something there has misunderstood, and should hear of it.
        _ => return refuse(StatusCode::BAD_REQUEST, "PayloadOfPassMustBeEmptyObject"),
    }
    let digits = token.len();
    if !(MIN_TOKEN_DIGITS..=MAX_TOKEN_DIGITS).contains(&digits) || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        return refuse(StatusCode::BAD_REQUEST, "BadDeviceToken");
    }

    if let Some(count) = state.asked.lock().get_mut(&token.to_ascii_lowercase()) {
        *count += 1;
    }
    let of_token = || state.answers.lock().get(&token.to_ascii_lowercase()).copied().unwrap_or_default();
    let answer = refused.unwrap_or_else(of_token);
    match answer {
        Answer::Accepted => {
            state.accepted.fetch_add(1, Ordering::Relaxed);
            let push = Push { token: token.to_owned(), topic: certified_topic.to_owned(), id: id.clone() };
            // No subscriber means that no phone is switched on.
            let _ = state.pushes.send(push);
            respond(StatusCode::OK, &id, &serde_json::Value::Null)
        }
        Answer::Silence => std::future::pending().await,
        Answer::Unregistered { timestamp_ms } => {
            respond(StatusCode::GONE, &id, &json!({ "reason": answer.reason(), "timestamp": timestamp_ms }))
        }
        _ => refuse(answer.status(), answer.reason()),
    }
}

fn respond(status: StatusCode, id: &str, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if let Ok(id) = id.parse() {
        response.headers_mut().insert("apns-id", id);
    }
    response
}
