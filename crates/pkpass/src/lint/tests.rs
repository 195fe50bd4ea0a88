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
    let actions =
        |ids: &[&str]| -> Value { ids.iter().map(|id| json!({"identifier": id, "type": "call", "url": "tel:+49301"})).collect() };
    let places = json!(vec![json!({"latitude": 1, "longitude": 1}); 11]);
    let card = "storeCard";
    let cases = [
        (Refused, "serialNumber", "required_key", "/serialNumber", Value::Null),
        (Refused, "description", "required_key", "/description", json!("")),
        (Refused, "formatVersion", "required_key", "/formatVersion", json!("1")),
        (Refused, "passTypeIdentifier", "pass_type", "/passTypeIdentifier", json!("com.example")),
        (Refused, "pass.json", "style_missing", "/storeCard", Value::Null),
        (Refused, card, "style_twice", "/coupon", json!({})),
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
        (Lost, "barcodes", "barcode_new_only", "/barcodes", qr("PKBarcodeFormatEAN13", "4006381333931", "iso-8859-1")),
        (Lost, "barcodes[0].message", "barcode_content", "/barcodes", qr("PKBarcodeFormatCode128", "東", "utf-8")),
        (Lost, "locations[0]", "place_form", "/locations/0/latitude", json!(91)),
        (Lost, "beacons[0]", "place_form", "/beacons", json!([{"proximityUUID": "here"}])),
        (Lost, "semantics.balance", "tag_value", "/semantics", json!({"balance": {"amount": 1.5, "currencyCode": "EUR"}})),
        (Lost, "semantics.eventType", "tag_value", "/semantics", json!({"eventType": "Sports"})),
        (Lost, "semantics.eventStartDate", "tag_value", "/semantics", json!({"eventStartDate": "2026-11-20"})),
        (Lost, "semantics.passengerName", "tag_value", "/semantics", json!({"passengerName": "Mira Lund"})),
        (Advice, "semantics.balence", "tag_unknown", "/semantics", json!({"balence": 1})),
        (
            Lost,
            "semantics.eventEndDate",
            "event_dates",
            "/semantics",
            json!({"eventStartDate": "2026-11-20T20:00Z", "eventEndDate": "2026-11-20T18:00Z"}),
        ),
        (Lost, "storeCard.footerFields", "field_place", "/storeCard/footerFields", json!([{"key": "f", "value": "x"}])),
        (
            Lost,
            "featuredActions[0].url",
            "action_target",
            "/featuredActions",
            json!([{"identifier": "a", "type": "shop"}, {"identifier": "b", "type": "place", "placeIdentifier": "I1"}]),
        ),
        (Lost, "featuredActions[2]", "action_count", "/featuredActions", actions(&["a", "b", "c"])),
        (Lost, "featuredActions[1].identifier", "action_identifier", "/featuredActions", actions(&["a", "a"])),
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
fn attributed_values_hold_anchors_alone() {
    let with = |value: Value| {
        let mut pass = card();
        pass["storeCard"]["backFields"] = json!([{"key": "more", "value": "x", "attributedValue": value}]);
        found(&pass, &assets(&ICONS)).into_iter().map(|(.., rule)| rule).collect::<Vec<_>>()
    };
    for good in [json!("plain"), json!("<a href='https://example.com'>Us</a> & you"), json!("<A HREF=\"tel:1\">1</A>"), json!(4)]
    {
        assert_eq!(with(good.clone()), [""; 0], "{good}");
    }
    for bad in [json!("<b>Us</b>"), json!("1 < 2"), json!("<a>x</a>"), json!("<script"), json!(true)] {
        assert_eq!(with(bad.clone()), ["attributed_value"], "{bad}");
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
    let bare = |tag: &str| (Advice, format!("semantics.{tag}"), "scheme_bare");
    let nfc = (Advice, "preferredStyleSchemes[0]".to_owned(), "poster_without_nfc");
    assert_eq!(
        found(&pass, &assets(&ICONS)),
        [at("preferredStyleSchemes[0]"), at("semantics.venueName"), nfc.clone(), bare("eventStartDate"), bare("seats")]
    );
    pass["semantics"]["venueName"] = json!("Hall");
    pass["semantics"]["eventStartDate"] = json!("2026-11-20T20:00Z");
    pass["semantics"]["seats"] = json!([{"seatNumber": "4"}]);
    let whole = assets(&[ICONS.as_slice(), &[("artwork@2x.png", 716, 896)]].concat());
    assert_eq!(found(&pass, &whole), [nfc]);
    pass["nfc"] = json!({"message": "1", "requiresAuthentication": false});
    pass["semantics"]["eventType"] = json!("PKEventTypeLivePerformance");
    pass["semantics"]["performerNames"] = json!(["The Band"]);
    let certificate = (Advice, "nfc".to_owned(), "nfc_certificate");
    assert_eq!(found(&pass, &whole), [certificate, bare("artistIDs")]);

    let mut pass = changed("/storeCard", Value::Null);
    pass["boardingPass"] = json!({"transitType": "PKTransitTypeBus"});
    pass["preferredStyleSchemes"] = json!(["semanticBoardingPass", "boardingPass"]);
    let refused = |pass: &Value| found(pass, &assets(&ICONS)).iter().filter(|(severity, ..)| *severity == Lost).count();
    assert_eq!(refused(&pass), 11, "ten facts and the means of transport");
    pass["semantics"] = json!({"departureLocationTimeZone": "Europe/Berlin", "destinationAirportTimeZone": "Asia/Tokyo"});
    assert_eq!(refused(&pass), 9, "either name of a tag will do");
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

    assert_eq!(with(&[("strip@2x.png", 640, 288)]), [(Advice, "strip@2x.png".to_owned(), "image_size")]);
}

#[test]
fn a_sign_up_form_needs_nfc_and_its_keys() {
    let with = |pass: &Value, form: &str| {
        let file = ("personalization.json".to_owned(), Bytes::from(form.to_owned()));
        found(pass, &assets(&ICONS).overlay([file]).unwrap())
    };
    let at = |severity, rule| (severity, "personalization.json".to_owned(), rule);
    assert_eq!(with(&card(), "{}"), [at(Refused, "personalization_without_nfc")]);
    let key = "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgAC".to_owned() + &"A".repeat(40) + "AAA=";
    let nfc = changed("/nfc", json!({"message": "1", "encryptionPublicKey": key}));
    let advice = (Advice, "nfc".to_owned(), "nfc_certificate");
    let good = r#"{"requiredPersonalizationFields": ["PKPassPersonalizationFieldName"], "description": "Club"}"#;
    assert_eq!(with(&nfc, good), std::slice::from_ref(&advice));
    for bad in ["{}", &good.replace("FieldName", "FieldShoeSize"), &good.replace("Club", " ")] {
        assert_eq!(with(&nfc, bad), [at(Lost, "personalization_form"), advice.clone()], "{bad}");
    }
}

#[test]
fn the_key_of_a_terminal_is_a_p256_key() {
    for key in ["", "not base64", "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgAC"] {
        let nfc = changed("/nfc", json!({"message": "1", "encryptionPublicKey": key}));
        assert_eq!(found(&nfc, &assets(&ICONS))[0], (Refused, "nfc.encryptionPublicKey".to_owned(), "nfc_key"), "{key}");
    }
}

#[test]
fn posters_of_ios_27_stand_beside_what_older_systems_show() {
    let mut pass = changed("/posterGeneric", json!({"footerFields": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]}));
    let rules: Vec<_> = found(&pass, &assets(&ICONS)).into_iter().map(|(_, path, rule)| (path, rule)).collect();
    let place = |path: &str, rule| (path.to_owned(), rule);
    assert_eq!(
        rules,
        [
            place("posterGeneric", "poster_alone"),
            place("posterGeneric", "style_twice"),
            place("posterGeneric.footerFields[1]", "footer_one")
        ]
    );
    let card = pass["storeCard"].take();
    pass["generic"] = card;
    pass.as_object_mut().unwrap().remove("storeCard");
    pass["posterGeneric"]["footerFields"].as_array_mut().unwrap().pop();
    assert_eq!(found(&pass, &assets(&ICONS)), []);
}

/// A poster ticket without a fault.
fn ticket() -> Value {
    let mut pass = changed("/storeCard", Value::Null);
    pass["eventTicket"] = json!({"additionalInfoFields": [{"key": "a", "value": "b"}]});
    pass["preferredStyleSchemes"] = json!(["posterEventTicket", "eventTicket"]);
    pass["semantics"] = json!({"eventName": "Concert", "venueName": "Hall", "eventStartDate": "2026-11-20T20:00Z",
        "seats": [{"seatNumber": "4"}]});
    pass
}

/// What is found of a poster ticket beside the advice that one without `nfc` gets.
fn beside_nfc(pass: &Value, assets: &Assets) -> Vec<(Severity, String, &'static str)> {
    found(pass, assets).into_iter().filter(|(.., rule)| *rule != "poster_without_nfc").collect()
}

#[test]
fn guides_and_upcoming_events_belong_to_poster_tickets() {
    let all = assets(&[ICONS.as_slice(), &[("artwork@2x.png", 716, 896)]].concat());
    let entry = json!({"type": "event", "identifier": "m1", "name": "Match", "dateInformation": {"date": "2026-11-27T20:00Z"},
        "images": {"headerImage": {"URLs": [{"URL": "https://example.com/a.png", "SHA256": "ab".repeat(32), "scale": 2, "size": 1000}]},
                   "venueMap": {"reuseExisting": true}}});
    let mut pass = ticket();
    pass["upcomingPassInformation"] = json!([entry]);
    pass["bagPolicyURL"] = json!("https://example.com/bags");
    pass["sellURL"] = json!("https://example.com/sell");
    pass["auxiliaryStoreIdentifiers"] = json!([1]);
    assert_eq!(beside_nfc(&pass, &all), []);

    let one = |pointer: &str, value: Value| {
        let mut pass = pass.clone();
        *pass.pointer_mut(pointer).unwrap() = value;
        beside_nfc(&pass, &all)
    };
    let image = "upcomingPassInformation[0].images";
    let cases = [
        ("/upcomingPassInformation/0/type", json!("match"), "upcomingPassInformation[0].type".to_owned(), "upcoming_type"),
        ("/upcomingPassInformation/0/name", json!(1), "upcomingPassInformation[0]".to_owned(), "upcoming_form"),
        (
            "/upcomingPassInformation",
            json!([entry, entry]),
            "upcomingPassInformation[1].identifier".to_owned(),
            "upcoming_identifier",
        ),
        (
            "/upcomingPassInformation/0/images/headerImage/URLs/0/SHA256",
            json!("ab"),
            format!("{image}.headerImage.URLs[0].SHA256"),
            "picture_hash",
        ),
        (
            "/upcomingPassInformation/0/images/headerImage/URLs/0/URL",
            json!("http://example.com/a.png"),
            format!("{image}.headerImage.URLs[0].URL"),
            "picture_address",
        ),
        (
            "/upcomingPassInformation/0/images/headerImage/URLs/0/size",
            json!(3 << 20),
            format!("{image}.headerImage.URLs[0].size"),
            "picture_size",
        ),
        ("/upcomingPassInformation/0/images/venueMap/reuseExisting", json!(false), format!("{image}.venueMap"), "picture_choice"),
        ("/bagPolicyURL", json!("bags"), "bagPolicyURL".to_owned(), "link_value"),
    ];
    for (pointer, value, path, rule) in cases {
        assert_eq!(one(pointer, value), [(Lost, path, rule)], "{pointer}");
    }
    let mut lone = pass.clone();
    lone.as_object_mut().unwrap().remove("sellURL");
    assert_eq!(beside_nfc(&lone, &all), [(Lost, "bagPolicyURL".to_owned(), "guide_too_short")]);
    let classic = found(&changed("/bagPolicyURL", json!("https://example.com/bags")), &assets(&ICONS));
    assert!(classic.contains(&(Lost, "bagPolicyURL".to_owned(), "link_place")), "{classic:?}");
}

#[test]
fn each_finding_names_its_source() {
    let findings = lint(changed("/semantics", json!({"eventType": 1})).to_string().as_bytes(), &assets(&[]));
    assert_eq!(findings.len(), 2);
    for finding in findings {
        assert!(finding.source.starts_with("https://developer.apple.com/documentation/walletpasses/"), "{finding:?}");
    }
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
