//! When requests to a target may begin.
//!
//! A turn is taken when a request really begins, after whatever it had to wait for, and by everything that asks the target
//! something: what happens now, replays and backfills. A service that counts requests by when they come is not asked again until
//! its pause is over since its answer, for how long a request was on its way is not known.

use std::time::Duration;

use connectors::kit::Pace;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

/// When the next request to one target may begin; nothing until the first did. Whoever waits for it comes in turn.
#[derive(Default)]
pub(super) struct Turns(Mutex<Option<Instant>>);

impl Turns {
    /// Waits until a request could begin, and leaves that to others.
    pub(super) async fn come(&self) {
        let next = self.0.lock().await;
        wait_for(*next).await;
    }

    /// Waits until the target's pace lets a request begin, which it does then. It is over when the turn is dropped.
    pub(super) async fn begin(&self, pace: Pace) -> Option<Turn<'_>> {
        if pace.pause.is_zero() && pace.rest.is_zero() {
            return None;
        }
        let mut next = self.0.lock().await;
        wait_for(*next).await;
        *next = Some(Instant::now() + pace.pause);
        (!pace.rest.is_zero()).then_some(Turn { next, rest: pace.rest })
    }
}

/// A request that is under way, of a target that wants to rest after it.
pub(super) struct Turn<'t> {
    next: MutexGuard<'t, Option<Instant>>,
    rest: Duration,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.next = (*self.next).max(Some(Instant::now() + self.rest));
    }
}

async fn wait_for(next: Option<Instant>) {
    if let Some(next) = next {
        tokio::time::sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::{
        WebhookSettings,
        lane::{Dispatcher, Ticket},
    };

    const PAUSE: Duration = Duration::from_millis(200);
    const PACED: Pace = Pace { pause: PAUSE, ..Pace::SINGLE };

    fn target() -> domain::Target {
        let mut target =
            domain::Target::new(domain::TargetId::from_uuid(Default::default()), "", "", domain::Timestamp::from_seconds(0));
        target.pace.concurrency = Some(1);
        target
    }

    /// When a request began.
    async fn begun(turns: &Turns) -> Instant {
        let _turn = turns.begin(PACED).await;
        Instant::now()
    }

    #[tokio::test]
    async fn a_request_that_gets_its_place_late_moves_the_next_one() {
        let dispatcher = Dispatcher::new(&WebhookSettings::default());
        let lane = dispatcher.lane(&target());
        let taken = lane.place(&dispatcher, Ticket::Usual).await;
        let request = async || {
            let _place = lane.next(&dispatcher).await;
            begun(&lane.turns).await
        };
        let free = async {
            tokio::time::sleep(PAUSE * 2 / 3).await;
            let freed = Instant::now();
            drop(taken);
            freed
        };
        let (first, second, freed) = tokio::join!(request(), request(), free);
        assert!(first.max(second) >= freed + PAUSE, "none began before it had a place");
    }

    #[tokio::test]
    async fn replays_and_a_lane_with_another_pace_keep_to_the_same_turns() {
        let dispatcher = Dispatcher::new(&WebhookSettings::default());
        let mut target = target();
        let (live, behind) = (dispatcher.lane(&target), dispatcher.lane_behind(&target));
        target.pace.concurrency = Some(2);
        let changed = dispatcher.lane(&target);
        let from = Instant::now();
        for (number, lane) in (0..).zip([live, behind, changed]) {
            assert!(begun(&lane.turns).await >= from + PAUSE * number, "{number}");
        }
    }

    #[tokio::test]
    async fn requests_come_apart_however_long_they_are_on_their_way() {
        let turns = Turns::default();
        let pace = Pace { rest: PAUSE, ..PACED };
        let comes = async |after: Duration| {
            let _turn = turns.begin(pace).await;
            tokio::time::sleep(after).await;
            Instant::now()
        };
        let (first, second, third) = tokio::join!(comes(PAUSE * 2), comes(Duration::ZERO), comes(PAUSE / 4));
        assert!(second >= first + PAUSE && third >= second + PAUSE);
    }
}
