//! Keys at the top of `pass.json`: identity, web service, app, relevance, NFC.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Report, dates, items};
use crate::model::{FORMAT_VERSION, Style};

/// Shortest token towards the web service, in characters.
const MIN_TOKEN_CHARS: usize = 16;
/// Most places, and most beacons, that Wallet looks at.
const MAX_PLACES: usize = 10;
/// Longest interval of relevance, in seconds.
const MAX_RELEVANCE_SECONDS: i64 = 24 * 3600;
/// Longest payload that a terminal reads, in bytes.
const MAX_NFC_BYTES: usize = 64;
/// What a SubjectPublicKeyInfo of a P-256 key starts with; a compressed or an uncompressed point follows (RFC 5480).
const P256_POINT_PREFIXES: [&[u8]; 2] = [
    &[
        0x30, 0x39, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        0x03, 0x01, 0x07, 0x03, 0x22, 0x00,
    ],
    &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ],
];

pub(super) fn check(report: &mut Report, pass: &Value) {
    check_required(report, pass);
    check_style(report, pass);
    check_service(report, pass);
    check_relevance(report, pass);
    check_nfc(report, &pass["nfc"]);
    if pass.get("appLaunchURL").is_some() && items(&pass["associatedStoreIdentifiers"]).is_empty() {
        report.refused(
            "appLaunchURL",
            "app_without_store_id",
            "add the app's number to `associatedStoreIdentifiers`, or remove `appLaunchURL`",
        );
    }
    if pass.get("expirationDate").is_some() {
        dates::check(report, "expirationDate", &pass["expirationDate"]);
    }
}

fn check_required(report: &mut Report, pass: &Value) {
    for key in ["passTypeIdentifier", "serialNumber", "teamIdentifier", "organizationName", "description"] {
        if pass[key].as_str().is_none_or(str::is_empty) {
            report.refused(key, "required_key", format!("give `{key}` as a text that is not empty"));
        }
    }
    if pass["formatVersion"] != FORMAT_VERSION {
        report.refused("formatVersion", "required_key", "set `formatVersion` to the number 1");
    }
    if pass["passTypeIdentifier"].as_str().is_some_and(|id| !id.is_empty() && !id.starts_with("pass.")) {
        report.refused("passTypeIdentifier", "pass_type", "a pass type starts with `pass.`, as it was registered with Apple");
    }
}

fn check_style(report: &mut Report, pass: &Value) {
    let styles: Vec<&str> = Style::KEYS.iter().copied().filter(|key| pass.get(key).is_some()).collect();
    match styles.as_slice() {
        [] => report.refused("pass.json", "style_missing", format!("add one of {}", Style::KEYS.join(", "))),
        [only] => {
            if !pass[only].is_object() {
                report.refused(only, "style_form", "make the style an object with groups of fields");
            }
            if *only != "generic" && pass.get("posterGeneric").is_some() {
                report.refused(
                    "posterGeneric",
                    "style_twice",
                    "`posterGeneric` stands beside `generic` only; remove one of the two",
                );
            }
        }
        [_, second, ..] => report.refused(second, "style_twice", format!("keep one style of {}", styles.join(", "))),
    }
}

fn check_service(report: &mut Report, pass: &Value) {
    let (url, token) = (pass.get("webServiceURL"), pass.get("authenticationToken"));
    if let Some(url) = url
        && !url.as_str().is_some_and(|url| url.starts_with("https://"))
    {
        report.refused(
            "webServiceURL",
            "service_not_https",
            "give an address that starts with `https://`; only developer phones can allow http",
        );
    }
    if let Some(token) = token
        && token.as_str().is_none_or(|token| token.chars().count() < MIN_TOKEN_CHARS)
    {
        report.refused(
            "authenticationToken",
            "token_too_short",
            format!("make it a text of at least {MIN_TOKEN_CHARS} characters"),
        );
    }
    match (url.is_some(), token.is_some()) {
        (true, false) => {
            report.refused("authenticationToken", "service_incomplete", "add the token that belongs to `webServiceURL`");
        }
        (false, true) => report.lost(
            "webServiceURL",
            "service_incomplete",
            "the pass is never updated",
            "add the address of the web service, or remove `authenticationToken`",
        ),
        _ => {}
    }
}

fn check_relevance(report: &mut Report, pass: &Value) {
    if pass.get("maxDistance").is_some_and(|value| !value.is_number()) {
        report.lost("maxDistance", "max_distance_type", "the value is dropped", "write metres as a JSON number, without quotes");
    }
    for key in ["locations", "beacons"] {
        if items(&pass[key]).len() > MAX_PLACES {
            let path = format!("{key}[{MAX_PLACES}]");
            report.lost(
                &path,
                "too_many_places",
                "the entries after the tenth are ignored",
                format!("keep at most {MAX_PLACES} entries in `{key}`"),
            );
        }
    }
    for (at, place) in items(&pass["locations"]).iter().enumerate() {
        let within = |key: &str, bound: f64| place[key].as_f64().is_some_and(|degrees| degrees.abs() <= bound);
        if !within("latitude", 90.0) || !within("longitude", 180.0) {
            let mend = "give `latitude` (-90 to 90) and `longitude` (-180 to 180) as JSON numbers";
            report.lost(&format!("locations[{at}]"), "place_form", "the place is ignored", mend);
        }
    }
    for (at, beacon) in items(&pass["beacons"]).iter().enumerate() {
        if !beacon["proximityUUID"].as_str().is_some_and(is_uuid) {
            let mend = "give `proximityUUID` as a UUID";
            report.lost(&format!("beacons[{at}]"), "place_form", "the beacon is ignored", mend);
        }
    }
    if pass.get("relevantDate").is_some() {
        dates::check(report, "relevantDate", &pass["relevantDate"]);
    }
    for (at, entry) in items(&pass["relevantDates"]).iter().enumerate() {
        check_relevant_date(report, &format!("relevantDates[{at}]"), entry);
    }
}

fn check_relevant_date(report: &mut Report, path: &str, entry: &Value) {
    let mut moment = |key: &str| entry.get(key).and_then(|value| dates::check(report, &format!("{path}.{key}"), value));
    let (date, older, start, end) = (moment("date"), moment("relevantDate"), moment("startDate"), moment("endDate"));
    let has = |key: &str| entry.get(key).is_some();
    if has("startDate") != has("endDate") || !(has("date") || has("relevantDate") || has("startDate")) {
        report.lost(path, "relevance_incomplete", "the entry is ignored", "give `date`, or `startDate` together with `endDate`");
    }
    if has("date") != has("relevantDate") && (date.is_some() || older.is_some()) {
        report.lost(
            path,
            "relevance_one_key",
            "phones of the other iOS version do not see the date",
            "give the same moment as `date` and as `relevantDate`",
        );
    }
    if let (Some(start), Some(end)) = (start, end)
        && !(0..=MAX_RELEVANCE_SECONDS).contains(&(end - start))
    {
        report.lost(
            path,
            "relevance_interval",
            "the entry is ignored",
            "let the interval end after its start and within 24 hours",
        );
    }
}

fn check_nfc(report: &mut Report, nfc: &Value) {
    if nfc.is_null() {
        return;
    }
    match nfc["message"].as_str() {
        None => report.refused("nfc.message", "nfc_message", "give the payload as a text"),
        Some(message) if message.len() > MAX_NFC_BYTES => report.lost(
            "nfc.message",
            "nfc_too_long",
            "the terminal reads a cut message",
            format!("keep the payload within {MAX_NFC_BYTES} bytes; it has {}", message.len()),
        ),
        Some(_) => {}
    }
    if nfc.get("encryptionPublicKey").is_some_and(|key| !key.as_str().is_some_and(is_p256_key)) {
        report.refused(
            "nfc.encryptionPublicKey",
            "nfc_key",
            "give the terminal's P-256 key as base64 of its SubjectPublicKeyInfo, without PEM lines",
        );
    }
    report.advice(
        "nfc",
        "nfc_certificate",
        "a phone refuses the pass when its certificate lacks the entitlement, which the package does not show",
        "sign with a certificate for which Apple granted NFC",
    );
}

fn is_p256_key(text: &str) -> bool {
    let Ok(der) = STANDARD.decode(text) else { return false };
    P256_POINT_PREFIXES.iter().any(|prefix| match (der.strip_prefix(*prefix), prefix[1]) {
        (Some([2 | 3, x @ ..]), 0x39) => x.len() == 32,
        (Some([4, xy @ ..]), 0x59) => xy.len() == 64,
        _ => false,
    })
}

fn is_uuid(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| if dashes.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}
