//! The real server on a real port over a real database, and what it is talked to with.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by several test files"
)]

#[path = "../database/mod.rs"]
mod database;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use base64::Engine as _;
use bytes::Bytes;
use domain::{
    Amount, Barcode, BarcodeFormat, Clock, Colors, Design, DesignField, Entropy, FieldDef, FieldPlace, FieldType, ImageRole,
    ImageSet, Issue, LinkCode, OrgId, Organization, Pass, PassId, Project, ProjectId, ProjectKind, SignerId, Source, SourceId,
    Template, TemplateId, TemplateStatus, Text, Timestamp, Variant,
};
use engine::Engine;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use http_server::{App, Settings};
use hyper_util::{client::legacy, rt::TokioExecutor};
use pkpass::development::Validity;
use store::{ConfigChange, NameKind, Resource, Store, StoredGoogleAccount, StoredSigner};

pub const PASS_TYPE: &str = "pass.example.club";
pub const ISSUER: &str = "3388000000012345678";
pub const TEAM: &str = "TEAM123456";

pub struct System;
impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).unwrap();
    }
}
impl Clock for System {
    #[allow(clippy::disallowed_methods, reason = "the test's own clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }
}

pub struct House {
    pub app: Arc<App>,
    pub store: Arc<Store>,
    pub org: OrgId,
    pub base: String,
    pub project: ProjectId,
    pub template: TemplateId,
    pub root_der: Vec<u8>,
    client: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
    _folder: Option<tempfile::TempDir>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A PNG of one colour; the test needs no more.
pub fn png(side: u32) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut out = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
        let body = [kind.as_slice(), data].concat();
        out.extend(&body);
        out.extend(crc32fast::hash(&body).to_be_bytes());
        out
    };
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let row = [vec![0], [0x1f, 0x5a, 0x4a].repeat(side as usize)].concat();
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &row.repeat(side as usize)).unwrap();
    [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &header), &chunk(b"IDAT", &encoder.finish().unwrap()), &chunk(b"IEND", b"")]
        .concat()
}

fn field(key: &str, label: &str, value: &str, place: FieldPlace) -> DesignField {
    DesignField {
        label: label.to_owned(),
        change_message: (key == "points").then(|| "You have %@ points".to_owned()),
        ..DesignField::new(key, Text::parse(value).unwrap(), place)
    }
}

fn design(icon: &str) -> Design {
    let image = ImageSet { x2: Some(icon.to_owned()), ..ImageSet::default() };
    Design {
        colors: Colors { background: Some("#1f5a4a".to_owned()), foreground: Some("#ffffff".to_owned()), label: None },
        images: BTreeMap::from([(ImageRole::Icon, image.clone()), (ImageRole::Logo, image)]),
        fields: vec![
            field("points", "Points", "{{balances.points}}", FieldPlace::Header),
            field("holder", "Member", "{{contact.name}}", FieldPlace::Primary),
            field("tier", "Tier", "{{variant.name}}", FieldPlace::Secondary),
            field("drink", "Favourite", "{{fields.drink}}", FieldPlace::Auxiliary),
            field("terms", "Terms", "One card for each guest.", FieldPlace::Back),
        ],
        barcode: Some(Barcode { format: BarcodeFormat::Qr, value: Text::parse("{{pass.id}}").unwrap(), alt_text: None }),
        ..Design::new("Bean & Co", Text::parse("Bean Club").unwrap(), "Loyalty card")
    }
}

fn form_field(key: &str, label: &str, field_type: FieldType, required: bool) -> FieldDef {
    FieldDef { key: key.to_owned(), label: label.to_owned(), field_type, required, default: None, on_form: true }
}

pub async fn house() -> House {
    house_with(|_| {}).await
}

pub async fn house_with(change: impl FnOnce(&mut Settings)) -> House {
    let now = System.now();
    let (backend, folder) = database::fresh(now).await;
    let store = Store::open(backend, &store::MasterKey::mint(&System), Arc::new(System)).await.unwrap();
    let org = OrgId::mint(now, &System);
    store
        .create_org(&Organization { id: org, name: "Bean & Co".to_owned(), created_at: now }, "{}".to_owned(), now)
        .await
        .unwrap();
    let (engine, runner) = Engine::new(Arc::clone(&store), Arc::new(System));
    tokio::spawn(runner.run());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut settings = Settings::new(&base);
    change(&mut settings);
    let app = App::new(Arc::clone(&store), engine, Arc::new(System), Arc::new(System), settings, None);
    let service = http_server::router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    let client = legacy::Client::builder(TokioExecutor::new()).build_http();
    let (project, template) = (ProjectId::mint(now, &System), TemplateId::mint(now, &System));
    let root_der = Vec::new();
    let mut house = House { app, store, org, base, project, template, root_der, client, _folder: folder };
    house.furnish().await;
    house
}

impl House {
    async fn furnish(&mut self) {
        let now = System.now();
        let today = now.as_seconds() / 86_400 * 86_400;
        let validity = Validity::days(today, 365);
        let authority = testkit::keys::authority("test", validity).unwrap();
        let pem: String = authority.root_pem().lines().filter(|line| !line.starts_with("-----")).collect();
        self.root_der = base64::engine::general_purpose::STANDARD.decode(pem).unwrap();
        let signer = authority.issue_pass_type(PASS_TYPE, TEAM, validity).unwrap();
        let id = SignerId::mint(now, &System);
        let stored = StoredSigner {
            id,
            pass_type: PASS_TYPE.to_owned(),
            team: TEAM.to_owned(),
            certificates: format!("{}{}", signer.certificate, signer.intermediate.unwrap()),
            not_after: Timestamp::from_seconds(validity.not_after),
            sealed_key: self.store.seal_for::<StoredSigner>(self.org, id.uuid(), signer.key.as_bytes()).unwrap(),
            previous: None,
            told: None,
            created_at: now,
        };
        self.put(&stored, vec![(NameKind::PassType, PASS_TYPE.as_bytes().to_vec(), id.uuid())]).await;
        let id = SignerId::mint(now, &System);
        let email = "passes@example-project.iam.gserviceaccount.com";
        let file = testkit::keys::service_account(email).unwrap();
        let account = StoredGoogleAccount {
            id,
            issuer: ISSUER.to_owned(),
            client_email: email.to_owned(),
            sealed_key: self.store.seal_for::<StoredGoogleAccount>(self.org, id.uuid(), file.as_bytes()).unwrap(),
            development: true,
            created_at: now,
        };
        self.put(&account, vec![(NameKind::GoogleIssuer, ISSUER.as_bytes().to_vec(), id.uuid())]).await;
        let icon = self.store.put_blob(self.org, "image/png", png(58), now).await.unwrap();
        let icon: String = icon.iter().map(|byte| format!("{byte:02x}")).collect();
        let template = Template {
            id: self.template,
            project: self.project,
            name: "Card".to_owned(),
            version: 1,
            status: TemplateStatus::Published,
            design: design(&icon),
            created_at: now,
            redrawn: 0,
            published_at: None,
        };
        self.put(&template, Vec::new()).await;
        let variant = |id: &str| Variant {
            id: id.parse().unwrap(),
            name: id.to_uppercase(),
            template: self.template,
            uses_limit: None,
            scan: None,
        };
        let project = Project {
            id: self.project,
            slug: "club".to_owned(),
            name: "Bean Club".to_owned(),
            kind: ProjectKind::Membership,
            variants: vec![variant("base"), variant("gold")],
            fields: vec![
                form_field("drink", "Favourite drink", FieldType::Text, true),
                form_field("cups", "Cups a day", FieldType::Number, false),
                form_field("news", "Send me news", FieldType::Flag, false),
            ],
            balances: BTreeMap::from([("points".to_owned(), Amount::ZERO)]),
            uses_limit: None,
            scan: Default::default(),
            time_zone: Default::default(),
            apple_pass_type: Some(PASS_TYPE.to_owned()),
            google_issuer: Some(ISSUER.to_owned()),
            enrolment: true,
            enrolment_rules: domain::EnrolmentRules::default(),
            created_at: now,
        };
        self.put(&project, vec![(NameKind::Enrolment, b"club".to_vec(), self.project.uuid())]).await;
    }

    pub async fn put<T: Resource>(&self, value: &T, names: Vec<(NameKind, Vec<u8>, uuid::Uuid)>) {
        let change = ConfigChange { org: self.org, actor: "{}".to_owned(), now: System.now(), names, removed_names: Vec::new() };
        assert!(self.store.put(&change, value, 0).await.unwrap());
    }

    /// A source and its write key.
    pub async fn source(&self, slug: &str, enabled: bool, strict: bool) -> (Source, String) {
        let secret = format!("pbw_{}{}", LinkCode::mint(&System), LinkCode::mint(&System));
        let source = Source {
            id: SourceId::mint(System.now(), &System),
            slug: slug.to_owned(),
            name: slug.to_owned(),
            kind: "rudderstack".to_owned(),
            key_prefix: secret[..12].to_owned(),
            previous_key_prefix: None,
            sealed_secrets: Vec::new(),
            settings: BTreeMap::new(),
            enabled,
            strict,
            created_at: System.now(),
        };
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes()).as_ref().to_vec();
        self.put(&source, vec![(NameKind::WriteKey, hash, source.id.uuid())]).await;
        (source, secret)
    }

    pub async fn submit(&self, action: domain::Action) -> engine::Outcome {
        let command = domain::Command {
            id: domain::CommandId::mint(System.now(), &System),
            org: self.org,
            actor: domain::Actor::System,
            cause: domain::Cause::Request,
            key: None,
            told: None,
            action,
        };
        self.app.engine.submit(command).await.unwrap()
    }

    pub async fn issue(&self) -> Pass {
        let contact = domain::ContactInput {
            name: Some("Ada <b>Example</b>".to_owned()),
            email: Some(format!("{}@example.com", PassId::mint(System.now(), &System))),
            ..domain::ContactInput::default()
        };
        self.issue_to(Some(contact)).await
    }

    pub async fn issue_to_nobody(&self) -> Pass {
        self.issue_to(None).await
    }

    async fn issue_to(&self, contact: Option<domain::ContactInput>) -> Pass {
        let now = System.now();
        let issue = Issue {
            id: PassId::mint(now, &System),
            code: LinkCode::mint(&System),
            project: self.project,
            variant: None,
            external_id: None,
            contact,
            new_contact: domain::ContactId::mint(now, &System),
            fields: BTreeMap::from([("drink".to_owned(), domain::FieldValue::from("Cortado"))]),
            balances: BTreeMap::new(),
            validity: domain::Validity::default(),
            uses_limit: None,
            inactive: false,
            origin: domain::Origin::default(),
            if_exists: domain::IfExists::Reject,
            undoes: None,
        };
        *self.submit(domain::Action::Issue(Box::new(issue))).await.pass.unwrap()
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let mut request = http::Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Bytes::new()).await
    }
}

pub fn basic(user: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:")))
}

/// A webhook of the house that points somewhere.
pub fn target(house: &House, url: &str, secret: &connectors::kit::Secret) -> store::StoredTarget {
    let id = domain::TargetId::mint(System.now(), &System);
    let target = domain::Target::new(id, "bin", url, System.now());
    let sealed = house.store.seal_for::<store::StoredTarget>(house.org, id.uuid(), secret.expose().as_bytes()).unwrap();
    house.store.seal_target(house.org, target, vec![sealed.into()]).unwrap()
}
