//! Semantic tags, and the newer designs that are drawn from them; a phone falls back to the older style when a fact is
//! missing.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{File, Report, dates, items};
use crate::model::{
    EVENT_TYPES, EventDate, Fields, Money, PersonName, Place, Seat, Style, TagKind, Wifi, semantic_twin, tag_kind,
};

const FLIGHT: &[&str] = &[
    "airlineCode",
    "flightNumber",
    "originalDepartureDate",
    "originalBoardingDate",
    "originalArrivalDate",
    "departureAirportCode",
    "departureAirportTimeZone",
    "destinationAirportCode",
    "destinationAirportTimeZone",
    "passengerName",
];
const FLIGHT_WANTED: &[&str] = &["departureCityName", "destinationCityName", "seats"];
const EVENT: &[&str] = &["eventName", "venueName"];
const SPORTS: &[&str] = &["homeTeamAbbreviation", "awayTeamAbbreviation"];
const LIVE: &[&str] = &["performerNames"];

pub(super) fn check(report: &mut Report, pass: &Value, files: &[File<'_>]) {
    check_all_tags(report, pass);
    for (at, scheme) in items(&pass["preferredStyleSchemes"]).iter().enumerate() {
        let path = format!("preferredStyleSchemes[{at}]");
        match scheme.as_str() {
            Some("semanticBoardingPass") if pass.get("boardingPass").is_some() => check_flight(report, pass),
            Some("posterEventTicket") if pass.get("eventTicket").is_some() => check_poster(report, &path, pass, files),
            Some(known) if Style::KEYS.contains(&known) && pass.get(known).is_some() => {}
            _ => report.lost(
                &path,
                "style_scheme",
                "the entry is skipped",
                "name the style that this pass has; before it, `posterEventTicket` for an event ticket or \
                 `semanticBoardingPass` for a boarding pass",
            ),
        }
    }
}

/// The tags of the pass, of its fields and of its upcoming entries.
fn check_all_tags(report: &mut Report, pass: &Value) {
    check_tags(report, "semantics", &pass["semantics"]);
    for style in Style::KEYS.iter().copied().chain(["posterGeneric"]) {
        for group in Fields::GROUPS {
            for (at, field) in items(&pass[style][*group]).iter().enumerate() {
                check_tags(report, &format!("{style}.{group}[{at}].semantics"), &field["semantics"]);
            }
        }
    }
    for (at, entry) in items(&pass["upcomingPassInformation"]).iter().enumerate() {
        check_tags(report, &format!("upcomingPassInformation[{at}].semantics"), &entry["semantics"]);
    }
}

fn check_tags(report: &mut Report, path: &str, tags: &Value) {
    if tags.is_null() {
        return;
    }
    let Some(tags) = tags.as_object() else {
        report.lost(path, "semantics_form", "no tag is read", "make the tags one JSON object");
        return;
    };
    for (tag, value) in tags {
        let at = format!("{path}.{tag}");
        match tag_kind(tag) {
            None => report.advice(
                &at,
                "tag_unknown",
                "a phone that does not know the tag ignores it",
                "compare the name with Apple's list of semantic tags",
            ),
            Some(kind) => {
                if let Some(mend) = misfit(kind, value) {
                    report.lost(&at, "tag_value", "the tag is ignored", mend);
                }
            }
        }
    }
    if let (Some(start), Some(end)) = (date(&tags_value(tags, "eventStartDate")), date(&tags_value(tags, "eventEndDate")))
        && start > end
    {
        let mend = "let the event end after it starts";
        report.lost(&format!("{path}.eventEndDate"), "event_dates", "the event is filed under the past", mend);
    }
}

fn tags_value(tags: &serde_json::Map<String, Value>, tag: &str) -> Value {
    tags.get(tag).cloned().unwrap_or_default()
}

fn date(value: &Value) -> Option<i64> {
    value.as_str().and_then(dates::parse)
}

/// What to write instead, where a value is not what its tag holds.
fn misfit(kind: TagKind, value: &Value) -> Option<&'static str> {
    fn reads<T: DeserializeOwned>(value: &Value) -> bool {
        serde_json::from_value::<T>(value.clone()).is_ok()
    }
    let (fits, mend) = match kind {
        TagKind::Text => (value.is_string(), "write a text"),
        TagKind::Number => (value.is_number(), "write a JSON number, without quotes"),
        TagKind::Flag => (value.is_boolean(), "write true or false, without quotes"),
        TagKind::Date => (date(value).is_some(), "write the date with its zone, such as `2026-11-20T18:30:00+01:00`"),
        TagKind::Texts => (reads::<Vec<String>>(value), "write a list of texts"),
        TagKind::Money => (reads::<Money>(value), "write `{\"amount\": \"12.50\", \"currencyCode\": \"EUR\"}`, both as texts"),
        TagKind::Place => (reads::<Place>(value), "write `{\"latitude\": 52.5, \"longitude\": 13.4}`, both as numbers"),
        TagKind::Person => (
            value.is_object() && reads::<PersonName>(value),
            "write the name in its parts, such as `{\"givenName\": \"Mira\", \"familyName\": \"Lund\"}`",
        ),
        TagKind::Seats => (reads::<Vec<Seat>>(value), "write a list such as `[{\"seatRow\": \"4\", \"seatNumber\": \"12\"}]`"),
        TagKind::EventDate => (
            value.is_object()
                && reads::<EventDate>(value)
                && value.get("date").is_none_or(|text| text.as_str().and_then(dates::parse).is_some()),
            "write an object with `date` and its zone, such as `2026-11-20T18:30:00+01:00`",
        ),
        TagKind::EventType => (
            value.as_str().is_some_and(|word| EVENT_TYPES.contains(&word)),
            "write one of Apple's event types, such as `PKEventTypeSports`",
        ),
        TagKind::Wifi => (reads::<Vec<Wifi>>(value), "write a list such as `[{\"ssid\": \"Guests\", \"password\": \"…\"}]`"),
        TagKind::Objects => (value.is_array() || value.is_object(), "write the object that Apple documents"),
    };
    (!fits).then_some(mend)
}

fn check_flight(report: &mut Report, pass: &Value) {
    require(report, &pass["semantics"], FLIGHT);
    if pass["boardingPass"]["transitType"] != "PKTransitTypeAir" {
        fall_back(report, "boardingPass.transitType", "set it to `PKTransitTypeAir`; the design is for flights");
    }
    for tag in FLIGHT_WANTED.iter().filter(|tag| is_missing(&pass["semantics"], tag)) {
        let path = format!("semantics.{tag}");
        report.advice(&path, "scheme_bare", "the phone leaves its place empty", format!("add `{tag}`"));
    }
}

fn check_poster(report: &mut Report, path: &str, pass: &Value, files: &[File<'_>]) {
    let tags = &pass["semantics"];
    require(report, tags, EVENT);
    match tags["eventType"].as_str() {
        Some("PKEventTypeSports") => require(report, tags, SPORTS),
        Some("PKEventTypeLivePerformance") => require(report, tags, LIVE),
        _ => {}
    }
    if !files.iter().any(|file| ["background", "artwork"].contains(&super::files::slot(file.path).0)) {
        fall_back(report, path, "add `artwork@2x.png` and `artwork@3x.png`, or a background");
    }
    if pass["nfc"]["requiresAuthentication"].is_null() && items(&pass["barcodes"]).is_empty() {
        fall_back(report, path, "add `nfc` with `requiresAuthentication`, or a barcode for iOS 27");
    }
    if pass["nfc"]["requiresAuthentication"].is_null() && !items(&pass["barcodes"]).is_empty() {
        let consequence = "before iOS 27 the phone falls back to the next style scheme: there a poster needs `nfc`";
        report.advice(path, "poster_without_nfc", consequence, "add `nfc` with `requiresAuthentication` where readers take it");
    }
    if is_missing(tags, "seats") {
        let consequence = "the poster names no seat";
        report.advice("semantics.seats", "scheme_bare", consequence, "add `seats` where the event has any");
    }
    if tags["eventType"] == "PKEventTypeLivePerformance" && is_missing(tags, "artistIDs") {
        let consequence = "the guide offers no music of the performers";
        report.advice("semantics.artistIDs", "scheme_bare", consequence, "add `artistIDs`, their numbers at Apple Music");
    }
    if is_missing(tags, "eventStartDate") && is_missing(tags, "eventStartDateInfo") {
        let consequence = "the event has no date, and no guide or live activity appears";
        report.advice("semantics.eventStartDate", "scheme_bare", consequence, "add `eventStartDate`");
    }
}

fn is_missing(tags: &Value, tag: &str) -> bool {
    tags[tag].is_null() && semantic_twin(tag).is_none_or(|twin| tags[twin].is_null())
}

fn require(report: &mut Report, tags: &Value, wanted: &[&str]) {
    for tag in wanted.iter().filter(|tag| is_missing(tags, tag)) {
        fall_back(report, &format!("semantics.{tag}"), &format!("add `{tag}`"));
    }
}

fn fall_back(report: &mut Report, path: &str, mend: &str) {
    report.lost(path, "scheme_incomplete", "the phone falls back to the next style scheme", mend);
}
