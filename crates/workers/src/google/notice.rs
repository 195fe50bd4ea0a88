//! Finds passes whose content changed and notes that Google shall hear of them.

use std::time::Duration;

use domain::{OrgId, Pass, ProjectId, Timestamp};
use store::{ChangedPass, GoogleThingRow, GoogleWants, OrgCatalog, Reader};
use tokio::time::Instant;
use uuid::Uuid;

use crate::shard::{End, Shard};

/// Changed passes that are looked at together.
const BATCH: u32 = 256;
/// How often the watermark alone is written; looking at the same passes again is harmless.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Runs until the shard is stopped or lost.
pub(crate) async fn run(shard: Shard) -> End {
    work(&shard).await.err().unwrap_or(End::Stopped)
}

async fn work(shard: &Shard) -> Result<(), End> {
    let house = &shard.house;
    let backend = house.store.backend();
    let mut ticks = house.store.wake().events_of(shard.number());
    let mut pulses = house.pulses.subscribe();
    let marks = shard.insist("read watermarks", || backend.watermarks(Reader::Google)).await?;
    let mut after = marks.get(usize::from(shard.number())).copied().unwrap_or(0);
    let (mut written, mut written_at) = (after, Instant::now());
    loop {
        if shard.is_stopping() {
            if after > written {
                let wants = GoogleWants { lease: shard.lease, passes: Vec::new(), due_at: house.now(), watermark: after };
                shard.insist("note how far Google is told", || backend.want_google(wants.clone())).await?;
            }
            return Err(End::Stopped);
        }
        ticks.mark_unchanged();
        // What was committed before this look is seen by the read that comes after it.
        let seen = pulses.borrow_and_update().get(usize::from(shard.number())).map_or(0, |pulse| pulse.events);
        let (to, changed) = shard.insist("read changed passes", || backend.changed_passes(shard.number(), after, BATCH)).await?;
        let passes = wanted(shard, changed).await?;
        if !passes.is_empty() || (to > written && written_at.elapsed() >= WRITE_EVERY) {
            let wants = GoogleWants { lease: shard.lease, passes, due_at: house.now(), watermark: to };
            shard.insist("note passes for Google", || backend.want_google(wants.clone())).await?;
            (written, written_at) = (to, Instant::now());
        }
        let idle = to == after;
        after = to;
        if idle {
            // Else whoever looks how far this is takes it for late.
            let unwritten = (after > written).then(|| written_at + WRITE_EVERY);
            match shard.idle(&mut ticks, &mut pulses, unwritten, |pulse| pulse.events > seen.max(after)).await {
                Ok(()) | Err(End::Stopped) => {}
                Err(end) => return Err(end),
            }
        }
    }
}

async fn wanted(shard: &Shard, changed: Vec<ChangedPass>) -> Result<Vec<(ChangedPass, Uuid, i16)>, End> {
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let catalog = shard.insist("read the configuration", || shard.house.catalog()).await?;
    let simulated = shard.house.google.is_simulated();
    let of = |pass: ChangedPass| Some((pass, account(catalog.org(pass.org)?, pass.project, simulated)?, i16::from(!pass.held)));
    Ok(changed.into_iter().filter_map(of).collect())
}

/// The account that speaks for a project's passes. Google does not know development keys.
pub(crate) fn account(config: &OrgCatalog, project: ProjectId, simulated: bool) -> Option<Uuid> {
    let account = config.google_account_of(config.project(project)?.google_issuer.as_deref()?)?;
    (simulated || !account.value.development).then(|| account.value.id.uuid())
}

/// What asks an account to tell Google of a pass when nothing more urgent is due; first of those that somebody has there.
pub(crate) fn asked(org: OrgId, pass: &Pass, content_seq: i64, account: Uuid, now: Timestamp) -> GoogleThingRow {
    GoogleThingRow {
        org,
        thing: pass.id.uuid(),
        account,
        urgency: if pass.google.active > 0 { 1 } else { 2 },
        wanted_seq: content_seq,
        synced_seq: 0,
        due_at: Some(now),
        body: String::new(),
    }
}
