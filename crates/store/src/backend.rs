//! The contract that an adapter fulfils. [`crate::Store`] speaks it in domain words; nobody else uses it.

use async_trait::async_trait;
use domain::{
    BatchId, ContactId, DeliveryId, EventId, OrgId, PassId, Position, ProjectId, SourceEventId, SyncId, TargetId, Timestamp,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    About, Accepted, AttemptFilter, AttemptRow, AuditRow, BlobRow, CaptureRow, ChangedPass, ChunkRow, CommitRows, Committed,
    ConfigWrite, ConfigWritten, ContactRow, DedupeRow, DeliveryRow, DeliverySettlement, DirectoryRow, EventRow, GoogleSettlement,
    GoogleThingRow, GoogleWants, Hash, InboxFilter, InboxInsert, InboxRow, InboxSettlement, InstallationRow, JobRow, Lease,
    LeaseRow, LoadKeys, LoadedRows, Newest, NodeRow, PassFilter, PassRow, PushSettlement, Repeats, ResourceRow, ResultRow,
    StaleDevice, StalePlace, Turns, WaitingKey, error::Result,
};

/// A reader of a log, with a watermark per shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reader {
    /// Flows, of the inbox.
    Flows,
    /// Webhooks and connectors, of the event log.
    Webhooks,
    /// Wallet sync, of the passes' `content_seq`.
    WalletSync,
    /// What Google shall hear of, of the passes' `content_seq`.
    Google,
    /// Integrity check after the start, of the event log.
    Integrity,
}

impl Reader {
    /// Those that carry what happened on to somewhere else.
    pub const CARRIERS: [Self; 4] = [Self::Flows, Self::Webhooks, Self::WalletSync, Self::Google];

    /// Which log it reads.
    pub const fn log(self) -> Log {
        match self {
            Self::Flows => Log::Inbox,
            Self::Webhooks | Self::WalletSync | Self::Google | Self::Integrity => Log::Events,
        }
    }
    /// Its name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Webhooks => "webhooks",
            Self::WalletSync => "wallet_sync",
            Self::Google => "google",
            Self::Integrity => "integrity",
        }
    }
}

/// The two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Log {
    /// Source events.
    Inbox,
    /// Events.
    Events,
}

/// What there is to do in one shard, as one look at the store tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulse {
    /// Number of the last source event.
    pub inbox: u64,
    /// Number of the last event.
    pub events: u64,
    /// When the first source event that waits is due.
    pub inbox_due: Option<Timestamp>,
    /// When the first delivery is due.
    pub delivery_due: Option<Timestamp>,
    /// When the first pass is due for expiry.
    pub pass_due: Option<Timestamp>,
    /// When the first push is to be tried again.
    pub push_due: Option<Timestamp>,
}

/// How long things are kept by [`Backend::maintain`].
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Rows of the inbox and their results received before this go, unless the flows reader has not passed them.
    pub inbox_before: Timestamp,
    /// Events recorded before this go, unless a reader has not passed them or a delivery needs them.
    pub events_before: Timestamp,
    /// Attempts made before this go.
    pub attempts_before: Timestamp,
}

/// What an adapter can do. Every call is one transaction and may be run again when it failed.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// How many shards its logs have: 1 in SQLite, 16 in PostgreSQL.
    fn shards(&self) -> u16;
    /// `sqlite` or `postgres`, for people.
    fn name(&self) -> &'static str;
    /// Brings the schema up to date, one numbered step after another, each in its own transaction.
    async fn migrate(&self, now: Timestamp) -> Result<()>;
    /// The epoch of the logs, a random number chosen when the database was made; import and restore choose another.
    async fn log_epoch(&self) -> Result<u64>;
    /// Succeeds when the database could be written now.
    async fn ready(&self) -> Result<()>;
    /// Makes partitions ahead of time, forgets expired keys, drops what nobody needs any more. Small steps; call it often.
    async fn maintain(&self, now: Timestamp, keep: Retention) -> Result<()>;
    /// Finishes what is running and closes.
    async fn close(&self);

    // Configuration.

    /// The configuration version.
    async fn config_version(&self) -> Result<i64>;
    /// Resources changed after a configuration version, deleted ones included, oldest change first: the next `most` of them, and the
    /// others of the last one's version. None means that there are no more.
    async fn config_since(&self, version: i64, most: u32) -> Result<Vec<ResourceRow>>;
    /// Writes a configuration change. A slug or name that exists already is [`crate::StoreError::Taken`].
    async fn write_config(&self, write: ConfigWrite) -> Result<ConfigWritten>;
    /// All organizations' wrapped keys.
    async fn org_keys(&self) -> Result<Vec<(OrgId, Vec<u8>)>>;
    /// What a global name stands for.
    async fn look_up(&self, kind: i16, name: &[u8]) -> Result<Option<(OrgId, Uuid)>>;
    /// The audit log, newest first, before an entry.
    async fn audit(&self, org: OrgId, before: Option<Uuid>, limit: u32) -> Result<Vec<AuditRow>>;
    /// Global names of an organization in the order of kind and name, after one; the codes of passes' pages are not among them.
    async fn names(&self, org: OrgId, after: &(i16, Vec<u8>), limit: u32) -> Result<Vec<DirectoryRow>>;
    /// The hashes of an organization's blobs.
    async fn blob_names(&self, org: OrgId) -> Result<Vec<[u8; 32]>>;
    /// A blob.
    async fn blob(&self, org: OrgId, sha256: [u8; 32]) -> Result<Option<BlobRow>>;

    // Inbox.

    /// Takes source events in, all or none; those whose dedupe key is known are duplicates (also within the batch). Rows
    /// with a fault get a parked result at once.
    async fn accept(&self, rows: Vec<InboxInsert>) -> Result<Vec<Accepted>>;
    /// The next source events of a shard, in order.
    async fn read_inbox(&self, shard: u16, after: u64, limit: u32) -> Result<Vec<InboxRow>>;
    /// Source events of a shard that wait or are delayed, and are due: those that wait first, then by their due time, and
    /// those that wait and are due at the same time in the order of arrival.
    async fn due_inbox(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<InboxRow>>;
    /// Order keys of a shard that have an event waiting, each once; later events of theirs must wait too.
    async fn waiting_keys(&self, shard: u16) -> Result<Vec<WaitingKey>>;
    /// Makes all source events of a shard that wait due now, and none later than one behind it of its order key, so that
    /// [`Self::due_inbox`] never gives that one first: called when its lease was taken, since whoever set them aside does not come back to
    /// them.
    async fn hasten_inbox(&self, lease: Lease, now: Timestamp) -> Result<()>;
    /// Takes the next turns of a flow: when the first of them is. They are never given to anybody else.
    async fn take_turns(&self, turns: Turns) -> Result<Timestamp>;
    /// Writes outcomes.
    async fn settle_inbox(&self, settlement: InboxSettlement) -> Result<()>;
    /// How often a source event came again; none when it did not.
    async fn repeats(&self, org: OrgId, id: SourceEventId) -> Result<Option<Repeats>>;
    /// One source event.
    async fn source_event(&self, org: OrgId, id: SourceEventId) -> Result<Option<InboxRow>>;
    /// Source events, newest first.
    async fn source_events(&self, org: OrgId, filter: &InboxFilter, limit: u32) -> Result<Vec<InboxRow>>;

    // Engine.

    /// The rows that a batch of commands touches.
    async fn load(&self, keys: &LoadKeys) -> Result<LoadedRows>;
    /// Writes what a batch of commands changes. A link code that exists already is [`crate::StoreError::Taken`].
    async fn commit(&self, rows: CommitRows) -> Result<Committed>;
    /// Organizations whose contacts were written by a release that kept one contact of each name.
    async fn unlined(&self) -> Result<Vec<OrgId>>;
    /// Notes that all contacts of an organization stand in their lines.
    async fn lined(&self, org: OrgId) -> Result<()>;

    // Reading passes and contacts.

    /// Passes of an organization in the order of their ids, after one, optionally of a project or contact.
    async fn passes(
        &self,
        org: OrgId,
        project: Option<ProjectId>,
        contact: Option<ContactId>,
        after: Option<PassId>,
        limit: u32,
    ) -> Result<Vec<PassRow>>;
    /// Passes of an organization that fulfil all of a filter: in the order of their ids, or of their last change and then their ids
    /// where they are asked for since a time. What changes meanwhile comes again in the latter, or later; nothing is left out that
    /// fulfils it all the time.
    async fn find_passes(&self, org: OrgId, filter: &PassFilter, limit: u32) -> Result<Vec<PassRow>>;
    /// How many passes a project has, deleted ones included; no more than `most` are counted.
    async fn count_passes(&self, org: OrgId, project: ProjectId, most: u32) -> Result<u32>;
    /// Contacts of an organization in the order of their ids, after one.
    async fn contacts(&self, org: OrgId, after: Option<ContactId>, limit: u32) -> Result<Vec<ContactRow>>;
    /// The contacts that have a name, in the order of their places, behind one of them.
    async fn line(&self, org: OrgId, name: Hash, behind: Option<ContactId>, limit: u32) -> Result<Vec<ContactId>>;
    /// Contacts with passes in these wallets, see [`crate::wallets_number`], in the order of their ids, after one.
    async fn find_contacts(&self, org: OrgId, wallets: i16, after: Option<ContactId>, limit: u32) -> Result<Vec<ContactRow>>;
    /// Passes of a shard that are due for expiry, earliest first.
    async fn due_passes(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<(OrgId, PassId)>>;

    // Event log.

    /// What there is to do in every shard, by their numbers: the one read that an idle node makes again and again.
    async fn pulse(&self) -> Result<Vec<Pulse>>;
    /// The number of the last row of each shard of a log.
    async fn heads(&self, log: Log) -> Result<Vec<u64>>;
    /// The next events of a shard, in order.
    async fn read_events(&self, shard: u16, after: u64, limit: u32) -> Result<Vec<EventRow>>;
    /// Events at given positions; those that are gone are left out.
    async fn events_at(&self, positions: &[Position]) -> Result<Vec<EventRow>>;
    /// Events of an organization after a number per shard, each shard in order.
    async fn feed(&self, org: OrgId, after: &[u64], limit: u32) -> Result<Vec<EventRow>>;
    /// An organization's events that are wished for, of each shard the newest first and one more than the limit at most.
    async fn newest(&self, org: OrgId, wish: &Newest) -> Result<Vec<EventRow>>;
    /// Events of a pass, oldest first.
    async fn events_of_pass(&self, org: OrgId, pass: PassId, after: u64, limit: u32) -> Result<Vec<EventRow>>;
    /// Events of a pass below a number of its shard, newest first.
    async fn newest_of_pass(&self, org: OrgId, pass: PassId, before: u64, limit: u32) -> Result<Vec<EventRow>>;
    /// One event.
    async fn event(&self, org: OrgId, id: EventId) -> Result<Option<EventRow>>;

    // Readers and leases.

    /// How far a reader has come, per shard.
    async fn watermarks(&self, reader: Reader) -> Result<Vec<u64>>;
    /// Moves a reader's watermark of the lease's shard.
    async fn advance(&self, reader: Reader, lease: Lease, to: u64) -> Result<()>;
    /// All shards' leases.
    async fn leases(&self) -> Result<Vec<LeaseRow>>;
    /// Takes a shard's lease if its epoch is still the one seen; the new epoch, or nothing when somebody was faster.
    async fn seize(&self, seen: Lease, owner: &str) -> Result<Option<Lease>>;
    /// Shows that the owner is alive; the leases that it still holds.
    async fn beat(&self, owner: &str) -> Result<Vec<Lease>>;
    /// Gives the owner's leases back.
    async fn release(&self, owner: &str) -> Result<()>;
    /// Gives one lease back, unless it changed hands.
    async fn give_back(&self, lease: Lease) -> Result<()>;

    // Nodes.

    /// The nodes that joined and did not leave, by name.
    async fn nodes(&self) -> Result<Vec<NodeRow>>;
    /// Takes a name: in the place of the incarnation that has it, or where nobody does. False when it is another's.
    async fn join(&self, name: &str, incarnation: i64, former: Option<i64>) -> Result<bool>;
    /// Asks an incarnation to show that it is alive.
    async fn challenge(&self, name: &str, incarnation: i64) -> Result<()>;
    /// Shows that an incarnation is alive. False when it does not have the name any more.
    async fn show(&self, name: &str, incarnation: i64) -> Result<bool>;
    /// Gives a name up, unless another incarnation has it.
    async fn leave(&self, name: &str, incarnation: i64) -> Result<()>;
    /// Tells other nodes that something was written: soon, once for many calls, and as a hint that may get lost. Does
    /// nothing where there are no others.
    fn nudge(&self) {}
    /// Whether there are other nodes, as far as was seen last.
    fn is_shared(&self) -> bool {
        false
    }
    /// Ticks when another node nudged; nothing where that cannot be.
    fn nudges(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    // Deliveries.

    /// Claims due deliveries of a shard until a time, earliest first.
    async fn claim_deliveries(&self, lease: Lease, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<DeliveryRow>>;
    /// Makes all claimed deliveries of a shard due now: called when its lease was taken.
    async fn unclaim_deliveries(&self, lease: Lease, now: Timestamp) -> Result<()>;
    /// Writes outcomes.
    async fn settle_deliveries(&self, settlement: DeliverySettlement) -> Result<()>;
    /// Deliveries of events after a number that have any attempt or are owed: what a restarted reader must not send again
    /// as new.
    async fn touched_deliveries(&self, shard: u16, after: u64) -> Result<Vec<DeliveryId>>;
    /// When the next delivery of a shard is due.
    async fn next_delivery(&self, shard: u16) -> Result<Option<Timestamp>>;
    /// Unsettled deliveries of an organization, optionally of a target, ordered by when they are due and their ids, after a
    /// place in that order.
    async fn deliveries(
        &self,
        org: OrgId,
        target: Option<TargetId>,
        after: Option<(Timestamp, DeliveryId)>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>>;
    /// The same of deliveries about an event or the events of a pass; of nothing where `about` names neither.
    async fn deliveries_about(
        &self,
        org: OrgId,
        about: About,
        target: Option<TargetId>,
        after: Option<(Timestamp, DeliveryId)>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>>;
    /// One unsettled delivery.
    async fn delivery(&self, org: OrgId, id: DeliveryId) -> Result<Option<DeliveryRow>>;
    /// Adds deliveries to the unsettled ones, whatever became of them before (resend, replay), or becomes of a try at them that is
    /// under way: their `asked_at` is when that was asked for, or a moment later if it was asked for before.
    async fn owe(&self, rows: Vec<DeliveryRow>) -> Result<()>;
    /// Makes what a target is owed due now, the earliest first, so many at most, and answers how many that were. What is claimed,
    /// and replays, stay as they are; so may what somebody else writes at the moment.
    async fn hasten(&self, org: OrgId, target: TargetId, now: Timestamp, limit: u32) -> Result<u64>;
    /// How many deliveries a target is owed, replays too, and when the first of them is due.
    async fn owed(&self, org: OrgId, target: TargetId) -> Result<(u64, Option<Timestamp>)>;
    /// How many replays a target is still owed, and when the last of them is due.
    async fn behind(&self, org: OrgId, target: TargetId) -> Result<(u64, Option<Timestamp>)>;
    /// Of each of some lines, when the first delivery to its target is due that is about an earlier event of its pass than the one
    /// there and not settled; replays do not count.
    async fn earlier_owed(&self, org: OrgId, lines: &[(TargetId, PassId, Position)]) -> Result<Vec<Option<Timestamp>>>;
    /// Those of some events that a target has taken, or is owed at present.
    async fn taken_or_owed(&self, org: OrgId, target: TargetId, events: &[EventId]) -> Result<Vec<EventId>>;
    /// The newest attempt at each of some targets, about one event where one is named, as [`Backend::attempts`] would give it.
    async fn newest_attempts(&self, org: OrgId, of: &[(TargetId, Option<EventId>)]) -> Result<Vec<Option<AttemptRow>>>;
    /// Attempts, newest first.
    async fn attempts(&self, org: OrgId, filter: &AttemptFilter, limit: u32) -> Result<Vec<AttemptRow>>;

    // Wallets.

    /// Active registrations of an Apple device with their passes.
    async fn passes_on_device(&self, org: OrgId, device: &str) -> Result<Vec<PassRow>>;
    /// Installations of a pass after one, in the order of wallets and devices.
    async fn installations(
        &self,
        org: OrgId,
        pass: PassId,
        after: Option<(i16, String)>,
        limit: u32,
    ) -> Result<Vec<InstallationRow>>;
    /// The next passes of a shard whose content changed after a place, and the active Apple installations among them that were
    /// not woken for it: at most so many passes, as those that share a number come together, and at most so many
    /// installations. Where these end within a pass, so does the place that is returned.
    async fn stale_devices(&self, shard: u16, after: &StalePlace, limit: u32) -> Result<(StalePlace, Vec<StaleDevice>)>;
    /// Active Apple installations of a shard whose push is to be tried again.
    async fn due_pushes(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<StaleDevice>>;
    /// Writes outcomes of pushes.
    async fn settle_pushes(&self, settlement: PushSettlement) -> Result<()>;

    /// Active Apple installations of the next devices after one, in the order of devices; all of a device together.
    async fn devices(&self, org: OrgId, after: &str, limit: u32) -> Result<Vec<StaleDevice>>;
    /// How many devices have an active Apple installation.
    async fn device_count(&self, org: OrgId) -> Result<u64>;
    /// Owes an active Apple installation a push that is due at a time, whatever it was woken for before.
    async fn owe_push(&self, org: OrgId, pass: PassId, device: &str, at: Timestamp) -> Result<()>;
    /// Since when an Apple device holds the passes that it is registered for.
    async fn device_since(&self, org: OrgId, device: &str) -> Result<Vec<(PassId, Timestamp)>>;

    // Jobs. They are made by [`Backend::write_config`].

    /// One job.
    async fn job(&self, org: OrgId, id: Uuid) -> Result<Option<JobRow>>;
    /// Jobs of an organization and kind, newest first, before one.
    async fn jobs(&self, org: OrgId, kind: i16, before: Option<Uuid>, limit: u32) -> Result<Vec<JobRow>>;
    /// Jobs of a kind about something, newest first, before one.
    async fn jobs_about(&self, org: OrgId, kind: i16, subject: Uuid, before: Option<Uuid>, limit: u32) -> Result<Vec<JobRow>>;
    /// Running jobs of a kind in a shard, oldest first.
    async fn running_jobs(&self, kind: i16, shard: u16, limit: u32) -> Result<Vec<JobRow>>;
    /// Replaces a job that had the revision before, and keeps chunks with it; false when somebody else changed it meanwhile. A
    /// worker shows its lease.
    async fn save_job(&self, lease: Option<Lease>, row: JobRow, chunks: Vec<ChunkRow>) -> Result<bool>;

    // Chunks: files that jobs work on. Those whose time is over go with [`Backend::maintain`].

    /// Keeps a chunk, in the place of the one of that number.
    async fn put_chunk(&self, row: ChunkRow) -> Result<()>;
    /// A chunk.
    async fn chunk(&self, org: OrgId, bundle: Uuid, number: u32) -> Result<Option<ChunkRow>>;
    /// Removes chunks of a bundle, at most so many; how many they were.
    async fn drop_chunks(&self, org: OrgId, bundle: Uuid, limit: u32) -> Result<u32>;

    // What destinations that hold a state were last told of contacts, as keyed hashes.

    /// Of these contacts, what was told; none where it is not known.
    async fn synced(&self, org: OrgId, target: TargetId, contacts: &[ContactId]) -> Result<Vec<(ContactId, Hash)>>;
    /// Notes what was told of contacts, each once, or that it is not known any more.
    async fn note_synced(&self, org: OrgId, target: TargetId, told: Vec<(ContactId, Option<Hash>)>) -> Result<()>;
    /// Notes which contacts a destination finds under which record, each a keyed hash.
    async fn note_records(&self, org: OrgId, target: TargetId, found: Vec<(Hash, ContactId)>) -> Result<()>;
    /// The contacts that are noted of these records, of each the first in the order of ids, at most so many.
    async fn record_contacts(
        &self,
        org: OrgId,
        target: TargetId,
        records: Vec<Hash>,
        each: u32,
    ) -> Result<Vec<(Hash, ContactId)>>;
    /// The next destination after this one, in the order of organizations and ids, of which something is noted.
    async fn next_synced(&self, after: Option<(OrgId, TargetId)>) -> Result<Option<(OrgId, TargetId)>>;
    /// Removes what is noted of a destination, at most so much of what was told and of records each; how much of either, whichever
    /// was more.
    async fn drop_synced(&self, org: OrgId, target: TargetId, limit: u32) -> Result<u32>;

    // Passes that the rows of a sync were about.

    /// Notes that a run of a sync has rows about passes.
    async fn note_mirrored(&self, org: OrgId, sync: SyncId, run: BatchId, passes: Vec<PassId>) -> Result<()>;
    /// How many passes are noted of a sync, and how many of them a run has no row about.
    async fn count_mirrored(&self, org: OrgId, sync: SyncId, run: BatchId) -> Result<(u64, u64)>;
    /// The next passes, in the order of ids, that are noted of a sync and that a run has no row about.
    async fn left_behind(&self, org: OrgId, sync: SyncId, run: BatchId, after: Option<PassId>, limit: u32)
    -> Result<Vec<PassId>>;
    /// Forgets passes of a sync.
    async fn forget_mirrored(&self, org: OrgId, sync: SyncId, passes: Vec<PassId>) -> Result<()>;

    // What goes along when an organization moves: each in pages, in an order of its own.

    /// Results under idempotency keys after a principal and a key, those that have not expired by `now`.
    async fn results_after(&self, org: OrgId, after: (String, String), now: Timestamp, limit: u32) -> Result<Vec<ResultRow>>;
    /// Message ids of source events behind a place, and the place behind them; the first place is empty, others are this store's own.
    async fn dedupe_after(&self, org: OrgId, after: &[u8], limit: u32) -> Result<(Vec<DedupeRow>, Vec<u8>)>;
    /// Keeps message ids; one that is known stays as it is.
    async fn keep_dedupe(&self, rows: Vec<DedupeRow>) -> Result<()>;
    /// The places of those among these contacts that came to have a name after others.
    async fn places(&self, org: OrgId, contacts: &[ContactId]) -> Result<Vec<(ContactId, i64)>>;
    /// What destinations were last told of contacts, after a destination and a contact.
    async fn synced_after(
        &self,
        org: OrgId,
        after: (TargetId, ContactId),
        limit: u32,
    ) -> Result<Vec<(TargetId, ContactId, Hash)>>;
    /// Which contacts destinations find under which records, after a destination, a record and a contact.
    async fn records_after(
        &self,
        org: OrgId,
        after: (TargetId, Hash, ContactId),
        limit: u32,
    ) -> Result<Vec<(TargetId, Hash, ContactId)>>;
    /// Which run last had a row about a pass, after a sync and a pass.
    async fn mirrored_after(&self, org: OrgId, after: (SyncId, PassId), limit: u32) -> Result<Vec<(SyncId, PassId, BatchId)>>;

    // Google Wallet.

    /// The next passes of a shard whose content changed after a number, with the highest number looked at. Passes that
    /// share a number come together, beyond the limit if need be.
    async fn changed_passes(&self, shard: u16, after: u64, limit: u32) -> Result<(u64, Vec<ChangedPass>)>;
    /// Notes passes that Google shall hear of, unless it knows them as they are, and moves the reader's watermark.
    async fn want_google(&self, wants: GoogleWants) -> Result<()>;
    /// What is due of an account, the urgent first, then the longest due.
    async fn due_google(&self, org: OrgId, account: Uuid, now: Timestamp, limit: u32) -> Result<Vec<GoogleThingRow>>;
    /// One thing.
    async fn google_thing(&self, org: OrgId, thing: Uuid) -> Result<Option<GoogleThingRow>>;
    /// Adds things, and moves those of other accounts to theirs. Those that are their account's already come due again with
    /// `again`, else they stay as they are. What is remembered of a thing stays.
    async fn ask_google(&self, rows: Vec<GoogleThingRow>, again: bool) -> Result<()>;
    /// Writes outcomes.
    async fn settle_google(&self, settlement: GoogleSettlement) -> Result<()>;
    /// Forgets things that nothing is to be done for any more; those that there are not are passed over.
    async fn forget_google(&self, lease: Lease, org: OrgId, things: Vec<Uuid>) -> Result<()>;

    // Rings.

    /// Adds to a ring and cuts it to its newest rows.
    async fn capture(&self, row: CaptureRow, keep: u32) -> Result<()>;
    /// What a ring holds, newest first.
    async fn captures(&self, org: OrgId, ring: &str, limit: u32) -> Result<Vec<CaptureRow>>;
    /// Removes a ring with all that it holds.
    async fn drop_captures(&self, org: OrgId, ring: &str) -> Result<()>;
}
