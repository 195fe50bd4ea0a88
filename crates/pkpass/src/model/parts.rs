//! Barcodes, NFC, and what makes a pass relevant.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ActionKind, BarcodeFormat};

/// A barcode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Barcode {
    /// Symbology.
    pub format: BarcodeFormat,
    /// What the scanner reads.
    pub message: String,
    /// IANA name of the message's text encoding; `iso-8859-1` is the most portable, `utf-8` for other scripts.
    pub message_encoding: String,
    /// Text under the barcode; not on a watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt_text: Option<String>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Barcode {
    /// A barcode whose encoding follows the message: ISO 8859-1 where it suffices, else UTF-8.
    pub fn new(format: BarcodeFormat, message: impl Into<String>) -> Self {
        let message = message.into();
        let latin = message.chars().all(|c| (c as u32) < 0x100);
        let message_encoding = if latin { "iso-8859-1" } else { "utf-8" }.to_owned();
        Self { format, message, message_encoding, alt_text: None, extra: Map::new() }
    }
}

/// Contactless payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nfc {
    /// What the terminal reads, at most 64 bytes; the rest is cut off.
    pub message: String,
    /// Base64 of the terminal's P-256 key as SubjectPublicKeyInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_public_key: Option<String>,
    /// Asks for Face ID, Touch ID or passcode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_authentication: Option<bool>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A place where the pass is relevant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Metres above sea level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altitude: Option<f64>,
    /// Text on the lock screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevant_text: Option<String>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An iBeacon near which the pass is relevant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beacon {
    /// UUID of the beacon's region.
    #[serde(rename = "proximityUUID")]
    pub proximity_uuid: String,
    /// Major number, all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<u16>,
    /// Minor number, all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u16>,
    /// Text on the lock screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevant_text: Option<String>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A moment, or an interval of at most 24 hours, in which the pass is relevant. All dates carry a zone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelevantDate {
    /// The moment, as iOS 26 and later read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The moment, as iOS 18 read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevant_date: Option<String>,
    /// Start of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<String>,
    /// End of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<String>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl RelevantDate {
    /// A moment, under the keys of iOS 18 and of iOS 26.
    pub fn at(date: impl Into<String>) -> Self {
        let date = date.into();
        Self { relevant_date: Some(date.clone()), date: Some(date), ..Self::default() }
    }

    /// An interval, at most 24 hours.
    pub fn between(start: impl Into<String>, end: impl Into<String>) -> Self {
        Self { start_date: Some(start.into()), end_date: Some(end.into()), ..Self::default() }
    }
}

/// Most buttons on a pass.
pub const MAX_FEATURED_ACTIONS: usize = 2;

/// A button on the pass, iOS 27 and later; not on poster tickets and semantic boarding passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeaturedAction {
    /// Unique among the actions.
    pub identifier: String,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: ActionKind,
    /// Where it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The place on Apple's map that a [`ActionKind::Place`] leads to in place of an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place_identifier: Option<String>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
