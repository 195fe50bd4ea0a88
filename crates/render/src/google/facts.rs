//! What passes say of the flight that they share, and as of when they say it.
//!
//! A flight's passes are told one by one of what changes, so that one whose turn has not come yet still says the old. Each fact
//! therefore counts by when its own fields were changed, whatever else of a pass changed since: the newest is true of the flight.

use domain::{Design, Pass, Text, Timestamp};
use google_wallet::{Class, Vertical, model::ModelError};
use pkpass::model::semantic_twin as twin;
use serde_json::{Map, Value as Json};

use crate::PassView;

/// A part of a flight's class that is made from tags.
pub(super) struct Shared {
    /// The keys that lead to it.
    pub(super) place: &'static [&'static str],
    /// The tags that it is made from.
    pub(super) tags: &'static [&'static str],
    /// Whose clock a time is told by.
    zone: Option<&'static str>,
    /// Whether Google tells the holders of a change.
    pub(super) notifies: bool,
}

impl Shared {
    const fn told(place: &'static [&'static str], tags: &'static [&'static str], zone: Option<&'static str>) -> Self {
        Self { place, tags, zone, notifies: true }
    }
    const fn quiet(place: &'static [&'static str], tags: &'static [&'static str], zone: Option<&'static str>) -> Self {
        Self { place, tags, zone, notifies: false }
    }
}

const FROM: Option<&str> = Some("departureAirportTimeZone");
const TO: Option<&str> = Some("destinationAirportTimeZone");

/// What a class says of its flight. The scheduled departure does not notify: with another one it is another flight.
pub(super) const OF_FLIGHT: [Shared; 15] = [
    Shared::told(&["origin", "gate"], &["departureGate"], None),
    Shared::told(&["destination", "gate"], &["destinationGate"], None),
    Shared::told(&["localBoardingDateTime"], &["currentBoardingDate", "originalBoardingDate"], FROM),
    Shared::told(&["localEstimatedOrActualDepartureDateTime"], &["currentDepartureDate"], FROM),
    Shared::told(&["localScheduledArrivalDateTime"], &["originalArrivalDate", "currentArrivalDate"], TO),
    Shared::told(&["localEstimatedOrActualArrivalDateTime"], &["currentArrivalDate"], TO),
    Shared::quiet(&["localScheduledDepartureDateTime"], &["originalDepartureDate", "currentDepartureDate"], FROM),
    Shared::quiet(&["origin", "airportIataCode"], &["departureAirportCode"], None),
    Shared::quiet(&["origin", "terminal"], &["departureTerminal"], None),
    Shared::quiet(&["destination", "airportIataCode"], &["destinationAirportCode"], None),
    Shared::quiet(&["destination", "terminal"], &["destinationTerminal"], None),
    Shared::quiet(&["flightHeader", "carrier", "carrierIataCode"], &["airlineCode", "flightCode"], None),
    Shared::quiet(&["flightHeader", "carrier", "carrierIcaoCode"], &["airlineCode", "flightCode"], None),
    Shared::quiet(&["flightHeader", "carrier", "airlineName"], &["transitProvider"], None),
    Shared::quiet(&["flightHeader", "flightNumber"], &["flightNumber", "flightCode"], None),
];

/// What one pass says of its flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightFact {
    /// The keys that lead to it in the class, with dots between.
    pub place: String,
    /// What the design makes it from. What another design makes of the same place is another fact.
    pub source: String,
    /// What the pass says, as it stands in the class; null where it says that there is nothing.
    pub value: Json,
    /// As of when it says so: the latest change of the fields that the fact is made from. None where it never said anything of it.
    pub since: Option<Timestamp>,
}

/// What a pass says of its flight, by the class that was drawn from it. What a design says alike of all passes is no such fact,
/// nor is what is made of the holder or of the pass itself.
#[must_use]
pub fn flight_facts(view: &PassView<'_>, class: &Class) -> Vec<FlightFact> {
    let design = &view.template.design;
    let Ok(drawn) = serde_json::to_value(class) else { return Vec::new() };
    let mut made = Vec::new();
    for shared in &OF_FLIGHT {
        if at(&Json::Object(design.google.clone()), shared.place.iter().copied()).is_none() {
            let sources = shared.tags.iter().copied().chain(shared.zone).filter_map(|name| tag(design, name));
            made.push((shared.place.join("."), sources.cloned().collect::<Json>()));
        }
    }
    filled_leaves(&design.google, "", &mut made);
    let fact = |(place, source): (String, Json)| {
        let names = names(&source);
        let is_theirs = !names.is_empty() && names.iter().all(|name| name.starts_with("fields."));
        is_theirs.then(|| FlightFact {
            since: names.iter().filter_map(|name| said_since(view.pass, name)).max(),
            value: at(&drawn, place.split('.')).cloned().unwrap_or_default(),
            source: source.to_string(),
            place,
        })
    };
    made.into_iter().filter_map(fact).collect()
}

/// A flight's class with other facts in their places; null takes what is there away.
///
/// # Errors
/// When a value does not fit its place.
pub fn with_flight_facts<'f>(class: &Class, facts: impl IntoIterator<Item = (&'f str, &'f Json)>) -> Result<Class, ModelError> {
    let mut drawn = serde_json::to_value(class).unwrap_or_default();
    for (place, value) in facts {
        put(&mut drawn, place, value);
    }
    Class::from_value(Vertical::Flight, drawn)
}

/// The value of a tag of a design, under either of its names.
pub(super) fn tag<'d>(design: &'d Design, name: &str) -> Option<&'d Json> {
    design.semantics.get(name).or_else(|| design.semantics.get(twin(name)?))
}

/// The names that the placeholders of a value have.
pub(super) fn names(value: &Json) -> Vec<String> {
    match value {
        Json::String(text) => {
            Text::parse(text).map(|text| text.names().map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default()
        }
        Json::Array(items) => items.iter().flat_map(names).collect(),
        Json::Object(keys) => keys.values().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// As of when a pass has a field as it has it; none where it never had it.
fn said_since(pass: &Pass, name: &str) -> Option<Timestamp> {
    let key = name.strip_prefix("fields.")?;
    pass.fields_as_of.get(key).copied().or_else(|| pass.fields.contains_key(key).then_some(pass.issued_at))
}

/// The parts of a design's keys that placeholders stand in, one by one; lists and texts in several languages as a whole.
fn filled_leaves(keys: &Map<String, Json>, before: &str, found: &mut Vec<(String, Json)>) {
    for (key, value) in keys {
        let place = format!("{before}{key}");
        match value {
            Json::Object(inner) if !inner.contains_key("defaultValue") => filled_leaves(inner, &format!("{place}."), found),
            other => found.push((place, other.clone())),
        }
    }
}

fn at<'v, 'k>(value: &'v Json, keys: impl IntoIterator<Item = &'k str>) -> Option<&'v Json> {
    keys.into_iter().try_fold(value, |value, key| value.get(key))
}

fn put(drawn: &mut Json, place: &str, value: &Json) {
    let (parents, last) = place.rsplit_once('.').map_or((None, place), |(parents, last)| (Some(parents), last));
    let mut part = drawn;
    for key in parents.into_iter().flat_map(|parents| parents.split('.')) {
        let Json::Object(keys) = part else { return };
        part = keys.entry(key).or_insert_with(|| Json::Object(Map::new()));
    }
    let Json::Object(keys) = part else { return };
    match value {
        Json::Null => drop(keys.remove(last)),
        value => drop(keys.insert(last.to_owned(), value.clone())),
    }
}
