//! The tenant and its keys.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{KeyId, OrgId, Timestamp};

/// The tenant; every row, key and query belongs to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Its id.
    pub id: OrgId,
    /// Name shown to people.
    pub name: String,
    /// When it was set up.
    pub created_at: Timestamp,
}

/// Which organizations may use something of the operator's. None may, unless told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    /// Each, also one that comes later.
    All,
    /// These.
    Only(BTreeSet<OrgId>),
}

impl Default for Users {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl Users {
    /// Whether an organization may.
    #[must_use]
    pub fn has(&self, org: OrgId) -> bool {
        match self {
            Self::All => true,
            Self::Only(orgs) => orgs.contains(&org),
        }
    }
}

/// What an API key may do. `Admin` may do everything in its organization, `Operator` everything in every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Organizations themselves and every other scope, in all organizations.
    Operator,
    /// Every other scope, in the key's own organization.
    Admin,
    /// Read projects, templates, flows, sources, webhooks, signers.
    ConfigRead,
    /// Change them.
    ConfigWrite,
    /// Read passes, contacts, events and deliveries.
    PassesRead,
    /// Issue and change passes and contacts.
    PassesWrite,
    /// Scan passes.
    Scan,
    /// Take scans back.
    ScanUndo,
}

impl Scope {
    /// Whether a key with this scope may do what `wanted` allows.
    pub fn grants(self, wanted: Self) -> bool {
        self == wanted
            || self == Self::Operator
            || (self == Self::Admin && wanted != Self::Operator)
            || matches!(
                (self, wanted),
                (Self::ConfigWrite, Self::ConfigRead) | (Self::PassesWrite, Self::PassesRead | Self::Scan | Self::ScanUndo)
            )
    }
}

/// A key to the API. The secret is shown once; a hash of it is kept in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// Name shown to people.
    pub name: String,
    /// First characters of the secret, to recognise it by.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Requests per second it may make; none means the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
    /// When it stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ApiKey {
    /// Whether it may do what `wanted` allows.
    pub fn may(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.grants(wanted))
    }
}
