//! A request that reached us, and what a source makes of it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::{SourceEvent, Timestamp};
use http::{HeaderMap, Method};
use uuid::Uuid;

use super::{InflateError, Settings, WriteKey};

/// By which door a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// The source's own webhook address; extra path segments mean nothing.
    Webhook,
    /// The vendor's own API paths, so that its clients work unchanged.
    Api,
}

/// A request as a source reads it.
#[derive(Clone)]
pub struct Inbound {
    /// By which door it came.
    pub entrance: Entrance,
    /// Its method.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
    /// Decoded path segments below the place where the source is mounted.
    pub path: Vec<String>,
    /// Decoded query parameters in order.
    pub query: Vec<(String, String)>,
    /// The body, already inflated.
    pub body: Bytes,
}

impl Inbound {
    /// A header as text, when it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    /// The first query parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Headers, parameters and bodies carry credentials and personal data: only their names and sizes are shown.
impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("entrance", &self.entrance)
            .field("method", &self.method)
            .field("headers", &self.headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>())
            .field("segments", &self.path.len())
            .field("query", &self.query.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// A request whose sender has proved who it is. Only a connector's `verify` makes one.
#[derive(Debug, Clone)]
pub struct Authentic {
    inbound: Inbound,
    credential: Option<WriteKey>,
}

impl Authentic {
    pub(crate) const fn vouch(inbound: Inbound, credential: Option<WriteKey>) -> Self {
        Self { inbound, credential }
    }
    /// The request.
    pub const fn inbound(&self) -> &Inbound {
        &self.inbound
    }
    /// `text` with the credential that came with the request blotted out.
    pub(crate) fn blot(&self, text: &str) -> String {
        match self.credential.as_ref().map(WriteKey::expose) {
            Some(key) if !key.is_empty() => text.replace(key, "[write key]"),
            _ => text.to_owned(),
        }
    }
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It carries no credential.
    #[error("no write key: send it as the user name of HTTP Basic, as a Bearer token, in X-Write-Key or as ?writeKey=")]
    Missing,
    /// It carries a wrong one.
    #[error("the write key is not the one of this source")]
    Wrong,
    /// It carries no signature, or one that cannot be read.
    #[error("no signature that can be read: the header {0} is missing or malformed")]
    Unsigned(&'static str),
    /// No signing secret of the source made its signature.
    #[error(
        "the signature in {0} fits none of the source's signing secrets: check the secret, and that nothing changes the body on its way"
    )]
    Forged(&'static str),
    /// It was signed too long ago, or ahead of our clock.
    #[error("the signature's time is more than {0} seconds from now: check the clock, or send the event anew")]
    Stale(i64),
    /// The source has no signing secret yet: nothing can be told about the request.
    #[error("the source has no signing secret yet: add the one that the sender shows")]
    NoSecret,
}

impl Refused {
    /// The status to answer with: 401, but 503 when what is missing is ours, so that the sender comes again.
    pub const fn status(self) -> u16 {
        match self {
            Self::NoSecret => 503,
            Self::Missing | Self::Wrong | Self::Unsigned(_) | Self::Forged(_) | Self::Stale(_) => 401,
        }
    }
}

/// What is handed in beside the request.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// When the request reached us.
    pub received_at: Timestamp,
    /// A fresh id; ids of events that bring none and cannot be recognised are derived from it.
    pub fresh: Uuid,
    /// Whether one event that cannot be read fails the whole request.
    pub strict: bool,
    /// The source's settings.
    pub settings: &'a Settings,
}

/// What a source made of a request. To be stored first and answered then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The events, in the order of the request.
    pub events: Vec<SourceEvent>,
    /// What could not be read; kept for people to look at.
    pub faults: Vec<Fault>,
    /// Events whose sender asked that we leave them alone.
    pub switched_off: usize,
    /// What to answer once the above is durable.
    pub answer: Answer,
}

/// The answer to a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body, `text/plain; charset=utf-8`.
    pub text: String,
}

impl Answer {
    /// Everything was taken.
    pub(crate) fn ok() -> Self {
        Self { status: 200, text: "OK".to_owned() }
    }
    /// What cannot be read is kept: told to people in words, to programs by the 200 that keeps them from trying for ever.
    pub(crate) fn parked(fault: &Fault) -> Self {
        let colon = if fault.path.is_empty() { "" } else { ": " };
        Self { status: 200, text: format!("kept, though it cannot be read: {}{colon}{}", fault.path, fault.message) }
    }
}

impl Decoded {
    /// Of a request whose body cannot even be unpacked: nobody can mend it by sending it again, so it is kept as it came, in
    /// base64.
    #[must_use]
    pub fn packed(authentic: &Authentic, strict: bool, why: InflateError) -> Self {
        let body = &authentic.inbound().body;
        let head = &body[..body.len().min(Fault::MAX_RAW_BYTES / 4 * 3)];
        let raw = authentic.blot(&STANDARD.encode(head));
        let fault = Fault { path: String::new(), message: why.to_string(), raw };
        let answer = if strict { Answer { status: why.status(), text: why.to_string() } } else { Answer::parked(&fault) };
        Self { events: Vec::new(), faults: vec![fault], switched_off: 0, answer }
    }
}

/// An event, or a request, that could not be read.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `batch[3].context.traits`; empty is the whole request.
    pub path: String,
    /// What is wrong and what to change.
    pub message: String,
    /// The text at fault, at most [`Fault::MAX_RAW_BYTES`], without the write key.
    pub raw: String,
}

impl Fault {
    /// Most bytes that are kept of what could not be read.
    pub const MAX_RAW_BYTES: usize = 32 * 1024;
}

/// What could not be read may be personal: only its size is shown.
impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("path", &self.path)
            .field("message", &self.message)
            .field("raw_bytes", &self.raw.len())
            .finish()
    }
}

/// The first `limit` bytes of a text, cut between characters.
pub(crate) fn head(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
