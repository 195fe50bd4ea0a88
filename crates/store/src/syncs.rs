//! Syncs: batches that are saved, whose rows are what a query finds in somebody's database, and which run by themselves.

use std::time::Duration;

use domain::{Actor, BatchId, OrgId, ProjectId, SyncId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Batch, BatchPhase, BatchStart, BatchWork, ConfigWrite, Intake, IntakeFrom, JobState, Resource as _, Store, StoreError,
    error::Result,
};

/// Passes that are forgotten together.
const FORGOTTEN: u32 = 1_000;
/// Runs that are looked at together.
const RUNS: u32 = 100;

/// A sync, its password sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSync {
    /// Its id.
    pub id: SyncId,
    /// What people call it by.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
    /// What is done for each row, `flows::batch::Batch`.
    pub document: Value,
    /// When a run goes on that was checked.
    pub start: BatchStart,
    /// The database, `postgresql://host:port/database`.
    pub url: String,
    /// Who reads.
    pub user: String,
    /// The proof, sealed.
    pub sealed_password: String,
    /// Whether the connection is encrypted and the server's certificate and name are checked.
    pub tls: bool,
    /// Certificates of the authorities that the server's is checked against, PEM, instead of those that are trusted everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// By which of the operator's named ways out the database is reached; none means the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
    /// The statement whose rows it is about.
    pub query: String,
    /// What tells that a row changed since the last run, where a run is not about all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incremental: Option<Incremental>,
    /// What becomes of passes whose rows are gone; without, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
    /// How long the server may work on a stretch of rows, in seconds.
    pub patience_seconds: u32,
    /// When it runs by itself, `flows::batch::Schedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Value>,
    /// Whether it runs by itself at all.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What tells that a row changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incremental {
    /// The column that rises with every change.
    pub column: String,
    /// How far before the last time rows are read again, in seconds.
    pub overlap_seconds: u32,
}

/// What becomes of passes of which an earlier run had a row and a run that reads all rows has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// What.
    pub action: RemovedAction,
    /// When they are more of the sync's passes than this, nothing becomes of any, in percent.
    pub at_most_percent: u8,
}

/// What becomes of a pass whose row is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovedAction {
    /// It is revoked.
    Revoke,
    /// It is deleted.
    Delete,
}

/// How far a run has come with passes whose rows are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// What becomes of them.
    pub removed: Removed,
    /// Whether this run reads all rows, so that those that it does not have are gone.
    pub is_due: bool,
    /// How many they were, once all rows were carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
    /// How many of them are done with.
    #[serde(default)]
    pub done: u64,
    /// Why they were left as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// What a run of a sync reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncScope {
    /// The first rows; nothing is done.
    Trial,
    /// What changed since the last run, where the sync says what tells that; else all.
    Changed,
    /// All rows.
    All,
}

impl StoredSync {
    /// How long the server may work on a stretch of rows.
    pub const fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_seconds as u64)
    }
}

impl Store {
    /// A sync's password.
    pub fn open_password(&self, org: OrgId, sync: &StoredSync) -> Result<Zeroizing<String>> {
        let opened = self.open_of::<StoredSync>(org, sync.id.uuid(), &sync.sealed_password)?;
        let text = std::str::from_utf8(&opened).map_err(|_| StoreError::Inconsistent {
            table: "resources",
            column: "body",
            row: format!("{} {}", StoredSync::KIND.number(), sync.id),
            why: "the password is no text".to_owned(),
        })?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Forgets which passes the rows of a sync were about.
    pub async fn forget_mirrored(&self, org: OrgId, sync: SyncId) -> Result<()> {
        loop {
            let nothing = BatchId::from_uuid(Uuid::nil());
            let passes = self.backend().left_behind(org, sync, nothing, None, FORGOTTEN).await?;
            if passes.is_empty() {
                return Ok(());
            }
            self.backend().forget_mirrored(org, sync, passes).await?;
        }
    }

    /// How far the last run of a sync came, of those that began since a time: where the next one begins. None counts that did not
    /// come to its end, or of which a row failed: those rows are read again.
    pub async fn sync_mark(&self, org: OrgId, sync: SyncId, since: Timestamp) -> Result<Option<String>> {
        let mut before = None;
        loop {
            let runs = self.jobs_about::<BatchWork>(org, sync.uuid(), before, RUNS).await?;
            let Some(last) = runs.last() else { return Ok(None) };
            before = Some(last.id);
            let is_older = last.created_at < since;
            for run in runs.into_iter().take_while(|run| run.created_at >= since) {
                let is_whole = run.state == JobState::Done && run.progress.run.failed == 0;
                if let Some(mark) = run.progress.intake.and_then(|intake| intake.mark).filter(|_| is_whole) {
                    return Ok(Some(mark));
                }
            }
            if is_older {
                return Ok(None);
            }
        }
    }

    /// A run of a sync with what is to be written for it, which is in conflict while another of the same sync is under way. A
    /// trial is in nobody's way.
    pub fn begin_sync(
        &self,
        org: OrgId,
        sync: &StoredSync,
        project: ProjectId,
        actor: Actor,
        scope: SyncScope,
        now: Timestamp,
    ) -> Result<(Batch, ConfigWrite)> {
        let mut work = BatchWork::new(sync.document.clone(), project, actor, sync.start);
        work.phase = BatchPhase::Read;
        work.intake = Some(Intake::of(IntakeFrom::Query { sync: sync.id, scope }));
        let is_whole = scope == SyncScope::All || (scope == SyncScope::Changed && sync.incremental.is_none());
        let removed = sync.removed.filter(|_| scope != SyncScope::Trial);
        work.removal = removed.map(|removed| Removal { removed, is_due: is_whole, found: None, done: 0, kept: None });
        let id = BatchId::mint(now, self.entropy());
        let shard = self.shard_of(org, sync.id.uuid());
        let new =
            Batch { id, org, state: JobState::Running, progress: work, created_at: now, updated_at: now, revision: 0, shard };
        let write = ConfigWrite { jobs: vec![new.next_row(now)?], now, ..ConfigWrite::default() };
        Ok((Batch { revision: 1, ..new }, write))
    }
}
