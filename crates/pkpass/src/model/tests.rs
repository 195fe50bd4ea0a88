use serde_json::json;

use super::*;

fn card() -> Pass {
    let identity = PassIdentity {
        pass_type_identifier: "pass.test.card".to_owned(),
        team_identifier: "TEAM123456".to_owned(),
        serial_number: "0001".to_owned(),
    };
    let mut fields = Fields::default();
    fields.primary_fields.push(Field::new("points", 1200).label("Points").change_message("You have %@ points"));
    fields.back_fields.push(Field::new("terms", "No <cash> value"));
    let mut pass = Pass::new(identity, "Example Coffee", "Loyalty card", Style::StoreCard(fields));
    pass.background_color = Some(Color::rgb(23, 187, 82));
    pass.barcodes.push(Barcode::new(BarcodeFormat::Qr, "0001"));
    pass.relevant_dates.push(RelevantDate::at("2026-11-20T20:00Z"));
    pass.max_distance = Some(250.0);
    pass
}

#[test]
fn writes_the_keys_that_apple_documents() {
    let value: Value = serde_json::from_slice(&card().to_json().unwrap()).unwrap();
    assert_eq!(
        value,
        json!({
            "formatVersion": 1, "passTypeIdentifier": "pass.test.card", "serialNumber": "0001", "teamIdentifier": "TEAM123456",
            "organizationName": "Example Coffee", "description": "Loyalty card", "backgroundColor": "rgb(23, 187, 82)",
            "barcodes": [{"format": "PKBarcodeFormatQR", "message": "0001", "messageEncoding": "iso-8859-1"}],
            "relevantDates": [{"date": "2026-11-20T20:00Z", "relevantDate": "2026-11-20T20:00Z"}],
            "maxDistance": 250.0,
            "storeCard": {
                "primaryFields": [{"key": "points", "label": "Points", "value": 1200, "changeMessage": "You have %@ points"}],
                "backFields": [{"key": "terms", "value": "No <cash> value"}]
            }
        })
    );
}

#[test]
fn reads_back_what_it_wrote() {
    assert_eq!(Pass::from_json(&card().to_json().unwrap()).unwrap(), card());
}

#[test]
fn unknown_keys_survive_on_every_level() {
    let text = json!({
        "formatVersion": 1, "passTypeIdentifier": "pass.test.x", "serialNumber": "1", "teamIdentifier": "T", "organizationName": "O",
        "description": "D", "posterGeneric": {"headerFields": [{"key": "p", "value": "q"}]}, "upgradeURL": "https://example.com", "future": [1, {"a": null}],
        "eventTicket": {
            "newGroup": [{"key": "z"}],
            "auxiliaryFields": [{"key": "a", "value": 1.50, "row": 1, "shiny": true, "dateStyle": "PKDateStyleUnheardOf"}]
        },
        "barcodes": [{"format": "PKBarcodeFormatMaxi", "message": "m", "messageEncoding": "utf-8", "tint": 3}],
        "nfc": {"message": "m", "later": {}}, "locations": [{"latitude": 1.0, "longitude": 2.0, "floor": 4}]
    });
    let pass = Pass::from_json(text.to_string().as_bytes()).unwrap();
    assert_eq!(pass.style.key(), "eventTicket");
    assert_eq!(pass.style.fields().auxiliary_fields[0].date_style, Some(DateStyle::Other("PKDateStyleUnheardOf".to_owned())));
    let again: Value = serde_json::from_slice(&pass.to_json().unwrap()).unwrap();
    assert_eq!(again, text);
}

#[test]
fn a_trailing_comma_and_a_byte_order_mark_are_forgiven() {
    let text = "\u{feff}{\"formatVersion\":1,\"passTypeIdentifier\":\"p\",\"serialNumber\":\"a,]}\",\"teamIdentifier\":\"T\",\
                \"organizationName\":\"O\",\"description\":\"D\",\"coupon\":{\"primaryFields\":[{\"key\":\"a\",\"value\":1,},]}, }";
    let pass = Pass::from_json(text.as_bytes()).unwrap();
    assert_eq!(pass.serial_number, "a,]}");
    assert_eq!(pass.style.fields().primary_fields.len(), 1);
}

#[test]
fn a_pass_without_style_or_with_a_wrong_type_is_an_error() {
    assert!(Pass::from_json(br#"{"formatVersion":1}"#).is_err());
    let no_style = br#"{"formatVersion":1,"passTypeIdentifier":"p","serialNumber":"1","teamIdentifier":"T","organizationName":"O","description":"D"}"#;
    assert!(Pass::from_json(no_style).is_err());
}

#[test]
fn colours_are_read_in_three_ways_and_written_in_one() {
    let green = Color::rgb(23, 187, 82);
    for text in ["rgb(23, 187, 82)", "rgb(23,187,82)", "RGB( 23 ,187, 82 )", "#17BB52", "#17bb52"] {
        assert_eq!(text.parse(), Ok(green), "{text}");
    }
    assert_eq!("#f0A".parse(), Ok(Color::rgb(255, 0, 170)));
    assert_eq!(green.to_string(), "rgb(23, 187, 82)");
    for text in [
        "",
        "red",
        "rgb(1,2)",
        "rgb(1,2,3,4)",
        "rgb(256,0,0)",
        "rgb(+1,2,3)",
        "#12",
        "#12345g",
        "#+12345",
        "rgba(1,2,3,1)",
        "#1é3",
    ] {
        assert!(text.parse::<Color>().is_err(), "{text}");
    }
}

#[test]
fn a_pass_is_completed_for_every_system_once() {
    let mut pass = card();
    pass.barcodes = vec![Barcode { alt_text: Some("4006".to_owned()), ..Barcode::new(BarcodeFormat::Ean13, "4006381333931") }];
    pass.relevant_dates = vec![RelevantDate { date: Some("2026-11-20T20:00Z".to_owned()), ..RelevantDate::default() }];
    pass.semantics.insert("departureLocationTimeZone", json!("Europe/Berlin"));
    pass.style.fields_mut().primary_fields[0].semantics.insert("loungePlaceIDs", json!(["L1"]));
    pass.complete_for_every_system();
    let value = serde_json::to_value(&pass).unwrap();
    assert_eq!(
        value["barcodes"][1],
        json!({"format": "PKBarcodeFormatQR", "message": "4006381333931",
        "messageEncoding": "iso-8859-1", "altText": "4006"})
    );
    assert_eq!(value["relevantDates"][0]["relevantDate"], "2026-11-20T20:00Z");
    assert_eq!(value["relevantDate"], "2026-11-20T20:00Z", "all that iOS 17 knows");
    assert_eq!(value["semantics"]["departureAirportTimeZone"], "Europe/Berlin");
    assert_eq!(value["storeCard"]["primaryFields"][0]["semantics"]["airlineLoungePlaceID"], "L1");
    let once = pass.clone();
    pass.complete_for_every_system();
    assert_eq!(pass, once);
    let mut plain = Pass { relevant_date: Some("2026-11-19T20:00Z".to_owned()), ..card() };
    let whole = plain.clone();
    plain.complete_for_every_system();
    assert_eq!(plain, whole, "a pass that is whole is left alone");
}

#[test]
fn the_newest_parts_are_typed_and_keep_what_is_newer_still() {
    let text = json!({
        "formatVersion": 1, "passTypeIdentifier": "pass.test.x", "serialNumber": "1", "teamIdentifier": "T", "organizationName": "O",
        "description": "D", "generic": {"primaryFields": [{"key": "a", "value": "b"}]}, "logoSymbolName": "star",
        "posterGeneric": {"footerFields": [{"key": "f", "value": "x"}], "later": 1},
        "featuredActions": [{"identifier": "a", "type": "place", "placeIdentifier": "I1", "tint": 2}],
        "upcomingPassInformation": [{"type": "event", "identifier": "i", "name": "n", "URLs": {"sellURL": "https://example.com"},
            "dateInformation": {"date": "2026-11-20T20:00Z", "isAllDay": true}, "isActive": false, "newer": [1],
            "semantics": {"eventName": "E"}, "images": {"venueMap": {"URLs": [{"URL": "https://example.com/a", "SHA256": "00"}]}}}]
    });
    let pass = Pass::from_json(text.to_string().as_bytes()).unwrap();
    assert_eq!(pass.poster_generic.as_ref().unwrap().footer_fields[0].key, "f");
    assert_eq!(pass.featured_actions[0].kind, ActionKind::Place);
    assert_eq!(pass.upcoming_pass_information[0].date_information.as_ref().unwrap().is_all_day, Some(true));
    assert_eq!(serde_json::from_slice::<Value>(&pass.to_json().unwrap()).unwrap(), text);
}
