//! Whoever asked to hear of it is told of batches and runs of syncs that need somebody. It is noted before the batch's row says
//! so: after a crash in between it is noted again under the same key, which is once.

use domain::{Facts, OrgId, SyncId};
use store::{Batch, BatchPhase, BatchStart, Intake, JobState};

use crate::{
    notes::note,
    shard::{End, Shard},
};

/// Under whose name it is noted once.
const PRINCIPAL: &str = "batches";

/// Tells of a batch whose rows were all looked at: that some failed, or that it waits because some would.
pub(super) async fn ended(shard: &Shard, batch: &Batch) -> Result<(), End> {
    let work = &batch.progress;
    let waits = batch.state == JobState::Paused
        && work.phase == BatchPhase::Check
        && work.check.ended_at.is_some()
        && work.start == BatchStart::IfClean;
    let is_done = work.run.ended_at.is_some();
    if work.reported().failed > 0 && (waits || is_done) { tell(shard, batch, waits, None).await } else { Ok(()) }
}

/// Tells of a batch that can be done no further. Who asked for a trial sees what came of it.
pub(super) async fn failed(shard: &Shard, batch: &Batch, why: &str) -> Result<(), End> {
    let is_trial = batch.progress.intake.as_ref().is_some_and(Intake::is_trial);
    if is_trial { Ok(()) } else { tell(shard, batch, false, Some(why)).await }
}

/// Tells that a sync cannot be run as it is, once a day.
pub(super) async fn cannot_begin(shard: &Shard, org: OrgId, sync: SyncId, name: &str, why: &str) -> Result<(), End> {
    let house = &shard.house;
    let key = format!("sync/{sync}/{}", house.now().as_seconds() / 86_400);
    let facts = || Facts::SyncFailed {
        sync,
        name: name.to_owned(),
        batch: None,
        paused: false,
        rows: 0,
        failed: 0,
        reason: Some(why.to_owned()),
    };
    shard.insist("note that a sync cannot be run", || note(house, org, PRINCIPAL, key.clone(), facts())).await
}

async fn tell(shard: &Shard, batch: &Batch, paused: bool, why: Option<&str>) -> Result<(), End> {
    let (house, org) = (&shard.house, batch.org);
    let tally = batch.progress.reported();
    let (rows, failed, reason) = (tally.rows, tally.failed, why.map(str::to_owned));
    let facts = match batch.progress.intake.as_ref().and_then(Intake::sync) {
        Some(sync) => {
            let catalog = shard.insist("read the configuration", || house.catalog()).await?;
            let stored = catalog.org(org).and_then(|config| config.syncs.get(&sync.uuid()));
            let name = stored.map(|stored| stored.value.name.clone()).unwrap_or_default();
            Facts::SyncFailed { sync, name, batch: Some(batch.id), paused, rows, failed, reason }
        }
        None => Facts::BatchFailed { batch: batch.id, paused, rows, failed, reason },
    };
    let key = format!("{}/{paused}", batch.id);
    shard.insist("note a batch's trouble", || note(house, org, PRINCIPAL, key.clone(), facts.clone())).await
}
