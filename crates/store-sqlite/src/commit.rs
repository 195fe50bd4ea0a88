//! Commits of the engine.

use std::collections::BTreeSet;

use domain::{ContactId, OrgId, Position, ProjectId, Timestamp};
use rusqlite::{Connection, params};
use store::{CommitRows, Committed, ContactWrite, Hash, InstallationRow, PassRow, PassState, PassWrite, ResultRow, StoreError};
use uuid::Uuid;

use crate::{
    codes, config,
    fault::Result,
    keys::Keys,
    log, names,
    row::{Columns, all, first, key},
    writer::Written,
};

/// Writes all of it, or tells of a conflict.
pub(crate) fn commit(db: &Connection, keys: &Keys, rows: &CommitRows) -> Result<Written<Committed>> {
    Ok(match write(db, keys, rows)? {
        None => Written::Undone(Committed::Conflict),
        Some(positions) if rows.destroyed_keys.is_empty() => Written::Done(Committed::Done(positions)),
        Some(positions) => Written::Erased(Committed::Done(positions)),
    })
}

/// Nothing where somebody else was faster.
fn write(db: &Connection, keys: &Keys, rows: &CommitRows) -> Result<Option<Vec<Position>>> {
    for (org, project) in &rows.standing {
        if !config::stands(db, *org, *project)? {
            return Ok(None);
        }
    }
    for (org, contact, version) in &rows.holders {
        if contact_version(db, *org, *contact)? != Some(*version) {
            return Ok(None);
        }
    }
    if has_others(db, &rows.destroyed_keys)? {
        return Ok(None);
    }
    destroy_keys(db, &rows.destroyed_keys)?;
    let won = claim_results(db, &rows.results, rows.now)?
        && add_keys(db, &rows.data_keys)?
        && write_contacts(db, keys, &rows.contacts)?;
    if !won {
        return Ok(None);
    }
    // Before the passes: a new installation has seen what its pass was until now.
    for row in &rows.installations {
        write_installation(db, row)?;
    }
    let positions = log::append(db, &rows.events)?;
    for pass in &rows.passes {
        if !write_pass(db, keys, pass, &positions)? {
            return Ok(None);
        }
    }
    Ok(Some(positions))
}

fn contact_version(db: &Connection, org: OrgId, contact: ContactId) -> Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT version FROM contacts WHERE org = ?1 AND id = ?2")?;
    first(statement.query([key(org), key(contact)])?, |row| Columns::new(row, "contacts", "version").value())
}

/// Whether contacts whose keys are to be destroyed have passes whose keys are not.
fn has_others(db: &Connection, subjects: &[(OrgId, Uuid)]) -> Result<bool> {
    let mut statement = db.prepare_cached("SELECT id FROM passes WHERE org = ?1 AND contact = ?2")?;
    let known: BTreeSet<&(OrgId, Uuid)> = subjects.iter().collect();
    for (org, subject) in subjects {
        let passes =
            all(statement.query(params![key(*org), subject.as_bytes()])?, |row| Columns::new(row, "passes", "id").uuid())?;
        if passes.into_iter().any(|pass| !known.contains(&(*org, pass))) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn destroy_keys(db: &Connection, subjects: &[(OrgId, Uuid)]) -> Result<()> {
    if subjects.is_empty() {
        return Ok(());
    }
    let mut own = db.prepare_cached("DELETE FROM data_keys WHERE org = ?1 AND subject = ?2")?;
    // Told which index: the planner would walk all keys of the organization.
    let mut owned = db.prepare_cached("DELETE FROM data_keys INDEXED BY data_keys_owner WHERE org = ?1 AND owner = ?2")?;
    let mut inspected = db.prepare_cached("DELETE FROM captures WHERE org = ?1 AND ring LIKE 'inspector/%'")?;
    for (org, subject) in subjects {
        own.execute(params![key(*org), subject.as_bytes()])?;
        owned.execute(params![key(*org), subject.as_bytes()])?;
    }
    for org in subjects.iter().map(|(org, _)| *org).collect::<BTreeSet<_>>() {
        inspected.execute([key(org)])?;
    }
    Ok(())
}

fn add_keys(db: &Connection, keys: &[(OrgId, Uuid, Vec<u8>)]) -> Result<bool> {
    let mut statement = db.prepare_cached(
        "INSERT INTO data_keys (org, subject, wrapped) VALUES (?1, ?2, ?3) ON CONFLICT (org, subject) DO NOTHING",
    )?;
    for (org, subject, wrapped) in keys {
        if statement.execute(params![key(*org), subject.as_bytes(), wrapped])? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// False where a key is taken.
pub(crate) fn claim_results(db: &Connection, rows: &[ResultRow], now: Timestamp) -> Result<bool> {
    let mut statement = db.prepare_cached(
        "INSERT INTO results (org, principal, key, fingerprint, subject, body, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (org, principal, key) DO UPDATE SET fingerprint = excluded.fingerprint, subject = excluded.subject,
             body = excluded.body, expires_at = excluded.expires_at WHERE results.expires_at <= ?8",
    )?;
    for row in rows {
        let ResultRow { org, principal, key: name, fingerprint, subject, body, expires_at, .. } = row;
        let times = (expires_at.as_micros(), now.as_micros());
        let row = params![key(*org), principal, name, fingerprint, subject.as_bytes(), body, times.0, times.1];
        if statement.execute(row)? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_contacts(db: &Connection, index: &Keys, writes: &[ContactWrite]) -> Result<bool> {
    let mut insert = db.prepare_cached(
        "INSERT INTO contacts (org, id, version, created_at, updated_at, body, wallets) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (org, id) DO NOTHING",
    )?;
    let mut update = db.prepare_cached(
        "UPDATE contacts SET version = ?3, created_at = ?4, updated_at = ?5, body = ?6, wallets = ?7
         WHERE org = ?1 AND id = ?2 AND version = ?8",
    )?;
    let mut kept = Vec::with_capacity(writes.len());
    for ContactWrite { row, expected, keys } in writes {
        let (org, id) = (key(row.org), key(row.id));
        let (made, changed) = (row.created_at.as_micros(), row.updated_at.as_micros());
        let written = match expected {
            None => insert.execute(params![org, id, row.version, made, changed, row.body, row.wallets])?,
            Some(expected) => update.execute(params![org, id, row.version, made, changed, row.body, row.wallets, expected])?,
        };
        if written == 0 {
            return Ok(false);
        }
        // A new one has no names that it could keep or give up.
        kept.push(if expected.is_some() { names::keep(db, index, row.org, row.id, keys)? } else { Vec::new() });
    }
    for (ContactWrite { row, keys, .. }, kept) in writes.iter().zip(&kept) {
        for name in keys.iter().filter(|name| !kept.contains(&name.hash)) {
            if !names::claim(db, index, row.org, row.id, name)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn write_installation(db: &Connection, row: &InstallationRow) -> Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO installations (org, pass, wallet, device, shard, active, since, reason, first_installed_at, push_token,
             pushed_seq, push_due_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
             coalesce((SELECT content_seq FROM passes WHERE org = ?1 AND id = ?2), 0), NULL)
         ON CONFLICT (org, pass, wallet, device) DO UPDATE SET shard = excluded.shard, active = excluded.active,
             since = excluded.since, reason = excluded.reason, first_installed_at = excluded.first_installed_at,
             push_token = excluded.push_token",
    )?;
    statement.execute(params![
        key(row.org),
        key(row.pass),
        row.wallet,
        row.device,
        row.shard,
        row.active,
        row.since.as_micros(),
        row.reason,
        row.first_installed_at.as_micros(),
        row.push_token
    ])?;
    Ok(())
}

/// False where the pass is not as it was loaded, or its external id belongs to another.
fn write_pass(db: &Connection, keys: &Keys, write: &PassWrite, positions: &[Position]) -> Result<bool> {
    let row = &write.row;
    let content_seq = match write.content_event {
        None => None,
        Some(index) => {
            let lacking = || StoreError::Internal(format!("the commit has no event {index}"));
            Some(positions.get(index).ok_or_else(lacking)?.seq as i64)
        }
    };
    let Some(expected) = write.expected else {
        if !insert_pass(db, row, content_seq)? || !move_external(db, keys, row, None)? {
            return Ok(false);
        }
        if let Some(code) = &write.code {
            codes::add(db, keys, row.org, row.id, code.as_bytes())?;
        }
        return Ok(true);
    };
    let Some(before) = external_before(db, row, expected)? else { return Ok(false) };
    let mut statement = db.prepare_cached(
        "UPDATE passes SET project = ?3, shard = ?4, version = ?5, content_seq = coalesce(?6, content_seq),
             contact = ?7, external = ?8, state = ?9, due_at = ?10, issued_at = ?11, updated_at = ?12, subject = ?13, body = ?14,
             installed = ?15
         WHERE org = ?1 AND id = ?2 AND version = ?16",
    )?;
    let written = statement.execute(params![
        key(row.org),
        key(row.id),
        key(row.project),
        row.shard,
        row.version,
        content_seq,
        row.contact.map(key),
        row.external,
        row.state,
        row.due_at.map(|at| at.as_micros()),
        row.issued_at.as_micros(),
        row.updated_at.as_micros(),
        row.subject.as_bytes(),
        row.body,
        row.installed,
        expected
    ])?;
    Ok(written == 1 && move_external(db, keys, row, before)?)
}

fn insert_pass(db: &Connection, row: &PassRow, content_seq: Option<i64>) -> Result<bool> {
    let mut statement = db.prepare_cached(
        "INSERT INTO passes (org, id, project, shard, version, content_seq, contact, external, state, due_at, issued_at,
             updated_at, subject, body, installed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING",
    )?;
    let written = statement.execute(params![
        key(row.org),
        key(row.id),
        key(row.project),
        row.shard,
        row.version,
        content_seq.unwrap_or(0),
        row.contact.map(key),
        row.external,
        row.state,
        row.due_at.map(|at| at.as_micros()),
        row.issued_at.as_micros(),
        row.updated_at.as_micros(),
        row.subject.as_bytes(),
        row.body,
        row.installed
    ])?;
    Ok(written == 1)
}

/// The external id by which a pass is found; nothing where there is no such version of the pass.
fn external_before(db: &Connection, row: &PassRow, version: i64) -> Result<Option<Option<(ProjectId, Hash)>>> {
    let mut statement =
        db.prepare_cached("SELECT project, external, state FROM passes WHERE org = ?1 AND id = ?2 AND version = ?3")?;
    first(statement.query(params![key(row.org), key(row.id), version])?, |row| {
        let mut columns = Columns::new(row, "passes", "project, external, state");
        let (project, external) = (columns.id()?, columns.value()?);
        Ok(found_by(project, external, columns.value()?))
    })
}

/// By which external id a pass is found: a deleted one by none.
fn found_by(project: ProjectId, external: Option<Hash>, state: i16) -> Option<(ProjectId, Hash)> {
    external.filter(|_| state != PassState::Deleted.number()).map(|external| (project, external))
}

/// Lets a pass be found by its external id instead of another; false where that belongs to another pass.
fn move_external(db: &Connection, keys: &Keys, row: &PassRow, before: Option<(ProjectId, Hash)>) -> Result<bool> {
    let after = found_by(row.project, row.external, row.state);
    if before == after {
        return Ok(true);
    }
    if let Some(before) = before {
        codes::release_external(db, keys, row.org, before, row.id)?;
    }
    after.map_or(Ok(true), |after| codes::claim_external(db, keys, row.org, after, row.id))
}
