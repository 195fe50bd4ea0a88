//! What works on the two logs: flows on the inbox; webhooks and wallet sync on the events; sweeps on what is due.
//!
//! Every shard of the logs has one lease, and whoever holds it runs one worker of each kind for the shard. A worker asks
//! the store what is undone and writes what became of it under the lease; a wake-up carries no data, and everything may be
//! done twice. Nothing that matters is kept in memory alone.

mod flow_reader;
mod google;
mod leases;
mod publish;
mod pulse;
mod shard;
mod sweeps;
mod wallet_sync;
mod webhooks;

use std::{sync::Arc, time::Duration};

use domain::{Clock, Entropy};
use engine::Engine;
use outbound::{
    http::{Client, Roots},
    policy::AddressPolicy,
};
use store::Store;
use tokio::{sync::watch, task::JoinHandle};

pub use google::GoogleSettings;
pub use leases::{BEAT_EVERY, TAKE_OVER_AFTER};
pub use webhooks::WebhookSettings;

use shard::House;

/// What the workers work with.
pub struct Deps {
    /// The store.
    pub store: Arc<Store>,
    /// The writer of passes.
    pub engine: Engine,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for jitter and page codes.
    pub entropy: Arc<dyn Entropy>,
    /// What webhooks are sent with, under the policy for addresses that users name.
    pub client: Client,
    /// How to reach APNs.
    pub apns: ApnsSettings,
    /// How to reach Google Wallet.
    pub google: GoogleSettings,
    /// This node's name among those on the same database, where one is configured: the same after a restart, so that it
    /// goes on at once with what it held. Otherwise it gets a random one.
    pub node: Option<String>,
}

/// How to reach Apple's push service. Its client's certificate is that of the pass type.
#[derive(Debug, Clone)]
pub struct ApnsSettings {
    /// `https://api.push.apple.com`, or a simulated one.
    pub url: String,
    /// Whom to trust.
    pub roots: Roots,
    /// Which addresses may be dialled.
    pub policy: AddressPolicy,
}

/// What can be tuned.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How webhooks are sent.
    pub webhooks: WebhookSettings,
    /// How often the node looks for work without being woken.
    pub poll: Duration,
    /// How often due passes are looked for.
    pub sweep_every: Duration,
    /// How long inbox, events and attempts are kept.
    pub keep: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            webhooks: WebhookSettings::default(),
            poll: Duration::from_millis(500),
            sweep_every: Duration::from_secs(1),
            keep: Duration::from_secs(90 * 86_400),
        }
    }
}

/// The running workers of this node.
pub struct Workers {
    house: Arc<House>,
    stop: watch::Sender<bool>,
    node: JoinHandle<()>,
    roots: JoinHandle<()>,
    pulse: JoinHandle<()>,
}

/// Starts the workers of this node with the usual settings.
pub fn start(deps: Deps) -> Workers {
    start_with(deps, Settings::default())
}

/// Starts the workers of this node.
pub fn start_with(deps: Deps, settings: Settings) -> Workers {
    let (stop, stopping) = watch::channel(false);
    let house = Arc::new(House::new(deps, settings));
    let roots = tokio::spawn(google::keep_roots(Arc::clone(&house), stopping.clone()));
    let node = tokio::spawn(leases::run(Arc::clone(&house), stopping));
    let pulse = tokio::spawn(pulse::run(Arc::clone(&house)));
    Workers { house, stop, node, roots, pulse }
}

impl Workers {
    /// Why this node is not fit for work, when somebody has to look at it; readiness depends on it.
    pub fn fault(&self) -> Option<String> {
        self.house.fault.lock().clone()
    }

    /// A handle for readiness checks: whether [`Workers::fault`] has something to say.
    pub fn health(&self) -> Health {
        Health(Arc::clone(&self.house))
    }

    /// Stops claiming, lets what is in flight finish, writes down what became of it and gives the leases back. What takes
    /// longer than `deadline` is cut off and done again by whoever comes next.
    pub async fn drain(mut self, deadline: Duration) {
        // The receiver lives as long as the task; when that is gone there is nothing to stop.
        let _ = self.stop.send(true);
        if tokio::time::timeout(deadline, &mut self.node).await.is_err() {
            self.node.abort();
            tracing::warn!("workers did not finish in time and were cut off; what was in flight is done again");
        }
        // They keep nothing that matters.
        self.roots.abort();
        self.pulse.abort();
        if let Err(error) = self.house.store.backend().release(&self.house.node).await {
            tracing::warn!(%error, "the leases could not be given back; they run out by themselves");
        }
    }
}

/// Tells whether the workers are fit.
#[derive(Clone)]
pub struct Health(Arc<House>);

impl Health {
    /// Why not, when they are not.
    pub fn fault(&self) -> Option<String> {
        self.0.fault.lock().clone()
    }
}
