//! Every case is a folder: `input.json` is a project, template, pass and contact; beside it stands what each wallet gets.
//!
//! When a drawing changes on purpose, the test writes the new one into the build directory and says where.

#![allow(clippy::unwrap_used, clippy::panic)] // a test says what went wrong by stopping

use std::fs;
use std::path::{Path, PathBuf};

use domain::{Contact, Pass, Project, Template};
use google_wallet::Object;
use render::{
    AppleContext, GoogleContext, PassView, PreviewContext, apple, google_class, google_object, loss_report, preview_css,
    preview_html,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Input {
    project: Project,
    template: Template,
    pass: Pass,
    contact: Option<Contact>,
}

impl Input {
    fn read(case: &str) -> Self {
        serde_json::from_slice(&fs::read(folder(case).join("input.json")).unwrap()).unwrap()
    }

    fn view(&self) -> PassView<'_> {
        PassView {
            project: &self.project,
            template: &self.template,
            pass: &self.pass,
            contact: self.contact.as_ref(),
            codes: None,
        }
    }
}

const APPLE: AppleContext<'_> = AppleContext {
    pass_type: "pass.example.nordlicht",
    team: "TEAM123456",
    web_service_url: "https://passes.example.com/apple",
    auth_token: "0123456789abcdef0123456789abcdef",
    image_url: None,
};

fn image_url(hash: &str) -> String {
    format!("https://passes.example.com/images/{hash}.png")
}

fn google_context() -> GoogleContext<'static> {
    GoogleContext {
        issuer_id: "3388000000012345678",
        language: "en",
        callback_url: Some("https://passes.example.com/google/callback"),
        image_url: &image_url,
    }
}

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(case)
}

fn cases() -> Vec<String> {
    let names = fs::read_dir(folder("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert!(names.len() >= 10, "cases are missing: {names:?}");
    names
}

/// Compares with the file that stands beside the input; keeps the new text where it can be looked at.
fn compare(case: &str, name: &str, actual: &str, faults: &mut Vec<String>) {
    let wanted = fs::read_to_string(folder(case).join(name)).unwrap_or_default();
    if wanted != actual {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cases").join(case);
        fs::create_dir_all(&kept).unwrap();
        fs::write(kept.join(name), actual).unwrap();
        faults.push(format!("{case}/{name} differs: compare with {} and copy it if it is meant", kept.join(name).display()));
    }
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn every_case_is_drawn_as_it_stands_in_its_folder() {
    let mut faults = Vec::new();
    for case in cases() {
        let input = Input::read(&case);
        let view = input.view();
        let mut draw = |name: &str, text: String| compare(&case, name, &text, &mut faults);
        draw("apple.json", pretty(&apple(&view, &APPLE).unwrap()));
        draw("google-class.json", pretty(&google_class(&view, &google_context()).unwrap()));
        draw("google-object.json", pretty(&google_object(&view, &google_context()).unwrap()));
        let html = preview_html(&view, &PreviewContext { image_url: &image_url }).into_string();
        draw("preview.html", html.replace("><", ">\n<") + "\n");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_phone_would_take_every_pass_and_leave_nothing_out() {
    for case in cases() {
        let input = Input::read(&case);
        let assets = render::apple_assets(&input.template.design, false, |_| Some(assets::png())).unwrap();
        let json = apple(&input.view(), &APPLE).unwrap().to_json().unwrap();
        let findings = pkpass::lint(&json, &assets);
        // a design for both wallets may hold an image that only Google's card shows
        let harmless =
            |finding: &pkpass::Finding| finding.severity == pkpass::Severity::Advice || finding.rule == "image_not_shown";
        assert!(findings.iter().all(harmless), "{case}: {findings:#?}");
    }
}

#[test]
fn google_would_take_every_class_and_object() {
    for case in cases() {
        let input = Input::read(&case);
        let class = google_class(&input.view(), &google_context()).unwrap();
        assert_eq!(class.validate(), [], "{case}");
        let object = google_object(&input.view(), &google_context()).unwrap();
        assert_eq!(object.validate(), [], "{case}");
        assert_eq!(class.vertical(), object.vertical(), "{case}");
        assert_eq!(class.common().id, object.common().class_id, "{case}");
    }
}

#[test]
fn every_row_of_a_class_points_at_something_an_object_can_have() {
    for case in cases() {
        let input = Input::read(&case);
        let class = serde_json::to_value(google_class(&input.view(), &google_context()).unwrap()).unwrap();
        let object = google_object(&input.view(), &google_context()).unwrap();
        for path in field_paths(&class["classTemplateInfo"]) {
            let known = match path.strip_prefix("object.textModulesData['").and_then(|rest| rest.strip_suffix("']")) {
                Some(id) => shows(&object, id) || case.starts_with("membership_"), // blank, or without a contact
                None => ["object.loyaltyPoints.balance", "object.secondaryLoyaltyPoints.balance", "object.balance"]
                    .contains(&path.as_str()),
            };
            assert!(known, "{case}: {path}");
        }
    }
}

fn field_paths(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(path) if key == "fieldPath" => vec![path.clone()],
                other => field_paths(other),
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(field_paths).collect(),
        _ => Vec::new(),
    }
}

fn shows(object: &Object, id: &str) -> bool {
    object.common().text_modules_data.iter().any(|module| module.id.as_deref() == Some(id))
}

#[test]
fn a_deleted_pass_says_nothing_about_its_holder() {
    let input = Input::read("membership_deleted");
    let view = input.view();
    let all = [
        pretty(&apple(&view, &APPLE).unwrap()),
        pretty(&google_object(&view, &google_context()).unwrap()),
        preview_html(&view, &PreviewContext { image_url: &image_url }).into_string(),
    ];
    for text in all {
        for secret in ["Mira", "mira@", "C-77", "M-1042", "1250", "1,250", "Goodbye", input.pass.code.as_str()] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

#[test]
fn the_same_words_sent_twice_are_two_values() {
    let mut input = Input::read("membership");
    let message = |input: &Input| {
        let pass = apple(&input.view(), &APPLE).unwrap();
        let field = pass.style.fields().back_fields.iter().find(|field| field.key == render::MESSAGE_FIELD).unwrap();
        pretty(&field.value)
    };
    let first = message(&input);
    assert_eq!(message(&input), first, "nothing changed");
    let sent = input.pass.message.as_mut().unwrap();
    sent.at = "2026-11-20T09:00:01.123Z".parse().unwrap();
    assert_ne!(message(&input), first);
    input.pass.message = None;
    assert_eq!(message(&input), "\"–\"\n", "the field is there before the first message");
}

#[test]
fn what_names_a_pass_cannot_be_overlaid_and_what_does_not_fit_is_named() {
    let mut input = Input::read("membership");
    let keys = serde_json::json!({"serialNumber": "other", "authenticationToken": "x", "webServiceURL": "https://evil.example",
        "maxDistance": 50, "storeCard": {"headerFields": []}});
    input.template.design.apple = keys.as_object().unwrap().clone();
    let pass = apple(&input.view(), &APPLE).unwrap();
    assert_eq!(
        (pass.serial_number.as_str(), pass.authentication_token.as_deref()),
        (input.pass.serial.as_str(), Some(APPLE.auth_token))
    );
    assert_eq!(pass.web_service_url.as_deref(), Some(APPLE.web_service_url));
    assert_eq!(pass.max_distance, Some(50.0));
    assert!(pass.style.fields().header_fields.is_empty() && !pass.style.fields().primary_fields.is_empty());

    input.template.design.apple = serde_json::json!({"maxDistance": "far"}).as_object().unwrap().clone();
    let error = apple(&input.view(), &APPLE).unwrap_err().to_string();
    assert!(error.contains("`apple.maxDistance`") && error.contains("far"), "{error}");
}

#[test]
fn losses_are_named_by_wallet_and_place() {
    let input = Input::read("generic");
    let mut design = input.template.design.clone();
    let field = design.fields[0].clone();
    design.fields = (0..12).map(|n| domain::DesignField { key: format!("k{n}"), ..field.clone() }).collect();
    design.fields[1].change_message = Some("Now %@".to_owned());
    let losses = loss_report(&input.project, &design);
    let has = |wallet, path: &str| losses.iter().any(|loss| loss.wallet == wallet && loss.path == path);
    use domain::Wallet::{Apple, Google};
    assert!(has(Apple, "fields.1") && !has(Apple, "fields.0"), "one primary field is shown");
    assert!(has(Google, "fields.9") && !has(Google, "fields.8"), "nine fit the front");
    assert!(has(Google, "fields.1.change_message") && has(Google, "colors.label") && has(Google, "images.thumbnail"));
    assert!(has(Google, "images.logo") && !has(Apple, "images.thumbnail"));

    let flight = Input::read("flight");
    let is_generic = |design: &domain::Design| {
        let losses = loss_report(&flight.project, design);
        losses.into_iter().find(|loss| loss.wallet == Google && loss.path == "semantics").map(|loss| loss.effect)
    };
    let mut design = flight.template.design.clone();
    assert_eq!(is_generic(&design), None);
    design.google.clear();
    assert!(is_generic(&design).unwrap().contains("airlineCode, flightNumber, departureAirportCode"));
}

#[test]
fn a_style_sheet_holds_only_colours_that_can_be_read() {
    let input = Input::read("membership_revoked");
    let mut design = input.template.design;
    assert!(preview_css(&design).contains("--pb-background:#F4E9D8;--pb-foreground:#14161a;--pb-label:#14161a"));
    design.colors = domain::Colors {
        background: Some("#0F3D38".to_owned()),
        foreground: Some("#FFEEDD".to_owned()),
        label: Some("#F3DCAE".to_owned()),
    };
    let css = preview_css(&design);
    assert!(css.contains("--pb-foreground:#FFEEDD;--pb-label:#F3DCAE}"), "as Apple draws it");
    assert!(css.contains(".pb-google{--pb-foreground:#ffffff;--pb-label:#ffffff}"), "Google Wallet chooses by itself");
    design.colors.background = Some("red}body{display:none".to_owned());
    design.colors.foreground = Some("#222222".to_owned());
    let css = preview_css(&design);
    assert!(!css.contains("display:none}") && css.contains("--pb-foreground:#ffffff"), "dark on dark is mended");
}

proptest::proptest! {
    #[test]
    fn whatever_a_pass_holds_is_drawn_and_stays_text(text in "\\PC{0,60}", micros in proptest::prelude::any::<i64>(), case in 0usize..10) {
        let mut input = Input::read(&cases()[case]);
        let hostile = format!("</dd><script>alert(1)</script>{text}");
        for key in input.project.fields.iter().map(|field| field.key.clone()) {
            input.pass.fields.insert(key, domain::FieldValue::Text(hostile.clone()));
        }
        for balance in input.pass.balances.values_mut() {
            *balance = domain::Amount::from_micros(micros);
        }
        let view = input.view();
        let pass = apple(&view, &APPLE).unwrap();
        let bytes = pass.to_json().unwrap();
        proptest::prop_assert_eq!(pkpass::Pass::from_json(&bytes).unwrap(), pass);
        let refused = |finding: &google_wallet::Finding| finding.severity == google_wallet::Severity::Refused;
        match google_object(&view, &google_context()) {
            Ok(object) => proptest::prop_assert!(!object.validate().iter().any(refused)),
            // its departure is no time any more
            Err(fault) => proptest::prop_assert!(matches!(fault, render::RenderError::Flight(_)), "{fault}"),
        }
        let html = preview_html(&view, &PreviewContext { image_url: &image_url }).into_string();
        proptest::prop_assert!(!html.contains("<script"));
    }
}

mod assets {
    use bytes::Bytes;
    use render::{AssetsError, apple_assets};

    use super::{Input, image_url};

    /// The signature and header of a PNG of one pixel: all that is looked at when a pass is packed.
    pub(super) fn png() -> Bytes {
        Bytes::from_static(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89")
    }

    #[test]
    fn images_get_apples_names_and_a_missing_one_is_named() {
        let design = Input::read("generic").template.design;
        let assets = apple_assets(&design, false, |_| Some(png())).unwrap();
        let paths: Vec<_> = assets.files().map(pkpass::Asset::path).collect();
        assert_eq!(paths, ["icon.png", "icon@2x.png", "icon@3x.png", "thumbnail.png", "thumbnail@2x.png", "thumbnail@3x.png"]);
        let error = apple_assets(&design, false, |_| None).unwrap_err();
        assert!(matches!(error, AssetsError::Missing { role: "icon", scale: 1, .. }), "{error}");
        assert!(image_url("x").ends_with("x.png"));
    }
}

#[test]
fn a_rotating_code_rotates_at_google_and_is_signed_elsewhere() {
    let organization = uuid::Uuid::from_u128(5);
    let signer = render::CodeSigner::new(organization, 0, &[1; 32], [2; 32]).unwrap();
    let reader = scan_code::Reader { organization, keys: vec![signer.reader_key()] };
    let mut input = Input::read("membership");
    let mut drawn = |value: &str| {
        input.template.design.barcode.as_mut().unwrap().value = domain::Text::parse(value).unwrap();
        let view = PassView { codes: Some(&signer), ..input.view() };
        let apple = serde_json::to_value(apple(&view, &APPLE).unwrap()).unwrap();
        (apple, serde_json::to_value(google_object(&view, &google_context()).unwrap()).unwrap())
    };
    let at = 1_800_000_000;
    let fixed = |text: &Value| reader.verify(text.as_str().unwrap(), at).unwrap().unwrap().rotation;
    let (apple, google) = drawn("{{pass.signed}}");
    assert_eq!(fixed(&apple["barcodes"][0]["message"]), scan_code::Rotation::Fixed);
    assert_eq!(fixed(&google["barcode"]["value"]), scan_code::Rotation::Fixed);
    let (apple, google) = drawn("{{pass.rotating}}");
    assert_eq!(fixed(&apple["barcodes"][0]["message"]), scan_code::Rotation::Fixed, "Apple Wallet rotates nothing");
    assert!(google.get("barcode").is_none());
    let rotating = &google["rotatingBarcode"];
    let details = &rotating["totpDetails"];
    assert_eq!((&details["algorithm"], &details["periodMillis"]), (&Value::from("TOTP_SHA1"), &Value::from("30000")));
    let ticket = reader.verify(apple["barcodes"][0]["message"].as_str().unwrap(), at).unwrap().unwrap().ticket;
    assert_eq!(details["parameters"][0]["key"], signer.secret(&ticket).to_hex());
    let shown = rotating["valuePattern"].as_str().unwrap().replace("{totp_value_0}", &signer.secret(&ticket).digits(at));
    assert_eq!(fixed(&Value::from(shown)), scan_code::Rotation::Fresh);
}
