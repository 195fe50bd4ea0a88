//! What destinations were told of contacts.

use domain::{ContactId, TargetId};

use super::fixtures::{START, Shared, at, lease, org, other_org, uuid};
use crate::{BackfillRow, JobState, Lease, StoreError};

/// What was told is found again, replaced and forgotten, each destination's and organization's apart.
pub async fn what_was_told_is_found_replaced_and_forgotten(backend: &Shared) {
    let contact = |n: u64| ContactId::from_uuid(uuid(n));
    let (one, other) = (TargetId::from_uuid(uuid(1)), TargetId::from_uuid(uuid(2)));
    let all: Vec<ContactId> = (1..=4).map(contact).collect();
    let read = async |org, target| {
        let mut found = backend.synced(org, target, &all).await.unwrap();
        found.sort_unstable();
        found
    };
    assert!(read(org(), one).await.is_empty());
    backend.note_synced(org(), one, (1..=3).map(|n| (contact(n), Some([n as u8; 16]))).collect()).await.unwrap();
    backend.note_synced(org(), other, vec![(contact(1), Some([9; 16]))]).await.unwrap();
    assert_eq!(read(org(), one).await, [(contact(1), [1; 16]), (contact(2), [2; 16]), (contact(3), [3; 16])]);
    let told = vec![(contact(2), Some([7; 16])), (contact(3), None), (contact(4), None), (contact(1), Some([1; 16]))];
    backend.note_synced(org(), one, told).await.unwrap();
    assert_eq!(read(org(), one).await, [(contact(1), [1; 16]), (contact(2), [7; 16])]);
    assert_eq!(read(org(), other).await, [(contact(1), [9; 16])]);
    assert!(read(other_org(), one).await.is_empty());
    assert!(backend.synced(org(), one, &[contact(3)]).await.unwrap().is_empty());
}

/// Backfills are made once, listed newest first, found by their shard while they run, and saved under revision and lease.
pub async fn backfills_are_saved_under_their_revision_and_a_lease(backend: &Shared) {
    let row = |n: u64| BackfillRow {
        org: org(),
        id: uuid(n),
        shard: 0,
        state: JobState::Running.number(),
        body: format!(r#"{{"n":{n}}}"#),
        revision: 1,
        created_at: at(n),
        updated_at: START,
    };
    let held = lease(backend, 0, "a").await;
    for n in [2, 1, 3] {
        assert!(backend.save_backfill(None, row(n)).await.unwrap());
    }
    assert!(!backend.save_backfill(None, row(1)).await.unwrap(), "it exists");
    assert_eq!(backend.backfill(org(), uuid(1)).await.unwrap(), Some(row(1)));
    assert_eq!(backend.backfill(other_org(), uuid(1)).await.unwrap(), None);
    assert_eq!(backend.backfills(org(), None, 2).await.unwrap(), [row(3), row(2)], "newest first");
    assert_eq!(backend.backfills(org(), Some(uuid(2)), 9).await.unwrap(), [row(1)]);
    assert_eq!(backend.running_backfills(0, 2).await.unwrap(), [row(1), row(2)], "oldest first");
    let next = BackfillRow { revision: 2, state: JobState::Paused.number(), updated_at: at(7), ..row(1) };
    assert!(backend.save_backfill(Some(held), next.clone()).await.unwrap());
    assert!(!backend.save_backfill(Some(held), next.clone()).await.unwrap(), "somebody was faster");
    let after = BackfillRow { revision: 3, ..next };
    let lost = backend.save_backfill(Some(Lease { epoch: held.epoch - 1, ..held }), after.clone()).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost { .. })), "{lost:?}");
    assert!(backend.save_backfill(None, after).await.unwrap());
    assert_eq!(backend.running_backfills(0, 9).await.unwrap(), [row(2), row(3)]);
}
