//! The four times of an event.

use domain::Timestamp;

use crate::kit::json::{self, Kind, Object};

/// Numbers from here on are milliseconds since the epoch, smaller ones seconds: 10^11 s lies in the year 5138.
const FIRST_MILLIS: f64 = 1e11;
/// 9999-12-31T23:59:59Z in seconds, the last time that RFC 3339 can write.
const LAST_SECOND: i64 = 253_402_300_799;

/// When an event happened, was sent and was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// By the client's clock.
    pub(super) original: Timestamp,
    /// By the client's clock.
    pub(super) sent: Timestamp,
    /// By the clock of whoever took it first.
    pub(super) received: Timestamp,
    /// When it happened, corrected by how wrong the client's clock is; never after we received it.
    pub(super) corrected: Timestamp,
    /// Whether the sender told when it happened.
    pub(super) told: bool,
}

impl Times {
    /// `forwarded` is whether somebody took the event before us and worked out its `timestamp`. `batch_sent` is the
    /// `sentAt` of the batch, for events without one.
    pub(super) fn of(event: &Object<'_>, forwarded: bool, batch_sent: Option<Timestamp>, now: Timestamp) -> Self {
        let at = |key: &str| event.given(key).and_then(parse);
        let (given, original, sent, received) =
            (at("timestamp"), at("originalTimestamp"), at("sentAt").or(batch_sent), at("receivedAt"));
        let happened = original.or(given);
        let told = happened.is_some();
        let already = given.filter(|_| forwarded && received.is_some());
        let received = received.filter(|time| forwarded && *time <= now).unwrap_or(now);
        let original = happened.or(sent).unwrap_or(received);
        let sent = sent.unwrap_or(received);
        let corrected = already.or_else(|| correct(original, sent, received)).unwrap_or(original).min(now);
        Self { original, sent, received, corrected, told }
    }
}

/// `received − (sent − original)`, when the client told both and the result is a time of our era. An event without
/// `sentAt` counts as sent when received, which leaves its own time as it is.
fn correct(original: Timestamp, sent: Timestamp, received: Timestamp) -> Option<Timestamp> {
    let delay = sent.as_micros().checked_sub(original.as_micros())?;
    let micros = received.as_micros().checked_sub(delay)?;
    (micros >= 0).then(|| Timestamp::from_micros(micros))
}

/// A time as senders write it: RFC 3339, the same without a zone (UTC), or a number of seconds or milliseconds since the
/// epoch. Nothing before 1970.
pub(crate) fn parse(value: &str) -> Option<Timestamp> {
    let time = match json::kind(value) {
        Kind::Text => {
            let text = json::text(value)?;
            let text = text.trim();
            text.parse().ok().or_else(|| format!("{text}Z").parse().ok()).or_else(|| format!("{text}T00:00:00Z").parse().ok())?
        }
        Kind::Number => {
            let number: f64 = value.parse().ok()?;
            let seconds = if number >= FIRST_MILLIS { number / 1e3 } else { number };
            (seconds <= LAST_SECOND as f64).then(|| Timestamp::from_micros((seconds * 1e6) as i64))?
        }
        _ => return None,
    };
    (time.as_micros() >= 0 && time.as_seconds() <= LAST_SECOND).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn times(event: &str, forwarded: bool) -> Times {
        Times::of(&Object::parse(event).unwrap(), forwarded, None, NOW.parse().unwrap())
    }

    #[test]
    fn the_client_s_clock_is_corrected() {
        // The clock is an hour slow and the event waited ten minutes.
        let slow = times(r#"{"originalTimestamp":"2026-11-20T10:50:00Z","sentAt":"2026-11-20T11:00:00.000Z"}"#, false);
        assert_eq!(slow.corrected.to_string(), "2026-11-20T11:50:00Z");
        let fast = times(r#"{"timestamp":"2027-01-01T00:00:00Z","sentAt":"2027-01-01T00:00:00Z"}"#, false);
        assert_eq!(fast.corrected.to_string(), NOW);
        let future = times(r#"{"timestamp":"2027-01-01T00:00:00Z"}"#, false);
        assert_eq!((future.corrected.to_string().as_str(), future.told), (NOW, true));
        let past = times(r#"{"timestamp":"2020-01-01T00:00:00Z"}"#, false);
        assert_eq!(past.corrected.to_string(), "2020-01-01T00:00:00Z");
        assert!(!times("{}", false).told);
        let absurd = times(r#"{"originalTimestamp":"1970-01-01T00:00:01Z","sentAt":"9999-12-31T23:59:59Z"}"#, false);
        assert_eq!(absurd.corrected.to_string(), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn a_forwarded_event_keeps_its_corrected_time() {
        let event = r#"{"originalTimestamp":"2026-11-20T10:00:00Z","sentAt":"2026-11-20T10:00:00Z",
            "receivedAt":"2026-11-20T11:30:00Z","timestamp":"2026-11-20T11:30:00Z"}"#;
        let through_us = times(event, true);
        assert_eq!(through_us.corrected.to_string(), "2026-11-20T11:30:00Z");
        assert_eq!(through_us.received.to_string(), "2026-11-20T11:30:00Z");
        let direct = times(event, false);
        assert_eq!(direct.corrected.to_string(), NOW, "a client cannot say when we received it");
    }

    #[test]
    fn times_have_many_forms() {
        let cases = [
            ("\"2026-11-20T09:30:00.123456+00:00\"", Some("2026-11-20T09:30:00.123456Z")),
            ("\"2026-11-20T09:30:00\"", Some("2026-11-20T09:30:00Z")),
            ("\"2026-11-20 09:30:00\"", Some("2026-11-20T09:30:00Z")),
            ("\"2026-11-20\"", Some("2026-11-20T00:00:00Z")),
            ("1763631000", Some("2025-11-20T09:30:00Z")),
            ("1763631000123", Some("2025-11-20T09:30:00.123Z")),
            ("\"yesterday\"", None),
            ("\"1960-01-01T00:00:00Z\"", None),
            ("1e300", None),
            ("-5", None),
            ("{}", None),
        ];
        for (given, expected) in cases {
            assert_eq!(parse(given).map(|time| time.to_string()).as_deref(), expected, "{given}");
        }
    }
}
