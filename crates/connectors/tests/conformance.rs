//! What every connector of the catalog must keep to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests, helpers included")]

use bytes::Bytes;
use connectors::catalog::{self, CONNECTORS, Descriptor};
use connectors::kit::{
    Arrival, Authentic, Entrance, Inbound, KeyHash, Lock, Refused, Reply, Request, Secret, Sent, Settings, Verdict, table,
};
use domain::{Entropy, Timestamp};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use uuid::Uuid;

const KEY: &str = "wk_conformance_0123456789";

fn inbound(entrance: Entrance, path: &[&str], key: &str, body: Vec<u8>) -> Inbound {
    let mut headers = HeaderMap::new();
    headers.insert("x-write-key", HeaderValue::from_str(key).unwrap());
    Inbound {
        entrance,
        method: http::Method::POST,
        headers,
        path: path.iter().map(|segment| (*segment).to_owned()).collect(),
        query: vec![("token".to_owned(), key.to_owned())],
        body: Bytes::from(body),
    }
}

static NONE: Settings = Settings::new();

fn arrival(strict: bool) -> Arrival<'static> {
    Arrival { received_at: Timestamp::from_seconds(1_763_632_800), fresh: Uuid::nil(), strict, settings: &NONE }
}

fn sources() -> impl Iterator<Item = (&'static Descriptor, catalog::Source)> {
    CONNECTORS.iter().filter_map(|connector| connector.source.map(|source| (connector, source)))
}

fn knock(source: catalog::Source, inbound: Inbound) -> Result<Authentic, Refused> {
    let key = KeyHash::of(KEY);
    (source.verify)(inbound, &Lock { key: Some(&key), secrets: &[], settings: &NONE, now: arrival(false).received_at })
}

/// Let in by write key; nothing for sources whose senders have to sign, which `cases.rs` lets in.
fn authentic(source: catalog::Source, inbound: Inbound) -> Option<Authentic> {
    source.proof.has_key().then(|| knock(source, inbound).unwrap())
}

#[test]
fn the_catalog_is_in_order() {
    assert!(CONNECTORS.is_sorted_by_key(|connector| connector.slug));
    for connector in CONNECTORS {
        assert!(connector.slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        assert!(connector.source.is_some() || connector.destination.is_some(), "{} does nothing", connector.slug);
        assert_eq!(catalog::find(connector.slug).map(|found| found.label), Some(connector.label));
        for settings in [connector.source_settings, connector.settings].into_iter().filter(|settings| !settings.is_empty()) {
            let table = table(settings);
            assert!(connector.readme.contains(&table), "{}/README.md must hold this table:\n{table}", connector.slug);
        }
        for heading in ["## Set-up", "## Limits", "## Retries"] {
            assert!(connector.readme.contains(heading), "{}/README.md lacks {heading}", connector.slug);
        }
    }
}

#[test]
fn a_wrong_or_missing_key_is_refused_and_never_shown() {
    for (connector, source) in sources() {
        let good = inbound(Entrance::Webhook, &[], KEY, b"{}".to_vec());
        if !source.proof.has_key() {
            assert_eq!(knock(source, good).unwrap_err().status(), 503, "{}: no secret yet", connector.slug);
            continue;
        }
        let shown = format!("{good:?}");
        let authentic = knock(source, good).unwrap();
        let shown = shown + &format!("{authentic:?} {:?}", (source.credential)(authentic.inbound()));
        assert!(!shown.contains(KEY), "{}: {shown}", connector.slug);
        for at in 0..KEY.len() {
            let mut wrong = KEY.as_bytes().to_vec();
            wrong[at] ^= 1;
            let wrong = String::from_utf8(wrong).unwrap();
            let refused = knock(source, inbound(Entrance::Webhook, &[], &wrong, b"{}".to_vec())).unwrap_err();
            assert!(!refused.to_string().contains(&wrong) && !format!("{refused:?}").contains(&wrong));
        }
        let mut bare = inbound(Entrance::Webhook, &[], KEY, b"{}".to_vec());
        bare.headers.clear();
        bare.query.clear();
        assert_eq!(knock(source, bare).unwrap_err(), Refused::Missing);
    }
}

/// What is said of so many records: one outcome each, or that the request is to be sent in halves or with a new token.
fn is_complete(verdict: &Verdict, records: usize) -> bool {
    match verdict {
        Verdict::Each(outcomes) => outcomes.len() == records,
        Verdict::Split(_) | Verdict::Renew => true,
    }
}

#[test]
fn judging_is_total_and_covers_every_record() {
    let (method, url, now) = (http::Method::POST, "https://example.com".to_owned(), Timestamp::from_seconds(0));
    let request = Request { method, url, headers: HeaderMap::new(), body: Bytes::new() };
    let bodies = ["", "{}", "[]", "null", "{\"results\":[{}],\"errors\":[{\"context\":7}]}", "[{\"success\":true}]"];
    for destination in CONNECTORS.iter().filter_map(|connector| connector.destination) {
        for records in [0, 1, 7] {
            let judged = |reply: Option<&Reply>| (destination.judge)(&Sent { request: &request, reply, records, now });
            assert!(is_complete(&judged(None), records));
            for status in (0..=999).chain([u16::MAX]) {
                for body in bodies {
                    let reply = Reply { status, headers: HeaderMap::new(), body: Bytes::from(body) };
                    assert!(is_complete(&judged(Some(&reply)), records), "{status} {body}");
                }
            }
        }
    }
}

#[test]
fn services_say_what_they_need_and_where_they_are() {
    for connector in CONNECTORS {
        let Some(vendor) = connector.destination.and_then(|destination| destination.vendor) else { continue };
        let target = serde_json::json!({"id": "0000000000000000000001", "name": "x", "url": "", "dialect": connector.slug,
            "events": "all", "enabled": true, "created_at": "2026-11-20T09:00:00Z"});
        let target = serde_json::from_value(target).unwrap();
        let problem = (vendor.check)(&target, &Default::default()).unwrap_err();
        let known = connector.settings.iter().any(|setting| setting.name == problem.name);
        assert!(known, "{}: {} is no setting of it", connector.slug, problem.name);
        assert!(vendor.takes_url || vendor.call.is_some() || !connector.hosts.is_empty(), "{} is nowhere", connector.slug);
        for wrong in [
            "http://api.hubapi.com/",
            "https://example.com/",
            "https://api.hubapi.com.example.com/",
            "https://api.segment.io:8443/",
            "x",
        ] {
            assert!(!connector.may_call(&target, wrong), "{} may call {wrong}", connector.slug);
        }
    }
}

/// Comparisons of secrets go through aws-lc's constant-time one; a plain comparison would be a leak that no other test sees.
#[test]
fn secrets_are_compared_in_constant_time() {
    let source = |file: &str| {
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kit").join(file)).unwrap()
    };
    let (secret, signature) = (source("secret.rs"), source("signature.rs"));
    assert_eq!(secret.matches("constant_time::verify_slices_are_equal").count(), 1, "KeyHash::eq");
    let compared = "is_hex_hmac, is_base64_hmac, is_hex_hmac_sha1, is_hmac, check_standard";
    assert_eq!(signature.matches("constant_time::verify_slices_are_equal").count(), 5, "{compared}");
    assert!(!secret.contains("derive(PartialEq") && !secret.contains("PartialEq, Eq)]\npub struct KeyHash"));
}

#[test]
fn deep_and_wide_bodies_end_in_faults() {
    for (connector, source) in sources() {
        let deep = "[".repeat(1 << 20);
        let closed = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        let nested = format!(
            "{{\"type\":\"track\",\"event\":\"e\",\"userId\":\"u\",\"properties\":{}1{}}}",
            "{\"a\":".repeat(300),
            "}".repeat(300)
        );
        let wide = format!("[{}]", vec!["0"; 1 << 20].join(","));
        let context = format!(
            "{{\"context\":{{\"a\":\"{}\"}},\"batch\":[{}]}}",
            "x".repeat(30_000),
            vec!["{\"type\":\"page\",\"userId\":\"u\"}"; 9_000].join(",")
        );
        let huge = format!(
            "{{\"type\":\"track\",\"event\":\"e\",\"userId\":\"u\",\"properties\":{{\"a\":\"{}\"}}}}",
            "é".repeat(600_000)
        );
        for (number, body) in [deep, closed, nested, wide, context, huge].into_iter().enumerate() {
            let inbound = inbound(Entrance::Webhook, &[], KEY, body.into_bytes());
            let Some(authentic) = authentic(source, inbound) else { continue };
            let decoded = (source.decode)(&authentic, &arrival(false));
            assert!(decoded.events.is_empty(), "{}: {number}", connector.slug);
            assert!(!decoded.faults.is_empty() && decoded.answer.text.len() < 1_000, "{}: {number}", connector.slug);
            assert!(decoded.faults.iter().all(|fault| fault.raw.len() <= connectors::kit::Fault::MAX_RAW_BYTES));
        }
    }
}

struct Bytewise(u8);
impl Entropy for Bytewise {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

fn json_like() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "true",
        "1",
        "-0.5e9",
        "1e999",
        "\"\"",
        "\"\\ud83d\"",
        "\"type\"",
        "\"track\"",
        "\"event\"",
        "\"userId\"",
        "\"anonymousId\"",
        "\"batch\"",
        "\"context\"",
        "\"traits\"",
        "\"timestamp\"",
        "\"2026-11-20T10:00:00Z\"",
        "\"é\"",
        " ",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

fn event_like() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null"),
        Just("7"),
        Just("\"x\""),
        Just("{}"),
        Just("[1]"),
        Just("{\"a\":{\"b\":null}}"),
        Just("\" \""),
        Just("true")
    ];
    let key = prop::sample::select(vec![
        "type",
        "messageId",
        "userId",
        "anonymousId",
        "event",
        "context",
        "traits",
        "properties",
        "integrations",
        "originalTimestamp",
        "sentAt",
        "receivedAt",
        "timestamp",
        "name",
        "batch",
        "writeKey",
        "\\u0061",
        "other",
    ]);
    prop::collection::vec((key, value), 0..12).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{\"type\":\"page\",{}\"userId\":\"u\"}}", members.iter().map(|member| format!("{member},")).collect::<String>())
    })
}

fn check(body: &[u8], strict: bool) -> Result<(), TestCaseError> {
    for (_, source) in sources() {
        for (entrance, path) in [
            (Entrance::Webhook, vec![]),
            (Entrance::Api, vec!["v1", "track"]),
            (Entrance::Api, vec!["v1", "batch"]),
            (Entrance::Api, vec!["x"]),
        ] {
            let Some(authentic) = authentic(source, inbound(entrance, &path, KEY, body.to_vec())) else { continue };
            let decoded = (source.decode)(&authentic, &arrival(strict));
            prop_assert_eq!(&decoded, &(source.decode)(&authentic, &arrival(strict)), "same input, same output");
            let good = !decoded.events.is_empty() || decoded.switched_off > 0;
            prop_assert!(decoded.answer.status != 200 || good || entrance == Entrance::Webhook || !source.api);
            prop_assert!(good || !decoded.faults.is_empty());
            prop_assert!(decoded.answer.status == 200 || !decoded.faults.is_empty());
            for event in &decoded.events {
                let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
                prop_assert!(
                    payload["context"]["traits"].is_object()
                        && payload["traits"].is_object()
                        && payload["properties"].is_object()
                );
                prop_assert_eq!(payload["messageId"].as_str(), Some(event.dedupe_key.as_str()));
                prop_assert!(payload["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap() <= arrival(strict).received_at);
                prop_assert!(!event.order_key.is_empty() && payload.get("writeKey").is_none());
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn decode_takes_any_bytes(body in prop::collection::vec(any::<u8>(), 0..256), strict: bool) {
        check(&body, strict)?;
    }

    #[test]
    fn decode_takes_anything_like_json(body in json_like(), strict: bool) {
        check(body.as_bytes(), strict)?;
    }

    #[test]
    fn decode_takes_anything_like_an_event(body in event_like(), strict: bool) {
        check(body.as_bytes(), strict)?;
        check(format!("[{body},{body}]").as_bytes(), strict)?;
        check(format!("{{\"batch\":[{body}]}}").as_bytes(), strict)?;
    }

    #[test]
    fn credentials_come_from_any_headers(header in "[ -~]{0,64}", query in ".{0,32}", body in ".{0,64}") {
        for (_, source) in sources() {
            let mut inbound = inbound(Entrance::Webhook, &[], "k", body.clone().into_bytes());
            inbound.headers.insert("authorization", HeaderValue::from_str(&header).unwrap());
            inbound.query = vec![("writeKey".to_owned(), query.clone())];
            let _ = (source.credential)(&inbound);
        }
    }

    #[test]
    fn secrets_never_show(byte: u8) {
        let secret = Secret::mint(&Bytewise(byte));
        prop_assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
