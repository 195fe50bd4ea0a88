//! The codes of passes' pages, and passes' external ids.

use domain::{OrgId, PassId, ProjectId};
use rusqlite::{Connection, params};
use store::{Hash, StoreError};
use uuid::Uuid;

use crate::{
    fault::Result,
    keys::{Keys, Kind},
    row::{Columns, first, key},
};

/// The pass whose page has a code.
pub(crate) fn holder(db: &Connection, keys: &Keys, code: &[u8]) -> Result<Option<(OrgId, Uuid)>> {
    let mut statement = db.prepare_cached("SELECT org, pass FROM codes WHERE n = ?1 AND name = ?2")?;
    keys.find(db, Kind::Code, &[code], |n| {
        first(statement.query(params![n, code])?, |row| {
            let mut columns = Columns::new(row, "codes", "org, pass");
            Ok((columns.id()?, columns.uuid()?))
        })
    })
}

/// Gives a code to a pass's page.
pub(crate) fn add(db: &Connection, keys: &Keys, org: OrgId, pass: PassId, code: &[u8]) -> Result<()> {
    if holder(db, keys, code)?.is_some() {
        return Err(StoreError::Taken("the link code".to_owned()).into());
    }
    let mut statement = db.prepare_cached("INSERT INTO codes (name, org, pass) VALUES (?1, ?2, ?3)")?;
    statement.execute(params![code, key(org), key(pass)])?;
    keys.add(Kind::Code, &[code], db.last_insert_rowid());
    Ok(())
}

/// The pass of a project that has an external id, by the number of its row.
pub(crate) fn external(
    db: &Connection,
    keys: &Keys,
    org: OrgId,
    project: ProjectId,
    external: Hash,
) -> Result<Option<(i64, PassId)>> {
    let (org, project) = (key(org), key(project));
    let mut statement =
        db.prepare_cached("SELECT n, pass FROM externals WHERE n = ?1 AND org = ?2 AND project = ?3 AND external = ?4")?;
    keys.find(db, Kind::External, &[&project, &external], |n| {
        first(statement.query(params![n, org, project, external])?, |row| {
            let mut columns = Columns::new(row, "externals", "n, pass");
            Ok((columns.value()?, columns.id()?))
        })
    })
}

/// Gives a pass an external id; false where another pass has it.
pub(crate) fn claim_external(
    db: &Connection,
    keys: &Keys,
    org: OrgId,
    (project, hash): (ProjectId, Hash),
    pass: PassId,
) -> Result<bool> {
    if external(db, keys, org, project, hash)?.is_some() {
        return Ok(false);
    }
    let mut statement = db.prepare_cached("INSERT INTO externals (org, project, external, pass) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![key(org), key(project), hash, key(pass)])?;
    keys.add(Kind::External, &[&key(project), &hash], db.last_insert_rowid());
    Ok(true)
}

/// Takes a pass's external id from it.
pub(crate) fn release_external(
    db: &Connection,
    keys: &Keys,
    org: OrgId,
    (project, hash): (ProjectId, Hash),
    pass: PassId,
) -> Result<()> {
    if let Some((n, _)) = external(db, keys, org, project, hash)?.filter(|(_, holder)| *holder == pass) {
        db.prepare_cached("DELETE FROM externals WHERE n = ?1")?.execute([n])?;
        keys.remove(Kind::External, &[&key(project), &hash], n);
    }
    Ok(())
}
