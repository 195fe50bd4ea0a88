//! A real store, a real engine and real sinks for the workers' tests.
#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]

pub(crate) mod apple;
pub(crate) mod services;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use domain::{
    Action, Actor, Amount, Cause, Clock, Command, CommandId, ContactId, ContactInput, Design, Entropy, FlowId, IfExists, Issue,
    LinkCode, OrgId, Organization, Pass, PassId, Project, ProjectId, ProjectKind, Source, SourceEvent, SourceId, Target,
    TargetId, Template, TemplateId, TemplateStatus, Text, Timestamp, TransformationId, Validity, Variant,
};
use engine::Engine;
use outbound::{
    http::{Client, Roots},
    policy::AddressPolicy,
};
use store::{
    Arrival, AttemptFilter, AttemptRow, Backend, ConfigChange, MasterKey, Reader, Store, StoredFlow, StoredTarget,
    StoredTransformation,
};
use tokio::sync::{Notify, Semaphore};
use workers::{ApnsSettings, Deps, GoogleSettings, Settings, StartError, Workers};

pub(crate) const PASS_TYPE: &str = "pass.example.club";

pub(crate) struct System;
impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).unwrap();
    }
}

/// A clock that runs with the machine's, and can be put forward.
pub(crate) struct HandClock {
    base: i64,
    started: tokio::time::Instant,
    ahead: AtomicI64,
}
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        let run = i64::try_from(self.started.elapsed().as_micros()).unwrap();
        Timestamp::from_micros(self.base + run + self.ahead.load(Ordering::Relaxed))
    }
}
impl HandClock {
    pub(crate) fn forward(&self, time: Duration) {
        self.ahead.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

pub(crate) struct House {
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) org: OrgId,
    pub(crate) project: ProjectId,
    pub(crate) source: SourceId,
    pub(crate) apns: ApnsSettings,
    pub(crate) google: GoogleSettings,
    /// Whom webhooks are trusted to be vouched for by.
    pub(crate) roots: Roots,
    /// Of the PostgreSQL database, for further nodes.
    pub(crate) url: Option<String>,
    master: Arc<MasterKey>,
    _folder: Option<tempfile::TempDir>,
}

pub(crate) fn loopback() -> AddressPolicy {
    AddressPolicy { allow_loopback: true, ..AddressPolicy::default() }
}

/// What houses start at.
const BASE: Timestamp = Timestamp::from_seconds(1_800_000_000);

async fn sqlite(path: &Path) -> Arc<dyn Backend> {
    let backend = store_sqlite::Sqlite::open(path, &store_sqlite::Options::default()).unwrap();
    backend.migrate(BASE).await.unwrap();
    backend
}

async fn postgres(url: &str) -> Arc<dyn Backend> {
    let backend = store_postgres::Postgres::open(url, &store_postgres::Options::default()).await.unwrap();
    backend.migrate(BASE).await.unwrap();
    backend
}

fn engine(store: &Arc<Store>, clock: &Arc<HandClock>) -> Engine {
    let (engine, runner) = Engine::new(Arc::clone(store), Arc::clone(clock) as Arc<dyn Clock>);
    tokio::spawn(runner.run());
    engine
}

/// A node and the runtime that everything of it lives in.
pub(crate) struct Doomed {
    runtime: tokio::runtime::Runtime,
    pub(crate) workers: Workers,
    pub(crate) house: House,
}

impl Doomed {
    /// Ends it without a word.
    pub(crate) fn vanish(self) {
        self.runtime.shutdown_background();
        drop((self.workers, self.house));
    }
}

/// Settings with which nothing is waited for long.
pub(crate) fn quick() -> Settings {
    let often = Duration::from_millis(20);
    Settings { poll: often, sweep_every: often, ..Settings::default() }
}

impl House {
    /// A house on an embedded SQLite, or on PostgreSQL when the suite was asked to run there.
    pub(crate) async fn new() -> Self {
        match testkit::postgres::database_if_asked().await {
            Some(url) => Self::build(postgres(&url).await, Some(url), None).await,
            None => {
                let folder = tempfile::tempdir().unwrap();
                Self::build(sqlite(folder.path()).await, None, Some(folder)).await
            }
        }
    }

    /// A house on a PostgreSQL of its own, which several nodes may share.
    pub(crate) async fn on_postgres() -> Self {
        let url = testkit::postgres::Cluster::shared().await.unwrap().create_database().await.unwrap();
        Self::build(postgres(&url).await, Some(url), None).await
    }

    async fn build(backend: Arc<dyn Backend>, url: Option<String>, folder: Option<tempfile::TempDir>) -> Self {
        let clock = HandClock { base: BASE.as_micros(), started: tokio::time::Instant::now(), ahead: AtomicI64::new(0) };
        let (clock, master) = (Arc::new(clock), Arc::new(MasterKey::mint(&System)));
        let store = Store::open(backend, &master, Arc::new(System)).await.unwrap();
        let org = OrgId::mint(BASE, &System);
        let organization = Organization { id: org, name: "Test".to_owned(), created_at: BASE };
        store.create_org(&organization, "{}".to_owned(), BASE).await.unwrap();
        let engine = engine(&store, &clock);
        let (project, source) = (ProjectId::mint(BASE, &System), SourceId::mint(BASE, &System));
        let apns = ApnsSettings { url: "https://localhost:1".to_owned(), roots: Roots::only(&[]).unwrap(), policy: loopback() };
        // Nobody answers there.
        let google = GoogleSettings {
            root_keys_url: "http://localhost:1/keys".to_owned(),
            ..GoogleSettings::new("http://localhost:1", drop)
        };
        let roots = Roots::only(&[]).unwrap();
        let house = Self { store, engine, clock, org, project, source, apns, google, roots, url, master, _folder: folder };
        house.configure(BASE).await;
        house
    }

    /// The same database as another process sees it: on PostgreSQL with connections, store and engine of its own.
    pub(crate) async fn beside(&self) -> Self {
        let (store, engine) = match &self.url {
            None => (Arc::clone(&self.store), self.engine.clone()),
            Some(url) => {
                let store = Store::open(postgres(url).await, &self.master, Arc::new(System)).await.unwrap();
                let engine = engine(&store, &self.clock);
                (store, engine)
            }
        };
        self.with(store, engine)
    }

    fn with(&self, store: Arc<Store>, engine: Engine) -> Self {
        let (clock, url, master) = (Arc::clone(&self.clock), self.url.clone(), Arc::clone(&self.master));
        let (apns, google) = (self.apns.clone(), self.google.clone());
        let (org, project, source) = (self.org, self.project, self.source);
        let roots = self.roots.clone();
        Self { store, engine, clock, org, project, source, apns, google, roots, url, master, _folder: None }
    }

    /// A node that can vanish between two instructions, as when its process is killed.
    pub(crate) async fn doomed(&self, name: &str, settings: Settings) -> Doomed {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (house, name) = (self.with(Arc::clone(&self.store), self.engine.clone()), name.to_owned());
        let start = async move {
            let other = house.beside().await;
            (other.node(&name, settings).await.unwrap(), other)
        };
        let (workers, house) = runtime.spawn(start).await.unwrap();
        Doomed { runtime, workers, house }
    }

    /// How far a reader has come in all shards together.
    pub(crate) async fn mark(&self, reader: Reader) -> usize {
        let marks = self.store.backend().watermarks(reader).await.unwrap();
        usize::try_from(marks.iter().sum::<u64>()).unwrap()
    }

    /// Lets a reader begin again at the start of its log, as after a crash before its watermark was written.
    pub(crate) async fn rewind(&self, reader: Reader) {
        let backend = self.store.backend();
        for row in backend.leases().await.unwrap() {
            let lease = backend.seize(row.lease, "test").await.unwrap().unwrap();
            backend.advance(reader, lease, 0).await.unwrap();
            backend.give_back(lease).await.unwrap();
        }
    }

    pub(crate) fn change(&self) -> ConfigChange<'static> {
        let now = self.clock.now();
        ConfigChange { org: self.org, actor: "{}".to_owned(), now, names: Vec::new(), removed_names: Vec::new() }
    }

    async fn configure(&self, now: Timestamp) {
        let design = Design::new("Test", Text::parse("Test").unwrap(), "Card");
        let (project, status) = (self.project, TemplateStatus::Published);
        let id = TemplateId::mint(now, &System);
        let template = Template { version: 1, status, ..Template::draft(id, project, "Card".to_owned(), design, now) };
        let row = Project {
            id: project,
            slug: "club".to_owned(),
            name: "Club".to_owned(),
            kind: ProjectKind::Membership,
            variants: vec![Variant {
                id: "base".parse().unwrap(),
                name: "Base".to_owned(),
                template: id,
                uses_limit: None,
                scan: None,
            }],
            fields: Vec::new(),
            balances: BTreeMap::from([("points".to_owned(), Amount::ZERO)]),
            uses_limit: None,
            scan: Default::default(),
            time_zone: Default::default(),
            apple_pass_type: Some(PASS_TYPE.to_owned()),
            google_issuer: None,
            enrolment: false,
            enrolment_rules: domain::EnrolmentRules::default(),
            created_at: now,
        };
        let source = Source {
            id: self.source,
            slug: "shop".to_owned(),
            name: "Shop".to_owned(),
            kind: "rudderstack".to_owned(),
            key_prefix: "wk_".to_owned(),
            previous_key_prefix: None,
            sealed_secrets: Vec::new(),
            settings: BTreeMap::new(),
            enabled: true,
            strict: false,
            created_at: now,
        };
        assert!(self.store.put(&self.change(), &template, 0).await.unwrap());
        assert!(self.store.put(&self.change(), &row, 0).await.unwrap());
        assert!(self.store.put(&self.change(), &source, 0).await.unwrap());
    }

    pub(crate) async fn workers(&self) -> Workers {
        self.workers_with(quick()).await
    }

    pub(crate) async fn workers_with(&self, settings: Settings) -> Workers {
        self.node("one", settings).await.unwrap()
    }

    pub(crate) async fn node(&self, name: &str, settings: Settings) -> Result<Workers, StartError> {
        let client = Client::new(outbound::http::Settings::new(loopback(), self.roots.clone())).unwrap();
        let deps = Deps {
            store: Arc::clone(&self.store),
            engine: self.engine.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::new(System),
            client,
            packages: Arc::new(|_, _| Box::pin(async { Ok(Some(Bytes::from_static(b"PK"))) })),
            apns: self.apns.clone(),
            google: self.google.clone(),
            node: Some(name.to_owned()),
        };
        workers::start_with(deps, settings).await
    }

    pub(crate) async fn flow(&self, document: serde_json::Value) {
        let now = self.clock.now();
        let slug = document["slug"].as_str().unwrap().to_owned();
        let flow = StoredFlow {
            id: FlowId::mint(now, &System),
            slug,
            document,
            draft: None,
            version: None,
            published_at: None,
            enabled_at: None,
            created_at: now,
        };
        assert!(self.store.put(&self.change(), &flow, 0).await.unwrap());
    }

    async fn flow_of(&self, slug: &str) -> store::Stored<StoredFlow> {
        self.store.refresh().await.unwrap();
        let catalog = self.store.catalog();
        let flows = &catalog.org(self.org).unwrap().flows;
        flows.values().find(|stored| stored.value.slug == slug).unwrap().clone()
    }

    pub(crate) async fn change_flow(&self, slug: &str, change: impl FnOnce(&mut StoredFlow)) {
        let held = self.flow_of(slug).await;
        let mut flow = StoredFlow::clone(&held.value);
        change(&mut flow);
        assert!(self.store.put(&self.change(), &flow, held.revision).await.unwrap());
    }

    pub(crate) async fn remove_flow(&self, slug: &str) {
        let held = self.flow_of(slug).await;
        assert!(self.store.remove(&self.change(), &*held.value, held.revision).await.unwrap());
    }

    pub(crate) async fn transformation(&self, slug: &str, library: bool, code: &str) {
        self.transformation_with(slug, code, |it| it.library = library).await;
    }

    pub(crate) async fn transformation_with(&self, slug: &str, code: &str, change: impl FnOnce(&mut StoredTransformation)) {
        let now = self.clock.now();
        let mut stored = StoredTransformation {
            id: TransformationId::mint(now, &System),
            slug: slug.to_owned(),
            name: slug.to_owned(),
            library: false,
            code: code.to_owned(),
            draft: None,
            enabled: true,
            batch: false,
            created_at: now,
        };
        change(&mut stored);
        assert!(self.store.put(&self.change(), &stored, 0).await.unwrap());
    }

    pub(crate) async fn arrives(&self, key: &str, user: &str, payload: serde_json::Value) -> domain::SourceEventId {
        self.arrives_from(key, user, payload, None).await
    }

    /// An event arrives that happened at a time of its sender's clock.
    pub(crate) async fn arrives_from(
        &self,
        key: &str,
        user: &str,
        payload: serde_json::Value,
        occurred_at: Option<Timestamp>,
    ) -> domain::SourceEventId {
        let event = SourceEvent {
            dedupe_key: key.to_owned(),
            order_key: user.to_owned(),
            name: "track".to_owned(),
            occurred_at,
            payload: payload.to_string(),
        };
        let arrival = Arrival { org: self.org, source: self.source, received_at: self.clock.now(), event, fault: None };
        self.store.accept(vec![arrival]).await.unwrap()[0].0
    }

    pub(crate) async fn target(&self, url: &str) -> TargetId {
        self.target_with(url, |_| ()).await
    }

    pub(crate) async fn target_with(&self, url: &str, change: impl FnOnce(&mut Target)) -> TargetId {
        let id = TargetId::mint(self.clock.now(), &System);
        let secret = connectors::kit::Secret::mint(&System);
        let mut target = Target::new(id, "Sink", url, Timestamp::from_seconds(0));
        target.headers = BTreeMap::from([("x-tenant".to_owned(), "bean".to_owned())]);
        target.post_only = true;
        change(&mut target);
        let sealed = self.store.seal_for::<StoredTarget>(self.org, id.uuid(), secret.expose().as_bytes()).unwrap();
        assert!(
            self.store
                .put(&self.change(), &self.store.seal_target(self.org, target, vec![sealed.into()]).unwrap(), 0)
                .await
                .unwrap()
        );
        id
    }

    pub(crate) fn command(&self, action: Action) -> Command {
        let id = CommandId::mint(self.clock.now(), &System);
        Command { id, org: self.org, actor: Actor::System, cause: Cause::Request, key: None, told: None, action }
    }

    pub(crate) async fn issued(&self, external_id: &str, validity: Validity) -> Pass {
        let issue = Issue {
            id: PassId::mint(self.clock.now(), &System),
            code: LinkCode::mint(&System),
            project: self.project,
            variant: None,
            external_id: Some(external_id.to_owned()),
            contact: Some(ContactInput { external_id: Some(format!("person-{external_id}")), ..ContactInput::default() }),
            new_contact: ContactId::mint(self.clock.now(), &System),
            fields: BTreeMap::new(),
            balances: BTreeMap::new(),
            validity,
            uses_limit: None,
            inactive: false,
            origin: Default::default(),
            if_exists: IfExists::Reject,
            undoes: None,
        };
        *self.engine.submit(self.command(Action::Issue(Box::new(issue)))).await.unwrap().pass.unwrap()
    }

    pub(crate) async fn attempts(&self, target: TargetId) -> Vec<AttemptRow> {
        let filter = AttemptFilter { target: Some(target), ..AttemptFilter::default() };
        self.store.backend().attempts(self.org, &filter, 1_000).await.unwrap()
    }
}

/// Waits for a condition; the limit only ends a test that hangs.
pub(crate) async fn until<Fut: Future<Output = bool>>(what: &str, condition: impl Fn() -> Fut) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(tokio::time::Instant::now() < limit, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a sink does with requests.
pub(crate) struct Behaviour {
    pub(crate) statuses: parking_lot::Mutex<Vec<u16>>,
    pub(crate) gate: Semaphore,
    pub(crate) arrived: Notify,
    pub(crate) under_way: AtomicUsize,
    pub(crate) most: AtomicUsize,
    pub(crate) seen: parking_lot::Mutex<Vec<(HeaderMap, Bytes)>>,
}

/// A webhook receiver on a real port.
pub(crate) struct Sink {
    pub(crate) url: String,
    pub(crate) behaviour: Arc<Behaviour>,
}

impl Sink {
    /// Answers with the statuses given, then 200; every answer takes a permit of the gate.
    pub(crate) async fn start(statuses: &[u16], permits: usize) -> Self {
        let mut statuses = statuses.to_vec();
        statuses.reverse();
        let behaviour = Arc::new(Behaviour {
            statuses: parking_lot::Mutex::new(statuses),
            gate: Semaphore::new(permits),
            arrived: Notify::new(),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            seen: parking_lot::Mutex::default(),
        });
        let app = Router::new().fallback(take).with_state(Arc::clone(&behaviour));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url: format!("http://{addr}/hook"), behaviour }
    }

    pub(crate) fn count(&self) -> usize {
        self.behaviour.seen.lock().len()
    }

    /// How often each delivery came.
    pub(crate) fn by_delivery(&self) -> HashMap<String, usize> {
        let mut out = HashMap::new();
        for (headers, _) in self.behaviour.seen.lock().iter() {
            *out.entry(headers["webhook-id"].to_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        out
    }
}

async fn take(State(behaviour): State<Arc<Behaviour>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let now = behaviour.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    behaviour.most.fetch_max(now, Ordering::SeqCst);
    behaviour.seen.lock().push((headers, body));
    behaviour.arrived.notify_waiters();
    let permit = behaviour.gate.acquire().await.unwrap();
    drop(permit);
    behaviour.under_way.fetch_sub(1, Ordering::SeqCst);
    let status = behaviour.statuses.lock().pop().unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}
