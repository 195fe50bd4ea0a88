//! Tables of a real PostgreSQL as a destination: what is written, once, also while the server is away or unwilling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{collections::BTreeMap, time::Duration};

use domain::{Action, Clock as _, ContactId, ContactInput, FieldValue, TargetId, Validity, Wallet};
use house::{
    House,
    services::{destination, ended, install},
    until,
};
use serde_json::{Value, json};
use store::{AttemptOutcome, BackfillProgress, JobState};
use testkit::{
    disk::SmallDisk,
    postgres::{Cluster, execute},
};
use tokio_postgres::{NoTls, SimpleQueryMessage};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long after a fault everything works again, by the machine's clock.
const RECOVERY: Duration = Duration::from_secs(10);

/// A database, its address apart from who signs in.
struct Warehouse {
    whole: String,
    url: String,
    user: String,
    password: String,
}

impl Warehouse {
    async fn new(cluster: &Cluster) -> Self {
        Self::at(cluster.create_database().await.unwrap())
    }

    fn at(whole: String) -> Self {
        let (account, place) = whole.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
        let (user, password) = account.split_once(':').unwrap();
        let (user, password, url) = (user.to_owned(), password.to_owned(), format!("postgresql://{place}"));
        Self { whole, url, user, password }
    }

    async fn destination(&self, house: &House) -> TargetId {
        let settings = json!({"user": self.user, "tls": "off"});
        destination(house, "postgresql", &self.url, settings, &[("password", &self.password)]).await
    }

    /// The first column of what a query finds; nothing while it cannot be asked.
    async fn try_column(&self, sql: &str) -> Option<Vec<Option<String>>> {
        let (client, connection) = tokio_postgres::connect(&self.whole, NoTls).await.ok()?;
        let driver = tokio::spawn(connection);
        let found = client.simple_query(sql).await.ok();
        driver.abort();
        let cell = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
            _ => None,
        };
        Some(found?.iter().filter_map(cell).collect())
    }

    async fn column(&self, sql: &str) -> Vec<Option<String>> {
        self.try_column(sql).await.unwrap_or_else(|| panic!("{sql}"))
    }

    async fn one(&self, sql: &str) -> Option<String> {
        self.try_column(sql).await?.into_iter().next().flatten()
    }
}

async fn person(house: &House, external_id: &str, traits: Value) {
    let traits: BTreeMap<String, FieldValue> = serde_json::from_value(traits).unwrap();
    let input = ContactInput { external_id: Some(external_id.to_owned()), traits, ..ContactInput::default() };
    let new_id = ContactId::mint(house.clock.now(), &house::System);
    house.engine.submit(house.command(Action::PutContact { new_id, input })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_rows_and_persons_and_passes_are_as_they_are() {
    let warehouse = Warehouse::new(Cluster::shared().await.unwrap()).await;
    let house = House::new().await;
    warehouse.destination(&house).await;
    let workers = house.workers().await;
    for number in 0..40 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
        if number == 7 {
            install(&house, &pass, Wallet::Google, "").await;
        }
    }
    let tracks = "SELECT count(*) FROM passbridge.tracks";
    until("all events are rows", || async { warehouse.one(tracks).await.as_deref() == Some("81") }).await;
    let both = "SELECT wallet_status FROM passbridge.users WHERE id = 'person-7'";
    until("all persons are rows", || async { warehouse.one(both).await.as_deref() == Some("both") }).await;
    let installed = "SELECT wallet FROM passbridge.pass_installed WHERE user_id = 'person-7' ORDER BY received_at";
    assert_eq!(warehouse.column(installed).await, [Some("apple".to_owned()), Some("google".to_owned())]);
    let agree = "SELECT count(*) FROM passbridge.tracks t JOIN passbridge.pass_created p USING (id) \
        WHERE t.event = 'pass_created' AND t.event_text = 'Pass Created' AND p.timestamp = t.timestamp AND p.balance_points = 0";
    assert_eq!(warehouse.one(agree).await.as_deref(), Some("40"));
    let passes = "SELECT count(*) FROM passbridge.passes WHERE apple_installations = 1 AND status = 'installed'";
    assert_eq!(warehouse.one(passes).await.as_deref(), Some("40"));

    // A column comes with its first value and becomes as wide as its values.
    let kind = "SELECT data_type FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'loyalty_points'";
    assert_eq!(warehouse.one(kind).await, None);
    let steps = [(json!(5), "bigint"), (json!(1.5), "numeric"), (json!("gold"), "text")];
    for (number, (value, expected)) in steps.into_iter().enumerate() {
        person(&house, &format!("person-{number}"), json!({"loyaltyPoints": value})).await;
        until(expected, || async { warehouse.one(kind).await.as_deref() == Some(expected) }).await;
    }
    let points = "SELECT loyalty_points FROM passbridge.users WHERE loyalty_points IS NOT NULL ORDER BY id";
    until("all values are there", || async { warehouse.column(points).await.len() == 3 }).await;
    assert_eq!(warehouse.column(points).await, ["5", "1.5", "gold"].map(|value| Some(value.to_owned())));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traits_of_any_name_have_columns_and_what_is_gone_is_cleared() {
    let warehouse = Warehouse::new(Cluster::shared().await.unwrap()).await;
    let house = House::new().await;
    let target = warehouse.destination(&house).await;
    let workers = house.workers().await;
    // Every table has a `ctid`, and says itself when its rows were written.
    let names = json!({"ctid": "(0,1)", "xmin": 5, "received_at": "soon", "名前": "花子", "Größe": "groß", "gone": "soon"});
    person(&house, "person-1", names).await;
    person(&house, "person-2", json!({"gone": "stays"})).await;
    let users = "SELECT concat_ws('|', _ctid, _xmin, \"名前\", \"größe\", gone) FROM passbridge.users ORDER BY id";
    let rows = async |expected: [&str; 2]| {
        let expected = expected.map(|row| Some(row.to_owned()));
        until("the rows say so", || async { warehouse.try_column(users).await.as_deref() == Some(&expected[..]) }).await;
    };
    rows(["(0,1)|5|花子|groß|soon", "stays"]).await;
    execute(&warehouse.whole, "ALTER TABLE passbridge.users ADD COLUMN notes text DEFAULT 'theirs'").await.unwrap();
    let input = json!({"external_id": "person-1", "traits": {"gone": null, "xmin": null}});
    let input: ContactInput = serde_json::from_value(input).unwrap();
    let new_id = ContactId::mint(house.clock.now(), &house::System);
    house.engine.submit(house.command(Action::PutContact { new_id, input })).await.unwrap();
    rows(["(0,1)|花子|groß", "stays"]).await;
    let notes = "SELECT notes FROM passbridge.users WHERE id = 'person-1'";
    assert_eq!(warehouse.one(notes).await.as_deref(), Some("theirs"), "a column of their own is left alone");
    let first = backfilled(&house, target).await;
    assert_eq!((first.matched, first.drifted), (2, 0), "{first:?}");
    execute(&warehouse.whole, "UPDATE passbridge.users SET gone = 'again' WHERE id = 'person-1'").await.unwrap();
    let second = backfilled(&house, target).await;
    assert_eq!((second.matched, second.drifted), (1, 1), "{second:?}");
    rows(["(0,1)|花子|groß", "stays"]).await;
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_with_one_address_are_one_row_whoever_changed_more_often() {
    let warehouse = Warehouse::new(Cluster::shared().await.unwrap()).await;
    let house = House::new().await;
    let settings = json!({"user": warehouse.user, "tls": "off", "key": "email"});
    let password = [("password", warehouse.password.as_str())];
    let target = destination(&house, "postgresql", &warehouse.url, settings, &password).await;
    let workers = house.workers().await;
    let mut passes = Vec::new();
    for number in 0..2 {
        passes.push(house.issued(&number.to_string(), Validity::default()).await);
        let input: ContactInput =
            serde_json::from_value(json!({"external_id": format!("person-{number}"), "email": "home@example.com"})).unwrap();
        let new_id = ContactId::mint(house.clock.now(), &house::System);
        house.engine.submit(house.command(Action::PutContact { new_id, input })).await.unwrap();
    }
    for change in 0..5 {
        person(&house, "person-0", json!({"change": change})).await;
    }
    let row = "SELECT wallet_status FROM passbridge.users WHERE id = 'home@example.com'";
    install(&house, &passes[0], Wallet::Apple, "phone").await;
    until("the first is told", || async { warehouse.one(row).await.as_deref() == Some("apple") }).await;
    install(&house, &passes[1], Wallet::Google, "").await;
    until("both count", || async { warehouse.one(row).await.as_deref() == Some("both") }).await;
    backfilled(&house, target).await;
    let again = backfilled(&house, target).await;
    assert_eq!((again.matched, again.repaired, again.drifted), (2, 0, 0), "{again:?}");
    execute(&warehouse.whole, "UPDATE passbridge.users SET wallet_status = 'none'").await.unwrap();
    assert!(backfilled(&house, target).await.drifted > 0);
    assert_eq!(warehouse.one(row).await.as_deref(), Some("both"));

    // A row that says it is of somebody else than those who share the address.
    until("it is told", || async { backfilled(&house, target).await.drifted == 0 }).await;
    execute(&warehouse.whole, "UPDATE passbridge.users SET contact_id = 'nobody'").await.unwrap();
    let mended = backfilled(&house, target).await;
    assert!(mended.drifted > 0 && mended.drift.iter().all(|(_, fields)| fields.contains("contact_id")), "{mended:?}");
    let owner = warehouse.one("SELECT contact_id FROM passbridge.users").await;
    assert_ne!(owner.as_deref(), Some("nobody"));
    let again = backfilled(&house, target).await;
    assert_eq!((again.matched, again.drifted), (2, 0), "the row of one is that of the other, too: {again:?}");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_too_many_costs_its_event_alone() {
    let warehouse = Warehouse::new(Cluster::shared().await.unwrap()).await;
    let columns: String = (0..1_599).map(|number| format!(", c{number} boolean")).collect();
    let table = format!("CREATE SCHEMA passbridge; CREATE TABLE passbridge.identifies (id text PRIMARY KEY{columns})");
    execute(&warehouse.whole, &table).await.unwrap();
    let house = House::new().await;
    let target = warehouse.destination(&house).await;
    house.issued("1", Validity::default()).await;
    let workers = house.workers().await;
    until("the pass is a row", || async {
        warehouse.one("SELECT count(*) FROM passbridge.tracks").await.as_deref() == Some("1")
    })
    .await;
    until("the person is given up", || async { ended(&house, target, AttemptOutcome::Failed).await == 1 }).await;
    let failed = house.attempts(target).await.into_iter().find(|attempt| attempt.outcome == 3).unwrap();
    assert_eq!(failed.error.as_deref(), Some("the receiver refused it: SQLSTATE 54011"));
    workers.drain(PATIENCE).await;
}

/// Lets a backfill run to its end.
async fn backfilled(house: &House, target: TargetId) -> BackfillProgress {
    let (begun, write) = house.store.begin_backfill(house.org, target, false, house.clock.now()).unwrap();
    assert!(house.store.written(write).await.unwrap());
    let held = async || house.store.job::<BackfillProgress>(house.org, begun.id).await.unwrap().unwrap();
    until("the backfill is done", || async {
        house.clock.forward(Duration::from_secs(1));
        held().await.state == JobState::Done
    })
    .await;
    held().await.progress
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_finds_what_was_changed_in_the_tables() {
    let cluster = Cluster::shared().await.unwrap();
    let warehouse = Warehouse::new(cluster).await;
    let house = House::new().await;
    let target = warehouse.destination(&house).await;
    let workers = house.workers().await;
    for number in 0..12 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
        person(&house, &format!("person-{number}"), json!({"points": number, "tier": "gold", "since": 1.5})).await;
    }
    let whole = "SELECT count(*) FROM passbridge.users WHERE wallet_status = 'apple' AND tier = 'gold'";
    until("all persons are rows", || async { warehouse.one(whole).await.as_deref() == Some("12") }).await;
    let first = backfilled(&house, target).await;
    assert_eq!((first.looked_at, first.matched, first.repaired, first.drifted), (12, 12, 0, 0), "{first:?}");
    let harm = "UPDATE passbridge.users SET wallet_status = 'none', points = NULL WHERE id = 'person-1';
        DELETE FROM passbridge.users WHERE id IN ('person-2', 'person-3');
        ALTER TABLE passbridge.users ADD COLUMN notes text, ALTER COLUMN tier TYPE varchar(9);
        UPDATE passbridge.users SET notes = 'theirs' WHERE id = 'person-4'";
    execute(&warehouse.whole, harm).await.unwrap();
    let second = backfilled(&house, target).await;
    assert_eq!((second.matched, second.repaired, second.drifted), (9, 3, 3), "{second:?}");
    let mut fields: Vec<_> = second.drift.iter().map(|(_, fields)| fields.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["no record", "no record", "points, wallet_status"]);
    assert_eq!(warehouse.one(whole).await.as_deref(), Some("12"));
    assert_eq!(warehouse.one("SELECT points FROM passbridge.users WHERE id = 'person-1'").await.as_deref(), Some("1"));
    let theirs = "SELECT notes FROM passbridge.users WHERE id = 'person-4'";
    assert_eq!(warehouse.one(theirs).await.as_deref(), Some("theirs"), "a column of their own is left alone");
    execute(&warehouse.whole, "DROP TABLE passbridge.users").await.unwrap();
    assert_eq!(backfilled(&house, target).await.drifted, 12);
    assert_eq!(backfilled(&house, target).await.matched, 12);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_value_costs_its_event_alone() {
    let warehouse = Warehouse::new(Cluster::shared().await.unwrap()).await;
    let table = "CREATE SCHEMA passbridge; CREATE TABLE passbridge.tracks (id text PRIMARY KEY, \
        user_id text CHECK (user_id <> 'person-5'))";
    execute(&warehouse.whole, table).await.unwrap();
    let house = House::new().await;
    let target = warehouse.destination(&house).await;
    for number in 0..30 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    let workers = house.workers().await;
    let tracks = "SELECT count(*) FROM passbridge.tracks WHERE event = 'pass_created'";
    until("the others are rows", || async { warehouse.one(tracks).await.as_deref() == Some("29") }).await;
    until("one is given up", || async { ended(&house, target, AttemptOutcome::Failed).await == 1 }).await;
    let failed = house.attempts(target).await.into_iter().find(|attempt| attempt.outcome == 3).unwrap();
    assert_eq!(failed.error.as_deref(), Some("the receiver refused it: SQLSTATE 23514"));
    let detail: Value = serde_json::from_slice(&house.store.open_detail(&failed).unwrap().unwrap()).unwrap();
    let body = detail["request"]["body"].as_str().unwrap();
    assert!(body.contains("person-5") && !body.contains("person-6"), "an attempt tells of its own person alone: {body}");
    assert!(detail["reply"]["body"].as_str().unwrap().contains("check constraint"), "{detail}");
    assert!(!detail.to_string().contains(&warehouse.password));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_the_server_is_away() {
    let mut cluster = Cluster::start().await.unwrap();
    let warehouse = Warehouse::new(&cluster).await;
    let house = House::new().await;
    let target = warehouse.destination(&house).await;
    let workers = house.workers().await;
    for number in 0..60 {
        if number == 20 {
            cluster.stop().await.unwrap();
        }
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Google, "").await;
    }
    until("some wait", || async { ended(&house, target, AttemptOutcome::Retrying).await > 0 }).await;
    let waiting = house.attempts(target).await.into_iter().find(|attempt| attempt.outcome == 2).unwrap();
    let why = waiting.error.as_deref().unwrap();
    // It is told to stop before its door is shut.
    assert!(why.contains("connection") || why.contains("SQLSTATE 57P"), "{why}");
    cluster.resume().await.unwrap();
    let tracks = "SELECT count(*) FROM passbridge.tracks";
    until("all are rows", || async {
        house.clock.forward(Duration::from_secs(30));
        warehouse.one(tracks).await.as_deref() == Some("120")
    })
    .await;
    until("nothing is owed", || async {
        house.clock.forward(Duration::from_secs(30));
        house.store.backend().deliveries(house.org, Some(target), None, 10).await.unwrap().is_empty()
    })
    .await;
    let ids = "SELECT count(DISTINCT pass_id) FROM passbridge.pass_installed";
    assert_eq!((warehouse.one(tracks).await.as_deref(), warehouse.one(ids).await.as_deref()), (Some("120"), Some("60")));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_may_not_write_waits_until_it_may() {
    let cluster = Cluster::shared().await.unwrap();
    let mut warehouse = Warehouse::new(cluster).await;
    let reader = format!("reader_{}", std::process::id());
    let role = format!(
        "DROP ROLE IF EXISTS {reader}; CREATE ROLE {reader} LOGIN PASSWORD 'hush'; CREATE SCHEMA passbridge; \
         GRANT USAGE ON SCHEMA passbridge TO {reader}"
    );
    execute(&warehouse.whole, &role).await.unwrap();
    (warehouse.user, warehouse.password) = (reader.clone(), "wrong".to_owned());
    let house = House::new().await;
    let locked_out = warehouse.destination(&house).await;
    warehouse.password = "hush".to_owned();
    let target = warehouse.destination(&house).await;
    let workers = house.workers().await;
    house.issued("1", Validity::default()).await;
    for (target, why) in [(locked_out, "password authentication failed"), (target, "permission denied for schema passbridge")] {
        until(why, || async { ended(&house, target, AttemptOutcome::Retrying).await > 0 }).await;
        let attempt = house.attempts(target).await.remove(0);
        assert!(attempt.error.as_ref().unwrap().contains(why), "{attempt:?}");
    }
    execute(&warehouse.whole, &format!("GRANT CREATE ON SCHEMA passbridge TO {reader}")).await.unwrap();
    until("it goes on", || async {
        house.clock.forward(Duration::from_secs(30));
        ended(&house, target, AttemptOutcome::Delivered).await == 2
    })
    .await;
    assert_eq!(warehouse.one("SELECT count(*) FROM passbridge.tracks").await.as_deref(), Some("1"));
    workers.drain(PATIENCE).await;
    execute(&warehouse.whole, &format!("DROP SCHEMA passbridge CASCADE; DROP ROLE {reader}")).await.unwrap();
}

/// A reason that an attempt was noted with and is tried again for.
async fn told_why(house: &House, target: TargetId, why: &str) {
    until(why, || async {
        let attempts = house.attempts(target).await;
        attempts.iter().any(|it| it.outcome == 2 && it.error.as_deref().is_some_and(|error| error.contains(why)))
    })
    .await;
}

/// Waits until so many events are rows; nobody puts the clock forward.
async fn recovers(warehouse: &Warehouse, events: usize) {
    let since = tokio::time::Instant::now();
    let tracks = "SELECT count(*) FROM passbridge.tracks";
    until("all are rows", || async { warehouse.one(tracks).await == Some(events.to_string()) }).await;
    assert!(since.elapsed() < RECOVERY, "it took {:?}", since.elapsed());
}

/// They hold a watch beside: whatever else the machine had to do would be measured too.
mod alone {
    use super::*;

    /// The disk is a real one: the tablespace is a small memory file system (which needs root to mount), filled up by a file beside
    /// the tables. PostgreSQL says 53100.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_disk_is_named_and_what_waited_is_written_once_there_is_room() {
        let (cluster, disk) = (Cluster::start().await.unwrap(), SmallDisk::mount("64m").unwrap());
        let warehouse = Warehouse::at(cluster.create_database_on(disk.path()).await.unwrap());
        let house = House::new().await;
        let target = warehouse.destination(&house).await;
        let workers = house.workers().await;
        house.issued("first", Validity::default()).await;
        until("it is a row", || async { ended(&house, target, AttemptOutcome::Delivered).await > 0 }).await;
        let before = ended(&house, target, AttemptOutcome::Delivered).await;
        disk.fill().unwrap();
        let mut events = 1;
        // What fits into pages that there are is still taken.
        while ended(&house, target, AttemptOutcome::Retrying).await == 0 {
            let pass = house.issued(&format!("full-{events}"), Validity::default()).await;
            install(&house, &pass, Wallet::Google, "").await;
            events += 2;
            assert!(events < 20_000, "the disk is not full");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        told_why(&house, target, "No space left on device (SQLSTATE 53100)").await;
        // It stays full, so that what waits is to be tried again in hours.
        for _ in 0..4 {
            house.clock.forward(Duration::from_secs(2_400));
            for _ in 0..5 {
                house.issued(&format!("waits-{events}"), Validity::default()).await;
                events += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        let last = "SELECT count(*) FROM passbridge.tracks";
        let held = warehouse.one(last).await;
        disk.free().unwrap();
        let since = tokio::time::Instant::now();
        // What happens now shows that there is room; nobody puts the clock forward.
        while warehouse.one(last).await == held {
            assert!(since.elapsed() < RECOVERY, "nothing was written for {:?}", since.elapsed());
            house.issued(&format!("after-{events}"), Validity::default()).await;
            events += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        recovers(&warehouse, events).await;
        assert!(since.elapsed() < RECOVERY, "it took {:?}", since.elapsed());
        until("all attempts are noted", || async { ended(&house, target, AttemptOutcome::Delivered).await > before }).await;
        assert_eq!(ended(&house, target, AttemptOutcome::Failed).await, 0);
        workers.drain(PATIENCE).await;
    }

    /// Connections are killed by the server's administrator while rows wait for a lock in the middle of their transaction.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_on_a_connection_that_is_killed_is_written_again_and_once() {
        let cluster = Cluster::start().await.unwrap();
        let warehouse = Warehouse::new(&cluster).await;
        let house = House::new().await;
        let target = warehouse.destination(&house).await;
        let workers = house.workers().await;
        house.issued("first", Validity::default()).await;
        until("it is a row", || async { ended(&house, target, AttemptOutcome::Delivered).await > 0 }).await;
        let mut events = warehouse.column("SELECT id FROM passbridge.tracks").await.len();

        let (locker, connection) = tokio_postgres::connect(&warehouse.whole, NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        locker.batch_execute("BEGIN; LOCK TABLE passbridge.users IN ACCESS EXCLUSIVE MODE").await.unwrap();
        for number in 0..20 {
            house.issued(&number.to_string(), Validity::default()).await;
            events += 1;
        }
        let waits =
            "SELECT count(*)::float8 FROM pg_stat_activity WHERE application_name = 'passbridge' AND wait_event_type = 'Lock'";
        until("rows wait for the lock", || async { cluster.numbers(waits).await.unwrap()[0] > 0.0 }).await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'passbridge'";
        cluster.administer(kill).await.unwrap();
        told_why(&house, target, "terminating connection due to administrator command").await;
        locker.batch_execute("COMMIT").await.unwrap();
        driver.abort();
        recovers(&warehouse, events).await;
        assert_eq!(ended(&house, target, AttemptOutcome::Failed).await, 0);
        workers.drain(PATIENCE).await;
    }
}
