//! What the workers of one shard share.

use std::{future::Future, sync::Arc, time::Duration};

use domain::{Clock, Entropy, Timestamp};
use engine::Engine;
use outbound::http::Client;
use parking_lot::Mutex;
use store::{Catalog, Lease, Pulse, Store, StoreError};
use tokio::{sync::watch, time::Instant};

use crate::{
    Deps, GoogleSettings, Packages, Settings, StartError,
    flow_reader::workshop::Workshop,
    google::Pacers,
    node::Identity,
    pulse::{LOOK_ANYWAY, Pulses},
    wallet_sync::Apns,
    webhooks::{Dispatcher, Ways},
};

/// First pause after the store failed; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between tries of a failing store.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What all workers of this node share.
pub(crate) struct House {
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) client: Client,
    /// Where transformations of source events run.
    pub(crate) workshop: Arc<Workshop>,
    /// How targets are sent to and databases of syncs are reached.
    pub(crate) ways: Ways,
    pub(crate) packages: Packages,
    pub(crate) apns: Apns,
    pub(crate) google: GoogleSettings,
    pub(crate) paces: Pacers,
    pub(crate) identity: Identity,
    /// Whether the node's name was given, so that another may have been given the same.
    pub(crate) is_named: bool,
    pub(crate) settings: Settings,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) fault: Mutex<Option<String>>,
    pub(crate) pulses: watch::Sender<Arc<[Pulse]>>,
}

impl House {
    pub(crate) fn new(deps: Deps, settings: Settings) -> Result<Self, StartError> {
        let Deps { store, engine, clock, entropy, client, packages, apns, google, node } = deps;
        let is_named = node.is_some();
        let identity = Identity::mint(node, &*entropy)?;
        Ok(Self {
            store,
            engine,
            clock,
            entropy,
            ways: Ways::new(&client, &settings.webhooks.egresses)?,
            workshop: Workshop::new(client.clone()),
            client,
            packages,
            apns: Apns::new(apns),
            google,
            paces: Pacers::default(),
            identity,
            is_named,
            dispatcher: Dispatcher::new(&settings.webhooks),
            settings,
            fault: Mutex::default(),
            pulses: watch::Sender::new(Arc::default()),
        })
    }

    /// Whether there can be no other node.
    pub(crate) fn is_alone(&self) -> bool {
        self.store.backend().name() == "sqlite"
    }

    /// Whether another process may ask this one for a sign of life.
    pub(crate) fn may_be_challenged(&self) -> bool {
        self.is_named && !self.is_alone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The configuration as it is in the store now, so that what another node acknowledged is known here.
    pub(crate) async fn catalog(&self) -> Result<Arc<Catalog>, StoreError> {
        let version = self.store.backend().config_version().await?;
        self.store.catalog_at(version).await
    }
}

/// One shard, while its lease is ours.
#[derive(Clone)]
pub(crate) struct Shard {
    pub(crate) house: Arc<House>,
    pub(crate) lease: Lease,
    stop: watch::Receiver<bool>,
}

/// Why a worker of a shard ends.
#[derive(Debug)]
pub(crate) enum End {
    /// It was told to.
    Stopped,
    /// The shard belongs to another node now.
    LeaseLost,
    /// The event log lacks something: nothing may go on with it.
    Damaged,
}

impl Shard {
    pub(crate) fn new(house: Arc<House>, lease: Lease, stop: watch::Receiver<bool>) -> Self {
        Self { house, lease, stop }
    }

    pub(crate) fn number(&self) -> u16 {
        self.lease.shard
    }

    pub(crate) fn is_stopping(&self) -> bool {
        // A keeper that is gone tells nobody any more.
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Completes when the worker is to stop.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // A sender that is gone means the same.
        let _ = stop.wait_for(|stopping| *stopping).await;
    }

    /// What the last look at the store told about this shard.
    pub(crate) fn pulse(&self) -> Pulse {
        self.house.pulses.borrow().get(usize::from(self.number())).copied().unwrap_or_default()
    }

    /// Waits for a tick, a look at the store that found something for the caller, the time to look whatever is told, or `until`.
    pub(crate) async fn idle(
        &self,
        ticks: &mut watch::Receiver<u64>,
        pulses: &mut Pulses,
        until: Option<Instant>,
        wanted: impl Fn(&Pulse) -> bool,
    ) -> Result<(), End> {
        let anyway = Instant::now() + LOOK_ANYWAY;
        let anyway = tokio::time::sleep_until(until.map_or(anyway, |until| until.min(anyway)));
        tokio::pin!(anyway);
        loop {
            tokio::select! {
                () = self.stopped() => return Err(End::Stopped),
                // Senders live as long as the store and the house.
                _ = ticks.changed() => return Ok(()),
                _ = pulses.changed() => {
                    if wanted(&self.pulse()) {
                        return Ok(());
                    }
                }
                () = &mut anyway => return Ok(()),
            }
        }
    }

    /// Waits for a tick or a time, whichever comes first: for readers whose work no look at the store tells of.
    pub(crate) async fn wait(&self, ticks: &mut watch::Receiver<u64>, longest: Duration) -> Result<(), End> {
        tokio::select! {
            () = self.stopped() => Err(End::Stopped),
            changed = ticks.changed() => {
                if changed.is_err() {
                    tokio::time::sleep(longest).await;
                }
                Ok(())
            }
            () = tokio::time::sleep(longest) => Ok(()),
        }
    }

    /// Waits, unless the worker is to stop.
    pub(crate) async fn pause(&self, time: Duration) -> Result<(), End> {
        tokio::select! {
            () = self.stopped() => Err(End::Stopped),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// Asks the store until it answers: a fault of it delays, and loses nothing.
    pub(crate) async fn insist<T, F, Fut>(&self, what: &'static str, mut call: F) -> Result<T, End>
    where
        F: FnMut() -> Fut + Send,
        Fut: Future<Output = Result<T, StoreError>> + Send,
        T: Send,
    {
        let mut pause = FIRST_PAUSE;
        let mut damage = Damage(&self.house, None);
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(StoreError::LeaseLost { .. }) => return Err(End::LeaseLost),
                Err(error) => error,
            };
            damage.note(&error);
            metrics::counter!("store_retries_total", "what" => what).increment(1);
            if error.is_transient() {
                tracing::warn!(%error, what, shard = self.number(), "the store failed; trying again");
            } else {
                tracing::error!(%error, what, shard = self.number(), "the store cannot do this; the shard waits until it can");
            }
            self.pause(pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// What is wrong with the stored rows that somebody waits for. This node is not ready until they are mended, or the shard is
/// another's.
struct Damage<'a>(&'a House, Option<String>);

impl Damage<'_> {
    fn note(&mut self, error: &StoreError) {
        if matches!(error, StoreError::Inconsistent { .. } | StoreError::Corrupt(_)) {
            let text = error.to_string();
            self.0.fault.lock().get_or_insert_with(|| text.clone());
            self.1 = Some(text);
        }
    }
}

impl Drop for Damage<'_> {
    fn drop(&mut self) {
        let mut fault = self.0.fault.lock();
        if self.1.is_some() && *fault == self.1 {
            *fault = None;
        }
    }
}

/// Refuses rows of a log that leave out a number, for what is missing would be passed over without a word.
pub(crate) fn dense(table: &'static str, shard: u16, after: u64, numbers: impl Iterator<Item = u64>) -> Result<(), StoreError> {
    match (after + 1..).zip(numbers).find(|(expected, found)| expected != found) {
        None => Ok(()),
        Some((expected, found)) => Err(StoreError::Inconsistent {
            table,
            column: "seq",
            row: format!("shard {shard}, number {expected}"),
            why: format!("it is missing: the next that is there is {found}"),
        }),
    }
}
