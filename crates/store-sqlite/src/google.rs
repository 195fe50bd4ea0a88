//! What Google Wallet holds.

use domain::{OrgId, Timestamp};
use rusqlite::{Connection, Row, params};
use store::{ChangedPass, GoogleSettlement, GoogleThingRow, GoogleWants, Lease, Reader};
use uuid::Uuid;

use crate::{
    fault::Result,
    leases,
    row::{Columns, all, first, key},
    writer::Written,
};

const COLUMNS: &str = "org, thing, account, urgency, wanted_seq, synced_seq, due_at, body";

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT org, thing, account, urgency, wanted_seq, synced_seq, due_at, body FROM google_things ", $rest)
    };
}

fn read(row: &Row<'_>) -> Result<GoogleThingRow> {
    let mut columns = Columns::new(row, "google_things", COLUMNS);
    Ok(GoogleThingRow {
        org: columns.id()?,
        thing: columns.uuid()?,
        account: columns.uuid()?,
        urgency: columns.value()?,
        wanted_seq: columns.value()?,
        synced_seq: columns.value()?,
        due_at: columns.time_option()?,
        body: columns.value()?,
    })
}

fn read_changed(row: &Row<'_>) -> Result<ChangedPass> {
    let mut columns = Columns::new(row, "passes", "org, id, project, content_seq, held");
    Ok(ChangedPass {
        org: columns.id()?,
        pass: columns.id()?,
        project: columns.id()?,
        content_seq: columns.value()?,
        held: columns.value()?,
    })
}

/// The next passes whose content changed, and the last number looked at.
pub(crate) fn changed(db: &Connection, shard: u16, after: u64, limit: u32) -> Result<(u64, Vec<ChangedPass>)> {
    let after = after.min(i64::MAX as u64) as i64;
    let mut last = db.prepare_cached(
        "SELECT max(content_seq) FROM
             (SELECT content_seq FROM passes WHERE shard = ?1 AND content_seq > ?2 ORDER BY content_seq LIMIT ?3)",
    )?;
    let to = first(last.query(params![shard, after, limit])?, |row| {
        Columns::new(row, "passes", "content_seq").value::<Option<i64>>()
    })?;
    let Some(to) = to.flatten() else { return Ok((after as u64, Vec::new())) };
    let mut statement = db.prepare_cached(
        "SELECT p.org, p.id, p.project, p.content_seq,
                EXISTS (SELECT 1 FROM installations i
                    WHERE i.org = p.org AND i.pass = p.id AND i.wallet = 2 AND i.device = '' AND i.active = 1)
         FROM passes p INDEXED BY passes_content
         WHERE p.shard = ?1 AND p.content_seq > ?2 AND p.content_seq <= ?3 ORDER BY p.content_seq",
    )?;
    Ok((to as u64, all(statement.query(params![shard, after, to])?, read_changed)?))
}

/// Notes passes that Google shall hear of, under the lease.
pub(crate) fn want(db: &Connection, wants: &GoogleWants) -> Result<Written<()>> {
    leases::check(db, wants.lease)?;
    let mut statement = db.prepare_cached(
        "INSERT INTO google_things (org, thing, account, urgency, wanted_seq, synced_seq, due_at, body)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, '')
         ON CONFLICT (org, thing) DO UPDATE SET account = excluded.account, urgency = excluded.urgency,
             wanted_seq = max(wanted_seq, excluded.wanted_seq), due_at = min(coalesce(due_at, excluded.due_at), excluded.due_at)
         WHERE excluded.wanted_seq > synced_seq",
    )?;
    for (pass, account, urgency) in &wants.passes {
        let due_at = wants.due_at.as_micros();
        statement.execute(params![key(pass.org), key(pass.pass), account.into_bytes(), urgency, pass.content_seq, due_at])?;
    }
    leases::set_watermark(db, Reader::Google, wants.lease.shard, wants.watermark)?;
    Ok(Written::Done(()))
}

/// What is due of an account, the urgent first.
pub(crate) fn due(db: &Connection, org: OrgId, account: Uuid, now: Timestamp, limit: u32) -> Result<Vec<GoogleThingRow>> {
    let mut statement = db.prepare_cached(select!(
        "WHERE org = ?1 AND account = ?2 AND due_at IS NOT NULL AND due_at <= ?3 ORDER BY urgency, due_at LIMIT ?4"
    ))?;
    all(statement.query(params![key(org), account.into_bytes(), now.as_micros(), limit])?, read)
}

/// One thing.
pub(crate) fn one(db: &Connection, org: OrgId, thing: Uuid) -> Result<Option<GoogleThingRow>> {
    let mut statement = db.prepare_cached(select!("WHERE org = ?1 AND thing = ?2"))?;
    first(statement.query(params![key(org), thing.into_bytes()])?, read)
}

/// Asks for work on things.
pub(crate) fn ask(db: &Connection, rows: &[GoogleThingRow], again: bool) -> Result<Written<()>> {
    let mut statement = db.prepare_cached(
        "INSERT INTO google_things (org, thing, account, urgency, wanted_seq, synced_seq, due_at, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (org, thing) DO UPDATE SET account = excluded.account, urgency = excluded.urgency,
             wanted_seq = max(wanted_seq, excluded.wanted_seq), due_at = excluded.due_at
         WHERE ?9 OR account <> excluded.account",
    )?;
    for row in rows {
        let (thing, account, due_at) = (row.thing.into_bytes(), row.account.into_bytes(), row.due_at.map(Timestamp::as_micros));
        let (org, wanted, synced) = (key(row.org), row.wanted_seq, row.synced_seq);
        statement.execute(params![org, thing, account, row.urgency, wanted, synced, due_at, row.body, again])?;
    }
    Ok(Written::Done(()))
}

/// Writes outcomes under the lease.
pub(crate) fn settle(db: &Connection, settlement: &GoogleSettlement) -> Result<Written<()>> {
    leases::check(db, settlement.lease)?;
    let mut statement = db.prepare_cached(
        "INSERT INTO google_things (org, thing, account, urgency, wanted_seq, synced_seq, due_at, body)
         VALUES (?1, ?2, ?3, 1, 0, coalesce(?4, 0), ?5, ?6)
         ON CONFLICT (org, thing) DO UPDATE SET
             due_at = CASE WHEN due_at IS NOT ?7 AND due_at IS NOT NULL THEN due_at
                           WHEN ?5 IS NULL AND ?4 IS NOT NULL AND wanted_seq > ?4 THEN due_at ELSE ?5 END,
             synced_seq = max(synced_seq, coalesce(?4, 0)), body = ?6",
    )?;
    for outcome in &settlement.outcomes {
        let (retry_at, account) = (outcome.retry_at.map(Timestamp::as_micros), outcome.account.into_bytes());
        let (org, thing) = (key(outcome.org), outcome.thing.into_bytes());
        let seen = outcome.seen_due_at.map(Timestamp::as_micros);
        statement.execute(params![org, thing, account, outcome.synced_seq, retry_at, outcome.body, seen])?;
    }
    Ok(Written::Done(()))
}

/// Forgets things under the lease.
pub(crate) fn forget(db: &Connection, lease: Lease, org: OrgId, things: &[Uuid]) -> Result<Written<()>> {
    leases::check(db, lease)?;
    let mut statement = db.prepare_cached("DELETE FROM google_things WHERE org = ?1 AND thing = ?2")?;
    for thing in things {
        statement.execute(params![key(org), thing.into_bytes()])?;
    }
    Ok(Written::Done(()))
}
