//! Runs every case in `src/<vendor>/cases`: what goes in is in `request.json` or `event.json` and `settings.json`, what
//! must come out in `expected.json` or `expected.http`. To make an expected file anew, delete it, run the tests, and read
//! what was written before committing it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests, helpers included")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use connectors::catalog::{self, CONNECTORS, Descriptor};
use connectors::kit::{
    Arrival, Bodies, Decoded, Earlier, Entrance, Inbound, KeyHash, Lock, Owed, Refused, Reply, Secret, Secrets, Sending, Sent,
    Settings, SharedSecret, Token,
};
use domain::{Actor, Cause, DeliveryId, Entropy, Event, Facts, Image, Position, Target, TargetId, Timestamp, UninstallName};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

const WRITE_KEY: &str = "wk_for_cases";
const NOW: &str = "2026-11-20T10:00:00Z";

/// Where holders say that they want no more messages.
const UNSUBSCRIBE: &str = "https://passes.example.com/u/0example";

struct Filled(u8);
impl Entropy for Filled {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

/// The cases of a connector that hold this file.
fn cases(slug: &str, with: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(slug.replace('-', "_")).join("cases");
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|case| case.join(with).exists());
    found.sort();
    found
}

fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> T {
    let text = fs::read_to_string(file).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Compares with the expected file; one that is not there is written, and the test fails so that somebody reads it.
fn compare(case: &Path, name: &str, got: &str, problems: &mut Vec<String>) {
    let file = case.join(name);
    match fs::read_to_string(&file) {
        Ok(expected) if expected == got => {}
        Ok(expected) => problems.push(format!("{}\n--- expected\n{expected}\n--- got\n{got}", case.display())),
        Err(_) => {
            fs::write(&file, got).unwrap();
            problems.push(format!("{} was missing and is written: read it, then run again", file.display()));
        }
    }
}

#[derive(Deserialize)]
struct RequestCase {
    entrance: String,
    #[serde(default = "post")]
    method: String,
    path: Vec<String>,
    #[serde(default)]
    query: Vec<(String, String)>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    text: Option<String>,
}

fn post() -> String {
    "POST".to_owned()
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct SourceCase {
    strict: bool,
    /// Whether the request shows the write key.
    key: bool,
    secrets: Vec<String>,
    settings: Settings,
}

impl RequestCase {
    fn inbound(&self, key: bool) -> Inbound {
        let body = self.text.clone().unwrap_or_else(|| self.body.as_ref().unwrap().to_string());
        let mut headers = http::HeaderMap::new();
        for (name, value) in &self.headers {
            headers.insert(http::HeaderName::try_from(name.as_str()).unwrap(), value.parse().unwrap());
        }
        if key {
            headers.insert("x-write-key", WRITE_KEY.parse().unwrap());
        }
        Inbound {
            entrance: if self.entrance == "api" { Entrance::Api } else { Entrance::Webhook },
            method: self.method.parse().unwrap(),
            headers,
            path: self.path.clone(),
            query: self.query.clone(),
            body: Bytes::from(body),
        }
    }
}

fn verified(
    source: catalog::Source,
    inbound: Inbound,
    case: &SourceCase,
    secrets: &[SharedSecret],
    now: Timestamp,
) -> Result<connectors::kit::Authentic, Refused> {
    let hash = KeyHash::of(WRITE_KEY);
    (source.verify)(inbound, &Lock { key: case.key.then_some(&hash), secrets, settings: &case.settings, now })
}

/// Whatever is changed of a signed request is refused: each byte of its body, each header that its proof needs, the secret,
/// and where a time is signed also the hour.
fn tampering_is_refused(name: &str, source: catalog::Source, request: &RequestCase, case: &SourceCase, secrets: &[SharedSecret]) {
    let now: Timestamp = NOW.parse().unwrap();
    let token = case.settings.contains_key("secret_as");
    let whole = request.inbound(false);
    for at in (0..whole.body.len()).step_by(7).filter(|_| !token) {
        let mut body = whole.body.to_vec();
        body[at] ^= 1;
        let changed = Inbound { body: Bytes::from(body), ..whole.clone() };
        assert!(verified(source, changed, case, secrets, now).is_err(), "{name}: byte {at} was changed");
    }
    let mut bare = whole.clone();
    bare.headers.clear();
    bare.query.clear();
    let refused = verified(source, bare, case, secrets, now).unwrap_err();
    assert_eq!(refused.status(), 401, "{name}: {refused}");
    let other = [SharedSecret::new("whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcg==").unwrap()];
    let refused = verified(source, whole.clone(), case, &other, now).unwrap_err();
    assert!(matches!(refused, Refused::Forged(_)), "{name}: {refused}");
    let timed =
        request.headers.keys().any(|header| ["stripe-signature", "webhook-timestamp", "x-time"].contains(&header.as_str()));
    for seconds in [-3_700, 3_700] {
        let then = Timestamp::from_seconds(now.as_seconds() + seconds);
        let refused = verified(source, whole.clone(), case, secrets, then).err();
        assert_eq!(matches!(refused, Some(Refused::Stale(_))), timed, "{name}: {refused:?}");
    }
    if source.proof != catalog::Proof::SecretOrKey {
        assert_eq!(verified(source, whole, case, &[], now).unwrap_err(), Refused::NoSecret, "{name}");
    }
}

fn decoded(connector: &Descriptor, case: &Path) -> Decoded {
    let source = connector.source.unwrap();
    let request: RequestCase = read(&case.join("request.json"));
    let settings: SourceCase = read(&case.join("settings.json"));
    connectors::kit::check_settings(connector.source_settings, &settings.settings).unwrap();
    let secrets: Vec<_> = settings.secrets.iter().map(|text| SharedSecret::new(text).unwrap()).collect();
    for (secret, form) in secrets.iter().filter_map(|secret| Some((secret, source.secret_form?))) {
        form(secret).unwrap();
    }
    let now = NOW.parse().unwrap();
    let authentic = verified(source, request.inbound(settings.key), &settings, &secrets, now)
        .unwrap_or_else(|refused| panic!("{}: {refused}", case.display()));
    if !secrets.is_empty() {
        tampering_is_refused(&case.display().to_string(), source, &request, &settings, &secrets);
    }
    let arrival = Arrival { received_at: now, fresh: Uuid::nil(), strict: settings.strict, settings: &settings.settings };
    let decoded = (source.decode)(&authentic, &arrival);
    for secret in &settings.secrets {
        assert!(!shown(&decoded).contains(secret), "{}: a secret is kept", case.display());
    }
    decoded
}

fn shown(decoded: &Decoded) -> String {
    let events: Vec<Value> = decoded
        .events
        .iter()
        .map(|event| {
            json!({
                "dedupe_key": event.dedupe_key, "order_key": event.order_key, "name": event.name,
                "occurred_at": event.occurred_at, "payload": serde_json::from_str::<Value>(&event.payload).unwrap(),
            })
        })
        .collect();
    let faults: Vec<Value> =
        decoded.faults.iter().map(|fault| json!({ "path": fault.path, "message": fault.message, "raw": fault.raw })).collect();
    let answer = json!({ "status": decoded.answer.status, "text": decoded.answer.text });
    let all = json!({ "answer": answer, "events": events, "faults": faults, "switched_off": decoded.switched_off });
    serde_json::to_string_pretty(&all).unwrap() + "\n"
}

#[test]
fn requests_become_events() {
    let mut problems = Vec::new();
    for connector in CONNECTORS.iter().filter(|connector| connector.source.is_some()) {
        let cases = cases(connector.slug, "request.json");
        assert!(cases.len() >= 2, "{} needs cases", connector.slug);
        for case in cases {
            let got = shown(&decoded(connector, &case));
            assert!(!got.contains(WRITE_KEY), "{}: the write key is kept", case.display());
            compare(&case, "expected.json", &got, &mut problems);
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[derive(Deserialize)]
struct EventCase {
    id: domain::EventId,
    org: domain::OrgId,
    occurred_at: Timestamp,
    facts: Facts,
    image: Image,
}

fn event(case: EventCase) -> Event {
    Event {
        id: case.id,
        org: case.org,
        position: Position { shard: 0, seq: 1 },
        schema: Event::SCHEMA,
        occurred_at: case.occurred_at,
        recorded_at: case.occurred_at,
        actor: Actor::System,
        cause: Cause::Schedule,
        project: case.image.project.as_ref().map(|project| project.id),
        pass: case.image.pass.as_ref().map(|pass| pass.id),
        contact: case.image.contact.as_ref().map(|contact| contact.id),
        version: 1,
        facts: case.facts,
        image: case.image,
    }
}

fn target(dialect: &str, settings: &Value) -> Target {
    let mut all = json!({
        "id": TargetId::from_uuid(Uuid::from_u128(9)), "name": "Sink",
        "url": if is_service(dialect) { "" } else { "https://sink.example.com/passkit?a=b" },
        "events": "all", "enabled": true, "created_at": "2026-11-20T09:00:00Z", "dialect": dialect,
    });
    for (key, value) in settings
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| !["previous_secrets", "like", "credentials", "token"].contains(&key.as_str()))
    {
        all[key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

/// Services know their own address.
fn is_service(dialect: &str) -> bool {
    catalog::find(dialect).and_then(|connector| connector.destination).is_some_and(|destination| destination.vendor.is_some())
}

#[test]
fn events_become_requests() {
    let mut problems = Vec::new();
    for connector in CONNECTORS {
        let Some(destination) = connector.destination else { continue };
        let mut told = Vec::new();
        for case in cases(connector.slug, "settings.json").into_iter().filter(|case| !case.join("request.json").exists()) {
            told.extend(tell(connector, destination, &case, &mut problems));
        }
        assert!(told.len() >= 3, "{} needs cases", connector.slug);
        // Shapes of ours tell everything alike; each word of a vendor's has a case.
        let vendors = ["passkit", "passengine", "passslot", "walletcrew"].contains(&connector.slug);
        for kind in domain::EventKind::all().filter(|kind| vendors && (destination.wants)(*kind)) {
            let rendered = kind == domain::EventKind::PassRendered;
            assert!(told.contains(&kind) || rendered, "no case of {} tells {}", connector.slug, kind.name());
        }
        let contacts = domain::EventKind::all().filter(|kind| connector.slug == "passkit" && kind.name().starts_with("contact."));
        for kind in contacts {
            assert!(!(destination.wants)(kind), "PassKit has no word for {}", kind.name());
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// The events of a case: its own, those of another, or those of PassKit's cases that it says they are like.
fn events_of(case: &Path, settings: &Value) -> Vec<Event> {
    let like = |name: &str| {
        let (vendor, name) = name.split_once('/').unwrap_or(("passkit", name));
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(vendor).join("cases").join(name).join("event.json")
    };
    let files: Vec<PathBuf> = match &settings["like"] {
        Value::String(name) => vec![like(name)],
        Value::Array(names) => names.iter().map(|name| like(name.as_str().unwrap())).collect(),
        _ => vec![case.join("event.json")],
    };
    files.iter().map(|file| event(read(file))).collect()
}

fn tell(
    connector: &Descriptor,
    destination: catalog::Destination,
    case: &Path,
    problems: &mut Vec<String>,
) -> Vec<domain::EventKind> {
    let settings: Value = read(&case.join("settings.json"));
    let events = events_of(case, &settings);
    let previous = settings["previous_secrets"].as_u64().unwrap_or_default();
    let earlier = |number: u64| Earlier { secret: Secret::mint(&Filled(2 + number as u8)), until: None };
    let previous = (0..previous).map(earlier).collect();
    let credentials: BTreeMap<String, String> = serde_json::from_value(settings["credentials"].clone()).unwrap_or_default();
    let mut secrets = Secrets::rotated(Secret::mint(&Filled(1)), previous);
    secrets.credentials = credentials.clone().into_iter().collect();
    secrets.token = settings["token"].as_str().map(Token::new);
    let target = target(connector.slug, &settings);
    connectors::kit::headers::check(&target.headers).unwrap();
    connectors::kit::check_settings(connector.settings, &target.settings).unwrap();
    if let Some(vendor) = destination.vendor {
        (vendor.check)(&target, &secrets.credentials).unwrap_or_else(|problem| panic!("{}: {problem}", case.display()));
    }
    let owed: Vec<Owed<'_>> = events
        .iter()
        .map(|event| {
            let delivery = DeliveryId::of(event.id.uuid(), target.id.uuid());
            Owed { event, delivery, public_url: "https://passes.example.com", unsubscribe: Some(UNSUBSCRIBE), bodies: None }
        })
        .collect();
    let sendings = (destination.render)(&owed, &target, &secrets, NOW.parse().unwrap());
    assert_eq!(sendings, (destination.render)(&owed, &target, &secrets, NOW.parse().unwrap()), "same input, same output");
    // Bodies that another target of the shape made are those that this one would have made, whatever is set for either.
    let bodies: Vec<Bodies> = events.iter().map(|_| Bodies::default()).collect();
    let shared: Vec<Owed<'_>> = owed.iter().zip(&bodies).map(|(owed, bodies)| Owed { bodies: Some(bodies), ..*owed }).collect();
    let mut other = target.clone();
    other.settings = BTreeMap::new();
    other.post_only = !target.post_only;
    other.uninstall_name = match target.uninstall_name {
        UninstallName::Uninstalled => UninstallName::RecordUpdated,
        UninstallName::RecordUpdated => UninstallName::Uninstalled,
    };
    drop((destination.render)(&shared, &other, &secrets, NOW.parse().unwrap()));
    assert_eq!(sendings, (destination.render)(&shared, &target, &secrets, NOW.parse().unwrap()), "{}", case.display());
    assert!(sendings.is_empty() || events.iter().any(|event| (destination.wants)(event.kind())), "{}", case.display());
    let mut got = String::new();
    for sending in &sendings {
        got.push_str(&shown_sending(connector, &target, case, sending));
        if let (Ok(request), true) = (&sending.request, case.join("reply.json").exists()) {
            got.push_str(&judged(destination, case, request, sending.covers.len()));
        }
    }
    if let Some(call) = destination.vendor.and_then(|vendor| vendor.call) {
        for owed in &owed {
            got.push_str(&format!("{:#?}\n", call(owed, &target)));
        }
    }
    if got.is_empty() {
        got = "no request\n".to_owned();
    }
    for credential in credentials.values().filter(|value| !value.starts_with("https://")) {
        let debugged = format!("{sendings:?} {secrets:?}");
        assert!(!debugged.contains(credential.as_str()), "{}: a credential shows itself", case.display());
    }
    let seen = got.replace(&format!("Passbridge/{}", env!("CARGO_PKG_VERSION")), "Passbridge/VERSION");
    let seen = seen.replace(&format!("version\":\"{}\"", env!("CARGO_PKG_VERSION")), "version\":\"VERSION\"");
    compare(case, "expected.http", &seen, problems);
    if got == "no request\n" { Vec::new() } else { events.iter().map(Event::kind).collect() }
}

/// A request with the events that each of its records covers, where it is not one request for one event.
fn shown_sending(connector: &Descriptor, target: &Target, case: &Path, sending: &Sending) -> String {
    let mut text = String::new();
    if sending.covers != [[0]] {
        writeln!(text, "# covers {:?}", sending.covers).unwrap();
    }
    let request = match &sending.request {
        Ok(request) => request,
        Err(why) => return format!("{text}# never: {why}\n"),
    };
    let own = connector.destination.is_some_and(|destination| destination.vendor.is_none());
    assert!(own || connector.may_call(target, &request.url), "{}: {} is not declared", case.display(), request.url);
    writeln!(text, "{} {}", request.method, request.url).unwrap();
    let mut headers: Vec<_> = request.headers.iter().map(|(key, value)| (key.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    for (name, value) in headers {
        writeln!(text, "{name}: {value}").unwrap();
    }
    text + "\n" + std::str::from_utf8(&request.body).unwrap() + "\n"
}

#[derive(Deserialize)]
struct ReplyCase {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Value,
}

/// What the case's reply to a request means.
fn judged(destination: catalog::Destination, case: &Path, request: &connectors::kit::Request, records: usize) -> String {
    let reply: ReplyCase = read(&case.join("reply.json"));
    let mut headers = http::HeaderMap::new();
    for (name, value) in &reply.headers {
        headers.insert(http::HeaderName::try_from(name.as_str()).unwrap(), value.parse().unwrap());
    }
    let reply = Reply { status: reply.status, headers, body: Bytes::from(reply.body.to_string()) };
    let verdict = (destination.judge)(&Sent { request, reply: Some(&reply), records, now: NOW.parse().unwrap() });
    format!("# {} means {verdict:?}\n", reply.status)
}
