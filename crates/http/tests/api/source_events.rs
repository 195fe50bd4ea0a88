//! Source events over the API: what became of one, and handling them again.

use std::time::Duration;

use domain::{SourceEventId, Timestamp};
use serde_json::{Value, json};
use store::{InboxResult, InboxSettlement, InboxStatus};

use crate::server::Server;

/// Writes what a worker would.
async fn settle(server: &Server, id: &str, trace: &Value) {
    settle_as(server, id, trace, InboxStatus::Done, None).await;
}

async fn settle_as(server: &Server, id: &str, trace: &Value, status: InboxStatus, due_at: Option<Timestamp>) {
    let id: SourceEventId = id.parse().unwrap();
    let entry = server.store.source_event(server.ours, id).await.unwrap().unwrap();
    let backend = server.store.backend();
    let lease = backend.leases().await.unwrap()[usize::from(entry.position.shard)].lease;
    let at = entry.received_at;
    let result = InboxResult { status: status.number(), runs: 1, due_at, at, trace: trace.to_string() };
    let results = vec![(server.ours, id, result)];
    backend.settle_inbox(InboxSettlement { lease, results, owners: Vec::new(), watermark: None }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_tells_what_each_step_was_given() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let id = things.id("source_event");
    let step = json!({"step": "card", "action": "issue", "outcome": "done"});
    let ran = json!({"flow": "sign-up", "matched": true, "version": 1, "steps": [step]});
    let other = json!({"flow": "sign-up", "matched": true, "version": 7, "steps": [step]});
    settle(&server, id, &json!({"flows": [ran, other, {"flow": "gone", "matched": false}]})).await;
    let shown = server.get(&format!("/v1/source-events/{id}")).await.expect(200);
    let resolved = &shown["trace"]["flows"][0]["steps"][0]["resolved"];
    assert_eq!(resolved["contact"]["external_id"], "u-1", "{shown}");
    assert_eq!((&shown["payload"]["userId"], &shown["status"]), (&json!("u-1"), &json!("done")));
    assert_eq!(shown["trace"]["flows"][1]["changed_since"], true, "another version of the flow ran");
    assert_eq!(shown["trace"]["flows"][1]["steps"][0]["resolved"], Value::Null);
    let kept = server.store.source_event(server.ours, id.parse().unwrap()).await.unwrap().unwrap();
    assert!(!kept.result.unwrap().trace.contains("u-1"), "what is kept has no value of the event");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_all_sources_are_found_by_state_and_name() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (first, source) = (things.id("source_event"), things.id("source"));
    let arrival = |number: usize| store::Arrival {
        org: server.ours,
        source: source.parse().unwrap(),
        received_at: crate::server::NOW,
        event: domain::SourceEvent {
            dedupe_key: format!("other-{number}"),
            order_key: "u-2".to_owned(),
            name: if number == 7 { "track Purchase".to_owned() } else { format!("page {number}") },
            occurred_at: None,
            payload: "{}".to_owned(),
        },
        fault: None,
    };
    server.store.accept((0..600).map(arrival).collect()).await.unwrap();
    let list = async |query: &str| server.get(&format!("/v1/source-events?{query}")).await.expect(200);
    let names = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|event| event["name"].as_str().unwrap().to_owned()).collect()
    };
    let newest = list("limit=2").await;
    assert_eq!(names(&newest).len(), 2);
    let rest = list(&format!("limit=2&cursor={}", newest["next_cursor"].as_str().unwrap())).await;
    assert!(!names(&rest).iter().any(|name| names(&newest).contains(name)), "{rest}");
    assert_eq!(names(&list("name=PURCHASE").await), ["track Purchase"], "behind hundreds of others");
    let parked = list("status=parked&name=signed").await;
    assert_eq!((&parked["data"][0]["id"], &parked["next_cursor"]), (&json!(first), &Value::Null));
    assert_eq!(names(&list("name=nothing").await), [""; 0]);
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(&format!("name=page&limit=100{cursor}")).await;
        found.extend(names(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 599, "none twice, none left out");
    let unknown = format!("/v1/source-events?source={}", things.id("pass"));
    assert_eq!(server.get(&unknown).await.problem(404), "not_found");
    let theirs = server.call(&server.stranger, "GET", "/v1/source-events?name=page", &Value::Null).await.expect(200);
    assert_eq!(theirs["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_replayed_from_a_point_in_time() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let id = things.id("source_event");
    let replay = async |body: Value| server.post("/v1/source-events/replay", body).await;
    let received = server.get(&format!("/v1/source-events/{id}")).await.expect(200)["received_at"].clone();
    let none = [
        json!({"since": "2200-01-01T00:00:00Z"}),
        json!({"since": "2000-01-01T00:00:00Z", "until": received}),
        json!({"since": "2000-01-01T00:00:00Z", "status": "done"}),
    ];
    for body in none {
        assert_eq!(replay(body.clone()).await.expect(202)["replayed"], 0, "{body}");
    }
    assert_eq!(replay(json!({"since": received, "status": "waiting"})).await.json()["errors"][0]["path"], "status");
    assert_eq!(replay(json!({"since": received, "run": 0})).await.json()["errors"][0]["path"], "run");
    let all = json!({"since": received, "source": things.id("source"), "run": 3});
    assert_eq!(replay(all.clone()).await.expect(202)["replayed"], 1);
    let entry = server.store.source_event(server.ours, id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(entry.run(), 3);
    assert_eq!(replay(all).await.expect(202)["replayed"], 0, "it is being handled");
    assert_eq!(server.post(&format!("/v1/source-events/{id}/replay"), json!({"run": 4})).await.problem(409), "not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_of_an_event_is_shown_and_cancelled() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let id = things.id("source_event");
    let (path, list) = (format!("/v1/source-events/{id}"), format!("/v1/sources/{}/events?status=delayed", things.id("source")));
    let cancel = async || server.post(&format!("{path}/cancel"), Value::Null).await;
    assert_eq!(cancel().await.problem(409), "not_allowed", "nothing of it waits");
    let entry = server.store.source_event(server.ours, id.parse().unwrap()).await.unwrap().unwrap();
    let due = |seconds: u64| entry.received_at.plus(Duration::from_secs(seconds));
    let trace = |due: Timestamp| {
        let steps = json!([{"step": "card", "action": "issue", "outcome": "done"},
            {"step": "rest", "action": "wait", "outcome": "waiting", "due_at": due, "since": entry.received_at},
            {"step": "add", "action": "update", "outcome": "command"}]);
        let turn = json!({"outcome": "waiting", "due_at": due, "since": entry.received_at});
        json!({"flows": [{"flow": "a", "matched": true, "version": 1, "steps": steps},
            {"flow": "b", "matched": true, "version": 1, "turn": turn, "steps": [{"step": "x", "action": "issue", "outcome": "command"}]}]})
    };
    settle_as(&server, id, &trace(due(0)), InboxStatus::Delayed, Some(due(0))).await;
    assert_eq!(cancel().await.problem(409), "not_allowed", "its time has come");
    let soon = due(3_600);
    settle_as(&server, id, &trace(soon), InboxStatus::Delayed, Some(soon)).await;
    let listed = server.get(&list).await.expect(200)["data"].clone();
    assert_eq!((&listed[0]["status"], &listed[0]["due_at"]), (&json!("delayed"), &json!(soon)));
    assert_eq!(server.post(&format!("{path}/replay"), json!({})).await.problem(409), "not_allowed", "it goes on by itself");
    let all = json!({"since": "2000-01-01T00:00:00Z"});
    assert_eq!(server.post("/v1/source-events/replay", all.clone()).await.expect(202)["replayed"], 0);

    let done = cancel().await.expect(200);
    let told = |view: &Value| -> Vec<Value> {
        let flows = &view["trace"]["flows"];
        let steps = flows[0]["steps"].as_array().unwrap().iter().chain([&flows[1]["turn"], &flows[1]["steps"][0]]);
        steps.map(|it| it["outcome"].clone()).collect()
    };
    let outcomes = ["done", "cancelled", "not_reached", "cancelled", "not_reached"];
    assert_eq!(
        (told(&done), &done["status"], &done["due_at"]),
        (outcomes.map(Value::from).to_vec(), &json!("done"), &Value::Null)
    );
    assert_eq!(told(&server.get(&path).await.expect(200)), outcomes.map(Value::from).to_vec());
    assert_eq!(cancel().await.problem(409), "not_allowed", "twice");
    assert_eq!(server.get(&list).await.expect(200)["data"], json!([]));
    assert_eq!(server.post("/v1/source-events/replay", all).await.expect(202)["replayed"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_event_says_how_often_it_came_again() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let id = server.source_event(things.id("source")).await;
    let path = format!("/v1/source-events/{id}");
    let repeated = async || server.get(&path).await.expect(200)["repeated"].clone();
    let before = repeated().await;
    let times = before["times"].as_u64().unwrap_or(0);
    for _ in 0..2 {
        assert_eq!(server.source_event(things.id("source")).await, id, "the same event");
    }
    let after = repeated().await;
    assert_eq!((&after["times"], &after["last_at"]), (&json!(times + 2), &json!(super::server::NOW.to_string())), "{after}");
    let listed = format!("/v1/sources/{}/events/{id}", things.id("source"));
    assert_eq!(server.get(&listed).await.expect(200)["repeated"], after);
    assert_eq!(server.call(&server.stranger, "GET", &path, &Value::Null).await.problem(404), "not_found");
}
