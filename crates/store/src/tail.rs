//! The newest entries of a shard's logs, kept for whoever handles them here.
//!
//! What this process wrote down it need not read back: a source event goes from the transaction that took it in to the flows,
//! and an event from the engine's to the webhooks, without being sealed, stored, found and opened in between. A tail is memory of
//! what is in the store, and never more: it is filled after the commit, it answers only where it has every entry from the place
//! that is asked for, and whatever it lacks is read from the store: what another node wrote, what came before somebody followed,
//! and what there was no room for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use domain::{Event, EventKind, OrgId, Position, ProjectId, Timestamp};
use parking_lot::Mutex;

use crate::{EventRow, InboxEntry, LoggedEvent, SealedUnder, Store, error::Result};

/// How much the tails of all shards of a log keep, in bytes, each an equal share. When one is full, what comes next is left to be
/// read.
const MOST_BYTES: usize = 8 << 20;
/// What an entry weighs beside its payload, in bytes.
const ENTRY_BYTES: usize = 256;

/// Reads the source events of a shard in their order, the newest of them from memory.
pub struct InboxFollower {
    store: Arc<Store>,
    shard: u16,
    tail: Arc<Mutex<Tail<InboxEntry>>>,
}

/// Reads the events of a shard in their order, the newest of them from memory.
pub struct EventFollower {
    store: Arc<Store>,
    shard: u16,
    tail: Arc<Mutex<Tail<KeptEvent>>>,
}

/// Entries of a shard's log.
#[derive(Debug)]
pub struct Page<T> {
    /// They, in order and without a gap.
    pub entries: Vec<T>,
    /// Whether there may be more of them by now, as far as this process knows.
    pub has_more: bool,
}

/// An event that is followed.
#[derive(Debug)]
pub enum FollowedEvent {
    /// As it was written down here.
    Kept(KeptEvent),
    /// As the store has it.
    Stored(EventRow),
}

/// An event that was written down here, and under whose data key things about it are sealed.
#[derive(Debug, Clone)]
pub struct KeptEvent {
    pub(crate) event: Arc<Event>,
    pub(crate) under: Arc<SealedUnder>,
    /// Its payload's bytes in the store, for what it weighs here.
    pub(crate) bytes: usize,
}

impl InboxFollower {
    /// The next events after a number.
    pub async fn next(&self, after: u64, limit: u32) -> Result<Page<InboxEntry>> {
        let kept = self.tail.lock().next(after, limit);
        if let Some(page) = kept {
            return Ok(page);
        }
        let entries = self.store.read_inbox(self.shard, after, limit).await?;
        Ok(Page { has_more: !entries.is_empty(), entries })
    }
}

impl EventFollower {
    /// The next events after a number.
    pub async fn next(&self, after: u64, limit: u32) -> Result<Page<FollowedEvent>> {
        let kept = self.tail.lock().next(after, limit);
        if let Some(Page { entries, has_more }) = kept {
            return Ok(Page { entries: entries.into_iter().map(FollowedEvent::Kept).collect(), has_more });
        }
        let rows = self.store.backend().read_events(self.shard, after, limit).await?;
        Ok(Page { has_more: rows.len() >= limit as usize, entries: rows.into_iter().map(FollowedEvent::Stored).collect() })
    }
}

impl FollowedEvent {
    /// Whose.
    pub fn org(&self) -> OrgId {
        match self {
            Self::Kept(kept) => kept.event.org,
            Self::Stored(row) => row.org,
        }
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        match self {
            Self::Kept(kept) => kept.event.position,
            Self::Stored(row) => row.position,
        }
    }

    /// What kind of fact it is, unless a newer version wrote it.
    pub fn kind(&self) -> Option<EventKind> {
        match self {
            Self::Kept(kept) => Some(kept.event.kind()),
            Self::Stored(row) => EventKind::from_number(row.kind),
        }
    }

    /// Its project.
    pub fn project(&self) -> Option<ProjectId> {
        match self {
            Self::Kept(kept) => kept.event.project,
            Self::Stored(row) => row.project,
        }
    }

    /// When it was written down.
    pub fn recorded_at(&self) -> Timestamp {
        match self {
            Self::Kept(kept) => kept.event.recorded_at,
            Self::Stored(row) => row.recorded_at,
        }
    }
}

impl Store {
    /// Follows a shard's inbox. Who followed it before here reads on from the store alone.
    pub fn follow_inbox(self: &Arc<Self>, shard: u16) -> InboxFollower {
        InboxFollower { store: Arc::clone(self), shard, tail: self.inbox_tails.follow(shard) }
    }

    /// Follows a shard's events. Who followed it before here reads on from the store alone.
    pub fn follow_events(self: &Arc<Self>, shard: u16) -> EventFollower {
        EventFollower { store: Arc::clone(self), shard, tail: self.event_tails.follow(shard) }
    }

    /// The event, and under whose data key things about it are sealed; nothing once whom it is about was erased.
    pub fn open_followed(&self, event: &FollowedEvent) -> Result<Option<(Arc<Event>, Arc<SealedUnder>)>> {
        match event {
            FollowedEvent::Kept(kept) => Ok(Some((Arc::clone(&kept.event), Arc::clone(&kept.under)))),
            FollowedEvent::Stored(row) => Ok(match self.open_event(row)? {
                LoggedEvent::Whole(event, under) => Some((Arc::new(*event), Arc::new(under))),
                LoggedEvent::Erased(_) => None,
            }),
        }
    }
}

/// What a tail keeps.
pub(crate) trait Kept {
    /// Where it stands in the log.
    fn position(&self) -> Position;
    /// Its payload, in bytes.
    fn bytes(&self) -> usize;
}

impl Kept for InboxEntry {
    fn position(&self) -> Position {
        self.position
    }

    fn bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, String::len)
    }
}

impl Kept for KeptEvent {
    fn position(&self) -> Position {
        self.event.position
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The tails of a log that are followed, by shard.
pub(crate) struct Tails<T> {
    shards: Vec<Mutex<Weak<Mutex<Tail<T>>>>>,
    /// How much each keeps, in bytes.
    most_bytes: usize,
}

/// The newest entries of one shard, from when it is followed.
struct Tail<T> {
    entries: BTreeMap<u64, T>,
    bytes: usize,
    /// The greatest number that was written down here, kept or not.
    head: u64,
}

impl<T> Default for Tail<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), bytes: 0, head: 0 }
    }
}

impl<T: Kept> Tails<T> {
    pub(crate) fn new(shards: u16) -> Self {
        let most_bytes = MOST_BYTES / usize::from(shards.max(1));
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), most_bytes }
    }

    fn follow(&self, shard: u16) -> Arc<Mutex<Tail<T>>> {
        let tail = Arc::<Mutex<Tail<T>>>::default();
        if let Some(slot) = self.shards.get(usize::from(shard)) {
            *slot.lock() = Arc::downgrade(&tail);
        }
        tail
    }

    /// Keeps what was written down just now, where somebody follows.
    pub(crate) fn keep(&self, entry: T) {
        if let Some(tail) = self.followed(entry.position().shard) {
            tail.lock().keep(entry, self.most_bytes);
        }
    }

    /// Lets the store alone tell what was written down until now.
    pub(crate) fn clear(&self) {
        for tail in (0..).take(self.shards.len()).filter_map(|shard| self.followed(shard)) {
            tail.lock().forget(u64::MAX);
        }
    }

    /// The tail of a shard that somebody follows.
    fn followed(&self, shard: u16) -> Option<Arc<Mutex<Tail<T>>>> {
        self.shards.get(usize::from(shard)).and_then(|slot| slot.lock().upgrade())
    }
}

impl<T: Kept> Tail<T> {
    /// The next entries after a number; nothing where only the store can tell. What is before them is kept no longer.
    fn next(&mut self, after: u64, limit: u32) -> Option<Page<T>> {
        self.forget(after);
        let mut entries = Vec::new();
        for seq in (after + 1..).take(limit as usize) {
            let Some(entry) = self.take(seq) else { break };
            entries.push(entry);
        }
        let last = entries.last()?.position().seq;
        Some(Page { entries, has_more: self.head > last })
    }

    fn keep(&mut self, entry: T, most_bytes: usize) {
        let (seq, bytes) = (entry.position().seq, ENTRY_BYTES + entry.bytes());
        self.head = self.head.max(seq);
        if self.bytes + bytes <= most_bytes {
            self.bytes += bytes;
            self.entries.insert(seq, entry);
        }
    }

    fn take(&mut self, seq: u64) -> Option<T> {
        let entry = self.entries.remove(&seq)?;
        self.bytes -= ENTRY_BYTES + entry.bytes();
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
    fn after(tail: &Mutex<Tail<InboxEntry>>, after: u64, limit: u32) -> Option<(Vec<u64>, bool)> {
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
    fn what_is_cleared_is_left_to_the_store() {
        let tails = Tails::new(2);
        let tail = tails.follow(1);
        let of_another_shard = |seq| InboxEntry { position: Position { shard: 1, seq }, ..entry(seq) };
        tails.keep(of_another_shard(1));
        tails.clear();
        assert_eq!(after(&tail, 0, 9), None);
        tails.keep(of_another_shard(2));
        assert_eq!(after(&tail, 0, 9), None);
        assert_eq!(after(&tail, 1, 9), Some((vec![2], false)));
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
