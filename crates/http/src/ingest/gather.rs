//! Group commit for source events: requests that arrive while one batch is being written down share the next.
//!
//! Nothing runs while nothing arrives. The first request starts a flush of its own; what comes meanwhile waits in the queue
//! and goes with the next flush of the same task, which ends when the queue is empty. A request that is abandoned by its
//! sender is written down all the same: it was taken over by the task.

use std::sync::Arc;

use parking_lot::Mutex;
use store::{Arrival, Store, StoreError};
use tokio::sync::oneshot;

/// Most source events that one transaction takes, unless one request has more.
const MAX_BATCH_EVENTS: usize = 1_000;
/// What an arrival weighs beside its payload, in bytes.
const ARRIVAL_BYTES: usize = 256;

/// Why source events were not taken in. Nothing of the request was written down.
#[derive(Debug, Clone)]
pub(crate) enum NotTaken {
    /// Too much is waiting already.
    Full,
    /// The store did not take it.
    Store(Arc<StoreError>),
}

/// Where source events wait to be written down together.
pub(crate) struct Intake {
    store: Arc<Store>,
    queue: Mutex<Queue>,
    most_bytes: usize,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Call>,
    /// Of what waits and of what is being written.
    bytes: usize,
    flushing: bool,
}

struct Call {
    arrivals: Vec<Arrival>,
    bytes: usize,
    reply: oneshot::Sender<Result<(), NotTaken>>,
}

/// Frees the queue for another flush however this one ends.
struct Flushing {
    intake: Arc<Intake>,
    over: bool,
}

impl Drop for Flushing {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // It panicked. Whoever waits is told by the closed channel.
        let mut queue = self.intake.queue.lock();
        queue.flushing = false;
        queue.waiting.clear();
        queue.bytes = 0;
    }
}

impl Intake {
    /// An empty queue before a store, for so many bytes that wait or are being written. Beyond that senders are asked to
    /// come again.
    pub(crate) fn new(store: Arc<Store>, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self { store, queue: Mutex::default(), most_bytes })
    }

    /// Writes a request's source events down, all or none, together with those of other requests.
    pub(crate) async fn accept(self: &Arc<Self>, arrivals: Vec<Arrival>) -> Result<(), NotTaken> {
        let bytes = arrivals.iter().map(|arrival| arrival.event.payload.len() + ARRIVAL_BYTES).sum();
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.queue.lock();
            if queue.bytes > 0 && queue.bytes + bytes > self.most_bytes {
                return Err(NotTaken::Full);
            }
            queue.bytes += bytes;
            queue.waiting.push(Call { arrivals, bytes, reply });
            if !queue.flushing {
                queue.flushing = true;
                tokio::spawn(flush(Flushing { intake: Arc::clone(self), over: false }));
            }
        }
        let gone = || NotTaken::Store(Arc::new(StoreError::Internal("the intake ended early".to_owned())));
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// What goes into the next transaction; nothing ends the flush, in the same moment in which the queue is seen empty.
    fn next_batch(&self) -> Vec<Call> {
        let mut queue = self.queue.lock();
        let mut events = 0;
        let fits = |call: &Call| {
            events += call.arrivals.len();
            events <= MAX_BATCH_EVENTS
        };
        let count = queue.waiting.iter().map(fits).take_while(|fits| *fits).count().max(1).min(queue.waiting.len());
        if count == 0 {
            queue.flushing = false;
        }
        queue.waiting.drain(..count).collect()
    }

    fn settle(&self, bytes: usize) {
        let mut queue = self.queue.lock();
        queue.bytes = queue.bytes.saturating_sub(bytes);
    }
}

async fn flush(mut flushing: Flushing) {
    loop {
        let calls = flushing.intake.next_batch();
        if calls.is_empty() {
            // Another flush may have begun already: it owns the queue now.
            flushing.over = true;
            return;
        }
        let bytes = calls.iter().map(|call| call.bytes).sum();
        write(&flushing.intake.store, calls).await;
        flushing.intake.settle(bytes);
    }
}

/// Writes a batch; one that fails for a reason of its own is written request by request, so that none fails because of its
/// neighbour.
async fn write(store: &Store, calls: Vec<Call>) {
    let (mut arrivals, mut replies) = (Vec::new(), Vec::with_capacity(calls.len()));
    for call in calls {
        replies.push((call.arrivals.len(), call.reply));
        arrivals.extend(call.arrivals);
    }
    match store.accept_or_return(arrivals).await {
        Ok(_) => {
            for (_, reply) in replies {
                let _ = reply.send(Ok(()));
            }
        }
        Err((error, _)) if replies.len() == 1 || error.is_transient() => {
            let error = Arc::new(error);
            for (_, reply) in replies {
                let _ = reply.send(Err(NotTaken::Store(Arc::clone(&error))));
            }
        }
        Err((_, mut arrivals)) => {
            for (count, reply) in replies {
                let taken = store.accept(arrivals.drain(..count).collect()).await.map(drop);
                let _ = reply.send(taken.map_err(|error| NotTaken::Store(Arc::new(error))));
            }
        }
    }
}
