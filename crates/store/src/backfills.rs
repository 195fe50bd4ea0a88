//! Backfills: the contacts of an organization, compared with what a destination holds of them, where that can be read, else with
//! what it was last told, and told anew where that is something else.

use domain::{BackfillId, BackfillKind, ContactId, OrgId, TargetId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ConfigWrite, Job, JobBody, JobKind, JobState, Store, error::Result};

/// A walk over all contacts for one destination.
pub type Backfill = Job<BackfillProgress>;

/// What is compared and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillProgress {
    /// The destination.
    pub target: TargetId,
    /// Whether everybody is told anew, as if nothing were known of what it holds.
    pub everything: bool,
    /// Contacts that were looked at.
    pub looked_at: u64,
    /// Of those, whom it holds as they are.
    pub matched: u64,
    /// Whom it was told of anew and took.
    pub repaired: u64,
    /// Of those, whom it held otherwise although it had been told: somebody changed them there.
    #[serde(default)]
    pub drifted: u64,
    /// Whom it will not take.
    pub refused: u64,
    /// Who has nothing that a record could be found by.
    pub nameless: u64,
    /// Some of those that it will not take, with why; no personal values.
    pub samples: Vec<(ContactId, String)>,
    /// Some of those that were changed there, each with the fields; no values.
    #[serde(default)]
    pub drift: Vec<(ContactId, String)>,
    /// The last contact that was looked at.
    pub after: Option<ContactId>,
    /// How often it could not go on, in a row.
    pub failures: u32,
    /// Why not, the last time.
    pub trouble: Option<String>,
    /// Not before this it goes on.
    pub not_before: Option<Timestamp>,
}

impl BackfillProgress {
    const fn begin(target: TargetId, everything: bool) -> Self {
        Self {
            target,
            everything,
            looked_at: 0,
            matched: 0,
            repaired: 0,
            drifted: 0,
            refused: 0,
            nameless: 0,
            samples: Vec::new(),
            drift: Vec::new(),
            after: None,
            failures: 0,
            trouble: None,
            not_before: None,
        }
    }
}

impl JobBody for BackfillProgress {
    type Id = BackfillKind;
    const KIND: JobKind = JobKind::Backfill;

    fn subject(&self) -> Option<Uuid> {
        Some(self.target.uuid())
    }
}

impl Store {
    /// A new backfill with what is to be written for it, which is in conflict while another of the same destination is under way.
    pub fn begin_backfill(
        &self,
        org: OrgId,
        target: TargetId,
        everything: bool,
        now: Timestamp,
    ) -> Result<(Backfill, ConfigWrite)> {
        let progress = BackfillProgress::begin(target, everything);
        let id = BackfillId::mint(now, self.entropy());
        let shard = self.shard_of(org, target.uuid());
        let new = Backfill { id, org, state: JobState::Running, progress, created_at: now, updated_at: now, revision: 0, shard };
        let write = ConfigWrite { jobs: vec![new.next_row(now)?], now, ..ConfigWrite::default() };
        Ok((Backfill { revision: 1, ..new }, write))
    }
}
