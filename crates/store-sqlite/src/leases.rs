//! Leases, and what is guarded by them.

use rusqlite::{Connection, params};
use store::{Lease, LeaseRow, Reader, StoreError};

use crate::{
    backend::SHARDS,
    fault::Result,
    row::{Columns, all, first},
    writer::Written,
};

/// Refuses writes under a lease that changed hands.
pub(crate) fn check(db: &Connection, lease: Lease) -> Result<()> {
    let mut statement = db.prepare_cached("SELECT 1 FROM leases WHERE shard = ?1 AND epoch = ?2")?;
    if statement.exists(params![lease.shard, lease.epoch])? {
        return Ok(());
    }
    Err(StoreError::LeaseLost { shard: lease.shard }.into())
}

/// All leases, by shard.
pub(crate) fn list(db: &Connection) -> Result<Vec<LeaseRow>> {
    let mut statement = db.prepare_cached("SELECT shard, epoch, owner, beat FROM leases ORDER BY shard")?;
    all(statement.query([])?, |row| {
        let mut columns = Columns::new(row, "leases", "shard, epoch, owner, beat");
        Ok(LeaseRow {
            lease: Lease { shard: columns.value()?, epoch: columns.value()? },
            owner: columns.value()?,
            beat: columns.value()?,
        })
    })
}

/// Takes a lease that is still as it was seen.
pub(crate) fn seize(db: &Connection, seen: Lease, owner: &str) -> Result<Written<Option<Lease>>> {
    let mut statement =
        db.prepare_cached("UPDATE leases SET epoch = epoch + 1, owner = ?3, beat = beat + 1 WHERE shard = ?1 AND epoch = ?2")?;
    let taken = statement.execute(params![seen.shard, seen.epoch, owner])? == 1;
    Ok(match taken {
        true => Written::Done(Some(Lease { epoch: seen.epoch + 1, ..seen })),
        false => Written::Nothing(None),
    })
}

/// Counts on for the leases of an owner.
pub(crate) fn beat(db: &Connection, owner: &str) -> Result<Written<Vec<Lease>>> {
    let mut statement = db.prepare_cached("UPDATE leases SET beat = beat + 1 WHERE owner = ?1 RETURNING shard, epoch")?;
    let mut held = all(statement.query([owner])?, |row| {
        let mut columns = Columns::new(row, "leases", "shard, epoch");
        Ok(Lease { shard: columns.value()?, epoch: columns.value()? })
    })?;
    held.sort_by_key(|lease| lease.shard);
    Ok(Written::Done(held))
}

/// Gives leases back.
pub(crate) fn release(db: &Connection, owner: &str) -> Result<Written<()>> {
    db.prepare_cached("UPDATE leases SET owner = '' WHERE owner = ?1")?.execute([owner])?;
    Ok(Written::Done(()))
}

/// Gives one lease back.
pub(crate) fn give_back(db: &Connection, lease: Lease) -> Result<Written<()>> {
    db.prepare_cached("UPDATE leases SET owner = '', epoch = epoch + 1 WHERE shard = ?1 AND epoch = ?2")?
        .execute(params![lease.shard, lease.epoch])?;
    Ok(Written::Done(()))
}

/// How far a reader has come, per shard.
pub(crate) fn watermarks(db: &Connection, reader: Reader) -> Result<Vec<u64>> {
    (0..SHARDS).map(|shard| watermark(db, reader, shard)).collect()
}

/// How far a reader has come in a shard.
pub(crate) fn watermark(db: &Connection, reader: Reader, shard: u16) -> Result<u64> {
    let mut statement = db.prepare_cached("SELECT seq FROM watermarks WHERE reader = ?1 AND shard = ?2")?;
    let stored =
        first(statement.query(params![reader.name(), shard])?, |row| Columns::new(row, "watermarks", "seq").value::<i64>())?;
    Ok(stored.unwrap_or(0) as u64)
}

/// Moves a reader.
pub(crate) fn set_watermark(db: &Connection, reader: Reader, shard: u16, to: u64) -> Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO watermarks (reader, shard, seq) VALUES (?1, ?2, ?3)
         ON CONFLICT (reader, shard) DO UPDATE SET seq = excluded.seq",
    )?;
    statement.execute(params![reader.name(), shard, to as i64])?;
    Ok(())
}

/// Moves a reader under a lease.
pub(crate) fn advance(db: &Connection, reader: Reader, lease: Lease, to: u64) -> Result<Written<()>> {
    check(db, lease)?;
    set_watermark(db, reader, lease.shard, to)?;
    Ok(Written::Done(()))
}
