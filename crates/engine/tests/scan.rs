//! Scans through the engine over a real SQLite file: what is accepted, exactly how often, and what is taken back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use domain::{
    Action, Actor, Amount, Answer, Booking, Command, ContactRef, EventKind, Facts, IdempotencyKey, OfflineScan, Pass, PassId,
    PassRef, Proof, RefusedScan, RejectCode, ScanInput, ScanOrder, ScanRecord, ScanRules, ScannerMay, SourceId, Timestamp,
};
use house::{House, START, futures_all, house_with};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn booking(amount_text: &str) -> Booking {
    Booking { balance: "points".to_owned(), amount: amount(amount_text), full_at: None, reward: None }
}

async fn house_of(rules: ScanRules) -> House {
    house_with(|project| {
        project.scan = rules;
        project.time_zone = "Europe/Berlin".parse().unwrap();
        project.balances.insert("rewards".to_owned(), Amount::ZERO);
    })
    .await
}

async fn issue(house: &House, uses_limit: Option<u32>, points: &str) -> Pass {
    let mut issue = house.issue("a");
    issue.uses_limit = uses_limit;
    issue.balances.insert("points".to_owned(), amount(points));
    house.did(Action::Issue(Box::new(issue))).await
}

fn order(pass: PassId, order: ScanOrder) -> Action {
    Action::Scan { passes: vec![PassRef::Id(pass)], order: Box::new(order) }
}

fn offline(at: Timestamp) -> ScanOrder {
    let input = ScanInput { offline: Some(OfflineScan { at, accepted: true }), ..ScanInput::default() };
    ScanOrder { input, ..ScanOrder::default() }
}

fn debit(text: &str) -> ScanOrder {
    ScanOrder { book: BTreeMap::from([("points".to_owned(), amount(text))]), ..ScanOrder::default() }
}

async fn reason(house: &House, action: Action) -> Option<RefusedScan> {
    match house.outcome(action).await.answer {
        Answer::Scanned { .. } => None,
        Answer::ScanRefused { reason, .. } => Some(reason),
        other => panic!("{other:?}"),
    }
}

async fn points(house: &House, pass: PassId) -> Amount {
    house.store.pass(house.org, pass).await.unwrap().unwrap().balances["points"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Whatever the limit and however many readers, exactly as many are accepted as may be.
    #[test]
    fn a_hundred_scanners_get_exactly_what_there_is(limit in 1u32..120, rides in 0u32..120, per_day in 1u32..120) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let rules = ScanRules { per_day: Some(per_day), books: vec![booking("-1")], ..ScanRules::default() };
            let house = house_of(rules).await;
            let pass = issue(&house, Some(limit), &rides.to_string()).await;
            let outcomes = futures_all(&house, (0..100).map(|_| house.command(house.scan(pass.id))).collect()).await;
            let accepted = outcomes.iter().filter(|it| matches!(it.as_ref().unwrap().answer, Answer::Scanned { .. })).count();
            let most = limit.min(rides).min(per_day).min(100);
            assert_eq!(accepted, most as usize);
            assert_eq!(points(&house, pass.id).await, amount(&(rides - most).to_string()));
            let kinds = house.kinds(pass.id).await;
            assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::PassScanned).count(), most as usize);
            assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::PassScanRefused).count(), 100 - most as usize);
        });
    }
}

#[tokio::test]
async fn a_pass_for_once_a_day_counts_days_of_its_own_place() {
    let house = house_of(ScanRules { per_day: Some(1), ..ScanRules::default() }).await;
    let pass = issue(&house, None, "0").await;
    let midnight: Timestamp = "2027-01-15T23:00:00Z".parse().unwrap();
    for (at, expected) in [
        (midnight.as_micros() - HOUR, None),
        (midnight.as_micros() - 1_000_000, Some(RefusedScan::UsedToday)),
        (midnight.as_micros(), None),
        (midnight.as_micros() + 23 * HOUR, Some(RefusedScan::UsedToday)),
        (midnight.as_micros() + 24 * HOUR, None),
    ] {
        house.clock.0.store(at, Ordering::Relaxed);
        assert_eq!(reason(&house, house.scan(pass.id)).await, expected, "{}", Timestamp::from_micros(at));
    }
    // A reader that was away tells of the day before's only visit late, and hides nothing of today.
    let late = Timestamp::from_micros(midnight.as_micros() - 25 * HOUR);
    assert_eq!(reason(&house, order(pass.id, offline(late))).await, None);
    assert_eq!(reason(&house, house.scan(pass.id)).await, Some(RefusedScan::UsedToday));
    // Another one tells of second visits on that day and on the next.
    for at in [late.as_micros() - HOUR, midnight.as_micros() - 2 * HOUR] {
        assert_eq!(reason(&house, order(pass.id, offline(Timestamp::from_micros(at)))).await, Some(RefusedScan::UsedToday));
    }
    let pass = house.store.pass(house.org, pass.id).await.unwrap().unwrap();
    let days: Vec<_> = pass.earlier_days.iter().map(|uses| (uses.day, uses.count)).collect();
    assert_eq!(days, [(20_270_114, 1), (20_270_115, 1), (20_270_116, 1)]);
    let (id, contact) = (pass.id, pass.contact.unwrap());
    // Who says a day of which nothing can be told any more need not be remembered.
    house.clock.0.fetch_add(31 * 24 * HOUR, Ordering::Relaxed);
    assert_eq!(reason(&house, house.scan(pass.id)).await, None);
    let pass = house.store.pass(house.org, pass.id).await.unwrap().unwrap();
    assert_eq!(pass.earlier_days, [], "{:?}", pass.uses);
    // The days of somebody who was erased are nobody's business.
    house.clock.0.fetch_add(24 * HOUR, Ordering::Relaxed);
    assert_eq!(reason(&house, house.scan(id)).await, None);
    let days = async || house.store.pass(house.org, id).await.unwrap().unwrap().earlier_days.len();
    assert_eq!(days().await, 1);
    house.outcome(Action::EraseContact { contact: ContactRef::Id(contact), expected_version: None }).await;
    assert_eq!(days().await, 0);
}

#[tokio::test]
async fn stored_value_stamps_and_longer_validity() {
    let scanner_may = BTreeMap::from([("points".to_owned(), ScannerMay::Debit)]);
    let house = house_of(ScanRules { scanner_may, ..ScanRules::default() }).await;
    let card = issue(&house, None, "20").await;
    assert_eq!(reason(&house, order(card.id, debit("-12.50"))).await, None);
    assert_eq!(reason(&house, order(card.id, debit("-7.51"))).await, Some(RefusedScan::Insufficient));
    assert_eq!(points(&house, card.id).await, amount("7.5"));
    assert_eq!(house.refused(order(card.id, debit("5"))).await, RejectCode::NotAllowed, "a scanner may not add");
    let stamp = Booking { full_at: Some(amount("3")), reward: Some("rewards".to_owned()), ..booking("1") };
    let house = house_of(ScanRules { books: vec![stamp], extends_days: Some(10), ..ScanRules::default() }).await;
    let mut issue = house.issue("a");
    issue.validity.expires_at = Some(Timestamp::from_micros(START + 5 * 24 * HOUR));
    let card = house.did(Action::Issue(Box::new(issue))).await;
    for _ in 0..7 {
        assert_eq!(reason(&house, house.scan(card.id)).await, None);
    }
    let card = house.store.pass(house.org, card.id).await.unwrap().unwrap();
    assert_eq!((card.balances["points"], card.balances["rewards"]), (amount("1"), amount("2")));
    assert!(card.validity.expires_at.unwrap() > Timestamp::from_micros(START + 9 * 24 * HOUR));
}

#[tokio::test]
async fn every_refusal_has_its_reason_and_its_event() {
    let house = house_of(ScanRules { signed_only: true, ..ScanRules::default() }).await;
    let pass = issue(&house, None, "0").await;
    let signed = |epoch, stale| ScanOrder { proof: Proof::Signed { epoch, stale }, ..ScanOrder::default() };
    let elsewhere = ScanOrder { project: Some(domain::ProjectId::from_uuid(pass.id.uuid())), ..signed(0, false) };
    for (wanted, asked) in [
        (Some(RefusedScan::Unsigned), ScanOrder::default()),
        (Some(RefusedScan::Superseded), signed(1, false)),
        (Some(RefusedScan::Stale), signed(0, true)),
        (Some(RefusedScan::WrongProject), elsewhere),
        (Some(RefusedScan::Forged), ScanOrder { proof: Proof::Forged, ..ScanOrder::default() }),
        (None, signed(0, false)),
    ] {
        assert_eq!(reason(&house, order(pass.id, asked)).await, wanted);
    }
    assert_eq!(reason(&house, Action::Scan { passes: Vec::new(), order: Box::default() }).await, Some(RefusedScan::Unknown));
    let log = house.store.read_events(0, 0, 100).await.unwrap();
    let unknown = log.into_iter().filter_map(|event| event.whole()).filter(|event| event.kind() == EventKind::ScanUnknown);
    assert!(unknown.clone().all(|event| event.pass.is_none()) && unknown.count() == 2, "forged and unknown");
    house.did(Action::Revoke { pass: PassRef::Id(pass.id), reason: None }).await;
    assert_eq!(reason(&house, order(pass.id, signed(0, false))).await, Some(RefusedScan::Revoked));
}

#[tokio::test]
async fn what_is_told_late_is_judged_by_when_it_was() {
    let house = house_with(|project| project.uses_limit = Some(1)).await;
    let pass = house.issued("a").await;
    let before = house.clock.0.load(Ordering::Relaxed);
    house.did(Action::Revoke { pass: PassRef::Id(pass.id), reason: None }).await;
    assert_eq!(reason(&house, order(pass.id, offline(Timestamp::from_micros(before)))).await, None, "revoked only afterwards");
    let second = house.outcome(order(pass.id, offline(Timestamp::from_micros(before)))).await;
    assert!(matches!(second.answer, Answer::ScanRefused { reason: RefusedScan::AlreadyUsed, .. }), "the other reader was first");
    let events = house.store.events_of_pass(house.org, pass.id, 0, 100).await.unwrap();
    let last = events.into_iter().next_back().unwrap().whole().unwrap();
    assert_eq!(last.occurred_at, Timestamp::from_micros(before));
    assert!(matches!(last.facts, Facts::PassScanRefused { scan, .. } if scan.offline.as_ref().is_some_and(|it| it.accepted)));
    let mut turned_away = offline(Timestamp::from_micros(before));
    turned_away.input.offline.as_mut().unwrap().accepted = false;
    let other = house.issued("b").await;
    assert_eq!(reason(&house, order(other.id, turned_away)).await, Some(RefusedScan::ByReader));
    assert_eq!(house.store.pass(house.org, other.id).await.unwrap().unwrap().uses.count, 0, "and the use is still there");
    let future = Timestamp::from_micros(START + 24 * HOUR);
    assert_eq!(house.refused(order(pass.id, offline(future))).await, RejectCode::Invalid);

    let old = Timestamp::from_micros(before).minus(Duration::from_secs(400 * 86_400));
    assert_eq!(
        house.refused(order(other.id, offline(old))).await,
        RejectCode::Invalid,
        "no scanner is without a network so long"
    );
    let by_source = |told: ScanOrder| Command {
        actor: Actor::Source { id: SourceId::from_uuid(other.id.uuid()) },
        ..house.command(order(other.id, told))
    };
    let refused = house.engine.submit(by_source(offline(old))).await;
    assert!(refused.is_err(), "a source may be anybody with a write key");
    let mirrored = by_source(ScanOrder { is_mirrored: true, ..offline(old) });
    assert!(matches!(house.engine.submit(mirrored).await.unwrap().answer, Answer::Scanned { .. }));
    let events = house.store.events_of_pass(house.org, other.id, 0, 100).await.unwrap();
    assert_eq!(events.into_iter().next_back().unwrap().whole().unwrap().occurred_at, old, "as of the other platform's time");
}

/// What a scan did.
async fn scanned(house: &House, action: Action) -> ScanRecord {
    let Answer::Scanned { scan, .. } = house.outcome(action).await.answer else { panic!() };
    let event = house.store.event(house.org, scan).await.unwrap().unwrap().whole().unwrap();
    let Facts::PassScanned { balance_changes, day, extended, .. } = event.facts else { panic!() };
    ScanRecord { id: scan, recorded_at: event.recorded_at, booked: balance_changes, day, extended }
}

#[tokio::test]
async fn an_undo_makes_up_for_a_scan_once() {
    let rules = ScanRules { per_day: Some(1), books: vec![booking("5")], ..ScanRules::default() };
    let house = house_of(rules).await;
    let pass = issue(&house, Some(1), "0").await;
    let record = scanned(&house, house.scan(pass.id)).await;
    let scan = record.id;
    let undo = || {
        let key =
            IdempotencyKey { principal: "scan undo".to_owned(), key: scan.to_string(), fingerprint: [0; 32], keep_image: true };
        let scan = Box::new(record.clone());
        let action = Action::UndoScan { pass: PassRef::Id(pass.id), scan, by: ScanInput::default(), reason: None };
        Command { key: Some(key), ..house.command(action) }
    };
    futures_all(&house, (0..20).map(|_| undo()).collect()).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    let undone = house.store.pass(house.org, pass.id).await.unwrap().unwrap();
    assert_eq!((undone.uses.count, undone.lifecycle.name(), undone.balances["points"]), (0, "active", Amount::ZERO));
    let kinds = house.kinds(pass.id).await;
    assert_eq!(kinds, [EventKind::PassCreated, EventKind::PassScanned, EventKind::PassScanUndone]);
    assert_eq!(reason(&house, house.scan(pass.id)).await, None, "it can be used again");
    house.clock.0.fetch_add(15 * 24 * HOUR, Ordering::Relaxed);
    let late = Command { key: None, ..undo() };
    assert!(house.engine.submit(late).await.is_err(), "not after {:?}", Duration::from_secs(14 * 86_400));
}

#[tokio::test]
async fn a_late_scan_that_is_taken_back_leaves_today_as_it_is() {
    let house = house_of(ScanRules { per_day: Some(1), ..ScanRules::default() }).await;
    let pass = issue(&house, None, "0").await;
    let midnight: Timestamp = "2027-01-15T23:00:00Z".parse().unwrap();
    house.clock.0.store(midnight.as_micros() + HOUR, Ordering::Relaxed);
    let today = scanned(&house, house.scan(pass.id)).await;
    let yesterday = Timestamp::from_micros(midnight.as_micros() - 1);
    let late = scanned(&house, order(pass.id, offline(yesterday))).await;
    assert_eq!((today.day, late.day), (Some(20_270_116), Some(20_270_115)), "each says the day that it was made on");
    let undo = |scan: ScanRecord| Action::UndoScan {
        pass: PassRef::Id(pass.id),
        scan: Box::new(scan),
        by: ScanInput::default(),
        reason: None,
    };
    house.did(undo(late)).await;
    assert_eq!(reason(&house, house.scan(pass.id)).await, Some(RefusedScan::UsedToday));
    house.did(undo(today)).await;
    assert_eq!(reason(&house, house.scan(pass.id)).await, None);
}

#[tokio::test]
async fn scans_that_extended_a_pass_are_taken_back_in_any_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1]] {
        let house = house_of(ScanRules { extends_days: Some(10), ..ScanRules::default() }).await;
        let mut issue = house.issue("a");
        let own = Timestamp::from_micros(START + 5 * 24 * HOUR);
        issue.validity.expires_at = Some(own);
        let card = house.did(Action::Issue(Box::new(issue))).await;
        let mut records = Vec::new();
        for _ in 0..3 {
            house.clock.0.fetch_add(HOUR, Ordering::Relaxed);
            records.push(scanned(&house, house.scan(card.id)).await);
        }
        for nth in order {
            let (scan, by) = (Box::new(records[nth].clone()), ScanInput::default());
            house.did(Action::UndoScan { pass: PassRef::Id(card.id), scan, by, reason: None }).await;
        }
        let left = house.store.pass(house.org, card.id).await.unwrap().unwrap();
        assert_eq!((left.validity.expires_at, left.undone.len()), (Some(own), 0), "{order:?}");
    }
}
