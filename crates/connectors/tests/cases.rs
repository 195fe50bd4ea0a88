//! Runs every case in `src/<vendor>/cases`: what goes in is in `request.json` or `event.json` and `settings.json`, what
//! must come out in `expected.json` or `expected.http`. To make an expected file anew, delete it, run the tests, and read
//! what was written before committing it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests, helpers included")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use connectors::catalog;
use connectors::kit::{Arrival, Decoded, Entrance, Inbound, KeyHash, Owed, Secret, Secrets, Sending};
use domain::{Actor, Cause, DeliveryId, Entropy, Event, Facts, Image, Position, Target, TargetId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

const WRITE_KEY: &str = "wk_for_cases";
const NOW: &str = "2026-11-20T10:00:00Z";

struct Filled(u8);
impl Entropy for Filled {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

fn cases(slug: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(slug).join("cases");
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
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
    path: Vec<String>,
    body: Option<Value>,
    text: Option<String>,
}

fn decoded(request: &RequestCase, strict: bool) -> Decoded {
    let source = catalog::find("rudderstack").unwrap().source.unwrap();
    let body = request.text.clone().unwrap_or_else(|| request.body.as_ref().unwrap().to_string());
    let mut headers = http::HeaderMap::new();
    headers.insert("x-write-key", WRITE_KEY.parse().unwrap());
    let inbound = Inbound {
        entrance: if request.entrance == "api" { Entrance::Api } else { Entrance::Webhook },
        headers,
        path: request.path.clone(),
        query: Vec::new(),
        body: Bytes::from(body),
    };
    let authentic = (source.verify)(inbound, &KeyHash::of(WRITE_KEY)).unwrap();
    (source.decode)(&authentic, &Arrival { received_at: NOW.parse().unwrap(), fresh: Uuid::nil(), strict })
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
    let cases = cases("rudderstack");
    assert!(cases.len() >= 20);
    for case in cases {
        let settings: BTreeMap<String, bool> = read(&case.join("settings.json"));
        let strict = settings.get("strict").copied().unwrap_or_default();
        let decoded = decoded(&read(&case.join("request.json")), strict);
        let got = shown(&decoded);
        assert!(!got.contains(WRITE_KEY), "{}: the write key is kept", case.display());
        compare(&case, "expected.json", &got, &mut problems);
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

fn target(settings: &Value) -> Target {
    let mut all = json!({
        "id": TargetId::from_uuid(Uuid::from_u128(9)), "name": "Sink", "url": "https://sink.example.com/passkit?a=b",
        "events": "all", "enabled": true, "created_at": "2026-11-20T09:00:00Z",
    });
    for (key, value) in settings.as_object().unwrap().iter().filter(|(key, _)| *key != "previous_secrets") {
        all[key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

#[test]
fn events_become_requests() {
    let destination = catalog::find("passkit").unwrap().destination.unwrap();
    let mut problems = Vec::new();
    let mut told = Vec::new();
    for case in cases("passkit") {
        let settings: Value = read(&case.join("settings.json"));
        let event = event(read(&case.join("event.json")));
        let previous = settings["previous_secrets"].as_u64().unwrap_or_default();
        let secrets = Secrets {
            current: Secret::mint(&Filled(1)),
            previous: (0..previous).map(|number| Secret::mint(&Filled(2 + number as u8))).collect(),
        };
        let target = target(&settings);
        connectors::passkit::settings::check(&target).unwrap();
        let owed = [Owed { event: &event, delivery: DeliveryId::of(event.id.uuid(), target.id.uuid()) }];
        let requests = (destination.render)(&owed, &target, &secrets, NOW.parse().unwrap());
        assert_eq!(requests.is_empty(), !(destination.wants)(event.kind()), "{}", case.display());
        let got = match requests.first() {
            None => "no request\n".to_owned(),
            Some(Sending { request, covers }) => {
                assert_eq!((covers.as_slice(), requests.len()), (&[0][..], 1));
                told.push(event.kind());
                let mut text = format!("{} {}\n", request.method, request.url);
                let mut headers: Vec<_> =
                    request.headers.iter().map(|(key, value)| (key.as_str(), value.to_str().unwrap())).collect();
                headers.sort_unstable();
                for (name, value) in headers {
                    writeln!(text, "{name}: {value}").unwrap();
                }
                text + "\n" + std::str::from_utf8(&request.body).unwrap() + "\n"
            }
        };
        let seen = got.replace(&format!("Passbridge/{}", env!("CARGO_PKG_VERSION")), "Passbridge/VERSION");
        compare(&case, "expected.http", &seen, &mut problems);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    for kind in domain::EventKind::all().filter(|kind| (destination.wants)(*kind)) {
        assert!(told.contains(&kind), "no case tells {}", kind.name());
    }
}
