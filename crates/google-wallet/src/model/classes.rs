//! Classes: what all passes of one programme, offer, event or route share.

use serde::{Deserialize, Serialize};

use super::layout::ClassTemplateInfo;
use super::parts::{
    CallbackOptions, Extra, Image, ImageModule, LinksModule, LocalizedString, MerchantLocation, Message, TextModule, Uri,
};
use super::travel::{AirportInfo, EventDateTime, EventVenue, FlightHeader};

/// Where a class stands with Google. Objects need a class that is no draft; a class never goes back to draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReviewStatus {
    /// Not yet for use.
    #[serde(rename = "DRAFT", alias = "draft")]
    Draft,
    /// Handed in; keep sending this on updates.
    #[serde(rename = "UNDER_REVIEW", alias = "underReview")]
    UnderReview,
    /// Set by Google.
    #[serde(rename = "APPROVED", alias = "approved")]
    Approved,
    /// Set by Google.
    #[serde(rename = "REJECTED", alias = "rejected")]
    Rejected,
    /// A value that this version does not know, kept as it came.
    #[serde(untagged)]
    Other(String),
}

/// Where an offer can be redeemed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedemptionChannel {
    /// At a till.
    #[serde(rename = "INSTORE", alias = "instore")]
    InStore,
    /// On the web.
    #[serde(rename = "ONLINE", alias = "online")]
    Online,
    /// At both.
    #[serde(rename = "BOTH", alias = "both")]
    Both,
    /// A price that is lower for a while.
    #[serde(rename = "TEMPORARY_PRICE_REDUCTION", alias = "temporaryPriceReduction")]
    TemporaryPriceReduction,
    /// A value that this version does not know, kept as it came.
    #[serde(untagged)]
    Other(String),
}

/// The vehicle of a transit pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransitType {
    /// A bus.
    #[serde(rename = "BUS", alias = "bus")]
    Bus,
    /// A train.
    #[serde(rename = "RAIL", alias = "rail")]
    Rail,
    /// A tram.
    #[serde(rename = "TRAM", alias = "tram")]
    Tram,
    /// A ferry.
    #[serde(rename = "FERRY", alias = "ferry")]
    Ferry,
    /// Anything else.
    #[serde(rename = "OTHER", alias = "other")]
    Misc,
    /// A value that this version does not know, kept as it came.
    #[serde(untagged)]
    Other(String),
}

/// What every class may have; generic classes carry neither issuer, review status nor branding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClassCommon {
    /// `issuerId.suffix`.
    pub id: String,
    /// Who issues the pass, about 20 characters are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_name: Option<String>,
    /// Where the class stands with Google.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_status: Option<ReviewStatus>,
    /// `#rrggbb`; Google chooses the text colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex_background_color: Option<String>,
    /// The wide image, 1032 by 336 pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hero_image: Option<Image>,
    /// ISO 3166-1 alpha-2, decides the currency's look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// The issuer's web page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage_uri: Option<Uri>,
    /// Texts, at most ten are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text_modules_data: Vec<TextModule>,
    /// Links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links_module_data: Option<LinksModule>,
    /// Images, one is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_modules_data: Vec<ImageModule>,
    /// Messages to all holders, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// Places, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub merchant_locations: Vec<MerchantLocation>,
    /// Where saves and deletions are reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_options: Option<CallbackOptions>,
    /// How the front is laid out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_template_info: Option<ClassTemplateInfo>,
    /// Whether the pass may be tapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_smart_tap: Option<bool>,
    /// Issuers that may redeem by tap, as numbers in text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redemption_issuers: Vec<String>,
    /// `MULTIPLE_HOLDERS`, `ONE_USER_ALL_DEVICES` or `ONE_USER_ONE_DEVICE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiple_devices_and_holders_allowed_status: Option<String>,
    /// `NOTIFY_ON_UPDATE` notifies for this request only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_preference: Option<String>,
    /// `UNLOCK_REQUIRED_TO_VIEW` hides the pass on a locked phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_unlock_requirement: Option<String>,
    /// The issuer's name in several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_issuer_name: Option<LocalizedString>,
}

/// The class of a generic pass.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GenericClass {
    /// What every class has.
    #[serde(flatten)]
    pub common: ClassCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A loyalty programme.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoyaltyClass {
    /// The programme's name. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_name: Option<String>,
    /// The round logo. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_logo: Option<Image>,
    /// The wide logo, shown instead of the round one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide_program_logo: Option<Image>,
    /// The label of the holder's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name_label: Option<String>,
    /// The label of the member number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id_label: Option<String>,
    /// The tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewards_tier: Option<String>,
    /// The label of the tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewards_tier_label: Option<String>,
    /// The programme's name in several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_program_name: Option<LocalizedString>,
    /// What every class has.
    #[serde(flatten)]
    pub common: ClassCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An offer, as a coupon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OfferClass {
    /// The offer. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The offer in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_title: Option<String>,
    /// Who makes the offer. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Where it can be redeemed. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redemption_channel: Option<RedemptionChannel>,
    /// The logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title_image: Option<Image>,
    /// The wide logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide_title_image: Option<Image>,
    /// What is offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fine_print: Option<String>,
    /// The offer in several languages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localized_title: Option<LocalizedString>,
    /// What every class has.
    #[serde(flatten)]
    pub common: ClassCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventTicketClass {
    /// The event's name. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<LocalizedString>,
    /// Groups the tickets of one event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The round logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo: Option<Image>,
    /// The wide logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide_logo: Option<Image>,
    /// Where it takes place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venue: Option<EventVenue>,
    /// When it takes place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_time: Option<EventDateTime>,
    /// The conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fine_print: Option<LocalizedString>,
    /// What every class has.
    #[serde(flatten)]
    pub common: ClassCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One flight on one day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FlightClass {
    /// Carrier and number. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flight_header: Option<FlightHeader>,
    /// Where it departs. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<AirportInfo>,
    /// Where it arrives. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<AirportInfo>,
    /// Local time at the airport, without an offset. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_scheduled_departure_date_time: Option<String>,
    /// Local time, without an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_boarding_date_time: Option<String>,
    /// Local time, without an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_gate_closing_date_time: Option<String>,
    /// Local time, without an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_scheduled_arrival_date_time: Option<String>,
    /// Local time, without an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_estimated_or_actual_departure_date_time: Option<String>,
    /// Local time at the destination, without an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_estimated_or_actual_arrival_date_time: Option<String>,
    /// `SCHEDULED`, `ACTIVE`, `LANDED`, `CANCELLED`, `REDIRECTED` or `DIVERTED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flight_status: Option<String>,
    /// What every class has.
    #[serde(flatten)]
    pub common: ClassCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A transit product.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransitClass {
    /// The vehicle. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transit_type: Option<TransitType>,
    /// The round logo. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo: Option<Image>,
    /// The wide logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide_logo: Option<Image>,
    /// Who runs the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transit_operator_name: Option<LocalizedString>,
    /// What every class has.
    #[serde(flatten)]
    pub common: ClassCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A gift card.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GiftCardClass {
    /// Where the card is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merchant_name: Option<String>,
    /// The round logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_logo: Option<Image>,
    /// The wide logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide_program_logo: Option<Image>,
    /// The label of the card's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_number_label: Option<String>,
    /// The label of the PIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_label: Option<String>,
    /// The label of the event number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_number_label: Option<String>,
    /// Whether a barcode is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_barcode_redemption: Option<bool>,
    /// What every class has.
    #[serde(flatten)]
    pub common: ClassCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}
