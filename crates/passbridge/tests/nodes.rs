//! Two real nodes on one PostgreSQL: one is killed under load, and the other goes on with its work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use domain::TargetId;
use http::{Method, StatusCode};
use support::{
    BINARY, Club,
    load::{Load, check_deliveries, check_points, settle},
};
use testkit::{
    postgres::Cluster,
    server::{Server, Setup},
    sink::{Behaviour, Sink},
};
use tokio::time::Instant;

/// After this silence a node's work is taken over; 30 s unless set.
const TAKE_OVER_SECONDS: u64 = 3;
/// Deliveries that a kill may repeat: an unwritten batch of attempts, and what was in flight to one target.
const REPEATED: usize = 256 + 64;

async fn purchases(load: &Load, more: u64) {
    let (before, limit) = (load.acknowledged(), Instant::now() + Duration::from_secs(60));
    while load.acknowledged() < before + more {
        assert!(Instant::now() < limit, "only {} purchases were acknowledged", load.acknowledged() - before);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a node holds so many shards.
async fn holds(server: &Server, shards: u32) {
    let (expected, limit) = (format!("shards_held {shards}"), Instant::now() + Duration::from_secs(60));
    loop {
        let reply = server.client().send(Method::GET, &server.url("/metrics"), &[], Bytes::new()).await.unwrap();
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        if text.lines().any(|line| line == expected) {
            return;
        }
        assert!(Instant::now() < limit, "{:?}\n{}", text.lines().find(|line| line.starts_with("shards_held")), server.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn node(name: &str, url: &str, admin_key: Option<&str>) -> Setup {
    Setup {
        database: Some(url.to_owned()),
        node: Some(name.to_owned()),
        settings: vec![("take_over_seconds", TAKE_OVER_SECONDS.to_string())],
        admin_key: admin_key.map(str::to_owned),
        ..Setup::default()
    }
}

/// It loads the whole machine and waits for leases to run out: it runs alone.
mod alone {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_killed_nodes_work_goes_on_at_the_other() {
        let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
        let mut club = Club::set_up(node("one", &url, None)).await;
        let key = club.server.admin_key().to_owned();

        let refused = Server::start_with(BINARY, node("one", &url, Some(&key))).await.expect_err("the name is taken").to_string();
        assert!(refused.contains("another node named `one` is running on this database"), "{refused}");

        let mut other = Server::start_with(BINARY, node("two", &url, Some(&key))).await.unwrap_or_else(|error| panic!("{error}"));
        let sink = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
        let (webhook, _) = club.webhook(&sink.url("/hook")).await;
        let webhook: TargetId = webhook.parse().unwrap();
        // What one node acknowledged the other one knows at once.
        let known = other.api(Method::GET, &format!("/v1/webhooks/{webhook}"), None).await.unwrap();
        assert_eq!(known["id"], webhook.to_string());

        let load = Load::new(vec![club.data_plane(), other.url("/rudderstack")], &club.write_key);
        let senders = load.start();
        purchases(&load, 100).await;
        other.kill9().await.unwrap();
        holds(&club.server, 16).await;
        purchases(&load, 100).await;
        other.restart().await.unwrap();
        holds(&club.server, 8).await;
        purchases(&load, 100).await;
        load.end(senders).await;
        let events = settle(&club.server, &club, webhook, &sink).await;
        check_points(&club, &load.ledger, &events).await;
        let repeated = check_deliveries(&sink.received_from(0), &events, webhook, REPEATED);
        load.check_answers();
        println!("{} events, {repeated} deliveries again", events.len());
        assert!(club.server.is_running() && other.is_running());
    }
}
