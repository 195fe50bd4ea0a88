//! kill -9 at random points under load: what was acknowledged has its effect exactly once, and every event reaches its
//! target at least once. Runs on both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::Engine as _;
use bytes::Bytes;
use domain::{DeliveryId, EventId, TargetId};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Club, Database, text};
use testkit::{
    http::Client,
    sink::{Behaviour, Received, Sink},
};
use tokio::{task::JoinSet, time::Instant};

/// Cycles per database in `./test`; `TESTKIT_KILLS` asks for more.
const CYCLES: u32 = 25;
/// Senders at once, each with members of its own.
const SENDERS: u64 = 8;
const MEMBERS_EACH: u64 = 5;
/// How long a server lives between two kills.
const LIFE_MILLIS: std::ops::Range<u64> = 80..900;
/// How long a sender waits between two requests, so that the load stays one that two cores can carry.
const PAUSE: Duration = Duration::from_millis(10);
/// The next delivery starts within this time of the start.
const RESUMES_WITHIN: Duration = Duration::from_secs(2);
/// How long everything may take to settle at the end.
const SETTLE: Duration = Duration::from_secs(60);
/// Deliveries that a kill may repeat: a batch of attempt rows that was not written yet, and what was in flight to one
/// target.
const REPEATED_PER_KILL: usize = 256 + 64;

/// What became of one member's events, as the sender saw it.
#[derive(Debug, Default, Clone)]
struct Account {
    signed_up: bool,
    acknowledged: u64,
    /// Sent, never acknowledged and given up: they may count or not.
    unknown: u64,
}

type Ledger = Mutex<BTreeMap<String, Account>>;

/// Everything that the senders share.
struct Load {
    url: String,
    basic: String,
    ledger: Ledger,
    stop: AtomicBool,
    next: AtomicU64,
    strange: Mutex<Vec<String>>,
}

/// A small generator of repeatable numbers (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        range.start + self.0 % (range.end - range.start)
    }
}

impl Load {
    fn track(&self, member: &str, event: &str) -> Value {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        json!({"type": "track", "event": event, "userId": member, "messageId": format!("m-{number}")})
    }

    /// Sends events as one request; whether it was acknowledged.
    async fn send(&self, client: &Client, events: &[Value]) -> bool {
        let (path, body) = match events {
            [one] => ("track", one.to_string()),
            many => ("batch", json!({"batch": many}).to_string()),
        };
        let headers = [("authorization", self.basic.as_str()), ("content-type", "application/json")];
        let url = format!("{}/v1/{path}", self.url);
        let reply = client.send(Method::POST, &url, &headers, Bytes::from(body)).await;
        tokio::time::sleep(PAUSE).await;
        match reply {
            Ok(reply) if reply.status == StatusCode::OK => true,
            // A server that is going down may say so; anything else than 5xx is a wrong answer.
            Ok(reply) if !reply.status.is_server_error() => {
                self.strange.lock().unwrap().push(format!("{}: {:?}", reply.status, reply.body));
                false
            }
            _ => false,
        }
    }

    fn account(&self, member: &str, change: impl FnOnce(&mut Account)) {
        change(self.ledger.lock().unwrap().entry(member.to_owned()).or_default());
    }

    /// Signs members up, sending each sign-up until it is acknowledged, then sends purchases until told to stop.
    async fn run(self: Arc<Self>, sender: u64) {
        let client = Client::default();
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (sender + 1));
        let members: Vec<String> = (0..MEMBERS_EACH).map(|nth| format!("member-{sender}-{nth}")).collect();
        for member in &members {
            let event = self.track(member, "membership_signed_up");
            while !self.send(&client, std::slice::from_ref(&event)).await {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            self.account(member, |account| account.signed_up = true);
        }
        while !self.stop.load(Ordering::Relaxed) {
            let many = if dice.roll(0..3) == 0 { dice.roll(2..6) } else { 1 };
            let chosen: Vec<&String> = (0..many).map(|_| &members[dice.roll(0..MEMBERS_EACH) as usize]).collect();
            let events: Vec<Value> = chosen.iter().map(|member| self.track(member, "purchase_completed")).collect();
            let mut acknowledged = self.send(&client, &events).await;
            // As SDKs do, most unanswered requests are sent again with the same ids; some senders give up.
            if !acknowledged && dice.roll(0..4) != 0 {
                while !acknowledged && !self.stop.load(Ordering::Relaxed) {
                    acknowledged = self.send(&client, &events).await;
                }
            }
            for member in chosen {
                self.account(member, |account| match acknowledged {
                    true => account.acknowledged += 1,
                    false => account.unknown += 1,
                });
            }
        }
    }
}

/// Kills the server again and again while it is under load, and looks whether deliveries go on each time.
async fn torment(club: &mut Club, load: &Arc<Load>, sink: &Sink, cycles: u32) {
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        senders.spawn(Arc::clone(load).run(sender));
    }
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for cycle in 0..cycles {
        tokio::time::sleep(Duration::from_millis(dice.roll(LIFE_MILLIS))).await;
        club.server.kill9().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        let before = sink.count();
        club.server.restart().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        let resumed = sink.wait_for(RESUMES_WITHIN, |all| (all.len() > before).then_some(())).await;
        assert!(resumed.is_some(), "cycle {cycle}: no delivery within {RESUMES_WITHIN:?} of the start\n{}", club.server.said());
    }
    load.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
}

/// Waits until no source event is left to do and every event that is owed has reached the sink.
async fn settle(club: &Club, webhook: TargetId, sink: &Sink) -> Vec<Value> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let pending = club.source_event(&["pending", "waiting"]).await;
        let events = club.events().await;
        let missing = missing(&events, webhook, &sink.received_from(0));
        if pending.is_none() && missing.is_empty() {
            return events;
        }
        assert!(
            Instant::now() < deadline,
            "left to do: {pending:?}; {} of {} events never delivered, such as {:?}\n{}",
            missing.len(),
            events.len(),
            missing.first(),
            club.server.said()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Events that are owed to the webhook and did not arrive.
fn missing(events: &[Value], webhook: TargetId, received: &[Received]) -> Vec<Value> {
    let arrived: BTreeSet<&str> = received.iter().map(|request| request.header("webhook-id")).collect();
    let owed = events.iter().filter(|event| ["pass.created", "pass.updated"].contains(&event["type"].as_str().unwrap()));
    owed.filter(|event| !arrived.contains(delivery(event, webhook).as_str())).cloned().collect()
}

fn delivery(event: &Value, webhook: TargetId) -> String {
    let event: EventId = text(event, "id").parse().unwrap();
    DeliveryId::of(event.uuid(), webhook.uuid()).to_string()
}

/// Acknowledged purchases count exactly once, and unacknowledged ones at most once.
async fn check_points(club: &Club, ledger: &Ledger, events: &[Value]) {
    let accounts = ledger.lock().unwrap().clone();
    assert_eq!(accounts.len() as u64, SENDERS * MEMBERS_EACH, "not every member could sign up");
    for (member, account) in accounts {
        assert!(account.signed_up);
        let pass = club.pass_of(&member).await.unwrap_or_else(|| panic!("{member} signed up and has no pass"));
        let points: u64 = text(&pass["balances"], "points").parse().unwrap();
        let most = account.acknowledged + account.unknown;
        assert!(
            (account.acknowledged..=most).contains(&points),
            "{member} has {points} points of {} acknowledged and {} unknown purchases",
            account.acknowledged,
            account.unknown
        );
        let is = |event: &&Value, kind: &str| event["type"] == kind && event["pass"] == pass["id"];
        let of_pass = |kind: &str| events.iter().filter(|event| is(event, kind)).count() as u64;
        assert_eq!((of_pass("pass.created"), of_pass("pass.updated")), (1, points), "{member}'s events");
    }
}

/// Repeated deliveries carry the same id and body, and are at most what a kill can repeat.
fn check_deliveries(received: &[Received], events: &[Value], webhook: TargetId, kills: u32) -> usize {
    let owed: BTreeSet<String> = events.iter().map(|event| delivery(event, webhook)).collect();
    let mut bodies: BTreeMap<&str, &Bytes> = BTreeMap::new();
    let mut repeated = 0;
    for request in received {
        let id = request.header("webhook-id");
        assert!(owed.contains(id), "{id:?} was delivered and is no event of the log: {:?}", request.body);
        if let Some(before) = bodies.insert(id, &request.body) {
            assert_eq!(before, &request.body, "{id} came twice with different bodies");
            repeated += 1;
        }
    }
    let most = REPEATED_PER_KILL * kills as usize;
    assert!(repeated <= most, "{repeated} deliveries came again, at most {most} may");
    repeated
}

async fn survives(database: Database) {
    let cycles = testkit::repetitions("TESTKIT_KILLS", CYCLES);
    let mut club = Club::open(database).await;
    let sink = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
    let (webhook, _) = club.webhook(&sink.url("/hook")).await;
    let webhook: TargetId = webhook.parse().unwrap();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:", club.write_key));
    let load = Arc::new(Load {
        url: club.data_plane(),
        basic: format!("Basic {basic}"),
        ledger: Ledger::default(),
        stop: AtomicBool::new(false),
        next: AtomicU64::new(0),
        strange: Mutex::default(),
    });
    torment(&mut club, &load, &sink, cycles).await;
    let events = settle(&club, webhook, &sink).await;
    check_points(&club, &load.ledger, &events).await;
    let received = sink.received_from(0);
    let repeated = check_deliveries(&received, &events, webhook, cycles);
    let parked = club.source_event(&["parked"]).await;
    assert!(parked.is_none(), "a source event was parked: {parked:?}");
    let strange = load.strange.lock().unwrap().clone();
    assert!(strange.is_empty(), "{} requests were answered wrongly, such as {}", strange.len(), strange[0]);
    println!("{database:?}: {cycles} kills, {} events, {} deliveries, {repeated} of them again", events.len(), received.len());
}

/// An event that is missing from the log is found after the next start, and told: the node is not ready, its workers halt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_the_log_halts_the_workers() {
    let mut club = Club::open(Database::Sqlite).await;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:", club.write_key));
    let load = Load {
        url: club.data_plane(),
        basic: format!("Basic {basic}"),
        ledger: Ledger::default(),
        stop: AtomicBool::new(false),
        next: AtomicU64::new(0),
        strange: Mutex::default(),
    };
    let events: Vec<Value> = (0..5).map(|nth| load.track(&format!("member-{nth}"), "membership_signed_up")).collect();
    let client = Client::default();
    assert!(load.send(&client, &events).await);
    let deadline = Instant::now() + SETTLE;
    while club.events().await.len() < 5 {
        assert!(Instant::now() < deadline, "{}", club.server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(club.server.terminate().await.unwrap().success());
    let damage = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
        print(db.execute('DELETE FROM events WHERE pos = 3').rowcount); db.commit(); db.close()";
    let done = std::process::Command::new("python3").args(["-c", damage]).arg(club.server.data().join("passbridge.db")).output();
    assert_eq!(String::from_utf8_lossy(&done.unwrap().stdout).trim(), "1");

    // It may be ready for the moment until the check has come to the gap.
    let _ = tokio::time::timeout(RESUMES_WITHIN, club.server.restart()).await;
    let deadline = Instant::now() + SETTLE;
    loop {
        let url = club.server.url("/readyz");
        let reply = client.send(Method::GET, &url, &[], Bytes::new()).await;
        if reply.is_ok_and(|reply| reply.status == StatusCode::SERVICE_UNAVAILABLE) {
            break;
        }
        assert!(Instant::now() < deadline, "still ready\n{}", club.server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = club.server.said();
    assert!(said.contains("its workers halt") && said.contains("number 3 is missing"), "{said}");
    assert!(load.send(&client, &[load.track("member-9", "membership_signed_up")]).await, "the inbox is whole and takes events");
}

/// These load the whole machine and measure time against it: they run alone.
mod alone {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn kills_lose_and_repeat_nothing_on_sqlite() {
        survives(Database::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn kills_lose_and_repeat_nothing_on_postgres() {
        survives(Database::Postgres).await;
    }
}
