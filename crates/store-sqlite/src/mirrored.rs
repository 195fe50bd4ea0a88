//! Passes that the rows of syncs were about.

use domain::{BatchId, OrgId, PassId, SyncId};
use rusqlite::{Connection, params};

use crate::{
    fault::Result,
    row::{Columns, all, first, key},
    writer::Written,
};

/// Notes that a run has rows about passes.
pub(crate) fn note(db: &Connection, org: OrgId, sync: SyncId, run: BatchId, passes: &[PassId]) -> Result<Written<()>> {
    let mut statement = db.prepare_cached(
        "INSERT INTO mirrored (org, sync, pass, run) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (org, sync, pass) DO UPDATE SET run = excluded.run",
    )?;
    for pass in passes {
        statement.execute(params![key(org), key(sync), key(*pass), key(run)])?;
    }
    Ok(Written::Done(()))
}

/// How many passes are noted, and how many of them a run has no row about.
pub(crate) fn count(db: &Connection, org: OrgId, sync: SyncId, run: BatchId) -> Result<(u64, u64)> {
    let mut statement =
        db.prepare_cached("SELECT count(*), count(*) FILTER (WHERE run <> ?3) FROM mirrored WHERE org = ?1 AND sync = ?2")?;
    let counts = first(statement.query(params![key(org), key(sync), key(run)])?, |row| {
        let mut columns = Columns::new(row, "mirrored", "count, count");
        Ok((columns.value::<i64>()?, columns.value::<i64>()?))
    })?;
    let (all, left) = counts.unwrap_or_default();
    Ok((u64::try_from(all).unwrap_or(0), u64::try_from(left).unwrap_or(0)))
}

/// The next passes that a run has no row about.
pub(crate) fn left_behind(
    db: &Connection,
    org: OrgId,
    sync: SyncId,
    run: BatchId,
    after: Option<PassId>,
    limit: u32,
) -> Result<Vec<PassId>> {
    let mut statement = db.prepare_cached(
        "SELECT pass FROM mirrored WHERE org = ?1 AND sync = ?2 AND run <> ?3 AND pass > ?4 ORDER BY pass LIMIT ?5",
    )?;
    let after = after.map_or([0; 16], key);
    all(statement.query(params![key(org), key(sync), key(run), after, limit])?, |row| Columns::new(row, "mirrored", "pass").id())
}

/// Forgets passes.
pub(crate) fn forget(db: &Connection, org: OrgId, sync: SyncId, passes: &[PassId]) -> Result<Written<()>> {
    let mut statement = db.prepare_cached("DELETE FROM mirrored WHERE org = ?1 AND sync = ?2 AND pass = ?3")?;
    for pass in passes {
        statement.execute(params![key(org), key(sync), key(*pass)])?;
    }
    Ok(Written::Done(()))
}
