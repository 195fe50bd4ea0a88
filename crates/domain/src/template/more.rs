//! Barcode, links, relevance, NFC and personalisation of a design.

use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::Text;

/// A barcode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barcode {
    /// Its symbology.
    pub format: BarcodeFormat,
    /// What it encodes.
    pub value: Text,
    /// The text below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt_text: Option<Text>,
}

/// Symbologies. A wallet that does not draw one shows a QR code of the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarcodeFormat {
    /// QR code.
    Qr,
    /// PDF417.
    Pdf417,
    /// Aztec.
    Aztec,
    /// Code 128.
    Code128,
    /// Code 39; Apple from iOS 27 on.
    Code39,
    /// Codabar; Apple from iOS 27 on.
    Codabar,
    /// EAN-13; Apple from iOS 27 on.
    Ean13,
    /// Interleaved 2 of 5; Apple from iOS 27 on.
    Itf,
    /// EAN-8; Google only.
    Ean8,
    /// UPC-A; Google, and Apple from iOS 27 on as the EAN-13 that it is part of.
    UpcA,
    /// Data Matrix; Google only.
    DataMatrix,
}

/// A link on the back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What it says.
    pub label: String,
    /// Where it leads: https, mailto or tel.
    pub url: String,
}

/// When and where a phone brings a pass up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relevance {
    /// Moments and intervals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<RelevantTime>,
    /// Places, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<NearPlace>,
    /// iBeacons, at most ten; Apple only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beacons: Vec<NearBeacon>,
    /// Radius around the places in metres; Apple only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_distance: Option<Number>,
    /// Google only: whether the holder of a generic pass is told shortly before it begins, which is its validity's beginning or
    /// else the first of the dates.
    #[serde(skip_serializing_if = "is_false")]
    pub tell_before_start: bool,
    /// Google only: whether the holder of a generic pass is told shortly before its validity ends. Other passes tell it by
    /// themselves.
    #[serde(skip_serializing_if = "is_false")]
    pub tell_before_end: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Relevance {
    /// Most places, and most beacons, that a wallet looks at.
    pub const MAX_PLACES: usize = 10;

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A moment, or an interval of at most 24 hours. Each time is a placeholder of a time field, or RFC 3339 with its zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum RelevantTime {
    /// A moment.
    At {
        /// When.
        at: Text,
    },
    /// An interval.
    Between {
        /// From when.
        start: Text,
        /// Until when.
        end: Text,
    },
}

impl RelevantTime {
    /// Its times with their keys.
    pub fn times(&self) -> Vec<(&'static str, &Text)> {
        match self {
            Self::At { at } => vec![("at", at)],
            Self::Between { start, end } => vec![("start", start), ("end", end)],
        }
    }
}

/// A place where a pass is relevant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearPlace {
    /// Degrees north, -90 to 90.
    pub latitude: Number,
    /// Degrees east, -180 to 180.
    pub longitude: Number,
    /// Metres above sea level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altitude: Option<Number>,
    /// What the lock screen says there; Apple only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
}

/// An iBeacon near which a pass is relevant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearBeacon {
    /// UUID of its region.
    pub uuid: uuid::Uuid,
    /// Major number; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<u16>,
    /// Minor number; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u16>,
    /// What the lock screen says there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
}

/// By what one travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitMode {
    /// By plane.
    Air,
    /// By train.
    Train,
    /// By bus.
    Bus,
    /// By ship.
    Boat,
    /// By anything else.
    Generic,
}

/// A newer look; a phone that does not know it, or misses a fact for it, shows the classic style.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RichStyle {
    /// Event tickets as posters, iOS 18 and later.
    PosterEventTicket,
    /// Boarding passes drawn from their semantic tags, iOS 26 and later.
    SemanticBoardingPass,
    /// Generic passes as posters, iOS 27 and later.
    PosterGeneric,
}

/// What a contactless reader gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nfc {
    /// The payload, at most 64 bytes; Google gets it as the smart tap value.
    pub message: Text,
    /// Apple: the reader's P-256 key as base64 of its SubjectPublicKeyInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_public_key: Option<String>,
    /// Apple: whether Face ID, Touch ID or the passcode is asked for first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_authentication: Option<bool>,
}

/// What Apple Wallet asks the holder for when a pass without a contact is added; needs `nfc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Personalization {
    /// What the programme is.
    pub description: String,
    /// What is asked for.
    pub fields: Vec<PersonalizationField>,
    /// Terms to accept; may be HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
}

/// What a sign-up form asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonalizationField {
    /// The name.
    Name,
    /// The e-mail address.
    Email,
    /// The phone number.
    Phone,
    /// The postal code.
    PostalCode,
}
