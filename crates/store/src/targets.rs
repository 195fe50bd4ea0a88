//! Targets: what may be a credential is sealed on the way down and opened on the way up.

use std::collections::BTreeMap;

use domain::{OrgId, Target, TargetId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{ConfigWrite, Resource, ResourceRow, Store, StoreError, Stored, error::Result, store::to_json};

/// A target with its credentials sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTarget {
    /// The target, without the values of its headers.
    pub target: Target,
    /// Its headers: each value sealed by [`crate::Store::seal_for`] under its name, because it may be a credential.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed_headers: BTreeMap<String, String>,
    /// Its other credentials ([`Target::credentials`]), each sealed likewise under its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed_credentials: BTreeMap<String, String>,
    /// Those of its settings that are credentials, each value sealed alike under its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed_settings: BTreeMap<String, String>,
    /// Signing secrets; the first is the present one, others are still valid in a rotation, until they end.
    pub sealed_secrets: Vec<SealedSecret>,
}

/// A signing secret of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SealedSecretForm", into = "SealedSecretForm")]
pub struct SealedSecret {
    /// Its text (`whsec_...`), sealed by [`crate::Store::seal_for`].
    pub sealed: String,
    /// When it ends; without one it stays until somebody ends the rotation.
    pub until: Option<Timestamp>,
}

impl From<String> for SealedSecret {
    fn from(sealed: String) -> Self {
        Self { sealed, until: None }
    }
}

/// How it is written: one without an end is its text alone, as it was before there were ends.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SealedSecretForm {
    Open(String),
    Ending { sealed: String, until: Timestamp },
}

impl From<SealedSecretForm> for SealedSecret {
    fn from(form: SealedSecretForm) -> Self {
        match form {
            SealedSecretForm::Open(sealed) => sealed.into(),
            SealedSecretForm::Ending { sealed, until } => Self { sealed, until: Some(until) },
        }
    }
}

impl From<SealedSecret> for SealedSecretForm {
    fn from(SealedSecret { sealed, until }: SealedSecret) -> Self {
        match until {
            None => Self::Open(sealed),
            Some(until) => Self::Ending { sealed, until },
        }
    }
}

impl StoredTarget {
    /// The earlier signing secrets that are still signed with at a time, newest first.
    pub fn earlier_secrets(&self, now: Timestamp) -> impl Iterator<Item = &SealedSecret> {
        self.sealed_secrets.iter().skip(1).filter(move |earlier| earlier.until.is_none_or(|until| now < until))
    }

    /// Puts a new signing secret first. Those that were in force end at a time, if they would not have ended before; at most
    /// `most` of them are kept.
    pub fn rotate_secret(&mut self, sealed: String, until: Timestamp, most: usize, now: Timestamp) {
        let ends =
            |earlier: SealedSecret| SealedSecret { until: Some(earlier.until.map_or(until, |own| own.min(until))), ..earlier };
        let held = std::mem::take(&mut self.sealed_secrets).into_iter().map(ends);
        let kept = held.filter(|earlier| earlier.until.is_some_and(|until| now < until)).take(most);
        self.sealed_secrets = std::iter::once(SealedSecret::from(sealed)).chain(kept).collect();
    }

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
