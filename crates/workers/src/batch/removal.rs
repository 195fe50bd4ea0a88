//! Passes whose rows are gone from where a sync reads them: revoked or deleted, where the sync says so.
//!
//! Every run notes the passes that its rows were about. After one that read all rows, those that an earlier run noted and it did
//! not have lost their row. A run in which a row failed proves nothing of that kind: a row may be there and be about any
//! pass. Neither is a large share believed; a query that was edited, or a table that is being filled, must not void a project.

use domain::{Action, Cause, Command, CommandId, IdempotencyKey, PassId, PassRef, Reactivation, SyncId};
use engine::EngineError;
use store::{Batch, Intake, JobState, Removal, RemovedAction};
use tokio::time::Instant;

use super::{
    fail, lag,
    turn::{AGAIN_AFTER, GIVE_WAY, TURN},
};
use crate::{
    jobs,
    shard::{End, Shard},
};

/// Passes that are carried out together: what the engine puts into one commit.
const GROUP: u32 = 256;
/// Why a pass that a sync revoked is void; the sync undoes it by this when the row is back.
fn reason(sync: SyncId) -> String {
    format!("its row is gone from sync {sync}")
}

/// Lets the command for a row switch on again what the run's sync revoked while the row was gone.
pub(super) fn undo(batch: &Batch, action: &mut Action) {
    let sync = batch.progress.intake.as_ref().and_then(Intake::sync);
    let (Some(sync), Some(_)) = (sync, &batch.progress.removal) else { return };
    match action {
        Action::Issue(issue) => issue.undoes = Some(reason(sync)),
        Action::Update { change, .. } => change.reactivation = Reactivation::RevokedFor(reason(sync)),
        _ => {}
    }
}

/// Notes the passes that rows were about, where the sync of the run says what becomes of those without.
pub(super) async fn note(shard: &Shard, batch: &Batch, passes: Vec<PassId>) -> Result<(), End> {
    let sync = batch.progress.intake.as_ref().and_then(Intake::sync);
    let (Some(sync), Some(_)) = (sync, &batch.progress.removal) else { return Ok(()) };
    if passes.is_empty() {
        return Ok(());
    }
    let backend = shard.house.store.backend();
    shard.insist("note the passes of rows", || backend.note_mirrored(batch.org, sync, batch.id, passes.clone())).await
}

/// Whether a run whose rows were all carried out has something to remove.
pub(super) fn follows(batch: &mut Batch) -> bool {
    let failed = batch.progress.run.failed;
    let Some(removal) = batch.progress.removal.as_mut().filter(|removal| removal.is_due) else { return false };
    if failed > 0 {
        removal.kept = Some(format!("{failed} rows failed, and may be about any of them"));
    }
    failed == 0
}

/// Whether a batch is at that.
pub(super) fn is_next(batch: &Batch) -> bool {
    let work = &batch.progress;
    work.run.ended_at.is_some() && work.removal.as_ref().is_some_and(|removal| removal.is_due)
}

/// Comes on for a while with what is to be removed, and writes down how far it is; the batch as it is then.
pub(super) async fn make(shard: &Shard, mut batch: Batch) -> Result<Batch, End> {
    let sync = batch.progress.intake.as_ref().and_then(Intake::sync);
    let (Some(sync), Some(removal)) = (sync, batch.progress.removal.clone()) else {
        return fail(shard, batch, "it was made by another version".to_owned()).await;
    };
    let removing = Removing { shard, batch: &batch, sync };
    let (removal, is_over) = match removing.come_on(removal).await? {
        Ok(come) => come,
        Err(why) => return fail(shard, batch, why).await,
    };
    batch.progress.removal = Some(removal);
    if is_over {
        batch.state = JobState::Done;
    }
    jobs::save(shard, batch, &[]).await
}

struct Removing<'s> {
    shard: &'s Shard,
    batch: &'s Batch,
    sync: SyncId,
}

impl Removing<'_> {
    /// How far it is after a turn, and whether that is all; or what keeps it from going on.
    async fn come_on(&self, mut removal: Removal) -> Result<Result<(Removal, bool), String>, End> {
        let (shard, backend) = (self.shard, self.shard.house.store.backend());
        let Batch { org, id: run, .. } = *self.batch;
        if removal.found.is_none() {
            let counted = || backend.count_mirrored(org, self.sync, run);
            let (all, gone) = shard.insist("count passes without a row", counted).await?;
            removal.found = Some(gone);
            let percent = removal.removed.at_most_percent;
            if gone * 100 > all * u64::from(percent) {
                removal.kept = Some(format!(
                    "{gone} of {all} passes have no row any more, which is more than {percent} % (`at_most_percent`)"
                ));
                return Ok(Ok((removal, true)));
            }
            // Written down before the first is gone: after a crash fewer would be found.
            return Ok(Ok((removal, false)));
        }
        let until = Instant::now() + TURN;
        let mut after = None;
        while Instant::now() < until && !shard.is_stopping() {
            if shard.insist("look at readers", || lag::behind(backend, shard.house.now())).await?.is_some() {
                shard.pause(GIVE_WAY).await?;
                continue;
            }
            let next = || backend.left_behind(org, self.sync, run, after, GROUP);
            let passes = shard.insist("read passes without a row", next).await?;
            let Some(last) = passes.last() else { return Ok(Ok((removal, true))) };
            after = Some(*last);
            if let Err(why) = self.carry_out(&removal, &passes).await? {
                return Ok(Err(why));
            }
            shard.insist("forget passes", || backend.forget_mirrored(org, self.sync, passes.clone())).await?;
            removal.done += passes.len() as u64;
        }
        Ok(Ok((removal, false)))
    }

    async fn carry_out(&self, removal: &Removal, passes: &[PassId]) -> Result<Result<(), String>, End> {
        let house = &self.shard.house;
        loop {
            let commands = passes.iter().map(|pass| self.command(removal, *pass)).collect();
            let mut is_away = false;
            for verdict in house.engine.submit_all(commands).await {
                match verdict {
                    // One that was deleted meanwhile is as gone as its row.
                    Ok(_) | Err(EngineError::Rejected(_)) => {}
                    Err(EngineError::Unavailable(error)) if error.is_transient() => is_away = true,
                    Err(EngineError::Unavailable(error)) => {
                        tracing::error!(batch = %self.batch.id, %error, "a pass without a row was not taken by the store");
                        return Ok(Err("a fault in the store; the server's log has more".to_owned()));
                    }
                }
            }
            if !is_away {
                return Ok(Ok(()));
            }
            self.shard.pause(AGAIN_AFTER).await?;
        }
    }

    fn command(&self, removal: &Removal, pass: PassId) -> Command {
        let (house, of) = (&self.shard.house, PassRef::Id(pass));
        Command {
            id: CommandId::mint(house.now(), &*house.entropy),
            org: self.batch.org,
            actor: self.batch.progress.actor.clone(),
            cause: Cause::Batch { id: self.batch.id, row: 0 },
            key: Some(IdempotencyKey {
                principal: format!("batch/{}", self.batch.id),
                key: format!("removed/{pass}"),
                fingerprint: [0; 32],
                keep_image: false,
            }),
            told: None,
            action: match removal.removed.action {
                RemovedAction::Revoke => Action::Revoke { pass: of, reason: Some(reason(self.sync)) },
                RemovedAction::Delete => Action::Delete { pass: of, expected_version: None },
            },
        }
    }
}
