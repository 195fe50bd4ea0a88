//! Queries on a real PostgreSQL as the rows of batches: run by a schedule, one at a time, ended when somebody says so, and read
//! anew after a crash.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::time::Duration;

use domain::{Action, Actor, BatchId, EventKind, Lifecycle, Pass, PassRef, SyncId, TargetEvents, Timestamp, Users};
use house::{House, System, quick, until};
use outbound::egress::Egress;
use serde_json::{Value, json};
use store::{
    Batch, BatchFile, BatchPhase, BatchStart, BatchWork, CHUNK_BYTES, Chunk, Incremental, JobState, Log, Removed, RemovedAction,
    StoredSync, SyncScope,
};
use testkit::{
    postgres::{Cluster, execute},
    proxy::{Manner, Proxy},
};
use workers::{Pace, Settings};

const PATIENCE: Duration = Duration::from_secs(30);

/// A database of somebody's.
struct Warehouse(String);

impl Warehouse {
    async fn with(members: u32) -> Self {
        let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
        let made = "CREATE TABLE members (no int PRIMARY KEY, points numeric(20, 2), until timestamptz)";
        let filled = format!("INSERT INTO members SELECT i, i + 0.25, '2030-01-01 00:00Z' FROM generate_series(1, {members}) i");
        execute(&url, &format!("{made}; {filled}")).await.unwrap();
        Self(url)
    }

    /// A sync of its rows.
    fn sync(&self, house: &House, query: &str, schedule: Option<Value>) -> StoredSync {
        let (account, place) = self.0.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
        let (user, password) = account.split_once(':').unwrap();
        let now = house.now();
        let id = SyncId::mint(now, &System);
        let document = json!({"project": "club", "operation": "issue", "map": {"contact": null}, "format": "ndjson"});
        StoredSync {
            id,
            slug: "members".to_owned(),
            name: "Members".to_owned(),
            document,
            start: BatchStart::Always,
            url: format!("postgresql://{place}"),
            user: user.to_owned(),
            sealed_password: house.store.seal_for::<StoredSync>(house.org, id.uuid(), password.as_bytes()).unwrap(),
            tls: false,
            authorities: None,
            egress: None,
            query: query.to_owned(),
            incremental: None,
            removed: None,
            patience_seconds: 60,
            schedule,
            enabled: true,
            created_at: now,
        }
    }
}

impl House {
    fn now(&self) -> Timestamp {
        domain::Clock::now(&*self.clock)
    }

    async fn runs(&self, sync: &StoredSync) -> Vec<Batch> {
        self.store.jobs_about::<BatchWork>(self.org, sync.id.uuid(), None, 100).await.unwrap()
    }

    /// Begins a run; none while another is under way.
    async fn begin(&self, sync: &StoredSync) -> Option<Batch> {
        let begun = self.store.begin_sync(self.org, sync, self.project, Actor::System, SyncScope::Changed, self.now()).unwrap();
        self.store.written(begun.1).await.unwrap().then_some(begun.0)
    }

    async fn batch(&self, batch: &Batch) -> Batch {
        self.store.job::<BatchWork>(self.org, batch.id).await.unwrap().unwrap()
    }

    async fn pass_of(&self, member: &str) -> Option<Pass> {
        self.store.pass_by_external_id(self.org, self.project, member).await.unwrap()
    }
}

const MEMBERS: &str = "SELECT no AS external_id, points, until AS expires_at FROM members";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_runs_a_query_again_and_missed_times_once() {
    let (house, warehouse) = (House::new().await, Warehouse::with(700).await);
    let sync = warehouse.sync(&house, MEMBERS, Some(json!({"every_minutes": 60})));
    assert!(house.store.put(&house.change(), &sync, 0).await.unwrap());
    let workers = house.workers().await;
    house.clock.forward(Duration::from_secs(3_600 * 50));
    until("the first run is done", || async { house.runs(&sync).await.iter().any(|run| run.state == JobState::Done) }).await;
    house.clock.forward(Duration::from_secs(120));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let runs = house.runs(&sync).await;
    assert_eq!(runs.len(), 1, "fifty times went by, and it ran once");
    assert_eq!((runs[0].progress.run.created, runs[0].progress.run.failed), (700, 0), "{:?}", runs[0].progress);

    execute(&warehouse.0, "UPDATE members SET until = '2031-01-01 00:00Z' WHERE no = 7; INSERT INTO members VALUES (701, 0)")
        .await
        .unwrap();
    house.clock.forward(Duration::from_secs(3_600));
    until("the second is done", || async {
        let runs = house.runs(&sync).await;
        runs.len() == 2 && runs[0].state == JobState::Done
    })
    .await;
    let run = house.runs(&sync).await[0].progress.run.clone();
    assert_eq!((run.created, run.changed, run.unchanged, run.failed), (1, 1, 699, 0));
    let until = house.pass_of("7").await.unwrap().validity.expires_at.unwrap();
    assert_eq!(until.to_string(), "2031-01-01T00:00:00Z");
    workers.drain(PATIENCE).await;
}

/// Syncs are looked at once a minute at least, and when one is due, which another look does not put off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_made_between_two_looks_is_kept_to_the_second() {
    let (house, warehouse) = (House::new().await, Warehouse::with(1).await);
    let into_the_minute = house.now().as_seconds().rem_euclid(60);
    house.clock.forward(Duration::from_secs(u64::try_from((100 - into_the_minute) % 60).unwrap()));
    let workers = house.workers().await;
    let sync = warehouse.sync(&house, MEMBERS, Some(json!({"cron": "* * * * *"})));
    assert!(house.store.put(&house.change(), &sync, 0).await.unwrap());
    house.clock.forward(Duration::from_secs(20));
    until("it runs", || async { !house.runs(&sync).await.is_empty() }).await;
    let begun = house.runs(&sync).await.pop().unwrap().created_at;
    assert!(begun.as_seconds().rem_euclid(60) < 30, "the minute began long before {begun}");
    workers.drain(PATIENCE).await;
}

/// Columns of JSON hold what no other column does: whole numbers of any length, and halves of characters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_in_a_column_keeps_its_digits_and_spoils_one_row_at_most() {
    let (house, warehouse) = (House::new().await, Warehouse::with(0).await);
    let made = r#"CREATE TABLE profiles (no int, profile jsonb, raw json);
         INSERT INTO profiles VALUES (1, '{"card": 12345678901234567890123}', '{"a": 1}'),
         (2, '{"card": 12345678901234567890124}', E'{"a":\n "\\ud83d"}'), (3, '{"card": 3}', NULL)"#;
    execute(&warehouse.0, made).await.unwrap();
    let mut sync = warehouse.sync(&house, "SELECT no, profile, raw FROM profiles", None);
    let map = json!({"external_id": "$.profile.card", "contact": null});
    sync.document = json!({"project": "club", "operation": "issue", "map": map, "format": "ndjson"});
    assert!(house.store.put(&house.change(), &sync, 0).await.unwrap());
    let workers = house.workers().await;
    let begun = house.begin(&sync).await.unwrap();
    until("it is over", || async { house.batch(&begun).await.state.is_over() }).await;
    let work = house.batch(&begun).await.progress;
    assert_eq!((work.run.created, work.run.failed, work.fault), (2, 1, None));
    for (card, is_there) in [("12345678901234567890123", true), ("12345678901234567890124", false), ("3", true)] {
        assert_eq!(house.pass_of(card).await.is_some(), is_there, "{card}");
    }
    workers.drain(PATIENCE).await;
}

/// A run reads what changed since the last one that came to its end without a failed row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_is_read_and_what_failed_is_read_again() {
    let (house, warehouse) = (House::new().await, Warehouse::with(40).await);
    let changed = "ALTER TABLE members ADD updated timestamptz; \
         UPDATE members SET updated = timestamptz '2026-01-01 10:00:00.123456+02' + make_interval(secs => no)";
    execute(&warehouse.0, changed).await.unwrap();
    let query = "SELECT no AS external_id, updated, \
         CASE WHEN no = 42 THEN 'never' ELSE to_json(until)#>>'{}' END AS expires_at FROM members";
    let incremental = Incremental { column: "updated".to_owned(), overlap_seconds: 2 };
    let sync = StoredSync { incremental: Some(incremental), ..warehouse.sync(&house, query, None) };
    assert!(house.store.put(&house.change(), &sync, 0).await.unwrap());
    let workers = house.workers().await;
    let run = async |scope: SyncScope| {
        let (begun, write) = house.store.begin_sync(house.org, &sync, house.project, Actor::System, scope, house.now()).unwrap();
        assert!(house.store.written(write).await.unwrap());
        until("it is over", || async { house.batch(&begun).await.state.is_over() }).await;
        house.clock.forward(Duration::from_secs(1));
        let work = house.batch(&begun).await.progress;
        (work.intake.as_ref().unwrap().rows, work.run.created, work.run.changed, work.run.failed, work.fault)
    };
    assert_eq!(run(SyncScope::Changed).await, (40, 40, 0, 0, None), "the first run reads all");
    assert_eq!(run(SyncScope::Changed).await, (3, 0, 0, 0, None), "the last one and two seconds before it");

    let later = "UPDATE members SET until = '2031-01-01 00:00Z', updated = updated + interval '1 hour' WHERE no = 7; \
         INSERT INTO members VALUES (41, 0, '2030-01-01 00:00Z', NULL), (42, 0, NULL, 'infinity')";
    execute(&warehouse.0, later).await.unwrap();
    assert_eq!(run(SyncScope::Changed).await, (6, 1, 1, 1, None), "those three, 7, what has no time, and what lies in no time");
    assert_eq!(run(SyncScope::Changed).await, (6, 0, 0, 1, None), "rows of a run in which one failed are read again");
    execute(&warehouse.0, "DELETE FROM members WHERE no = 42").await.unwrap();
    assert_eq!(run(SyncScope::Changed).await.0, 5);
    assert_eq!(run(SyncScope::Changed).await.0, 2, "7 is the last now, and the one without a time comes always");
    assert_eq!(run(SyncScope::All).await.0, 41, "all, when they are asked for");

    let held = house.store.catalog().org(house.org).unwrap().syncs[&sync.id.uuid()].revision;
    house.clock.forward(Duration::from_secs(1));
    assert!(house.store.put(&house.change(), &StoredSync { name: "Other".to_owned(), ..sync.clone() }, held).await.unwrap());
    assert_eq!(run(SyncScope::Changed).await.0, 41, "a sync that was changed reads all once");

    for (column, why) in [
        ("nobody", "no column \"nobody\""),
        ("points'; DROP TABLE members; --", "no column"),
        ("until_text", "a number or a time, not text"),
    ] {
        let query = "SELECT no AS external_id, until::text AS until_text FROM members";
        let incremental = Some(Incremental { column: column.to_owned(), overlap_seconds: 0 });
        let wrong = StoredSync { slug: "wrong".to_owned(), incremental, ..warehouse.sync(&house, query, None) };
        assert!(house.store.put(&house.change(), &wrong, 0).await.unwrap());
        let begun = house.begin(&wrong).await.unwrap();
        until("it is over", || async { house.batch(&begun).await.state.is_over() }).await;
        let fault = house.batch(&begun).await.progress.fault.unwrap();
        assert!(fault.contains(why), "{column}: {fault}");
        let held = house.store.catalog().org(house.org).unwrap().syncs[&wrong.id.uuid()].revision;
        assert!(house.store.remove(&house.change(), &wrong, held).await.unwrap());
    }
    workers.drain(PATIENCE).await;
}

/// Passes whose rows are gone are revoked by a run that reads all rows, unless they are many or a row failed; a crash in the
/// middle leaves none out and revokes none that has its row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_whose_rows_are_gone_are_revoked() {
    let (house, warehouse) = (House::new().await, Warehouse::with(1_000).await);
    let query = "SELECT no AS external_id, until AS expires_at FROM members UNION ALL SELECT 0, until FROM members WHERE no = 1";
    let removed = Some(Removed { action: RemovedAction::Revoke, at_most_percent: 50 });
    let sync = StoredSync { removed, ..warehouse.sync(&house, query, None) };
    assert!(house.store.put(&house.change(), &sync, 0).await.unwrap());
    let foreign = house.issued("foreign", Default::default()).await;
    let run = async || {
        let workers = house.workers().await;
        let begun = house.begin(&sync).await.unwrap();
        until("it is over", || async { house.batch(&begun).await.state.is_over() }).await;
        workers.drain(PATIENCE).await;
        house.clock.forward(Duration::from_secs(1));
        let run = house.batch(&begun).await;
        assert_eq!(run.state, JobState::Done, "{:?}", run.progress.fault);
        let removal = run.progress.removal.unwrap();
        (removal.found, removal.done, removal.kept)
    };
    let void =
        async |member: u32| matches!(house.pass_of(&member.to_string()).await.unwrap().lifecycle, Lifecycle::Revoked { .. });
    assert_eq!(run().await, (Some(0), 0, None));

    execute(&warehouse.0, "DELETE FROM members WHERE no > 400").await.unwrap();
    let (found, done, kept) = run().await;
    assert_eq!((found, done), (Some(600), 0));
    assert!(kept.unwrap().contains("600 of 1001 passes have no row any more, which is more than 50 %"));
    assert!(!void(1_000).await);

    execute(&warehouse.0, "INSERT INTO members SELECT i, 0, NULL FROM generate_series(401, 520) i").await.unwrap();
    let begun = house.begin(&sync).await.unwrap();
    let node = house.doomed("one", quick()).await;
    until("it revokes", || async { void(521).await || house.batch(&begun).await.state.is_over() }).await;
    node.vanish();
    let workers = house.workers().await;
    until("it is over", || async { house.batch(&begun).await.state.is_over() }).await;
    workers.drain(PATIENCE).await;
    let removal = house.batch(&begun).await.progress.removal.unwrap();
    assert_eq!((removal.found, removal.kept), (Some(480), None));
    for (member, expected) in
        [(0, false), (1, false), (400, false), (401, false), (520, false), (521, true), (777, true), (1_000, true)]
    {
        assert_eq!(void(member).await, expected, "member {member}");
    }
    assert_eq!(
        house.store.pass(house.org, foreign.id).await.unwrap().unwrap().lifecycle,
        foreign.lifecycle,
        "no pass of the sync's"
    );
    let voided = house.store.events_of_pass(house.org, house.pass_of("521").await.unwrap().id, 0, 100).await.unwrap();
    assert_eq!(
        voided
            .into_iter()
            .filter_map(store::LoggedEvent::whole)
            .filter(|event| event.facts.kind().name() == "pass.revoked")
            .count(),
        1
    );

    // A row that is back has its pass again; what somebody else revoked stays so, and is told.
    let theft = Action::Revoke { pass: PassRef::Id(house.pass_of("400").await.unwrap().id), reason: Some("theft".to_owned()) };
    house.engine.submit(house.command(theft)).await.unwrap();
    execute(&warehouse.0, "INSERT INTO members VALUES (777, 0, NULL)").await.unwrap();
    let begun = house.begin(&sync).await.unwrap();
    let workers = house.workers().await;
    until("it is over", || async { house.batch(&begun).await.state.is_over() }).await;
    workers.drain(PATIENCE).await;
    let tally = house.batch(&begun).await.progress.run;
    assert_eq!((tally.changed, tally.still_void, tally.failed), (1, 1, 0));
    for (member, expected) in [(400, true), (777, false), (778, true)] {
        assert_eq!(void(member).await, expected, "member {member}");
    }

    execute(&warehouse.0, "DELETE FROM members").await.unwrap();
    let (found, done, kept) = run().await;
    assert_eq!((found, done, kept.is_some()), (Some(522), 0, true), "a table that is empty is not believed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_is_under_way_and_cancelling_it_ends_the_query() {
    let (house, warehouse) = (House::new().await, Warehouse::with(10).await);
    let slow = "SELECT no AS external_id, pg_sleep(3)::text AS slept FROM members";
    let sync = warehouse.sync(&house, slow, None);
    assert!(house.store.put(&house.change(), &sync, 0).await.unwrap());
    let workers = house.workers().await;
    let run = house.begin(&sync).await.unwrap();
    assert!(house.begin(&sync).await.is_none(), "one at a time");
    let asked = async |what: &str| {
        let sql = format!("SELECT count(*)::float8 FROM pg_stat_activity WHERE application_name = 'passbridge' AND {what}");
        let database = warehouse.0.rsplit('/').next().unwrap();
        let sql = format!("{sql} AND datname = '{database}'");
        Cluster::shared().await.unwrap().numbers(&sql).await.unwrap()[0]
    };
    until("the server works on it", || async { asked("state = 'active'").await > 0.0 }).await;
    let held = house.batch(&run).await;
    let cancelled = Batch { state: JobState::Cancelled, ..held };
    assert!(house.store.save_job(None, &cancelled, &[], house.now()).await.unwrap());
    until("the server has nothing of it any more", || async { asked("true").await == 0.0 }).await;
    assert!(house.begin(&sync).await.is_some(), "another may be begun");
    workers.drain(PATIENCE).await;
}

/// What was carried out up to then is counted, and no row beyond it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_cancelled_in_a_turn_counts_what_the_turn_did() {
    const ROWS: u64 = 20_000;
    let house = House::new().await;
    let document = json!({"project": "club", "operation": "issue", "map": {"contact": null}, "format": "csv"});
    let work = BatchWork::new(document, house.project, Actor::System, BatchStart::Always);
    let (batch, write) = house.store.new_batch(&house.change(), work).unwrap();
    assert!(house.store.written(write).await.unwrap());
    let lines = std::iter::once("external_id".to_owned()).chain((1..=ROWS).map(|number| number.to_string()));
    let rows = lines.collect::<Vec<_>>().join("\n");
    let file = BatchFile { bundle: BatchId::mint(house.now(), &System).uuid(), bytes: rows.len() as u64 };
    for (number, bytes) in (0..).zip(rows.as_bytes().chunks(CHUNK_BYTES)) {
        let chunk = Chunk { bundle: file.bundle, number, bytes: bytes.to_vec() };
        house.store.put_chunk(house.org, &chunk, house.now()).await.unwrap();
    }
    let mut begun = Batch { state: JobState::Running, ..batch.clone() };
    (begun.progress.file, begun.progress.phase) = (Some(file), BatchPhase::Check);
    assert!(house.store.save_job(None, &begun, &[], house.now()).await.unwrap());

    let workers = house.workers().await;
    until("it issues passes", || async { house.pass_of("1").await.is_some() }).await;
    loop {
        let cancelled = Batch { state: JobState::Cancelled, ..house.batch(&batch).await };
        if house.store.save_job(None, &cancelled, &[], house.now()).await.unwrap() {
            break;
        }
    }
    until("the numbers are those of the passes", || async {
        let rows = house.batch(&batch).await.progress.run.rows;
        rows > 0 && house.pass_of(&rows.to_string()).await.is_some() && house.pass_of(&(rows + 1).to_string()).await.is_none()
    })
    .await;
    workers.drain(PATIENCE).await;
    let run = house.batch(&batch).await;
    assert_eq!((run.state, run.progress.run.created), (JobState::Cancelled, run.progress.run.rows));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_rows_are_read_or_run_loses_and_doubles_none() {
    let (house, warehouse) = (House::new().await, Warehouse::with(3_000).await);
    let query = "SELECT no AS external_id, points, repeat('x', 2000) AS note FROM members";
    let sync = warehouse.sync(&house, query, None);
    let mut counting = sync.clone();
    counting.document =
        json!({"project": "club", "operation": "update", "map": {"balances": {"points": {"add": 1}}}, "format": "ndjson"});
    assert!(house.store.put(&house.change(), &sync, 0).await.unwrap());
    for (turn, sync) in [&sync, &counting].into_iter().enumerate() {
        let run = house.begin(sync).await.unwrap();
        let phases = [BatchPhase::Read, BatchPhase::Check, BatchPhase::Run];
        for phase in phases {
            let node = house.doomed("one", quick()).await;
            until("it came so far", || async {
                let run = house.batch(&run).await;
                let is_begun = |bytes: u64| bytes > 0 || run.state.is_over();
                run.progress.phase != phase
                    || match phase {
                        BatchPhase::Rows | BatchPhase::Read => run.progress.intake.is_some_and(|intake| intake.bundle.is_some()),
                        BatchPhase::Check => is_begun(run.progress.check.offset),
                        BatchPhase::Run => is_begun(run.progress.run.offset),
                    }
            })
            .await;
            node.vanish();
        }
        let workers = house.workers().await;
        until("it is done", || async { house.batch(&run).await.state == JobState::Done }).await;
        workers.drain(PATIENCE).await;
        let counts = house.batch(&run).await.progress.run;
        let expected = if turn == 0 { (3_000, 0) } else { (0, 3_000) };
        assert_eq!((counts.rows, (counts.created, counts.changed), counts.failed), (3_000, expected, 0));
    }
    for (member, points) in [("1", "2.25"), ("1500", "1501.25"), ("3000", "3001.25")] {
        assert_eq!(house.pass_of(member).await.unwrap().balances["points"].to_string(), points);
    }
}

/// What happens live goes first: nothing is carried out while a reader of any shard has not looked at something for long, though
/// the shard is another node's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_gives_way_while_a_reader_is_behind() {
    let (house, warehouse) = (House::on_postgres().await, Warehouse::with(50).await);
    let issue = json!({"id": "card", "action": "issue", "if_exists": "skip"});
    house.flow(json!({"slug": "sign-up", "project": "club", "when": {"event": "signed_up"}, "steps": [issue]})).await;
    let settings = Settings { pace: Pace::taking_over_after(Duration::from_secs(10)), ..quick() };
    let one = house.node("one", settings.clone()).await.unwrap();
    let two = house.doomed("two", settings).await;
    let owned_by = async |name: &str| {
        let leases = house.store.backend().leases().await.unwrap();
        let owned = leases.iter().filter(|row| row.owner.split('/').next() == Some(name));
        owned.map(|row| row.lease.shard).collect::<Vec<u16>>()
    };
    until("the shards are shared", || async { owned_by("two").await.len() == 8 && owned_by("one").await.len() == 8 }).await;
    let (left, kept) = (owned_by("two").await, owned_by("one").await);
    two.vanish();
    for member in 0..40 {
        let user = format!("live-{member}");
        house.arrives(&user, &user, json!({"type": "track", "event": "signed_up", "userId": user})).await;
    }
    let heads = house.store.backend().heads(Log::Inbox).await.unwrap();
    assert!(left.iter().any(|shard| heads[usize::from(*shard)] > 0), "some are in shards that nobody reads");
    house.clock.forward(Duration::from_secs(5));

    let sync = loop {
        let sync = warehouse.sync(&house, MEMBERS, None);
        if kept.contains(&house.store.shard_of(house.org, sync.id.uuid())) {
            break sync;
        }
    };
    assert!(house.store.put(&house.change(), &sync, 0).await.unwrap());
    let run = house.begin(&sync).await.unwrap();
    until("it waits", || async {
        let work = house.batch(&run).await.progress;
        work.phase == BatchPhase::Run && work.waits_for.as_deref() == Some("flows")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(house.batch(&run).await.progress.run.rows, 0, "not a row while it waits");
    until("the shards are taken over, and it goes on", || async { house.batch(&run).await.state == JobState::Done }).await;
    let work = house.batch(&run).await.progress;
    assert_eq!((work.run.created, work.waits_for), (50, None));
    assert_eq!(house.store.passes(house.org, Some(house.project), None, None, 1_000).await.unwrap().len(), 90);
    one.drain(PATIENCE).await;
}

/// Operators' webhooks hear of runs and batches that fail, end with failed rows or wait because rows would fail, once each; of
/// what went well, and of a check that somebody asked for, nobody does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_hears_of_syncs_and_batches_that_fail() {
    let (house, warehouse) = (House::new().await, Warehouse::with(5).await);
    let sink = house::Sink::start(&[], 1_000).await;
    let operators = |target: &mut domain::Target| {
        target.events = TargetEvents::Only(vec![EventKind::SyncFailed, EventKind::BatchFailed]);
        target.dialect = "native".to_owned();
    };
    house.target_with(&sink.url, operators).await;
    let workers = house.workers().await;
    let wrong =
        "SELECT no AS external_id, CASE WHEN no = 3 THEN 'never' ELSE to_json(until)#>>'{}' END AS expires_at FROM members";
    let fine = warehouse.sync(&house, MEMBERS, None);
    let some = StoredSync { slug: "some".to_owned(), ..warehouse.sync(&house, wrong, None) };
    let waits = StoredSync { slug: "waits".to_owned(), start: BatchStart::IfClean, ..warehouse.sync(&house, wrong, None) };
    let broken = StoredSync { slug: "broken".to_owned(), ..warehouse.sync(&house, "SELECT nothing FROM members", None) };
    let mut runs = Vec::new();
    for sync in [&fine, &some, &waits, &broken] {
        assert!(house.store.put(&house.change(), sync, 0).await.unwrap());
        let run = house.begin(sync).await.unwrap();
        until("it is over, or waits", || async { house.batch(&run).await.state != JobState::Running }).await;
        runs.push(run.id);
    }
    let document = json!({"project": "club", "operation": "issue", "map": {"contact": null}, "format": "csv"});
    for (start, name) in [(BatchStart::ByHand, "only checked"), (BatchStart::Always, "carried out")] {
        let work = BatchWork::new(document.clone(), house.project, Actor::System, start);
        let (batch, write) = house.store.new_batch(&house.change(), work).unwrap();
        assert!(house.store.written(write).await.unwrap());
        let bytes = b"external_id,expires_at\nrow-1,2031-01-01T00:00:00Z\nrow-2,never\n".to_vec();
        let file = BatchFile { bundle: BatchId::mint(house.now(), &System).uuid(), bytes: bytes.len() as u64 };
        house.store.put_chunk(house.org, &Chunk { bundle: file.bundle, number: 0, bytes }, house.now()).await.unwrap();
        let mut begun = Batch { state: JobState::Running, ..batch.clone() };
        (begun.progress.file, begun.progress.phase) = (Some(file), BatchPhase::Check);
        assert!(house.store.save_job(None, &begun, &[], house.now()).await.unwrap());
        until(name, || async { house.batch(&batch).await.state != JobState::Running }).await;
        runs.push(batch.id);
    }

    until("all is told", || async { sink.count() >= 4 }).await;
    workers.drain(PATIENCE).await;
    let told: Vec<Value> = sink.behaviour.seen.lock().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect();
    let of =
        |run: usize| told.iter().find(|event| event["data"]["facts"]["batch"] == runs[run].to_string()).unwrap_or(&Value::Null);
    assert_eq!((told.len(), of(0), of(4)), (4, &Value::Null, &Value::Null), "{told:?}");
    let facts = |run: usize| {
        let (event, data) = (of(run), &of(run)["data"]["facts"]);
        (event["type"].clone(), data["paused"].clone(), data["rows"].clone(), data["failed"].clone())
    };
    assert_eq!(facts(1), (json!("sync.failed"), json!(false), json!(5), json!(1)));
    assert_eq!(facts(2), (json!("sync.failed"), json!(true), json!(5), json!(1)));
    assert_eq!(facts(3), (json!("sync.failed"), json!(false), json!(0), json!(0)));
    assert_eq!(facts(5), (json!("batch.failed"), json!(false), json!(2), json!(1)));
    assert_eq!(of(1)["data"]["facts"]["sync"], some.id.to_string());
    assert!(of(3)["data"]["facts"]["reason"].as_str().unwrap().contains("nothing"), "{}", of(3));
}

/// Through a proxy that the operator named for this organization, and not at all where it named it for others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_reached_by_the_way_out_that_its_sync_names() {
    let (house, warehouse) = (House::new().await, Warehouse::with(3).await);
    let proxy = Proxy::start(Manner::Connect(None)).await.unwrap();
    let mut settings = quick();
    let way = |name, users| (Egress::through(name, &proxy.url("")).unwrap(), users);
    settings.webhooks.egresses = vec![way("office", Users::Only([house.org].into())), way("theirs", Users::default())];
    let workers = house.workers_with(settings).await;
    let by = |name: &str| {
        let egress = Some(name.to_owned());
        StoredSync { slug: name.to_owned(), egress, ..warehouse.sync(&house, MEMBERS, None) }
    };
    for (sync, state) in [(by("office"), JobState::Done), (by("theirs"), JobState::Failed)] {
        assert!(house.store.put(&house.change(), &sync, 0).await.unwrap());
        let run = house.begin(&sync).await.unwrap();
        until("it is over", || async { house.batch(&run).await.state != JobState::Running }).await;
        let run = house.batch(&run).await;
        assert_eq!(run.state, state, "{:?}", run.progress);
        if state == JobState::Failed {
            let why = run.progress.fault.unwrap();
            assert!(why.contains("no egress `theirs` for this organization"), "{why}");
        }
    }
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|to| warehouse.0.contains(to)), "{asked:?}");
    assert!(house.pass_of("2").await.is_some());
    workers.drain(PATIENCE).await;
}
