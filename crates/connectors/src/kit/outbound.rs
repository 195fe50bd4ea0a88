//! A request that we owe somebody, and what their reply means.

use std::fmt;
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
}

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
    /// What to send.
    pub request: Request,
    /// Indices into the events that were to be rendered.
    pub covers: Vec<usize>,
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
        /// Why.
        reason: String,
    },
    /// The receiver wants nothing any more.
    Disable {
        /// Why.
        reason: String,
    },
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
            Outcome::Reject { reason: format!("the receiver answered {}: the request is larger than it takes", reply.status) }
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
