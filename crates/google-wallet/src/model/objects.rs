//! Objects: what one holder has.

use serde::{Deserialize, Serialize};

use super::money::{LoyaltyPoints, Money};
use super::parts::{
    Barcode, DateTime, Extra, GroupingInfo, Image, ImageModule, LinksModule, LocalizedString, MerchantLocation, Message,
    TextModule, TimeInterval,
};
use super::travel::{BoardingAndSeatingInfo, EventReservationInfo, EventSeat, ReservationInfo, TicketLeg};

/// Where an object stands. Every state but active moves it to the expired passes; none takes it off a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// In use.
    #[serde(rename = "ACTIVE", alias = "active")]
    Active,
    /// Used up or redeemed.
    #[serde(rename = "COMPLETED", alias = "completed")]
    Completed,
    /// Past its time.
    #[serde(rename = "EXPIRED", alias = "expired")]
    Expired,
    /// Withdrawn.
    #[serde(rename = "INACTIVE", alias = "inactive")]
    Inactive,
    /// A value that this version does not know, kept as it came.
    #[serde(untagged)]
    Other(String),
}

/// Whether a transit pass covers the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TripType {
    /// Both ways.
    #[serde(rename = "ROUND_TRIP", alias = "roundTrip")]
    RoundTrip,
    /// One way.
    #[serde(rename = "ONE_WAY", alias = "oneWay")]
    OneWay,
    /// A value that this version does not know, kept as it came.
    #[serde(untagged)]
    Other(String),
}

/// What every object may have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectCommon {
    /// `issuerId.suffix`.
    pub id: String,
    /// The class, of the same vertical.
    pub class_id: String,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Its barcode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barcode: Option<Barcode>,
    /// A barcode that changes by itself, as `RotatingBarcode` of the reference; QR codes and PDF417 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotating_barcode: Option<serde_json::Value>,
    /// The wide image, 1032 by 336 pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hero_image: Option<Image>,
    /// Texts, at most ten are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text_modules_data: Vec<TextModule>,
    /// Links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links_module_data: Option<LinksModule>,
    /// Images, one is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_modules_data: Vec<ImageModule>,
    /// Messages to the holder, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// When it is valid; its end expires it within a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_time_interval: Option<TimeInterval>,
    /// Keeps it with others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grouping_info: Option<GroupingInfo>,
    /// Objects that come with it, at most fifty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub linked_object_ids: Vec<String>,
    /// Places, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub merchant_locations: Vec<MerchantLocation>,
    /// What a tap transmits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smart_tap_redemption_value: Option<String>,
    /// Whether anybody holds it. Set by Google.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_users: Option<bool>,
    /// Whether Google keeps quiet about the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_expiration_notification: Option<bool>,
    /// `NOTIFY_ON_UPDATE` notifies for this request only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_preference: Option<String>,
}

/// Any pass; it carries its own branding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GenericObject {
    /// As `GENERIC_GYM_MEMBERSHIP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generic_type: Option<String>,
    /// The line beside the logo. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_title: Option<LocalizedString>,
    /// The large line. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<LocalizedString>,
    /// The line above the large one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subheader: Option<LocalizedString>,
    /// The round logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo: Option<Image>,
    /// The wide logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide_logo: Option<Image>,
    /// `#rrggbb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex_background_color: Option<String>,
    /// Whether Google tells the holder before the pass begins (`upcomingNotification`) and ends (`expiryNotification`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<serde_json::Value>,
    /// What every object has.
    #[serde(flatten)]
    pub common: ObjectCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A loyalty card.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoyaltyObject {
    /// The member number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The holder's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// The points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loyalty_points: Option<LoyaltyPoints>,
    /// A second balance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_loyalty_points: Option<LoyaltyPoints>,
    /// What every object has.
    #[serde(flatten)]
    pub common: ObjectCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One holder's copy of an offer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OfferObject {
    /// What every object has.
    #[serde(flatten)]
    pub common: ObjectCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A ticket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventTicketObject {
    /// The holder's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_holder_name: Option<String>,
    /// The ticket's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_number: Option<String>,
    /// As adult or standing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_type: Option<LocalizedString>,
    /// Where the holder sits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_info: Option<EventSeat>,
    /// The booking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_info: Option<EventReservationInfo>,
    /// The printed price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub face_value: Option<Money>,
    /// `#rrggbb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex_background_color: Option<String>,
    /// What every object has.
    #[serde(flatten)]
    pub common: ObjectCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A boarding pass.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FlightObject {
    /// The passenger. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passenger_name: Option<String>,
    /// The booking. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_info: Option<ReservationInfo>,
    /// Seat and boarding group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boarding_and_seating_info: Option<BoardingAndSeatingInfo>,
    /// What every object has.
    #[serde(flatten)]
    pub common: ObjectCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A transit ticket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransitObject {
    /// One way or both. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trip_type: Option<TripType>,
    /// The passengers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passenger_names: Option<String>,
    /// `SINGLE_PASSENGER` or `MULTIPLE_PASSENGERS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passenger_type: Option<String>,
    /// The ticket's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_number: Option<String>,
    /// Groups the tickets of one trip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trip_id: Option<String>,
    /// The one leg.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_leg: Option<TicketLeg>,
    /// Several legs, instead of the one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ticket_legs: Vec<TicketLeg>,
    /// `#rrggbb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex_background_color: Option<String>,
    /// What every object has.
    #[serde(flatten)]
    pub common: ObjectCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A gift card with its balance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GiftCardObject {
    /// The card's number. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_number: Option<String>,
    /// The PIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// What is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Money>,
    /// When the balance was true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance_update_time: Option<DateTime>,
    /// The event number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_number: Option<String>,
    /// What every object has.
    #[serde(flatten)]
    pub common: ObjectCommon,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}
