//! What works on the two logs: flows on the inbox; webhooks and wallet sync on the events; sweeps on what is due.
//!
//! Every shard of the logs has one lease, and whoever holds it runs one worker of each kind for the shard. A worker asks
//! the store what is undone and writes what became of it under the lease; a wake-up carries no data, and everything may be
//! done twice. Nothing that matters is kept in memory alone.

mod backfill;
mod batch;
mod endings;
mod flow_reader;
mod google;
mod jobs;
mod leases;
mod node;
mod notes;
mod publish;
mod pulse;
mod shard;
mod sweeps;
mod wallet_sync;
mod webhooks;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{Clock, Entropy, OrgId, PassId};
use engine::Engine;
use futures_util::future::BoxFuture;
use outbound::{
    http::{Client, Roots},
    policy::AddressPolicy,
};
use store::Store;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub use google::{GoogleSettings, Sleep};
pub use node::StartError;
pub use webhooks::WebhookSettings;

use shard::House;

/// Makes the signed package of a pass as it is now, which is attached to mails; nothing where its project offers no Apple Wallet.
pub type Packages = Arc<dyn Fn(OrgId, PassId) -> BoxFuture<'static, Result<Option<Bytes>, String>> + Send + Sync>;

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
    /// What makes the packages that are attached to mails.
    pub packages: Packages,
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
    /// How often backfills are looked for without being woken.
    pub backfills_every: Duration,
    /// How nodes show each other that they are alive.
    pub pace: Pace,
}

/// How nodes on the same database show each other that they are alive.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How often a node shows that it is alive, and looks at the others.
    pub beat_every: Duration,
    /// How long a node's silence lasts before its work is taken over.
    pub take_over_after: Duration,
    /// How often a node looks whether it was asked for a sign of life.
    pub answer_every: Duration,
    /// How long a node that starts waits for one of whoever has its name.
    pub answer_within: Duration,
}

impl Pace {
    /// Six beats in the time after which a silent node's work is taken over.
    pub fn taking_over_after(silence: Duration) -> Self {
        Self { beat_every: silence / 6, take_over_after: silence, ..Self::default() }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            beat_every: Duration::from_secs(5),
            take_over_after: Duration::from_secs(30),
            answer_every: Duration::from_millis(250),
            answer_within: Duration::from_millis(750),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            webhooks: WebhookSettings::default(),
            poll: Duration::from_millis(500),
            sweep_every: Duration::from_secs(1),
            backfills_every: Duration::from_secs(5),
            pace: Pace::default(),
        }
    }
}

/// The running workers of this node.
pub struct Workers {
    house: Arc<House>,
    stop: watch::Sender<bool>,
    node: JoinHandle<()>,
    roots: JoinHandle<()>,
    /// Ends with the workers.
    _others: JoinSet<()>,
}

/// Starts the workers of this node with the usual settings.
///
/// # Errors
/// When another node of the same name is running, or the store fails.
pub async fn start(deps: Deps) -> Result<Workers, StartError> {
    start_with(deps, Settings::default()).await
}

/// Starts the workers of this node.
///
/// # Errors
/// When another node of the same name is running, or the store fails.
pub async fn start_with(deps: Deps, settings: Settings) -> Result<Workers, StartError> {
    let house = Arc::new(House::new(deps, settings)?);
    house.identity.join(house.store.backend(), &house.settings.pace, house.is_alone()).await?;
    let (stop, stopping) = watch::channel(false);
    let mut others = JoinSet::new();
    let roots = tokio::spawn(google::keep_roots(Arc::clone(&house), stopping.clone()));
    let node = tokio::spawn(leases::run(Arc::clone(&house), stopping));
    others.spawn(pulse::run(Arc::clone(&house)));
    others.spawn(webhooks::keep_folder_clean(Arc::clone(&house)));
    Ok(Workers { house, stop, node, roots, _others: others })
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
        // It keeps nothing that matters.
        self.roots.abort();
        let (backend, identity) = (self.house.store.backend(), &self.house.identity);
        let released = backend.release(&identity.owner).await;
        if let Err(error) = released.and(backend.leave(&identity.name, identity.incarnation).await) {
            tracing::warn!(%error, "the leases could not be given back; they run out by themselves");
        }
        backend.nudge();
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
