//! What destinations that hold a state were last told of each contact. Only a keyed hash is kept: it says nothing, and suffices
//! to see whether the truth is another by now.

use std::collections::HashMap;

use domain::{Contact, ContactId, OrgId, TargetId};

use crate::{Catalog, Hash, LoadKeys, Store, error::Result};

/// Notes that are removed in one transaction.
const DROPPED_AT_ONCE: u32 = 1_000;
/// Contacts that one record of a destination is of, at most; those after them are left out of it.
pub const MOST_SHARE: u32 = 100;

impl Store {
    /// The hash of what is told, where `state` is the same text for the same state.
    pub fn synced_hash(&self, org: OrgId, state: &str) -> Result<Hash> {
        self.keyring().blind(org, "synced", state)
    }

    /// What a destination was last told of these contacts.
    pub async fn synced(&self, org: OrgId, target: TargetId, contacts: &[ContactId]) -> Result<HashMap<ContactId, Hash>> {
        if contacts.is_empty() {
            return Ok(HashMap::new());
        }
        Ok(self.backend().synced(org, target, contacts).await?.into_iter().collect())
    }

    /// Notes what a destination took, or that what it holds is not known. The last word on a contact counts.
    pub async fn note_synced(
        &self,
        org: OrgId,
        target: TargetId,
        told: impl IntoIterator<Item = (ContactId, Option<Hash>)>,
    ) -> Result<()> {
        let told: HashMap<ContactId, Option<Hash>> = told.into_iter().collect();
        if told.is_empty() {
            return Ok(());
        }
        self.backend().note_synced(org, target, told.into_iter().collect()).await
    }

    /// Who is found by the same key at a destination as each of these contacts, itself among them, in the order of ids and at most
    /// a hundred; contacts that nobody shares a key with are left out. Whoever is asked for is noted under its key. Some that
    /// are answered may have another key by now.
    pub async fn sharing(
        &self,
        org: OrgId,
        target: TargetId,
        keyed: &[(ContactId, String)],
    ) -> Result<HashMap<ContactId, Vec<ContactId>>> {
        let record = |(id, key): &(ContactId, String)| Ok((*id, self.keyring().blind(org, "record", key)?));
        let asked = keyed.iter().map(record).collect::<Result<Vec<(ContactId, Hash)>>>()?;
        let mut records: Vec<Hash> = asked.iter().map(|(_, record)| *record).collect();
        records.sort_unstable();
        records.dedup();
        let known = async || -> Result<HashMap<Hash, Vec<ContactId>>> {
            let mut known: HashMap<Hash, Vec<ContactId>> = HashMap::new();
            for (record, contact) in self.backend().record_contacts(org, target, records.clone(), MOST_SHARE).await? {
                known.entry(record).or_default().push(contact);
            }
            Ok(known)
        };
        let mut found = known().await?;
        let is_new = |(id, record): &&(ContactId, Hash)| {
            found.get(record).is_none_or(|those| !those.contains(id) && those.len() < MOST_SHARE as usize)
        };
        let new: Vec<(Hash, ContactId)> = asked.iter().filter(is_new).map(|(id, record)| (*record, *id)).collect();
        if !new.is_empty() {
            // Of two that come at once, whoever is later written down sees the other.
            self.backend().note_records(org, target, new).await?;
            found = known().await?;
        }
        let shared = |(id, record): (ContactId, Hash)| Some((id, found.get(&record).filter(|those| those.len() > 1)?.clone()));
        Ok(asked.into_iter().filter_map(shared).collect())
    }

    /// Removes what is noted of destinations that there are no more; how much it was.
    pub async fn tidy_synced(&self, catalog: &Catalog) -> Result<u64> {
        let (mut after, mut gone) = (None, 0);
        while let Some((org, target)) = self.backend().next_synced(after).await? {
            after = Some((org, target));
            if catalog.org(org).is_some_and(|config| config.targets.contains_key(&target.uuid())) {
                continue;
            }
            loop {
                let dropped = self.backend().drop_synced(org, target, DROPPED_AT_ONCE).await?;
                gone += u64::from(dropped);
                if dropped < DROPPED_AT_ONCE {
                    break;
                }
            }
        }
        Ok(gone)
    }

    /// Contacts by their ids, as they are now.
    pub async fn contacts_of(&self, org: OrgId, ids: &[ContactId]) -> Result<HashMap<ContactId, Contact>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let keys = LoadKeys { contacts: ids.iter().map(|id| (org, *id)).collect(), ..LoadKeys::default() };
        let rows = self.backend().load(&keys).await?;
        rows.contacts.iter().map(|row| self.open_contact(row).map(|(_, contact)| (contact.id, contact))).collect()
    }
}
