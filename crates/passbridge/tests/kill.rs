//! kill -9 at random points under load: what was acknowledged has its effect exactly once, and every event reaches its
//! target at least once, also where a transformation is slow and where a webhook breaks down. Runs on both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::TargetId;
use http::{Method, StatusCode};
use serde_json::Value;
use support::{
    Club, Database,
    load::{Dice, Load, SETTLE, check_deliveries, check_points, settle},
    visits::Visits,
};
use testkit::{
    http::Client,
    postgres::Cluster,
    sink::{Behaviour, Sink},
};
use tokio::time::Instant;

/// Cycles per database in `./test`; `TESTKIT_KILLS` asks for more.
const CYCLES: u32 = 25;
/// How long a server lives between two kills.
const LIFE_MILLIS: std::ops::Range<u64> = 80..900;
/// The next delivery starts within this time of the start.
const RESUMES_WITHIN: Duration = Duration::from_secs(2);
/// Deliveries that a kill may repeat: a batch of attempt rows that was not written yet, and what was in flight to one
/// target.
const REPEATED_PER_KILL: usize = 256 + 64;

/// The webhook of visits breaks down in this cycle, and again after so many.
const BREAKS_FIRST: u32 = 2;
const BREAKS_EVERY: u32 = 25;
/// … and after one that a slow machine saw too little of.
const BREAKS_AGAIN: u32 = 8;

/// Kills the server again and again while it is under load, and looks whether deliveries go on each time.
async fn torment(club: &mut Club, load: &Arc<Load>, visits: &Visits, sink: &Sink, cycles: u32) {
    let senders = load.start();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let (mut next_break, mut was_left_alone) = (BREAKS_FIRST, cycles <= BREAKS_FIRST);
    for cycle in 0..cycles {
        if cycle == next_break {
            let is_left_alone = visits.break_down(&club.server).await;
            next_break += if is_left_alone { BREAKS_EVERY } else { BREAKS_AGAIN };
            was_left_alone |= is_left_alone;
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(LIFE_MILLIS))).await;
        club.server.kill9().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        let before = sink.count();
        club.server.restart().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        let resumed = sink.wait_for(RESUMES_WITHIN, |all| (all.len() > before).then_some(())).await;
        assert!(resumed.is_some(), "cycle {cycle}: no delivery within {RESUMES_WITHIN:?} of the start\n{}", club.server.said());
    }
    load.end(senders).await;
    assert!(was_left_alone, "the webhook that broke down was never left alone\n{}", club.server.said());
}

async fn survives(database: Database) {
    let cycles = testkit::repetitions("TESTKIT_KILLS", CYCLES);
    let mut club = Club::open(database).await;
    let sink = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
    let (webhook, _) = club.webhook(&sink.url("/hook")).await;
    let webhook: TargetId = webhook.parse().unwrap();
    let load = Load::new(vec![club.data_plane()], &club.write_key);
    let visits = Visits::open(&club).await;
    let visitors = visits.start();
    torment(&mut club, &load, &visits, &sink, cycles).await;
    let most_again = REPEATED_PER_KILL * cycles as usize;
    let (of_visits, again) = visits.check(visitors, &club.server, most_again).await;
    let events = settle(&club.server, &club, webhook, &sink).await;
    check_points(&club, &load.ledger, &events).await;
    let received = sink.received_from(0);
    let repeated = check_deliveries(&received, &events, webhook, most_again);
    let parked = club.source_event(&["parked"]).await;
    assert!(parked.is_none(), "a source event was parked: {parked:?}");
    load.check_answers();
    println!("{database:?}: {cycles} kills, {} events, {} deliveries, {repeated} of them again", events.len(), received.len());
    println!("and {of_visits} events of visits, {again} deliveries again");
}

/// An event that is missing from the log is found after the next start, and told: the node is not ready, its workers halt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_the_log_halts_the_workers() {
    let mut club = Club::open(Database::Sqlite).await;
    let load = Load::new(vec![club.data_plane()], &club.write_key);
    let events: Vec<Value> = (0..5).map(|nth| load.track(&format!("member-{nth}"), "membership_signed_up")).collect();
    let client = Client::default();
    assert!(load.send(&client, &events).await);
    let deadline = Instant::now() + SETTLE;
    while club.events().await.len() < 5 {
        assert!(Instant::now() < deadline, "{}", club.server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(club.server.terminate().await.unwrap().success());
    let damage = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
        print(db.execute('DELETE FROM events WHERE pos = 3').rowcount); db.commit(); db.close()";
    let done = std::process::Command::new("python3").args(["-c", damage]).arg(club.server.data().join("passbridge.db")).output();
    assert_eq!(String::from_utf8_lossy(&done.unwrap().stdout).trim(), "1");

    // It may be ready for the moment until the check has come to the gap.
    let _ = tokio::time::timeout(RESUMES_WITHIN, club.server.restart()).await;
    let deadline = Instant::now() + SETTLE;
    loop {
        let url = club.server.url("/readyz");
        let reply = client.send(Method::GET, &url, &[], Bytes::new()).await;
        if reply.is_ok_and(|reply| reply.status == StatusCode::SERVICE_UNAVAILABLE) {
            break;
        }
        assert!(Instant::now() < deadline, "still ready\n{}", club.server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = club.server.said();
    assert!(said.contains("its workers halt") && said.contains("number 3 is missing"), "{said}");
    assert!(load.send(&client, &[load.track("member-9", "membership_signed_up")]).await, "the inbox is whole and takes events");
}

/// Rows of a batch that is killed again and again.
const ROWS: usize = 3_000;
/// Every so manyeth of them fails.
const FAILING: usize = 500;
/// Kills while a batch runs.
const BATCH_KILLS: usize = 4;
/// How long a server lives in between.
const BATCH_LIFE_MILLIS: std::ops::Range<u64> = 150..1_000;

/// Makes a batch of rows that runs by itself; its path.
async fn batch(club: &Club, document: Value, rows: String) -> String {
    batch_of(club, document, "text/csv", rows.into()).await
}

async fn batch_of(club: &Club, mut document: Value, media_type: &str, rows: Bytes) -> String {
    document["project"] = support::SLUG.into();
    document["start"] = "always".into();
    let made = support::post(&club.server, "/v1/batches", &document).await;
    let path = format!("/v1/batches/{}", support::text(&made, "id"));
    let bearer = format!("Bearer {}", club.server.admin_key());
    let headers = [("authorization", bearer.as_str()), ("content-type", media_type)];
    let kept = club.server.client().send(Method::PUT, &club.server.url(&format!("{path}/rows")), &headers, rows).await.unwrap();
    assert_eq!(kept.status, StatusCode::OK, "{:?}", kept.body);
    path
}

/// A batch once it came to its end.
async fn done(club: &Club, path: &str) -> Value {
    let deadline = Instant::now() + SETTLE;
    loop {
        let batch = club.server.api(Method::GET, path, None).await.unwrap();
        if !["reading", "checking", "running"].contains(&batch["state"].as_str().unwrap()) {
            assert_eq!(batch["state"], "done", "{batch}");
            return batch;
        }
        assert!(Instant::now() < deadline, "{batch}\n{}", club.server.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every row of a batch has its effect exactly once, however often the server dies meanwhile.
async fn rows_survive(database: Database) {
    let mut club = Club::open(database).await;
    let mut dice = Dice(0x5851_f42d_4c95_7f2d);
    let fails = |row: usize| row.is_multiple_of(FAILING);
    let issue: String = (1..=ROWS).map(|row| format!("m-{row},{}\n", if fails(row) { "many" } else { "1" })).collect();
    let add: String = (1..=ROWS).map(|row| format!("m-{row},2\n")).collect();
    let issue =
        batch(&club, serde_json::json!({"operation": "issue", "if_exists": "reject"}), format!("external_id,points\n{issue}"))
            .await;
    for cycle in 0..BATCH_KILLS {
        tokio::time::sleep(Duration::from_millis(dice.roll(BATCH_LIFE_MILLIS))).await;
        club.server.kill9().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        club.server.restart().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
    }
    let issued = done(&club, &issue).await;
    let failing = ROWS / FAILING;
    assert_eq!((&issued["run"]["created"], &issued["run"]["failed"]), (&(ROWS - failing).into(), &failing.into()), "{issued}");
    let report = club.server.url(&format!("{issue}/report"));
    let bearer = format!("Bearer {}", club.server.admin_key());
    let report = club.server.client().send(Method::GET, &report, &[("authorization", &bearer)], Bytes::new()).await.unwrap();
    let report = String::from_utf8(report.body.to_vec()).unwrap();
    let told: Vec<&str> = report.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    let expected: Vec<String> = (1..=ROWS).filter(|row| fails(*row)).map(|row| format!("m-{row}")).collect();
    assert_eq!(told, expected, "every row that failed, once, in order");

    let document = serde_json::json!({"operation": "update", "map": {"balances": {"points": {"add": "$.more"}}}});
    let added = batch(&club, document, format!("external_id,more\n{add}")).await;
    for cycle in 0..BATCH_KILLS {
        tokio::time::sleep(Duration::from_millis(dice.roll(BATCH_LIFE_MILLIS))).await;
        club.server.kill9().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        club.server.restart().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
    }
    let added = done(&club, &added).await;
    assert_eq!((&added["run"]["changed"], &added["run"]["failed"]), (&(ROWS - failing).into(), &failing.into()), "{added}");
    let mut points = std::collections::BTreeMap::new();
    let mut created = 0;
    for event in club.events().await {
        created += usize::from(event["type"] == "pass.created");
        if event["type"] == "pass.updated" {
            *points.entry(support::text(&event, "pass")).or_insert(0) += 1;
        }
    }
    assert_eq!((created, points.len()), (ROWS - failing, ROWS - failing));
    assert!(points.values().all(|times| *times == 1), "a row was carried out twice");
    let one = club.pass_of("m-1").await.unwrap();
    assert_eq!(one["balances"]["points"], "3", "{one}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_repeat_no_row_of_a_batch_on_sqlite() {
    rows_survive(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_repeat_no_row_of_a_batch_on_postgres() {
    rows_survive(Database::Postgres).await;
}

/// How long servers live while a Parquet file is made rows of and run, and again while a warehouse is read and its rows are
/// run: one dies while there are no rows yet or they are looked at, the next while they are carried out.
const TABLE_LIVES_MILLIS: [std::ops::Range<u64>; 2] = [40..300, 500..1_500];

async fn killed(club: &mut Club, dice: &mut Dice, batch: &str) {
    for (cycle, life) in TABLE_LIVES_MILLIS.into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(dice.roll(life))).await;
        let now = club.server.api(Method::GET, batch, None).await.unwrap();
        println!("killed while {}, {} rows made, run {}", now["state"], now["rows_read"], now["run"]);
        club.server.kill9().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        club.server.restart().await.unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
    }
}

/// As [`rows_survive`], with rows that are first made of a Parquet file, and of a table on the user's PostgreSQL.
async fn tables_survive(database: Database) {
    const MEMBERS: usize = 1_500;
    const FAIL: usize = MEMBERS / FAILING;
    let mut club = Club::open(database).await;
    let mut dice = Dice(0x1405_7b7e_f767_814f);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("members.parquet");
    let members = format!(
        "SELECT 'm-' || i AS external_id, CASE WHEN i % {FAILING} = 0 THEN 'many' ELSE '1' END AS points FROM range(1, {MEMBERS} + 1) t(i)"
    );
    let arguments = [file.to_str().unwrap(), members.as_str(), "COMPRESSION zstd, ROW_GROUP_SIZE 2048", ""];
    testkit::clients::python("parquet.py", &arguments, "", SETTLE).await.unwrap();
    let document = serde_json::json!({"operation": "issue", "if_exists": "reject", "format": "parquet"});
    let rows = std::fs::read(&file).unwrap().into();
    let issue = batch_of(&club, document, "application/vnd.apache.parquet", rows).await;
    killed(&mut club, &mut dice, &issue).await;
    let issued = done(&club, &issue).await;
    assert_eq!((&issued["run"]["created"], &issued["run"]["failed"]), (&(MEMBERS - FAIL).into(), &FAIL.into()), "{issued}");
    assert_eq!(issued["rows_read"], MEMBERS, "{issued}");

    let warehouse = Cluster::shared().await.unwrap().create_database().await.unwrap();
    let table = format!("CREATE TABLE members AS SELECT 'm-' || i AS id FROM generate_series(1, {MEMBERS}) i");
    testkit::postgres::execute(&warehouse, &table).await.unwrap();
    let (account, place) = warehouse.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (user, password) = account.split_once(':').unwrap();
    let sync = serde_json::json!({
        "slug": "members", "name": "Members", "query": "SELECT id AS external_id, 2 AS more FROM members", "start": "always",
        "database": {"url": format!("postgresql://{place}"), "user": user, "password": password, "tls": false},
        "batch": {"project": support::SLUG, "operation": "update", "map": {"balances": {"points": {"add": "$.more"}}}},
    });
    let sync = support::post(&club.server, "/v1/syncs", &sync).await;
    let path = format!("/v1/syncs/{}/run", support::text(&sync, "id"));
    let run = club.server.api(Method::POST, &path, Some(&serde_json::json!({}))).await.unwrap_or_else(|error| panic!("{error}"));
    let run = format!("/v1/batches/{}", support::text(&run, "id"));
    killed(&mut club, &mut dice, &run).await;
    let ran = done(&club, &run).await;
    assert_eq!((&ran["run"]["changed"], &ran["run"]["failed"]), (&(MEMBERS - FAIL).into(), &FAIL.into()), "{ran}");

    let (mut created, mut changed) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    for event in club.events().await {
        let times = match event["type"].as_str() {
            Some("pass.created") => &mut created,
            Some("pass.updated") => &mut changed,
            _ => continue,
        };
        *times.entry(support::text(&event, "pass")).or_insert(0) += 1;
    }
    for times in [&created, &changed] {
        assert_eq!(times.len(), MEMBERS - FAIL, "a row was lost");
        assert!(times.values().all(|times| *times == 1), "a row was carried out twice");
    }
    assert_eq!(club.pass_of("m-1").await.unwrap()["balances"]["points"], "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_repeat_no_row_of_a_table_on_sqlite() {
    tables_survive(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_repeat_no_row_of_a_table_on_postgres() {
    tables_survive(Database::Postgres).await;
}

/// These load the whole machine and measure time against it: they run alone.
mod alone {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn kills_lose_and_repeat_nothing_on_sqlite() {
        survives(Database::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn kills_lose_and_repeat_nothing_on_postgres() {
        survives(Database::Postgres).await;
    }
}
