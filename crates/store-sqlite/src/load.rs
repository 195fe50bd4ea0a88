//! What a batch of commands touches, and lists of passes and contacts.

use std::collections::BTreeSet;

use domain::{ContactId, OrgId, PassId, ProjectId, Timestamp};
use rusqlite::{Connection, Row, params};
use store::{ContactRow, LoadKeys, LoadedRows, PassFilter, PassRow, PassState, ResultRow};

use crate::{
    codes, config,
    fault::Result,
    keys::Keys,
    names,
    row::{Columns, all, first, key},
    wallets,
};

const PASS: &str = "p.org, p.id, p.project, p.shard, p.version, p.content_seq, p.contact, p.external, p.state, \
                    p.installed, p.due_at, p.issued_at, p.updated_at, p.subject, k.wrapped, p.body";

macro_rules! select_passes {
    ($rest:literal) => {
        concat!(
            "SELECT p.org, p.id, p.project, p.shard, p.version, p.content_seq, p.contact, p.external, p.state,
                    p.installed, p.due_at, p.issued_at, p.updated_at, p.subject, k.wrapped, p.body
             FROM passes p LEFT JOIN data_keys k ON k.org = p.org AND k.subject = p.subject ",
            $rest
        )
    };
}
pub(crate) use select_passes;

/// A pass from a row of [`select_passes`].
pub(crate) fn read_pass(row: &Row<'_>) -> Result<PassRow> {
    let mut columns = Columns::new(row, "passes", PASS);
    Ok(PassRow {
        org: columns.id()?,
        id: columns.id()?,
        project: columns.id()?,
        shard: columns.value()?,
        version: columns.value()?,
        content_seq: columns.value()?,
        contact: columns.id_option()?,
        external: columns.value()?,
        state: columns.value()?,
        installed: columns.value()?,
        due_at: columns.time_option()?,
        issued_at: columns.time()?,
        updated_at: columns.time()?,
        subject: columns.uuid()?,
        data_key: columns.value()?,
        body: columns.value()?,
    })
}

macro_rules! select_contacts {
    ($rest:literal) => {
        concat!(
            "SELECT c.org, c.id, c.version, c.created_at, c.updated_at, c.wallets, k.wrapped, c.body
             FROM contacts c LEFT JOIN data_keys k ON k.org = c.org AND k.subject = c.id ",
            $rest
        )
    };
}

fn read_contact(row: &Row<'_>) -> Result<ContactRow> {
    let names = "c.org, c.id, c.version, c.created_at, c.updated_at, c.wallets, k.wrapped, c.body";
    let mut columns = Columns::new(row, "contacts", names);
    Ok(ContactRow {
        org: columns.id()?,
        id: columns.id()?,
        version: columns.value()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
        wallets: columns.value()?,
        data_key: columns.value()?,
        body: columns.value()?,
    })
}

/// Keys that are looked up without a thread of their own at most.
const SHORT_KEYS: usize = 32;

/// Whether so few keys are asked for that looking them up takes no time worth handing over.
pub(crate) fn is_short(keys: &LoadKeys) -> bool {
    let LoadKeys { passes, externals, contacts, contact_keys, passes_of, passes_of_keys, installations, results, now: _ } = keys;
    let lengths = [
        passes.len(),
        externals.len(),
        contacts.len(),
        contact_keys.len(),
        passes_of.len(),
        passes_of_keys.len(),
        installations.len(),
        results.len(),
    ];
    lengths.iter().sum::<usize>() <= SHORT_KEYS
}

/// Everything under the keys.
pub(crate) fn load(db: &Connection, index: &Keys, keys: &LoadKeys) -> Result<LoadedRows> {
    let mut found = LoadedRows { config_version: config::version(db)?, ..LoadedRows::default() };
    let mut contacts: BTreeSet<(OrgId, ContactId)> = keys.contacts.iter().copied().collect();
    let mut holders: BTreeSet<(OrgId, ContactId)> = keys.passes_of.iter().copied().collect();
    let named: BTreeSet<_> = keys.contact_keys.iter().chain(&keys.passes_of_keys).copied().collect();
    let with_passes: BTreeSet<_> = keys.passes_of_keys.iter().copied().collect();
    for (org, hash) in named {
        if let Some(contact) = names::holder(db, index, org, hash)? {
            found.contact_keys.push((org, hash, contact));
            contacts.insert((org, contact));
            if with_passes.contains(&(org, hash)) {
                holders.insert((org, contact));
            }
        }
    }
    contacts.extend(&holders);
    found.passes = passes(db, index, keys, &holders)?;
    contacts.extend(found.passes.iter().filter_map(|pass| Some((pass.org, pass.contact?))));
    let mut contact = db.prepare_cached(select_contacts!("WHERE c.org = ?1 AND c.id = ?2"))?;
    for (org, id) in contacts {
        found.contacts.extend(first(contact.query(params![key(org), key(id)])?, read_contact)?);
    }
    let installations: BTreeSet<_> = keys.installations.iter().collect();
    for (org, pass, wallet, device) in installations {
        found.installations.extend(wallets::one(db, *org, *pass, *wallet, device)?);
    }
    let results: BTreeSet<_> = keys.results.iter().collect();
    for (org, principal, name) in results {
        found.results.extend(result(db, *org, principal, name, keys.now)?);
    }
    Ok(found)
}

/// Passes by id, by external id and of contacts, each once.
fn passes(db: &Connection, index: &Keys, keys: &LoadKeys, holders: &BTreeSet<(OrgId, ContactId)>) -> Result<Vec<PassRow>> {
    let mut found = Vec::new();
    let mut by_id = db.prepare_cached(select_passes!("WHERE p.org = ?1 AND p.id = ?2"))?;
    let mut ids: BTreeSet<_> = keys.passes.iter().copied().collect();
    for (org, project, external) in &keys.externals {
        ids.extend(codes::external(db, index, *org, *project, *external)?.map(|(_, pass)| (*org, pass)));
    }
    for (org, id) in ids {
        found.extend(first(by_id.query(params![key(org), key(id)])?, read_pass)?);
    }
    let mut of_contact = db.prepare_cached(select_passes!("WHERE p.org = ?1 AND p.contact = ?2"))?;
    for (org, contact) in holders {
        found.extend(all(of_contact.query(params![key(*org), key(*contact)])?, read_pass)?);
    }
    found.sort_by_key(|pass: &PassRow| (pass.org, pass.id));
    found.dedup_by_key(|pass| (pass.org, pass.id));
    Ok(found)
}

fn result(db: &Connection, org: OrgId, principal: &str, name: &str, now: Timestamp) -> Result<Option<ResultRow>> {
    let mut statement = db.prepare_cached(
        "SELECT r.org, r.principal, r.key, r.fingerprint, r.subject, k.wrapped, r.body, r.expires_at
         FROM results r LEFT JOIN data_keys k ON k.org = r.org AND k.subject = r.subject
         WHERE r.org = ?1 AND r.principal = ?2 AND r.key = ?3 AND r.expires_at > ?4",
    )?;
    first(statement.query(params![key(org), principal, name, now.as_micros()])?, result_row)
}

/// A result with its data key, by the columns above.
pub(crate) fn result_row(row: &Row<'_>) -> Result<ResultRow> {
    let names = "r.org, r.principal, r.key, r.fingerprint, r.subject, k.wrapped, r.body, r.expires_at";
    let mut columns = Columns::new(row, "results", names);
    Ok(ResultRow {
        org: columns.id()?,
        principal: columns.value()?,
        key: columns.value()?,
        fingerprint: columns.value()?,
        subject: columns.uuid()?,
        data_key: columns.value()?,
        body: columns.value()?,
        expires_at: columns.time()?,
    })
}

/// Passes in the order of their ids.
pub(crate) fn list_passes(
    db: &Connection,
    org: OrgId,
    project: Option<ProjectId>,
    contact: Option<ContactId>,
    after: Option<PassId>,
    limit: u32,
) -> Result<Vec<PassRow>> {
    let mut statement = match (project, contact) {
        (_, Some(_)) => db.prepare_cached(select_passes!(
            "WHERE p.org = ?1 AND p.contact = ?3 AND (?2 IS NULL OR p.project = ?2) AND p.id > ?4 ORDER BY p.id LIMIT ?5"
        ))?,
        (Some(_), None) => db.prepare_cached(select_passes!(
            "WHERE p.org = ?1 AND p.project = ?2 AND ?3 IS NULL AND p.id > ?4 ORDER BY p.id LIMIT ?5"
        ))?,
        (None, None) => db.prepare_cached(select_passes!(
            "WHERE p.org = ?1 AND ?2 IS NULL AND ?3 IS NULL AND p.id > ?4 ORDER BY p.id LIMIT ?5"
        ))?,
    };
    // A blob of nothing sorts before every id.
    let after = after.map(key);
    let after: &[u8] = after.as_ref().map_or(&[], |id| id);
    all(statement.query(params![key(org), project.map(key), contact.map(key), after, limit])?, read_pass)
}

/// How many passes a project has, counted up to a number.
pub(crate) fn count_passes(db: &Connection, org: OrgId, project: ProjectId, most: u32) -> Result<u32> {
    let mut statement =
        db.prepare_cached("SELECT count(*) FROM (SELECT 1 FROM passes WHERE org = ?1 AND project = ?2 LIMIT ?3)")?;
    Ok(statement.query_row(params![key(org), key(project), most], |row| row.get(0))?)
}

/// Contacts in the order of their ids.
pub(crate) fn list_contacts(db: &Connection, org: OrgId, after: Option<ContactId>, limit: u32) -> Result<Vec<ContactRow>> {
    let after = after.map(key);
    let after: &[u8] = after.as_ref().map_or(&[], |id| id);
    let mut statement = db.prepare_cached(select_contacts!("WHERE c.org = ?1 AND c.id > ?2 ORDER BY c.id LIMIT ?3"))?;
    all(statement.query(params![key(org), after, limit])?, read_contact)
}

/// Passes that fulfil a filter. Its indexes are named: without figures about the table the planner would take any of them.
pub(crate) fn find_passes(db: &Connection, org: OrgId, filter: &PassFilter, limit: u32) -> Result<Vec<PassRow>> {
    let mut wanted = String::new();
    for (given, condition) in [
        (filter.project.is_some(), " AND project = ?2"),
        (filter.contact.is_some(), " AND contact = ?3"),
        (filter.state.is_some(), " AND state = ?4"),
    ] {
        wanted.push_str(if given { condition } else { "" });
    }
    let ways = filter.installed.iter().map(i16::to_string).collect::<Vec<_>>();
    let ids = if filter.updated_since.is_some() {
        if !ways.is_empty() {
            wanted.push_str(&format!(" AND installed IN ({})", ways.join(", ")));
        }
        format!(
            "SELECT id FROM passes INDEXED BY passes_updated WHERE org = ?1{wanted} AND (updated_at, id) > (?5, ?6)
             ORDER BY updated_at, id LIMIT ?7"
        )
    } else {
        let index = match (filter.contact, ways.is_empty(), filter.state, filter.project) {
            (Some(_), ..) => "INDEXED BY passes_contact",
            (None, false, ..) => "INDEXED BY passes_installed",
            (None, true, Some(_), _) => "INDEXED BY passes_state",
            (None, true, None, Some(_)) => "INDEXED BY passes_project",
            (None, true, None, None) => "",
        };
        let each = if ways.is_empty() {
            vec![String::new()]
        } else {
            ways.iter().map(|way| format!(" AND installed = {way}")).collect()
        };
        let each: Vec<String> = each
            .iter()
            .map(|way| {
                format!(
                    "SELECT id FROM (SELECT id FROM passes {index} WHERE org = ?1{wanted}{way} AND id > ?6 ORDER BY id LIMIT ?7)"
                )
            })
            .collect();
        each.join(" UNION ALL ")
    };
    // The few that were found are sorted; an index of the order would be walked whole.
    let order = if filter.updated_since.is_some() { "+p.updated_at, p.id" } else { "p.id" };
    let sql = format!("{} WHERE p.org = ?1 AND p.id IN ({ids}) ORDER BY {order} LIMIT ?7", select_passes!(""));
    let mut statement = db.prepare_cached(&sql)?;
    let at = filter.updated_since.map(|since| filter.after.map_or(since, |(at, _)| at)).map_or(0, Timestamp::as_micros);
    let after = filter.after.map(|(_, id)| key(id));
    // A blob of nothing sorts before every id.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id);
    let state = filter.state.map(PassState::number);
    let bound = params![key(org), filter.project.map(key), filter.contact.map(key), state, at, after, limit];
    all(statement.query(bound)?, read_pass)
}

/// Contacts with passes in these wallets, in the order of their ids.
pub(crate) fn find_contacts(
    db: &Connection,
    org: OrgId,
    wallets: i16,
    after: Option<ContactId>,
    limit: u32,
) -> Result<Vec<ContactRow>> {
    let after = after.map(key);
    let after: &[u8] = after.as_ref().map_or(&[], |id| id);
    let mut statement =
        db.prepare_cached(select_contacts!("WHERE c.org = ?1 AND c.wallets = ?2 AND c.id > ?3 ORDER BY c.id LIMIT ?4"))?;
    all(statement.query(params![key(org), wallets, after, limit])?, read_contact)
}

/// Passes that are due for expiry.
pub(crate) fn due(db: &Connection, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<(OrgId, PassId)>> {
    let mut statement = db.prepare_cached(
        "SELECT org, id FROM passes WHERE shard = ?1 AND due_at IS NOT NULL AND due_at <= ?2 ORDER BY due_at LIMIT ?3",
    )?;
    all(statement.query(params![shard, now.as_micros(), limit])?, |row| {
        let mut columns = Columns::new(row, "passes", "org, id");
        Ok((columns.id()?, columns.id()?))
    })
}
