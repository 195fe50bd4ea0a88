//! What flows do with time, over a real database (SQLite, or PostgreSQL where `TESTKIT_DATABASE` says so) with a real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use connectors::kit::{Entrance, Inbound, Lock, Settings, SharedSecret};
use domain::{Action, Clock as _, ContactId, ContactInput, ContactRef, Facts, Pass, SourceEventId, Timestamp};
use house::{House, Sink, until};
use serde_json::{Value, json};
use store::{InboxResult, InboxStatus};

const PATIENCE: Duration = Duration::from_secs(30);

fn call(event: &str, user: &str, properties: &Value) -> Value {
    json!({"type": "track", "event": event, "userId": user, "properties": properties})
}

/// The trace of an event, once it is settled as this.
async fn settled(house: &House, id: SourceEventId, status: InboxStatus) -> Value {
    let result = async || house.store.source_event(house.org, id).await.unwrap().unwrap().result;
    until("settled", || async { result().await.is_some_and(|result| result.status == status.number()) }).await;
    serde_json::from_str(&result().await.unwrap().trace).unwrap()
}

/// What is told of the flow that the event was for.
fn matched(trace: &Value) -> &Value {
    trace["flows"].as_array().unwrap().iter().find(|flow| flow["matched"] == true).unwrap()
}

fn first_step(trace: &Value) -> Value {
    matched(trace)["steps"][0].clone()
}

async fn pass_of(house: &House, external_id: &str) -> Option<Pass> {
    let passes = house.store.passes(house.org, Some(house.project), None, None, 100).await.unwrap();
    passes.into_iter().find(|pass| pass.external_id.as_deref() == Some(external_id))
}

async fn points(house: &House, external_id: &str) -> String {
    pass_of(house, external_id).await.unwrap().balances["points"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_reaches_whoever_still_has_its_address() {
    let house = House::new().await;
    let issue =
        json!({"id": "card", "action": "issue", "external_id": "$.properties.card", "contact": {"email": "$.properties.email"}});
    house.flow(json!({"slug": "sign-up", "project": "club", "when": {"event": "signed_up"}, "steps": [issue]})).await;
    let workers = house.workers().await;
    let mut people = Vec::new();
    for external_id in ["first", "second"] {
        let new_id = ContactId::mint(house.clock.now(), &house::System);
        let (external_id, email) = (Some(external_id.to_owned()), Some("Home@example.com".to_owned()));
        let input = ContactInput { external_id, email, ..ContactInput::default() };
        house.engine.submit(house.command(Action::PutContact { new_id, input })).await.unwrap();
        people.push(new_id);
    }
    let holder = async |card: &str| {
        let properties = json!({"email": "home@example.com", "card": card});
        let guest = json!({"type": "track", "event": "signed_up", "anonymousId": card, "properties": properties});
        let id = house.arrives_from(card, card, guest, None).await;
        settled(&house, id, InboxStatus::Done).await;
        pass_of(&house, card).await.unwrap().contact
    };
    assert_eq!(holder("card-1").await, Some(people[0]));
    house
        .engine
        .submit(house.command(Action::EraseContact { contact: ContactRef::Id(people[0]), expected_version: None }))
        .await
        .unwrap();
    assert_eq!(holder("card-2").await, Some(people[1]));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_event_is_applied_or_left_as_its_flow_says_and_the_trace_has_both_times() {
    let house = House::new().await;
    let set = |slug: &str, late: &str| {
        let step = json!({"id": "set", "action": "update", "balances": {"points": "$.properties.points"}});
        json!({"slug": slug, "project": "club", "late": late, "when": {"event": slug}, "steps": [step]})
    };
    house
        .flow(json!({"slug": "sign-up", "project": "club", "when": {"event": "signed_up"},
        "steps": [{"id": "card", "action": "issue"}]}))
        .await;
    house.flow(set("taken", "apply")).await;
    house.flow(set("left", "skip")).await;
    let workers = house.workers().await;
    let base = house.clock.now();
    let at = |seconds: i64| Some(Timestamp::from_micros(base.as_micros() - 1_000_000_000 + seconds * 1_000_000));
    let arrives = async |key: &str, event: &str, points: i64, seconds: i64| {
        let id = house.arrives_from(key, "ann", call(event, "ann", &json!({"points": points})), at(seconds)).await;
        first_step(&settled(&house, id, InboxStatus::Done).await)
    };
    let step = arrives("1", "signed_up", 0, 10).await;
    assert_eq!((step["outcome"].as_str(), step.get("late")), (Some("done"), None));
    // Later than what issued the pass, although all of it happened long before the commit.
    let step = arrives("2", "left", 20, 20).await;
    assert_eq!((step["outcome"].as_str(), step.get("late")), (Some("done"), None));

    let step = arrives("3", "left", 15, 15).await;
    assert_eq!(step["outcome"], "unchanged");
    let times = json!({"happened_at": at(15), "changed_as_of": at(20), "decision": "skip"});
    assert_eq!(step["late"], times);
    assert_eq!(points(&house, "ann").await, "20");

    let step = arrives("4", "taken", 16, 16).await;
    assert_eq!(step["outcome"], "done");
    assert_eq!(step["late"], json!({"happened_at": at(16), "changed_as_of": at(20), "decision": "apply"}));
    assert_eq!(points(&house, "ann").await, "16");
    // What was applied late does not make the pass older.
    assert_eq!(pass_of(&house, "ann").await.unwrap().as_of, at(20));
    let step = arrives("5", "left", 17, 17).await;
    assert_eq!(step["late"]["decision"], "skip");

    // A clock that runs ahead makes nothing late that happens now.
    let far = house.clock.now().plus(Duration::from_secs(86_400));
    let id = house.arrives_from("6", "ann", call("left", "ann", &json!({"points": 30})), Some(far)).await;
    settled(&house, id, InboxStatus::Done).await;
    let id = house.arrives_from("7", "ann", call("left", "ann", &json!({"points": 31})), Some(house.clock.now())).await;
    settled(&house, id, InboxStatus::Done).await;
    assert_eq!(points(&house, "ann").await, "31");

    // What was left is decided anew by a replay, with the flow as it is then; what was applied stays.
    let id = house.arrives_from("8", "ann", call("left", "ann", &json!({"points": 40})), at(1)).await;
    assert_eq!(first_step(&settled(&house, id, InboxStatus::Done).await)["outcome"], "unchanged");
    let entry = house.store.source_event(house.org, id).await.unwrap().unwrap();
    house.change_flow("left", |flow| flow.document["late"] = json!("apply")).await;
    house.store.replay(&entry, house.clock.now()).await.unwrap();
    until("replayed", || async { points(&house, "ann").await == "40" }).await;
    workers.drain(PATIENCE).await;
}

/// A flow that issues, waits as told, and then adds a point.
fn waiting_flow(slug: &str, wait: &Value) -> Value {
    let card = json!({"id": "card", "action": "issue", "if_exists": "skip",
        "expires_at": {"@if": {"exists": "$.properties.ends", "then": "$.properties.ends"}},
        "contact": {"traits": {"renewal": "$.properties.renewal"}}});
    let mut step = json!({"id": "rest", "action": "wait"});
    step.as_object_mut().unwrap().extend(wait.as_object().unwrap().clone());
    let add = json!({"id": "add", "action": "update", "balances": {"points": {"add": 1}}});
    json!({"slug": slug, "project": "club", "late": "skip", "when": {"event": slug}, "steps": [card, step, add]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_waits_for_its_time_through_a_kill_and_nobody_waits_behind_it() {
    let house = House::new().await;
    house.flow(waiting_flow("joined", &json!({"for": "2h"}))).await;
    let add = json!({"id": "add", "action": "update", "balances": {"points": {"add": 10}}});
    house.flow(json!({"slug": "bought", "project": "club", "when": {"event": "bought"}, "steps": [add]})).await;
    let doomed = house.doomed("one", house::quick()).await;
    let start = house.clock.now();
    let joined = house.arrives_from("1", "ann", call("joined", "ann", &json!({})), Some(start)).await;
    let bought = house.arrives("2", "ann", call("bought", "ann", &json!({}))).await;
    settled(&house, bought, InboxStatus::Done).await;
    assert_eq!(points(&house, "ann").await, "10", "the later event did not wait");
    let trace = settled(&house, joined, InboxStatus::Delayed).await;
    let due = start.plus(Duration::from_secs(7_200));
    let steps = matched(&trace)["steps"].clone();
    let outcomes = |steps: &Value| -> Vec<String> {
        steps.as_array().unwrap().iter().map(|step| step["outcome"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(outcomes(&steps), ["done", "waiting", "command"], "{trace}");
    assert_eq!(steps[1]["due_at"], json!(due));
    let entry = house.store.source_event(house.org, joined).await.unwrap().unwrap();
    assert_eq!(entry.result.unwrap().due_at, Some(due));

    // Killed while it waits, and again in the very moment that it is due.
    doomed.vanish();
    house.clock.forward(Duration::from_secs(7_100));
    let doomed = house.doomed("one", house::quick()).await;
    let other = house.arrives("3", "bob", call("joined", "bob", &json!({}))).await;
    settled(&house, other, InboxStatus::Delayed).await;
    assert_eq!(points(&house, "ann").await, "10", "not before its time");
    house.clock.forward(Duration::from_secs(101));
    doomed.vanish();
    let workers = house.workers().await;
    let trace = settled(&house, joined, InboxStatus::Done).await;
    assert_eq!(outcomes(&matched(&trace)["steps"]), ["done", "waited", "done"], "{trace}");
    assert_eq!(points(&house, "ann").await, "11");
    assert_eq!(points(&house, "bob").await, "0");

    // A replay finds the time past and everything done.
    let entry = house.store.source_event(house.org, joined).await.unwrap().unwrap();
    house.store.replay(&entry, house.clock.now()).await.unwrap();
    until("replayed", || async {
        let result = house.store.source_event(house.org, joined).await.unwrap().unwrap().result.unwrap();
        result.status == InboxStatus::Done.number() && result.runs > 2
    })
    .await;
    assert_eq!(points(&house, "ann").await, "11", "once");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_waits_until_a_time_of_the_event_the_pass_or_its_holder() {
    let house = House::new().await;
    house.flow(waiting_flow("by-event", &json!({"until": "$.properties.at"}))).await;
    house.flow(waiting_flow("by-pass", &json!({"until": {"pass": "expires_at"}}))).await;
    house.flow(waiting_flow("by-contact", &json!({"until": {"contact": "traits.renewal"}}))).await;
    let workers = house.workers().await;
    let later = house.clock.now().plus(Duration::from_secs(3_600));
    let cases = [
        ("by-event", json!({"at": later})),
        ("by-pass", json!({"ends": later})),
        ("by-contact", json!({"renewal": later.to_string().replace('Z', "+00:00")})),
    ];
    for (number, (flow, properties)) in cases.into_iter().enumerate() {
        let id = house.arrives(&format!("a{number}"), flow, call(flow, flow, &properties)).await;
        let trace = settled(&house, id, InboxStatus::Delayed).await;
        assert_eq!(matched(&trace)["steps"][1]["due_at"], json!(later), "{trace}");
    }
    // A time without its zone, one that is not there and one that is too far away are refused, and say where.
    let far = later.plus(Duration::from_secs(401 * 86_400));
    let refused = [
        ("by-event", json!({"at": "2027-02-01"}), "with its zone"),
        ("by-event", json!({}), "nothing at"),
        ("by-event", json!({"at": far}), "400 days"),
        ("by-pass", json!({}), "expires_at of the pass"),
        ("by-pass", json!({"ends": far}), "400 days"),
        ("by-contact", json!({"renewal": "soon"}), "traits.renewal of the contact"),
    ];
    for (number, (flow, properties, why)) in refused.into_iter().enumerate() {
        let user = format!("{flow}-{number}");
        let id = house.arrives(&format!("b{number}"), &user, call(flow, &user, &properties)).await;
        let trace = settled(&house, id, InboxStatus::Parked).await;
        assert!(trace["reason"].as_str().unwrap().contains(why), "{trace}");
        assert_eq!(points(&house, &user).await, "0");
    }
    // A time that is past is no reason to wait.
    let id = house.arrives("c", "cat", call("by-event", "cat", &json!({"at": "2020-01-01T00:00:00Z"}))).await;
    settled(&house, id, InboxStatus::Done).await;
    assert_eq!(points(&house, "cat").await, "1");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_cancelled_when_its_flow_was_switched_off_or_removed() {
    let house = House::new().await;
    for slug in ["off", "on-again", "gone", "kept"] {
        house.flow(waiting_flow(slug, &json!({"for": "1h"}))).await;
    }
    let workers = house.workers().await;
    let mut ids = Vec::new();
    for slug in ["off", "on-again", "gone", "kept"] {
        let id = house.arrives(slug, slug, call(slug, slug, &json!({}))).await;
        settled(&house, id, InboxStatus::Delayed).await;
        ids.push(id);
    }
    house.change_flow("off", |flow| flow.document["enabled"] = json!(false)).await;
    let now = house.clock.now();
    house.change_flow("on-again", |flow| flow.enabled_at = Some(now)).await;
    house.remove_flow("gone").await;
    // An edit meanwhile is no switching off: what is done then is what the flow says then.
    house.change_flow("kept", |flow| flow.document["steps"][2]["balances"]["points"]["add"] = json!(7)).await;
    house.clock.forward(Duration::from_secs(3_601));
    for (slug, id) in ["off", "on-again", "gone"].iter().zip(&ids) {
        let trace = settled(&house, *id, InboxStatus::Done).await;
        let steps = &matched(&trace)["steps"];
        assert_eq!((&steps[1]["outcome"], &steps[2]["outcome"]), (&json!("cancelled"), &json!("not_reached")), "{slug}: {trace}");
        assert!(steps[1]["reason"].as_str().unwrap().contains("switched off"), "{trace}");
        assert_eq!(points(&house, slug).await, "0", "{slug}");
    }
    settled(&house, ids[3], InboxStatus::Done).await;
    assert_eq!(points(&house, "kept").await, "7");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_with_a_rate_takes_turns_in_order_and_delays_no_other() {
    let house = House::new().await;
    let set = json!({"id": "set", "action": "issue", "external_id": "$.userId", "balances": {"points": 0}});
    let add = json!({"id": "add", "action": "update", "message": "{{ properties.number }}"});
    house
        .flow(json!({"slug": "slow", "project": "club", "rate": "1/minute", "when": {"event": "seen"}, "steps": [set, add]}))
        .await;
    let quick = json!({"id": "card", "action": "issue", "external_id": "quick-{{userId}}", "contact": null, "if_exists": "skip"});
    house.flow(json!({"slug": "quick", "project": "club", "when": {"event": "seen"}, "steps": [quick]})).await;
    let workers = house.workers().await;
    let mut ids = Vec::new();
    for number in 0..12 {
        let user = ["ann", "bob", "cat"][number % 3];
        ids.push(house.arrives(&number.to_string(), user, call("seen", user, &json!({"number": number}))).await);
    }
    let status = async |id| house.store.source_event(house.org, id).await.unwrap().unwrap().result;
    until("all were looked at", || async {
        for id in &ids {
            if status(*id).await.is_none() {
                return false;
            }
        }
        true
    })
    .await;
    for user in ["ann", "bob", "cat"] {
        assert!(pass_of(&house, &format!("quick-{user}")).await.is_some(), "the other flow did not wait");
    }
    let delayed = async || {
        let mut due = Vec::new();
        for id in &ids {
            due.extend(status(*id).await.unwrap().due_at);
        }
        due.sort_unstable();
        due
    };
    let due = delayed().await;
    assert_eq!(due.len(), 11, "the first had its turn at once");
    assert!(due.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_secs(60)), "{due:?}");
    for left in (0..11).rev() {
        house.clock.forward(Duration::from_secs(60));
        until("the next had its turn", || async { delayed().await.len() <= left }).await;
        assert_eq!(delayed().await.len(), left);
    }
    for (user, last) in [("ann", "9"), ("bob", "10"), ("cat", "11")] {
        assert_eq!(pass_of(&house, user).await.unwrap().message.unwrap().text, last, "in the order of arrival");
    }
    workers.drain(PATIENCE).await;
}

/// A transformation that asks the outside of events of those who are slow, and never ends for those who loop, with a flow that
/// counts events and shows the last.
async fn slow_flow(house: &House, url: &str) {
    let code = "export async function transformEvent(event) {
            if (event.userId.startsWith('loop')) for (;;) {}
            if (event.userId.startsWith('slow')) await fetchV2('URL');
            return event;
        }";
    house.transformation("ask", false, &code.replace("URL", url)).await;
    let card = json!({"id": "card", "action": "issue", "external_id": "$.userId", "if_exists": "skip"});
    let add = json!({"id": "add", "action": "update", "balances": {"points": {"add": 1}}, "message": "{{ properties.number }}"});
    let flow =
        json!({"slug": "asked", "project": "club", "transformation": "ask", "when": {"event": "seen"}, "steps": [card, add]});
    house.flow(flow).await;
}

async fn seen(house: &House, user: &str, number: usize) -> SourceEventId {
    let (id, mut event) = (format!("{user}-{number}"), call("seen", user, &json!({"number": number})));
    event["messageId"] = json!(id);
    house.arrives(&id, user, event).await
}

async fn last_seen(house: &House, user: &str) -> String {
    pass_of(house, user).await.unwrap().message.unwrap().text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_transformation_delays_its_customer_alone_and_a_kill_meanwhile_loses_nothing() {
    let house = House::new().await;
    let sink = Sink::start(&[], 0).await;
    slow_flow(&house, &sink.url).await;
    // All are there before the first is read, the slow ones first.
    let slow = [seen(&house, "slow", 0).await, seen(&house, "slow", 1).await];
    let looping = seen(&house, "loop", 0).await;
    let mut quick = Vec::new();
    for number in 0..20 {
        quick.push(seen(&house, ["ann", "bob"][number % 2], number).await);
    }
    let doomed = house.doomed("one", house::quick()).await;
    for id in quick {
        settled(&house, id, InboxStatus::Done).await;
    }
    assert_eq!((last_seen(&house, "ann").await, last_seen(&house, "bob").await), ("18".to_owned(), "19".to_owned()));
    for id in slow {
        let trace = settled(&house, id, InboxStatus::Waiting).await;
        assert!(trace["reason"].as_str().unwrap().contains("still running"), "{trace}");
    }
    let trace = settled(&house, looping, InboxStatus::Parked).await;
    assert!(trace["reason"].as_str().unwrap().contains("time"), "{trace}");
    assert!(pass_of(&house, "slow").await.is_none());
    until("it was asked", || async { sink.behaviour.under_way.load(std::sync::atomic::Ordering::Relaxed) == 1 }).await;

    doomed.vanish();
    sink.behaviour.gate.add_permits(100);
    house.clock.forward(Duration::from_secs(16));
    let workers = house.workers().await;
    for id in slow {
        settled(&house, id, InboxStatus::Done).await;
    }
    assert_eq!((points(&house, "slow").await, last_seen(&house, "slow").await), ("2".to_owned(), "1".to_owned()));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_when_a_process_was_killed_is_done_at_once_and_in_order() {
    let house = House::new().await;
    let sink = Sink::start(&[], 0).await;
    slow_flow(&house, &sink.url).await;
    let entry = async |id| house.store.source_event(house.org, id).await.unwrap().unwrap();
    let doomed = house.doomed("one", house::quick()).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(seen(&house, "slow", number).await);
        settled(&house, ids[number], InboxStatus::Waiting).await;
    }
    doomed.vanish();
    // As if each had been set aside a good while after the one before, and none of them were due soon.
    for (hours, id) in (1..).zip(&ids) {
        let entry = entry(*id).await;
        let due_at = Some(house.clock.now().plus(Duration::from_secs(3_600 * hours)));
        let result = InboxResult { due_at, ..entry.result.clone().unwrap() };
        house.store.settle_by_hand(&entry, result).await.unwrap();
    }
    ids.push(seen(&house, "slow", 3).await);

    sink.behaviour.gate.add_permits(100);
    let workers = house.workers().await;
    for id in &ids {
        settled(&house, *id, InboxStatus::Done).await;
    }
    assert_eq!((points(&house, "slow").await, last_seen(&house, "slow").await), ("4".to_owned(), "3".to_owned()));
    // Nobody waits behind what is done.
    let next = seen(&house, "slow", 4).await;
    settled(&house, next, InboxStatus::Done).await;
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slow_transformation_has_no_room_for_waits_in_the_store_and_keeps_its_order() {
    let house = House::new().await;
    let sink = Sink::start(&[], 0).await;
    slow_flow(&house, &sink.url).await;
    let mut ids = Vec::new();
    for number in 0..400 {
        ids.push(seen(&house, "slow", number).await);
    }
    let workers = house.workers().await;
    let last = settled(&house, ids[399], InboxStatus::Waiting).await;
    assert!(last["reason"].as_str().unwrap().contains("behind an earlier event"), "{last}");
    // Another customer's, of the same transformation: there is no room for it before those are done.
    let other = seen(&house, "ann", 0).await;
    sink.behaviour.gate.add_permits(1_000);
    // What is in memory goes on by itself.
    for id in &ids[..200] {
        settled(&house, *id, InboxStatus::Done).await;
    }
    // What comes meanwhile, and in the very moment that the others are due, overtakes none of them.
    house.clock.forward(Duration::from_secs(30));
    ids.push(seen(&house, "slow", 400).await);
    let read = async || house.store.source_event(house.org, ids[400]).await.unwrap().unwrap().result.is_some();
    until("it waits, or is done", || async { read().await }).await;
    house.clock.forward(Duration::from_secs(31));
    ids.push(seen(&house, "slow", 401).await);
    let all_done = async {
        for id in ids.iter().chain([&other]) {
            settled(&house, *id, InboxStatus::Done).await;
        }
    };
    // What finds no room comes again some seconds later, on the house's clock.
    let ticks = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            house.clock.forward(Duration::from_secs(1));
        }
    };
    tokio::select! {
        () = all_done => {}
        () = ticks => {}
    }
    assert_eq!((points(&house, "slow").await, last_seen(&house, "slow").await), ("402".to_owned(), "401".to_owned()));
    assert_eq!(sink.count(), 402, "each was asked for once");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_has_a_quarter_of_what_is_set_aside_and_the_rest_is_looked_at_again_soon() {
    let house = House::new().await;
    let sink = Sink::start(&[], 0).await;
    slow_flow(&house, &sink.url).await;
    // Fewer than one transformation may have, and more bytes than an organization may.
    let long = "x".repeat(64 << 10);
    let mut ids = Vec::new();
    for number in 0..120 {
        let mut event = call("seen", "slow", &json!({"number": number, "long": long}));
        event["messageId"] = json!(number.to_string());
        ids.push(house.arrives(&number.to_string(), "slow", event).await);
    }
    let workers = house.workers().await;
    let trace = settled(&house, ids[119], InboxStatus::Waiting).await;
    assert!(trace["reason"].as_str().unwrap().contains("still running"), "{trace}");
    let more = seen(&house, "slow", 120).await;
    let trace = settled(&house, more, InboxStatus::Waiting).await;
    assert!(trace["reason"].as_str().unwrap().contains("more to do than it can"), "{trace}");
    let result = house.store.source_event(house.org, more).await.unwrap().unwrap().result.unwrap();
    assert_eq!(result.due_at, Some(result.at.plus(Duration::from_secs(5))));

    sink.behaviour.gate.add_permits(1_000);
    settled(&house, ids[119], InboxStatus::Done).await;
    until("it is looked at again", || async {
        house.clock.forward(Duration::from_millis(100));
        house.store.source_event(house.org, more).await.unwrap().unwrap().result.unwrap().status == InboxStatus::Done.number()
    })
    .await;
    assert_eq!(last_seen(&house, "slow").await, "120");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_fails_is_tried_again_customer_by_customer() {
    let house = House::new().await;
    let code = "export function transformBatch(events) {
            for (const event of events) if (event.userId === 'bad') throw new Error('bad');
            return events;
        }";
    house.transformation_with("all", code, |it| it.batch = true).await;
    let card = json!({"id": "card", "action": "issue", "external_id": "$.userId", "if_exists": "skip"});
    let flow = json!({"slug": "seen", "project": "club", "transformation": "all", "when": {"event": "seen"}, "steps": [card]});
    house.flow(flow).await;
    let bad = seen(&house, "bad", 0).await;
    let mut good = Vec::new();
    for number in 0..6 {
        good.push(seen(&house, ["ann", "bob"][number % 2], number).await);
    }
    let workers = house.workers().await;
    settled(&house, bad, InboxStatus::Parked).await;
    for id in good {
        settled(&house, id, InboxStatus::Done).await;
    }
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blank_text_for_a_required_field_parks_the_event_and_names_the_field() {
    let house = House::new().await;
    let catalog = house.store.catalog();
    let stored = &catalog.org(house.org).unwrap().projects[&house.project.uuid()];
    let mut project = (*stored.value).clone();
    project.fields = serde_json::from_value(json!([{"key": "seat", "label": "Seat", "required": true}])).unwrap();
    assert!(house.store.put(&house.change(), &project, stored.revision).await.unwrap());
    let card = json!([{"id": "card", "action": "issue", "external_id": "$.userId", "fields": {"seat": "$.properties.seat"}}]);
    house.flow(json!({"slug": "sign-up", "project": "club", "when": {"event": "signed_up"}, "steps": card})).await;
    let workers = house.workers().await;
    for (user, seat, status) in [("ann", "12C", InboxStatus::Done), ("bob", "", InboxStatus::Parked)] {
        let id = house.arrives(user, user, call("signed_up", user, &json!({"seat": seat}))).await;
        let trace = settled(&house, id, status).await.to_string();
        let is_told = trace.contains("fields.seat") && trace.contains("is required");
        assert_eq!(is_told, status == InboxStatus::Parked, "{trace}");
    }
    assert!(pass_of(&house, "ann").await.is_some() && pass_of(&house, "bob").await.is_none());
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_does_not_fit_any_more_parks_the_events_that_it_is_for_and_no_others() {
    let house = House::new().await;
    let card = json!([{"id": "card", "action": "issue", "if_exists": "update"}]);
    house.flow(json!({"slug": "sign-up", "project": "club", "when": {"event": "signed_up"}, "steps": card})).await;
    let gone = json!([{"id": "card", "action": "issue", "fields": {"gone": "$.properties.gone"}}]);
    let condition = "properties.total > 100";
    let when = json!({"type": "track", "event": "Order Placed", "loose": true, "condition": condition});
    house.flow(json!({"slug": "orders", "project": "club", "when": when, "steps": gone})).await;
    house.flow(json!({"slug": "renamed", "project": "club-of-old", "when": {"event": "renewed"}, "steps": card})).await;
    let off = json!({"slug": "off", "enabled": false, "project": "club-of-old", "when": {"type": "track"}, "steps": card});
    house.flow(off).await;
    let workers = house.workers().await;
    for (key, event, total, status, why) in [
        ("1", "signed_up", 0, InboxStatus::Done, ""),
        ("2", "never_named", 500, InboxStatus::Ignored, ""),
        ("3", "order_placed", 99, InboxStatus::Ignored, ""),
        (
            "4",
            "order_placed",
            101,
            InboxStatus::Parked,
            "flow orders: steps[0].fields.gone: the project has no field of this key",
        ),
        ("5", "renewed", 0, InboxStatus::Parked, "flow renamed: project: there is no project `club-of-old`; there are club"),
    ] {
        let id = house.arrives(key, "ann", call(event, "ann", &json!({"total": total}))).await;
        if status == InboxStatus::Ignored {
            // What no flow is for may have no row of its own; the next event is behind it.
            continue;
        }
        let trace = settled(&house, id, status).await;
        assert!(trace["reason"].as_str().unwrap_or_default().starts_with(why), "{event}: {trace}");
    }
    let parked = store::InboxFilter { source: None, status: Some(InboxStatus::Parked.number()), before: None };
    assert_eq!(house.store.source_events(house.org, &parked, 10).await.unwrap().len(), 2);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_to_a_revoked_pass_is_told_of_and_has_it_again_where_the_flow_says_so() {
    let house = House::new().await;
    let flow = |slug: &str, step: Value| json!({"slug": slug, "project": "club", "when": {"event": slug}, "steps": [step]});
    house.flow(flow("joined", json!({"id": "card", "action": "issue"}))).await;
    house.flow(flow("left", json!({"id": "off", "action": "revoke", "reason": "left"}))).await;
    let workers = house.workers().await;
    let arrives = async |key: &str, event: &str| {
        let id = house.arrives(key, "ann", call(event, "ann", &json!({}))).await;
        (id, first_step(&settled(&house, id, InboxStatus::Done).await)["outcome"].as_str().unwrap().to_owned())
    };
    let state = async || pass_of(&house, "ann").await.unwrap().lifecycle.name();
    assert_eq!(arrives("1", "joined").await.1, "done");
    assert_eq!(arrives("2", "left").await.1, "done");
    let (back, outcome) = arrives("3", "joined").await;
    assert_eq!((outcome.as_str(), state().await), ("still_revoked", "revoked"));

    // The flow is mended, and what it did not do is done by a replay.
    house.change_flow("joined", |flow| flow.document["steps"][0]["if_exists"] = json!("reactivate")).await;
    let entry = house.store.source_event(house.org, back).await.unwrap().unwrap();
    house.store.replay(&entry, house.clock.now()).await.unwrap();
    until("replayed", || async { state().await == "active" }).await;
    assert_eq!(arrives("4", "left").await.1, "done");
    assert_eq!(arrives("5", "joined").await.1, "done");
    assert_eq!(state().await, "active");
    workers.drain(PATIENCE).await;
}

const SECRET: &str = "whsec_cHJlc2V0cHJlc2V0cHJlc2V0cHJlc2V0";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A webhook as its vendor signs it.
fn webhook(slug: &str, headers: &[(&str, &str)], body: &Value, now: Timestamp) -> Inbound {
    let body = body.to_string();
    let tag = |text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), text).as_ref().to_vec();
    let signature = match slug {
        "stripe" => {
            let seconds = now.as_seconds();
            let tag = tag(format!("{seconds}.{body}").as_bytes());
            ("stripe-signature", format!("t={seconds},v1={}", hex(&tag)))
        }
        "shopify" => ("x-shopify-hmac-sha256", STANDARD.encode(tag(body.as_bytes()))),
        "passkit" => ("x-passkit-signature", STANDARD.encode(tag(body.as_bytes()))),
        "walletcrew" => ("x-neostore-signature", STANDARD.encode(tag(body.as_bytes()))),
        "passengine" => ("x-passengine-signature", hex(&tag(body.as_bytes()))),
        "passslot" => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
            ("x-passslot-signature", format!("sha1={}", hex(hmac::sign(&key, body.as_bytes()).as_ref())))
        }
        _ => ("x-wc-webhook-signature", STANDARD.encode(tag(body.as_bytes()))),
    };
    let mut all = http::HeaderMap::new();
    for (name, value) in headers.iter().copied().chain([(signature.0, signature.1.as_str())]) {
        all.insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    Inbound {
        entrance: Entrance::Webhook,
        method: http::Method::POST,
        headers: all,
        path: Vec::new(),
        query: Vec::new(),
        body: body.into(),
    }
}

/// Takes a vendor's webhook as its source does; the ids of what it told.
async fn takes(house: &House, slug: &str, inbound: Inbound) -> Vec<SourceEventId> {
    takes_as(house, slug, inbound, Settings::default()).await
}

/// Makes the house's source one of that connector.
async fn source_is(house: &House, kind: &str) {
    let catalog = house.store.catalog();
    let stored = &catalog.org(house.org).unwrap().sources[&house.source.uuid()];
    let source = domain::Source { kind: kind.to_owned(), ..(*stored.value).clone() };
    assert!(house.store.put(&house.change(), &source, stored.revision).await.unwrap());
}

/// As `takes`, of a source with settings.
async fn takes_as(house: &House, slug: &str, inbound: Inbound, settings: Settings) -> Vec<SourceEventId> {
    let source = connectors::catalog::find(slug).unwrap().source.unwrap();
    let now = house.clock.now();
    let secrets = [SharedSecret::new(SECRET).unwrap()];
    let authentic = (source.verify)(inbound, &Lock { key: None, secrets: &secrets, settings: &settings, now }).unwrap();
    let fresh = SourceEventId::mint(now, &house::System).uuid();
    let arrival = connectors::kit::Arrival { received_at: now, fresh, strict: false, settings: &settings };
    let decoded = (source.decode)(&authentic, &arrival);
    assert!(decoded.faults.is_empty(), "{:?}", decoded.faults);
    let arrivals = decoded.events.into_iter().map(|event| store::Arrival {
        org: house.org,
        source: house.source,
        received_at: now,
        event,
        fault: None,
    });
    house.store.accept(arrivals.collect()).await.unwrap().into_iter().map(|accepted| accepted.0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_has_one_pass_by_the_presets_of_shops_and_payments() {
    let topic = |slug: &str, topic: &str| match slug {
        "stripe" => Vec::new(),
        "shopify" => vec![("x-shopify-topic", topic.to_owned()), ("x-shopify-shop-domain", "cafe.myshopify.com".to_owned())],
        _ => vec![("x-wc-webhook-topic", topic.to_owned()), ("x-wc-webhook-source", "https://cafe.example.com/".to_owned())],
    };
    let order = |status: &str| {
        json!({"id": 727, "status": status, "customer_id": 0, "total": "29.35",
            "billing": {"first_name": "Ada", "last_name": "Example", "email": "Ada@Example.com"}})
    };
    let paid = |id: u64, email: &str| json!({"id": id, "email": email, "customer": null, "total_price": "10.00"});
    let session = |event: &str, kind: &str, email: &str| {
        json!({"id": event, "object": "event", "type": kind, "created": 1_790_000_000, "livemode": true,
            "data": {"object": {"id": format!("cs_{email}"), "object": "checkout.session", "customer": null,
                "payment_status": "paid", "customer_details": {"email": email, "name": "Ada Example"}}}})
    };
    let (done, late) = ("checkout.session.completed", "checkout.session.async_payment_succeeded");
    let cases = [
        (
            "woocommerce",
            vec![
                ("order.created", order("processing")),
                ("order.updated", order("processing")),
                ("order.updated", order("completed")),
            ],
        ),
        ("shopify", vec![("orders/paid", paid(1, "Ada@example.com")), ("orders/paid", paid(2, "ada@example.com"))]),
        (
            "stripe",
            vec![
                ("", session("evt_1", done, "ada@example.com")),
                ("", session("evt_2", late, "ada@example.com")),
                ("", session("evt_3", done, "Ada@Example.com")),
            ],
        ),
    ];
    for (slug, sent) in cases {
        let house = House::new().await;
        for preset in connectors::catalog::find(slug).unwrap().presets {
            let flow = flows::flow::Flow::from_yaml(preset.flow).unwrap();
            house.flow(flows::flow::Flow { project: "club".to_owned(), ..flow }.to_json().unwrap()).await;
        }
        let workers = house.workers().await;
        for (name, body) in &sent {
            let headers = topic(slug, name);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let inbound = webhook(slug, &headers, body, house.clock.now());
            for id in takes(&house, slug, inbound).await {
                settled(&house, id, InboxStatus::Done).await;
            }
        }
        let passes = house.store.passes(house.org, Some(house.project), None, None, 100).await.unwrap();
        let held: Vec<_> = passes.iter().map(|pass| pass.external_id.as_deref()).collect();
        assert_eq!(held, [Some("ada@example.com")], "{slug}");
        workers.drain(PATIENCE).await;
    }
}

/// So many seconds from 2027-01-14T08:00:00Z, as Go writes it: a day before houses start.
fn go(seconds: i64) -> Value {
    json!({"seconds": 1_799_913_600 + seconds, "nanos": 743_534_000})
}

/// PassKit's body: what happened, the record's status (absent while it is 0), its lifecycle and when it was last installed and
/// uninstalled.
fn passkit(event: &str, status: u64, lifecycle: &[u64], times: (Option<i64>, Option<i64>)) -> Value {
    let mut metadata = json!({"lifecycleEvents": lifecycle, "utm": {}, "issueAt": go(0)});
    let keys = [("lastInstalledAt", times.0), ("lastUninstalledAt", times.1)];
    for (key, seconds) in keys.into_iter().filter_map(|(key, seconds)| Some((key, seconds?))) {
        metadata[key] = go(seconds);
    }
    if status > 0 {
        metadata["status"] = json!(status);
    }
    let person = json!({"displayName": "Ada Example", "emailAddress": "ada@example.com"});
    json!({"event": event, "pass": {"id": "5u5EO18473CDVG0Vw0VgPV", "protocol": 100, "personDetails": person, "metadata": metadata,
        "recordData": {"members.member.externalId": "ada"}}})
}

fn passslot(id: &str, event: &str, minute: u8, data: &Value) -> Value {
    let mut all = json!({"passPid": "p-1", "passSerialNumber": "s-1", "member": "ada"});
    all.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    json!({"id": id, "type": event, "created": format!("2027-01-14T09:{minute:02}:00Z"), "data": all})
}

fn walletcrew(id: &str, event: &str, minute: u8, device: Option<&str>) -> Value {
    let properties = json!({"passId": "p1", "passType": "loyalty", "identifiers": {"customerId": "ada"}, "device": device});
    json!({"id": id, "timestamp": format!("2027-01-14T09:{minute:02}:00Z"), "eventType": event, "properties": properties})
}

fn passengine(event: &str, status: &str, minute: u8, scan: &Value) -> Value {
    let data = json!({"id": "clx1", "status": status, "client": {"name": "Ada", "email": "ada@example.com"}, "scan": scan});
    json!({"event": event, "timestamp": format!("2027-01-14T09:{minute:02}:00.000Z"), "data": data})
}

/// What a mirrored account sends, and what the contact's status and the log of its pass say afterwards.
type Mirrored = (&'static str, Vec<Value>, &'static str, Vec<&'static str>);

fn mirrored() -> Vec<Mirrored> {
    let (created, installed, uninstalled) = ("PASS_EVENT_RECORD_CREATED", "PASS_EVENT_INSTALLED", "PASS_EVENT_UNINSTALLED");
    let (here, gone) = ("registration.created", "registration.deleted");
    let phone = |name: &str| json!({"deviceLibraryIdentifier": name});
    vec![
        (
            "passkit",
            vec![
                passkit(created, 0, &[], (None, None)),
                passkit(installed, 1, &[1, 2], (Some(60), None)),
                // As its published sample names it, before the install that came first, and once more.
                passkit("PASS_EVENT_RECORD_UPDATED", 2, &[1, 2, 1024], (Some(60), Some(120))),
                passkit(installed, 1, &[1, 2, 4], (Some(60), None)),
                passkit("PASS_EVENT_RECORD_UPDATED", 2, &[1, 2, 1024], (Some(60), Some(120))),
                passkit(installed, 1, &[4, 1024], (Some(180), Some(120))),
            ],
            "google",
            vec!["created", "installed apple", "uninstalled apple told", "installed google"],
        ),
        ("passkit", vec![passkit(uninstalled, 1, &[2], (Some(60), Some(30)))], "apple", vec!["created", "installed apple"]),
        ("passkit", vec![passkit(installed, 1, &[2, 4], (Some(60), None))], "unknown", vec!["created", "installed unknown"]),
        (
            "passslot",
            vec![
                passslot("e1", here, 1, &phone("d1")),
                passslot("e2", here, 2, &phone("d2")),
                passslot("e4", gone, 4, &phone("d1")),
                passslot("e3", here, 3, &phone("d1")),
                passslot("e5", "scan.performed", 5, &json!({"action": "redeem", "scanner": "door", "authorized": true})),
                passslot("e6", "scan.performed", 6, &json!({"action": "scan", "scanner": "door", "authorized": true})),
            ],
            "apple",
            vec!["created", "installed apple", "installed apple", "uninstalled apple unregistered", "scanned by door"],
        ),
        (
            "walletcrew",
            vec![
                walletcrew("1", "Pass:Installed", 1, Some("apple")),
                walletcrew("2", "Pass:Installed", 2, Some("google")),
                walletcrew("3", "Pass:Uninstalled", 3, Some("apple")),
                walletcrew("4", "Pass:Scanned", 4, None),
            ],
            "google",
            vec!["created", "installed apple", "installed google", "uninstalled apple told", "scanned"],
        ),
        (
            "walletcrew",
            vec![walletcrew("1", "Pass:Installed", 1, None), walletcrew("2", "Pass:Uninstalled", 2, None)],
            "none",
            vec!["created", "installed unknown", "uninstalled unknown told"],
        ),
        (
            "walletcrew",
            vec![
                walletcrew("1", "Pass:Scanned", 1, None),
                json!({"id": "2", "timestamp": "2025-03-01T09:00:00Z", "eventType": "Pass:Scanned", "properties": {
                    "passId": "p1", "passType": "loyalty", "identifiers": {"customerId": "ada"}}}),
            ],
            "none",
            // the older came last, from long before there was a pass here
            vec!["created", "scanned", "scanned"],
        ),
        (
            "passengine",
            vec![
                passengine("pass.created", "active", 0, &Value::Null),
                passengine(
                    "pass.scanned",
                    "active",
                    1,
                    &json!({"result": "accepted", "scanner": "door", "at": "2027-01-14T09:01:00Z"}),
                ),
                passengine("pass.scanned", "active", 2, &json!({"result": "already_used", "scanner": "door"})),
                passengine("pass.status_changed", "revoked", 3, &Value::Null),
            ],
            "none",
            vec!["created", "scanned by door", "revoked"],
        ),
    ]
}

/// A pass's log in a few words.
async fn log_of(house: &House, pass: &Pass) -> Vec<String> {
    let events = house.store.events_of_pass(house.org, pass.id, 0, 1_000).await.unwrap();
    let words = |event: domain::Event| {
        let about = match &event.facts {
            Facts::PassInstalled { wallet, elsewhere: true, .. } => format!(" {}", wallet.name()),
            Facts::PassUninstalled { wallet, reason, elsewhere: true, .. } => {
                format!(" {} {}", wallet.name(), serde_json::to_value(reason).unwrap().as_str().unwrap())
            }
            Facts::PassScanned { scan, .. } => {
                scan.operator.as_ref().map(|operator| format!(" by {operator}")).unwrap_or_default()
            }
            _ => String::new(),
        };
        format!("{}{about}", event.kind().name().strip_prefix("pass.").unwrap())
    };
    events.into_iter().filter_map(|event| event.whole()).map(words).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_mirrored_account_tells_of_installs_and_scans_is_what_stands_here_in_the_end() {
    for (slug, sent, status, log) in mirrored() {
        let house = House::new().await;
        source_is(&house, slug).await;
        let preset = connectors::catalog::find(slug).unwrap().presets[0];
        let flow = flows::flow::Flow::from_yaml(preset.flow).unwrap();
        house.flow(flows::flow::Flow { project: "club".to_owned(), ..flow }.to_json().unwrap()).await;
        let workers = house.workers().await;
        let before = house.clock.now();
        for body in &sent {
            let settings = Settings::from([("user".to_owned(), domain::FieldValue::Text("member".to_owned()))]);
            let settings = if slug == "passslot" { settings } else { Settings::default() };
            for id in takes_as(&house, slug, webhook(slug, &[], body, house.clock.now()), settings).await {
                settled(&house, id, InboxStatus::Done).await;
            }
        }
        let passes = house.store.passes(house.org, Some(house.project), None, None, 100).await.unwrap();
        let [pass] = passes.as_slice() else { panic!("{slug}: {} passes", passes.len()) };
        assert_eq!(log_of(&house, pass).await, log, "{slug}");
        let id = ContactRef::Id(pass.contact.unwrap());
        let holder = house.store.contact(house.org, &id).await.unwrap().unwrap();
        assert_eq!(holder.wallet_status().name(), status, "{slug}");
        assert!(holder.wallet_status().changed_at.is_none_or(|at| at < before), "{slug}: as of the platform's time");
        let installations = house.store.installations(house.org, pass.id, None, 100).await.unwrap();
        assert!(installations.iter().all(|it| it.push_token.is_none()), "{slug}: nobody is woken");
        workers.drain(PATIENCE).await;
    }
}
