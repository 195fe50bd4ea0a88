//! A simulated iPhone against Apple's web service, and what a phone must not be told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use common::{House, PASS_TYPE, house};
use domain::{Action, Amount, BalanceChange, EventKind, Pass, PassChange, PassRef};
use http_server::App;
use simulators::iphone::{Iphone, Network, PassKey, SignatureTrust};

const TOKEN: &str = "00112233445566778899aabbccddeeff";

fn phone(house: &House, name: &str) -> Iphone {
    let root = rustls_pki_types::CertificateDer::from(house.root_der.clone());
    let now = house.app.now().as_seconds();
    Iphone::new(name, TOKEN, Network::new(&[]).unwrap()).trusting(SignatureTrust::new(vec![root], move || now))
}

fn token(app: &App, house: &House, pass: &Pass) -> String {
    let token = app.store.keyring().apple_token(house.org, PASS_TYPE, &pass.serial, pass.token_epoch).unwrap();
    format!("ApplePass {token}")
}

async fn earn(house: &House, pass: &Pass, points: i64) {
    let change = PassChange {
        balances: BTreeMap::from([("points".to_owned(), BalanceChange::Add(Amount::from_micros(points * 1_000_000)))]),
        ..PassChange::default()
    };
    house.submit(Action::Update { pass: PassRef::Id(pass.id), change: Box::new(change), expected_version: None }).await;
}

async fn events(house: &House, pass: &Pass) -> Vec<EventKind> {
    let events = house.store.events_of_pass(house.org, pass.id, 0, 100).await.unwrap();
    events.into_iter().filter_map(store::LoggedEvent::whole).map(|event| event.kind()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_installs_updates_and_removes() {
    let house = house().await;
    let pass = house.issue().await;
    let auth = token(&house.app, &house, &pass);
    let path = format!("/apple/v1/passes/{PASS_TYPE}/{}", pass.serial);
    let package = house.send("GET", &path, &[("authorization", &auth)], "").await;
    assert_eq!(package.status.as_u16(), 200, "{}", String::from_utf8_lossy(&package.body));
    assert_eq!(package.header("content-type"), "application/vnd.apple.pkpass");
    let mut phone = phone(&house, "device-1");
    let added = phone.add_pass(&package.body).await.unwrap();
    assert_eq!(added.registration.unwrap().status.as_u16(), 201);
    let again = phone.set_automatic_updates(&added.key, true).await.unwrap();
    assert_eq!(again.status.as_u16(), 200, "known already");

    earn(&house, &pass, 25).await;
    let update = phone.on_push(PASS_TYPE).await.unwrap();
    assert!(format!("{update:?}").contains("You have 25 points"), "{update:?}");
    let key = PassKey { pass_type: PASS_TYPE.to_owned(), serial: pass.serial.clone() };
    assert!(phone.lock_screen().iter().any(|line| line.contains("25")), "{:?}", phone.lock_screen());
    let idle = phone.on_push(PASS_TYPE).await.unwrap();
    assert!(phone.complaints().is_empty(), "{:?} {idle:?}", phone.complaints());

    let removed = phone.remove_pass(&key).await.unwrap().unwrap();
    assert_eq!(removed.status.as_u16(), 200);
    let url = format!("/apple/v1/devices/device-1/registrations/{PASS_TYPE}/{}", pass.serial);
    assert_eq!(house.send("DELETE", &url, &[("authorization", &auth)], "").await.status.as_u16(), 200, "twice is harmless");
    let kinds = events(&house, &pass).await;
    let count = |kind| kinds.iter().filter(|it| **it == kind).count();
    assert_eq!(count(EventKind::PassInstalled), 1);
    assert_eq!(count(EventKind::PassUninstalled), 1);
    assert_eq!(count(EventKind::PassRendered), 1, "the first package only: {kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_and_head_requests() {
    let house = house().await;
    let pass = house.issue().await;
    let auth = token(&house.app, &house, &pass);
    let path = format!("/apple/v1/passes/{PASS_TYPE}/{}", pass.serial);
    let head = house.send("HEAD", &path, &[("authorization", &auth)], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let modified = head.header("last-modified").to_owned();
    let since = [("authorization", auth.as_str()), ("if-modified-since", &modified)];
    assert_eq!(house.send("GET", &path, &since, "").await.status.as_u16(), 304);
    earn(&house, &pass, 1).await;
    let fresh = house.send("GET", &path, &since, "").await;
    assert_eq!(fresh.status.as_u16(), 200);
    assert_ne!(fresh.header("last-modified"), modified, "never repeats for a changed pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_learn_nothing() {
    let house = house().await;
    let (pass, other) = (house.issue().await, house.issue().await);
    let theirs = token(&house.app, &house, &other);
    let nobody = "1".repeat(22);
    for (pass_type, serial) in [(PASS_TYPE, &pass.serial), (PASS_TYPE, &nobody), ("pass.example.unknown", &pass.serial)] {
        for auth in ["", "ApplePass wrong", "Bearer x", &theirs] {
            let headers = [("authorization", auth)];
            let path = format!("/apple/v1/passes/{pass_type}/{serial}");
            let answer = house.send("GET", &path, &headers, "").await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (401, 0), "{path} {auth}");
            let path = format!("/apple/v1/devices/d/registrations/{pass_type}/{serial}");
            let answer = house.send("POST", &path, &headers, format!(r#"{{"pushToken":"{TOKEN}"}}"#)).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (401, 0), "{path} {auth}");
            assert_eq!(house.send("DELETE", &path, &headers, "").await.status.as_u16(), 401);
        }
    }
    assert_eq!(house.get(&format!("/apple/v1/devices/d/registrations/{PASS_TYPE}")).await.status.as_u16(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_is_opaque_and_moves() {
    let house = house().await;
    let pass = house.issue().await;
    let auth = token(&house.app, &house, &pass);
    let registrations = format!("/apple/v1/devices/d/registrations/{PASS_TYPE}");
    let body = format!(r#"{{"pushToken":"{TOKEN}"}}"#);
    let registration = format!("{registrations}/{}", pass.serial);
    assert_eq!(house.send("POST", &registration, &[("authorization", &auth)], body).await.status.as_u16(), 201);
    let list = async |tag: &str| {
        let answer = house.get(&format!("{registrations}?passesUpdatedSince={tag}")).await;
        (answer.status.as_u16(), serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default())
    };
    let (status, first) = list("").await;
    assert_eq!((status, &first["serialNumbers"][0]), (200, &pass.serial.as_str().into()));
    let tag = first["lastUpdated"].as_str().unwrap();
    assert_eq!(list(tag).await.0, 204);
    earn(&house, &pass, 3).await;
    let (status, second) = list(tag).await;
    assert_eq!(status, 200);
    assert_ne!(second["lastUpdated"], first["lastUpdated"]);
    let epoch = house.store.epoch();
    for foreign in [format!("{:x}-0.1", epoch ^ 1), format!("{epoch:x}-0.ffff"), "2026-11-20".to_owned(), "%ff".to_owned()] {
        assert_eq!(list(&foreign).await.0, 200, "{foreign}: everything is listed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pass_is_fetched_blank_and_void() {
    let house = house().await;
    let pass = house.issue().await;
    let auth = token(&house.app, &house, &pass);
    house.submit(Action::Delete { pass: PassRef::Id(pass.id), expected_version: None }).await;
    let path = format!("/apple/v1/passes/{PASS_TYPE}/{}", pass.serial);
    let answer = house.send("GET", &path, &[("authorization", &auth)], "").await;
    assert_eq!(answer.status.as_u16(), 200);
    let package = pkpass::Package::parse(&answer.body, &pkpass::Limits::PASS).unwrap();
    let json = String::from_utf8(package.file("pass.json").unwrap().to_vec()).unwrap();
    assert!(json.contains("\"voided\":true") && !json.contains("Ada") && !json.contains("Cortado"), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_kept_bounded() {
    let house = house().await;
    let line = format!("Get serial #s task (pass type {PASS_TYPE}, ...) encountered error: code 500");
    let body = serde_json::json!({ "logs": [line, "nothing of ours"] }).to_string();
    assert_eq!(house.send("POST", "/apple/v1/log", &[], body).await.status.as_u16(), 200);
    assert_eq!(house.send("POST", "/apple/v1/log", &[], "no json").await.status.as_u16(), 200);
    assert_eq!(house.send("POST", "/apple/v1/log", &[], vec![b' '; 100_000]).await.status.as_u16(), 200);
    let kept = house.store.captures(house.org, "apple log", 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    let kept = String::from_utf8(kept[0].body.clone()).unwrap();
    assert!(kept.contains("code 500") && !kept.contains("nothing"), "{kept}");
}

async fn due(house: &House) -> Vec<(String, domain::PassId)> {
    let tomorrow = house.app.now().plus(std::time::Duration::from_secs(86_400));
    let backend = house.store.backend();
    let mut due = Vec::new();
    for shard in 0..backend.shards() {
        let rows = backend.due_pushes(shard, tomorrow, 10).await.unwrap();
        due.extend(rows.into_iter().map(|row| (row.installation.device, row.installation.pass)));
    }
    due
}

async fn package(house: &House, pass: &Pass, since: &str) -> common::Answer {
    let path = format!("/apple/v1/passes/{PASS_TYPE}/{}", pass.serial);
    let auth = token(&house.app, house, pass);
    house.send("GET", &path, &[("authorization", auth.as_str()), ("if-modified-since", since)], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_changed_before_its_registration_reaches_the_phone() {
    let house = house().await;
    let (first, second) = (house.issue().await, house.issue().await);
    let mut phone = phone(&house, "device-1");
    phone.add_pass(&package(&house, &first, "").await.body).await.unwrap();
    assert_eq!(due(&house).await, [], "it never changed: the phone surely has it as it is");
    let fetched = package(&house, &second, "").await;
    earn(&house, &second, 7).await;
    earn(&house, &first, 3).await;
    // The phone hears of the first one, and its tag is beyond the change of the second one.
    phone.on_push(PASS_TYPE).await.unwrap();
    let added = phone.add_pass(&fetched.body).await.unwrap();
    assert_eq!(added.registration.unwrap().status.as_u16(), 201);
    assert_eq!(due(&house).await, [("device-1".to_owned(), second.id)], "it is owed a push of its own");
    let update = phone.on_push(PASS_TYPE).await.unwrap();
    assert!(format!("{update:?}").contains("You have 7 points"), "{update:?}");
    assert!(phone.complaints().is_empty(), "{:?}", phone.complaints());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_version_reaches_the_phone() {
    let house = house().await;
    let pass = house.issue().await;
    let mut phone = phone(&house, "device-1");
    let fetched = package(&house, &pass, "").await;
    phone.add_pass(&fetched.body).await.unwrap();
    earn(&house, &pass, 1).await;
    phone.on_push(PASS_TYPE).await.unwrap();
    let before = package(&house, &pass, "").await;
    let before = before.header("last-modified").to_owned();
    assert_eq!(package(&house, &pass, &before).await.status.as_u16(), 304);
    let catalog = house.store.catalog();
    let stored = &catalog.org(house.org).unwrap().templates[&house.template.uuid()];
    let mut template = (*stored.value).clone();
    template.version += 1;
    let points = template.design.fields.iter_mut().find(|field| field.key == "points").unwrap();
    points.value = domain::Text::parse("{{balances.points}} of ten").unwrap();
    let change = store::ConfigChange {
        org: house.org,
        actor: "{}".to_owned(),
        now: house.app.now(),
        names: Vec::new(),
        removed_names: Vec::new(),
    };
    assert!(house.store.put(&change, &template, stored.revision).await.unwrap());
    let after = package(&house, &pass, &before).await;
    assert_eq!(after.status.as_u16(), 200, "a phone that asks has not seen this");
    let at = |text: &str| domain::Timestamp::from_http_date(text).unwrap();
    assert!(at(after.header("last-modified")) > at(&before));
    let update = phone.on_push(PASS_TYPE).await.unwrap();
    assert!(format!("{update:?}").contains("1 of ten"), "{update:?}");
    assert_eq!(package(&house, &pass, after.header("last-modified")).await.status.as_u16(), 304);
    assert!(phone.complaints().is_empty(), "{:?}", phone.complaints());
    assert_eq!(events(&house, &pass).await.iter().filter(|kind| **kind == EventKind::PassUpdated).count(), 1, "the points alone");
}

/// The club's design asks strangers to sign up.
async fn asking(house: &House) {
    let stored = house.store.catalog().org(house.org).unwrap().templates[&house.template.uuid()].clone();
    let mut template = (*stored.value).clone();
    template.design.nfc = serde_json::from_value(serde_json::json!({"message": "{{pass.id}}"})).unwrap();
    let form = serde_json::json!({"description": "Bean Club", "fields": ["name", "email", "postal_code"]});
    template.design.personalization = serde_json::from_value(form).unwrap();
    let now = house.app.now();
    let change =
        store::ConfigChange { org: house.org, actor: "{}".to_owned(), now, names: Vec::new(), removed_names: Vec::new() };
    assert!(house.store.put(&change, &template, stored.revision).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_signs_up_once_and_openssl_takes_the_signed_token() {
    let house = house().await;
    asking(&house).await;
    let pass = house.issue_to_nobody().await;
    let (auth, path) = (token(&house.app, &house, &pass), format!("/apple/v1/passes/{PASS_TYPE}/{}", pass.serial));
    let files = async || {
        let package = house.send("GET", &path, &[("authorization", auth.as_str())], "").await;
        pkpass::Package::parse(&package.body, &pkpass::Limits::PASS).unwrap()
    };
    assert!(files().await.file("personalization.json").is_some());

    let form = |token: &str, name: &str| {
        serde_json::json!({"personalizationToken": token, "requiredPersonalizationInfo":
            {"fullName": name, "givenName": "Mira", "emailAddress": "mira@example.com", "postalCode": "10115", "ISOCountryCode": "DE"}})
        .to_string()
    };
    let personalize = format!("{path}/personalize");
    let send = async |headers: &[(&str, &str)], body: String| house.send("POST", &personalize, headers, body).await;
    let foreign = send(&[("authorization", "ApplePass 0123456789abcdef0123456789abcdef")], form("t1", "Mira Lund")).await;
    assert_eq!(foreign.status.as_u16(), 401, "a token that is sent must be the right one");
    assert_eq!(send(&[], form("", "Mira Lund")).await.status.as_u16(), 422);

    let signed = send(&[], form("t1", "Mira Lund")).await;
    assert_eq!((signed.status.as_u16(), signed.header("content-type")), (200, "application/octet-stream"));
    assert!(openssl_takes(&house, b"t1", &signed.body));
    assert!(!openssl_takes(&house, b"t2", &signed.body));
    let (held, contact) = house.store.pass_with_contact(house.org, pass.id).await.unwrap().unwrap();
    let contact = contact.unwrap();
    assert_eq!((contact.name.as_deref(), contact.email.as_deref()), (Some("Mira Lund"), Some("mira@example.com")));
    assert_eq!(contact.traits["postal_code"].to_string(), "10115");
    assert!(files().await.file("personalization.json").is_none(), "the pass that is fetched then asks no more");

    let retried = send(&[], form("t1", "Mira Lund")).await;
    assert_eq!(retried.status.as_u16(), 200, "a retry whose answer was lost");
    for (token, name) in [("t1", "Somebody Else"), ("t2", "Somebody Else")] {
        let again = send(&[], form(token, name)).await;
        assert!(again.status.is_client_error(), "{token}: {}", again.status);
    }
    let (now, _) = house.store.pass_with_contact(house.org, pass.id).await.unwrap().unwrap();
    assert_eq!(now.version, held.version, "nothing was stored by those");
    let unknown = format!("/apple/v1/passes/{PASS_TYPE}/nobody/personalize");
    assert_eq!(house.send("POST", &unknown, &[], form("t3", "X")).await.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_asks_for_nothing_takes_no_sign_up() {
    let house = house().await;
    let pass = house.issue_to_nobody().await;
    let path = format!("/apple/v1/passes/{PASS_TYPE}/{}/personalize", pass.serial);
    let form = serde_json::json!({"personalizationToken": "t", "requiredPersonalizationInfo": {"fullName": "X"}}).to_string();
    assert_eq!(house.send("POST", &path, &[], form).await.status.as_u16(), 404);
    let (_, contact) = house.store.pass_with_contact(house.org, pass.id).await.unwrap().unwrap();
    assert!(contact.is_none());
}

fn openssl_takes(house: &House, content: &[u8], signature: &[u8]) -> bool {
    use base64::Engine as _;
    let folder = tempfile::tempdir().unwrap();
    let root = base64::engine::general_purpose::STANDARD.encode(&house.root_der);
    let lines: Vec<&str> = root.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    for (name, bytes) in [("root.pem", pem.as_bytes()), ("content", content), ("signature", signature)] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let arguments = "cms -verify -binary -inform DER -in signature -content content -CAfile root.pem -purpose any -out said";
    let mut command = std::process::Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder.path());
    command.output().expect("openssl is on the PATH").status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_passes_come_as_one_bundle_to_whoever_names_their_codes() {
    let house = house().await;
    let passes = [house.issue_to_nobody().await, house.issue_to_nobody().await];
    let codes = passes.iter().map(|pass| pass.code.as_str()).collect::<Vec<_>>().join(",");
    let bundle = house.send("GET", &format!("/p/{codes}/passes.pkpasses"), &[], "").await;
    assert_eq!(bundle.status.as_u16(), 200, "{}", String::from_utf8_lossy(&bundle.body));
    assert_eq!(bundle.header("content-type"), "application/vnd.apple.pkpasses");
    let inside = pkpass::Package::parse_bundle(&bundle.body, &pkpass::Limits::BUNDLE).unwrap();
    let serials: Vec<String> = inside.iter().map(|(_, package)| package.pass().unwrap().unwrap().serial_number).collect();
    assert_eq!(serials, [passes[0].serial.clone(), passes[1].serial.clone()]);
    assert_eq!(house.send("GET", &format!("/p/{codes},x/passes.pkpasses"), &[], "").await.status.as_u16(), 404);
    let many = [passes[0].code.as_str(); 11].join(",");
    assert_eq!(house.send("GET", &format!("/p/{many}/passes.pkpasses"), &[], "").await.status.as_u16(), 400);
}
