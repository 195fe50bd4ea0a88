use bytes::Bytes;
use serde_json::{Value, json};

use super::Severity::{Advice, Lost, Refused};
use super::{Severity, lint};
use crate::assets::Assets;
use crate::png::tests::png;

/// A pass without a fault.
fn card() -> Value {
    json!({
        "formatVersion": 1, "passTypeIdentifier": "pass.example.card", "serialNumber": "1", "teamIdentifier": "TEAM123456",
        "organizationName": "Example", "description": "Card", "webServiceURL": "https://example.com/", "authenticationToken": "0123456789abcdef",
        "barcodes": [{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "iso-8859-1"}],
        "locations": [{"latitude": 1.0, "longitude": 2.0}], "maxDistance": 100, "labelColor": "#fff",
        "storeCard": {
            "headerFields": [{"key": "tier", "value": "Gold", "textAlignment": "PKTextAlignmentRight"}],
            "primaryFields": [{"key": "points", "value": 12, "numberStyle": "PKNumberStyleDecimal", "changeMessage": "Now %@"}],
            "auxiliaryFields": [{"key": "until", "value": "2026-11-20T18:30Z", "dateStyle": "PKDateStyleShort", "row": 1}],
            "backFields": [{"key": "site", "value": "x", "dataDetectorTypes": ["PKDataDetectorTypeLink"]}]
        }
    })
}

const ICONS: [(&str, u32, u32); 3] = [("icon.png", 38, 38), ("icon@2x.png", 76, 76), ("icon@3x.png", 114, 114)];

fn assets(files: &[(&str, u32, u32)]) -> Assets {
    Assets::prepare(files.iter().map(|(path, width, height)| ((*path).to_owned(), Bytes::from(png(*width, *height))))).unwrap()
}

fn found(pass: &Value, assets: &Assets) -> Vec<(Severity, String, &'static str)> {
    lint(pass.to_string().as_bytes(), assets).into_iter().map(|finding| (finding.severity, finding.path, finding.rule)).collect()
}

/// The card with one value put at a JSON pointer, or taken away by null.
fn changed(pointer: &str, value: Value) -> Value {
    let mut pass = card();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = pass.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) => match key.parse::<usize>() {
            Ok(at) => list[at] = value,
            Err(_) => list.push(value),
        },
        _ if value.is_null() => {
            parent.as_object_mut().unwrap().remove(key);
        }
        _ => parent[key] = value,
    }
    pass
}

#[test]
fn a_good_pass_has_no_findings() {
    assert_eq!(found(&card(), &assets(&ICONS)), []);
}

#[test]
#[allow(clippy::too_many_lines)] // a table, one line a rule
fn each_fault_is_one_finding_at_its_place() {
    let qr = |format: &str, message: &str, encoding: &str| json!([{"format": format, "message": message, "messageEncoding": encoding}]);
    let places = json!(vec![json!({"latitude": 1, "longitude": 1}); 11]);
    let card = "storeCard";
    let cases = [
        (Refused, "serialNumber", "required_key", "/serialNumber", Value::Null),
        (Refused, "description", "required_key", "/description", json!("")),
        (Refused, "formatVersion", "required_key", "/formatVersion", json!("1")),
        (Refused, "passTypeIdentifier", "pass_type", "/passTypeIdentifier", json!("com.example")),
        (Refused, "pass.json", "style_missing", "/storeCard", Value::Null),
        (Refused, card, "style_twice", "/coupon", json!({})),
        (Refused, "posterGeneric", "style_twice", "/posterGeneric", json!({})),
        (Refused, "webServiceURL", "service_not_https", "/webServiceURL", json!("http://example.com")),
        (Lost, "webServiceURL", "service_incomplete", "/webServiceURL", Value::Null),
        (Refused, "authenticationToken", "service_incomplete", "/authenticationToken", Value::Null),
        (Refused, "authenticationToken", "token_too_short", "/authenticationToken", json!("short")),
        (Refused, "appLaunchURL", "app_without_store_id", "/appLaunchURL", json!("app://x")),
        (Refused, "expirationDate", "date", "/expirationDate", json!("2026-11-20T18:30:00")),
        (
            Refused,
            "relevantDates[0].date",
            "date",
            "/relevantDates",
            json!([{"date": "soon", "relevantDate": "2026-11-20T18:30Z"}]),
        ),
        (Lost, "relevantDates[0]", "relevance_one_key", "/relevantDates", json!([{"date": "2026-11-20T18:30Z"}])),
        (Lost, "relevantDates[0]", "relevance_incomplete", "/relevantDates", json!([{"startDate": "2026-11-20T18:30Z"}])),
        (
            Lost,
            "relevantDates[0]",
            "relevance_interval",
            "/relevantDates",
            json!([{"startDate": "2026-11-20T18:30Z", "endDate": "2026-11-22T18:30Z"}]),
        ),
        (Lost, "maxDistance", "max_distance_type", "/maxDistance", json!("100")),
        (Lost, "locations[10]", "too_many_places", "/locations", places),
        (Lost, "labelColor", "color", "/labelColor", json!("blue")),
        (Lost, "labelColor", "label_color_automatic", "/useAutomaticColors", json!(true)),
        (Advice, "sharingProhibited", "sharing", "/sharingProhibited", json!(true)),
        (Lost, "barcodes[0].messageEncoding", "barcode_encoding", "/barcodes", qr("PKBarcodeFormatQR", "東京", "iso-8859-1")),
        (Lost, "barcodes", "barcode_new_only", "/barcodes", qr("PKBarcodeFormatEAN13", "1", "iso-8859-1")),
        (Refused, "barcodes[0].message", "barcode_incomplete", "/barcodes/0/message", Value::Null),
        (Refused, "storeCard.headerFields[0].key", "field_key", "/storeCard/headerFields/0/key", Value::Null),
        (Refused, "storeCard.backFields[0].key", "field_key_twice", "/storeCard/backFields/0/key", json!("tier")),
        (Refused, "storeCard.headerFields[0].value", "field_value", "/storeCard/headerFields/0/value", json!([1])),
        (Refused, "storeCard.auxiliaryFields[0].value", "date", "/storeCard/auxiliaryFields/0/value", json!("2026-11-20")),
        (
            Lost,
            "storeCard.primaryFields[0].numberStyle",
            "number_format_on_text",
            "/storeCard/primaryFields/0/value",
            json!("12"),
        ),
        (
            Lost,
            "storeCard.primaryFields[0].numberStyle",
            "number_and_currency",
            "/storeCard/primaryFields/0/currencyCode",
            json!("EUR"),
        ),
        (
            Lost,
            "storeCard.primaryFields[0].changeMessage",
            "change_message",
            "/storeCard/primaryFields/0/changeMessage",
            json!("new"),
        ),
        (
            Lost,
            "storeCard.primaryFields[0].textAlignment",
            "alignment_place",
            "/storeCard/primaryFields/0/textAlignment",
            json!("PKTextAlignmentLeft"),
        ),
        (
            Lost,
            "storeCard.headerFields[0].textAlignment",
            "unknown_word",
            "/storeCard/headerFields/0/textAlignment",
            json!("Right"),
        ),
        (Lost, "storeCard.backFields[0].row", "row_place", "/storeCard/backFields/0/row", json!(0)),
        (Lost, "storeCard.auxiliaryFields[0].row", "row_value", "/storeCard/auxiliaryFields/0/row", json!(2)),
        (
            Lost,
            "storeCard.headerFields[0].dataDetectorTypes",
            "detector_place",
            "/storeCard/headerFields/0/dataDetectorTypes",
            json!([]),
        ),
        (
            Lost,
            "storeCard.backFields[0].dataDetectorTypes[0]",
            "unknown_word",
            "/storeCard/backFields/0/dataDetectorTypes",
            json!(["Link"]),
        ),
        (Lost, "storeCard.transitType", "transit_type", "/storeCard/transitType", json!("PKTransitTypeAir")),
        (Lost, "preferredStyleSchemes[0]", "style_scheme", "/preferredStyleSchemes", json!(["eventTicket"])),
    ];
    let assets = assets(&ICONS);
    for (severity, path, rule, pointer, value) in cases {
        assert_eq!(found(&changed(pointer, value), &assets), [(severity, path.to_owned(), rule)], "{pointer} {rule}");
    }
}

#[test]
fn words_of_barcodes_and_transit_are_apples() {
    let bare = changed("/barcodes/0/format", json!("QR"));
    let rules: Vec<_> = found(&bare, &assets(&ICONS)).into_iter().map(|(_, path, rule)| (path, rule)).collect();
    assert_eq!(rules, [("barcodes".to_owned(), "barcode_new_only"), ("barcodes[0].format".to_owned(), "unknown_word")]);

    let flight = |transit: Value| {
        let mut pass = changed("/storeCard", Value::Null);
        pass["boardingPass"] = json!({"transitType": transit});
        found(&pass, &assets(&ICONS))
    };
    assert_eq!(flight(json!("PKTransitTypeAir")), []);
    assert_eq!(flight(json!("Air")), [(Lost, "boardingPass.transitType".to_owned(), "unknown_word")]);
}

#[test]
fn nfc_is_cut_and_needs_another_certificate() {
    let long = changed("/nfc", json!({"message": "x".repeat(65), "requiresAuthentication": true}));
    let advice = (Advice, "nfc".to_owned(), "nfc_certificate");
    assert_eq!(found(&long, &assets(&ICONS)), [(Lost, "nfc.message".to_owned(), "nfc_too_long"), advice.clone()]);
    let mute = changed("/nfc", json!({}));
    assert_eq!(found(&mute, &assets(&ICONS)), [(Refused, "nfc.message".to_owned(), "nfc_message"), advice]);
}

#[test]
fn newer_designs_name_the_facts_that_are_missing() {
    let mut pass = changed("/storeCard", Value::Null);
    pass["eventTicket"] = json!({});
    pass["preferredStyleSchemes"] = json!(["posterEventTicket", "eventTicket"]);
    pass["semantics"] = json!({"eventName": "Concert"});
    let at = |path: &str| (Lost, path.to_owned(), "scheme_incomplete");
    assert_eq!(found(&pass, &assets(&ICONS)), [at("preferredStyleSchemes[0]"), at("semantics.venueName")]);
    pass["semantics"]["venueName"] = json!("Hall");
    assert_eq!(found(&pass, &assets(&[ICONS.as_slice(), &[("artwork@2x.png", 716, 896)]].concat())), []);

    let mut pass = changed("/storeCard", Value::Null);
    pass["boardingPass"] = json!({"transitType": "PKTransitTypeBus"});
    pass["preferredStyleSchemes"] = json!(["semanticBoardingPass", "boardingPass"]);
    assert_eq!(found(&pass, &assets(&ICONS)).len(), 11, "ten facts and the means of transport");
}

#[test]
fn files_are_looked_at_by_slot() {
    let with = |more: &[(&str, u32, u32)]| found(&card(), &assets(&[ICONS.as_slice(), more].concat()));
    assert_eq!(found(&card(), &assets(&[])), [(Refused, "icon.png".to_owned(), "icon_missing")]);
    assert_eq!(found(&card(), &assets(&ICONS[..2])), [(Advice, "icon@3x.png".to_owned(), "icon_scale")]);
    assert_eq!(with(&[("strip@2x.png", 750, 288), ("en.lproj/logo.png", 160, 50)]), []);
    assert_eq!(with(&[("logo@2x.png", 321, 100)]), [(Lost, "logo@2x.png".to_owned(), "image_too_large")]);
    assert_eq!(with(&[("thumbnail.png", 90, 90)]), [(Lost, "thumbnail.png".to_owned(), "image_not_shown")]);

    let mut ticket = changed("/storeCard", Value::Null);
    ticket["eventTicket"] = json!({});
    let both = assets(&[ICONS.as_slice(), &[("strip.png", 375, 144), ("background.png", 345, 505)]].concat());
    assert_eq!(found(&ticket, &both), [(Lost, "background.png".to_owned(), "strip_and_background")]);

    let personal = Assets::prepare([("personalization.json".to_owned(), Bytes::from("{}"))]).unwrap();
    let personal = assets(&ICONS).overlay(personal.files().map(|file| (file.path().to_owned(), file.data().clone()))).unwrap();
    assert_eq!(found(&card(), &personal), [(Refused, "personalization.json".to_owned(), "personalization_without_nfc")]);
}

#[test]
fn what_is_no_object_is_one_finding() {
    for text in ["", "{", "[]", "null", "{\"a\": 1,, }"] {
        let rules: Vec<_> = lint(text.as_bytes(), &assets(&ICONS)).into_iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, ["json"], "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_json_and_any_bytes_are_linted_without_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), at in 0usize..9, text in "\\PC{0,20}") {
        let _ = lint(&bytes, &assets(&[]));
        let keys = ["barcodes", "storeCard", "nfc", "relevantDates", "semantics", "locations", "expirationDate", "preferredStyleSchemes", "barcode"];
        for value in [json!(text), json!([text]), json!([[text]]), json!({"a": text}), json!([{"key": text}]), json!(1), Value::Null] {
            let findings = lint(changed(&format!("/{}", keys[at]), value).to_string().as_bytes(), &assets(&ICONS));
            proptest::prop_assert!(findings.iter().all(|finding| !finding.mend.is_empty() && !finding.consequence.is_empty()));
        }
    }
}

#[test]
fn translations_are_looked_up_by_the_literal_text() {
    let translated = |strings: &str| {
        let mut pass = card();
        pass["storeCard"]["primaryFields"][0]["label"] = json!("Points");
        let strings = ("de.lproj/pass.strings".to_owned(), Bytes::from(strings.to_owned()));
        found(&pass, &assets(&ICONS).overlay([strings]).unwrap())
    };
    assert_eq!(translated("\"Points\" = \"Punkte\";"), []);
    let finding = |severity, rule| vec![(severity, "de.lproj/pass.strings".to_owned(), rule)];
    assert_eq!(translated("\"points\" = \"Punkte\";"), finding(Advice, "strings_unused"));
    assert_eq!(translated("Points = Punkte"), finding(Lost, "strings_unreadable"));
}
