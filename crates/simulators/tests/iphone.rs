//! The phone against a small web service that follows Apple's documents.

#![allow(clippy::unwrap_used, clippy::panic)]

mod package;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};
use simulators::iphone::{Iphone, Network, Outcome, PassKey, PhoneError, WalletPass};

const TYPE: &str = "pass.example.loyalty";
const TOKEN: &str = "token-of-sixteen-characters";
const MIME: &str = "application/vnd.apple.pkpass";

/// A package with a manifest and a placeholder signature, one file deflated and one stored.
fn package(change: impl FnOnce(&mut Value), tamper: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Vec<u8> {
    let mut pass = json!({
        "formatVersion": 1, "passTypeIdentifier": TYPE, "serialNumber": "A/1", "teamIdentifier": "TEAM123456",
        "organizationName": "Bean & Co", "description": "Loyalty card",
        "storeCard": {
            "headerFields": [{ "key": "points", "label": "POINTS", "value": 10, "changeMessage": "You have %@ points" }],
            "primaryFields": [{ "key": "tier", "value": "Bronze", "changeMessage": "Welcome to %@" }],
            "backFields": [
                { "key": "balance", "value": 12.5, "currencyCode": "EUR" },
                { "key": "notice", "value": "", "changeMessage": "Something new" }
            ]
        }
    });
    change(&mut pass);
    package::package(&pass, tamper)
}

/// One pass, its registrations, and a version that is both tag and date.
#[derive(Default)]
struct Shop {
    base: String,
    version: u64,
    pass: Vec<u8>,
    registered: BTreeSet<String>,
    seen: Vec<String>,
    logs: Vec<String>,
    fault: Option<&'static str>,
}

type Shared = Arc<Mutex<Shop>>;

fn authorized(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == &format!("ApplePass {TOKEN}"))
}

async fn register(
    State(shop): State<Shared>,
    Path((device, pass_type, serial)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let mut shop = shop.lock();
    shop.seen.push(format!("register {device} {pass_type} {serial} {}", body["pushToken"].as_str().unwrap()));
    if !authorized(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    if shop.registered.insert(device) { StatusCode::CREATED } else { StatusCode::OK }
}

async fn unregister(
    State(shop): State<Shared>,
    Path((device, _, _)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> StatusCode {
    if !authorized(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    shop.lock().registered.remove(&device);
    StatusCode::OK
}

async fn list(
    State(shop): State<Shared>,
    Path((device, _)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut shop = shop.lock();
    let since = query.get("passesUpdatedSince").cloned();
    shop.seen.push(format!("list {device} since {since:?}"));
    match shop.fault {
        Some("list 401") => return StatusCode::UNAUTHORIZED.into_response(),
        Some("stuck tag") => return axum::Json(json!({ "serialNumbers": ["A/1", "B"], "lastUpdated": "v&1" })).into_response(),
        _ => {}
    }
    let tag = format!("v&{}", shop.version);
    if since.as_ref() == Some(&tag) {
        return StatusCode::NO_CONTENT.into_response();
    }
    axum::Json(json!({ "serialNumbers": ["A/1"], "lastUpdated": tag })).into_response()
}

async fn fetch(State(shop): State<Shared>, Path((_, serial)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let mut shop = shop.lock();
    let date = format!("Thu, 01 Jan 2026 00:00:{:02} GMT", shop.version);
    let since = headers.get("if-modified-since").map(|value| value.to_str().unwrap().to_owned());
    shop.seen.push(format!("fetch {serial} {since:?}"));
    if !authorized(&headers) || shop.fault == Some("fetch 401") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if since.as_ref() == Some(&date) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    ([("content-type", MIME), ("last-modified", date.as_str())], shop.pass.clone()).into_response()
}

async fn download(State(shop): State<Shared>, Path(kind): Path<String>) -> Response {
    let shop = shop.lock();
    let date = format!("Thu, 01 Jan 2026 00:00:{:02} GMT", shop.version);
    let mime = if kind == "zip" { "application/zip" } else { MIME };
    ([("content-type", mime), ("last-modified", date.as_str())], shop.pass.clone()).into_response()
}

async fn log(State(shop): State<Shared>, body: Bytes) -> StatusCode {
    let body: Value = serde_json::from_slice(&body).unwrap();
    shop.lock().logs.extend(body["logs"].as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_owned()));
    StatusCode::OK
}

struct World {
    shop: Shared,
    phone: Iphone,
    key: PassKey,
}

impl World {
    async fn new() -> Self {
        let shop = Shared::default();
        let app = Router::new()
            .route("/apple/v1/devices/{device}/registrations/{type}/{serial}", post(register).delete(unregister))
            .route("/apple/v1/devices/{device}/registrations/{type}", get(list))
            .route("/apple/v1/passes/{type}/{serial}", get(fetch))
            .route("/apple/v1/log", post(log))
            .route("/download/{kind}", get(download))
            .with_state(Arc::clone(&shop));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        shop.lock().base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let phone = Iphone::new("device:1", "ab".repeat(32), Network::new(&[]).unwrap());
        let world = Self { shop, phone, key: PassKey { pass_type: TYPE.into(), serial: "A/1".into() } };
        world.publish(|_| ());
        world
    }

    fn base(&self) -> String {
        self.shop.lock().base.clone()
    }

    fn pass_with(&self, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let url = format!("{}/apple/", self.base());
        package(
            |pass| {
                pass["webServiceURL"] = url.into();
                pass["authenticationToken"] = TOKEN.into();
                change(pass);
            },
            |_| (),
        )
    }

    fn publish(&self, change: impl FnOnce(&mut Value)) {
        let pass = self.pass_with(change);
        let mut shop = self.shop.lock();
        shop.pass = pass;
        shop.version += 1;
    }

    async fn installed() -> Self {
        let mut world = Self::new().await;
        let url = format!("{}/download/pkpass", world.base());
        let added = world.phone.add_from(&url).await.unwrap();
        assert_eq!((added.key, added.registration.unwrap().status.as_u16()), (world.key.clone(), 201));
        world
    }

    /// The outcome of the only pass that a push led to, after the first listing.
    async fn push(&mut self) -> Outcome {
        let mut updates = self.phone.on_push(TYPE).await.unwrap();
        let mut update = updates.pop().unwrap();
        assert!(updates.is_empty() && update.fetched.len() == 1, "{update:?}");
        update.fetched.pop().unwrap().outcome
    }
}

#[tokio::test]
async fn a_pass_is_downloaded_registered_updated_and_removed() {
    let mut world = World::installed().await;
    assert_eq!(world.shop.lock().seen, [format!("register device:1 {TYPE} A/1 {}", "ab".repeat(32))]);
    assert_eq!(world.phone.pass(&world.key).unwrap().field("balance").unwrap().value, "EUR 12.5");

    // The first listing has no tag; the pass is the one that the phone has.
    assert_eq!(world.push().await, Outcome::Unchanged);
    let updates = world.phone.on_push(TYPE).await.unwrap();
    assert_eq!((updates[0].list.status.as_u16(), updates[0].fetched.len()), (204, 0));

    world.publish(|pass| pass["storeCard"]["headerFields"][0]["value"] = 15.into());
    let line = Some("You have 15 points".to_owned());
    assert_eq!(world.push().await, Outcome::Replaced { line, voided: false });
    assert_eq!(world.phone.pass(&world.key).unwrap().field("points").unwrap().value, "15");
    let asked = world.shop.lock().seen.split_off(1);
    assert_eq!(
        asked,
        [
            "list device:1 since None",
            "fetch A/1 Some(\"Thu, 01 Jan 2026 00:00:01 GMT\")",
            "list device:1 since Some(\"v&1\")",
            "list device:1 since Some(\"v&1\")",
            "fetch A/1 Some(\"Thu, 01 Jan 2026 00:00:01 GMT\")",
        ]
    );

    world.publish(|pass| pass["voided"] = true.into());
    let Outcome::Replaced { voided: true, .. } = world.push().await else { panic!("not voided") };
    assert!(world.phone.pass(&world.key).unwrap().voided);

    let head = world.phone.head(&world.key).await.unwrap();
    assert_eq!((head.status.as_u16(), head.body.len(), head.header("content-type")), (200, 0, Some(MIME)));

    let off = world.phone.set_automatic_updates(&world.key, false).await.unwrap();
    assert_eq!((off.method.as_str(), off.status.as_u16()), ("DELETE", 200));
    assert!(world.shop.lock().registered.is_empty());
    assert!(world.phone.on_push(TYPE).await.unwrap().is_empty());
    assert_eq!(world.phone.set_automatic_updates(&world.key, true).await.unwrap().status.as_u16(), 201);

    let removed = world.phone.remove_pass(&world.key).await.unwrap().unwrap();
    assert_eq!((removed.method.as_str(), removed.status.as_u16()), ("DELETE", 200));
    assert!(world.phone.passes().next().is_none() && world.shop.lock().registered.is_empty());
    assert!(matches!(world.phone.remove_pass(&world.key).await, Err(PhoneError::NoSuchPass(_))));
    assert_eq!(world.phone.complaints(), [] as [String; 0]);
}

#[tokio::test]
async fn the_lock_screen_says_what_ios_says() {
    let world = World::new().await;
    let read = |pkpass: Vec<u8>| WalletPass::read(&pkpass).unwrap();
    let old = read(world.pass_with(|_| ()));
    for (header, tier, balance, notice, expected) in [
        (10, "Bronze", 12.5, "", None),
        (10, "Bronze", 99.0, "", None),
        (11, "Bronze", 12.5, "", Some("You have 11 points")),
        (11, "Bronze", 99.0, "", Some("You have 11 points")),
        (10, "Gold", 12.5, "", Some("Welcome to Gold")),
        (11, "Gold", 12.5, "", Some("Loyalty card changed")),
        (10, "Bronze", 12.5, "Closed on Monday", Some("Loyalty card changed")),
    ] {
        let newer = read(world.pass_with(|pass| {
            pass["storeCard"]["headerFields"][0]["value"] = header.into();
            pass["storeCard"]["primaryFields"][0]["value"] = tier.into();
            pass["storeCard"]["backFields"][0]["value"] = balance.into();
            pass["storeCard"]["backFields"][1]["value"] = notice.into();
        }));
        assert_eq!(old.lock_screen_line(&newer).as_deref(), expected, "{header} {tier} {balance} {notice:?}");
    }
}

#[tokio::test]
async fn a_phone_complains_about_a_bad_web_service_and_sends_its_log() {
    let mut world = World::installed().await;
    world.push().await;
    for fault in ["list 401", "stuck tag", "fetch 401"] {
        world.publish(|pass| pass["storeCard"]["headerFields"][0]["value"] = fault.into());
        world.shop.lock().fault = Some(fault);
        world.phone.on_push(TYPE).await.unwrap();
    }
    // What failed to arrive is fetched with the next push.
    world.shop.lock().fault = None;
    assert!(matches!(world.push().await, Outcome::Replaced { .. }));
    world.publish(|pass| pass["authenticationToken"] = "another-token-of-16".into());
    assert!(matches!(world.push().await, Outcome::Replaced { .. }));

    let said = world.phone.complaints().join("\n");
    for expected in [
        "Get serial #s task (for device device:1): Unexpected response code 401",
        "response included 2 serial numbers but the lastUpdated tag remained the same",
        "B is not in this Wallet",
        "serial number A/1): Unexpected response code 401",
        "the authentication token has changed",
    ] {
        assert!(said.contains(expected), "{expected} in:\n{said}");
    }
    assert_eq!(world.phone.send_log(&world.key).await.unwrap().status.as_u16(), 200);
    assert_eq!(world.shop.lock().logs.join("\n"), said);
    assert!(world.phone.complaints().is_empty());
}

#[tokio::test]
async fn a_pass_under_the_wrong_type_is_only_downloaded() {
    let mut world = World::new().await;
    let url = format!("{}/download/zip", world.base());
    match world.phone.add_from(&url).await {
        Err(PhoneError::NotAPass { content_type, .. }) => assert_eq!(content_type.as_deref(), Some("application/zip")),
        other => panic!("{other:?}"),
    }
    let missing = format!("{}/nowhere", world.base());
    assert!(matches!(world.phone.add_from(&missing).await, Err(PhoneError::NotAPass { .. })));
    let added = world.phone.add_pass(&package(|_| (), |_| ())).await.unwrap();
    assert!(added.registration.is_none(), "no web service, no registration");
    assert!(matches!(world.phone.fetch(&world.key).await, Err(PhoneError::NoWebService(_))));
}

/// A TLS front for a plain server, and the root under which it is trusted.
async fn tls_front(plain: String) -> (u16, rustls_pki_types::CertificateDer<'static>) {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, plain) = (acceptor.clone(), plain.clone());
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let mut behind = tokio::net::TcpStream::connect(plain.trim_start_matches("http://")).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut tls, &mut behind).await;
            });
        }
    });
    (port, own.cert.der().clone())
}

#[tokio::test]
async fn a_phone_trusts_the_roots_it_was_given() {
    let world = World::new().await;
    let (port, root) = tls_front(world.base()).await;
    let url = format!("https://localhost:{port}/download/pkpass");
    let mut phone = Iphone::new("device:2", "cd".repeat(32), Network::new(&[root]).unwrap());
    assert_eq!(phone.add_from(&url).await.unwrap().registration.unwrap().status.as_u16(), 201);
    let mut stranger = Iphone::new("device:3", "ef".repeat(32), Network::new(&[]).unwrap());
    match stranger.add_from(&url).await {
        Err(PhoneError::NoAnswer(no_answer)) => assert!(no_answer.detail.contains("certificate"), "{no_answer}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_phone_refuses_what_wallet_refuses() {
    let refusal = |pkpass: &[u8]| WalletPass::read(pkpass).unwrap_err().to_string();
    let changed = |change: fn(&mut Value)| refusal(&package(change, |_| ()));
    let tampered = |tamper: fn(&mut BTreeMap<String, Vec<u8>>)| refusal(&package(|_| (), tamper));
    for (said, expected) in [
        (refusal(b"not a zip"), "not a ZIP archive"),
        (changed(|pass| pass["formatVersion"] = 2.into()), "formatVersion"),
        (changed(|pass| pass["serialNumber"] = Value::Null), "serialNumber"),
        (changed(|pass| pass["coupon"] = json!({})), "exactly one"),
        (changed(|pass| pass["webServiceURL"] = "https://example.com".into()), "go together"),
        (
            changed(|pass| {
                pass["webServiceURL"] = "https://example.com".into();
                pass["authenticationToken"] = "short".into();
            }),
            "16 characters",
        ),
        (changed(|pass| pass["storeCard"]["backFields"][0]["key"] = "points".into()), "two fields have the key points"),
        (changed(|pass| pass["storeCard"]["backFields"][0]["value"] = Value::Null), "balance has no value"),
        (tampered(|files| drop(files.remove("signature"))), "no signature"),
        (tampered(|files| drop(files.remove("manifest.json"))), "no manifest.json"),
        (tampered(|files| drop(files.remove("icon.png"))), "not in the package"),
        (tampered(|files| drop(files.insert("extra.txt".into(), b"x".to_vec()))), "extra.txt is not in the manifest"),
        (tampered(|files| drop(files.insert("icon.png".into(), b"x".to_vec()))), "icon.png does not match"),
    ] {
        assert!(said.contains(expected), "{expected:?} in {said:?}");
    }
    // Cut off anywhere, or with any byte flipped, it is refused or at least never a panic.
    let whole = package(|_| (), |_| ());
    assert!((0..whole.len()).all(|end| WalletPass::read(&whole[..end]).is_err()));
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x55;
        let _ = WalletPass::read(&flipped);
    }
}
