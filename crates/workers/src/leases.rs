//! One lease per shard: taken, kept alive, noticed when lost.
//!
//! A holder counts its beat up every [`BEAT_EVERY`]. A challenger takes a lease after it has seen the same epoch and beat
//! for [`TAKE_OVER_AFTER`] on its own monotonic clock; no wall clock is compared. At its start a node takes back at once
//! what its former incarnation held, and where there can be no other node (SQLite: the data folder is locked) everything.
//! Every write is guarded by the epoch, so a holder that was only slow can do no harm.

use std::{collections::HashMap, sync::Arc, time::Duration};

use store::{Lease, LeaseRow, StoreError};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    flow_reader, publish,
    shard::{End, House, Shard},
    sweeps, wallet_sync, webhooks,
};

/// How often a holder shows that it is alive.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);
/// How long a holder's silence lasts before its lease is taken.
pub const TAKE_OVER_AFTER: Duration = Duration::from_secs(30);
/// How long before a shard whose workers ended by themselves is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A lease of somebody else's, and since when it has looked the same.
struct Watched {
    epoch: i64,
    beat: i64,
    since: Instant,
}

/// A shard whose lease is ours.
struct Held {
    lease: Lease,
    stop: watch::Sender<bool>,
}

struct Keeper {
    house: Arc<House>,
    held: HashMap<u16, Held>,
    watched: HashMap<u16, Watched>,
    shards: JoinSet<Lease>,
    /// Epochs that this process held last: where they still stand, nobody else came in between.
    former: HashMap<u16, i64>,
    first: bool,
}

/// Holds leases and runs their shards until told to stop.
pub(crate) async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut keeper = Keeper {
        house,
        held: HashMap::new(),
        watched: HashMap::new(),
        shards: JoinSet::new(),
        former: HashMap::new(),
        first: true,
    };
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            // A sender that is gone means the same.
            () = told(&mut stop) => break,
            _ = ticks.tick() => {
                if let Err(error) = keeper.look().await {
                    tracing::warn!(%error, "leases could not be looked at; trying again");
                    ticks.reset_after(RESTART_AFTER);
                }
            }
            Some(ended) = keeper.shards.join_next() => {
                keeper.ended(ended.ok());
                ticks.reset_after(RESTART_AFTER);
            }
        }
    }
    for held in keeper.held.values() {
        let _ = held.stop.send(true);
    }
    while keeper.shards.join_next().await.is_some() {}
}

async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}

impl Keeper {
    /// Beats, gives up what is lost, takes what is free or abandoned.
    async fn look(&mut self) -> Result<(), StoreError> {
        let house = Arc::clone(&self.house);
        let backend = house.store.backend();
        if !self.held.is_empty() {
            let mine = backend.beat(&house.node).await?;
            self.held.retain(|shard, held| {
                let still = mine.contains(&held.lease);
                if !still {
                    tracing::error!(
                        shard,
                        node = house.node,
                        "the lease was lost: another node took it, or runs under this name"
                    );
                    let _ = held.stop.send(true);
                }
                still
            });
        }
        let now = Instant::now();
        for row in backend.leases().await? {
            let shard = row.lease.shard;
            if self.held.contains_key(&shard) {
                self.watched.remove(&shard);
            } else if self.may_take(&row, now)
                && let Some(lease) = backend.seize(row.lease, &house.node).await?
            {
                self.watched.remove(&shard);
                self.begin(lease);
            }
        }
        self.first = false;
        metrics::gauge!("shards_held").set(self.held.len() as f64);
        sweeps::lag(&house, self.held.keys().copied()).await
    }

    fn may_take(&mut self, row: &LeaseRow, now: Instant) -> bool {
        let alone = self.house.store.backend().name() == "sqlite";
        let ours = row.owner == self.house.node && (self.first || self.former.get(&row.lease.shard) == Some(&row.lease.epoch));
        if alone || ours || row.owner.is_empty() {
            return true;
        }
        let (epoch, beat) = (row.lease.epoch, row.beat);
        let seen = self.watched.entry(row.lease.shard).or_insert(Watched { epoch, beat, since: now });
        if (seen.epoch, seen.beat) != (epoch, beat) {
            *seen = Watched { epoch, beat, since: now };
        }
        now.duration_since(seen.since) >= TAKE_OVER_AFTER
    }

    fn begin(&mut self, lease: Lease) {
        tracing::info!(shard = lease.shard, epoch = lease.epoch, "holding the lease");
        let (stop, stopping) = watch::channel(false);
        let shard = Shard::new(Arc::clone(&self.house), lease, stopping);
        self.former.insert(lease.shard, lease.epoch);
        self.held.insert(lease.shard, Held { lease, stop });
        self.shards.spawn(serve(shard));
    }

    /// A shard whose workers ended without being told is let go, to be taken again.
    fn ended(&mut self, lease: Option<Lease>) {
        match lease {
            Some(lease) if self.held.get(&lease.shard).is_some_and(|held| held.lease == lease) => {
                self.held.remove(&lease.shard);
            }
            Some(_) => {}
            // Which one panicked is not told; those that are left are stopped with it and all start afresh.
            None => {
                for (_, held) in self.held.drain() {
                    let _ = held.stop.send(true);
                }
            }
        }
    }
}

/// All workers of a shard, until they are told to stop or the first of them ends.
async fn serve(shard: Shard) -> Lease {
    let number = shard.number();
    let mut workers = JoinSet::new();
    workers.spawn(flow_reader::run(shard.clone()));
    workers.spawn(webhooks::run(shard.clone()));
    workers.spawn(wallet_sync::run(shard.clone()));
    workers.spawn(publish::run(shard.clone()));
    workers.spawn(sweeps::run(shard.clone()));
    workers.spawn(sweeps::check_log(shard.clone()));
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(End::Stopped) => {}
            Ok(End::Damaged) => {
                workers.shutdown().await;
                // Nobody goes on with a log that lacks something; the lease is kept, so that no other node does either.
                shard.stopped().await;
            }
            Ok(End::LeaseLost) => {
                tracing::warn!(shard = number, "a write was refused because the lease is another's; stopping");
                break;
            }
            Err(error) => {
                tracing::error!(shard = number, %error, "a worker panicked; the shard's workers start afresh");
                break;
            }
        }
    }
    workers.shutdown().await;
    shard.lease
}
