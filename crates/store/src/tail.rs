//! The newest source events of a shard, kept for whoever handles them here.
//!
//! What this process wrote down it need not read back: an event goes from the transaction that took it in to the flows
//! without being sealed, stored, found and opened in between. A tail is memory of what is in the store, and never more: it is
//! filled after the commit, it answers only where it has every event from the place that is asked for, and whatever it lacks
//! is read from the store: what another node took in, what came before somebody followed, and what there was no room for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use crate::{InboxEntry, Store, error::Result};

/// How much the tails of all shards keep, in bytes, each an equal share. When one is full, what comes next is left to be read.
const MOST_BYTES: usize = 8 << 20;
/// What an entry weighs beside its payload, in bytes.
const ENTRY_BYTES: usize = 256;

/// Reads the source events of a shard in their order, the newest of them from memory.
pub struct InboxFollower {
    store: Arc<Store>,
    shard: u16,
    tail: Arc<Mutex<Tail>>,
}

/// Source events of a shard.
#[derive(Debug)]
pub struct InboxPage {
    /// They, in order and without a gap.
    pub entries: Vec<InboxEntry>,
    /// Whether there may be more of them by now, as far as this process knows.
    pub has_more: bool,
}

impl InboxFollower {
    /// The next events after a number.
    pub async fn next(&self, after: u64, limit: u32) -> Result<InboxPage> {
        let kept = self.tail.lock().next(after, limit);
        if let Some(page) = kept {
            return Ok(page);
        }
        let entries = self.store.read_inbox(self.shard, after, limit).await?;
        Ok(InboxPage { has_more: !entries.is_empty(), entries })
    }
}

impl Store {
    /// Follows a shard's inbox. Who followed it before here reads on from the store alone.
    pub fn follow_inbox(self: &Arc<Self>, shard: u16) -> InboxFollower {
        InboxFollower { store: Arc::clone(self), shard, tail: self.tails.follow(shard) }
    }
}

/// The tails that are followed, by shard.
pub(crate) struct Tails {
    shards: Vec<Mutex<Weak<Mutex<Tail>>>>,
    /// How much each keeps, in bytes.
    most_bytes: usize,
}

/// The newest source events of one shard, from when it is followed.
#[derive(Default)]
struct Tail {
    entries: BTreeMap<u64, InboxEntry>,
    bytes: usize,
    /// The greatest number that was taken in here, kept or not.
    head: u64,
}

impl Tails {
    pub(crate) fn new(shards: u16) -> Self {
        let most_bytes = MOST_BYTES / usize::from(shards.max(1));
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), most_bytes }
    }

    fn follow(&self, shard: u16) -> Arc<Mutex<Tail>> {
        let tail = Arc::<Mutex<Tail>>::default();
        if let Some(slot) = self.shards.get(usize::from(shard)) {
            *slot.lock() = Arc::downgrade(&tail);
        }
        tail
    }

    /// Keeps what was written down just now, where somebody follows.
    pub(crate) fn keep(&self, entry: InboxEntry) {
        let tail = self.shards.get(usize::from(entry.position.shard)).and_then(|slot| slot.lock().upgrade());
        if let Some(tail) = tail {
            tail.lock().keep(entry, self.most_bytes);
        }
    }
}

impl Tail {
    /// The next entries after a number; nothing where only the store can tell. What is before them is kept no longer.
    fn next(&mut self, after: u64, limit: u32) -> Option<InboxPage> {
        self.forget(after);
        let mut entries = Vec::new();
        for seq in (after + 1..).take(limit as usize) {
            let Some(entry) = self.take(seq) else { break };
            entries.push(entry);
        }
        let last = entries.last()?.position.seq;
        Some(InboxPage { entries, has_more: self.head > last })
    }

    fn keep(&mut self, entry: InboxEntry, most_bytes: usize) {
        self.head = self.head.max(entry.position.seq);
        let bytes = weight(&entry);
        if self.bytes + bytes <= most_bytes {
            self.bytes += bytes;
            self.entries.insert(entry.position.seq, entry);
        }
    }

    fn take(&mut self, seq: u64) -> Option<InboxEntry> {
        let entry = self.entries.remove(&seq)?;
        self.bytes -= weight(&entry);
        Some(entry)
    }

    fn forget(&mut self, up_to: u64) {
        while let Some((&seq, _)) = self.entries.first_key_value()
            && seq <= up_to
        {
            self.take(seq);
        }
    }
}

fn weight(entry: &InboxEntry) -> usize {
    ENTRY_BYTES + entry.payload.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use domain::{OrgId, Position, SourceEventId, SourceId, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn entry(seq: u64) -> InboxEntry {
        sized(seq, 100)
    }

    fn sized(seq: u64, bytes: usize) -> InboxEntry {
        InboxEntry {
            position: Position { shard: 0, seq },
            org: OrgId::from_uuid(Uuid::from_u128(1)),
            id: SourceEventId::from_uuid(Uuid::from_u128(u128::from(seq))),
            source: SourceId::from_uuid(Uuid::from_u128(2)),
            order_key: [0; 16],
            received_at: Timestamp::from_micros(0),
            occurred_at: None,
            name: String::new(),
            payload: Some(" ".repeat(bytes)),
            result: None,
        }
    }

    /// The numbers of what the tail has after one, and whether there are more.
    fn after(tail: &Mutex<Tail>, after: u64, limit: u32) -> Option<(Vec<u64>, bool)> {
        let page = tail.lock().next(after, limit)?;
        Some((page.entries.iter().map(|entry| entry.position.seq).collect(), page.has_more))
    }

    #[test]
    fn what_was_taken_in_is_answered_in_order_and_once() {
        let tails = Tails::new(1);
        tails.keep(entry(1));
        let tail = tails.follow(0);
        for seq in [3, 2, 5, 4] {
            tails.keep(entry(seq));
        }
        assert_eq!(after(&tail, 0, 9), None, "what came before somebody followed is in the store alone");
        assert_eq!(after(&tail, 1, 2), Some((vec![2, 3], true)));
        assert_eq!(after(&tail, 3, 9), Some((vec![4, 5], false)));
        assert_eq!(after(&tail, 3, 9), None, "it is kept until it is asked for, and no longer");
    }

    #[test]
    fn a_gap_is_left_to_the_store() {
        let tails = Tails::new(1);
        let tail = tails.follow(0);
        for seq in [1, 3] {
            tails.keep(entry(seq));
        }
        assert_eq!(after(&tail, 0, 9), Some((vec![1], true)), "somebody else took the second in");
        assert_eq!(after(&tail, 1, 9), None);
        assert_eq!(after(&tail, 2, 9), Some((vec![3], false)), "the store told what lay between");
    }

    #[test]
    fn what_there_is_no_room_for_is_known_to_be_there() {
        let tails = Tails::new(2);
        let tail = tails.follow(0);
        for seq in [1, 2, 3] {
            tails.keep(sized(seq, MOST_BYTES / 5));
        }
        assert_eq!(after(&tail, 0, 9), Some((vec![1, 2], true)));
        tails.keep(entry(4));
        assert_eq!(after(&tail, 2, 9), None);
        assert_eq!(after(&tail, 3, 9), Some((vec![4], false)));
        tails.keep(entry(5));
        assert_eq!(after(&tail, 6, 1), None);
        let kept = tail.lock();
        assert_eq!((kept.bytes, kept.entries.len()), (0, 0), "what was passed takes no room");
    }

    #[test]
    fn only_the_last_follower_is_told() {
        let tails = Tails::new(1);
        let before = tails.follow(0);
        let tail = tails.follow(0);
        tails.keep(entry(1));
        assert_eq!(after(&before, 0, 9), None);
        assert_eq!(after(&tail, 0, 9), Some((vec![1], false)));
        drop(tail);
        tails.keep(entry(2));
        assert_eq!(before.lock().entries.len(), 0, "nobody's");
    }
}
