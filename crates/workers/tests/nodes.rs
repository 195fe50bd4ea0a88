//! Several nodes on one PostgreSQL: shards are shared fairly, taken over from the dead, and never worked on by two.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{collections::BTreeMap, time::Duration};

use domain::{Position, Validity};
use house::{House, Sink, quick, until};
use serde_json::json;
use store::{InboxStatus, Reader};
use workers::{Pace, Settings, StartError, WebhookSettings};

const PATIENCE: Duration = Duration::from_secs(30);
const SHARDS: usize = 16;
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3_600);

/// Nodes that notice each other's silence after a second.
fn lively() -> Settings {
    Settings { pace: Pace::taking_over_after(Duration::from_secs(1)), ..quick() }
}

/// How many shards each node holds, by its name.
async fn holders(house: &House) -> BTreeMap<String, usize> {
    let mut held = BTreeMap::new();
    for row in house.store.backend().leases().await.unwrap() {
        let name = row.owner.split('/').next().unwrap().to_owned();
        *held.entry(name).or_insert(0) += 1;
    }
    held
}

async fn shares(house: &House, expected: &[(&str, usize)]) {
    let expected: BTreeMap<String, usize> = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    until("the shards are shared", || async { holders(house).await == expected }).await;
}

async fn loyalty(house: &House) {
    let issue = json!({"id": "card", "action": "issue", "if_exists": "skip"});
    house.flow(json!({"slug": "sign-up", "project": "club", "when": {"event": "signed_up"}, "steps": [issue]})).await;
    let find = json!({"contact": "$.userId"});
    let add = json!({"id": "add", "action": "update", "find": find, "balances": {"points": {"add": "1"}}});
    house.flow(json!({"slug": "earn", "project": "club", "when": {"event": "earned"}, "steps": [add]})).await;
}

/// A member signs up and earns once.
async fn joins(house: &House, user: &str) {
    for event in ["signed_up", "earned"] {
        house.arrives(&format!("{user}-{event}"), user, json!({"type": "track", "event": event, "userId": user})).await;
    }
}

/// Every member has one pass with one point, and every event reached the sink.
async fn settled(house: &House, sink: &Sink, members: usize) {
    until("every event arrived", || async { sink.by_delivery().len() == 2 * members }).await;
    until("every watermark moved", || async { house.mark(Reader::Webhooks).await == 3 * members }).await;
    let passes = house.store.passes(house.org, Some(house.project), None, None, 1_000).await.unwrap();
    assert_eq!(passes.len(), members);
    assert!(passes.iter().all(|pass| pass.balances["points"] == "1".parse().unwrap()), "every point counts once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_are_shared_by_those_who_are_there() {
    const MEMBERS: usize = 60;
    let house = House::on_postgres().await;
    loyalty(&house).await;
    let sink = Sink::start(&[], 100_000).await;
    house.target(&sink.url).await;
    let one = house.node("one", lively()).await.unwrap();
    shares(&house, &[("one", SHARDS)]).await;
    let (second, third) = (house.beside().await, house.beside().await);
    let two = second.node("two", lively()).await.unwrap();
    for member in 0..MEMBERS {
        joins([&house, &second, &third][member % 3], &format!("m{member}")).await;
    }
    shares(&house, &[("one", 8), ("two", 8)]).await;
    let three = third.node("three", lively()).await.unwrap();
    until("nobody holds more than a share", || async {
        let held = holders(&house).await;
        !held.contains_key("") && held.len() == 3 && held.values().all(|count| *count <= SHARDS.div_ceil(3))
    })
    .await;
    two.drain(PATIENCE).await;
    shares(&house, &[("one", 8), ("three", 8)]).await;
    settled(&house, &sink, MEMBERS).await;
    assert_eq!(sink.count(), 2 * MEMBERS, "a change of hands repeats nothing when nobody is killed");
    assert_eq!((one.fault(), three.fault()), (None, None));
    one.drain(PATIENCE).await;
    shares(&house, &[("three", SHARDS)]).await;
    three.drain(PATIENCE).await;
    assert!(house.store.backend().nodes().await.unwrap().is_empty(), "who stops leaves");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_nodes_work_is_taken_over() {
    const MEMBERS: usize = 120;
    /// What may come twice: what one node had in flight to a target, and an unwritten batch of attempts.
    const TWICE: usize = 8 + 256;
    let house = House::on_postgres().await;
    loyalty(&house).await;
    let sink = Sink::start(&[], 100_000).await;
    let target = house.target(&sink.url).await;
    let living = house.node("living", lively()).await.unwrap();
    let doomed = house.doomed("doomed", lively()).await;
    shares(&house, &[("doomed", 8), ("living", 8)]).await;
    for member in 0..MEMBERS {
        joins([&house, &doomed.house][member % 2], &format!("m{member}")).await;
    }
    until("some arrived", || async { sink.count() >= MEMBERS / 2 }).await;
    doomed.vanish();
    shares(&house, &[("living", SHARDS)]).await;
    settled(&house, &sink, MEMBERS).await;
    let twice = sink.count() - 2 * MEMBERS;
    assert!(twice <= TWICE, "{twice} duplicates: more than what was in flight or not written");
    until("nothing is owed", || async {
        house.store.backend().deliveries(house.org, Some(target), None, 10).await.unwrap().is_empty()
    })
    .await;
    until("the dead is forgotten", || async { house.store.backend().nodes().await.unwrap().len() == 1 }).await;
    living.drain(PATIENCE).await;
}

/// The old holder has sent a delivery and not written it down when its lease goes: it writes nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_lease_stops_its_holder_in_the_middle() {
    let house = House::on_postgres().await;
    let sink = Sink::start(&[], 0).await;
    let target = house.target(&sink.url).await;
    // It looks at its leases once, so that it is its writes that tell it.
    let pace = Pace { beat_every: NEVER, ..Pace::default() };
    let webhooks = WebhookSettings { spill_after: NEVER, ..WebhookSettings::default() };
    let old = house.node("old", Settings { pace, webhooks, ..quick() }).await.unwrap();
    shares(&house, &[("old", SHARDS)]).await;
    let pass = house.issued("one", Validity::default()).await;
    until("it is being sent", || async { sink.count() == 1 }).await;

    let backend = house.store.backend();
    let leases = backend.leases().await.unwrap();
    let shard = usize::from(pass.shard);
    let others =
        |rows: &[store::LeaseRow]| rows.iter().filter(|row| usize::from(row.lease.shard) != shard).map(|row| row.beat).sum();
    let before: i64 = others(&leases);
    let taken = backend.seize(leases[shard].lease, "thief").await.unwrap().unwrap();
    sink.behaviour.gate.add_permits(1);
    // After a shard's workers ended it looks at all its leases, and beats for the others.
    until("the old holder noticed", || async { others(&backend.leases().await.unwrap()) > before }).await;
    assert!(house.attempts(target).await.is_empty(), "what it sent is not written under a lease that it lost");
    assert_eq!(backend.watermarks(Reader::Webhooks).await.unwrap()[shard], 0);
    assert_eq!(backend.leases().await.unwrap()[shard].lease, taken, "and it does not take the lease back");
    old.drain(PATIENCE).await;

    backend.give_back(taken).await.unwrap();
    sink.behaviour.gate.add_permits(100);
    let next = house.node("next", lively()).await.unwrap();
    until("the next one delivers", || async { house.attempts(target).await.len() == 1 }).await;
    assert_eq!((sink.count(), sink.by_delivery().len()), (2, 1), "again, under the same id");
    next.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_one_living_nodes() {
    // Nobody's silence lasts long enough: what is taken over is one's own.
    let slow = || Settings { pace: Pace { take_over_after: NEVER, ..Pace::default() }, ..quick() };
    let house = House::on_postgres().await;
    let doomed = house.doomed("a", slow()).await;
    shares(&house, &[("a", SHARDS)]).await;
    let second = house.beside().await;
    let refused = second.node("a", slow()).await.err().expect("the name is taken");
    assert!(matches!(&refused, StartError::NameTaken(name) if name == "a"), "{refused}");
    assert!(refused.to_string().contains("give every node a name of its own"), "{refused}");
    assert_eq!(doomed.workers.fault(), None, "the first one goes on");
    let before: Vec<_> = house.store.backend().leases().await.unwrap().into_iter().map(|row| row.owner).collect();
    doomed.vanish();

    // Its next incarnation has its leases at once, and nobody else has.
    let again = house.node("a", slow()).await.unwrap();
    until("all are taken back", || async {
        let rows = house.store.backend().leases().await.unwrap();
        rows.iter().zip(&before).all(|(row, before)| row.owner.starts_with("a/") && row.owner != *before)
    })
    .await;
    again.drain(PATIENCE).await;
    let names = ["", "a/b", "two words"];
    for name in names {
        let refused = house.node(name, slow()).await.err().expect("no name");
        assert!(matches!(refused, StartError::BadName(_)), "{refused}");
    }
}

/// One that is too slow to answer loses its name, says so, and writes nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_name_stops() {
    let house = House::on_postgres().await;
    let deaf = Settings { pace: Pace { answer_every: NEVER, beat_every: Duration::from_secs(2), ..Pace::default() }, ..quick() };
    let first = house.node("a", deaf).await.unwrap();
    shares(&house, &[("a", SHARDS)]).await;
    let other = house.beside().await;
    // Who asks while a beat comes is refused: it is alive after all.
    let asks = async {
        loop {
            match other.node("a", lively()).await {
                Ok(second) => break second,
                Err(refused) => assert!(matches!(refused, StartError::NameTaken(_)), "{refused}"),
            }
        }
    };
    let second = tokio::time::timeout(PATIENCE, asks).await.expect("it gets the name");
    until("the first one says so", || async { first.fault().is_some_and(|why| why.contains("name of its own")) }).await;
    assert_eq!(second.fault(), None);
    first.drain(PATIENCE).await;
    shares(&house, &[("a", SHARDS)]).await;
    house.arrives("1", "ann", json!({"type": "track", "event": "other", "userId": "ann"})).await;
    until("the second one works", || async { other.mark(Reader::Flows).await == 1 }).await;
    second.drain(PATIENCE).await;
    assert!(house.store.backend().nodes().await.unwrap().is_empty());
}

/// Nobody looks by himself here: what one node takes in is worked on by the other because it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_tell_each_other_that_there_is_work() {
    let unasked = || Settings { poll: NEVER, pace: Pace::taking_over_after(Duration::from_secs(1)), ..Settings::default() };
    let house = House::on_postgres().await;
    loyalty(&house).await;
    let sink = Sink::start(&[], 100_000).await;
    house.target(&sink.url).await;
    let other = house.beside().await;
    let (one, two) = (house.node("one", unasked()).await.unwrap(), other.node("two", unasked()).await.unwrap());
    shares(&house, &[("one", 8), ("two", 8)]).await;
    for member in 0..40 {
        joins(&house, &format!("m{member}")).await;
    }
    settled(&house, &sink, 40).await;
    // Configuration as well: a target made here is known there.
    let late = Sink::start(&[], 100_000).await;
    let target = house.target(&late.url).await;
    until("the other node knows it", || async {
        other.store.catalog().org(other.org).is_some_and(|org| org.targets.contains_key(&target.uuid()))
    })
    .await;
    one.drain(PATIENCE).await;
    two.drain(PATIENCE).await;
}

/// A hint may get lost: here the one who writes sends none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_hint_the_work_is_found() {
    let house = House::on_postgres().await;
    loyalty(&house).await;
    let silent = house.beside().await;
    assert!(!silent.store.backend().is_shared(), "it has seen nobody to tell");
    let workers = house.workers().await;
    let id = silent.arrives("1", "ann", json!({"type": "track", "event": "signed_up", "userId": "ann"})).await;
    until("it is done", || async {
        let entry = house.store.source_event(house.org, id).await.unwrap().unwrap();
        entry.result.is_some_and(|result| result.status == InboxStatus::Done.number())
    })
    .await;
    workers.drain(PATIENCE).await;
    let heads = house.store.backend().heads(store::Log::Events).await.unwrap();
    let shard = heads.iter().position(|head| *head > 0).unwrap();
    let position = Position { shard: u16::try_from(shard).unwrap(), seq: 1 };
    assert_eq!(house.store.events_at(&[position]).await.unwrap().len(), 1);
}
