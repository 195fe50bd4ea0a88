//! Events at the door: every way in, what is refused, and that an answer means that it is written down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{collections::BTreeSet, io::Write, sync::Arc};

use common::{House, basic, house, house_with};
use proptest::prelude::*;
use store::{InboxFilter, InboxStatus};

fn track(id: &str) -> String {
    format!(r#"{{"type":"track","messageId":"{id}","userId":"u-1","event":"purchase_completed","properties":{{"total":3}}}}"#)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

async fn kept(house: &House) -> Vec<store::InboxEntry> {
    house.store.source_events(house.org, &InboxFilter::default(), 1_000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_is_kept_once() {
    let house = house().await;
    let (source, key) = house.source("shop", true, false).await;
    let auth = basic(&key);
    let headers = [("authorization", auth.as_str())];
    let webhook = format!("/ingest/{}", source.id);
    let array = format!("[{},{}]", track("c"), track("d"));
    let batch = format!(r#"{{"batch":[{},{}]}}"#, track("e"), track("f"));
    let form = [headers[0], ("content-type", "application/x-www-form-urlencoded")];
    for (method, path, headers, body) in [
        ("POST", webhook.as_str(), &headers[..], track("a").into_bytes()),
        ("PUT", &format!("{webhook}/users/7?x=1"), &headers, track("b").into_bytes()),
        ("PATCH", "/ingest/shop", &headers, array.into_bytes()),
        ("POST", "/rudderstack/v1/batch", &form, gzip(&batch)),
        ("POST", "/rudderstack/v1/track", &headers, track("a").into_bytes()),
        // As some tools write JSON, with a byte order mark.
        ("POST", "/rudderstack/v1/track", &headers, format!("\u{feff}{}", track("a")).into_bytes()),
    ] {
        let answer = house.send(method, path, headers, body).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "OK"), "{path}");
        assert!(answer.header("content-type").starts_with("text/plain"));
    }
    let kept = kept(&house).await;
    assert_eq!(kept.len(), 6, "a came twice");
    assert!(kept.iter().all(|entry| entry.source == source.id && entry.payload.as_ref().unwrap().contains("purchase_completed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_tell_what_to_change() {
    let house = house().await;
    let (_, key) = house.source("shop", true, false).await;
    let (off, off_key) = house.source("off", false, false).await;
    let (good, bad) = (basic(&key), basic("pbw_nobody"));
    let post = async |path: &str, auth: &str, body: Vec<u8>| {
        house.send("POST", path, &[("authorization", auth)], body).await.status.as_u16()
    };
    assert_eq!(post("/ingest/shop", &bad, track("a").into()).await, 401);
    assert_eq!(house.send("POST", "/ingest/shop", &[], track("a")).await.status.as_u16(), 401);
    assert_eq!(post(&format!("/ingest/{}", off.id), &basic(&off_key), track("a").into()).await, 404);
    assert_eq!(post("/ingest/another", &good, track("a").into()).await, 404);
    assert_eq!(post("/ingest/shop", &good, vec![b' '; 4_000 * 1_024 + 1]).await, 413);
    assert_eq!(post("/ingest/shop", &good, gzip(&" ".repeat(5_000 * 1_024))).await, 413);
    assert_eq!(post("/rudderstack/v1/track", &good, gzip("{}")[..12].to_vec()).await, 400);
    let brotli = b"\x0b\x00\x80{}\x03".to_vec();
    let packed = [("authorization", good.as_str()), ("content-encoding", "br")];
    let refused = house.send("POST", "/rudderstack/v1/track", &packed, brotli.clone()).await;
    assert_eq!(refused.status.as_u16(), 415);
    assert!(refused.text().contains("gzip"), "{}", refused.text());
    for (method, path, allowed) in [
        ("GET", "/ingest/shop", "POST"),
        ("OPTIONS", "/ingest/shop", "POST"),
        ("PUT", "/rudderstack/v1/track", "POST"),
        ("GET", "/segment/v1/track", "POST"),
        ("POST", "/rudderstack/sourceConfig/", "GET"),
    ] {
        let refused = house.send(method, path, &[("authorization", &good)], "").await;
        assert_eq!(refused.status.as_u16(), 405, "{method} {path}");
        assert!(refused.header("allow").contains(allowed), "{method} {path}: {}", refused.header("allow"));
    }
    assert!(kept(&house).await.is_empty());
    // A webhook's sender would give up for good: it is told that it arrived, and somebody here why it is not read.
    assert_eq!(house.send("POST", "/ingest/shop", &packed, brotli).await.status.as_u16(), 200);
    let parked = house.store.source_events(house.org, &InboxFilter::default(), 10).await.unwrap();
    let why = &parked[0].result.as_ref().unwrap().trace;
    assert!(why.contains("Content-Encoding"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_parked_with_its_reason() {
    let house = house().await;
    let (_, key) = house.source("shop", true, false).await;
    let auth = basic(&key);
    let body = format!(r#"[{},{{"type":"track"}}]"#, track("a"));
    let answer = house.send("POST", "/ingest/shop", &[("authorization", &auth)], body).await;
    assert_eq!(answer.status.as_u16(), 200);
    let parked = InboxFilter { status: Some(InboxStatus::Parked.number()), ..InboxFilter::default() };
    let parked = house.store.source_events(house.org, &parked, 10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].result.as_ref().unwrap().trace.contains("[1]"), "{:?}", parked[0].result);
    assert_eq!(kept(&house).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_cannot_mend_by_sending_it_again_is_kept_and_answered_with_200() {
    let house = house().await;
    let (_, key) = house.source("shop", true, false).await;
    let auth = basic(&key);
    let large = |id: &str, bytes: usize| {
        let blob = "x".repeat(bytes);
        format!(
            r#"{{"type":"track","event":"purchase_completed","userId":"u-1","messageId":"{id}","properties":{{"blob":"{blob}"}}}}"#
        )
    };
    let post = async |path: &str, body: Vec<u8>| {
        house.send("POST", path, &[("authorization", auth.as_str())], body).await.status.as_u16()
    };
    let parked = async || {
        let filter = InboxFilter { status: Some(InboxStatus::Parked.number()), ..InboxFilter::default() };
        house.store.source_events(house.org, &filter, 10).await.unwrap()
    };
    // An event like any other at the webhook, and too large for a data plane as RudderStack's is.
    assert_eq!(post("/ingest/shop", large("a", 100_000).into()).await, 200);
    assert_eq!(post("/rudderstack/v1/track", large("b", 100_000).into()).await, 413);
    assert_eq!(parked().await.len(), 1, "what the SDK was told is kept as well");
    assert_eq!(post("/ingest/shop", large("c", 1_100_000).into()).await, 200);
    assert_eq!(parked().await.len(), 2);
    let cut = gzip(&large("d", 100))[..40].to_vec();
    assert_eq!(post("/ingest/shop", cut.clone()).await, 200);
    assert_eq!(post("/ingest/shop", cut).await, 200);
    let parked = parked().await;
    assert_eq!(parked.len(), 3, "the same again is the same");
    let whys: Vec<_> = parked.iter().map(|entry| entry.result.as_ref().unwrap().trace.clone()).collect();
    assert!(whys.iter().any(|why| why.contains("cut short or damaged")), "{whys:?}");
    let bad = basic("pbw_nobody");
    let refused = house.send("POST", "/ingest/shop", &[("authorization", bad.as_str())], gzip("{}")[..12].to_vec()).await;
    assert_eq!(refused.status.as_u16(), 401, "nobody's is not kept");
    assert_eq!(kept(&house).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_let_in() {
    let house = house().await;
    let (source, key) = house.source("web", true, false).await;
    let origin = ("origin", "https://shop.example");
    let asked =
        [origin, ("access-control-request-method", "POST"), ("access-control-request-headers", "anonymousid,authorization")];
    let answer = house.send("OPTIONS", "/rudderstack/v1/track", &asked, "").await;
    assert_eq!(answer.status.as_u16(), 204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(answer.header("access-control-allow-headers"), "anonymousid,authorization");
    let answer = house.send("GET", &format!("/rudderstack/sourceConfig/?p=web&writeKey={key}"), &[origin], "").await;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["source"]["id"], source.id.to_string());
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_kept() {
    let house = Arc::new(house().await);
    let (_, key) = house.source("shop", true, false).await;
    let sends = (0..200).map(|number| {
        let (house, auth) = (Arc::clone(&house), basic(&key));
        tokio::spawn(async move {
            house.send("POST", "/ingest/shop", &[("authorization", &auth)], track(&format!("m{number}"))).await.status.as_u16()
        })
    });
    for send in sends.collect::<Vec<_>>() {
        assert_eq!(send.await.unwrap(), 200);
    }
    assert_eq!(kept(&house).await.len(), 200);
}

#[test]
fn no_path_or_header_makes_it_fall() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let house = runtime.block_on(house());
    let doors = ["/ingest/", "/rudderstack/", "/apple/v1/", "/p/", "/e/", "/inspect/", "/google/"];
    let strategy = (
        proptest::sample::select(doors.to_vec()),
        "[a-zA-Z0-9._~%/-]{0,60}",
        proptest::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]),
        "[ -~]{0,40}",
        proptest::collection::vec(any::<u8>(), 0..64),
    );
    proptest!(ProptestConfig::with_cases(300), |((door, path, method, header, body) in strategy)| {
        let path = format!("{door}{path}");
        prop_assume!(path.parse::<http::Uri>().is_ok());
        let headers = [("authorization", header.as_str()), ("user-agent", &header), ("if-modified-since", &header)];
        let answer = runtime.block_on(house.send(method, &path, &headers, body));
        prop_assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.status);
    });
}

/// More than may wait: who is turned away is told when to come again, and nothing of his is kept; who is not is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_asks_to_come_again() {
    // Room for one of these at a time, while it is being written.
    let house = Arc::new(house_with(|settings| settings.intake_bytes = 400).await);
    let (_, key) = house.source("shop", true, false).await;
    let (mut taken, mut turned_away) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..200 {
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..16 {
            let (house, auth, id) = (Arc::clone(&house), basic(&key), format!("m-{round}-{sender}"));
            senders.spawn(async move {
                let headers = [("authorization", auth.as_str())];
                (house.send("POST", "/rudderstack/v1/track", &headers, track(&id)).await, id)
            });
        }
        for (answer, id) in senders.join_all().await {
            match answer.status.as_u16() {
                200 => assert!(taken.insert(id)),
                503 => {
                    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
                    assert!(answer.text().contains("too much is waiting"), "{}", answer.text());
                    assert!(turned_away.insert(id));
                }
                other => panic!("{other}: {}", answer.text()),
            }
        }
        if !turned_away.is_empty() {
            break;
        }
    }
    assert!(!turned_away.is_empty() && !taken.is_empty(), "{} of {} were taken", taken.len(), taken.len() + turned_away.len());
    let kept: BTreeSet<String> = kept(&house).await.into_iter().map(|entry| message_id(&entry)).collect();
    assert_eq!(kept, taken, "acknowledged is kept, and nothing else");
}

fn message_id(entry: &store::InboxEntry) -> String {
    let payload: serde_json::Value = serde_json::from_str(entry.payload.as_ref().unwrap()).unwrap();
    payload["messageId"].as_str().unwrap().to_owned()
}
