//! What every handler can reach.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use domain::{Clock, Entropy, OrgId, PassId, Timestamp, Users};
use engine::Engine;
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use outbound::policy::AddressPolicy;
use store::Store;

use crate::{
    api::event_stream::Streams, auth::Doors, google::GoogleRoots, ingest::Intake, limits::doors, packages::Packages, seen::Places,
};

/// What every handler can reach; shared by all of them as the router's state.
pub struct App {
    /// The store.
    pub store: Arc<Store>,
    /// The only writer of passes and events.
    pub engine: Engine,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where ids, codes and keys are drawn from.
    pub entropy: Arc<dyn Entropy>,
    /// What was configured.
    pub settings: Settings,
    /// Renders `/metrics`; without one that path answers 404.
    pub metrics: Option<PrometheusHandle>,
    pub(crate) doors: Doors,
    pub(crate) guards: doors::Guards,
    pub(crate) intake: Arc<Intake>,
    pub(crate) packages: Packages,
    pub(crate) streams: Streams,
}

/// What was configured about listening.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the outside reaches us, without a slash at its end: `https://passes.example.com`. Baked into every pass.
    pub public_url: String,
    /// Proxies whose word about the client's address counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Which header those proxies write.
    pub forwarded_by: ForwardedBy,
    /// Requests per second that an API key may make, unless it has a limit of its own.
    pub rate_per_second: u32,
    /// Requests a minute that a client address may make where no key is needed.
    pub address_limits: doors::AddressLimits,
    /// Most bytes of a JSON body.
    pub body_bytes: usize,
    /// Most bytes of an uploaded image.
    pub image_bytes: usize,
    /// Most bytes of an uploaded file of rows.
    pub batch_bytes: u64,
    /// Most bytes of source events that wait to be written down; beyond that senders are asked to come again.
    pub intake_bytes: usize,
    /// Which addresses users may name for webhooks.
    pub address_policy: AddressPolicy,
    /// The ways out that webhooks, destinations and syncs may name, and of which organizations.
    pub egresses: BTreeMap<String, Users>,
    /// Whether destinations may write files below a folder of this machine.
    pub takes_files: bool,
    /// Where addresses are registered; without it no places are recorded.
    pub places: Option<Places>,
    /// What the workers say about their fitness; `/readyz` asks it too.
    pub fitness: Option<Fitness>,
    /// Google's root signing keys; call-backs are answered 503 until there are some.
    pub google_roots: Arc<GoogleRoots>,
}

impl Settings {
    /// Requests per second that an API key may make by default.
    pub const RATE_PER_SECOND: u32 = 100;
    /// Most bytes of a JSON body by default: 1 MiB.
    pub const BODY_BYTES: usize = 1 << 20;
    /// Most bytes of an uploaded image by default: 4 MiB.
    pub const IMAGE_BYTES: usize = 4 << 20;
    /// Most bytes of an uploaded file of rows by default: 4 GiB.
    pub const BATCH_BYTES: u64 = 4 << 30;
    /// Most bytes of source events that wait by default: 64 MiB.
    pub const INTAKE_BYTES: usize = 64 << 20;

    /// The defaults for a server that is reached at an address.
    pub fn new(public_url: &str) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            trusted_proxies: Vec::new(),
            forwarded_by: ForwardedBy::default(),
            rate_per_second: Self::RATE_PER_SECOND,
            address_limits: doors::AddressLimits::default(),
            body_bytes: Self::BODY_BYTES,
            image_bytes: Self::IMAGE_BYTES,
            batch_bytes: Self::BATCH_BYTES,
            intake_bytes: Self::INTAKE_BYTES,
            address_policy: AddressPolicy::default(),
            egresses: BTreeMap::new(),
            takes_files: false,
            places: None,
            fitness: None,
            google_roots: Arc::default(),
        }
    }
}

/// Tells why this node is not fit for work, when somebody has to look at it.
#[derive(Clone)]
pub struct Fitness(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl Fitness {
    /// From a question that answers with the fault, if there is one.
    pub fn new(fault: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(fault))
    }

    pub(crate) fn fault(&self) -> Option<String> {
        (self.0)()
    }
}

impl std::fmt::Debug for Fitness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fitness").field(&self.fault()).finish()
    }
}

/// The header in which trusted proxies name the client. Only one is read: a proxy replaces the one that it knows and passes
/// the other on as the client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, the custom.
    #[default]
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

impl App {
    /// The signed package of a pass as it is now; nothing where its project offers no Apple Wallet, or the pass is gone.
    ///
    /// # Errors
    /// When it cannot be made; why.
    pub async fn package(&self, org: OrgId, pass: PassId) -> Result<Option<Bytes>, String> {
        let found = self.store.pass_with_contact(org, pass).await.map_err(|error| error.to_string())?;
        let catalog = self.store.catalog();
        let offers = |pass: &domain::Pass| {
            let project = catalog.org(org).and_then(|config| config.project(pass.project));
            !pass.lifecycle.is_deleted() && project.is_some_and(|project| project.apple_pass_type.is_some())
        };
        let Some((pass, contact)) = found.filter(|(pass, _)| offers(pass)) else { return Ok(None) };
        let made = self.packages.apple(self, org, &pass, contact.as_ref()).await;
        made.map(Some).map_err(|problem| problem.to_string())
    }

    /// Puts together what the composition root built.
    pub fn new(
        store: Arc<Store>,
        engine: Engine,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: Settings,
        metrics: Option<PrometheusHandle>,
    ) -> Arc<Self> {
        let intake = Intake::new(Arc::clone(&store), settings.intake_bytes);
        let guards = doors::Guards::new(&settings.address_limits);
        Arc::new(Self {
            store,
            engine,
            clock,
            entropy,
            settings,
            metrics,
            doors: Doors::default(),
            guards,
            intake,
            packages: Packages::default(),
            streams: Streams::default(),
        })
    }

    /// The streams of events that are open.
    pub fn streams(&self) -> Streams {
        self.streams.clone()
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The absolute address of one of our paths.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.public_url)
    }
}
