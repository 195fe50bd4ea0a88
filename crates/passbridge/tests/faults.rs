//! PostgreSQL stopped and started again, its connections cut, its disk full; SQLite's disk full, its file locked by another
//! program, its file damaged; all under load: nothing acknowledged is lost, and our server goes on by itself within ten seconds.
//!
//! The full disks are real ones: the database's tablespace, or SQLite's data folder, is a small memory file system of its own
//! (which needs root to mount), filled up by a file beside the tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod support;

use std::{
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use domain::TargetId;
use http::{Method, StatusCode};
use serde_json::json;
use support::{
    Club,
    load::{Load, check_deliveries, check_points, settle},
};
use testkit::{
    disk::SmallDisk,
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
        let events = settle(&club.server, &club, webhook, &sink).await;
        check_points(&club, &load.ledger, &events).await;
        check_deliveries(&sink.received_from(0), &events, webhook, 5 * REPEATED);
        load.check_answers();
        assert!(club.server.is_running(), "without a restart of ours");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_disk_says_so_and_loses_nothing() {
        let cluster = Cluster::start().await.unwrap();
        let disk = SmallDisk::mount("64m").unwrap();
        let url = cluster.create_database_on(disk.path()).await.unwrap();
        let mut club = on(url).await;
        outlives(&mut club, "the full disk", async |club| {
            disk.fill().unwrap();
            says(club, "disk is full").await;
            disk.free().unwrap();
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_disk_under_sqlite_says_so_and_loses_nothing() {
        let disk = SmallDisk::mount("64m").unwrap();
        let mut club = Club::set_up(Setup { data: Some(disk.path().join("data")), ..Setup::default() }).await;
        outlives(&mut club, "the full disk", async |club| {
            disk.fill().unwrap();
            says(club, "disk is full").await;
            disk.free().unwrap();
        })
        .await;
        // The disk goes after the server.
        drop(club);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_locked_sqlite_says_so_and_loses_nothing() {
        let mut club = Club::set_up(Setup::default()).await;
        outlives(&mut club, "the lock", async |club| {
            let lock = ForeignLock::take(&club.server.data().join("passbridge.db"));
            says(club, "locked").await;
            drop(lock);
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_damaged_sqlite_says_so_and_acknowledges_nothing() {
        let mut club = Club::set_up(Setup::default()).await;
        for _ in 0..100 {
            assert!(big_event(&club).await.status.is_success());
        }
        club.server.terminate().await.unwrap();
        let file = club.server.data().join("passbridge.db");
        damage(&file);
        match club.server.restart().await {
            // What is read at the start is damaged too: it does not start, and says why.
            Err(error) => assert!(error.to_string().contains("corrupt"), "{error}"),
            Ok(()) => {
                says(&club, "corrupt").await;
                assert!(!big_event(&club).await.status.is_success(), "it acknowledges nothing");
            }
        }
    }
}

/// Puts a club under load, lets something befall it, and checks that it goes on and that nothing was lost.
async fn outlives(club: &mut Club, what: &str, fault: impl AsyncFnOnce(&Club)) {
    let sink = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
    let (webhook, _) = club.webhook(&sink.url("/hook")).await;
    let webhook: TargetId = webhook.parse().unwrap();
    let load = Load::new(vec![club.data_plane()], &club.write_key);
    let senders = load.start();
    recovers(&load, &sink, "the start").await;
    fault(club).await;
    recovers(&load, &sink, what).await;
    load.end(senders).await;
    let events = settle(&club.server, club, webhook, &sink).await;
    check_points(club, &load.ledger, &events).await;
    check_deliveries(&sink.received_from(0), &events, webhook, REPEATED);
    load.check_answers();
    assert!(club.server.is_running(), "without a restart of ours");
}

/// Another program that writes to the database file: Python's own SQLite, in a transaction that it does not end.
struct ForeignLock(Child);

impl ForeignLock {
    fn take(file: &Path) -> Self {
        let script = "import sqlite3, sys\n\
                      db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
                      db.execute('BEGIN IMMEDIATE')\n\
                      print('locked', flush=True)\n\
                      sys.stdin.read()\n";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "locked");
        Self(child)
    }
}

impl Drop for ForeignLock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Overwrites all but the first pages of a file, as a broken disk would.
fn damage(file: &Path) {
    const KEPT: u64 = 64 * 1_024;
    let mut file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let length = file.seek(SeekFrom::End(0)).unwrap();
    assert!(length > 4 * KEPT, "there is something to damage");
    file.seek(SeekFrom::Start(KEPT)).unwrap();
    std::io::copy(&mut std::io::repeat(0xA5).take(length - KEPT), &mut file).unwrap();
}

/// Sends events that nobody has a flow for, until one is refused with 503 and a word of the reason.
async fn says(club: &Club, reason: &str) {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let reply = big_event(club).await;
        if reply.status == StatusCode::SERVICE_UNAVAILABLE && String::from_utf8_lossy(&reply.body).contains(reason) {
            assert!(reply.headers.contains_key("retry-after"));
            return;
        }
        assert!(Instant::now() < limit, "never said `{reason}`: {} {:?}", reply.status, reply.body);
    }
}

/// An event of 20 KB, so that tables soon have to grow.
async fn big_event(club: &Club) -> testkit::http::Reply {
    let properties = json!({"note": "x".repeat(20_000)});
    let body = json!({"type": "track", "event": "note_taken", "userId": "nobody", "properties": properties}).to_string();
    let key = format!("{}:", club.write_key);
    let basic = format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key));
    let headers = [("authorization", basic.as_str()), ("content-type", "application/json")];
    let url = format!("{}/v1/track", club.data_plane());
    club.server.client().send(Method::POST, &url, &headers, body.into()).await.unwrap()
}
