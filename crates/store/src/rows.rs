//! Rows as adapters see them: plain columns and sealed bodies. An adapter converts them to SQL and back, and nothing else.

use std::time::Duration;

use domain::{
    ContactId, DeliveryId, EventId, FlowId, OrgId, PassId, Position, ProjectId, SourceEventId, SourceId, TargetId, Timestamp,
};
use uuid::Uuid;

use crate::PassState;

/// A blind index: keyed hash of a value that must be found again without being readable.
pub type Hash = [u8; 16];

/// Configuration of an organization, one row per thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRow {
    /// Whose.
    pub org: OrgId,
    /// What kind of thing, see [`crate::ResourceKind`].
    pub kind: i16,
    /// Its id.
    pub id: Uuid,
    /// Short name, unique per organization and kind among those that are not deleted.
    pub slug: Option<String>,
    /// JSON; secrets in it are sealed one by one.
    pub body: String,
    /// Counts its changes, from 1.
    pub revision: i64,
    /// The store-wide configuration version that it was last changed in.
    pub changed: i64,
    /// Whether it is gone; kept so that other nodes learn of it.
    pub deleted: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One globally unique name, in the one table that is not keyed by organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRow {
    /// What kind of name, see [`crate::NameKind`].
    pub kind: i16,
    /// The name or a hash of it.
    pub name: Vec<u8>,
    /// Whose.
    pub org: OrgId,
    /// What it names.
    pub target: Uuid,
}

/// Who changed what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Whose.
    pub org: OrgId,
    /// Its id, sorts by time.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who, as JSON.
    pub actor: String,
    /// What was done: `create`, `update`, `delete`.
    pub action: String,
    /// Kind of the thing.
    pub kind: i16,
    /// The thing.
    pub resource: Uuid,
    /// Its body before.
    pub before: Option<String>,
    /// Its body after.
    pub after: Option<String>,
}

/// A configuration change: rows, names and audit in one commit that bumps the configuration version.
#[derive(Debug, Clone, Default)]
pub struct ConfigWrite {
    /// Rows to insert (revision 1) or replace (where the stored revision is one less).
    pub resources: Vec<ResourceRow>,
    /// Names to add.
    pub names: Vec<DirectoryRow>,
    /// Names to remove, by kind and name; before others are added.
    pub removed_names: Vec<(i16, Vec<u8>)>,
    /// Who did it.
    pub audit: Vec<AuditRow>,
    /// A new organization's wrapped key.
    pub org_keys: Vec<(OrgId, Vec<u8>)>,
    /// Blobs to store under their SHA-256; existing ones stay.
    pub blobs: Vec<BlobRow>,
    /// Answers under idempotency keys. One that is there already and has not expired by `now` is a conflict.
    pub results: Vec<ResultRow>,
    /// The present, for expiring results.
    pub now: Timestamp,
    /// Jobs to insert (revision 1) or replace (where the stored revision is one less).
    pub jobs: Vec<JobRow>,
    /// What the change was decided on: where it is not so any more, that is a conflict.
    pub unchanged: Vec<Unchanged>,
}

/// All that an organization has of one kind of resource, as it was in a configuration version: none of it was made, changed or
/// removed since. A change that depends on how many there are says so by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unchanged {
    /// Whose.
    pub org: OrgId,
    /// The kind, as its number.
    pub kind: i16,
    /// The configuration version that was looked at.
    pub since: i64,
}

impl ConfigWrite {
    /// Both changes in one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.resources.extend(other.resources);
        self.names.extend(other.names);
        self.removed_names.extend(other.removed_names);
        self.audit.extend(other.audit);
        self.org_keys.extend(other.org_keys);
        self.blobs.extend(other.blobs);
        self.results.extend(other.results);
        self.jobs.extend(other.jobs);
        self.unchanged.extend(other.unchanged);
        self.now = self.now.max(other.now);
        self
    }
}

/// What became of a configuration change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigWritten {
    /// Written; this is the new configuration version.
    Done(i64),
    /// Somebody else changed one of the rows meanwhile, or what the change was decided on, or was faster with a key.
    Conflict,
}

/// A content-addressed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// Whose.
    pub org: OrgId,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Its media type.
    pub media_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// When it was first stored.
    pub created_at: Timestamp,
}

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

/// A pass as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassRow {
    /// Whose.
    pub org: OrgId,
    /// Its id.
    pub id: PassId,
    /// Its project.
    pub project: ProjectId,
    /// Its log shard.
    pub shard: u16,
    /// Its version.
    pub version: i64,
    /// Sequence number, in its shard, of the last event that changed what a wallet shows.
    pub content_seq: i64,
    /// Who holds it.
    pub contact: Option<ContactId>,
    /// Blind index of its external id, unique per project.
    pub external: Option<Hash>,
    /// The number of its lifecycle state, see [`PassState`].
    pub state: i16,
    /// In which wallets it is installed, see [`crate::wallets_number`].
    pub installed: i16,
    /// When the expiry sweep must look at it.
    pub due_at: Option<Timestamp>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Under whose data key the body is sealed: the contact, or the pass itself.
    pub subject: Uuid,
    /// That data key, wrapped; filled when read, ignored when written.
    pub data_key: Option<Vec<u8>>,
    /// The pass, sealed.
    pub body: Vec<u8>,
}

/// Which passes to list; what is left out does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassFilter {
    /// Of this project.
    pub project: Option<ProjectId>,
    /// Of this contact.
    pub contact: Option<ContactId>,
    /// In this lifecycle state.
    pub state: Option<PassState>,
    /// Installed in one of these ways, see [`crate::wallets_number`]; empty means in any, or in none.
    pub installed: Vec<i16>,
    /// Changed at this time or later. They come in the order of their last change then, else in the order of their ids.
    pub updated_since: Option<Timestamp>,
    /// After this pass; with `updated_since` as it was when it had last changed at this time.
    pub after: Option<(Timestamp, PassId)>,
}

/// A pass to write.
#[derive(Debug, Clone)]
pub struct PassWrite {
    /// The row; `content_seq` is taken from `content_event`.
    pub row: PassRow,
    /// The version that it must still have; none means that it must not exist.
    pub expected: Option<i64>,
    /// Index, in the commit's events, of the last one that changed what a wallet shows; none leaves `content_seq`.
    pub content_event: Option<usize>,
    /// Its page's code, added to the directory when the pass is new.
    pub code: Option<String>,
}

/// A contact as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactRow {
    /// Whose.
    pub org: OrgId,
    /// Its id.
    pub id: ContactId,
    /// Its version.
    pub version: i64,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// In which wallets it has passes, see [`crate::wallets_number`].
    pub wallets: i16,
    /// Its data key, wrapped; filled when read, ignored when written.
    pub data_key: Option<Vec<u8>>,
    /// The contact, sealed.
    pub body: Vec<u8>,
}

/// A contact to write.
#[derive(Debug, Clone)]
pub struct ContactWrite {
    /// The row.
    pub row: ContactRow,
    /// The version that it must still have; none means that it must not exist.
    pub expected: Option<i64>,
    /// Blind indexes under which it is found, replacing earlier ones of the contact; one that it has already keeps its place.
    pub keys: Vec<ContactKey>,
}

/// A name under which a contact is found. Several contacts may have one: they stand in a line, in the order in which they came
/// to have it, and the first is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactKey {
    /// Blind index of kind and value.
    pub hash: Hash,
    /// Whether it is a conflict that another contact has it: external ids, and e-mail addresses that nobody was found to have.
    pub required: bool,
    /// Its place in the line; none means behind everybody.
    pub place: Option<i64>,
}

/// An installation as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationRow {
    /// Whose.
    pub org: OrgId,
    /// The pass.
    pub pass: PassId,
    /// The wallet: 1 Apple, 2 Google.
    pub wallet: i16,
    /// The device; empty for Google.
    pub device: String,
    /// The pass's shard.
    pub shard: u16,
    /// Whether it is there now.
    pub active: bool,
    /// Since when it is there or gone.
    pub since: Timestamp,
    /// Why it is thought to be gone: 1 unregistered, 2 token dead, 3 removed.
    pub reason: Option<i16>,
    /// When it first got there.
    pub first_installed_at: Timestamp,
    /// Apple: where a push wakes the device.
    pub push_token: Option<String>,
    /// The pass's `content_seq` that the device was last woken for. Written by [`PushSettlement`], not by commits; a new
    /// row starts with the one that the pass had before the commit, because the device has just fetched that.
    pub pushed_seq: i64,
    /// When a failed push is tried again; written by [`PushSettlement`], none in a new row.
    pub push_due_at: Option<Timestamp>,
    /// Pushes in a row that are to be tried again; counted by [`PushSettlement`], none in a new row.
    pub push_tries: i32,
}

/// An event to append; the adapter gives it its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Where it stands; the number is 0 in a commit and filled when read.
    pub position: Position,
    /// Whose.
    pub org: OrgId,
    /// Its id.
    pub id: EventId,
    /// Its kind's number, see [`domain::EventKind::number`].
    pub kind: i16,
    /// Version of the shape of the body.
    pub schema: i16,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was written down.
    pub recorded_at: Timestamp,
    /// Its project.
    pub project: Option<ProjectId>,
    /// Its pass.
    pub pass: Option<PassId>,
    /// Its contact.
    pub contact: Option<ContactId>,
    /// The subject's version after it.
    pub version: i64,
    /// Under whose data key the body is sealed.
    pub subject: Uuid,
    /// That data key, wrapped; filled when read, ignored when written. None after erasure.
    pub data_key: Option<Vec<u8>>,
    /// Actor, cause, facts and image as JSON, sealed.
    pub body: Vec<u8>,
}

/// The stored result of a command, under its idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRow {
    /// Whose.
    pub org: OrgId,
    /// Who chose the key.
    pub principal: String,
    /// The key.
    pub key: String,
    /// SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
    /// Under whose data key the body is sealed; nil means that it holds nothing personal and is not sealed.
    pub subject: Uuid,
    /// That data key, wrapped; filled when read, ignored when written.
    pub data_key: Option<Vec<u8>>,
    /// The result.
    pub body: Vec<u8>,
    /// Until when it is kept.
    pub expires_at: Timestamp,
}

/// Which rows a batch of commands touches.
#[derive(Debug, Clone, Default)]
pub struct LoadKeys {
    /// The present: results that expired by then are not returned.
    pub now: Timestamp,
    /// Passes by id.
    pub passes: Vec<(OrgId, PassId)>,
    /// Passes that are not deleted by external id.
    pub externals: Vec<(OrgId, ProjectId, Hash)>,
    /// Contacts by id.
    pub contacts: Vec<(OrgId, ContactId)>,
    /// Contacts by a name.
    pub contact_keys: Vec<(OrgId, Hash)>,
    /// All passes of contacts by id, deleted ones included.
    pub passes_of: Vec<(OrgId, ContactId)>,
    /// All passes of contacts by a name, deleted ones included.
    pub passes_of_keys: Vec<(OrgId, Hash)>,
    /// Installations.
    pub installations: Vec<(OrgId, PassId, i16, String)>,
    /// Stored results by principal and key.
    pub results: Vec<(OrgId, String, String)>,
}

/// The rows that were asked for, with the contacts of all passes among them.
#[derive(Debug, Clone, Default)]
pub struct LoadedRows {
    /// Passes, each once.
    pub passes: Vec<PassRow>,
    /// Contacts, each once: those asked for and those of the passes.
    pub contacts: Vec<ContactRow>,
    /// Which contact is the first of those that have each name.
    pub contact_keys: Vec<(OrgId, Hash, ContactId)>,
    /// Installations.
    pub installations: Vec<InstallationRow>,
    /// Results that have not expired.
    pub results: Vec<ResultRow>,
    /// The store-wide configuration version.
    pub config_version: i64,
}

/// Everything that a batch of commands changes, written in one transaction or not at all. Rows are locked in key order, log
/// heads last in ascending shard order.
#[derive(Debug, Clone, Default)]
pub struct CommitRows {
    /// The present, for expiring keys.
    pub now: Timestamp,
    /// Passes.
    pub passes: Vec<PassWrite>,
    /// Contacts.
    pub contacts: Vec<ContactWrite>,
    /// Installations, inserted or replaced except for `pushed_seq` and `push_due_at`, which belong to [`PushSettlement`].
    pub installations: Vec<InstallationRow>,
    /// New data keys: organization, subject, wrapped key. One that is there already is a conflict.
    pub data_keys: Vec<(OrgId, Uuid, Vec<u8>)>,
    /// Subjects whose data keys are destroyed, with those of the source events that they own; before new ones are added. Requests
    /// that inspectors of their organizations took go with them: what stands in those, and of whom, nobody knows.
    pub destroyed_keys: Vec<(OrgId, Uuid)>,
    /// Events, appended to their shard's log in this order.
    pub events: Vec<EventRow>,
    /// Results under their idempotency keys.
    pub results: Vec<ResultRow>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Written; positions of the events in the order given.
    Done(Vec<Position>),
    /// Somebody else was faster with one of the rows or keys: load and decide again. Nothing was written.
    Conflict,
}

/// A lease on a shard: the right to work on it, and the fence that every write of a worker is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: u16,
    /// Rises whenever the lease changes hands.
    pub epoch: i64,
}

/// A shard's lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The lease.
    pub lease: Lease,
    /// Which node holds it; empty when nobody does.
    pub owner: String,
    /// Rises while its holder is alive.
    pub beat: i64,
}

/// A node that works on this database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name, which one node has at a time.
    pub name: String,
    /// Drawn at every start of a node, so that it is told from its former self and from another of the same name.
    pub incarnation: i64,
    /// Rises while it is alive.
    pub beat: i64,
    /// Rises when somebody wants to know whether it is alive.
    pub challenge: i64,
}

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

/// How far devices that are behind their passes have been looked for in a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StalePlace {
    /// Passes of which the content changed up to this number are done.
    pub seq: u64,
    /// Within those that come after it: the last installation looked at, where one pass has more than are read together.
    pub within: Option<StaleKey>,
}

/// Where an installation stands among those that are behind: passes are walked in the order of their changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleKey {
    /// Its pass's `content_seq`.
    pub content_seq: i64,
    /// Whose.
    pub org: OrgId,
    /// Of which pass.
    pub pass: PassId,
    /// On which device.
    pub device: String,
}

impl StalePlace {
    /// The place of a number of which nothing was looked at beyond.
    pub const fn after(seq: u64) -> Self {
        Self { seq, within: None }
    }

    /// From where the next installations are, those on the key's own device and before it on its pass left out.
    pub fn from(&self) -> StaleKey {
        self.within.clone().unwrap_or_else(|| StaleKey {
            content_seq: i64::try_from(self.seq).unwrap_or(i64::MAX).saturating_add(1),
            org: OrgId::from_uuid(Uuid::nil()),
            pass: PassId::from_uuid(Uuid::nil()),
            device: String::new(),
        })
    }

    /// The place after what was found beyond this one: within the last pass where there may be more of it, else `seq`.
    pub fn next(&self, seq: u64, found: &[StaleDevice], limit: u32) -> Self {
        match found.last().filter(|_| found.len() >= limit as usize) {
            Some(last) => Self { seq: self.seq, within: Some(last.key()) },
            None => Self::after(seq),
        }
    }
}

/// A pass whose devices may be behind it.
#[derive(Debug, Clone)]
pub struct StaleDevice {
    /// The installation.
    pub installation: InstallationRow,
    /// What the pass's `content_seq` is now.
    pub content_seq: i64,
    /// The pass's project, for its pass type.
    pub project: ProjectId,
}

impl StaleDevice {
    /// Where it stands among those that are behind.
    pub fn key(&self) -> StaleKey {
        let InstallationRow { org, pass, device, .. } = &self.installation;
        StaleKey { content_seq: self.content_seq, org: *org, pass: *pass, device: device.clone() }
    }
}

/// Outcomes of pushes, written under the shard's lease.
#[derive(Debug, Clone)]
pub struct PushSettlement {
    /// The lease under which this is written.
    pub lease: Lease,
    /// What became of each installation's push.
    pub pushes: Vec<PushOutcome>,
    /// How far the wallet-sync reader has come in the lease's shard; none leaves it.
    pub watermark: Option<u64>,
}

/// What became of one push.
#[derive(Debug, Clone)]
pub struct PushOutcome {
    /// Whose.
    pub org: OrgId,
    /// The pass.
    pub pass: PassId,
    /// The device.
    pub device: String,
    /// What it was woken for; none when that failed.
    pub pushed_seq: Option<i64>,
    /// When to try again; none when done or given up.
    pub retry_at: Option<Timestamp>,
}

/// A long piece of work that a worker does step by step; whoever goes on with it starts from its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Whose.
    pub org: OrgId,
    /// Its id, sorts by time.
    pub id: Uuid,
    /// What kind of work it is, see [`crate::JobKind`].
    pub kind: i16,
    /// What it is about, where of its kind only one at a time may be under way for it.
    pub subject: Option<Uuid>,
    /// The shard whose worker does it.
    pub shard: u16,
    /// Where it stands, see [`crate::JobState`].
    pub state: i16,
    /// What is to be done and how far it is, as JSON without personal values.
    pub body: String,
    /// Counts its changes, from 1.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A piece of a file that a job works on or leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRow {
    /// Whose.
    pub org: OrgId,
    /// The file.
    pub bundle: Uuid,
    /// Which piece of it, from 0.
    pub number: u32,
    /// Until when it is kept.
    pub expires_at: Timestamp,
    /// The piece, sealed with the organization's key.
    pub body: Vec<u8>,
}

/// A request or line kept in a bounded ring, for people to look at: inspector bins, phones' logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureRow {
    /// Whose.
    pub org: OrgId,
    /// Which ring.
    pub ring: String,
    /// Its id, sorts by time.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// JSON, sealed with the organization's key.
    pub body: Vec<u8>,
}
