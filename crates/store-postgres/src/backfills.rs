//! Backfills.

use deadpool_postgres::Pool;
use domain::OrgId;
use store::{BackfillRow, Lease, StoreError};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{
    convert::{Columns, to_shard},
    error::Attempt,
    pool::query,
};

macro_rules! columns {
    () => {
        "org, id, shard, state, body, revision, created_at, updated_at"
    };
}

fn read(row: &Row) -> Attempt<BackfillRow> {
    let mut columns = Columns::of(row);
    Ok(BackfillRow {
        org: columns.id()?,
        id: columns.take()?,
        shard: columns.shard()?,
        state: columns.take()?,
        body: columns.take()?,
        revision: columns.take()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    })
}

pub(crate) async fn one(pool: &Pool, org: OrgId, id: Uuid) -> Attempt<Option<BackfillRow>> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM backfills WHERE org = $1 AND id = $2");
    query(pool, SQL, &[&org.uuid(), &id]).await?.first().map(read).transpose()
}

pub(crate) async fn list(pool: &Pool, org: OrgId, before: Option<Uuid>, limit: u32) -> Attempt<Vec<BackfillRow>> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM backfills WHERE org = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    query(pool, SQL, &[&org.uuid(), &before.unwrap_or(Uuid::max()), &i64::from(limit)]).await?.iter().map(read).collect()
}

pub(crate) async fn running(pool: &Pool, shard: u16, limit: u32) -> Attempt<Vec<BackfillRow>> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM backfills WHERE shard = $1 AND state = 1 ORDER BY created_at LIMIT $2");
    query(pool, SQL, &[&to_shard(shard), &i64::from(limit)]).await?.iter().map(read).collect()
}

/// Inserts a new one, or replaces one under a lease if one is shown.
pub(crate) async fn save(pool: &Pool, lease: Option<Lease>, row: &BackfillRow) -> Attempt<bool> {
    const INSERT: &str = concat!(
        "INSERT INTO backfills (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (org, id) DO NOTHING RETURNING 1"
    );
    if row.revision == 1 {
        let (org, shard) = (row.org.uuid(), to_shard(row.shard));
        let times = (row.created_at.as_micros(), row.updated_at.as_micros());
        let values: [&(dyn ToSql + Sync); 8] = [&org, &row.id, &shard, &row.state, &row.body, &row.revision, &times.0, &times.1];
        return Ok(!query(pool, INSERT, &values).await?.is_empty());
    }
    const SQL: &str = "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $7 AND epoch = $8 FOR KEY SHARE),
        saved AS (UPDATE backfills SET state = $3, body = $4, revision = $5::bigint, updated_at = $6
            WHERE org = $1 AND id = $2 AND revision = $5::bigint - 1 AND ($7::smallint IS NULL OR EXISTS (SELECT 1 FROM fence))
            RETURNING 1)
        SELECT (SELECT count(*) FROM fence), (SELECT count(*) FROM saved)";
    let (shard, epoch) = (lease.map(|lease| to_shard(lease.shard)), lease.map(|lease| lease.epoch));
    let (org, at) = (row.org.uuid(), row.updated_at.as_micros());
    let values: [&(dyn ToSql + Sync); 8] = [&org, &row.id, &row.state, &row.body, &row.revision, &at, &shard, &epoch];
    let answer = query(pool, SQL, &values).await?;
    let Some(counts) = answer.first() else { return Ok(false) };
    let (held, saved): (i64, i64) = (counts.try_get(0)?, counts.try_get(1)?);
    match lease {
        Some(lease) if held == 0 => Err(StoreError::LeaseLost { shard: lease.shard }.into()),
        _ => Ok(saved == 1),
    }
}
