//! The one look at the store that all workers of this node share while nothing wakes them.
//!
//! A tick of this process wakes a reader at once. What came from another node, or is due by now, is found by this look: one
//! read for all shards, again and again, instead of several per shard.

use std::{sync::Arc, time::Duration};

use store::Pulse;
use tokio::sync::watch;

use crate::shard::House;

/// How often a reader looks for itself whatever it is told; nothing is late by more than this if a look goes wrong.
pub(crate) const LOOK_ANYWAY: Duration = Duration::from_secs(10);

/// What the last look told, by shard.
pub(crate) type Pulses = watch::Receiver<Arc<[Pulse]>>;

/// Looks until the process ends or this is dropped.
pub(crate) async fn run(house: Arc<House>) {
    let mut ticks = tokio::time::interval(house.settings.poll);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match house.store.backend().pulse().await {
            Ok(pulses) => drop(house.pulses.send_replace(pulses.into())),
            Err(error) => tracing::warn!(%error, "the store could not be looked at; trying again"),
        }
    }
}
