//! Leases and watermarks.
//!
//! A fenced write holds the lease's row `FOR KEY SHARE`: a beat passes beside that, a seizure, which asks `FOR UPDATE`,
//! waits for its commit. So either the write is committed before the lease changes hands, or it finds it changed.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;
use store::{Lease, LeaseRow, Reader, StoreError};
use tokio_postgres::Row;

use crate::{
    convert::{Columns, to_seq, to_shard},
    error::Attempt,
    log::by_shard,
    pool::query,
};

/// Judges the answer of a fenced statement, whose first column counts the leases that it held.
pub(crate) fn held(answer: &[Row], lease: Lease) -> Attempt<()> {
    let count: i64 = answer.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    if count == 0 { Err(StoreError::LeaseLost { shard: lease.shard }.into()) } else { Ok(()) }
}

/// The leases that one statement writes under: one per shard, the last that was taken. An earlier one is lost for sure.
#[derive(Debug)]
pub(crate) struct Fence(BTreeMap<u16, i64>);

impl Fence {
    pub(crate) fn of(leases: impl Iterator<Item = Lease>) -> Self {
        let mut newest = BTreeMap::new();
        for lease in leases {
            let epoch = newest.entry(lease.shard).or_insert(lease.epoch);
            *epoch = lease.epoch.max(*epoch);
        }
        Self(newest)
    }
    pub(crate) fn has(&self, lease: Lease) -> bool {
        self.0.get(&lease.shard) == Some(&lease.epoch)
    }
    pub(crate) fn shards(&self) -> Vec<i16> {
        self.0.keys().map(|shard| to_shard(*shard)).collect()
    }
    pub(crate) fn epochs(&self) -> Vec<i64> {
        self.0.values().copied().collect()
    }
    /// Which of some leases the statement held, by the shards that it answered with.
    pub(crate) fn held(&self, answer: &[Row], leases: impl Iterator<Item = Lease>) -> Attempt<Vec<bool>> {
        let held: Vec<u16> = answer.iter().map(|row| Columns::of(row).shard()).collect::<Attempt<_>>()?;
        Ok(leases.map(|lease| self.has(lease) && held.contains(&lease.shard)).collect())
    }
}

pub(crate) async fn watermarks(pool: &Pool, reader: Reader) -> Attempt<Vec<u64>> {
    by_shard(&query(pool, "SELECT shard, seq FROM watermarks WHERE reader = $1", &[&reader.name()]).await?)
}

pub(crate) async fn advance(pool: &Pool, reader: Reader, lease: Lease, to: u64) -> Attempt<()> {
    const SQL: &str = "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $1 AND epoch = $2 FOR KEY SHARE),
        moved AS (INSERT INTO watermarks (reader, shard, seq) SELECT $3, shard, $4 FROM fence
            ON CONFLICT (reader, shard) DO UPDATE SET seq = excluded.seq)
        SELECT count(*) FROM fence";
    let answer = query(pool, SQL, &[&to_shard(lease.shard), &lease.epoch, &reader.name(), &to_seq(to)]).await?;
    held(&answer, lease)
}

fn lease(row: &Row) -> Attempt<Lease> {
    let mut columns = Columns::of(row);
    Ok(Lease { shard: columns.shard()?, epoch: columns.take()? })
}

pub(crate) async fn all(pool: &Pool) -> Attempt<Vec<LeaseRow>> {
    let rows = query(pool, "SELECT shard, epoch, owner, beat FROM leases ORDER BY shard", &[]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok(LeaseRow {
                lease: Lease { shard: columns.shard()?, epoch: columns.take()? },
                owner: columns.take()?,
                beat: columns.take()?,
            })
        })
        .collect()
}

pub(crate) async fn seize(pool: &Pool, seen: Lease, owner: &str) -> Attempt<Option<Lease>> {
    const SQL: &str = "WITH seen AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $1 AND epoch = $2 FOR UPDATE)
        UPDATE leases SET epoch = leases.epoch + 1, beat = leases.beat + 1, owner = $3
        FROM seen WHERE leases.shard = seen.shard AND leases.epoch = $2 RETURNING leases.shard, leases.epoch";
    let rows = query(pool, SQL, &[&to_shard(seen.shard), &seen.epoch, &owner]).await?;
    rows.first().map(lease).transpose()
}

pub(crate) async fn beat(pool: &Pool, owner: &str) -> Attempt<Vec<Lease>> {
    // All rows are locked in their order by whoever beats or releases.
    const SQL: &str = "WITH own AS MATERIALIZED (SELECT shard FROM leases WHERE owner = $1 ORDER BY shard FOR NO KEY UPDATE)
        UPDATE leases SET beat = leases.beat + 1 FROM own WHERE leases.shard = own.shard AND leases.owner = $1
        RETURNING leases.shard, leases.epoch";
    let rows = query(pool, SQL, &[&owner]).await?;
    let mut leases: Vec<Lease> = rows.iter().map(lease).collect::<Attempt<_>>()?;
    leases.sort_by_key(|lease| lease.shard);
    Ok(leases)
}

pub(crate) async fn give_back(pool: &Pool, lease: Lease) -> Attempt<()> {
    const SQL: &str = "UPDATE leases SET owner = '', epoch = epoch + 1 WHERE shard = $1 AND epoch = $2";
    query(pool, SQL, &[&to_shard(lease.shard), &lease.epoch]).await.map(drop)
}

/// The epoch rises as well: what the former owner still has under way must not be written any more.
pub(crate) async fn release(pool: &Pool, owner: &str) -> Attempt<()> {
    const SQL: &str = "WITH own AS MATERIALIZED (SELECT shard FROM leases WHERE owner = $1 ORDER BY shard FOR UPDATE)
        UPDATE leases SET owner = '', epoch = leases.epoch + 1 FROM own
        WHERE leases.shard = own.shard AND leases.owner = $1";
    query(pool, SQL, &[&owner]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lease_of_a_shard_is_written_under() {
        let lease = |shard, epoch| Lease { shard, epoch };
        let fence = Fence::of([lease(3, 7), lease(1, 2), lease(3, 8), lease(3, 6)].into_iter());
        assert_eq!((fence.shards(), fence.epochs()), (vec![1, 3], vec![2, 8]));
        assert!(fence.has(lease(3, 8)) && !fence.has(lease(3, 7)) && !fence.has(lease(2, 8)));
    }
}
