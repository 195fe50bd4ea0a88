//! Events, flights and journeys.

use serde::{Deserialize, Serialize};

use super::parts::{Extra, Image, LocalizedString};

/// Where an event takes place; Google wants both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventVenue {
    /// The venue's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<LocalizedString>,
    /// The address, lines parted by newlines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// When an event takes place, ISO 8601, with or without an offset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventDateTime {
    /// When the doors open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doors_open: Option<String>,
    /// When it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A seat.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventSeat {
    /// The seat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat: Option<LocalizedString>,
    /// The row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<LocalizedString>,
    /// The section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<LocalizedString>,
    /// The gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The booking of a ticket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventReservationInfo {
    /// The code; it groups tickets of one booking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation_code: Option<String>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The booking of a flight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReservationInfo {
    /// The record locator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation_code: Option<String>,
    /// The e-ticket's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eticket_number: Option<String>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An airline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FlightCarrier {
    /// Two characters; this or the ICAO code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_iata_code: Option<String>,
    /// Three characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_icao_code: Option<String>,
    /// The airline's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub airline_name: Option<LocalizedString>,
    /// The round logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub airline_logo: Option<Image>,
    /// The wide logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide_airline_logo: Option<Image>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Carrier and number of a flight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FlightHeader {
    /// The marketing carrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<FlightCarrier>,
    /// The number without the carrier's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flight_number: Option<String>,
    /// The operating carrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operating_carrier: Option<FlightCarrier>,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operating_flight_number: Option<String>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An airport of a flight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AirportInfo {
    /// Three letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub airport_iata_code: Option<String>,
    /// The terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<String>,
    /// The gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// Shown instead of the name that Google knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub airport_name_override: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Seat and boarding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BoardingAndSeatingInfo {
    /// The boarding group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boarding_group: Option<String>,
    /// The seat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_number: Option<String>,
    /// The cabin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_class: Option<String>,
    /// The place in the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boarding_position: Option<String>,
    /// The check-in sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_number: Option<String>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A seat on a train or bus.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TicketSeat {
    /// The coach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coach: Option<String>,
    /// The seat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
    /// `ECONOMY`, `FIRST` or `BUSINESS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fare_class: Option<String>,
    /// In words, as window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat_assignment: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One leg of a journey.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TicketLeg {
    /// The origin's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_station_code: Option<String>,
    /// The origin's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_name: Option<LocalizedString>,
    /// The destination's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_station_code: Option<String>,
    /// The destination's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_name: Option<LocalizedString>,
    /// ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub departure_date_time: Option<String>,
    /// ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival_date_time: Option<String>,
    /// The fare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fare_name: Option<LocalizedString>,
    /// The train or ship.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carriage: Option<String>,
    /// The platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The seat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_seat: Option<TicketSeat>,
    /// Who runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transit_operator_name: Option<LocalizedString>,
    /// Keys that this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: Extra,
}
