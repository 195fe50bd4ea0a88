//! Passes, contacts and installations, read to be looked at.

use domain::{Contact, ContactId, ContactRef, Installation, OrgId, Pass, PassId, ProjectId, Wallet};

use super::load::open_installation;
use crate::{
    Store,
    error::Result,
    kinds::wallet_number,
    rows::{ContactRow, LoadKeys, PassFilter, PassRow},
};

impl Store {
    /// A pass.
    pub async fn pass(&self, org: OrgId, id: PassId) -> Result<Option<Pass>> {
        let rows = self.backend.load(&LoadKeys { passes: vec![(org, id)], ..LoadKeys::default() }).await?;
        Ok(self.opened_passes(&rows.passes)?.into_iter().next())
    }

    /// A pass with its contact.
    pub async fn pass_with_contact(&self, org: OrgId, id: PassId) -> Result<Option<(Pass, Option<Contact>)>> {
        let rows = self.backend.load(&LoadKeys { passes: vec![(org, id)], ..LoadKeys::default() }).await?;
        let Some(row) = rows.passes.first() else { return Ok(None) };
        let (_, pass) = self.open_pass(row)?;
        let contact = rows.contacts.iter().find(|contact| Some(contact.id) == pass.contact);
        Ok(Some((pass, contact.map(|row| self.open_contact(row).map(|(_, contact)| contact)).transpose()?)))
    }

    /// The passes of some keys.
    pub async fn passes_of(&self, keys: &LoadKeys) -> Result<Vec<Pass>> {
        let rows = self.backend.load(keys).await?;
        self.opened_passes(&rows.passes)
    }

    /// A page of passes in the order of their ids.
    pub async fn passes(
        &self,
        org: OrgId,
        project: Option<ProjectId>,
        contact: Option<ContactId>,
        after: Option<PassId>,
        limit: u32,
    ) -> Result<Vec<Pass>> {
        let rows = self.backend.passes(org, project, contact, after, limit).await?;
        self.opened_passes(&rows)
    }

    /// A page of the passes that fulfil a filter.
    pub async fn find_passes(&self, org: OrgId, filter: &PassFilter, limit: u32) -> Result<Vec<Pass>> {
        let rows = self.backend.find_passes(org, filter, limit).await?;
        self.opened_passes(&rows)
    }

    /// A page of a project's passes in the order of their ids, each with the number of the last event that changed what it
    /// shows.
    pub async fn passes_as_shown(
        &self,
        org: OrgId,
        project: ProjectId,
        after: Option<PassId>,
        limit: u32,
    ) -> Result<Vec<(Pass, i64)>> {
        let rows = self.backend.passes(org, Some(project), None, after, limit).await?;
        rows.iter().map(|row| self.open_pass(row).map(|(_, pass)| (pass, row.content_seq))).collect()
    }

    /// The pass of an external id that is not deleted.
    pub async fn pass_by_external_id(&self, org: OrgId, project: ProjectId, external_id: &str) -> Result<Option<Pass>> {
        let hash = self.external_hash(org, external_id)?;
        let rows = self.backend.load(&LoadKeys { externals: vec![(org, project, hash)], ..LoadKeys::default() }).await?;
        Ok(self.opened_passes(&rows.passes)?.into_iter().next())
    }

    /// The passes of an external id that are not deleted, of some projects.
    pub async fn passes_by_external_id(&self, org: OrgId, projects: &[ProjectId], external_id: &str) -> Result<Vec<Pass>> {
        let hash = self.external_hash(org, external_id)?;
        let externals = projects.iter().map(|project| (org, *project, hash)).collect();
        self.passes_of(&LoadKeys { externals, ..LoadKeys::default() }).await
    }

    /// A contact.
    pub async fn contact(&self, org: OrgId, contact: &ContactRef) -> Result<Option<Contact>> {
        let mut keys = LoadKeys::default();
        match (contact, self.contact_hash(org, contact)?) {
            (ContactRef::Id(id), _) => keys.contacts.push((org, *id)),
            (_, hash) => keys.contact_keys.extend(hash.map(|hash| (org, hash))),
        }
        let rows = self.backend.load(&keys).await?;
        rows.contacts.first().map(|row| self.open_contact(row).map(|(_, contact)| contact)).transpose()
    }

    /// A page of contacts in the order of their ids.
    pub async fn contacts(&self, org: OrgId, after: Option<ContactId>, limit: u32) -> Result<Vec<Contact>> {
        let rows = self.backend.contacts(org, after, limit).await?;
        self.opened_contacts(&rows)
    }

    /// A page of the contacts with passes in these wallets, in the order of their ids.
    pub async fn find_contacts(&self, org: OrgId, wallets: i16, after: Option<ContactId>, limit: u32) -> Result<Vec<Contact>> {
        let rows = self.backend.find_contacts(org, wallets, after, limit).await?;
        self.opened_contacts(&rows)
    }

    /// Passes that an Apple device is registered for, each with the number of the last event that changed what it shows.
    pub async fn passes_on_device(&self, org: OrgId, device: &str) -> Result<Vec<(Pass, u64)>> {
        let rows = self.backend.passes_on_device(org, device).await?;
        let open = |row: &PassRow| Ok((self.open_pass(row)?.1, u64::try_from(row.content_seq).unwrap_or(0)));
        rows.iter().map(open).collect()
    }

    /// A pass's installations after one, in the order of wallets and devices.
    pub async fn installations(
        &self,
        org: OrgId,
        pass: PassId,
        after: Option<(Wallet, String)>,
        limit: u32,
    ) -> Result<Vec<Installation>> {
        let after = after.map(|(wallet, device)| (wallet_number(wallet), device));
        self.backend.installations(org, pass, after, limit).await?.iter().map(open_installation).collect()
    }

    fn opened_passes(&self, rows: &[PassRow]) -> Result<Vec<Pass>> {
        rows.iter().map(|row| Ok(self.open_pass(row)?.1)).collect()
    }

    fn opened_contacts(&self, rows: &[ContactRow]) -> Result<Vec<Contact>> {
        rows.iter().map(|row| Ok(self.open_contact(row)?.1)).collect()
    }
}
