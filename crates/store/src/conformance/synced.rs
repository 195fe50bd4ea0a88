//! What destinations were told of contacts.

use domain::{ContactId, TargetId};

use super::fixtures::{Shared, org, other_org, uuid};

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

/// Contacts are found by the record that they share, each destination's and organization's apart, and forgotten with it.
pub async fn records_have_their_contacts(backend: &Shared) {
    let contact = |n: u64| ContactId::from_uuid(uuid(n));
    let (one, other) = (TargetId::from_uuid(uuid(1)), TargetId::from_uuid(uuid(2)));
    let read = async |org, target, each| {
        let mut found = backend.record_contacts(org, target, vec![[7; 16], [8; 16], [9; 16]], each).await.unwrap();
        found.sort_unstable();
        found
    };
    assert!(read(org(), one, 5).await.is_empty());
    backend.note_records(org(), one, vec![([7; 16], contact(3)), ([8; 16], contact(2)), ([7; 16], contact(1))]).await.unwrap();
    backend.note_records(org(), one, vec![([7; 16], contact(3)), ([7; 16], contact(2))]).await.unwrap();
    backend.note_records(org(), other, vec![([7; 16], contact(9))]).await.unwrap();
    let all = [([7; 16], contact(1)), ([7; 16], contact(2)), ([7; 16], contact(3)), ([8; 16], contact(2))];
    assert_eq!(read(org(), one, 5).await, all);
    assert_eq!(read(org(), one, 2).await, [all[0], all[1], all[3]], "the first of each");
    assert!(read(other_org(), one, 5).await.is_empty());
    assert_eq!(backend.next_synced(None).await.unwrap(), Some((org(), one)), "what is told of nobody is walked, too");
    assert_eq!(backend.drop_synced(org(), one, 3).await.unwrap(), 3);
    assert_eq!(backend.drop_synced(org(), one, 3).await.unwrap(), 1);
    assert!(read(org(), one, 5).await.is_empty());
    assert_eq!(read(org(), other, 5).await, [([7; 16], contact(9))]);
}

/// Destinations of which something is noted are walked, and what is noted of one removed piece by piece.
pub async fn what_was_told_is_walked_and_removed(backend: &Shared) {
    let contact = |n: u64| ContactId::from_uuid(uuid(n));
    let (one, other) = (TargetId::from_uuid(uuid(1)), TargetId::from_uuid(uuid(2)));
    let mut places = vec![(org(), one), (org(), other), (other_org(), one)];
    places.sort_unstable_by_key(|(org, target)| (org.uuid(), target.uuid()));
    for (org, target) in &places {
        backend.note_synced(*org, *target, (1..=5).map(|n| (contact(n), Some([n as u8; 16]))).collect()).await.unwrap();
    }
    let walked = async || {
        let (mut after, mut walked) = (None, Vec::new());
        while let Some(next) = backend.next_synced(after).await.unwrap() {
            walked.push(next);
            after = Some(next);
        }
        walked
    };
    assert_eq!(walked().await, places);
    assert_eq!(backend.drop_synced(org(), other, 3).await.unwrap(), 3);
    assert_eq!(backend.drop_synced(org(), other, 3).await.unwrap(), 2);
    assert_eq!(backend.drop_synced(org(), other, 3).await.unwrap(), 0);
    places.retain(|place| *place != (org(), other));
    assert_eq!(walked().await, places);
    assert_eq!(backend.synced(org(), one, &[contact(5)]).await.unwrap().len(), 1);
}
