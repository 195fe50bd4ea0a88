//! A request that we owe somebody, and what their reply means.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::{DeliveryId, Event, Timestamp};
use http::{HeaderMap, Method};

use super::retry;

/// An event that is owed to a target.
#[derive(Debug, Clone, Copy)]
pub struct Owed<'a> {
    /// What happened.
    pub event: &'a Event,
    /// The delivery, the same on every attempt.
    pub delivery: DeliveryId,
    /// Our own address, without a slash at its end.
    pub public_url: &'a str,
    /// Of a message to its holder: the page where they say that they want no more of them.
    pub unsubscribe: Option<&'a str>,
    /// What was made of the event for other targets already; without it each makes its own.
    pub bodies: Option<&'a Bodies>,
}

impl Owed<'_> {
    /// The body that a shape makes of the event for whichever target: made once for all of them, under the shape's name.
    pub(crate) fn body(&self, shape: &'static str, make: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        let Some(Bodies(made)) = self.bodies else { return make() };
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, body)) = made.iter().find(|(of, _)| *of == shape) {
            return Some(body.clone());
        }
        let body = make()?;
        made.push((shape, body.clone()));
        Some(body)
    }
}

/// The bodies that shapes made of one event, by their names, so that an event that is owed to many targets is put into words
/// once.
#[derive(Debug, Default)]
pub struct Bodies(Mutex<Vec<(&'static str, Bytes)>>);

/// A request, ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Where to, as it was configured.
    pub url: String,
    /// Headers, without those of the connection.
    pub headers: HeaderMap,
    /// The body, byte for byte what the signatures cover.
    pub body: Bytes,
}

/// A request and the events that it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// What to send, or why these events can never be told.
    pub request: Result<Request, String>,
    /// For each record of the request, indices into the events that were to be rendered. Several events of one record become
    /// one where only the newest state counts.
    pub covers: Vec<Vec<usize>>,
}

impl Sending {
    /// A request that carries one event.
    pub fn of_one(request: Request, event: usize) -> Self {
        Self { request: Ok(request), covers: vec![vec![event]] }
    }
    /// An event that can never be told.
    pub fn never(why: impl Into<String>, event: usize) -> Self {
        Self { request: Err(why.into()), covers: vec![vec![event]] }
    }
}

/// How much a destination takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Most events that are rendered together.
    pub events: usize,
    /// How long the first of them waits for others.
    pub linger: Duration,
    /// Least time between the beginnings of two requests of one node.
    pub pause: Duration,
    /// Least time from an answer to the beginning of the next request of one node, for services that count one request at a time by
    /// when it comes; then there is never more than one under way. Zero where that does not matter.
    pub rest: Duration,
}

impl Pace {
    /// One event a request, at once.
    pub const SINGLE: Self = Self { events: 1, linger: Duration::ZERO, pause: Duration::ZERO, rest: Duration::ZERO };
}

/// A request that was sent, and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// It.
    pub request: &'a Request,
    /// What came back; nothing when it failed on the way.
    pub reply: Option<&'a Reply>,
    /// How many records it carries: one outcome each.
    pub records: usize,
    /// The present.
    pub now: Timestamp,
}

/// What a reply means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The outcome of each record, in their order.
    Each(Vec<Outcome>),
    /// The request failed as a whole, perhaps for the sake of one record: its events are to be sent in two halves. Of a request
    /// with one record the outcome is this.
    Split(Outcome),
    /// The token is not taken any more: with a new one, the same again.
    Renew,
}

impl Sent<'_> {
    /// The same for every record.
    pub fn all(&self, outcome: Outcome) -> Verdict {
        Verdict::Each(vec![outcome; self.records])
    }
    /// When to try again by the reply's `Retry-After`.
    pub fn asked(&self) -> Option<Duration> {
        asked(self.reply?, self.now)
    }
}

/// Addresses, headers and bodies carry credentials and personal data: only names and sizes are shown.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("headers", &self.headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, capped by whoever sent the request.
    pub body: Bytes,
}

/// Bodies may be anything: only sizes are shown.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// What became of an event that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Delivered,
    /// Try again, not before the receiver's wish when there is one.
    Retry {
        /// What the receiver asked for.
        after: Option<Duration>,
    },
    /// It will never be taken; other events may be.
    Reject {
        /// Why, without a personal value.
        reason: String,
        /// The receiver's own words, which may hold some.
        said: Option<String>,
    },
    /// The receiver wants nothing any more.
    Disable {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// It will never be taken.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject { reason: reason.into(), said: None }
    }
    /// Try again when it is due anyhow.
    pub const fn later() -> Self {
        Self::Retry { after: None }
    }
}

/// What a reply means to a sender of webhooks, by Standard Webhooks 1.0.0: 2xx is taken, 410 ends the subscription,
/// a redirect is not followed and is a failure. Too large (413, 414, 431) will stay too large, as every attempt sends
/// the same bytes. Everything else, no reply included, may be mended by people and is tried again.
pub fn judge(reply: Option<&Reply>, now: Timestamp) -> Outcome {
    let Some(reply) = reply else { return Outcome::Retry { after: None } };
    match reply.status {
        200..=299 => Outcome::Delivered,
        410 => Outcome::Disable { reason: "the receiver answered 410 Gone: it wants no more events".to_owned() },
        413 | 414 | 431 => {
            Outcome::reject(format!("the receiver answered {}: the request is larger than it takes", reply.status))
        }
        _ => Outcome::Retry { after: asked(reply, now) },
    }
}

fn asked(reply: &Reply, now: Timestamp) -> Option<Duration> {
    retry::retry_after(reply.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, after: Option<&'static str>) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(http::header::RETRY_AFTER, http::HeaderValue::from_static(after));
        }
        Reply { status, headers, body: Bytes::new() }
    }

    #[test]
    fn every_status_has_an_outcome() {
        let now = Timestamp::from_seconds(0);
        for status in 0..=u16::MAX {
            let outcome = judge(Some(&reply(status, None)), now);
            assert_eq!(outcome == Outcome::Delivered, (200..300).contains(&status), "{status}");
            assert_eq!(matches!(outcome, Outcome::Disable { .. }), status == 410, "{status}");
            assert_eq!(matches!(outcome, Outcome::Reject { .. }), [413, 414, 431].contains(&status), "{status}");
        }
        assert_eq!(judge(None, now), Outcome::Retry { after: None });
        let asked = judge(Some(&reply(429, Some("30"))), now);
        assert_eq!(asked, Outcome::Retry { after: Some(Duration::from_secs(30)) });
        assert_eq!(judge(Some(&reply(503, Some("never"))), now), Outcome::Retry { after: None });
    }
}
