//! The pace at which Google is asked: never more than its limit in any second.
//!
//! There are as many slots as requests are granted a second. A request takes one and gives it back with its answer; the
//! slot is free again a second after that. So between two requests of one slot lies a second on Google's clock too, however
//! long either was under way, and no second sees more requests than there are slots.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::Timestamp;
use google_wallet::rest::REQUESTS_PER_SECOND;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::shard::House;

/// The time for which Google counts.
const WINDOW: Duration = Duration::from_secs(1);

/// One project's slots.
pub(super) struct Pacer {
    free_at: Mutex<Vec<Timestamp>>,
    permits: Semaphore,
}

/// A slot, while its request is under way.
pub(super) struct Slot<'a> {
    pacer: &'a Pacer,
    house: &'a House,
    _permit: SemaphorePermit<'a>,
}

/// Every project's slots of this node.
#[derive(Default)]
pub(crate) struct Pacers(Mutex<HashMap<String, Arc<Pacer>>>);

impl Pacers {
    /// The slots of a project. New ones are free after a second only: another node may have just stopped asking.
    pub(super) fn of(&self, project: &str, now: Timestamp) -> Arc<Pacer> {
        let mut all = self.0.lock();
        Arc::clone(all.entry(project.to_owned()).or_insert_with(|| Arc::new(Pacer::new(now.plus(WINDOW)))))
    }
}

impl Pacer {
    fn new(free_at: Timestamp) -> Self {
        let slots = REQUESTS_PER_SECOND as usize;
        Self { free_at: Mutex::new(vec![free_at; slots]), permits: Semaphore::new(slots) }
    }

    /// Waits for a slot; nothing when the pacer is no more.
    pub(super) async fn slot<'a>(&'a self, house: &'a House) -> Option<Slot<'a>> {
        let permit = self.permits.acquire().await.ok()?;
        let free_at = {
            let mut all = self.free_at.lock();
            let earliest = all.iter().enumerate().min_by_key(|(_, at)| **at).map(|(index, _)| index)?;
            all.swap_remove(earliest)
        };
        let slot = Slot { pacer: self, house, _permit: permit };
        let now = house.now();
        // A clock that was put back must not make anybody wait for longer than the window.
        let until = free_at.min(now.plus(WINDOW));
        if until > now {
            (house.google.sleep)(now, until).await;
        }
        Some(slot)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.pacer.free_at.lock().push(self.house.now().plus(WINDOW));
    }
}
