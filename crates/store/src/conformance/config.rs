//! Configuration: revisions, slugs, names, audit, keys, blobs.

use domain::{OrgId, Timestamp};
use uuid::Uuid;

use super::fixtures::{START, Shared, at, key_bytes, org, other_org, uuid};
use crate::{
    AuditRow, BlobRow, ConfigWrite, ConfigWritten, DirectoryRow, LoadKeys, ResourceRow, ResultRow, StoreError, Unchanged,
};

pub(super) fn resource(n: u64, slug: Option<&str>) -> ResourceRow {
    ResourceRow {
        org: org(),
        kind: 3,
        id: uuid(n),
        slug: slug.map(str::to_owned),
        body: format!(r#"{{"n":{n}}}"#),
        revision: 1,
        changed: 0,
        deleted: false,
        created_at: START,
        updated_at: START,
    }
}

fn name(n: u64, text: &str) -> DirectoryRow {
    DirectoryRow { kind: 1, name: text.as_bytes().to_vec(), org: org(), target: uuid(n) }
}

fn audit(n: u64) -> AuditRow {
    AuditRow {
        org: org(),
        id: uuid(n),
        at: at(n),
        actor: r#"{"key":"1"}"#.to_owned(),
        action: "update".to_owned(),
        kind: 3,
        resource: uuid(1),
        before: n.is_multiple_of(2).then(|| "{}".to_owned()),
        after: Some(r#"{"a":1}"#.to_owned()),
    }
}

fn writes(resources: Vec<ResourceRow>) -> ConfigWrite {
    ConfigWrite { resources, ..ConfigWrite::default() }
}

async fn written(backend: &Shared, write: ConfigWrite) -> i64 {
    match backend.write_config(write).await.expect("the change is written") {
        ConfigWritten::Done(version) => version,
        ConfigWritten::Conflict => panic!("the change conflicts with nothing"),
    }
}

async fn taken(backend: &Shared, write: ConfigWrite, why: &str) {
    let result = backend.write_config(write).await;
    assert!(matches!(result, Err(StoreError::Taken(_))), "{why}: {result:?}");
}

/// Who changes a resource must have seen its last revision; every change has a version of its own.
pub async fn resources_change_under_their_revision(backend: &Shared) {
    let start = backend.config_version().await.unwrap();
    let row = resource(10, Some("gold"));
    let first = written(backend, writes(vec![row.clone()])).await;
    assert!(first > start);
    assert_eq!(backend.write_config(writes(vec![row.clone()])).await.unwrap(), ConfigWritten::Conflict, "it exists");
    let next = ResourceRow { revision: 2, body: "{}".to_owned(), updated_at: at(5), ..row.clone() };
    let second = written(backend, writes(vec![next.clone()])).await;
    assert!(second > first);
    assert_eq!(backend.write_config(writes(vec![next.clone()])).await.unwrap(), ConfigWritten::Conflict, "revision 1 is gone");
    let absent = ResourceRow { revision: 2, ..resource(11, None) };
    assert_eq!(backend.write_config(writes(vec![absent])).await.unwrap(), ConfigWritten::Conflict, "there is none");
    assert_eq!(backend.config_version().await.unwrap(), second);
    assert_eq!(backend.config_since(0, u32::MAX).await.unwrap(), [ResourceRow { changed: second, ..next }]);
}

/// A change that was decided on what there was of a kind is none where that has changed since, by whatever was done to any of it.
pub async fn what_was_decided_on_must_not_have_changed(backend: &Shared) {
    let seen = written(backend, writes(vec![resource(10, None)])).await;
    let decided = |n, since| {
        let unchanged = vec![Unchanged { org: org(), kind: 3, since }];
        ConfigWrite { unchanged, ..writes(vec![resource(n, None)]) }
    };
    let of_kind = ResourceRow { kind: 4, ..resource(20, None) };
    let of_org = ResourceRow { org: other_org(), ..resource(21, None) };
    written(backend, writes(vec![of_kind, of_org])).await;
    let made = written(backend, decided(11, seen)).await;
    let conflict = async |write| assert_eq!(backend.write_config(write).await.unwrap(), ConfigWritten::Conflict);
    conflict(decided(12, seen)).await;
    let renamed = ResourceRow { revision: 2, body: "{}".to_owned(), ..resource(10, None) };
    let changed = written(backend, writes(vec![renamed])).await;
    conflict(decided(12, made)).await;
    let gone = ResourceRow { revision: 2, deleted: true, ..resource(11, None) };
    let removed = written(backend, writes(vec![gone])).await;
    conflict(decided(12, changed)).await;
    assert_eq!(backend.config_version().await.unwrap(), removed, "a conflict writes nothing");
    written(backend, decided(12, removed)).await;
}

/// One slug per organization and kind, not counting deleted ones.
pub async fn slugs_are_unique_until_deleted(backend: &Shared) {
    let row = resource(10, Some("gold"));
    written(backend, writes(vec![row.clone()])).await;
    taken(backend, writes(vec![resource(11, Some("gold"))]), "same organization and kind").await;
    let of_kind = ResourceRow { kind: 4, ..resource(12, Some("gold")) };
    let of_org = ResourceRow { org: other_org(), ..resource(13, Some("gold")) };
    written(backend, writes(vec![of_kind, of_org, resource(14, None), resource(15, None)])).await;
    let renamed = ResourceRow { revision: 2, slug: Some("gold".to_owned()), ..resource(14, None) };
    taken(backend, writes(vec![renamed]), "renamed to what is there").await;
    let gone = ResourceRow { revision: 2, deleted: true, ..row };
    written(backend, writes(vec![gone])).await;
    written(backend, writes(vec![resource(11, Some("gold"))])).await;
}

/// A name stands for one thing in the world, and can be moved in one write.
pub async fn names_are_unique(backend: &Shared) {
    written(backend, ConfigWrite { names: vec![name(10, "key-a")], ..ConfigWrite::default() }).await;
    assert_eq!(backend.look_up(1, b"key-a").await.unwrap(), Some((org(), uuid(10))));
    assert_eq!(backend.look_up(2, b"key-a").await.unwrap(), None, "another kind");
    assert_eq!(backend.look_up(1, b"key-b").await.unwrap(), None);
    let rival = DirectoryRow { org: other_org(), ..name(11, "key-a") };
    taken(backend, ConfigWrite { names: vec![rival], ..ConfigWrite::default() }, "in the whole world").await;
    let moved = ConfigWrite {
        removed_names: vec![(1, b"key-a".to_vec()), (1, b"never".to_vec())],
        names: vec![name(12, "key-a")],
        ..ConfigWrite::default()
    };
    written(backend, moved).await;
    assert_eq!(backend.look_up(1, b"key-a").await.unwrap(), Some((org(), uuid(12))));
    written(backend, ConfigWrite { removed_names: vec![(1, b"key-a".to_vec())], ..ConfigWrite::default() }).await;
    assert_eq!(backend.look_up(1, b"key-a").await.unwrap(), None);
}

/// Other nodes learn of every change in its order, deletions included.
pub async fn changes_are_told_with_deletions(backend: &Shared) {
    let first = written(backend, writes(vec![resource(10, None), resource(11, None)])).await;
    let second = written(backend, writes(vec![resource(12, None)])).await;
    let gone = ResourceRow { revision: 2, deleted: true, ..resource(10, None) };
    let third = written(backend, writes(vec![gone])).await;
    let since = async |version| -> Vec<_> {
        let rows = backend.config_since(version, u32::MAX).await.unwrap();
        rows.into_iter().map(|row| (row.id, row.changed, row.deleted)).collect()
    };
    assert_eq!(since(0).await, [(uuid(11), first, false), (uuid(12), second, false), (uuid(10), third, true)]);
    assert_eq!(since(first).await, [(uuid(12), second, false), (uuid(10), third, true)]);
    assert!(since(third).await.is_empty());
    let both = written(backend, writes(vec![resource(13, None), resource(14, None)])).await;
    let page = async |version, most| -> Vec<_> {
        backend.config_since(version, most).await.unwrap().into_iter().map(|row| (row.id, row.changed)).collect()
    };
    assert_eq!(page(0, 1).await, [(uuid(11), first)]);
    assert_eq!(page(0, 2).await, [(uuid(11), first), (uuid(12), second)]);
    assert_eq!(page(third, 1).await, [(uuid(13), both), (uuid(14), both)], "a version is whole");
}

/// Keys of organizations are all there; a file is stored once under its hash.
pub async fn keys_and_blobs_are_kept(backend: &Shared) {
    let blob = BlobRow {
        org: org(),
        sha256: [9; 32],
        media_type: "image/png".to_owned(),
        bytes: (0..70_000u32).map(|n| n as u8).collect(),
        created_at: START,
    };
    let write = ConfigWrite {
        org_keys: vec![(org(), key_bytes(1)), (other_org(), key_bytes(2))],
        blobs: vec![blob.clone()],
        ..ConfigWrite::default()
    };
    written(backend, write).await;
    let mut keys = backend.org_keys().await.unwrap();
    keys.sort();
    assert_eq!(keys, [(org(), key_bytes(1)), (other_org(), key_bytes(2))]);
    assert_eq!(backend.blob(org(), [9; 32]).await.unwrap(), Some(blob.clone()));
    assert_eq!(backend.blob(other_org(), [9; 32]).await.unwrap(), None);
    let again = BlobRow { created_at: at(99), ..blob.clone() };
    written(backend, ConfigWrite { blobs: vec![again], ..ConfigWrite::default() }).await;
    assert_eq!(backend.blob(org(), [9; 32]).await.unwrap(), Some(blob), "what is there stays");
}

/// The audit log is read newest first.
pub async fn the_audit_is_paged(backend: &Shared) {
    let mut rows: Vec<_> = (1..6).map(audit).collect();
    rows.push(AuditRow { org: other_org(), ..audit(9) });
    written(backend, ConfigWrite { audit: rows, ..ConfigWrite::default() }).await;
    let list = async |of: OrgId, before, limit| backend.audit(of, before, limit).await.unwrap();
    assert_eq!(list(org(), None, 2).await, [audit(5), audit(4)]);
    assert_eq!(list(org(), Some(uuid(4)), 9).await, [audit(3), audit(2), audit(1)]);
    assert_eq!(list(other_org(), None, 9).await.len(), 1);
}

/// A change that is refused leaves no part of itself.
pub async fn a_refused_change_writes_nothing(backend: &Shared) {
    written(backend, ConfigWrite { names: vec![name(10, "key-a")], ..writes(vec![resource(10, Some("gold"))]) }).await;
    let before = backend.config_version().await.unwrap();
    let whole = |last: ResourceRow, of: &str| ConfigWrite {
        resources: vec![resource(20, None), last],
        names: vec![name(20, "key-b"), name(21, of)],
        removed_names: vec![(1, b"key-z".to_vec())],
        audit: vec![audit(1)],
        org_keys: vec![(org(), key_bytes(1))],
        results: vec![result(1)],
        now: START,
        jobs: Vec::new(),
        blobs: Vec::new(),
        unchanged: Vec::new(),
        without_passes: Vec::new(),
    };
    taken(backend, whole(resource(21, None), "key-a"), "the name is taken").await;
    taken(backend, whole(resource(21, Some("gold")), "key-c"), "the slug is taken").await;
    let conflict = backend.write_config(whole(resource(10, None), "key-c")).await.unwrap();
    assert_eq!(conflict, ConfigWritten::Conflict);
    assert_eq!(backend.config_version().await.unwrap(), before);
    assert_eq!(backend.config_since(0, u32::MAX).await.unwrap().len(), 1);
    assert_eq!(backend.look_up(1, b"key-b").await.unwrap(), None);
    assert!(backend.audit(org(), None, 9).await.unwrap().is_empty());
    assert!(backend.org_keys().await.unwrap().is_empty());
    assert!(kept(backend, START).await.is_empty());
}

fn result(n: u64) -> ResultRow {
    ResultRow {
        org: org(),
        principal: "key 1".to_owned(),
        key: "make-it-once".to_owned(),
        fingerprint: [n as u8; 32],
        subject: Uuid::nil(),
        data_key: None,
        body: vec![n as u8; 20],
        expires_at: at(100),
    }
}

async fn kept(backend: &Shared, now: Timestamp) -> Vec<ResultRow> {
    let results = vec![(org(), "key 1".to_owned(), "make-it-once".to_owned())];
    backend.load(&LoadKeys { now, results, ..LoadKeys::default() }).await.unwrap().results
}

/// An answer is kept with the change that it answers; a second one under its key is a conflict until it has expired.
pub async fn answers_are_kept_with_their_change(backend: &Shared) {
    let once = |n, now| ConfigWrite { results: vec![result(n)], now, ..writes(vec![resource(10 + n, None)]) };
    written(backend, once(1, at(1))).await;
    assert_eq!(kept(backend, at(2)).await, [result(1)]);
    assert_eq!(backend.write_config(once(2, at(2))).await.unwrap(), ConfigWritten::Conflict);
    assert_eq!(backend.config_since(0, u32::MAX).await.unwrap().len(), 1, "nothing of the second change");
    written(backend, once(3, at(100))).await;
    assert_eq!(kept(backend, at(99)).await, [result(3)], "the expired one gave way");
}
