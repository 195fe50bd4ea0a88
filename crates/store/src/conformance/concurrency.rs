//! Many writers at once.

use std::collections::BTreeSet;

use domain::Position;
use tokio::task::JoinSet;

use super::fixtures::{
    Shared, commit, contact, day, done, event, hash, id, insert, insert_contact, org, pass, result, source_event, update, uuid,
};
use crate::{
    Accepted, CommitRows, Committed, ConfigWrite, ConfigWritten, InboxInsert, LoadKeys, Log, NameKind, PassRow, PassWrite,
    ResourceKind, ResourceRow, StoreError, Unchanged,
};

const WRITERS: u64 = 12;
const ROUNDS: u64 = 15;

/// While writers run, readers see every number in order and no gap that is filled later.
pub async fn logs_stay_dense_under_concurrent_writers(backend: &Shared) {
    let shards = u64::from(backend.shards().min(2));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let backend = backend.clone();
        writers.spawn(async move {
            let mut places = Vec::new();
            for round in 0..ROUNDS {
                let n = 1_000 + writer * 100 + round * 2;
                // Every batch holds one event that all writers send, under ids of their own.
                let common = InboxInsert { id: id(n + 1), dedupe: hash(round), ..source_event(n + 1, 0) };
                let rows = vec![source_event(n, (n % shards) as u16), common];
                backend.accept(rows).await.unwrap();
                let events = (0..2).map(|k| event(n + k, &PassRow { shard: ((n + k) % shards) as u16, ..pass(10) }));
                places.extend(done(&backend, CommitRows { events: events.collect(), ..commit() }).await);
            }
            places
        });
    }
    let reader = tokio::spawn({
        let backend = backend.clone();
        async move {
            let total = WRITERS * ROUNDS * 2 / shards;
            let mut seen = 0;
            while seen < total {
                for row in backend.read_events(0, seen, 50).await.unwrap() {
                    assert_eq!(row.position.seq, seen + 1, "a reader never skips a number");
                    seen += 1;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let places: Vec<Position> = writers.join_all().await.into_iter().flatten().collect();
    reader.await.unwrap();
    let distinct: BTreeSet<_> = places.iter().copied().collect();
    assert_eq!(distinct.len(), places.len(), "no number is given twice");
    let heads = backend.heads(Log::Events).await.unwrap();
    assert_eq!(heads.iter().sum::<u64>(), WRITERS * ROUNDS * 2, "no number is lost");
    let inbox: u64 = backend.heads(Log::Inbox).await.unwrap().iter().sum();
    assert_eq!(inbox, WRITERS * ROUNDS + ROUNDS, "what all sent is there once");
    for (shard, head) in heads.iter().enumerate() {
        let numbers = backend.read_events(shard as u16, 0, 10_000).await.unwrap();
        assert!(numbers.iter().map(|row| row.position.seq).eq(1..=*head));
    }
}

/// Load, change, commit, again on conflict: every change counts.
pub async fn no_update_is_lost(backend: &Shared) {
    done(backend, CommitRows { passes: vec![insert(PassRow { body: vec![0], ..pass(10) })], ..commit() }).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let backend = backend.clone();
        writers.spawn(async move {
            let mut number = 0;
            while number < ROUNDS {
                let keys = LoadKeys { passes: vec![(org(), id(10))], ..LoadKeys::default() };
                let mut row = backend.load(&keys).await.unwrap().passes.remove(0);
                row.body[0] += 1;
                let events = vec![event(1_000 + writer * 100 + number, &row)];
                let passes = vec![PassWrite { content_event: Some(0), ..update(&row) }];
                if let Committed::Done(_) = backend.commit(CommitRows { passes, events, ..commit() }).await.unwrap() {
                    number += 1;
                }
            }
        });
    }
    writers.join_all().await;
    let keys = LoadKeys { passes: vec![(org(), id(10))], ..LoadKeys::default() };
    let row = backend.load(&keys).await.unwrap().passes.remove(0);
    let total = WRITERS * ROUNDS;
    assert_eq!(u64::from(row.body[0]), total);
    assert_eq!((row.version as u64, row.content_seq as u64), (total + 1, total));
    assert_eq!(backend.heads(Log::Events).await.unwrap()[0], total, "a lost race takes no number");
}

/// Of many that want one external id, dedupe key, result key or code, exactly one has it.
pub async fn one_of_many_wins_a_name(backend: &Shared) {
    let mut writers = JoinSet::new();
    for n in 100..100 + WRITERS {
        let backend = backend.clone();
        writers.spawn(async move {
            let row = PassRow { external: Some(hash(1)), ..pass(n) };
            let external = backend.commit(CommitRows { passes: vec![insert(row)], ..commit() }).await.unwrap();
            let key = backend.commit(CommitRows { results: vec![result("a", day(1))], ..commit() }).await.unwrap();
            let contact = insert_contact(contact(n), &[(40, true)]);
            let name = backend.commit(CommitRows { contacts: vec![contact], ..commit() }).await.unwrap();
            let coded = PassWrite { code: Some("code".to_owned()), ..insert(pass(n + 500)) };
            let code = match backend.commit(CommitRows { passes: vec![coded], ..commit() }).await {
                Err(StoreError::Taken(_)) => Committed::Conflict,
                other => other.unwrap(),
            };
            let sent = InboxInsert { dedupe: hash(9), ..source_event(n, 0) };
            let new = matches!(backend.accept(vec![sent]).await.unwrap()[..], [Accepted::New(_)]);
            let won = [external, key, name, code].map(|outcome| outcome != Committed::Conflict);
            (won, new)
        });
    }
    let outcomes = writers.join_all().await;
    for of in 0..4 {
        assert_eq!(outcomes.iter().filter(|(won, _)| won[of]).count(), 1, "name {of}");
    }
    assert_eq!(outcomes.iter().filter(|(_, new)| *new).count(), 1);
    assert!(backend.look_up(NameKind::LinkCode.number(), b"code").await.unwrap().is_some());
}

/// Many that each count what there is and make one more, of which there may be so many: there are so many, and no more.
pub async fn no_more_are_made_than_were_counted(backend: &Shared) {
    const MOST: usize = 3;
    let mut writers = JoinSet::new();
    for n in 100..100 + WRITERS {
        let backend = backend.clone();
        writers.spawn(async move {
            loop {
                let since = backend.config_version().await.unwrap();
                if backend.config_since(0, u32::MAX).await.unwrap().len() >= MOST {
                    break false;
                }
                let row = super::config::resource(n, None);
                let unchanged = vec![Unchanged { org: org(), kind: row.kind, since }];
                let write = ConfigWrite { resources: vec![row], unchanged, ..ConfigWrite::default() };
                if let ConfigWritten::Done(_) = backend.write_config(write).await.unwrap() {
                    break true;
                }
            }
        });
    }
    let made = writers.join_all().await;
    assert_eq!(made.iter().filter(|made| **made).count(), MOST);
    assert_eq!(backend.config_since(0, u32::MAX).await.unwrap().len(), MOST);
}

/// Many that come to have one name at the same time all stand in its line, each in a place of its own, and those who leave it
/// meanwhile are gone.
pub async fn many_come_into_one_line(backend: &Shared) {
    done(backend, CommitRows { contacts: vec![insert_contact(contact(99), &[(40, false)])], ..commit() }).await;
    let mut writers = JoinSet::new();
    for n in 100..100 + WRITERS {
        let backend = backend.clone();
        writers.spawn(async move {
            let commit = async |contact: crate::ContactWrite| loop {
                if let Committed::Done(_) =
                    backend.commit(CommitRows { contacts: vec![contact.clone()], ..commit() }).await.unwrap()
                {
                    break;
                }
            };
            commit(insert_contact(contact(n), &[(40, false)])).await;
            if n.is_multiple_of(3) {
                let row = crate::ContactRow { version: 2, ..contact(n) };
                commit(crate::ContactWrite { expected: Some(1), ..insert_contact(row, &[]) }).await;
            }
        });
    }
    writers.join_all().await;
    let line = backend.line(org(), hash(40), None, 100).await.unwrap();
    assert_eq!(line[0], id(99), "whoever was there before stays the first");
    let expected: BTreeSet<_> = (99..100 + WRITERS).filter(|n| *n == 99 || !n.is_multiple_of(3)).map(id).collect();
    assert_eq!((line.len(), line.into_iter().collect::<BTreeSet<_>>()), (expected.len(), expected));
}

/// A project is removed, or passes are issued into it; whoever comes second decides again.
pub async fn no_pass_is_issued_into_what_is_removed(backend: &Shared) {
    let project = |n: u64| ResourceRow { kind: ResourceKind::Project.number(), ..super::config::resource(n, None) };
    let removal = |n: u64| ConfigWrite {
        resources: vec![ResourceRow { revision: 2, deleted: true, ..project(n) }],
        without_passes: vec![(org(), id(n))],
        ..ConfigWrite::default()
    };
    let issue = |n: u64, into: u64| {
        let row = PassRow { project: id(into), ..pass(n) };
        CommitRows { passes: vec![insert(row)], standing: vec![(org(), id(into))], ..commit() }
    };
    let projects: Vec<u64> = (500..540).collect();
    let made = ConfigWrite { resources: projects.iter().map(|n| project(*n)).collect(), ..ConfigWrite::default() };
    assert!(matches!(backend.write_config(made).await.unwrap(), ConfigWritten::Done(_)));
    let mut kept = 0;
    for n in projects {
        let (removing, issuing) = (backend.clone(), backend.clone());
        let (removal, issue) = (removal(n), issue(n + 1_000, n));
        // Neither is always first.
        let removing = tokio::spawn(async move { removing.write_config(removal).await.unwrap() });
        if n % 2 == 0 {
            tokio::task::yield_now().await;
        }
        let issuing = tokio::spawn(async move { issuing.commit(issue).await.unwrap() });
        let is_removed = matches!(removing.await.unwrap(), ConfigWritten::Done(_));
        let is_issued = matches!(issuing.await.unwrap(), Committed::Done(_));
        assert_ne!(is_removed, is_issued, "one of them");
        kept += usize::from(is_issued);
    }
    let found = backend.passes(org(), None, None, None, 100).await.unwrap().len();
    assert_eq!(found, kept, "whoever was too late wrote nothing");
    // One after the other, both ways.
    for n in [600, 601] {
        let made = ConfigWrite { resources: vec![project(n)], ..ConfigWrite::default() };
        assert!(matches!(backend.write_config(made).await.unwrap(), ConfigWritten::Done(_)));
    }
    assert!(matches!(backend.commit(issue(1_600, 600)).await.unwrap(), Committed::Done(_)));
    assert_eq!(backend.write_config(removal(600)).await.unwrap(), ConfigWritten::Conflict);
    assert!(matches!(backend.write_config(removal(601)).await.unwrap(), ConfigWritten::Done(_)));
    assert_eq!(backend.commit(issue(1_601, 601)).await.unwrap(), Committed::Conflict);
}

/// A contact is erased, or a pass comes to be theirs; whoever comes second decides again, and an erasure takes all passes with it.
pub async fn no_pass_comes_to_be_of_who_is_erased(backend: &Shared) {
    let named = |n: u64| CommitRows {
        contacts: vec![insert_contact(contact(n), &[])],
        data_keys: vec![(org(), uuid(n), vec![1])],
        ..commit()
    };
    let theirs = |n: u64, of: u64| PassRow { contact: Some(id(of)), subject: uuid(of), ..pass(n) };
    let issue =
        |n: u64, of: u64| CommitRows { passes: vec![insert(theirs(n, of))], holders: vec![(org(), id(of), 1)], ..commit() };
    let erasure = |of: u64, passes: &[u64]| {
        let row = crate::ContactRow { version: 2, body: Vec::new(), ..contact(of) };
        let subjects = passes.iter().map(|n| uuid(*n));
        let destroyed = std::iter::once(uuid(of)).chain(subjects);
        CommitRows {
            contacts: vec![crate::ContactWrite { expected: Some(1), ..insert_contact(row, &[]) }],
            passes: passes.iter().map(|n| update(&theirs(*n, of))).collect(),
            destroyed_keys: destroyed.map(|subject| (org(), subject)).collect(),
            ..commit()
        }
    };
    for n in 700..740 {
        done(backend, named(n)).await;
        let (erasing, issuing) = (backend.clone(), backend.clone());
        let (erasure, issue) = (erasure(n, &[]), issue(n + 1_000, n));
        // Neither is always first.
        let erasing = tokio::spawn(async move { erasing.commit(erasure).await.unwrap() });
        if n % 2 == 0 {
            tokio::task::yield_now().await;
        }
        let issuing = tokio::spawn(async move { issuing.commit(issue).await.unwrap() });
        let is_erased = matches!(erasing.await.unwrap(), Committed::Done(_));
        let is_issued = matches!(issuing.await.unwrap(), Committed::Done(_));
        assert_ne!(is_erased, is_issued, "one of them");
    }
    // One after the other, both ways.
    for n in [800, 801] {
        done(backend, named(n)).await;
    }
    done(backend, issue(1_800, 800)).await;
    assert_eq!(backend.commit(erasure(800, &[])).await.unwrap(), Committed::Conflict);
    done(backend, erasure(800, &[1_800])).await;
    done(backend, erasure(801, &[])).await;
    assert_eq!(backend.commit(issue(1_801, 801)).await.unwrap(), Committed::Conflict);
    assert_eq!(backend.passes(org(), None, None, None, 100).await.unwrap().iter().filter(|row| row.id == id(1_801)).count(), 0);
}
