//! Group commit: concurrent callers share one load and one commit.

use std::sync::Arc;

use domain::{Answer, Clock, Command, Contact, Pass, Reject};
use store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::batch;

/// Most commands of one commit.
pub(crate) const MAX_BATCH: usize = 256;
/// Most calls that wait for a commit; further ones wait at the door.
const MAX_WAITING: usize = 4_096;

/// What became of a command that was carried out, now or earlier.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What it was answered.
    pub answer: Answer,
    /// The pass as it was right after it. For an earlier outcome only if its key asked for that.
    pub pass: Option<Box<Pass>>,
    /// The contact as it was right after it, likewise.
    pub contact: Option<Box<Contact>>,
    /// Whether this is the stored answer of an earlier command with the same idempotency key.
    pub replayed: bool,
}

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The command has to be changed.
    #[error(transparent)]
    Rejected(Reject),
    /// The store cannot take it now; the same command may succeed later.
    #[error(transparent)]
    Unavailable(Arc<StoreError>),
}

pub(crate) type Verdict = Result<Outcome, EngineError>;

struct Call {
    commands: Vec<Command>,
    reply: oneshot::Sender<Vec<Verdict>>,
}

/// A handle to the engine; clones share it.
#[derive(Clone)]
pub struct Engine {
    calls: mpsc::Sender<Call>,
}

/// The engine's own loop. It ends when every handle is gone and all that was called is answered.
pub struct Runner {
    calls: mpsc::Receiver<Call>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
}

impl Engine {
    /// The handle, and the loop for the composition root to run.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> (Self, Runner) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self { calls: sender }, Runner { calls: receiver, store, clock })
    }

    /// Carries a command out; answers after the commit and never before.
    pub async fn submit(&self, command: Command) -> Verdict {
        self.submit_all(vec![command]).await.pop().unwrap_or_else(|| Err(gone()))
    }

    /// Carries commands out in order, in one commit where they fit. One that is rejected does not hold the others.
    pub async fn submit_all(&self, commands: Vec<Command>) -> Vec<Verdict> {
        let count = commands.len();
        if count == 0 {
            return Vec::new();
        }
        let (reply, answer) = oneshot::channel();
        if self.calls.send(Call { commands, reply }).await.is_err() {
            return (0..count).map(|_| Err(gone())).collect();
        }
        answer.await.unwrap_or_else(|_| (0..count).map(|_| Err(gone())).collect())
    }
}

fn gone() -> EngineError {
    EngineError::Unavailable(Arc::new(StoreError::Unavailable("the engine has stopped".to_owned())))
}

impl Runner {
    /// Runs until every handle is gone. Idle, it commits at once; it gathers only while a commit runs.
    pub async fn run(mut self) {
        let mut calls = Vec::new();
        while let Some(first) = self.calls.recv().await {
            let mut room = MAX_BATCH.saturating_sub(first.commands.len());
            calls.push(first);
            while room > 0 {
                let Ok(next) = self.calls.try_recv() else { break };
                room = room.saturating_sub(next.commands.len());
                calls.push(next);
            }
            self.serve(&mut calls).await;
        }
    }

    async fn serve(&self, calls: &mut Vec<Call>) {
        let (mut commands, mut sizes, mut replies) = (Vec::new(), Vec::new(), Vec::new());
        for call in calls.drain(..) {
            sizes.push(call.commands.len());
            commands.extend(call.commands);
            replies.push(call.reply);
        }
        let mut verdicts = Vec::with_capacity(commands.len());
        for chunk in commands.chunks(MAX_BATCH) {
            verdicts.extend(batch::carry_out(&self.store, &*self.clock, chunk).await);
        }
        let mut verdicts = verdicts.into_iter();
        for (size, reply) in sizes.into_iter().zip(replies) {
            // A caller that has gone away needs no answer.
            let _ = reply.send(verdicts.by_ref().take(size).collect());
        }
    }
}
