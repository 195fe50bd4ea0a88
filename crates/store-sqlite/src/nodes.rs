//! The nodes that work on this database: one, since the folder is locked. Another may have been there before.

use rusqlite::{Connection, OptionalExtension as _, params};
use store::NodeRow;

use crate::{
    fault::Result,
    row::{Columns, all},
    writer::Written,
};

/// All nodes, by name.
pub(crate) fn list(db: &Connection) -> Result<Vec<NodeRow>> {
    let mut statement = db.prepare_cached("SELECT name, incarnation, beat, challenge FROM nodes ORDER BY name")?;
    all(statement.query([])?, |row| {
        let mut columns = Columns::new(row, "nodes", "name, incarnation, beat, challenge");
        Ok(NodeRow { name: columns.value()?, incarnation: columns.value()?, beat: columns.value()?, challenge: columns.value()? })
    })
}

/// Takes a name from whom it was seen with.
pub(crate) fn join(db: &Connection, name: &str, incarnation: i64, former: Option<i64>) -> Result<Written<bool>> {
    let mut find = db.prepare_cached("SELECT incarnation FROM nodes WHERE name = ?1")?;
    let present: Option<i64> = find.query_row([name], |row| row.get(0)).optional()?;
    if present != former && present != Some(incarnation) {
        return Ok(Written::Nothing(false));
    }
    db.prepare_cached("INSERT OR REPLACE INTO nodes (name, incarnation, beat, challenge) VALUES (?1, ?2, 0, 0)")?
        .execute(params![name, incarnation])?;
    Ok(Written::Done(true))
}

/// Asks for a sign of life.
pub(crate) fn challenge(db: &Connection, name: &str, incarnation: i64) -> Result<Written<()>> {
    db.prepare_cached("UPDATE nodes SET challenge = challenge + 1 WHERE name = ?1 AND incarnation = ?2")?
        .execute(params![name, incarnation])?;
    Ok(Written::Done(()))
}

/// Gives one.
pub(crate) fn show(db: &Connection, name: &str, incarnation: i64) -> Result<Written<bool>> {
    let mut statement = db.prepare_cached("UPDATE nodes SET beat = beat + 1 WHERE name = ?1 AND incarnation = ?2")?;
    Ok(Written::Done(statement.execute(params![name, incarnation])? == 1))
}

/// Gives a name up.
pub(crate) fn leave(db: &Connection, name: &str, incarnation: i64) -> Result<Written<()>> {
    db.prepare_cached("DELETE FROM nodes WHERE name = ?1 AND incarnation = ?2")?.execute(params![name, incarnation])?;
    Ok(Written::Done(()))
}
