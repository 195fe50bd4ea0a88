//! Deliveries to services with an account: those of one target are gathered for a moment and sent together, one request after
//! another, no faster than the service wants.
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
    /// Before this nothing is sent.
    next_at: Option<Instant>,
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

    /// Waits until the target's pace lets another request begin.
    pub(super) async fn turn(&self, pace: Pace) {
        loop {
            let now = Instant::now();
            let next = {
                let mut queue = self.0.lock();
                match queue.next_at.filter(|next| *next > now) {
                    Some(next) => next,
                    None => {
                        queue.next_at = Some(now + pace.pause);
                        return;
                    }
                }
            };
            tokio::time::sleep_until(next).await;
        }
    }

    /// Takes the next batch, without those that were taken back.
    fn take(&self, pace: Pace) -> Vec<Waiting> {
        let mut queue = self.0.lock();
        let mut batch = Vec::new();
        while batch.len() < pace.events {
            // What was sent together and failed is sent together again, so that whatever names a batch by what is in it finds it.
            let tried = batch.first().map(|first: &Waiting| first.delivery.attempts);
            let joins = |waiting: &mut Waiting| tried.is_none_or(|tried| tried == waiting.delivery.attempts);
            let Some(waiting) = queue.waiting.pop_front_if(joins) else { break };
            if !waiting.decided.swap(true, Ordering::AcqRel) {
                batch.push(waiting);
            }
        }
        // Their tasks come in any order.
        batch.sort_by_key(|waiting| (waiting.delivery.event.recorded_at, waiting.delivery.event.position));
        batch
    }
}

/// Sends what waits until nothing does.
async fn serve(house: Arc<House>, lane: Arc<Lane>, pace: Pace) {
    let _end = Unserved(Arc::clone(&lane));
    while let Some(due) = lane.gathered.due(pace) {
        tokio::time::sleep_until(due).await;
        lane.gathered.turn(pace).await;
        let place = lane.place(&house.dispatcher, Ticket::Usual).await;
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
