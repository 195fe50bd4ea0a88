//! Backfills: the contacts of an organization, compared with what a destination was last told of them, and told anew where that
//! is something else.

use domain::{BackfillId, ContactId, Id, OrgId, TargetId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{JobState, Lease, Store, StoreError, error::Result, states::parse, store::to_json};

/// A walk over all contacts for one destination, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillRow {
    /// Whose.
    pub org: OrgId,
    /// Its id, sorts by time.
    pub id: Uuid,
    /// The shard whose worker does it.
    pub shard: u16,
    /// Where it stands, see [`crate::JobState`].
    pub state: i16,
    /// What is compared and how far it is, as JSON without personal values.
    pub body: String,
    /// Counts its changes, from 1.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A walk over all contacts for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// Its id, sorts by time.
    pub id: BackfillId,
    /// Whose.
    pub org: OrgId,
    /// Where it stands.
    pub state: JobState,
    /// What is compared and how far it is.
    pub progress: BackfillProgress,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last came on.
    pub updated_at: Timestamp,
    /// Counts its changes, from 1.
    pub revision: i64,
    /// The shard whose worker brings it on.
    pub shard: u16,
}

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
    /// Whom it will not take.
    pub refused: u64,
    /// Who has nothing that a record could be found by.
    pub nameless: u64,
    /// Some of those that it will not take, with why; no personal values.
    pub samples: Vec<(ContactId, String)>,
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
            refused: 0,
            nameless: 0,
            samples: Vec::new(),
            after: None,
            failures: 0,
            trouble: None,
            not_before: None,
        }
    }
}

impl Backfill {
    fn of(row: &BackfillRow) -> Result<Self> {
        let state = JobState::from_number(row.state).ok_or_else(|| StoreError::Inconsistent {
            table: "backfills",
            column: "state",
            row: row.id.to_string(),
            why: format!("{} is no state", row.state),
        })?;
        Ok(Self {
            id: Id::from_uuid(row.id),
            org: row.org,
            state,
            progress: parse(row.body.as_bytes(), "backfills", row.id)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
            shard: row.shard,
        })
    }

    fn next_row(&self, now: Timestamp) -> Result<BackfillRow> {
        Ok(BackfillRow {
            org: self.org,
            id: self.id.uuid(),
            shard: self.shard,
            state: self.state.number(),
            body: to_json(&self.progress)?,
            revision: self.revision + 1,
            created_at: self.created_at,
            updated_at: now,
        })
    }
}

impl Store {
    /// A new backfill, unless one of the same destination is still under way: then that one.
    pub async fn begin_backfill(&self, org: OrgId, target: TargetId, everything: bool, now: Timestamp) -> Result<Backfill> {
        let mut before = None;
        loop {
            let page = self.backfills(org, before, LOOKED_THROUGH).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            let is_short = page.len() < LOOKED_THROUGH as usize;
            if let Some(held) = page.into_iter().find(|held| !held.state.is_over() && held.progress.target == target) {
                return Ok(held);
            }
            if is_short {
                break;
            }
        }
        let progress = BackfillProgress::begin(target, everything);
        let id = BackfillId::mint(now, self.entropy());
        let shard = self.shard_of(org, target.uuid());
        let new = Backfill { id, org, state: JobState::Running, progress, created_at: now, updated_at: now, revision: 0, shard };
        self.save_backfill(None, &new, now).await?;
        Ok(Backfill { revision: 1, ..new })
    }

    /// A backfill.
    pub async fn backfill(&self, org: OrgId, id: BackfillId) -> Result<Option<Backfill>> {
        self.backend().backfill(org, id.uuid()).await?.as_ref().map(Backfill::of).transpose()
    }

    /// Backfills, newest first.
    pub async fn backfills(&self, org: OrgId, before: Option<BackfillId>, limit: u32) -> Result<Vec<Backfill>> {
        self.backend().backfills(org, before.map(Id::uuid), limit).await?.iter().map(Backfill::of).collect()
    }

    /// Running backfills of a shard, oldest first.
    pub async fn running_backfills(&self, shard: u16, limit: u32) -> Result<Vec<Backfill>> {
        self.backend().running_backfills(shard, limit).await?.iter().map(Backfill::of).collect()
    }

    /// Writes how far a backfill is, or that it was halted; false when somebody else changed it meanwhile.
    pub async fn save_backfill(&self, lease: Option<Lease>, backfill: &Backfill, now: Timestamp) -> Result<bool> {
        let saved = self.backend().save_backfill(lease, backfill.next_row(now)?).await?;
        self.wake().tick_config();
        Ok(saved)
    }
}

/// Backfills that are read together when one that is under way is looked for.
const LOOKED_THROUGH: u32 = 100;
