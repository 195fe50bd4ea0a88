//! What an answer of Google's REST interface means for whoever asked.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

/// Wait after too many requests; Google names none, its windows are a second and a minute.
const RATE_RETRY: Duration = Duration::from_secs(60);
/// Wait after too many notifications: three per pass in 24 hours.
const NOTIFICATION_RETRY: Duration = Duration::from_secs(24 * 60 * 60);
/// Characters of Google's own words that are kept.
const MAX_WHY_CHARACTERS: usize = 500;
/// Bytes of an answer that are read for its words.
const MAX_READ_BYTES: usize = 64 * 1024;

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// There is no such class or object: insert it.
    NotFound,
    /// It exists already: patch it.
    Conflict,
    /// Too much was asked for.
    QuotaExceeded {
        /// What there was too much of.
        quota: Quota,
        /// When to ask again.
        retry: Duration,
    },
    /// The access token is no longer good: fetch a new one and ask again, once.
    TokenExpired,
    /// It will be refused again: a person must change something.
    Denied {
        /// Google's words.
        why: String,
        /// What to change.
        mend: &'static str,
    },
    /// A fault on Google's side or on the way: ask again, later each time.
    Retry,
}

/// What Google counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Requests.
    Requests,
    /// Notifications to the holder: send the message as plain text instead.
    Notifications,
}

#[derive(Deserialize, Default)]
struct Reply {
    #[serde(default)]
    error: Fault,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Fault {
    message: String,
    status: String,
    errors: Vec<Reason>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reason {
    reason: String,
}

/// Judges an answer by its status and body; every status and every body has a verdict.
#[must_use]
pub fn judge(status: StatusCode, body: &[u8]) -> Verdict {
    if status.is_success() {
        return Verdict::Done;
    }
    let body = &body[..body.len().min(MAX_READ_BYTES)];
    let fault = serde_json::from_slice::<Reply>(body).unwrap_or_default().error;
    if let Some(quota) = exceeded(status, &fault) {
        let retry = match quota {
            Quota::Requests => RATE_RETRY,
            Quota::Notifications => NOTIFICATION_RETRY,
        };
        return Verdict::QuotaExceeded { quota, retry };
    }
    match status {
        StatusCode::NOT_FOUND => Verdict::NotFound,
        StatusCode::CONFLICT => Verdict::Conflict,
        StatusCode::UNAUTHORIZED => Verdict::TokenExpired,
        StatusCode::REQUEST_TIMEOUT => Verdict::Retry,
        status if status.is_server_error() || status.is_informational() => Verdict::Retry,
        status => Verdict::Denied { why: why(status, &fault, body), mend: mend(status) },
    }
}

fn exceeded(status: StatusCode, fault: &Fault) -> Option<Quota> {
    let reasons =
        || fault.errors.iter().map(|error| error.reason.as_str()).chain([fault.status.as_str(), fault.message.as_str()]);
    let says = |word: &str| reasons().any(|text| text.to_ascii_lowercase().contains(word));
    let over = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN
            && (says("quotaexceeded") || says("ratelimitexceeded") || says("resource_exhausted") || says("quota exceeded")));
    if !over {
        return None;
    }
    // Requests are counted by rate-limit names; QuotaExceededException is how addMessage refuses a fourth notification.
    let notifications = says("quotaexceededexception") || says("notification");
    Some(if notifications { Quota::Notifications } else { Quota::Requests })
}

fn why(status: StatusCode, fault: &Fault, body: &[u8]) -> String {
    let words = if fault.message.is_empty() { String::from_utf8_lossy(body).into_owned() } else { fault.message.clone() };
    let words: String = words.chars().filter(|c| !c.is_control()).take(MAX_WHY_CHARACTERS).collect();
    if words.is_empty() { format!("Google answered {status} without a reason") } else { words }
}

fn mend(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => {
            "add the service account as a user of the issuer in the Google Wallet console, enable the Google Wallet API in its project, and check the issuer's number"
        }
        StatusCode::BAD_REQUEST => "correct the class or object as Google says; `validate` names most faults beforehand",
        StatusCode::PAYLOAD_TOO_LARGE => "make the class or object smaller",
        _ => "check the address of the interface and the request",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict {
        judge(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn answers_and_their_meaning() {
        assert_eq!(verdict(200, "{}"), Verdict::Done);
        assert_eq!(verdict(404, r#"{"error":{"errors":[{"reason":"classNotFound"}]}}"#), Verdict::NotFound);
        assert_eq!(verdict(409, r#"{"error":{"errors":[{"reason":"existingResource"}]}}"#), Verdict::Conflict);
        assert_eq!(verdict(401, ""), Verdict::TokenExpired);
        assert_eq!(verdict(500, "<html>"), Verdict::Retry);
        assert_eq!(verdict(503, ""), Verdict::Retry);
        assert_eq!(verdict(408, ""), Verdict::Retry);
        let rate = Verdict::QuotaExceeded { quota: Quota::Requests, retry: RATE_RETRY };
        assert_eq!(verdict(429, ""), rate);
        assert_eq!(verdict(403, r#"{"error":{"errors":[{"reason":"rateLimitExceeded"}]}}"#), rate);
        let notify = Verdict::QuotaExceeded { quota: Quota::Notifications, retry: NOTIFICATION_RETRY };
        assert_eq!(verdict(403, r#"{"error":{"message":"QuotaExceededException: too many"}}"#), notify);
    }

    #[test]
    fn a_refusal_says_why_and_what_to_change() {
        let body = r#"{"error":{"code":403,"message":"Service account lacks access\nto issuer","status":"PERMISSION_DENIED"}}"#;
        let Verdict::Denied { why, mend } = verdict(403, body) else { panic!("denied") };
        assert_eq!(why, "Service account lacks accessto issuer");
        assert!(mend.contains("Google Wallet console"));
        let Verdict::Denied { why, .. } = verdict(400, &"x".repeat(9000)) else { panic!("denied") };
        assert_eq!(why.chars().count(), MAX_WHY_CHARACTERS);
    }

    proptest! {
        #[test]
        fn every_answer_has_a_verdict(status in 100u16..1000, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let status = StatusCode::from_u16(status).unwrap();
            prop_assert_eq!(judge(status, &body) == Verdict::Done, status.is_success());
        }
    }
}
