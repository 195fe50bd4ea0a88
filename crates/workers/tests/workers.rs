//! The workers over a real database (SQLite, or PostgreSQL where `TESTKIT_DATABASE` says so), with a real engine, real
//! receivers and a simulated APNs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::time::Duration;

use domain::{
    Action, Amount, BalanceChange, Clock as _, EventKind, InstallationState, PassChange, PassRef, Sighting, Target, TargetEvents,
    UninstallReason, Validity, Wallet,
};
use house::{
    House, PASS_TYPE, Sink,
    apple::{PushService, der},
    quick, until,
};
use serde_json::json;
use simulators::apns::Answer;
use store::{InboxStatus, Reader, StoredSigner, StoredTarget};
use workers::{Settings, WebhookSettings};

const PATIENCE: Duration = Duration::from_secs(30);

fn signed_up(user: &str) -> serde_json::Value {
    json!({"type": "track", "event": "signed_up", "userId": user, "properties": {"points": 5}})
}

async fn sign_up_flow(house: &House) {
    let issue = json!({"id": "card", "action": "issue", "if_exists": "skip"});
    house.flow(json!({"slug": "sign-up", "project": "club", "when": {"event": "signed_up"}, "steps": [issue]})).await;
    let find = json!({"contact": "$.userId"});
    let add = json!({"id": "add", "action": "update", "find": find, "balances": {"points": {"add": "$.properties.points"}}});
    house.flow(json!({"slug": "earn", "project": "club", "when": {"event": "earned"}, "steps": [add]})).await;
}

fn earned(user: &str, points: i64) -> serde_json::Value {
    json!({"type": "track", "event": "earned", "userId": user, "properties": {"points": points}})
}

async fn status(house: &House, id: domain::SourceEventId) -> Option<InboxStatus> {
    let entry = house.store.source_event(house.org, id).await.unwrap().unwrap();
    entry.result.and_then(|result| InboxStatus::from_number(result.status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_become_passes_in_order_and_once() {
    let house = House::new().await;
    sign_up_flow(&house).await;
    let workers = house.workers().await;
    let mut last = Vec::new();
    for user in 0..20 {
        let user = format!("u{user}");
        house.arrives(&format!("{user}-0"), &user, signed_up(&user)).await;
        for number in 1..=5 {
            last.push(house.arrives(&format!("{user}-{number}"), &user, earned(&user, number)).await);
        }
    }
    let unknown = house.arrives("x", "nobody", json!({"type": "track", "event": "other", "userId": "nobody"})).await;
    until("all settled", || async {
        status(&house, unknown).await.is_some() && status(&house, last[last.len() - 1]).await.is_some()
    })
    .await;
    for id in &last {
        assert_eq!(status(&house, *id).await, Some(InboxStatus::Done));
    }
    assert_eq!(status(&house, unknown).await, Some(InboxStatus::Ignored));
    let points = async |house: &House| {
        let passes = house.store.passes(house.org, Some(house.project), None, None, 100).await.unwrap();
        passes.iter().map(|pass| pass.balances["points"]).collect::<Vec<_>>()
    };
    assert_eq!(points(&house).await, vec!["15".parse::<Amount>().unwrap(); 20]);
    workers.drain(PATIENCE).await;

    // The same log read again from its start, as after a crash before the watermark was written.
    house.rewind(Reader::Flows).await;
    for id in &last {
        let entry = house.store.source_event(house.org, *id).await.unwrap().unwrap();
        house.store.replay(&entry, house.clock.now()).await.unwrap();
    }
    let workers = house.workers().await;
    until("all replayed", || async {
        let mut done = true;
        for id in &last {
            let entry = house.store.source_event(house.org, *id).await.unwrap().unwrap();
            done &= entry.result.is_some_and(|result| result.runs == 2 && result.status == InboxStatus::Done.number());
        }
        done
    })
    .await;
    assert_eq!(points(&house).await, vec!["15".parse::<Amount>().unwrap(); 20], "replayed and nothing was added twice");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_parks_its_event_and_a_replay_mends_it() {
    let house = House::new().await;
    sign_up_flow(&house).await;
    let workers = house.workers().await;
    let early = house.arrives("1", "ann", earned("ann", 3)).await;
    let issue = house.arrives("2", "ann", signed_up("ann")).await;
    let late = house.arrives("3", "ann", earned("ann", 4)).await;
    until("the last is done", || async { status(&house, late).await == Some(InboxStatus::Done) }).await;
    assert_eq!(status(&house, issue).await, Some(InboxStatus::Done));
    let entry = house.store.source_event(house.org, early).await.unwrap().unwrap();
    let result = entry.result.clone().unwrap();
    assert_eq!(result.status, InboxStatus::Parked.number());
    assert!(result.trace.contains("flow earn, step add") && result.trace.contains("not_found"), "{}", result.trace);
    house.store.replay(&entry, house.clock.now()).await.unwrap();
    until("the replay is done", || async { status(&house, early).await == Some(InboxStatus::Done) }).await;
    let points = async || house.store.passes(house.org, Some(house.project), None, None, 10).await.unwrap()[0].balances["points"];
    assert_eq!(points().await, "7".parse().unwrap());

    // Only an explicit run number does a thing twice, and it twice once.
    for (run, runs) in [(None, 3), (Some(2), 4), (Some(2), 5), (None, 6)] {
        let entry = house.store.source_event(house.org, early).await.unwrap().unwrap();
        house.store.replay_all(&[entry], run, house.clock.now()).await.unwrap();
        until("the replay is done", || async {
            let entry = house.store.source_event(house.org, early).await.unwrap().unwrap();
            entry.result.is_some_and(|result| result.runs == runs && result.status == InboxStatus::Done.number())
        })
        .await;
        assert_eq!(points().await, if run.is_none() && runs == 3 { "7" } else { "10" }.parse().unwrap(), "run {run:?}");
    }
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_target_holds_nobody_and_loses_nothing() {
    let house = House::new().await;
    let (slow, quick) = (Sink::start(&[], 0).await, Sink::start(&[], 1_000).await);
    let (slow_id, quick_id) = (house.target(&slow.url).await, house.target(&quick.url).await);
    let workers = house.workers().await;
    for number in 0..40 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    until("the quick one has all", || async { house.attempts(quick_id).await.len() == 40 }).await;
    assert!(house.attempts(slow_id).await.is_empty());
    until("the watermark moved", || async { house.mark(Reader::Webhooks).await >= 40 }).await;
    assert_eq!(slow.behaviour.most.load(std::sync::atomic::Ordering::SeqCst), 8, "no more at once than its lane has places");
    slow.behaviour.gate.add_permits(1_000);
    until("the slow one has all", || async {
        house.clock.forward(Duration::from_millis(50));
        house.attempts(slow_id).await.len() == 40
            && house.store.backend().deliveries(house.org, None, None, 10).await.unwrap().is_empty()
    })
    .await;
    assert!(slow.by_delivery().len() == 40 && slow.by_delivery().values().all(|count| *count == 1), "{:?}", slow.by_delivery());
    assert!(quick.by_delivery().len() == 40 && quick.count() == 40);
    workers.drain(PATIENCE).await;

    // A restarted reader that had not written its watermark sends nothing again.
    house.rewind(Reader::Webhooks).await;
    let workers = house.workers().await;
    house.issued("later", Validity::default()).await;
    until("the later one came", || async {
        house.attempts(slow_id).await.len() == 41 && house.attempts(quick_id).await.len() == 41
    })
    .await;
    assert_eq!((slow.count(), quick.count()), (41, 41));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_tried_again_and_gone_means_gone() {
    let house = House::new().await;
    let (flaky, gone) = (Sink::start(&[500, 503], 100).await, Sink::start(&[410], 100).await);
    let (flaky_id, gone_id) = (house.target(&flaky.url).await, house.target(&gone.url).await);
    let workers = house.workers().await;
    house.issued("one", Validity::default()).await;
    until("delivered at last", || async {
        house.clock.forward(Duration::from_secs(10));
        house.attempts(flaky_id).await.len() == 3
    })
    .await;
    let attempts = house.attempts(flaky_id).await;
    let told: Vec<_> = attempts.iter().rev().map(|row| (row.attempt, row.outcome, row.status)).collect();
    assert_eq!(told, [(1, 2, Some(500)), (2, 2, Some(503)), (3, 1, Some(200))]);
    assert_eq!(flaky.by_delivery().len(), 1, "the delivery's id is the same on every attempt");
    assert!(
        flaky.behaviour.seen.lock().iter().all(|(headers, _)| headers["x-tenant"] == "bean"),
        "headers are opened to be sent"
    );
    let detail = house.store.open_detail(&attempts[0]).unwrap().unwrap();
    let detail: serde_json::Value = serde_json::from_slice(&detail).unwrap();
    assert_eq!(detail["request"]["method"], "POST");
    assert!(detail["request"]["headers"]["webhook-signature"].as_str().unwrap().starts_with("v1,"), "{detail}");
    assert_eq!(detail["reply"]["status"], 200);
    let stored = async || {
        house.store.refresh().await.unwrap();
        let catalog = house.store.catalog();
        StoredTarget::clone(&catalog.org(house.org).unwrap().targets[&gone_id.uuid()].value)
    };
    until("switched off", || async { !stored().await.target.enabled }).await;
    assert!(stored().await.target.disabled_reason.as_deref().unwrap().contains("410"));
    house.issued("two", Validity::default()).await;
    until("the other one goes on", || async { house.attempts(flaky_id).await.len() == 4 }).await;
    assert_eq!(gone.count(), 1, "nothing is owed to a target that is switched off");
    assert!(house.store.backend().deliveries(house.org, None, None, 10).await.unwrap().is_empty());
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shape_s_own_schedule_is_kept_until_it_is_switched_off() {
    let house = House::new().await;
    let (failing, fine) = (Sink::start(&[500; 40], 100).await, Sink::start(&[], 100).await);
    let in_shape = |dialect: &'static str| {
        move |target: &mut Target| {
            target.dialect = dialect.to_owned();
            target.events = TargetEvents::Only(vec![EventKind::PassCreated]);
        }
    };
    let failing_id = house.target_with(&failing.url, in_shape("passengine")).await;
    let fine_id = house.target_with(&fine.url, in_shape("standard-webhooks")).await;
    let stored = async || {
        house.store.refresh().await.unwrap();
        let catalog = house.store.catalog();
        StoredTarget::clone(&catalog.org(house.org).unwrap().targets[&failing_id.uuid()].value)
    };
    let workers = house.workers().await;
    for number in 1..=5 {
        assert!(stored().await.target.enabled, "{number}");
        house.issued(&number.to_string(), Validity::default()).await;
        until("given up", || async {
            house.clock.forward(Duration::from_secs(60));
            let attempts = house.attempts(failing_id).await;
            attempts.iter().filter(|row| row.outcome == 3).count() == number
        })
        .await;
    }
    assert_eq!(house.attempts(failing_id).await.len(), 20, "four attempts each");
    until("switched off", || async { !stored().await.target.enabled }).await;
    assert_eq!(stored().await.target.disabled_reason.as_deref(), Some("5 deliveries in a row were given up"));
    until("the other one goes on", || async { house.attempts(fine_id).await.len() == 5 }).await;
    let (failed, told) = (failing.behaviour.seen.lock().clone(), fine.behaviour.seen.lock().clone());
    assert!(failed.iter().all(|(headers, _)| headers["x-2pass-event"] == "pass.created"));
    assert!(told.iter().all(|(headers, _)| headers.contains_key("webhook-signature") && !headers.contains_key("x-2pass-event")));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_finishes_what_is_being_sent() {
    let house = House::new().await;
    let sink = Sink::start(&[], 0).await;
    let target = house.target(&sink.url).await;
    let webhooks = WebhookSettings { concurrency: 2, spill_after: Duration::from_secs(3_600), ..WebhookSettings::default() };
    let workers = house.workers_with(Settings { webhooks: webhooks.clone(), ..Settings::default() }).await;
    for number in 0..6 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    until("two are being sent", || async { sink.count() == 2 }).await;
    let draining = tokio::spawn(workers.drain(PATIENCE));
    sink.behaviour.gate.add_permits(100);
    draining.await.unwrap();
    assert_eq!(house.attempts(target).await.len(), sink.count(), "every request that was made is written down");
    let leases = house.store.backend().leases().await.unwrap();
    assert!(leases.iter().all(|row| row.owner.is_empty()), "{leases:?}");
    let workers = house.workers_with(Settings { webhooks, ..Settings::default() }).await;
    until("the rest came", || async { house.attempts(target).await.len() == 6 }).await;
    assert!(sink.by_delivery().len() == 6 && sink.count() == 6, "{:?}", sink.by_delivery());
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_passes_wake_their_phones_once_and_dead_tokens_are_buried() {
    let mut house = House::new().await;
    let apns = PushService::start(&mut house).await.apns;
    let (phone, dead) = ("a1".repeat(32), "b2".repeat(32));
    apns.answer(&dead, Answer::Unregistered { timestamp_ms: 1_900_000_000_000 });
    let (one, two) = (house.issued("one", Validity::default()).await, house.issued("two", Validity::default()).await);
    let install = async |pass, device: &str, token: &str| {
        let sighting = Sighting { at: house.clock.now(), ..Sighting::default() };
        let (device, push_token) = (device.to_owned(), Some(token.to_owned()));
        let action = Action::RecordInstall { pass: PassRef::Id(pass), wallet: Wallet::Apple, device, push_token, sighting };
        house.engine.submit(house.command(action)).await.unwrap();
    };
    install(one.id, "phone", &phone).await;
    install(two.id, "phone", &phone).await;
    install(two.id, "gone", &dead).await;
    let add = |pass| {
        let balances = [("points".to_owned(), BalanceChange::Add("1".parse().unwrap()))].into();
        let change = Box::new(PassChange { balances, ..PassChange::default() });
        house.command(Action::Update { pass: PassRef::Id(pass), change, expected_version: None })
    };
    let changed = house.engine.submit_all(vec![add(one.id), add(two.id)]).await;
    assert!(changed.iter().all(Result::is_ok));
    // Both changes are there before anybody looks, so that one look finds them.
    let workers = house.workers().await;
    until("the dead one is buried", || async {
        let rows = house.store.installations(house.org, two.id, None, 100).await.unwrap();
        let gone =
            |state: &InstallationState| matches!(state, InstallationState::Gone { reason: UninstallReason::TokenDead, .. });
        rows.iter().any(|row| row.device == "gone" && gone(&row.state))
    })
    .await;
    until("the phone is up to date", || async {
        let rows = house.store.backend().installations(house.org, two.id, None, 100).await.unwrap();
        let pass = house.store.backend().passes_on_device(house.org, "phone").await.unwrap();
        let seq = pass.iter().find(|pass| pass.id == two.id).unwrap().content_seq;
        rows.iter().any(|row| row.device == "phone" && row.pushed_seq == seq)
    })
    .await;
    let shards = if one.shard == two.shard { 1 } else { 2 };
    assert_eq!(apns.accepted(), shards, "one push for all passes of a change set that are in one shard");
    assert_eq!(apns.connections(), 1);
    workers.drain(PATIENCE).await;
}

/// One pass may be on more devices than are looked at together, and one phone may come under many names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_on_many_devices_wakes_each_phone_once() {
    const DEVICES: u64 = 600;
    let mut house = House::new().await;
    let apns = PushService::start(&mut house).await.apns;
    let pass = house.issued("one", Validity::default()).await;
    let install = |device: u64, token: String| {
        let sighting = Sighting { at: house.clock.now(), ..Sighting::default() };
        let (device, push_token) = (format!("device-{device:04}"), Some(token));
        let action = Action::RecordInstall { pass: PassRef::Id(pass.id), wallet: Wallet::Apple, device, push_token, sighting };
        house.command(action)
    };
    let own = (0..DEVICES).map(|device| install(device, format!("{device:064x}")));
    let one_phone = (DEVICES..2 * DEVICES).map(|device| install(device, "a1".repeat(32)));
    let installed = house.engine.submit_all(own.chain(one_phone).collect()).await;
    assert!(installed.iter().all(Result::is_ok));
    let workers = house.workers().await;
    let balances = [("points".to_owned(), BalanceChange::Add("1".parse().unwrap()))].into();
    let change = Box::new(PassChange { balances, ..PassChange::default() });
    let update = Action::Update { pass: PassRef::Id(pass.id), change, expected_version: None };
    house.engine.submit(house.command(update)).await.unwrap();
    until("all are up to date", || async {
        let all = house.store.backend().installations(house.org, pass.id, None, 5_000).await.unwrap();
        let seq = house.store.backend().passes_on_device(house.org, "device-0000").await.unwrap()[0].content_seq;
        all.len() as u64 == 2 * DEVICES && all.iter().all(|row| row.pushed_seq == seq)
    })
    .await;
    let pushes = apns.accepted();
    assert!((DEVICES + 1..=DEVICES + 4).contains(&pushes), "each phone once, the one of many names once a look: {pushes}");
    workers.drain(PATIENCE).await;
}

/// A renewed certificate pushes at once; where APNs refuses it, the one before goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_pushes_and_the_one_before_where_it_is_refused() {
    let mut house = House::new().await;
    let PushService { apns, authority, signer: old } = PushService::start(&mut house).await;
    let workers = house.workers().await;
    let pass = house.issued("one", Validity::default()).await;
    let sighting = Sighting { at: house.clock.now(), ..Sighting::default() };
    let (device, push_token) = ("phone".to_owned(), Some("a1".repeat(32)));
    let action = Action::RecordInstall { pass: PassRef::Id(pass.id), wallet: Wallet::Apple, device, push_token, sighting };
    house.engine.submit(house.command(action)).await.unwrap();
    let changed_and_woken = async |pushes: u64| {
        let balances = [("points".to_owned(), BalanceChange::Add("1".parse().unwrap()))].into();
        let change = Box::new(PassChange { balances, ..PassChange::default() });
        let update = Action::Update { pass: PassRef::Id(pass.id), change, expected_version: None };
        house.engine.submit(house.command(update)).await.unwrap();
        until("the phone is woken", || async { apns.accepted() == pushes }).await;
    };
    changed_and_woken(1).await;
    assert_eq!(apns.connections(), 1);

    let pem = authority.issue_pass_type(PASS_TYPE, "TEAM123456", PushService::validity()).unwrap();
    let previous = store::PreviousSigner {
        certificates: old.certificates.clone(),
        not_after: old.not_after,
        sealed_key: old.sealed_key.clone(),
        replaced_at: house.clock.now(),
    };
    let renewed = StoredSigner {
        certificates: format!("{}{}", pem.certificate, authority.intermediate_pem()),
        sealed_key: house.store.seal_for::<StoredSigner>(house.org, old.id.uuid(), pem.key.as_bytes()).unwrap(),
        previous: Some(previous),
        ..old
    };
    assert!(house.store.put(&house.change(), &renewed, 1).await.unwrap());
    changed_and_woken(2).await;
    assert_eq!(apns.connections(), 2, "the new certificate is the client's");
    apns.refuse(der(&pem.certificate).into());
    let before = apns.requests();
    changed_and_woken(3).await;
    assert_eq!((apns.requests() - before, apns.connections()), (2, 3), "refused, and sent with the one before");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_expire_when_their_time_has_come_and_the_log_is_whole() {
    let house = House::new().await;
    let ends = house.clock.now().plus(Duration::from_secs(3_600));
    let pass = house.issued("one", Validity { starts_at: None, expires_at: Some(ends) }).await;
    let workers = house.workers().await;
    until("the log is checked", || async { house.mark(Reader::Integrity).await > 0 }).await;
    assert_eq!(workers.fault(), None);
    house.clock.forward(Duration::from_secs(3_601));
    until("expired", || async {
        let pass = house.store.pass(house.org, pass.id).await.unwrap().unwrap();
        matches!(pass.lifecycle, domain::Lifecycle::Expired { .. })
    })
    .await;
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_does_nothing_twice() {
    const PEOPLE: usize = 150;
    const PLACES: usize = 8;
    const UNWRITTEN: usize = 256;
    let house = House::new().await;
    sign_up_flow(&house).await;
    let sink = Sink::start(&[], 100_000).await;
    let target = house.target(&sink.url).await;
    for number in 0..PEOPLE {
        let user = format!("u{number}");
        house.arrives(&format!("{user}-0"), &user, signed_up(&user)).await;
        house.arrives(&format!("{user}-1"), &user, earned(&user, 2)).await;
    }
    // Three times the workers vanish between two instructions, as when the process is killed.
    for some in [20, 80, 200] {
        let node = house.doomed("one", quick()).await;
        until("some arrived", || async { sink.count() >= some }).await;
        node.vanish();
    }
    let workers = house.workers().await;
    until("all arrived", || async { sink.by_delivery().len() == 2 * PEOPLE }).await;
    until("all is written", || async { house.mark(Reader::Webhooks).await >= 3 * PEOPLE }).await;
    let passes = house.store.passes(house.org, Some(house.project), None, None, 1_000).await.unwrap();
    assert_eq!(passes.len(), PEOPLE);
    assert!(passes.iter().all(|pass| pass.balances["points"] == "2".parse().unwrap()), "every balance was added to once");
    let twice = sink.count() - 2 * PEOPLE;
    assert!(twice <= 3 * (PLACES + UNWRITTEN), "{twice} duplicates: more than what was in flight or not written");
    until("nothing is owed", || async {
        house.store.backend().deliveries(house.org, Some(target), None, 10).await.unwrap().is_empty()
    })
    .await;
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_through_their_flows_transformation() {
    let house = House::new().await;
    let library = "export const clean = (text) => text.trim().toLowerCase();";
    house.transformation("text", true, library).await;
    let code = "import { clean } from 'text';
        export async function transformEvent(event, metadata) {
            if (event.event === 'Noise') return;
            if (event.userId === 'loop') for (;;) {}
            if (event.userId === 'throws') throw new Error(event.userId);
            if (metadata(event).sourceName !== 'Shop') return;
            event.event = clean(event.event);
            event.properties = { reached: await fetch('http://169.254.169.254/latest/meta-data/') };
            return event.userId === 'two' ? [event, { ...event, userId: 'three' }] : event;
        }";
    house.transformation("tidy", false, code).await;
    let step = json!({"id": "card", "action": "issue", "contact": {"external_id": "$.userId"}, "external_id": "$.userId"});
    let condition = "properties.reached = \"ERROR\"";
    house
        .flow(json!({"slug": "sign-up", "project": "club", "transformation": "tidy",
            "when": {"event": "joined", "condition": condition}, "steps": [step]}))
        .await;
    let workers = house.workers().await;
    let mut ids = Vec::new();
    for (index, (name, user)) in
        [(" Joined ", "one"), ("Noise", "one"), ("Joined", "loop"), ("Joined", "throws"), ("JOINED", "two")].iter().enumerate()
    {
        let id = format!("m{index}");
        let event = json!({"type": "track", "event": name, "userId": user, "messageId": id});
        ids.push(house.arrives(&id, user, event).await);
    }
    let status = async |id| {
        let entry = house.store.source_event(house.org, id).await.unwrap().unwrap();
        entry.result.map(|result| (InboxStatus::from_number(result.status).unwrap(), result.trace))
    };
    until("all events are settled", async || {
        for id in &ids {
            if status(*id).await.is_none_or(|(status, _)| status == InboxStatus::Waiting) {
                return false;
            }
        }
        true
    })
    .await;
    let mut outcomes = Vec::new();
    for id in &ids {
        outcomes.push(status(*id).await.unwrap());
    }
    let of = |index: usize| (outcomes[index].0, outcomes[index].1.as_str());
    assert_eq!(of(0).0, InboxStatus::Done, "{outcomes:?}");
    assert_eq!(of(1).0, InboxStatus::Ignored, "{outcomes:?}");
    assert!(of(2).0 == InboxStatus::Parked && of(2).1.contains("transformation:4:") && of(2).1.contains("time"), "{outcomes:?}");
    assert!(of(3).0 == InboxStatus::Parked && of(3).1.contains("transformation:5:"), "{outcomes:?}");
    assert!(!of(3).1.contains("throws"), "what the code said may be personal");
    assert_eq!(of(4).0, InboxStatus::Done);
    assert_eq!(of(4).1.matches("\"done\"").count(), 2, "one event became two passes: {}", of(4).1);
    workers.drain(PATIENCE).await;
}

/// A batch waits while a reader is behind by its mark: one that has looked at everything says so, although nothing more comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_passes_write_how_far_they_are_when_nothing_more_comes() {
    let house = House::new().await;
    let workers = house.workers().await;
    let caught_up = async |house: &House| {
        let backend = house.store.backend();
        let heads = backend.heads(store::Log::Events).await.unwrap();
        let (wallets, google) = (backend.watermarks(Reader::WalletSync).await, backend.watermarks(Reader::Google).await);
        (wallets.unwrap(), google.unwrap()) == (heads.clone(), heads)
    };
    for number in 0..4 {
        let began = tokio::time::Instant::now();
        // Of two in one second the second one's mark is not written with it.
        for pass in ["a", "b"] {
            house.issued(&format!("{pass}-{number}"), Validity::default()).await;
        }
        until("the marks are written", || async { caught_up(&house).await }).await;
        assert!(began.elapsed() < Duration::from_secs(9), "sooner than they look whatever they are told");
    }
    workers.drain(PATIENCE).await;
}
