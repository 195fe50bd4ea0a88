//! The newer designs that are drawn from `semantics`; a phone falls back to the older style when a fact is missing.

use serde_json::Value;

use super::{File, Report, items};

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
const EVENT: &[&str] = &["eventName", "venueName"];

pub(super) fn check(report: &mut Report, pass: &Value, files: &[File<'_>]) {
    for (at, scheme) in items(&pass["preferredStyleSchemes"]).iter().enumerate() {
        let path = format!("preferredStyleSchemes[{at}]");
        match scheme.as_str() {
            Some("semanticBoardingPass") => check_flight(report, pass),
            Some("posterEventTicket") => check_poster(report, &path, pass, files),
            Some(known) if pass.get(known).is_some() => {}
            _ => report.lost(
                &path,
                "style_scheme",
                "the entry is skipped",
                "name a style that this pass has, or `posterEventTicket` or `semanticBoardingPass`",
            ),
        }
    }
}

fn check_flight(report: &mut Report, pass: &Value) {
    require(report, &pass["semantics"], FLIGHT);
    if pass["boardingPass"]["transitType"] != "PKTransitTypeAir" {
        fall_back(report, "boardingPass.transitType", "set it to `PKTransitTypeAir`; the design is for flights");
    }
}

fn check_poster(report: &mut Report, path: &str, pass: &Value, files: &[File<'_>]) {
    require(report, &pass["semantics"], EVENT);
    if !files.iter().any(|file| ["background", "artwork"].contains(&super::files::slot(file.path).0)) {
        fall_back(report, path, "add `artwork@2x.png` and `artwork@3x.png`, or a background");
    }
    if pass["nfc"]["requiresAuthentication"].is_null() && items(&pass["barcodes"]).is_empty() {
        fall_back(report, path, "add `nfc` with `requiresAuthentication`, or a barcode for iOS 27");
    }
}

fn require(report: &mut Report, semantics: &Value, keys: &[&str]) {
    for key in keys.iter().filter(|key| semantics[**key].is_null()) {
        fall_back(report, &format!("semantics.{key}"), &format!("add `{key}`"));
    }
}

fn fall_back(report: &mut Report, path: &str, mend: &str) {
    report.lost(path, "scheme_incomplete", "the phone falls back to the next style scheme", mend);
}
