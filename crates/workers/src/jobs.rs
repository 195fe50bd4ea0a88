//! What workers on jobs share.

use std::time::Duration;

use domain::Timestamp;
use store::{Chunk, Job, JobBody, JobState};

use crate::shard::{End, Shard};

/// Jobs of a shard that come on in turns, or rest.
const AT_ONCE: u32 = 256;

/// Brings the jobs of a shard on in turns, a step each, until the shard is stopped or lost. One that is to rest until later is
/// left alone meanwhile. `poll` is how often it is looked for new ones without being woken.
pub(crate) async fn run<B>(
    shard: Shard,
    poll: Duration,
    rests: impl Fn(&B) -> Option<Timestamp>,
    step: impl AsyncFn(&Shard, Job<B>) -> Result<(), End>,
) -> End
where
    B: JobBody + Send + Sync,
{
    let work = async || {
        let store = &shard.house.store;
        let mut ticks = store.wake().config();
        loop {
            if shard.is_stopping() {
                return Err(End::Stopped);
            }
            ticks.mark_unchanged();
            let running = shard.insist("read jobs", || store.running_jobs::<B>(shard.number(), AT_ONCE)).await?;
            let now = shard.house.now();
            let (due, later): (Vec<_>, Vec<_>) =
                running.into_iter().partition(|job| rests(&job.progress).is_none_or(|until| until <= now));
            if due.is_empty() {
                let next = later.iter().filter_map(|job| rests(&job.progress)).min();
                shard.wait(&mut ticks, next.map_or(poll, |until| until.since(now).min(poll))).await?;
            }
            for job in due {
                step(&shard, job).await?;
            }
        }
    };
    let ended: Result<(), End> = work().await;
    ended.err().unwrap_or(End::Stopped)
}

/// Writes how far a job is, with the chunks that it leaves behind, and answers with the job as it is now. Somebody who halted
/// or cancelled it meanwhile is not overruled, and what was done is still written down; one that ended otherwise is left alone.
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
        let is_cancelled = held.state == JobState::Cancelled;
        // That it could not go on is no news of one that was not to go on.
        if held.state.is_over() && (!is_cancelled || job.state == JobState::Failed) {
            return Ok(held);
        }
        let halted = held.state != JobState::Running && !job.state.is_over();
        let state = if halted || is_cancelled { held.state } else { job.state };
        job = Job { state, progress: job.progress, ..held };
    }
}
