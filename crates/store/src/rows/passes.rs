//! Passes, the contacts who hold them, and where they are installed.

use domain::{ContactId, OrgId, PassId, ProjectId, Timestamp};
use uuid::Uuid;

use super::Hash;
use crate::PassState;

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
    /// The pass's `content_seq` that the device was last woken for. Written by [`crate::PushSettlement`], not by commits; a new
    /// row starts with the one that the pass had before the commit, because the device has just fetched that.
    pub pushed_seq: i64,
    /// When a failed push is tried again; written by [`crate::PushSettlement`], none in a new row.
    pub push_due_at: Option<Timestamp>,
    /// Pushes in a row that are to be tried again; counted by [`crate::PushSettlement`], none in a new row.
    pub push_tries: i32,
}
