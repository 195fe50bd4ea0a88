//! One lease per shard: taken, kept alive, shared fairly, noticed when lost.
//!
//! A holder counts its beat up regularly. A challenger takes a lease after it has seen the same epoch and beat for the time
//! of [`crate::Pace::take_over_after`] on its own monotonic clock; no wall clock is compared. At its start a node takes back
//! at once what its former incarnation held, and where there can be no other node (SQLite: the data folder is locked)
//! everything. Every write is guarded by the epoch, so a holder that was only slow can do no harm.
//!
//! Of S shards a node takes no more than its share, S divided by the nodes that are alive, rounded up. When others come it
//! lets the surplus finish what it has begun and gives it back.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use store::{Lease, LeaseRow, StoreError};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    backfill, batch, flow_reader, google,
    node::{Peers, Seen},
    publish,
    shard::{End, House, Shard},
    sweeps, wallet_sync, webhooks,
};

/// How long before a shard whose workers ended by themselves is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A shard whose lease is ours.
struct Held {
    lease: Lease,
    stop: watch::Sender<bool>,
}

struct Keeper {
    house: Arc<House>,
    held: HashMap<u16, Held>,
    /// Those of the held that were told to finish, to be given back.
    surplus: HashSet<u16>,
    /// Those that finished and are not given back yet.
    finished: Vec<Lease>,
    /// Leases of somebody else.
    watched: HashMap<u16, Seen>,
    peers: Peers,
    shards: JoinSet<Lease>,
    /// Epochs that this process held last: where they still stand, nobody else came in between.
    former: HashMap<u16, i64>,
    first: bool,
    /// The last challenge that was answered.
    answered: i64,
}

/// Why a look ended before its end.
enum Failed {
    Store(StoreError),
    /// Another process has our name.
    Replaced,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Holds leases and runs their shards until told to stop.
pub(crate) async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut keeper = Keeper {
        house: Arc::clone(&house),
        held: HashMap::new(),
        surplus: HashSet::new(),
        finished: Vec::new(),
        watched: HashMap::new(),
        peers: Peers::default(),
        shards: JoinSet::new(),
        former: HashMap::new(),
        first: true,
        answered: 0,
    };
    let pace = &house.settings.pace;
    let mut ticks = tokio::time::interval(pace.beat_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut challenges = tokio::time::interval(pace.answer_every);
    challenges.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let looked = tokio::select! {
            biased;
            // A sender that is gone means the same.
            () = told(&mut stop) => break,
            _ = ticks.tick() => keeper.look().await,
            _ = challenges.tick(), if house.may_be_challenged() => keeper.answer().await,
            Some(ended) = keeper.shards.join_next() => {
                let ended = keeper.ended(ended.ok()).await;
                ticks.reset_after(RESTART_AFTER.min(pace.beat_every));
                ended
            }
        };
        match looked {
            Ok(()) => {}
            Err(Failed::Store(error)) => {
                tracing::warn!(%error, "leases could not be looked at; trying again");
                // What was not looked at was not seen to be silent.
                keeper.watched.clear();
                keeper.peers.forget();
                ticks.reset_after(RESTART_AFTER.min(pace.beat_every));
            }
            Err(Failed::Replaced) => {
                keeper.replaced();
                break;
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
    /// Beats, gives up what is lost or too much, takes what is free or abandoned.
    async fn look(&mut self) -> Result<(), Failed> {
        let house = Arc::clone(&self.house);
        let backend = house.store.backend();
        if !house.identity.show(backend).await? {
            return Err(Failed::Replaced);
        }
        self.give_back().await?;
        self.beat().await?;
        let now = Instant::now();
        let share = self.share(now).await?;
        for row in backend.leases().await? {
            let shard = row.lease.shard;
            if self.held.contains_key(&shard) {
                self.watched.remove(&shard);
            } else if self.may_take(&row, share, now)
                && let Some(lease) = backend.seize(row.lease, &house.identity.owner).await?
            {
                self.watched.remove(&shard);
                self.begin(lease);
            }
        }
        self.first = false;
        self.trim(share);
        metrics::gauge!("shards_held").set(self.held.len() as f64);
        Ok(sweeps::lag(&house, self.held.keys().copied()).await?)
    }

    /// Shows that our leases are alive, and notices those that are not ours any more.
    async fn beat(&mut self) -> Result<(), StoreError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let mine = self.house.store.backend().beat(&self.house.identity.owner).await?;
        self.held.retain(|shard, held| {
            let still = mine.contains(&held.lease);
            if !still {
                tracing::error!(shard, node = self.house.identity.name, "the lease was lost: another node took it");
                let _ = held.stop.send(true);
            }
            still
        });
        self.surplus.retain(|shard| self.held.contains_key(shard));
        Ok(())
    }

    /// How many shards are ours to hold; forgets the nodes that are dead.
    async fn share(&mut self, now: Instant) -> Result<usize, StoreError> {
        let backend = self.house.store.backend();
        let rows = backend.nodes().await?;
        let (alive, dead) = self.peers.look(rows, &self.house.identity, &self.house.settings.pace, now);
        for row in dead {
            tracing::warn!(node = row.name, "a node has been silent for too long; its shards go to others");
            backend.leave(&row.name, row.incarnation).await?;
        }
        metrics::gauge!("nodes_alive").set(alive as f64);
        Ok(usize::from(backend.shards()).div_ceil(alive))
    }

    fn may_take(&mut self, row: &LeaseRow, share: usize, now: Instant) -> bool {
        let house = &self.house;
        let ours = match self.first {
            true => house.identity.was(&row.owner),
            false => self.former.get(&row.lease.shard) == Some(&row.lease.epoch) && row.owner == house.identity.owner,
        };
        if house.is_alone() || ours {
            return true;
        }
        let sign = (row.lease.epoch, row.beat);
        let seen = self.watched.entry(row.lease.shard).or_insert_with(|| Seen::new(sign, now));
        let abandoned = seen.silence(sign, now) >= house.settings.pace.take_over_after;
        (abandoned || row.owner.is_empty()) && self.held.len() - self.surplus.len() < share
    }

    fn begin(&mut self, lease: Lease) {
        tracing::info!(shard = lease.shard, epoch = lease.epoch, "holding the lease");
        let (stop, stopping) = watch::channel(false);
        let shard = Shard::new(Arc::clone(&self.house), lease, stopping);
        self.former.insert(lease.shard, lease.epoch);
        self.held.insert(lease.shard, Held { lease, stop });
        self.shards.spawn(serve(shard));
    }

    /// Lets what is more than our share finish, for others to take.
    fn trim(&mut self, share: usize) {
        let mut kept: Vec<u16> = self.held.keys().copied().filter(|shard| !self.surplus.contains(shard)).collect();
        kept.sort_unstable();
        for shard in kept.into_iter().skip(share) {
            tracing::info!(shard, "more than this node's share; giving the lease back");
            if let Some(held) = self.held.get(&shard) {
                let _ = held.stop.send(true);
            }
            self.surplus.insert(shard);
        }
    }

    /// A shard whose workers ended is given back when it was too many, else let go, to be taken again.
    async fn ended(&mut self, lease: Option<Lease>) -> Result<(), Failed> {
        match lease {
            Some(lease) if self.held.get(&lease.shard).is_some_and(|held| held.lease == lease) => {
                self.held.remove(&lease.shard);
                if self.surplus.remove(&lease.shard) {
                    self.former.remove(&lease.shard);
                    self.finished.push(lease);
                    self.give_back().await?;
                }
            }
            Some(_) => {}
            // Which one panicked is not told; those that are left are stopped with it and all start afresh.
            None => {
                self.surplus.clear();
                for (_, held) in self.held.drain() {
                    let _ = held.stop.send(true);
                }
            }
        }
        Ok(())
    }

    /// Gives finished leases back; where that fails they are kept in mind, for nobody else takes them while we live.
    async fn give_back(&mut self) -> Result<(), StoreError> {
        while let Some(lease) = self.finished.last() {
            self.house.store.backend().give_back(*lease).await?;
            self.finished.pop();
        }
        Ok(())
    }

    /// Shows at once that we are alive, if somebody asked.
    async fn answer(&mut self) -> Result<(), Failed> {
        let house = &self.house;
        let rows = house.store.backend().nodes().await?;
        let asked = rows.iter().find(|row| row.name == house.identity.name).map_or(0, |row| row.challenge);
        if asked > self.answered && !house.identity.show(house.store.backend()).await? {
            return Err(Failed::Replaced);
        }
        self.answered = asked;
        Ok(())
    }

    /// Somebody else works under our name: he has our leases, and we can only say so.
    fn replaced(&self) {
        let name = &self.house.identity.name;
        let why = format!("another node took the name `{name}` on this database: give every node a name of its own (`node`)");
        tracing::error!("{why}; this node's workers stop");
        self.house.fault.lock().get_or_insert(why);
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
    workers.spawn(backfill::run(shard.clone()));
    workers.spawn(batch::run(shard.clone()));
    workers.spawn(batch::bring_in(shard.clone()));
    workers.spawn(google::notice(shard.clone()));
    workers.spawn(google::run_lanes(shard.clone()));
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
