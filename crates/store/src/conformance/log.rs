//! The event log and lists of passes and contacts.

use domain::{EventKind, Position, Timestamp};

use super::fixtures::{
    Shared, at, commit, contact, done, event, id, insert, insert_contact, key_bytes, org, other_org, pass, update, uuid,
};
use crate::{CommitRows, DELETED, EventRow, Log, Newest, PassFilter, PassRow, PassState};

fn numbers(rows: &[EventRow]) -> Vec<u64> {
    rows.iter().map(|row| row.position.seq).collect()
}

/// A shard is read in the order of its numbers, after one, up to a limit.
pub async fn events_come_back_in_order(backend: &Shared) {
    let last = backend.shards() - 1;
    let rows: Vec<_> = (10..16).map(|n| PassRow { shard: if n % 2 == 0 { 0 } else { last }, ..pass(n) }).collect();
    let events: Vec<_> = rows.iter().map(|row| event(row.body[0].into(), row)).collect();
    let mut sparse = EventRow { position: Position { shard: 0, seq: 0 }, project: None, pass: None, ..events[0].clone() };
    sparse.id = id(90);
    let mut all = events.clone();
    all.push(sparse.clone());
    let positions = done(backend, CommitRows { events: all.clone(), ..commit() }).await;
    for shard in [0, last] {
        let expected: Vec<_> = positions.iter().filter(|place| place.shard == shard).map(|place| place.seq).collect();
        assert_eq!(expected, (1..=expected.len() as u64).collect::<Vec<_>>(), "in the order given");
        let read = backend.read_events(shard, 0, 100).await.unwrap();
        assert_eq!(numbers(&read), expected);
        assert_eq!(numbers(&backend.read_events(shard, 1, 2).await.unwrap()), [2, 3]);
        assert_eq!(backend.heads(Log::Events).await.unwrap()[usize::from(shard)], expected.len() as u64);
    }
    for (position, sent) in positions.iter().zip(&all) {
        let stored = backend.event(org(), sent.id).await.unwrap();
        assert_eq!(stored, Some(EventRow { position: *position, ..sent.clone() }));
    }
    assert_eq!(backend.event(other_org(), id(90)).await.unwrap(), None);

    let gone = Position { shard: 0, seq: 999 };
    let mut asked = vec![gone, positions[6], positions[1]];
    let mut found: Vec<_> = backend.events_at(&asked).await.unwrap().into_iter().map(|row| row.position).collect();
    asked.remove(0);
    asked.sort();
    found.sort();
    assert_eq!(found, asked);
    assert!(backend.events_at(&[]).await.unwrap().is_empty());
}

/// Reads of one shard from different places at the same time get each their own.
pub async fn reads_at_the_same_time_do_not_mix(backend: &Shared) {
    let last = backend.shards() - 1;
    let rows = [pass(10), PassRow { shard: last, ..pass(11) }];
    let events = (0..40).map(|n| event(100 + n, &rows[n as usize % 2])).collect();
    done(backend, CommitRows { events, ..commit() }).await;
    let heads = backend.heads(Log::Events).await.unwrap();
    let mut reads = tokio::task::JoinSet::new();
    for n in 0..64u64 {
        let (shard, after, limit) = (if n % 3 == 0 { last } else { 0 }, n % 9, 1 + (n % 5) as u32);
        let backend = backend.clone();
        reads.spawn(async move { (shard, after, limit, backend.read_events(shard, after, limit).await.unwrap()) });
    }
    while let Some(read) = reads.join_next().await {
        let (shard, after, limit, rows) = read.unwrap();
        let expected: Vec<u64> = (after + 1..=heads[usize::from(shard)]).take(limit as usize).collect();
        assert_eq!(numbers(&rows), expected, "shard {shard} after {after}");
        assert!(rows.iter().all(|row| row.position.shard == shard));
    }
}

/// A feed walks through an organization's events and sees no other's.
pub async fn feeds_hold_one_organization(backend: &Shared) {
    let shards = backend.shards().min(2);
    let events = (100..140u64).map(|n| {
        let owner = if n % 4 == 0 { other_org() } else { org() };
        event(n, &PassRow { org: owner, shard: (n % u64::from(shards)) as u16, ..pass(10) })
    });
    done(backend, CommitRows { events: events.collect(), ..commit() }).await;
    let mut after = vec![0u64; usize::from(backend.shards())];
    let mut seen = Vec::new();
    for _ in 0..40 {
        let page = backend.feed(org(), &after, 7).await.unwrap();
        assert!(page.len() <= 7);
        for row in &page {
            let head = &mut after[usize::from(row.position.shard)];
            assert!(row.position.seq > *head, "each shard in order, nothing twice");
            *head = row.position.seq;
            assert_eq!(row.org, org());
            seen.push(row.id);
        }
        if page.is_empty() {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, (100..140).filter(|n| n % 4 != 0).map(id).collect::<Vec<_>>());
}

/// The newest events of some kinds, of one organization, from a time on and before a place in each shard.
pub async fn newest_events_come_first(backend: &Shared) {
    let shards = backend.shards().min(2);
    let events = (100..140u64).map(|n| {
        let owner = if n % 4 == 0 { other_org() } else { org() };
        let mut row = event(n, &PassRow { org: owner, shard: (n % u64::from(shards)) as u16, ..pass(10) });
        row.kind = if n % 3 == 0 { EventKind::PassScanned.number() } else { EventKind::PassCreated.number() };
        row.recorded_at = Timestamp::from_seconds(n as i64);
        row
    });
    done(backend, CommitRows { events: events.collect(), ..commit() }).await;
    let all = vec![u64::MAX; usize::from(backend.shards())];
    let wish = Newest { kinds: vec![EventKind::PassScanned], since: None, before: all, limit: 100 };
    let ids = |rows: &[EventRow]| {
        let mut ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        ids.sort();
        ids
    };
    let expected = |from: u64| (from..140).filter(|n| n % 4 != 0 && n % 3 == 0).map(id).collect::<Vec<_>>();
    let rows = backend.newest(org(), &wish).await.unwrap();
    assert_eq!(ids(&rows), expected(100));
    for shard in 0..shards {
        let of: Vec<u64> = rows.iter().filter(|row| row.position.shard == shard).map(|row| row.position.seq).collect();
        assert!(of.is_sorted_by(|a, b| a > b), "{of:?}");
        let before = of[1];
        let mut place = vec![0; usize::from(backend.shards())];
        place[usize::from(shard)] = before;
        let below = backend.newest(org(), &Newest { before: place, ..wish.clone() }).await.unwrap();
        assert_eq!(numbers(&below), of[2..], "what is below a number of its shard, and nothing of the others");
    }
    let late = Newest { since: Some(Timestamp::from_seconds(120)), ..wish.clone() };
    assert_eq!(ids(&backend.newest(org(), &late).await.unwrap()), expected(120));
    let few = backend.newest(org(), &Newest { limit: 1, ..wish }).await.unwrap();
    assert_eq!(few.len(), 2 * usize::from(shards), "one more than the limit of each shard");
}

/// The life of one pass, oldest first.
pub async fn events_of_a_pass(backend: &Shared) {
    let [mine, neighbour] = [pass(10), pass(11)];
    let foreign = PassRow { org: other_org(), ..pass(10) };
    let events = (100..112u64).map(|n| event(n, [&mine, &neighbour, &foreign][n as usize % 3])).collect();
    done(backend, CommitRows { events, ..commit() }).await;
    let all = backend.events_of_pass(org(), mine.id, 0, 10).await.unwrap();
    assert!(all.iter().all(|row| row.pass == Some(mine.id) && row.org == org()));
    assert_eq!(all.len(), 4);
    let all = numbers(&all);
    assert!(all.is_sorted());
    assert_eq!(numbers(&backend.events_of_pass(org(), mine.id, all[0], 2).await.unwrap()), all[1..3]);
    let newest = async |before, limit| numbers(&backend.newest_of_pass(org(), mine.id, before, limit).await.unwrap());
    assert_eq!(newest(all[3] + 1, 10).await, [all[3], all[2], all[1], all[0]]);
    assert_eq!(newest(all[3], 2).await, [all[2], all[1]]);
    assert_eq!(newest(all[0], 2).await, [0; 0]);
}

/// Passes are listed in the order of their ids, deleted ones included.
pub async fn passes_are_paged(backend: &Shared) {
    let rows = (10..20u64).map(|n| {
        let project = id(50 + n % 2);
        let contact = (n % 5 == 0).then(|| id(30));
        let state = if n == 13 { DELETED } else { 1 };
        insert(PassRow { project, contact, state, ..pass(n) })
    });
    let mut passes: Vec<_> = rows.rev().collect();
    passes.push(insert(PassRow { org: other_org(), ..pass(15) }));
    done(backend, CommitRows { passes, ..commit() }).await;
    let list = async |project, contact, after, limit| -> Vec<_> {
        backend.passes(org(), project, contact, after, limit).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    assert_eq!(list(None, None, None, 100).await, (10..20).map(id).collect::<Vec<_>>());
    assert_eq!(list(None, None, Some(id(12)), 3).await, [13, 14, 15].map(id));
    assert_eq!(list(Some(id(51)), None, None, 100).await, [11, 13, 15, 17, 19].map(id));
    assert_eq!(list(Some(id(51)), None, Some(id(13)), 2).await, [15, 17].map(id));
    assert_eq!(list(None, Some(id(30)), None, 100).await, [10, 15].map(id));
    assert_eq!(list(Some(id(51)), Some(id(30)), None, 100).await, [id(15)]);
    assert_eq!(list(Some(id(50)), Some(id(30)), Some(id(10)), 100).await, []);
    let count = async |project, most| backend.count_passes(org(), id(project), most).await.unwrap();
    assert_eq!((count(51, 100).await, count(51, 3).await, count(52, 100).await), (5, 3, 0));
}

/// Passes are found by what they are and when they changed, whatever changes between two pages.
pub async fn passes_are_filtered(backend: &Shared) {
    let row = |n: u64| PassRow {
        project: id(50 + n % 2),
        contact: n.is_multiple_of(5).then(|| id(30)),
        state: if n.is_multiple_of(3) { 4 } else { 1 },
        installed: (n % 4) as i16,
        updated_at: at(1_000 - n),
        ..pass(n)
    };
    let mut passes: Vec<_> = (10..40).map(|n| insert(row(n))).collect();
    passes.push(insert(PassRow { org: other_org(), ..row(11) }));
    done(backend, CommitRows { passes, ..commit() }).await;
    let find = async |filter: &PassFilter, limit| backend.find_passes(org(), filter, limit).await.unwrap();
    let all = PassFilter::default();
    let filters = [
        all.clone(),
        PassFilter { installed: vec![1, 3], ..all.clone() },
        PassFilter { installed: vec![0], state: Some(PassState::Revoked), ..all.clone() },
        PassFilter { project: Some(id(51)), installed: vec![1, 2, 3], ..all.clone() },
        PassFilter { contact: Some(id(30)), installed: vec![2], ..all.clone() },
        PassFilter { contact: Some(id(30)), project: Some(id(50)), state: Some(PassState::Active), ..all.clone() },
        PassFilter { state: Some(PassState::Revoked), project: Some(id(50)), ..all.clone() },
        PassFilter { state: Some(PassState::Deleted), ..all.clone() },
    ];
    for filter in filters {
        for since in [None, Some(at(975))] {
            let mut filter = PassFilter { updated_since: since, ..filter.clone() };
            let fits = |row: &PassRow| {
                filter.project.is_none_or(|project| row.project == project)
                    && filter.contact.is_none_or(|contact| row.contact == Some(contact))
                    && filter.state.is_none_or(|state| row.state == state.number())
                    && (filter.installed.is_empty() || filter.installed.contains(&row.installed))
                    && since.is_none_or(|since| row.updated_at >= since)
            };
            let mut expected: Vec<PassRow> = (10..40).map(row).filter(fits).collect();
            if since.is_some() {
                expected.sort_by_key(|row| (row.updated_at, row.id));
            }
            let mut found = Vec::new();
            loop {
                let page = find(&filter, 3).await;
                let Some(last) = page.last() else { break };
                filter.after = Some((last.updated_at, last.id));
                found.extend(page);
            }
            assert_eq!(found, expected, "{filter:?}");
        }
    }
    // One that changes between two pages comes again where they come by their change, and is not left out where it still fits.
    let since = PassFilter { updated_since: Some(at(985)), ..PassFilter::default() };
    let first = find(&since, 2).await;
    assert_eq!(first.iter().map(|row| row.id).collect::<Vec<_>>(), [15, 14].map(id));
    let changed = PassRow { updated_at: at(2_000), installed: 3, ..row(15) };
    done(backend, CommitRows { passes: vec![update(&changed)], ..commit() }).await;
    let rest = find(&PassFilter { after: Some((first[1].updated_at, first[1].id)), ..since }, 100).await;
    assert_eq!(rest.iter().map(|row| row.id).collect::<Vec<_>>(), [13, 12, 11, 10, 15].map(id));
    let apple = PassFilter { installed: vec![1, 3], after: Some((at(0), id(13))), ..PassFilter::default() };
    assert_eq!(find(&apple, 2).await.iter().map(|row| row.id).collect::<Vec<_>>(), [15, 17].map(id));
}

/// Contacts are found by the wallets that their passes are in.
pub async fn contacts_are_filtered(backend: &Shared) {
    let row = |n: u64| crate::ContactRow { wallets: (n % 4) as i16, ..contact(n) };
    let mut contacts: Vec<_> = (30..46).map(|n| insert_contact(row(n), &[])).collect();
    contacts.push(insert_contact(crate::ContactRow { org: other_org(), ..row(33) }, &[]));
    done(backend, CommitRows { contacts, ..commit() }).await;
    let found = async |wallets, after: Option<u64>, limit| -> Vec<_> {
        let rows = backend.find_contacts(org(), wallets, after.map(id), limit).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(found(3, None, 100).await, [31, 35, 39, 43].map(id));
    assert_eq!(found(3, Some(35), 1).await, [id(39)]);
    assert_eq!(found(0, None, 2).await, [32, 36].map(id));
    let left =
        crate::ContactWrite { row: crate::ContactRow { version: 2, wallets: 0, ..row(35) }, expected: Some(1), keys: Vec::new() };
    done(backend, CommitRows { contacts: vec![left], ..commit() }).await;
    assert_eq!(found(3, None, 100).await, [31, 39, 43].map(id));
    assert_eq!(found(0, Some(32), 2).await, [35, 36].map(id));
}

/// Contacts are listed in the order of their ids.
pub async fn contacts_are_paged(backend: &Shared) {
    let mut contacts: Vec<_> = (30..36).rev().map(|n| insert_contact(contact(n), &[])).collect();
    contacts.push(insert_contact(crate::ContactRow { org: other_org(), ..contact(31) }, &[]));
    done(backend, CommitRows { contacts, data_keys: vec![(org(), uuid(33), key_bytes(33))], ..commit() }).await;
    let all = backend.contacts(org(), None, 100).await.unwrap();
    assert_eq!(all.iter().map(|row| row.id).collect::<Vec<_>>(), (30..36).map(id).collect::<Vec<_>>());
    let page = backend.contacts(org(), Some(id(32)), 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.id).collect::<Vec<_>>(), [33, 34].map(id));
    assert_eq!((&page[0].data_key, &page[1].data_key), (&Some(key_bytes(33)), &None));
}

/// The expiry sweep finds what is due, earliest first, until it is written without a due time.
pub async fn due_passes_come_earliest_first(backend: &Shared) {
    let due = |n, seconds| PassRow { due_at: Some(at(seconds)), ..pass(n) };
    let passes = vec![insert(due(10, 300)), insert(due(11, 100)), insert(due(12, 200)), insert(pass(13))];
    done(backend, CommitRows { passes, ..commit() }).await;
    let found = async |now, limit| -> Vec<_> {
        backend.due_passes(0, at(now), limit).await.unwrap().into_iter().map(|(_, pass)| pass).collect()
    };
    assert_eq!(found(99, 9).await, []);
    assert_eq!(found(200, 9).await, [11, 12].map(id));
    assert_eq!(found(900, 2).await, [11, 12].map(id));
    let expired = PassRow { due_at: None, ..due(11, 100) };
    done(backend, CommitRows { passes: vec![update(&expired)], ..commit() }).await;
    assert_eq!(found(900, 9).await, [12, 10].map(id));
}
