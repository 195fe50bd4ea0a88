//! What goes along when an organization moves, page by page.

use domain::{BatchId, ContactId, OrgId, PassId, SyncId, TargetId, Timestamp};
use rusqlite::{Connection, params};
use store::{DedupeRow, Hash, ResultRow};

use crate::{
    fault::Result,
    inbox,
    keys::Keys,
    load,
    row::{Columns, all, key},
    writer::Written,
};

/// Results under idempotency keys.
pub(crate) fn results(
    db: &Connection,
    org: OrgId,
    after: &(String, String),
    now: Timestamp,
    limit: u32,
) -> Result<Vec<ResultRow>> {
    let mut statement = db.prepare_cached(
        "SELECT r.org, r.principal, r.key, r.fingerprint, r.subject, k.wrapped, r.body, r.expires_at
         FROM results r LEFT JOIN data_keys k ON k.org = r.org AND k.subject = r.subject
         WHERE r.org = ?1 AND (r.principal, r.key) > (?2, ?3) AND r.expires_at > ?4 ORDER BY r.principal, r.key LIMIT ?5",
    )?;
    all(statement.query(params![key(org), after.0, after.1, now.as_micros(), limit])?, load::result_row)
}

/// Message ids of source events, as they came.
pub(crate) fn dedupe(db: &Connection, org: OrgId, after: &[u8], limit: u32) -> Result<(Vec<DedupeRow>, Vec<u8>)> {
    let mut last = after.try_into().map_or(0, i64::from_be_bytes);
    let mut statement =
        db.prepare_cached("SELECT n, source, dedupe, id, until FROM dedupe WHERE org = ?1 AND n > ?2 ORDER BY n LIMIT ?3")?;
    let mut found = statement.query(params![key(org), last, limit])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut columns = Columns::new(row, "dedupe", "n, source, dedupe, id, until");
        last = columns.value()?;
        let (source, dedupe) = (columns.id()?, columns.value()?);
        rows.push(DedupeRow { org, source, dedupe, id: columns.id()?, until: columns.time()? });
    }
    Ok((rows, last.to_be_bytes().to_vec()))
}

/// Keeps message ids.
pub(crate) fn keep_dedupe(db: &Connection, keys: &Keys, rows: &[DedupeRow]) -> Result<Written<()>> {
    for row in rows {
        inbox::claim(db, keys, row)?;
    }
    Ok(Written::Done(()))
}

/// What destinations were last told of contacts.
pub(crate) fn synced(
    db: &Connection,
    org: OrgId,
    after: (TargetId, ContactId),
    limit: u32,
) -> Result<Vec<(TargetId, ContactId, Hash)>> {
    let mut statement = db.prepare_cached(
        "SELECT target, contact, hash FROM synced WHERE org = ?1 AND (target, contact) > (?2, ?3)
         ORDER BY target, contact LIMIT ?4",
    )?;
    all(statement.query(params![key(org), key(after.0), key(after.1), limit])?, |row| {
        let mut columns = Columns::new(row, "synced", "target, contact, hash");
        Ok((columns.id()?, columns.id()?, columns.value()?))
    })
}

/// Which contacts destinations find under which records.
pub(crate) fn records(
    db: &Connection,
    org: OrgId,
    after: (TargetId, Hash, ContactId),
    limit: u32,
) -> Result<Vec<(TargetId, Hash, ContactId)>> {
    let mut statement = db.prepare_cached(
        "SELECT target, record, contact FROM record_contacts WHERE org = ?1 AND (target, record, contact) > (?2, ?3, ?4)
         ORDER BY target, record, contact LIMIT ?5",
    )?;
    all(statement.query(params![key(org), key(after.0), after.1, key(after.2), limit])?, |row| {
        let mut columns = Columns::new(row, "record_contacts", "target, record, contact");
        Ok((columns.id()?, columns.value()?, columns.id()?))
    })
}

/// Which run last had a row about a pass.
pub(crate) fn mirrored(
    db: &Connection,
    org: OrgId,
    after: (SyncId, PassId),
    limit: u32,
) -> Result<Vec<(SyncId, PassId, BatchId)>> {
    let mut statement = db.prepare_cached(
        "SELECT sync, pass, run FROM mirrored WHERE org = ?1 AND (sync, pass) > (?2, ?3) ORDER BY sync, pass LIMIT ?4",
    )?;
    all(statement.query(params![key(org), key(after.0), key(after.1), limit])?, |row| {
        let mut columns = Columns::new(row, "mirrored", "sync, pass, run");
        Ok((columns.id()?, columns.id()?, columns.id()?))
    })
}
