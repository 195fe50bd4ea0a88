//! What targets are owed, and the tries at it.

use std::collections::BTreeSet;

use domain::{DeliveryId, Position, Timestamp};

use super::fixtures::{Shared, at, commit, delivery, done, event, id, key_bytes, lease, org, other_org, pass, uuid};
use crate::{About, AttemptFilter, AttemptRow, CommitRows, DeliveryRow, DeliverySettlement, EventRow, Lease, PassRow};

fn settle(lease: Lease) -> DeliverySettlement {
    DeliverySettlement { lease, attempts: vec![], finished: vec![], owed: vec![], watermark: None }
}

fn place(seq: u64) -> Position {
    Position { shard: 0, seq }
}

fn attempt(of: &DeliveryRow, number: i32, at: Timestamp) -> AttemptRow {
    AttemptRow {
        org: of.org,
        delivery: of.id,
        target: of.target,
        event: of.event,
        position: of.position,
        attempt: number,
        at,
        elapsed_micros: 1_500,
        outcome: 2,
        status: Some(503),
        error: Some("the target answered 503".to_owned()),
        next_at: Some(at),
        subject: uuid(10),
        data_key: None,
        detail: vec![3; 70],
    }
}

fn ids(rows: &[DeliveryRow]) -> Vec<DeliveryId> {
    rows.iter().map(|row| row.id).collect()
}

/// What is owed comes when it is due, earliest first, and is not handed out twice.
pub async fn owed_deliveries_are_claimed_when_due(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    assert_eq!(backend.next_delivery(0).await.unwrap(), None);
    let owed = [300, 100, 200].map(|seconds| delivery(seconds, place(seconds), at(seconds)));
    backend.settle_deliveries(DeliverySettlement { owed: owed.to_vec(), ..settle(lease) }).await.unwrap();
    assert_eq!(backend.next_delivery(0).await.unwrap(), Some(at(100)));
    let claim = async |now, limit| backend.claim_deliveries(lease, at(now), at(1_000), limit).await.unwrap();
    assert!(claim(99, 9).await.is_empty());
    let first = claim(250, 1).await;
    assert_eq!(first.len(), 1);
    let expected = &owed[1];
    assert_eq!((first[0].id, first[0].event, first[0].position), (expected.id, expected.event, expected.position));
    assert_eq!((first[0].org, first[0].target, first[0].attempts), (expected.org, expected.target, 0));
    assert_eq!(backend.next_delivery(0).await.unwrap(), Some(at(200)), "what is claimed is not next");
    assert_eq!(ids(&claim(250, 9).await), [id(200)]);
    assert!(claim(250, 9).await.is_empty(), "claimed ones are not handed out again");
}

/// A claim ends by its time, or at once when the lease changed hands.
pub async fn claims_end_and_can_be_taken_back(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let owed = vec![delivery(1, place(1), at(10)), delivery(2, place(2), at(10)), delivery(3, place(3), at(500))];
    backend.settle_deliveries(DeliverySettlement { owed, ..settle(lease) }).await.unwrap();
    assert_eq!(backend.claim_deliveries(lease, at(20), at(50), 9).await.unwrap().len(), 2);
    assert!(backend.claim_deliveries(lease, at(49), at(80), 9).await.unwrap().is_empty());
    assert_eq!(backend.claim_deliveries(lease, at(50), at(400), 9).await.unwrap().len(), 2, "the claim ended");
    backend.unclaim_deliveries(lease, at(60)).await.unwrap();
    assert_eq!(backend.next_delivery(0).await.unwrap(), Some(at(60)));
    assert_eq!(backend.claim_deliveries(lease, at(60), at(400), 9).await.unwrap().len(), 2, "taken back");
    let late = backend.deliveries(org(), None, None, 9).await.unwrap().into_iter().find(|row| row.id == id(3));
    assert_eq!(late.map(|row| row.due_at), Some(at(500)), "what was not claimed keeps its time");
}

/// Finished ones go, kept ones change, attempts and watermark are written with them.
pub async fn settling_finishes_and_keeps(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let [one, two] = [1, 2].map(|n| delivery(n, place(n), at(10)));
    let write = DeliverySettlement { owed: vec![one.clone(), two.clone()], watermark: Some(2), ..settle(lease) };
    backend.settle_deliveries(write).await.unwrap();
    assert_eq!(backend.watermarks(crate::Reader::Webhooks).await.unwrap()[0], 2);
    backend.claim_deliveries(lease, at(10), at(400), 9).await.unwrap();
    let later = DeliveryRow { attempts: 1, due_at: at(90), ..two.clone() };
    let never_spilled = delivery(3, place(3), at(10));
    let write = DeliverySettlement {
        attempts: vec![attempt(&one, 1, at(11)), attempt(&two, 1, at(12)), attempt(&never_spilled, 1, at(13))],
        finished: vec![one.over(), never_spilled.over()],
        owed: vec![later.clone()],
        ..settle(lease)
    };
    backend.settle_deliveries(write).await.unwrap();
    assert_eq!(backend.delivery(org(), one.id).await.unwrap(), None);
    assert_eq!(backend.delivery(org(), two.id).await.unwrap(), Some(later.clone()));
    assert_eq!(backend.watermarks(crate::Reader::Webhooks).await.unwrap()[0], 2, "no watermark leaves it");
    assert_eq!(backend.next_delivery(0).await.unwrap(), Some(at(90)), "no longer claimed");
    let claimed = backend.claim_deliveries(lease, at(90), at(400), 9).await.unwrap();
    assert_eq!((claimed.len(), claimed[0].attempts), (1, 1));
    assert_eq!(backend.attempts(org(), &AttemptFilter::default(), 9).await.unwrap().len(), 3);
}

/// A restarted reader learns what was tried or is owed of the events after its watermark.
pub async fn touched_deliveries_are_remembered(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let rows: Vec<_> = (1..6).map(|n| delivery(n, place(n), at(10))).collect();
    let write = DeliverySettlement {
        attempts: vec![attempt(&rows[0], 1, at(1)), attempt(&rows[2], 1, at(1)), attempt(&rows[2], 2, at(2))],
        finished: vec![rows[2].over()],
        owed: vec![rows[1].clone(), rows[3].clone()],
        ..settle(lease)
    };
    backend.settle_deliveries(write).await.unwrap();
    let touched = async |after| backend.touched_deliveries(0, after).await.unwrap().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(touched(0).await, [1, 2, 3, 4].map(id).into());
    assert_eq!(touched(2).await, [3, 4].map(id).into());
    assert_eq!(touched(4).await, BTreeSet::new());
}

/// People see what is owed and what was tried, of their organization only.
pub async fn deliveries_and_attempts_are_listed(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let rows: Vec<_> = (1..5).map(|n| delivery(n, place(n), at(100 - n))).collect();
    let foreign = DeliveryRow { org: other_org(), ..delivery(9, place(9), at(1)) };
    let attempts: Vec<_> = rows.iter().zip(1..).map(|(row, n)| attempt(row, 1, at(n))).collect();
    let keys = CommitRows { data_keys: vec![(org(), uuid(10), key_bytes(10))], ..commit() };
    done(backend, keys).await;
    let mut write = DeliverySettlement { owed: rows.clone(), attempts: attempts.clone(), ..settle(lease) };
    write.attempts.push(attempt(&foreign, 1, at(3)));
    write.attempts.push(AttemptRow { attempt: 2, status: None, error: None, next_at: None, at: at(50), ..attempts[0].clone() });
    write.owed.push(foreign);
    backend.settle_deliveries(write).await.unwrap();

    assert_eq!(ids(&backend.deliveries(org(), None, None, 9).await.unwrap()), [4, 3, 2, 1].map(id), "earliest due first");
    assert_eq!(ids(&backend.deliveries(org(), Some(id(61)), None, 9).await.unwrap()), [3, 1].map(id));
    assert_eq!(backend.deliveries(org(), None, None, 2).await.unwrap().len(), 2);
    assert_eq!(backend.delivery(other_org(), id(1)).await.unwrap(), None);

    let list = async |filter, limit| -> Vec<_> {
        let found = backend.attempts(org(), &filter, limit).await.unwrap();
        found.into_iter().map(|row| (row.delivery, row.attempt)).collect()
    };
    let newest_first = [(id(1), 2), (id(4), 1), (id(3), 1), (id(2), 1), (id(1), 1)];
    assert_eq!(list(AttemptFilter::default(), 9).await, newest_first);
    assert_eq!(list(AttemptFilter::default(), 2).await, newest_first[..2]);
    let of_target = AttemptFilter { target: Some(id(61)), ..AttemptFilter::default() };
    assert_eq!(list(of_target, 9).await, [(id(1), 2), (id(3), 1), (id(1), 1)]);
    let of_event = AttemptFilter { event: Some(id(1)), ..AttemptFilter::default() };
    assert_eq!(list(of_event, 9).await, [(id(1), 2), (id(1), 1)]);
    let before = AttemptFilter { before: Some((at(4), id(4), 1)), ..AttemptFilter::default() };
    assert_eq!(list(before, 9).await, newest_first[2..]);
    let last = AttemptFilter { before: Some((at(2), id(2), 1)), ..AttemptFilter::default() };
    let stored = backend.attempts(org(), &last, 9).await.unwrap();
    assert_eq!(stored, [AttemptRow { data_key: Some(key_bytes(10)), ..attempts[0].clone() }]);
}

/// Attempts are found by what people know: how they ended, when, of which pass and of which kind of event.
pub async fn attempts_are_searched(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let passes = [PassRow { shard: 0, ..pass(10) }, PassRow { shard: 0, ..pass(11) }];
    let events: Vec<_> = (1..5).map(|n| EventRow { kind: n as i16, ..event(n, &passes[n as usize % 2]) }).collect();
    let positions = done(backend, CommitRows { events, ..commit() }).await;
    let rows: Vec<_> = positions.iter().zip(1..).map(|(position, n)| delivery(n, *position, at(10))).collect();
    let attempts = rows.iter().zip(1..).map(|(row, n)| {
        let (outcome, status) = if n % 2 == 0 { (1, Some(204)) } else { (3, None) };
        AttemptRow { outcome, status, ..attempt(row, 1, at(n)) }
    });
    backend.settle_deliveries(DeliverySettlement { attempts: attempts.collect(), ..settle(lease) }).await.unwrap();
    let list = async |filter| -> Vec<_> {
        let found = backend.attempts(org(), &filter, 9).await.unwrap();
        found.into_iter().map(|row| row.delivery).collect()
    };
    let all = AttemptFilter::default;
    assert_eq!(list(AttemptFilter { outcome: Some(1), ..all() }).await, [4, 2].map(id));
    assert_eq!(list(AttemptFilter { status: Some(204), ..all() }).await, [4, 2].map(id));
    assert_eq!(list(AttemptFilter { kind: Some(3), ..all() }).await, [id(3)]);
    assert_eq!(list(AttemptFilter { pass: Some(id(11)), ..all() }).await, [3, 1].map(id));
    assert_eq!(list(AttemptFilter { pass: Some(id(11)), event: Some(id(2)), ..all() }).await, []);
    assert_eq!(list(AttemptFilter { pass: Some(id(10)), target: Some(id(60)), kind: Some(2), ..all() }).await, [id(2)]);
    assert_eq!(list(AttemptFilter { since: Some(at(2)), until: Some(at(3)), ..all() }).await, [3, 2].map(id));
    let page = AttemptFilter { until: Some(at(3)), before: Some((at(3), id(3), 1)), ..all() };
    assert_eq!(list(page).await, [2, 1].map(id));
    assert_eq!(list(AttemptFilter { target: Some(id(61)), outcome: Some(3), ..all() }).await, [3, 1].map(id));
}

/// Rows of the same moment are told apart, so that no page leaves any out.
pub async fn deliveries_and_attempts_of_one_moment_are_paged(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let rows: Vec<_> = (1..6).map(|n| delivery(n, place(n), at(10))).collect();
    let attempts: Vec<_> = rows.iter().flat_map(|row| [attempt(row, 1, at(5)), attempt(row, 2, at(5))]).collect();
    backend.settle_deliveries(DeliverySettlement { owed: rows, attempts, ..settle(lease) }).await.unwrap();
    let (mut owed, mut after) = (Vec::new(), None);
    loop {
        let page = backend.deliveries(org(), None, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.due_at, last.id));
        owed.extend(page.into_iter().map(|row| row.id));
    }
    assert_eq!(owed, [1, 2, 3, 4, 5].map(id));
    let (mut tried, mut before) = (Vec::new(), None);
    loop {
        let page = backend.attempts(org(), &AttemptFilter { before, ..AttemptFilter::default() }, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some((last.at, last.delivery, last.attempt));
        tried.extend(page.into_iter().map(|row| (row.delivery, row.attempt)));
    }
    let newest_first: Vec<_> = [5, 4, 3, 2, 1].into_iter().flat_map(|n| [(id(n), 2), (id(n), 1)]).collect();
    assert_eq!(tried, newest_first);
}

/// A resend is due whatever became of the delivery before.
pub async fn resends_are_owed_again(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let row = delivery(1, place(1), at(10));
    backend.owe(vec![row.clone()]).await.unwrap();
    assert_eq!(backend.claim_deliveries(lease, at(10), at(900), 9).await.unwrap().len(), 1);
    let again = DeliveryRow { attempts: 4, due_at: at(20), ..row };
    backend.owe(vec![again.clone()]).await.unwrap();
    assert_eq!(backend.delivery(org(), id(1)).await.unwrap(), Some(again));
    let claimed = backend.claim_deliveries(lease, at(20), at(900), 9).await.unwrap();
    assert_eq!((claimed.len(), claimed[0].attempts), (1, 4), "one row, claimed no more");
}

/// What is asked for anew while a try is under way stays, whatever became of that try.
pub async fn a_try_does_not_end_what_was_asked_for_meanwhile(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let first = delivery(1, place(1), at(10));
    let asked = |row: &DeliveryRow, seconds| DeliveryRow { asked_at: Some(at(seconds)), due_at: at(seconds), ..row.clone() };
    let finish = async |row: &DeliveryRow| {
        let write = DeliverySettlement { finished: vec![row.over()], ..settle(lease) };
        backend.settle_deliveries(write).await.unwrap();
        backend.delivery(org(), id(1)).await.unwrap()
    };
    // A try at it as it came goes on, with no row yet, and then with one.
    let second = asked(&first, 20);
    backend.owe(vec![second.clone()]).await.unwrap();
    assert_eq!(finish(&first).await, Some(second.clone()), "it succeeded");
    let again = DeliveryRow { attempts: 1, due_at: at(500), ..first.clone() };
    let spilled = DeliverySettlement { owed: vec![again.clone()], ..settle(lease) };
    backend.settle_deliveries(spilled.clone()).await.unwrap();
    assert_eq!(backend.delivery(org(), id(1)).await.unwrap(), Some(second.clone()), "it failed");
    let claimed = backend.claim_deliveries(lease, at(20), at(900), 9).await.unwrap();
    assert_eq!(claimed.first(), Some(&second));
    // Two more ask in one moment while that one is carried out.
    backend.owe(vec![asked(&first, 20)]).await.unwrap();
    let third = backend.delivery(org(), id(1)).await.unwrap().unwrap();
    assert!(third.asked_at > second.asked_at, "each wish is told from the one before");
    backend.owe(vec![DeliveryRow { asked_at: Some(at(15)), ..third.clone() }]).await.unwrap();
    let fourth = backend.delivery(org(), id(1)).await.unwrap().unwrap();
    assert!(fourth.asked_at > third.asked_at, "also by a clock that is behind");
    assert_eq!(finish(&second).await, Some(fourth.clone()));
    assert_eq!(finish(&third).await, Some(fourth.clone()));
    let later = DeliveryRow { due_at: at(700), attempts: 1, ..fourth.clone() };
    backend.settle_deliveries(DeliverySettlement { owed: vec![later.clone()], ..settle(lease) }).await.unwrap();
    assert_eq!(backend.delivery(org(), id(1)).await.unwrap(), Some(later), "who knows of the last one has the last word");
    assert_eq!(finish(&fourth).await, None);
    backend.settle_deliveries(spilled).await.unwrap();
    assert_eq!(backend.delivery(org(), id(1)).await.unwrap(), Some(again), "what nobody asked for is kept as ever");
}

/// Replays are told from what is owed otherwise, and what a target has is not missed.
pub async fn replays_are_counted(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let target = id(60);
    assert_eq!(backend.behind(org(), target).await.unwrap(), (0, None));
    let named = |row: DeliveryRow| DeliveryRow { id: DeliveryId::of(row.event.uuid(), row.target.uuid()), ..row };
    let rows: Vec<_> = [2, 4, 6, 8].map(|n| named(DeliveryRow { behind: n != 8, ..delivery(n, place(n), at(n)) })).into();
    backend.owe(rows.clone()).await.unwrap();
    assert_eq!(backend.behind(org(), target).await.unwrap(), (3, Some(at(6))));
    assert_eq!(backend.owed(org(), target).await.unwrap(), (4, Some(at(2))), "with what is no replay");
    assert_eq!(backend.owed(other_org(), target).await.unwrap(), (0, None));
    assert_eq!(backend.owed(org(), id(61)).await.unwrap(), (0, None));
    assert_eq!(backend.behind(other_org(), target).await.unwrap(), (0, None));
    assert_eq!(backend.behind(org(), id(61)).await.unwrap(), (0, None));
    assert_eq!(backend.hasten(org(), target, at(3), 9).await.unwrap(), 1, "replays are not hastened");
    assert_eq!(backend.delivery(org(), rows[3].id).await.unwrap().unwrap().due_at, at(3));
    let later = DeliveryRow { due_at: at(8), ..rows[3].clone() };
    backend.owe(vec![later]).await.unwrap();
    assert_eq!(backend.hasten(other_org(), target, at(3), 9).await.unwrap(), 0);
    assert_eq!(backend.hasten(org(), id(61), at(3), 9).await.unwrap(), 0);
    assert_eq!(backend.hasten(org(), target, at(3), 0).await.unwrap(), 0, "no more than asked");
    assert_eq!(backend.hasten(org(), target, at(8), 9).await.unwrap(), 0, "what is due already");
    let claimed = backend.claim_deliveries(lease, at(9), at(900), 9).await.unwrap();
    assert_eq!(backend.hasten(org(), target, at(9), 9).await.unwrap(), 0, "what is claimed");
    assert_eq!(claimed.iter().map(|row| row.behind).collect::<Vec<_>>(), [true, true, true, false]);
    let delivered = AttemptRow { outcome: 1, ..attempt(&rows[0], 1, at(10)) };
    let failed = [attempt(&delivery(10, place(10), at(1)), 1, at(10)), AttemptRow { outcome: 3, ..attempt(&rows[1], 1, at(10)) }];
    let elsewhere = AttemptRow { target: id(61), outcome: 1, ..attempt(&delivery(12, place(12), at(1)), 1, at(10)) };
    let again = DeliveryRow { due_at: at(50), ..rows[2].clone() };
    let write = DeliverySettlement {
        attempts: vec![delivered, failed[0].clone(), failed[1].clone(), elsewhere],
        finished: vec![rows[0].over(), rows[1].over()],
        owed: vec![again.clone()],
        ..settle(lease)
    };
    backend.settle_deliveries(write).await.unwrap();
    assert_eq!(backend.behind(org(), target).await.unwrap(), (1, Some(at(50))));
    assert_eq!(backend.delivery(org(), again.id).await.unwrap(), Some(again), "it stays a replay");
    let events: Vec<_> = [2, 4, 6, 8, 10, 12, 14].map(id).into();
    let mut found = backend.taken_or_owed(org(), target, &events).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, [2, 6, 8].map(id));
    assert!(backend.taken_or_owed(org(), target, &[]).await.unwrap().is_empty());
}

/// What is owed about an event, or about a pass, is listed, of one organization, to all targets or one.
pub async fn what_is_owed_about_an_event_or_a_pass_is_listed(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let passes = [PassRow { shard: 0, ..pass(10) }, PassRow { shard: 0, ..pass(11) }];
    let events: Vec<_> = (1..5).map(|n| event(n, &passes[n as usize % 2])).collect();
    let positions = done(backend, CommitRows { events, ..commit() }).await;
    let owed = |n: u64, target: u64, due| {
        let row = delivery(n, positions[n as usize - 1], at(due));
        DeliveryRow { id: DeliveryId::of(uuid(n), uuid(target)), event: id(n), target: id(target), ..row }
    };
    let behind = DeliveryRow { behind: true, ..owed(4, 61, 3) };
    let rows = vec![owed(1, 60, 5), owed(2, 60, 7), behind.clone(), owed(4, 60, 3), owed(3, 60, 1)];
    backend.settle_deliveries(DeliverySettlement { owed: rows.clone(), ..settle(lease) }).await.unwrap();
    let list = async |about: About, target, after, limit| -> Vec<DeliveryRow> {
        backend.deliveries_about(org(), about, target, after, limit).await.unwrap()
    };
    let mut even = vec![behind.clone(), rows[3].clone(), rows[1].clone()];
    even.sort_by_key(|row| (row.due_at, row.id));
    let (of_pass, of_event) = (About { event: None, pass: Some(id(10)) }, About { event: Some(id(4)), pass: None });
    assert_eq!(list(of_pass, None, None, 9).await, even);
    assert_eq!(list(of_pass, None, None, 2).await, even[..2]);
    assert_eq!(list(of_pass, None, Some((even[0].due_at, even[0].id)), 9).await, even[1..]);
    assert_eq!(list(of_pass, Some(id(61)), None, 9).await, std::slice::from_ref(&behind));
    assert_eq!(list(of_event, None, None, 9).await, even[..2]);
    assert_eq!(list(of_event, Some(id(61)), None, 9).await, [behind]);
    assert_eq!(list(About { pass: Some(id(10)), ..of_event }, None, None, 9).await, even[..2]);
    assert_eq!(list(About { pass: Some(id(11)), ..of_event }, None, None, 9).await, [], "it is not of that pass");
    assert_eq!(list(About::default(), None, None, 9).await, []);
    assert_eq!(backend.deliveries_about(other_org(), of_pass, None, None, 9).await.unwrap(), []);
}

/// What is owed about earlier events of a pass is found, of that pass and target alone.
pub async fn earlier_events_of_a_pass_are_waited_for(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let passes = [PassRow { shard: 0, ..pass(10) }, PassRow { shard: 0, ..pass(11) }];
    let events: Vec<_> = (1..7).map(|n| event(n, &passes[n as usize % 2])).collect();
    let positions = done(backend, CommitRows { events, ..commit() }).await;
    let owed = |n: u64, due| DeliveryRow { target: id(60), ..delivery(n, positions[n as usize - 1], at(due)) };
    let line = |n: u64, target| (target, id(10 + n % 2), positions[n as usize - 1]);
    let earlier = async |n: u64, target| backend.earlier_owed(org(), &[line(n, target)]).await.unwrap()[0];
    assert_eq!(earlier(6, id(60)).await, None);
    let behind = DeliveryRow { behind: true, ..owed(2, 5) };
    backend
        .settle_deliveries(DeliverySettlement { owed: vec![behind, owed(3, 90), owed(4, 70)], ..settle(lease) })
        .await
        .unwrap();
    assert_eq!(earlier(6, id(60)).await, Some(at(70)));
    assert_eq!(earlier(5, id(60)).await, Some(at(90)));
    assert_eq!(earlier(4, id(60)).await, None, "replays do not count");
    assert_eq!(earlier(3, id(60)).await, None, "nor does it itself");
    assert_eq!(earlier(6, id(61)).await, None);
    let lines = [line(5, id(60)), line(6, id(61)), line(6, id(60)), line(5, id(60))];
    assert_eq!(backend.earlier_owed(org(), &lines).await.unwrap(), [Some(at(90)), None, Some(at(70)), Some(at(90))]);
    assert_eq!(backend.earlier_owed(other_org(), &lines).await.unwrap(), [None; 4]);
    assert_eq!(backend.earlier_owed(org(), &[]).await.unwrap(), []);
}

/// Of each of several targets, or of what is told them about an event, the newest attempt is found.
pub async fn newest_attempts_are_found(backend: &Shared) {
    let lease = lease(backend, 0, "a").await;
    let row =
        |n: u64, target: u64| DeliveryRow { target: id(target), event: id(n), ..delivery(n * 10 + target, place(n), at(1)) };
    let (first, second, elsewhere) = (row(1, 60), row(2, 60), row(1, 61));
    let attempts = vec![
        attempt(&first, 1, at(10)),
        attempt(&second, 1, at(11)),
        attempt(&first, 2, at(12)),
        attempt(&first, 3, at(12)),
        attempt(&elsewhere, 1, at(13)),
    ];
    backend.settle_deliveries(DeliverySettlement { attempts, ..settle(lease) }).await.unwrap();
    let asked = [(60, None), (60, Some(2)), (61, Some(2)), (60, Some(1)), (61, None), (62, None)];
    let asked = asked.map(|(target, event): (u64, Option<u64>)| (id(target), event.map(id)));
    let newest = async |org| -> Vec<_> {
        let found = backend.newest_attempts(org, &asked).await.unwrap();
        found.into_iter().map(|found| found.map(|row| (row.delivery, row.attempt))).collect()
    };
    let last = Some((first.id, 3));
    assert_eq!(newest(org()).await, [last, Some((second.id, 1)), None, last, Some((elsewhere.id, 1)), None]);
    assert_eq!(newest(other_org()).await, [None; 6]);
    assert_eq!(backend.newest_attempts(org(), &[]).await.unwrap(), []);
}
