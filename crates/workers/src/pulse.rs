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

/// Looks, and keeps the configuration up to date, until this is dropped: at the pace of [`crate::Settings::poll`], and at
/// once when another node says that it wrote something.
pub(crate) async fn run(house: Arc<House>) {
    let mut nudges = house.store.backend().nudges();
    let mut ticks = tokio::time::interval(house.settings.poll);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = nudged(&mut nudges) => {}
        }
        match house.store.backend().pulse().await {
            Ok(pulses) => drop(house.pulses.send_replace(pulses.into())),
            Err(error) => tracing::warn!(%error, "the store could not be looked at; trying again"),
        }
        if let Err(error) = house.store.current().await {
            tracing::debug!(%error, "the configuration could not be read; trying again");
        }
    }
}

/// Completes when another node says something; never where none can.
async fn nudged(nudges: &mut Option<watch::Receiver<u64>>) {
    let Some(receiver) = nudges else { return std::future::pending().await };
    // A sender that is gone says nothing any more.
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
