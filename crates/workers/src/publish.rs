//! Publications: every device that holds a pass of a template that was published anew is woken once.
//!
//! Devices are walked in their order, a batch at a time, and how far the walk is stands in the publication's row: after a
//! crash it goes on from there, with at most one batch woken twice. Memory does not grow with the number of devices, and
//! nothing is written for a device that was woken; one that could not be is owed a push like any other.

use std::{collections::HashSet, time::Duration};

use domain::{OrgId, PassId, TemplateStatus};
use store::{JobState, LoadKeys, OrgCatalog, Progress, Publication, StaleDevice};

use crate::{
    jobs,
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
    let rows = shard.insist("read devices", || backend.devices(org, &after, BATCH)).await?;
    let Some(last) = rows.last() else { return finish(shard, publication, JobState::Done).await };
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
