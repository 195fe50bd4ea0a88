//! What is configured, and changes of it.

use domain::{OrgId, ProjectId, Timestamp};
use uuid::Uuid;

use super::{JobRow, ResultRow};

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
    /// Projects that are removed because they have no pass: where one has, that is a conflict.
    pub without_passes: Vec<(OrgId, ProjectId)>,
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
        self.without_passes.extend(other.without_passes);
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
