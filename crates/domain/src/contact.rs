//! The person who holds passes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Channel, ContactId, FieldValue, ProjectId, Timestamp, Wallet, pass::is_zero};

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
    /// What was known of the person and was taken away since: whoever was told it has to be told that.
    #[serde(default, skip_serializing_if = "Cleared::is_empty")]
    pub gone: Cleared,
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
    /// Passes that another platform says are in a wallet, and not in which.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u32,
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
    /// `none`, `apple`, `google` or `both`; `unknown` where all that is known is that a wallet holds one.
    pub const fn name(self) -> &'static str {
        match (self.apple > 0, self.google > 0) {
            (false, false) if self.unknown > 0 => "unknown",
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
        let mut nowhere = None;
        let (count, installed_at) = match wallet {
            Wallet::Apple => (&mut self.apple, &mut self.apple_installed_at),
            Wallet::Google => (&mut self.google, &mut self.google_installed_at),
            Wallet::Unknown => (&mut self.unknown, &mut nowhere),
        };
        let before = *count;
        *count = if arrives { before.saturating_add(1) } else { before.saturating_sub(1) };
        let turned = (before == 0) != (*count == 0);
        if turned && arrives {
            *installed_at = Some(at).max(*installed_at);
        }
        // One that was in a wallet nobody named is, more likely than not, in the one that another has come to be in since.
        let is_newer = self.changed_at > Some(at) || wallet == Wallet::Unknown;
        let is_overtaken = !arrives && self.apple + self.google + self.unknown > 0 && is_newer;
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
            unknown: self.unknown + other.unknown,
            apple_installed_at: self.apple_installed_at.max(other.apple_installed_at),
            google_installed_at: self.google_installed_at.max(other.google_installed_at),
            changed_at: latest.changed_at,
            last_event: latest.last_event,
        }
    }
}

impl Contact {
    /// Somebody of whom nothing is known, first seen at a time.
    pub fn new(id: ContactId, at: Timestamp) -> Self {
        Self {
            id,
            version: 1,
            external_id: None,
            name: None,
            email: None,
            phone: None,
            traits: BTreeMap::new(),
            gone: Cleared::default(),
            bounced: BTreeMap::new(),
            wallets: BTreeMap::new(),
            erased_at: None,
            created_at: at,
            updated_at: at,
        }
    }

    /// The wallet status over all projects.
    pub fn wallet_status(&self) -> WalletStatus {
        self.wallets.values().fold(WalletStatus::default(), |sum, status| sum.and(*status))
    }

    /// Takes the wallets of several contacts together for its own: those of one record that all of them are found by.
    pub fn share_wallets<'c>(&mut self, all: impl IntoIterator<Item = &'c Self>) {
        self.wallets.clear();
        for contact in all {
            for (project, status) in &contact.wallets {
                let shared = self.wallets.entry(*project).or_default();
                *shared = shared.and(*status);
            }
        }
    }

    /// Of what is gone of it, remembers what none of several contacts has: those of one record that all of them are found by,
    /// which would lose what is another's.
    pub fn spare_what_is_had<'c>(&mut self, all: impl IntoIterator<Item = &'c Self>) {
        for contact in all {
            self.gone.name &= contact.name.is_none();
            self.gone.email &= contact.email.is_none();
            self.gone.phone &= contact.phone.is_none();
            self.gone.traits.retain(|name| !contact.traits.contains_key(name));
        }
    }

    /// Takes over what `input` says; reports whether anything changed.
    pub fn merge(&mut self, input: &ContactInput) -> bool {
        let before = (self.external_id.clone(), self.name.clone(), self.email.clone(), self.phone.clone());
        let mut traits = self.traits.clone();
        let Cleared { name, email, phone, traits: gone } = &input.cleared;
        for (held, cleared, given) in [
            (&mut self.external_id, false, &input.external_id),
            (&mut self.name, *name, &input.name),
            (&mut self.phone, *phone, &input.phone),
            (&mut self.email, *email, &input.email.as_deref().map(normalise_email)),
        ] {
            if cleared || given.is_some() {
                held.clone_from(given);
            }
        }
        for key in gone {
            self.traits.remove(key);
        }
        self.traits.extend(input.traits.iter().map(|(key, value)| (key.clone(), value.clone())));
        let differs = before != (self.external_id.clone(), self.name.clone(), self.email.clone(), self.phone.clone())
            || traits != self.traits;
        self.gone.name = self.name.is_none() && (self.gone.name || before.1.is_some());
        self.gone.email = self.email.is_none() && (self.gone.email || before.2.is_some());
        self.gone.phone = self.phone.is_none() && (self.gone.phone || before.3.is_some());
        traits.retain(|key, _| !self.traits.contains_key(key));
        self.gone.traits.retain(|key| !self.traits.contains_key(key));
        self.gone.traits.extend(traits.into_keys().filter(|key| key.len() <= Cleared::MAX_NAME_BYTES));
        self.gone.traits.drain(..self.gone.traits.len().saturating_sub(Cleared::MAX_TRAITS));
        differs
    }
}

/// What is told about a person; only what is given is changed. As JSON, `null` takes a name, an address, a number or a trait away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "ContactJson")]
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
    /// What is taken away.
    #[serde(skip)]
    pub cleared: Cleared,
}

/// What is taken from a person.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cleared {
    /// The name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub name: bool,
    /// The e-mail address: the person is not found by it any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub email: bool,
    /// The phone number.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub phone: bool,
    /// These traits, each once. Of those that are gone from a person the newest stand last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<String>,
}

impl Cleared {
    /// Most traits that are remembered as gone from a person: the newest.
    pub const MAX_TRAITS: usize = 200;
    /// Longest name of a trait that is remembered as gone, in bytes: all of them fit into a call of a data platform.
    pub const MAX_NAME_BYTES: usize = 100;

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// [`ContactInput`] as JSON: what is not there is left as it is, what is `null` is taken away.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ContactJson {
    external_id: Option<String>,
    #[serde(deserialize_with = "given")]
    name: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    email: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    phone: Option<Option<String>>,
    traits: BTreeMap<String, Option<FieldValue>>,
}

/// A member that is there, also as null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl From<ContactJson> for ContactInput {
    fn from(told: ContactJson) -> Self {
        let is_null = |given: &Option<Option<String>>| given.as_ref().is_some_and(Option::is_none);
        let nulls = told.traits.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.clone()).collect();
        Self {
            cleared: Cleared {
                name: is_null(&told.name),
                email: is_null(&told.email),
                phone: is_null(&told.phone),
                traits: nulls,
            },
            external_id: told.external_id,
            name: told.name.flatten(),
            email: told.email.flatten(),
            phone: told.phone.flatten(),
            traits: told.traits.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
        }
    }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_newest_of_what_is_gone_is_remembered() {
        let person = json!({
            "id": ContactId::from_uuid(Uuid::nil()), "version": 1,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        });
        let mut contact: Contact = serde_json::from_value(person).unwrap();
        let mut tell = |name: &str, value: Value| {
            let told: ContactInput = serde_json::from_value(json!({ "traits": { name: value } })).unwrap();
            contact.merge(&told);
            contact.gone.traits.clone()
        };
        for number in (0..=Cleared::MAX_TRAITS).rev() {
            tell(&format!("{number:03}"), json!(1));
            tell(&format!("{number:03}"), Value::Null);
        }
        let long = "x".repeat(Cleared::MAX_NAME_BYTES + 1);
        tell(&long, json!(1));
        let gone = tell(&long, Value::Null);
        assert_eq!(
            (gone.len(), gone[0].as_str(), gone[199].as_str()),
            (200, "199", "000"),
            "the oldest went, the long is not kept"
        );
        let gone = tell("100", json!(1));
        assert_eq!((gone.len(), gone.contains(&"100".to_owned())), (199, false), "it is there again");
        assert_eq!(tell("100", Value::Null).last().map(String::as_str), Some("100"));
    }
}
