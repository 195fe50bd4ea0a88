//! Passes that the rows of syncs were about.

use deadpool_postgres::Pool;
use domain::{BatchId, OrgId, PassId, SyncId};
use uuid::Uuid;

use crate::{
    convert::Columns,
    error::Attempt,
    pool::{execute, query},
};

fn uuids(passes: &[PassId]) -> Vec<Uuid> {
    passes.iter().map(|pass| pass.uuid()).collect()
}

/// Notes that a run has rows about passes; each pass may stand more than once.
pub(crate) async fn note(pool: &Pool, org: OrgId, sync: SyncId, run: BatchId, passes: &[PassId]) -> Attempt<()> {
    const SQL: &str = "INSERT INTO mirrored (org, sync, pass, run) SELECT DISTINCT $1::uuid, $2::uuid, t.pass, $3::uuid \
        FROM unnest($4::uuid[]) AS t(pass) ORDER BY 3 ON CONFLICT (org, sync, pass) DO UPDATE SET run = excluded.run";
    execute(pool, SQL, &[&org.uuid(), &sync.uuid(), &run.uuid(), &uuids(passes)]).await?;
    Ok(())
}

/// How many passes are noted, and how many of them a run has no row about.
pub(crate) async fn count(pool: &Pool, org: OrgId, sync: SyncId, run: BatchId) -> Attempt<(u64, u64)> {
    const SQL: &str = "SELECT count(*), count(*) FILTER (WHERE run <> $3) FROM mirrored WHERE org = $1 AND sync = $2";
    let rows = query(pool, SQL, &[&org.uuid(), &sync.uuid(), &run.uuid()]).await?;
    let Some(row) = rows.first() else { return Ok((0, 0)) };
    let (all, left): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok((u64::try_from(all).unwrap_or(0), u64::try_from(left).unwrap_or(0)))
}

/// The next passes that a run has no row about.
pub(crate) async fn left_behind(
    pool: &Pool,
    org: OrgId,
    sync: SyncId,
    run: BatchId,
    after: Option<PassId>,
    limit: u32,
) -> Attempt<Vec<PassId>> {
    const SQL: &str = "SELECT pass FROM mirrored WHERE org = $1 AND sync = $2 AND run <> $3 AND pass > $4 ORDER BY pass LIMIT $5";
    let after = after.map_or(Uuid::nil(), |pass| pass.uuid());
    let rows = query(pool, SQL, &[&org.uuid(), &sync.uuid(), &run.uuid(), &after, &i64::from(limit)]).await?;
    rows.iter().map(|row| Columns::of(row).id()).collect()
}

/// Forgets passes.
pub(crate) async fn forget(pool: &Pool, org: OrgId, sync: SyncId, passes: &[PassId]) -> Attempt<()> {
    const SQL: &str = "DELETE FROM mirrored WHERE org = $1 AND sync = $2 AND pass = ANY ($3)";
    execute(pool, SQL, &[&org.uuid(), &sync.uuid(), &uuids(passes)]).await?;
    Ok(())
}
