//! What happens to the files: locks, damage, other versions, full disks, erasure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::Path,
    sync::Arc,
};

use domain::{Id, IdKind, OrgId, PassId, Position, Timestamp};
use rusqlite::Connection;
use store::{
    Accepted, Backend, CommitRows, Committed, ContactKey, ContactRow, ContactWrite, InboxInsert, Lease, LoadKeys, Log, PassRow,
    PassWrite, StoreError, conformance::START,
};
use store_sqlite::{Options, Sqlite};
use tokio::task::JoinSet;
use uuid::Uuid;

const DATABASE: &str = "passbridge.db";

fn id<K: IdKind>(n: u64) -> Id<K> {
    Id::from_uuid(Uuid::from_u128((0x0190 << 112) + u128::from(n)))
}

fn org() -> OrgId {
    id(1)
}

fn row(n: u64, size: usize) -> InboxInsert {
    InboxInsert {
        org: org(),
        id: id(n),
        source: id(2),
        dedupe: u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_be_bytes(),
        dedupe_until: Timestamp::from_micros(i64::MAX),
        order_key: [3; 16],
        shard: 0,
        received_at: START,
        occurred_at: None,
        name: "purchase".to_owned(),
        data_key: secret(n),
        body: vec![5; size],
        fault: None,
    }
}

/// A key that can be told from everything else in a file.
fn secret(n: u64) -> Vec<u8> {
    let word = |k: u64| (n * 4 + k + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93).rotate_left(29).to_be_bytes();
    (0..7).flat_map(|k| word(k % 4 + k / 4)).collect()
}

async fn open(folder: &Path, options: &Options) -> Arc<Sqlite> {
    let store = Sqlite::open(folder, options).expect("the folder opens");
    store.migrate(START).await.expect("the schema is made");
    store
}

#[tokio::test]
async fn a_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep").join("data");
    let first = open(&path, &Options::default()).await;
    let Err(StoreError::Locked(text)) = Sqlite::open(&path, &Options::default()) else { panic!("the folder is taken") };
    assert!(text.contains(&std::process::id().to_string()), "who has it is told: {text}");
    assert!(text.contains("stop it"), "and what to do: {text}");
    first.accept(vec![row(10, 10)]).await.unwrap();
    first.close().await;
    assert!(matches!(first.ready().await, Err(StoreError::Unavailable(_))), "closed is closed");
    assert!(matches!(first.config_version().await, Err(StoreError::Unavailable(_))));
    let second = open(&path, &Options::default()).await;
    assert_eq!(second.heads(Log::Inbox).await.unwrap(), [1]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_folder_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let _store = open(&path, &Options::default()).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn it_is_decided_of_every_table_whether_it_moves() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &Options::default()).await.close().await;
    let file = Connection::open(folder.path().join(DATABASE)).unwrap();
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut tables = file.prepare(tables).unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    store::conformance::carried::every_table_has_its_fate(&tables);
}

#[tokio::test]
async fn a_file_that_is_no_database_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(DATABASE), "dear diary, ".repeat(1_000)).unwrap();
    let result = Sqlite::open(folder.path(), &Options::default()).map(|_| ());
    assert!(matches!(&result, Err(StoreError::Corrupt(text)) if text.contains("no SQLite database")), "{result:?}");
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = fs::read(&path).unwrap();
    let result = Sqlite::open(folder.path(), &Options::default()).map(|_| ());
    assert!(matches!(&result, Err(StoreError::Corrupt(text)) if text.contains("another program")), "{result:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

fn pass(n: u64) -> PassWrite {
    let row = PassRow {
        org: org(),
        id: id(n),
        project: id(3),
        shard: 0,
        version: 1,
        content_seq: 0,
        contact: Some(id(n)),
        external: Some(row(n, 0).dedupe),
        state: 1,
        installed: 0,
        due_at: None,
        issued_at: START,
        updated_at: START,
        subject: Uuid::nil(),
        data_key: None,
        body: vec![9; 40],
    };
    PassWrite { row, expected: None, content_event: None, code: Some(format!("code-{n}")) }
}

fn contact(n: u64, names: &[u64]) -> ContactWrite {
    let name = |n: &u64| ContactKey { hash: row(*n, 0).dedupe, required: false, place: None };
    let row = ContactRow {
        org: org(),
        id: id(n),
        version: 1,
        created_at: START,
        updated_at: START,
        wallets: 0,
        data_key: None,
        body: vec![8; 40],
    };
    ContactWrite { row, expected: None, keys: names.iter().map(name).collect() }
}

/// A folder with fifty messages, passes and contacts, and a pass that is deleted.
async fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &Options::default()).await;
    store.accept((10..60).map(|n| row(n, 10)).collect()).await.unwrap();
    let mut deleted = pass(60);
    deleted.row.state = 5;
    let rows = CommitRows {
        passes: (10..60).map(pass).chain([deleted]).collect(),
        contacts: (10..60).map(|n| contact(n, &[n, 1_000])).collect(),
        ..CommitRows::default()
    };
    assert!(matches!(store.commit(rows).await.unwrap(), Committed::Done(_)));
    store.close().await;
    folder
}

/// What a folder is changed by behind our back.
fn change(folder: &Path, sql: &str) {
    Connection::open(folder.join(DATABASE)).unwrap().execute_batch(sql).unwrap();
}

/// Every key of a [`filled`] folder means what it meant, and is taken.
async fn all_keys_hold(store: &Sqlite) {
    for n in 10..60 {
        let id_of_pass: PassId = id(n);
        let again = InboxInsert { id: id(n + 500), ..row(n, 10) };
        assert_eq!(store.accept(vec![again]).await.unwrap(), [Accepted::Duplicate(id(n))]);
        assert_eq!(store.look_up(4, format!("code-{n}").as_bytes()).await.unwrap(), Some((org(), id_of_pass.uuid())));
        let keys = LoadKeys {
            externals: vec![(org(), id(3), row(n, 0).dedupe)],
            contact_keys: vec![(org(), row(n, 0).dedupe)],
            ..LoadKeys::default()
        };
        let loaded = store.load(&keys).await.unwrap();
        assert_eq!(loaded.passes.iter().map(|pass| pass.id).collect::<Vec<_>>(), [id(n)]);
        assert_eq!(loaded.contact_keys, [(org(), row(n, 0).dedupe, id(n))]);
        let twice = PassWrite { row: PassRow { id: id(n + 500), ..pass(n).row }, ..pass(n + 500) };
        let rows = CommitRows { passes: vec![twice], ..CommitRows::default() };
        assert!(matches!(store.commit(rows).await.unwrap(), Committed::Conflict));
    }
    let line = store.line(org(), row(1_000, 0).dedupe, None, 100).await.unwrap();
    assert_eq!(line, (10..60).map(id).collect::<Vec<_>>());
    assert_eq!(store.line(org(), row(1_000, 0).dedupe, Some(id(10)), 1).await.unwrap(), [id(11)]);
    let free = PassWrite { row: PassRow { state: 1, id: id(600), ..pass(60).row }, ..pass(600) };
    let rows = CommitRows { passes: vec![free], ..CommitRows::default() };
    assert!(matches!(store.commit(rows).await.unwrap(), Committed::Done(_)), "a deleted pass has no external id");
    assert_eq!(store.accept(vec![row(700, 10)]).await.unwrap().len(), 1);
}

/// What was known by a key under an earlier release is known by it, and its key is not free.
#[tokio::test]
async fn keys_of_an_earlier_release_are_found() {
    let folder = filled().await;
    change(folder.path(), include_str!("before_keys.sql"));
    all_keys_hold(&*open(folder.path(), &Options::default()).await).await;
}

#[tokio::test]
async fn an_index_of_keys_that_was_lost_is_made_anew() {
    let folder = filled().await;
    change(folder.path(), "DELETE FROM key_index; DELETE FROM key_tail;");
    all_keys_hold(&*open(folder.path(), &Options::default()).await).await;
}

#[tokio::test]
async fn damaged_pages_are_told_and_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    open(folder.path(), &Options::default()).await.close().await;
    let of_schema = fs::read(&path).unwrap().len() / 4_096;
    let store = open(folder.path(), &Options::default()).await;
    store.accept((10..300).map(|n| row(n, 500)).collect()).await.unwrap();
    store.close().await;
    let mut bytes = fs::read(&path).unwrap();
    let pages = bytes.len() / 4_096;
    // Everything after the schema's pages.
    for page in of_schema..pages {
        bytes[page * 4_096..page * 4_096 + 400].fill(0xA5);
    }
    fs::write(&path, bytes).unwrap();
    let store = Sqlite::open(folder.path(), &Options::default()).expect("the first pages are whole");
    let read = store.read_inbox(0, 0, 1_000).await;
    assert!(matches!(&read, Err(StoreError::Corrupt(text)) if text.contains("backup")), "{read:?}");
}

#[tokio::test]
async fn a_row_that_contradicts_itself_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &Options::default()).await;
    store.accept(vec![row(10, 10)]).await.unwrap();
    store.close().await;
    let db = Connection::open(folder.path().join(DATABASE)).unwrap();
    db.execute_batch("UPDATE inbox SET source = x'0102'").unwrap();
    drop(db);
    let store = open(folder.path(), &Options::default()).await;
    let read = store.read_inbox(0, 0, 9).await;
    let Err(StoreError::Inconsistent { table, column, row, .. }) = &read else { panic!("{read:?}") };
    assert_eq!((*table, *column, row.as_str()), ("inbox", "i.source", "1"));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &Options::default()).await.close().await;
    let db = Connection::open(folder.path().join(DATABASE)).unwrap();
    db.pragma_update(None, "user_version", 999).unwrap();
    drop(db);
    let result = Sqlite::open(folder.path(), &Options::default()).map(|_| ());
    assert!(matches!(result, Err(StoreError::TooNew { found: 999, .. })), "{result:?}");
}

/// SQLite's own page limit makes the same error as a full disk, at the same places.
#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let small = Options { max_pages: Some(200), ..Options::default() };
    let store = open(folder.path(), &small).await;
    let mut writers = JoinSet::new();
    for writer in 0..8u64 {
        let store = store.clone();
        writers.spawn(async move {
            let mut taken = Vec::new();
            for n in 0..60 {
                let number = 1_000 + writer * 100 + n;
                match store.accept(vec![row(number, 3_000)]).await {
                    Ok(accepted) => taken.extend(accepted.into_iter().map(|accepted| (number, accepted))),
                    Err(StoreError::DiskFull) => {}
                    Err(other) => panic!("the disk is full, not {other}"),
                }
            }
            taken
        });
    }
    let taken: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    assert!((20..480).contains(&taken.len()), "some fit and some did not: {}", taken.len());
    let lease = store.seize(Lease { shard: 0, epoch: 0 }, "a").await;
    assert!(matches!(lease, Ok(Some(_)) | Err(StoreError::DiskFull)), "{lease:?}");
    assert_eq!(store.read_inbox(0, 0, 1_000).await.unwrap().len(), taken.len(), "reading goes on");
    store.close().await;

    let store = open(folder.path(), &Options::default()).await;
    let rows = store.read_inbox(0, 0, 1_000).await.unwrap();
    assert!(rows.iter().map(|row| row.position.seq).eq(1..=taken.len() as u64), "no gap where a write was refused");
    for (number, accepted) in taken {
        let Accepted::New(position) = accepted else { panic!("nothing was sent twice") };
        let stored = rows.iter().find(|row| row.position == position).expect("what was acknowledged is there");
        assert_eq!(stored.id, id(number));
    }
    assert!(matches!(store.accept(vec![row(9_999, 3_000)]).await.unwrap()[..], [Accepted::New(_)]), "there is room again");
}

/// Which of the numbered keys are in any file of the folder, by their first 16 bytes.
fn found(folder: &Path, numbers: impl Iterator<Item = u64>) -> BTreeSet<u64> {
    let wanted: HashMap<[u8; 16], u64> = numbers.map(|n| (secret(n)[..16].try_into().unwrap(), n)).collect();
    // Most places of a file are told apart by two bytes, without a look at the map.
    let mut begins = vec![false; 1 << 16];
    wanted.keys().for_each(|key| begins[usize::from(u16::from_le_bytes([key[0], key[1]]))] = true);
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        // A loop by hand: adapters cost too much in a build for tests.
        let mut place = 0;
        while place + 16 <= bytes.len() {
            if begins[bytes[place] as usize | (bytes[place + 1] as usize) << 8] {
                found.extend(wanted.get(&bytes[place..place + 16]));
            }
            place += 1;
        }
    }
    found
}

#[tokio::test]
async fn a_destroyed_key_is_in_no_file() {
    const KEYS: u64 = 8_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &Options::default()).await;
    // In no order, neither made nor destroyed, so that pages split, merge and become free as they do over years.
    let subject = |n: u64| Uuid::from_u128(u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
    for start in (0..KEYS).step_by(40) {
        let keys = (start..start + 40).map(|n| (org(), subject(n), secret(n))).collect();
        store.commit(CommitRows { data_keys: keys, ..CommitRows::default() }).await.unwrap();
    }
    assert_eq!(found(folder.path(), 0..KEYS).len() as u64, KEYS, "the search finds what is there");
    let order = |k: u64| k * 4_801 % KEYS;
    for start in (0..KEYS * 3 / 4).step_by(15) {
        let gone = (start..start + 15).map(|k| (org(), subject(order(k)))).collect();
        let done = store.commit(CommitRows { destroyed_keys: gone, ..CommitRows::default() }).await.unwrap();
        assert_eq!(done, Committed::Done(vec![]));
        if start % 1_500 == 0 {
            let left = found(folder.path(), (0..start + 15).map(order));
            assert!(left.is_empty(), "after {start}, with the store open: {left:?}");
        }
    }
    let left = found(folder.path(), (0..KEYS * 3 / 4).map(order));
    assert!(left.is_empty(), "{} are still on the disk", left.len());
    assert_eq!(found(folder.path(), (KEYS * 3 / 4..KEYS).map(order)).len() as u64, KEYS / 4, "others are left alone");
}

#[tokio::test]
async fn the_log_does_not_grow_without_bound() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &Options::default()).await;
    let mut largest = 0;
    for batch in 0..60u64 {
        let rows = (0..64).map(|n| row(1_000 + batch * 64 + n, 16_000)).collect();
        store.accept(rows).await.unwrap();
        largest = largest.max(fs::metadata(folder.path().join("passbridge.db-wal")).unwrap().len());
    }
    assert!(largest < 40 << 20, "{largest} bytes, while {} were written", 60 * 64 * 16_000);
    assert_eq!(store.events_at(&[Position { shard: 0, seq: 1 }]).await.unwrap(), []);
}
