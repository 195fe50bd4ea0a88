//! The console in Chromium: with scripts, on a desktop and on a phone.

use std::time::Duration;

use serde_json::json;
use testkit::clients;

use crate::server::Server;

const BROWSER_WITHIN: Duration = Duration::from_secs(120);

/// Walks through the console as `testkit/clients/console.mjs` says.
async fn walk(server: &Server, walk: &str, more: &serde_json::Value) {
    let input = json!({"url": format!("http://{}/console", server.address), "key": server.admin, "walk": walk, "more": more});
    let seen = clients::node("console.mjs", &[clients::chromium()], &input.to_string(), BROWSER_WITHIN).await;
    seen.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_follows_an_event_out_and_sends_it_again() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (webhook, event) = (things.id("webhook"), things.id("event"));
    let headers = json!({"content-type": "application/json", "webhook-id": "x", "authorization": "(kept secret)"});
    let body = json!({"type": "pass.created", "data": {"pass": {"id": "x".repeat(80), "state": "active"}}}).to_string();
    let detail = json!({
        "request": {"method": "POST", "url": "https://hooks.example.com/passes", "headers": headers, "body": body},
        "reply": {"status": 503, "headers": {"retry-after": "300"}, "body": "busy"},
    });
    server.tried(webhook, event, (1, 2, Some(503), Some("the receiver answered 503")), &detail).await;
    server.post("/v1/syncs", crate::server::Things::sync("people", things.id("project"))).await.expect(201);
    let more = json!({"webhook": webhook, "event": event, "destination": things.id("destination")});
    walk(&server, "out", &more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_and_finds_its_way() {
    let server = Server::start().await;
    server.furnish().await;
    walk(&server, "frame", &json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_and_events_are_mapped_by_clicking() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let batch = server.post("/v1/batches", json!({"project": "club", "operation": "issue"})).await.expect(201);
    let path = format!("/v1/batches/{}/rows?hold=true", batch["id"].as_str().unwrap());
    let bearer = format!("Bearer {}", server.admin);
    let rows = "Nr,E-Mail,Level,Score,\"<script>alert(1)</script>\"\n7,ada@example.com,gold,10.50,x\n";
    server.send("PUT", &path, &[("authorization", &bearer)], rows).await.expect(200);
    walk(&server, "mapping", &json!({"batch": batch["id"], "flow": things.id("flow")})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_follows_events_and_changes_a_pass() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/v1/passes/{}", things.id("pass"));
    let odd = json!({"contact": {"email": "ada@example.com", "name": "Ada <i>Example</i>"}, "fields": {"tier": "silver"}});
    server.call(&server.admin, "PATCH", &path, &odd).await.expect(200);
    walk(&server, "passes", &json!({"pass": things.id("pass"), "event": things.id("source_event")})).await;
    let pass = server.get(&path).await.expect(200);
    assert_eq!(pass["balances"]["points"], "15", "three visits of one form each, pressed twice");
}
