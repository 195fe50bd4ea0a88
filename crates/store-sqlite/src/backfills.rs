//! Backfills.

use domain::OrgId;
use rusqlite::{Connection, Row, params};
use store::{BackfillRow, Lease};
use uuid::Uuid;

use crate::{
    fault::Result,
    leases,
    row::{Columns, all, first, key},
    writer::Written,
};

fn read(row: &Row<'_>) -> Result<BackfillRow> {
    let mut columns = Columns::new(row, "backfills", "org, id, shard, state, body, revision, created_at, updated_at");
    Ok(BackfillRow {
        org: columns.id()?,
        id: columns.uuid()?,
        shard: columns.value()?,
        state: columns.value()?,
        body: columns.value()?,
        revision: columns.value()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT org, id, shard, state, body, revision, created_at, updated_at FROM backfills ", $rest)
    };
}

/// One backfill.
pub(crate) fn one(db: &Connection, org: OrgId, id: Uuid) -> Result<Option<BackfillRow>> {
    let mut statement = db.prepare_cached(select!("WHERE org = ?1 AND id = ?2"))?;
    first(statement.query(params![key(org), id.as_bytes()])?, read)
}

/// Backfills of an organization, newest first.
pub(crate) fn list(db: &Connection, org: OrgId, before: Option<Uuid>, limit: u32) -> Result<Vec<BackfillRow>> {
    let before = before.map_or([0xFF; 16], Uuid::into_bytes);
    let mut statement = db.prepare_cached(select!("WHERE org = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"))?;
    all(statement.query(params![key(org), before, limit])?, read)
}

/// Running backfills of a shard, oldest first.
pub(crate) fn running(db: &Connection, shard: u16, limit: u32) -> Result<Vec<BackfillRow>> {
    let mut statement = db.prepare_cached(select!("WHERE state = 1 AND shard = ?1 ORDER BY created_at LIMIT ?2"))?;
    all(statement.query(params![shard, limit])?, read)
}

/// Inserts or replaces a backfill; false where somebody else was faster.
fn put(db: &Connection, row: &BackfillRow) -> Result<bool> {
    let mut insert = db.prepare_cached(
        "INSERT INTO backfills (org, id, shard, state, body, revision, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (org, id) DO NOTHING",
    )?;
    let mut update = db.prepare_cached(
        "UPDATE backfills SET shard = ?3, state = ?4, body = ?5, revision = ?6, created_at = ?7, updated_at = ?8
         WHERE org = ?1 AND id = ?2 AND revision = ?6 - 1",
    )?;
    let statement = if row.revision == 1 { &mut insert } else { &mut update };
    let written = statement.execute(params![
        key(row.org),
        row.id.as_bytes(),
        row.shard,
        row.state,
        row.body,
        row.revision,
        row.created_at.as_micros(),
        row.updated_at.as_micros()
    ])?;
    Ok(written == 1)
}

/// Inserts or replaces a backfill, under a lease if one is shown.
pub(crate) fn save(db: &Connection, lease: Option<Lease>, row: &BackfillRow) -> Result<Written<bool>> {
    if let Some(lease) = lease {
        leases::check(db, lease)?;
    }
    Ok(if put(db, row)? { Written::Done(true) } else { Written::Undone(false) })
}
