//! Configuration, names, keys, blobs, audit.

use std::sync::Arc;

use domain::{OrgId, ProjectId};
use parking_lot::Mutex;
use rusqlite::{Connection, Row, params};
use store::{
    AuditRow, BlobRow, ConfigWrite, ConfigWritten, DirectoryRow, NameKind, ResourceKind, ResourceRow, StoreError, Unchanged,
};
use uuid::Uuid;

use crate::{
    codes,
    commit::claim_results,
    fault::{Fault, Result, is_unique},
    jobs,
    keys::Keys,
    row::{Columns, all, first, key},
    writer::Written,
};

/// The configuration version.
pub(crate) fn version(db: &Connection) -> Result<i64> {
    meta(db, "config_version")
}

/// The configuration version, as far as it is known without asking the database.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Knowledge>);

#[derive(Debug, Default)]
struct Knowledge {
    version: Option<i64>,
    /// Counts the beginnings and ends of changes.
    turns: u64,
    changing: u32,
}

/// A configuration change that is under way; nothing is known until it has ended, however it does.
pub(crate) struct Changing(Arc<Known>);

impl Known {
    /// The version, or the turn at which to begin reading it.
    pub(crate) fn version(&self) -> std::result::Result<i64, u64> {
        let known = self.0.lock();
        known.version.ok_or(known.turns)
    }

    /// Takes in what was read since a turn, unless a change came in between.
    pub(crate) fn learn(&self, since: u64, version: i64) {
        let mut known = self.0.lock();
        if known.changing == 0 && known.turns == since {
            known.version = Some(version);
        }
    }
}

impl Changing {
    pub(crate) fn begin(known: &Arc<Known>) -> Self {
        let mut knowledge = known.0.lock();
        *knowledge = Knowledge { version: None, turns: knowledge.turns + 1, changing: knowledge.changing + 1 };
        drop(knowledge);
        Self(Arc::clone(known))
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        let mut known = self.0.0.lock();
        *known = Knowledge { version: None, turns: known.turns + 1, changing: known.changing - 1 };
    }
}

/// A number of the whole store.
pub(crate) fn meta(db: &Connection, name: &str) -> Result<i64> {
    Ok(db.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.get(0))?)
}

/// Resources changed after a version, of whole versions.
pub(crate) fn since(db: &Connection, version: i64, most: u32) -> Result<Vec<ResourceRow>> {
    let mut statement = db.prepare_cached(
        "SELECT org, kind, id, slug, body, revision, changed, deleted, created_at, updated_at
         FROM resources WHERE changed > ?1 AND changed <= (
            SELECT max(changed) FROM (SELECT changed FROM resources WHERE changed > ?1 ORDER BY changed LIMIT ?2))
         ORDER BY changed, rowid",
    )?;
    let rows = all(statement.query((version, most))?, |row| {
        let names = "org, kind, id, slug, body, revision, changed, deleted, created_at, updated_at";
        let mut columns = Columns::new(row, "resources", names);
        Ok(ResourceRow {
            org: columns.id()?,
            kind: columns.value()?,
            id: columns.uuid()?,
            slug: columns.value()?,
            body: columns.value()?,
            revision: columns.value()?,
            changed: columns.value()?,
            deleted: columns.value()?,
            created_at: columns.time()?,
            updated_at: columns.time()?,
        })
    })?;
    if u32::try_from(rows.len()).is_ok_and(|count| count >= most) {
        // A start reads all of it once: its pages are of no use afterwards.
        db.execute_batch("PRAGMA shrink_memory")?;
    }
    Ok(rows)
}

/// Writes a change, all or nothing.
pub(crate) fn write(db: &Connection, write: &ConfigWrite) -> Result<Written<ConfigWritten>> {
    let version = version(db)? + 1;
    if !claim_results(db, &write.results, write.now)? {
        return Ok(Written::Undone(ConfigWritten::Conflict));
    }
    let mut changed =
        db.prepare_cached("SELECT EXISTS (SELECT 1 FROM resources WHERE changed > ?3 AND org = ?1 AND kind = ?2)")?;
    for Unchanged { org, kind, since } in &write.unchanged {
        if changed.query_row(params![key(*org), kind, since], |row| row.get(0))? {
            return Ok(Written::Undone(ConfigWritten::Conflict));
        }
    }
    let mut issued = db.prepare_cached("SELECT EXISTS (SELECT 1 FROM passes WHERE org = ?1 AND project = ?2)")?;
    for (org, project) in &write.without_passes {
        if issued.query_row(params![key(*org), key(*project)], |row| row.get(0))? {
            return Ok(Written::Undone(ConfigWritten::Conflict));
        }
    }
    for row in &write.resources {
        if !write_resource(db, row, version)? {
            return Ok(Written::Undone(ConfigWritten::Conflict));
        }
    }
    for row in &write.jobs {
        if !jobs::put(db, row)? {
            return Ok(Written::Undone(ConfigWritten::Conflict));
        }
    }
    let mut remove = db.prepare_cached("DELETE FROM directory WHERE kind = ?1 AND name = ?2")?;
    for (kind, name) in &write.removed_names {
        remove.execute(params![kind, name])?;
    }
    for row in &write.names {
        add_name(db, row)?;
    }
    for row in &write.audit {
        add_audit(db, row)?;
    }
    let mut add_key = db.prepare_cached("INSERT INTO org_keys (org, wrapped) VALUES (?1, ?2) ON CONFLICT (org) DO NOTHING")?;
    for (org, wrapped) in &write.org_keys {
        if add_key.execute(params![key(*org), wrapped])? == 0 {
            return Ok(Written::Undone(ConfigWritten::Conflict));
        }
    }
    let mut add_blob = db.prepare_cached(
        "INSERT INTO blobs (org, sha256, media_type, bytes, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (org, sha256) DO NOTHING",
    )?;
    for blob in &write.blobs {
        let at = blob.created_at.as_micros();
        add_blob.execute(params![key(blob.org), blob.sha256, blob.media_type, blob.bytes, at])?;
    }
    db.prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'config_version'")?.execute([version])?;
    Ok(Written::Done(ConfigWritten::Done(version)))
}

/// Whether a project is there and was not removed.
pub(crate) fn stands(db: &Connection, org: OrgId, project: ProjectId) -> Result<bool> {
    let mut found =
        db.prepare_cached("SELECT EXISTS (SELECT 1 FROM resources WHERE org = ?1 AND kind = ?2 AND id = ?3 AND NOT deleted)")?;
    Ok(found.query_row(params![key(org), ResourceKind::Project.number(), key(project)], |row| row.get(0))?)
}

/// False where somebody else was faster.
fn write_resource(db: &Connection, row: &ResourceRow, version: i64) -> Result<bool> {
    let mut insert = db.prepare_cached(
        "INSERT INTO resources (org, kind, id, slug, body, revision, changed, deleted, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (org, kind, id) DO NOTHING",
    )?;
    let mut update = db.prepare_cached(
        "UPDATE resources SET slug = ?4, body = ?5, revision = ?6, changed = ?7, deleted = ?8, created_at = ?9, updated_at = ?10
         WHERE org = ?1 AND kind = ?2 AND id = ?3 AND revision = ?6 - 1",
    )?;
    let statement = if row.revision == 1 { &mut insert } else { &mut update };
    let written = statement.execute(params![
        key(row.org),
        row.kind,
        row.id.as_bytes(),
        row.slug,
        row.body,
        row.revision,
        version,
        row.deleted,
        row.created_at.as_micros(),
        row.updated_at.as_micros()
    ]);
    let slug = || format!("the short name {}", row.slug.as_deref().unwrap_or_default());
    Ok(written.map_err(|error| taken(error, slug))? == 1)
}

fn add_name(db: &Connection, row: &DirectoryRow) -> Result<()> {
    let mut statement = db.prepare_cached("INSERT INTO directory (kind, name, org, target) VALUES (?1, ?2, ?3, ?4)")?;
    let added = statement.execute(params![row.kind, row.name, key(row.org), row.target.as_bytes()]);
    // Some names are hashes or binary; those are told by their kind alone.
    let name = || match std::str::from_utf8(&row.name) {
        Ok(text) if !text.contains(char::is_control) => format!("the name {text}"),
        _ => format!("a name of kind {}", row.kind),
    };
    added.map_err(|error| taken(error, name))?;
    Ok(())
}

fn taken(error: rusqlite::Error, what: impl FnOnce() -> String) -> Fault {
    if is_unique(&error) { StoreError::Taken(what()).into() } else { error.into() }
}

fn add_audit(db: &Connection, row: &AuditRow) -> Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO audit (org, id, at, actor, action, kind, resource, before, after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let AuditRow { org, id, at, actor, action, kind, resource, before, after } = row;
    statement.execute(params![
        key(*org),
        id.as_bytes(),
        at.as_micros(),
        actor,
        action,
        kind,
        resource.as_bytes(),
        before,
        after
    ])?;
    Ok(())
}

/// All organizations' wrapped keys.
pub(crate) fn org_keys(db: &Connection) -> Result<Vec<(OrgId, Vec<u8>)>> {
    let mut statement = db.prepare_cached("SELECT org, wrapped FROM org_keys")?;
    all(statement.query([])?, |row| {
        let mut columns = Columns::new(row, "org_keys", "org, wrapped");
        Ok((columns.id()?, columns.value()?))
    })
}

/// What a name stands for.
pub(crate) fn look_up(db: &Connection, keys: &Keys, kind: i16, name: &[u8]) -> Result<Option<(OrgId, Uuid)>> {
    if kind == NameKind::LinkCode.number() {
        return codes::holder(db, keys, name);
    }
    let mut statement = db.prepare_cached("SELECT org, target FROM directory WHERE kind = ?1 AND name = ?2")?;
    first(statement.query(params![kind, name])?, |row| {
        let mut columns = Columns::new(row, "directory", "org, target");
        Ok((columns.id()?, columns.uuid()?))
    })
}

/// [`store::Backend::names`].
pub(crate) fn names(db: &Connection, org: OrgId, after: &(i16, Vec<u8>), limit: u32) -> Result<Vec<DirectoryRow>> {
    let mut statement = db.prepare_cached(
        "SELECT kind, name, org, target FROM directory
         WHERE (kind, name) > (?2, ?3) AND org = ?1 ORDER BY kind, name LIMIT ?4",
    )?;
    all(statement.query(params![key(org), after.0, after.1, limit])?, |row| {
        let mut columns = Columns::new(row, "directory", "kind, name, org, target");
        Ok(DirectoryRow { kind: columns.value()?, name: columns.value()?, org: columns.id()?, target: columns.uuid()? })
    })
}

pub(crate) fn blob_names(db: &Connection, org: OrgId) -> Result<Vec<[u8; 32]>> {
    let mut statement = db.prepare_cached("SELECT sha256 FROM blobs WHERE org = ?1 ORDER BY sha256")?;
    all(statement.query(params![key(org)])?, |row| Columns::new(row, "blobs", "sha256").value())
}

fn read_audit(row: &Row<'_>) -> Result<AuditRow> {
    let mut columns = Columns::new(row, "audit", "org, id, at, actor, action, kind, resource, before, after");
    Ok(AuditRow {
        org: columns.id()?,
        id: columns.uuid()?,
        at: columns.time()?,
        actor: columns.value()?,
        action: columns.value()?,
        kind: columns.value()?,
        resource: columns.uuid()?,
        before: columns.value()?,
        after: columns.value()?,
    })
}

/// The audit log, newest first.
pub(crate) fn audit(db: &Connection, org: OrgId, before: Option<Uuid>, limit: u32) -> Result<Vec<AuditRow>> {
    let before = before.map_or([0xFF; 16], Uuid::into_bytes);
    let mut statement = db.prepare_cached(
        "SELECT org, id, at, actor, action, kind, resource, before, after FROM audit
         WHERE org = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
    )?;
    all(statement.query(params![key(org), before, limit])?, read_audit)
}

/// A blob.
pub(crate) fn blob(db: &Connection, org: OrgId, sha256: [u8; 32]) -> Result<Option<BlobRow>> {
    let mut statement =
        db.prepare_cached("SELECT org, sha256, media_type, bytes, created_at FROM blobs WHERE org = ?1 AND sha256 = ?2")?;
    first(statement.query(params![key(org), sha256])?, |row| {
        let mut columns = Columns::new(row, "blobs", "org, sha256, media_type, bytes, created_at");
        Ok(BlobRow {
            org: columns.id()?,
            sha256: columns.value()?,
            media_type: columns.value()?,
            bytes: columns.value()?,
            created_at: columns.time()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_while_it_changed_is_not_kept() {
        let known = Arc::new(Known::default());
        let before = known.version().unwrap_err();
        let changing = Changing::begin(&known);
        let during = known.version().unwrap_err();
        known.learn(before, 1);
        known.learn(during, 1);
        drop(changing);
        known.learn(during, 1);
        let after = known.version().unwrap_err();
        known.learn(after, 2);
        assert_eq!(known.version(), Ok(2));
        drop(Changing::begin(&known));
        assert!(known.version().is_err());
    }
}
