//! Calls of one kind that come at the same time are done by one statement.
//!
//! One commit wakes the readers of many shards; they ask, and then write down, at the same time. What comes while a
//! statement runs goes together with the next. Statements of a kind can keep a distance from each other besides, in which more of
//! them meet: without it a quick database runs one for every caller. It is kept behind a crowd alone, or always where nobody waits
//! for the outcome. So who comes after a while waits for nobody, a crowd costs as little as one, and what a call waits for beside
//! statements is not longer than that distance. As many as fill a statement do not wait for it.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use parking_lot::Mutex;
use store::{Result, StoreError};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::error::Attempt;

/// Most calls of one statement.
const MOST: usize = 64;

/// Does the calls of one statement: an answer for each, in their order.
pub(crate) type Run<Q, A> = fn(Pool, Arc<[Q]>) -> Pin<Box<dyn Future<Output = Attempt<Vec<A>>> + Send>>;

/// How far statements of a kind are apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// From the begin of a statement to that of the next, unless that one is full.
    pub(crate) distance: Duration,
    /// After a statement of fewer calls than these the next one goes at once.
    pub(crate) crowd: usize,
}

/// Where calls of one kind meet.
pub(crate) struct Gather<Q, A> {
    run: Run<Q, A>,
    pace: Pace,
    meeting: Mutex<Meeting<Q, A>>,
    /// Told when as many wait as fill a statement.
    full: Notify,
}

struct Meeting<Q, A> {
    waiting: Vec<(Q, oneshot::Sender<Result<A>>)>,
    running: bool,
}

/// Lets another task go on however this one ends.
struct Running<Q, A> {
    gather: Arc<Gather<Q, A>>,
    over: bool,
}

impl<Q, A> Drop for Running<Q, A> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // It panicked, or the process ends. Whoever waits is told by the closed channel.
        let mut meeting = self.gather.meeting.lock();
        meeting.running = false;
        meeting.waiting.clear();
    }
}

impl<Q: Clone + Send + Sync + 'static, A: Send + 'static> Gather<Q, A> {
    pub(crate) fn new(pace: Pace, run: Run<Q, A>) -> Arc<Self> {
        Arc::new(Self { run, pace, meeting: Mutex::new(Meeting { waiting: Vec::new(), running: false }), full: Notify::new() })
    }

    /// Does one call, together with others that come meanwhile. It is done even when whoever asked goes away.
    pub(crate) async fn call(self: &Arc<Self>, pool: &Pool, question: Q) -> Result<A> {
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut meeting = self.meeting.lock();
            meeting.waiting.push((question, reply));
            if meeting.waiting.len() == MOST {
                self.full.notify_one();
            }
            !std::mem::replace(&mut meeting.running, true)
        };
        if is_first {
            tokio::spawn(serve(Running { gather: Arc::clone(self), over: false }, pool.clone()));
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a statement for several callers broke off".into())))
    }

    /// Whether no more may go into the next statement.
    fn is_full(&self) -> bool {
        self.meeting.lock().waiting.len() >= MOST
    }

    /// What goes into the next statement; nothing ends the task, in the same moment in which nobody is seen waiting.
    fn next(&self) -> Vec<(Q, oneshot::Sender<Result<A>>)> {
        let mut meeting = self.meeting.lock();
        let count = meeting.waiting.len().min(MOST);
        meeting.running = count > 0;
        meeting.waiting.drain(..count).collect()
    }
}

async fn serve<Q: Clone + Send + Sync + 'static, A: Send + 'static>(mut running: Running<Q, A>, pool: Pool) {
    let gather = Arc::clone(&running.gather);
    loop {
        let (questions, replies): (Vec<Q>, Vec<_>) = gather.next().into_iter().unzip();
        if questions.is_empty() {
            // Another task may have begun already: it owns the meeting now.
            running.over = true;
            return;
        }
        let (questions, began): (Arc<[Q]>, _) = (questions.into(), Instant::now());
        let is_crowd = questions.len() >= gather.pace.crowd;
        match (gather.run)(pool.clone(), Arc::clone(&questions)).await {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // Whoever asked may have gone.
                    let _ = reply.send(Ok(answer));
                }
            }
            Err(failed) if questions.len() == 1 => {
                let mut replies = replies;
                let _ = replies.pop().map(|reply| reply.send(Err(failed.into())));
            }
            // No call fails because of its neighbour.
            Err(_) => {
                for (question, reply) in questions.iter().zip(replies) {
                    let answer = (gather.run)(pool.clone(), Arc::new([question.clone()])).await;
                    let lost = || StoreError::Internal("a statement gave no answer".into());
                    let _ = reply.send(answer.map_err(StoreError::from).and_then(|mut answers| answers.pop().ok_or_else(lost)));
                }
            }
        }
        if is_crowd && began.elapsed() < gather.pace.distance && !gather.is_full() {
            // A word that was left from an earlier time lets a statement go early, once.
            tokio::select! {
                () = gather.full.notified() => {}
                () = tokio::time::sleep_until(began + gather.pace.distance) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::task::JoinSet;

    use super::*;
    use crate::{Options, pool};

    const AN_HOUR: Pace = Pace { distance: Duration::from_secs(3_600), crowd: 1 };

    fn none() -> Pool {
        pool::make("postgres://nobody@localhost/none", &Options::default()).unwrap()
    }

    #[tokio::test]
    async fn who_comes_alone_waits_for_nobody_nor_do_as_many_as_fill_statements() {
        let alone = Gather::new(AN_HOUR, |_, asked: Arc<[usize]>| Box::pin(async move { Ok(asked.to_vec()) }));
        assert_eq!(alone.call(&none(), 7).await.unwrap(), 7);
        let crowd = Gather::new(AN_HOUR, |_, asked: Arc<[usize]>| Box::pin(async move { Ok(asked.to_vec()) }));
        let mut calls = JoinSet::new();
        for number in 0..MOST * 4 {
            let (crowd, pool) = (Arc::clone(&crowd), none());
            calls.spawn(async move { (crowd.call(&pool, number).await.unwrap(), number) });
        }
        assert!(calls.join_all().await.into_iter().all(|(answer, number)| answer == number), "each has its own answer");
    }

    #[tokio::test]
    async fn those_who_are_no_crowd_wait_for_nobody() {
        let few = Gather::new(Pace { crowd: 2, ..AN_HOUR }, |_, asked: Arc<[usize]>| Box::pin(async move { Ok(asked.to_vec()) }));
        for number in 0..3 {
            assert_eq!(few.call(&none(), number).await.unwrap(), number);
        }
    }

    #[tokio::test]
    async fn those_who_come_one_after_another_meet() {
        const DISTANCE: Duration = Duration::from_millis(10);
        const APART: Pace = Pace { distance: DISTANCE, crowd: 1 };
        static STATEMENTS: AtomicU32 = AtomicU32::new(0);
        let gather = Gather::new(APART, |_, asked: Arc<[u64]>| {
            STATEMENTS.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { Ok(asked.to_vec()) })
        });
        let (since, mut calls) = (Instant::now(), JoinSet::new());
        for number in 0..100 {
            let (gather, pool) = (Arc::clone(&gather), none());
            calls.spawn(async move { (gather.call(&pool, number).await.unwrap(), number) });
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(calls.join_all().await.into_iter().all(|(answer, number)| answer == number), "each has its own answer");
        let most = since.elapsed().as_millis() / DISTANCE.as_millis() + 1;
        let statements = STATEMENTS.load(Ordering::Relaxed);
        assert!(u128::from(statements) <= most, "{statements} statements in the time of {most}");
    }
}
