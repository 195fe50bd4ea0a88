//! Save links and assertions, their signatures checked by openssl and by another JWT library.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test says what went wrong by stopping

use std::fs;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use google_wallet::rest::token_request;
use google_wallet::{
    Class, Form, MAX_JWT_CHARACTERS, Object, Part, SAVE_LINK_PREFIX, SaveError, SaveRequest, ServiceAccount, Vertical, save_link,
};
use serde_json::{Value, json};

const NOW: i64 = 1_790_000_000;

fn account() -> ServiceAccount {
    let file =
        ServiceAccount::development_key_file("passes@example.iam.gserviceaccount.com", "https://oauth2.googleapis.com/token");
    ServiceAccount::from_json(&file.unwrap()).unwrap()
}

fn class() -> Class {
    let value = json!({"id": "33.club", "issuerName": "Nordlicht", "reviewStatus": "UNDER_REVIEW", "programName": "Nordlicht Club",
        "programLogo": {"sourceUri": {"uri": "https://example.com/logo.png"}}});
    Class::from_value(Vertical::Loyalty, value).unwrap()
}

fn object(text: &str) -> Object {
    let value = json!({"id": "33.m-1", "classId": "33.club", "state": "ACTIVE", "accountName": text,
        "barcode": {"type": "QR_CODE", "value": "m-1"}});
    Object::from_value(Vertical::Loyalty, value).unwrap()
}

fn claims(jwt: &str) -> Value {
    let middle = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle).unwrap()).unwrap()
}

/// `openssl dgst -sha256 -verify` over the first two parts.
fn openssl_verifies(account: &ServiceAccount, jwt: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    fs::write(path("key.pem"), account.public_key_pem()).unwrap();
    fs::write(path("signed"), signed).unwrap();
    fs::write(path("signature"), URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .args([path("key.pem"), "-signature".into(), path("signature"), path("signed")])
        .output()
        .expect("openssl must be installed to run this test");
    output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Verified OK")
}

#[test]
fn a_full_link_carries_class_and_object_and_openssl_verifies_it() {
    let (account, class, object) = (account(), class(), object("Mira"));
    let origins = ["https://shop.example.com".to_owned()];
    let request = SaveRequest { origins: &origins, classes: &[Part::carried(&class)], objects: &[Part::carried(&object)] };
    let link = save_link(&account, &request, NOW).unwrap();
    assert_eq!(link.form, Form::Full);
    assert_eq!(link.url, format!("{SAVE_LINK_PREFIX}{}", link.jwt));
    assert_eq!(
        claims(&link.jwt),
        json!({"iss": "passes@example.iam.gserviceaccount.com", "aud": "google", "typ": "savetowallet", "iat": NOW,
            "origins": origins, "payload": {"loyaltyObjects": [object], "loyaltyClasses": [class]}})
    );
    assert!(openssl_verifies(&account, &link.jwt));
    let (signed, signature) = link.jwt.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    assert!(!openssl_verifies(&account, &format!("{signed}.{flipped}{}", &signature[1..])), "a changed signature must fail");
}

#[test]
fn another_library_accepts_the_token() {
    let (account, object) = (account(), object("Mira"));
    let request = SaveRequest { origins: &[], classes: &[], objects: &[Part::carried(&object)] };
    let link = save_link(&account, &request, NOW).unwrap();
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(account.public_key_pem().as_bytes()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.set_audience(&["google"]);
    rules.set_required_spec_claims(&["aud"]);
    let token = jsonwebtoken::decode::<Value>(&link.jwt, &key, &rules).unwrap();
    assert_eq!(token.claims["typ"], "savetowallet");
}

#[test]
fn what_google_holds_is_left_out() {
    let (account, class, object) = (account(), class(), object("Mira"));
    let request = SaveRequest { origins: &[], classes: &[Part::inserted(&class)], objects: &[Part::carried(&object)] };
    let link = save_link(&account, &request, NOW).unwrap();
    assert_eq!(link.form, Form::ObjectOnly);
    assert_eq!(claims(&link.jwt)["payload"], json!({"loyaltyObjects": [object]}));
    assert!(claims(&link.jwt).get("origins").is_none());

    let request = SaveRequest { objects: &[Part::inserted(&object)], ..request };
    let link = save_link(&account, &request, NOW).unwrap();
    assert_eq!(link.form, Form::Skinny);
    assert_eq!(claims(&link.jwt)["payload"], json!({"loyaltyObjects": [{"id": "33.m-1", "classId": "33.club"}]}));
    assert!(link.jwt.len() < 800, "{}", link.jwt.len());
}

#[test]
fn a_link_is_never_longer_than_google_calls_safe() {
    let account = account();
    for length in [0, 300, 600, 700, 800, 1200, 4000] {
        let object = object(&"x".repeat(length));
        let request = SaveRequest { origins: &[], classes: &[], objects: &[Part::carried(&object)] };
        match save_link(&account, &request, NOW) {
            Ok(link) => assert!(link.jwt.len() <= MAX_JWT_CHARACTERS, "{length}"),
            Err(SaveError::TooLong { characters, form: Form::ObjectOnly, mend }) => {
                assert!(characters > MAX_JWT_CHARACTERS && mend.contains("insert the object"), "{length}");
            }
            Err(other) => panic!("{length}: {other}"),
        }
        let request = SaveRequest { objects: &[Part::inserted(&object)], ..request };
        assert_eq!(save_link(&account, &request, NOW).unwrap().form, Form::Skinny, "{length}");
    }
    let (class, object) = (class(), object(&"x".repeat(1000)));
    let request = SaveRequest { origins: &[], classes: &[Part::carried(&class)], objects: &[Part::carried(&object)] };
    let error = save_link(&account, &request, NOW).unwrap_err();
    assert!(
        matches!(error, SaveError::TooLong { form: Form::Full, .. }) && error.to_string().contains("insert the class"),
        "{error}"
    );
}

#[test]
fn what_travels_loses_its_trimmings_before_it_loses_the_link() {
    let account = account();
    let described = |name: &str| {
        json!({"sourceUri": {"uri": format!("https://example.com/images/{name}/{}.png", "0".repeat(250))},
        "contentDescription": {"defaultValue": {"language": "en", "value": "Nordlicht"}}})
    };
    let mut rich = serde_json::to_value(class()).unwrap();
    rich["heroImage"] = described("hero");
    rich["programLogo"] = described("logo");
    rich["wideProgramLogo"] = described("wide");
    let class = Class::from_value(Vertical::Loyalty, rich).unwrap();
    let mut object = serde_json::to_value(object("Mira")).unwrap();
    object["messages"] = json!([{"header": "News", "body": "x".repeat(300)}]);
    let object = Object::from_value(Vertical::Loyalty, object).unwrap();
    let request = SaveRequest { origins: &[], classes: &[Part::carried(&class)], objects: &[Part::carried(&object)] };
    let link = save_link(&account, &request, NOW).unwrap();
    assert_eq!(
        (link.form, link.left_out.as_slice()),
        (Form::Full, ["contentDescription", "messages", "heroImage", "wideProgramLogo"].as_slice())
    );
    assert!(link.jwt.len() <= MAX_JWT_CHARACTERS && openssl_verifies(&account, &link.jwt));
    let payload = &claims(&link.jwt)["payload"];
    assert_eq!(payload["loyaltyClasses"][0]["programLogo"]["sourceUri"]["uri"], described("logo")["sourceUri"]["uri"]);
    assert!(Class::from_value(Vertical::Loyalty, payload["loyaltyClasses"][0].clone()).unwrap().validate().is_empty());
    assert!(Object::from_value(Vertical::Loyalty, payload["loyaltyObjects"][0].clone()).unwrap().validate().is_empty());

    let request = SaveRequest { origins: &[], classes: &[], objects: &[Part::inserted(&object)] };
    assert_eq!(save_link(&account, &request, NOW).unwrap().left_out, Vec::<&str>::new());
}

#[test]
fn bad_requests_are_named() {
    let (account, good) = (account(), object("Mira"));
    let nothing = SaveRequest { origins: &[], classes: &[], objects: &[] };
    assert_eq!(save_link(&account, &nothing, NOW).unwrap_err(), SaveError::NothingToSave);
    for origin in ["example.com", "https://example.com/", "https://example.com/shop", "https://example.com?x", "file:///etc"] {
        let request = SaveRequest { origins: &[origin.to_owned()], classes: &[], objects: &[Part::inserted(&good)] };
        assert!(matches!(save_link(&account, &request, NOW), Err(SaveError::Origin { .. })), "{origin}");
    }
    let mut bad = good;
    bad.common_mut().class_id = "club".to_owned();
    let request = SaveRequest { origins: &[], classes: &[], objects: &[Part::inserted(&bad)] };
    assert!(matches!(save_link(&account, &request, NOW), Err(SaveError::Id(_))));
}

#[test]
fn an_assertion_asks_for_the_wallet_scope_and_openssl_verifies_it() {
    let account = account();
    let request = token_request(&account, NOW, None).unwrap();
    assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "https://oauth2.googleapis.com/token"));
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    let assertion = body.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=").unwrap();
    let claims = claims(assertion);
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/wallet_object.issuer");
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(NOW), Some(NOW + 3600)));
    assert_eq!(claims["aud"], "https://oauth2.googleapis.com/token");
    assert!(openssl_verifies(&account, assertion));
}
