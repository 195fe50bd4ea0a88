//! Deliveries to services with an account: those of one target are gathered for a moment and sent together, one batch after
//! another. Those that come while the service wants no request yet go with the next.
//!
//! A delivery waits here instead of for a place of its lane; whoever takes it back before it is sent says so by the same flag.
//! One task per target sends as long as something waits, and ends.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use connectors::kit::Pace;
use domain::Timestamp;
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};

use super::{
    CLAIM,
    lane::{Lane, Ticket},
    send::{Attempted, Delivery, Then},
    service,
};
use crate::shard::House;

/// What waits to be sent to one target.
#[derive(Default)]
pub(super) struct Gathered(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether a task is sending.
    is_served: bool,
}

/// A delivery that waits.
struct Waiting {
    delivery: Delivery,
    ticket: Ticket,
    decided: Arc<AtomicBool>,
    answer: oneshot::Sender<Attempted>,
    since: Instant,
}

/// One delivery, from the moment that it waits to its outcome.
pub(super) async fn fly(
    house: Arc<House>,
    delivery: Delivery,
    lane: Arc<Lane>,
    ticket: Ticket,
    decided: Arc<AtomicBool>,
) -> Attempted {
    let pace = delivery.to.dialect().map_or(Pace::SINGLE, |destination| destination.pace);
    if pace.events <= 1 {
        let place = lane.place(&house.dispatcher, ticket).await;
        if decided.swap(true, Ordering::AcqRel) {
            // It was taken back; this task is about to be aborted.
            std::future::pending::<()>().await;
        }
        if let Some(due) = delivery.waits(&house, &lane, ticket).await {
            return later(&delivery, due);
        }
        let attempted = service::send(&house, &lane, std::slice::from_ref(&delivery)).await.pop();
        drop(place);
        return attempted.unwrap_or_else(|| again(&house, &delivery));
    }
    if let Some(due) = delivery.waits_for(&house, &lane).await {
        lane.tries_nothing(ticket);
        return later(&delivery, due);
    }
    let (answer, answered) = oneshot::channel();
    let waiting = Waiting { delivery: delivery.clone(), ticket, decided, answer, since: Instant::now() };
    if lane.gathered.push(waiting) {
        tokio::spawn(serve(Arc::clone(&house), Arc::clone(&lane), pace));
    }
    answered.await.unwrap_or_else(|_| {
        tracing::error!(delivery = %delivery.id, "a batch broke off; its deliveries are tried again");
        again(&house, &delivery)
    })
}

/// It was not tried.
fn later(delivery: &Delivery, due: Timestamp) -> Attempted {
    Attempted { row: None, then: Then::Again(delivery.row(delivery.attempts, due)) }
}

fn again(house: &House, delivery: &Delivery) -> Attempted {
    let row = delivery.row(delivery.attempts.saturating_add(1), house.now().plus(CLAIM));
    Attempted { row: None, then: Then::Again(row) }
}

impl Gathered {
    /// Lets a delivery wait; true when somebody has to begin to send.
    fn push(&self, waiting: Waiting) -> bool {
        let mut queue = self.0.lock();
        queue.waiting.push_back(waiting);
        !std::mem::replace(&mut queue.is_served, true)
    }

    /// When the next batch is to be sent; nothing when nothing waits, and then somebody else has to begin again.
    fn due(&self, pace: Pace) -> Option<Instant> {
        let mut queue = self.0.lock();
        let Some(first) = queue.waiting.front() else {
            queue.is_served = false;
            return None;
        };
        Some(if queue.waiting.len() >= pace.events { first.since } else { first.since + pace.linger })
    }

    /// Takes the next batch, without those that were taken back.
    fn take(&self, pace: Pace) -> Vec<Waiting> {
        let mut queue = self.0.lock();
        let is_ours = |waiting: &Waiting| !waiting.decided.swap(true, Ordering::AcqRel);
        let mut batch = next(&mut queue.waiting, pace.events, |waiting| waiting.delivery.attempts, is_ours);
        drop(queue);
        // Their tasks come in any order.
        batch.sort_by_key(|waiting| (waiting.delivery.event.recorded_at, waiting.delivery.event.position));
        batch
    }
}

/// Takes at most so many that were tried as often as the first, wherever they wait, and forgets those on the way that are not ours
/// any more. What was sent together and failed is sent together again: whatever names a batch by what is in it finds it, and
/// nothing new fails for what failed before. Those that wait for a service that was away were tried as often as it happened to
/// each, so they go in as many batches as there are such numbers, however they stand among each other.
fn next<T>(waiting: &mut VecDeque<T>, most: usize, tried: impl Fn(&T) -> i32, is_ours: impl Fn(&T) -> bool) -> Vec<T> {
    let (mut batch, mut passed) = (Vec::new(), Vec::new());
    while batch.len() < most {
        let Some(one) = waiting.pop_front() else { break };
        if batch.first().is_some_and(|first| tried(first) != tried(&one)) {
            passed.push(one);
        } else if is_ours(&one) {
            batch.push(one);
        }
    }
    passed.into_iter().rev().for_each(|one| waiting.push_front(one));
    batch
}

/// Sends what waits until nothing does.
async fn serve(house: Arc<House>, lane: Arc<Lane>, pace: Pace) {
    let _end = Unserved(Arc::clone(&lane));
    while let Some(due) = lane.gathered.due(pace) {
        tokio::time::sleep_until(due).await;
        let place = lane.next(&house.dispatcher).await;
        let batch = lane.gathered.take(pace);
        if !batch.is_empty() {
            let deliveries: Vec<Delivery> = batch.iter().map(|waiting| waiting.delivery.clone()).collect();
            let probes = batch.iter().any(|waiting| waiting.ticket == Ticket::Probe);
            let ticket = if probes { Ticket::Probe } else { Ticket::Usual };
            let attempted = match lane.may_go(house.now(), ticket) {
                Ok(_) => service::send(&house, &lane, &deliveries).await,
                Err(due) => deliveries.iter().map(|delivery| later(delivery, due)).collect(),
            };
            for (waiting, attempted) in batch.into_iter().zip(attempted) {
                // Whoever asked may have lost the shard meanwhile.
                let _ = waiting.answer.send(attempted);
            }
        }
        drop(place);
    }
}

/// Where sending broke off, those that wait are told by their answers' end, and the next begins anew.
struct Unserved(Arc<Lane>);

impl Drop for Unserved {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut queue = self.0.gathered.0.lock();
            queue.is_served = false;
            queue.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_tried_as_often_go_together_wherever_they_wait() {
        let mut waiting: VecDeque<_> = [(1, 3), (2, 0), (3, 3), (4, 1), (5, 0), (6, 3), (7, 3)].into();
        let mut batch = || next(&mut waiting, 3, |(_, tried)| *tried, |(name, _)| *name != 1);
        let batches = [batch(), batch(), batch(), batch()];
        assert_eq!(batches.concat().len(), 6, "the first was taken back, and the others go once");
        assert_eq!(batches, [vec![(2, 0), (5, 0)], vec![(3, 3), (6, 3), (7, 3)], vec![(4, 1)], vec![]]);
    }

    #[test]
    fn a_batch_is_no_longer_than_the_service_takes() {
        let mut waiting: VecDeque<_> = (0..5).collect();
        let mut batch = || next(&mut waiting, 2, |_| 0, |_| true);
        assert_eq!([batch(), batch(), batch()], [vec![0, 1], vec![2, 3], vec![4]]);
    }
}
