//! The simulators with what the product really makes: packages and certificates of the `pkpass` crate.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use outbound::http::{Client, Limits, Protocol, Roots, Settings};
use outbound::policy::AddressPolicy;
use pkpass::development::{Authority, Validity};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use simulators::apns::ApnsServer;
use simulators::iphone::{Iphone, Network, PhoneError, SignatureTrust, TlsError};

const TYPE: &str = "pass.example.loyalty";
const TEAM: &str = "TEAM123456";
/// 2026-01-01, and a validity around every clock that may run this test.
const NOW: i64 = 1_767_225_600;
const VALIDITY: Validity = Validity { not_before: 1_577_836_800, not_after: 4_070_908_800 };

fn root_of(authority: &Authority) -> CertificateDer<'static> {
    authority.root_der().to_vec().into()
}

/// A grey square of 29 pixels.
fn png() -> Bytes {
    let chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
    };
    let mut pixels = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    pixels.write_all(&[0; 29 * 30]).unwrap();
    let header = [0, 0, 0, 29, 0, 0, 0, 29, 8, 0, 0, 0, 0];
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &pixels.finish().unwrap()), chunk(b"IEND", b"")].concat();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunks].concat().into()
}

fn package(authority: &Authority) -> Vec<u8> {
    let identity = authority.issue_identity(TYPE, TEAM, VALIDITY).unwrap();
    let pass = json!({
        "formatVersion": 1, "passTypeIdentifier": TYPE, "serialNumber": "1", "teamIdentifier": TEAM,
        "organizationName": "Bean & Co", "description": "Loyalty card",
        "storeCard": { "headerFields": [{ "key": "points", "value": 10, "changeMessage": "You have %@ points" }] }
    });
    let assets = pkpass::Assets::prepare([("icon.png".to_owned(), png())]).unwrap();
    pkpass::build(pass.to_string().as_bytes(), &assets, &identity, NOW).unwrap()
}

fn phone() -> Iphone {
    Iphone::new("device", "ab".repeat(32), Network::new(&[]).unwrap())
}

#[tokio::test]
async fn a_phone_takes_passes_signed_under_a_root_that_it_trusts() {
    let (ours, theirs) = (Authority::create("Ours", VALIDITY).unwrap(), Authority::create("Theirs", VALIDITY).unwrap());
    let pkpass = package(&ours);
    let mut trusting = phone().trusting(SignatureTrust::new(vec![root_of(&ours)], || NOW + 60));
    let added = trusting.add_pass(&pkpass).await.unwrap();
    assert_eq!(trusting.pass(&added.key).unwrap().field("points").unwrap().value, "10");

    let expect_refusal = async |trust: SignatureTrust, expected: &str| match phone().trusting(trust).add_pass(&pkpass).await {
        Err(PhoneError::Refused(refused)) => assert!(refused.0.contains(expected), "{refused}"),
        other => panic!("{other:?}"),
    };
    expect_refusal(SignatureTrust::new(vec![root_of(&theirs)], || NOW + 60), "chain").await;
    expect_refusal(SignatureTrust::new(vec![root_of(&ours)], || VALIDITY.not_after + 1), "validity").await;
}

#[tokio::test]
async fn apns_takes_the_development_certificates() {
    let authority = Authority::create("Development", VALIDITY).unwrap();
    let tls = authority.issue_tls_server(&["localhost"], VALIDITY).unwrap();
    let chain_pem = [tls.certificate.as_str(), tls.intermediate.as_deref().unwrap_or_default()].concat();
    let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(tls.key.as_bytes()).unwrap().secret_pkcs8_der().to_vec();
    let server = ApnsServer::start(chain, key, &root_of(&authority)).await.unwrap();
    let mut wakes = server.pushes();

    let identity = authority.issue_identity(TYPE, TEAM, VALIDITY).unwrap();
    let chain = identity.chain_der().map(|der| CertificateDer::from(der.to_vec())).to_vec();
    let identity = outbound::http::Identity::new(chain, identity.private_key_der().to_vec());
    let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    let settings = Settings::new(policy, Roots::only(&[root_of(&authority)]).unwrap());
    let client = Client::new(Settings { identity: Some(identity), protocol: Protocol::Http2, ..settings }).unwrap();
    let phone = phone();
    let push = Request::post(format!("{}/3/device/{}", server.url(), phone.push_token()))
        .header("apns-topic", TYPE)
        .body(Bytes::from_static(b"{}"))
        .unwrap();
    let reply = client.send(push, Limits { deadline: Duration::from_secs(20), max_body: 4096 }).await.unwrap();
    assert_eq!(reply.status.as_u16(), 200, "{:?}", serde_json::from_slice::<Value>(&reply.body));
    assert_eq!(wakes.recv().await.unwrap().token, phone.push_token());
}

#[test]
fn a_root_that_is_none_is_refused() {
    let refused: TlsError = Network::new(&[vec![1, 2, 3].into()]).unwrap_err();
    assert!(refused.to_string().contains("cannot be used"), "{refused}");
}
