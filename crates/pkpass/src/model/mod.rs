//! `pass.json` as types. Keys that are not typed here land in `extra` and are written back unchanged, so that what a newer
//! Wallet understands survives a round trip. Source: Apple, *Wallet Passes*, `Pass` and its parts.

mod color;
mod field;
mod parts;
mod personal;
mod semantics;
mod systems;
mod upcoming;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use color::{Color, ColorError};
pub use field::{Field, FieldValue, Fields, Style};
pub use parts::{Barcode, Beacon, FeaturedAction, Location, MAX_FEATURED_ACTIONS, Nfc, RelevantDate};
pub use personal::{PERSONALIZATION_FILE, PersonalField, PersonalInfo, Personalization, PersonalizationRequest};
pub use semantics::{
    EVENT_TYPES, EventDate, Money, PersonName, Place, Seat, Semantics, TagKind, Wifi, tag_kind, tags as semantic_tags,
    twin as semantic_twin,
};
pub use upcoming::{DateInformation, EntryImage, EntryImages, MAX_REMOTE_IMAGE_BYTES, RemoteImage, UpcomingEntry};
pub use words::{ActionKind, BarcodeFormat, DataDetector, DateStyle, NumberStyle, TextAlignment, TransitType};

/// The only `formatVersion` there is.
pub const FORMAT_VERSION: u32 = 1;

/// Links of the event guide of a poster ticket (iOS 18); Wallet shows buttons from two of them on.
pub const GUIDE_LINKS: &[&str] = &[
    "accessibilityURL",
    "addOnURL",
    "bagPolicyURL",
    "contactVenueEmail",
    "contactVenuePhoneNumber",
    "contactVenueWebsite",
    "directionsInformationURL",
    "merchandiseURL",
    "orderFoodURL",
    "parkingInformationURL",
    "purchaseParkingURL",
    "sellURL",
    "transferURL",
    "transitInformationURL",
];
/// Links of a semantic boarding pass (iOS 26).
pub const BOARDING_LINKS: &[&str] = &[
    "changeSeatURL",
    "entertainmentURL",
    "managementURL",
    "purchaseAdditionalBaggageURL",
    "purchaseLoungeAccessURL",
    "purchaseWifiURL",
    "registerServiceAnimalURL",
    "reportLostBagURL",
    "requestWheelchairURL",
    "transitProviderEmail",
    "transitProviderPhoneNumber",
    "transitProviderWebsiteURL",
    "upgradeURL",
];

/// One pass, the content of `pass.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pass {
    /// Always [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The pass type, such as `pass.com.example.card`; equals the certificate's subject UID.
    pub pass_type_identifier: String,
    /// Unique within the pass type; the same pair replaces the pass on the device.
    pub serial_number: String,
    /// Apple's ten-character team id; equals the certificate's subject OU.
    pub team_identifier: String,
    /// Who issues the pass; shown on the lock screen.
    pub organization_name: String,
    /// What the pass is, for VoiceOver.
    pub description: String,

    /// Base address of the web service, https, without the `/v1`. Stands together with the token.
    #[serde(rename = "webServiceURL", default, skip_serializing_if = "Option::is_none")]
    pub web_service_url: Option<String>,
    /// Token the device shows to the web service, at least 16 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_token: Option<String>,

    /// App Store ids of companion apps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub associated_store_identifiers: Vec<u64>,
    /// App Store ids of further apps; poster tickets only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auxiliary_store_identifiers: Vec<u64>,
    /// Address handed to the companion app; needs `associatedStoreIdentifiers`.
    #[serde(rename = "appLaunchURL", default, skip_serializing_if = "Option::is_none")]
    pub app_launch_url: Option<String>,
    /// Any JSON for the companion app; Wallet does not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_info: Option<Value>,

    /// When the pass expires, a W3C date with zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_date: Option<String>,
    /// True when the pass is no longer good, for instance redeemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voided: Option<bool>,

    /// Barcodes by preference; the first one the system can display is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub barcodes: Vec<Barcode>,
    /// Deprecated single barcode of iOS 8 and before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barcode: Option<Barcode>,
    /// Contactless payload; needs a certificate with Apple's NFC entitlement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfc: Option<Nfc>,

    /// When the pass is relevant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relevant_dates: Vec<RelevantDate>,
    /// Deprecated single relevant date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevant_date: Option<String>,
    /// Where the pass is relevant, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    /// Near which iBeacons the pass is relevant, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beacons: Vec<Beacon>,
    /// Radius around the locations in metres, a JSON number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_distance: Option<f64>,

    /// Background of the pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background_color: Option<Color>,
    /// Colour of the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreground_color: Option<Color>,
    /// Colour of the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_color: Option<Color>,
    /// Colour behind the strip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_color: Option<Color>,
    /// Background of a poster's footer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer_background_color: Option<Color>,
    /// Lets Wallet choose the colours from the artwork; `labelColor` is ignored then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_automatic_colors: Option<bool>,
    /// Leaves the header of a poster undarkened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress_header_darkening: Option<bool>,
    /// Leaves out the shine over the strip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppress_strip_shine: Option<bool>,
    /// Text beside the logo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo_text: Option<String>,
    /// Text beside the logo of a poster ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_logo_text: Option<String>,
    /// Groups event tickets and boarding passes in the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grouping_identifier: Option<String>,
    /// Style schemes by preference, such as `["posterEventTicket", "eventTicket"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferred_style_schemes: Vec<String>,
    /// Name of an SF Symbol in place of the logo, iOS 27 and later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo_symbol_name: Option<String>,
    /// Hides the share button; does not stop sharing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing_prohibited: Option<bool>,

    /// Machine-readable facts (event, flight, seats) for the semantic styles and for Siri.
    #[serde(default, skip_serializing_if = "Semantics::is_empty")]
    pub semantics: Semantics,
    /// Buttons on the pass, such as `addToBalance`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub featured_actions: Vec<FeaturedAction>,
    /// Further dated entries of one pass, such as the matches of a season.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upcoming_pass_information: Vec<UpcomingEntry>,

    /// The style key with its fields.
    #[serde(flatten)]
    pub style: Style,
    /// The poster of iOS 27, beside [`Style::Generic`], which older systems show in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster_generic: Option<Fields>,
    /// Every key that is not typed above, such as the links of [`GUIDE_LINKS`] or an operator's own.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Pass {
    /// A pass with the required keys and a style; everything else is empty.
    pub fn new(
        identity: PassIdentity,
        organization_name: impl Into<String>,
        description: impl Into<String>,
        style: Style,
    ) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            pass_type_identifier: identity.pass_type_identifier,
            serial_number: identity.serial_number,
            team_identifier: identity.team_identifier,
            organization_name: organization_name.into(),
            description: description.into(),
            web_service_url: None,
            authentication_token: None,
            associated_store_identifiers: Vec::new(),
            auxiliary_store_identifiers: Vec::new(),
            app_launch_url: None,
            user_info: None,
            expiration_date: None,
            voided: None,
            barcodes: Vec::new(),
            barcode: None,
            nfc: None,
            relevant_dates: Vec::new(),
            relevant_date: None,
            locations: Vec::new(),
            beacons: Vec::new(),
            max_distance: None,
            background_color: None,
            foreground_color: None,
            label_color: None,
            strip_color: None,
            footer_background_color: None,
            use_automatic_colors: None,
            suppress_header_darkening: None,
            suppress_strip_shine: None,
            logo_text: None,
            event_logo_text: None,
            grouping_identifier: None,
            preferred_style_schemes: Vec::new(),
            logo_symbol_name: None,
            sharing_prohibited: None,
            semantics: Semantics::default(),
            featured_actions: Vec::new(),
            upcoming_pass_information: Vec::new(),
            style,
            poster_generic: None,
            extra: Map::new(),
        }
    }

    /// The bytes of `pass.json`, compact.
    ///
    /// # Errors
    /// When a value cannot be JSON; with the types here that is only a non-finite number.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut out = Vec::with_capacity(2048);
        serde_json::to_writer(&mut out, self)?;
        Ok(out)
    }

    /// Reads `pass.json`, forgiving a byte order mark and trailing commas, as Wallet does.
    ///
    /// # Errors
    /// When it is not JSON, or a typed key has another type than Apple documents.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(&crate::json::forgive(bytes))
    }
}

/// The three identifiers that name a pass and bind it to its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassIdentity {
    /// Such as `pass.com.example.card`.
    pub pass_type_identifier: String,
    /// Ten characters, given by Apple.
    pub team_identifier: String,
    /// Unique within the pass type.
    pub serial_number: String,
}

#[cfg(test)]
mod tests;
