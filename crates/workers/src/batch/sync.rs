//! Syncs: their queries are asked, and their runs begun by a schedule.

use std::{collections::HashMap, time::Duration};

use domain::{Actor, OrgId, Project, Timestamp};
use flows::batch::{Batch as Document, EmptyCells, Schedule, line, row, unread};
use flows::mapping::Rules;
use outbound::{
    http::Failure,
    sql::{Column, Place, Query, Reading, Since, Unwritten},
};
use serde_json::Value;
use store::{BatchWork, OrgCatalog, Stored, StoredSync, SyncScope};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    intake::{Ended, PIECE_BYTES, Piece},
    notice,
};
use crate::shard::{End, House, Shard};

/// Rows of a trial.
const TRIED_ROWS: usize = 10;
/// How long after it was looked which syncs are due it is looked again, at the latest: what another node configured is known then.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether a run is over that holds back the next.
const HELD_BACK_EVERY: Duration = Duration::from_secs(5);

/// Which rows of a sync's query are wanted.
pub(super) enum Wanted {
    /// The first ones.
    Trial,
    /// Those that changed since its column was at the mark; all without one.
    After(Option<String>),
}

/// Asks a sync's query and hands over what it finds.
pub(super) async fn ask(
    house: &House,
    org: OrgId,
    sync: &StoredSync,
    wanted: Wanted,
    empty_cells: EmptyCells,
    to: &mpsc::Sender<Piece>,
) -> Ended {
    let password = match house.store.open_password(org, sync) {
        Ok(password) => password,
        Err(error) => return Ended::Refused(error.to_string()),
    };
    let place =
        Place { url: sync.url.clone(), user: sync.user.clone(), password, tls: sync.tls, authorities: sync.authorities.clone() };
    let way = match house.ways.of(org, sync.egress.as_deref()) {
        Ok(way) => way,
        Err(why) => return Ended::Refused(why),
    };
    let (is_trial, mut mark) = match wanted {
        Wanted::Trial => (true, None),
        Wanted::After(mark) => (false, mark),
    };
    let since = sync.incremental.as_ref().map(|incremental| Since {
        column: incremental.column.clone(),
        mark: mark.clone(),
        overlap: Duration::from_secs(incremental.overlap_seconds.into()),
    });
    let column = since.as_ref().map(|since| since.column.clone());
    let query = Query { text: sync.query.clone(), patience: sync.patience(), since };
    let asked = async {
        let mut reading = Reading::begin(&way.client, &place, &query).await?;
        let named = |column: &Column| (column.name.clone(), column.kind.clone());
        // Who is not there any more needs nothing.
        let _ = to.send(Piece::Columns(reading.columns().iter().map(named).collect())).await;
        let (mut text, mut rows) = (Vec::new(), 0);
        loop {
            let found = reading.next(if is_trial { TRIED_ROWS } else { usize::MAX }).await?;
            let is_last = found.is_empty() || is_trial;
            for json in found {
                // The server made it, but for what stands in columns of JSON, which may be half a character.
                if let Some(row) = row(&json) {
                    if let Some(reached) = column.as_ref().and_then(|column| mark_of(row.get(column)?)) {
                        mark = Some(reached);
                    }
                    line(row, empty_cells, &mut text);
                } else {
                    unread(&json, &mut text);
                }
                rows += 1;
            }
            if is_last || text.len() >= PIECE_BYTES {
                let piece = Piece::Rows(std::mem::take(&mut text), std::mem::take(&mut rows));
                if to.send(piece).await.is_err() {
                    return Ok(());
                }
            }
            if is_last {
                if let Some(mark) = mark.take() {
                    let _ = to.send(Piece::Mark(mark)).await;
                }
                return Ok(());
            }
        }
    };
    match asked.await {
        Ok(()) => Ended::Whole,
        Err(Unwritten::Refused(refused)) => Ended::Refused(refused.safe()),
        Err(Unwritten::Failed(failure @ Failure::Timeout { .. })) => {
            Ended::Refused(format!("the database took too long: {failure}"))
        }
        Err(Unwritten::Failed(failure)) => Ended::Refused(format!("the database cannot be read: {failure}")),
    }
}

/// How far a row's column says that changes have come. What is at no time tells nothing.
fn mark_of(cell: &Value) -> Option<String> {
    match cell {
        Value::String(text) if !text.ends_with("infinity") => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// When it is to be looked at which sync of a shard: at its time, or when it changed.
#[derive(Default)]
pub(crate) struct Looks(HashMap<(OrgId, Uuid), Look>);

struct Look {
    /// The configuration version in which the sync was last changed.
    changed: i64,
    /// None while it is not to run.
    at: Option<Timestamp>,
}

impl Looks {
    /// Whether a sync that was last changed in a configuration version is to be looked at.
    fn wants(&self, sync: (OrgId, Uuid), changed: i64, now: Timestamp) -> bool {
        self.0.get(&sync).is_none_or(|look| look.changed != changed || look.at.is_some_and(|at| at <= now))
    }

    fn note(&mut self, sync: (OrgId, Uuid), changed: i64, at: Option<Timestamp>) {
        self.0.insert(sync, Look { changed, at });
    }

    /// When the next one is to be looked at.
    fn next(&self) -> Option<Timestamp> {
        self.0.values().filter_map(|look| look.at).min()
    }
}

/// Begins the runs that are due by their syncs' schedules. One that is still under way, or waits for somebody, holds back the
/// next; times that went by meanwhile are made up for by one run. Reads the runs of those alone that are to be looked at.
/// Says when to look again.
pub(crate) async fn begin_due(shard: &Shard, looks: &mut Looks) -> Result<Timestamp, End> {
    let (house, now) = (&shard.house, shard.house.now());
    let catalog = shard.insist("read the configuration", || house.catalog()).await?;
    looks.0.retain(|(org, sync), _| catalog.org(*org).is_some_and(|config| config.syncs.contains_key(sync)));
    for (org, config) in catalog.orgs() {
        for stored in config.syncs.values() {
            let key = (org, stored.value.id.uuid());
            if looks.wants(key, stored.changed, now) && house.store.shard_of(org, key.1) == shard.number() {
                let at = look(shard, org, config, stored, now).await?;
                looks.note(key, stored.changed, at);
            }
        }
    }
    let latest = now.plus(LOOK_EVERY);
    Ok(looks.next().map_or(latest, |next| next.min(latest)))
}

/// Begins a sync's run if one is due; says when to look again.
async fn look(
    shard: &Shard,
    org: OrgId,
    config: &OrgCatalog,
    stored: &Stored<StoredSync>,
    now: Timestamp,
) -> Result<Option<Timestamp>, End> {
    let (store, sync) = (&shard.house.store, &stored.value);
    let schedule = sync.schedule.clone().and_then(|schedule| serde_json::from_value::<Schedule>(schedule).ok());
    let Some(schedule) = schedule.filter(|_| sync.enabled) else { return Ok(None) };
    let newest = || store.newest_job::<BatchWork>(org, sync.id.uuid());
    let newest = shard.insist("read the runs of a sync", newest).await?;
    // A schedule that was changed counts from then.
    let since = newest.as_ref().map_or(stored.updated_at, |newest| newest.created_at.max(stored.updated_at));
    let Some(due) = schedule.after(since) else { return Ok(None) };
    if due > now {
        return Ok(Some(due));
    }
    if newest.is_some_and(|newest| !newest.state.is_over()) {
        return Ok(Some(now.plus(HELD_BACK_EVERY)));
    }
    let projects: Vec<Project> = config.projects.values().map(|stored| (*stored.value).clone()).collect();
    let begun = begin(shard, org, sync, &projects, now).await?;
    Ok(if begun { schedule.after(now) } else { Some(now.plus(LOOK_EVERY)) })
}

/// Begins a run, unless it cannot be or somebody was faster; whether it did.
async fn begin(shard: &Shard, org: OrgId, sync: &StoredSync, projects: &[Project], now: Timestamp) -> Result<bool, End> {
    let store = &shard.house.store;
    let document = Document::from_json(&sync.document).ok();
    let Some(project) = document.and_then(|document| Some(document.check_by(Rules::Stored, projects, None).ok()?.project()))
    else {
        const WHY: &str = "its project is gone, or does not fit its map any more";
        tracing::warn!(sync = %sync.id, "a sync cannot be run: {WHY}");
        notice::cannot_begin(shard, org, sync.id, &sync.name, WHY).await?;
        return Ok(false);
    };
    let begin = || async {
        let (begun, write) = store.begin_sync(org, sync, project, Actor::System, SyncScope::Changed, now)?;
        Ok(store.written(write).await?.then_some(begun.id))
    };
    let begun = shard.insist("begin a run of a sync", begin).await?;
    if let Some(batch) = begun {
        tracing::info!(%batch, sync = %sync.id, "a sync runs by its schedule");
    }
    Ok(begun.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_looked_at_when_they_are_due_or_changed_and_no_others() {
        let at = |seconds: i64| Timestamp::from_seconds(1_800_000_000 + seconds);
        let [waiting, later, off] = [1, 2, 3].map(|number| (OrgId::from_uuid(Uuid::nil()), Uuid::from_u128(number)));
        let mut looks = Looks::default();
        assert_eq!(looks.next(), None);
        let wanted = |looks: &Looks, changed, now| [waiting, later, off].map(|sync| looks.wants(sync, changed, now));
        assert_eq!(wanted(&looks, 7, at(0)), [true, true, true], "none was looked at");
        looks.note(waiting, 7, Some(at(5)));
        looks.note(later, 7, Some(at(3_600)));
        looks.note(off, 7, None);
        assert_eq!(looks.next(), Some(at(5)));
        assert_eq!(wanted(&looks, 7, at(4)), [false, false, false]);
        assert_eq!(wanted(&looks, 7, at(5)), [true, false, false], "one that waits is looked at alone");
        assert_eq!(wanted(&looks, 8, at(4)), [true, true, true], "each that changed");
    }
}
