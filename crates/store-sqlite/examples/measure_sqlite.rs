//! Measures the embedded store in a new folder: `cargo run --release -p passbridge-store-sqlite --example measure_sqlite -- FOLDER
//! [PASSES]`. Processor time is that of all threads of the process, from /proc, so this runs on Linux alone.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic)]

use std::{fs, path::Path, sync::Arc, time::Duration};

use domain::{Id, IdKind, Timestamp};
use store::{
    Backend, CommitRows, Committed, InboxInsert, InboxResult, InboxSettlement, Lease, LoadKeys, PassRow, PassWrite,
    conformance::START,
};
use store_sqlite::{Options, Sqlite};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

/// Source events in one call, as the intake gathers them.
const GROUP: u64 = 64;
/// Source events of each measurement.
const EVENTS: u64 = 100_000;
/// Bytes of a source event.
const EVENT_BYTES: usize = 950;
/// Bytes of a pass.
const PASS_BYTES: usize = 600;

fn id<K: IdKind>(n: u64) -> Id<K> {
    Id::from_uuid(Uuid::from_u128((0x0190 << 112) + u128::from(n)))
}

fn scattered(n: u64) -> [u8; 16] {
    u128::from(n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_le_bytes()
}

fn source_event(n: u64) -> InboxInsert {
    InboxInsert {
        org: id(1),
        id: id(n),
        source: id(2),
        dedupe: scattered(n),
        dedupe_until: Timestamp::from_micros(i64::MAX),
        order_key: scattered(n % 1_000),
        shard: 0,
        received_at: START,
        occurred_at: Some(START),
        name: "purchase_completed".to_owned(),
        data_key: vec![7; 60],
        body: vec![5; EVENT_BYTES],
        fault: None,
    }
}

fn pass(n: u64) -> PassWrite {
    let row = PassRow {
        org: id(1),
        id: id(n),
        project: id(3),
        shard: 0,
        version: 1,
        content_seq: 0,
        contact: Some(id(n)),
        external: Some(scattered(n)),
        state: 1,
        installed: 0,
        due_at: None,
        issued_at: START,
        updated_at: START,
        subject: Uuid::from_u128(u128::from(n)),
        data_key: None,
        body: vec![9; PASS_BYTES],
    };
    PassWrite { row, expected: None, content_event: None, code: None }
}

/// Processor time of all threads that live now.
fn processor_time() -> Duration {
    let nanoseconds = fs::read_dir("/proc/self/task").unwrap().map(|task| {
        let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
    });
    Duration::from_nanos(nanoseconds.sum())
}

fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    format!("{}, {}", line("VmRSS"), line("VmHWM")).replace('\t', " ")
}

struct Stopwatch {
    wall: Instant,
    processor: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self { wall: Instant::now(), processor: processor_time() }
    }

    fn tell(&self, what: &str, count: u64) {
        let (wall, processor) = (self.wall.elapsed(), processor_time() - self.processor);
        let each = processor.as_secs_f64() * 1e6 / count as f64;
        let rate = count as f64 / wall.as_secs_f64();
        println!("{what}: {count} in {wall:.2?}, {rate:.0} per second, {each:.1} µs of processor time each");
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else { panic!("name a folder that does not exist yet") };
    let passes = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let folder = Path::new(&folder);
    assert!(!folder.exists(), "the folder exists already");
    let store = Sqlite::open(folder, &Options::default()).unwrap();
    store.migrate(START).await.unwrap();

    let watch = Stopwatch::start();
    for start in (0..EVENTS).step_by(GROUP as usize) {
        store.accept((start..start + GROUP).map(source_event).collect()).await.unwrap();
    }
    watch.tell("accept, one caller, groups of 64", EVENTS);
    settle(&*store).await;
    single_callers(&store).await;
    issue(&*store, passes).await;
    println!("memory after that: {}", memory());
    store.close().await;
    drop(store);

    let begin = Instant::now();
    let store = Sqlite::open(folder, &Options::default()).unwrap();
    store.migrate(START).await.unwrap();
    let keys = LoadKeys { passes: vec![(id(1), id(passes / 2))], ..LoadKeys::default() };
    assert_eq!(store.load(&keys).await.unwrap().passes.len(), 1);
    store.ready().await.unwrap();
    println!("reopened with {passes} passes, one loaded, one write: {:.1?}", begin.elapsed());
    store.close().await;
    let bytes = fs::metadata(folder.join("passbridge.db")).unwrap().len();
    println!("the database has {} MiB", bytes >> 20);
}

async fn settle(store: &dyn Backend) {
    let lease = store.seize(Lease { shard: 0, epoch: 0 }, "measure").await.unwrap().unwrap();
    let watch = Stopwatch::start();
    for start in (0..EVENTS).step_by(GROUP as usize) {
        let result = InboxResult { status: 2, runs: 1, due_at: None, at: START, trace: "x".repeat(150) };
        let results = (start..start + GROUP).map(|n| (id(1), id(n), result.clone())).collect();
        let watermark = Some(start + GROUP);
        store.settle_inbox(InboxSettlement { lease, results, owners: vec![], watermark }).await.unwrap();
    }
    watch.tell("settle, groups of 64", EVENTS);
}

async fn single_callers(store: &Arc<Sqlite>) {
    let watch = Stopwatch::start();
    let mut callers = JoinSet::new();
    for caller in 0..GROUP {
        let store = store.clone();
        callers.spawn(async move {
            for n in 0..EVENTS / 4 / GROUP {
                let n = 10_000_000 + n * GROUP + caller;
                store.accept(vec![source_event(n)]).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    watch.tell("accept, 64 callers with one row each", EVENTS / 4);
    let watch = Stopwatch::start();
    for n in 0..500 {
        store.accept(vec![source_event(20_000_000 + n)]).await.unwrap();
    }
    watch.tell("accept, one caller with one row", 500);
}

async fn issue(store: &dyn Backend, passes: u64) {
    let watch = Stopwatch::start();
    for start in (0..passes).step_by(500) {
        let rows = CommitRows { passes: (start..start + 500).map(pass).collect(), ..CommitRows::default() };
        assert!(matches!(store.commit(rows).await.unwrap(), Committed::Done(_)));
    }
    watch.tell("passes, commits of 500", passes);
}
