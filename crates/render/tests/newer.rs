//! The newer looks, other languages, relevance and what a design is told about itself, drawn from the cases' inputs.

#![allow(clippy::unwrap_used, clippy::panic)] // a test says what went wrong by stopping

use std::path::Path;

use domain::{Contact, Pass, Project, Template};
use render::{AppleContext, GoogleContext, PassView, System, apple, apple_assets, check_design, google_class, google_object};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Input {
    project: Project,
    template: Template,
    pass: Pass,
    contact: Option<Contact>,
}

/// The input of a case with keys of its design replaced, and fields added to project and pass.
fn input(case: &str, design: &Value, fields: &[(&str, &str, &str)]) -> Input {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(case).join("input.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for (key, part) in design.as_object().unwrap() {
        value["template"]["design"][key] = part.clone();
    }
    for (key, kind, content) in fields {
        value["project"]["fields"].as_array_mut().unwrap().push(json!({"key": key, "label": key, "type": kind}));
        value["pass"]["fields"][*key] = json!(content);
    }
    serde_json::from_value(value).unwrap()
}

impl Input {
    fn view(&self) -> PassView<'_> {
        PassView {
            project: &self.project,
            template: &self.template,
            pass: &self.pass,
            contact: self.contact.as_ref(),
            codes: None,
        }
    }

    fn apple(&self) -> Value {
        let context = AppleContext {
            pass_type: "pass.example.nordlicht",
            team: "TEAM123456",
            web_service_url: "https://passes.example.com/apple",
            auth_token: "0123456789abcdef0123456789abcdef",
            image_url: None,
        };
        serde_json::to_value(apple(&self.view(), &context).unwrap()).unwrap()
    }

    fn google(&self) -> (Value, Value) {
        let image_url = |hash: &str| format!("https://passes.example.com/images/{hash}.png");
        let context =
            GoogleContext { issuer_id: "3388000000012345678", language: "en", callback_url: None, image_url: &image_url };
        let class = google_class(&self.view(), &context).unwrap();
        let object = google_object(&self.view(), &context).unwrap();
        (serde_json::to_value(class).unwrap(), serde_json::to_value(object).unwrap())
    }

    fn losses(&self, system: System) -> Vec<String> {
        let all = render::loss_report(&self.project, &self.template.design);
        all.into_iter().filter(|loss| loss.systems.contains(&system)).map(|loss| loss.path).collect()
    }
}

fn field(key: &str, value: &str, place: &str) -> Value {
    json!({"key": key, "label": key, "value": value, "place": place})
}

#[test]
fn a_poster_ticket_stands_before_the_classic_one() {
    let design = json!({
        "rich_style": "poster_event_ticket",
        "semantics": {"eventName": "{{fields.show}}", "venueName": "Hall", "eventStartDate": "{{fields.start}}",
                      "performerNames": "{{fields.show}}", "seats": [{"seatRow": "{{fields.nothing}}", "seatNumber": "12"}]},
        "fields": [field("bags", "Small bags only", "additional_info")],
        "apple": {"bagPolicyURL": "https://example.com/{{fields.show}}", "somethingNewer": {"kept": true}},
    });
    let fields = [("show", "text", "Concert"), ("start", "time", "2026-11-20T20:00:00+01:00"), ("nothing", "text", "")];
    let input = input("event_ticket", &design, &fields);
    let pass = input.apple();
    assert_eq!(pass["preferredStyleSchemes"], json!(["posterEventTicket", "eventTicket"]));
    assert_eq!(pass["eventTicket"]["additionalInfoFields"][0]["key"], "bags");
    let tags = &pass["semantics"];
    assert_eq!((&tags["eventName"], &tags["performerNames"]), (&json!("Concert"), &json!(["Concert"])));
    assert_eq!(tags["eventStartDate"], "2026-11-20T20:00:00+01:00");
    assert_eq!(tags["seats"], json!([{"seatNumber": "12"}]), "what comes out empty is left out");
    assert_eq!(pass["bagPolicyURL"], "https://example.com/Concert");
    assert_eq!(pass["somethingNewer"], json!({"kept": true}));

    assert!(input.losses(System::Ios17).contains(&"rich_style".to_owned()));
    assert!(input.losses(System::Ios17).contains(&"fields.0".to_owned()));
    assert!(input.losses(System::Ios26).contains(&"rich_style".to_owned()), "no NFC before iOS 27");
    assert!(!input.losses(System::Ios27).contains(&"rich_style".to_owned()));
    assert!(input.losses(System::Google).contains(&"semantics".to_owned()));
}

#[test]
fn a_flight_is_drawn_from_tags_of_either_name() {
    let design = json!({
        "rich_style": "semantic_boarding_pass", "transit": "air",
        "semantics": {"flightNumber": "{{fields.number}}", "passengerName": "{{contact.name}}",
                      "departureLocationTimeZone": "Europe/Berlin", "destinationAirportTimeZone": "Asia/Tokyo"},
    });
    let input = input("flight", &design, &[("number", "text", "123")]);
    let pass = input.apple();
    assert_eq!(pass["preferredStyleSchemes"], json!(["semanticBoardingPass", "boardingPass"]));
    let tags = &pass["semantics"];
    assert_eq!(tags["flightNumber"], 123);
    assert!(tags["passengerName"]["familyName"].is_string(), "{tags}");
    assert_eq!(
        (&tags["departureAirportTimeZone"], &tags["destinationLocationTimeZone"]),
        (&json!("Europe/Berlin"), &json!("Asia/Tokyo"))
    );
}

#[test]
fn every_flight_of_a_template_has_a_class_that_its_passes_share() {
    let passes = input("flight_tags", &json!({}), &[]);
    let (class, object) = passes.google();
    let id = class["id"].as_str().unwrap();
    assert!(id.ends_with(".0000000000000000000002-XX-101-20261224T081500"), "{id}");
    assert_eq!(object["classId"], id);
    let flight =
        |input: &Input| render::flight_of(&input.google().0["id"].as_str().unwrap().parse().unwrap()).map(|it| it.1.to_owned());
    assert_eq!(flight(&passes).as_deref(), Some("20261224T081500"));

    let changed = |key: &str, value: &str| {
        let mut input = input("flight_tags", &json!({}), &[]);
        input.pass.fields.insert(key.to_owned(), domain::FieldValue::Text(value.to_owned()));
        input
    };
    let (gate, other) = (changed("gate", "B7"), changed("departs", "2026-12-25T07:15:00Z"));
    assert_eq!(gate.google().0["id"], id, "the same flight from another gate");
    assert_eq!(gate.google().0["origin"]["gate"], "B7");
    assert_ne!(other.google().0["id"], id, "the next day's flight");

    let unnamed = changed("airline", "");
    let image_url = |hash: &str| hash.to_owned();
    let context = GoogleContext { issuer_id: "3388000000012345678", language: "en", callback_url: None, image_url: &image_url };
    let fault = google_object(&unnamed.view(), &context).unwrap_err().to_string();
    assert!(fault.contains("the airline's code") && !fault.contains("number"), "{fault}");

    let lost = passes.losses(System::Google);
    assert!(lost.contains(&"semantics.departureCityName".to_owned()) && !lost.contains(&"semantics.departureGate".to_owned()));
    assert!(!lost.iter().any(|path| path == "semantics" || path == "semantics.originalDepartureDate"), "{lost:?}");
    let mut no_zone = input("flight_tags", &json!({}), &[]);
    no_zone.template.design.semantics.retain(|tag, _| tag != "departureAirportTimeZone");
    assert!(no_zone.losses(System::Google).contains(&"semantics.originalDepartureDate".to_owned()));
}

#[test]
fn what_a_pass_says_of_its_flight_is_known_by_its_own_fields() {
    let google = json!({"origin": {"terminal": "T{{fields.terminal}}"}, "destination": {"terminal": "9"},
                        "infoModuleData": {"labelValueRows": [{"columns": [{"value": "{{contact.name}}"}]}]}});
    let mut input = input("flight_tags", &json!({"google": google}), &[("terminal", "text", "2"), ("note", "text", "")]);
    let time = |text: &str| text.parse::<domain::Timestamp>().unwrap();
    let (told, later) = (time("2026-12-01T10:00:00Z"), time("2026-12-02T10:00:00Z"));
    for (key, at) in [("gate", told), ("boards", told), ("seat", later), ("note", later)] {
        input.pass.fields_as_of.insert(key.to_owned(), at);
    }
    let image_url = |hash: &str| hash.to_owned();
    let context = GoogleContext { issuer_id: "3388000000012345678", language: "en", callback_url: None, image_url: &image_url };
    let class = google_class(&input.view(), &context).unwrap();
    let facts = render::flight_facts(&input.view(), &class);
    let of = |place: &str| facts.iter().find(|fact| fact.place == place);
    assert_eq!(of("origin.gate").map(|fact| (&fact.value, fact.since)), Some((&json!("A12"), Some(told))));
    assert_eq!(of("localBoardingDateTime").unwrap().since, Some(told));
    assert_eq!(of("origin.terminal").unwrap().value, "T2");
    assert_eq!(of("origin.terminal").unwrap().since, Some(input.pass.issued_at), "as it was issued");
    let odd = ["destination.terminal", "infoModuleData.labelValueRows"];
    assert!(odd.iter().all(|place| of(place).is_none()), "the same of all, or of the holder: {facts:?}");
    assert!(facts.iter().all(|fact| fact.since != Some(later)), "neither seat nor note is the flight's");

    let (gate, nothing) = (json!("B7"), json!(null));
    let other = render::with_flight_facts(&class, [("origin.gate", &gate), ("localBoardingDateTime", &nothing)]).unwrap();
    let other = serde_json::to_value(other).unwrap();
    assert_eq!((&other["origin"]["gate"], &other["localBoardingDateTime"]), (&json!("B7"), &json!(null)));
}

#[test]
fn a_deleted_pass_of_a_flight_says_nothing_of_it() {
    let mut input = input("flight_tags", &json!({}), &[]);
    input.pass.lifecycle = serde_json::from_value(json!({"state": "deleted", "at": "2026-11-20T09:30:00Z"})).unwrap();
    let image_url = |hash: &str| hash.to_owned();
    let context = GoogleContext { issuer_id: "3388000000012345678", language: "en", callback_url: None, image_url: &image_url };
    let object = google_object(&input.view(), &context).unwrap();
    let keys = serde_json::to_value(&object).unwrap();
    let patch = render::google_patch(object.vertical(), keys.as_object().unwrap().clone(), false);
    assert_eq!((patch.get("classId"), patch["state"].as_str()), (None, Some("INACTIVE")), "it stays with its flight");
    assert!(!keys.to_string().contains("QX9ZLM") && !keys.to_string().contains("101"), "{keys}");
}

#[test]
fn a_train_is_a_journey_at_google() {
    let design = json!({
        "transit": "train", "google": {},
        "semantics": {"departureStationName": "Hamburg Hbf", "destinationStationName": "{{fields.to}}", "carNumber": "7",
                      "originalDepartureDate": "2026-12-24T08:15:00+01:00", "vehicleNumber": "ICE 101", "departurePlatform": "14",
                      "seats": [{"seatNumber": "61"}], "passengerName": "{{contact.name}}", "albumIDs": ["1"]},
    });
    let input = input("flight", &design, &[("to", "text", "Berlin")]);
    let (class, object) = input.google();
    assert_eq!((&class["transitType"], &class["id"]), (&json!("RAIL"), &object["classId"]));
    let leg = &object["ticketLeg"];
    assert_eq!(leg["originName"]["defaultValue"]["value"], "Hamburg Hbf");
    assert_eq!(leg["destinationName"]["defaultValue"]["value"], "Berlin");
    assert_eq!((&leg["departureDateTime"], &leg["carriage"]), (&json!("2026-12-24T08:15:00+01:00"), &json!("ICE 101")));
    assert_eq!(leg["ticketSeat"], json!({"coach": "7", "seat": "61"}));
    let lost = input.losses(System::Google);
    assert!(lost.contains(&"semantics.albumIDs".to_owned()) && !lost.contains(&"semantics.carNumber".to_owned()), "{lost:?}");
}

#[test]
fn keys_of_googles_object_are_set_filled_and_kept() {
    let design = json!({"google_object": {
        "heroImage": {"sourceUri": {"uri": "https://example.com/{{pass.external_id}}.png"}}, "hexBackgroundColor": "#123456",
        "notifications": {"upcomingNotification": {"enableNotification": true}}, "somethingNewer": {"kept": [1]},
        "appLinkData": {"webAppLinkInfo": {"appTarget": {"targetUri": {"uri": "https://example.com/{{fields.code}}"}}}},
        "id": "1.other", "classId": "1.other", "state": "EXPIRED",
    }});
    let input = input("generic", &design, &[("code", "text", "A7")]);
    let (class, object) = input.google();
    assert_eq!((&object["hexBackgroundColor"], &object["somethingNewer"]), (&json!("#123456"), &json!({"kept": [1]})));
    assert_eq!(object["heroImage"]["sourceUri"]["uri"], "https://example.com/M-1042.png");
    assert_eq!(object["notifications"]["upcomingNotification"]["enableNotification"], true);
    assert_eq!(object["appLinkData"]["webAppLinkInfo"]["appTarget"]["targetUri"]["uri"], "https://example.com/A7");
    assert_eq!((&object["classId"], object["state"].as_str()), (&class["id"], Some("ACTIVE")), "what names it stays");
    assert!(class.get("notifications").is_none());
}

#[test]
fn a_fault_of_a_key_that_is_set_as_it_stands_points_at_that_key() {
    let check = |case: &str, part: &str, keys: Value| {
        let mut input = input(case, &json!({ part: keys }), &[]);
        input.project.google_issuer = Some("3388000000012345678".to_owned());
        check_design(&input.project, &input.template, |_| Some(png(1))).unwrap()
    };
    let table = [
        ("membership", "apple", json!({"maxDistance": "12"}), "apple.maxDistance", "key_shape"),
        ("membership", "apple", json!({"backgroundColor": "rgb(300,0,0)"}), "apple.backgroundColor", "key_shape"),
        (
            "membership",
            "apple",
            json!({"barcodes": [{"format": "PKBarcodeFormatQR", "message": "1"}]}),
            "apple.barcodes.0",
            "key_shape",
        ),
        (
            "event_ticket",
            "apple",
            json!({"upcomingPassInformation": [{"type": "event", "name": "x"}]}),
            "apple.upcomingPassInformation.0",
            "key_shape",
        ),
        ("membership", "google", json!({"merchantName": "x", "programName": 5}), "google.programName", "key_shape"),
        ("membership", "apple", json!({"serialNumber": "mine"}), "apple.serialNumber", "key_kept"),
        ("membership", "google", json!({"callbackOptions": {}}), "google.callbackOptions", "key_kept"),
        ("membership", "google_object", json!({"state": "EXPIRED"}), "google_object.state", "key_kept"),
        ("generic", "google_object", json!({"cardTitle": 5}), "google_object.cardTitle", "key_shape"),
        ("membership", "google", json!({"hexBackgroundColor": "red"}), "google.hexBackgroundColor", "colour"),
        ("generic", "google_object", json!({"hexBackgroundColor": "red"}), "google_object.hexBackgroundColor", "colour"),
        (
            "generic",
            "google_object",
            json!({"heroImage": {"sourceUri": {"uri": "http://example.com/a.png"}}}),
            "google_object.heroImage.sourceUri.uri",
            "image_address",
        ),
        (
            "membership",
            "google",
            json!({"multipleDevicesAndHoldersAllowedStatus": "NOPE"}),
            "google.multipleDevicesAndHoldersAllowedStatus",
            "unknown_word",
        ),
        ("membership", "google", json!({"homepageUri": {"uri": "not a url"}}), "google.homepageUri.uri", "address"),
        (
            "membership",
            "google",
            json!({"merchantLocations": [{"latitude": 999, "longitude": 0}]}),
            "google.merchantLocations[0].latitude",
            "coordinates",
        ),
        ("membership", "google", json!({"rewardsTier": "{{pass.id}}"}), "google.rewardsTier", "class_placeholder"),
    ];
    for (case, part, keys, path, rule) in table {
        let found = check(case, part, keys);
        let finding = found.iter().find(|finding| finding.path == path);
        assert_eq!(finding.map(|finding| finding.rule.as_str()), Some(rule), "{path}: {found:#?}");
        assert!(finding.unwrap().source.starts_with("https://"));
    }
    let flight = check("flight_tags", "google", json!({}));
    assert!(flight.iter().all(|finding| finding.wallet != domain::Wallet::Google), "{flight:#?}");
}

#[test]
fn a_generic_poster_has_a_foot_of_its_own() {
    let design = json!({
        "rich_style": "poster_generic",
        "barcode": {"format": "ean13", "value": "4006381333931", "alt_text": "4006381333931"},
        "fields": [field("name", "Mira", "primary"), field("foot", "Since 2020", "footer"), field("second", "x", "footer")],
    });
    let input = input("generic", &design, &[]);
    let pass = input.apple();
    assert_eq!(pass["generic"]["auxiliaryFields"].as_array().unwrap().len(), 2, "older systems know no foot");
    assert_eq!(pass["posterGeneric"]["footerFields"][0]["key"], "foot");
    assert_eq!(pass["posterGeneric"].get("auxiliaryFields"), None);
    let formats: Vec<_> = pass["barcodes"].as_array().unwrap().iter().map(|code| code["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["PKBarcodeFormatEAN13", "PKBarcodeFormatQR"]);
    let (_, object) = input.google();
    assert_eq!(object["barcode"]["type"], "EAN_13");

    let shown_otherwise = |system| input.losses(system).contains(&"barcode.format".to_owned());
    assert!(shown_otherwise(System::Ios26) && shown_otherwise(System::WatchOs) && !shown_otherwise(System::Ios27));
    assert!(!shown_otherwise(System::Google));
    assert!(input.losses(System::Ios27).contains(&"fields.2".to_owned()), "one footer field is shown");
    assert!(!input.losses(System::Ios27).contains(&"fields.1".to_owned()));
}

#[test]
fn dates_are_written_out_where_no_device_writes_them() {
    let design = json!({"fields": [{"key": "doors", "label": "Doors", "value": "2026-12-20T18:30:00+01:00", "place": "secondary",
        "date": {"date": "medium", "time": "none"}}]});
    let input = input("membership", &design, &[]);
    let (_, object) = input.google();
    assert_eq!(object["textModulesData"][0]["body"], "20 Dec 2026", "{object}");
    assert_eq!(input.apple()["storeCard"]["secondaryFields"][0]["value"], "2026-12-20T18:30:00+01:00", "a phone writes it");
}

#[test]
fn relevance_reaches_both_wallets_as_far_as_each_knows_it() {
    let design = json!({"relevance": {
        "dates": [{"at": "{{fields.start}}"}, {"start": "2026-11-20T18:00:00Z", "end": "2026-11-20T22:00:00Z"}, {"at": "{{fields.unset}}"}],
        "locations": [{"latitude": 52.5, "longitude": 13.4, "text": "Hello {{contact.name}}"}],
        "beacons": [{"uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 7}], "max_distance": 150,
    }});
    let input = input("membership", &design, &[("start", "time", "2026-11-20T20:00:00+01:00"), ("unset", "time", "")]);
    let pass = input.apple();
    assert_eq!(pass["relevantDates"].as_array().unwrap().len(), 2, "a time that is not known yet is left out");
    assert_eq!(
        pass["relevantDates"][0],
        json!({"date": "2026-11-20T20:00:00+01:00", "relevantDate": "2026-11-20T20:00:00+01:00"})
    );
    assert_eq!(pass["relevantDate"], "2026-11-20T20:00:00+01:00", "the first, for phones that know one alone");
    assert!(input.losses(System::Ios17).contains(&"relevance.dates".to_owned()));
    assert_eq!(pass["maxDistance"], 150.0);
    assert!(pass["locations"][0]["relevantText"].as_str().unwrap().starts_with("Hello M"));
    assert_eq!(pass["beacons"][0]["proximityUUID"], "F7826DA6-4FA2-4E98-8024-BC5B71E0893E");
    let (class, _) = input.google();
    assert_eq!(class["merchantLocations"], json!([{"latitude": 52.5, "longitude": 13.4}]));
    for part in ["relevance.dates", "relevance.beacons", "relevance.max_distance"] {
        assert!(input.losses(System::Google).contains(&part.to_owned()), "{part}");
    }
}

#[test]
fn google_tells_of_a_generic_pass_before_it_begins_and_ends_where_its_design_asks() {
    let asked = json!({"relevance": {
        "dates": [{"at": "{{fields.later}}"}, {"start": "{{fields.start}}", "end": "2026-11-20T22:00:00Z"}],
        "tell_before_start": true, "tell_before_end": true,
    }});
    let times = [("later", "time", "2026-11-21T20:00:00+01:00"), ("start", "time", "2026-11-20T20:00:00+01:00")];
    let told = input("generic", &asked, &times);
    let (_, object) = told.google();
    assert_eq!(object["validTimeInterval"], json!({"start": {"date": "2026-11-20T20:00:00+01:00"}}), "the first of its dates");
    assert_eq!(object["notifications"], json!({"upcomingNotification": {"enableNotification": true}}), "it has no end");
    assert!(told.losses(System::Google).contains(&"relevance.dates".to_owned()), "only one date is told of");

    let mut ending = input("generic", &asked, &[]);
    ending.pass.validity.expires_at = Some("2026-12-31T00:00:00Z".parse().unwrap());
    let (_, object) = ending.google();
    assert_eq!(object["notifications"]["expiryNotification"], json!({"enableNotification": true}));

    let (_, object) = input("generic", &json!({"relevance": {"dates": [{"at": "{{fields.start}}"}]}}), &times).google();
    assert_eq!((&object["notifications"], &object["validTimeInterval"]), (&Value::Null, &Value::Null), "nobody asked");

    let elsewhere = input("membership", &asked, &times);
    assert_eq!(elsewhere.google().1["notifications"], Value::Null, "it is for generic passes alone");
    assert!(elsewhere.losses(System::Google).contains(&"relevance".to_owned()), "and that is said");
}

#[test]
fn words_are_translated_for_both_wallets() {
    let design = json!({
        "language": "en",
        "fields": [field("points", "{{balances.points}}", "header"), field("hello", "Hello {{contact.name}}", "back")],
        "translations": {"de": {"texts": {"points": "Punkte", "Hello {{contact.name}}": "Grüß dich, {{contact.name}}"}}},
    });
    let input = input("membership", &design, &[]);
    let assets = apple_assets(&input.template.design, false, |_| Some(png(1))).unwrap();
    let prepared = pkpass::read_strings(assets.get("de.lproj/pass.strings").unwrap().data()).unwrap();
    assert_eq!(prepared, [("points".to_owned(), "Punkte".to_owned())], "what every pass has");
    let own = render::apple_strings(&input.view());
    let own = pkpass::read_strings(&own[0].1).unwrap();
    let name = input.contact.as_ref().unwrap().name.clone().unwrap();
    assert!(own.contains(&(format!("Hello {name}"), format!("Grüß dich, {name}"))), "{own:?}");
    let (_, object) = input.google();
    let module = object["textModulesData"].as_array().unwrap().iter().find(|module| module["id"] == "hello").unwrap();
    assert_eq!(module["localizedBody"]["translatedValues"], json!([{"language": "de", "value": format!("Grüß dich, {name}")}]));
    assert_eq!(object["loyaltyPoints"]["localizedLabel"]["translatedValues"][0]["value"], "Punkte");

    let mut constant = input;
    constant.template.design.translations.get_mut("de").unwrap().texts.retain(|from, _| from == "points");
    assert!(render::apple_strings(&constant.view()).is_empty(), "nothing to make for each pass");
}

#[test]
fn who_holds_nothing_yet_is_asked_to_sign_up() {
    let design = json!({"nfc": {"message": "{{pass.id}}", "requires_authentication": true},
        "personalization": {"description": "Club", "fields": ["name", "postal_code"], "terms": "<p>Be kind.</p>"}});
    let mut input = input("membership", &design, &[]);
    assert!(!render::asks_to_sign_up(&input.view()));
    input.pass.contact = None;
    assert!(render::asks_to_sign_up(&input.view()));
    let assets = apple_assets(&input.template.design, true, |_| Some(png(1))).unwrap();
    let form: Value = serde_json::from_slice(assets.get("personalization.json").unwrap().data()).unwrap();
    assert_eq!(
        form["requiredPersonalizationFields"],
        json!(["PKPassPersonalizationFieldName", "PKPassPersonalizationFieldPostalCode"])
    );
    assert_eq!(input.apple()["nfc"]["requiresAuthentication"], true);
    assert_eq!(input.google().1["smartTapRedemptionValue"], input.pass.id.to_string());
}

/// The signature and header of a PNG of so many pixels each way: all that is looked at when a pass is packed.
fn png(side: u8) -> bytes::Bytes {
    assert_eq!(side, 1);
    bytes::Bytes::from_static(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89")
}

#[test]
fn a_finding_points_at_the_part_of_the_design() {
    let design = json!({
        "fields": [field("a", "x", "primary"), {"key": "b", "label": "b", "value": "2026-11-20T20:00:00Z", "place": "back",
                   "apple": {"dateStyle": "Long", "row": 1}}],
        "semantics": {"balance": {"amount": 12}}, "apple": {"featuredActions": [{"identifier": "a", "type": "shop"}]},
    });
    let mut input = input("membership", &design, &[]);
    input.project.google_issuer = Some("3388000000012345678".to_owned());
    let found = check_design(&input.project, &input.template, |_| Some(png(1))).unwrap();
    let has = |path: &str, rule: &str| found.iter().any(|finding| finding.path == path && finding.rule == rule);
    assert!(has("fields.1.date", "unknown_word") && has("fields.1.row", "row_place"), "{found:#?}");
    assert!(has("semantics.balance", "tag_value") && has("apple.featuredActions[0].url", "action_target"), "{found:#?}");
    assert!(has("images.icon.x2", "image_size"), "{found:#?}");
    assert!(found.iter().all(|finding| finding.source.starts_with("https://")));
}

#[test]
fn what_is_wrong_is_told_from_what_is_missing() {
    let design = json!({
        "colors": {"background": "green"}, "language": "english", "images": {}, "rich_style": "poster_event_ticket",
        "fields": [
            {"key": "a", "value": "tomorrow", "place": "back", "date": {}}, {"key": "a", "value": "x", "place": "back"},
            {"key": "c", "value": "{{fields.unheard}}", "place": "primary", "alignment": "left", "number": {"currency": "euro"}}
        ],
        "relevance": {"dates": [{"at": "2026-11-20T20:00"}], "locations": [{"latitude": 95, "longitude": 1}]},
        "translations": {"de_DE": {"texts": {"a {{": "b"}}}, "apple": {"userInfo": {"x": "{{broken"}},
    });
    let input = input("membership", &design, &[]);
    let problems = input.template.design.problems(&input.project);
    let of = |fault| -> Vec<&str> {
        let of_kind = problems.iter().filter(|problem| problem.fault == fault);
        of_kind.map(|problem| problem.path.as_str()).collect()
    };
    let wrong = of(domain::Fault::Wrong);
    for path in [
        "colors.background",
        "language",
        "rich_style",
        "fields.0.value",
        "fields.1.key",
        "fields.2.alignment",
        "fields.2.number",
        "relevance.dates.0.at",
        "relevance.locations.0.latitude",
        "translations.de_DE",
        "translations.de_DE.texts",
        "apple.userInfo.x",
    ] {
        assert!(wrong.contains(&path), "{path} is not in {wrong:?}");
    }
    assert_eq!(of(domain::Fault::Missing), ["images.icon.x2", "fields.2.value"]);
    let google_alone = Project { google_issuer: Some("3388000000012345678".to_owned()), ..input.project.clone() };
    let lacks_icon = |project: &Project| {
        let problems = input.template.design.problems(project);
        problems.iter().any(|problem| problem.path == "images.icon.x2")
    };
    assert!(!lacks_icon(&google_alone), "nobody makes an Apple pass of it");
    assert!(lacks_icon(&Project { apple_pass_type: Some("pass.example".to_owned()), ..google_alone }));
}
