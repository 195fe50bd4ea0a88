//! What destinations that hold a state were last told of each contact. Only a keyed hash is kept: it says nothing, and suffices
//! to see whether the truth is another by now.

use std::collections::HashMap;

use domain::{Contact, ContactId, OrgId, TargetId};

use crate::{Catalog, Hash, LoadKeys, Store, error::Result};

/// Notes that are removed in one transaction.
const DROPPED_AT_ONCE: u32 = 1_000;

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
