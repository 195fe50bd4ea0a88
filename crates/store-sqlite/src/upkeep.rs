//! What time makes superfluous goes in small steps, each a call of its own between others; and bounded rings.
//!
//! A step looks at the next few rows after where the last one stopped, so that nothing needs an index by age.

use domain::{OrgId, Timestamp};
use rusqlite::{Connection, params};
use store::{CaptureRow, Hash, InboxStatus, Reader, Retention};

use crate::{
    backend::SHARDS,
    fault::Result,
    keys::{Keys, Kind},
    leases,
    row::{Columns, all, key, place},
    writer::Written,
};

/// Rows with bodies that a step looks at.
const BODIES: i64 = 256;
/// Narrow rows that a step looks at.
const NARROW: i64 = 2_000;

/// Pieces of files that a step removes.
const CHUNKS: i64 = 32;

/// Where the steps stopped last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursors {
    inbox: Vec<i64>,
    events: Vec<i64>,
    attempts: i64,
    results: i64,
    dedupe: i64,
}

/// Whether anything went.
fn went(count: usize) -> Written<bool> {
    if count > 0 { Written::Done(true) } else { Written::Nothing(false) }
}

/// Old rows of the inbox that flows have passed and that do not wait, with their results and keys.
pub(crate) fn inbox(db: &Connection, keep: Retention, cursors: &mut Cursors) -> Result<Written<bool>> {
    let mut next = db.prepare_cached(
        "SELECT i.pos, i.received_at, i.org, i.id, r.status FROM inbox i LEFT JOIN inbox_results r ON r.pos = i.pos
         WHERE i.pos > ?1 AND i.pos <= ?2 ORDER BY i.pos LIMIT ?3",
    )?;
    let mut forget =
        [db.prepare_cached("DELETE FROM inbox WHERE pos = ?1")?, db.prepare_cached("DELETE FROM inbox_results WHERE pos = ?1")?];
    let mut forget_key = db.prepare_cached("DELETE FROM data_keys WHERE org = ?1 AND subject = ?2")?;
    let mut forget_repeats = db.prepare_cached("DELETE FROM repeats WHERE org = ?1 AND id = ?2")?;
    cursors.inbox.resize(usize::from(SHARDS), 0);
    let mut count = 0;
    for shard in 0..SHARDS {
        let read = place(shard, leases::watermark(db, Reader::Flows, shard)?);
        let cursor = &mut cursors.inbox[usize::from(shard)];
        let rows = all(next.query(params![place(shard, 0).max(*cursor), read, BODIES])?, |row| {
            let mut columns = Columns::new(row, "inbox", "pos, received_at, org, id, status");
            let (pos, at): (i64, Timestamp) = (columns.value()?, columns.time()?);
            let owner: ([u8; 16], [u8; 16]) = (columns.value()?, columns.value()?);
            Ok((pos, at, owner, columns.value::<Option<i16>>()?))
        })?;
        *cursor = resume(rows.last().map(|row| (row.0, row.1)), rows.len(), keep.inbox_before);
        for (pos, at, (org, id), status) in rows {
            if at < keep.inbox_before && !status.and_then(InboxStatus::from_number).is_some_and(InboxStatus::is_due_later) {
                for statement in &mut forget {
                    statement.execute([pos])?;
                }
                forget_key.execute(params![org, id])?;
                forget_repeats.execute(params![org, id])?;
                count += 1;
            }
        }
    }
    Ok(went(count))
}

/// Old events that every reader of the log has passed and no delivery needs.
pub(crate) fn events(db: &Connection, keep: Retention, cursors: &mut Cursors) -> Result<Written<bool>> {
    let mut next = db.prepare_cached(
        "SELECT e.pos, e.recorded_at, EXISTS (SELECT 1 FROM deliveries d WHERE d.pos = e.pos) FROM events e
         WHERE e.pos > ?1 AND e.pos <= ?2 ORDER BY e.pos LIMIT ?3",
    )?;
    let mut forget = db.prepare_cached("DELETE FROM events WHERE pos = ?1")?;
    cursors.events.resize(usize::from(SHARDS), 0);
    let mut count = 0;
    for shard in 0..SHARDS {
        let webhooks = leases::watermark(db, Reader::Webhooks, shard)?;
        let read = place(shard, webhooks.min(leases::watermark(db, Reader::Integrity, shard)?));
        let cursor = &mut cursors.events[usize::from(shard)];
        let rows = all(next.query(params![place(shard, 0).max(*cursor), read, BODIES])?, |row| {
            let mut columns = Columns::new(row, "events", "pos, recorded_at, needed");
            Ok((columns.value::<i64>()?, columns.time()?, columns.value::<bool>()?))
        })?;
        *cursor = resume(rows.last().map(|row| (row.0, row.1)), rows.len(), keep.events_before);
        for (pos, at, needed) in rows {
            if at < keep.events_before && !needed {
                count += forget.execute([pos])?;
            }
        }
    }
    Ok(went(count))
}

/// Where the next step goes on: after rows that were old but had to stay, else from the start.
fn resume(last: Option<(i64, Timestamp)>, rows: usize, before: Timestamp) -> i64 {
    match last {
        Some((pos, at)) if at < before && rows as i64 == BODIES => pos,
        _ => 0,
    }
}

/// Old attempts. They are written in the order of their time, more or less.
pub(crate) fn attempts(db: &Connection, keep: Retention, cursors: &mut Cursors) -> Result<Written<bool>> {
    let mut next = db.prepare_cached("SELECT n, at FROM attempts WHERE n > ?1 ORDER BY n LIMIT ?2")?;
    let rows = all(next.query(params![cursors.attempts, BODIES])?, |row| {
        let mut columns = Columns::new(row, "attempts", "n, at");
        Ok((columns.value::<i64>()?, columns.time()?))
    })?;
    cursors.attempts = resume(rows.last().copied(), rows.len(), keep.attempts_before);
    let mut forget = db.prepare_cached("DELETE FROM attempts WHERE n = ?1")?;
    let mut count = 0;
    for (n, _) in rows.into_iter().filter(|(_, at)| *at < keep.attempts_before) {
        count += forget.execute([n])?;
    }
    Ok(went(count))
}

/// Results past their time.
pub(crate) fn results(db: &Connection, now: Timestamp, cursors: &mut Cursors) -> Result<Written<bool>> {
    let mut next = db.prepare_cached("SELECT rowid, expires_at FROM results WHERE rowid > ?1 ORDER BY rowid LIMIT ?2")?;
    let rows = all(next.query(params![cursors.results, BODIES])?, |row| {
        let mut columns = Columns::new(row, "results", "rowid, expires_at");
        Ok((columns.value::<i64>()?, columns.time()?))
    })?;
    cursors.results = if rows.len() as i64 == BODIES { rows.last().map_or(0, |row| row.0) } else { 0 };
    let mut forget = db.prepare_cached("DELETE FROM results WHERE rowid = ?1")?;
    let mut count = 0;
    for (rowid, _) in rows.into_iter().filter(|(_, until)| *until <= now) {
        count += forget.execute([rowid])?;
    }
    Ok(went(count))
}

/// Chunks past their time.
pub(crate) fn chunks(db: &Connection, now: Timestamp) -> Result<Written<bool>> {
    let mut forget = db.prepare_cached(
        "DELETE FROM chunks WHERE rowid IN (SELECT rowid FROM chunks WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
    )?;
    Ok(went(forget.execute(params![now.as_micros(), CHUNKS])?))
}

/// Dedupe keys past their time.
pub(crate) fn dedupe(db: &Connection, keys: &Keys, now: Timestamp, cursors: &mut Cursors) -> Result<Written<bool>> {
    let mut next = db.prepare_cached("SELECT n, source, dedupe, until FROM dedupe WHERE n > ?1 ORDER BY n LIMIT ?2")?;
    let rows = all(next.query(params![cursors.dedupe, NARROW])?, |row| {
        let mut columns = Columns::new(row, "dedupe", "n, source, dedupe, until");
        let (n, source, hash): (i64, [u8; 16], Hash) = (columns.value()?, columns.value()?, columns.value()?);
        Ok((n, source, hash, columns.time()?))
    })?;
    cursors.dedupe = if rows.len() as i64 == NARROW { rows.last().map_or(0, |row| row.0) } else { 0 };
    let mut forget = db.prepare_cached("DELETE FROM dedupe WHERE n = ?1")?;
    let mut count = 0;
    for (n, source, hash, _) in rows.into_iter().filter(|(.., until)| *until <= now) {
        count += forget.execute([n])?;
        keys.remove(Kind::Dedupe, &[&source, &hash], n);
    }
    Ok(went(count))
}

/// Adds to a ring and cuts it.
pub(crate) fn capture(db: &Connection, row: &CaptureRow, keep: u32) -> Result<Written<()>> {
    let mut add = db.prepare_cached(
        "INSERT INTO captures (org, ring, id, at, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (org, ring, id) DO NOTHING",
    )?;
    add.execute(params![key(row.org), row.ring, row.id.as_bytes(), row.at.as_micros(), row.body])?;
    let mut cut = db.prepare_cached(
        "DELETE FROM captures WHERE org = ?1 AND ring = ?2 AND id <=
             (SELECT id FROM captures WHERE org = ?1 AND ring = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
    )?;
    cut.execute(params![key(row.org), row.ring, keep])?;
    Ok(Written::Done(()))
}

/// Removes a ring.
pub(crate) fn drop_captures(db: &Connection, org: OrgId, ring: &str) -> Result<Written<()>> {
    db.prepare_cached("DELETE FROM captures WHERE org = ?1 AND ring = ?2")?.execute(params![key(org), ring])?;
    Ok(Written::Done(()))
}

/// What a ring holds, newest first.
pub(crate) fn captures(db: &Connection, org: OrgId, ring: &str, limit: u32) -> Result<Vec<CaptureRow>> {
    let mut statement =
        db.prepare_cached("SELECT org, ring, id, at, body FROM captures WHERE org = ?1 AND ring = ?2 ORDER BY id DESC LIMIT ?3")?;
    all(statement.query(params![key(org), ring, limit])?, |row| {
        let mut columns = Columns::new(row, "captures", "org, ring, id, at, body");
        Ok(CaptureRow {
            org: columns.id()?,
            ring: columns.value()?,
            id: columns.uuid()?,
            at: columns.time()?,
            body: columns.value()?,
        })
    })
}
