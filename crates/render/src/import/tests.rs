use std::collections::BTreeMap;

use domain::{FieldPlace, ImageRole};
use pkpass::Limits;
use serde_json::json;

use super::*;
use crate::{AppleContext, PassView, apple, sample_contact, sample_pass};

fn project(kind: &str) -> Project {
    serde_json::from_value(json!({
        "id": "0000000000000000000009", "slug": "club", "name": "Club", "kind": kind, "variants": [],
        "fields": [{"key": "tier", "label": "Tier", "type": "text"}], "balances": {"points": "0"},
        "apple_pass_type": "pass.com.example.club", "created_at": "2026-11-20T09:30:00Z",
    }))
    .unwrap()
}

fn template(project: &Project, design: &Design) -> domain::Template {
    serde_json::from_value(json!({"id": "0000000000000000000008", "project": project.id, "name": "Card", "version": 1,
        "status": "published", "design": design, "created_at": "2026-11-20T09:30:00Z"}))
    .unwrap()
}

/// `pass.json` as it is built.
fn built(project: &Project, design: &Design, serial: &str) -> Value {
    let template = template(project, design);
    let mut pass = sample_pass(project, &template).unwrap();
    pass.serial = serial.to_owned();
    let contact = sample_contact().unwrap();
    let view = PassView { project, template: &template, pass: &pass, contact: Some(&contact), codes: None };
    let context = AppleContext {
        pass_type: "pass.com.example.club",
        team: "TEAM123456",
        web_service_url: "https://passes.example/apple",
        auth_token: "0123456789abcdef",
        image_url: None,
    };
    serde_json::to_value(apple(&view, &context).unwrap()).unwrap()
}

fn packed(files: &[(&str, Vec<u8>)]) -> Package {
    let packed = pkpass::pack(files.iter().map(|(path, data)| (*path, data.as_slice())), 0).unwrap();
    Package::parse_folder(&packed, &Limits::PASS).unwrap()
}

fn imported(project: &Project, json: &str) -> Result<Import, ImportError> {
    let options = ImportOptions { project, language: None, bind: false };
    import_pass(&packed(&[("pass.json", json.as_bytes().to_vec())]), &options)
}

/// Without what names one pass.
fn anonymous(mut pass: Value) -> Value {
    for key in source::OF_ONE_PASS {
        pass.as_object_mut().unwrap().shift_remove(key);
    }
    pass
}

fn rich_design() -> Design {
    serde_json::from_value(json!({
        "issuer": "Café", "title": "Club {{variant.name}}", "description": "A card", "message_label": "Latest",
        "colors": {"background": "#123456", "foreground": "#FFFFFF"},
        "fields": [
            {"key": "points", "label": "POINTS", "value": "{{balances.points}}", "place": "header", "number": "decimal",
             "change_message": "Now %@", "alignment": "right"},
            {"key": "credit", "label": "CREDIT", "value": "{{balances.points}}", "place": "primary", "number": {"currency": "EUR"}},
            {"key": "tier", "label": "TIER", "value": "{{fields.tier}}", "place": "secondary"},
            {"key": "bare", "label": "BARE", "value": "{{balances.points}}", "place": "auxiliary", "apple": {"row": 1}},
            {"key": "since", "label": "SINCE", "value": "2026-11-20T18:30:00+01:00", "place": "auxiliary",
             "date": {"date": "long", "time": "none", "local": true}},
            {"key": "terms", "label": "Terms", "value": "A < B & C", "place": "back",
             "apple": {"attributedValue": "<a href='https://example.com'>Terms</a>", "dataDetectorTypes": []}},
        ],
        "barcode": {"format": "code39", "value": "{{pass.serial}}", "alt_text": "{{pass.serial}}"},
        "links": [{"label": "Find \"us\" & more", "url": "https://example.com/a?b=1&c=2"}],
        "relevance": {"dates": [{"at": "2026-11-20T18:30:00+01:00"}, {"start": "2026-11-20T18:30:00Z", "end": "2026-11-20T19:30:00Z"}],
            "locations": [{"latitude": 52.5, "longitude": 13, "text": "Near"}], "max_distance": 100,
            "beacons": [{"uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 1}]},
        "semantics": {"eventName": "Opening", "balance": {"amount": "12", "currencyCode": "EUR"}},
        "nfc": {"message": "{{pass.serial}}", "requires_authentication": true},
        "apple": {"userInfo": {"a": [1, null, "b"]}, "sharingProhibited": true, "associatedStoreIdentifiers": [1234], "x-own": {"y": 1},
                  "storeCard": {"x-style": 1}},
    }))
    .unwrap()
}

#[test]
fn a_built_pass_comes_back_the_same_but_for_what_names_it() {
    let project = project("membership");
    let one = built(&project, &rich_design(), "serial-1");
    let import = imported(&project, &one.to_string()).unwrap();
    let other = built(&project, &import.design, "serial-2");
    assert_eq!(anonymous(other), anonymous(one.clone()), "{:#?}", import.notes);
    assert_eq!((import.design.message_label.as_str(), import.design.links.len()), ("Latest", 1));
    assert_eq!(import.design.links[0].label, "Find \"us\" & more");
    // with placeholders it follows the pass
    let options = ImportOptions { project: &project, language: None, bind: true };
    let import = import_pass(&packed(&[("pass.json", one.to_string().into_bytes())]), &options).unwrap();
    let value = |key: &str| import.design.fields.iter().find(|field| field.key == key).unwrap().value.source().to_owned();
    assert_eq!((value("points").as_str(), value("tier").as_str()), ("{{balances.points}}", "{{fields.tier}}"));
    let other = built(&project, &import.design, "serial-2");
    assert_eq!((&other["barcodes"][0]["message"], &other["nfc"]["message"]), (&json!("serial-2"), &json!("serial-2")));
    assert_eq!(other["storeCard"]["headerFields"][0]["value"], json!(0));
}

#[test]
fn whatever_is_not_taken_over_is_said() {
    let project = project("membership");
    let said = |json: Value| {
        let import = imported(&project, &json.to_string()).unwrap();
        let left_out = import.notes.into_iter().filter(|note| note.outcome == Outcome::LeftOut);
        (import.design, left_out.map(|note| note.path).collect::<Vec<_>>())
    };
    let (_, left_out) = said(json!({"organizationName": "O", "description": "D", "barcodes": "x", "locations": {"latitude": 1},
        "beacons": 7, "relevantDates": "2026-11-20T18:30:00Z", "storeCard": {"primaryFields": {"key": "a"}, "backFields": null}}));
    assert_eq!(left_out, ["barcodes", "relevantDates", "locations", "beacons", "storeCard.primaryFields"]);
    let beacon = json!({"proximityUUID": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 1, "x-own": {"y": 1}});
    let (design, left_out) = said(json!({"organizationName": "O", "description": "D", "storeCard": {},
        "barcodes": [{"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "utf-8", "x-own": 1}],
        "beacons": [beacon], "relevantDate": "2026-11-19T18:30:00Z",
        "relevantDates": [{"startDate": "2026-11-20T18:30:00Z", "endDate": "2026-11-20T19:30:00Z", "x-own": 1}]}));
    assert_eq!(left_out, ["barcodes[0].x-own", "relevantDate", "relevantDates[0].x-own"]);
    assert_eq!(design.apple["beacons"], json!([beacon]), "kept as it stands");
}

#[test]
fn every_style_comes_back() {
    for (kind, rich) in [
        ("coupon", None),
        ("event_ticket", Some("poster_event_ticket")),
        ("boarding_pass", Some("semantic_boarding_pass")),
        ("generic", Some("poster_generic")),
        ("gift_card", None),
        ("transit", None),
    ] {
        let project = project(kind);
        let mut design = serde_json::to_value(rich_design()).unwrap();
        design["apple"].as_object_mut().unwrap().shift_remove("storeCard");
        design["rich_style"] = json!(rich);
        if matches!(kind, "boarding_pass" | "transit") {
            design["transit"] = json!("bus");
        }
        let foot = json!({"key": "foot", "label": "FOOT", "value": "Foot", "place": "footer"});
        if rich == Some("poster_generic") {
            design["fields"].as_array_mut().unwrap().push(foot);
        }
        let one = built(&project, &serde_json::from_value(design).unwrap(), "serial-1");
        let import = imported(&project, &one.to_string()).unwrap();
        assert_eq!(anonymous(built(&project, &import.design, "serial-1")), anonymous(one), "{kind}: {:#?}", import.notes);
    }
}

#[test]
fn faults_that_wallet_forgives_are_forgiven_and_said() {
    let project = project("membership");
    let json = "\u{feff}{\"organizationName\": \"Café\", \"description\": \"Card\", \"serialNumber\": \"A1\", \"formatVersion\": 1,
        \"backgroundColor\": \"#123\", \"labelColor\": \"blue\", \"maxDistance\": \"100\", \"expirationDate\": \"2027-01-01T00:00Z\",
        \"barcode\": {\"format\": \"PKBarcodeFormatPDF417\", \"message\": \"A1\", \"messageEncoding\": \"iso-8859-1\"},
        \"associatedStoreIdentifiers\": \"12\", \"newKey\": [1, 2],
        \"storeCard\": {\"primaryFields\": [
            {\"key\": \"a\", \"label\": \"A\", \"value\": \"{{oops\"}, {\"key\": \"a\", \"value\": 12.5, \"changeMessage\": \"changed\"},
            {\"key\": \"c\", \"value\": [1]}, {\"value\": \"no key\", \"row\": \"first\"}],
        },}";
    let import = imported(&project, json).unwrap();
    let design = &import.design;
    let keys: Vec<_> = design.fields.iter().map(|field| (field.key.as_str(), field.value.source(), field.place)).collect();
    assert_eq!(
        keys,
        [("a", "{ {oops", FieldPlace::Primary), ("a_2", "12.5", FieldPlace::Primary), ("field", "no key", FieldPlace::Primary)]
    );
    assert_eq!((design.colors.background.as_deref(), design.colors.label.as_deref()), (Some("#112233"), None));
    assert_eq!(design.barcode.as_ref().map(|barcode| barcode.format), Some(BarcodeFormat::Pdf417));
    assert_eq!(design.apple.get("newKey"), Some(&json!([1, 2])), "unknown keys are kept");
    assert!(!design.apple.contains_key("associatedStoreIdentifiers"), "a key that would keep the pass from being drawn is not");
    let said: BTreeMap<&str, Outcome> = import.notes.iter().map(|note| (note.path.as_str(), note.outcome)).collect();
    for (path, outcome) in [
        ("labelColor", Outcome::LeftOut),
        ("maxDistance", Outcome::LeftOut),
        ("expirationDate", Outcome::LeftOut),
        ("associatedStoreIdentifiers", Outcome::LeftOut),
        ("storeCard.primaryFields[0].value", Outcome::Changed),
        ("storeCard.primaryFields[1].key", Outcome::Changed),
        ("storeCard.primaryFields[1].changeMessage", Outcome::LeftOut),
        ("storeCard.primaryFields[2]", Outcome::LeftOut),
        ("barcodes[0].message", Outcome::Constant),
        ("newKey", Outcome::AppleOnly),
    ] {
        assert_eq!(said.get(path), Some(&outcome), "{path}: {:#?}", import.notes);
    }
    assert_eq!(design.problems(&project).iter().filter(|problem| problem.fault == domain::Fault::Wrong).count(), 0);
}

/// Apple's own sample passes are of 2012: one barcode, one date, colours as `rgb()`, a comma too many.
#[test]
fn passes_in_the_shape_of_apples_samples_come_in_whole() {
    let common = r#""formatVersion": 1, "passTypeIdentifier": "pass.com.example.sample", "serialNumber": "p69f2J", "teamIdentifier":
        "A93A5CM278", "organizationName": "Sample", "description": "A sample", "logoText": "Sample", "webServiceURL":
        "https://example.com/passes/", "authenticationToken": "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc", "relevantDate":
        "2012-07-22T14:25-08:00", "locations": [{"longitude": -122.3748889, "latitude": 37.6189722}], "barcode": {"message":
        "123456789", "format": "PKBarcodeFormatPDF417", "messageEncoding": "iso-8859-1"}, "foregroundColor": "rgb(22, 55, 110)",
        "backgroundColor": "rgb(50, 91, 185)", "suppressStripShine": false,"#;
    let field = |key: &str, more: &str| format!(r#"{{"key": "{key}", "label": "{key}", "value": "x"{more}}}"#);
    let date = r#", "value": "2012-08-07T00:00-08:00", "isRelative": true, "dateStyle": "PKDateStyleShort", "timeStyle": "PKDateStyleShort""#;
    let money = r#", "value": 21.75, "currencyCode": "USD""#;
    let samples = [
        (
            "boarding_pass",
            "boardingPass",
            r#""transitType": "PKTransitTypeAir", "#,
            field("gate", r#", "changeMessage": "Gate changed to %@.""#),
        ),
        ("event_ticket", "eventTicket", "", field("loc", date)),
        ("coupon", "coupon", "", field("expires", date)),
        ("membership", "storeCard", "", field("balance", money)),
        ("generic", "generic", "", field("level", r#", "textAlignment": "PKTextAlignmentRight""#)),
    ];
    for (kind, style, transit, front) in samples {
        let front = front.replace(r#""value": "x", "value""#, r#""value""#);
        let back = field("terms", "");
        let json = format!(r#"{{{common} "{style}": {{{transit} "headerFields": [{front}], "backFields": [{back}, ], }}, }}"#);
        let project = project(kind);
        let import = imported(&project, &json).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let design = &import.design;
        let keys: Vec<_> = design.fields.iter().map(|field| field.place).collect();
        assert_eq!(keys, [FieldPlace::Header, FieldPlace::Back], "{kind}");
        assert_eq!(design.colors.background.as_deref(), Some("#325BB9"), "{kind}");
        assert_eq!((design.relevance.dates.len(), design.relevance.locations.len()), (1, 1), "{kind}: {:#?}", import.notes);
        assert_eq!(design.barcode.as_ref().map(|barcode| barcode.format), Some(BarcodeFormat::Pdf417), "{kind}");
        assert_eq!(design.problems(&project).iter().filter(|problem| problem.fault == domain::Fault::Wrong).count(), 0, "{kind}");
        let again = built(&project, design, "serial-2").to_string();
        let findings = pkpass::lint(again.as_bytes(), &pkpass::Assets::prepare(Vec::new()).unwrap());
        let refused = findings.iter().filter(|found| found.severity == pkpass::Severity::Refused);
        assert_eq!(refused.map(|found| found.rule).collect::<Vec<_>>(), ["icon_missing"], "{kind}");
    }
}

#[test]
fn what_cannot_be_a_design_of_the_project_is_refused() {
    let project = project("membership");
    assert_eq!(import_pass(&packed(&[("icon.png", vec![1])]), &options(&project)), Err(ImportError::NoPass));
    assert!(matches!(imported(&project, "{"), Err(ImportError::Json(_))));
    assert!(matches!(imported(&project, "[]"), Err(ImportError::Json(_))));
    assert_eq!(imported(&project, "{}"), Err(ImportError::NoStyle));
    let other = imported(&project, r#"{"eventTicket": {}}"#).unwrap_err().to_string();
    assert!(other.contains("event_ticket") && other.contains("storeCard"), "{other}");
}

fn options(project: &Project) -> ImportOptions<'_> {
    ImportOptions { project, language: None, bind: false }
}

fn picture(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(width, height, image::Rgb([9, 90, 200])).write_to(&mut out, format).unwrap();
    out.into_inner()
}

#[test]
fn languages_and_images_are_taken_over() {
    let project = project("generic");
    let json = br#"{"organizationName": "Club", "description": "Karte", "generic": {"primaryFields": [{"key": "a", "label": "NAME_LABEL", "value": "x"}]}}"#;
    let strings = |text: &str| pkpass::write_strings([("NAME_LABEL", text)]);
    let png = image::ImageFormat::Png;
    let files = [
        ("pass.json", json.to_vec()),
        ("en.lproj/pass.strings", strings("Name")),
        ("de.lproj/pass.strings", strings("Übername")),
        ("zz_long_tag_here.lproj/pass.strings", strings("x")),
        ("icon.png", picture(38, 38, png)),
        ("icon@3x.png", picture(114, 114, png)),
        ("thumbnail@2x.png", picture(400, 400, image::ImageFormat::Jpeg)),
        ("de.lproj/logo.png", picture(100, 40, png)),
        ("logo.pdf", b"%PDF".to_vec()),
        ("strip.png", b"GIF89a".to_vec()),
        ("manifest.json", b"{}".to_vec()),
        ("__MACOSX/._icon.png", b"x".to_vec()),
        ("readme.txt", b"x".to_vec()),
    ];
    let unasked = import_pass(&packed(&files), &options(&project)).unwrap();
    assert_eq!((unasked.design.language.as_str(), unasked.design.fields[0].label.as_str()), ("und", "NAME_LABEL"));
    assert_eq!(unasked.design.translations["en"].texts["NAME_LABEL"].source(), "Name");
    let import = import_pass(&packed(&files), &ImportOptions { language: Some("en"), ..options(&project) }).unwrap();
    assert_eq!((import.design.language.as_str(), import.design.fields[0].label.as_str()), ("en", "Name"));
    assert_eq!(import.design.translations["de"].texts["Name"].source(), "Übername");
    let pictures: Vec<_> = import
        .pictures
        .iter()
        .map(|it| (it.language.as_deref(), it.role, it.usage.key(), it.picture.width, it.picture.height))
        .collect();
    assert_eq!(
        pictures,
        [
            (Some("de"), ImageRole::Logo, "x1", 100, 40),
            (None, ImageRole::Icon, "x1", 38, 38),
            (None, ImageRole::Icon, "x3", 114, 114),
            (None, ImageRole::Thumbnail, "x2", 180, 180),
            (None, ImageRole::Icon, "x2", 76, 76),
        ]
    );
    let said: Vec<&str> = import.notes.iter().map(|note| note.path.as_str()).collect();
    for path in ["zz_long_tag_here.lproj/pass.strings", "thumbnail@2x.png", "logo.pdf", "strip.png", "readme.txt", "icon@2x.png"]
    {
        assert!(said.contains(&path), "{path}: {said:?}");
    }
    assert!(!said.contains(&"manifest.json") && !said.contains(&"__MACOSX/._icon.png"));
    assert!(matches!(
        import_pass(&packed(&files), &ImportOptions { language: Some("english"), ..options(&project) }),
        Err(ImportError::Language(_))
    ));
}
