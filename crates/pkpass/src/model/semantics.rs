//! Semantic tags: machine-readable facts about a pass or a field. Source: Apple, *Wallet Passes*, `SemanticTags` and
//! `SemanticTagType`, and the semantics of Apple's open pass builder.
//!
//! Tags are kept as they stand, so that a newer one survives a round trip; [`tag_kind`] says what a known one holds.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Color;

/// The tags of a pass, a field or an upcoming event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Semantics(Map<String, Value>);

/// What a tag holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagKind {
    /// A text.
    Text,
    /// A JSON number.
    Number,
    /// True or false.
    Flag,
    /// A date with zone.
    Date,
    /// A list of texts.
    Texts,
    /// [`Money`].
    Money,
    /// [`Place`].
    Place,
    /// [`PersonName`].
    Person,
    /// A list of [`Seat`].
    Seats,
    /// [`EventDate`].
    EventDate,
    /// One of [`EVENT_TYPES`].
    EventType,
    /// A list of [`Wifi`].
    Wifi,
    /// Objects whose keys are Apple's own affair.
    Objects,
}

/// The values of `eventType`.
pub const EVENT_TYPES: &[&str] = &[
    "PKEventTypeGeneric",
    "PKEventTypeLivePerformance",
    "PKEventTypeMovie",
    "PKEventTypeSports",
    "PKEventTypeConference",
    "PKEventTypeConvention",
    "PKEventTypeWorkshop",
    "PKEventTypeSocialGathering",
];

/// The tags known here, by what they hold.
#[rustfmt::skip]
const TAGS: &[(TagKind, &[&str])] = &[
    (
        TagKind::Text,
        &[
            "additionalTicketAttributes", "admissionLevel", "admissionLevelAbbreviation", "airlineCode", "airlineLoungePlaceID",
            "attendeeName", "awayTeamAbbreviation", "awayTeamLocation", "awayTeamName", "boardingGroup", "boardingSequenceNumber",
            "boardingZone", "carNumber", "confirmationNumber", "departureAirportCode", "departureAirportName",
            "departureAirportTimeZone", "departureCityName", "departureGate", "departureLocationDescription",
            "departureLocationTimeZone", "departurePlatform", "departureStationName", "departureTerminal", "destinationAirportCode",
            "destinationAirportName", "destinationAirportTimeZone", "destinationCityName", "destinationGate",
            "destinationLocationDescription", "destinationLocationTimeZone", "destinationPlatform", "destinationStationName",
            "destinationTerminal", "entranceDescription", "eventLiveMessage", "eventName", "flightCode", "genre",
            "homeTeamAbbreviation", "homeTeamLocation", "homeTeamName", "internationalDocumentsVerifiedDeclarationName",
            "leagueAbbreviation", "leagueName", "membershipProgramName", "membershipProgramNumber", "membershipProgramStatus",
            "priorityStatus", "securityScreening", "sportName", "ticketFareClass", "transitProvider", "transitStatus",
            "transitStatusReason", "vehicleName", "vehicleNumber", "vehicleType", "venueEntrance", "venueEntranceDoor",
            "venueEntranceGate", "venueEntrancePortal", "venueName", "venuePhoneNumber", "venuePlaceID", "venueRegionName",
            "venueRoom",
        ],
    ),
    (TagKind::Number, &["duration", "flightNumber"]),
    (TagKind::Flag, &["internationalDocumentsAreVerified", "silenceRequested", "tailgatingAllowed"]),
    (
        TagKind::Date,
        &[
            "currentArrivalDate", "currentBoardingDate", "currentDepartureDate", "eventEndDate", "eventStartDate",
            "originalArrivalDate", "originalBoardingDate", "originalDepartureDate", "venueBoxOfficeOpenDate", "venueCloseDate",
            "venueDoorsOpenDate", "venueFanZoneOpenDate", "venueGatesOpenDate", "venueOpenDate", "venueParkingLotsOpenDate",
        ],
    ),
    (
        TagKind::Texts,
        &[
            "albumIDs", "artistIDs", "departureAirportSecurityPrograms", "departureLocationSecurityPrograms",
            "destinationAirportSecurityPrograms", "destinationLocationSecurityPrograms", "loungePlaceIDs", "passengerAirlineSSRs",
            "passengerCapabilities", "passengerEligibleSecurityPrograms", "passengerInformationSSRs", "passengerServiceSSRs",
            "performerNames", "playlistIDs",
        ],
    ),
    (TagKind::Money, &["balance", "totalPrice"]),
    (TagKind::Place, &["departureLocation", "destinationLocation", "venueLocation"]),
    (TagKind::Person, &["passengerName"]),
    (TagKind::Seats, &["seats"]),
    (TagKind::EventDate, &["eventStartDateInfo"]),
    (TagKind::EventType, &["eventType"]),
    (TagKind::Wifi, &["wifiAccess"]),
    (TagKind::Objects, &["airplay"]),
];

/// Tags of the boarding passes of iOS 26 that go by two names: Apple's pass builder writes the first, Apple's web reference
/// the second.
const TWINS: &[(&str, &str)] = &[
    ("departureAirportTimeZone", "departureLocationTimeZone"),
    ("departureAirportSecurityPrograms", "departureLocationSecurityPrograms"),
    ("destinationAirportTimeZone", "destinationLocationTimeZone"),
    ("destinationAirportSecurityPrograms", "destinationLocationSecurityPrograms"),
];
/// The same for the lounge, which is a text under one name and a list under the other.
const LOUNGE: (&str, &str) = ("airlineLoungePlaceID", "loungePlaceIDs");

/// What a tag holds; nothing for one that is not known here.
#[must_use]
pub fn tag_kind(tag: &str) -> Option<TagKind> {
    TAGS.iter().find(|(_, tags)| tags.contains(&tag)).map(|(kind, _)| *kind)
}

/// Every tag known here.
pub fn tags() -> impl Iterator<Item = &'static str> {
    TAGS.iter().flat_map(|(_, tags)| tags.iter().copied())
}

/// The other name of a tag that goes by two.
#[must_use]
pub fn twin(tag: &str) -> Option<&'static str> {
    TWINS.iter().chain([&LOUNGE]).find_map(|(one, other)| match tag {
        tag if tag == *one => Some(*other),
        tag if tag == *other => Some(*one),
        _ => None,
    })
}

impl Semantics {
    /// The value of a tag, under either of its names.
    #[must_use]
    pub fn get(&self, tag: &str) -> Option<&Value> {
        self.0.get(tag).or_else(|| self.0.get(twin(tag)?))
    }

    /// Sets a tag.
    pub fn insert(&mut self, tag: impl Into<String>, value: Value) {
        self.0.insert(tag.into(), value);
    }

    /// True without a single tag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All tags as they stand.
    #[must_use]
    pub fn tags(&self) -> &Map<String, Value> {
        &self.0
    }

    /// A tag as its type ([`Money`], [`Seat`] lists, [`PersonName`] …); nothing when it is missing or of another form.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self, tag: &str) -> Option<T> {
        serde_json::from_value(self.get(tag)?.clone()).ok()
    }

    /// Writes each tag of iOS 26 that goes by two names under both, so that every phone finds the one it looks for.
    pub fn spell_both_ways(&mut self) {
        let missing = |from: &str, to: &str, tags: &Map<String, Value>| match (tags.get(from), tags.get(to)) {
            (Some(value), None) => Some(value.clone()),
            _ => None,
        };
        for (one, other) in TWINS {
            for (from, to) in [(one, other), (other, one)] {
                if let Some(value) = missing(from, to, &self.0) {
                    self.0.insert((*to).to_owned(), value);
                }
            }
        }
        if let Some(lounge) = missing(LOUNGE.0, LOUNGE.1, &self.0) {
            self.0.insert(LOUNGE.1.to_owned(), Value::Array(vec![lounge]));
        } else if let Some(Value::Array(lounges)) = missing(LOUNGE.1, LOUNGE.0, &self.0)
            && let Some(first) = lounges.into_iter().next()
        {
            self.0.insert(LOUNGE.0.to_owned(), first);
        }
    }
}

impl From<Map<String, Value>> for Semantics {
    fn from(tags: Map<String, Value>) -> Self {
        Self(tags)
    }
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// The amount as a decimal text.
    pub amount: String,
    /// ISO 4217.
    pub currency_code: String,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A place on the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The name of a person in its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersonName {
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// Middle name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub middle_name: Option<String>,
    /// Before the name, such as Dr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<String>,
    /// After the name, such as Jr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_suffix: Option<String>,
    /// Nickname.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// How it is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phonetic_representation: Option<String>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A seat.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seat {
    /// Such as “flat bed”.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_description: Option<String>,
    /// Identifier code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_identifier: Option<String>,
    /// Number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_number: Option<String>,
    /// Row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_row: Option<String>,
    /// Section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_section: Option<String>,
    /// Aisle, iOS 18 and later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_aisle: Option<String>,
    /// Level, iOS 18 and later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_level: Option<String>,
    /// Such as “reserved”.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_type: Option<String>,
    /// Colour of the section, iOS 18 and later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_section_color: Option<Color>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// When an event starts, and how much of that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventDate {
    /// The date with zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Shows the day alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_time_components: Option<bool>,
    /// IANA name of the zone to show it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Not announced yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unannounced: Option<bool>,
    /// Not decided yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undetermined: Option<bool>,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A wireless network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wifi {
    /// Its name.
    pub ssid: String,
    /// Its password.
    pub password: String,
    /// Keys that are not typed here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_tag_has_one_kind_and_twins_are_of_the_same() {
        let all: Vec<_> = tags().collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        for (one, other) in TWINS {
            assert_eq!(tag_kind(one), tag_kind(other), "{one}");
            assert!(tag_kind(one).is_some(), "{one}");
        }
    }

    #[test]
    fn tags_of_two_names_are_read_and_written_under_both() {
        let mut tags = Semantics::default();
        tags.insert("departureLocationTimeZone", json!("Europe/Berlin"));
        tags.insert("destinationAirportTimeZone", json!("Asia/Tokyo"));
        tags.insert("destinationLocationTimeZone", json!("kept"));
        tags.insert("loungePlaceIDs", json!(["L1", "L2"]));
        tags.insert("somethingNewer", json!({"a": 1}));
        assert_eq!(tags.get("departureAirportTimeZone"), Some(&json!("Europe/Berlin")));
        tags.spell_both_ways();
        let spelled = serde_json::to_value(&tags).unwrap();
        assert_eq!(spelled["departureAirportTimeZone"], "Europe/Berlin");
        assert_eq!(spelled["destinationLocationTimeZone"], "kept", "what was said twice stays as it was said");
        assert_eq!(spelled["airlineLoungePlaceID"], "L1");
        assert_eq!(spelled["somethingNewer"], json!({"a": 1}));
        let once = tags.clone();
        tags.spell_both_ways();
        assert_eq!(tags, once);
    }

    #[test]
    fn tags_are_read_as_their_types() {
        let tags: Semantics = serde_json::from_value(json!({
            "seats": [{"seatNumber": "12", "seatSectionColor": "#ff0000", "later": 1}],
            "balance": {"amount": "12.50", "currencyCode": "EUR"},
            "passengerName": "Mira"
        }))
        .unwrap();
        let seats: Vec<Seat> = tags.read("seats").unwrap();
        assert_eq!((seats[0].seat_number.as_deref(), seats[0].seat_section_color), (Some("12"), Some(Color::rgb(255, 0, 0))));
        assert_eq!(seats[0].extra["later"], 1);
        assert_eq!(tags.read::<Money>("balance").unwrap().currency_code, "EUR");
        assert_eq!(tags.read::<PersonName>("passengerName"), None, "Apple wants a name in its parts");
    }
}
