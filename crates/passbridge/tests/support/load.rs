//! Members who sign up and buy while servers fail, and a ledger of what was acknowledged to them.
#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]

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
use testkit::{
    http::Client,
    server::Server,
    sink::{Received, Sink},
};
use tokio::{task::JoinSet, time::Instant};

use super::{Programme, text};

/// Senders at once, each with members of its own.
pub const SENDERS: u64 = 8;
const MEMBERS_EACH: u64 = 5;
/// How long a sender waits between two requests, so that the load stays one that two cores can carry.
const PAUSE: Duration = Duration::from_millis(10);
/// How long everything may take to settle at the end.
pub const SETTLE: Duration = Duration::from_secs(60);

/// What became of one member's events, as the sender saw it.
#[derive(Debug, Default, Clone)]
pub struct Account {
    signed_up: bool,
    acknowledged: u64,
    /// Sent, never acknowledged and given up: they may count or not.
    unknown: u64,
}

pub type Ledger = Mutex<BTreeMap<String, Account>>;

/// Everything that the senders share.
pub struct Load {
    /// Where the senders send to, one beside the other.
    urls: Vec<String>,
    basic: String,
    pub ledger: Ledger,
    pub stop: AtomicBool,
    next: AtomicU64,
    strange: Mutex<Vec<String>>,
}

/// A small generator of repeatable numbers (xorshift, Marsaglia 2003).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        range.start + self.0 % (range.end - range.start)
    }
}

impl Load {
    /// A load on the data planes of one or several servers.
    pub fn new(urls: Vec<String>, write_key: &str) -> Arc<Self> {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{write_key}:"));
        Arc::new(Self {
            urls,
            basic: format!("Basic {basic}"),
            ledger: Ledger::default(),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            strange: Mutex::default(),
        })
    }

    /// Starts the senders.
    pub fn start(self: &Arc<Self>) -> JoinSet<()> {
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            senders.spawn(Arc::clone(self).run(sender));
        }
        senders
    }

    /// Lets the senders finish.
    pub async fn end(&self, mut senders: JoinSet<()>) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = senders.join_next().await {
            ended.unwrap();
        }
    }

    /// How many purchases were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.ledger.lock().unwrap().values().map(|account| account.acknowledged).sum()
    }

    /// Every answer was either a success or a server's fault.
    pub fn check_answers(&self) {
        let strange = self.strange.lock().unwrap().clone();
        assert!(strange.is_empty(), "{} requests were answered wrongly, such as {}", strange.len(), strange[0]);
    }

    /// An event with an id of its own.
    pub fn track(&self, member: &str, event: &str) -> Value {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        json!({"type": "track", "event": event, "userId": member, "messageId": format!("m-{number}")})
    }

    /// Sends events as one request; whether it was acknowledged.
    pub async fn send(&self, client: &Client, events: &[Value]) -> bool {
        let (path, body) = match events {
            [one] => ("track", one.to_string()),
            many => ("batch", json!({"batch": many}).to_string()),
        };
        let headers = [("authorization", self.basic.as_str()), ("content-type", "application/json")];
        let turn = usize::try_from(self.next.load(Ordering::Relaxed)).unwrap() % self.urls.len();
        let url = format!("{}/v1/{path}", self.urls[turn]);
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

/// Waits until no source event is left to do and every event that is owed has reached the sink.
pub async fn settle(server: &Server, programme: &Programme, webhook: TargetId, sink: &Sink) -> Vec<Value> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let pending = programme.source_event(&["pending", "waiting"]).await;
        let events = programme.events().await;
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
            server.said()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Events that are owed to the webhook and that it did not take.
fn missing(events: &[Value], webhook: TargetId, received: &[Received]) -> Vec<Value> {
    let taken = received.iter().filter(|request| request.status.is_success());
    let arrived: BTreeSet<&str> = taken.map(|request| request.header("webhook-id")).collect();
    let owed = events.iter().filter(|event| ["pass.created", "pass.updated"].contains(&event["type"].as_str().unwrap()));
    owed.filter(|event| !arrived.contains(delivery(event, webhook).as_str())).cloned().collect()
}

fn delivery(event: &Value, webhook: TargetId) -> String {
    let event: EventId = text(event, "id").parse().unwrap();
    DeliveryId::of(event.uuid(), webhook.uuid()).to_string()
}

/// Acknowledged purchases count exactly once, and unacknowledged ones at most once.
pub async fn check_points(programme: &Programme, ledger: &Ledger, events: &[Value]) {
    let accounts = ledger.lock().unwrap().clone();
    assert_eq!(accounts.len() as u64, SENDERS * MEMBERS_EACH, "not every member could sign up");
    for (member, account) in accounts {
        assert!(account.signed_up);
        let pass = programme.pass_of(&member).await.unwrap_or_else(|| panic!("{member} signed up and has no pass"));
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

/// Deliveries that came more than once carry the same id and body, and those that came again after they were taken are at most
/// what a kill can repeat; how many they are.
pub fn check_deliveries(received: &[Received], events: &[Value], webhook: TargetId, most: usize) -> usize {
    let owed: BTreeSet<String> = events.iter().map(|event| delivery(event, webhook)).collect();
    let mut bodies: BTreeMap<&str, &Bytes> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut repeated = 0;
    for request in received {
        let id = request.header("webhook-id");
        assert!(owed.contains(id), "{id:?} was delivered and is no event of the log: {:?}", request.body);
        if let Some(before) = bodies.insert(id, &request.body) {
            assert_eq!(before, &request.body, "{id} came twice with different bodies");
        }
        repeated += usize::from(taken.contains(id));
        if request.status.is_success() {
            taken.insert(id);
        }
    }
    assert!(repeated <= most, "{repeated} deliveries came again, at most {most} may");
    repeated
}
