//! Call-backs as Google signs them, by keys that the test makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use common::{House, ISSUER, house};
use domain::{EventKind, Pass};
use google_wallet::callback::RootKeys;
use serde_json::{Value, json};
use simulators::{
    conformance::{Depth, Endpoint, Played, Verdict, play_callbacks},
    google::{GoogleServer, Options},
    iphone::Network,
};

const VERSION: &str = "ECv2SigningOnly";
const SENDER: &str = "GooglePayPasses";

struct Google {
    root: EcdsaKeyPair,
    intermediate: EcdsaKeyPair,
}

fn public(key: &EcdsaKeyPair) -> String {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    STANDARD.encode(der.as_ref())
}

fn sign(key: &EcdsaKeyPair, parts: &[&str]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        bytes.extend(part.bytes());
    }
    STANDARD.encode(key.sign(&SystemRandom::new(), &bytes).unwrap())
}

impl Google {
    fn new() -> Self {
        let key = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self { root: key(), intermediate: key() }
    }

    fn roots(&self, now: i64) -> RootKeys {
        let keys = json!({ "keys": [{ "keyValue": public(&self.root), "protocolVersion": VERSION,
            "keyExpiration": (now + 86_400_000).to_string() }] });
        RootKeys::parse(keys.to_string().as_bytes(), now).unwrap()
    }

    fn call(&self, house: &House, pass: &Pass, event: &str, nonce: &str) -> Value {
        let expires = house.app.now().as_millis() + 3_600_000;
        let message = json!({ "classId": format!("{ISSUER}.{}", pass.template), "objectId": format!("{ISSUER}.{}", pass.id),
            "eventType": event, "expTimeMillis": expires, "count": 1, "nonce": nonce })
        .to_string();
        let key = json!({ "keyValue": public(&self.intermediate), "keyExpiration": expires.to_string() }).to_string();
        json!({
            "protocolVersion": VERSION,
            "signature": sign(&self.intermediate, &[SENDER, ISSUER, VERSION, &message]),
            "intermediateSigningKey": { "signedKey": key, "signatures": [sign(&self.root, &[SENDER, VERSION, &key])] },
            "signedMessage": message,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn saves_and_deletions_count_once() {
    let (house, google) = (house().await, Google::new());
    let pass = house.issue().await;
    let post = async |body: &Value| house.send("POST", "/google/callback", &[], body.to_string()).await;
    let saved = google.call(&house, &pass, "save", "n-1");
    let early = post(&saved).await;
    assert_eq!(early.status.as_u16(), 503, "no root keys yet");
    assert!(early.text().contains("root keys") && !early.header("retry-after").is_empty());
    house.app.settings.google_roots.set(google.roots(house.app.now().as_millis()));
    for _ in 0..2 {
        let answer = post(&saved).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    }
    let mut forged = saved.clone();
    forged["signature"] = google.call(&house, &pass, "del", "n-1")["signature"].clone();
    assert_eq!(post(&forged).await.status.as_u16(), 400);
    assert_eq!(post(&json!({})).await.status.as_u16(), 400);
    assert_eq!(house.store.pass(house.org, pass.id).await.unwrap().unwrap().google.active, 1);
    assert_eq!(post(&google.call(&house, &pass, "del", "n-2")).await.status.as_u16(), 200);
    // Google repeats an old call-back: the pass stays removed.
    assert_eq!(post(&saved).await.status.as_u16(), 200);
    assert_eq!(house.store.pass(house.org, pass.id).await.unwrap().unwrap().google.active, 0);
    let events = house.store.events_of_pass(house.org, pass.id, 0, 100).await.unwrap();
    let kinds: Vec<_> = events.into_iter().filter_map(store::LoggedEvent::whole).map(|event| event.kind()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::PassInstalled).count(), 1);
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::PassUninstalled).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_endpoint_holds_against_a_google_that_lies() {
    let house = Arc::new(house().await);
    let pass = house.issue().await;
    let clock = Arc::clone(&house);
    let google = Arc::new(GoogleServer::start(Options::new(move || clock.app.now().as_millis())).await.unwrap());
    let keys = house.get(&google.root_keys_url()).await;
    house.app.settings.google_roots.set(RootKeys::parse(keys.text().as_bytes(), house.app.now().as_millis()).unwrap());
    let (watched, id) = (Arc::clone(&house), pass.id);
    let endpoint = Endpoint {
        url: format!("{}/google/callback", house.base),
        class: format!("{ISSUER}.{}", pass.template),
        object: format!("{ISSUER}.{}", pass.id),
        google,
        holds: Some(Arc::new(move || {
            let house = Arc::clone(&watched);
            Box::pin(async move { Ok(house.store.pass(house.org, id).await.unwrap().unwrap().google.active > 0) })
        })),
        callers: 20,
        patience: Duration::from_millis(300),
        run: "test".to_owned(),
    };
    let all = play_callbacks(&endpoint, &Network::new(&[]).unwrap(), Depth::Whole, |_| ()).await;
    for Played { case, verdict } in &all {
        match (case.name, verdict) {
            ("callback_https", Verdict::Skipped(_)) | (_, Verdict::Passed(_)) => {}
            (name, other) => panic!("{name}: {other:?}"),
        }
    }
}
