//! The names of contacts: the line of those that have each.

use domain::{ContactId, OrgId};
use rusqlite::{Connection, params};
use store::{ContactKey, Hash};

use crate::{
    fault::Result,
    keys::{Keys, Kind},
    row::{Columns, all, first, key},
    writer::Written,
};

/// The first contact that has a name.
pub(crate) fn holder(db: &Connection, keys: &Keys, org: OrgId, hash: Hash) -> Result<Option<ContactId>> {
    let leader = leader(db, keys, org, hash)?;
    if leader.is_some() {
        return Ok(leader);
    }
    let mut behind = db.prepare_cached(
        "SELECT contact FROM contact_keys INDEXED BY contact_keys_behind WHERE org = ?1 AND hash = ?2 AND place <> 0
         ORDER BY place LIMIT 1",
    )?;
    first(behind.query(params![key(org), hash])?, |row| Columns::new(row, "contact_keys", "contact").id())
}

/// The contact that came to have a name when nobody had it, while it has it.
fn leader(db: &Connection, keys: &Keys, org: OrgId, hash: Hash) -> Result<Option<ContactId>> {
    let org = key(org);
    let mut statement =
        db.prepare_cached("SELECT contact FROM contact_keys WHERE n = ?1 AND org = ?2 AND hash = ?3 AND place = 0")?;
    keys.find(db, Kind::Name, &[&org, &hash], |n| {
        first(statement.query(params![n, org, hash])?, |row| Columns::new(row, "contact_keys", "contact").id())
    })
}

/// Gives up a contact's names that are not among these; the hashes of those that it keeps.
pub(crate) fn keep(db: &Connection, keys: &Keys, org: OrgId, contact: ContactId, names: &[ContactKey]) -> Result<Vec<Hash>> {
    let mut own = db.prepare_cached("SELECT hash, n, place FROM contact_keys WHERE org = ?1 AND contact = ?2")?;
    let held = all(own.query(params![key(org), key(contact)])?, |row| {
        let mut columns = Columns::new(row, "contact_keys", "hash, n, place");
        Ok((columns.value::<Hash>()?, columns.value::<i64>()?, columns.value::<i64>()?))
    })?;
    let mut release = db.prepare_cached("DELETE FROM contact_keys WHERE n = ?1")?;
    let (kept, given_up): (Vec<_>, Vec<_>) = held.into_iter().partition(|(hash, ..)| names.iter().any(|name| name.hash == *hash));
    for (hash, n, place) in given_up {
        release.execute([n])?;
        if place == 0 {
            keys.remove(Kind::Name, &[&key(org), &hash], n);
        }
    }
    Ok(kept.into_iter().map(|(hash, ..)| hash).collect())
}

/// Puts a contact into the line of a name; false where it must be alone and is not, or its place is taken.
pub(crate) fn claim(db: &Connection, keys: &Keys, org: OrgId, contact: ContactId, name: &ContactKey) -> Result<bool> {
    let mut last = db.prepare_cached(
        "SELECT place FROM contact_keys INDEXED BY contact_keys_behind WHERE org = ?1 AND hash = ?2 AND place <> 0
         ORDER BY place DESC LIMIT 1",
    )?;
    let last: Option<i64> =
        first(last.query(params![key(org), name.hash])?, |row| Columns::new(row, "contact_keys", "place").value())?;
    let led = leader(db, keys, org, name.hash)?.is_some();
    let last = last.or(led.then_some(0));
    if name.required && last.is_some() {
        return Ok(false);
    }
    let place = name.place.unwrap_or(last.map_or(0, |last| last + 1));
    if place == 0 && led {
        return Ok(false);
    }
    let mut join =
        db.prepare_cached("INSERT INTO contact_keys (org, hash, place, contact) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?;
    let joined = join.execute(params![key(org), name.hash, place, key(contact)])? == 1;
    if joined && place == 0 {
        keys.add(Kind::Name, &[&key(org), &name.hash], db.last_insert_rowid());
    }
    Ok(joined)
}

/// Those that have a name, behind one of them.
pub(crate) fn line(
    db: &Connection,
    keys: &Keys,
    org: OrgId,
    hash: Hash,
    behind: Option<ContactId>,
    limit: u32,
) -> Result<Vec<ContactId>> {
    let mut place = db.prepare_cached("SELECT place FROM contact_keys WHERE org = ?1 AND contact = ?2 AND hash = ?3")?;
    let place: Option<i64> =
        first(place.query(params![key(org), behind.map(key), hash])?, |row| Columns::new(row, "contact_keys", "place").value())?;
    let mut found = Vec::from_iter(if place.is_none() { leader(db, keys, org, hash)? } else { None });
    let mut statement = db.prepare_cached(
        "SELECT contact FROM contact_keys INDEXED BY contact_keys_behind
         WHERE org = ?1 AND hash = ?2 AND place <> 0 AND place > ?3 ORDER BY place LIMIT ?4",
    )?;
    let rows = statement.query(params![key(org), hash, place.unwrap_or(-1), limit])?;
    found.extend(all(rows, |row| Columns::new(row, "contact_keys", "contact").id())?);
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
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
