//! What the engine reads and writes in one go: states, events, results.

use domain::{ContactId, EventId, OrgId, PassId, Position, ProjectId, Timestamp};
use uuid::Uuid;

use super::{ContactRow, ContactWrite, Hash, InstallationRow, PassRow, PassWrite};

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
    /// Installations, inserted or replaced except for `pushed_seq` and `push_due_at`, which belong to [`crate::PushSettlement`].
    pub installations: Vec<InstallationRow>,
    /// New data keys: organization, subject, wrapped key. One that is there already is a conflict.
    pub data_keys: Vec<(OrgId, Uuid, Vec<u8>)>,
    /// Subjects whose data keys are destroyed, with those of the source events that they own; before new ones are added. Requests
    /// that inspectors of their organizations took go with them: what stands in those, and of whom, nobody knows. A pass of such a
    /// contact that is not among them is a conflict: it came to be theirs meanwhile.
    pub destroyed_keys: Vec<(OrgId, Uuid)>,
    /// Events, appended to their shard's log in this order.
    pub events: Vec<EventRow>,
    /// Results under their idempotency keys.
    pub results: Vec<ResultRow>,
    /// Projects that were not removed, nor are while this is written: else it is a conflict.
    pub standing: Vec<(OrgId, ProjectId)>,
    /// Contacts that passes come to be of and that are not written themselves, with their versions, which they keep while this is
    /// written: else it is a conflict.
    pub holders: Vec<(OrgId, ContactId, i64)>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Written; positions of the events in the order given.
    Done(Vec<Position>),
    /// Somebody else was faster with one of the rows or keys: load and decide again. Nothing was written.
    Conflict,
}
