//! The names of contacts: the line of those that have each.

use domain::{ContactId, OrgId};
use rusqlite::{Connection, params};
use store::{ContactKey, Hash};

use crate::{
    fault::Result,
    row::{Columns, all, first, key},
    writer::Written,
};

/// The first contact that has a name.
pub(crate) fn holder(db: &Connection, org: OrgId, hash: Hash) -> Result<Option<ContactId>> {
    let mut statement =
        db.prepare_cached("SELECT contact FROM contact_keys WHERE org = ?1 AND hash = ?2 ORDER BY place LIMIT 1")?;
    first(statement.query(params![key(org), hash])?, |row| Columns::new(row, "contact_keys", "contact").id())
}

/// Gives up a contact's names that are not among these; the hashes of those that it keeps.
pub(crate) fn keep(db: &Connection, org: OrgId, contact: ContactId, names: &[ContactKey]) -> Result<Vec<Hash>> {
    let mut own = db.prepare_cached("SELECT hash FROM contact_keys WHERE org = ?1 AND contact = ?2")?;
    let held = all(own.query(params![key(org), key(contact)])?, |row| Columns::new(row, "contact_keys", "hash").value::<Hash>())?;
    let mut release = db.prepare_cached("DELETE FROM contact_keys WHERE org = ?1 AND contact = ?2 AND hash = ?3")?;
    let (kept, given_up): (Vec<_>, Vec<_>) = held.into_iter().partition(|hash| names.iter().any(|name| name.hash == *hash));
    for hash in given_up {
        release.execute(params![key(org), key(contact), hash])?;
    }
    Ok(kept)
}

/// Puts a contact into the line of a name; false where it must be alone and is not, or its place is taken.
pub(crate) fn claim(db: &Connection, org: OrgId, contact: ContactId, name: &ContactKey) -> Result<bool> {
    let mut last =
        db.prepare_cached("SELECT place FROM contact_keys WHERE org = ?1 AND hash = ?2 ORDER BY place DESC LIMIT 1")?;
    let last: Option<i64> =
        first(last.query(params![key(org), name.hash])?, |row| Columns::new(row, "contact_keys", "place").value())?;
    if name.required && last.is_some() {
        return Ok(false);
    }
    let place = name.place.unwrap_or(last.map_or(0, |last| last + 1));
    let mut join = db.prepare_cached(
        "INSERT INTO contact_keys (org, hash, place, contact) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (org, hash, place) DO NOTHING",
    )?;
    Ok(join.execute(params![key(org), name.hash, place, key(contact)])? == 1)
}

/// Those that have a name, behind one of them.
pub(crate) fn line(db: &Connection, org: OrgId, hash: Hash, behind: Option<ContactId>, limit: u32) -> Result<Vec<ContactId>> {
    let mut statement = db.prepare_cached(
        "SELECT contact FROM contact_keys WHERE org = ?1 AND hash = ?2 AND place > coalesce(
             (SELECT place FROM contact_keys WHERE org = ?1 AND contact = ?3 AND hash = ?2), -1)
         ORDER BY place LIMIT ?4",
    )?;
    all(statement.query(params![key(org), hash, behind.map(key), limit])?, |row| {
        Columns::new(row, "contact_keys", "contact").id()
    })
}

/// The places of contacts that stand behind others.
pub(crate) fn places(db: &Connection, org: OrgId, contacts: &[ContactId]) -> Result<Vec<(ContactId, i64)>> {
    let mut statement = db.prepare_cached("SELECT place FROM contact_keys WHERE org = ?1 AND contact = ?2 AND place > 0")?;
    let mut found = Vec::new();
    for contact in contacts {
        let place =
            first(statement.query(params![key(org), key(*contact)])?, |row| Columns::new(row, "contact_keys", "place").value())?;
        found.extend(place.map(|place| (*contact, place)));
    }
    Ok(found)
}

/// Organizations whose contacts are still to be looked through.
pub(crate) fn unlined(db: &Connection) -> Result<Vec<OrgId>> {
    let mut statement = db.prepare_cached("SELECT org FROM unlined ORDER BY org")?;
    all(statement.query([])?, |row| Columns::new(row, "unlined", "org").id())
}

/// Notes that an organization's contacts were looked through.
pub(crate) fn lined(db: &Connection, org: OrgId) -> Result<Written<()>> {
    db.prepare_cached("DELETE FROM unlined WHERE org = ?1")?.execute([key(org)])?;
    Ok(Written::Done(()))
}
