//! What destinations were last told of contacts.

use domain::{ContactId, OrgId, TargetId};
use rusqlite::{Connection, params};
use store::Hash;

use crate::{
    fault::Result,
    row::{Columns, first, key},
    writer::Written,
};

/// Of these contacts, what was told.
pub(crate) fn read(db: &Connection, org: OrgId, target: TargetId, contacts: &[ContactId]) -> Result<Vec<(ContactId, Hash)>> {
    let mut statement = db.prepare_cached("SELECT hash FROM synced WHERE org = ?1 AND target = ?2 AND contact = ?3")?;
    let mut found = Vec::new();
    for contact in contacts {
        let hash = first(statement.query(params![key(org), key(target), key(*contact)])?, |row| {
            Columns::new(row, "synced", "hash").value::<Hash>()
        })?;
        found.extend(hash.map(|hash| (*contact, hash)));
    }
    Ok(found)
}

/// Notes what was told, or that it is not known any more.
pub(crate) fn note(db: &Connection, org: OrgId, target: TargetId, told: &[(ContactId, Option<Hash>)]) -> Result<Written<()>> {
    let mut put = db.prepare_cached(
        "INSERT INTO synced (org, target, contact, hash) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (org, target, contact) DO UPDATE SET hash = excluded.hash",
    )?;
    let mut forget = db.prepare_cached("DELETE FROM synced WHERE org = ?1 AND target = ?2 AND contact = ?3")?;
    for (contact, hash) in told {
        match hash {
            Some(hash) => put.execute(params![key(org), key(target), key(*contact), hash])?,
            None => forget.execute(params![key(org), key(target), key(*contact)])?,
        };
    }
    Ok(Written::Done(()))
}

/// Notes which contacts are found under which record.
pub(crate) fn note_records(db: &Connection, org: OrgId, target: TargetId, found: &[(Hash, ContactId)]) -> Result<Written<()>> {
    let mut put =
        db.prepare_cached("INSERT OR IGNORE INTO record_contacts (org, target, record, contact) VALUES (?1, ?2, ?3, ?4)")?;
    for (record, contact) in found {
        put.execute(params![key(org), key(target), record, key(*contact)])?;
    }
    Ok(Written::Done(()))
}

/// The contacts that are noted of records.
pub(crate) fn records(
    db: &Connection,
    org: OrgId,
    target: TargetId,
    records: &[Hash],
    each: u32,
) -> Result<Vec<(Hash, ContactId)>> {
    let mut statement = db.prepare_cached(
        "SELECT contact FROM record_contacts WHERE org = ?1 AND target = ?2 AND record = ?3 ORDER BY contact LIMIT ?4",
    )?;
    let mut found = Vec::new();
    for record in records {
        let mut rows = statement.query(params![key(org), key(target), record, each])?;
        while let Some(row) = rows.next()? {
            found.push((*record, Columns::new(row, "record_contacts", "contact").id()?));
        }
    }
    Ok(found)
}

/// The next destination that something is noted of.
pub(crate) fn next(db: &Connection, after: Option<(OrgId, TargetId)>) -> Result<Option<(OrgId, TargetId)>> {
    let (org, target) = after.map_or(([0; 16], [0; 16]), |(org, target)| (key(org), key(target)));
    let mut statement = db.prepare_cached(
        "SELECT org, target FROM (
             SELECT * FROM (SELECT org, target FROM synced WHERE (org, target) > (?1, ?2) ORDER BY org, target LIMIT 1)
             UNION ALL
             SELECT * FROM (SELECT org, target FROM record_contacts WHERE (org, target) > (?1, ?2) ORDER BY org, target LIMIT 1)
         ) ORDER BY org, target LIMIT 1",
    )?;
    first(statement.query(params![org, target])?, |row| {
        let mut columns = Columns::new(row, "synced", "org, target");
        Ok((columns.id()?, columns.id()?))
    })
}

/// Removes some of what is noted of a destination.
pub(crate) fn drop_some(db: &Connection, org: OrgId, target: TargetId, limit: u32) -> Result<Written<u32>> {
    let mut told = db.prepare_cached(
        "DELETE FROM synced WHERE org = ?1 AND target = ?2 AND contact IN
         (SELECT contact FROM synced WHERE org = ?1 AND target = ?2 LIMIT ?3)",
    )?;
    let mut records = db.prepare_cached(
        "DELETE FROM record_contacts WHERE org = ?1 AND target = ?2 AND (record, contact) IN
         (SELECT record, contact FROM record_contacts WHERE org = ?1 AND target = ?2 LIMIT ?3)",
    )?;
    let place = params![key(org), key(target), limit];
    let gone = told.execute(place)?.max(records.execute(place)?);
    Ok(Written::Done(u32::try_from(gone).unwrap_or(u32::MAX)))
}
