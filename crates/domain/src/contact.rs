//! The person who holds passes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Channel, ContactId, FieldValue, ProjectId, Timestamp, Wallet};

/// The person who holds passes. Everything but the id is personal and sealed at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// Bumped by every change.
    pub version: u64,
    /// The id that the customer's own systems know the person by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Name as shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail address, normalised (trimmed, lower case).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Phone number as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Anything else that was told about the person.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, FieldValue>,
    /// The address or number that refused a message, by the way it came. Another address is tried.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bounced: BTreeMap<Channel, String>,
    /// How many of the person's live passes are in each wallet now, per project.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wallets: BTreeMap<ProjectId, WalletStatus>,
    /// Set once the person was erased; nothing personal is left then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<Timestamp>,
    /// When the person was first seen.
    pub created_at: Timestamp,
    /// When this last changed.
    pub updated_at: Timestamp,
}

/// In which wallets live passes are installed, counted in passes. A pass that leaves a wallet counts on for
/// [`crate::Pass::HOLD`], so that a phone that drops and takes it again changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WalletStatus {
    /// Passes in Apple Wallet.
    pub apple: u32,
    /// Passes in Google Wallet.
    pub google: u32,
    /// When Apple Wallet last came to hold one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apple_installed_at: Option<Timestamp>,
    /// When Google Wallet last came to hold one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub google_installed_at: Option<Timestamp>,
    /// When a wallet last came to hold one, or held none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// Which of the two that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<WalletEvent>,
}

/// What last happened between a person's passes and a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalletEvent {
    /// A wallet came to hold a live pass.
    Installed,
    /// A wallet holds none any more.
    Uninstalled,
}

impl WalletStatus {
    /// `none`, `apple`, `google` or `both`.
    pub const fn name(self) -> &'static str {
        match (self.apple > 0, self.google > 0) {
            (false, false) => "none",
            (true, false) => "apple",
            (false, true) => "google",
            (true, true) => "both",
        }
    }

    /// A live pass came into a wallet, or left it, at a time. True when the wallet held none before, or holds none after.
    /// A removal that was held comes to count late: what happened in the other wallet since stays what happened last, as
    /// long as that wallet holds a pass.
    pub fn count(&mut self, wallet: Wallet, arrives: bool, at: Timestamp) -> bool {
        let (count, installed_at) = match wallet {
            Wallet::Apple => (&mut self.apple, &mut self.apple_installed_at),
            Wallet::Google => (&mut self.google, &mut self.google_installed_at),
        };
        let before = *count;
        *count = if arrives { before.saturating_add(1) } else { before.saturating_sub(1) };
        let turned = (before == 0) != (*count == 0);
        if turned && arrives {
            *installed_at = Some(at).max(*installed_at);
        }
        let is_overtaken = !arrives && self.apple + self.google > 0 && self.changed_at > Some(at);
        if turned && !is_overtaken {
            self.changed_at = Some(at).max(self.changed_at);
            self.last_event = Some(if arrives { WalletEvent::Installed } else { WalletEvent::Uninstalled });
        }
        turned
    }

    /// Both together, as of whichever changed last.
    #[must_use]
    fn and(self, other: Self) -> Self {
        let latest = if other.changed_at > self.changed_at { other } else { self };
        Self {
            apple: self.apple + other.apple,
            google: self.google + other.google,
            apple_installed_at: self.apple_installed_at.max(other.apple_installed_at),
            google_installed_at: self.google_installed_at.max(other.google_installed_at),
            changed_at: latest.changed_at,
            last_event: latest.last_event,
        }
    }
}

impl Contact {
    /// The wallet status over all projects.
    pub fn wallet_status(&self) -> WalletStatus {
        self.wallets.values().fold(WalletStatus::default(), |sum, status| sum.and(*status))
    }

    /// Takes over what `input` says; reports whether anything changed.
    pub fn merge(&mut self, input: &ContactInput) -> bool {
        let before = (self.external_id.clone(), self.name.clone(), self.email.clone(), self.phone.clone());
        let traits = self.traits.clone();
        for (held, given) in
            [(&mut self.external_id, &input.external_id), (&mut self.name, &input.name), (&mut self.phone, &input.phone)]
        {
            if given.is_some() {
                held.clone_from(given);
            }
        }
        if let Some(email) = &input.email {
            self.email = Some(normalise_email(email));
        }
        self.traits.extend(input.traits.iter().map(|(key, value)| (key.clone(), value.clone())));
        before != (self.external_id.clone(), self.name.clone(), self.email.clone(), self.phone.clone()) || traits != self.traits
    }
}

/// What is told about a person; only what is given is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContactInput {
    /// The id that the customer's own systems know the person by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Name as shown to people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Phone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Anything else.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, FieldValue>,
}

impl ContactInput {
    /// Whether it names somebody: an external id or an e-mail address.
    pub fn identifies(&self) -> bool {
        self.external_id.is_some() || self.email.is_some()
    }
}

/// An e-mail address in the form it is compared in: trimmed and lower case.
pub fn normalise_email(email: &str) -> String {
    email.trim().to_lowercase()
}
