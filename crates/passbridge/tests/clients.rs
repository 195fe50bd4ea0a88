//! Real clients of the field at the real program: RudderStack's and Segment's SDKs send to it, so do the libraries of Stripe,
//! Standard Webhooks and CloudEvents, Standard Webhooks' libraries verify what it sends, schemathesis reads its OpenAPI
//! document and tries everything in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod support;

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Club, Database};
use testkit::{
    clients,
    sink::{Behaviour, Received, Sink},
};
use tokio::time::Instant;

const CLIENT_DEADLINE: Duration = Duration::from_secs(60);
const HAPPENS_WITHIN: Duration = Duration::from_secs(20);

fn calls(members: &[&str]) -> String {
    let call = |member: &&str| json!({"type": "track", "userId": member, "event": "membership_signed_up", "properties": {"tier": "base"}});
    let mut calls: Vec<Value> = members.iter().map(call).collect();
    calls.push(json!({"type": "identify", "userId": members[0], "traits": {"email": "one@example.com"}}));
    calls.push(json!({"type": "track", "userId": members[0], "event": "purchase_completed", "properties": {"total": 9.5}}));
    Value::from(calls).to_string()
}

async fn pass_with(club: &Club, member: &str, points: &str) -> Value {
    let deadline = Instant::now() + HAPPENS_WITHIN;
    loop {
        let pass = club.pass_of(member).await;
        if let Some(pass) = pass.as_ref().filter(|pass| pass["balances"]["points"] == points) {
            return pass.clone();
        }
        assert!(Instant::now() < deadline, "{member} has {pass:?}, expected {points} points\n{}", club.server.said());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn sdk_issues_passes(database: Database) {
    let club = Club::open(database).await;
    let data_plane = club.data_plane();
    let arguments = [data_plane.as_str(), club.write_key.as_str()];
    let node = clients::node("rudder.mjs", &arguments, &calls(&["node-1", "node-2"]), CLIENT_DEADLINE).await;
    node.unwrap_or_else(|error| panic!("{error}"));
    let python = clients::python("rudder.py", &arguments, &calls(&["python-1", "python-2"]), CLIENT_DEADLINE).await;
    python.unwrap_or_else(|error| panic!("{error}"));
    for (member, points) in [("node-1", "1"), ("node-2", "0"), ("python-1", "1"), ("python-2", "0")] {
        let pass = pass_with(&club, member, points).await;
        assert_eq!((pass["external_id"].as_str(), pass["state"].as_str()), (Some(member), Some("active")), "{pass}");
    }
}

#[tokio::test]
async fn rudderstacks_sdks_issue_passes_on_sqlite() {
    sdk_issues_passes(Database::Sqlite).await;
}

#[tokio::test]
async fn rudderstacks_sdks_issue_passes_on_postgres() {
    sdk_issues_passes(Database::Postgres).await;
}

async fn source(club: &Club, kind: &str, secret: Option<&str>) -> Value {
    let input = json!({"slug": kind, "name": kind, "kind": kind, "secret": secret});
    support::post(&club.server, "/v1/sources", &input).await
}

#[tokio::test]
async fn segments_sdks_issue_passes() {
    let club = Club::open(Database::Sqlite).await;
    let made = source(&club, "segment", None).await;
    let data_plane = club.server.url("/segment");
    let arguments = [data_plane.as_str(), made["write_key"].as_str().unwrap()];
    let node = clients::node("segment_sdk.mjs", &arguments, &calls(&["node-1", "node-2"]), CLIENT_DEADLINE).await;
    node.unwrap_or_else(|error| panic!("{error}"));
    let python = clients::python("segment_sdk.py", &arguments, &calls(&["python-1", "python-2"]), CLIENT_DEADLINE).await;
    python.unwrap_or_else(|error| panic!("{error}"));
    for (member, points) in [("node-1", "1"), ("node-2", "0"), ("python-1", "1"), ("python-2", "0")] {
        let pass = pass_with(&club, member, points).await;
        assert_eq!(pass["external_id"], member, "{pass}");
    }
}

/// The vendors' own libraries sign or wrap what is sent, and nothing else is taken.
#[tokio::test]
async fn vendors_libraries_send_what_is_taken() {
    let club = Club::open(Database::Sqlite).await;
    let (shared, private) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "BwcH".repeat(10) + "Bwc=");
    let public = "whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
    let event = |id: &str| {
        json!({"id": id, "object": "event", "type": "customer.created", "created": 1, "livemode": true,
               "data": {"object": {"id": "cus_1", "object": "customer"}}})
        .to_string()
    };
    let message =
        |id: &str| json!({"type": "contact.created", "timestamp": "2026-11-20T10:00:00Z", "data": {"userId": id}}).to_string();
    let cloud = |id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "/till", "type": "till.paid", "data": {"userId": id}}).to_string()
    };
    let stripe = source(&club, "stripe", Some(shared)).await;
    let standard = source(&club, "standard-webhooks", Some(shared)).await;
    let cloudevents = source(&club, "cloudevents", None).await;
    let key = cloudevents["write_key"].as_str().unwrap();
    let ed25519 = json!({"slug": "ed25519", "name": "Ed25519", "kind": "standard-webhooks", "secret": public});
    let ed25519 = support::post(&club.server, "/v1/sources", &ed25519).await;
    let both = ["node", "python"];
    for (kind, made, secret, body, languages) in [
        ("stripe", &stripe, shared, event as fn(&str) -> String, &both[..]),
        ("standard-webhooks", &standard, shared, message, &both),
        ("standard-webhooks-ed25519", &ed25519, &private, message, &both[..1]),
        ("cloudevents-binary", &cloudevents, key, cloud, &both),
        ("cloudevents-structured", &cloudevents, key, cloud, &both),
    ] {
        let address = made["webhook_url"].as_str().unwrap();
        for language in languages {
            let said = async |secret: &str| {
                let (arguments, body) = ([kind, address, secret], body(&format!("{kind} {language}")));
                let sent = match *language {
                    "node" => clients::node("sender.mjs", &arguments, &body, CLIENT_DEADLINE).await,
                    _ => clients::python("sender.py", &arguments, &body, CLIENT_DEADLINE).await,
                };
                sent.unwrap_or_else(|error| panic!("{error}"))
            };
            assert_eq!(said(secret).await.trim(), "200 OK", "{kind} {language}");
            let wrong = if kind.ends_with("ed25519") {
                "CAgI".repeat(10) + "CAg="
            } else {
                "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()
            };
            assert!(said(&wrong).await.starts_with("401"), "{kind} {language}: another secret was taken");
        }
    }
}

/// What the scripts of Standard Webhooks' libraries read.
fn received_as_json(request: &Received, secret: &str) -> String {
    let header = |name: &str| (name.to_owned(), Value::from(request.header(name)));
    let headers: serde_json::Map<_, _> =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header).into_iter().collect();
    json!({"secret": secret, "headers": headers, "body": String::from_utf8(request.body.to_vec()).unwrap()}).to_string()
}

#[tokio::test]
async fn standard_webhooks_libraries_verify_what_is_sent() {
    let club = Club::open(Database::Sqlite).await;
    let sink = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
    let (_, secret) = club.webhook(&sink.url("/hook")).await;
    let body = json!({"project": club.project, "external_id": "one", "contact": {"external_id": "one", "name": "Zoë Ångström"}});
    let pass = support::post(&club.server, "/v1/passes", &body).await;
    let received = sink.wait_for(HAPPENS_WITHIN, |all| all.first().cloned()).await;
    let received = received.unwrap_or_else(|| panic!("nothing was sent\n{}", club.server.said()));
    let told: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!((&told["event"], &told["pass"]["id"]), (&json!("PASS_EVENT_RECORD_CREATED"), &pass["id"]));
    let input = received_as_json(&received, &secret);
    clients::node("webhook.mjs", &[], &input, CLIENT_DEADLINE).await.unwrap_or_else(|error| panic!("{error}"));
    clients::python("webhook.py", &[], &input, CLIENT_DEADLINE).await.unwrap_or_else(|error| panic!("{error}"));
    let forged = received_as_json(&received, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    assert!(clients::node("webhook.mjs", &[], &forged, CLIENT_DEADLINE).await.is_err(), "another secret verified");
}

/// `passbridge listen --forward` hands on what a webhook would get, signed with the secret that it shows first.
#[tokio::test]
async fn what_listen_forwards_is_verified_by_standard_webhooks_libraries() {
    for database in [Database::Sqlite, Database::Postgres] {
        let club = Club::open(database).await;
        let sink = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
        let (url, key, forward) = (club.server.url(""), club.server.admin_key().to_owned(), sink.url("/hook"));
        let listening = tokio::spawn(async move {
            let mut program = testkit::server::program(support::BINARY);
            let arguments = [
                "listen",
                "--json",
                "--most",
                "2",
                "--events",
                "pass.created",
                "--server",
                &url,
                "--key",
                &key,
                "--forward",
                &forward,
            ];
            program.args(arguments).output().await.unwrap()
        });
        let issue = async |nth: usize| {
            let body = json!({"project": club.project, "external_id": format!("live-{nth}")});
            support::post(&club.server, "/v1/passes", &body).await;
        };
        let deadline = Instant::now() + HAPPENS_WITHIN;
        let mut nth = 0;
        // It is not told from outside when the stream is open.
        while sink.count() < 2 && Instant::now() < deadline {
            issue(nth).await;
            nth += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let output = listening.await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let secret: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
        let received = sink.received_from(0);
        assert!(received.len() == 2 && said.lines().count() == 3, "{said}");
        let input = received_as_json(&received[0], secret["secret"].as_str().unwrap());
        clients::node("webhook.mjs", &[], &input, CLIENT_DEADLINE).await.unwrap_or_else(|error| panic!("{error}"));
        clients::python("webhook.py", &[], &input, CLIENT_DEADLINE).await.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// `passbridge inspector replay` sends what came, byte for byte.
#[tokio::test]
async fn what_an_inspector_took_is_sent_again_as_it_came() {
    let club = Club::open(Database::Sqlite).await;
    let sink = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
    let inspector = support::post(&club.server, "/v1/inspectors", &json!({"name": "Bin"})).await;
    let (id, url) = (support::text(&inspector, "id"), support::text(&inspector, "url"));
    // Cut within a letter: the sign that stands for it in a text has as many bytes.
    let body = bytes::Bytes::from_static(b"\xf0\x9f\x98");
    let url = club.server.url(&format!("{}/below", &url[url.find("/inspect").unwrap()..]));
    let taken = club.server.client().send(Method::PUT, &url, &[], body.clone()).await.unwrap();
    assert_eq!(taken.status, StatusCode::OK);
    let arguments = ["inspector", "replay", &id, "--to", &sink.url("/again"), "--server", &club.server.url(""), "--key"];
    let mut program = testkit::server::program(support::BINARY);
    let output = program.args(arguments).arg(club.server.admin_key()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let received = sink.received_from(0);
    assert_eq!((received.len(), &received[0].body), (1, &body));

    // Kept up to the first byte of its last letter, and what stands for that is as long as the letter.
    let cut = format!("{}€", "a".repeat(65_535));
    let taken = club.server.client().send(Method::PUT, &url, &[], cut.into_bytes().into()).await.unwrap();
    assert_eq!(taken.status, StatusCode::OK);
    let mut program = testkit::server::program(support::BINARY);
    let output = program.args(arguments).arg(club.server.admin_key()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("only a part of this request's body was kept"), "{said}");
    assert_eq!(sink.count(), 1);
}

#[tokio::test]
async fn hostile_sinks_hold_nobody_up() {
    let club = Club::open(Database::Sqlite).await;
    let hostile = [
        Behaviour::BlackHole,
        Behaviour::Endless,
        Behaviour::CutOff,
        Behaviour::Slow(Duration::from_secs(120)),
        Behaviour::Answer(StatusCode::INTERNAL_SERVER_ERROR),
        Behaviour::Answer(StatusCode::GONE),
    ];
    let mut sinks = Vec::new();
    for behaviour in hostile {
        let sink = Sink::start(behaviour).await.unwrap();
        club.webhook(&sink.url("/hook")).await;
        sinks.push(sink);
    }
    let good = Sink::start(Behaviour::Answer(StatusCode::OK)).await.unwrap();
    club.webhook(&good.url("/hook")).await;
    for nth in 0..50 {
        let body = json!({"project": club.project, "external_id": format!("pass-{nth}")});
        support::post(&club.server, "/v1/passes", &body).await;
    }
    let all = good.wait_for(HAPPENS_WITHIN, |all| (all.len() >= 50).then_some(())).await;
    assert!(all.is_some(), "{} of 50 arrived beside hostile neighbours\n{}", good.count(), club.server.said());
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_keeps_everything() {
    for database in [Database::Sqlite, Database::Postgres] {
        let mut club = Club::open(database).await;
        support::post(&club.server, "/v1/passes", &json!({"project": club.project, "external_id": "one"})).await;
        let status = club.server.terminate().await.unwrap_or_else(|error| panic!("{error}"));
        assert!(status.success(), "{status}\n{}", club.server.said());
        club.server.restart().await.unwrap_or_else(|error| panic!("{error}"));
        assert!(club.pass_of("one").await.is_some());
    }
}

/// How long schemathesis may take.
const SCHEMATHESIS_DEADLINE: Duration = Duration::from_secs(400);
/// No 5xx, and no answer that the document does not describe.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Ids of things that are there, so that operations get past "no such thing".
async fn existing(club: &Club) -> String {
    let (webhook, _) = club.webhook("http://127.0.0.1:19999/").await;
    let body = json!({"project": club.project, "external_id": "one", "contact": {"external_id": "one", "name": "One"}});
    let pass = support::post(&club.server, "/v1/passes", &body).await;
    let templates = club.server.api(Method::GET, "/v1/templates", None).await.unwrap_or_else(|error| panic!("{error}"));
    let template = &templates["data"][0];
    let path = format!("/v1/templates/{}", template["id"].as_str().unwrap());
    let next = json!({"name": "Redrawn", "design": template["design"]});
    club.server.api(Method::PUT, &path, Some(&next)).await.unwrap_or_else(|error| panic!("{error}"));
    let published = club.server.api(Method::POST, &format!("{path}/publish"), None).await;
    let published = published.unwrap_or_else(|error| panic!("{error}"));
    let batch = support::post(&club.server, "/v1/batches", &json!({"project": support::SLUG, "operation": "issue"})).await;
    let ids = [
        ("template", &template["id"]),
        ("publication", &published["publication"]),
        ("batch", &batch["id"]),
        ("pass", &pass["id"]),
        ("webhook", &json!(webhook)),
        ("source", &json!(club.source)),
        ("project", &json!(club.project)),
    ];
    let lines = ids.map(|(name, id)| format!("\"path.{name}\" = {id}\n"));
    // A stream lasts as long as it is asked to.
    format!("[parameters]\n\"query.for_seconds\" = 1\n\"query.wait_seconds\" = 1\n{}", lines.concat())
}

#[tokio::test]
async fn schemathesis_finds_no_fault() {
    let club = Club::open(Database::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), existing(&club).await).unwrap();
    let bearer = format!("Authorization: Bearer {}", club.server.admin_key());
    let document = club.server.url("/v1/openapi.json");
    let arguments = [
        "run",
        &document,
        "--header",
        &bearer,
        "--checks",
        CHECKS,
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        "15",
        "--seed",
        "20261120",
        "--generation-deterministic",
        "--request-timeout",
        "20",
        "--max-failures",
        "20",
        "--no-color",
    ];
    let ran = clients::python_tool("schemathesis", &arguments, folder.path(), SCHEMATHESIS_DEADLINE).await;
    let said = ran.unwrap_or_else(|error| panic!("{error}\n{}", club.server.said()));
    for phase in ["Examples", "Coverage", "Fuzzing"] {
        assert!(said.contains(phase), "{phase} did not run:\n{said}");
    }
}
