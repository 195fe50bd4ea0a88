//! The scanner page in Chromium: by its text input, with a network, without one, and told afterwards. The browser's own Ed25519
//! and HMAC check what ours made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::time::Duration;

use common::{House, System, house};
use domain::{Action, ApiKey, Clock as _, KeyId, Pass, PassChange, PassRef, Scope};
use scan_code::{Signer, Ticket};
use serde_json::json;
use store::NameKind;
use testkit::clients;

const BROWSER_WITHIN: Duration = Duration::from_secs(120);

async fn scan_key(house: &House) -> String {
    let minted = http_server::mint_api_key(&System);
    let key = ApiKey {
        id: KeyId::mint(System.now(), &System),
        name: "Gate".to_owned(),
        prefix: minted.prefix,
        scopes: vec![Scope::Scan],
        rate_per_second: None,
        expires_at: None,
        created_at: System.now(),
    };
    house.put(&key, vec![(NameKind::ApiKey, minted.hash.to_vec(), key.id.uuid())]).await;
    minted.secret
}

async fn ticket(house: &House) -> Pass {
    let pass = house.issue().await;
    let change = Box::new(PassChange { uses_limit: Some(Some(1)), ..PassChange::default() });
    *house.submit(Action::Update { pass: PassRef::Id(pass.id), change, expected_version: None }).await.pass.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_scans_with_and_without_a_network() {
    let house = house().await;
    let key = scan_key(&house).await;
    let (first, second) = (ticket(&house).await, ticket(&house).await);
    let (seed, rotation) = house.store.keyring().scan_secrets(house.org, 0).unwrap();
    let signer = Signer::new(house.org.uuid(), 0, &seed, *rotation).unwrap();
    let impostor = Signer::new(house.org.uuid(), 0, &[1; 32], *rotation).unwrap();
    let of = |pass: &Pass| Ticket { pass: pass.id.uuid(), epoch: 0, not_before: None, not_after: None };
    let input = json!({
        "url": format!("{}/scan", house.base), "key": key, "first": signer.sign(&of(&first)), "second": signer.sign(&of(&second)),
        "forged": impostor.sign(&of(&second)),
    });
    let seen = clients::node("scan.mjs", &[clients::chromium()], &input.to_string(), BROWSER_WITHIN).await;
    seen.unwrap_or_else(|error| panic!("{error}"));
    for pass in [first, second] {
        let pass = house.store.pass(house.org, pass.id).await.unwrap().unwrap();
        assert_eq!((pass.uses.count, pass.lifecycle.name()), (1, "used"), "scanned once, and told once");
    }
}
