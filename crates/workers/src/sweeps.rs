//! What time brings: passes that expire, rows that are kept no longer, and the check that the event log has no gap.

use std::time::Duration;

use domain::{Action, Actor, Cause, Command, CommandId, PassRef};
use engine::EngineError;
use store::{ConfigChange, Log, NameKind, Reader, Retention, StoreError, StoredInspector};
use tokio::time::Instant;

use crate::{
    backfill, batch, endings,
    pulse::LOOK_ANYWAY,
    shard::{End, House, Shard},
};

/// Due passes that are expired together.
const BATCH: u32 = 256;
/// How often what is kept no longer is removed. The first shard's holder does it for all.
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);
/// How long inbox, events and attempts are kept.
const KEEP: Duration = Duration::from_secs(90 * 86_400);
/// How often a command is tried again whose pass stays due although it was refused.
const REFUSED_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Events of which the numbers are checked together.
const CHECK_BATCH: u32 = 1_024;

/// Runs until the shard is stopped or lost.
pub(crate) async fn run(shard: Shard) -> End {
    sweep(&shard).await.err().unwrap_or(End::Stopped)
}

async fn sweep(shard: &Shard) -> Result<(), End> {
    let settings = &shard.house.settings;
    let mut maintain_at = shard.house.now();
    let mut look_at = Instant::now();
    let mut schedule_at = shard.house.now();
    let (mut syncs, mut syncs_at, mut syncs_seen) = (batch::Looks::default(), schedule_at, 0);
    loop {
        let mut pause = settings.sweep_every;
        if look_at <= Instant::now() || shard.pulse().pass_due.is_some_and(|due| due <= shard.house.now()) {
            match expire(shard).await? {
                Swept::More => pause = Duration::ZERO,
                Swept::All => {}
                Swept::Refused => pause = REFUSED_AGAIN_AFTER,
            }
            look_at = Instant::now() + if pause.is_zero() { pause } else { LOOK_ANYWAY };
        }
        if shard.house.now() >= schedule_at {
            backfill::begin_due(shard).await?;
            schedule_at = shard.house.now().plus(backfill::SCHEDULE_EVERY);
        }
        // What a schedule says counts to the minute, and one that was just made is none that was looked at.
        let configured = shard.house.store.catalog().version;
        if shard.house.now() >= syncs_at || configured != syncs_seen {
            (syncs_at, syncs_seen) = (batch::begin_due(shard, &mut syncs).await?, configured);
        }
        if shard.number() == 0 && shard.house.now() >= maintain_at {
            maintain(shard).await;
            maintain_at = shard.house.now().plus(MAINTAIN_EVERY);
        }
        shard.pause(pause).await?;
    }
}

enum Swept {
    More,
    All,
    Refused,
}

async fn expire(shard: &Shard) -> Result<Swept, End> {
    let house = &shard.house;
    let due = || house.store.backend().due_passes(shard.number(), house.now(), BATCH);
    let due = shard.insist("read due passes", due).await?;
    if due.is_empty() {
        return Ok(Swept::All);
    }
    let found = due.len();
    let command = |(org, pass)| Command {
        id: CommandId::mint(house.now(), &*house.entropy),
        org,
        actor: Actor::System,
        cause: Cause::Schedule,
        key: None,
        told: None,
        action: Action::Expire { pass: PassRef::Id(pass) },
    };
    let verdicts = house.engine.submit_all(due.into_iter().map(command).collect()).await;
    let mut refused = 0;
    for verdict in verdicts {
        match verdict {
            Ok(_) => metrics::counter!("passes_swept_total").increment(1),
            Err(EngineError::Rejected(reject)) => {
                refused += 1;
                tracing::error!(code = ?reject.code, why = reject.message, "a due pass could not be expired");
            }
            Err(EngineError::Unavailable(error)) => {
                refused += 1;
                tracing::warn!(%error, "due passes could not be expired; trying again");
                if error.is_transient() {
                    return Ok(Swept::All);
                }
            }
        }
    }
    let all = found < usize::try_from(BATCH).unwrap_or(usize::MAX);
    Ok(if refused == found && !all {
        Swept::Refused
    } else if all {
        Swept::All
    } else {
        Swept::More
    })
}

/// How far the readers of these shards are behind their logs, in rows.
pub(crate) async fn lag(house: &House, shards: impl Iterator<Item = u16> + Clone) -> Result<(), StoreError> {
    let backend = house.store.backend();
    for (reader, log) in [(Reader::Flows, Log::Inbox), (Reader::Webhooks, Log::Events)] {
        let (heads, marks) = (backend.heads(log).await?, backend.watermarks(reader).await?);
        for shard in shards.clone() {
            let of = |list: &[u64]| list.get(usize::from(shard)).copied().unwrap_or(0);
            let behind = of(&heads).saturating_sub(of(&marks));
            metrics::gauge!("reader_lag_rows", "reader" => reader.name(), "shard" => shard.to_string()).set(behind as f64);
        }
    }
    Ok(())
}

/// A failure is told and tried again in a minute: nothing depends on it at once.
async fn maintain(shard: &Shard) {
    let house = &shard.house;
    let now = house.now();
    let before = now.minus(KEEP);
    let keep = Retention { inbox_before: before, events_before: before, attempts_before: before };
    if let Err(error) = house.store.backend().maintain(now, keep).await {
        tracing::warn!(%error, "maintenance of the store failed; trying again in a minute");
    }
    if let Err(error) = endings::look(house).await {
        tracing::warn!(%error, "what is to be told of certificates could not be noted; trying again in a minute");
    }
    if let Err(error) = tidy_synced(house).await {
        tracing::warn!(%error, "what destinations were told that are gone could not be removed; trying again in a minute");
    }
    if let Err(error) = end_inspectors(house).await {
        tracing::warn!(%error, "inspectors that have ended could not be removed; trying again in a minute");
    }
}

/// Removes what is noted of destinations that were deleted. What was on its way to one may have been noted since then.
async fn tidy_synced(house: &House) -> Result<(), StoreError> {
    let catalog = house.catalog().await?;
    let gone = house.store.tidy_synced(&catalog).await?;
    if gone > 0 {
        tracing::info!(gone, "what destinations were told that were deleted is removed");
    }
    Ok(())
}

/// Removes inspectors whose time is over, with all that they took.
async fn end_inspectors(house: &House) -> Result<(), StoreError> {
    let (catalog, now) = (house.catalog().await?, house.now());
    let actor = serde_json::to_string(&Actor::System).map_err(|error| StoreError::Internal(error.to_string()))?;
    for (org, config) in catalog.orgs() {
        for stored in config.inspectors.values().filter(|stored| stored.value.expires_at <= now) {
            let bin = &stored.value.bin;
            house.store.backend().drop_captures(org, &StoredInspector::ring(bin)).await?;
            let removed_names = vec![(NameKind::InspectorBin, bin.as_bytes())];
            let change = ConfigChange { org, actor: actor.clone(), now, names: Vec::new(), removed_names };
            // Somebody else may have been faster.
            house.store.remove(&change, &*stored.value, stored.revision).await?;
        }
    }
    Ok(())
}

/// Reads the numbers of the event log from where they were last checked to its head: they must be dense, for every cursor
/// and watermark relies on it. A gap halts the shard's workers and the readiness of this node, loudly.
pub(crate) async fn check_log(shard: Shard) -> End {
    match check(&shard).await {
        Ok(None) => End::Stopped,
        Ok(Some(gap)) => {
            let number = shard.number();
            tracing::error!(
                shard = number,
                gap,
                "the event log is damaged and its workers halt; restore a backup or ask for help"
            );
            let what = format!("the event log is damaged: table events, shard {number}: {gap}");
            // Whatever waits for the missing number has said less, and takes that back when it is ended.
            *shard.house.fault.lock() = Some(what);
            End::Damaged
        }
        Err(end) => end,
    }
}

async fn check(shard: &Shard) -> Result<Option<String>, End> {
    let backend = shard.house.store.backend();
    let of = |list: Vec<u64>| list.get(usize::from(shard.number())).copied().unwrap_or(0);
    let head = of(shard.insist("read heads", || backend.heads(Log::Events)).await?);
    let start = of(shard.insist("read watermarks", || backend.watermarks(Reader::Integrity)).await?);
    let mut after = start;
    while after < head {
        if shard.is_stopping() {
            return Err(End::Stopped);
        }
        let rows = shard.insist("read events", || backend.read_events(shard.number(), after, CHECK_BATCH)).await?;
        let mut expected = rows.first().map_or(after + 1, |row| row.position.seq);
        // The oldest may have been removed because they were kept long enough; what remains has no gap.
        if after > start && expected != after + 1 {
            return Ok(Some(format!("number {} is missing", after + 1)));
        }
        for row in &rows {
            if row.position.seq != expected {
                return Ok(Some(format!("number {expected} is missing")));
            }
            expected += 1;
        }
        if rows.is_empty() {
            // Everything up to the head may be gone by age, but not part of it.
            return Ok((after > start).then(|| format!("numbers {} to {head} are missing", after + 1)));
        }
        after = expected - 1;
    }
    shard.insist("settle the check", || backend.advance(Reader::Integrity, shard.lease, after)).await?;
    Ok(None)
}
