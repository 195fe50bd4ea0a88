//! What came of deliveries: it is written down, many in one transaction, and targets that want no more are switched off.

use std::sync::Arc;

use domain::Timestamp;
use store::{DeliveryRow, DeliverySettlement, StoreError};
use tokio::{task::JoinError, time::Instant};

use super::{
    super::{
        health::{self, Off, note_missed},
        send::{Delivery, Then},
    },
    Flight, Pump,
};
use crate::shard::{End, Shard};

/// Lanes that are kept although idle.
const IDLE_LANES: usize = 4_096;

impl Pump {
    /// Does what an attempt led to; the row to keep when it is to be tried again.
    pub(super) fn follow(&mut self, flight: &Flight, then: Then) -> Option<DeliveryRow> {
        let to = &flight.delivery.to;
        match then {
            Then::Again(row) => {
                if health::is_due(to, &flight.lane, self.shard.house.now()) {
                    self.ailing.push((Arc::clone(to), false));
                }
                return Some(row);
            }
            Then::Disable(reason) => {
                let off = Off { reason, missed_since: Some(self.missed_of(&flight.delivery)), counted_from: None };
                self.disable.push((Arc::clone(to), off));
            }
            Then::Missed => {
                let at = flight.delivery.event.recorded_at;
                let missed = self.missed.entry(to.target().id).or_insert_with(|| (Arc::clone(to), at));
                missed.1 = missed.1.min(at);
            }
            Then::GaveUp => self.ailing.push((Arc::clone(to), true)),
            Then::Over => {}
        }
        None
    }

    /// Since when a target has missed events that is switched off with this delivery: also those that are under way are missed.
    fn missed_of(&self, delivery: &Delivery) -> Timestamp {
        let same = self.flights.values().filter(|flight| flight.delivery.to.target().id == delivery.to.target().id);
        same.map(|flight| flight.delivery.event.recorded_at).fold(delivery.event.recorded_at, Timestamp::min)
    }

    /// Switches off targets that want nothing more, and those that have failed too often or for too long. What they missed by it is
    /// noted with the target before it is written that those deliveries are over: so a replay finds them after any crash.
    pub(super) async fn switch_off(&mut self) -> Result<(), End> {
        self.disable().await;
        for (ready, since) in std::mem::take(&mut self.missed).into_values() {
            if let Err(error) = note_missed(&self.shard.house, &ready, since).await {
                tracing::error!(%error, target = %ready.target().id, "what a target missed could not be noted");
            }
        }
        if !self.ailing.is_empty() {
            // What came of all deliveries is written first, as it is counted in the store.
            self.flush().await?;
        }
        for (ready, gave_up) in std::mem::take(&mut self.ailing) {
            match health::look(&self.shard.house, &ready, gave_up).await {
                Ok(Some(off)) => self.disable.push((ready, off)),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, target = %ready.target().id, "a target's attempts could not be read"),
            }
        }
        self.disable().await;
        Ok(())
    }

    async fn disable(&mut self) {
        for (ready, off) in std::mem::take(&mut self.disable) {
            if let Err(error) = health::switch_off(&self.shard.house, &ready, &off).await {
                tracing::error!(%error, target = %ready.target().id, "a target that is gone could not be switched off");
            }
        }
    }

    /// Begins to write what is to be written by now, unless something is being written.
    pub(super) async fn flush_if(&mut self, now: Instant) -> Result<(), End> {
        while let Some(ended) = self.flushing.try_join_next() {
            self.flush_ended(ended)?;
        }
        if self.flushing.is_empty() && self.book.due().is_some_and(|due| due <= now) {
            self.begin_flush();
        }
        Ok(())
    }

    /// Writes all that is known.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        self.flushed().await?;
        self.begin_flush();
        self.flushed().await
    }

    /// Begins to write all that is known, in one transaction.
    fn begin_flush(&mut self) {
        if self.book.is_clean() {
            return;
        }
        self.shard.house.dispatcher.tidy(IDLE_LANES);
        self.flushing_outcomes = self.book.outcomes();
        self.flushing.spawn(write_down(self.shard.clone(), self.book.take(self.shard.lease)));
    }

    /// Waits until what is being written is written.
    pub(super) async fn flushed(&mut self) -> Result<(), End> {
        while let Some(ended) = self.flushing.join_next().await {
            self.flush_ended(ended)?;
        }
        Ok(())
    }

    pub(super) fn flush_ended(&mut self, ended: Result<Result<(), End>, JoinError>) -> Result<(), End> {
        self.flushing_outcomes = 0;
        ended.unwrap_or_else(|error| {
            tracing::error!(%error, "the writing of outcomes broke off");
            Err(End::LeaseLost)
        })
    }
}

/// Writes outcomes until they are written, also while stopping: what was sent must be known to whoever comes next.
async fn write_down(shard: Shard, settlement: DeliverySettlement) -> Result<(), End> {
    let backend = shard.house.store.backend();
    match backend.settle_deliveries(settlement.clone()).await {
        Ok(()) => Ok(()),
        Err(StoreError::LeaseLost { .. }) => Err(End::LeaseLost),
        Err(error) => {
            tracing::warn!(%error, "outcomes of deliveries could not be written; trying again");
            shard.insist("settle deliveries", || backend.settle_deliveries(settlement.clone())).await
        }
    }
}
