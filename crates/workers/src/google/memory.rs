//! What the lane remembers of a thing between two looks at it, as JSON in its row. Nothing personal.

use std::{collections::BTreeMap, time::Duration};

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use store::{NOTIFICATIONS, NOTIFICATIONS_WITHIN};

use super::{flight::Facts, shapes::Shapes};

/// First pause after a thing failed; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause after a thing failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// Of a class: what was sent last, hashed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) fingerprint: String,
    /// Of a flight's class: what its passes said of the flight last.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) facts: Facts,
    /// Of a flight's class: by which version of the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drawn_by: Option<u32>,
    /// Time of the last message that Google has, microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_at: Option<i64>,
    /// Time of the message that was being sent when this was written: it may have arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sending: Option<i64>,
    /// When messages and news notified, the newest last; at most [`NOTIFICATIONS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notified: Vec<i64>,
    /// What was told of the values whose changes notify, as a keyed hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) noticed: Option<String>,
    /// The hash of what was being told with a notification when this was written: it may have arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) noticing: Option<String>,
    /// Of a project: the last pass that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
    /// Of an account: the keys that were ever sent, by what they were sent for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) shapes: Shapes,
    /// Of a dry run: the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dry_run: Option<String>,
    /// Of a dry run: what Google said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checked: Option<store::GoogleChecked>,
    /// Failures in a row.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) tries: u32,
    /// Why the last try failed, and what to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// Of an account: what the last comparison with Google found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drift: Option<store::GoogleDrift>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Memory {
    /// What cannot be read is forgotten: at worst something is done again.
    pub(super) fn read(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or_default()
    }

    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether another message may notify.
    pub(super) fn may_notify(&self, now: Timestamp) -> bool {
        let since = now.minus(NOTIFICATIONS_WITHIN).as_micros();
        self.notified.iter().filter(|at| **at > since).count() < NOTIFICATIONS as usize
    }

    pub(super) fn has_notified(&mut self, now: Timestamp) {
        self.notified.push(now.as_micros());
        let old = self.notified.len().saturating_sub(NOTIFICATIONS as usize);
        self.notified.drain(..old);
    }

    /// Google notifies no more for now, whoever used the allowance up.
    pub(super) fn has_no_more(&mut self, now: Timestamp) {
        (0..NOTIFICATIONS).for_each(|_| self.has_notified(now));
    }

    /// Notes a failure and says how long to wait.
    pub(super) fn failed(&mut self, why: String) -> Duration {
        self.problem = Some(why);
        let pause = FIRST_PAUSE.saturating_mul(1 << self.tries.min(16)).min(LONGEST_PAUSE);
        self.tries = self.tries.saturating_add(1);
        pause
    }

    pub(super) fn succeeded(&mut self) {
        self.tries = 0;
        self.problem = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_messages_notify_in_a_day() {
        let mut memory = Memory::default();
        let start = Timestamp::from_seconds(1_800_000_000);
        for minute in 0..3 {
            let now = start.plus(Duration::from_secs(minute * 60));
            assert!(memory.may_notify(now));
            memory.has_notified(now);
        }
        assert!(!memory.may_notify(start.plus(Duration::from_secs(86_399))));
        assert!(memory.may_notify(start.plus(Duration::from_secs(86_401))));
        assert_eq!(Memory::read(&memory.write()), memory);
        assert_eq!(Memory::read("?"), Memory::default());
    }

    #[test]
    fn pauses_grow_to_a_bound_and_end_with_success() {
        let mut memory = Memory::default();
        let pauses: Vec<_> = (0..20).map(|_| memory.failed("no".to_owned())).collect();
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!((pauses[0], pauses[19]), (FIRST_PAUSE, LONGEST_PAUSE));
        memory.succeeded();
        assert_eq!(memory, Memory::default());
    }
}
