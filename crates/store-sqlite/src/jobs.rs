//! Jobs, and the files that they work on.

use domain::OrgId;
use rusqlite::{Connection, Row, params};
use store::{ChunkRow, JobRow, Lease};
use uuid::Uuid;

use crate::{
    fault::Result,
    leases,
    row::{Columns, all, first, key},
    writer::Written,
};

fn read(row: &Row<'_>) -> Result<JobRow> {
    let mut columns = Columns::new(row, "jobs", "org, id, kind, subject, shard, state, body, revision, created_at, updated_at");
    Ok(JobRow {
        org: columns.id()?,
        id: columns.uuid()?,
        kind: columns.value()?,
        subject: columns.value::<Option<[u8; 16]>>()?.map(Uuid::from_bytes),
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
        concat!("SELECT org, id, kind, subject, shard, state, body, revision, created_at, updated_at FROM jobs ", $rest)
    };
}

/// One job.
pub(crate) fn one(db: &Connection, org: OrgId, id: Uuid) -> Result<Option<JobRow>> {
    let mut statement = db.prepare_cached(select!("WHERE org = ?1 AND id = ?2"))?;
    first(statement.query(params![key(org), id.as_bytes()])?, read)
}

/// Jobs of an organization and kind, newest first.
pub(crate) fn list(db: &Connection, org: OrgId, kind: i16, before: Option<Uuid>, limit: u32) -> Result<Vec<JobRow>> {
    let before = before.map_or([0xFF; 16], Uuid::into_bytes);
    let mut statement = db.prepare_cached(select!("WHERE org = ?1 AND kind = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4"))?;
    all(statement.query(params![key(org), kind, before, limit])?, read)
}

/// Jobs of a kind about something, newest first.
pub(crate) fn about(
    db: &Connection,
    org: OrgId,
    kind: i16,
    subject: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<JobRow>> {
    let before = before.map_or([0xFF; 16], Uuid::into_bytes);
    let mut statement =
        db.prepare_cached(select!("WHERE org = ?1 AND kind = ?2 AND subject = ?3 AND id < ?4 ORDER BY id DESC LIMIT ?5"))?;
    all(statement.query(params![key(org), kind, subject.as_bytes(), before, limit])?, read)
}

/// Running jobs of a kind in a shard, oldest first.
pub(crate) fn running(db: &Connection, kind: i16, shard: u16, limit: u32) -> Result<Vec<JobRow>> {
    let mut statement =
        db.prepare_cached(select!("WHERE state = 1 AND kind = ?1 AND shard = ?2 ORDER BY created_at LIMIT ?3"))?;
    all(statement.query(params![kind, shard, limit])?, read)
}

/// Inserts or replaces a job; false where somebody else was faster.
pub(crate) fn put(db: &Connection, row: &JobRow) -> Result<bool> {
    let mut insert = db.prepare_cached(
        "INSERT INTO jobs (org, id, kind, subject, shard, state, body, revision, created_at, updated_at)
         VALUES (?1, ?2, ?9, ?10, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
    )?;
    let mut update = db.prepare_cached(
        "UPDATE jobs SET shard = ?3, state = ?4, body = ?5, revision = ?6, created_at = ?7, updated_at = ?8, kind = ?9, subject = ?10
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
        row.updated_at.as_micros(),
        row.kind,
        row.subject.map(Uuid::into_bytes)
    ])?;
    Ok(written == 1)
}

/// Replaces a job, under a lease if one is shown, and keeps chunks with it.
pub(crate) fn save(db: &Connection, lease: Option<Lease>, row: &JobRow, chunks: &[ChunkRow]) -> Result<Written<bool>> {
    if let Some(lease) = lease {
        leases::check(db, lease)?;
    }
    if !put(db, row)? {
        return Ok(Written::Undone(false));
    }
    for chunk in chunks {
        put_chunk(db, chunk)?;
    }
    Ok(Written::Done(true))
}

/// Keeps a chunk.
pub(crate) fn put_chunk(db: &Connection, row: &ChunkRow) -> Result<Written<()>> {
    let mut put = db.prepare_cached(
        "INSERT INTO chunks (org, bundle, number, expires_at, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (org, bundle, number) DO UPDATE SET expires_at = ?4, body = ?5",
    )?;
    put.execute(params![key(row.org), row.bundle.as_bytes(), row.number, row.expires_at.as_micros(), row.body])?;
    Ok(Written::Done(()))
}

/// A chunk.
pub(crate) fn chunk(db: &Connection, org: OrgId, bundle: Uuid, number: u32) -> Result<Option<ChunkRow>> {
    let mut statement = db.prepare_cached(
        "SELECT org, bundle, number, expires_at, body FROM chunks WHERE org = ?1 AND bundle = ?2 AND number = ?3",
    )?;
    first(statement.query(params![key(org), bundle.as_bytes(), number])?, |row| {
        let mut columns = Columns::new(row, "chunks", "org, bundle, number, expires_at, body");
        Ok(ChunkRow {
            org: columns.id()?,
            bundle: columns.uuid()?,
            number: columns.value()?,
            expires_at: columns.time()?,
            body: columns.value()?,
        })
    })
}

/// Removes chunks of a bundle; the last ones leave no trace.
pub(crate) fn drop_chunks(db: &Connection, org: OrgId, bundle: Uuid, limit: u32) -> Result<Written<u32>> {
    let mut forget = db
        .prepare_cached("DELETE FROM chunks WHERE rowid IN (SELECT rowid FROM chunks WHERE org = ?1 AND bundle = ?2 LIMIT ?3)")?;
    let count = forget.execute(params![key(org), bundle.as_bytes(), limit])? as u32;
    Ok(match count {
        0 => Written::Nothing(0),
        some if some < limit => Written::Erased(some),
        all => Written::Done(all),
    })
}
