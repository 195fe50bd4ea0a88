//! Upkeep: epoch, migrations, rings, retention.

use std::time::Duration;

use domain::{Position, Timestamp};

use super::fixtures::{
    START, Shared, at, commit, day, delivery, done, event, id, inbox_ids, issued, key_bytes, lease, org, other_org, outcome,
    pass, result, settlement, source_event, uuid,
};
use crate::{
    Accepted, AttemptFilter, AttemptRow, CaptureRow, CommitRows, DeliverySettlement, InboxInsert, InboxStatus, LoadKeys, Log,
    Reader, Retention, StoreError,
};

/// Steps of upkeep within which something has to be gone.
const STEPS: usize = 60;

fn keep_until(before: Timestamp) -> Retention {
    Retention { inbox_before: before, events_before: before, attempts_before: before }
}

async fn many_steps(backend: &Shared, now: Timestamp, keep: Retention) {
    for _ in 0..STEPS {
        backend.maintain(now, keep).await.unwrap();
    }
}

/// The log's epoch is chosen once, and the database can be written.
pub async fn the_epoch_stays(backend: &Shared) {
    let epoch = backend.log_epoch().await.unwrap();
    backend.migrate(at(1)).await.unwrap();
    assert_eq!(backend.log_epoch().await.unwrap(), epoch);
    backend.ready().await.unwrap();
    assert!(backend.shards() > 0);
    assert!(!backend.name().is_empty());
}

/// Migrating what is up to date keeps everything.
pub async fn migrating_again_changes_nothing(backend: &Shared) {
    issued(backend, pass(10)).await;
    let held = lease(backend, 0, "a").await;
    backend.advance(Reader::Webhooks, held, 1).await.unwrap();
    backend.migrate(day(1)).await.unwrap();
    assert_eq!(backend.read_events(0, 0, 9).await.unwrap().len(), 1);
    assert_eq!(backend.watermarks(Reader::Webhooks).await.unwrap()[0], 1);
    assert_eq!(backend.leases().await.unwrap()[0].lease, held);
}

/// A ring holds what came last, each ring of each organization for itself.
pub async fn rings_keep_their_newest(backend: &Shared) {
    let row = |n: u64, ring: &str| CaptureRow { org: org(), ring: ring.to_owned(), id: uuid(n), at: at(n), body: vec![n as u8] };
    backend.capture(row(1, "b"), 3).await.unwrap();
    backend.capture(CaptureRow { org: other_org(), ..row(2, "a") }, 3).await.unwrap();
    for n in 10..17 {
        backend.capture(row(n, "a"), 3).await.unwrap();
    }
    let newest = [16, 15, 14].map(|n| row(n, "a"));
    assert_eq!(backend.captures(org(), "a", 9).await.unwrap(), newest);
    assert_eq!(backend.captures(org(), "a", 2).await.unwrap(), newest[..2]);
    assert_eq!(backend.captures(org(), "b", 9).await.unwrap().len(), 1);
    assert_eq!(backend.captures(other_org(), "a", 9).await.unwrap().len(), 1);
    backend.drop_captures(org(), "a").await.unwrap();
    assert!(backend.captures(org(), "a", 9).await.unwrap().is_empty());
    assert_eq!(backend.captures(org(), "b", 9).await.unwrap().len(), 1, "the others stay");
    assert_eq!(backend.captures(other_org(), "a", 9).await.unwrap().len(), 1);
}

/// Source events go by age, but never before flows have passed them.
pub async fn old_inbox_rows_go_once_read(backend: &Shared) {
    let old: Vec<_> = (10..14).map(|n| source_event(n, 0)).collect();
    backend.accept(old).await.unwrap();
    backend.maintain(day(40), keep_until(START)).await.unwrap();
    backend.accept(vec![InboxInsert { received_at: day(40), ..source_event(20, 0) }]).await.unwrap();
    let lease = lease(backend, 0, "a").await;
    many_steps(backend, day(40), keep_until(day(20))).await;
    assert_eq!(inbox_ids(backend, 0, 0).await.len(), 5, "flows have not read them");

    let mut write = settlement(lease);
    write.watermark = Some(5);
    write.results = (10..14).chain([20]).map(|n| (org(), id(n), outcome(InboxStatus::Done, None))).collect();
    backend.settle_inbox(write).await.unwrap();
    many_steps(backend, day(40), keep_until(day(20))).await;
    let rest = backend.read_inbox(0, 0, 9).await.unwrap();
    assert_eq!(rest.iter().map(|row| (row.id, row.position.seq)).collect::<Vec<_>>(), [(id(20), 5)]);
    assert_eq!(rest[0].data_key, Some(key_bytes(20)));
    assert_eq!(backend.source_event(org(), id(10)).await.unwrap(), None);
    assert_eq!(backend.heads(Log::Inbox).await.unwrap()[0], 5, "numbers go on");
}

/// Events go by age, but never before every reader has passed them and no delivery needs them.
pub async fn old_events_go_once_nobody_needs_them(backend: &Shared) {
    let row = pass(10);
    done(backend, CommitRows { events: (100..104).map(|n| event(n, &row)).collect(), ..commit() }).await;
    backend.maintain(day(40), keep_until(START)).await.unwrap();
    let fresh = crate::EventRow { recorded_at: day(40), ..event(120, &row) };
    done(backend, CommitRows { events: vec![fresh], ..commit() }).await;
    let lease = lease(backend, 0, "a").await;
    let left = async || backend.read_events(0, 0, 9).await.unwrap().into_iter().map(|row| row.position.seq).collect::<Vec<_>>();
    many_steps(backend, day(40), keep_until(day(20))).await;
    assert_eq!(left().await, [1, 2, 3, 4, 5], "nobody has read them");

    for reader in [Reader::Webhooks, Reader::WalletSync, Reader::Integrity] {
        backend.advance(reader, lease, 5).await.unwrap();
    }
    let place = Position { shard: 0, seq: 1 };
    backend.owe(vec![delivery(1, place, day(41))]).await.unwrap();
    many_steps(backend, day(40), keep_until(day(20))).await;
    assert_eq!(backend.events_at(&[place]).await.unwrap().len(), 1, "a delivery needs it");
    let settled = DeliverySettlement {
        lease,
        attempts: vec![],
        finished: vec![delivery(1, place, day(41)).over()],
        owed: vec![],
        watermark: None,
    };
    backend.settle_deliveries(settled).await.unwrap();
    many_steps(backend, day(40), keep_until(day(20))).await;
    assert_eq!(left().await, [5]);
    let next = done(backend, CommitRows { events: vec![event(121, &row)], ..commit() }).await[0];
    assert_eq!(next.seq, 6, "numbers go on");
}

/// Dedupe keys and results are forgotten after their time.
pub async fn forgotten_keys_may_be_used_again(backend: &Shared) {
    let first = InboxInsert { dedupe_until: day(2), ..source_event(10, 0) };
    backend.accept(vec![first.clone()]).await.unwrap();
    done(backend, CommitRows { results: vec![result("a", day(2)), result("b", day(9))], ..commit() }).await;
    many_steps(backend, day(1), keep_until(START)).await;
    let again = InboxInsert { id: id(11), received_at: day(1), ..first.clone() };
    assert_eq!(backend.accept(vec![again]).await.unwrap(), [Accepted::Duplicate(id(10))]);
    many_steps(backend, day(3), keep_until(START)).await;
    let late = InboxInsert { id: id(12), received_at: day(3), dedupe_until: day(30), ..first };
    assert!(matches!(backend.accept(vec![late]).await.unwrap()[..], [Accepted::New(_)]));
    let keys = LoadKeys {
        now: day(1),
        results: ["a", "b"].map(|key| (org(), "key:1".to_owned(), key.to_owned())).to_vec(),
        ..LoadKeys::default()
    };
    let kept: Vec<_> = backend.load(&keys).await.unwrap().results.into_iter().map(|row| row.key).collect();
    assert_eq!(kept, ["b"]);
}

/// Attempts go by age, and nothing of a lost lease comes instead.
pub async fn old_attempts_go(backend: &Shared) {
    let lost = lease(backend, 0, "a").await;
    let held = lease(backend, 0, "b").await;
    backend.maintain(day(40), keep_until(START)).await.unwrap();
    let tried = |n: u64, at: Timestamp| AttemptRow {
        org: org(),
        delivery: id(n),
        target: id(60),
        event: id(n),
        position: Position { shard: 0, seq: n },
        attempt: 1,
        at,
        elapsed_micros: i64::try_from(Duration::from_millis(3).as_micros()).unwrap(),
        outcome: 1,
        status: Some(200),
        error: None,
        next_at: None,
        subject: uuid(10),
        data_key: None,
        detail: vec![1],
    };
    let write = |lease, attempts| DeliverySettlement { lease, attempts, finished: vec![], owed: vec![], watermark: None };
    let refused = backend.settle_deliveries(write(lost, vec![tried(1, START)])).await;
    assert!(matches!(refused, Err(StoreError::LeaseLost { .. })));
    backend.settle_deliveries(write(held, vec![tried(2, at(1)), tried(3, day(40))])).await.unwrap();
    let list = async || -> Vec<_> {
        let found = backend.attempts(org(), &AttemptFilter::default(), 9).await.unwrap();
        found.into_iter().map(|row| row.delivery).collect()
    };
    assert_eq!(list().await, [3, 2].map(id));
    many_steps(backend, day(40), keep_until(day(20))).await;
    assert_eq!(list().await, [id(3)]);
}
