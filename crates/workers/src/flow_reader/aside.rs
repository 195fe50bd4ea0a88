//! Source events that wait for what their flows' transformations make of them, and those behind them of the same customers.
//!
//! Only so many are kept in memory. All of them are written down as waiting, so that the reader goes on, and are read again
//! when this process ends before they are done.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::{OrgId, SourceEventId, TransformationId};
use script::Transformed;
use serde_json::Value;
use store::InboxEntry;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};

use super::{
    Key,
    plans::OrgPlans,
    workshop::{Piece, Ran, Workshop},
};

/// How long a batch waits for transformations before what they are not done with is set aside.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Events of a shard that one transformation may have set aside before more of them wait in the store.
const EVENTS_OF_ONE: usize = 128;
/// Events of a shard that may be set aside.
const EVENTS: usize = 1_024;
/// And their size, in bytes.
const BYTES: usize = 16 << 20;
/// The part of either that one organization may have set aside before more of its events wait in the store, as a divisor: the
/// others' have room beside them, however many transformations it has and however large its events are.
const SHARE: usize = 4;

/// What transformations made of an event. What is missing did not end.
#[derive(Debug, Default)]
pub(crate) struct Made(HashMap<TransformationId, Transformed>);

impl Made {
    pub(crate) fn of(&self, transformation: TransformationId) -> Option<&Transformed> {
        self.0.get(&transformation)
    }
}

/// An event with the flows of its organization, and what is made of it.
pub(crate) struct Ready {
    pub(crate) entry: InboxEntry,
    pub(crate) plans: Arc<OrgPlans>,
    pub(crate) made: Made,
}

/// Where an event goes.
pub(crate) enum Placed {
    /// It waits for nothing.
    Ready(Ready),
    /// It is kept here.
    Aside,
    /// There is no room for it.
    Full(InboxEntry),
}

struct Waiter {
    ready: Ready,
    missing: HashSet<TransformationId>,
    /// Whether it was written down that it waits.
    noted: bool,
}

pub(crate) struct Aside {
    lanes: HashMap<Key, VecDeque<Waiter>>,
    keys: HashMap<SourceEventId, Key>,
    bytes: usize,
    /// What transformations are not done with.
    missing: usize,
    /// Events that transformations had set aside when the last batch was done.
    left: HashMap<TransformationId, usize>,
    /// Events of organizations that were set aside then, and their size.
    left_of: HashMap<OrgId, (usize, usize)>,
    fresh: Vec<Piece>,
    out: UnboundedSender<Ran>,
    results: UnboundedReceiver<Ran>,
}

impl Default for Aside {
    fn default() -> Self {
        let (out, results) = unbounded_channel();
        Self {
            lanes: HashMap::new(),
            keys: HashMap::new(),
            bytes: 0,
            missing: 0,
            left: HashMap::new(),
            left_of: HashMap::new(),
            fresh: Vec::new(),
            out,
            results,
        }
    }
}

impl Aside {
    /// Whether the event is here. That it waits is then to be written down anew, and that those behind it do: none of them may
    /// come due before it, or whoever reads them after this process has ended would do them first.
    pub(crate) fn again(&mut self, event: SourceEventId) -> bool {
        let Some(lane) = self.keys.get(&event).and_then(|key| self.lanes.get_mut(key)) else { return false };
        lane.iter_mut().skip_while(|waiter| waiter.ready.entry.id != event).for_each(|waiter| waiter.noted = false);
        true
    }

    /// Takes an event that goes through a transformation, or is behind one that does.
    pub(crate) fn place(&mut self, entry: InboxEntry, plans: Arc<OrgPlans>) -> Placed {
        let key = (entry.org, entry.order_key);
        let wanted = plans.plans.iter().filter(|plan| plan.listens_to(entry.source));
        let wanted: HashMap<_, _> =
            wanted.filter_map(|plan| plans.transformations.get(&plan.id())).map(|it| (it.id, it.clone())).collect();
        let payload = || serde_json::from_str::<Value>(entry.payload.as_deref()?).ok();
        let payload = if wanted.is_empty() { None } else { payload() };
        if payload.is_none() && !self.lanes.contains_key(&key) {
            return Placed::Ready(Ready { entry, plans, made: Made::default() });
        }
        let much = |id: &TransformationId| self.left.get(id).is_some_and(|left| *left >= EVENTS_OF_ONE);
        let (events, bytes) = self.left_of.get(&entry.org).copied().unwrap_or_default();
        let has_its_share = events >= EVENTS / SHARE || bytes >= BYTES / SHARE;
        if wanted.keys().any(much) || has_its_share || self.keys.len() >= EVENTS || self.bytes >= BYTES {
            return Placed::Full(entry);
        }
        let mut missing = HashSet::new();
        if let Some(payload) = payload {
            for (id, transformation) in wanted {
                let (payload, source, out) = (payload.clone(), plans.sources.get(&entry.source).cloned(), self.out.clone());
                let (event, received_at) = (entry.id, entry.received_at);
                self.fresh.push(Piece { transformation, event, key, payload, source, received_at, alone: false, out });
                missing.insert(id);
            }
            self.missing += missing.len();
        }
        self.bytes += entry.payload.as_ref().map_or(0, String::len);
        self.keys.insert(entry.id, key);
        let lane = self.lanes.entry(key).or_default();
        // A fault of ours may have held an earlier one while this one's successors were at work.
        let later = |waiter: &Waiter| waiter.ready.entry.position.seq > entry.position.seq;
        let place = lane.iter().rposition(|waiter| !later(waiter)).map_or(0, |before| before + 1);
        let ready = Ready { entry, plans, made: Made::default() };
        lane.insert(place, Waiter { ready, missing, noted: false });
        Placed::Aside
    }

    /// Lets the transformations of what was placed begin. Answers with until when they are waited for, where nothing was set
    /// aside before.
    pub(crate) fn begin(&mut self, workshop: &Arc<Workshop>) -> Option<Instant> {
        let fresh = std::mem::take(&mut self.fresh);
        let waits = !fresh.is_empty() && self.left.is_empty();
        workshop.put(fresh);
        waits.then(|| Instant::now() + AT_ONCE)
    }

    /// What is ready, in the order of arrival, after waiting for the rest until then.
    pub(crate) async fn ready(&mut self, until: Option<Instant>) -> Vec<Ready> {
        while let Ok(ran) = self.results.try_recv() {
            self.take(ran);
        }
        while let Some(until) = until
            && self.missing > 0
            && let Ok(Some(ran)) = tokio::time::timeout_at(until, self.results.recv()).await
        {
            self.take(ran);
        }
        let mut ready = Vec::new();
        for lane in self.lanes.values_mut() {
            while let Some(waiter) = lane.pop_front_if(|waiter| waiter.missing.is_empty()) {
                ready.push(waiter.ready);
            }
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
        for Ready { entry, .. } in &ready {
            self.keys.remove(&entry.id);
            self.bytes -= entry.payload.as_ref().map_or(0, String::len);
        }
        self.left.clear();
        self.left_of.clear();
        for Waiter { ready, missing, .. } in self.lanes.values().flatten() {
            missing.iter().for_each(|id| *self.left.entry(*id).or_default() += 1);
            let (events, bytes) = self.left_of.entry(ready.entry.org).or_default();
            *events += 1;
            *bytes += ready.entry.payload.as_ref().map_or(0, String::len);
        }
        ready.sort_unstable_by_key(|ready| ready.entry.position.seq);
        ready
    }

    /// Waits until a transformation is done with something.
    pub(crate) async fn arrived(&mut self) {
        // We hold one of its senders.
        if let Some(ran) = self.results.recv().await {
            self.take(ran);
        }
    }

    fn take(&mut self, (event, transformation, made): Ran) {
        let lane = self.keys.get(&event).and_then(|key| self.lanes.get_mut(key));
        let Some(waiter) = lane.and_then(|lane| lane.iter_mut().find(|waiter| waiter.ready.entry.id == event)) else { return };
        self.missing -= usize::from(waiter.missing.remove(&transformation));
        waiter.ready.made.0.extend(made.map(|made| (transformation, made)));
    }

    /// The events that it has to be written down of that they wait.
    pub(crate) fn note(&mut self) -> impl Iterator<Item = &InboxEntry> {
        let waiters = self.lanes.values_mut().flatten().filter(|waiter| !waiter.noted);
        waiters.map(|waiter| {
            waiter.noted = true;
            &waiter.ready.entry
        })
    }
}
