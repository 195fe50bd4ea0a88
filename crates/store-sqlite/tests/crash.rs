//! Kills a writing process and looks at what it acknowledged. The test starts itself anew as the process to be killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use domain::{EventId, Id, OrgId, Position, SourceEventId, Timestamp};
use rusqlite::Connection;
use store::{Accepted, Backend, CommitRows, Committed, EventRow, InboxInsert, Log, StoreError, conformance::START};
use store_sqlite::{KeysAside, Options, Sqlite};
use uuid::Uuid;

const CHILD: &str = "--write-until-killed";
const KILLS: u64 = 5;
const WRITERS: u64 = 6;
/// Acknowledgements after which the process is killed, differing from kill to kill.
const ACKNOWLEDGED: usize = 150;

/// What the test is called by runners that ask for names.
const NAME: &str = "kills_lose_nothing_that_was_acknowledged";

fn main() {
    // Without a harness the questions of one are ours to answer: which tests there are, and which of them are ignored.
    if std::env::args().any(|argument| argument == "--list") {
        if !std::env::args().any(|argument| argument == "--ignored") {
            println!("{NAME}: test");
        }
        return;
    }
    let mut arguments = std::env::args().skip(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(word), Some(folder), Some(start)) if word == CHILD => {
            runtime.block_on(write_until_killed(Path::new(&folder), start.parse().unwrap()));
        }
        _ => runtime.block_on(kill_and_look()),
    }
}

/// Few keys in memory, so that many are taken over when the process dies.
fn options() -> Options {
    Options { keys_aside: KeysAside { least: 40, most: 40 }, ..Options::default() }
}

fn number(n: u64) -> Uuid {
    Uuid::from_u128((0x0190 << 112) + u128::from(n))
}

fn source_event(n: u64) -> InboxInsert {
    InboxInsert {
        org: Id::from_uuid(number(1)),
        id: Id::from_uuid(number(n)),
        source: Id::from_uuid(number(2)),
        dedupe: number(n).into_bytes(),
        dedupe_until: Timestamp::from_micros(i64::MAX),
        order_key: [3; 16],
        shard: 0,
        received_at: START,
        occurred_at: None,
        name: "purchase".to_owned(),
        data_key: vec![7; 60],
        body: vec![n as u8; 700],
        fault: None,
    }
}

fn event(n: u64) -> EventRow {
    EventRow {
        position: Position { shard: 0, seq: 0 },
        org: Id::from_uuid(number(1)),
        id: Id::from_uuid(number(n)),
        kind: 1,
        schema: 1,
        occurred_at: START,
        recorded_at: START,
        project: None,
        pass: None,
        contact: None,
        version: 1,
        subject: Uuid::nil(),
        data_key: None,
        body: vec![n as u8; 700],
    }
}

/// Writes from several tasks; prints each acknowledgement: what, its number, its position.
async fn write_until_killed(folder: &Path, start: u64) {
    let store = Sqlite::open(folder, &options()).unwrap();
    store.migrate(START).await.unwrap();
    let store: Arc<dyn Backend> = store;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        tasks.spawn(async move {
            for n in 0.. {
                let n = start + writer * 100_000 + n;
                let accepted = store.accept(vec![source_event(n)]).await.unwrap();
                let [Accepted::New(position)] = accepted[..] else { panic!("{accepted:?}") };
                tell("inbox", n, position);
                let rows = CommitRows { events: vec![event(n)], ..CommitRows::default() };
                let Committed::Done(positions) = store.commit(rows).await.unwrap() else { panic!("no conflict") };
                tell("event", n, positions[0]);
            }
        });
    }
    tasks.join_all().await;
}

fn tell(what: &str, n: u64, position: Position) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what} {n} {}", position.seq).and_then(|()| out.flush()).unwrap();
}

fn start_child(folder: &Path, start: u64) -> Child {
    let me = std::env::current_exe().unwrap();
    let mut command = Command::new(me);
    command.args([CHILD, folder.to_str().unwrap(), &start.to_string()]).stdout(Stdio::piped());
    command.spawn().expect("the test can start itself")
}

async fn kill_and_look() {
    let folder = tempfile::tempdir().unwrap();
    let mut inbox = BTreeMap::new();
    let mut events = BTreeMap::new();
    for kill in 0..KILLS {
        let mut child = start_child(folder.path(), 1_000_000 * (kill + 1));
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        for _ in 0..ACKNOWLEDGED + 37 * kill as usize {
            assert!(lines.read_line(&mut text).unwrap() > 0, "the process ended by itself");
        }
        let taken = Sqlite::open(folder.path(), &options()).map(|_| ());
        let Err(StoreError::Locked(why)) = taken else { panic!("the folder belongs to the process: {taken:?}") };
        assert!(why.contains(&child.id().to_string()), "{why}");
        child.kill().unwrap();
        child.wait().unwrap();
        // What it told before it died counts, except for a line that it did not finish.
        lines.read_to_string(&mut text).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let [what, n, seq] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let log = if what == "inbox" { &mut inbox } else { &mut events };
            log.insert(seq.parse::<u64>().unwrap(), n.parse::<u64>().unwrap());
        }
        look(folder.path(), &inbox, &events).await;
    }
    println!("{KILLS} kills: {} source events and {} events were acknowledged and all are there", inbox.len(), events.len());
}

/// Everything acknowledged is there under its number, nothing is missing between, and the file is whole.
async fn look(folder: &Path, inbox: &BTreeMap<u64, u64>, events: &BTreeMap<u64, u64>) {
    let store = Sqlite::open(folder, &options()).expect("the dead process's lock is gone");
    store.migrate(START).await.unwrap();
    let stored: Vec<(u64, SourceEventId)> =
        store.read_inbox(0, 0, 1_000_000).await.unwrap().iter().map(|row| (row.position.seq, row.id)).collect();
    assert!(stored.iter().map(|(seq, _)| *seq).eq(1..=store.heads(Log::Inbox).await.unwrap()[0]));
    for (seq, n) in inbox {
        assert_eq!(stored[*seq as usize - 1].1.uuid(), number(*n), "source event {n} was acknowledged");
        let again = store.accept(vec![source_event(*n)]).await.unwrap();
        assert_eq!(again, [Accepted::Duplicate(Id::from_uuid(number(*n)))], "source event {n} is known");
    }
    let stored: Vec<(u64, EventId, OrgId)> =
        store.read_events(0, 0, 1_000_000).await.unwrap().iter().map(|row| (row.position.seq, row.id, row.org)).collect();
    assert!(stored.iter().map(|row| row.0).eq(1..=store.heads(Log::Events).await.unwrap()[0]));
    for (seq, n) in events {
        assert_eq!(stored[*seq as usize - 1].1.uuid(), number(*n), "event {n} was acknowledged");
    }
    store.close().await;
    let db = Connection::open(folder.join("passbridge.db")).unwrap();
    let whole: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}
