//! Further dated entries of one pass, such as the matches of a season ticket (iOS 26). Source: Apple, *Wallet Passes*,
//! `UpcomingPassInformationEntry` and its parts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Field, Semantics};

/// Largest image that a phone fetches for an entry, in bytes.
pub const MAX_REMOTE_IMAGE_BYTES: u64 = 2 << 20;

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpcomingEntry {
    /// `event`; nothing else exists yet.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unique among the entries.
    pub identifier: String,
    /// Its name.
    pub name: String,
    /// When it is; without it the phone says that the date is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_information: Option<DateInformation>,
    /// True for the entry that is on now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
    /// Its facts.
    #[serde(default, skip_serializing_if = "Semantics::is_empty")]
    pub semantics: Semantics,
    /// Links of its guide, by Apple's names such as `bagPolicyURL`.
    #[serde(rename = "URLs", default, skip_serializing_if = "Map::is_empty")]
    pub urls: Map<String, Value>,
    /// App Store ids of companion apps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auxiliary_store_identifiers: Vec<u64>,
    /// Details.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub back_fields: Vec<Field>,
    /// Further information.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_info_fields: Vec<Field>,
    /// Its pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<EntryImages>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// When an entry is, and how much of that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DateInformation {
    /// The date with zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// IANA name of the zone to show it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Shows the day alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_time_components: Option<bool>,
    /// Lasts all day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_all_day: Option<bool>,
    /// The time is not announced yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_unannounced: Option<bool>,
    /// The time is not decided yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_undetermined: Option<bool>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Pictures of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntryImages {
    /// On top of the details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_image: Option<EntryImage>,
    /// Map of the venue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venue_map: Option<EntryImage>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A picture: the one inside the pass, or one to fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntryImage {
    /// Takes the picture of the same name inside the pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse_existing: Option<bool>,
    /// Where it is, by scale.
    #[serde(rename = "URLs", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<RemoteImage>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A picture to fetch; the phone takes it only with this hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteImage {
    /// Its address, https.
    #[serde(rename = "URL")]
    pub url: String,
    /// SHA-256 of its bytes in lower-case hex.
    #[serde(rename = "SHA256")]
    pub sha256: String,
    /// Pixels a point; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
    /// Its length in bytes, at most [`MAX_REMOTE_IMAGE_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
