//! What people ask of their webhooks, over a real database, a real engine and real receivers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::time::Duration;

use domain::{EventKind, Payload, Target, TargetEvents, Validity};
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
