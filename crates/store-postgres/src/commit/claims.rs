//! The first two goes: locks, guards, unique keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{ContactId, OrgId, Timestamp};
use store::{ContactKey, ContactWrite, StoreError};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::{Batch, Locked, statements::Statements};
use crate::{
    convert::{Columns, text},
    error::{Attempt, Failed},
    pool::{Params, Transaction},
};

/// A statement over a list, left out when the list is empty.
async fn rows(open: &Transaction, statement: &Statement, length: usize, params: Params<'_>) -> Attempt<Vec<Row>> {
    if length == 0 { Ok(Vec::new()) } else { open.query(statement, params).await }
}

async fn count(open: &Transaction, statement: &Statement, length: usize, params: Params<'_>) -> Attempt<usize> {
    if length == 0 {
        return Ok(0);
    }
    Ok(usize::try_from(open.execute(statement, params).await?).unwrap_or(usize::MAX))
}

/// All that does not hang on an answer, sent at once: begin, locks, keys, contacts, codes, results, installations.
pub(super) async fn lock_and_claim(open: &Transaction, statements: &Statements, batch: &Batch<'_>) -> Attempt<Locked> {
    let (new, old): (Vec<&ContactWrite>, Vec<_>) = batch.contacts.iter().partition(|write| write.expected.is_none());
    let versions = contact_versions(batch)?;
    let all_contacts = ids(versions.keys().map(|(org, id)| (*org, id.uuid())));
    let old_contacts = ids(old.iter().map(|write| (write.row.org, write.row.id.uuid())));
    let passes = ids(batch.passes.iter().map(|write| (write.row.org, write.row.id.uuid())));
    let destroyed = ids(batch.destroyed.iter().copied());
    let keys = ids(batch.data_keys.iter().map(|key| (key.0, key.1)));
    let wrapped: Vec<&[u8]> = batch.data_keys.iter().map(|key| key.2.as_slice()).collect();
    let codes: Vec<&[u8]> = batch.codes.iter().map(|code| code.0.as_bytes()).collect();
    let coded = ids(batch.codes.iter().map(|code| (code.1, code.2.uuid())));
    let answers = tokio::join!(
        biased;
        open.begin(),
        async { rows(open, &statements.lock_contacts, versions.len(), &[&all_contacts.0, &all_contacts.1]).await },
        async { rows(open, &statements.lock_passes, batch.passes.len(), &[&passes.0, &passes.1]).await },
        async { rows(open, &statements.names_of, old.len(), &[&old_contacts.0, &old_contacts.1]).await },
        async { rows(open, &statements.others, batch.destroyed.len(), &[&destroyed.0, &destroyed.1]).await },
        async { count(open, &statements.destroy_keys, batch.destroyed.len(), &[&destroyed.0, &destroyed.1]).await },
        async { count(open, &statements.destroy_owned, batch.destroyed.len(), &[&destroyed.0, &destroyed.1]).await },
        async { count(open, &statements.destroy_inspected, batch.destroyed.len(), &[&destroyed.0]).await },
        async { count(open, &statements.add_keys, keys.0.len(), &[&keys.0, &keys.1, &wrapped]).await },
        write_contacts(open, &statements.insert_contacts, &new),
        write_contacts(open, &statements.replace_contacts, &old),
        async { count(open, &statements.add_codes, codes.len(), &[&codes, &coded.0, &coded.1]).await },
        claim_results(open, &statements.claim_results, batch),
        write_installations(open, &statements.write_installations, batch),
    );
    // In the order in which they were sent: the first error is the cause of those that follow it.
    let (
        begun,
        contacts,
        passes,
        names,
        others,
        destroyed,
        owned,
        inspected,
        added,
        inserted,
        replaced,
        coded,
        claimed,
        installed,
    ) = answers;
    begun?;
    check_contacts(&versions, &contacts?)?;
    let locked = Locked::of(&passes?, &names?)?;
    check_passes(batch, &locked)?;
    if !others?.is_empty() {
        return Err(Failed::Conflict);
    }
    destroyed?;
    owned?;
    inspected?;
    let written = (added?, inserted?, replaced?);
    let coded = coded?;
    let claimed = claimed?;
    installed?;
    if written != (keys.0.len(), new.len(), old.len()) || claimed != batch.results.len() {
        return Err(Failed::Conflict);
    }
    if coded != codes.len() {
        return Err(StoreError::Taken("a pass page's code".into()).into());
    }
    Ok(locked)
}

fn ids(pairs: impl Iterator<Item = (OrgId, Uuid)>) -> (Vec<Uuid>, Vec<Uuid>) {
    pairs.map(|(org, id)| (org.uuid(), id)).unzip()
}

/// The versions that contacts must have, in the order of their keys; none of those that are new.
fn contact_versions(batch: &Batch<'_>) -> Attempt<BTreeMap<(OrgId, ContactId), Option<i64>>> {
    let written = batch.contacts.iter().map(|write| ((write.row.org, write.row.id), write.expected));
    let mut versions: BTreeMap<_, _> = written.collect();
    for (org, id, version) in &batch.rows.holders {
        if *versions.entry((*org, *id)).or_insert(Some(*version)) != Some(*version) {
            return Err(Failed::Conflict);
        }
    }
    Ok(versions)
}

fn check_contacts(expected: &BTreeMap<(OrgId, ContactId), Option<i64>>, found: &[Row]) -> Attempt<()> {
    let mut versions: HashMap<(OrgId, ContactId), i64> = HashMap::with_capacity(found.len());
    for row in found {
        let mut columns = Columns::of(row);
        versions.insert((columns.id()?, columns.id()?), columns.take()?);
    }
    let is_kept = |(key, version): (&(OrgId, ContactId), &Option<i64>)| versions.get(key) == version.as_ref();
    if expected.iter().all(is_kept) { Ok(()) } else { Err(Failed::Conflict) }
}

fn check_passes(batch: &Batch<'_>, locked: &Locked) -> Attempt<()> {
    let version = |org, id| locked.passes.get(&(org, id)).map(|stored| stored.version);
    if batch.passes.iter().all(|write| version(write.row.org, write.row.id) == write.expected) {
        Ok(())
    } else {
        Err(Failed::Conflict)
    }
}

async fn write_contacts(open: &Transaction, statement: &Statement, writes: &[&ContactWrite]) -> Attempt<usize> {
    let (org, id) = ids(writes.iter().map(|write| (write.row.org, write.row.id.uuid())));
    let version: Vec<i64> = writes.iter().map(|write| write.row.version).collect();
    let created: Vec<i64> = writes.iter().map(|write| write.row.created_at.as_micros()).collect();
    let updated: Vec<i64> = writes.iter().map(|write| write.row.updated_at.as_micros()).collect();
    let body: Vec<&[u8]> = writes.iter().map(|write| write.row.body.as_slice()).collect();
    let wallets: Vec<i16> = writes.iter().map(|write| write.row.wallets).collect();
    count(open, statement, writes.len(), &[&org, &id, &version, &created, &updated, &body, &wallets]).await
}

async fn claim_results(open: &Transaction, statement: &Statement, batch: &Batch<'_>) -> Attempt<usize> {
    let rows = &batch.results;
    let (org, subject) = ids(rows.iter().map(|row| (row.org, row.subject)));
    let principal: Vec<_> = rows.iter().map(|row| text(&row.principal)).collect();
    let key: Vec<_> = rows.iter().map(|row| text(&row.key)).collect();
    let fingerprint: Vec<&[u8]> = rows.iter().map(|row| &row.fingerprint[..]).collect();
    let body: Vec<&[u8]> = rows.iter().map(|row| row.body.as_slice()).collect();
    let expires: Vec<i64> = rows.iter().map(|row| row.expires_at.as_micros()).collect();
    let now = batch.rows.now.as_micros();
    count(open, statement, rows.len(), &[&org, &principal, &key, &fingerprint, &subject, &body, &expires, &now]).await
}

async fn write_installations(open: &Transaction, statement: &Statement, batch: &Batch<'_>) -> Attempt<usize> {
    let rows = &batch.installations;
    let (org, pass) = ids(rows.iter().map(|row| (row.org, row.pass.uuid())));
    count(
        open,
        statement,
        rows.len(),
        &[
            &org,
            &pass,
            &rows.iter().map(|row| row.wallet).collect::<Vec<_>>(),
            &rows.iter().map(|row| text(&row.device)).collect::<Vec<_>>(),
            &rows.iter().map(|row| crate::convert::to_shard(row.shard)).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.active).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.since.as_micros()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.reason).collect::<Vec<_>>(),
            &rows.iter().map(|row| Timestamp::as_micros(row.first_installed_at)).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.push_token.as_deref().map(text)).collect::<Vec<_>>(),
        ],
    )
    .await
}

/// Names of contacts and external ids of passes: what is given up, then what is claimed.
#[derive(Default)]
struct Changes {
    dropped_names: BTreeSet<(OrgId, Uuid, Uuid)>,
    /// With those who come to have them, in their order.
    added_names: BTreeMap<(OrgId, Uuid), Vec<(ContactId, ContactKey)>>,
    dropped_externals: BTreeSet<(OrgId, Uuid, Uuid)>,
    added_externals: BTreeMap<(OrgId, Uuid, Uuid), Uuid>,
}

impl Changes {
    fn of(batch: &Batch<'_>, locked: &Locked) -> Attempt<Self> {
        let mut changes = Self::default();
        changes.names(batch, locked)?;
        changes.externals(batch, locked)?;
        Ok(changes)
    }

    /// Contacts are taken in the order of the batch: that is the order in which they come into a line.
    fn names(&mut self, batch: &Batch<'_>, locked: &Locked) -> Attempt<()> {
        let mut stored: HashMap<(OrgId, ContactId), BTreeSet<Uuid>> = HashMap::new();
        for (org, hash, contact) in &locked.names {
            stored.entry((*org, *contact)).or_default().insert(*hash);
        }
        for write in &batch.rows.contacts {
            let (org, id) = (write.row.org, write.row.id);
            let own = stored.remove(&(org, id)).unwrap_or_default();
            let mut kept = BTreeSet::new();
            for key in &write.keys {
                let hash = Uuid::from_bytes(key.hash);
                if own.contains(&hash) {
                    kept.insert(hash);
                    continue;
                }
                let line = self.added_names.entry((org, hash)).or_default();
                if key.required && !line.is_empty() {
                    return Err(Failed::Conflict);
                }
                line.push((id, *key));
            }
            self.dropped_names.extend(own.difference(&kept).map(|hash| (org, *hash, id.uuid())));
        }
        Ok(())
    }

    /// Passes are taken in the order of the batch, as if written one after another.
    fn externals(&mut self, batch: &Batch<'_>, locked: &Locked) -> Attempt<()> {
        let mut held: BTreeSet<_> = locked.passes.values().filter_map(|stored| stored.external).collect();
        for write in &batch.rows.passes {
            let row = &write.row;
            let before = locked.passes.get(&(row.org, row.id)).and_then(|stored| stored.external);
            let external = row.external.filter(|_| row.state != store::DELETED);
            let after = external.map(|external| (row.org, row.project.uuid(), Uuid::from_bytes(external)));
            if before == after {
                continue;
            }
            if let Some(before) = before {
                held.remove(&before);
                self.dropped_externals.insert(before);
            }
            if let Some(after) = after
                && (held.contains(&after) || self.added_externals.insert(after, row.id.uuid()).is_some())
            {
                return Err(Failed::Conflict);
            }
        }
        Ok(())
    }
}

/// Those who come to have a name, in the order of names and then of their line.
#[derive(Default)]
struct Named {
    orgs: Vec<Uuid>,
    hashes: Vec<Uuid>,
    contacts: Vec<Uuid>,
    places: Vec<Option<i64>>,
    behind: Vec<i64>,
    required: Vec<bool>,
}

impl Named {
    fn of(added: &BTreeMap<(OrgId, Uuid), Vec<(ContactId, ContactKey)>>) -> Self {
        let mut named = Self::default();
        for ((org, hash), line) in added {
            for (behind, (contact, key)) in (0..).zip(line) {
                named.orgs.push(org.uuid());
                named.hashes.push(*hash);
                named.contacts.push(contact.uuid());
                named.places.push(key.place);
                named.behind.push(behind);
                named.required.push(key.required);
            }
        }
        named
    }

    async fn add(&self, open: &Transaction, statement: &Statement) -> Attempt<usize> {
        let Self { orgs, hashes, contacts, places, behind, required } = self;
        count(open, statement, contacts.len(), &[orgs, hashes, contacts, places, behind, required]).await
    }
}

/// The second go, left out when no name and no external id changes.
pub(super) async fn change_names(open: &Transaction, statements: &Statements, batch: &Batch<'_>, locked: &Locked) -> Attempt<()> {
    let changes = Changes::of(batch, locked)?;
    let dropped = columns(changes.dropped_names.iter());
    let named = Named::of(&changes.added_names);
    let lost = columns(changes.dropped_externals.iter());
    let won = columns(changes.added_externals.keys());
    let passes: Vec<Uuid> = changes.added_externals.values().copied().collect();
    let answers = tokio::join!(
        biased;
        async { count(open, &statements.drop_names, dropped.0.len(), &[&dropped.0, &dropped.1, &dropped.2]).await },
        named.add(open, &statements.add_names),
        async { count(open, &statements.drop_externals, lost.0.len(), &[&lost.0, &lost.1, &lost.2]).await },
        async { count(open, &statements.add_externals, passes.len(), &[&won.0, &won.1, &won.2, &passes]).await },
    );
    let (dropped, joined, lost, won) = answers;
    dropped?;
    let joined = joined?;
    lost?;
    if won? != passes.len() || joined != named.contacts.len() {
        return Err(Failed::Conflict);
    }
    Ok(())
}

fn columns<'a>(keys: impl Iterator<Item = &'a (OrgId, Uuid, Uuid)>) -> (Vec<Uuid>, Vec<Uuid>, Vec<Uuid>) {
    let mut lists = (Vec::new(), Vec::new(), Vec::new());
    for (org, project, external) in keys {
        lists.0.push(org.uuid());
        lists.1.push(*project);
        lists.2.push(*external);
    }
    lists
}
