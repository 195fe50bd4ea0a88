//! Event sources.

use serde::{Deserialize, Serialize};

use crate::{SourceId, Timestamp};

/// Something that sends business events. Its write key is shown once; a hash of it is kept in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its id; its webhook address is `/ingest/{id}`.
    pub id: SourceId,
    /// Short name, unique in the organization, used in flows.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
    /// Which connector reads it.
    pub kind: SourceKind,
    /// First characters of the write key, to recognise it by.
    pub key_prefix: String,
    /// Whether its events are taken; when not, senders get 404 as RudderStack's gateway answers for a disabled source.
    pub enabled: bool,
    /// Whether one event that cannot be read fails its whole batch with 400, as RudderStack's gateway does. Otherwise the
    /// good ones are taken and the bad one is kept with its reason.
    #[serde(default)]
    pub strict: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Which connector reads a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// RudderStack: webhook destination and data plane.
    Rudderstack,
}

/// Something that happened in the business, as it reached us, in the terms that the inbox needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEvent {
    /// The sender's own id of it; the same one again from the same source is a duplicate.
    pub dedupe_key: String,
    /// Events of one key are handled in the order of arrival: userId, else anonymousId, e-mail, dedupe key.
    pub order_key: String,
    /// What it is called, for people: `track membership_signed_up`.
    pub name: String,
    /// When it happened, by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// The event as JSON, as flows see it.
    pub payload: String,
}
