//! What goes along when an organization moves.

use domain::Timestamp;

use super::fixtures::{Shared, at, day, hash, id, org, other_org, result, source_event};
use crate::{Accepted, CommitRows, Committed, DedupeRow, InboxInsert, ResultRow};

/// Tables of which an organization's rows go along, or are made anew from what goes along.
const GO_ALONG: [&str; 19] = [
    "blobs",
    "codes",
    "contact_keys",
    "contacts",
    "data_keys",
    "dedupe",
    "directory",
    "events",
    "externals",
    "inbox_keys",
    "installations",
    "mirrored",
    "org_keys",
    "pass_externals",
    "passes",
    "record_contacts",
    "resources",
    "results",
    "synced",
];
/// Tables of which they are left behind; what is about moving house says so in words (`store::moving`, the README).
const STAY: [&str; 11] = [
    "attempts",
    "audit",
    "captures",
    "chunks",
    "deliveries",
    "google_things",
    "inbox",
    "inbox_results",
    "jobs",
    "paces",
    "repeats",
];
/// Tables of an installation that are no organization's.
const OF_THE_HOUSE: [&str; 12] = [
    "heads",
    "key_index",
    "key_tail",
    "leases",
    "log_heads",
    "meta",
    "nodes",
    "probe",
    "schema_version",
    "store_state",
    "unlined",
    "watermarks",
];

/// What becomes of each table of an adapter when an organization moves is decided. An adapter's own test calls it with their names.
pub fn every_table_has_its_fate(tables: &[String]) {
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        let lists = [&GO_ALONG[..], &STAY, &OF_THE_HOUSE];
        let fates = lists.iter().filter(|list| list.contains(&table.as_str())).count();
        assert_eq!(fates, 1, "does table {table} go along when an organization moves? Say so here and in the README");
    }
}

/// Every row of one organization comes once, in parts, and no other's; a message id that was kept is known.
pub async fn what_moves_is_walked_whole_and_keys_are_kept(backend: &Shared) {
    let mut results: Vec<ResultRow> = (0..5).map(|n| result(&format!("k{n}"), day(9))).collect();
    results.push(ResultRow { principal: "a".to_owned(), ..result("z", day(9)) });
    results.push(result("over", day(1)));
    results.push(ResultRow { org: other_org(), ..result("k0", day(9)) });
    let rows = CommitRows { now: at(0), results, ..CommitRows::default() };
    assert!(matches!(backend.commit(rows).await.unwrap(), Committed::Done(_)));
    let (mut after, mut keys) = ((String::new(), String::new()), Vec::new());
    loop {
        let page = backend.results_after(org(), after.clone(), day(2), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.principal.clone(), last.key.clone());
        assert!(page.iter().all(|row| row.org == org() && row.fingerprint == [7; 32] && row.expires_at == day(9)));
        keys.extend(page.into_iter().map(|row| row.key));
    }
    assert_eq!(keys, ["z", "k0", "k1", "k2", "k3", "k4"]);

    let first = source_event(10, 0);
    backend.accept(vec![first.clone(), source_event(11, 0)]).await.unwrap();
    let moved = DedupeRow { org: other_org(), source: id(71), dedupe: hash(5), id: id(900), until: day(30) };
    backend.keep_dedupe(vec![moved.clone(), DedupeRow { id: id(901), ..moved.clone() }]).await.unwrap();
    let (mut after, mut known) = (Vec::new(), Vec::new());
    loop {
        let (page, behind) = backend.dedupe_after(org(), &after, 1).await.unwrap();
        if page.is_empty() {
            break;
        }
        after = behind;
        known.extend(page.into_iter().map(|row| (row.id, row.until)));
    }
    let until = |row: &InboxInsert| -> Timestamp { row.dedupe_until };
    known.sort_unstable();
    assert_eq!(known, [(first.id, until(&first)), (id(11), until(&source_event(11, 0)))]);
    assert_eq!(backend.dedupe_after(other_org(), &[], 9).await.unwrap().0, [moved]);
    let again = InboxInsert { org: other_org(), source: id(71), dedupe: hash(5), ..source_event(12, 0) };
    assert_eq!(backend.accept(vec![again]).await.unwrap(), [Accepted::Duplicate(id(900))], "it came before the move");

    for (target, contact, told) in [(60, 1, 1), (60, 2, 2), (61, 1, 3)] {
        backend.note_records(org(), id(target), vec![([told as u8; 16], id(contact)), ([told as u8; 16], id(9))]).await.unwrap();
        backend.note_synced(org(), id(target), vec![(id(contact), Some(hash(told)))]).await.unwrap();
        backend.note_mirrored(org(), id(target), id(told), vec![id(contact)]).await.unwrap();
    }
    let synced = backend.synced_after(org(), (id(60), id(1)), 9).await.unwrap();
    assert_eq!(synced, [(id(60), id(2), hash(2)), (id(61), id(1), hash(3))]);
    assert_eq!(backend.synced_after(org(), (id(0), id(0)), 1).await.unwrap(), [(id(60), id(1), hash(1))]);
    let mirrored = backend.mirrored_after(org(), (id(60), id(1)), 9).await.unwrap();
    assert_eq!(mirrored, [(id(60), id(2), id(2)), (id(61), id(1), id(3))]);
    let (mut after, mut records) = ((id(0), [0; 16], id(0)), Vec::new());
    while let Some(last) = backend.records_after(org(), after, 4).await.unwrap().last().copied() {
        records.extend(backend.records_after(org(), after, 4).await.unwrap().into_iter().map(|row| (row.0, row.1[0], row.2)));
        after = last;
    }
    let told = [(60, 1, 1), (60, 1, 9), (60, 2, 2), (60, 2, 9), (61, 3, 1), (61, 3, 9)];
    assert_eq!(records, told.map(|(target, record, contact)| (id(target), record, id(contact))));
    assert!(backend.records_after(other_org(), (id(0), [0; 16], id(0)), 9).await.unwrap().is_empty());
    assert!(backend.mirrored_after(other_org(), (id(0), id(0)), 9).await.unwrap().is_empty());
}
