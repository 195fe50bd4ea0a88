//! When to try again.

use std::time::Duration;

use domain::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Pause in seconds before each attempt, the first included: the example schedule of Standard Webhooks 1.0.0.
const SCHEDULE: [u64; 10] = [0, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// How far a pause is moved to either side, in percent of it.
const JITTER_PERCENT: u64 = 20;
/// Longest wait that a receiver can ask for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * HOUR);
/// Attempts that a delivery gets in all.
pub const MAX_ATTEMPTS: u32 = 10;
/// Longest `Retry-After` header that is looked at, in bytes.
const MAX_HEADER_BYTES: usize = 64;

/// How long to wait before the next attempt after `made` of them, or nothing when there is no next one. `random` is any
/// uniformly drawn number and moves the pause by up to a fifth to either side.
pub fn delay(made: u32, random: u64) -> Option<Duration> {
    let base = *SCHEDULE.get(usize::try_from(made).ok()?)? * 1_000;
    let spread = base * JITTER_PERCENT / 100;
    let moved = base - spread + random % (2 * spread + 1);
    Some(Duration::from_millis(moved))
}

/// How a shape of webhook is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Pauses in seconds before the second and later attempts; none takes the schedule of Standard Webhooks.
    pub pauses: Option<&'static [u64]>,
    /// Deliveries given up one after another after which a target is switched off.
    pub disable_after: Option<u32>,
    /// Most targets of an organization.
    pub most_targets: Option<usize>,
    /// Time for one request; none takes what is set for every target.
    pub deadline: Option<Duration>,
}

impl Profile {
    /// The schedule of Standard Webhooks, without more limits.
    pub const STANDARD: Self = Self { pauses: None, disable_after: None, most_targets: None, deadline: None };

    /// How long to wait before the next attempt after `made` of them, not before the moment that the receiver asked for;
    /// nothing when there is no next one.
    pub fn next(self, made: u32, asked: Option<Duration>, random: u64) -> Option<Duration> {
        let Some(pauses) = self.pauses else { return next(made, asked, random) };
        let pause = *pauses.get(usize::try_from(made.checked_sub(1)?).ok()?)?;
        Some(Duration::from_secs(pause).max(asked.unwrap_or_default().min(MAX_RETRY_AFTER)))
    }
}

/// [`delay`], but not before the moment that the receiver asked for.
pub fn next(made: u32, asked: Option<Duration>, random: u64) -> Option<Duration> {
    delay(made, random).map(|pause| pause.max(asked.unwrap_or_default().min(MAX_RETRY_AFTER)))
}

/// A `Retry-After` header (RFC 9110, 10.2.3): seconds, or an HTTP date seen from `now`. Nothing when it is neither or
/// lies in the past; at most [`MAX_RETRY_AFTER`].
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let text = header.trim();
    if text.is_empty() || text.len() > MAX_HEADER_BYTES {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let wait = Timestamp::from_http_date(text)?.since(now);
    (!wait.is_zero()).then(|| wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_attempts_over_three_days() {
        assert_eq!(delay(0, 5), Some(Duration::ZERO));
        assert_eq!(delay(1, 0), Some(Duration::from_secs(4)));
        assert_eq!(delay(1, 2_000), Some(Duration::from_secs(6)));
        assert!(delay(9, 0).is_some() && delay(MAX_ATTEMPTS, 0).is_none() && delay(u32::MAX, 0).is_none());
        let longest: Duration = (0..MAX_ATTEMPTS).filter_map(|made| delay(made, u64::MAX)).sum();
        assert!(longest < Duration::from_secs(4 * 24 * HOUR));
    }

    #[test]
    fn receivers_can_ask_for_time() {
        let now = Timestamp::from_seconds(784_111_777);
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1904 08:49:37 GMT", None),
            ("99999999999999999999999999", Some(24 * HOUR)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(24 * HOUR)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (header, seconds) in cases {
            assert_eq!(retry_after(header, now), seconds.map(Duration::from_secs), "{header:?}");
        }
        assert_eq!(next(1, Some(Duration::from_secs(60)), 0), Some(Duration::from_secs(60)));
        assert_eq!(next(2, Some(Duration::from_secs(60)), 0), Some(Duration::from_secs(240)));
        assert_eq!(next(10, Some(Duration::from_secs(60)), 0), None);
    }

    #[test]
    fn a_vendor_s_own_schedule_is_kept() {
        let profile = Profile { pauses: Some(&[1, 30, 300]), ..Profile::STANDARD };
        let pauses: Vec<_> = (1..6).map(|made| profile.next(made, None, 7).map(|pause| pause.as_secs())).collect();
        assert_eq!(pauses, [Some(1), Some(30), Some(300), None, None]);
        assert_eq!(profile.next(1, Some(Duration::from_secs(9)), 0), Some(Duration::from_secs(9)));
        assert_eq!(profile.next(0, None, 0), None);
        assert_eq!(Profile::STANDARD.next(1, None, 0), Some(Duration::from_secs(4)));
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(made in 0u32..10, random: u64) {
            let base = SCHEDULE[made as usize] as f64;
            let got = delay(made, random).unwrap().as_secs_f64();
            prop_assert!((got - base).abs() <= base * 0.2 + 0.001);
        }

        #[test]
        fn any_header_is_answered(header in ".*", now: i64) {
            let wait = retry_after(&header, Timestamp::from_micros(now));
            prop_assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
        }
    }
}
