//! Group commit: concurrent callers share one load and one commit, and a full batch is decided while the one before it is
//! being written.

use std::{collections::VecDeque, sync::Arc};

use domain::{Answer, Clock, Command, Contact, Pass, Reject};
use store::{Store, StoreError};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
};

use crate::{
    batch::{self, Carried, Decided},
    footprint::Footprint,
};

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

/// At most a batch's commands, and who waits for their verdicts.
struct Call {
    commands: Vec<Command>,
    reply: oneshot::Sender<Vec<Verdict>>,
}

/// Who waits for so many verdicts.
type Reply = (usize, oneshot::Sender<Vec<Verdict>>);

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
    pub async fn submit_all(&self, mut commands: Vec<Command>) -> Vec<Verdict> {
        let (mut verdicts, mut answers) = (Vec::with_capacity(commands.len()), Vec::new());
        while !commands.is_empty() {
            let rest = commands.split_off(commands.len().min(MAX_BATCH));
            let (count, (reply, answer)) = (commands.len(), oneshot::channel());
            // One that is not taken drops its sender.
            let _ = self.calls.send(Call { commands, reply }).await;
            answers.push((count, answer));
            commands = rest;
        }
        for (count, answer) in answers {
            verdicts.extend(answer.await.unwrap_or_else(|_| (0..count).map(|_| Err(gone())).collect()));
        }
        verdicts
    }
}

fn gone() -> EngineError {
    EngineError::Unavailable(Arc::new(StoreError::Unavailable("the engine has stopped".to_owned())))
}

impl Runner {
    /// Runs until every handle is gone. Idle, it commits at once; while a commit runs it gathers, and decides no more than the
    /// next full batch: what is not full shares the next commit with what comes meanwhile.
    pub async fn run(mut self) {
        let (mut waiting, mut is_open) = (Waiting::default(), true);
        // At most one.
        let mut writing: JoinSet<Option<Footprint>> = JoinSet::new();
        loop {
            while !waiting.is_full()
                && let Ok(call) = self.calls.try_recv()
            {
                waiting.push(call);
            }
            if waiting.is_full() || writing.is_empty() && !waiting.calls.is_empty() {
                let (commands, replies) = waiting.next_batch();
                let decided = batch::decide_ahead(&self.store, &*self.clock, &commands).await;
                let before = writing.join_next().await.map(ended);
                let holds = |decided: &Decided| match &before {
                    Some(Some(before)) => before.is_disjoint(&decided.footprint),
                    Some(None) => false,
                    None => true,
                };
                let (store, clock, ahead) = (Arc::clone(&self.store), Arc::clone(&self.clock), decided.filter(holds));
                writing.spawn(async move { write(&store, &*clock, &commands, ahead, replies).await });
                continue;
            }
            if !is_open && writing.is_empty() {
                return;
            }
            tokio::select! {
                Some(written) = writing.join_next() => drop(ended(written)),
                call = self.calls.recv(), if is_open => match call {
                    Some(call) => waiting.push(call),
                    None => is_open = false,
                },
            }
        }
    }
}

/// Writes a batch and answers its callers.
async fn write(
    store: &Store,
    clock: &dyn Clock,
    commands: &[Command],
    ahead: Option<Decided>,
    replies: Vec<Reply>,
) -> Option<Footprint> {
    let Carried { verdicts, footprint } = batch::carry_out(store, clock, commands, ahead).await;
    let mut verdicts = verdicts.into_iter();
    for (count, reply) in replies {
        // A caller that has gone away needs no answer.
        let _ = reply.send(verdicts.by_ref().take(count).collect());
    }
    footprint
}

/// A panic of a batch is the loop's own.
fn ended(written: Result<Option<Footprint>, JoinError>) -> Option<Footprint> {
    written.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => None,
    })
}

/// Calls that no batch has taken.
#[derive(Default)]
struct Waiting {
    calls: VecDeque<Call>,
    commands: usize,
}

impl Waiting {
    fn push(&mut self, call: Call) {
        self.commands += call.commands.len();
        self.calls.push_back(call);
    }

    fn is_full(&self) -> bool {
        self.commands >= MAX_BATCH
    }

    /// As many calls as fit into a commit, in their order.
    fn next_batch(&mut self) -> (Vec<Command>, Vec<Reply>) {
        let (mut commands, mut replies) = (Vec::new(), Vec::new());
        while let Some(call) = self.calls.pop_front_if(|call| commands.len() + call.commands.len() <= MAX_BATCH) {
            self.commands -= call.commands.len();
            replies.push((call.commands.len(), call.reply));
            commands.extend(call.commands);
        }
        (commands, replies)
    }
}
