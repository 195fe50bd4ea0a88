//! What destinations that hold a state were last told of each contact. Only a keyed hash is kept: it says nothing, and suffices
//! to see whether the truth is another by now.

use std::collections::HashMap;

use domain::{Contact, ContactId, OrgId, TargetId};

use crate::{Hash, LoadKeys, Store, error::Result};

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
