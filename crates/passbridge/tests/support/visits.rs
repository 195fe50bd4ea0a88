//! An organization that is hard on a server: what its visitors do goes through a transformation that is slow with some of it and
//! fails with some, and its webhook breaks and comes back. And a ledger of what was acknowledged to them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use domain::TargetId;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{
    http::Client,
    server::Server,
    sink::{Behaviour, Received, Sink},
};
use tokio::{task::JoinSet, time::Instant};

use super::{
    Club, Programme, key_of,
    load::{Dice, Load, SETTLE, check_deliveries, settle},
    text,
};

const VISITORS: u64 = 3;
/// Pupils of a school class that come together when the webhook breaks down: more than failures after which it is left alone.
const PUPILS: u64 = 24;
/// How long a visitor does nothing between two requests.
const REST: Duration = Duration::from_millis(100);
/// Every so manyeth visit is slow to transform, and every so manyeth cannot be.
const SLOW: u64 = 11;
const FAILING: u64 = 13;
/// How long the service takes that slow visits ask: longer than a batch waits for its transformations.
const SERVICE: Duration = Duration::from_millis(250);
/// How long the webhook stays broken after what it refused first: that is tried again after four seconds at the earliest, and
/// after minutes if it were refused once more.
const BROKEN_FOR: Duration = Duration::from_millis(3_900);
/// How often it is looked whether it is left alone.
const LOOK: Duration = Duration::from_millis(20);

const FLOW: &str = r#"
slug: visit
project: club
transformation: visits
when: { event: visited }
steps:
  - id: card
    action: issue
    if_exists: skip
  - id: seen
    action: update
    balances: { points: { add: 1 } }
    message: "{{ properties.number }}"
"#;

const CODE: &str = "export async function transformEvent(event) {
    const { fails, slow } = event.properties;
    if (fails) throw new Error('this visit cannot be understood');
    if (slow) await fetchV2('SERVICE');
    return event;
}";

/// Of a visitor: all visits with a number below `acknowledged` count, and those below `sent` may.
#[derive(Debug, Default, Clone, Copy)]
struct Visited {
    acknowledged: u64,
    sent: u64,
}

/// The organization, its visitors and what it relies on.
pub struct Visits {
    programme: Programme,
    webhook: TargetId,
    hook: Arc<Sink>,
    service: Sink,
    load: Arc<Load>,
    ledger: Arc<Mutex<BTreeMap<String, Visited>>>,
}

const fn fails(number: u64) -> bool {
    number % FAILING == FAILING - 1
}

/// What visits below a number lead to, in their order.
fn seen(below: u64) -> Vec<String> {
    (0..below).filter(|number| !fails(*number)).map(|number| number.to_string()).collect()
}

impl Visits {
    /// Sets the organization up beside the one that there is.
    pub async fn open(club: &Club) -> Self {
        let organization = club.post("/v1/organizations", &json!({"name": "Museum"})).await;
        let programme = Programme::set_up(&club.server, key_of(&club.server, &text(&organization, "id")).await).await;
        let service = Sink::start(Behaviour::Slow(SERVICE)).await.unwrap();
        let code = CODE.replace("SERVICE", &service.url("/visits"));
        programme.post("/v1/transformations", &json!({"slug": "visits", "name": "Visits", "code": code})).await;
        programme.flow(FLOW).await;
        let hook = Arc::new(Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap());
        let (webhook, _) = programme.webhook(&hook.url("/hook")).await;
        let load = Load::new(vec![programme.data_plane()], &programme.write_key);
        let ledger = Arc::default();
        Self { programme, webhook: webhook.parse().unwrap(), hook, service, load, ledger }
    }

    /// Lets the visitors come.
    pub fn start(&self) -> JoinSet<()> {
        let mut visitors = JoinSet::new();
        for visitor in 0..VISITORS {
            visitors.spawn(visit(Arc::clone(&self.load), Arc::clone(&self.ledger), visitor));
        }
        visitors
    }

    /// Breaks the webhook down, and says whether the server left it alone before it came back, which it does by itself.
    pub async fn break_down(&self, server: &Server) -> bool {
        let before = self.hook.count();
        self.hook.behave(Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR));
        self.class(before).await;
        let refused = |all: &[Received]| all[before..].iter().find(|request| !request.status.is_success()).map(|first| first.at);
        let first = self.hook.wait_for(SETTLE, refused).await.expect("a delivery that is refused");
        let back_at = first + BROKEN_FOR;
        let hook = Arc::clone(&self.hook);
        tokio::spawn(async move {
            tokio::time::sleep_until(back_at).await;
            hook.behave(Behaviour::Answer(StatusCode::OK));
        });
        while Instant::now() < back_at {
            if is_left_alone(server).await {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    /// A school class comes, each pupil once.
    async fn class(&self, number: usize) {
        let pupils: Vec<String> = (0..PUPILS).map(|pupil| format!("pupil-{number}-{pupil}")).collect();
        let events: Vec<Value> = pupils.iter().map(|pupil| event(&self.load, pupil, 0)).collect();
        assert!(self.load.send(&Client::default(), &events).await, "the server is there");
        let came = pupils.into_iter().map(|pupil| (pupil, Visited { acknowledged: 1, sent: 1 }));
        self.ledger.lock().unwrap().extend(came);
    }

    /// Acknowledged visits count exactly once and in their order, and every event reached the webhook; how many, and how many
    /// deliveries came again after they were taken.
    pub async fn check(self, visitors: JoinSet<()>, server: &Server, most_repeated: usize) -> (usize, usize) {
        self.load.end(visitors).await;
        let events = settle(server, &self.programme, self.webhook, &self.hook).await;
        let ledger = self.ledger.lock().unwrap().clone();
        assert!(ledger.len() as u64 >= VISITORS, "not every visitor could come");
        let (mut fewest, mut most) = (0, 0);
        for (visitor, visited) in ledger {
            let pass = self.programme.pass_of(&visitor).await.unwrap_or_else(|| panic!("{visitor} came and has no pass"));
            let of_pass = events.iter().filter(|event| event["pass"] == pass["id"]);
            let created = of_pass.clone().filter(|event| event["type"] == "pass.created");
            assert_eq!(created.count(), 1, "{visitor}");
            let updated = of_pass.filter(|event| event["type"] == "pass.updated");
            let numbers: Vec<String> = updated.map(|event| text(&event["image"]["pass"]["message"], "text")).collect();
            let either = [seen(visited.acknowledged), seen(visited.sent)];
            assert!(either.contains(&numbers), "{visitor}: {visited:?} led to {numbers:?}");
            assert_eq!(text(&pass["balances"], "points"), numbers.len().to_string(), "{visitor}");
            let failing = |below: u64| (0..below).filter(|number| fails(*number)).count();
            (fewest, most) = (fewest + failing(visited.acknowledged), most + failing(visited.sent));
        }
        let parked = self.programme.source_events(&["parked"]).await;
        assert!((fewest..=most).contains(&parked.len()), "{} are parked, of {fewest} to {most} that fail", parked.len());
        let repeated = check_deliveries(&self.hook.received_from(0), &events, self.webhook, most_repeated);
        self.load.check_answers();
        assert!(self.service.count() > 0, "no visit was slow");
        (events.len(), repeated)
    }
}

/// Whether a server left any target alone since it was started.
async fn is_left_alone(server: &Server) -> bool {
    let metrics = server.client().send(Method::GET, &server.url("/metrics"), &[], "".into()).await.unwrap();
    String::from_utf8_lossy(&metrics.body).lines().any(|line| line.starts_with("targets_left_alone_total "))
}

/// Sends visit after visit, each request until it is acknowledged, until told to stop.
async fn visit(load: Arc<Load>, ledger: Arc<Mutex<BTreeMap<String, Visited>>>, visitor: u64) {
    let (client, mut dice, name) = (Client::default(), Dice(0x6c62_272e_07bb_0142 ^ (visitor + 1)), format!("visitor-{visitor}"));
    let note = |change: &dyn Fn(&mut Visited)| change(ledger.lock().unwrap().entry(name.clone()).or_default());
    let mut next = 0;
    while !load.stop.load(Ordering::Relaxed) {
        let end = next + dice.roll(1..4);
        let events: Vec<Value> = (next..end).map(|number| event(&load, &name, number)).collect();
        note(&|visited| visited.sent = end);
        while !load.send(&client, &events).await {
            if load.stop.load(Ordering::Relaxed) {
                return;
            }
        }
        note(&|visited| visited.acknowledged = end);
        next = end;
        tokio::time::sleep(REST).await;
    }
}

fn event(load: &Load, visitor: &str, number: u64) -> Value {
    let mut event = load.track(visitor, "visited");
    event["properties"] = json!({"number": number, "slow": number % SLOW == SLOW - 1, "fails": fails(number)});
    event
}
