//! The pump of one shard: it reads the event log, starts a task per delivery, claims what is due again, and keeps in the store what
//! is not settled soon.

mod outcomes;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use connectors::kit::Bodies;
use domain::{DeliveryId, Event, Facts, TargetId, Timestamp};
use store::{Catalog, DeliveryOver, DeliveryRow, EventFollower, FollowedEvent, LoggedEvent, Reader, SealedUnder, StoreError};
use tokio::{
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::Instant,
};

use super::{
    CLAIM,
    book::{Book, FLUSH_AT},
    gather,
    health::Off,
    lane::{Lane, Ticket},
    message,
    order::{self, Order},
    send::{Attempted, Delivery, Then},
    targets::{self, Ready},
};
use crate::{
    pulse::LOOK_ANYWAY,
    shard::{End, House, Shard, dense},
};

/// Events that are read together, and due deliveries that are claimed together.
const BATCH: u32 = 256;
/// Deliveries of one shard that may be under way before no more events are read.
const MOST_UNDER_WAY: usize = 2_048;
/// What is said of a message that nobody sends.
const NO_SENDER: &str = "its sender was deleted or switched off before it was sent";

/// A delivery under way.
struct Flight {
    delivery: Delivery,
    lane: Arc<Lane>,
    ticket: Ticket,
    /// Set by the task when it may send, or by the pump when it takes the delivery back; whoever is first.
    decided: Arc<AtomicBool>,
    task: AbortHandle,
    /// The event's number while the watermark waits for it.
    seq: Option<u64>,
    /// Whether there is a row of it in the store.
    kept: bool,
    since: Instant,
    /// The row of it that asks for another, since this one is being sent.
    again: Option<DeliveryRow>,
}

struct Pump {
    shard: Shard,
    events: Arc<EventFollower>,
    book: Book,
    flights: HashMap<DeliveryId, Flight>,
    tasks: JoinSet<Attempted>,
    ids: HashMap<Id, DeliveryId>,
    /// Deliveries that were begun before the restart.
    touched: HashSet<DeliveryId>,
    more: bool,
    next_due: Option<Timestamp>,
    poll_at: Instant,
    /// When the first of those whose event is held for them is to be spilled.
    spill_at: Option<Instant>,
    disable: Vec<(Arc<Ready>, Off)>,
    /// Targets that were switched off before they got something, and when the earliest such event was written down.
    missed: HashMap<TargetId, (Arc<Ready>, Timestamp)>,
    /// Targets on which something failed, and whether a delivery was given up: some are to be switched off.
    ailing: Vec<(Arc<Ready>, bool)>,
    /// Whose turn it is at targets that want events in order.
    order: Order,
    /// Outcomes that are being written: at most one transaction.
    flushing: JoinSet<Result<(), End>>,
    /// How many are in it.
    flushing_outcomes: usize,
}

/// Runs until the shard is stopped or lost.
pub(crate) async fn run(shard: Shard) -> End {
    match Pump::open(shard).await {
        Ok(mut pump) => pump.work().await.err().unwrap_or(End::Stopped),
        Err(end) => end,
    }
}

impl Pump {
    async fn open(shard: Shard) -> Result<Self, End> {
        let backend = shard.house.store.backend();
        shard.insist("unclaim deliveries", || backend.unclaim_deliveries(shard.lease, shard.house.now())).await?;
        let marks = shard.insist("read watermarks", || backend.watermarks(Reader::Webhooks)).await?;
        let watermark = marks.get(usize::from(shard.number())).copied().unwrap_or(0);
        let touched = shard.insist("read begun deliveries", || backend.touched_deliveries(shard.number(), watermark)).await?;
        let next_due = shard.insist("read due times", || backend.next_delivery(shard.number())).await?;
        let poll_at = Instant::now();
        Ok(Self {
            shard: shard.clone(),
            events: Arc::new(shard.house.store.follow_events(shard.number())),
            book: Book::new(watermark),
            flights: HashMap::new(),
            tasks: JoinSet::new(),
            ids: HashMap::new(),
            touched: touched.into_iter().collect(),
            more: true,
            next_due,
            poll_at,
            spill_at: None,
            disable: Vec::new(),
            missed: HashMap::new(),
            ailing: Vec::new(),
            order: Order::default(),
            flushing: JoinSet::new(),
            flushing_outcomes: 0,
        })
    }

    async fn work(&mut self) -> Result<(), End> {
        let mut ticks = self.shard.house.store.wake().events_of(self.shard.number());
        let mut pulses = self.shard.house.pulses.subscribe();
        loop {
            if self.shard.is_stopping() {
                return self.drain().await;
            }
            ticks.mark_unchanged();
            self.switch_off().await?;
            let mut busy = false;
            if self.more && self.flights.len() < MOST_UNDER_WAY {
                busy |= self.read().await?;
            }
            if self.next_due.is_some_and(|due| due <= self.shard.house.now()) && self.flights.len() < MOST_UNDER_WAY {
                busy |= self.claim().await?;
            }
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.ended(ended);
            }
            self.spill();
            self.switch_off().await?;
            self.flush_if(Instant::now()).await?;
            if self.flushing_outcomes + self.book.outcomes() >= FLUSH_AT {
                // No more than one batch may be sent and not written.
                self.flushed().await?;
            }
            if self.poll_at <= Instant::now() {
                self.poll().await?;
            }
            if busy {
                continue;
            }
            let wake_at = self.wake_at();
            tokio::select! {
                () = self.shard.stopped() => {}
                Ok(()) = ticks.changed() => self.more = true,
                Ok(()) = pulses.changed() => self.pulsed(),
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                Some(ended) = self.flushing.join_next() => self.flush_ended(ended)?,
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    /// The next time at which something is to be done without being woken.
    fn wake_at(&self) -> Instant {
        let due = self.next_due.filter(|_| self.flights.len() < MOST_UNDER_WAY);
        let due = due.map(|due| Instant::now() + due.since(self.shard.house.now()));
        let flush = self.book.due().filter(|_| self.flushing.is_empty());
        [flush, self.spill_at, due].into_iter().flatten().fold(self.poll_at, Instant::min)
    }

    /// What the last look at the store tells. It may be a little old: a claim that finds nothing sets the time right.
    fn pulsed(&mut self) {
        let pulse = self.shard.pulse();
        self.more |= pulse.events > self.book.read_to();
        self.next_due = [self.next_due, pulse.delivery_due].into_iter().flatten().min();
        let under_way = self.flights.len() as f64;
        metrics::gauge!("deliveries_under_way", "shard" => self.shard.number().to_string()).set(under_way);
    }

    /// Looks whatever was told.
    async fn poll(&mut self) -> Result<(), End> {
        let shard = self.shard.clone();
        self.more = true;
        self.poll_at = Instant::now() + LOOK_ANYWAY;
        let backend = shard.house.store.backend();
        self.next_due = shard.insist("read due times", || backend.next_delivery(shard.number())).await?;
        Ok(())
    }

    /// Reads the next events and starts what is owed.
    async fn read(&mut self) -> Result<bool, End> {
        let (shard, after) = (self.shard.clone(), self.book.read_to());
        let house = &shard.house;
        let (store, number) = (&house.store, shard.number());
        // The configuration is read after the events: whoever was added before one of them is known.
        let follower = &*self.events;
        let read = || async move {
            let page = follower.next(after, BATCH).await?;
            dense("events", number, after, page.entries.iter().map(|event| event.position().seq))?;
            let catalog = house.catalog().await?;
            let open = |event: &FollowedEvent| -> Result<_, StoreError> {
                if targets::may_be_owed(&catalog, event) { store.open_followed(event) } else { Ok(None) }
            };
            let opened = page.entries.iter().map(|event| Ok((event.position().seq, open(event)?)));
            let events = opened.collect::<Result<Vec<_>, StoreError>>()?;
            Ok((catalog, events, page.has_more))
        };
        let (catalog, events, has_more) = shard.insist("read events", read).await?;
        self.more = has_more;
        if events.is_empty() {
            self.touched = HashSet::new();
            return Ok(false);
        }
        for (seq, logged) in events {
            let begun = match logged {
                Some((event, under)) => {
                    if !self.has_sender(&catalog, &event) {
                        shard
                            .insist("note that a message has no sender", || message::unsent(house, &event, 0, NO_SENDER))
                            .await?;
                    }
                    self.begin(&catalog, &event, &under)
                }
                // It is owed to nobody, or whom it was about is not told any more.
                None => 0,
            };
            self.book.opened(seq, begun);
        }
        Ok(true)
    }

    /// Whether there is somebody to send the message that an event asks for, or was; true of any other event.
    fn has_sender(&self, catalog: &Catalog, event: &Event) -> bool {
        let Facts::MessageRequested { message } = &event.facts else { return true };
        self.touched.contains(&DeliveryId::of(event.id.uuid(), message.sender.uuid()))
            || targets::owed(catalog, event).any(|stored| stored.value.target.id == message.sender)
    }

    /// Starts the deliveries of a new event; how many are under way.
    fn begin(&mut self, catalog: &Catalog, event: &Arc<Event>, under: &Arc<SealedUnder>) -> usize {
        let house = Arc::clone(&self.shard.house);
        let (mut begun, mut view, bodies) = (0, None, Arc::<Bodies>::default());
        for stored in targets::owed(catalog, event) {
            let id = DeliveryId::of(event.id.uuid(), stored.value.target.id.uuid());
            if self.touched.contains(&id) || self.flights.contains_key(&id) {
                continue;
            }
            let to = house.dispatcher.targets.ready(&house, event.org, stored);
            if !to.lets_pass(event, &house.settings.webhooks.public_url, &mut view) {
                continue;
            }
            let delivery = Delivery {
                id,
                event: Arc::clone(event),
                under: Arc::clone(under),
                bodies: Arc::clone(&bodies),
                to,
                attempts: 0,
                behind: false,
                asked_at: None,
            };
            let lane = house.dispatcher.lane(&stored.value.target);
            match self.enter(&delivery, &lane, false) {
                Ok(ticket) => {
                    self.fly(delivery, lane, ticket, Some(event.position.seq));
                    begun += 1;
                }
                Err(due) => self.keep_for(&delivery, 0, due),
            }
        }
        begun
    }

    /// Starts a delivery; one without a number is kept in the store already.
    fn fly(&mut self, delivery: Delivery, lane: Arc<Lane>, ticket: Ticket, seq: Option<u64>) {
        let kept = seq.is_none();
        if seq.is_some() {
            let spill_after = self.shard.house.settings.webhooks.spill_after;
            self.spill_at.get_or_insert_with(|| Instant::now() + spill_after);
        }
        self.order.goes(order::line(&delivery));
        let decided = Arc::new(AtomicBool::new(false));
        let id = delivery.id;
        let task = fly(Arc::clone(&self.shard.house), delivery.clone(), Arc::clone(&lane), ticket, Arc::clone(&decided));
        let task = self.tasks.spawn(task);
        self.ids.insert(task.id(), id);
        self.flights.insert(id, Flight { delivery, lane, ticket, decided, task, seq, kept, since: Instant::now(), again: None });
    }

    /// Notes a delivery for later.
    fn keep(&mut self, row: DeliveryRow) {
        self.next_due = Some(self.next_due.map_or(row.due_at, |due| due.min(row.due_at)));
        self.book.owed(row);
    }

    /// Takes deliveries that are due out of the store.
    async fn claim(&mut self) -> Result<bool, End> {
        // What is owed must be written before it can be claimed.
        self.flush().await?;
        let shard = self.shard.clone();
        let (house, backend) = (&shard.house, shard.house.store.backend());
        let claim = || {
            let now = house.now();
            backend.claim_deliveries(shard.lease, now, now.plus(CLAIM), BATCH)
        };
        let rows = shard.insist("claim deliveries", claim).await?;
        self.next_due = shard.insist("read due times", || backend.next_delivery(shard.number())).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let catalog = shard.insist("read the configuration", || house.catalog()).await?;
        let mut positions: Vec<_> = rows.iter().map(|row| row.position).collect();
        positions.sort_unstable();
        positions.dedup();
        let events = shard.insist("read events", || house.store.events_at(&positions)).await?;
        let mut whole = HashMap::new();
        for logged in events {
            if let LoggedEvent::Whole(event, under) = logged {
                whole.insert(event.id, (Arc::new(*event), Arc::new(under), Arc::<Bodies>::default()));
            }
        }
        for row in rows {
            let Some(row) = self.not_under_way(row) else { continue };
            let stored = catalog.org(row.org).and_then(|config| config.targets.get(&row.target.uuid()));
            match (whole.get(&row.event), stored) {
                (Some((event, under, bodies)), Some(stored)) => {
                    let to = house.dispatcher.targets.ready(house, row.org, stored);
                    let (event, under) = (Arc::clone(event), Arc::clone(under));
                    self.resume(Delivery {
                        id: row.id,
                        event,
                        under,
                        bodies: Arc::clone(bodies),
                        to,
                        attempts: row.attempts,
                        behind: row.behind,
                        asked_at: row.asked_at,
                    });
                }
                // The event was erased or its target removed: there is nothing to send, or nobody to send it to.
                (event, _) => {
                    if let Some((event, ..)) = event {
                        shard
                            .insist("note that a message has no sender", || {
                                message::unsent(house, event, row.attempts, NO_SENDER)
                            })
                            .await?;
                    }
                    self.book.over(row.over());
                }
            }
        }
        Ok(true)
    }

    /// A claimed delivery that may be sent. One that was asked for anew while it was under way is taken back, or, where it is being
    /// sent, follows when that has ended.
    fn not_under_way(&mut self, row: DeliveryRow) -> Option<DeliveryRow> {
        let Some(flight) = self.flights.get_mut(&row.id).filter(|flight| flight.delivery.asked_at != row.asked_at) else {
            return (!self.flights.contains_key(&row.id)).then_some(row);
        };
        if flight.decided.swap(true, Ordering::AcqRel) {
            flight.again = Some(row);
            return None;
        }
        if let Some(seq) = flight.seq {
            self.book.closed(seq);
        }
        flight.lane.tries_nothing(flight.ticket);
        self.land(row.id);
        Some(row)
    }

    fn resume(&mut self, delivery: Delivery) {
        let house = &self.shard.house;
        let target = delivery.to.target();
        let lane = if delivery.behind { house.dispatcher.lane_behind(target) } else { house.dispatcher.lane(target) };
        match self.enter(&delivery, &lane, true) {
            Ok(ticket) => self.fly(delivery, lane, ticket, None),
            Err(due) => self.keep_for(&delivery, delivery.attempts, due),
        }
    }

    /// Whether a delivery may go now, else when to look again.
    fn enter(&self, delivery: &Delivery, lane: &Lane, again: bool) -> Result<Ticket, Timestamp> {
        let (now, pause) = (self.shard.house.now(), order::pause(lane.pace()));
        let line = order::line(delivery);
        if line.is_some() && again && delivery.event.position.seq > self.book.read_to() {
            // After a restart: events before it may not have been read again yet.
            return Err(now.plus(pause));
        }
        self.order.may_go(line, again, now, pause)?;
        lane.enter(now, again, delivery.keeps_its_pauses())
    }

    /// Notes a delivery for later, and that others of its pass come after it.
    fn keep_for(&mut self, delivery: &Delivery, attempts: i32, due: Timestamp) {
        self.order.kept(order::line(delivery), due);
        self.keep(delivery.row(attempts, due));
    }

    /// Keeps in the store what was not settled soon: what waits in memory is taken back, what is being sent stays ours for a
    /// while. Either way its event is not needed any more.
    fn spill(&mut self) {
        if self.spill_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        let spill_after = self.shard.house.settings.webhooks.spill_after;
        let now = self.shard.house.now();
        let late = |flight: &Flight| flight.seq.is_some() && flight.since.elapsed() >= spill_after;
        let late: Vec<DeliveryId> = self.flights.iter().filter(|(_, flight)| late(flight)).map(|(id, _)| *id).collect();
        for id in late {
            let Some(flight) = self.flights.get_mut(&id) else { continue };
            if let Some(seq) = flight.seq.take() {
                self.book.closed(seq);
            }
            metrics::counter!("deliveries_spilled_total").increment(1);
            let delivery = flight.delivery.clone();
            if flight.decided.swap(true, Ordering::AcqRel) {
                // It is due, so it is claimed next, and due again at once for whoever comes after a crash.
                flight.kept = true;
            } else {
                flight.lane.tries_nothing(flight.ticket);
                self.land(id);
            }
            self.keep_for(&delivery, delivery.attempts, now);
        }
        let fresh = self.flights.values().filter(|flight| flight.seq.is_some());
        self.spill_at = fresh.map(|flight| flight.since + spill_after).min();
    }

    /// Forgets a delivery that is under way no more.
    fn land(&mut self, id: DeliveryId) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        flight.task.abort();
        self.ids.remove(&flight.task.id());
        flight.lane.leave();
        self.order.ended(order::line(&flight.delivery));
        Some(flight)
    }

    /// Takes what a task brings.
    fn ended(&mut self, ended: Result<(Id, Attempted), JoinError>) {
        let (task, attempted) = match ended {
            Ok((task, attempted)) => (task, Some(attempted)),
            Err(error) => (error.id(), None),
        };
        // Those that were taken back are not known any more.
        let Some(flight) = self.ids.remove(&task).and_then(|id| self.land(id)) else { return };
        if let Some(seq) = flight.seq {
            self.book.closed(seq);
        }
        let next = match attempted {
            Some(Attempted { row, then }) => {
                self.book.attempt(row);
                self.follow(&flight, then)
            }
            None => {
                tracing::error!(delivery = %flight.delivery.id, "a delivery's task broke off; it is tried again");
                let due = self.shard.house.now().plus(CLAIM);
                Some(flight.delivery.row(flight.delivery.attempts.saturating_add(1), due))
            }
        };
        if let Some(row) = flight.again.or(next) {
            self.order.kept(order::line(&flight.delivery), row.due_at);
            self.keep(row);
        } else if flight.kept {
            let delivery = &flight.delivery;
            self.book.over(DeliveryOver { org: delivery.event.org, id: delivery.id, asked_at: delivery.asked_at });
        }
    }

    /// Lets what is being sent finish and writes down what became of it; what still waits is left to whoever comes next.
    async fn drain(&mut self) -> Result<(), End> {
        let undecided = |flight: &Flight| !flight.decided.swap(true, Ordering::AcqRel);
        let waiting: Vec<DeliveryId> = self.flights.iter().filter(|(_, flight)| undecided(flight)).map(|(id, _)| *id).collect();
        for id in waiting {
            self.land(id);
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.ended(ended);
            }
            self.switch_off().await?;
            self.flush().await?;
        }
        self.flush().await?;
        Err(End::Stopped)
    }
}

/// One delivery from its lane to its outcome.
async fn fly(house: Arc<House>, delivery: Delivery, lane: Arc<Lane>, ticket: Ticket, decided: Arc<AtomicBool>) -> Attempted {
    if let Some(messenger) = delivery.to.vendor().and_then(|vendor| vendor.messenger) {
        return message::fly(house, delivery, lane, (ticket, decided), messenger).await;
    }
    if delivery.to.vendor().is_some() {
        return gather::fly(house, delivery, lane, ticket, decided).await;
    }
    let place = lane.place(&house.dispatcher, ticket).await;
    if decided.swap(true, Ordering::AcqRel) {
        // It was taken back; this task is about to be aborted.
        std::future::pending::<()>().await;
    }
    if let Some(due) = delivery.waits(&house, &lane, ticket).await {
        return Attempted { row: None, then: Then::Again(delivery.row(delivery.attempts, due)) };
    }
    let catalog = house.store.catalog();
    let config = catalog.org(delivery.event.org);
    let stored = config.and_then(|config| config.targets.get(&delivery.to.target().id.uuid()));
    let attempted = match stored {
        Some(stored) if stored.value.target.enabled => delivery.attempt(&house, &lane).await,
        _ => delivery.expire(&house, "the target was switched off"),
    };
    drop(place);
    attempted
}
