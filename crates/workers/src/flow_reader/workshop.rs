//! Where transformations run: one workshop for a node, for what users wrote may run long.
//!
//! Every transformation has a bench with the events that wait for it. A run takes one after another off the bench, in one
//! context, and lets others have its room after a moment. While one lasts, more join it, so that an event on which the code is
//! slow holds the others up no longer than that. Events of one customer are never run side by side. How many runs there are at
//! once is bounded, for each transformation and for all together; one whose code has to be stopped again and again is left one,
//! and all of those together few. More runs join only where room is left for others to begin: few that are stuck do not keep
//! everybody else waiting.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::{Source, SourceEventId, Timestamp, TransformationId};
use flows::transform::{Arrived, Transformation};
use outbound::http::Client;
use parking_lot::Mutex;
use script::{Entry, Feed, Host, Input, Transformed};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, mpsc::UnboundedSender},
    time::Instant,
};

use super::{
    Key,
    transform::{LIMITS, Outside, PATIENCE},
};

/// Runs at once on a node; each is a thread and a heap of its own.
const RUNS: usize = 16;
/// Runs at once of transformations whose code has to be stopped again and again, all together.
const STUCK_RUNS: usize = 4;
/// Room that is left for transformations of which nothing runs yet.
const KEPT: usize = 8;
/// Runs at once of one transformation.
const RUNS_OF_ONE: usize = 4;
/// How long a run lasts until another joins it.
const JOIN_AFTER: Duration = Duration::from_millis(20);
/// How long a run goes on taking events before it lets others have its room.
const TURN: Duration = Duration::from_millis(250);
/// A transformation that had to be stopped so often, and did nothing else in between, has one run at a time.
const STOPS: u32 = 3;
/// Events that `transformBatch` is given at once.
const BATCH: usize = 256;

/// What a transformation made of an event; nothing when it did not end.
pub(crate) type Ran = (SourceEventId, TransformationId, Option<Transformed>);

/// An event that is to go through a transformation.
pub(crate) struct Piece {
    pub(crate) transformation: Transformation,
    pub(crate) event: SourceEventId,
    pub(crate) key: Key,
    pub(crate) payload: Value,
    pub(crate) source: Option<Arc<Source>>,
    pub(crate) received_at: Timestamp,
    /// Whether it failed together with other customers' events, and is tried without them.
    pub(crate) alone: bool,
    pub(crate) out: UnboundedSender<Ran>,
}

impl Piece {
    fn arrived(&self) -> Arrived<'_> {
        Arrived { event: &self.payload, source: self.source.as_deref(), received_at: self.received_at }
    }
}

#[derive(Default)]
struct Bench {
    queue: VecDeque<Piece>,
    /// Customers of whom an event is being run.
    busy: HashSet<Key>,
    runs: usize,
    /// How often in a row its code had to be stopped.
    stops: u32,
}

impl Bench {
    fn next(&self) -> Option<usize> {
        self.queue.iter().position(|piece| !self.busy.contains(&piece.key))
    }

    fn has_room(&self) -> bool {
        self.runs < if self.is_stuck() { 1 } else { RUNS_OF_ONE }
    }

    fn is_stuck(&self) -> bool {
        self.stops >= STOPS
    }

    /// The next event, where it is for the same code.
    fn take(&mut self, like: Option<&Transformation>) -> Option<Piece> {
        // Whom nobody waits for any more.
        self.queue.retain(|piece| !piece.out.is_closed());
        let at = self.next()?;
        if like.is_some_and(|like| self.queue.get(at).is_none_or(|piece| piece.transformation != *like)) {
            return None;
        }
        let piece = self.queue.remove(at)?;
        self.busy.insert(piece.key);
        Some(piece)
    }

    /// What goes into one batch with this event.
    fn take_with(&mut self, first: Piece) -> Vec<Piece> {
        let (mut batch, mut left) = (vec![first], VecDeque::new());
        let mut ours = HashSet::from([batch[0].key]);
        for piece in self.queue.drain(..) {
            let first = &batch[0];
            let same = piece.alone == first.alone && piece.transformation == first.transformation && batch.len() < BATCH;
            let free = ours.contains(&piece.key) || (!piece.alone && !self.busy.contains(&piece.key));
            if same && free {
                ours.insert(piece.key);
                batch.push(piece);
            } else {
                left.push_back(piece);
            }
        }
        self.queue = left;
        self.busy.extend(ours);
        batch
    }
}

/// Who waits for what a run is at.
type Awaited = Arc<Mutex<Vec<(SourceEventId, Key, UnboundedSender<Ran>)>>>;

/// The workshop.
pub(crate) struct Workshop {
    client: Client,
    room: Arc<Semaphore>,
    /// What is stuck takes a place here first.
    stuck: Arc<Semaphore>,
    benches: Mutex<HashMap<TransformationId, Bench>>,
}

impl Workshop {
    pub(crate) fn new(client: Client) -> Arc<Self> {
        let (room, stuck) = (Arc::new(Semaphore::new(RUNS)), Arc::new(Semaphore::new(STUCK_RUNS)));
        Arc::new(Self { client, room, stuck, benches: Mutex::default() })
    }

    /// Puts events onto the benches of their transformations; each is answered once.
    pub(crate) fn put(self: &Arc<Self>, pieces: Vec<Piece>) {
        let mut idle = HashSet::new();
        let mut benches = self.benches.lock();
        for piece in pieces {
            let id = piece.transformation.id;
            let bench = benches.entry(id).or_default();
            bench.queue.push_back(piece);
            if bench.runs == 0 {
                bench.runs = 1;
                idle.insert(id);
            }
        }
        drop(benches);
        for id in idle {
            tokio::spawn(Arc::clone(self).work(id));
        }
    }

    async fn work(self: Arc<Self>, id: TransformationId) {
        loop {
            let is_stuck = self.benches.lock().get(&id).is_some_and(Bench::is_stuck);
            let stuck = is_stuck.then(|| Arc::clone(&self.stuck).acquire_owned());
            let _stuck = futures_util::future::OptionFuture::from(stuck).await;
            // Nobody closes it.
            let Ok(_room) = Arc::clone(&self.room).acquire_owned().await else { return };
            let (shop, awaited, began) = (Arc::clone(&self), Awaited::default(), Instant::now());
            let at = Arc::clone(&awaited);
            let turn = tokio::task::spawn_blocking(move || shop.turn(id, &at));
            tokio::pin!(turn);
            let ended = loop {
                match tokio::time::timeout(JOIN_AFTER, &mut turn).await {
                    Ok(ended) => break ended,
                    Err(_) => self.join(id),
                }
                // Code that the engine cannot interrupt is left to end by itself.
                if began.elapsed() >= PATIENCE && self.give_up(id, &awaited) {
                    tracing::warn!(transformation = %id, "a transformation did not end and was left");
                }
            };
            if let Err(error) = ended {
                tracing::error!(%error, transformation = %id, "a transformation ended in a panic");
                self.give_up(id, &awaited);
            }
            if self.leaves(id) {
                return;
            }
        }
    }

    /// Lets one more run begin, where there is something for it and room for others' first ones.
    fn join(self: &Arc<Self>, id: TransformationId) {
        if self.room.available_permits() <= KEPT {
            return;
        }
        let mut benches = self.benches.lock();
        if let Some(bench) = benches.get_mut(&id).filter(|bench| bench.has_room() && bench.next().is_some()) {
            bench.runs += 1;
            tokio::spawn(Arc::clone(self).work(id));
        }
    }

    /// Ends a run unless there is something more for it. What is on the bench of a customer whose event is being run is for
    /// whoever runs that.
    fn leaves(&self, id: TransformationId) -> bool {
        let mut benches = self.benches.lock();
        let Some(bench) = benches.get_mut(&id) else { return true };
        bench.runs -= 1;
        if bench.has_room() && bench.next().is_some() {
            bench.runs += 1;
            return false;
        }
        if bench.runs == 0 && bench.queue.is_empty() {
            benches.remove(&id);
        }
        true
    }

    /// Answers whoever still waits for what a run is at that nothing will come.
    fn give_up(&self, id: TransformationId, awaited: &Awaited) -> bool {
        let given_up = !awaited.lock().is_empty();
        self.answer(id, awaited, std::iter::repeat(None));
        given_up
    }

    /// Answers all that a run is at.
    fn answer(&self, id: TransformationId, awaited: &Awaited, made: impl IntoIterator<Item = Option<Transformed>>) {
        let awaited = std::mem::take(&mut *awaited.lock());
        let answers: Vec<_> = awaited.into_iter().zip(made).collect();
        if let Some(bench) = self.benches.lock().get_mut(&id) {
            for ((_, key, _), made) in &answers {
                bench.busy.remove(key);
                let stopped = made.as_ref().is_none_or(Transformed::spoils);
                bench.stops = if stopped { bench.stops.saturating_add(1) } else { 0 };
            }
        }
        for ((event, _, out), made) in answers {
            // A reader that is gone needs no answer: another reads the event again.
            let _ = out.send((event, id, made));
        }
    }

    /// Takes events off a bench for a while, or until one spoilt the context.
    fn turn(&self, id: TransformationId, awaited: &Awaited) {
        let Some(first) = self.benches.lock().get_mut(&id).and_then(|bench| bench.take(None)) else { return };
        let host: Arc<dyn Host> = Arc::new(Outside::new(self.client.clone()));
        let transformation = first.transformation.clone();
        if transformation.program.entry() == Entry::Batch {
            return self.batch(&transformation, first, host, awaited);
        }
        awaited.lock().push((first.event, first.key, first.out.clone()));
        let mut turn =
            Turn { shop: self, id, awaited, like: &transformation, began: Instant::now(), at: Some(first), given: false };
        transformation.program.pull(&mut turn, host, &LIMITS);
    }

    /// Runs what waits as one batch; what failed together is tried again customer by customer.
    fn batch(&self, transformation: &Transformation, first: Piece, host: Arc<dyn Host>, awaited: &Awaited) {
        let id = transformation.id;
        let pieces = match self.benches.lock().get_mut(&id) {
            Some(bench) => bench.take_with(first),
            None => vec![first],
        };
        awaited.lock().extend(pieces.iter().map(|piece| (piece.event, piece.key, piece.out.clone())));
        let arrived: Vec<Arrived<'_>> = pieces.iter().map(Piece::arrived).collect();
        let made = transformation.run(&arrived, host, &LIMITS).events;
        let failed = made.iter().any(|made| matches!(made, Transformed::Failed(_)));
        let mixed = pieces.iter().any(|piece| piece.key != pieces[0].key);
        if !(failed && mixed) {
            return self.answer(id, awaited, made.into_iter().map(Some));
        }
        // Those that were given up meanwhile have their answer.
        if std::mem::take(&mut *awaited.lock()).is_empty() {
            return;
        }
        let mut benches = self.benches.lock();
        let bench = benches.entry(id).or_default();
        for piece in pieces.into_iter().rev() {
            bench.busy.remove(&piece.key);
            bench.queue.push_front(Piece { alone: true, ..piece });
        }
    }
}

/// A run of `transformEvent`.
struct Turn<'t> {
    shop: &'t Workshop,
    id: TransformationId,
    awaited: &'t Awaited,
    like: &'t Transformation,
    began: Instant,
    at: Option<Piece>,
    given: bool,
}

impl Feed for Turn<'_> {
    fn next(&mut self) -> Option<Input<'_>> {
        if self.given {
            if self.began.elapsed() >= TURN {
                return None;
            }
            let piece = self.shop.benches.lock().get_mut(&self.id)?.take(Some(self.like))?;
            self.awaited.lock().push((piece.event, piece.key, piece.out.clone()));
            self.at = Some(piece);
        }
        self.given = true;
        self.at.as_ref().map(|piece| self.like.input(piece.arrived()))
    }

    fn became(&mut self, transformed: Transformed) {
        self.shop.answer(self.id, self.awaited, [Some(transformed)]);
    }
}

#[cfg(test)]
mod tests {
    use domain::OrgId;
    use outbound::{
        http::{Roots, Settings},
        policy::AddressPolicy,
    };
    use script::Program;
    use serde_json::json;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use uuid::Uuid;

    use super::*;

    fn shop() -> Arc<Workshop> {
        let settings = Settings::new(AddressPolicy::default(), Roots::only(&[]).unwrap());
        Workshop::new(Client::new(settings).unwrap())
    }

    /// Events of so many customers for a transformation, and where they are answered.
    fn pieces(transformation: u128, customers: u8) -> (Vec<Piece>, UnboundedReceiver<Ran>) {
        let (out, answers) = unbounded_channel();
        let code = "export function transformEvent(event) { return event; }";
        let id = TransformationId::from_uuid(Uuid::from_u128(transformation));
        let program = Program::load(code, Arc::default(), Entry::Event);
        let piece = |customer: u8| Piece {
            transformation: Transformation { id, version: 1, program: program.clone() },
            event: SourceEventId::from_uuid(Uuid::from_u128(customer.into())),
            key: (OrgId::from_uuid(Uuid::from_u128(1)), [customer; 16]),
            payload: json!({}),
            source: None,
            received_at: Timestamp::from_seconds(1_800_000_000),
            alone: false,
            out: out.clone(),
        };
        ((0..customers).map(piece).collect(), answers)
    }

    /// Lets tasks come as far as they can: there is one thread for all of them.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn those_that_are_stuck_share_few_runs_and_the_others_go_on() {
        let shop = shop();
        assert_eq!((shop.room.available_permits(), shop.stuck.available_permits()), (16, 4));
        // As if four that are stuck were running.
        let running = Arc::clone(&shop.stuck).acquire_many_owned(4).await.unwrap();
        let stuck: Vec<_> = (1..=20).map(|id| pieces(id, 3)).collect();
        let mut waiting = Vec::new();
        for (pieces, answers) in stuck {
            let id = pieces[0].transformation.id;
            shop.put(pieces);
            shop.benches.lock().get_mut(&id).unwrap().stops = STOPS;
            waiting.push(answers);
        }
        settle().await;
        assert_eq!(shop.room.available_permits(), RUNS, "none of them has a run");
        assert!(shop.benches.lock().values().all(|bench| bench.queue.len() == 3 && !bench.has_room()), "one waits for each");
        let (healthy, mut answers) = pieces(99, 1);
        shop.put(healthy);
        assert!(matches!(answers.recv().await, Some((_, _, Some(Transformed::Kept(_))))));
        assert!(waiting.iter_mut().all(|answers| answers.try_recv().is_err()));

        drop(running);
        for answers in &mut waiting {
            for _ in 0..3 {
                assert!(answers.recv().await.is_some(), "their turn comes");
            }
        }
    }

    #[tokio::test]
    async fn more_runs_of_one_join_only_where_room_is_left_for_others_to_begin() {
        let shop = shop();
        let (pieces, mut answers) = pieces(1, 3);
        let id = pieces[0].transformation.id;
        // As if others were running, so that only what is kept free is left.
        let others = Arc::clone(&shop.room).acquire_many_owned(8).await.unwrap();
        shop.put(pieces);
        let runs = || shop.benches.lock().get(&id).unwrap().runs;
        shop.join(id);
        assert_eq!(runs(), 1, "eight are left for others");
        drop(others);
        shop.join(id);
        shop.join(id);
        shop.join(id);
        assert_eq!(runs(), 4);
        shop.join(id);
        assert_eq!(runs(), 4, "no more of one");
        for _ in 0..3 {
            assert!(answers.recv().await.is_some());
        }
    }
}
