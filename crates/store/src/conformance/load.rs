//! Loading what a batch of commands touches.

use std::collections::BTreeSet;

use super::fixtures::{
    START, Shared, commit, contact, day, done, event, hash, id, insert, insert_contact, installation, key_bytes, org, other_org,
    pass, result, uuid,
};
use crate::{CommitRows, DELETED, LoadKeys, PassRow};

/// However a row is asked for, it comes once, and a pass never without its contact.
pub async fn each_row_comes_once_with_its_contact(backend: &Shared) {
    let row = PassRow { contact: Some(id(30)), external: Some(hash(5)), ..pass(10) };
    let rows = CommitRows {
        passes: vec![insert(row.clone()), insert(pass(11))],
        contacts: vec![insert_contact(contact(30), &[(40, true)]), insert_contact(contact(31), &[])],
        ..commit()
    };
    done(backend, rows).await;
    let keys = LoadKeys {
        passes: vec![(org(), row.id), (org(), row.id)],
        externals: vec![(org(), row.project, hash(5))],
        contacts: vec![(org(), id(30))],
        contact_keys: vec![(org(), hash(40))],
        passes_of: vec![(org(), id(30))],
        passes_of_keys: vec![(org(), hash(40))],
        ..LoadKeys::default()
    };
    let loaded = backend.load(&keys).await.unwrap();
    assert_eq!(loaded.passes.iter().map(|row| row.id).collect::<Vec<_>>(), [row.id]);
    assert_eq!(loaded.contacts.iter().map(|row| row.id).collect::<Vec<_>>(), [id(30)]);
    assert_eq!(loaded.contact_keys, [(org(), hash(40), id(30))]);

    let by_pass = LoadKeys { passes: vec![(org(), row.id), (org(), id(11))], ..LoadKeys::default() };
    let loaded = backend.load(&by_pass).await.unwrap();
    assert_eq!(loaded.passes.len(), 2);
    assert_eq!(loaded.contacts.iter().map(|row| row.id).collect::<Vec<_>>(), [id(30)], "the pass's contact comes along");
    let by_external = LoadKeys { externals: vec![(org(), row.project, hash(5))], ..LoadKeys::default() };
    let loaded = backend.load(&by_external).await.unwrap();
    assert_eq!((loaded.passes.len(), loaded.contacts.len()), (1, 1));
}

/// A name leads to its contact and to all of the contact's passes, deleted ones included: erasing a person blanks
/// tombstones too.
pub async fn names_lead_to_contacts_and_their_passes(backend: &Shared) {
    let of = |n, state| PassRow { contact: Some(id(30)), state, ..pass(n) };
    let rows = CommitRows {
        passes: vec![insert(of(10, 1)), insert(of(11, 4)), insert(of(12, DELETED)), insert(pass(13))],
        contacts: vec![insert_contact(contact(30), &[(40, true)])],
        ..commit()
    };
    done(backend, rows).await;
    for keys in [
        LoadKeys { passes_of: vec![(org(), id(30))], ..LoadKeys::default() },
        LoadKeys { passes_of_keys: vec![(org(), hash(40))], ..LoadKeys::default() },
    ] {
        let loaded = backend.load(&keys).await.unwrap();
        let found: BTreeSet<_> = loaded.passes.iter().map(|row| row.id).collect();
        assert_eq!(found, BTreeSet::from([id(10), id(11), id(12)]), "{keys:?}");
        assert_eq!(loaded.contacts.len(), 1, "{keys:?}");
        assert_eq!(loaded.contact_keys.len(), keys.passes_of_keys.len(), "{keys:?}");
    }
    done(backend, CommitRows { contacts: vec![insert_contact(contact(31), &[(41, true)])], ..commit() }).await;
    let without = LoadKeys { passes_of_keys: vec![(org(), hash(41))], ..LoadKeys::default() };
    let loaded = backend.load(&without).await.unwrap();
    assert!(loaded.passes.is_empty());
    assert_eq!(loaded.contacts.iter().map(|row| row.id).collect::<Vec<_>>(), [id(31)], "also one without passes");
    assert_eq!(loaded.contact_keys, [(org(), hash(41), id(31))]);
}

/// What is not there is left out, and organizations are apart.
pub async fn absent_keys_bring_nothing(backend: &Shared) {
    let row = PassRow { contact: Some(id(30)), external: Some(hash(5)), ..pass(10) };
    let rows = CommitRows {
        passes: vec![insert(row.clone())],
        contacts: vec![insert_contact(contact(30), &[(40, true)])],
        installations: vec![installation(&row, "phone")],
        results: vec![result("a", day(1))],
        ..commit()
    };
    done(backend, rows).await;
    let other = other_org();
    let keys = LoadKeys {
        now: START,
        passes: vec![(other, row.id), (org(), id(99))],
        externals: vec![(other, row.project, hash(5)), (org(), id(51), hash(5)), (org(), row.project, hash(6))],
        contacts: vec![(other, id(30)), (org(), id(99))],
        contact_keys: vec![(other, hash(40)), (org(), hash(41))],
        passes_of: vec![(other, id(30)), (org(), id(31))],
        passes_of_keys: vec![(other, hash(40)), (org(), hash(41))],
        installations: vec![(other, row.id, 1, "phone".to_owned()), (org(), row.id, 2, "phone".to_owned())],
        results: vec![(other, "key:1".to_owned(), "a".to_owned()), (org(), "key:2".to_owned(), "a".to_owned())],
    };
    let loaded = backend.load(&keys).await.unwrap();
    assert!(loaded.passes.is_empty() && loaded.contacts.is_empty() && loaded.contact_keys.is_empty(), "{loaded:?}");
    assert!(loaded.installations.is_empty() && loaded.results.is_empty(), "{loaded:?}");
    let nothing = backend.load(&LoadKeys::default()).await.unwrap();
    assert_eq!(nothing.config_version, backend.config_version().await.unwrap());
}

/// A batch of hundreds of commands is loaded and committed as one.
pub async fn large_loads_answer(backend: &Shared) {
    let numbers = 1_000..2_500u64;
    let rows = CommitRows {
        passes: numbers.clone().map(|n| insert(PassRow { contact: Some(id(n)), external: Some(hash(n)), ..pass(n) })).collect(),
        contacts: numbers.clone().map(|n| insert_contact(contact(n), &[(n, true)])).collect(),
        data_keys: numbers.clone().map(|n| (org(), uuid(n), key_bytes(n))).collect(),
        events: numbers.clone().map(|n| event(n, &pass(n))).collect(),
        results: numbers.clone().map(|n| result(&n.to_string(), day(1))).collect(),
        ..commit()
    };
    assert_eq!(done(backend, rows).await.len(), 1_500);
    let keys = LoadKeys {
        now: START,
        passes: numbers.clone().map(|n| (org(), id(n))).collect(),
        externals: numbers.clone().map(|n| (org(), id(50), hash(n))).collect(),
        contact_keys: numbers.clone().map(|n| (org(), hash(n))).collect(),
        results: numbers.map(|n| (org(), "key:1".to_owned(), n.to_string())).collect(),
        ..LoadKeys::default()
    };
    let loaded = backend.load(&keys).await.unwrap();
    let counts = [loaded.passes.len(), loaded.contacts.len(), loaded.contact_keys.len(), loaded.results.len()];
    assert_eq!(counts, [1_500; 4]);
    assert!(loaded.passes.iter().all(|row| row.data_key.as_ref() == Some(&key_bytes(row.id.uuid().as_u128() as u64 & 0xFFFF))));
}
