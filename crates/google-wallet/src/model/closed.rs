//! What may stand under a key wherever in a class or object it occurs: closed words, addresses, places, codes and times.
//!
//! It looks at the JSON as it is sent, so that what is not typed here is checked too. A key that means several things at
//! different places (`type`, `state`) is checked by the object that it stands in. Google takes the words in capitals, and most of
//! them in the older spelling (`multipleHolders`); both are let through.
//! Public source: the enumerations of the `walletobjects` v1 discovery document, revision 20260806, at
//! <https://walletobjects.googleapis.com/$discovery/rest?version=v1>.

use serde_json::{Map, Value};

use super::validate::{Check, Severity};

/// Most levels of nesting that are looked at.
const MAX_DEPTH: usize = 32;

/// Words by the key that they stand under. What Google calls `…UNSPECIFIED` says nothing and is refused by most methods.
#[rustfmt::skip]
const WORDS: &[(&str, &[&str])] = &[
    ("action", &["S2AP", "SIGN_UP"]),
    ("algorithm", &["TOTP_SHA1"]),
    ("animationType", &["FOIL_SHIMMER"]),
    ("boardingDoor", &["FRONT", "BACK"]),
    ("boardingPolicy", &["ZONE_BASED", "GROUP_BASED", "BOARDING_POLICY_OTHER"]),
    ("concessionCategory", &["ADULT", "CHILD", "SENIOR"]),
    ("confirmationCodeLabel", &["CONFIRMATION_CODE", "CONFIRMATION_NUMBER", "ORDER_NUMBER", "RESERVATION_NUMBER"]),
    (
        "dateFormat",
        &["DATE_TIME", "DATE_ONLY", "TIME_ONLY", "DATE_TIME_YEAR", "DATE_YEAR", "YEAR_MONTH", "YEAR_MONTH_DAY"],
    ),
    ("doorsOpenLabel", &["DOORS_OPEN", "GATES_OPEN"]),
    ("fareClass", &["ECONOMY", "FIRST", "BUSINESS"]),
    ("flightStatus", &["SCHEDULED", "ACTIVE", "LANDED", "CANCELLED", "REDIRECTED", "DIVERTED"]),
    ("gateLabel", &["GATE", "DOOR", "ENTRANCE"]),
    (
        "genericType",
        &[
            "GENERIC_SEASON_PASS", "GENERIC_UTILITY_BILLS", "GENERIC_PARKING_PASS", "GENERIC_VOUCHER", "GENERIC_GYM_MEMBERSHIP",
            "GENERIC_LIBRARY_MEMBERSHIP", "GENERIC_RESERVATIONS", "GENERIC_AUTO_INSURANCE", "GENERIC_HOME_INSURANCE",
            "GENERIC_ENTRY_TICKET", "GENERIC_RECEIPT", "GENERIC_LOYALTY_CARD", "GENERIC_BUSINESS_CARD", "GENERIC_BARCODE_PASS",
            "GENERIC_MEMBERSHIP_CARD", "GENERIC_STUDENT_CARD", "GENERIC_TRANSIT_PASS", "GENERIC_VEHICLE_REGISTRATION",
            "GENERIC_OTHER",
        ],
    ),
    ("messageType", &["TEXT", "TEXT_AND_NOTIFY"]),
    ("multipleDevicesAndHoldersAllowedStatus", &["MULTIPLE_HOLDERS", "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE"]),
    ("nfcConstraint", &["BLOCK_PAYMENT", "BLOCK_CLOSED_LOOP_TRANSIT"]),
    ("notifyPreference", &["NOTIFY_ON_UPDATE"]),
    ("passengerType", &["SINGLE_PASSENGER", "MULTIPLE_PASSENGERS"]),
    ("predefinedItem", &["FREQUENT_FLYER_PROGRAM_NAME_AND_NUMBER", "FLIGHT_NUMBER_AND_OPERATING_FLIGHT_NUMBER"]),
    ("redemptionChannel", &["INSTORE", "ONLINE", "BOTH", "TEMPORARY_PRICE_REDUCTION"]),
    ("renderEncoding", &["UTF_8"]),
    ("reviewStatus", &["UNDER_REVIEW", "APPROVED", "DRAFT", "REJECTED"]),
    ("rowLabel", &["ROW"]),
    ("screenshotEligibility", &["ELIGIBLE", "INELIGIBLE"]),
    ("seatClassPolicy", &["CABIN_BASED", "CLASS_BASED", "TIER_BASED", "SEAT_CLASS_POLICY_OTHER"]),
    ("seatLabel", &["SEAT"]),
    ("sectionLabel", &["SECTION", "THEATER"]),
    (
        "signupSharedDatas",
        &[
            "FIRST_NAME", "LAST_NAME", "STREET_ADDRESS", "ADDRESS_LINE_1", "ADDRESS_LINE_2", "ADDRESS_LINE_3", "CITY", "STATE",
            "ZIPCODE", "COUNTRY", "EMAIL", "PHONE",
        ],
    ),
    ("ticketStatus", &["USED", "REFUNDED", "EXCHANGED"]),
    ("transitOption", &["ORIGIN_AND_DESTINATION_NAMES", "ORIGIN_AND_DESTINATION_CODES", "ORIGIN_NAME"]),
    ("transitType", &["BUS", "RAIL", "TRAM", "FERRY", "OTHER"]),
    ("tripType", &["ROUND_TRIP", "ONE_WAY"]),
    ("viewUnlockRequirement", &["UNLOCK_NOT_REQUIRED", "UNLOCK_REQUIRED_TO_VIEW"]),
];
/// The `state` of what has one of its own, by the key that it stands under.
const STATES: &[(&str, &[&str])] =
    &[("activationStatus", &["NOT_ACTIVATED", "ACTIVATED"]), ("discoverableProgram", &["TRUSTED_TESTERS", "LIVE", "DISABLED"])];
/// Spellings of earlier times that do not follow from the word.
const OLD_SPELLINGS: [(&str, &str); 4] =
    [("EAN_13", "EAN13"), ("PDF_417", "PDF417"), ("QR_CODE", "qrcode"), ("NOT_ACTIVATED", "not_activated")];
/// The `type` of a barcode.
const BARCODES: &[&str] = &[
    "AZTEC",
    "CODE_39",
    "CODE_128",
    "CODABAR",
    "DATA_MATRIX",
    "EAN_8",
    "EAN_13",
    "ITF_14",
    "PDF_417",
    "QR_CODE",
    "UPC_A",
    "TEXT_ONLY",
];
/// The `type` of a barcode that rotates.
const ROTATING: &[&str] = &["QR_CODE", "PDF_417"];
/// Local times without an offset: a flight's, by the clocks of its airports.
const LOCAL_TIMES: [&str; 6] = [
    "localScheduledDepartureDateTime",
    "localEstimatedOrActualDepartureDateTime",
    "localBoardingDateTime",
    "localGateClosingDateTime",
    "localScheduledArrivalDateTime",
    "localEstimatedOrActualArrivalDateTime",
];
/// Times with or without an offset.
const TIMES: [&str; 6] = ["date", "doorsOpen", "start", "end", "departureDateTime", "arrivalDateTime"];

/// Where an image may come from.
const IMAGES: [&str; 2] = ["sourceUri", "privateImageId"];

/// Whether Google has an image under a key.
fn is_image(key: &str) -> bool {
    ["logo", "Logo", "Image"].iter().any(|end| key.ends_with(end))
}

impl Check {
    /// Looks at everything in a class or object.
    pub(super) fn closed(&mut self, thing: &impl serde::Serialize) {
        if let Ok(Value::Object(keys)) = serde_json::to_value(thing) {
            self.keys("", &keys, MAX_DEPTH);
        }
    }

    fn keys(&mut self, at: &str, keys: &Map<String, Value>, depth: usize) {
        self.place(at, keys);
        for (key, value) in keys {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            match (key.as_str(), value) {
                ("barcode", Value::Object(code)) => self.word(&format!("{path}.type"), code.get("type"), BARCODES),
                (name, Value::Object(image)) if is_image(name) && !IMAGES.iter().any(|source| image.contains_key(*source)) => {
                    self.add(Severity::Refused, &path, "image_address", "give its address as sourceUri.uri");
                }
                (name, Value::Object(part)) if STATES.iter().any(|(key, _)| *key == name) => {
                    let words = STATES.iter().find(|(key, _)| *key == name).map_or(&[][..], |(_, words)| words);
                    self.word(&format!("{path}.state"), part.get("state"), words);
                }
                ("rotatingBarcode", Value::Object(code)) => self.word(&format!("{path}.type"), code.get("type"), ROTATING),
                _ => {}
            }
            self.value(&path, key, value, depth);
        }
    }

    fn value(&mut self, path: &str, key: &str, value: &Value, depth: usize) {
        match value {
            Value::Object(inner) if depth > 0 => self.keys(path, inner, depth - 1),
            Value::Array(items) if depth > 0 => {
                for (index, item) in items.iter().enumerate() {
                    self.value(&format!("{path}[{index}]"), key, item, depth - 1);
                }
            }
            Value::String(text) => self.text_of(path, key, text),
            _ => {}
        }
    }

    fn text_of(&mut self, path: &str, key: &str, text: &str) {
        if let Some((_, words)) = WORDS.iter().find(|(name, _)| *name == key) {
            return self.word(path, Some(&Value::from(text)), words);
        }
        let (good, rule, mend) = match key {
            "uri" if path.ends_with("sourceUri.uri") => {
                (is_web(text, &["https"]), "image_address", "give a public https address: Google fetches the image")
            }
            // below `linksModuleData` there is a rule of its own
            "uri" if path.contains("linksModuleData") => return,
            "uri" => (is_address(text), "address", "give an address with its scheme and host, as https://example.com/"),
            "updateRequestUrl" => (is_web(text, &["https"]), "address", "give an https address: Google calls it"),
            "currencyCode" => {
                let good = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
                (good, "currency", "give the three capitals of ISO 4217, as EUR")
            }
            "micros" => (text.parse::<i64>().is_ok(), "micros", "give millionths of the unit, as a whole number"),
            "countryCode" => {
                let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
                (good, "country", "give the two letters of ISO 3166, as DE")
            }
            key if LOCAL_TIMES.contains(&key) => {
                (is_time(text, false), "local_time", "give the local time of the place without an offset, as 2026-11-20T18:30:00")
            }
            key if TIMES.contains(&key) => (is_time(text, true), "time", "give a time as 2026-11-20T18:30:00+01:00"),
            _ => return,
        };
        if !good {
            self.add(Severity::Refused, path, rule, format!("`{}`: {mend}", shown(text)));
        }
    }

    fn word(&mut self, path: &str, word: Option<&Value>, words: &[&str]) {
        let Some(word) = word.and_then(Value::as_str) else { return };
        let is_meant = |known: &str| word == known || word == older(known) || OLD_SPELLINGS.contains(&(known, word));
        if !words.iter().any(|known| is_meant(known)) {
            let mend = format!("`{}`: Google knows {}", shown(word), words.join(", "));
            self.add(Severity::Refused, path, "unknown_word", mend);
        }
    }

    fn place(&mut self, at: &str, keys: &Map<String, Value>) {
        for (key, bound) in [("latitude", 90.0), ("longitude", 180.0)] {
            if let Some(degrees) = keys.get(key)
                && degrees.as_f64().is_none_or(|degrees| degrees.abs() > bound)
            {
                let path = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
                self.add(Severity::Refused, &path, "coordinates", format!("give degrees from -{bound} to {bound}"));
            }
        }
    }
}

/// A word as Google spelt it before: `multipleHolders`.
fn older(word: &str) -> String {
    let mut parts = word.split('_').map(str::to_ascii_lowercase);
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |before, part| match part.split_at_checked(1) {
        Some((initial, rest)) => before + &initial.to_ascii_uppercase() + rest,
        None => before,
    })
}

/// As much of a text as a message holds.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

fn is_web(text: &str, schemes: &[&str]) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) && uri.host().is_some_and(|host| !host.is_empty())
    })
}

/// A web address with a host, or one of another scheme (`tel:`, an app's own).
fn is_address(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let whole = !rest.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    match scheme {
        // what stands behind the host may hold letters that Google escapes itself
        "http" | "https" => whole && rest.strip_prefix("//").is_some_and(is_host),
        _ => named && whole,
    }
}

fn is_host(rest: &str) -> bool {
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    is_web(&format!("https://{host}/"), &["https"])
}

/// `YYYY-MM-DD`, or with `THH:MM`, seconds and their fractions; an offset behind that only where it `may_have_offset`.
fn is_time(text: &str, may_have_offset: bool) -> bool {
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let number = |part: Option<&str>, digits: usize, most: u32| {
        part.is_some_and(|part| part.len() == digits && part.parse::<u32>().is_ok_and(|number| number <= most))
    };
    let mut days = date.split('-');
    let is_date =
        number(days.next(), 4, 9999) && number(days.next(), 2, 12) && number(days.next(), 2, 31) && days.next().is_none();
    let Some(time) = time else { return is_date };
    let (clock, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let mut parts = clock.split(':');
    let is_clock = number(parts.next(), 2, 23) && number(parts.next(), 2, 59);
    let seconds = parts.next().map(|seconds| seconds.split_once('.').map_or((seconds, "0"), |(whole, part)| (whole, part)));
    let has_seconds = seconds.is_none_or(|(whole, part)| {
        number(Some(whole), 2, 59) && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
    });
    let hours = offset.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':'));
    let is_offset =
        offset == "Z" || hours.is_some_and(|(hours, minutes)| number(Some(hours), 2, 18) && number(Some(minutes), 2, 59));
    is_date && is_clock && has_seconds && parts.next().is_none() && (offset.is_empty() || may_have_offset && is_offset)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(thing: &Value) -> Vec<(String, &'static str)> {
        let mut check = Check::new("x".to_owned());
        check.closed(thing);
        check.findings.into_iter().map(|finding| (finding.path, finding.rule)).collect()
    }

    #[test]
    fn what_google_knows_passes_in_both_spellings() {
        let thing = json!({
            "multipleDevicesAndHoldersAllowedStatus": "multipleHolders", "viewUnlockRequirement": "UNLOCK_REQUIRED_TO_VIEW",
            "homepageUri": {"uri": "https://example.com/a b".replace(' ', "%20")}, "barcode": {"type": "qrCode"},
            "appLinkData": {"androidAppLinkInfo": {"appTarget": {"targetUri": {"uri": "club://card"}}}},
            "merchantLocations": [{"latitude": -90, "longitude": 180.0}], "passConstraints": {"nfcConstraint": ["BLOCK_PAYMENT"]},
            "validTimeInterval": {"start": {"date": "2026-11-20"}, "end": {"date": "2026-11-20T18:30:00.5+05:30"}},
            "localBoardingDateTime": "2026-11-20T18:30", "messages": [{"messageType": "TEXT"}], "state": "ACTIVE", "unheard": "NOPE",
            "rotatingBarcode": {"type": "PDF417"}, "genericType": "GENERIC_STUDENT_CARD", "activationStatus": {"state": "activated"},
            "discoverableProgram": {"state": "trustedTesters", "merchantSignupInfo": {"signupSharedDatas": ["ADDRESS_LINE_1"]}},
        });
        assert_eq!(found(&thing), []);
    }

    #[test]
    fn what_google_does_not_know_is_named_by_place_and_rule() {
        let thing = json!({
            "multipleDevicesAndHoldersAllowedStatus": "NOPE", "homepageUri": {"uri": "not a url"},
            "merchantLocations": [{"latitude": 1, "longitude": 1}, {"latitude": 999, "longitude": "here"}],
            "barcode": {"type": "SQUARE"}, "rotatingBarcode": {"type": "AZTEC"}, "passConstraints": {"nfcConstraint": ["BLOCK_ALL"]},
            "imageModulesData": [{"mainImage": {"sourceUri": {"uri": "http://example.com/a.png"}}}],
            "validTimeInterval": {"end": {"date": "tomorrow"}}, "localBoardingDateTime": "2026-11-20T18:30:00Z",
            "balance": {"micros": "1.5", "currencyCode": "euro"}, "countryCode": "DEU",
            "viewUnlockRequirement": "unlock_required_to_view", "activationStatus": {"state": "EXPIRED"},
            "deep": {"targetUri": {"uri": "https://"}}, "programLogo": {"contentDescription": {}},
        });
        let wanted = [
            ("x.multipleDevicesAndHoldersAllowedStatus", "unknown_word"),
            ("x.homepageUri.uri", "address"),
            ("x.merchantLocations[1].latitude", "coordinates"),
            ("x.merchantLocations[1].longitude", "coordinates"),
            ("x.barcode.type", "unknown_word"),
            ("x.rotatingBarcode.type", "unknown_word"),
            ("x.passConstraints.nfcConstraint[0]", "unknown_word"),
            ("x.imageModulesData[0].mainImage.sourceUri.uri", "image_address"),
            ("x.validTimeInterval.end.date", "time"),
            ("x.localBoardingDateTime", "local_time"),
            ("x.balance.micros", "micros"),
            ("x.balance.currencyCode", "currency"),
            ("x.countryCode", "country"),
            ("x.viewUnlockRequirement", "unknown_word"),
            ("x.activationStatus.state", "unknown_word"),
            ("x.deep.targetUri.uri", "address"),
            ("x.programLogo", "image_address"),
        ];
        assert_eq!(found(&thing), wanted.map(|(path, rule)| (path.to_owned(), rule)));
    }
}
