//! Rows that somebody else replaces while a worker's write waits for them.
//!
//! A statement sees the table as it was when it began, but a lock that it waited for is on the row as it is by then. A write that
//! looks for what it locked by the row's place finds nothing there, and is lost without a word.
#![allow(clippy::unwrap_used)]

mod rows;

use std::{sync::Arc, time::Duration};

use domain::{Position, Timestamp};
use rows::{id, uuid};
use store::{Backend, DeliveryRow, DeliverySettlement, Lease, PushOutcome, PushSettlement, conformance::START};
use store_postgres::{Options, Postgres};
use testkit::postgres::Cluster;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

const SHARD: u16 = 3;
/// How long the database may take until somebody waits, or until it tells what was looked at.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows of a large table.
const MANY: i64 = 100_000;
/// Rows that a write of one may look at in it, with what the planner's own look-ups add.
const FEW: i64 = 100;

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// A node that holds the lease of the shard, and two sessions beside it: one to work in, one to look.
struct House {
    node: Arc<Postgres>,
    lease: Lease,
    other: Client,
    looker: Client,
}

impl House {
    async fn open() -> Self {
        let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
        let node = Postgres::open(&url, &Options::default()).await.unwrap();
        node.migrate(START).await.unwrap();
        let lease = node.seize(Lease { shard: SHARD, epoch: 0 }, "a").await.unwrap().unwrap();
        Self { node, lease, other: connect(&url).await, looker: connect(&url).await }
    }

    /// Lets another transaction replace a row, begins a write that wants it, and commits the other when the write waits.
    async fn meanwhile<T: Send + 'static>(&self, replace: &str, write: impl Future<Output = T> + Send + 'static) -> T {
        self.other.batch_execute(&format!("BEGIN; {replace}")).await.unwrap();
        let write = tokio::spawn(write);
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let deadline = Instant::now() + PATIENCE;
        while count(&self.looker, waiting).await == 0 && !write.is_finished() {
            assert!(Instant::now() < deadline, "the write neither waits nor ends");
        }
        self.other.batch_execute("COMMIT").await.unwrap();
        write.await.unwrap()
    }

    /// How many rows of a table sessions looked at so far, by index or one after another. They tell a moment later.
    async fn looked_at(&self, table: &str) -> i64 {
        let sql = format!(
            "SELECT (s.seq_tup_read + sum(i.idx_tup_read))::bigint FROM pg_stat_user_tables s \
             JOIN pg_stat_user_indexes i USING (relid) WHERE s.relname = '{table}' GROUP BY s.seq_tup_read"
        );
        count(&self.looker, &sql).await
    }

    /// Fills a table when the statements are prepared already, and says how many rows a write looks at then.
    async fn cost<T>(&self, table: &str, fill: &str, write: impl Future<Output = T>) -> i64 {
        self.other.batch_execute(fill).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = self.looked_at(table).await;
        write.await;
        let deadline = Instant::now() + PATIENCE;
        while self.looked_at(table).await == before {
            assert!(Instant::now() < deadline, "the write looked at nothing in {table}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.looked_at(table).await - before
    }

    async fn owes(&self, due_at: Timestamp) -> DeliveryRow {
        let position = Position { shard: SHARD, seq: 1 };
        let (asked_at, behind) = (None, false);
        let row =
            DeliveryRow { org: id(1), id: id(7), target: id(8), event: id(9), position, attempts: 0, due_at, behind, asked_at };
        self.node.owe(vec![row.clone()]).await.unwrap();
        row
    }
}

fn push(lease: Lease, pushed_seq: Option<i64>, retry_at: Option<Timestamp>) -> PushSettlement {
    let push = PushOutcome { org: id(1), pass: id(2), device: "phone".to_owned(), pushed_seq, retry_at };
    PushSettlement { lease, pushes: vec![push], watermark: None }
}

/// Installations of one pass, whose devices are what `SELECT` gives.
fn installations(devices: &str) -> String {
    format!(
        "INSERT INTO installations (org, pass, since, first_installed_at, pushed_seq, push_due_at, wallet, shard, active, device) \
         SELECT '{}', '{}', 0, 0, 1, 5, 1, {SHARD}, true, device FROM ({devices}) d (device)",
        uuid(1),
        uuid(2)
    )
}

const PHONE: &str = "SELECT 'phone'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_settled_though_its_installation_was_replaced() {
    let house = House::open().await;
    house.other.batch_execute(&installations(PHONE)).await.unwrap();
    let settle = |outcome: PushSettlement| {
        let node = house.node.clone();
        async move { node.settle_pushes(outcome).await.unwrap() }
    };
    house.meanwhile("UPDATE installations SET push_token = 'new'", settle(push(house.lease, Some(40), None))).await;
    let pushed = "SELECT count(*) FROM installations WHERE pushed_seq = 40 AND push_due_at IS NULL AND push_token = 'new'";
    assert_eq!(count(&house.looker, pushed).await, 1, "the outcome is there, and so is the new token");
    let later = Some(Timestamp::from_micros(90));
    let replaced = "UPDATE installations SET pushed_seq = 41";
    house.meanwhile(replaced, settle(push(house.lease, None, later))).await;
    let retried = "SELECT count(*) FROM installations WHERE pushed_seq = 41 AND push_due_at = 90 AND push_tries = 1";
    assert_eq!(count(&house.looker, retried).await, 1, "the retry is there, and what the other wrote");
    house.meanwhile("DELETE FROM installations", settle(push(house.lease, Some(50), None))).await;
    assert_eq!(count(&house.looker, "SELECT count(*) FROM installations").await, 0, "who went does not come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_over_though_its_row_was_replaced() {
    let house = House::open().await;
    let owed = house.owes(START).await;
    let (node, lease) = (house.node.clone(), house.lease);
    let finished = vec![owed.over()];
    let settlement = DeliverySettlement { lease, attempts: vec![], finished, owed: vec![], watermark: None };
    let settle = async move { node.settle_deliveries(settlement).await.unwrap() };
    house.meanwhile("UPDATE deliveries SET attempts = 4", settle).await;
    assert_eq!(count(&house.looker, "SELECT count(*) FROM deliveries").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_end_though_a_row_was_replaced() {
    let house = House::open().await;
    let owed = house.owes(START).await;
    let until = START.plus(Duration::from_secs(60));
    let claim = || house.node.claim_deliveries(house.lease, START, until, 9);
    assert_eq!(claim().await.unwrap(), [owed]);
    assert_eq!(claim().await.unwrap(), [], "it is claimed");
    let (node, lease) = (house.node.clone(), house.lease);
    let unclaim = async move { node.unclaim_deliveries(lease, START).await.unwrap() };
    house.meanwhile("UPDATE deliveries SET attempts = 4", unclaim).await;
    let again = claim().await.unwrap();
    assert_eq!(again.iter().map(|row| row.attempts).collect::<Vec<_>>(), [4], "it is nobody's any more, and claimed anew");
}

/// The statements are prepared while the tables are empty, and keep to their indexes when they are large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settling_one_of_many_looks_at_few_rows() {
    let house = House::open().await;
    let settle = |pushed| house.node.settle_pushes(push(house.lease, Some(pushed), None));
    settle(1).await.unwrap();
    let others = installations(&format!("{PHONE} UNION ALL SELECT 'd' || n FROM generate_series(1, {MANY}) n"));
    let cost = house.cost("installations", &others, async { settle(40).await.unwrap() }).await;
    assert!(cost <= FEW, "{cost} rows looked at to settle one push");

    let owed = house.owes(START).await;
    let finish = |finished| {
        let settlement = DeliverySettlement { lease: house.lease, attempts: vec![], finished, owed: vec![], watermark: None };
        house.node.settle_deliveries(settlement)
    };
    finish(vec![]).await.unwrap();
    let claim = || house.node.claim_deliveries(house.lease, START, START.plus(Duration::from_secs(60)), 1);
    assert_eq!(claim().await.unwrap().len(), 1);
    house.node.unclaim_deliveries(house.lease, START).await.unwrap();
    let others = format!(
        "INSERT INTO deliveries (org, id, target, event, seq, due_at, wake_at, attempts, shard) \
         SELECT '{}', gen_random_uuid(), '{}', gen_random_uuid(), n, {due} + n, {due} + n, 0, {SHARD} \
         FROM generate_series(1, {MANY}) n",
        uuid(1),
        uuid(8),
        due = START.as_micros()
    );
    let cost = house.cost("deliveries", &others, async { claim().await.unwrap() }).await;
    assert!(cost <= FEW, "{cost} rows looked at to claim one delivery");
    let cost = house.cost("deliveries", "", async { finish(vec![owed.over()]).await.unwrap() }).await;
    assert!(cost <= FEW, "{cost} rows looked at to finish one delivery");
    assert_eq!(count(&house.looker, "SELECT count(*) FROM deliveries").await, MANY);
}

/// What fills the table for two targets: a third is the seventh's, and half of the eighth's are replays.
fn owed_to_two() -> String {
    format!(
        "INSERT INTO deliveries (org, id, target, event, seq, due_at, wake_at, attempts, shard, behind) \
         SELECT '{}', gen_random_uuid(), CASE WHEN n % 3 = 0 THEN '{}'::uuid ELSE '{}'::uuid END, gen_random_uuid(), n, \
         {due} + n, {due} + n, 0, {SHARD}, n % 3 = 1 FROM generate_series(1, {MANY}) n",
        uuid(1),
        uuid(7),
        uuid(8),
        due = START.as_micros()
    )
}

/// Two thirds of an organization's deliveries are another target's, or replays, and what is hastened is 100 at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_and_hastening_look_at_what_one_target_is_owed() {
    let house = House::open().await;
    let (mine, now) = (id(8), START);
    let hasten = || async { house.node.hasten(id(1), mine, now, 100).await.unwrap() };
    let counted = || async { house.node.owed(id(1), mine).await.unwrap() };
    let behind = || async { house.node.behind(id(1), mine).await.unwrap() };
    assert_eq!((hasten().await, counted().await, behind().await), (0, (0, None), (0, None)));
    let others = owed_to_two();
    let cost = house.cost("deliveries", &others, async { assert_eq!(hasten().await, 100) }).await;
    assert!(cost <= 400, "{cost} rows looked at to hasten 100");
    for round in 1..=2 {
        let cost = house.cost("deliveries", "", async { assert_eq!(hasten().await, 100) }).await;
        assert!(cost <= 400, "{cost} rows looked at in round {round}, though as many were hastened before");
    }
    let replays = MANY / 3 + 1;
    let owed = u64::try_from(2 * replays - 1).unwrap();
    let cost = house.cost("deliveries", "", async { assert_eq!(counted().await, (owed, Some(now))) }).await;
    assert!(cost <= 2 * replays + FEW, "{cost} rows looked at to count {owed}");
    let last = now.plus(Duration::from_micros(u64::try_from(MANY).unwrap()));
    let told = (u64::try_from(replays).unwrap(), Some(last));
    let cost = house.cost("deliveries", "", async { assert_eq!(behind().await, told) }).await;
    assert!(cost <= replays + FEW, "{cost} rows looked at to count {replays} replays");
}

/// A page of what an organization's targets are owed is found without sorting all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_what_is_owed_looks_at_a_page_of_each_target() {
    let house = House::open().await;
    let node = &house.node;
    let page = |target, after| async move { node.deliveries(id(1), target, after, 20).await.unwrap() };
    assert_eq!(page(None, None).await, []);
    let others = owed_to_two();
    let due = |rows: &[DeliveryRow]| rows.iter().map(|row| row.due_at.as_micros() - START.as_micros()).collect::<Vec<_>>();
    let cost =
        house.cost("deliveries", &others, async { assert_eq!(due(&page(None, None).await), (1..=20).collect::<Vec<_>>()) });
    let cost = cost.await;
    assert!(cost <= 3 * FEW, "{cost} rows looked at to list 20");
    let last = page(None, None).await.last().map(|row| (row.due_at, row.id));
    let next = async {
        assert_eq!(due(&page(None, last).await), (21..=40).collect::<Vec<_>>());
        assert_eq!(due(&page(Some(id(7)), last).await), (21..=78).step_by(3).collect::<Vec<_>>());
    };
    let cost = house.cost("deliveries", "", next).await;
    assert!(cost <= 6 * FEW, "{cost} rows looked at to list the next 20, of all and of one");
}
