//! One lane per target: how many requests it gets at once, and how many may wait for it in memory.
//!
//! A target that answers quickly may have many waiting, for they are soon gone; one that is slow gets few, and the rest is
//! owed in the store. One that times out again and again gets one request at a time, and all of those together a small part
//! of the places there are.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{TargetId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::WebhookSettings;

/// Timeouts in a row after which a target counts as sick.
const SICK_AFTER: u32 = 5;
/// Part of all places that sick targets get together, as a divisor.
const SICK_SHARE: usize = 10;
/// What may wait in memory must be gone after this.
const WAIT_AT_MOST: Duration = Duration::from_secs(20);
/// Fewest and most deliveries that may wait in memory per target.
const WAITING: std::ops::RangeInclusive<u64> = 16..=1_024;
/// Longest time after which a delivery is looked at again for which there was no room.
const LONGEST_DETOUR: Duration = Duration::from_secs(60);

/// All lanes of this node.
pub(crate) struct Dispatcher {
    lanes: Mutex<HashMap<TargetId, Arc<Lane>>>,
    concurrency: usize,
    everywhere: Arc<Semaphore>,
    sick: Arc<Semaphore>,
    pub(super) targets: super::targets::Targets,
}

/// The way to one target.
pub(crate) struct Lane {
    places: Arc<Semaphore>,
    narrow: Arc<Semaphore>,
    concurrency: u64,
    waiting: AtomicUsize,
    /// How long a request takes, in microseconds, moving average.
    pace: AtomicU64,
    timeouts: AtomicU32,
    is_sick: AtomicBool,
    /// Until when the target asked to be left alone, in microseconds since the Unix epoch.
    not_before: AtomicI64,
    /// When to look again how long it has failed, in the same.
    look_at: AtomicI64,
}

/// The right to send one request.
pub(crate) struct Place {
    _everywhere: OwnedSemaphorePermit,
    _lane: OwnedSemaphorePermit,
    _sick: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Dispatcher {
    pub(crate) fn new(settings: &WebhookSettings) -> Self {
        Self {
            lanes: Mutex::default(),
            concurrency: settings.concurrency.max(1),
            everywhere: Arc::new(Semaphore::new(settings.in_flight.max(1))),
            sick: Arc::new(Semaphore::new((settings.in_flight / SICK_SHARE).max(1))),
            targets: super::targets::Targets::default(),
        }
    }

    pub(super) fn lane(&self, target: TargetId) -> Arc<Lane> {
        let new = || {
            Arc::new(Lane {
                places: Arc::new(Semaphore::new(self.concurrency)),
                narrow: Arc::new(Semaphore::new(1)),
                concurrency: self.concurrency as u64,
                waiting: AtomicUsize::new(0),
                pace: AtomicU64::new(0),
                timeouts: AtomicU32::new(0),
                is_sick: AtomicBool::new(false),
                not_before: AtomicI64::new(i64::MIN),
                look_at: AtomicI64::new(i64::MIN),
            })
        };
        Arc::clone(self.lanes.lock().entry(target).or_insert_with(new))
    }

    /// Forgets idle lanes, when there are very many.
    pub(super) fn tidy(&self, most: usize) {
        let mut lanes = self.lanes.lock();
        if lanes.len() > most {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
    }
}

impl Lane {
    /// Enters the lane, unless so many wait that this one would wait too long; then when to look again.
    pub(super) fn enter(&self, now: Timestamp) -> Result<(), Timestamp> {
        let not_before = Timestamp::from_micros(self.not_before.load(Ordering::Relaxed));
        if not_before > now {
            return Err(not_before);
        }
        let waiting = self.waiting.load(Ordering::Relaxed) as u64;
        if waiting >= self.room() {
            let rounds = waiting / self.concurrency() + 1;
            let detour = Duration::from_micros(self.pace.load(Ordering::Relaxed).saturating_mul(rounds));
            return Err(now.plus(detour.clamp(Duration::from_secs(1), LONGEST_DETOUR)));
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(())
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

    fn concurrency(&self) -> u64 {
        if self.is_sick.load(Ordering::Relaxed) { 1 } else { self.concurrency }
    }

    /// How many may be in the lane.
    fn room(&self) -> u64 {
        if self.is_sick.load(Ordering::Relaxed) {
            return 1;
        }
        let pace = self.pace.load(Ordering::Relaxed).max(1);
        let soon = u64::try_from(WAIT_AT_MOST.as_micros()).unwrap_or(u64::MAX) / pace;
        soon.saturating_mul(self.concurrency).clamp(*WAITING.start(), *WAITING.end())
    }

    /// Waits for a place of the lane and one of the node.
    pub(super) async fn place(&self, dispatcher: &Dispatcher) -> Option<Place> {
        let lane = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let sick = if self.is_sick.load(Ordering::Relaxed) {
            let narrow = Arc::clone(&self.narrow).acquire_owned().await.ok()?;
            Some((narrow, Arc::clone(&dispatcher.sick).acquire_owned().await.ok()?))
        } else {
            None
        };
        let everywhere = Arc::clone(&dispatcher.everywhere).acquire_owned().await.ok()?;
        Some(Place { _everywhere: everywhere, _lane: lane, _sick: sick })
    }

    /// Learns from a request.
    pub(super) fn learn(&self, elapsed: Duration, timed_out: bool, left_alone_until: Option<Timestamp>) {
        let took = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let pace = self.pace.load(Ordering::Relaxed);
        self.pace.store(if pace == 0 { took } else { (pace / 8).saturating_mul(7).saturating_add(took / 8) }, Ordering::Relaxed);
        if timed_out {
            if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 == SICK_AFTER {
                self.is_sick.store(true, Ordering::Relaxed);
            }
        } else {
            self.timeouts.store(0, Ordering::Relaxed);
            self.is_sick.store(false, Ordering::Relaxed);
        }
        if let Some(until) = left_alone_until {
            self.not_before.fetch_max(until.as_micros(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn a_sick_target_gets_one_place() {
        let dispatcher = Dispatcher::new(&WebhookSettings::default());
        let lane = dispatcher.lane(TargetId::from_uuid(Default::default()));
        assert!((0..16).all(|_| lane.enter(NOW).is_ok()), "a lane that is not known yet has room");
        (0..16).for_each(|_| lane.leave());
        (0..SICK_AFTER).for_each(|_| lane.learn(Duration::from_secs(15), true, None));
        assert!(lane.enter(NOW).is_ok());
        let later = lane.enter(NOW).unwrap_err();
        assert!(later > NOW && later <= NOW.plus(LONGEST_DETOUR), "{later}");
        lane.learn(Duration::from_millis(1), false, None);
        assert!(lane.enter(NOW).is_ok(), "one answer and it is well again");
    }

    #[test]
    fn a_target_that_asks_for_time_gets_it() {
        let dispatcher = Dispatcher::new(&WebhookSettings::default());
        let lane = dispatcher.lane(TargetId::from_uuid(Default::default()));
        let until = NOW.plus(Duration::from_secs(90));
        lane.learn(Duration::from_millis(5), false, Some(until));
        assert_eq!(lane.enter(NOW), Err(until));
        assert!(lane.enter(until).is_ok());
    }

    #[test]
    fn a_quick_target_may_have_more_waiting_than_a_slow_one() {
        let dispatcher = Dispatcher::new(&WebhookSettings::default());
        let lane = dispatcher.lane(TargetId::from_uuid(Default::default()));
        lane.learn(Duration::from_secs(10), false, None);
        let slow = (0..).take_while(|_| lane.enter(NOW).is_ok()).count();
        (0..60).for_each(|_| lane.learn(Duration::from_millis(2), false, None));
        let more = (0..).take_while(|_| lane.enter(NOW).is_ok()).count();
        assert!(slow == 16 && slow + more == 1_024, "{slow} {more}");
    }
}
