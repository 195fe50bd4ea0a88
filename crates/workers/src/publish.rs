//! Publications: every device that holds a pass of a template that was published anew is woken once; then Google's objects of
//! its passes are drawn again, and, where that was asked for, an event is noted of every pass.
//!
//! Devices are walked in their order, a batch at a time, and how far the walk is stands in the publication's row: after a
//! crash it goes on from there, with at most one batch woken twice. Memory does not grow with the number of devices, and
//! nothing is written for a device that was woken; one that could not be is owed a push like any other. Passes are walked in
//! the same way, unless there is nothing to do for them; asking Google's lane twice is harmless, and an event has a key.

use std::{collections::HashSet, time::Duration};

use domain::{
    Action, Actor, Cause, Command, CommandId, IdempotencyKey, OrgId, Pass, PassId, PassRef, PublicationId, TemplateId,
    TemplateStatus,
};
use engine::EngineError;
use store::{JobState, LoadKeys, OrgCatalog, Progress, Publication, StaleDevice, StoreError};

use crate::{
    google, jobs,
    shard::{End, Shard},
    wallet_sync,
};

/// Devices that are looked at together.
const BATCH: u32 = 512;
/// How often a shard looks for publications without being woken.
const POLL: Duration = Duration::from_secs(5);

/// Runs until the shard is stopped or lost.
pub(crate) async fn run(shard: Shard) -> End {
    jobs::run(shard, POLL, |_| None, step).await
}

/// The next batch of a publication.
async fn step(shard: &Shard, mut publication: Publication) -> Result<(), End> {
    let (house, org) = (&shard.house, publication.org);
    let catalog = shard.insist("read the configuration", || house.catalog()).await?;
    let Some(config) = catalog.org(org).filter(|config| is_current(config, &publication.progress)) else {
        return finish(shard, publication, JobState::Superseded).await;
    };
    let backend = house.store.backend();
    if publication.progress.devices.is_none() {
        publication.progress.devices = Some(shard.insist("count devices", || backend.device_count(org)).await?);
    }
    let after = publication.progress.after.clone();
    if publication.progress.devices_done {
        return passes(shard, publication, config).await;
    }
    let rows = shard.insist("read devices", || backend.devices(org, &after, BATCH)).await?;
    let Some(last) = rows.last() else {
        publication.progress.devices_done = true;
        return passes(shard, publication, config).await;
    };
    let last = last.installation.device.clone();
    let looked_at: HashSet<&str> = rows.iter().map(|row| row.installation.device.as_str()).collect();
    let looked_at = looked_at.len() as u64;
    let holders = holders(shard, config, &publication.progress, rows).await?;
    let (pushed, retrying) = wake(shard, org, holders).await?;
    let progress = publication.progress;
    publication.progress = Progress {
        looked_at: progress.looked_at + looked_at,
        pushed: progress.pushed + pushed,
        retrying: progress.retrying + retrying,
        after: last,
        ..progress
    };
    metrics::counter!("publication_devices_total").increment(looked_at);
    jobs::save(shard, publication, &[]).await.map(drop)
}

/// The next passes of a publication whose devices were all woken.
async fn passes(shard: &Shard, mut publication: Publication, config: &OrgCatalog) -> Result<(), End> {
    let (house, org) = (&shard.house, publication.org);
    let progress = &mut publication.progress;
    let account = google::account(config, progress.project, house.google.is_simulated());
    if account.is_none() && !progress.updated_events {
        return finish(shard, publication, JobState::Done).await;
    }
    let (project, after) = (progress.project, progress.after_pass);
    let read = || house.store.passes_as_shown(org, project, after, BATCH);
    let passes = shard.insist("read passes", read).await?;
    let Some((last, _)) = passes.last() else { return finish(shard, publication, JobState::Done).await };
    progress.after_pass = Some(last.id);
    let drawn: Vec<(Pass, i64)> = passes.into_iter().filter(|(pass, _)| pass.template == progress.template).collect();
    progress.passes += drawn.len() as u64;
    if let Some(account) = account {
        let rows: Vec<_> = drawn.iter().map(|(pass, seq)| google::asked(org, pass, *seq, account, house.now())).collect();
        progress.google += rows.len() as u64;
        shard.insist("ask for objects anew", || house.store.backend().ask_google(rows.clone(), true)).await?;
    }
    if progress.updated_events {
        note(shard, org, publication.id, progress.template, &drawn).await?;
    }
    jobs::save(shard, publication, &[]).await.map(drop)
}

/// Notes of each pass that it looks anew, once.
async fn note(
    shard: &Shard,
    org: OrgId,
    publication: PublicationId,
    template: TemplateId,
    passes: &[(Pass, i64)],
) -> Result<(), End> {
    let house = &shard.house;
    let command = |(pass, _): &(Pass, i64)| Command {
        id: CommandId::mint(house.now(), &*house.entropy),
        org,
        actor: Actor::System,
        cause: Cause::Schedule,
        key: Some(IdempotencyKey {
            principal: "publications".to_owned(),
            key: format!("{publication}/{}", pass.id),
            fingerprint: [0; 32],
            keep_image: false,
        }),
        told: None,
        action: Action::RecordRedesign { pass: PassRef::Id(pass.id), template },
    };
    let submit = || async {
        for verdict in house.engine.submit_all(passes.iter().map(command).collect()).await {
            match verdict {
                Ok(_) => {}
                Err(EngineError::Unavailable(error)) => return Err(StoreError::Unavailable(error.to_string())),
                Err(EngineError::Rejected(reject)) => tracing::warn!(why = reject.message, "an event could not be noted"),
            }
        }
        Ok(())
    };
    shard.insist("note events", submit).await
}

/// Whether the version that is published is still the one in force.
fn is_current(config: &OrgCatalog, progress: &Progress) -> bool {
    config.template(progress.template).is_some_and(|template| template.version == progress.version)
}

/// Of each device one installation of a pass that the template draws.
async fn holders(
    shard: &Shard,
    config: &OrgCatalog,
    progress: &Progress,
    rows: Vec<StaleDevice>,
) -> Result<Vec<StaleDevice>, End> {
    let mut of_project: Vec<StaleDevice> = rows.into_iter().filter(|row| row.project == progress.project).collect();
    let rivals = config.templates.values().filter(|stored| {
        let template = &stored.value;
        template.project == progress.project && template.status == TemplateStatus::Published && template.id != progress.template
    });
    // Which template draws a pass is known to the pass alone; where there is only one there is nothing to ask.
    if rivals.count() > 0 && !of_project.is_empty() {
        let drawn = drawn(shard, progress, &of_project).await?;
        of_project.retain(|row| drawn.contains(&row.installation.pass));
    }
    of_project.dedup_by(|next, one| next.installation.device == one.installation.device);
    Ok(of_project)
}

/// The passes among those of some rows that the template draws.
async fn drawn(shard: &Shard, progress: &Progress, rows: &[StaleDevice]) -> Result<HashSet<PassId>, End> {
    let store = &shard.house.store;
    let passes: HashSet<_> = rows.iter().map(|row| (row.installation.org, row.installation.pass)).collect();
    let keys = LoadKeys { passes: passes.into_iter().collect(), ..LoadKeys::default() };
    let passes = shard.insist("read passes", || store.passes_of(&keys)).await?;
    Ok(passes.into_iter().filter(|pass| pass.template == progress.template).map(|pass| pass.id).collect())
}

/// Wakes devices; how many were, and how many are tried again later.
async fn wake(shard: &Shard, org: OrgId, holders: Vec<StaleDevice>) -> Result<(u64, u64), End> {
    // Whatever they were woken for before, this is news.
    let behind = holders.into_iter().map(|row| StaleDevice { content_seq: i64::MAX, ..row });
    let outcomes = wallet_sync::wake(shard, behind.collect()).await?;
    let backend = shard.house.store.backend();
    let (mut pushed, mut retrying) = (0, 0);
    for outcome in outcomes {
        if let Some(at) = outcome.retry_at {
            shard.insist("owe a push", || backend.owe_push(org, outcome.pass, &outcome.device, at)).await?;
            retrying += 1;
        } else if outcome.pushed_seq.is_some() {
            pushed += 1;
        }
    }
    Ok((pushed, retrying))
}

async fn finish(shard: &Shard, publication: Publication, state: JobState) -> Result<(), End> {
    let Progress { template, version, pushed, retrying, .. } = publication.progress;
    tracing::info!(%template, version, pushed, retrying, ?state, "a publication came to its end");
    jobs::save(shard, Publication { state, ..publication }, &[]).await.map(drop)
}
