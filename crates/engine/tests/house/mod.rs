//! A small organization over a real SQLite file, with an engine and a clock that is set by hand.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "shared by test binaries that use parts"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use domain::{
    Action, Actor, Amount, BalanceChange, Cause, Clock, Command, CommandId, ContactId, ContactInput, Design, Entropy, Event,
    EventKind, IfExists, Issue, LinkCode, OrgId, Organization, Pass, PassChange, PassId, PassRef, Project, ProjectId,
    ProjectKind, RejectCode, Sighting, Template, TemplateId, TemplateStatus, Text, Timestamp, Validity, Variant, Wallet,
};
use engine::{Engine, EngineError, Outcome};
use store::{Backend, ConfigChange, MasterKey, Store};

pub struct System;
impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).unwrap();
    }
}

pub struct HandClock(pub AtomicI64);
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub const START: i64 = 1_800_000_000_000_000;

pub struct House {
    pub engine: Engine,
    pub store: Arc<Store>,
    pub clock: Arc<HandClock>,
    pub org: OrgId,
    pub project: ProjectId,
    pub _folder: tempfile::TempDir,
}

pub async fn house() -> House {
    house_with(|_| {}).await
}

/// A house whose project is as it is wanted.
pub async fn house_with(shape: impl FnOnce(&mut Project)) -> House {
    let folder = tempfile::tempdir().unwrap();
    let backend = store_sqlite::Sqlite::open(folder.path(), &store_sqlite::Options::default()).unwrap();
    let now = Timestamp::from_micros(START);
    backend.migrate(now).await.unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(System);
    let store = Store::open(backend, &MasterKey::mint(&System), entropy).await.unwrap();
    let org = OrgId::mint(now, &System);
    store.create_org(&Organization { id: org, name: "Test".to_owned(), created_at: now }, "{}".to_owned(), now).await.unwrap();
    let (project, template) = (ProjectId::mint(now, &System), TemplateId::mint(now, &System));
    let design = Design::new("Test", Text::parse("Test").unwrap(), "Card");
    let change = || ConfigChange { org, actor: "{}".to_owned(), now, names: Vec::new(), removed_names: Vec::new() };
    let status = TemplateStatus::Published;
    let template = Template { version: 1, status, ..Template::draft(template, project, "Card".to_owned(), design, now) };
    let variant = |id: &str| Variant {
        id: id.parse().unwrap(),
        name: id.to_uppercase(),
        template: template.id,
        uses_limit: None,
        scan: None,
    };
    let mut project_row = Project {
        id: project,
        slug: "club".to_owned(),
        name: "Club".to_owned(),
        kind: ProjectKind::Membership,
        variants: vec![variant("base"), variant("gold")],
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
    shape(&mut project_row);
    assert!(store.put(&change(), &template, 0).await.unwrap());
    assert!(store.put(&change(), &project_row, 0).await.unwrap());
    let clock = Arc::new(HandClock(AtomicI64::new(START)));
    let (engine, runner) = Engine::new(Arc::clone(&store), Arc::clone(&clock) as Arc<dyn Clock>);
    tokio::spawn(runner.run());
    House { engine, store, clock, org, project, _folder: folder }
}

impl House {
    pub fn command(&self, action: Action) -> Command {
        Command {
            id: CommandId::mint(self.clock.now(), &System),
            org: self.org,
            actor: Actor::System,
            cause: Cause::Request,
            key: None,
            told: None,
            action,
        }
    }
    pub fn issue(&self, external_id: &str) -> Issue {
        Issue {
            id: PassId::mint(self.clock.now(), &System),
            code: LinkCode::mint(&System),
            project: self.project,
            variant: None,
            external_id: Some(external_id.to_owned()),
            contact: Some(ContactInput { external_id: Some(format!("person-{external_id}")), ..ContactInput::default() }),
            new_contact: ContactId::mint(self.clock.now(), &System),
            fields: BTreeMap::new(),
            balances: BTreeMap::new(),
            validity: Validity::default(),
            uses_limit: None,
            inactive: false,
            origin: Default::default(),
            if_exists: IfExists::Reject,
            undoes: None,
        }
    }
    pub async fn issued(&self, external_id: &str) -> Pass {
        self.did(Action::Issue(Box::new(self.issue(external_id)))).await
    }
    pub async fn outcome(&self, action: Action) -> Outcome {
        self.engine.submit(self.command(action)).await.unwrap()
    }
    pub async fn did(&self, action: Action) -> Pass {
        *self.outcome(action).await.pass.unwrap()
    }
    pub async fn refused(&self, action: Action) -> RejectCode {
        match self.engine.submit(self.command(action)).await {
            Err(EngineError::Rejected(reject)) => reject.code,
            other => panic!("expected a rejection, got {other:?}"),
        }
    }
    pub fn add(&self, pass: PassId, amount: &str) -> Action {
        let balances = BTreeMap::from([("points".to_owned(), BalanceChange::Add(amount.parse().unwrap()))]);
        let change = Box::new(PassChange { balances, ..PassChange::default() });
        Action::Update { pass: PassRef::Id(pass), change, expected_version: None }
    }
    pub fn install(&self, pass: PassId, device: &str) -> Action {
        Action::RecordInstall {
            pass: PassRef::Id(pass),
            wallet: Wallet::Apple,
            device: device.to_owned(),
            push_token: Some("token".to_owned()),
            sighting: Sighting::default(),
        }
    }
    pub fn scan(&self, pass: PassId) -> Action {
        Action::Scan { passes: vec![PassRef::Id(pass)], order: Box::default() }
    }
    pub async fn events(&self, pass: PassId) -> Vec<Event> {
        let events = self.store.events_of_pass(self.org, pass, 0, 1_000).await.unwrap();
        events.into_iter().map(|event| event.whole().unwrap()).collect()
    }
    pub async fn kinds(&self, pass: PassId) -> Vec<EventKind> {
        self.events(pass).await.iter().map(Event::kind).collect()
    }
}

pub async fn futures_all(house: &House, commands: Vec<Command>) -> Vec<Result<Outcome, EngineError>> {
    let tasks: Vec<_> = commands
        .into_iter()
        .map(|command| {
            let engine = house.engine.clone();
            tokio::spawn(async move { engine.submit(command).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}
