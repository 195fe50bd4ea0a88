//! Wallet sync: devices whose passes have changed are woken through APNs, and then fetch what is new by themselves.
//!
//! It converges: the store is asked which devices are behind, and what a push carries is nothing at all. One push per
//! device token and change set wakes for all passes of it.

mod apns;

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{Action, Actor, Cause, Command, CommandId, PassRef, Timestamp, UninstallReason, Wallet};
use engine::EngineError;
use futures_util::{StreamExt, stream};
use store::{Catalog, Pulse, PushOutcome, PushSettlement, Reader, StaleDevice, StalePlace};
use tokio::time::Instant;

pub(crate) use apns::Apns;

use crate::shard::{End, Shard};
use apns::{Fate, Topic};

/// Changed passes, and devices behind them, that are looked at together.
const BATCH: u32 = 256;
/// Pushes under way at once, per shard.
const AT_ONCE: usize = 64;
/// How long after a wake-up devices are looked for, so that a burst of changes costs one look.
const GATHER: Duration = Duration::from_millis(20);
/// How often the watermark alone is written; looking at the same passes again is harmless.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How long before a push is tried again whose project has no signer (any more).
const NO_SIGNER_AGAIN_AFTER: Duration = Duration::from_secs(3_600);

/// The longest pause between two tries of a device, without what chance adds.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);
/// After so many failures in a row the pause grows no more, whatever it began with.
const MAX_DOUBLINGS: i32 = 16;

/// Runs until the shard is stopped or lost.
pub(crate) async fn run(shard: Shard) -> End {
    work(&shard).await.err().unwrap_or(End::Stopped)
}

async fn work(shard: &Shard) -> Result<(), End> {
    let house = &shard.house;
    let backend = house.store.backend();
    let mut ticks = house.store.wake().events_of(shard.number());
    let mut pulses = house.pulses.subscribe();
    let marks = shard.insist("read watermarks", || backend.watermarks(Reader::WalletSync)).await?;
    let mut written = marks.get(usize::from(shard.number())).copied().unwrap_or(0);
    let mut written_at = Instant::now();
    let mut after = StalePlace::after(written);
    let is_due = |pulse: &Pulse| pulse.push_due.is_some_and(|due| due <= house.now());
    let mut look_for_due = true;
    loop {
        if shard.is_stopping() {
            if after.seq > written {
                settle(shard, Vec::new(), Some(after.seq)).await?;
            }
            return Err(End::Stopped);
        }
        ticks.mark_unchanged();
        // What was committed before this look is seen by the reads that come after it.
        let seen = pulses.borrow_and_update().get(usize::from(shard.number())).map_or(0, |pulse| pulse.events);
        let (to, stale) = shard.insist("read stale devices", || backend.stale_devices(shard.number(), &after, BATCH)).await?;
        let due = match look_for_due || is_due(&shard.pulse()) {
            true => shard.insist("read due pushes", || backend.due_pushes(shard.number(), house.now(), BATCH)).await?,
            false => Vec::new(),
        };
        look_for_due = !due.is_empty();
        let idle = to == after && due.is_empty();
        if !stale.is_empty() || !due.is_empty() {
            let pushes = wake(shard, stale.into_iter().chain(due).collect()).await?;
            settle(shard, pushes, Some(to.seq)).await?;
            (written, written_at) = (to.seq, Instant::now());
        } else if to.seq > written && written_at.elapsed() >= WRITE_EVERY {
            settle(shard, Vec::new(), Some(to.seq)).await?;
            (written, written_at) = (to.seq, Instant::now());
        }
        after = to;
        if idle {
            // Else whoever looks how far this is takes it for late.
            let unwritten = (after.seq > written).then(|| written_at + WRITE_EVERY);
            let wanted = |pulse: &Pulse| pulse.events > seen.max(after.seq) || is_due(pulse);
            let woken = shard.idle(&mut ticks, &mut pulses, unwritten, wanted).await;
            match woken.and(shard.pause(GATHER).await) {
                Ok(()) | Err(End::Stopped) => {}
                Err(end) => return Err(end),
            }
        }
    }
}

async fn settle(shard: &Shard, pushes: Vec<PushOutcome>, watermark: Option<u64>) -> Result<(), End> {
    let settlement = PushSettlement { lease: shard.lease, pushes, watermark };
    let backend = shard.house.store.backend();
    shard.insist("settle pushes", || backend.settle_pushes(settlement.clone())).await
}

/// Devices that are woken by one push.
struct Group {
    topic: Arc<Topic>,
    token: String,
    devices: Vec<StaleDevice>,
}

/// Wakes devices and says what became of each.
pub(crate) async fn wake(shard: &Shard, devices: Vec<StaleDevice>) -> Result<Vec<PushOutcome>, End> {
    let house = &shard.house;
    let catalog = shard.insist("read the configuration", || house.catalog()).await?;
    let mut outcomes = Vec::with_capacity(devices.len());
    let mut groups: HashMap<(Arc<str>, String), Group> = HashMap::new();
    for device in devices {
        let token = device.installation.push_token.clone().filter(|token| apns::is_token(token));
        match (token, topic(shard, &catalog, &device)) {
            (_, _) if device.installation.pushed_seq >= device.content_seq => outcomes.push(outcome(&device, None, None)),
            // Without a token that could be one there is nobody to wake, now or later.
            (None, _) => outcomes.push(outcome(&device, None, None)),
            (Some(_), None) => outcomes.push(outcome(&device, None, Some(house.now().plus(NO_SIGNER_AGAIN_AFTER)))),
            (Some(token), Some(topic)) => {
                let key = (Arc::clone(&topic.name), token.clone());
                groups.entry(key).or_insert_with(|| Group { topic, token, devices: Vec::new() }).devices.push(device);
            }
        }
    }
    let pushes = groups.into_values().map(|group| async move {
        let fate = house.apns.push(&group.topic, &group.token).await;
        metrics::counter!("pushes_total", "outcome" => fate.name()).increment(1);
        (group.devices, fate)
    });
    let pushed: Vec<_> = stream::iter(pushes).buffer_unordered(AT_ONCE).collect().await;
    let mut dead = Vec::new();
    for (devices, fate) in pushed {
        for device in devices {
            match &fate {
                Fate::Woken => outcomes.push(outcome(&device, Some(device.content_seq), None)),
                Fate::Again(pause) => outcomes.push(outcome(&device, None, Some(again(shard, &device, *pause)))),
                Fate::GivenUp => outcomes.push(outcome(&device, None, None)),
                Fate::Dead { since } if since.is_some_and(|since| device.installation.since > since) => {
                    // It registered again after APNs thought it gone: the next try will tell.
                    outcomes.push(outcome(&device, None, Some(again(shard, &device, apns::UNAVAILABLE_AGAIN_AFTER))));
                }
                Fate::Dead { .. } => dead.push(device),
            }
        }
    }
    outcomes.extend(bury(shard, dead).await);
    Ok(outcomes)
}

/// When a device is tried again: after a pause that doubles with every failure in a row, longer by up to a quarter, so that
/// many devices do not come at once.
fn again(shard: &Shard, device: &StaleDevice, pause: Duration) -> Timestamp {
    shard.house.now().plus(growing(pause, device.installation.push_tries, shard.house.random()))
}

fn growing(first: Duration, tries: i32, random: u64) -> Duration {
    let doubled = first.saturating_mul(1 << tries.clamp(0, MAX_DOUBLINGS)).min(LONGEST_PAUSE.max(first));
    let spread = u64::try_from(doubled.as_millis() / 4).unwrap_or(0).max(1);
    doubled + Duration::from_millis(random % spread)
}

fn outcome(device: &StaleDevice, pushed_seq: Option<i64>, retry_at: Option<Timestamp>) -> PushOutcome {
    let StaleDevice { installation, .. } = device;
    PushOutcome { org: installation.org, pass: installation.pass, device: installation.device.clone(), pushed_seq, retry_at }
}

/// The pass type of a device's pass and the client that may push for it.
fn topic(shard: &Shard, catalog: &Catalog, device: &StaleDevice) -> Option<Arc<Topic>> {
    let org = device.installation.org;
    let config = catalog.org(org)?;
    let pass_type = config.project(device.project)?.apple_pass_type.as_ref()?;
    let signer = config.signer_of(pass_type)?;
    match shard.house.apns.topic(&shard.house.store, org, signer) {
        Ok(topic) => Some(topic),
        Err(why) => {
            tracing::error!(%org, pass_type, why, "pushes cannot be sent with this signer");
            None
        }
    }
}

/// Records that dead tokens wake nobody any more.
async fn bury(shard: &Shard, dead: Vec<StaleDevice>) -> Vec<PushOutcome> {
    let house = &shard.house;
    let command = |device: &StaleDevice| Command {
        id: CommandId::mint(house.now(), &*house.entropy),
        org: device.installation.org,
        actor: Actor::System,
        cause: Cause::Wallet,
        key: None,
        told: None,
        action: Action::RecordUninstall {
            pass: PassRef::Id(device.installation.pass),
            wallet: Wallet::Apple,
            device: device.installation.device.clone(),
            reason: UninstallReason::TokenDead,
        },
    };
    let verdicts = house.engine.submit_all(dead.iter().map(command).collect()).await;
    let after = |(device, verdict): (&StaleDevice, Result<_, EngineError>)| match verdict {
        Ok(_) | Err(EngineError::Rejected(_)) => outcome(device, None, None),
        Err(EngineError::Unavailable(_)) => outcome(device, None, Some(again(shard, device, apns::UNREACHABLE_AGAIN_AFTER))),
    };
    dead.iter().zip(verdicts).map(after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_spread() {
        let first = apns::UNREACHABLE_AGAIN_AFTER;
        let least: Vec<u64> = (0..4).map(|tries| growing(first, tries, 0).as_secs()).collect();
        assert_eq!(least, [60, 120, 240, 480]);
        for tries in [-1, 0, 1, 5, 16, i32::MAX] {
            let (from, random) = (growing(first, tries, 0), [1, 77_777, u64::MAX]);
            assert!(from <= LONGEST_PAUSE, "{tries}");
            for random in random {
                let pause = growing(first, tries, random);
                assert!(pause >= from && pause < from + from / 4, "{tries} {random}");
            }
        }
        assert_ne!(growing(first, 3, 1), growing(first, 3, 2));
    }
}
