//! The real router over a real store on a real port, with two organizations that know nothing of each other.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use domain::{
    Action, Actor, ApiKey, Cause, Clock, Command, CommandId, DeliveryId, Entropy, EventId, KeyId, OrgId, Organization, Scope,
    TargetId, Timestamp, Users,
};
use engine::Engine;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use http_server::{App, Settings, mint_api_key};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use store::{AttemptRow, ConfigChange, DeliveryOver, DeliverySettlement, LoggedEvent, MasterKey, NameKind, Store};

use crate::database;

pub struct System;
impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).unwrap();
    }
}

/// Stands still unless it is put forward, so that answers can be compared.
struct Standing(AtomicI64);
impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {:?}", self.bytes))
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }
    /// The body, provided that this is the status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }
    /// The problem's code, provided that this is the status and it is a problem.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        problem["code"].as_str().unwrap().to_owned()
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub app: Arc<App>,
    pub store: Arc<Store>,
    pub ours: OrgId,
    pub theirs: OrgId,
    /// An admin key of ours.
    pub admin: String,
    /// An admin key of theirs.
    pub stranger: String,
    clock: Arc<Standing>,
    client: Client<HttpConnector, Full<Bytes>>,
    _folder: Option<tempfile::TempDir>,
}

pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

impl Server {
    /// Puts the clock forward: what is made from now on is newer than what there is.
    pub fn forward(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }

    pub async fn start() -> Self {
        let (backend, folder) = database::fresh(NOW).await;
        let store = Store::open(backend, &MasterKey::mint(&System), Arc::new(System)).await.unwrap();
        let standing = Arc::new(Standing(AtomicI64::new(NOW.as_micros())));
        let clock: Arc<dyn Clock> = Arc::<Standing>::clone(&standing);
        let (engine, runner) = Engine::new(Arc::clone(&store), Arc::clone(&clock));
        tokio::spawn(runner.run());
        let mut settings = Settings::new("http://localhost:8080/");
        settings.rate_per_second = 100_000;
        let (ours, theirs) = (OrgId::mint(NOW, &System), OrgId::mint(NOW, &System));
        let only = |org| Users::Only([org].into());
        settings.egresses =
            [("fixed", Users::All), ("office", only(ours)), ("theirs", only(theirs)), ("unused", Users::default())]
                .map(|(name, users)| (name.to_owned(), users))
                .into();
        let app = App::new(Arc::clone(&store), engine, clock, Arc::new(System), settings, None);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = http_server::router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        for (id, name) in [(ours, "Ours"), (theirs, "Theirs")] {
            let organization = Organization { id, name: name.to_owned(), created_at: NOW };
            store.create_org(&organization, "{}".to_owned(), NOW).await.unwrap();
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut server = Self {
            address,
            app,
            store,
            ours,
            theirs,
            admin: String::new(),
            stranger: String::new(),
            clock: standing,
            client,
            _folder: folder,
        };
        server.admin = server.key(ours, &[Scope::Admin]).await;
        server.stranger = server.key(theirs, &[Scope::Admin]).await;
        server
    }

    /// A key with these scopes.
    pub async fn key(&self, org: OrgId, scopes: &[Scope]) -> String {
        self.key_with(org, |key| key.scopes = scopes.to_vec()).await
    }

    /// A key as it is wanted.
    pub async fn key_with(&self, org: OrgId, shape: impl FnOnce(&mut ApiKey)) -> String {
        let minted = mint_api_key(&System);
        let mut key = ApiKey {
            id: KeyId::mint(NOW, &System),
            name: "Test".to_owned(),
            prefix: minted.prefix,
            scopes: Vec::new(),
            rate_per_second: None,
            expires_at: None,
            created_at: NOW,
        };
        shape(&mut key);
        let names = vec![(NameKind::ApiKey, minted.hash.to_vec(), key.id.uuid())];
        let change = ConfigChange { org, actor: "{}".to_owned(), now: NOW, names, removed_names: Vec::new() };
        assert!(self.store.put(&change, &key, 0).await.unwrap());
        minted.secret
    }

    /// Sends a request as it stands.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        *request.uri_mut() = format!("http://{}{path}", self.address).parse().unwrap_or_else(|_| panic!("{path}"));
        for (name, value) in headers {
            request.headers_mut().append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Reply { status: parts.status, headers: parts.headers, bytes: body.collect().await.unwrap().to_bytes() }
    }

    /// Sends JSON with a key.
    pub async fn call(&self, key: &str, method: &str, path: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("authorization", bearer.as_str())];
        let mut bytes = Bytes::new();
        if !body.is_null() {
            headers.push(("content-type", "application/json"));
            bytes = body.to_string().into();
        }
        self.send(method, path, &headers, bytes).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(&self.admin, "GET", path, &Value::Null).await
    }
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(&self.admin, "POST", path, &body).await
    }
    /// What does not come over the API, such as what a wallet tells.
    pub async fn did(&self, action: Action) {
        let id = CommandId::mint(NOW, &System);
        let command = Command { id, org: self.ours, actor: Actor::System, cause: Cause::Wallet, key: None, told: None, action };
        self.app.engine.submit(command).await.unwrap();
    }
    /// Posts under an idempotency key.
    pub async fn once(&self, key: &str, method: &str, path: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {}", self.admin);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
        self.send(method, path, &headers, body.to_string()).await
    }
}

/// What came of a try at a delivery: its number, how it ended, its status, what went wrong.
pub type Try<'t> = (i32, i16, Option<i16>, Option<&'t str>);

impl Server {
    /// Notes that an event was sent to a webhook, as a worker does, which these tests have none of.
    pub async fn tried(&self, webhook: &str, event: &str, (attempt, outcome, status, error): Try<'_>, detail: &Value) {
        let (target, event): (TargetId, EventId) = (webhook.parse().unwrap(), event.parse().unwrap());
        let Some(LoggedEvent::Whole(whole, under)) = self.store.event(self.ours, event).await.unwrap() else { panic!("{event}") };
        let (subject, detail) = self.store.seal_detail(&whole, &under, detail.to_string().as_bytes()).unwrap();
        let delivery = DeliveryId::of(event.uuid(), target.uuid());
        let over = DeliveryOver { org: self.ours, id: delivery, asked_at: Some(self.clock.now()) };
        let finished = if outcome == 2 { Vec::new() } else { vec![over] };
        let row = AttemptRow {
            org: self.ours,
            delivery,
            target,
            event,
            position: whole.position,
            attempt,
            at: self.clock.now(),
            elapsed_micros: 12_000,
            outcome,
            status,
            error: error.map(str::to_owned),
            next_at: (outcome == 2).then(|| self.clock.now().plus(Duration::from_secs(300))),
            subject,
            data_key: None,
            detail,
        };
        let backend = self.store.backend();
        let lease =
            backend.leases().await.unwrap().into_iter().find(|row| row.lease.shard == whole.position.shard).unwrap().lease;
        let lease = backend.seize(lease, "test").await.unwrap().unwrap();
        let settlement = DeliverySettlement { lease, attempts: vec![row], finished, owed: Vec::new(), watermark: None };
        backend.settle_deliveries(settlement).await.unwrap();
        backend.give_back(lease).await.unwrap();
    }
}

/// A picture of one pixel.
pub fn png() -> Vec<u8> {
    fn piece(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let body = [kind.as_slice(), data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
    }
    let header = [&1u32.to_be_bytes()[..], &1u32.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
    let picture = [0x78, 0x9c, 0x63, 0x60, 0x60, 0x60, 0x60, 0, 0, 0, 5, 0, 1];
    let signature = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
    [signature.as_slice(), &piece(b"IHDR", &header), &piece(b"IDAT", &picture), &piece(b"IEND", &[])].concat()
}

/// A picture of so many pixels.
pub fn picture(width: u32, height: u32) -> Vec<u8> {
    let drawn = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x % 251) as u8, (y % 241) as u8, 90]));
    let mut out = std::io::Cursor::new(Vec::new());
    drawn.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

/// A membership card of others, packed without a signature.
pub fn packed_pass(description: &str) -> Vec<u8> {
    let json = json!({"organizationName": "Other", "description": description, "storeCard": {}}).to_string();
    pkpass::pack([("pass.json", json.as_bytes())], 0).unwrap()
}

/// One of everything, by the names of the path parameters.
pub struct Things {
    pub ids: BTreeMap<String, String>,
}

impl Things {
    pub fn transformation(slug: &str) -> Value {
        json!({"slug": slug, "name": slug, "code": "export const transformEvent = (event) => event;"})
    }

    /// A sync of a warehouse that nobody asks.
    pub fn sync(slug: &str, project: &str) -> Value {
        let database = json!({"url": "postgresql://warehouse.example.com/analytics", "user": "reader", "password": "of nobody"});
        let batch = json!({"project": project, "operation": "issue"});
        json!({"slug": slug, "name": "Members", "database": database, "query": "SELECT 1 AS external_id", "batch": batch})
    }

    /// A destination that nothing is ever sent to.
    pub fn destination(name: &str) -> Value {
        let settings = json!({"access_token": "pat-of-nobody", "key": "email"});
        json!({"name": name, "kind": "hubspot", "url": "https://crm.example.com", "settings": settings})
    }

    pub fn id(&self, name: &str) -> &str {
        &self.ids[name]
    }
    pub fn bare_project(slug: &str) -> Value {
        json!({"slug": slug, "name": "Club", "kind": "membership",
               "fields": [{"key": "tier", "label": "Tier"}], "balances": {"points": "0"}})
    }
    pub fn design(image: &str) -> Value {
        json!({"issuer": "Café", "title": "Club card", "description": "Membership card",
               "images": {"icon": {"x2": image}},
               "fields": [{"key": "points", "label": "Points", "value": "{{balances.points}}", "place": "header"}]})
    }
}

impl Server {
    /// Makes one of everything with our admin key, through the API wherever it can.
    pub async fn furnish(&self) -> Things {
        let mut ids = BTreeMap::new();
        let mut keep = |name: &str, value: &Value| {
            ids.insert(name.to_owned(), value.as_str().unwrap_or_else(|| panic!("{name}")).to_owned());
        };
        let bearer = format!("Bearer {}", self.admin);
        let image = [("authorization", bearer.as_str()), ("content-type", "image/png")];
        let sha256 = self.send("POST", "/v1/images", &image, png()).await.expect(201)["sha256"].clone();
        let project = self.post("/v1/projects", Things::bare_project("club")).await.expect(201);
        let design = Things::design(sha256.as_str().unwrap());
        let template = json!({"project": project["id"], "name": "Card", "design": design.clone()});
        let template = self.post("/v1/templates", template).await.expect(201);
        let path = format!("/v1/templates/{}/publish", template["id"].as_str().unwrap());
        self.post(&path, Value::Null).await.expect(200);
        let mut changed = Things::bare_project("club");
        changed["variants"] = json!([{"id": "base", "name": "Base", "template": template["id"]}]);
        let path = format!("/v1/projects/{}", project["id"].as_str().unwrap());
        self.call(&self.admin, "PUT", &path, &changed).await.expect(200);
        let issue = json!({"project": project["id"], "external_id": "card-1", "contact": {"email": "Ada@Example.com"}});
        let pass = self.post("/v1/passes", issue).await.expect(201);
        let scan = self.post("/v1/scans", json!({"pass": pass["id"]})).await.expect(200);
        let mut next = design.clone();
        next["title"] = json!("Club card, redrawn");
        let path = format!("/v1/templates/{}", template["id"].as_str().unwrap());
        self.call(&self.admin, "PUT", &path, &json!({"name": "Card", "design": next})).await.expect(200);
        let published = self.post(&format!("{path}/publish"), Value::Null).await.expect(200);
        let events = self.get("/v1/events").await.expect(200);
        let source = self.post("/v1/sources", json!({"slug": "shop", "name": "Shop"})).await.expect(201);
        let flow = json!({"slug": "sign-up", "project": "club", "when": {"event": "signed_up"},
                          "steps": [{"id": "card", "action": "issue"}]});
        let flow = self.post("/v1/flows", flow).await.expect(201);
        let transformation = self.post("/v1/transformations", Things::transformation("tidy")).await.expect(201);
        let hook = json!({"name": "Hook", "url": "https://hooks.example.com/passes"});
        let webhook = self.post("/v1/webhooks", hook).await.expect(201);
        let path = format!("/v1/webhooks/{}/test?wait_seconds=0", webhook["id"].as_str().unwrap());
        let owed = self.post(&path, Value::Null).await.expect(202);
        let destination = self.post("/v1/destinations", Things::destination("Members")).await.expect(201);
        let path = format!("/v1/destinations/{}/backfill", destination["id"].as_str().unwrap());
        let backfill = self.post(&path, json!({})).await.expect(202);
        let signer = self.post("/v1/signers", signer_input("pass.com.example.club")).await.expect(201);
        let asked = json!({"email": "passes@example.com", "name": "Club"});
        let signing_request = self.post("/v1/signing-requests", asked).await.expect(201);
        let account = self.post("/v1/google-accounts", account_input("3388000000000000001")).await.expect(201);
        let key = self.post("/v1/keys", json!({"name": "Spare", "scopes": ["scan"]})).await.expect(201);
        let inspector = self.post("/v1/inspectors", json!({"name": "Bin"})).await.expect(201);
        keep("inspector", &inspector["id"]);
        keep("sha256", &sha256);
        for (name, thing) in [
            ("project", &project),
            ("template", &template),
            ("pass", &pass),
            ("source", &source),
            ("flow", &flow),
            ("transformation", &transformation),
            ("webhook", &webhook),
            ("destination", &destination),
            ("backfill", &backfill),
            ("signer", &signer),
            ("signing_request", &signing_request),
            ("account", &account),
            ("key", &key),
            ("scan", &scan),
            ("event", &events["data"][0]),
            ("message", &events["data"][0]),
        ] {
            keep(name, &thing["id"]);
        }
        keep("contact", &pass["contact"]);
        keep("delivery", &owed["delivery"]);
        let batch = self.post("/v1/batches", json!({"project": "club", "operation": "issue"})).await.expect(201);
        keep("batch", &batch["id"]);
        keep("sync", &self.post("/v1/syncs", Things::sync("members", "club")).await.expect(201)["id"]);
        keep("publication", &published["publication"]);
        keep("version", &json!("1"));
        ids.insert("connector".to_owned(), "stripe".to_owned());
        ids.insert("role".to_owned(), "icon".to_owned());
        ids.insert("organization".to_owned(), self.ours.to_string());
        ids.insert("source_event".to_owned(), self.source_event(source["id"].as_str().unwrap()).await);
        Things { ids }
    }

    /// A source event at our door.
    pub async fn source_event(&self, source: &str) -> String {
        let event = domain::SourceEvent {
            dedupe_key: "m-1".to_owned(),
            order_key: "u-1".to_owned(),
            name: "track signed_up".to_owned(),
            occurred_at: None,
            payload: json!({"event": "signed_up", "userId": "u-1"}).to_string(),
        };
        let source = source.parse().unwrap();
        let arrival = store::Arrival { org: self.ours, source, received_at: NOW, event, fault: Some("mend me".to_owned()) };
        self.store.accept(vec![arrival]).await.unwrap()[0].0.to_string()
    }
}

pub fn signer_input(pass_type: &str) -> Value {
    let validity = pkpass::development::Validity::days(NOW.as_seconds() - 86_400, 365);
    let authority = testkit::keys::authority("Test", validity).unwrap();
    let identity = authority.issue_pass_type(pass_type, "TEAM123456", validity).unwrap();
    json!({"certificate": identity.certificate, "private_key": *identity.key, "intermediate": authority.intermediate_pem()})
}

/// Stands in for Apple's developer portal.
pub fn authority() -> pkpass::development::Authority {
    testkit::keys::authority("Portal", VALIDITY).unwrap()
}

/// From yesterday for a year.
pub const VALIDITY: pkpass::development::Validity = pkpass::development::Validity::days(NOW.as_seconds() - 86_400, 365);

/// An authority's answer to a signing request.
pub fn answer_input(authority: &pkpass::development::Authority, request: &Value, pass_type: &str, team: &str) -> Value {
    use base64::Engine as _;
    let cer = authority.answer(request["request"].as_str().unwrap(), pass_type, team, VALIDITY).unwrap();
    let cer = base64::engine::general_purpose::STANDARD.encode(cer);
    json!({"certificate": cer, "intermediate": authority.intermediate_pem()})
}

pub fn account_input(issuer: &str) -> Value {
    let file = testkit::keys::service_account("wallet@example.iam.gserviceaccount.com").unwrap();
    json!({"issuer": issuer, "key_file": file, "development": true})
}
