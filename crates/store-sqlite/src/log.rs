//! The event log, and the heads of both logs.

use std::collections::BTreeMap;

use domain::{EventId, OrgId, PassId, Position, Timestamp};
use rusqlite::{Connection, Row, params};
use store::{EventRow, Log, Newest, Pulse};

use crate::{
    backend::SHARDS,
    fault::Result,
    row::{Columns, all, end, first, key, place, pos},
    schema::{EVENTS, INBOX},
};

/// Numbers given out in one call, written back at its end.
pub(crate) struct Heads {
    log: i64,
    seqs: BTreeMap<u16, u64>,
}

impl Heads {
    pub(crate) fn new(log: i64) -> Self {
        Self { log, seqs: BTreeMap::new() }
    }

    /// The next number of a shard.
    pub(crate) fn next(&mut self, db: &Connection, shard: u16) -> Result<u64> {
        let head = match self.seqs.get(&shard) {
            Some(head) => *head,
            None => stored_head(db, self.log, shard)?,
        };
        self.seqs.insert(shard, head + 1);
        Ok(head + 1)
    }

    /// Writes back what was given out.
    pub(crate) fn write(&self, db: &Connection) -> Result<()> {
        let mut statement = db.prepare_cached("UPDATE heads SET seq = ?3 WHERE log = ?1 AND shard = ?2")?;
        for (shard, seq) in &self.seqs {
            statement.execute(params![self.log, shard, *seq as i64])?;
        }
        Ok(())
    }
}

fn stored_head(db: &Connection, log: i64, shard: u16) -> Result<u64> {
    let mut statement = db.prepare_cached("SELECT seq FROM heads WHERE log = ?1 AND shard = ?2")?;
    let mut rows = statement.query(params![log, shard])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Columns::new(row, "heads", "seq").value::<i64>()? as u64)
}

/// The last number of each shard.
pub(crate) fn heads(db: &Connection, log: Log) -> Result<Vec<u64>> {
    let log = match log {
        Log::Inbox => INBOX,
        Log::Events => EVENTS,
    };
    (0..SHARDS).map(|shard| stored_head(db, log, shard)).collect()
}

/// What there is to do. Waiting source events and deliveries have no index by shard, so there is but one shard to ask for.
pub(crate) fn pulse(db: &Connection) -> Result<Vec<Pulse>> {
    const { assert!(SHARDS == 1) };
    let due = |sql: &str| -> Result<Option<Timestamp>> {
        let mut statement = db.prepare_cached(sql)?;
        first(statement.query([])?, |row| Columns::new(row, "pulse", "due_at").time())
    };
    let waiting = due("SELECT due_at FROM inbox_results INDEXED BY inbox_results_waiting
        WHERE status = 4 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1")?;
    let delayed = due("SELECT due_at FROM inbox_results INDEXED BY inbox_results_delayed
        WHERE status = 5 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1")?;
    Ok(vec![Pulse {
        inbox: stored_head(db, INBOX, 0)?,
        events: stored_head(db, EVENTS, 0)?,
        inbox_due: [waiting, delayed].into_iter().flatten().min(),
        delivery_due: due("SELECT due_at FROM deliveries INDEXED BY deliveries_due ORDER BY due_at LIMIT 1")?,
        pass_due: due("SELECT due_at FROM passes INDEXED BY passes_due
            WHERE shard = 0 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1")?,
        push_due: due("SELECT push_due_at FROM installations INDEXED BY installations_push
            WHERE shard = 0 AND push_due_at IS NOT NULL ORDER BY push_due_at LIMIT 1")?,
    }])
}

/// Appends events in their order, numbering them.
pub(crate) fn append(db: &Connection, events: &[EventRow]) -> Result<Vec<Position>> {
    let mut heads = Heads::new(EVENTS);
    let mut statement = db.prepare_cached(
        "INSERT INTO events (pos, org, id, kind, schema, occurred_at, recorded_at, project, pass, contact, version, subject, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    let mut positions = Vec::with_capacity(events.len());
    for event in events {
        let shard = event.position.shard;
        let position = Position { shard, seq: heads.next(db, shard)? };
        statement.execute(params![
            pos(position),
            key(event.org),
            key(event.id),
            event.kind,
            event.schema,
            event.occurred_at.as_micros(),
            event.recorded_at.as_micros(),
            event.project.map(key),
            event.pass.map(key),
            event.contact.map(key),
            event.version,
            event.subject.as_bytes(),
            event.body
        ])?;
        positions.push(position);
    }
    heads.write(db)?;
    Ok(positions)
}

const COLUMNS: &str = "e.pos, e.org, e.id, e.kind, e.schema, e.occurred_at, e.recorded_at, e.project, e.pass, e.contact, \
                       e.version, e.subject, k.wrapped, e.body";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT e.pos, e.org, e.id, e.kind, e.schema, e.occurred_at, e.recorded_at, e.project, e.pass, e.contact,
                    e.version, e.subject, k.wrapped, e.body
             FROM events e LEFT JOIN data_keys k ON k.org = e.org AND k.subject = e.subject ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<EventRow> {
    let mut columns = Columns::new(row, "events", COLUMNS);
    Ok(EventRow {
        position: columns.position()?,
        org: columns.id()?,
        id: columns.id()?,
        kind: columns.value()?,
        schema: columns.value()?,
        occurred_at: columns.time()?,
        recorded_at: columns.time()?,
        project: columns.id_option()?,
        pass: columns.id_option()?,
        contact: columns.id_option()?,
        version: columns.value()?,
        subject: columns.uuid()?,
        data_key: columns.value()?,
        body: columns.value()?,
    })
}

/// The next events of a shard.
pub(crate) fn next(db: &Connection, shard: u16, after: u64, limit: u32) -> Result<Vec<EventRow>> {
    let mut statement = db.prepare_cached(select!("WHERE e.pos > ?1 AND e.pos <= ?2 ORDER BY e.pos LIMIT ?3"))?;
    all(statement.query(params![place(shard, after), end(shard), limit])?, read)
}

/// Events at positions.
pub(crate) fn at(db: &Connection, positions: &[Position]) -> Result<Vec<EventRow>> {
    let mut statement = db.prepare_cached(select!("WHERE e.pos = ?1"))?;
    let mut found = Vec::with_capacity(positions.len());
    for position in positions {
        found.extend(first(statement.query([pos(*position)])?, read)?);
    }
    Ok(found)
}

/// Events of an organization, shard by shard.
pub(crate) fn feed(db: &Connection, org: OrgId, after: &[u64], limit: u32) -> Result<Vec<EventRow>> {
    let mut statement = db.prepare_cached(select!("WHERE e.org = ?1 AND e.pos > ?2 AND e.pos <= ?3 ORDER BY e.pos LIMIT ?4"))?;
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        let after = after.get(usize::from(shard)).copied().unwrap_or(0);
        let room = limit as usize - found.len();
        found.extend(all(statement.query(params![key(org), place(shard, after), end(shard), room as i64])?, read)?);
    }
    Ok(found)
}

/// Events of each shard, the newest first.
pub(crate) fn newest(db: &Connection, org: OrgId, wish: &Newest) -> Result<Vec<EventRow>> {
    let kinds: Vec<String> = wish.kinds.iter().map(|kind| kind.number().to_string()).collect();
    let kinds = format!("[{}]", kinds.join(","));
    let since = wish.since.map_or(i64::MIN, Timestamp::as_micros);
    let mut statement = db.prepare_cached(select!(
        "WHERE e.org = ?1 AND e.pos > ?2 AND e.pos < ?3 AND e.recorded_at >= ?4 AND e.kind IN (SELECT value FROM json_each(?5)) \
         ORDER BY e.pos DESC LIMIT ?6"
    ))?;
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        let before = wish.before.get(usize::from(shard)).copied().unwrap_or(0);
        let range = params![key(org), place(shard, 0), place(shard, before), since, kinds, i64::from(wish.limit) + 1];
        found.extend(all(statement.query(range)?, read)?);
    }
    Ok(found)
}

/// Events of a pass. All of them are in one shard.
pub(crate) fn of_pass(db: &Connection, org: OrgId, pass: PassId, after: u64, limit: u32) -> Result<Vec<EventRow>> {
    let mut statement =
        db.prepare_cached(select!("WHERE e.org = ?1 AND e.pass = ?2 AND e.pos > ?3 AND e.pos <= ?4 ORDER BY e.pos LIMIT ?5"))?;
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        found.extend(all(statement.query(params![key(org), key(pass), place(shard, after), end(shard), limit])?, read)?);
    }
    Ok(found)
}

/// Events of a pass below a number, newest first.
pub(crate) fn newest_of_pass(db: &Connection, org: OrgId, pass: PassId, before: u64, limit: u32) -> Result<Vec<EventRow>> {
    let mut statement = db
        .prepare_cached(select!("WHERE e.org = ?1 AND e.pass = ?2 AND e.pos > ?3 AND e.pos < ?4 ORDER BY e.pos DESC LIMIT ?5"))?;
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        let range = params![key(org), key(pass), place(shard, 0), place(shard, before), limit];
        found.extend(all(statement.query(range)?, read)?);
    }
    Ok(found)
}

/// One event.
pub(crate) fn one(db: &Connection, org: OrgId, id: EventId) -> Result<Option<EventRow>> {
    let mut statement = db.prepare_cached(select!("WHERE e.org = ?1 AND e.id = ?2"))?;
    first(statement.query(params![key(org), key(id)])?, read)
}
