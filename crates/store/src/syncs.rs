//! Syncs: batches that are saved, whose rows are what a query finds in somebody's database, and which run by themselves.

use std::time::Duration;

use domain::{Actor, BatchId, OrgId, ProjectId, SyncId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    Batch, BatchPhase, BatchStart, BatchWork, ConfigWrite, Intake, IntakeFrom, JobState, Resource as _, Store, StoreError,
    error::Result,
};

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
    /// The statement whose rows it is about.
    pub query: String,
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

    /// A run of a sync with what is to be written for it, which is in conflict while another of the same sync is under way. A
    /// trial looks at the first rows alone, and is in nobody's way.
    pub fn begin_sync(
        &self,
        org: OrgId,
        sync: &StoredSync,
        project: ProjectId,
        actor: Actor,
        is_trial: bool,
        now: Timestamp,
    ) -> Result<(Batch, ConfigWrite)> {
        let mut work = BatchWork::new(sync.document.clone(), project, actor, sync.start);
        work.phase = BatchPhase::Read;
        work.intake = Some(Intake::of(IntakeFrom::Query { sync: sync.id, is_trial }));
        let id = BatchId::mint(now, self.entropy());
        let shard = self.shard_of(org, sync.id.uuid());
        let new =
            Batch { id, org, state: JobState::Running, progress: work, created_at: now, updated_at: now, revision: 0, shard };
        let write = ConfigWrite { jobs: vec![new.next_row(now)?], now, ..ConfigWrite::default() };
        Ok((Batch { revision: 1, ..new }, write))
    }
}
