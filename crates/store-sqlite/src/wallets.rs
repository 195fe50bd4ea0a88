//! Installations and pushes.

use domain::{OrgId, PassId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use store::{InstallationRow, PassRow, PushSettlement, Reader, StaleDevice, StalePlace};

use crate::{
    fault::Result,
    leases,
    load::{read_pass, select_passes},
    row::{Columns, all, first, key},
    writer::Written,
};

const COLUMNS: &str = "i.org, i.pass, i.wallet, i.device, i.shard, i.active, i.since, i.reason, i.first_installed_at, \
                       i.push_token, i.pushed_seq, i.push_due_at, i.push_tries, p.content_seq, p.project";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.org, i.pass, i.wallet, i.device, i.shard, i.active, i.since, i.reason, i.first_installed_at,
                    i.push_token, i.pushed_seq, i.push_due_at, i.push_tries",
            $rest
        )
    };
}

fn read(columns: &mut Columns<'_>) -> Result<InstallationRow> {
    Ok(InstallationRow {
        org: columns.id()?,
        pass: columns.id()?,
        wallet: columns.value()?,
        device: columns.value()?,
        shard: columns.value()?,
        active: columns.value()?,
        since: columns.time()?,
        reason: columns.value()?,
        first_installed_at: columns.time()?,
        push_token: columns.value()?,
        pushed_seq: columns.value()?,
        push_due_at: columns.time_option()?,
        push_tries: columns.value()?,
    })
}

fn read_row(row: &Row<'_>) -> Result<InstallationRow> {
    read(&mut Columns::new(row, "installations", COLUMNS))
}

fn read_stale(row: &Row<'_>) -> Result<StaleDevice> {
    let mut columns = Columns::new(row, "installations", COLUMNS);
    Ok(StaleDevice { installation: read(&mut columns)?, content_seq: columns.value()?, project: columns.id()? })
}

/// One installation.
pub(crate) fn one(db: &Connection, org: OrgId, pass: PassId, wallet: i16, device: &str) -> Result<Option<InstallationRow>> {
    let mut statement =
        db.prepare_cached(select!(" FROM installations i WHERE i.org = ?1 AND i.pass = ?2 AND i.wallet = ?3 AND i.device = ?4"))?;
    first(statement.query(params![key(org), key(pass), wallet, device])?, read_row)
}

/// Installations of a pass after one.
pub(crate) fn of_pass(
    db: &Connection,
    org: OrgId,
    pass: PassId,
    after: Option<(i16, String)>,
    limit: u32,
) -> Result<Vec<InstallationRow>> {
    let mut statement = db.prepare_cached(select!(
        " FROM installations i WHERE i.org = ?1 AND i.pass = ?2 AND (i.wallet, i.device) > (?3, ?4)
         ORDER BY i.wallet, i.device LIMIT ?5"
    ))?;
    let (wallet, device) = after.unwrap_or_default();
    all(statement.query(params![key(org), key(pass), wallet, device, limit])?, read_row)
}

/// Passes that a device holds.
pub(crate) fn on_device(db: &Connection, org: OrgId, device: &str) -> Result<Vec<PassRow>> {
    let mut statement = db.prepare_cached(select_passes!(
        "WHERE p.org = ?1 AND p.id IN
             (SELECT pass FROM installations INDEXED BY installations_device
              WHERE org = ?1 AND device = ?2 AND wallet = 1 AND active = 1)"
    ))?;
    all(statement.query(params![key(org), device])?, read_pass)
}

/// Devices behind the next passes whose content changed, and how far was looked.
pub(crate) fn stale(db: &Connection, shard: u16, after: &StalePlace, limit: u32) -> Result<(StalePlace, Vec<StaleDevice>)> {
    let mut last = db.prepare_cached(
        "SELECT max(content_seq) FROM
             (SELECT content_seq FROM passes WHERE shard = ?1 AND content_seq > ?2 ORDER BY content_seq LIMIT ?3)",
    )?;
    let seq = i64::try_from(after.seq).unwrap_or(i64::MAX);
    let to =
        first(last.query(params![shard, seq, limit])?, |row| Columns::new(row, "passes", "content_seq").value::<Option<i64>>())?;
    let Some(to) = to.flatten() else { return Ok((StalePlace::after(after.seq), Vec::new())) };
    let from = after.from();
    // In the order of rows, which the index has already.
    let mut place = db.prepare_cached("SELECT rowid FROM passes WHERE org = ?1 AND id = ?2")?;
    let place: Option<i64> = place.query_row(params![key(from.org), key(from.pass)], |row| row.get(0)).optional()?;
    let mut statement = db.prepare_cached(select!(
        ", p.content_seq, p.project
         FROM passes p INDEXED BY passes_content CROSS JOIN installations i ON i.org = p.org AND i.pass = p.id AND i.wallet = 1
             AND i.device > CASE WHEN (p.content_seq, p.rowid) = (?2, ?4) THEN ?5 ELSE '' END
         WHERE p.shard = ?1 AND p.content_seq >= ?2 AND p.content_seq <= ?3 AND (p.content_seq, p.rowid) >= (?2, ?4)
             AND i.active = 1 AND i.pushed_seq < p.content_seq
         ORDER BY p.content_seq, p.rowid, i.device LIMIT ?6"
    ))?;
    let bound = params![shard, from.content_seq, to, place.unwrap_or(0), from.device, limit];
    let found = all(statement.query(bound)?, read_stale)?;
    Ok((after.next(to as u64, &found, limit), found))
}

/// Devices whose push is to be tried again.
pub(crate) fn due(db: &Connection, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<StaleDevice>> {
    let mut statement = db.prepare_cached(select!(
        ", p.content_seq, p.project
         FROM installations i INDEXED BY installations_push CROSS JOIN passes p ON p.org = i.org AND p.id = i.pass
         WHERE i.shard = ?1 AND i.push_due_at IS NOT NULL AND i.push_due_at <= ?2 AND i.active = 1 AND i.wallet = 1
         ORDER BY i.push_due_at LIMIT ?3"
    ))?;
    all(statement.query(params![shard, now.as_micros(), limit])?, read_stale)
}

/// Active installations of the next devices after one.
pub(crate) fn devices(db: &Connection, org: OrgId, after: &str, limit: u32) -> Result<Vec<StaleDevice>> {
    let mut statement = db.prepare_cached(select!(
        ", p.content_seq, p.project
         FROM (SELECT DISTINCT device FROM installations INDEXED BY installations_device
               WHERE org = ?1 AND device > ?2 AND wallet = 1 AND active = 1 ORDER BY device LIMIT ?3) d
         CROSS JOIN installations i INDEXED BY installations_device
             ON i.org = ?1 AND i.device = d.device AND i.wallet = 1 AND i.active = 1
         CROSS JOIN passes p ON p.org = i.org AND p.id = i.pass
         ORDER BY i.device, i.pass"
    ))?;
    all(statement.query(params![key(org), after, limit])?, read_stale)
}

/// How many devices there are.
pub(crate) fn device_count(db: &Connection, org: OrgId) -> Result<u64> {
    let mut statement = db.prepare_cached(
        "SELECT count(*) FROM (SELECT DISTINCT device FROM installations INDEXED BY installations_device
                               WHERE org = ?1 AND wallet = 1 AND active = 1)",
    )?;
    let count: i64 = statement.query_row([key(org)], |row| row.get(0))?;
    Ok(count as u64)
}

/// Owes a push.
pub(crate) fn owe_push(db: &Connection, org: OrgId, pass: PassId, device: &str, at: Timestamp) -> Result<Written<()>> {
    let mut statement = db.prepare_cached(
        "UPDATE installations SET pushed_seq = -1, push_due_at = ?4
         WHERE org = ?1 AND pass = ?2 AND wallet = 1 AND device = ?3 AND active = 1",
    )?;
    statement.execute(params![key(org), key(pass), device, at.as_micros()])?;
    Ok(Written::Done(()))
}

/// Since when a device holds its passes.
pub(crate) fn since(db: &Connection, org: OrgId, device: &str) -> Result<Vec<(PassId, Timestamp)>> {
    let mut statement = db.prepare_cached(
        "SELECT pass, since FROM installations INDEXED BY installations_device
         WHERE org = ?1 AND device = ?2 AND wallet = 1 AND active = 1",
    )?;
    all(statement.query(params![key(org), device])?, |row| {
        let mut columns = Columns::new(row, "installations", "pass, since");
        Ok((columns.id()?, columns.time()?))
    })
}

/// Writes outcomes of pushes under the lease.
pub(crate) fn settle(db: &Connection, settlement: &PushSettlement) -> Result<Written<()>> {
    leases::check(db, settlement.lease)?;
    let mut statement = db.prepare_cached(
        "UPDATE installations SET pushed_seq = coalesce(?4, pushed_seq), push_due_at = ?5,
             push_tries = CASE WHEN ?5 IS NULL THEN 0 ELSE push_tries + 1 END
         WHERE org = ?1 AND pass = ?2 AND wallet = 1 AND device = ?3",
    )?;
    for push in &settlement.pushes {
        let retry_at = push.retry_at.map(Timestamp::as_micros);
        statement.execute(params![key(push.org), key(push.pass), push.device, push.pushed_seq, retry_at])?;
    }
    if let Some(watermark) = settlement.watermark {
        leases::set_watermark(db, Reader::WalletSync, settlement.lease.shard, watermark)?;
    }
    Ok(Written::Done(()))
}
