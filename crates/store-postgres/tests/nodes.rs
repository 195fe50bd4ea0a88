//! What only shows with a server that others use as well: several nodes, dying backends, cancelled callers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod rows;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::Position;
use rows::{commit, contact, event, hash, id, insert, pass, result, source_event, update};
use store::{
    Accepted, Backend, CommitRows, Committed, InboxSettlement, Lease, LoadKeys, Log, PassRow, PassWrite, Reader, Retention,
    StoreError, conformance::START,
};
use store_postgres::{Options, Postgres};
use testkit::postgres::Cluster;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

/// How long a node may take to work again after its connections were killed.
const RECOVERY: Duration = Duration::from_secs(5);

async fn node(url: &str) -> Arc<Postgres> {
    Postgres::open(url, &Options::default()).await.unwrap()
}

async fn database() -> String {
    Cluster::shared().await.unwrap().create_database().await.unwrap()
}

async fn two_nodes() -> (String, [Arc<Postgres>; 2]) {
    let url = database().await;
    let nodes = [node(&url).await, node(&url).await];
    nodes[0].migrate(START).await.unwrap();
    (url, nodes)
}

/// Asks the database beside the nodes.
async fn ask(url: &str, sql: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let answer = client.query_one(sql, &[]).await.unwrap().get(0);
    drop(client);
    driver.await.unwrap().unwrap();
    answer
}

async fn done(node: &Postgres, rows: CommitRows) -> Vec<Position> {
    match node.commit(rows).await.unwrap() {
        Committed::Done(positions) => positions,
        Committed::Conflict => panic!("the commit conflicts with nothing"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_migrate_once() {
    let url = database().await;
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let node = node(&url).await;
        starts.spawn(async move {
            node.migrate(START).await.unwrap();
            node.log_epoch().await.unwrap()
        });
    }
    let epochs: BTreeSet<u64> = starts.join_all().await.into_iter().collect();
    assert_eq!(epochs.len(), 1, "one epoch for all");
    assert!(!epochs.contains(&0));
    let steps = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().count();
    assert_eq!(ask(&url, "SELECT version FROM schema_version").await, i64::try_from(steps).unwrap());
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let url = database().await;
    let node = node(&url).await;
    node.migrate(START).await.unwrap();
    ask(&url, "WITH newer AS (UPDATE schema_version SET version = 900 RETURNING version) SELECT version FROM newer").await;
    let refused = node.migrate(START).await;
    assert!(matches!(refused, Err(StoreError::TooNew { found: 900, .. })), "{refused:?}");
}

#[tokio::test]
async fn an_unreachable_database_says_so() {
    let nowhere = Postgres::open("postgres://nobody@127.0.0.1:1/none", &Options::default()).await;
    assert!(matches!(nowhere, Err(StoreError::Unavailable(_))), "{nowhere:?}");
    let not_a_url = Postgres::open("mysql://x", &Options::default()).await;
    assert!(not_a_url.unwrap_err().to_string().contains("URL"), "says what is wrong");
    let url = database().await;
    let wrong = url.replace("passbridge:", "somebody:");
    let refused = Postgres::open(&wrong, &Options::default()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    // The throwaway server has no TLS: a plain connection in its place would be a silent downgrade.
    let refused = Postgres::open(&format!("{url}?sslmode=require"), &Options::default()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_written_by_two_nodes_stays_dense() {
    const ROUNDS: u64 = 40;
    let (_, nodes) = two_nodes().await;
    let mut writers = JoinSet::new();
    for writer in 0..8u64 {
        let node = nodes[writer as usize % 2].clone();
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let n = writer * 1_000 + round * 2;
                let events = [0u16, 5].map(|shard| event(n + u64::from(shard.min(1)), &pass(1, shard))).to_vec();
                done(&node, CommitRows { events, ..commit() }).await;
                node.accept(vec![source_event(n, 5), source_event(n + 1, 0)]).await.unwrap();
            }
        });
    }
    let total = 8 * ROUNDS;
    let readers = nodes.clone().map(|node| {
        tokio::spawn(async move {
            let mut seen = [0u64; 2];
            while seen.iter().any(|seen| *seen < total) {
                for row in node.read_events(5, seen[0], 64).await.unwrap() {
                    assert_eq!(row.position.seq, seen[0] + 1, "no event is skipped");
                    seen[0] += 1;
                }
                for row in node.read_inbox(5, seen[1], 64).await.unwrap() {
                    assert_eq!(row.position.seq, seen[1] + 1, "no source event is skipped");
                    seen[1] += 1;
                }
            }
        })
    });
    writers.join_all().await;
    for reader in readers {
        tokio::time::timeout(RECOVERY, reader).await.unwrap().unwrap();
    }
    for log in [Log::Events, Log::Inbox] {
        let heads = nodes[0].heads(log).await.unwrap();
        assert_eq!((heads[0], heads[5], heads.iter().sum::<u64>()), (total, total, 2 * total));
    }
}

/// Two nodes want the same passes, contacts, names, external ids and results in opposite orders, over and over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_batches_never_deadlock() {
    const ROUNDS: u64 = 60;
    const THINGS: u64 = 12;
    let (url, nodes) = two_nodes().await;
    let passes: Vec<PassRow> = (0..THINGS).map(|n| pass(n, (n % 16) as u16)).collect();
    done(&nodes[0], CommitRows { passes: passes.iter().cloned().map(insert).collect(), ..commit() }).await;
    let start_of_round = Arc::new(tokio::sync::Barrier::new(4));
    let mut writers = JoinSet::new();
    for writer in 0..4u64 {
        let node = nodes[writer as usize % 2].clone();
        let start_of_round = start_of_round.clone();
        writers.spawn(async move {
            let mut won = 0u64;
            for round in 0..ROUNDS {
                start_of_round.wait().await;
                let keys = LoadKeys { passes: (0..THINGS).map(|n| (id(1), id(n))).collect(), ..LoadKeys::default() };
                let mut rows = CommitRows::default();
                for row in node.load(&keys).await.unwrap().passes {
                    rows.passes.push(PassWrite { content_event: Some(rows.events.len()), ..update(&row) });
                    rows.events.push(event(writer * 100_000 + round * 100 + rows.events.len() as u64, &row));
                }
                // New passes with ids of the writer's own and external ids that all want in this round.
                for n in 0..4 {
                    let fresh = pass(1_000 + writer * 10_000 + round * 10 + n, n as u16);
                    rows.passes.push(insert(PassRow { external: Some(hash(round * 10 + n)), ..fresh }));
                    rows.contacts.push(contact(100_000 + writer * 10_000 + round * 10 + n, &[round * 10 + n]));
                    rows.results.push(result(round * 10 + n));
                }
                if writer % 2 == 1 {
                    // A batch whose rows come the other way round.
                    rows.contacts.reverse();
                    rows.results.reverse();
                    rows.passes.reverse();
                }
                won += u64::from(node.commit(rows).await.unwrap() != Committed::Conflict);
                node.accept(
                    (0..8).map(|n| source_event(round * 8 + if writer % 2 == 0 { n } else { 7 - n }, n as u16)).collect(),
                )
                .await
                .unwrap();
            }
            won
        });
    }
    let won: u64 = writers.join_all().await.into_iter().sum();
    assert_eq!(won, ROUNDS, "of the writers of a round exactly one wins its names");
    let name = url.rsplit('/').next().unwrap();
    let deadlocks = format!("SELECT deadlocks FROM pg_stat_database WHERE datname = '{name}'");
    assert_eq!(ask(&url, &deadlocks).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_backends_are_replaced_without_a_restart() {
    let (url, [node, _]) = two_nodes().await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut accepted = Vec::new();
    for round in 0..10u64 {
        let writer = tokio::spawn({
            let node = node.clone();
            async move {
                let mut accepted = Vec::new();
                for n in 0..20 {
                    let row = source_event(round * 100 + n, 0);
                    match node.accept(vec![row.clone()]).await {
                        Ok(_) => accepted.push(row),
                        Err(StoreError::Unavailable(_)) => {}
                        Err(other) => panic!("a lost connection is no {other:?}"),
                    }
                }
                accepted
            }
        });
        assert!(ask(&url, kill).await >= 1);
        accepted.extend(writer.await.unwrap());
        let recovered = tokio::time::timeout(RECOVERY, async { while node.ready().await.is_err() {} }).await;
        assert!(recovered.is_ok(), "still not ready");
    }
    assert!(!accepted.is_empty());
    for row in accepted {
        let again = node.accept(vec![row.clone()]).await.unwrap();
        assert_eq!(again, [Accepted::Duplicate(row.id)], "what was acknowledged is there");
    }
    let rows = node.read_inbox(0, 0, 10_000).await.unwrap();
    assert!(rows.iter().map(|row| row.position.seq).eq(1..=rows.len() as u64), "and dense");
}

/// A caller that goes away in the middle takes its connection along, never somebody else's transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_commits_leave_no_transaction_open() {
    let (url, [node, _]) = two_nodes().await;
    for n in 0..200u64 {
        let rows = CommitRows {
            passes: vec![PassWrite { content_event: Some(0), ..insert(PassRow { external: Some(hash(n)), ..pass(n, 0) }) }],
            events: vec![event(n, &pass(n, 0))],
            results: vec![result(n)],
            ..commit()
        };
        let _ = tokio::time::timeout(Duration::from_micros(n * 40), node.commit(rows)).await;
    }
    let after = done(&node, CommitRows { events: vec![event(900, &pass(1, 0))], ..commit() }).await;
    let rows = node.read_events(0, 0, 1_000).await.unwrap();
    assert_eq!(rows.len() as u64, after[0].seq);
    // A commit is there whole or not at all.
    for row in &rows[..rows.len() - 1] {
        let keys = LoadKeys { now: START, passes: vec![(id(1), row.pass.unwrap())], ..LoadKeys::default() };
        assert_eq!(node.load(&keys).await.unwrap().passes[0].content_seq as u64, row.position.seq);
    }
    let deadline = tokio::time::Instant::now() + RECOVERY;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    while ask(&url, open).await > 0 {
        assert!(tokio::time::Instant::now() < deadline, "a transaction was left open");
    }
}

/// A seizure comes before or after a fenced write, never between its check and its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seizure_waits_for_writes_under_the_old_lease() {
    let (_, nodes) = two_nodes().await;
    nodes[0].accept((0..50).map(|n| source_event(n, 3)).collect()).await.unwrap();
    let mut held = nodes[0].seize(Lease { shard: 3, epoch: 0 }, "a").await.unwrap().unwrap();
    for round in 0..30u64 {
        let writer = tokio::spawn({
            let node = nodes[0].clone();
            async move {
                let results = (0..50).map(|n| (id(1), id(n), outcome(round))).collect();
                let write = InboxSettlement { lease: held, results, owners: vec![], watermark: Some(round + 1) };
                node.settle_inbox(write).await
            }
        });
        let next = nodes[1].seize(held, "b").await.unwrap().unwrap();
        let seen = nodes[1].watermarks(Reader::Flows).await.unwrap()[3];
        let outcome = writer.await.unwrap();
        let after = nodes[1].watermarks(Reader::Flows).await.unwrap()[3];
        assert_eq!(seen, after, "nothing was written under the old lease after it was seized");
        match outcome {
            Ok(()) => assert_eq!(after, round + 1),
            Err(StoreError::LeaseLost { shard: 3 }) => assert!(after <= round),
            Err(other) => panic!("{other:?}"),
        }
        held = next;
    }
}

fn outcome(round: u64) -> store::InboxResult {
    store::InboxResult { status: 2, runs: round as i32, due_at: None, at: START, trace: "{}".to_owned() }
}

/// Days without upkeep lose nothing: the rows wait in the default partition and move when theirs is made.
#[tokio::test]
async fn rows_without_a_partition_move_into_theirs() {
    let (url, [node, _]) = two_nodes().await;
    let later = START.plus(Duration::from_secs(30 * 86_400));
    let late = store::EventRow { recorded_at: later, ..event(1, &pass(1, 0)) };
    done(&node, CommitRows { events: vec![late], ..commit() }).await;
    assert_eq!(ask(&url, "SELECT count(*) FROM events_default").await, 1);
    let ever = domain::Timestamp::from_micros(0);
    let keep = Retention { inbox_before: ever, events_before: ever, attempts_before: ever };
    node.maintain(later, keep).await.unwrap();
    assert_eq!(ask(&url, "SELECT count(*) FROM events_default").await, 0);
    assert_eq!(node.read_events(0, 0, 9).await.unwrap().len(), 1);
    // Two nodes at it at once get in nobody's way.
    let much_later = START.plus(Duration::from_secs(90 * 86_400));
    let other = self::node(&url).await;
    let both = tokio::join!(node.maintain(much_later, keep), other.maintain(much_later, keep));
    both.0.unwrap();
    both.1.unwrap();
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass";
    assert_eq!(ask(&url, partitions).await, 1 + 3 * 9);
}

#[tokio::test]
async fn writes_are_refused_when_the_database_is_read_only() {
    let (url, [node, _]) = two_nodes().await;
    node.ready().await.unwrap();
    let name = url.rsplit('/').next().unwrap();
    let cluster = Cluster::shared().await.unwrap();
    cluster.administer(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await.unwrap();
    let standby = self::node(&url).await;
    assert!(matches!(standby.ready().await, Err(StoreError::Unavailable(_))));
    let refused = standby.accept(vec![source_event(1, 0)]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(refused.unwrap_err().is_transient());
}

/// PostgreSQL's text holds no zero byte; such a name must not make an event unacceptable for ever.
#[tokio::test]
async fn zero_bytes_in_text_are_replaced() {
    let (_, [node, _]) = two_nodes().await;
    let row = store::InboxInsert { name: "a\0b".to_owned(), ..source_event(1, 0) };
    node.accept(vec![row]).await.unwrap();
    assert_eq!(node.read_inbox(0, 0, 1).await.unwrap()[0].name, "a\u{FFFD}b");
    assert!(node.passes_on_device(id(1), "x\0y").await.unwrap().is_empty());
}
