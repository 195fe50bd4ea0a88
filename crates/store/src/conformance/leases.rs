//! Leases: who may work on a shard.

use super::fixtures::{START, Shared, at, lease, settlement};
use crate::{DeliverySettlement, Lease, PushSettlement, Reader, StoreError};

/// A seizure names what it saw; of two that saw the same, one wins.
pub async fn only_one_seizes(backend: &Shared) {
    let rows = backend.leases().await.unwrap();
    let shards: Vec<_> = rows.iter().map(|row| row.lease.shard).collect();
    assert_eq!(shards, (0..backend.shards()).collect::<Vec<_>>(), "one per shard, in order");
    assert!(rows.iter().all(|row| row.owner.is_empty()), "nobody holds a new one");

    let seen = rows[0].lease;
    let mut tasks = tokio::task::JoinSet::new();
    for node in 0..8 {
        let backend = backend.clone();
        tasks.spawn(async move { backend.seize(seen, &format!("node-{node}")).await.unwrap().map(|lease| (node, lease)) });
    }
    let won: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let [(node, lease)] = won[..] else { panic!("one winner, not {won:?}") };
    assert_eq!(lease, Lease { shard: 0, epoch: lease.epoch });
    assert!(lease.epoch > seen.epoch);
    let row = backend.leases().await.unwrap().remove(0);
    assert_eq!((row.lease, row.owner), (lease, format!("node-{node}")));
    assert_eq!(backend.seize(seen, "late").await.unwrap(), None);
    let next = backend.seize(lease, "next").await.unwrap().expect("who saw the present epoch may take it");
    assert!(next.epoch > lease.epoch);
}

/// Beats rise for what one still holds; giving back leaves nothing.
pub async fn beats_and_releases(backend: &Shared) {
    let held = lease(backend, 0, "a").await;
    let before = backend.leases().await.unwrap().remove(0).beat;
    assert_eq!(backend.beat("a").await.unwrap(), [held]);
    let after = backend.leases().await.unwrap().remove(0);
    assert!(after.beat > before);
    assert_eq!(after.lease, held, "a beat is no change of hands");
    assert!(backend.beat("b").await.unwrap().is_empty());

    let taken = lease(backend, 0, "b").await;
    assert!(backend.beat("a").await.unwrap().is_empty(), "lost");
    backend.release("a").await.unwrap();
    assert_eq!(backend.beat("b").await.unwrap(), [taken], "a release gives back only one's own");
    backend.release("b").await.unwrap();
    let row = backend.leases().await.unwrap().remove(0);
    assert_eq!(row.owner, "");
    assert!(backend.beat("b").await.unwrap().is_empty());
    let held = backend.seize(row.lease, "c").await.unwrap().expect("free");
    backend.give_back(lease(backend, 0, "d").await).await.unwrap();
    let free = backend.leases().await.unwrap().remove(0);
    assert_eq!(free.owner, "", "one lease is given back");
    assert!(free.lease.epoch > held.epoch, "and what its holder still writes is refused");
    let taken = lease(backend, 0, "e").await;
    backend.give_back(free.lease).await.unwrap();
    assert_eq!(backend.beat("e").await.unwrap(), [taken], "a lease that changed hands is not given back");
}

/// A name is had by one incarnation at a time, which shows that it is alive when asked.
pub async fn a_name_is_one_incarnations(backend: &Shared) {
    assert!(backend.nodes().await.unwrap().is_empty());
    assert!(!backend.join("a", 1, Some(7)).await.unwrap(), "there is nobody to come after");
    assert!(backend.join("a", 1, None).await.unwrap());
    assert!(backend.join("a", 1, None).await.unwrap(), "the same call again has the same answer");
    assert!(!backend.join("a", 2, None).await.unwrap(), "taken");
    assert!(backend.join("b", 3, None).await.unwrap());
    let before = backend.nodes().await.unwrap();
    assert_eq!(before.iter().map(|row| (&*row.name, row.incarnation)).collect::<Vec<_>>(), [("a", 1), ("b", 3)]);
    backend.challenge("a", 9).await.unwrap();
    assert_eq!(backend.nodes().await.unwrap(), before, "another incarnation is asked nothing");
    backend.challenge("a", 1).await.unwrap();
    assert!(backend.nodes().await.unwrap()[0].challenge > before[0].challenge);
    assert!(backend.show("a", 1).await.unwrap() && !backend.show("a", 2).await.unwrap());
    let after = backend.nodes().await.unwrap();
    assert!(after[0].beat > before[0].beat);
    assert_eq!(after[1], before[1], "each node for itself");

    let mut tasks = tokio::task::JoinSet::new();
    for incarnation in 10..18 {
        let backend = backend.clone();
        tasks.spawn(async move { backend.join("a", incarnation, Some(1)).await.unwrap().then_some(incarnation) });
    }
    let won: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let [winner] = won[..] else { panic!("one comes after the first, not {won:?}") };
    assert!(!backend.show("a", 1).await.unwrap(), "its former self is told");
    backend.leave("a", 1).await.unwrap();
    assert_eq!(backend.nodes().await.unwrap()[0].incarnation, winner, "one leaves for oneself alone");
    backend.leave("a", winner).await.unwrap();
    assert_eq!(backend.nodes().await.unwrap().len(), 1);
}

/// Every write of a worker is fenced.
pub async fn writes_of_a_lost_lease_are_refused(backend: &Shared) {
    let lost = lease(backend, 0, "a").await;
    backend.advance(Reader::Webhooks, lost, 3).await.unwrap();
    let held = lease(backend, 0, "b").await;
    let is_lost = |result: crate::Result<()>| assert!(matches!(result, Err(StoreError::LeaseLost { shard: 0 })), "{result:?}");
    is_lost(backend.advance(Reader::Webhooks, lost, 9).await);
    is_lost(backend.settle_inbox(settlement(lost)).await);
    is_lost(backend.hasten_inbox(lost, START).await);
    is_lost(backend.claim_deliveries(lost, START, at(30), 9).await.map(|_| ()));
    is_lost(backend.unclaim_deliveries(lost, START).await);
    let nothing = DeliverySettlement { lease: lost, attempts: vec![], finished: vec![], owed: vec![], watermark: Some(9) };
    is_lost(backend.settle_deliveries(nothing).await);
    is_lost(backend.settle_pushes(PushSettlement { lease: lost, pushes: vec![], watermark: Some(9) }).await);
    assert_eq!(backend.watermarks(Reader::Webhooks).await.unwrap()[0], 3);
    assert_eq!(backend.watermarks(Reader::WalletSync).await.unwrap()[0], 0);
    backend.advance(Reader::Webhooks, held, 4).await.unwrap();
    backend.advance(Reader::Integrity, held, 1).await.unwrap();
    assert_eq!(backend.watermarks(Reader::Webhooks).await.unwrap()[0], 4);
    assert_eq!(backend.watermarks(Reader::Webhooks).await.unwrap().len(), usize::from(backend.shards()));
}
