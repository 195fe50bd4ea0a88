//! Source events: dedupe, order, outcomes, owners.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::Position;
use tokio::task::JoinSet;

use super::fixtures::{
    Shared, at, commit, day, delivery, done, event, hash, id, inbox_ids, insert, key_bytes, lease, org, other_org, outcome, pass,
    settlement, source_event, uuid,
};
use crate::{
    Accepted, CommitRows, InboxFilter, InboxInsert, InboxStatus, Log, PassRow, Pulse, Reader, Repeats, StoreError, Turns,
    WaitingKey,
};

/// A dedupe key counts once, whether its rows come together or one after the other.
pub async fn duplicates_are_told_within_a_batch_and_across(backend: &Shared) {
    let first = source_event(10, 0);
    let again = InboxInsert { id: id(11), ..first.clone() };
    let next = source_event(12, 0);
    let accepted = backend.accept(vec![first.clone(), again, next]).await.unwrap();
    let at = |seq| Accepted::New(Position { shard: 0, seq });
    assert_eq!(accepted, [at(1), Accepted::Duplicate(first.id), at(2)]);

    let later = InboxInsert { id: id(13), received_at: day(1), ..first.clone() };
    let accepted = backend.accept(vec![later, source_event(14, 0)]).await.unwrap();
    assert_eq!(accepted, [Accepted::Duplicate(first.id), at(3)], "a duplicate takes no number");
    let elsewhere = InboxInsert { id: id(15), org: other_org(), ..first.clone() };
    let late = InboxInsert { id: id(16), received_at: first.received_at, ..first.clone() };
    backend.accept(vec![elsewhere.clone(), late]).await.unwrap();
    let repeats = backend.repeats(org(), first.id).await.unwrap();
    assert_eq!(repeats, Some(Repeats { times: 3, last_at: day(1) }), "once in its own batch, twice later");
    for (of, other) in [(org(), id(12)), (org(), id(14)), (other_org(), elsewhere.id), (other_org(), first.id)] {
        assert_eq!(backend.repeats(of, other).await.unwrap(), None);
    }
    assert_eq!(inbox_ids(backend, 0, 0).await, [id(10), id(12), id(14), id(15)]);
    assert!(backend.accept(Vec::new()).await.unwrap().is_empty());
}

/// The sender's id is unique per source of an organization only.
pub async fn sources_and_organizations_do_not_share_dedupe_keys(backend: &Shared) {
    let first = source_event(10, 0);
    let of_source = InboxInsert { id: id(11), source: id(71), ..first.clone() };
    let of_org = InboxInsert { id: id(12), org: other_org(), ..first.clone() };
    for row in [first, of_source, of_org] {
        assert!(matches!(backend.accept(vec![row]).await.unwrap()[..], [Accepted::New(_)]));
    }
}

/// Every shard counts from 1 without gaps, in the order of the batch.
pub async fn positions_are_dense_per_shard(backend: &Shared) {
    let shards = backend.shards().min(3);
    let mut expected = vec![0u64; usize::from(backend.shards())];
    for batch in 0..4u64 {
        let rows: Vec<_> = (0..10).map(|n| source_event(batch * 10 + n, (n % u64::from(shards)) as u16)).collect();
        let accepted = backend.accept(rows.clone()).await.unwrap();
        for (row, accepted) in rows.iter().zip(accepted) {
            let head = &mut expected[usize::from(row.shard)];
            *head += 1;
            assert_eq!(accepted, Accepted::New(Position { shard: row.shard, seq: *head }));
        }
    }
    assert_eq!(backend.heads(Log::Inbox).await.unwrap(), expected);
    assert_eq!(backend.heads(Log::Events).await.unwrap(), vec![0; usize::from(backend.shards())]);
    for shard in 0..shards {
        let rows = backend.read_inbox(shard, 2, 3).await.unwrap();
        let places: Vec<_> = rows.iter().map(|row| row.position).collect();
        assert_eq!(places, [3, 4, 5].map(|seq| Position { shard, seq }), "after a number, up to a limit");
    }
}

/// Nothing is lost or changed on the way.
pub async fn rows_come_back_as_they_went_in(backend: &Shared) {
    let shard = backend.shards() - 1;
    let sent = InboxInsert { body: (0..=255).collect(), name: "Ünïcode ☃".to_owned(), ..source_event(10, shard) };
    backend.accept(vec![sent.clone(), source_event(11, shard)]).await.unwrap();
    let read = backend.read_inbox(shard, 0, 1).await.unwrap().remove(0);
    assert_eq!(read.position, Position { shard, seq: 1 });
    assert_eq!((read.org, read.id, read.source, read.order_key), (sent.org, sent.id, sent.source, sent.order_key));
    assert_eq!((read.received_at, read.occurred_at), (sent.received_at, sent.occurred_at));
    assert_eq!((&read.name, &read.data_key, &read.body), (&sent.name, &Some(sent.data_key), &sent.body));
    assert_eq!(read.result, None, "no flow reader has come by");
    assert_eq!(backend.source_event(org(), sent.id).await.unwrap(), Some(read));
    assert_eq!(backend.source_event(org(), id(11)).await.unwrap().unwrap().occurred_at, None);
    assert_eq!(backend.source_event(other_org(), sent.id).await.unwrap(), None, "another organization sees nothing");
    assert_eq!(backend.source_event(org(), id(99)).await.unwrap(), None);
}

/// What cannot be read is kept, in its place, with the reason.
pub async fn unreadable_events_are_parked_at_once(backend: &Shared) {
    let fault = r#"{"fault":"the body is no JSON: line 1 column 2"}"#.to_owned();
    let bad = InboxInsert { fault: Some(fault.clone()), ..source_event(10, 0) };
    backend.accept(vec![bad.clone(), source_event(11, 0)]).await.unwrap();
    let rows = backend.read_inbox(0, 0, 10).await.unwrap();
    let result = rows[0].result.clone().expect("parked");
    assert_eq!((result.status, result.runs, result.due_at), (InboxStatus::Parked.number(), 0, None));
    assert_eq!((result.at, result.trace), (bad.received_at, fault));
    assert_eq!(rows[1].result, None);
    assert!(backend.waiting_keys(0).await.unwrap().is_empty(), "parked events hold nobody back");
}

/// Outcomes replace earlier ones and move with the watermark; without the lease nothing is written.
pub async fn outcomes_and_watermark_are_written_under_the_lease(backend: &Shared) {
    backend.accept((10..13).map(|n| source_event(n, 0)).collect()).await.unwrap();
    let lost = lease(backend, 0, "a").await;
    let held = lease(backend, 0, "b").await;
    let mut write = settlement(lost);
    write.results = vec![(org(), id(10), outcome(InboxStatus::Done, None))];
    write.watermark = Some(1);
    let refused = backend.settle_inbox(write.clone()).await;
    assert!(matches!(refused, Err(StoreError::LeaseLost { shard: 0 })), "{refused:?}");
    assert_eq!(backend.watermarks(Reader::Flows).await.unwrap()[0], 0);
    assert_eq!(backend.source_event(org(), id(10)).await.unwrap().unwrap().result, None, "nothing was written");

    write.lease = held;
    write.results.push((org(), id(11), outcome(InboxStatus::Waiting, Some(at(60)))));
    write.watermark = Some(2);
    backend.settle_inbox(write).await.unwrap();
    assert_eq!(backend.watermarks(Reader::Flows).await.unwrap()[0], 2);
    assert_eq!(backend.watermarks(Reader::Webhooks).await.unwrap()[0], 0, "each reader has its own");

    let mut again = settlement(held);
    let replaced = crate::InboxResult { runs: 2, trace: "{}".to_owned(), ..outcome(InboxStatus::Parked, None) };
    again.results = vec![(org(), id(11), replaced.clone())];
    backend.settle_inbox(again).await.unwrap();
    assert_eq!(backend.watermarks(Reader::Flows).await.unwrap()[0], 2, "no watermark leaves it");
    let results: Vec<_> = backend.read_inbox(0, 0, 9).await.unwrap().into_iter().map(|row| row.result).collect();
    assert_eq!(results, [Some(outcome(InboxStatus::Done, None)), Some(replaced), None]);
}

/// A waiting event comes back when it is due, and its key is named until it is settled, with the first that waits.
pub async fn waiting_events_hold_their_key(backend: &Shared) {
    backend.accept((10..16).map(|n| source_event(n, 0)).collect()).await.unwrap();
    let lease = lease(backend, 0, "a").await;
    let mut write = settlement(lease);
    write.results = vec![
        (org(), id(10), outcome(InboxStatus::Waiting, Some(at(100)))),
        (org(), id(11), outcome(InboxStatus::Waiting, Some(at(50)))),
        (org(), id(12), outcome(InboxStatus::Parked, None)),
        (org(), id(13), outcome(InboxStatus::Waiting, Some(at(200)))),
    ];
    backend.settle_inbox(write).await.unwrap();
    let key = |key, first, due_at, all_due_at| {
        let (due_at, all_due_at) = (at(due_at), at(all_due_at));
        WaitingKey { org: org(), order_key: hash(key), first, due_at, all_due_at }
    };
    let waiting: BTreeSet<_> = backend.waiting_keys(0).await.unwrap().into_iter().collect();
    assert_eq!(waiting, BTreeSet::from([key(1, 1, 100, 200), key(2, 2, 50, 50)]), "each key once");
    assert!(backend.due_inbox(0, at(49), 9).await.unwrap().is_empty());
    let due: Vec<_> = backend.due_inbox(0, at(100), 9).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(due, [id(11), id(10)], "what is due by now, earliest first");
    assert_eq!(backend.due_inbox(0, at(500), 2).await.unwrap().len(), 2, "the limit holds");
    let mut write = settlement(lease);
    write.results = vec![(org(), id(11), outcome(InboxStatus::Done, None))];
    backend.settle_inbox(write).await.unwrap();
    let due: Vec<_> = backend.due_inbox(0, at(100), 9).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(due, [id(10)]);
    assert_eq!(backend.waiting_keys(0).await.unwrap(), [key(1, 1, 100, 200)]);
    let mut write = settlement(lease);
    write.results = vec![(org(), id(10), outcome(InboxStatus::Waiting, Some(at(300))))];
    backend.settle_inbox(write).await.unwrap();
    assert_eq!(backend.waiting_keys(0).await.unwrap(), [key(1, 1, 300, 300)], "the first may be due last");
}

/// Who takes a shard makes what waits there due, and nothing else; none later than one behind it of its key, so that nobody who asks
/// for few gets that one first.
pub async fn waiting_events_are_hastened(backend: &Shared) {
    backend.accept((10..18).map(|n| source_event(n, 0)).collect()).await.unwrap();
    let lease = lease(backend, 0, "a").await;
    let mut write = settlement(lease);
    write.results = vec![
        (org(), id(10), outcome(InboxStatus::Waiting, Some(at(100)))),
        (org(), id(11), outcome(InboxStatus::Waiting, Some(at(20)))),
        (org(), id(12), outcome(InboxStatus::Delayed, Some(at(100)))),
        (org(), id(13), outcome(InboxStatus::Waiting, Some(at(90)))),
        (org(), id(14), outcome(InboxStatus::Parked, None)),
        // Behind the first and the fourth, of the same key.
        (org(), id(16), outcome(InboxStatus::Waiting, Some(at(30)))),
        (org(), id(17), outcome(InboxStatus::Waiting, Some(at(80)))),
    ];
    backend.settle_inbox(write).await.unwrap();
    backend.hasten_inbox(lease, at(50)).await.unwrap();
    let due: Vec<_> = backend.due_inbox(0, at(50), 9).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(due, [11, 10, 13, 16, 17].map(id), "those that became due together in the order of arrival");
    let results: Vec<_> = backend.read_inbox(0, 0, 9).await.unwrap().into_iter().filter_map(|row| row.result).collect();
    let times: Vec<_> = results.iter().map(|result| result.due_at).collect();
    let expected = [Some(30), Some(20), Some(100), Some(30), None, Some(30), Some(50)];
    assert_eq!(times, expected.map(|seconds| seconds.map(at)));
}

/// What waits and is due at the same time comes back in the order of arrival, however few are asked for.
pub async fn waiting_events_that_are_due_together_come_back_in_their_order(backend: &Shared) {
    let arrived: Vec<u64> = (10..30).rev().collect();
    backend.accept(arrived.iter().map(|n| source_event(*n, 0)).collect()).await.unwrap();
    let lease = lease(backend, 0, "a").await;
    let mut write = settlement(lease);
    write.results = arrived.iter().map(|n| (org(), id(*n), outcome(InboxStatus::Waiting, Some(at(100))))).collect();
    backend.settle_inbox(write).await.unwrap();
    // One of them is written anew, as it was.
    let mut write = settlement(lease);
    write.results = vec![(org(), id(29), outcome(InboxStatus::Waiting, Some(at(100))))];
    backend.settle_inbox(write).await.unwrap();
    let due: Vec<_> = backend.due_inbox(0, at(100), 7).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(due, [29, 28, 27, 26, 25, 24, 23].map(id));
}

/// A delayed event comes back when it is due, after those that wait, holds no key, and is listed and kept like one that waits.
pub async fn delayed_events_come_back_and_hold_nobody(backend: &Shared) {
    backend.accept((10..15).map(|n| source_event(n, 0)).collect()).await.unwrap();
    let lease = lease(backend, 0, "a").await;
    let mut write = settlement(lease);
    write.results = vec![
        (org(), id(10), outcome(InboxStatus::Delayed, Some(at(40)))),
        (org(), id(11), outcome(InboxStatus::Waiting, Some(at(50)))),
        (org(), id(12), outcome(InboxStatus::Delayed, Some(at(30)))),
        (org(), id(13), outcome(InboxStatus::Delayed, Some(at(200)))),
    ];
    backend.settle_inbox(write).await.unwrap();
    let waiting = backend.waiting_keys(0).await.unwrap();
    let held: Vec<_> = waiting.iter().map(|key| (key.org, key.order_key)).collect();
    assert_eq!(held, [(org(), source_event(11, 0).order_key)]);
    let due = async |now, limit| -> Vec<_> {
        backend.due_inbox(0, at(now), limit).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    assert!(due(29, 9).await.is_empty());
    assert_eq!(due(30, 9).await, [id(12)]);
    assert_eq!(due(60, 9).await, [id(11), id(12), id(10)]);
    assert_eq!(due(60, 2).await, [id(11), id(12)]);
    let soonest = backend.pulse().await.unwrap()[0].inbox_due;
    assert_eq!(soonest, Some(at(30)));
    let filter = InboxFilter { status: Some(InboxStatus::Delayed.number()), ..InboxFilter::default() };
    let listed: Vec<_> = backend.source_events(org(), &filter, 9).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(listed, [13, 12, 10].map(id));
    let mut write = settlement(lease);
    write.results = vec![(org(), id(12), outcome(InboxStatus::Done, None))];
    backend.settle_inbox(write).await.unwrap();
    assert_eq!(due(60, 9).await, [id(11), id(10)]);
}

/// Turns of a flow lie apart, whoever takes them, and none is given twice; one that is over is not made up for.
pub async fn turns_lie_apart_and_are_given_once(backend: &Shared) {
    let turns = |flow: u64, now, count| Turns { org: org(), flow: id(flow), now: at(now), count, apart: Duration::from_secs(1) };
    assert_eq!(backend.take_turns(turns(70, 100, 3)).await.unwrap(), at(100));
    assert_eq!(backend.take_turns(turns(70, 100, 1)).await.unwrap(), at(103));
    assert_eq!(backend.take_turns(turns(71, 100, 1)).await.unwrap(), at(100), "another flow has turns of its own");
    let foreign = Turns { org: other_org(), ..turns(70, 100, 1) };
    assert_eq!(backend.take_turns(foreign).await.unwrap(), at(100));
    let mut takers = JoinSet::new();
    for _ in 0..20 {
        let (backend, wanted) = (Arc::clone(backend), turns(70, 100, 2));
        takers.spawn(async move { backend.take_turns(wanted).await.unwrap() });
    }
    let mut taken = takers.join_all().await;
    taken.sort_unstable();
    assert_eq!(taken, (0..20).map(|n| at(104 + 2 * n)).collect::<Vec<_>>());
    assert_eq!(backend.take_turns(turns(70, 500, 1)).await.unwrap(), at(500), "what nobody took is not saved up");
}

/// Lists are newest first and narrow by source and status.
pub async fn source_events_are_listed_newest_first(backend: &Shared) {
    let mut rows: Vec<_> = (10..16).map(|n| source_event(n, (n % u64::from(backend.shards())) as u16)).collect();
    rows[2].source = id(71);
    rows[4].fault = Some("{}".to_owned());
    rows.push(InboxInsert { org: other_org(), ..source_event(20, 0) });
    backend.accept(rows).await.unwrap();
    let list = async |filter: InboxFilter, limit| -> Vec<_> {
        backend.source_events(org(), &filter, limit).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    assert_eq!(list(InboxFilter::default(), 9).await, [15, 14, 13, 12, 11, 10].map(id));
    assert_eq!(list(InboxFilter::default(), 2).await, [15, 14].map(id));
    assert_eq!(list(InboxFilter { before: Some(id(14)), ..InboxFilter::default() }, 2).await, [13, 12].map(id));
    assert_eq!(list(InboxFilter { source: Some(id(71)), ..InboxFilter::default() }, 9).await, [id(12)]);
    let parked = Some(InboxStatus::Parked.number());
    assert_eq!(list(InboxFilter { status: parked, ..InboxFilter::default() }, 9).await, [id(14)]);
    let both = InboxFilter { status: parked, source: Some(id(71)), ..InboxFilter::default() };
    assert!(list(both, 9).await.is_empty());
}

/// What flows have passed without a word counts as ignored.
pub async fn events_without_a_result_are_ignored_once_they_are_passed(backend: &Shared) {
    backend.accept((10..15).map(|n| source_event(n, 0)).collect()).await.unwrap();
    let lease = lease(backend, 0, "a").await;
    let mut write = settlement(lease);
    write.results = vec![(org(), id(11), outcome(InboxStatus::Done, None)), (org(), id(12), outcome(InboxStatus::Ignored, None))];
    write.watermark = Some(3);
    backend.settle_inbox(write).await.unwrap();
    let list = async |status: InboxStatus| -> Vec<_> {
        let filter = InboxFilter { status: Some(status.number()), ..InboxFilter::default() };
        backend.source_events(org(), &filter, 9).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    assert_eq!(list(InboxStatus::Ignored).await, [12, 10].map(id));
    assert_eq!(list(InboxStatus::Done).await, [id(11)]);
}

/// One look tells the heads of both logs and when the first of everything that waits is due.
pub async fn a_pulse_tells_what_there_is_to_do(backend: &Shared) {
    let shard = backend.shards() - 1;
    let place = usize::from(shard);
    let mut expected = vec![Pulse::default(); usize::from(backend.shards())];
    assert_eq!(backend.pulse().await.unwrap(), expected);
    backend.accept((10..13).map(|n| source_event(n, shard)).collect()).await.unwrap();
    let row = PassRow { shard, due_at: Some(at(70)), ..pass(20) };
    let later = PassRow { due_at: Some(at(90)), ..PassRow { shard, ..pass(21) } };
    let events = vec![event(30, &row), event(31, &later)];
    let place_of = done(backend, CommitRows { passes: vec![insert(row.clone()), insert(later)], events, ..commit() }).await[1];
    let lease = lease(backend, shard, "a").await;
    let mut write = settlement(lease);
    write.results = vec![
        (org(), id(10), outcome(InboxStatus::Waiting, Some(at(60)))),
        (org(), id(11), outcome(InboxStatus::Waiting, Some(at(50)))),
    ];
    backend.settle_inbox(write).await.unwrap();
    backend.owe(vec![delivery(40, place_of, at(80))]).await.unwrap();
    expected[place] = Pulse {
        inbox: 3,
        events: 2,
        inbox_due: Some(at(50)),
        delivery_due: Some(at(80)),
        pass_due: Some(at(70)),
        push_due: None,
    };
    assert_eq!(backend.pulse().await.unwrap(), expected);
    assert_eq!(backend.claim_deliveries(lease, at(80), at(140), 9).await.unwrap().len(), 1);
    expected[place].delivery_due = Some(at(140));
    assert_eq!(backend.pulse().await.unwrap(), expected, "a claimed delivery is due when its claim ends");
}

/// A source event's key goes with the contact that it turned out to be about, even when that is found out afterwards.
pub async fn erasing_a_contact_destroys_the_keys_of_its_source_events(backend: &Shared) {
    backend.accept((10..14).map(|n| source_event(n, 0)).collect()).await.unwrap();
    let people = vec![(org(), uuid(30), key_bytes(30)), (org(), uuid(31), key_bytes(31))];
    done(backend, CommitRows { data_keys: people, ..commit() }).await;
    let lease = lease(backend, 0, "a").await;
    let mut write = settlement(lease);
    write.owners = vec![(org(), id(10), id(30)), (org(), id(11), id(31))];
    backend.settle_inbox(write).await.unwrap();
    done(backend, CommitRows { destroyed_keys: vec![(org(), uuid(30))], ..commit() }).await;
    let keys =
        async || -> Vec<_> { backend.read_inbox(0, 0, 9).await.unwrap().into_iter().map(|row| row.data_key.is_some()).collect() };
    assert_eq!(keys().await, [false, true, true, true]);
    let mut late = settlement(lease);
    late.owners = vec![(org(), id(12), id(30)), (org(), id(13), id(31))];
    backend.settle_inbox(late).await.unwrap();
    assert_eq!(keys().await, [false, true, false, true], "the contact was erased while the event was on its way");
}
