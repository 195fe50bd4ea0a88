//! Batches: a file of rows, each of which becomes one command.
//!
//! The file is kept as sealed chunks of UTF-8 while the batch is not over, so that any node can go on with it. A worker reads
//! it twice: once to check, when nothing is done, and once to run. What it finds in rows that fail is a second file, the
//! report, whose chunks are written with the row that says how far the batch is. Rows that come as a file of columns are
//! brought in first, whole, so that what follows need not know where they came from.

use domain::{Actor, BatchId, BatchKind, OrgId, ProjectId, SyncId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    AuditRow, ConfigChange, ConfigWrite, Job, JobBody, JobKind, JobState, Removal, Store, SyncScope, error::Result,
    store::to_json,
};

/// The kind of a batch in the audit log; batches are no [`crate::Resource`]s.
pub const AUDITED_BATCH: i16 = 1_001;
/// Bytes of a file's chunk; only the last of a file has fewer.
pub const CHUNK_BYTES: usize = 512 << 10;

/// A batch.
pub type Batch = Job<BatchWork>;

/// What a batch does and how far it is. Without personal values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchWork {
    /// What is to be done, `flows::batch::Batch`.
    pub document: Value,
    /// The project whose passes it is about.
    pub project: ProjectId,
    /// Who ordered it.
    pub actor: Actor,
    /// When it runs.
    pub start: BatchStart,
    /// Its rows are not carried out before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// What it is at.
    pub phase: BatchPhase,
    /// What its rows are brought in from, where they do not come as they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intake: Option<Intake>,
    /// Its rows, once they are there whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<BatchFile>,
    /// Whether its rows are held back when they are there, so that it may be told first what becomes of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// What was learnt about how the file is written, `flows::batch::Layout`; null before.
    #[serde(default)]
    pub layout: Value,
    /// Columns, and members of rows, that nothing takes: the first that the check met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
    /// What the check found.
    #[serde(default)]
    pub check: BatchTally,
    /// What the run did.
    #[serde(default)]
    pub run: BatchTally,
    /// A run of a sync: what becomes of passes whose rows are gone, where something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Which reader of a log it waits for at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// When a batch runs that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStart {
    /// When somebody says so.
    #[default]
    ByHand,
    /// At once, unless a row would fail.
    IfClean,
    /// At once; rows that fail are reported.
    Always,
}

/// What a batch is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchPhase {
    /// Its rows are awaited.
    Rows,
    /// Its rows are brought in.
    Read,
    /// Its rows are checked, nothing is done.
    Check,
    /// Its rows are carried out.
    Run,
}

/// A file in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFile {
    /// Its chunks' bundle.
    pub bundle: Uuid,
    /// How many bytes of UTF-8 it has.
    pub bytes: u64,
}

/// What rows are brought in from that do not come as they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntakeFrom {
    /// A file of columns, as it was uploaded.
    Upload(BatchFile),
    /// What the query of a sync finds.
    Query {
        /// The sync.
        sync: SyncId,
        /// Which rows.
        scope: SyncScope,
    },
}

/// How rows are brought in. After a crash it begins anew: nothing was done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// What from.
    pub from: IntakeFrom,
    /// Where the rows are put that are no whole file yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Uuid>,
    /// Rows that were brought in.
    #[serde(default)]
    pub rows: u64,
    /// Of an incremental sync: the highest that its column was, once all rows are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

impl Intake {
    /// Of which nothing was read.
    pub const fn of(from: IntakeFrom) -> Self {
        Self { from, bundle: None, rows: 0, mark: None }
    }

    /// The bundle of what was uploaded.
    pub const fn upload(&self) -> Option<Uuid> {
        match self.from {
            IntakeFrom::Upload(file) => Some(file.bundle),
            IntakeFrom::Query { .. } => None,
        }
    }

    /// The sync whose run this is; none of a trial.
    pub const fn sync(&self) -> Option<SyncId> {
        match self.from {
            IntakeFrom::Query { scope: SyncScope::Trial, .. } | IntakeFrom::Upload(_) => None,
            IntakeFrom::Query { sync, .. } => Some(sync),
        }
    }

    /// Whether the first rows alone are looked at.
    pub const fn is_trial(&self) -> bool {
        matches!(self.from, IntakeFrom::Query { scope: SyncScope::Trial, .. })
    }
}

/// How far a pass through the rows has come, and what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BatchTally {
    /// Bytes of the file that were read.
    pub offset: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Lines that were read.
    pub lines: u64,
    /// Rows that issued a pass, or would.
    pub created: u64,
    /// Rows that changed something else, or would.
    pub changed: u64,
    /// Rows after which everything is as it was.
    pub unchanged: u64,
    /// Rows that met a pass which is revoked, used up or expired, and stays so.
    #[serde(default)]
    pub still_void: u64,
    /// Rows that failed, or would.
    pub failed: u64,
    /// Where the report on those is; none while there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Uuid>,
    /// How many chunks the report has.
    pub report_chunks: u32,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// When it came to the last row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl JobBody for BatchWork {
    type Id = BatchKind;
    const KIND: JobKind = JobKind::Batch;

    fn subject(&self) -> Option<Uuid> {
        self.intake.as_ref().and_then(Intake::sync).map(|sync| sync.uuid())
    }
}

impl BatchWork {
    /// A batch that awaits its rows.
    pub fn new(document: Value, project: ProjectId, actor: Actor, start: BatchStart) -> Self {
        Self {
            document,
            project,
            actor,
            start,
            start_at: None,
            phase: BatchPhase::Rows,
            intake: None,
            file: None,
            hold: false,
            layout: Value::Null,
            check: BatchTally::default(),
            run: BatchTally::default(),
            removal: None,
            unused: Vec::new(),
            fault: None,
            waits_for: None,
        }
    }

    /// The time that it waits for, checked and to be carried out then.
    pub fn waits_until(&self) -> Option<Timestamp> {
        self.start_at.filter(|_| self.phase == BatchPhase::Run && self.run.began_at.is_none())
    }

    /// The pass through the rows that it is at.
    pub fn tally(&mut self) -> &mut BatchTally {
        if self.phase == BatchPhase::Run { &mut self.run } else { &mut self.check }
    }

    /// The report that counts: of the run, else of the check.
    pub fn reported(&self) -> &BatchTally {
        if self.phase == BatchPhase::Run { &self.run } else { &self.check }
    }
}

impl Store {
    /// The rows of a new batch.
    pub fn new_batch(&self, change: &ConfigChange<'_>, work: BatchWork) -> Result<(Batch, ConfigWrite)> {
        let (org, now) = (change.org, change.now);
        let id = BatchId::mint(now, self.entropy());
        let shard = self.shard_of(org, id.uuid());
        let state = JobState::Paused;
        let batch = Batch { id, org, state, progress: work, created_at: now, updated_at: now, revision: 0, shard };
        let audit = self.audit_of(change, &batch, "create")?;
        let write = ConfigWrite { jobs: vec![batch.next_row(now)?], audit: vec![audit], now, ..ConfigWrite::default() };
        Ok((Batch { revision: 1, ..batch }, write))
    }

    /// The rows of a change that somebody makes to a batch.
    pub fn batch_write(&self, change: &ConfigChange<'_>, batch: &Batch, action: &str) -> Result<ConfigWrite> {
        let audit = self.audit_of(change, batch, action)?;
        let now = change.now;
        Ok(ConfigWrite { jobs: vec![batch.next_row(now)?], audit: vec![audit], now, ..ConfigWrite::default() })
    }

    /// The entry of the audit log for what somebody does to a batch.
    pub fn audit_of(&self, change: &ConfigChange<'_>, batch: &Batch, action: &str) -> Result<AuditRow> {
        Ok(AuditRow {
            org: change.org,
            id: domain::EventId::mint(change.now, self.entropy()).uuid(),
            at: change.now,
            actor: change.actor.clone(),
            action: action.to_owned(),
            kind: AUDITED_BATCH,
            resource: batch.id.uuid(),
            before: None,
            after: Some(to_json(&batch.progress.document)?),
        })
    }

    /// The files of a batch that is over are of no use any more.
    pub async fn forget_rows(&self, org: OrgId, work: &BatchWork) -> Result<()> {
        let intake = work.intake.as_ref();
        let taken_in = intake.and_then(Intake::upload).into_iter().chain(intake.and_then(|intake| intake.bundle));
        for bundle in taken_in.chain(work.file.map(|file| file.bundle)) {
            self.drop_bundle(org, bundle).await?;
        }
        Ok(())
    }
}
