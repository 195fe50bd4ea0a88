//! How many requests a target gets at once: up to what was asked, fewer while it says that it has too much.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one target.
#[derive(Debug)]
pub(super) struct Window {
    places: Arc<Semaphore>,
    most: usize,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    allowed: usize,
    /// Places that are to go once they are given back.
    owed: usize,
    /// Requests that went well since it last grew.
    well: usize,
}

/// A place that is taken.
#[derive(Debug)]
pub(super) struct Held {
    permit: Option<OwnedSemaphorePermit>,
    window: Arc<Window>,
}

impl Window {
    pub(super) fn new(most: usize) -> Arc<Self> {
        let most = most.max(1);
        let now = Mutex::new(Now { allowed: most, owed: 0, well: 0 });
        Arc::new(Self { places: Arc::new(Semaphore::new(most)), most, now })
    }

    /// How many there are.
    pub(super) fn allowed(&self) -> usize {
        self.now.lock().allowed
    }

    /// Waits for a place.
    pub(super) async fn hold(self: &Arc<Self>) -> Option<Held> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Held { permit: Some(permit), window: Arc::clone(self) })
    }

    /// Half as many from now on, at least one.
    pub(super) fn halve(&self) {
        let mut now = self.now.lock();
        let fewer = now.allowed - (now.allowed / 2).max(1);
        let at_once = self.places.forget_permits(fewer);
        now.allowed -= fewer;
        now.owed += fewer - at_once;
        now.well = 0;
    }

    /// One more once as many went well as there are, up to what was asked.
    pub(super) fn grow(&self) {
        let mut now = self.now.lock();
        if now.allowed >= self.most {
            return;
        }
        now.well += 1;
        if now.well < now.allowed {
            return;
        }
        now.well = 0;
        now.allowed += 1;
        if now.owed > 0 {
            now.owed -= 1;
        } else {
            self.places.add_permits(1);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut now = self.window.now.lock();
        if now.owed > 0 {
            now.owed -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_halves_and_grows_by_one() {
        let window = Window::new(8);
        let held: Vec<_> = futures_util::future::join_all((0..8).map(|_| window.hold())).await;
        window.halve();
        assert_eq!(window.allowed(), 4);
        window.halve();
        window.halve();
        window.halve();
        assert_eq!((window.allowed(), window.places.available_permits()), (1, 0));
        drop(held);
        assert_eq!(window.places.available_permits(), 1, "what was under way gave its place up");
        window.grow();
        assert_eq!(window.allowed(), 2);
        window.grow();
        assert_eq!(window.allowed(), 2, "a whole round");
        window.grow();
        assert_eq!((window.allowed(), window.places.available_permits()), (3, 3));
        (0..100).for_each(|_| window.grow());
        assert_eq!((window.allowed(), window.places.available_permits()), (8, 8), "never more than asked");
        let one = Window::new(1);
        one.halve();
        assert_eq!((one.allowed(), one.places.available_permits()), (1, 1));
    }
}
