//! The server's rooms in this process: to seed a data folder faster than over HTTP, and for what needs a clock of ours.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, ensure};
use domain::{
    Action, Actor, Amount, Cause, Clock, Command, CommandId, ContactId, ContactInput, Design, Entropy, IfExists, Issue, LinkCode,
    OrgId, Organization, Pass, PassId, Project, ProjectId, ProjectKind, Template, TemplateId, TemplateStatus, Text, Timestamp,
    Validity, Variant,
};
use engine::Engine;
use outbound::http::{Client, Roots};
use outbound::policy::AddressPolicy;
use store::{Backend as _, ConfigChange, MasterKey, Store};
use workers::{ApnsSettings, Deps, GoogleSettings, Settings, Workers};

/// Commands that are submitted together.
const TOGETHER: usize = 256;
/// How long a thing that should come is waited for.
const PATIENCE: Duration = Duration::from_secs(1_800);
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct System;

impl Entropy for System {
    #[expect(clippy::expect_used, reason = "as in the server: without randomness there is no going on")]
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).expect("the system has no randomness");
    }
}

/// A clock that runs with the machine's, and can be put forward.
pub(crate) struct HandClock {
    base: i64,
    started: Instant,
    ahead: AtomicI64,
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        let run = self.started.elapsed().as_micros() as i64;
        Timestamp::from_micros(self.base + run + self.ahead.load(Ordering::Relaxed))
    }
}

impl HandClock {
    /// At the machine's time.
    fn start() -> Result<Arc<Self>> {
        let base = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as i64;
        Ok(Arc::new(Self { base, started: Instant::now(), ahead: AtomicI64::new(0) }))
    }

    pub(crate) fn forward(&self, time: Duration) {
        self.ahead.fetch_add(time.as_micros() as i64, Ordering::Relaxed);
    }
}

/// Store and engine over a data folder.
pub(crate) struct House {
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) org: OrgId,
    pub(crate) project: ProjectId,
    backend: Arc<store_sqlite::Sqlite>,
}

/// How a wallet's services are reached by what needs none of them.
fn nowhere() -> Result<(ApnsSettings, Client)> {
    let policy = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
    let roots = Roots::only(&[])?;
    let client = Client::new(outbound::http::Settings::new(policy.clone(), roots.clone()))?;
    Ok((ApnsSettings { url: "https://localhost:1".to_owned(), roots, policy }, client))
}

impl House {
    /// The folder of a server that is not running now, with the one organization and project that it was set up with.
    pub(crate) async fn of_server(folder: &Path, master: &str) -> Result<Self> {
        let master = MasterKey::from_hex(master).context("the master key")?;
        let clock = HandClock::start()?;
        let backend = store_sqlite::Sqlite::open(folder, &store_sqlite::Options::default())?;
        let store = Store::open(Arc::clone(&backend) as Arc<dyn store::Backend>, &master, Arc::new(System)).await?;
        let catalog = store.catalog();
        let (org, config) = catalog.orgs().next().context("no organization")?;
        let project = config.projects.values().next().context("no project")?.value.id;
        Ok(Self::with(store, backend, clock, org, project))
    }

    /// A new folder with an organization and a project of gift cards.
    pub(crate) async fn new(folder: &Path) -> Result<Self> {
        let clock = HandClock::start()?;
        let backend = store_sqlite::Sqlite::open(folder, &store_sqlite::Options::default())?;
        let now = clock.now();
        backend.migrate(now).await?;
        let store =
            Store::open(Arc::clone(&backend) as Arc<dyn store::Backend>, &MasterKey::mint(&System), Arc::new(System)).await?;
        let (org, project) = (OrgId::mint(now, &System), ProjectId::mint(now, &System));
        let organization = Organization { id: org, name: "Bench".to_owned(), created_at: now };
        store.create_org(&organization, "{}".to_owned(), now).await?;
        let house = Self::with(store, backend, clock, org, project);
        house.configure(now).await?;
        Ok(house)
    }

    fn with(
        store: Arc<Store>,
        backend: Arc<store_sqlite::Sqlite>,
        clock: Arc<HandClock>,
        org: OrgId,
        project: ProjectId,
    ) -> Self {
        let (engine, runner) = Engine::new(Arc::clone(&store), Arc::clone(&clock) as Arc<dyn Clock>);
        tokio::spawn(runner.run());
        Self { store, engine, clock, org, project, backend }
    }

    async fn configure(&self, now: Timestamp) -> Result<()> {
        let text = Text::parse("Bench").map_err(|problem| anyhow!("{problem:?}"))?;
        let design = Design::new("Bench", text, "Card");
        let (project, status) = (self.project, TemplateStatus::Published);
        let id = TemplateId::mint(now, &System);
        let template = Template { status, version: 1, ..Template::draft(id, project, "Card".to_owned(), design, now) };
        let variant = Variant {
            id: "base".parse().map_err(|problem: &str| anyhow!(problem))?,
            name: "Base".to_owned(),
            template: id,
            uses_limit: None,
            scan: None,
        };
        let row = Project {
            id: project,
            slug: "bench".to_owned(),
            name: "Bench".to_owned(),
            kind: ProjectKind::GiftCard,
            variants: vec![variant],
            fields: Vec::new(),
            balances: BTreeMap::from([("points".to_owned(), Amount::ZERO)]),
            uses_limit: None,
            scan: Default::default(),
            time_zone: Default::default(),
            apple_pass_type: None,
            google_issuer: None,
            enrolment: false,
            enrolment_rules: domain::EnrolmentRules::default(),
            created_at: now,
        };
        ensure!(self.store.put(&self.change(), &template, 0).await?, "the template");
        ensure!(self.store.put(&self.change(), &row, 0).await?, "the project");
        Ok(())
    }

    pub(crate) fn change(&self) -> ConfigChange<'static> {
        let now = self.clock.now();
        ConfigChange { org: self.org, actor: "{}".to_owned(), now, names: Vec::new(), removed_names: Vec::new() }
    }

    /// Starts workers that reach Google at these settings and no other service of a wallet.
    pub(crate) async fn workers(&self, google: GoogleSettings) -> Result<Workers> {
        let (apns, client) = nowhere()?;
        let deps = Deps {
            store: Arc::clone(&self.store),
            engine: self.engine.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::new(System),
            client,
            apns,
            google,
            // No mail is sent, and nothing attached.
            packages: Arc::new(|_, _| Box::pin(async { Ok(None) })),
            node: Some("bench".to_owned()),
        };
        let settings = Settings { poll: Duration::from_millis(20), ..Settings::default() };
        Ok(workers::start_with(deps, settings).await?)
    }

    /// Does a thing to each of many; gives the passes as they are then.
    pub(crate) async fn submit(&self, actions: impl Iterator<Item = Action>) -> Result<Vec<Pass>> {
        let (mut passes, mut actions) = (Vec::new(), actions.peekable());
        while actions.peek().is_some() {
            let commands = actions.by_ref().take(TOGETHER).map(|action| self.command(action)).collect();
            for verdict in self.engine.submit_all(commands).await {
                let outcome = verdict.map_err(|refusal| anyhow!("a command was not carried out: {refusal:?}"))?;
                passes.push(*outcome.pass.context("a command about no pass")?);
            }
        }
        Ok(passes)
    }

    fn command(&self, action: Action) -> Command {
        let id = CommandId::mint(self.clock.now(), &System);
        Command { id, org: self.org, actor: Actor::System, cause: Cause::Request, key: None, told: None, action }
    }

    /// Issues so many passes, each with a contact of its own.
    pub(crate) async fn issue(&self, count: u64) -> Result<Vec<Pass>> {
        let issue = |number: u64| {
            let now = self.clock.now();
            let issue = Issue {
                id: PassId::mint(now, &System),
                code: LinkCode::mint(&System),
                project: self.project,
                variant: None,
                external_id: Some(format!("card-{number}")),
                contact: Some(ContactInput { external_id: Some(format!("person-{number}")), ..ContactInput::default() }),
                new_contact: ContactId::mint(now, &System),
                fields: BTreeMap::new(),
                balances: BTreeMap::new(),
                validity: Validity::default(),
                uses_limit: None,
                inactive: false,
                origin: Default::default(),
                if_exists: IfExists::Reject,
                undoes: None,
            };
            Action::Issue(Box::new(issue))
        };
        self.submit((0..count).map(issue)).await
    }

    /// Makes so many contacts who have no pass.
    pub(crate) async fn put_contacts(&self, count: u64) -> Result<()> {
        let put = |number: u64| {
            let input = ContactInput {
                external_id: Some(format!("person-{number}")),
                email: Some(format!("person.{number}@example.com")),
                ..ContactInput::default()
            };
            self.command(Action::PutContact { new_id: ContactId::mint(self.clock.now(), &System), input })
        };
        let mut next = 0;
        while next < count {
            let end = count.min(next + TOGETHER as u64);
            for verdict in self.engine.submit_all((next..end).map(put).collect()).await {
                verdict.map_err(|refusal| anyhow!("a contact was not put: {refusal:?}"))?;
            }
            next = end;
        }
        Ok(())
    }

    /// Closes the folder.
    pub(crate) async fn close(self) {
        let Self { store, engine, backend, .. } = self;
        drop((store, engine));
        backend.close().await;
    }
}

/// Waits for a condition.
pub(crate) async fn until<Fut: Future<Output = Result<bool>>>(what: &str, condition: impl Fn() -> Fut) -> Result<()> {
    let from = Instant::now();
    while !condition().await? {
        ensure!(from.elapsed() < PATIENCE, "waited too long: {what}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
