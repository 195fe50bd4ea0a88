//! Source events: taken in, settled, listed.

use std::time::Duration;

use domain::{ContactId, FlowId, OrgId, Position, SourceEventId, SourceId, Timestamp};

use super::{Hash, Lease};
use crate::InboxStatus;

/// A source event to take into the inbox. The adapter gives it its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxInsert {
    /// Whose.
    pub org: OrgId,
    /// The id it gets if it is new.
    pub id: SourceEventId,
    /// Where it came from.
    pub source: SourceId,
    /// Blind index of the sender's id for it, unique per source.
    pub dedupe: Hash,
    /// Until when a duplicate is recognised.
    pub dedupe_until: Timestamp,
    /// Blind index of whom it is about: events of one key are handled in order. Decides the shard.
    pub order_key: Hash,
    /// The shard.
    pub shard: u16,
    /// When it reached us.
    pub received_at: Timestamp,
    /// When it happened, by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// What it is called.
    pub name: String,
    /// The event's own data key, wrapped; kept in `data_keys` under the event's id.
    pub data_key: Vec<u8>,
    /// The event, sealed.
    pub body: Vec<u8>,
    /// When set, the event cannot be read and is kept with this reason instead of being handed to flows: a parked result
    /// of no runs, written at `received_at`, whose trace is this text as it stands.
    pub fault: Option<String>,
}

/// An order key that has source events waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitingKey {
    /// Whose.
    pub org: OrgId,
    /// The key.
    pub order_key: Hash,
    /// The number, in its shard, of the first that waits.
    pub first: u64,
    /// When that one is due.
    pub due_at: Timestamp,
    /// When all that wait are due.
    pub all_due_at: Timestamp,
}

/// Turns of a flow that has a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// Whose.
    pub org: OrgId,
    /// Which flow.
    pub flow: FlowId,
    /// The earliest.
    pub now: Timestamp,
    /// How many.
    pub count: u32,
    /// How far apart.
    pub apart: Duration,
}

impl Turns {
    /// How long all of them take, in microseconds.
    pub fn span_micros(&self) -> i64 {
        i64::try_from((self.apart * self.count).as_micros()).unwrap_or(i64::MAX / 4)
    }
}

/// What became of a source event at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Written down.
    New(Position),
    /// It was there already, under this id.
    Duplicate(SourceEventId),
}

/// The message id that a source event is known by when it comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupeRow {
    /// Whose.
    pub org: OrgId,
    /// Where it came from.
    pub source: SourceId,
    /// Blind index of the id.
    pub dedupe: Hash,
    /// The source event.
    pub id: SourceEventId,
    /// Until when it is known.
    pub until: Timestamp,
}

/// That a source event came again with the id of one that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// How many times more.
    pub times: u64,
    /// When last.
    pub last_at: Timestamp,
}

/// A source event in the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    /// Where it stands.
    pub position: Position,
    /// Whose.
    pub org: OrgId,
    /// Its id.
    pub id: SourceEventId,
    /// Where it came from.
    pub source: SourceId,
    /// Blind index of whom it is about.
    pub order_key: Hash,
    /// When it reached us.
    pub received_at: Timestamp,
    /// When it happened, by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// What it is called.
    pub name: String,
    /// Its data key, wrapped; none after erasure.
    pub data_key: Option<Vec<u8>>,
    /// The event, sealed.
    pub body: Vec<u8>,
    /// What became of it; none while no flow reader has come by.
    pub result: Option<InboxResult>,
}

/// What flows made of a source event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxResult {
    /// Where it stands: see [`crate::InboxStatus`].
    pub status: i16,
    /// How many runs it took so far.
    pub runs: i32,
    /// When it is tried again; for waiting ones.
    pub due_at: Option<Timestamp>,
    /// When this was written.
    pub at: Timestamp,
    /// The trace as JSON without personal values: flows, steps, outcomes, reasons.
    pub trace: String,
}

impl InboxResult {
    /// Of an event that could not be read when it arrived, and why.
    pub fn parked_at_the_door(at: Timestamp, reason: String) -> Self {
        Self { status: InboxStatus::Parked.number(), runs: 0, due_at: None, at, trace: reason }
    }
}

/// Outcomes of source events, written together with the watermark of the shard they were read from.
#[derive(Debug, Clone)]
pub struct InboxSettlement {
    /// The lease under which this is written.
    pub lease: Lease,
    /// Outcomes, replacing earlier ones of the same event.
    pub results: Vec<(OrgId, SourceEventId, InboxResult)>,
    /// Whose events they turned out to be, so that erasing the contact destroys their keys. Where the contact has no data
    /// key any more (it was erased meanwhile), the event's key is destroyed at once.
    pub owners: Vec<(OrgId, SourceEventId, ContactId)>,
    /// How far the flows reader has come in the lease's shard; none leaves it.
    pub watermark: Option<u64>,
}

/// Which source events to list.
#[derive(Debug, Clone, Default)]
pub struct InboxFilter {
    /// Only of this source.
    pub source: Option<SourceId>,
    /// Only with this status (see [`crate::InboxStatus`]). Ignored are also those without a result that flows have passed.
    pub status: Option<i16>,
    /// Only ids before this one (ids sort by time; the list is newest first).
    pub before: Option<SourceEventId>,
}
