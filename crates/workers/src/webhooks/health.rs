//! Targets that fail: when one is switched off, and who is told.
//!
//! What counts is what the log of attempts says, so that it is the same on every node and after every start. Whoever changes a
//! target begins anew: somebody looks after it.

use std::time::Duration;

use domain::{Actor, Facts, SwitchOff, Target, Timestamp};
use store::{AttemptFilter, AttemptOutcome, AttemptRow, ConfigChange, StoreError, StoredTarget};

use super::{lane::Lane, targets::Ready};
use crate::{notes::note, shard::House};

/// Under whose name notices are noted once.
const PRINCIPAL: &str = "webhooks";
/// Tries to write down that a target is switched off while others change it too.
const DISABLE_TRIES: usize = 3;
/// Shortest and longest time between two looks at how long a target has failed.
const LOOK_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(3_600);
/// Looks within the time after which a target is switched off.
const LOOKS: u32 = 100;
const HOUR: Duration = Duration::from_secs(3_600);

/// That a target is to be switched off.
pub(super) struct Off {
    /// Why, for people.
    pub(super) reason: String,
    /// When the earliest event was written down that it misses by it, as far as that is known here.
    pub(super) missed_since: Option<Timestamp>,
    /// From which change of it on its failures were counted, where they were: another change begins anew.
    pub(super) counted_from: Option<Timestamp>,
}

/// Whether it is time to look how long a target has failed.
pub(super) fn is_due(ready: &Ready, lane: &Lane, now: Timestamp) -> bool {
    let Some(hours) = ready.target().switch_off.after_hours else { return false };
    lane.may_look(now, (HOUR * hours / LOOKS).clamp(*LOOK_EVERY.start(), *LOOK_EVERY.end()))
}

/// Why a target on which something failed is to be switched off, when it is. One that has come half of the way is told of.
pub(super) async fn look(house: &House, ready: &Ready, gave_up: bool) -> Result<Option<Off>, StoreError> {
    let often = if gave_up { too_often(house, ready).await? } else { None };
    if often.is_some() { Ok(often) } else { too_long(house, ready).await }
}

async fn attempts(house: &House, ready: &Ready, filter: AttemptFilter, limit: u32) -> Result<Vec<AttemptRow>, StoreError> {
    let since = filter.since.max(Some(ready.stored.updated_at));
    let filter = AttemptFilter { target: Some(ready.target().id), since, ..filter };
    house.store.backend().attempts(ready.org, &filter, limit).await
}

async fn took_anything(house: &House, ready: &Ready, since: Timestamp) -> Result<bool, StoreError> {
    let taken =
        AttemptFilter { outcome: Some(AttemptOutcome::Delivered.number()), since: Some(since), ..AttemptFilter::default() };
    Ok(!attempts(house, ready, taken, 1).await?.is_empty())
}

/// Whether so many deliveries were given up one after another.
async fn too_often(house: &House, ready: &Ready) -> Result<Option<Off>, StoreError> {
    let Some(most) = ready.off_after() else { return Ok(None) };
    let given_up = AttemptFilter { outcome: Some(AttemptOutcome::Failed.number()), ..AttemptFilter::default() };
    let given_up = attempts(house, ready, given_up, most).await?;
    let Some(first) = given_up.last().filter(|_| given_up.len() >= most as usize) else { return Ok(None) };
    if took_anything(house, ready, first.at).await? {
        return Ok(None);
    }
    let positions: Vec<_> = given_up.iter().map(|row| row.position).collect();
    let events = house.store.backend().events_at(&positions).await?;
    let missed_since = events.iter().map(|row| row.recorded_at).min();
    let counted_from = Some(ready.stored.updated_at);
    Ok(Some(Off { reason: format!("{most} deliveries in a row were given up"), missed_since, counted_from }))
}

/// Whether it has taken nothing for so long.
async fn too_long(house: &House, ready: &Ready) -> Result<Option<Off>, StoreError> {
    let Some(hours) = ready.target().switch_off.after_hours else { return Ok(None) };
    let whole = HOUR * hours;
    let Some(since) = failing_for(house, ready, whole / 2).await? else { return Ok(None) };
    if failing_for(house, ready, whole).await?.is_some() {
        let counted_from = Some(ready.stored.updated_at);
        return Ok(Some(Off { reason: format!("it took nothing for {hours} hours"), missed_since: None, counted_from }));
    }
    let target = ready.target();
    let (webhook, name, off_at) = (target.id, target.name.clone(), since.plus(whole));
    tracing::warn!(org = %ready.org, target = %webhook, %since, "a target has taken nothing for long");
    // Once a day.
    let day = house.now().as_seconds() / 86_400;
    note(house, ready.org, PRINCIPAL, format!("failing/{webhook}/{day}"), Facts::WebhookFailing { webhook, name, since, off_at })
        .await?;
    Ok(None)
}

/// Since when a target has taken nothing, when that is at least so long and it was tried often enough.
async fn failing_for(house: &House, ready: &Ready, time: Duration) -> Result<Option<Timestamp>, StoreError> {
    let start = house.now().minus(time);
    if start < ready.stored.updated_at {
        return Ok(None);
    }
    let before = AttemptFilter { until: Some(start), ..AttemptFilter::default() };
    let before = attempts(house, ready, before, 1).await?;
    let Some(last) = before.first().filter(|last| last.outcome != AttemptOutcome::Delivered.number()) else { return Ok(None) };
    let within = AttemptFilter { since: Some(start), ..AttemptFilter::default() };
    let often = attempts(house, ready, within, SwitchOff::FEWEST).await?.len() >= SwitchOff::FEWEST as usize;
    Ok((often && !took_anything(house, ready, start).await?).then_some(last.at))
}

/// When a target last took something, from whichever node.
pub(super) async fn last_taken(house: &House, ready: &Ready) -> Result<Option<Timestamp>, StoreError> {
    let outcome = Some(AttemptOutcome::Delivered.number());
    let taken = AttemptFilter { target: Some(ready.target().id), outcome, ..AttemptFilter::default() };
    let last = house.store.backend().attempts(ready.org, &taken, 1).await?;
    Ok(last.first().map(|row| row.at))
}

/// Switches a target off, unless somebody did, changed where it points, or changed anything since its failures were counted.
/// Whoever asked for it is told first: a notice too many is better than one too few.
pub(super) async fn switch_off(house: &House, ready: &Ready, off: &Off) -> Result<(), StoreError> {
    let id = ready.target().id;
    let reason = &off.reason;
    for _ in 0..DISABLE_TRIES {
        let catalog = house.catalog().await?;
        let Some(stored) = catalog.org(ready.org).and_then(|config| config.targets.get(&id.uuid())) else { return Ok(()) };
        if stored.value.target.url != ready.target().url {
            return Ok(());
        }
        if stored.value.target.enabled && off.counted_from.is_some_and(|from| from != stored.updated_at) {
            return Ok(());
        }
        if !stored.value.target.enabled {
            // By another of those that it did not take.
            return if let Some(since) = off.missed_since { note_missed(house, ready, since).await } else { Ok(()) };
        }
        let (name, key) = (stored.value.target.name.clone(), format!("disabled/{id}/{}", stored.revision));
        note(house, ready.org, PRINCIPAL, key, Facts::WebhookDisabled { webhook: id, name, reason: reason.clone() }).await?;
        let mut changed = (*stored.value).clone();
        changed.target.enabled = false;
        changed.target.disabled_reason = Some(reason.clone());
        let since = match changed.target.missed_since {
            Some(since) => since,
            None => last_taken(house, ready).await?.unwrap_or(ready.target().created_at),
        };
        changed.target.missed_since = Some(off.missed_since.map_or(since, |missed| missed.min(since)));
        if put(house, ready, &changed, stored.revision).await? {
            tracing::warn!(org = %ready.org, target = %id, reason, "a target was switched off");
            return Ok(());
        }
        house.store.refresh().await?;
    }
    Err(contended())
}

/// Notes that a target missed an event that was written down then: it was switched off before it got it. One that was switched on
/// again meanwhile has missed it all the same.
pub(super) async fn note_missed(house: &House, ready: &Ready, since: Timestamp) -> Result<(), StoreError> {
    let missed_all = |target: &Target| target.missed_since.is_some_and(|known| known <= since);
    for _ in 0..DISABLE_TRIES {
        let catalog = house.catalog().await?;
        let stored = catalog.org(ready.org).and_then(|config| config.targets.get(&ready.target().id.uuid()));
        let Some(stored) = stored.filter(|stored| !missed_all(&stored.value.target)) else { return Ok(()) };
        let mut changed = (*stored.value).clone();
        changed.target.missed_since = Some(since);
        if put(house, ready, &changed, stored.revision).await? {
            return Ok(());
        }
        house.store.refresh().await?;
    }
    Err(contended())
}

async fn put(house: &House, ready: &Ready, changed: &StoredTarget, revision: i64) -> Result<bool, StoreError> {
    let actor = serde_json::to_string(&Actor::System).map_err(|error| StoreError::Internal(error.to_string()))?;
    let change = ConfigChange { org: ready.org, actor, now: house.now(), names: Vec::new(), removed_names: Vec::new() };
    house.store.put(&change, changed, revision).await
}

fn contended() -> StoreError {
    StoreError::Unavailable("the target is being changed by somebody else".to_owned())
}
