//! PostgreSQL stopped and started again, its connections cut, its disk full, all under load: nothing acknowledged is lost,
//! and our server goes on by itself within ten seconds.
//!
//! The full disk is a real one: the database's tablespace is a small memory file system of its own (which needs root to
//! mount), filled up by a file beside the tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod support;

use std::{path::Path, process::Command, time::Duration};

use domain::TargetId;
use http::{Method, StatusCode};
use serde_json::json;
use support::{
    Club,
    load::{Load, check_deliveries, check_points, settle},
};
use testkit::{
    postgres::Cluster,
    server::Setup,
    sink::{Behaviour, Sink},
};
use tokio::time::Instant;

/// How long after a fault everything works again.
const RECOVERY: Duration = Duration::from_secs(10);
/// Deliveries that a fault may repeat: an unwritten batch of attempts, and what was in flight to one target.
const REPEATED: usize = 256 + 64;

/// Waits until purchases are acknowledged and deliveries arrive again.
async fn recovers(load: &Load, sink: &Sink, what: &str) {
    let (acknowledged, delivered, since) = (load.acknowledged(), sink.count(), Instant::now());
    while load.acknowledged() == acknowledged || sink.count() == delivered {
        assert!(
            since.elapsed() < RECOVERY,
            "{what}: {} more acknowledged, {} more delivered after {RECOVERY:?}",
            load.acknowledged() - acknowledged,
            sink.count() - delivered
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{what}: works again after {:?}", since.elapsed());
}

async fn on(url: String) -> Club {
    Club::set_up(Setup { database: Some(url), ..Setup::default() }).await
}

/// These load the whole machine and measure time against it: they run alone.
mod alone {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_postgres_that_comes_back_is_found_again() {
        let mut cluster = Cluster::start().await.unwrap();
        let mut club = on(cluster.create_database().await.unwrap()).await;
        let sink = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
        let (webhook, _) = club.webhook(&sink.url("/hook")).await;
        let webhook: TargetId = webhook.parse().unwrap();
        let load = Load::new(vec![club.data_plane()], &club.write_key);
        let senders = load.start();
        recovers(&load, &sink, "the start").await;
        for round in 0..2 {
            cluster.stop().await.unwrap();
            let refused = club.server.client().send(Method::GET, &club.server.url("/readyz"), &[], "".into()).await.unwrap();
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "it says that it is not ready");
            cluster.resume().await.unwrap();
            recovers(&load, &sink, &format!("restart {round}")).await;
        }
        for round in 0..3 {
            let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'passbridge%'";
            cluster.administer(cut).await.unwrap();
            recovers(&load, &sink, &format!("cut connections {round}")).await;
        }
        load.end(senders).await;
        let events = settle(&club, webhook, &sink).await;
        check_points(&club, &load.ledger, &events).await;
        check_deliveries(&sink.received_from(0), &events, webhook, 5 * REPEATED);
        load.check_answers();
        assert!(club.server.is_running(), "without a restart of ours");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_disk_says_so_and_loses_nothing() {
        let cluster = Cluster::start().await.unwrap();
        let disk = SmallDisk::mount("64m");
        let url = cluster.create_database_on(disk.path()).await.unwrap();
        let mut club = on(url).await;
        let sink = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
        let (webhook, _) = club.webhook(&sink.url("/hook")).await;
        let webhook: TargetId = webhook.parse().unwrap();
        let load = Load::new(vec![club.data_plane()], &club.write_key);
        let senders = load.start();
        recovers(&load, &sink, "the start").await;
        disk.fill();
        says_full(&club).await;
        disk.free();
        recovers(&load, &sink, "the full disk").await;
        load.end(senders).await;
        let events = settle(&club, webhook, &sink).await;
        check_points(&club, &load.ledger, &events).await;
        check_deliveries(&sink.received_from(0), &events, webhook, REPEATED);
        load.check_answers();
        assert!(club.server.is_running(), "without a restart of ours");
    }
}

/// Asks until a table has to grow: the answer names the disk.
async fn says_full(club: &Club) {
    let limit = Instant::now() + Duration::from_secs(60);
    let big = "x".repeat(20_000);
    loop {
        let body =
            json!({"type": "track", "event": "purchase_completed", "userId": "nobody", "properties": {"note": big}}).to_string();
        let key = format!("{}:", club.write_key);
        let basic = format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key));
        let headers = [("authorization", basic.as_str()), ("content-type", "application/json")];
        let url = format!("{}/v1/track", club.data_plane());
        let reply = club.server.client().send(Method::POST, &url, &headers, body.into()).await.unwrap();
        if reply.status == StatusCode::SERVICE_UNAVAILABLE && String::from_utf8_lossy(&reply.body).contains("disk is full") {
            assert!(reply.headers.contains_key("retry-after"));
            return;
        }
        assert!(Instant::now() < limit, "never said that the disk is full: {} {:?}", reply.status, reply.body);
    }
}

/// A file system of its own, that is soon full.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=777");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status().unwrap();
        assert!(done.success(), "a small file system cannot be mounted: this test needs root");
        Self(folder)
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn filler(&self) -> std::path::PathBuf {
        self.0.path().join("filler")
    }
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.filler()).unwrap();
        while file.write_all(&[0; 4_096]).is_ok() {}
    }
    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
