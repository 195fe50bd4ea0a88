//! What flows do with time, over a real database (SQLite, or PostgreSQL where `TESTKIT_DATABASE` says so) with a real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::time::Duration;

use domain::{Clock as _, Pass, SourceEventId, Timestamp};
use house::{House, until};
use serde_json::{Value, json};
use store::InboxStatus;

const PATIENCE: Duration = Duration::from_secs(30);

fn call(event: &str, user: &str, properties: Value) -> Value {
    json!({"type": "track", "event": event, "userId": user, "properties": properties})
}

/// The trace of an event, once it is settled as this.
async fn settled(house: &House, id: SourceEventId, status: InboxStatus) -> Value {
    let result = async || house.store.source_event(house.org, id).await.unwrap().unwrap().result;
    until("settled", || async { result().await.is_some_and(|result| result.status == status.number()) }).await;
    serde_json::from_str(&result().await.unwrap().trace).unwrap()
}

/// The first step of the flow that the event was for.
fn first_step(trace: &Value) -> Value {
    let flows = trace["flows"].as_array().unwrap();
    flows.iter().find(|flow| flow["matched"] == true).unwrap()["steps"][0].clone()
}

async fn pass_of(house: &House, external_id: &str) -> Option<Pass> {
    let passes = house.store.passes(house.org, Some(house.project), None, None, 100).await.unwrap();
    passes.into_iter().find(|pass| pass.external_id.as_deref() == Some(external_id))
}

async fn points(house: &House, external_id: &str) -> String {
    pass_of(house, external_id).await.unwrap().balances["points"].to_string()
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
        let id = house.arrives_from(key, "ann", call(event, "ann", json!({"points": points})), at(seconds)).await;
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
    let id = house.arrives_from("6", "ann", call("left", "ann", json!({"points": 30})), Some(far)).await;
    settled(&house, id, InboxStatus::Done).await;
    let id = house.arrives_from("7", "ann", call("left", "ann", json!({"points": 31})), Some(house.clock.now())).await;
    settled(&house, id, InboxStatus::Done).await;
    assert_eq!(points(&house, "ann").await, "31");

    // What was left is decided anew by a replay, with the flow as it is then; what was applied stays.
    let id = house.arrives_from("8", "ann", call("left", "ann", json!({"points": 40})), at(1)).await;
    assert_eq!(first_step(&settled(&house, id, InboxStatus::Done).await)["outcome"], "unchanged");
    let entry = house.store.source_event(house.org, id).await.unwrap().unwrap();
    house.change_flow("left", |document| document["late"] = json!("apply")).await;
    house.store.replay(&entry, house.clock.now()).await.unwrap();
    until("replayed", || async { points(&house, "ann").await == "40" }).await;
    workers.drain(PATIENCE).await;
}
