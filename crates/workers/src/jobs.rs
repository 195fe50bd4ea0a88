//! What workers on jobs share.

use store::{Chunk, Job, JobBody, JobState};

use crate::shard::{End, Shard};

/// Writes how far a job is, with the chunks that it leaves behind, and answers with the job as it is now. Somebody who halted
/// it meanwhile is not overruled, and what was done is still written down; one who ended it is left alone.
pub(crate) async fn save<B>(shard: &Shard, mut job: Job<B>, chunks: &[Chunk]) -> Result<Job<B>, End>
where
    B: JobBody + Clone + Send + Sync,
{
    let (store, now) = (&shard.house.store, shard.house.now());
    loop {
        if shard.insist("save a job", || store.save_job(Some(shard.lease), &job, chunks, now)).await? {
            return Ok(Job { revision: job.revision + 1, updated_at: now, ..job });
        }
        let held = shard.insist("read a job", || store.job::<B>(job.org, job.id)).await?;
        let Some(held) = held else { return Ok(Job { state: JobState::Cancelled, ..job }) };
        if held.state.is_over() {
            return Ok(held);
        }
        let halted = held.state != JobState::Running && !job.state.is_over();
        let state = if halted { held.state } else { job.state };
        job = Job { state, progress: job.progress, ..held };
    }
}
