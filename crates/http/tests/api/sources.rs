//! Sources of every connector over the API, and what their senders are answered.

use aws_lc_rs::hmac;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::server::{NOW, Reply, Server};

const SECRET: &str = "whsec_of_the_endpoint";

fn hex(secret: &str, text: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn stripe_event(id: &str) -> String {
    json!({"id": id, "object": "event", "type": "customer.created", "created": NOW.as_seconds(), "livemode": true,
           "data": {"object": {"id": "cus_1", "object": "customer", "email": "ada@example.com"}}})
    .to_string()
}

async fn stripe(server: &Server, address: &str, secret: &str, at: i64, body: &str) -> Reply {
    let header = format!("t={at},v1={}", hex(secret, &format!("{at}.{body}")));
    server.send("POST", address, &[("stripe-signature", &header)], body.to_owned()).await
}

/// The path of a source's webhook address.
fn address(source: &Value) -> String {
    format!("/ingest/{}", source["id"].as_str().unwrap())
}

async fn kept(server: &Server, source: &Value) -> Vec<Value> {
    let path = format!("/v1/sources/{}/events", source["id"].as_str().unwrap());
    server.get(&path).await.expect(200)["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_tell_what_can_be_set_and_a_source_of_each_can_be_made() {
    let server = Server::start().await;
    let list = server.get("/v1/connectors").await.expect(200);
    let connectors = list["data"].as_array().unwrap();
    assert!(connectors.len() >= 12);
    for connector in connectors.iter().filter(|connector| connector["source"].is_object()) {
        let slug = connector["slug"].as_str().unwrap();
        let made = server.post("/v1/sources", json!({"slug": slug, "name": slug, "kind": slug})).await.expect(201);
        let proof = connector["source"]["proof"].as_str().unwrap();
        assert_eq!(made["write_key"].is_string(), ["key", "secret_or_key"].contains(&proof), "{slug}: {made}");
        assert_eq!(made["secret"].is_string(), proof == "our_secret", "{slug}: {made}");
        let detail = server.get(&format!("/v1/connectors/{slug}")).await.expect(200);
        assert!(detail["readme"].as_str().unwrap().contains("## Set-up"), "{slug}");
        assert_eq!(
            server.send("POST", &address(&made), &[], "{}").await.status.as_u16(),
            if proof == "sender_secret" { 503 } else { 401 }
        );
    }
    assert_eq!(server.get("/v1/connectors/nobody").await.problem(404), "not_found");
    for (wrong, field) in [
        (json!({"kind": "nobody"}), "kind"),
        (json!({"kind": "stripe", "settings": {"livemode": "maybe"}}), "settings.livemode"),
        (json!({"kind": "stripe", "settings": {"nothing": true}}), "settings.nothing"),
        (json!({"kind": "stripe", "secret": "short"}), "secret"),
        (json!({"kind": "standard-webhooks", "secret": "not base64 at all"}), "secret"),
        (json!({"kind": "cloudevents", "secret": "a secret of nobody"}), "secret"),
    ] {
        let mut input = json!({"slug": "wrong", "name": "Wrong"});
        input.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let reply = server.post("/v1/sources", input).await;
        assert_eq!(reply.status.as_u16(), 422, "{}", reply.text());
        assert!(reply.text().contains(field), "{field}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_secret_is_added_later_rotated_and_never_shown() {
    let server = Server::start().await;
    let made = server.post("/v1/sources", json!({"slug": "pay", "name": "Pay", "kind": "stripe"})).await.expect(201);
    let (address, path) = (address(&made), format!("/v1/sources/{}", made["id"].as_str().unwrap()));
    let now = NOW.as_seconds();
    let send = async |secret: &str, at: i64, id: &str| {
        let reply = stripe(&server, &address, secret, at, &stripe_event(id)).await;
        (reply.status.as_u16(), reply.text())
    };
    assert_eq!(send(SECRET, now, "evt_1").await.0, 503, "nothing can be told yet, so it is to come again");
    server.post(&format!("{path}/secrets"), json!({"secret": SECRET})).await.expect(200);
    assert_eq!(send(SECRET, now, "evt_1").await, (200, "OK".to_owned()));
    assert_eq!(send(SECRET, now, "evt_1").await, (200, "OK".to_owned()), "a repetition");
    assert_eq!(send("whsec_of_somebody_else", now, "evt_2").await.0, 401);
    assert_eq!(send(SECRET, now - 301, "evt_2").await.0, 401, "replayed");
    assert_eq!(send(SECRET, now + 301, "evt_2").await.0, 401, "from the future");
    let rotated = server.post(&format!("{path}/secrets"), json!({"secret": "whsec_the_next_one"})).await.expect(200);
    assert_eq!(rotated["secrets"], 2);
    for (secret, id) in [(SECRET, "evt_3"), ("whsec_the_next_one", "evt_4")] {
        assert_eq!(send(secret, now, id).await.0, 200, "both are in force");
    }
    server.call(&server.admin, "DELETE", &format!("{path}/secrets"), &Value::Null).await.expect(200);
    assert_eq!(send(SECRET, now, "evt_5").await.0, 401);
    let replaced = json!({"slug": "pay", "name": "Pay", "kind": "stripe", "settings": {"livemode": "live"}});
    let shown = server.call(&server.admin, "PUT", &path, &replaced).await.expect(200);
    assert_eq!((&shown["settings"], &shown["secrets"]), (&json!({"livemode": "live"}), &json!(1)), "the secret stays");
    assert!(!server.get(&path).await.text().contains("whsec_"));
    assert!(!server.get("/v1/audit").await.text().contains("whsec_"));
    let other = json!({"slug": "pay", "name": "Pay"});
    assert!(server.call(&server.admin, "PUT", &path, &other).await.text().contains("kind"), "a kind stays");
    assert_eq!(kept(&server, &made).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sender_takes_as_final_is_not_said_of_what_can_be_kept() {
    let server = Server::start().await;
    let made =
        server.post("/v1/sources", json!({"slug": "pay", "name": "Pay", "kind": "stripe", "secret": SECRET})).await.expect(201);
    let now = NOW.as_seconds();
    let deep = format!("{{\"object\":\"event\",\"a\":{}1{}}}", "[".repeat(300), "]".repeat(300));
    let large =
        format!(r#"{{"object":"event","id":"evt_l","type":"t","data":{{"object":{{"a":"{}"}}}}}}"#, "x".repeat(500 * 1_024));
    let too_large = format!(r#"{{"object":"event","a":"{}"}}"#, "x".repeat(2 << 20));
    for (body, parked) in [
        ("no json", true),
        (r#"{"object":"event","id":"\ud800"}"#, true),
        (deep.as_str(), true),
        (&large, false),
        (&too_large, true),
    ] {
        let reply = stripe(&server, &address(&made), SECRET, now, body).await;
        assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
        assert_eq!(reply.text().starts_with("kept"), parked, "{}", reply.text());
    }
    let events = kept(&server, &made).await;
    assert_eq!(events.iter().filter(|event| event["status"] == "parked").count(), 4);
    assert_eq!(events.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_are_answered_before_anything_is_proved() {
    let server = Server::start().await;
    let of = async |kind: &str| {
        let made = server.post("/v1/sources", json!({"slug": kind, "name": kind, "kind": kind})).await.expect(201);
        (address(&made), made)
    };
    let (woo, made) = of("woocommerce").await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(server.send("POST", &woo, &form, "webhook_id=17").await.status.as_u16(), 200);
    let body = r#"{"id":7,"status":"completed","customer_id":3}"#;
    let key = hmac::Key::new(hmac::HMAC_SHA256, made["secret"].as_str().unwrap().as_bytes());
    let tag = base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, body.as_bytes()));
    let headers = [("x-wc-webhook-topic", "order.updated"), ("x-wc-webhook-signature", tag.as_str())];
    assert_eq!(server.send("POST", &woo, &headers, body).await.text(), "OK");
    let (slot, _) = of("passslot").await;
    let verify = r#"{"id":"1","type":"webhook.verify","created":"2026-11-20T10:00:00Z","data":{"token":"abc-123"}}"#;
    assert_eq!(server.send("POST", &slot, &[], verify).await.text(), "abc-123");
    let (events, _) = of("cloudevents").await;
    let asked = [("webhook-request-origin", "eventemitter.example.com"), ("webhook-request-rate", "120")];
    let reply = server.send("OPTIONS", &events, &asked, "").await;
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(reply.header("webhook-allowed-origin"), "eventemitter.example.com");
    assert_eq!(reply.header("webhook-allowed-rate"), "120");
    assert_eq!(server.send("OPTIONS", &slot, &asked, "").await.status.as_u16(), 405);
    assert_eq!(server.send("POST", "/ingest/03515U2nk4hy0GFQOIxS1K", &[], "{}").await.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_key_can_be_rotated_with_overlap() {
    let server = Server::start().await;
    let made = server.post("/v1/sources", json!({"slug": "till", "name": "Till", "kind": "generic"})).await.expect(201);
    let path = format!("/v1/sources/{}/rotate", made["id"].as_str().unwrap());
    let send = async |key: &Value, id: u32| {
        let bearer = format!("Bearer {}", key.as_str().unwrap());
        let body = json!({"event": "paid", "id": id}).to_string();
        server.send("POST", &address(&made), &[("authorization", &bearer)], body).await.status.as_u16()
    };
    let rotated = server.post(&format!("{path}?overlap=true"), Value::Null).await.expect(200);
    let (old, new) = (&made["write_key"], &rotated["write_key"]);
    assert_eq!((send(old, 1).await, send(new, 2).await), (200, 200));
    server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(200);
    assert_eq!((send(old, 3).await, send(new, 4).await), (401, 200));
    assert_eq!(kept(&server, &made).await.len(), 3);
}
