//! Syncs: their queries are asked, and their runs begun by a schedule.

use std::time::Duration;

use domain::{Actor, OrgId, Project, Timestamp};
use flows::batch::{Batch as Document, EmptyCells, Schedule, line};
use flows::mapping::Rules;
use outbound::{
    http::Failure,
    sql::{Column, Place, Query, Reading, Since, Unwritten},
};
use serde_json::{Map, Value};
use store::{BatchWork, StoredSync, SyncScope};
use tokio::sync::mpsc;

use super::{
    intake::{Ended, PIECE_BYTES, Piece},
    notice,
};
use crate::shard::{End, House, Shard};

/// Rows of a trial.
const TRIED_ROWS: usize = 10;
/// How long after it was looked which syncs are due it is looked again, at the latest.
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
                // The server made it.
                let row: Map<String, Value> = serde_json::from_str(&json).unwrap_or_default();
                if let Some(reached) = column.as_ref().and_then(|column| mark_of(row.get(column)?)) {
                    mark = Some(reached);
                }
                line(row, empty_cells, &mut text);
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

/// Begins the runs that are due by their syncs' schedules. One that is still under way, or waits for somebody, holds back the
/// next; times that went by meanwhile are made up for by one run. Says when to look again.
pub(crate) async fn begin_due(shard: &Shard) -> Result<Timestamp, End> {
    let (house, now) = (&shard.house, shard.house.now());
    let mut look_at = now.plus(LOOK_EVERY);
    let catalog = shard.insist("read the configuration", || house.catalog()).await?;
    for (org, config) in catalog.orgs() {
        for stored in config.syncs.values() {
            let sync = &stored.value;
            let schedule = sync.schedule.clone().and_then(|schedule| serde_json::from_value::<Schedule>(schedule).ok());
            let Some(schedule) = schedule.filter(|_| sync.enabled) else { continue };
            if house.store.shard_of(org, sync.id.uuid()) != shard.number() {
                continue;
            }
            let newest = || house.store.newest_job::<BatchWork>(org, sync.id.uuid());
            let newest = shard.insist("read the runs of a sync", newest).await?;
            // A schedule that was changed counts from then.
            let since = newest.as_ref().map_or(stored.updated_at, |newest| newest.created_at.max(stored.updated_at));
            let Some(due) = schedule.after(since) else { continue };
            let is_held_back = newest.is_some_and(|newest| !newest.state.is_over());
            if due > now {
                look_at = look_at.min(due);
            } else if is_held_back {
                look_at = look_at.min(now.plus(HELD_BACK_EVERY));
            } else {
                let projects: Vec<Project> = config.projects.values().map(|stored| (*stored.value).clone()).collect();
                begin(shard, org, sync, &projects, now).await?;
                look_at = schedule.after(now).map_or(look_at, |next| look_at.min(next));
            }
        }
    }
    Ok(look_at)
}

async fn begin(shard: &Shard, org: OrgId, sync: &StoredSync, projects: &[Project], now: Timestamp) -> Result<(), End> {
    let store = &shard.house.store;
    let document = Document::from_json(&sync.document).ok();
    let Some(project) = document.and_then(|document| Some(document.check_by(Rules::Stored, projects, None).ok()?.project()))
    else {
        const WHY: &str = "its project is gone, or does not fit its map any more";
        tracing::warn!(sync = %sync.id, "a sync cannot be run: {WHY}");
        return notice::cannot_begin(shard, org, sync.id, &sync.name, WHY).await;
    };
    let begin = || async {
        let (begun, write) = store.begin_sync(org, sync, project, Actor::System, SyncScope::Changed, now)?;
        Ok(store.written(write).await?.then_some(begun.id))
    };
    // Somebody may have begun one meanwhile.
    if let Some(batch) = shard.insist("begin a run of a sync", begin).await? {
        tracing::info!(%batch, sync = %sync.id, "a sync runs by its schedule");
    }
    Ok(())
}
