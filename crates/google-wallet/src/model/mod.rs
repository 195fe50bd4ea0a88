//! Classes and objects of the seven verticals.
//!
//! A class says what all passes of one programme, offer, event or route share; an object is what one holder has. Fields
//! that this version does not know are kept in `extra`, so that reading and writing back loses nothing.
//! Public source: the schemas of the `walletobjects` v1 discovery document.

mod classes;
mod closed;
mod layout;
mod money;
mod objects;
mod parts;
mod travel;
mod validate;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

pub use classes::{
    ClassCommon, EventTicketClass, FlightClass, GenericClass, GiftCardClass, LoyaltyClass, OfferClass, RedemptionChannel,
    ReviewStatus, TransitClass, TransitType,
};
pub use layout::{
    CardRow, CardTemplateOverride, ClassTemplateInfo, FieldReference, FieldSelector, MAX_CARD_ROWS, MAX_ROW_ITEMS, OneItem,
    TemplateItem, ThreeItems, TwoItems,
};
pub use money::{LoyaltyPoints, Money, PointsBalance};
pub use objects::{
    EventTicketObject, FlightObject, GenericObject, GiftCardObject, LoyaltyObject, ObjectCommon, OfferObject, State,
    TransitObject, TripType,
};
pub use parts::{
    Barcode, BarcodeType, CallbackOptions, DateTime, Extra, GroupingInfo, Image, ImageModule, ImageUri, LinksModule,
    LocalizedString, MerchantLocation, Message, MessageType, TextModule, TimeInterval, TranslatedString, Uri,
};
pub use travel::{
    AirportInfo, BoardingAndSeatingInfo, EventDateTime, EventReservationInfo, EventSeat, EventVenue, FlightCarrier, FlightHeader,
    ReservationInfo, TicketLeg, TicketSeat,
};
pub use validate::{Finding, MAX_LINKED_OBJECTS, MAX_LIST_ENTRIES, Severity};

/// The kind of a pass at Google.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vertical {
    /// Any pass.
    Generic,
    /// A loyalty card or membership.
    Loyalty,
    /// A coupon.
    Offer,
    /// A ticket to an event.
    EventTicket,
    /// A boarding pass of an airline.
    Flight,
    /// A ticket for bus, train, tram or ferry.
    Transit,
    /// A gift card.
    GiftCard,
}

impl Vertical {
    /// All seven.
    pub const ALL: [Self; 7] =
        [Self::Generic, Self::Loyalty, Self::Offer, Self::EventTicket, Self::Flight, Self::Transit, Self::GiftCard];

    /// The stem of Google's names, as `eventTicket` in `eventTicketClass`.
    #[must_use]
    pub fn stem(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Loyalty => "loyalty",
            Self::Offer => "offer",
            Self::EventTicket => "eventTicket",
            Self::Flight => "flight",
            Self::Transit => "transit",
            Self::GiftCard => "giftCard",
        }
    }
}

/// A class of any vertical; written as the class itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)] // each variant is the class of its name
pub enum Class {
    Generic(Box<GenericClass>),
    Loyalty(Box<LoyaltyClass>),
    Offer(Box<OfferClass>),
    EventTicket(Box<EventTicketClass>),
    Flight(Box<FlightClass>),
    Transit(Box<TransitClass>),
    GiftCard(Box<GiftCardClass>),
}

/// An object of any vertical; written as the object itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)] // each variant is the object of its name
pub enum Object {
    Generic(Box<GenericObject>),
    Loyalty(Box<LoyaltyObject>),
    Offer(Box<OfferObject>),
    EventTicket(Box<EventTicketObject>),
    Flight(Box<FlightObject>),
    Transit(Box<TransitObject>),
    GiftCard(Box<GiftCardObject>),
}

impl Class {
    /// Reads a class as Google sends it. The vertical is not in the text, it is known from where it came.
    pub fn from_value(vertical: Vertical, value: Value) -> Result<Self, ModelError> {
        Ok(match vertical {
            Vertical::Generic => Self::Generic(read(value, vertical)?),
            Vertical::Loyalty => Self::Loyalty(read(value, vertical)?),
            Vertical::Offer => Self::Offer(read(value, vertical)?),
            Vertical::EventTicket => Self::EventTicket(read(value, vertical)?),
            Vertical::Flight => Self::Flight(read(value, vertical)?),
            Vertical::Transit => Self::Transit(read(value, vertical)?),
            Vertical::GiftCard => Self::GiftCard(read(value, vertical)?),
        })
    }

    /// Its vertical.
    #[must_use]
    pub fn vertical(&self) -> Vertical {
        match self {
            Self::Generic(_) => Vertical::Generic,
            Self::Loyalty(_) => Vertical::Loyalty,
            Self::Offer(_) => Vertical::Offer,
            Self::EventTicket(_) => Vertical::EventTicket,
            Self::Flight(_) => Vertical::Flight,
            Self::Transit(_) => Vertical::Transit,
            Self::GiftCard(_) => Vertical::GiftCard,
        }
    }

    /// What every class has.
    #[must_use]
    pub fn common(&self) -> &ClassCommon {
        match self {
            Self::Generic(class) => &class.common,
            Self::Loyalty(class) => &class.common,
            Self::Offer(class) => &class.common,
            Self::EventTicket(class) => &class.common,
            Self::Flight(class) => &class.common,
            Self::Transit(class) => &class.common,
            Self::GiftCard(class) => &class.common,
        }
    }

    /// What every class has, to be changed.
    pub fn common_mut(&mut self) -> &mut ClassCommon {
        match self {
            Self::Generic(class) => &mut class.common,
            Self::Loyalty(class) => &mut class.common,
            Self::Offer(class) => &mut class.common,
            Self::EventTicket(class) => &mut class.common,
            Self::Flight(class) => &mut class.common,
            Self::Transit(class) => &mut class.common,
            Self::GiftCard(class) => &mut class.common,
        }
    }
}

impl Object {
    /// Reads an object as Google sends it. The vertical is not in the text, it is known from where it came.
    pub fn from_value(vertical: Vertical, value: Value) -> Result<Self, ModelError> {
        Ok(match vertical {
            Vertical::Generic => Self::Generic(read(value, vertical)?),
            Vertical::Loyalty => Self::Loyalty(read(value, vertical)?),
            Vertical::Offer => Self::Offer(read(value, vertical)?),
            Vertical::EventTicket => Self::EventTicket(read(value, vertical)?),
            Vertical::Flight => Self::Flight(read(value, vertical)?),
            Vertical::Transit => Self::Transit(read(value, vertical)?),
            Vertical::GiftCard => Self::GiftCard(read(value, vertical)?),
        })
    }

    /// Its vertical.
    #[must_use]
    pub fn vertical(&self) -> Vertical {
        match self {
            Self::Generic(_) => Vertical::Generic,
            Self::Loyalty(_) => Vertical::Loyalty,
            Self::Offer(_) => Vertical::Offer,
            Self::EventTicket(_) => Vertical::EventTicket,
            Self::Flight(_) => Vertical::Flight,
            Self::Transit(_) => Vertical::Transit,
            Self::GiftCard(_) => Vertical::GiftCard,
        }
    }

    /// What every object has.
    #[must_use]
    pub fn common(&self) -> &ObjectCommon {
        match self {
            Self::Generic(object) => &object.common,
            Self::Loyalty(object) => &object.common,
            Self::Offer(object) => &object.common,
            Self::EventTicket(object) => &object.common,
            Self::Flight(object) => &object.common,
            Self::Transit(object) => &object.common,
            Self::GiftCard(object) => &object.common,
        }
    }

    /// What every object has, to be changed.
    pub fn common_mut(&mut self) -> &mut ObjectCommon {
        match self {
            Self::Generic(object) => &mut object.common,
            Self::Loyalty(object) => &mut object.common,
            Self::Offer(object) => &mut object.common,
            Self::EventTicket(object) => &mut object.common,
            Self::Flight(object) => &mut object.common,
            Self::Transit(object) => &mut object.common,
            Self::GiftCard(object) => &mut object.common,
        }
    }
}

fn read<T: DeserializeOwned>(value: Value, vertical: Vertical) -> Result<Box<T>, ModelError> {
    serde_json::from_value(value).map(Box::new).map_err(|source| ModelError { vertical: vertical.stem(), source })
}

/// A text is no class or object of the vertical it was read as.
#[derive(Debug, Error)]
#[error("this is no {vertical} class or object as Google writes them: {source}")]
pub struct ModelError {
    vertical: &'static str,
    source: serde_json::Error,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Fields from every corner, known and unknown, at the top, in a flattened part and deep inside.
    fn sample() -> Value {
        json!({
            "id": "33.gold", "classId": "33.programme", "state": "ACTIVE", "version": "7", "issuerName": "Nordlicht",
            "reviewStatus": "UNDER_REVIEW", "programName": "Nordlicht Club", "kind": "walletobjects#thing",
            "barcode": {"type": "QR_CODE", "value": "A1", "showCodeText": {"defaultValue": {"language": "de", "value": "x"}}},
            "textModulesData": [{"id": "a", "header": "H", "body": "B", "colour": "red"}],
            "linksModuleData": {"uris": [{"uri": "https://example.com", "description": "Web", "kind": "walletobjects#uri"}], "more": 1},
            "valueAddedModuleData": [{"header": {"defaultValue": {"language": "en", "value": "v"}}}],
            "loyaltyPoints": {"label": "Points", "balance": {"int": 5}, "hint": true},
            "passConstraints": {"screenshotEligibility": "INELIGIBLE"}
        })
    }

    #[test]
    fn unknown_keys_survive_a_round_trip_in_every_vertical() {
        for vertical in Vertical::ALL {
            let class = Class::from_value(vertical, sample()).unwrap();
            assert_eq!(serde_json::to_value(&class).unwrap(), sample(), "{vertical:?} class");
            assert_eq!(class.vertical(), vertical);
            let object = Object::from_value(vertical, sample()).unwrap();
            assert_eq!(serde_json::to_value(&object).unwrap(), sample(), "{vertical:?} object");
            assert_eq!((object.vertical(), object.common().id.as_str()), (vertical, "33.gold"));
        }
    }

    #[test]
    fn old_spellings_are_read_and_new_ones_kept() {
        let object = Object::from_value(Vertical::Loyalty, json!({"id": "1.a", "classId": "1.b", "state": "active"})).unwrap();
        assert_eq!(object.common().state, Some(State::Active));
        let newer = json!({"id": "1.a", "classId": "1.b", "state": "PAUSED"});
        let object = Object::from_value(Vertical::Loyalty, newer.clone()).unwrap();
        assert_eq!(serde_json::to_value(object).unwrap(), newer);
    }

    #[test]
    fn a_wrong_shape_is_named() {
        let error = Object::from_value(Vertical::GiftCard, json!({"id": 5})).unwrap_err();
        assert!(error.to_string().contains("giftCard"), "{error}");
    }

    proptest! {
        #[test]
        fn any_unknown_key_survives(key in "[a-z]{1,8}X", number in any::<i64>()) {
            let mut value = sample();
            value[&key] = json!(number);
            for vertical in Vertical::ALL {
                let object = Object::from_value(vertical, value.clone()).unwrap();
                prop_assert_eq!(serde_json::to_value(object).unwrap(), value.clone());
            }
        }
    }
}
