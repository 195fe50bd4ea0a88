//! Flights and journeys, from the semantic tags of a design.
//!
//! At Google one class is one flight on one day, so a design whose passes are for many flights has a class for each: its id is
//! the template's, the carrier, the number and the scheduled departure by the airport's clock. All passes of a flight share it
//! as all passes of any other template share theirs, and whatever changed last of the flight (gate, terminal, times) is told by
//! patching the class. A pass that lacks what names its flight cannot be drawn for Google: see [`RenderError::Flight`].
//!
//! Keys under the design's `google` stand over the tags. Where they name the flight without placeholders, all passes of the
//! template are for that flight, and its class is the template's own.
//!
//! Apple's tags: *Wallet Passes*, `SemanticTags`. Google's fields: the reference of `FlightClass` and `FlightObject`.

use domain::{Design, Project, ProjectKind, Template, TransitMode};
use google_wallet::model::{
    AirportInfo, BoardingAndSeatingInfo, FlightCarrier, FlightClass, FlightHeader, LocalizedString, TicketLeg, TicketSeat,
};
use google_wallet::{IdError, ResourceId, Vertical};
use pkpass::model::{PersonName, Seat, Semantics, semantic_twin as twin};
use serde_json::{Map, Value as Json};

use super::GoogleContext;
use crate::values::Moment;
use crate::{PassView, RenderError, fill};

/// What names a flight: Google's key, and the tags that it is made from, each of which may have others in its place.
const NAMES: [(&str, &[&[&str]]); 4] = [
    ("flightHeader", &[&["airlineCode", "flightCode"], &["flightNumber", "flightCode"]]),
    ("origin", &[&["departureAirportCode"]]),
    ("destination", &[&["destinationAirportCode"]]),
    ("localScheduledDepartureDateTime", &[&["originalDepartureDate", "currentDepartureDate"]]),
];
/// What else of a flight and its passenger has a place at Google.
const FLIGHT: [&str; 18] = [
    "boardingGroup",
    "boardingSequenceNumber",
    "confirmationNumber",
    "currentArrivalDate",
    "currentBoardingDate",
    "currentDepartureDate",
    "departureAirportTimeZone",
    "departureGate",
    "departureTerminal",
    "destinationAirportTimeZone",
    "destinationGate",
    "destinationTerminal",
    "originalArrivalDate",
    "originalBoardingDate",
    "passengerName",
    "seats",
    "ticketFareClass",
    "transitProvider",
];
/// What of a journey over land or water has a place at Google.
const JOURNEY: [&str; 14] = [
    "carNumber",
    "confirmationNumber",
    "currentArrivalDate",
    "currentDepartureDate",
    "departurePlatform",
    "departureStationName",
    "destinationStationName",
    "originalArrivalDate",
    "originalDepartureDate",
    "passengerName",
    "seats",
    "ticketFareClass",
    "transitProvider",
    "vehicleNumber",
];
/// What the keys that name a flight are on a sample pass, whose fields hold but their labels: tags and Google's own keys.
const SAMPLES: [(&str, &str); 11] = [
    ("airlineCode", "XX"),
    ("flightCode", "XX101"),
    ("flightNumber", "101"),
    ("departureAirportCode", "BER"),
    ("destinationAirportCode", "OSL"),
    ("originalDepartureDate", "2026-11-20T18:30:00+01:00"),
    ("currentDepartureDate", "2026-11-20T18:30:00+01:00"),
    ("carrierIataCode", "XX"),
    ("carrierIcaoCode", "XXX"),
    ("airportIataCode", "BER"),
    ("localScheduledDepartureDateTime", "2026-11-20T18:30:00"),
];

/// The vertical of a boarding pass.
pub(super) fn vertical(design: &Design) -> Vertical {
    match design.transit {
        _ if NAMES.iter().all(|(key, _)| design.google.contains_key(*key)) => Vertical::Flight,
        None | Some(TransitMode::Air) if unnamed(design).is_empty() => Vertical::Flight,
        Some(TransitMode::Train | TransitMode::Bus | TransitMode::Boat) => Vertical::Transit,
        _ => Vertical::Generic,
    }
}

/// What a design does not say of its flights and Google requires, as the tags that say it.
pub(crate) fn unnamed(design: &Design) -> Vec<&'static str> {
    let said = |tag: &&str| design.semantics.contains_key(*tag);
    let open = NAMES.iter().filter(|(key, _)| !design.google.contains_key(*key)).flat_map(|(_, tags)| tags.iter());
    open.filter(|tags| !tags.iter().any(said)).map(|tags| tags[0]).collect()
}

/// Whether each flight of a template has a class of its own, rather than all its passes one.
#[must_use]
pub fn has_flights(project: &Project, design: &Design) -> bool {
    let constant = |key: &str| design.google.get(key).is_some_and(|value| !value.to_string().contains("{{"));
    project.kind == ProjectKind::BoardingPass
        && vertical(design) == Vertical::Flight
        && !NAMES.iter().all(|(key, _)| constant(key))
}

/// The tags of a design that Google has no place for; nothing in verticals that take none of them.
pub(crate) fn unused_tags(vertical: Vertical, design: &Design) -> Option<Vec<&str>> {
    let names = || NAMES.iter().flat_map(|(_, tags)| tags.iter().flat_map(|tags| tags.iter())).chain(&FLIGHT).copied();
    let known: Vec<&str> = match vertical {
        Vertical::Flight => names().collect(),
        Vertical::Transit => JOURNEY.to_vec(),
        _ => return None,
    };
    let is_used = |tag: &str| known.contains(&tag) || twin(tag).is_some_and(|twin| known.contains(&twin));
    Some(design.semantics.keys().map(String::as_str).filter(|tag| !is_used(tag)).collect())
}

/// Whether the scheduled departure can be told by the airport's clock alone if its own offset is that clock's.
pub(crate) fn lacks_zone(design: &Design) -> bool {
    let zone = "departureAirportTimeZone";
    let has = |tag: &str| design.semantics.contains_key(tag);
    !design.google.contains_key("localScheduledDepartureDateTime") && !has(zone) && !twin(zone).is_some_and(has)
}

/// A design whose flight is named on a sample pass too, where its fields hold but their labels.
#[must_use]
pub fn sample_flight(template: &Template) -> Template {
    let mut template = template.clone();
    name_flight(&mut template.design.semantics);
    name_flight(&mut template.design.google);
    template
}

fn name_flight(keys: &mut Map<String, Json>) {
    for (key, value) in keys {
        match value {
            Json::Object(inner) => name_flight(inner),
            Json::String(text) if text.contains("{{") => {
                if let Some((_, sample)) = SAMPLES.iter().find(|(name, _)| name == key) {
                    *text = (*sample).to_owned();
                }
            }
            _ => {}
        }
    }
}

/// The tags of a pass, each in the form that its kind wants.
pub(super) struct Tags(Semantics);

impl Tags {
    /// Those of a pass; none of a blank one.
    pub(super) fn of(view: &PassView<'_>) -> Self {
        if view.is_blank() {
            return Self(Semantics::default());
        }
        Self(fill::fill_semantics(view, &view.template.design.semantics).into())
    }

    pub(super) fn text(&self, tag: &str) -> Option<String> {
        let text = match self.0.get(tag)? {
            Json::String(text) => text.trim().to_owned(),
            Json::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    fn time(&self, tags: &[&str]) -> Option<Moment> {
        tags.iter().find_map(|tag| Moment::parse(&self.text(tag)?))
    }

    /// A time by the clock of an airport, without an offset.
    fn local(&self, tags: &[&str], zone: &str) -> Option<String> {
        Some(self.time(tags)?.local(self.text(zone).as_deref()))
    }

    /// The passenger's name in one text.
    pub(super) fn passenger(&self) -> Option<String> {
        let name: PersonName = self.0.read("passengerName")?;
        let parts = [name.name_prefix, name.given_name, name.middle_name, name.family_name, name.name_suffix];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        Some(name).filter(|name| !name.trim().is_empty())
    }

    fn seat(&self) -> Option<Seat> {
        self.0.read::<Vec<Seat>>("seats")?.into_iter().next()
    }

    fn carrier_and_number(&self) -> (Option<String>, Option<String>) {
        let code = self.text("flightCode").filter(|code| code.is_ascii());
        // `XX 101`, `XX101`: a carrier's code is two characters, of which one may be a digit
        let (carrier, number) = code.as_deref().and_then(|code| code.split_at_checked(2)).unzip();
        let own = |part: Option<&str>| part.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty());
        (self.text("airlineCode").or(own(carrier)), self.text("flightNumber").or(own(number)))
    }
}

/// The parts of a class that the tags of a pass say of its flight.
pub(super) fn flight_class(view: &PassView<'_>, context: &GoogleContext<'_>) -> FlightClass {
    let tags = Tags::of(view);
    let design = &view.template.design;
    let (code, number) = tags.carrier_and_number();
    let (iata, icao) = if code.as_ref().is_some_and(|code| code.len() == 3) { (None, code) } else { (code, None) };
    let carrier = FlightCarrier {
        carrier_iata_code: iata,
        carrier_icao_code: icao,
        airline_name: Some(context.localized(tags.text("transitProvider").unwrap_or_else(|| design.issuer.clone()))),
        airline_logo: context.image(design, &[domain::ImageRole::Icon, domain::ImageRole::Logo]),
        wide_airline_logo: context.image(design, &[domain::ImageRole::Logo]),
        ..FlightCarrier::default()
    };
    let airport = |end: &str| AirportInfo {
        airport_iata_code: tags.text(&format!("{end}AirportCode")),
        terminal: tags.text(&format!("{end}Terminal")),
        gate: tags.text(&format!("{end}Gate")),
        ..AirportInfo::default()
    };
    let (from, to) = ("departureAirportTimeZone", "destinationAirportTimeZone");
    FlightClass {
        flight_header: Some(FlightHeader { carrier: Some(carrier), flight_number: number, ..FlightHeader::default() }),
        origin: Some(airport("departure")),
        destination: Some(airport("destination")),
        local_scheduled_departure_date_time: tags.local(&["originalDepartureDate", "currentDepartureDate"], from),
        local_boarding_date_time: tags.local(&["currentBoardingDate", "originalBoardingDate"], from),
        local_estimated_or_actual_departure_date_time: tags.local(&["currentDepartureDate"], from),
        local_scheduled_arrival_date_time: tags.local(&["originalArrivalDate", "currentArrivalDate"], to),
        local_estimated_or_actual_arrival_date_time: tags.local(&["currentArrivalDate"], to),
        ..FlightClass::default()
    }
}

/// The id of a flight's class, as it is drawn.
pub(super) fn flight_id(issuer_id: &str, template: &Template, class: &FlightClass) -> Result<ResourceId, RenderError> {
    let header = class.flight_header.as_ref();
    let carrier = header.and_then(|header| header.carrier.as_ref());
    let code = carrier.and_then(|carrier| carrier.carrier_iata_code.as_deref().or(carrier.carrier_icao_code.as_deref()));
    let number = header.and_then(|header| header.flight_number.as_deref());
    let airport = |airport: &Option<AirportInfo>| airport.as_ref().is_some_and(|airport| airport.airport_iata_code.is_some());
    let departure = class.local_scheduled_departure_date_time.as_deref();
    let given = |text: Option<&str>| text.is_some_and(|text| !text.trim().is_empty());
    let parts = [
        (given(code), "the airline's code"),
        (given(number), "the flight's number"),
        (airport(&class.origin), "the airport of departure"),
        (airport(&class.destination), "the airport of destination"),
        (given(departure), "the scheduled departure"),
    ];
    let missing: Vec<&str> = parts.iter().filter(|(there, _)| !there).map(|(_, what)| *what).collect();
    if !missing.is_empty() {
        return Err(RenderError::Flight(missing.join(", ")));
    }
    let part =
        |text: Option<&str>| text.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(20).collect::<String>();
    let suffix = format!("{}-{}-{}-{}", template.id, part(code), part(number), part(departure));
    Ok(ResourceId::new(issuer_id, &suffix)?)
}

/// What a pass does not say of its flight, and Google requires, in words; nothing where Google takes the pass.
pub(crate) fn unnamed_flight(view: &PassView<'_>) -> Option<String> {
    let issuer_id = view.project.google_issuer.as_deref().filter(|_| has_flights(view.project, &view.template.design))?;
    let image_url = |hash: &str| hash.to_owned();
    let context = GoogleContext { issuer_id, language: "en", callback_url: None, image_url: &image_url };
    match super::google_class(view, &context) {
        Err(RenderError::Flight(missing)) => Some(missing),
        _ => None,
    }
}

/// Which of our templates a class is one flight of, and when that flight was to leave by the airport's clock, as digits in
/// the order of a date (`20261120T183000`): the other way round of what its id is made of.
#[must_use]
pub fn flight_of(class: &ResourceId) -> Option<(domain::TemplateId, &str)> {
    let (template, rest) = class.suffix().split_once('-')?;
    Some((template.parse().ok()?, rest.rsplit_once('-')?.1))
}

/// Where a passenger sits and when they board.
pub(super) fn seating(tags: &Tags) -> BoardingAndSeatingInfo {
    let seat = tags.seat().unwrap_or_default();
    let number = match (seat.seat_row, seat.seat_number) {
        // `14` and `C`; a number that repeats its row is whole already
        (Some(row), Some(number)) if !number.starts_with(&row) => Some(format!("{row}{number}")),
        (row, number) => number.or(row),
    };
    BoardingAndSeatingInfo {
        seat_number: number.or(seat.seat_identifier),
        seat_class: tags.text("ticketFareClass").or(seat.seat_type),
        boarding_group: tags.text("boardingGroup"),
        sequence_number: tags.text("boardingSequenceNumber"),
        ..BoardingAndSeatingInfo::default()
    }
}

/// A leg of a journey over land or water.
pub(super) fn leg(tags: &Tags, context: &GoogleContext<'_>) -> TicketLeg {
    let text = |tag: &str| -> Option<LocalizedString> { Some(context.localized(tags.text(tag)?)) };
    let seat = tags.seat().unwrap_or_default();
    let seat = TicketSeat {
        coach: tags.text("carNumber").or(seat.seat_section),
        seat: seat.seat_number.or(seat.seat_identifier),
        ..TicketSeat::default()
    };
    let time = |tags_of: &[&str]| tags.time(tags_of).map(Moment::wallet);
    TicketLeg {
        origin_name: text("departureStationName"),
        destination_name: text("destinationStationName"),
        departure_date_time: time(&["currentDepartureDate", "originalDepartureDate"]),
        arrival_date_time: time(&["currentArrivalDate", "originalArrivalDate"]),
        fare_name: text("ticketFareClass"),
        carriage: tags.text("vehicleNumber"),
        platform: tags.text("departurePlatform"),
        ticket_seat: (seat != TicketSeat::default()).then_some(seat),
        transit_operator_name: text("transitProvider"),
        ..TicketLeg::default()
    }
}

/// The id of the class that all passes of a template share.
pub fn class_id(issuer_id: &str, template: &Template) -> Result<ResourceId, IdError> {
    ResourceId::new(issuer_id, &template.id.to_string())
}
