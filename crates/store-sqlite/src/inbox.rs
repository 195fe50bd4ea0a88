//! Source events.

use std::collections::BTreeMap;

use domain::{OrgId, Position, SourceEventId, Timestamp};
use rusqlite::{Connection, Row, params};
use store::{
    Accepted, DedupeRow, InboxFilter, InboxInsert, InboxResult, InboxRow, InboxSettlement, InboxStatus, Lease, Reader, Repeats,
    Turns, WaitingKey,
};

use crate::{
    backend::SHARDS,
    fault::Result,
    keys::{Keys, Kind},
    leases,
    log::Heads,
    row::{Columns, all, end, first, key, place, pos},
    schema::INBOX,
    writer::Written,
};

/// Takes rows in; duplicates keep the id of the first.
pub(crate) fn accept(db: &Connection, keys: &Keys, rows: &[InboxInsert]) -> Result<Written<Vec<Accepted>>> {
    let mut heads = Heads::new(INBOX);
    let mut accepted = Vec::with_capacity(rows.len());
    let mut data_key = db.prepare_cached("INSERT INTO data_keys (org, subject, wrapped) VALUES (?1, ?2, ?3)")?;
    let mut insert = db.prepare_cached(
        "INSERT INTO inbox (pos, org, id, source, order_key, received_at, occurred_at, name, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for row in rows {
        let message = DedupeRow { org: row.org, source: row.source, dedupe: row.dedupe, id: row.id, until: row.dedupe_until };
        if let Some(first) = claim(db, keys, &message)? {
            repeated(db, row, first)?;
            accepted.push(Accepted::Duplicate(first));
            continue;
        }
        let (org, id, source) = (key(row.org), key(row.id), key(row.source));
        let position = Position { shard: row.shard, seq: heads.next(db, row.shard)? };
        let times = (row.received_at.as_micros(), row.occurred_at.map(Timestamp::as_micros));
        insert.execute(params![pos(position), org, id, source, row.order_key, times.0, times.1, row.name, row.body])?;
        data_key.execute(params![org, id, row.data_key])?;
        if let Some(fault) = &row.fault {
            let result = InboxResult::parked_at_the_door(row.received_at, fault.clone());
            write_result(db, pos(position), row.org, row.id, &result)?;
        }
        accepted.push(Accepted::New(position));
    }
    heads.write(db)?;
    Ok(Written::Done(accepted))
}

/// Notes a message id, unless it is known: then whose it is.
pub(crate) fn claim(db: &Connection, keys: &Keys, message: &DedupeRow) -> Result<Option<SourceEventId>> {
    let (org, source) = (key(message.org), key(message.source));
    let mut known = db.prepare_cached("SELECT id FROM dedupe WHERE n = ?1 AND org = ?2 AND source = ?3 AND dedupe = ?4")?;
    let first = keys.find(db, Kind::Dedupe, &[&source, &message.dedupe], |n| {
        first(known.query(params![n, org, source, message.dedupe])?, |row| Columns::new(row, "dedupe", "id").id())
    })?;
    if first.is_none() {
        let mut note = db.prepare_cached("INSERT INTO dedupe (org, source, dedupe, id, until) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        note.execute(params![org, source, message.dedupe, key(message.id), message.until.as_micros()])?;
        keys.add(Kind::Dedupe, &[&source, &message.dedupe], db.last_insert_rowid());
    }
    Ok(first)
}

fn repeated(db: &Connection, row: &InboxInsert, first: SourceEventId) -> Result<()> {
    let mut note = db.prepare_cached(
        "INSERT INTO repeats (org, id, times, last_at) VALUES (?1, ?2, 1, ?3)
         ON CONFLICT (org, id) DO UPDATE SET times = times + 1, last_at = max(last_at, excluded.last_at)",
    )?;
    note.execute(params![key(row.org), key(first), row.received_at.as_micros()])?;
    Ok(())
}

/// How often a source event came again; none when it did not.
pub(crate) fn repeats(db: &Connection, org: OrgId, id: SourceEventId) -> Result<Option<Repeats>> {
    let mut statement = db.prepare_cached("SELECT times, last_at FROM repeats WHERE org = ?1 AND id = ?2")?;
    first(statement.query(params![key(org), key(id)])?, |row| {
        let mut columns = Columns::new(row, "repeats", "times, last_at");
        let times = u64::try_from(columns.value::<i64>()?).unwrap_or(0);
        Ok(Repeats { times, last_at: columns.time()? })
    })
}

fn write_result(db: &Connection, pos: i64, org: OrgId, id: SourceEventId, result: &InboxResult) -> Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO inbox_results (pos, org, id, status, runs, due_at, at, trace) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (pos) DO UPDATE SET status = excluded.status, runs = excluded.runs, due_at = excluded.due_at,
             at = excluded.at, trace = excluded.trace",
    )?;
    let InboxResult { status, runs, due_at, at, trace } = result;
    statement.execute(params![pos, key(org), key(id), status, runs, due_at.map(Timestamp::as_micros), at.as_micros(), trace])?;
    Ok(())
}

const COLUMNS: &str = "i.pos, i.org, i.id, i.source, i.order_key, i.received_at, i.occurred_at, i.name, k.wrapped, i.body, \
                       r.status, r.runs, r.due_at, r.at, r.trace";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.pos, i.org, i.id, i.source, i.order_key, i.received_at, i.occurred_at, i.name, k.wrapped, i.body,
                    r.status, r.runs, r.due_at, r.at, r.trace ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<InboxRow> {
    let mut columns = Columns::new(row, "inbox", COLUMNS);
    Ok(InboxRow {
        position: columns.position()?,
        org: columns.id()?,
        id: columns.id()?,
        source: columns.id()?,
        order_key: columns.value()?,
        received_at: columns.time()?,
        occurred_at: columns.time_option()?,
        name: columns.value()?,
        data_key: columns.value()?,
        body: columns.value()?,
        result: match columns.value::<Option<i16>>()? {
            None => None,
            Some(status) => Some(InboxResult {
                status,
                runs: columns.value()?,
                due_at: columns.time_option()?,
                at: columns.time()?,
                trace: columns.value()?,
            }),
        },
    })
}

/// The next rows of a shard.
pub(crate) fn next(db: &Connection, shard: u16, after: u64, limit: u32) -> Result<Vec<InboxRow>> {
    let mut statement = db.prepare_cached(select!(
        "FROM inbox i LEFT JOIN inbox_results r ON r.pos = i.pos
             LEFT JOIN data_keys k ON k.org = i.org AND k.subject = i.id
         WHERE i.pos > ?1 AND i.pos <= ?2 ORDER BY i.pos LIMIT ?3"
    ))?;
    all(statement.query(params![place(shard, after), end(shard), limit])?, read)
}

/// Waiting and delayed rows that are due.
pub(crate) fn due(db: &Connection, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<InboxRow>> {
    let mut waiting = db.prepare_cached(select!(
        "FROM inbox_results r INDEXED BY inbox_results_waiting CROSS JOIN inbox i ON i.pos = r.pos
             LEFT JOIN data_keys k ON k.org = i.org AND k.subject = i.id
         WHERE r.status = 4 AND r.due_at <= ?1 AND r.pos > ?2 AND r.pos <= ?3
         ORDER BY r.due_at, r.pos LIMIT ?4"
    ))?;
    let mut delayed = db.prepare_cached(select!(
        "FROM inbox_results r INDEXED BY inbox_results_delayed CROSS JOIN inbox i ON i.pos = r.pos
             LEFT JOIN data_keys k ON k.org = i.org AND k.subject = i.id
         WHERE r.status = 5 AND r.due_at <= ?1 AND r.pos > ?2 AND r.pos <= ?3
         ORDER BY r.due_at, r.pos LIMIT ?4"
    ))?;
    let mut rows = all(waiting.query(params![now.as_micros(), place(shard, 0), end(shard), limit])?, read)?;
    let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(limit));
    rows.extend(all(delayed.query(params![now.as_micros(), place(shard, 0), end(shard), left])?, read)?);
    Ok(rows)
}

/// Takes the next turns of a flow: when the first of them is. Each is `apart` after the one before.
pub(crate) fn take_turns(db: &Connection, turns: &Turns) -> Result<Written<Timestamp>> {
    let mut statement = db.prepare_cached(
        "INSERT INTO paces (org, flow, next_at) VALUES (?1, ?2, ?3 + ?4)
         ON CONFLICT (org, flow) DO UPDATE SET next_at = max(next_at, ?3) + ?4 RETURNING next_at - ?4",
    )?;
    let params = params![key(turns.org), key(turns.flow), turns.now.as_micros(), turns.span_micros()];
    let first_at = first(statement.query(params)?, |row| Columns::new(row, "paces", "next_at").time())?;
    Ok(Written::Done(first_at.unwrap_or(turns.now)))
}

/// Keys that have an event waiting.
pub(crate) fn waiting_keys(db: &Connection, shard: u16) -> Result<Vec<WaitingKey>> {
    let mut statement = db.prepare_cached(
        "SELECT org, order_key, pos, due_at, all_due_at FROM (
             SELECT i.org, i.order_key, r.pos, r.due_at,
                    max(r.due_at) OVER (PARTITION BY i.org, i.order_key) AS all_due_at,
                    row_number() OVER (PARTITION BY i.org, i.order_key ORDER BY r.pos) AS nth
             FROM inbox_results r INDEXED BY inbox_results_waiting CROSS JOIN inbox i ON i.pos = r.pos
             WHERE r.status = 4 AND r.due_at IS NOT NULL AND r.pos > ?1 AND r.pos <= ?2)
         WHERE nth = 1",
    )?;
    all(statement.query(params![place(shard, 0), end(shard)])?, |row| {
        let mut columns = Columns::new(row, "inbox", "org, order_key, pos, due_at, all_due_at");
        Ok(WaitingKey {
            org: columns.id()?,
            order_key: columns.value()?,
            first: columns.position()?.seq,
            due_at: columns.time()?,
            all_due_at: columns.time()?,
        })
    })
}

/// Makes all waiting rows of a shard due now, and none later than one behind it of its key.
pub(crate) fn hasten(db: &Connection, lease: Lease, now: Timestamp) -> Result<Written<()>> {
    leases::check(db, lease)?;
    let mut statement = db.prepare_cached(
        "UPDATE inbox_results AS w SET due_at = t.due_at FROM (
             SELECT r.pos, min(?1, min(r.due_at) OVER (
                        PARTITION BY i.org, i.order_key ORDER BY r.pos ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)) AS due_at
             FROM inbox_results r INDEXED BY inbox_results_waiting CROSS JOIN inbox i ON i.pos = r.pos
             WHERE r.status = 4 AND r.due_at IS NOT NULL AND r.pos > ?2 AND r.pos <= ?3) AS t
         WHERE w.pos = t.pos AND w.due_at > t.due_at",
    )?;
    statement.execute(params![now.as_micros(), place(lease.shard, 0), end(lease.shard)])?;
    Ok(Written::Done(()))
}

/// Writes outcomes under the lease.
pub(crate) fn settle(db: &Connection, settlement: &InboxSettlement) -> Result<Written<()>> {
    leases::check(db, settlement.lease)?;
    for (org, id, result) in &settlement.results {
        // An event that was swept meanwhile has nothing left to write about.
        if let Some(pos) = position_of(db, *org, *id)? {
            write_result(db, pos, *org, *id, result)?;
        }
    }
    let mut own = db.prepare_cached("UPDATE data_keys SET owner = ?3 WHERE org = ?1 AND subject = ?2")?;
    let mut known = db.prepare_cached("SELECT 1 FROM data_keys WHERE org = ?1 AND subject = ?2")?;
    let mut erased = BTreeMap::new();
    for (org, event, contact) in &settlement.owners {
        if known.exists(params![key(*org), key(*contact)])? {
            own.execute(params![key(*org), key(*event), key(*contact)])?;
        } else {
            erased.insert((*org, *event), ());
        }
    }
    let mut destroy = db.prepare_cached("DELETE FROM data_keys WHERE org = ?1 AND subject = ?2")?;
    let mut destroyed = 0;
    for (org, event) in erased.keys() {
        destroyed += destroy.execute(params![key(*org), key(*event)])?;
    }
    if let Some(watermark) = settlement.watermark {
        leases::set_watermark(db, Reader::Flows, settlement.lease.shard, watermark)?;
    }
    Ok(if destroyed > 0 { Written::Erased(()) } else { Written::Done(()) })
}

fn position_of(db: &Connection, org: OrgId, id: SourceEventId) -> Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT pos FROM inbox INDEXED BY inbox_id WHERE org = ?1 AND id = ?2")?;
    first(statement.query(params![key(org), key(id)])?, |row| Columns::new(row, "inbox", "pos").value())
}

/// One source event.
pub(crate) fn one(db: &Connection, org: OrgId, id: SourceEventId) -> Result<Option<InboxRow>> {
    let mut statement = db.prepare_cached(select!(
        "FROM inbox i LEFT JOIN inbox_results r ON r.pos = i.pos
             LEFT JOIN data_keys k ON k.org = i.org AND k.subject = i.id
         WHERE i.org = ?1 AND i.id = ?2"
    ))?;
    first(statement.query(params![key(org), key(id)])?, read)
}

/// Source events, newest first.
pub(crate) fn list(db: &Connection, org: OrgId, filter: &InboxFilter, limit: u32) -> Result<Vec<InboxRow>> {
    let source = filter.source.map(key);
    // Before the first page there is nothing: no id is greater than this one but itself.
    let before = filter.before.map_or([0xFF; 16], key);
    let open = [InboxStatus::Parked.number(), InboxStatus::Waiting.number(), InboxStatus::Delayed.number()];
    let rare = filter.status.filter(|status| open.contains(status));
    if rare.is_some() {
        let mut statement = db.prepare_cached(select!(
            "FROM inbox_results r INDEXED BY inbox_results_open CROSS JOIN inbox i ON i.pos = r.pos
                 LEFT JOIN data_keys k ON k.org = i.org AND k.subject = i.id
             WHERE r.org = ?1 AND r.status = ?4 AND r.status IN (3, 4, 5) AND r.id < ?2 AND (?3 IS NULL OR i.source = ?3)
             ORDER BY r.id DESC LIMIT ?5"
        ))?;
        return all(statement.query(params![key(org), before, source, rare, limit])?, read);
    }
    let mut statement = db.prepare_cached(select!(
        "FROM inbox i LEFT JOIN inbox_results r ON r.pos = i.pos
             LEFT JOIN data_keys k ON k.org = i.org AND k.subject = i.id
         WHERE i.org = ?1 AND i.id < ?2 AND (?3 IS NULL OR i.source = ?3)
             AND (?4 IS NULL OR r.status = ?4 OR ?4 = ?6 AND r.status IS NULL AND i.pos <= ?7)
         ORDER BY i.id DESC LIMIT ?5"
    ))?;
    let (ignored, passed) = (InboxStatus::Ignored.number(), passed(db)?);
    all(statement.query(params![key(org), before, source, filter.status, limit, ignored, passed])?, read)
}

/// Up to where flows have passed; what has no result by then is ignored.
fn passed(db: &Connection) -> Result<i64> {
    const { assert!(SHARDS == 1) };
    Ok(place(0, leases::watermark(db, Reader::Flows, 0)?))
}
