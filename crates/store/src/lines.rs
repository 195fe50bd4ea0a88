//! Contacts that have the same e-mail address: a line of them, of which the first is found.

use std::collections::HashSet;

use domain::{Contact, ContactId, ContactRef, OrgId};

use crate::{CommitRows, Committed, ContactRow, ContactWrite, LoadKeys, Store, error::Result};

/// Contacts that are looked through together.
const TOGETHER: u32 = 500;
/// Tries to write what somebody else got in the way of.
const RACES: u32 = 16;

impl Store {
    /// The contacts that have an e-mail address, the one that is found by it first, behind one of them. One that was changed at this
    /// moment may have another by now.
    pub async fn contacts_with(&self, org: OrgId, email: &str, behind: Option<ContactId>, limit: u32) -> Result<Vec<Contact>> {
        let Some(name) = self.contact_hash(org, &ContactRef::Email(email.to_owned()))? else { return Ok(Vec::new()) };
        let line = self.backend.line(org, name, behind, limit).await?;
        let mut found = self.contacts_of(org, &line).await?;
        Ok(line.iter().filter_map(|id| found.remove(id)).collect())
    }

    /// Puts contacts into the lines of their addresses that a release before this one, which kept only the first, left out: in the
    /// order of their ids, which is the one in which they were made. That takes the keys, so no migration can do it.
    pub(crate) async fn line_up(&self) -> Result<()> {
        for org in self.backend.unlined().await? {
            tracing::info!(%org, "looking for contacts that have the same e-mail address");
            let (mut after, mut put) = (None, 0);
            loop {
                let rows = self.backend.contacts(org, after, TOGETHER).await?;
                let Some(last) = rows.last() else { break };
                after = Some(last.id);
                put += self.line_up_page(org, rows).await?;
            }
            self.backend.lined(org).await?;
            tracing::info!(%org, contacts = put, "contacts that share their e-mail address are found when it is theirs alone");
        }
        Ok(())
    }

    /// How many were not the first of their lines.
    async fn line_up_page(&self, org: OrgId, rows: Vec<ContactRow>) -> Result<usize> {
        let mut read = Vec::new();
        for row in rows.into_iter().filter(|row| !row.body.is_empty()) {
            let (_, contact) = self.open_contact(&row)?;
            read.push((self.keys_of(org, &contact)?, row));
        }
        let names = read.iter().flat_map(|(keys, _)| keys.iter().map(|key| (org, key.hash))).collect();
        let found = self.backend.load(&LoadKeys { contact_keys: names, ..LoadKeys::default() }).await?.contact_keys;
        let first: HashSet<_> = found.into_iter().map(|(_, hash, contact)| (hash, contact)).collect();
        let behind = read.into_iter().filter(|(keys, row)| keys.iter().any(|key| !first.contains(&(key.hash, row.id))));
        let mut put = 0;
        for (keys, row) in behind {
            put += usize::from(self.line_up_one(ContactWrite { expected: Some(row.version), row, keys }).await?);
        }
        Ok(put)
    }

    /// False where the contact was changed meanwhile, which puts it into its lines.
    async fn line_up_one(&self, write: ContactWrite) -> Result<bool> {
        let at = (write.row.org, write.row.id);
        for _ in 0..RACES {
            let rows = CommitRows { contacts: vec![write.clone()], ..CommitRows::default() };
            if let Committed::Done(_) = self.backend.commit(rows).await? {
                return Ok(true);
            }
            let now = self.backend.load(&LoadKeys { contacts: vec![at], ..LoadKeys::default() }).await?.contacts;
            if now.iter().all(|row| row.version != write.row.version) {
                return Ok(false);
            }
        }
        tracing::warn!(contact = %write.row.id, "its names are disputed: it is found by its e-mail address after its next change");
        Ok(false)
    }
}
