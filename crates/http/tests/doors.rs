//! The doors that need no key: each client address has a limit of its own at each of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Answer, House, PASS_TYPE, house_with};
use domain::Pass;
use http_server::AddressLimits;
use store::{ConfigWrite, DirectoryRow, NameKind};

const ONE: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";

/// A house behind a proxy on this machine.
async fn behind_a_proxy(limits: AddressLimits) -> House {
    house_with(|settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.address_limits = limits;
    })
    .await
}

async fn from(house: &House, address: &str, method: &str, path: &str, token: &str) -> Answer {
    let headers = [("x-forwarded-for", address), ("authorization", token), ("content-type", "application/json")];
    house.send(method, path, &headers, r#"{"pushToken":"00ff"}"#).await
}

fn token(house: &House, pass: &Pass) -> String {
    let token = house.app.store.keyring().apple_token(house.org, PASS_TYPE, &pass.serial, pass.token_epoch).unwrap();
    format!("ApplePass {token}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_door_lets_an_address_in_so_often() {
    let twice = AddressLimits {
        pages_per_minute: 2,
        enrolments_per_minute: 2,
        inspected_per_minute: 2,
        registrations_per_minute: 2,
        phone_logs_per_minute: 2,
        callbacks_per_minute: 2,
        sign_ins_per_minute: 2,
    };
    let house = behind_a_proxy(twice).await;
    let pass = house.issue().await;
    let token = token(&house, &pass);
    let bin =
        DirectoryRow { kind: NameKind::InspectorBin.number(), name: b"bin".to_vec(), org: house.org, target: pass.id.uuid() };
    assert!(house.store.written(ConfigWrite { names: vec![bin], ..ConfigWrite::default() }).await.unwrap());
    let registration = format!("/apple/v1/devices/device-1/registrations/{PASS_TYPE}/{}", pass.serial);
    let page = format!("/p/{}", pass.code);
    let doors = [
        ("GET", page.as_str(), 200),
        ("POST", "/e/club", 400),
        ("PUT", "/inspect/bin/in/below", 200),
        ("POST", &registration, 201),
        ("POST", "/apple/v1/log", 200),
        ("POST", "/google/callback", 400),
        ("POST", "/console/sign-in", 403),
    ];
    for (method, path, first) in doors {
        assert_eq!(from(&house, ONE, method, path, &token).await.status.as_u16(), first, "{path}");
        assert_ne!(from(&house, ONE, method, path, &token).await.status.as_u16(), 429, "{path}");
        let refused = from(&house, ONE, method, path, &token).await;
        assert_eq!(refused.status.as_u16(), 429, "{path}");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=30).contains(&wait), "{path}: {wait}");
        let of_people = ["/p/", "/e/", "/console/"].iter().any(|start| path.starts_with(start));
        let expected = if of_people { "text/html" } else { "application/problem+json" };
        assert!(refused.header("content-type").starts_with(expected), "{path}: {}", refused.header("content-type"));
        assert_ne!(from(&house, OTHER, method, path, &token).await.status.as_u16(), 429, "{path}: another address");
        for _ in 0..5 {
            assert_ne!(house.send(method, path, &[], "").await.status.as_u16(), 429, "{path}: this machine is not limited");
        }
    }
    for _ in 0..5 {
        assert_eq!(from(&house, ONE, "GET", "/e/club", "").await.status.as_u16(), 200, "looking at a form is free");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_claims_an_address_is_not_believed() {
    let house = house_with(|settings| settings.address_limits.phone_logs_per_minute = 1).await;
    for _ in 0..5 {
        assert_eq!(from(&house, ONE, "POST", "/apple/v1/log", "").await.status.as_u16(), 200, "it comes from this machine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_with_hundreds_of_device_ids_is_served_and_bounded() {
    let limits = AddressLimits::default();
    let house = behind_a_proxy(limits).await;
    let pass = house.issue().await;
    let token = token(&house, &pass);
    let path = |device: u32| format!("/apple/v1/devices/device-{device}/registrations/{PASS_TYPE}/{}", pass.serial);
    for device in 0..400 {
        let answer = from(&house, ONE, "POST", &path(device), &token).await;
        assert_eq!(answer.status.as_u16(), 201, "{device}: {}", answer.text());
    }
    let mut refused = None;
    for device in 400..3 * limits.registrations_per_minute {
        let answer = from(&house, ONE, "POST", &path(device % 400), &token).await;
        if answer.status.as_u16() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status.as_u16(), 200, "known already");
    }
    assert_eq!(refused.expect("the storm is bounded").header("retry-after"), "1");
    let installed = house.store.pass(house.org, pass.id).await.unwrap().unwrap().apple.active;
    assert_eq!(installed, 400, "one installation for each device id");
}
