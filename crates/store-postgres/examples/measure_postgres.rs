//! Measures the store on a PostgreSQL of its own: `cargo run --release -p passbridge-store-postgres --example measure_postgres --
//! [EVENTS]`. Processor time is that of this process and of the server's, from /proc, so this runs on Linux alone.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic)]

#[path = "../tests/rows/mod.rs"]
mod rows;

use std::{fs, sync::Arc, time::Duration};

use rows::{commit, contact, event, hash, id, insert, pass, result, source_event, update, uuid};
use store::{
    AttemptRow, Backend, CommitRows, Committed, DeliveryOver, DeliverySettlement, InboxResult, InboxSettlement, Lease, LoadKeys,
    PassRow, PassWrite, conformance::START,
};
use store_postgres::{Options, Postgres};
use testkit::postgres::Cluster;
use tokio::{task::JoinSet, time::Instant};
use tokio_postgres::NoTls;

/// Rows in one call.
const GROUP: u64 = 64;
/// Callers at once, where there are several.
const CALLERS: u64 = 8;

/// Processor time of a process, its ended threads included, in clock ticks of 10 ms.
fn ticks(process: &str) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields.get(11..13).unwrap_or_default().iter().filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn parent(process: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.split_whitespace().nth(1)?.to_owned())
}

/// The server's processes, told by their parent.
struct Machine {
    postmaster: String,
}

impl Machine {
    async fn of(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        Self { postmaster: parent(&backend.to_string()).unwrap() }
    }

    /// Of this process and of the server.
    fn processor_time(&self) -> (Duration, Duration) {
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let server =
            processes.filter(|process| parent(process).as_ref() == Some(&self.postmaster)).map(|process| ticks(&process));
        (Duration::from_millis(ticks("self") * 10), Duration::from_millis(server.sum::<u64>() * 10))
    }

    async fn measure(&self, what: &str, count: u64, work: impl Future<Output = ()>) {
        let (begin, before) = (Instant::now(), self.processor_time());
        work.await;
        let (wall, after) = (begin.elapsed(), self.processor_time());
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        let (client, server) = (each(after.0 - before.0), each(after.1 - before.1));
        let rate = count as f64 / wall.as_secs_f64();
        println!("{what}: {count} in {wall:.2?}, {rate:.0}/s; processor time each: {client:.0} µs here, {server:.0} µs server");
    }
}

#[tokio::main]
async fn main() {
    let events: u64 = std::env::args().nth(1).map_or(50_000, |text| text.parse().unwrap());
    let events = events.next_multiple_of(GROUP * CALLERS);
    let cluster = Cluster::start().await.unwrap();
    let url = cluster.create_database().await.unwrap();
    let store = Postgres::open(&url, &Options::default()).await.unwrap();
    store.migrate(START).await.unwrap();
    let machine = Machine::of(&url).await;

    machine.measure("accept, one caller, groups of 64", events, accept(&store, 0, events)).await;
    machine
        .measure("accept, 8 callers, groups of 64", events, async {
            let mut callers = JoinSet::new();
            for caller in 1..=CALLERS {
                let store = store.clone();
                callers.spawn(async move { accept(&store, caller * events, events / CALLERS).await });
            }
            callers.join_all().await;
        })
        .await;
    let singles = events / 16;
    machine
        .measure("accept, one by one", singles, async {
            for n in 0..singles {
                store.accept(vec![source_event((CALLERS + 1) * events + n, shard(n))]).await.unwrap();
            }
        })
        .await;
    machine.measure("settle source events, groups of 64", events, settle(&*store, events)).await;
    machine.measure("issue passes, groups of 64", events, issue(&*store, events)).await;
    machine.measure("load and change passes, groups of 64", events, change(&*store, events)).await;
    machine.measure("read events, 256 at once", events * 2, read(&*store)).await;
    machine.measure("settle deliveries, groups of 64", events, deliver(&*store, events)).await;
    let polls = 2_000;
    machine
        .measure("poll an idle shard", polls, async {
            let head = store.heads(store::Log::Events).await.unwrap()[0];
            for _ in 0..polls {
                assert!(store.read_events(0, head, 256).await.unwrap().is_empty());
            }
        })
        .await;
    store.close().await;
}

fn shard(n: u64) -> u16 {
    (n % 16) as u16
}

async fn accept(store: &Arc<Postgres>, first: u64, count: u64) {
    for start in (first..first + count).step_by(GROUP as usize) {
        store.accept((start..start + GROUP).map(|n| source_event(n, shard(n))).collect()).await.unwrap();
    }
}

async fn settle(store: &dyn Backend, count: u64) {
    let lease = store.seize(Lease { shard: 0, epoch: 0 }, "measure").await.unwrap().unwrap();
    for start in (0..count).step_by(GROUP as usize) {
        let result = InboxResult { status: 2, runs: 1, due_at: None, at: START, trace: "x".repeat(150) };
        let results = (start..start + GROUP).map(|n| (id(1), id(n), result.clone())).collect();
        let owners = (start..start + GROUP).map(|n| (id(1), id(n), id(1))).collect();
        store.settle_inbox(InboxSettlement { lease, results, owners, watermark: Some(start) }).await.unwrap();
    }
}

fn held(n: u64) -> PassRow {
    let n = n + (1 << 40);
    let holder = id(n);
    PassRow { contact: Some(holder), external: Some(hash(n)), subject: holder.uuid(), ..pass(n, shard(n)) }
}

async fn issue(store: &dyn Backend, count: u64) {
    for start in (0..count).step_by(GROUP as usize) {
        let mut rows = commit();
        for n in start..start + GROUP {
            let row = held(n);
            rows.data_keys.push((id(1), row.subject, vec![7; 60]));
            rows.contacts.push(contact(n + (1 << 40), &[n + (1 << 40)]));
            rows.results.push(result(n));
            rows.events.push(event(n, &row));
            rows.passes.push(PassWrite { content_event: Some(rows.events.len() - 1), ..insert(row) });
        }
        assert!(matches!(store.commit(rows).await.unwrap(), Committed::Done(_)));
    }
}

async fn change(store: &dyn Backend, count: u64) {
    for start in (0..count).step_by(GROUP as usize) {
        let names = (start..start + GROUP).map(|n| (id(1), hash(n + (1 << 40)))).collect();
        let results = (start..start + GROUP).map(|n| (id(1), "key".to_owned(), (n + (1 << 41)).to_string())).collect();
        let loaded = store.load(&LoadKeys { now: START, passes_of_keys: names, results, ..LoadKeys::default() }).await.unwrap();
        assert_eq!(loaded.passes.len() as u64, GROUP);
        let mut rows = CommitRows::default();
        for (row, n) in loaded.passes.into_iter().zip(start..) {
            rows.events.push(event(n + (1 << 41), &row));
            rows.results.push(result(n + (1 << 41)));
            rows.passes.push(PassWrite { content_event: Some(rows.events.len() - 1), ..update(&row) });
        }
        assert!(matches!(store.commit(rows).await.unwrap(), Committed::Done(_)));
    }
}

async fn read(store: &dyn Backend) {
    for shard in 0..store.shards() {
        let mut seen = 0;
        while let Some(last) = store.read_events(shard, seen, 256).await.unwrap().last() {
            seen = last.position.seq;
        }
    }
}

async fn deliver(store: &dyn Backend, count: u64) {
    let lease = store.seize(Lease { shard: 1, epoch: 0 }, "measure").await.unwrap().unwrap();
    for start in (0..count).step_by(GROUP as usize) {
        let tried = |n: u64| AttemptRow {
            org: id(1),
            delivery: id(n),
            target: id(9),
            event: id(n),
            position: domain::Position { shard: 1, seq: n + 1 },
            attempt: 1,
            at: START,
            elapsed_micros: 900,
            outcome: 1,
            status: Some(200),
            error: None,
            next_at: None,
            subject: uuid(1),
            data_key: None,
            detail: vec![3; 600],
        };
        let write = DeliverySettlement {
            lease,
            attempts: (start..start + GROUP).map(tried).collect(),
            finished: (start..start + GROUP).map(|n| DeliveryOver { org: id(1), id: id(n), asked_at: None }).collect(),
            owed: vec![],
            watermark: Some(start),
        };
        store.settle_deliveries(write).await.unwrap();
    }
}
