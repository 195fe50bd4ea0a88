//! Jobs, and the files that they work on.

use deadpool_postgres::Pool;
use domain::OrgId;
use store::{ChunkRow, JobRow, Lease, StoreError};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{
    convert::{Columns, to_shard},
    error::{Attempt, Failed},
    pool::{Transaction, execute, query},
};

macro_rules! columns {
    () => {
        "org, id, kind, subject, shard, state, body, revision, created_at, updated_at"
    };
}

fn read(row: &Row) -> Attempt<JobRow> {
    let mut columns = Columns::of(row);
    Ok(JobRow {
        org: columns.id()?,
        id: columns.take()?,
        kind: columns.take()?,
        subject: columns.take()?,
        shard: columns.shard()?,
        state: columns.take()?,
        body: columns.take()?,
        revision: columns.take()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    })
}

pub(crate) async fn one(pool: &Pool, org: OrgId, id: Uuid) -> Attempt<Option<JobRow>> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM jobs WHERE org = $1 AND id = $2");
    query(pool, SQL, &[&org.uuid(), &id]).await?.first().map(read).transpose()
}

pub(crate) async fn list(pool: &Pool, org: OrgId, kind: i16, before: Option<Uuid>, limit: u32) -> Attempt<Vec<JobRow>> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM jobs WHERE org = $1 AND kind = $2 AND id < $3 ORDER BY id DESC LIMIT $4");
    let values: [&(dyn ToSql + Sync); 4] = [&org.uuid(), &kind, &before.unwrap_or(Uuid::max()), &i64::from(limit)];
    query(pool, SQL, &values).await?.iter().map(read).collect()
}

/// Jobs of a kind about something, newest first.
pub(crate) async fn about(
    pool: &Pool,
    org: OrgId,
    kind: i16,
    subject: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Attempt<Vec<JobRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM jobs WHERE org = $1 AND kind = $2 AND subject = $3 AND id < $4 ORDER BY id DESC LIMIT $5"
    );
    let before = before.unwrap_or(Uuid::max());
    query(pool, SQL, &[&org.uuid(), &kind, &subject, &before, &i64::from(limit)]).await?.iter().map(read).collect()
}

pub(crate) async fn running(pool: &Pool, kind: i16, shard: u16, limit: u32) -> Attempt<Vec<JobRow>> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM jobs WHERE kind = $1 AND shard = $2 AND state = 1 ORDER BY created_at LIMIT $3");
    query(pool, SQL, &[&kind, &to_shard(shard), &i64::from(limit)]).await?.iter().map(read).collect()
}

/// Inserts or replaces jobs with a change of configuration.
pub(crate) async fn write(open: &Transaction, rows: &[JobRow]) -> Attempt<()> {
    const INSERT: &str =
        concat!("INSERT INTO jobs (", columns!(), ") VALUES ($1, $2, $9, $10, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING");
    const REPLACE: &str = "UPDATE jobs SET shard = $3, state = $4, body = $5, revision = $6::bigint, created_at = $7, \
        updated_at = $8, kind = $9, subject = $10 WHERE org = $1 AND id = $2 AND revision = $6::bigint - 1";
    for row in rows {
        let statement = open.prepare(if row.revision == 1 { INSERT } else { REPLACE }).await?;
        let (org, shard) = (row.org.uuid(), to_shard(row.shard));
        let times = (row.created_at.as_micros(), row.updated_at.as_micros());
        let values: [&(dyn ToSql + Sync); 10] =
            [&org, &row.id, &shard, &row.state, &row.body, &row.revision, &times.0, &times.1, &row.kind, &row.subject];
        if open.execute(&statement, &values).await? == 0 {
            return Err(Failed::Conflict);
        }
    }
    Ok(())
}

pub(crate) async fn save(pool: &Pool, lease: Option<Lease>, row: &JobRow, chunks: &[ChunkRow]) -> Attempt<bool> {
    const SQL: &str = "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $7 AND epoch = $8 FOR KEY SHARE),
        saved AS (UPDATE jobs SET state = $3, body = $4, revision = $5::bigint, updated_at = $6
            WHERE org = $1 AND id = $2 AND revision = $5::bigint - 1 AND ($7::smallint IS NULL OR EXISTS (SELECT 1 FROM fence))
            RETURNING 1),
        kept AS (INSERT INTO chunks (org, bundle, number, expires_at, body)
            SELECT $1, c.bundle, c.number, c.expires_at, c.body
            FROM unnest($9::uuid[], $10::integer[], $11::bigint[], $12::bytea[]) AS c (bundle, number, expires_at, body)
            WHERE EXISTS (SELECT 1 FROM saved)
            ON CONFLICT (org, bundle, number) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body)
        SELECT (SELECT count(*) FROM fence), (SELECT count(*) FROM saved)";
    let (shard, epoch) = (lease.map(|lease| to_shard(lease.shard)), lease.map(|lease| lease.epoch));
    let (org, at) = (row.org.uuid(), row.updated_at.as_micros());
    let bundles: Vec<Uuid> = chunks.iter().map(|chunk| chunk.bundle).collect();
    let numbers: Vec<i32> = chunks.iter().map(|chunk| to_number(chunk.number)).collect();
    let expiries: Vec<i64> = chunks.iter().map(|chunk| chunk.expires_at.as_micros()).collect();
    let bodies: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.body.as_slice()).collect();
    let values: [&(dyn ToSql + Sync); 12] =
        [&org, &row.id, &row.state, &row.body, &row.revision, &at, &shard, &epoch, &bundles, &numbers, &expiries, &bodies];
    let answer = query(pool, SQL, &values).await?;
    let Some(counts) = answer.first() else { return Ok(false) };
    let (held, saved): (i64, i64) = (counts.try_get(0)?, counts.try_get(1)?);
    match lease {
        Some(lease) if held == 0 => Err(StoreError::LeaseLost { shard: lease.shard }.into()),
        _ => Ok(saved == 1),
    }
}

fn to_number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(crate) async fn put_chunk(pool: &Pool, row: &ChunkRow) -> Attempt<()> {
    const SQL: &str = "INSERT INTO chunks (org, bundle, number, expires_at, body) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (org, bundle, number) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body";
    let values: [&(dyn ToSql + Sync); 5] =
        [&row.org.uuid(), &row.bundle, &to_number(row.number), &row.expires_at.as_micros(), &row.body];
    execute(pool, SQL, &values).await.map(drop)
}

pub(crate) async fn chunk(pool: &Pool, org: OrgId, bundle: Uuid, number: u32) -> Attempt<Option<ChunkRow>> {
    const SQL: &str = "SELECT expires_at, body FROM chunks WHERE org = $1 AND bundle = $2 AND number = $3";
    let rows = query(pool, SQL, &[&org.uuid(), &bundle, &to_number(number)]).await?;
    let read = |row: &Row| {
        let mut columns = Columns::of(row);
        Ok(ChunkRow { org, bundle, number, expires_at: columns.time()?, body: columns.take()? })
    };
    rows.first().map(read).transpose()
}

pub(crate) async fn drop_chunks(pool: &Pool, org: OrgId, bundle: Uuid, limit: u32) -> Attempt<u32> {
    const SQL: &str = "DELETE FROM chunks WHERE ctid = ANY (ARRAY(SELECT ctid FROM chunks
        WHERE org = $1 AND bundle = $2 LIMIT $3))";
    let gone = execute(pool, SQL, &[&org.uuid(), &bundle, &i64::from(limit)]).await?;
    Ok(u32::try_from(gone).unwrap_or(u32::MAX))
}
