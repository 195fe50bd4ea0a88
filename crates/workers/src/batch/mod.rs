//! Batches: the rows of a file become commands, first to see which would fail, then to be carried out.
//!
//! A batch is brought on in turns of about a second, a group of rows at a time, and how far it is stands in its job's row.
//! After a crash the turn that was not written down is made again: every row's command has an idempotency key, so what was
//! done is answered from its stored result. Memory holds one chunk of the file, the rows of two groups, and what a turn has
//! to report. A batch gives way: it feeds nothing while a reader of a log is more than a second behind, so that what happens
//! live stays live. One that is to start at a time rests until then. Rows that come as a file of columns, or that a query finds,
//! are brought in before, in a lane of their own ([`bring_in`]).

mod feed;
mod intake;
mod lag;
mod notice;
mod removal;
mod sync;
mod turn;

use std::time::Duration;

use domain::Timestamp;
use store::{Batch, BatchPhase, BatchWork, Intake, JobState};

pub(crate) use sync::{Looks, begin_due};

use crate::{
    jobs,
    shard::{End, Shard},
};

/// How often a shard looks for batches without being woken.
const POLL: Duration = Duration::from_secs(2);

/// Runs until the shard is stopped or lost.
pub(crate) async fn run(shard: Shard) -> End {
    jobs::run(shard, POLL, |work| elsewhere(work, false).or_else(|| work.waits_until()), step).await
}

/// Brings the rows of batches in that do not come as they are kept, until the shard is stopped or lost.
pub(crate) async fn bring_in(shard: Shard) -> End {
    let step = async |shard: &Shard, batch: Batch| {
        let batch = intake::bring_in(shard, batch).await?;
        // Who asked for a trial takes its rows away.
        let is_tried = batch.state == JobState::Done && batch.progress.intake.as_ref().is_some_and(Intake::is_trial);
        if batch.state.is_over() && !is_tried { over(shard, &batch).await } else { Ok(()) }
    };
    jobs::run(shard, POLL, |work| elsewhere(work, true), step).await
}

/// Whether a batch is the other lane's for now: then it rests here until somebody writes its row.
fn elsewhere(work: &BatchWork, is_read_here: bool) -> Option<Timestamp> {
    const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);
    ((work.phase == BatchPhase::Read) != is_read_here).then_some(NEVER)
}

async fn step(shard: &Shard, batch: Batch) -> Result<(), End> {
    let batch = if removal::is_next(&batch) { removal::make(shard, batch).await? } else { turn::make(shard, batch).await? };
    if batch.state.is_over() { over(shard, &batch).await } else { Ok(()) }
}

/// A batch that can be done no further, and why.
async fn fail(shard: &Shard, mut batch: Batch, why: String) -> Result<Batch, End> {
    if batch.state.is_over() {
        return Ok(batch);
    }
    tracing::info!(batch = %batch.id, why, "a batch failed");
    notice::failed(shard, &batch, &why).await?;
    batch.progress.fault = Some(why);
    batch.progress.waits_for = None;
    jobs::save(shard, Batch { state: JobState::Failed, ..batch }, &[]).await
}

async fn over(shard: &Shard, batch: &Batch) -> Result<(), End> {
    let work = &batch.progress;
    let run = &work.run;
    tracing::info!(
        batch = %batch.id, state = ?batch.state, rows = run.rows, created = run.created, changed = run.changed, failed = run.failed,
        "a batch came to its end"
    );
    let store = &shard.house.store;
    shard.insist("forget a batch's rows", || store.forget_rows(batch.org, work)).await
}
