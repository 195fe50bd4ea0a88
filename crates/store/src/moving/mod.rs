//! Moving house: an organization is taken out of one installation, as a file, and into another, whatever their databases are.
//!
//! The file is a row of frames, each sealed with AES-256-GCM under a transfer key together with its number, the last of which
//! says how many there are: one that is damaged, cut off or put together anew does not open. What is sealed at rest is opened
//! on the way out and sealed anew on the way in, except what is sealed under the organization's own key, which comes along and
//! is wrapped under the new installation's master key: so tokens, serial numbers, scan codes and credentials stay what they were.
//!
//! On the way in, passes and contacts come first, a frame to a transaction, and what makes the organization known comes last,
//! in one transaction: until then nobody finds it, and an import that broke off goes on where it was.
//!
//! What has a key happens once, also after the move: idempotency keys come along with their results, and the message ids by which
//! sources' events are known again. So does what destinations were last told of each contact, which contacts are one record there,
//! and which passes syncs had rows about, so that the next backfill and the next sync do not begin anew. Left behind on purpose:
//! source events with their traces and repetitions, attempts, deliveries, jobs with their rows (batches, runs of syncs and how far
//! these came, so that the next run reads all rows once), what inspectors took, and the audit log. They tell of the old
//! installation, and belong with its file to whoever keeps records. When the next turn of a flow with a rate is begins anew, and so
//! does what Google holds: every pass of a project with an issuer is walked once. `conformance::carried` has every table's fate.
//!
//! A file of an earlier release is read as long as it can be: what that did not know has the value of whoever never used it. What
//! cannot be read, or is of a later release, is refused before anything is written.

mod carried;
mod export;
mod file;
mod import;

use std::io;

use domain::{
    Actor, BatchId, Cause, Contact, ContactId, Event, EventId, Facts, Image, Installation, OrgId, Pass, PassId, Position,
    ProjectId, SourceEventId, SourceId, SyncId, TargetId, Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Hash, StoreError};

/// Why an organization could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The file cannot be read or written.
    #[error("the file: {0}")]
    File(#[from] io::Error),
    /// The file is damaged, cut off, or sealed under another key.
    #[error("the file is damaged, cut off, or sealed under another key: {0}; nothing was written")]
    Damaged(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Refused(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Moved<T> = Result<T, MoveError>;

/// How much was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Organizations.
    pub organizations: u64,
    /// Contacts.
    pub contacts: u64,
    /// Passes.
    pub passes: u64,
    /// Installations.
    pub installations: u64,
    /// Events.
    pub events: u64,
    /// Pictures and other files.
    pub files: u64,
    /// Idempotency keys and message ids.
    pub keys: u64,
    /// What destinations were told of contacts, under which record they find each, and which passes syncs had rows about.
    pub notes: u64,
}

/// A frame of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Frame {
    Header {
        form: u32,
        made_at: Timestamp,
        /// The release that wrote it; those before this was written down said nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<String>,
    },
    Organization {
        org: OrgId,
        name: String,
        key: String,
    },
    File {
        org: OrgId,
        media_type: String,
        bytes: String,
        created_at: Timestamp,
    },
    Contacts {
        org: OrgId,
        contacts: Vec<Contact>,
        /// Where those among them stand who came to have their e-mail address after others; files of releases for which one contact
        /// alone had an address do not say it.
        #[serde(default)]
        places: Option<Vec<(ContactId, i64)>>,
    },
    Passes {
        org: OrgId,
        passes: Vec<MovedPass>,
    },
    Events {
        org: OrgId,
        events: Vec<MovedEvent>,
    },
    Results {
        org: OrgId,
        results: Vec<MovedResult>,
    },
    Messages {
        org: OrgId,
        ids: Vec<MovedMessageId>,
    },
    Synced {
        org: OrgId,
        target: TargetId,
        told: Vec<(ContactId, Hash)>,
    },
    Records {
        org: OrgId,
        target: TargetId,
        found: Vec<(Hash, ContactId)>,
    },
    Mirrored {
        org: OrgId,
        sync: SyncId,
        run: BatchId,
        passes: Vec<PassId>,
    },
    Configuration {
        org: OrgId,
        resources: Vec<MovedResource>,
        names: Vec<MovedName>,
    },
    End {
        frames: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct MovedPass {
    pass: Pass,
    installations: Vec<MovedInstallation>,
    events: Vec<MovedEvent>,
}

#[derive(Serialize, Deserialize)]
struct MovedInstallation {
    installation: Installation,
    /// Whether the device was not woken for the pass's last change.
    behind: bool,
}

#[derive(Serialize, Deserialize)]
struct MovedEvent {
    id: EventId,
    schema: u16,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    actor: Actor,
    cause: Cause,
    project: Option<ProjectId>,
    pass: Option<PassId>,
    contact: Option<ContactId>,
    version: u64,
    facts: Facts,
    image: Image,
}

/// What is kept under an idempotency key.
#[derive(Serialize, Deserialize)]
struct MovedResult {
    principal: String,
    key: String,
    fingerprint: [u8; 32],
    subject: Uuid,
    expires_at: Timestamp,
    /// Nothing once whom it is about was erased: then it only binds.
    body: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct MovedMessageId {
    source: SourceId,
    dedupe: Hash,
    id: SourceEventId,
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct MovedResource {
    kind: i16,
    id: Uuid,
    slug: Option<String>,
    body: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct MovedName {
    kind: i16,
    name: String,
    target: Uuid,
}

impl MovedEvent {
    fn of(event: Event) -> Self {
        let Event { id, schema, occurred_at, recorded_at, actor, cause, project, pass, contact, version, facts, image, .. } =
            event;
        Self { id, schema, occurred_at, recorded_at, actor, cause, project, pass, contact, version, facts, image }
    }

    fn into_event(self, org: OrgId, shard: u16) -> Event {
        let Self { id, schema, occurred_at, recorded_at, actor, cause, project, pass, contact, version, facts, image } = self;
        let position = Position { shard, seq: 0 };
        Event { id, org, position, schema, occurred_at, recorded_at, actor, cause, project, pass, contact, version, facts, image }
    }
}
