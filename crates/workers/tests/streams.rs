//! Streams of a real NATS server with JetStream as destinations, and topics of librdkafka's mock of Kafka: what is published, once
//! and in order, also while the server is away, answers are lost, or people have something to mend. Messages are read by the
//! vendor's own client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use domain::{Action, Clock as _, ContactId, ContactInput, FieldValue, Pass, TargetId, Validity, Wallet};
use house::{
    House,
    services::{destination, ended, install},
    until,
};
use serde_json::{Value, json};
use store::AttemptOutcome;
use testkit::{kafka::KafkaMock, nats::NatsServer};
use tokio::{
    io::{AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn events() -> Value {
    json!({"name": "EVENTS", "subjects": ["passbridge.>"]})
}

async fn in_clear(house: &House, url: &str, credentials: &[(&str, &str)]) -> TargetId {
    let user = credentials.iter().any(|(name, _)| *name == "password");
    let settings = if user { json!({"tls": "off", "user": "ada"}) } else { json!({"tls": "off"}) };
    destination(house, "nats", url, settings, credentials).await
}

/// A pass with four events.
async fn lives(house: &House, name: &str) -> Pass {
    let pass = house.issued(name, Validity::default()).await;
    install(house, &pass, Wallet::Apple, "phone").await;
    install(house, &pass, Wallet::Google, "").await;
    install(house, &pass, Wallet::Apple, "watch").await;
    pass
}

/// Waits until nothing is owed any more.
async fn settled(house: &House, target: TargetId, messages: usize) {
    until("all are kept", || async {
        house.clock.forward(Duration::from_secs(30));
        ended(house, target, AttemptOutcome::Delivered).await >= messages
    })
    .await;
    until("nothing is owed", || async {
        house.clock.forward(Duration::from_secs(30));
        house.store.backend().deliveries(house.org, Some(target), None, 10).await.unwrap().is_empty()
    })
    .await;
}

/// The types of the events of a pass as they stand in the stream, and their versions.
fn of_pass(messages: &[Value], pass: &Pass) -> (Vec<String>, Vec<u64>) {
    let id = pass.id.to_string();
    let mine = messages.iter().filter(|message| message["headers"]["pass"] == id.as_str());
    let mine = mine.map(|message| {
        let data: Value = serde_json::from_str(message["data"].as_str().unwrap()).unwrap();
        (message["headers"]["event-type"].as_str().unwrap().to_owned(), data["version"].as_u64().unwrap())
    });
    mine.filter(|(kind, _)| kind.starts_with("pass.")).unzip()
}

fn ids(messages: &[Value]) -> HashSet<&str> {
    messages.iter().map(|message| message["headers"]["Nats-Msg-Id"].as_str().unwrap()).collect()
}

const LIFE: [&str; 4] = ["pass.created", "pass.installed", "pass.installed", "pass.installed"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_messages_with_their_ids_in_the_order_of_each_pass() {
    let server = NatsServer::start("").await.unwrap();
    server.make(events()).await.unwrap();
    let house = House::new().await;
    let target = in_clear(&house, &server.url(), &[]).await;
    let workers = house.workers().await;
    let mut passes = Vec::new();
    for number in 0..30 {
        passes.push(lives(&house, &number.to_string()).await);
    }
    settled(&house, target, 120).await;
    let held = server.messages("EVENTS").await.unwrap();
    assert_eq!(ids(&held).len(), held.len());
    assert_eq!(ended(&house, target, AttemptOutcome::Delivered).await, held.len());
    for pass in &passes {
        let (kinds, versions) = of_pass(&held, pass);
        assert!(kinds == LIFE && versions.is_sorted(), "{kinds:?} {versions:?}");
    }
    let installed = held.iter().find(|message| message["headers"]["event-type"] == "pass.installed").unwrap();
    assert_eq!(installed["subject"], format!("passbridge.{}.pass.installed", house.project));
    let data: Value = serde_json::from_str(installed["data"].as_str().unwrap()).unwrap();
    assert_eq!((&data["type"], &data["id"]), (&json!("pass.installed"), &installed["headers"]["event-id"]));
    let attempt = house.attempts(target).await.remove(0);
    let detail: Value = serde_json::from_slice(&house.store.open_detail(&attempt).unwrap().unwrap()).unwrap();
    let sent: Value = serde_json::from_str(detail["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent["messages"].as_array().unwrap().len(), 1, "an attempt shows its own message alone");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_and_comes_back_loses_nothing_and_doubles_nothing() {
    let mut server = NatsServer::start("").await.unwrap();
    server.make(events()).await.unwrap();
    let house = House::new().await;
    let target = in_clear(&house, &server.url(), &[]).await;
    let workers = house.workers().await;
    let mut passes = Vec::new();
    for number in 0..40 {
        // It dies with whatever is under way.
        if number % 10 == 5 {
            server.kill().await.unwrap();
        }
        passes.push(lives(&house, &number.to_string()).await);
        if number % 10 == 8 {
            until("some wait", || async { ended(&house, target, AttemptOutcome::Retrying).await > 0 }).await;
            server.resume().await.unwrap();
        }
    }
    settled(&house, target, 160).await;
    let held = server.messages("EVENTS").await.unwrap();
    assert_eq!(ids(&held).len(), held.len(), "repetitions are dropped");
    assert_eq!(ended(&house, target, AttemptOutcome::Delivered).await, held.len(), "what was taken is there");
    for pass in &passes {
        let (kinds, versions) = of_pass(&held, pass);
        assert!(kinds == LIFE && versions.is_sorted(), "{kinds:?} {versions:?}");
    }
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_double_nothing() {
    let server = NatsServer::start("").await.unwrap();
    server.make(events()).await.unwrap();
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", between.local_addr().unwrap());
    let port = server.port;
    // Lets everything through to the server; of the first connection, its greeting and its welcome alone come back.
    tokio::spawn(async move {
        let mut loses = true;
        while let Ok((client, _)) = between.accept().await {
            let loses = std::mem::take(&mut loses);
            tokio::spawn(async move {
                let (mut from, mut to) = client.into_split();
                let (mut answers, mut server) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
                let there = tokio::spawn(async move { copy(&mut from, &mut server).await });
                if loses {
                    while !there.is_finished() {
                        let mut some = [0; 4_096];
                        let Ok(read) = tokio::io::AsyncReadExt::read(&mut answers, &mut some).await else { break };
                        if some[..read].windows(3).any(|word| word == b"MSG") {
                            break;
                        }
                        to.write_all(&some[..read]).await.unwrap();
                    }
                } else {
                    let _ = copy(&mut answers, &mut to).await;
                }
            });
        }
    });
    let house = House::new().await;
    let target = in_clear(&house, &url, &[]).await;
    for number in 0..10 {
        lives(&house, &number.to_string()).await;
    }
    let workers = house.workers().await;
    // How many come together over the first connection is for the readers of the shards to say.
    until("answers are lost", || async { ended(&house, target, AttemptOutcome::Retrying).await > 0 }).await;
    let lost = ended(&house, target, AttemptOutcome::Retrying).await;
    let before = server.messages("EVENTS").await.unwrap();
    assert!(before.len() >= lost, "they are kept all the same");
    settled(&house, target, 40).await;
    let held = server.messages("EVENTS").await.unwrap();
    assert_eq!(ids(&held).len(), held.len());
    assert_eq!(ended(&house, target, AttemptOutcome::Delivered).await, held.len());
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_have_to_mend_is_said_and_waits() {
    let mut server = NatsServer::start("authorization { user: ada, password: hush }").await.unwrap();
    server.login = json!({"user": "ada", "password": "hush"});
    let house = House::new().await;
    let locked_out = in_clear(&house, &server.url(), &[("password", "guess")]).await;
    let target = in_clear(&house, &server.url(), &[("password", "hush")]).await;
    let workers = house.workers().await;
    let pass = lives(&house, "1").await;
    for (target, why) in [(locked_out, "Authorization Violation"), (target, "no stream takes this subject")] {
        until(why, || async { ended(&house, target, AttemptOutcome::Retrying).await >= 4 }).await;
        let attempt = house.attempts(target).await.remove(0);
        let error = attempt.error.as_ref().unwrap();
        assert!(error.contains(why) && !error.contains("guess"), "{error}");
    }
    server.make(events()).await.unwrap();
    settled(&house, target, 4).await;
    assert_eq!(of_pass(&server.messages("EVENTS").await.unwrap(), &pass).0.len(), 4);
    assert_eq!(ended(&house, locked_out, AttemptOutcome::Delivered).await, 0);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_costs_its_event_alone() {
    let server = NatsServer::start("").await.unwrap();
    let small = json!({"name": "EVENTS", "subjects": ["passbridge.>"], "max_msg_size": 8_000});
    server.make(small).await.unwrap();
    let house = House::new().await;
    let target = in_clear(&house, &server.url(), &[]).await;
    let traits = BTreeMap::from([("story".to_owned(), FieldValue::Text("x".repeat(9_000)))]);
    let input = ContactInput { external_id: Some("large".to_owned()), traits, ..ContactInput::default() };
    let new_id = ContactId::mint(house.clock.now(), &house::System);
    house.engine.submit(house.command(Action::PutContact { new_id, input })).await.unwrap();
    lives(&house, "1").await;
    let workers = house.workers().await;
    settled(&house, target, 4).await;
    assert_eq!(ended(&house, target, AttemptOutcome::Failed).await, 1);
    let failed = house.attempts(target).await.into_iter().find(|attempt| attempt.outcome == 3).unwrap();
    assert_eq!(failed.error.as_deref(), Some("the message is larger than the stream takes"));
    assert!(server.messages("EVENTS").await.unwrap().len() >= 4);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_records_by_the_key_of_their_pass_in_its_order() {
    let cluster = KafkaMock::start().await.unwrap();
    let house = House::new().await;
    let target = destination(&house, "kafka", &cluster.url(), json!({"tls": "off"}), &[]).await;
    let workers = house.workers().await;
    let mut passes = vec![lives(&house, "0").await];
    until("there is no such topic", || async { ended(&house, target, AttemptOutcome::Retrying).await > 0 }).await;
    let attempt = house.attempts(target).await.remove(0);
    assert!(attempt.error.as_ref().unwrap().contains("no stream takes this subject"), "{attempt:?}");
    cluster.make("passbridge.events").await.unwrap();
    for number in 1..20 {
        passes.push(lives(&house, &number.to_string()).await);
    }
    settled(&house, target, 80).await;
    let held = cluster.records("passbridge.events").await.unwrap();
    assert_eq!(ended(&house, target, AttemptOutcome::Delivered).await, held.len());
    for pass in &passes {
        let id = pass.id.to_string();
        let mine: Vec<&Value> = held.iter().filter(|record| record["key"] == id.as_str()).collect();
        assert!(mine.iter().all(|record| record["partition"] == mine[0]["partition"]));
        let kinds: Vec<&str> = mine.iter().map(|record| record["headers"]["event-type"].as_str().unwrap()).collect();
        let version =
            |record: &&Value| serde_json::from_str::<Value>(record["value"].as_str().unwrap()).unwrap()["version"].as_u64();
        assert!(kinds == LIFE && mine.iter().is_sorted_by_key(version), "{kinds:?}");
    }
    workers.drain(PATIENCE).await;
}
