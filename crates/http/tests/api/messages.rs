//! Messages to holders over the API: senders, what is asked of them, tests, bounces.

use serde_json::{Value, json};

use crate::server::Server;

fn post(more: &Value) -> Value {
    let mut all = json!({"name": "Post", "kind": "smtp", "url": "smtps://mail.example.com",
        "settings": {"from": "Club <club@example.com>", "user": "club", "password": "hush"}});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_checked_and_its_password_is_not_told() {
    let server = Server::start().await;
    let from = json!({"from": "club@example.com"});
    let twilio = |settings: Value| json!({"name": "SMS", "kind": "twilio", "settings": settings});
    let account = format!("AC{}", "0".repeat(32));
    for (wrong, at, says) in [
        (post(&json!({"url": "https://mail.example.com"})), "url", "smtps://host"),
        (post(&json!({"url": "smtp://169.254.169.254"})), "url", "metadata"),
        (post(&json!({"url": "smtp+plain://mail.example.com"})), "url", "without encryption"),
        (post(&json!({"url": null})), "url", "required"),
        (post(&json!({"events": ["message.requested"]})), "events", "leave it out"),
        (post(&json!({"settings": {"from": "nobody"}})), "settings.from", "address"),
        (post(&json!({"settings": {"from": "a@example.com", "user": "club"}})), "settings.password", "both"),
        (post(&json!({"settings": {"from": "a@example.com", "html": "{% include 'x' %}"}})), "settings.html", "not allowed"),
        (twilio(json!({"account_sid": "x", "auth_token": "t", "from": "+1"})), "settings.account_sid", "AC"),
        (twilio(json!({"account_sid": account, "auth_token": "t"})), "settings.from", "messaging_service_sid"),
        (json!({"name": "SMS", "kind": "sms-http", "settings": {}}), "url", "required"),
    ] {
        let refused = server.post("/v1/destinations", wrong.clone()).await;
        assert_eq!(refused.problem(422), "invalid", "{wrong}");
        let error = refused.json()["errors"][0].clone();
        assert_eq!(error["path"], at, "{wrong}: {error}");
        assert!(error.to_string().contains(says), "{wrong}: {error}");
    }
    let made = server.post("/v1/destinations", post(&json!({}))).await.expect(201);
    assert_eq!(made["settings"]["password"], Value::Null);
    assert!(!server.get("/v1/audit?limit=100").await.text().contains("hush"));
    server
        .post("/v1/destinations", post(&json!({"url": "smtp+plain://mail.example.com:25", "settings": from})))
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_asked_for_tried_and_comes_back() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/v1/passes/{}/messages", things.id("pass"));
    let none = server.post(&path, json!({"channel": "email"})).await;
    assert_eq!(none.problem(404), "not_found", "nobody sends yet");
    assert!(none.text().contains("make one"), "{}", none.text());
    let sender = server.post("/v1/destinations", post(&json!({}))).await.expect(201);
    let asked = server.once("first", "POST", &path, &json!({"channel": "email", "text": "Hello"})).await.expect(202);
    assert_eq!(
        (&asked["state"], &asked["to"], &asked["sender"]),
        (&json!("requested"), &json!("ada@example.com"), &sender["id"])
    );
    let again = server.once("first", "POST", &path, &json!({"channel": "email", "text": "Hello"})).await.expect(202);
    assert_eq!(again["id"], asked["id"], "once under its key");
    assert_eq!(server.post(&path, json!({"channel": "fax"})).await.problem(422), "invalid");
    assert_eq!(server.post(&path, json!({"channel": "email", "text": " "})).await.problem(422), "invalid");

    let test = format!("/v1/destinations/{}/test", sender["id"].as_str().unwrap());
    assert_eq!(server.post(&test, Value::Null).await.problem(422), "invalid", "to whom?");
    let tried = server.post(&test, json!({"to": "me@example.com"})).await.expect(202);
    let event = server.get(&format!("/v1/events/{}", tried["event"].as_str().unwrap())).await.expect(200);
    assert_eq!((&event["facts"]["message"]["to"], &event["facts"]["message"]["test"]), (&json!("me@example.com"), &json!(true)));

    let bounce = format!("{path}/{}/bounce", asked["id"].as_str().unwrap());
    server.post(&bounce, json!({"detail": "5.1.1 no such user"})).await.expect(200);
    let refused = server.post(&path, json!({"channel": "email"})).await.expect(202);
    assert_eq!((&refused["state"], &refused["reason"]), (&json!("failed"), &json!("bounced_before")));
    let despite = server.post(&path, json!({"channel": "email", "despite_bounce": true})).await.expect(202);
    assert_eq!(despite["state"], "requested");
    let timeline = server.get(&format!("/v1/passes/{}/events", things.id("pass"))).await.expect(200);
    let kinds: Vec<_> = timeline["data"].as_array().unwrap().iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| kind.starts_with("message.")).count(), 5, "{kinds:?}");
}
