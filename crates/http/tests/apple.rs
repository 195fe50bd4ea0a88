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
    house.submit(Action::Delete { pass: PassRef::Id(pass.id) }).await;
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
    let due = house.store.backend().due_pushes(0, tomorrow, 10).await.unwrap();
    due.into_iter().map(|row| (row.installation.device, row.installation.pass)).collect()
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
