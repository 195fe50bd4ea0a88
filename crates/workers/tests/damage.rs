//! Rows that are missing or damaged: whoever needs them stops, says which, and goes on when they are mended.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::time::Duration;

use domain::{Action, BalanceChange, Pass, PassChange, PassRef, Validity};
use house::{House, Sink, until};
use serde_json::json;
use store::Reader;
use workers::Workers;

const PATIENCE: Duration = Duration::from_secs(30);

async fn sql(house: &House, text: &str) {
    testkit::postgres::execute(house.url.as_ref().unwrap(), text).await.unwrap();
}

/// A pass with four events, all in one shard.
async fn changed_often(house: &House) -> Pass {
    let pass = house.issued("one", Validity::default()).await;
    for _ in 0..3 {
        let balances = [("points".to_owned(), BalanceChange::Add("1".parse().unwrap()))].into();
        let change = Box::new(PassChange { balances, ..PassChange::default() });
        let action = Action::Update { pass: PassRef::Id(pass.id), change, expected_version: None };
        house.engine.submit(house.command(action)).await.unwrap();
    }
    pass
}

async fn says(workers: &Workers, parts: &[&str]) {
    until("the damage is named", || async {
        let said = workers.fault().unwrap_or_default();
        parts.iter().all(|part| said.contains(part))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_the_event_log_is_named() {
    let house = House::on_postgres().await;
    let pass = changed_often(&house).await;
    sql(&house, &format!("DELETE FROM events WHERE shard = {} AND seq = 2", pass.shard)).await;
    let sink = Sink::start(&[], 100).await;
    house.target(&sink.url).await;
    let workers = house.workers().await;
    says(&workers, &["table events", &format!("shard {}", pass.shard), "number 2"]).await;
    assert_eq!(house.mark(Reader::Webhooks).await, 0, "what comes after the gap is not passed over");
    workers.drain(PATIENCE).await;
    assert_eq!(sink.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_the_inbox_is_named() {
    let house = House::on_postgres().await;
    for number in 0..3 {
        house.arrives(&number.to_string(), "ann", json!({"type": "track", "event": "other", "userId": "ann"})).await;
    }
    sql(&house, "DELETE FROM inbox WHERE seq = 2").await;
    let workers = house.workers().await;
    says(&workers, &["table inbox, column seq", "number 2", "it is missing"]).await;
    assert_eq!(house.mark(Reader::Flows).await, 0);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_holds_its_shard_until_it_is_mended() {
    let house = House::on_postgres().await;
    let pass = changed_often(&house).await;
    let flip = format!(
        "UPDATE events SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1) WHERE shard = {} AND seq = 3",
        pass.shard
    );
    sql(&house, &flip).await;
    let sink = Sink::start(&[], 100).await;
    let target = house.target(&sink.url).await;
    let workers = house.workers().await;
    says(&workers, &["table events, column body", &format!("shard {}, number 3", pass.shard)]).await;
    assert_eq!(house.mark(Reader::Webhooks).await, 0);
    sql(&house, &flip).await;
    until("all are delivered", || async { house.attempts(target).await.len() == 4 }).await;
    until("it is fit again", || async { workers.fault().is_none() }).await;
    workers.drain(PATIENCE).await;
}
