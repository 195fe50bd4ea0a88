//! Jobs: long pieces of work that a worker does step by step, and the files that some of them work on.

use std::time::Duration;

use domain::{Id, IdKind, OrgId, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{ChunkRow, JobKind, JobRow, JobState, Lease, Store, StoreError, error::Result, states::parse, store::to_json};

/// What a kind of job keeps about itself.
pub trait JobBody: Serialize + DeserializeOwned {
    /// What its id is the id of.
    type Id: IdKind;
    /// Its kind.
    const KIND: JobKind;

    /// What it is about, where only one at a time may be under way for it.
    fn subject(&self) -> Option<Uuid> {
        None
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<B: JobBody> {
    /// Its id, sorts by time.
    pub id: Id<B::Id>,
    /// Whose.
    pub org: OrgId,
    /// Where it stands.
    pub state: JobState,
    /// What is done and how far it is.
    pub progress: B,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last came on.
    pub updated_at: Timestamp,
    /// Counts its changes, from 1.
    pub revision: i64,
    /// The shard whose worker brings it on.
    pub shard: u16,
}

impl<B: JobBody> Job<B> {
    fn of(row: &JobRow) -> Result<Self> {
        let state = JobState::from_number(row.state).ok_or_else(|| StoreError::Inconsistent {
            table: "jobs",
            column: "state",
            row: row.id.to_string(),
            why: format!("{} is no state", row.state),
        })?;
        Ok(Self {
            id: Id::from_uuid(row.id),
            org: row.org,
            state,
            progress: parse(row.body.as_bytes(), "jobs", row.id)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
            shard: row.shard,
        })
    }

    pub(crate) fn next_row(&self, now: Timestamp) -> Result<JobRow> {
        Ok(JobRow {
            org: self.org,
            id: self.id.uuid(),
            kind: B::KIND.number(),
            subject: self.progress.subject(),
            shard: self.shard,
            state: self.state.number(),
            body: to_json(&self.progress)?,
            revision: self.revision + 1,
            created_at: self.created_at,
            updated_at: now,
        })
    }
}

/// A piece of a file, to be kept.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The file.
    pub bundle: Uuid,
    /// Which piece of it, from 0.
    pub number: u32,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// How long a file is kept that a job works on or leaves behind. Idempotency keys of its rows live as long.
pub const CHUNK_DAYS: u64 = crate::RESULT_DAYS;
/// Chunks that are removed in one transaction.
const DROPPED_AT_ONCE: u32 = 16;

impl Store {
    /// A job of a kind.
    pub async fn job<B: JobBody>(&self, org: OrgId, id: Id<B::Id>) -> Result<Option<Job<B>>> {
        let row = self.backend.job(org, id.uuid()).await?.filter(|row| row.kind == B::KIND.number());
        row.as_ref().map(Job::of).transpose()
    }

    /// Jobs of a kind, newest first.
    pub async fn jobs<B: JobBody>(&self, org: OrgId, before: Option<Id<B::Id>>, limit: u32) -> Result<Vec<Job<B>>> {
        let before = before.map(Id::uuid);
        self.backend.jobs(org, B::KIND.number(), before, limit).await?.iter().map(Job::of).collect()
    }

    /// Jobs of a kind about something, newest first, before one.
    pub async fn jobs_about<B: JobBody>(
        &self,
        org: OrgId,
        subject: Uuid,
        before: Option<Id<B::Id>>,
        limit: u32,
    ) -> Result<Vec<Job<B>>> {
        let before = before.map(Id::uuid);
        self.backend.jobs_about(org, B::KIND.number(), subject, before, limit).await?.iter().map(Job::of).collect()
    }

    /// The newest job of a kind about something.
    pub async fn newest_job<B: JobBody>(&self, org: OrgId, subject: Uuid) -> Result<Option<Job<B>>> {
        Ok(self.jobs_about(org, subject, None, 1).await?.pop())
    }

    /// Running jobs of a kind in a shard, oldest first.
    pub async fn running_jobs<B: JobBody>(&self, shard: u16, limit: u32) -> Result<Vec<Job<B>>> {
        self.backend.running_jobs(B::KIND.number(), shard, limit).await?.iter().map(Job::of).collect()
    }

    /// Writes how far a job is, or that it was halted, and keeps chunks with it; false when somebody else changed it
    /// meanwhile.
    pub async fn save_job<B: JobBody>(
        &self,
        lease: Option<Lease>,
        job: &Job<B>,
        chunks: &[Chunk],
        now: Timestamp,
    ) -> Result<bool> {
        let chunks: Result<Vec<ChunkRow>> = chunks.iter().map(|chunk| self.sealed_chunk(job.org, chunk, now)).collect();
        let saved = self.backend.save_job(lease, job.next_row(now)?, chunks?).await?;
        self.wake().tick_config();
        Ok(saved)
    }

    /// Keeps a piece of a file, in the place of the one of that number.
    pub async fn put_chunk(&self, org: OrgId, chunk: &Chunk, now: Timestamp) -> Result<()> {
        self.backend.put_chunk(self.sealed_chunk(org, chunk, now)?).await
    }

    /// A piece of a file.
    pub async fn chunk(&self, org: OrgId, bundle: Uuid, number: u32) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(row) = self.backend.chunk(org, bundle, number).await? else { return Ok(None) };
        self.keyring.open_secret(org, &context(bundle, number), &row.body).map(Some)
    }

    /// Removes a file.
    pub async fn drop_bundle(&self, org: OrgId, bundle: Uuid) -> Result<()> {
        while self.backend.drop_chunks(org, bundle, DROPPED_AT_ONCE).await? == DROPPED_AT_ONCE {}
        Ok(())
    }

    fn sealed_chunk(&self, org: OrgId, chunk: &Chunk, now: Timestamp) -> Result<ChunkRow> {
        let Chunk { bundle, number, ref bytes } = *chunk;
        let body = self.keyring.seal_secret(org, &context(bundle, number), bytes)?;
        let expires_at = now.plus(Duration::from_secs(CHUNK_DAYS * 86_400));
        Ok(ChunkRow { org, bundle, number, expires_at, body })
    }
}

/// Ties what is sealed in a chunk to its place.
fn context(bundle: Uuid, number: u32) -> Vec<u8> {
    [b"chunk".as_slice(), bundle.as_bytes(), &number.to_be_bytes()].concat()
}
