//! Event sources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{FieldValue, SourceId, Timestamp};

/// Something that sends business events. Its write key is shown once; a hash of it is kept in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its id; its webhook address is `/ingest/{id}`.
    pub id: SourceId,
    /// Short name, unique in the organization, used in flows.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
    /// Which connector reads it: its slug in the catalog.
    pub kind: String,
    /// First characters of the write key, to recognise it by; empty for sources that know no write key.
    pub key_prefix: String,
    /// The same of the write key before, as long as it is in force beside the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_key_prefix: Option<String>,
    /// The secrets that its sender signs with, sealed; the first is the newest, another one is still in force in a rotation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed_secrets: Vec<String>,
    /// What was set for its connector, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, FieldValue>,
    /// Whether its events are taken; when not, senders get 404 as RudderStack's gateway answers for a disabled source.
    pub enabled: bool,
    /// Whether one event that cannot be read fails its whole batch with 400, as RudderStack's gateway does. Otherwise the
    /// good ones are taken and the bad one is kept with its reason.
    #[serde(default)]
    pub strict: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Something that happened in the business, as it reached us, in the terms that the inbox needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEvent {
    /// The sender's own id of it; the same one again from the same source is a duplicate.
    pub dedupe_key: String,
    /// Events of one key are handled in the order of arrival: userId, else anonymousId, e-mail, dedupe key.
    pub order_key: String,
    /// What it is called, for people: see [`SourceEvent::name_of`].
    pub name: String,
    /// When it happened, by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// The event as JSON, as flows see it.
    pub payload: String,
}

impl SourceEvent {
    /// Characters of what an event is about that its name has; the others are cut off.
    pub const MAX_ABOUT_CHARS: usize = 120;

    /// What people call an event: its call, and what that is about where it tells, `track membership_signed_up`.
    pub fn name_of(call: &str, about: Option<&str>) -> String {
        let mut name = call.to_owned();
        if let Some(about) = about.filter(|about| !about.trim().is_empty()) {
            name.push(' ');
            name.extend(Self::about(about));
        }
        name
    }

    /// What an event is about, as its name has it: on one line and not for ever.
    pub fn about(text: &str) -> impl Iterator<Item = char> {
        text.trim().chars().take(Self::MAX_ABOUT_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c })
    }
}
