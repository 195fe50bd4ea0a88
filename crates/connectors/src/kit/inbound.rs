//! A request that reached us, and what a source makes of it.

use std::fmt;

use bytes::Bytes;
use domain::{SourceEvent, Timestamp};
use http::HeaderMap;
use uuid::Uuid;

use super::WriteKey;

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
    credential: WriteKey,
}

impl Authentic {
    pub(crate) const fn vouch(inbound: Inbound, credential: WriteKey) -> Self {
        Self { inbound, credential }
    }
    /// The request.
    pub const fn inbound(&self) -> &Inbound {
        &self.inbound
    }
    /// `text` with the credential that came with the request blotted out.
    pub(crate) fn blot(&self, text: &str) -> String {
        let key = self.credential.expose();
        if key.is_empty() { text.to_owned() } else { text.replace(key, "[write key]") }
    }
}

/// Why a request is not let in. Always answered with 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It carries no credential.
    #[error("no write key: send it as the user name of HTTP Basic, as a Bearer token, in X-Write-Key or as ?writeKey=")]
    Missing,
    /// It carries a wrong one.
    #[error("the write key is not the one of this source")]
    Wrong,
}

/// What is handed in beside the request.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When the request reached us.
    pub received_at: Timestamp,
    /// A fresh id; ids of events that bring none and cannot be recognised are derived from it.
    pub fresh: Uuid,
    /// Whether one event that cannot be read fails the whole request.
    pub strict: bool,
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
