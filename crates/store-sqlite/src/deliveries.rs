//! What targets are owed, and attempts.

use domain::{DeliveryId, EventId, OrgId, PassId, Position, TargetId, Timestamp};
use rusqlite::{Connection, Row, params};
use store::{About, AttemptFilter, AttemptPlace, AttemptRow, DeliveryRow, DeliverySettlement, Lease, Reader};

use crate::{
    fault::Result,
    leases,
    row::{Columns, all, end, first, key, place, pos},
    writer::Written,
};

macro_rules! upsert {
    ($asked_at:literal) => {
        concat!(
            "INSERT INTO deliveries (org, id, target, event, pos, attempts, due_at, claimed, behind, asked_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9)
             ON CONFLICT (org, id) DO UPDATE SET target = excluded.target, event = excluded.event, pos = excluded.pos,
                 attempts = excluded.attempts, due_at = excluded.due_at, claimed = 0, behind = excluded.behind, asked_at = ",
            $asked_at
        )
    };
}

fn read(row: &Row<'_>) -> Result<DeliveryRow> {
    let mut columns = Columns::new(row, "deliveries", "org, id, target, event, pos, attempts, due_at, behind, asked_at");
    Ok(DeliveryRow {
        org: columns.id()?,
        id: columns.id()?,
        target: columns.id()?,
        event: columns.id()?,
        position: columns.position()?,
        attempts: columns.value()?,
        due_at: columns.time()?,
        behind: columns.value()?,
        asked_at: columns.time_option()?,
    })
}

/// Claims due rows: until its time a claimed row is not due.
pub(crate) fn claim(
    db: &Connection,
    lease: Lease,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Written<Vec<DeliveryRow>>> {
    leases::check(db, lease)?;
    let mut due = db.prepare_cached(
        "SELECT org, id, target, event, pos, attempts, due_at, behind, asked_at FROM deliveries INDEXED BY deliveries_due
         WHERE due_at <= ?1 AND pos > ?2 AND pos <= ?3 ORDER BY due_at LIMIT ?4",
    )?;
    let rows = due.query(params![now.as_micros(), place(lease.shard, 0), end(lease.shard), limit])?;
    let found = all(rows, read)?;
    if found.is_empty() {
        return Ok(Written::Nothing(found));
    }
    let mut claim = db.prepare_cached("UPDATE deliveries SET claimed = 1, due_at = ?3 WHERE org = ?1 AND id = ?2")?;
    for row in &found {
        claim.execute(params![key(row.org), key(row.id), until.as_micros()])?;
    }
    Ok(Written::Done(found))
}

/// Makes claimed rows due.
pub(crate) fn unclaim(db: &Connection, lease: Lease, now: Timestamp) -> Result<Written<()>> {
    leases::check(db, lease)?;
    let mut statement = db.prepare_cached(
        "UPDATE deliveries INDEXED BY deliveries_claimed SET claimed = 0, due_at = ?1
         WHERE claimed = 1 AND pos > ?2 AND pos <= ?3",
    )?;
    statement.execute(params![now.as_micros(), place(lease.shard, 0), end(lease.shard)])?;
    Ok(Written::Done(()))
}

/// Writes outcomes under the lease.
pub(crate) fn settle(db: &Connection, settlement: &DeliverySettlement) -> Result<Written<()>> {
    leases::check(db, settlement.lease)?;
    for attempt in &settlement.attempts {
        add_attempt(db, attempt)?;
    }
    let mut finish = db.prepare_cached("DELETE FROM deliveries WHERE org = ?1 AND id = ?2 AND asked_at IS ?3")?;
    for over in &settlement.finished {
        finish.execute(params![key(over.org), key(over.id), over.asked_at.map(Timestamp::as_micros)])?;
    }
    for row in &settlement.owed {
        put(db, row, upsert!("excluded.asked_at WHERE asked_at IS excluded.asked_at"))?;
    }
    if let Some(watermark) = settlement.watermark {
        leases::set_watermark(db, Reader::Webhooks, settlement.lease.shard, watermark)?;
    }
    Ok(Written::Done(()))
}

/// Adds deliveries, or makes those that are there be asked for anew.
pub(crate) fn owe(db: &Connection, rows: &[DeliveryRow]) -> Result<()> {
    let sql = upsert!("coalesce(max(excluded.asked_at, asked_at + 1), excluded.asked_at, asked_at + 1)");
    rows.iter().try_for_each(|row| put(db, row, sql))
}

/// Adds or replaces a delivery that nobody has claimed.
fn put(db: &Connection, row: &DeliveryRow, upsert: &str) -> Result<()> {
    let mut statement = db.prepare_cached(upsert)?;
    let ids = (key(row.org), key(row.id), key(row.target), key(row.event));
    statement.execute(params![
        ids.0,
        ids.1,
        ids.2,
        ids.3,
        pos(row.position),
        row.attempts,
        row.due_at.as_micros(),
        row.behind,
        row.asked_at.map(Timestamp::as_micros)
    ])?;
    Ok(())
}

fn add_attempt(db: &Connection, row: &AttemptRow) -> Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO attempts (org, delivery, target, event, pos, attempt, at, elapsed_micros, outcome, status, error, next_at,
             subject, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    statement.execute(params![
        key(row.org),
        key(row.delivery),
        key(row.target),
        key(row.event),
        pos(row.position),
        row.attempt,
        row.at.as_micros(),
        row.elapsed_micros,
        row.outcome,
        row.status,
        row.error,
        row.next_at.map(Timestamp::as_micros),
        row.subject.as_bytes(),
        row.detail
    ])?;
    Ok(())
}

/// Deliveries of later events that were tried or are owed.
pub(crate) fn touched(db: &Connection, shard: u16, after: u64) -> Result<Vec<DeliveryId>> {
    let mut statement = db.prepare_cached(
        "SELECT id FROM deliveries WHERE pos > ?1 AND pos <= ?2
         UNION SELECT delivery FROM attempts WHERE pos > ?1 AND pos <= ?2",
    )?;
    let rows = statement.query(params![place(shard, after), end(shard)])?;
    all(rows, |row| Columns::new(row, "deliveries", "id").id())
}

/// When the next one is due.
pub(crate) fn next_due(db: &Connection, shard: u16) -> Result<Option<Timestamp>> {
    let mut statement = db.prepare_cached(
        "SELECT due_at FROM deliveries INDEXED BY deliveries_due WHERE pos > ?1 AND pos <= ?2 ORDER BY due_at LIMIT 1",
    )?;
    first(statement.query(params![place(shard, 0), end(shard)])?, |row| Columns::new(row, "deliveries", "due_at").time())
}

/// What an organization's targets are owed.
pub(crate) fn list(
    db: &Connection,
    org: OrgId,
    target: Option<TargetId>,
    after: Option<(Timestamp, DeliveryId)>,
    limit: u32,
) -> Result<Vec<DeliveryRow>> {
    let targets = match target {
        Some(target) => vec![target],
        None => owed_targets(db, org)?,
    };
    let (due_at, id) = after.map_or((i64::MIN, [0; 16]), |(due_at, id)| (due_at.as_micros(), key(id)));
    let mut first = db.prepare_cached(
        "SELECT org, id, target, event, pos, attempts, due_at, behind, asked_at FROM deliveries INDEXED BY deliveries_target
         WHERE org = ?1 AND target = ?2 AND behind = ?6 AND due_at >= ?4 AND (due_at > ?4 OR id > ?5)
         ORDER BY due_at, id LIMIT ?3",
    )?;
    let mut rows = Vec::new();
    for target in targets {
        for behind in [false, true] {
            rows.extend(all(first.query(params![key(org), key(target), limit, due_at, id, behind])?, read)?);
        }
    }
    rows.sort_by_key(|row| (row.due_at, row.id));
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(rows)
}

/// What targets are owed about an event, or about a pass: found by where the events stand.
pub(crate) fn about(
    db: &Connection,
    org: OrgId,
    about: About,
    target: Option<TargetId>,
    after: Option<(Timestamp, DeliveryId)>,
    limit: u32,
) -> Result<Vec<DeliveryRow>> {
    macro_rules! list {
        ($events:literal) => {
            concat!(
                "SELECT org, id, target, event, pos, attempts, due_at, behind, asked_at FROM deliveries INDEXED BY deliveries_pos
                 WHERE pos IN (SELECT e.pos FROM events e WHERE e.org = ?1 AND ",
                $events,
                ") AND org = ?1 AND (?4 IS NULL OR target = ?4) AND (due_at, id) > (?5, ?6) ORDER BY due_at, id LIMIT ?7"
            )
        };
    }
    let mut statement = match about.event {
        Some(_) => db.prepare_cached(list!("e.id = ?2 AND (?3 IS NULL OR e.pass = ?3)"))?,
        None => db.prepare_cached(list!("?2 IS NULL AND e.pass = ?3"))?,
    };
    let (due_at, id) = after.map_or((i64::MIN, [0; 16]), |(due_at, id)| (due_at.as_micros(), key(id)));
    let (event, pass, target) = (about.event.map(key), about.pass.map(key), target.map(key));
    all(statement.query(params![key(org), event, pass, target, due_at, id, limit])?, read)
}

/// Which of an organization's targets are owed something: one look-up for each.
fn owed_targets(db: &Connection, org: OrgId) -> Result<Vec<TargetId>> {
    let mut statement = db.prepare_cached(
        "WITH RECURSIVE owed (target) AS (
             SELECT min(target) FROM deliveries INDEXED BY deliveries_target WHERE org = ?1
             UNION ALL SELECT (SELECT min(target) FROM deliveries INDEXED BY deliveries_target WHERE org = ?1 AND target > o.target)
             FROM owed o WHERE o.target IS NOT NULL)
         SELECT target FROM owed WHERE target IS NOT NULL",
    )?;
    all(statement.query(params![key(org)])?, |row| Columns::new(row, "deliveries", "target").id())
}

/// Makes what waits for a target due now.
pub(crate) fn hasten(db: &Connection, org: OrgId, target: TargetId, now: Timestamp, limit: u32) -> Result<Written<u64>> {
    let mut statement = db.prepare_cached(
        "UPDATE deliveries SET due_at = ?3 WHERE (org, id) IN (
             SELECT org, id FROM deliveries INDEXED BY deliveries_target
             WHERE org = ?1 AND target = ?2 AND behind = 0 AND due_at > ?3 AND claimed = 0 ORDER BY due_at LIMIT ?4)",
    )?;
    let count = statement.execute(params![key(org), key(target), now.as_micros(), limit])?;
    let count = u64::try_from(count).unwrap_or(0);
    Ok(if count == 0 { Written::Nothing(0) } else { Written::Done(count) })
}

/// How much a target is owed, and when the first of it is due.
pub(crate) fn owed(db: &Connection, org: OrgId, target: TargetId) -> Result<(u64, Option<Timestamp>)> {
    let sql = "SELECT count(*), min(due_at) FROM deliveries INDEXED BY deliveries_target WHERE org = ?1 AND target = ?2";
    counted(db, sql, org, target)
}

/// Replays that a target is still owed, and when the last is due.
pub(crate) fn behind(db: &Connection, org: OrgId, target: TargetId) -> Result<(u64, Option<Timestamp>)> {
    let sql = "SELECT count(*), max(due_at) FROM deliveries INDEXED BY deliveries_target
        WHERE org = ?1 AND target = ?2 AND behind = 1";
    counted(db, sql, org, target)
}

/// Its `sql` is told which index: the planner would walk all deliveries of the organization.
fn counted(db: &Connection, sql: &str, org: OrgId, target: TargetId) -> Result<(u64, Option<Timestamp>)> {
    let mut statement = db.prepare_cached(sql)?;
    let found = first(statement.query(params![key(org), key(target)])?, |row| {
        let mut columns = Columns::new(row, "deliveries", "count, due_at");
        Ok((columns.value::<i64>()?, columns.time_option()?))
    })?;
    Ok(found.map_or((0, None), |(count, at)| (u64::try_from(count).unwrap_or(0), at)))
}

/// When the first is due of what each of some targets is owed about earlier events of a pass.
pub(crate) fn earlier_owed(
    db: &Connection,
    org: OrgId,
    lines: &[(TargetId, PassId, Position)],
) -> Result<Vec<Option<Timestamp>>> {
    let mut statement = db.prepare_cached(
        "SELECT min(d.due_at) FROM deliveries d INDEXED BY deliveries_pos
         WHERE d.pos IN (SELECT e.pos FROM events e WHERE e.org = ?1 AND e.pass = ?3 AND e.pos < ?4)
             AND d.org = ?1 AND d.target = ?2 AND d.behind = 0",
    )?;
    let mut earliest = Vec::with_capacity(lines.len());
    for (target, pass, before) in lines {
        let rows = statement.query(params![key(org), key(*target), key(*pass), pos(*before)])?;
        earliest.push(first(rows, |row| Columns::new(row, "deliveries", "due_at").time_option())?.flatten());
    }
    Ok(earliest)
}

/// Those of some events that a target has taken or is owed.
pub(crate) fn taken_or_owed(db: &Connection, org: OrgId, target: TargetId, events: &[EventId]) -> Result<Vec<EventId>> {
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM attempts WHERE org = ?1 AND event = ?3 AND target = ?2 AND outcome = 1)
             OR EXISTS (SELECT 1 FROM deliveries WHERE org = ?1 AND id = ?4)",
    )?;
    let mut found = Vec::new();
    for event in events {
        let delivery = DeliveryId::of(event.uuid(), target.uuid());
        let rows = statement.query(params![key(org), key(target), key(*event), key(delivery)])?;
        if first(rows, |row| Columns::new(row, "deliveries", "found").value::<bool>())? == Some(true) {
            found.push(*event);
        }
    }
    Ok(found)
}

/// One delivery.
pub(crate) fn one(db: &Connection, org: OrgId, id: DeliveryId) -> Result<Option<DeliveryRow>> {
    let mut statement = db.prepare_cached(
        "SELECT org, id, target, event, pos, attempts, due_at, behind, asked_at FROM deliveries WHERE org = ?1 AND id = ?2",
    )?;
    first(statement.query(params![key(org), key(id)])?, read)
}

const ATTEMPT: &str = "a.org, a.delivery, a.target, a.event, a.pos, a.attempt, a.at, a.elapsed_micros, a.outcome, a.status, \
                       a.error, a.next_at, a.subject, k.wrapped, a.detail";

macro_rules! select_attempts {
    ($rest:literal) => {
        concat!(
            "SELECT a.org, a.delivery, a.target, a.event, a.pos, a.attempt, a.at, a.elapsed_micros, a.outcome, a.status,
                    a.error, a.next_at, a.subject, k.wrapped, a.detail
             FROM attempts a LEFT JOIN data_keys k ON k.org = a.org AND k.subject = a.subject
             WHERE a.org = ?1 AND a.at <= ?4 AND (a.at, a.delivery, a.attempt) < (?4, ?6, ?7) AND a.at >= ?8
                 AND (?9 IS NULL OR a.outcome = ?9) AND (?10 IS NULL OR a.status = ?10)
                 AND (?11 IS NULL OR (SELECT e.kind FROM events e WHERE e.pos = a.pos) = ?11)
                 AND ",
            $rest,
            " ORDER BY a.at DESC, a.delivery DESC, a.attempt DESC LIMIT ?5"
        )
    };
}

fn read_attempt(row: &Row<'_>) -> Result<AttemptRow> {
    let mut columns = Columns::new(row, "attempts", ATTEMPT);
    Ok(AttemptRow {
        org: columns.id()?,
        delivery: columns.id()?,
        target: columns.id()?,
        event: columns.id()?,
        position: columns.position()?,
        attempt: columns.value()?,
        at: columns.time()?,
        elapsed_micros: columns.value()?,
        outcome: columns.value()?,
        status: columns.value()?,
        error: columns.value()?,
        next_at: columns.time_option()?,
        subject: columns.uuid()?,
        data_key: columns.value()?,
        detail: columns.value()?,
    })
}

/// The newest attempt at each of some targets, about one event where one is named.
pub(crate) fn newest_attempts(
    db: &Connection,
    org: OrgId,
    of: &[(TargetId, Option<EventId>)],
) -> Result<Vec<Option<AttemptRow>>> {
    let newest = |(target, event): &(TargetId, Option<EventId>)| {
        let filter = AttemptFilter { target: Some(*target), event: *event, ..AttemptFilter::default() };
        Ok(attempts(db, org, &filter, 1)?.pop())
    };
    of.iter().map(newest).collect()
}

/// Attempts, newest first.
pub(crate) fn attempts(db: &Connection, org: OrgId, filter: &AttemptFilter, limit: u32) -> Result<Vec<AttemptRow>> {
    let mut statement = match (filter.target, filter.event) {
        (_, None) if filter.pass.is_some() => db.prepare_cached(select_attempts!(
            "a.event IN (SELECT e.id FROM events e WHERE e.org = ?1 AND e.pass = ?12) AND (?2 IS NULL OR a.target = ?2) AND ?3 IS NULL"
        ))?,
        (_, Some(_)) => db.prepare_cached(select_attempts!(
            "a.event = ?3 AND (?2 IS NULL OR a.target = ?2)
                 AND (?12 IS NULL OR EXISTS (SELECT 1 FROM events e WHERE e.pos = a.pos AND e.pass = ?12))"
        ))?,
        (Some(_), None) => db.prepare_cached(select_attempts!("a.target = ?2 AND ?3 IS NULL AND ?12 IS NULL"))?,
        (None, None) => db.prepare_cached(select_attempts!("?2 IS NULL AND ?3 IS NULL AND ?12 IS NULL"))?,
    };
    let (at, delivery, attempt): AttemptPlace = filter.end();
    let filters = (filter.target.map(key), filter.event.map(key), filter.pass.map(key));
    let since = filter.since.map_or(i64::MIN, Timestamp::as_micros);
    let rows = statement.query(params![
        key(org),
        filters.0,
        filters.1,
        at.as_micros(),
        limit,
        key(delivery),
        attempt,
        since,
        filter.outcome,
        filter.status,
        filter.kind,
        filters.2
    ])?;
    all(rows, read_attempt)
}
