//! Targets: what may be a credential is sealed on the way down and opened on the way up.

use std::collections::BTreeMap;

use domain::{OrgId, Target, TargetId};

use crate::{
    ConfigWrite, Resource, ResourceRow, SealedSecret, Store, StoreError, Stored, StoredTarget, error::Result, store::to_json,
};

impl StoredTarget {
    /// The names of its headers, which alone are shown.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.sealed_headers.keys().chain(self.target.headers.keys()).map(String::as_str)
    }
}

impl Store {
    /// A target as it is kept: the values of its headers sealed, its signing secrets as they are given, sealed already.
    pub fn seal_target(&self, org: OrgId, mut target: Target, sealed_secrets: Vec<SealedSecret>) -> Result<StoredTarget> {
        let mut sealed_headers = BTreeMap::new();
        for (name, value) in std::mem::take(&mut target.headers) {
            let sealed = self.seal_for::<StoredTarget>(org, target.id.uuid(), value.as_bytes())?;
            sealed_headers.insert(name, sealed);
        }
        let (id, mut sealed_credentials) = (target.id.uuid(), BTreeMap::new());
        for (name, value) in target.credentials() {
            let value = std::mem::take(&mut value.0);
            sealed_credentials.insert(name.to_owned(), self.seal_for::<StoredTarget>(org, id, value.as_bytes())?);
        }
        Ok(StoredTarget { target, sealed_headers, sealed_credentials, sealed_settings: BTreeMap::new(), sealed_secrets })
    }

    /// A credential among a target's settings, as it is kept.
    pub fn seal_setting(&self, org: OrgId, target: TargetId, value: &str) -> Result<String> {
        self.seal_for::<StoredTarget>(org, target.uuid(), value.as_bytes())
    }

    /// The credentials among a target's settings, opened.
    pub fn open_settings(&self, org: OrgId, stored: &StoredTarget) -> Result<BTreeMap<String, String>> {
        let open = |(name, sealed): (&String, &String)| Ok((name.clone(), self.open_text(org, stored, name, sealed)?));
        stored.sealed_settings.iter().map(open).collect()
    }

    fn open_text(&self, org: OrgId, stored: &StoredTarget, name: &str, sealed: &str) -> Result<String> {
        let opened = self.open_of::<StoredTarget>(org, stored.target.id.uuid(), sealed)?;
        let value = std::str::from_utf8(&opened).map_err(|_| StoreError::Inconsistent {
            table: "resources",
            column: "body",
            row: format!("{} {}", StoredTarget::KIND.number(), stored.target.id),
            why: format!("{name} is no text"),
        })?;
        Ok(value.to_owned())
    }

    /// A target as it is used, with its headers and credentials.
    pub fn open_target(&self, org: OrgId, stored: &StoredTarget) -> Result<Target> {
        let mut target = stored.target.clone();
        for (name, sealed) in &stored.sealed_headers {
            target.headers.insert(name.clone(), self.open_text(org, stored, name, sealed)?);
        }
        for (name, value) in target.credentials() {
            if let Some(sealed) = stored.sealed_credentials.get(name) {
                value.0 = self.open_text(org, stored, name, sealed)?;
            }
        }
        Ok(target)
    }

    /// Seals headers that a version before this one kept in the clear. That takes the keys, so no migration can do it. Leaves
    /// no audit entry: nobody changed anything, and the entry would show what it is to hide.
    pub(crate) async fn seal_plain_headers(&self) -> Result<()> {
        let catalog = self.catalog();
        for (org, config) in catalog.orgs() {
            for stored in config.targets.values().filter(|stored| !stored.value.target.headers.is_empty()) {
                let row = self.sealed_row(org, stored)?;
                // Another node that starts at the same time may be faster; then it is done.
                self.written(ConfigWrite { resources: vec![row], ..ConfigWrite::default() }).await?;
            }
        }
        Ok(())
    }

    fn sealed_row(&self, org: OrgId, stored: &Stored<StoredTarget>) -> Result<ResourceRow> {
        let opened = self.open_target(org, &stored.value)?;
        let sealed = self.seal_target(org, opened, stored.value.sealed_secrets.clone())?;
        let sealed = StoredTarget { sealed_settings: stored.value.sealed_settings.clone(), ..sealed };
        Ok(ResourceRow {
            org,
            kind: StoredTarget::KIND.number(),
            id: sealed.id(),
            slug: sealed.slug().map(str::to_owned),
            body: to_json(&sealed)?,
            revision: stored.revision + 1,
            changed: 0,
            deleted: false,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        })
    }
}
