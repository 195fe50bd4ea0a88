//! One lane per target: how many requests it gets at once and in a second, and how many may wait for it in memory.
//!
//! A target that answers quickly may have many waiting, for they are soon gone; one that is slow gets few, and the rest is
//! owed in the store. One that says that it has too much gets half of the requests at once, and one more for every round that
//! went well. One that times out again and again gets one request at a time, and all of those together a small part of the
//! places there are. One that fails again and again is left alone for a while, then tried by a single request: what waits in the
//! lane by then is asked again before it goes. Where a target is switched off after so many deliveries that were given up, those
//! that were tried already go on at their own pauses, else none would ever be given up. A database is tried every few seconds:
//! what keeps it from taking rows, a full disk or a restart, is over from one moment to the next, for all rows.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use connectors::catalog::Carrier;
use domain::{Target, TargetId, TargetPace, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    WebhookSettings,
    turns::Turns,
    window::{Held, Window},
};

/// Timeouts in a row after which a target counts as sick.
const SICK_AFTER: u32 = 5;
/// Requests of this node at once.
const IN_FLIGHT: usize = 512;
/// Part of all places that sick targets get together, as a divisor.
const SICK_SHARE: usize = 10;
/// What may wait in memory must be gone after this.
const WAIT_AT_MOST: Duration = Duration::from_secs(20);
/// Fewest and most deliveries that may wait in memory per target.
const WAITING: std::ops::RangeInclusive<u64> = 16..=1_024;
/// Longest time after which a delivery is looked at again for which there was no room.
const LONGEST_DETOUR: Duration = Duration::from_secs(60);
/// Failures in a row after which a target is left alone.
const BREAK_AFTER: u32 = 10;
/// For how long at first; doubles up to [`LONGEST_BREAK`].
const FIRST_BREAK: Duration = Duration::from_secs(15);
/// For how long at most.
const LONGEST_BREAK: Duration = Duration::from_secs(300);
/// How often a database that fails again and again is tried; what is not the one that tries it waits as it does elsewhere.
const DATABASE_BREAK: Duration = Duration::from_secs(5);
/// How long the single request that tries whether a target is well again may take.
const PROBE_AT_MOST: Duration = Duration::from_secs(40);
/// Replays to one target at once.
const REPLAYS_AT_ONCE: u16 = 2;
/// How much too early a request may be that has a second to itself.
const EARLY: Duration = Duration::from_millis(50);

/// All lanes of this node.
pub(crate) struct Dispatcher {
    lanes: Mutex<HashMap<TargetId, Arc<Lane>>>,
    /// The lanes for replays, which no delivery of what happens now waits for.
    behind: Mutex<HashMap<TargetId, Arc<Lane>>>,
    concurrency: usize,
    everywhere: Arc<Semaphore>,
    /// The places for all replays together.
    replays: Arc<Semaphore>,
    sick: Arc<Semaphore>,
    pub(super) targets: super::targets::Targets,
}

/// The way to one target.
pub(crate) struct Lane {
    /// What its owner asked for.
    asked: TargetPace,
    /// Of a lane for replays, the one that goes before.
    before: Option<Arc<Lane>>,
    /// Whether it leads to a database.
    is_database: bool,
    /// For how long what does not try it is sent away, in microseconds, while it fails again and again.
    detour: AtomicU64,
    window: Arc<Window>,
    narrow: Arc<Semaphore>,
    /// The places of a sick target for what was tried before and goes on at its own pauses.
    tried: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// How long a request takes, in microseconds, moving average.
    pace: AtomicU64,
    timeouts: AtomicU32,
    is_sick: AtomicBool,
    /// Failures in a row.
    failures: AtomicU32,
    /// How often it was left alone since it last took something.
    breaks: AtomicU32,
    /// Until when it is left alone for its failures, in microseconds since the Unix epoch, as all times here.
    open_until: AtomicI64,
    /// Until when a single request tries it.
    probe_until: AtomicI64,
    /// Until when the target asked to be left alone.
    not_before: AtomicI64,
    /// When to look again how long it has failed.
    look_at: AtomicI64,
    seconds: Mutex<Seconds>,
    /// When a request may begin, where the target's connector keeps them apart; the same for all lanes to it.
    pub(super) turns: Arc<Turns>,
    /// What waits to be sent together, where the target takes more than one event a request.
    pub(super) gathered: super::gather::Gathered,
}

/// When requests may be sent, where there is a limit per second.
#[derive(Debug)]
struct Seconds {
    next: i64,
    /// Up to when times are given to deliveries that wait in the store.
    booked: i64,
}

/// The right to send one request.
pub(crate) struct Place {
    _everywhere: OwnedSemaphorePermit,
    _lane: Option<Held>,
    _sick: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

/// As what a delivery goes into a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// As any other: it waits while the target is left alone.
    Usual,
    /// As the single request that tries whether the target is well again.
    Probe,
    /// As one that was tried before and goes on at its own pauses, unless the target itself asked to be left alone.
    Tried,
}

/// What a request taught about its target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lesson {
    pub(super) elapsed: Duration,
    pub(super) timed_out: bool,
    /// Whether it is to be tried again.
    pub(super) failed: bool,
    /// Whether the target said that it has too much.
    pub(super) busy: bool,
    /// What the target asked for.
    pub(super) left_alone_until: Option<Timestamp>,
    pub(super) now: Timestamp,
    /// Any uniformly drawn number.
    pub(super) random: u64,
}

impl Dispatcher {
    pub(crate) fn new(settings: &WebhookSettings) -> Self {
        Self {
            lanes: Mutex::default(),
            behind: Mutex::default(),
            replays: Arc::new(Semaphore::new(IN_FLIGHT / SICK_SHARE)),
            concurrency: settings.concurrency.max(1),
            everywhere: Arc::new(Semaphore::new(IN_FLIGHT)),
            sick: Arc::new(Semaphore::new(IN_FLIGHT / SICK_SHARE)),
            targets: super::targets::Targets::default(),
        }
    }

    /// The lane of a target; another one once its owner asks for another pace.
    pub(super) fn lane(&self, target: &Target) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        let known = lanes.get(&target.id);
        if let Some(lane) = known.filter(|lane| lane.asked == target.pace) {
            return Arc::clone(lane);
        }
        let turns = known.map(|former| Arc::clone(&former.turns)).unwrap_or_default();
        let lane = Arc::new(Lane { is_database: is_database(target), turns, ..Lane::new(target.pace, self.concurrency) });
        lanes.insert(target.id, Arc::clone(&lane));
        lane
    }

    /// The lane for replays to a target: few at once, and only where its own lane has seconds to spare.
    pub(super) fn lane_behind(&self, target: &Target) -> Arc<Lane> {
        let before = self.lane(target);
        let mut lanes = self.behind.lock();
        let known = lanes.get(&target.id).filter(|lane| lane.before.as_ref().is_some_and(|known| Arc::ptr_eq(known, &before)));
        if let Some(lane) = known {
            return Arc::clone(lane);
        }
        let few = target.pace.concurrency.map_or(REPLAYS_AT_ONCE, |most| most.min(REPLAYS_AT_ONCE));
        let asked = TargetPace { concurrency: Some(few), ..target.pace };
        let (is_database, turns) = (before.is_database, Arc::clone(&before.turns));
        let lane = Arc::new(Lane { before: Some(before), is_database, turns, ..Lane::new(asked, self.concurrency) });
        lanes.insert(target.id, Arc::clone(&lane));
        lane
    }

    /// Forgets idle lanes, when there are very many.
    pub(super) fn tidy(&self, most: usize) {
        for lanes in [&self.behind, &self.lanes] {
            let mut lanes = lanes.lock();
            if lanes.len() > most {
                lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
            }
        }
    }
}

impl Lane {
    fn new(asked: TargetPace, concurrency: usize) -> Self {
        let concurrency = asked.concurrency.map_or(concurrency, usize::from);
        Self {
            asked,
            before: None,
            is_database: false,
            detour: AtomicU64::new(0),
            window: Window::new(concurrency),
            narrow: Arc::new(Semaphore::new(1)),
            tried: Arc::new(Semaphore::new(concurrency)),
            waiting: AtomicUsize::new(0),
            pace: AtomicU64::new(0),
            timeouts: AtomicU32::new(0),
            is_sick: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            breaks: AtomicU32::new(0),
            open_until: AtomicI64::new(i64::MIN),
            probe_until: AtomicI64::new(i64::MIN),
            not_before: AtomicI64::new(i64::MIN),
            look_at: AtomicI64::new(i64::MIN),
            seconds: Mutex::new(Seconds { next: i64::MIN, booked: i64::MIN }),
            turns: Arc::default(),
            gathered: super::gather::Gathered::default(),
        }
    }

    /// Enters the lane, unless so many wait that this one would wait too long, or the target is left alone; then when to look
    /// again. `again` says that the delivery was told a time before, `tried` that it was tried and goes on at its own pauses.
    pub(super) fn enter(&self, now: Timestamp, again: bool, tried: bool) -> Result<Ticket, Timestamp> {
        self.left_alone(now, tried)?;
        if tried {
            self.take_a_time(now, again)?;
            self.waiting.fetch_add(1, Ordering::Relaxed);
            return Ok(Ticket::Tried);
        }
        let waiting = self.waiting.load(Ordering::Relaxed) as u64;
        if waiting >= self.room() {
            let rounds = waiting / self.concurrency() + 1;
            let detour = Duration::from_micros(self.pace.load(Ordering::Relaxed).saturating_mul(rounds));
            return Err(now.plus(detour.clamp(Duration::from_secs(1), LONGEST_DETOUR)));
        }
        let ticket = self.probe(now)?;
        if let Err(later) = self.take_a_time(now, again) {
            self.tries_nothing(ticket);
            return Err(later);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(ticket)
    }

    /// As what one that got a place may still go: others may have failed while it waited. Else when to look again.
    pub(super) fn may_go(&self, now: Timestamp, ticket: Ticket) -> Result<Ticket, Timestamp> {
        match ticket {
            Ticket::Probe => Ok(ticket),
            Ticket::Tried => self.left_alone(now, true).map(|()| ticket),
            Ticket::Usual => self.left_alone(now, false).and_then(|()| self.probe(now)),
        }
    }

    /// One that was let through has to wait after all, for its second, its turn or a place. Where it was to try the target, the next
    /// that comes may.
    pub(super) fn tries_nothing(&self, ticket: Ticket) {
        if ticket == Ticket::Probe {
            self.probe_until.store(i64::MIN, Ordering::Relaxed);
        }
    }

    /// Refuses while the target is left alone: for its failures, unless `tried`, or because it asked for it.
    fn left_alone(&self, now: Timestamp, tried: bool) -> Result<(), Timestamp> {
        let alone = self.before.as_ref().map_or(i64::MIN, |before| before.alone(tried)).max(self.alone(tried));
        if alone > now.as_micros() { Err(Timestamp::from_micros(alone).max(self.sent_away(now))) } else { Ok(()) }
    }

    /// Until when the target is left alone.
    fn alone(&self, tried: bool) -> i64 {
        let for_failures = if tried { i64::MIN } else { self.open_until.load(Ordering::Relaxed) };
        self.not_before.load(Ordering::Relaxed).max(for_failures)
    }

    /// Of a target that failed again and again only one request is let through, which tries whether it is well again.
    fn probe(&self, now: Timestamp) -> Result<Ticket, Timestamp> {
        if self.failures.load(Ordering::Relaxed) < BREAK_AFTER {
            return Ok(Ticket::Usual);
        }
        let until = self.probe_until.load(Ordering::Relaxed);
        let next = now.plus(PROBE_AT_MOST).as_micros();
        let mine = until <= now.as_micros()
            && self.probe_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine { Ok(Ticket::Probe) } else { Err(now.plus(FIRST_BREAK).max(self.sent_away(now))) }
    }

    /// When to look again at what is not the one that tries a database; it is told as soon as that works.
    fn sent_away(&self, now: Timestamp) -> Timestamp {
        now.plus(Duration::from_micros(self.detour.load(Ordering::Relaxed)))
    }

    /// Keeps to the limit per second. What comes too early is told a time of its own, after those that were told one before.
    fn take_a_time(&self, now: Timestamp, again: bool) -> Result<(), Timestamp> {
        let Some(per_second) = self.asked.per_second else { return Ok(()) };
        let (now, between) = (now.as_micros(), 1_000_000 / i64::from(per_second.max(1)));
        let early = i64::try_from(EARLY.as_micros()).unwrap_or(i64::MAX);
        let behind = self.before.is_some();
        let mut seconds = self.before.as_ref().map_or(&self.seconds, |before| &before.seconds).lock();
        let others_wait = (behind || !again) && seconds.booked > now;
        if seconds.next <= now.saturating_add(early) && !others_wait {
            seconds.next = seconds.next.max(now).saturating_add(between);
            return Ok(());
        }
        if behind {
            // It takes what is left over, and books nothing.
            return Err(Timestamp::from_micros(seconds.booked.max(seconds.next).max(now).saturating_add(between)));
        }
        seconds.booked = seconds.booked.max(seconds.next).max(now).saturating_add(between);
        Err(Timestamp::from_micros(seconds.booked))
    }

    /// Whether it is time to look how long the target has failed; then not again for a while.
    pub(super) fn may_look(&self, now: Timestamp, again_after: Duration) -> bool {
        let due = self.look_at.load(Ordering::Relaxed);
        let next = now.plus(again_after).as_micros();
        due <= now.as_micros() && self.look_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Leaves the lane again, sent or not.
    pub(super) fn leave(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// How long a request takes, on average.
    pub(super) fn pace(&self) -> Duration {
        Duration::from_micros(self.pace.load(Ordering::Relaxed))
    }

    fn concurrency(&self) -> u64 {
        if self.is_sick.load(Ordering::Relaxed) { 1 } else { self.window.allowed() as u64 }
    }

    /// How many may be in the lane.
    fn room(&self) -> u64 {
        if self.is_sick.load(Ordering::Relaxed) {
            return 1;
        }
        let pace = self.pace.load(Ordering::Relaxed).max(1);
        let soon = u64::try_from(WAIT_AT_MOST.as_micros()).unwrap_or(u64::MAX) / pace;
        soon.saturating_mul(self.concurrency()).clamp(*WAITING.start(), *WAITING.end())
    }

    /// Waits for a place of the lane and one of the node.
    pub(super) async fn place(&self, dispatcher: &Dispatcher, ticket: Ticket) -> Option<Place> {
        // What its owner asked for holds for these, too.
        let beside = ticket == Ticket::Tried && self.asked.concurrency.is_none() && self.is_sick.load(Ordering::Relaxed);
        let lane = if beside { None } else { Some(self.window.hold().await?) };
        let sick = if self.is_sick.load(Ordering::Relaxed) {
            let narrow = if beside { &self.tried } else { &self.narrow };
            let narrow = Arc::clone(narrow).acquire_owned().await.ok()?;
            Some((narrow, Arc::clone(&dispatcher.sick).acquire_owned().await.ok()?))
        } else {
            None
        };
        let everywhere = if self.before.is_some() { &dispatcher.replays } else { &dispatcher.everywhere };
        let everywhere = Arc::clone(everywhere).acquire_owned().await.ok()?;
        Some(Place { _everywhere: everywhere, _lane: lane, _sick: sick })
    }

    /// Waits for a place for a request that can begin at once, so that nobody waits for its place meanwhile.
    pub(super) async fn next(&self, dispatcher: &Dispatcher) -> Option<Place> {
        self.turns.come().await;
        self.place(dispatcher, Ticket::Usual).await
    }

    /// Learns from a request; true when it took something that had failed before, or that had not been tried yet.
    pub(super) fn learn(&self, lesson: Lesson) -> bool {
        let took = u64::try_from(lesson.elapsed.as_micros()).unwrap_or(u64::MAX);
        let pace = self.pace.load(Ordering::Relaxed);
        self.pace.store(
            if pace == 0 { took.max(1) } else { (pace / 8).saturating_mul(7).saturating_add(took / 8) },
            Ordering::Relaxed,
        );
        if lesson.timed_out {
            if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 == SICK_AFTER {
                self.is_sick.store(true, Ordering::Relaxed);
            }
        } else {
            self.timeouts.store(0, Ordering::Relaxed);
            self.is_sick.store(false, Ordering::Relaxed);
        }
        if lesson.timed_out || lesson.busy {
            self.window.halve();
        }
        if let Some(until) = lesson.left_alone_until {
            self.not_before.fetch_max(until.as_micros(), Ordering::Relaxed);
        }
        if lesson.failed {
            self.failed(&lesson);
            false
        } else {
            self.window.grow();
            let failures = self.failures.swap(0, Ordering::Relaxed);
            self.breaks.store(0, Ordering::Relaxed);
            self.detour.store(0, Ordering::Relaxed);
            self.open_until.store(i64::MIN, Ordering::Relaxed);
            self.probe_until.store(i64::MIN, Ordering::Relaxed);
            failures > 0 || pace == 0
        }
    }

    /// Whether it leads to a database.
    pub(super) const fn is_database(&self) -> bool {
        self.is_database
    }

    fn failed(&self, lesson: &Lesson) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let now = lesson.now.as_micros();
        if failures < BREAK_AFTER || self.open_until.load(Ordering::Relaxed) > now {
            return;
        }
        let breaks = self.breaks.fetch_add(1, Ordering::Relaxed);
        let mut pause = FIRST_BREAK.saturating_mul(1 << breaks.min(5)).min(LONGEST_BREAK);
        if self.is_database {
            self.detour.store(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
            pause = DATABASE_BREAK;
        }
        // Up to a fifth more, so that not all are tried at once.
        let more = lesson.random % (u64::try_from(pause.as_micros()).unwrap_or(u64::MAX) / 5 + 1);
        let until = lesson.now.plus(pause + Duration::from_micros(more));
        self.open_until.store(until.as_micros(), Ordering::Relaxed);
        self.probe_until.store(i64::MIN, Ordering::Relaxed);
        metrics::counter!("targets_left_alone_total").increment(1);
    }
}

/// Whether a target is a database.
fn is_database(target: &Target) -> bool {
    let vendor = connectors::catalog::find(&target.dialect).and_then(|connector| connector.destination?.vendor);
    vendor.is_some_and(|vendor| matches!(vendor.carrier, Carrier::Database(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const MILLI: Duration = Duration::from_millis(1);

    fn lane(change: impl FnOnce(&mut TargetPace)) -> Arc<Lane> {
        let mut target = Target::new(TargetId::from_uuid(Default::default()), "", "", NOW);
        change(&mut target.pace);
        Dispatcher::new(&WebhookSettings::default()).lane(&target)
    }

    fn went_well(elapsed: Duration) -> Lesson {
        Lesson { elapsed, timed_out: false, failed: false, busy: false, left_alone_until: None, now: NOW, random: 0 }
    }

    #[test]
    fn a_sick_target_gets_one_place() {
        let lane = lane(|_| ());
        assert!((0..16).all(|_| lane.enter(NOW, false, false).is_ok()), "a lane that is not known yet has room");
        (0..16).for_each(|_| lane.leave());
        let timeout = Lesson { timed_out: true, failed: true, ..went_well(Duration::from_secs(15)) };
        for _ in 0..SICK_AFTER {
            lane.learn(timeout);
        }
        assert!(lane.enter(NOW, false, false).is_ok());
        let later = lane.enter(NOW, false, false).unwrap_err();
        assert!(later > NOW && later <= NOW.plus(LONGEST_DETOUR), "{later}");
        lane.learn(went_well(MILLI));
        assert!(lane.enter(NOW, false, false).is_ok(), "one answer and it is well again");
    }

    #[test]
    fn a_target_that_asks_for_time_gets_it() {
        let lane = lane(|_| ());
        let until = NOW.plus(Duration::from_secs(90));
        lane.learn(Lesson { left_alone_until: Some(until), ..went_well(MILLI) });
        assert_eq!(lane.enter(NOW, false, false), Err(until));
        assert_eq!(lane.enter(NOW, false, true), Err(until), "also by what was tried before");
        assert!(lane.enter(until, true, false).is_ok());
    }

    #[test]
    fn what_waits_is_asked_again_before_it_goes() {
        let lane = lane(|_| ());
        let waiting = (0..).take_while(|_| lane.enter(NOW, false, false).is_ok()).count();
        assert_eq!(waiting, usize::try_from(*WAITING.end()).unwrap());
        let failed = |now| Lesson { failed: true, now, ..went_well(MILLI) };
        assert_eq!(lane.may_go(NOW, Ticket::Usual), Ok(Ticket::Usual));
        (0..BREAK_AFTER).for_each(|_| assert!(!lane.learn(failed(NOW))));
        let until = NOW.plus(FIRST_BREAK);
        assert_eq!(lane.may_go(NOW, Ticket::Usual), Err(until));
        assert_eq!((lane.enter(NOW, true, true), lane.may_go(NOW, Ticket::Tried)), (Ok(Ticket::Tried), Ok(Ticket::Tried)));
        (0..waiting).for_each(|_| lane.leave());
        assert_eq!(lane.enter(until, true, false), Ok(Ticket::Probe));
        assert_eq!(lane.may_go(until, Ticket::Probe), Ok(Ticket::Probe));
        assert!(lane.may_go(until, Ticket::Usual).is_err(), "one is enough");
        lane.tries_nothing(Ticket::Usual);
        assert!(lane.may_go(until, Ticket::Usual).is_err(), "another than that");
        lane.tries_nothing(Ticket::Probe);
        assert_eq!(lane.may_go(until, Ticket::Usual), Ok(Ticket::Probe), "it has to wait for its turn, and the next tries");
    }

    #[test]
    fn a_quick_target_may_have_more_waiting_than_a_slow_one() {
        let lane = lane(|_| ());
        lane.learn(went_well(Duration::from_secs(10)));
        let slow = (0..).take_while(|_| lane.enter(NOW, false, false).is_ok()).count();
        for _ in 0..60 {
            lane.learn(went_well(MILLI * 2));
        }
        let more = (0..).take_while(|_| lane.enter(NOW, false, false).is_ok()).count();
        assert!(slow == 16 && slow + more == 1_024, "{slow} {more}");
    }

    #[test]
    fn a_target_that_fails_again_and_again_is_left_alone_and_then_tried() {
        let lane = lane(|_| ());
        let failed = |now| Lesson { failed: true, now, ..went_well(MILLI) };
        for _ in 1..BREAK_AFTER {
            lane.learn(failed(NOW));
        }
        assert!(lane.enter(NOW, false, false).is_ok(), "not yet");
        lane.learn(failed(NOW));
        let until = lane.enter(NOW, false, false).unwrap_err();
        assert_eq!(until, NOW.plus(FIRST_BREAK));
        lane.learn(failed(NOW));
        assert_eq!(lane.enter(NOW, false, false), Err(until), "what was under way changes nothing");
        assert!(lane.enter(until, true, false).is_ok(), "one tries it");
        assert_eq!(lane.enter(until, true, false), Err(until.plus(FIRST_BREAK)), "no second one");
        lane.learn(failed(until));
        let again = lane.enter(until, true, false).unwrap_err();
        assert_eq!(again, until.plus(FIRST_BREAK * 2), "longer");
        assert!(lane.enter(again, true, false).is_ok());
        lane.learn(went_well(MILLI));
        assert!((0..16).all(|_| lane.enter(again, false, false).is_ok()), "well again");
    }

    #[test]
    fn who_waits_for_a_second_keeps_nobody_from_trying_the_target() {
        let lane = lane(|pace| pace.per_second = Some(1));
        assert!(lane.enter(NOW, false, false).is_ok());
        let booked = lane.enter(NOW, false, false).unwrap_err();
        let failed = |now| Lesson { failed: true, now, ..went_well(MILLI) };
        (0..BREAK_AFTER).for_each(|_| assert!(!lane.learn(failed(NOW))));
        let (until, far) = (NOW.plus(FIRST_BREAK), 20);
        for _ in 0..far {
            let _ = lane.take_a_time(until, false);
        }
        assert!(booked > NOW && lane.enter(until, false, false).is_err(), "its second is yet to come");
        assert_eq!(lane.enter(until.plus(MILLI * 950), true, false), Ok(Ticket::Probe), "who has come to its own tries it");
    }

    #[test]
    fn a_database_is_tried_every_few_seconds_and_the_others_wait() {
        let mut target = Target::new(TargetId::from_uuid(Default::default()), "", "", NOW);
        "postgresql".clone_into(&mut target.dialect);
        let lane = Dispatcher::new(&WebhookSettings::default()).lane(&target);
        assert!(lane.learn(went_well(MILLI)), "the first time");
        assert!(!lane.learn(went_well(MILLI)));
        let failed = |now| Lesson { failed: true, now, ..went_well(MILLI) };
        let mut now = NOW;
        (0..BREAK_AFTER).for_each(|_| assert!(!lane.learn(failed(now))));
        for breaks in 0..8 {
            let away = lane.enter(now, false, false).unwrap_err();
            assert_eq!(away, now.plus(FIRST_BREAK.saturating_mul(1 << breaks.min(5)).min(LONGEST_BREAK)), "{breaks}");
            now = now.plus(DATABASE_BREAK);
            assert!(lane.enter(now, false, false).is_ok(), "whoever comes then tries it");
            assert!(lane.enter(now, false, false).unwrap_err() > now.plus(DATABASE_BREAK), "no second one");
            lane.learn(failed(now));
        }
        assert!(lane.learn(went_well(MILLI)), "it takes something again");
        assert!((0..16).all(|_| lane.enter(now, false, false).is_ok()));
    }

    #[test]
    fn times_are_given_in_turn_where_there_is_a_limit_per_second() {
        let lane = lane(|pace| pace.per_second = Some(10));
        let at = |millis: u64| NOW.plus(MILLI * u32::try_from(millis).unwrap());
        assert!(lane.enter(NOW, false, false).is_ok());
        let told: Vec<_> = (0..3).map(|_| lane.enter(NOW, false, false).unwrap_err()).collect();
        assert_eq!(told, [200, 300, 400].map(at), "each its own");
        assert_eq!(lane.enter(at(150), false, false), Err(at(500)), "a later one does not push in");
        for time in [200, 300, 400, 500] {
            assert!(lane.enter(at(time), true, false).is_ok(), "{time}");
            assert!(lane.enter(at(time), false, false).is_err());
        }
        assert!(lane.enter(at(5_000), false, false).is_ok() && lane.enter(at(5_000), false, false).is_err());
    }

    #[test]
    fn replays_go_behind() {
        let dispatcher = Dispatcher::new(&WebhookSettings::default());
        let mut target = Target::new(TargetId::from_uuid(Default::default()), "", "", NOW);
        target.pace.per_second = Some(10);
        let (live, behind) = (dispatcher.lane(&target), dispatcher.lane_behind(&target));
        assert!(Arc::ptr_eq(&behind, &dispatcher.lane_behind(&target)) && !Arc::ptr_eq(&live, &behind));
        assert_eq!((live.concurrency(), behind.concurrency()), (8, 2));
        assert!(behind.enter(NOW, true, false).is_ok(), "nobody else wants the second");
        assert!(live.enter(NOW, false, false).is_err());
        let later = NOW.plus(MILLI * 150);
        assert!(behind.enter(later, true, false).is_err(), "one that happened now waits for it");
        assert!(live.enter(NOW.plus(MILLI * 200), true, false).is_ok());
        let until = NOW.plus(Duration::from_secs(60));
        live.learn(Lesson { left_alone_until: Some(until), ..went_well(MILLI) });
        assert_eq!(behind.enter(later, true, false), Err(until));
    }

    #[test]
    fn a_changed_pace_makes_another_lane() {
        let dispatcher = Dispatcher::new(&WebhookSettings::default());
        let mut target = Target::new(TargetId::from_uuid(Default::default()), "", "", NOW);
        let first = dispatcher.lane(&target);
        assert!(Arc::ptr_eq(&first, &dispatcher.lane(&target)));
        target.pace.concurrency = Some(1);
        let other = dispatcher.lane(&target);
        assert!(!Arc::ptr_eq(&first, &other) && other.concurrency() == 1 && first.concurrency() == 8);
    }
}
