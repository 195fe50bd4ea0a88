//! What waits in the store, key by key, so that nothing overtakes it.
//!
//! What is set aside in memory waits in its own lane and is not among this; neither are replays until they are read.

use std::{collections::HashMap, time::Duration};

use domain::Timestamp;
use store::{InboxEntry, WaitingKey};

use super::Key;

/// What waits of one key.
#[derive(Debug, Clone, Copy)]
struct Waits {
    /// The earliest event of it.
    seq: u64,
    /// When that one is due.
    due: Timestamp,
    /// When all of it is.
    all_due: Timestamp,
}

impl Waits {
    /// Lets one more wait behind all that does; answers with until when.
    fn behind(&mut self, now: Timestamp) -> Timestamp {
        self.all_due = self.all_due.max(now);
        self.all_due
    }
}

/// What waits of all keys of a shard.
#[derive(Debug, Default)]
pub(crate) struct Held(HashMap<Key, Waits>);

impl Held {
    pub(crate) fn new(keys: &[WaitingKey]) -> Self {
        let waits = |key: &WaitingKey| Waits { seq: key.first, due: key.due_at, all_due: key.all_due_at };
        Self(keys.iter().map(|key| ((key.org, key.order_key), waits(key))).collect())
    }

    /// Until when an event has to wait because an earlier one of its key does: until all that waits of its key is due, so that it
    /// comes after it. One that is read for the first time waits in any case, so that it overtakes nothing that is due already
    /// and was not come to yet.
    pub(crate) fn behind(&mut self, entry: &InboxEntry, now: Timestamp) -> Option<Timestamp> {
        let waits = self.0.get_mut(&(entry.org, entry.order_key))?;
        let goes = entry.position.seq <= waits.seq || (entry.result.is_some() && waits.due <= now);
        (!goes).then(|| waits.behind(now))
    }

    /// Lets an event wait so long, and what is behind it; or behind an earlier one that waits. Answers with until when.
    pub(crate) fn hold(&mut self, key: Key, seq: u64, now: Timestamp, pause: Duration) -> Timestamp {
        let due = now.plus(pause);
        let waits = self.0.entry(key).or_insert(Waits { seq, due, all_due: due });
        // One that was due before this was come to is done with.
        if seq > waits.seq && waits.due > now {
            return waits.behind(now);
        }
        *waits = Waits { seq, due, all_due: waits.all_due.max(due) };
        due
    }

    /// All that was due by then was come to: it is done with, or waits anew.
    pub(crate) fn came_to(&mut self, then: Timestamp) {
        self.0.retain(|_, waits| waits.all_due > then);
    }
}

#[cfg(test)]
mod tests {
    use domain::{OrgId, Position, SourceEventId, SourceId};
    use store::{InboxResult, InboxStatus};

    use super::*;

    const KEY: Key = (OrgId::from_uuid(uuid::Uuid::from_u128(1)), [7; 16]);
    const PAUSE: Duration = Duration::from_secs(5);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn new(seq: u64) -> InboxEntry {
        InboxEntry {
            org: KEY.0,
            id: SourceEventId::from_uuid(uuid::Uuid::from_u128(seq.into())),
            source: SourceId::from_uuid(uuid::Uuid::from_u128(2)),
            position: Position { shard: 0, seq },
            order_key: KEY.1,
            received_at: at(0),
            occurred_at: None,
            name: String::new(),
            payload: None,
            result: None,
        }
    }

    fn known(seq: u64) -> InboxEntry {
        let status = InboxStatus::Waiting.number();
        let result = InboxResult { status, runs: 0, due_at: Some(at(0)), at: at(0), trace: String::new() };
        InboxEntry { result: Some(result), ..new(seq) }
    }

    #[test]
    fn what_comes_after_a_restart_waits_until_all_that_waits_is_due_and_no_longer() {
        let (org, order_key) = KEY;
        let mut held = Held::new(&[WaitingKey { org, order_key, first: 3, due_at: at(10), all_due_at: at(25) }]);
        assert_eq!(held.behind(&new(9), at(0)), Some(at(25)));
        assert_eq!(held.behind(&known(4), at(0)), Some(at(25)), "one that is due before the first is");
        assert_eq!(held.behind(&known(3), at(10)), None, "the first");
        assert_eq!(held.behind(&known(4), at(25)), None);
        assert_eq!(held.behind(&new(10), at(30)), Some(at(30)), "what is due was not come to yet");
        held.came_to(at(29));
        assert_eq!(held.behind(&new(11), at(31)), Some(at(31)));
        held.came_to(at(31));
        assert_eq!(held.behind(&new(12), at(31)), None);
    }

    #[test]
    fn what_finds_no_room_waits_its_time_also_where_an_earlier_one_found_some() {
        let mut held = Held::default();
        assert_eq!(held.hold(KEY, 3, at(0), PAUSE), at(5));
        assert_eq!(held.behind(&new(4), at(1)), Some(at(5)));
        // Both are due; the first finds room and the second none.
        assert_eq!((held.behind(&known(3), at(6)), held.behind(&known(4), at(6))), (None, None));
        assert_eq!(held.hold(KEY, 4, at(6), PAUSE), at(11));
        held.came_to(at(6));
        assert_eq!(held.behind(&new(5), at(7)), Some(at(11)));
    }

    #[test]
    fn what_is_behind_one_that_is_held_waits_as_long() {
        let mut held = Held::default();
        assert_eq!(held.hold(KEY, 3, at(0), PAUSE * 12), at(60));
        assert_eq!(held.hold(KEY, 4, at(0), PAUSE), at(60), "not only its own time");
        assert_eq!(held.hold(KEY, 2, at(1), PAUSE), at(6), "an earlier one");
        assert_eq!(held.behind(&known(3), at(2)), Some(at(60)));
        assert_eq!(held.behind(&new(5), at(7)), Some(at(60)), "after all that waits");
    }
}
