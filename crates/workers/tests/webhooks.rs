//! What people ask of their webhooks, over a real database, a real engine and real receivers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::time::Duration;

use domain::{EventKind, Payload, SwitchOff, Target, TargetEvents, TargetId, Validity};
use house::{House, Sink, until};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A target in our own shape, of new passes alone.
fn native(change: impl FnOnce(&mut Target)) -> impl FnOnce(&mut Target) {
    move |target| {
        target.dialect = "native".to_owned();
        target.events = TargetEvents::Only(vec![EventKind::PassCreated]);
        change(target);
    }
}

fn bodies(sink: &Sink) -> Vec<Value> {
    sink.behaviour.seen.lock().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_decides_what_is_sent() {
    let house = House::new().await;
    let (some, all) = (Sink::start(&[], 100).await, Sink::start(&[], 100).await);
    let filter = r#"type = "pass.created" and properties.pass.external_id ends_with "2""#;
    let some_id = house.target_with(&some.url, native(|target| target.filter = Some(filter.to_owned()))).await;
    let all_id = house.target_with(&all.url, native(|_| ())).await;
    let workers = house.workers().await;
    for number in 0..15 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    until("all are there", || async { house.attempts(all_id).await.len() == 15 }).await;
    until("some are there", || async { house.attempts(some_id).await.len() == 2 }).await;
    let mut told: Vec<_> = bodies(&some).iter().map(|body| body["data"]["pass"]["external_id"].clone()).collect();
    told.sort_by_key(ToString::to_string);
    assert_eq!(told, [json!("12"), json!("2")]);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_what_its_owner_makes_of_the_event() {
    let house = House::new().await;
    let code = "export function transformEvent(event) {
        if (event.userId === 'person-b') return;
        if (event.userId === 'person-c') throw new Error(event.userId);
        return { made: event.data.pass.external_id };
    }";
    house.transformation("mine", false, code).await;
    let payload = |payload: Value| {
        let payload: Payload = serde_json::from_value(payload).unwrap();
        native(move |target| target.payload = Some(payload))
    };
    let (text, mapping, made) = (Sink::start(&[], 100).await, Sink::start(&[], 100).await, Sink::start(&[], 100).await);
    let template = json!({"template": {"text": r#"{"who": {{ userId | tojson }}, "state": {{ data.pass.state | tojson }}}"#}});
    let text_id = house.target_with(&text.url, payload(template)).await;
    let mapping_id =
        house.target_with(&mapping.url, payload(json!({"mapping": {"id": {"@path": "$.data.pass.external_id"}}}))).await;
    let made_id = house.target_with(&made.url, payload(json!({"transformation": "mine"}))).await;
    let workers = house.workers().await;
    for name in ["a", "b", "c"] {
        house.issued(name, Validity::default()).await;
    }
    for id in [text_id, mapping_id] {
        until("delivered", || async { house.attempts(id).await.len() == 3 }).await;
    }
    until("made", || async { house.attempts(made_id).await.len() >= 2 }).await;
    assert!(bodies(&text).contains(&json!({"who": "person-a", "state": "active"})), "{:?}", bodies(&text));
    assert!(bodies(&mapping).contains(&json!({"id": "b"})), "{:?}", bodies(&mapping));
    assert_eq!(bodies(&made), [json!({"made": "a"})], "what code leaves out is not sent");
    assert!(text.behaviour.seen.lock().iter().all(|(headers, _)| headers.contains_key("webhook-signature")));
    let failed = house.attempts(made_id).await.into_iter().find(|row| row.outcome != 1).unwrap();
    let why = failed.error.unwrap();
    assert!(why.contains("the transformation `mine` failed") && !why.contains("person-c"), "{why}");
    workers.drain(PATIENCE).await;
}

async fn stored(house: &House, id: TargetId) -> Target {
    house.store.refresh().await.unwrap();
    house.store.catalog().org(house.org).unwrap().targets[&id.uuid()].value.target.clone()
}

/// What a sink was told of webhooks, by type.
fn notices(sink: &Sink) -> Vec<(String, Value)> {
    let notice = |body: Value| (body["type"].as_str().unwrap().to_owned(), body["data"]["facts"].clone());
    bodies(sink).into_iter().map(notice).collect()
}

/// A target that asks for what happens to others.
fn overseer(target: &mut Target) {
    target.dialect = "native".to_owned();
    target.events = TargetEvents::Only(vec![EventKind::WebhookFailing, EventKind::WebhookDisabled]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_is_told_of_a_webhook_that_is_switched_off() {
    let house = House::new().await;
    let (gone, failing, told, all) = (
        Sink::start(&[410], 100).await,
        Sink::start(&[500; 9], 100).await,
        Sink::start(&[], 100).await,
        Sink::start(&[], 100).await,
    );
    let gone_id = house.target_with(&gone.url, native(|_| ())).await;
    let twice = native(|target| target.switch_off.after_failures = Some(2));
    let failing_id = house
        .target_with(&failing.url, |target| {
            twice(target);
            // Four attempts, soon after one another.
            target.dialect = "passengine".to_owned();
        })
        .await;
    house.target_with(&told.url, overseer).await;
    let all_id = house.target_with(&all.url, |target| target.dialect = "native".to_owned()).await;
    let workers = house.workers().await;
    house.issued("one", Validity::default()).await;
    until("410 switches off", || async { !stored(&house, gone_id).await.enabled }).await;
    until("the first is given up", || async {
        house.clock.forward(Duration::from_secs(60));
        house.attempts(failing_id).await.iter().any(|row| row.outcome == 3)
    })
    .await;
    assert!(stored(&house, failing_id).await.enabled, "one is not two");
    house.issued("two", Validity::default()).await;
    until("two switch off", || async {
        house.clock.forward(Duration::from_secs(60));
        !stored(&house, failing_id).await.enabled
    })
    .await;
    until("it is told", || async { told.count() == 2 }).await;
    let mut heard = notices(&told);
    heard.sort_by_key(|(_, facts)| facts["reason"].to_string());
    assert!(heard.iter().all(|(kind, _)| kind == "webhook.disabled"), "{heard:?}");
    assert_eq!(
        (&heard[0].1["webhook"], &heard[0].1["reason"]),
        (&json!(failing_id), &json!("2 deliveries in a row were given up"))
    );
    assert!(heard[1].1["webhook"] == json!(gone_id) && heard[1].1["reason"].as_str().unwrap().contains("410"), "{heard:?}");
    assert!(notices(&all).iter().all(|(kind, _)| !kind.starts_with("webhook.")), "only who names them hears them");
    assert!(house.attempts(all_id).await.len() >= 2);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_takes_nothing_for_long_is_switched_off() {
    let house = House::new().await;
    let (failing, told) = (Sink::start(&[500; 400], 1_000).await, Sink::start(&[], 100).await);
    let ten_hours = |target: &mut Target| target.switch_off = SwitchOff { after_failures: None, after_hours: Some(10) };
    let failing_id = house.target_with(&failing.url, native(ten_hours)).await;
    house.target_with(&told.url, overseer).await;
    let workers = house.workers().await;
    for step in 0..40 {
        if !stored(&house, failing_id).await.enabled {
            break;
        }
        house.issued(&step.to_string(), Validity::default()).await;
        until("it failed", || async { house.attempts(failing_id).await.len() > step }).await;
        house.clock.forward(Duration::from_secs(1_800));
    }
    let target = stored(&house, failing_id).await;
    assert_eq!(target.disabled_reason.as_deref(), Some("it took nothing for 10 hours"));
    until("both are told", || async { told.count() >= 2 }).await;
    let heard = notices(&told);
    assert_eq!((heard[0].0.as_str(), heard[heard.len() - 1].0.as_str()), ("webhook.failing", "webhook.disabled"), "{heard:?}");
    assert!(heard.len() <= 3, "once a day: {heard:?}");
    workers.drain(PATIENCE).await;
}
