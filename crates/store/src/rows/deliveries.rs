//! What is owed to targets, and every try at it.

use domain::{DeliveryId, EventId, OrgId, PassId, Position, TargetId, Timestamp};
use uuid::Uuid;

use super::Lease;

/// One event owed to one target, not settled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Whose.
    pub org: OrgId,
    /// UUIDv5 of event and target.
    pub id: DeliveryId,
    /// To whom.
    pub target: TargetId,
    /// Which event.
    pub event: EventId,
    /// Where the event stands.
    pub position: Position,
    /// Attempts so far.
    pub attempts: i32,
    /// When the next attempt is due.
    pub due_at: Timestamp,
    /// Whether it is a replay, which goes behind what happens now.
    pub behind: bool,
    /// When somebody asked last that it be sent once more. What is written about it by who did not know of that changes nothing.
    pub asked_at: Option<Timestamp>,
}

impl DeliveryRow {
    /// That it is over, as far as it was asked for by then.
    #[must_use]
    pub const fn over(&self) -> DeliveryOver {
        DeliveryOver { org: self.org, id: self.id, asked_at: self.asked_at }
    }
}

/// A delivery that is over, unless it was asked for anew meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryOver {
    /// Whose.
    pub org: OrgId,
    /// Which.
    pub id: DeliveryId,
    /// [`DeliveryRow::asked_at`] of what was carried out.
    pub asked_at: Option<Timestamp>,
}

/// One try at a delivery, append-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// Whose.
    pub org: OrgId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// To whom.
    pub target: TargetId,
    /// Which event.
    pub event: EventId,
    /// Where the event stands.
    pub position: Position,
    /// Counts the tries of the delivery, from 1.
    pub attempt: i32,
    /// When it started.
    pub at: Timestamp,
    /// How long it took, in microseconds.
    pub elapsed_micros: i64,
    /// How it ended, see [`crate::AttemptOutcome`].
    pub outcome: i16,
    /// The HTTP status, when there was one.
    pub status: Option<i16>,
    /// What went wrong, in words that are safe to show.
    pub error: Option<String>,
    /// When the next one is due, when there is one.
    pub next_at: Option<Timestamp>,
    /// Under whose data key the detail is sealed (the event's subject).
    pub subject: Uuid,
    /// That data key, wrapped; filled when read, ignored when written.
    pub data_key: Option<Vec<u8>>,
    /// Request and reply, capped, as JSON, sealed.
    pub detail: Vec<u8>,
}

/// Outcomes of deliveries, written in one transaction under the shard's lease.
#[derive(Debug, Clone)]
pub struct DeliverySettlement {
    /// The lease under which this is written.
    pub lease: Lease,
    /// Tries that were made.
    pub attempts: Vec<AttemptRow>,
    /// Deliveries that are over: removed if they were spilled and not asked for anew since.
    pub finished: Vec<DeliveryOver>,
    /// Deliveries to keep for later, inserted or replaced, no longer claimed; those that were asked for anew since stay as they are.
    pub owed: Vec<DeliveryRow>,
    /// How far the webhooks reader has come in the lease's shard; none leaves it.
    pub watermark: Option<u64>,
}

/// About what deliveries are: an event, or all events of a pass; of both, the event if it is one of the pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct About {
    /// About this event.
    pub event: Option<EventId>,
    /// About events of this pass.
    pub pass: Option<PassId>,
}

/// A place in the list of attempts, which is ordered by all of it.
pub type AttemptPlace = (Timestamp, DeliveryId, i32);

/// Which attempts to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    /// Only of this target.
    pub target: Option<TargetId>,
    /// Only of this event.
    pub event: Option<EventId>,
    /// Only of events of this pass.
    pub pass: Option<PassId>,
    /// Only of events of this kind: its number.
    pub kind: Option<i16>,
    /// Only those that ended so: see [`AttemptRow::outcome`].
    pub outcome: Option<i16>,
    /// Only those that were answered with this status.
    pub status: Option<i16>,
    /// Only those from then on.
    pub since: Option<Timestamp>,
    /// Only those up to then.
    pub until: Option<Timestamp>,
    /// Only those before this one.
    pub before: Option<AttemptPlace>,
}

impl AttemptFilter {
    /// Of the attempts to list, all come before this place.
    pub fn end(&self) -> AttemptPlace {
        let until = |at| (at, DeliveryId::from_uuid(Uuid::max()), i32::MAX);
        let last = until(self.until.unwrap_or(Timestamp::from_micros(i64::MAX)));
        self.before.map_or(last, |before| before.min(last))
    }
}
