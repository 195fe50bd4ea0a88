//! Long pieces of work, and what is kept beside them for a while.

use domain::{OrgId, Timestamp};
use uuid::Uuid;

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
