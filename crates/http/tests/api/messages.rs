//! Messages to holders over the API: senders, what is asked of them, tests, bounces.

use aws_lc_rs::hmac;
use base64::Engine as _;
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

/// As Twilio signs: <https://www.twilio.com/docs/usage/security#validating-requests>.
fn signed(token: &str, url: &str, fields: &[(&str, &str)]) -> (String, String) {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let text = sorted.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    (serde_urlencoded::to_string(fields).unwrap(), signature)
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_tells_what_became_of_a_message_once() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let account = format!("AC{}", "0".repeat(32));
    let settings = json!({"account_sid": account, "api_key": format!("SK{}", "0".repeat(32)), "auth_token": "of-the-key",
        "account_token": "of-the-account", "from": "+14155552671"});
    let sender =
        server.post("/v1/destinations", json!({"name": "SMS", "kind": "twilio", "settings": settings})).await.expect(201);
    assert_eq!(sender["settings"]["account_token"], Value::Null, "it is not shown");
    server.post("/v1/contacts", json!({"email": "ada@example.com", "phone": "+49 30 901820"})).await.expect(200);
    let path = format!("/v1/passes/{}/messages", things.id("pass"));
    let ask = async || {
        let asked = server.post(&path, json!({"channel": "sms"})).await.expect(202);
        assert_eq!(asked["state"], "requested", "{asked}");
        format!("/messages/{}/{}/status", server.ours, asked["id"].as_str().unwrap())
    };
    let tell = async |at: &str, token: &str, status: &str, code: &str| {
        let sid = format!("SM{}", "1".repeat(32));
        let mut fields =
            vec![("MessageSid", sid.as_str()), ("MessageStatus", status), ("AccountSid", &account), ("To", "+4930901820")];
        fields.extend((!code.is_empty()).then_some(("ErrorCode", code)));
        let (body, signature) = signed(token, &format!("http://localhost:8080{at}"), &fields);
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", signature.as_str())];
        server.send("POST", at, &headers, body).await
    };
    let told = async || {
        let timeline = server.get(&format!("/v1/passes/{}/events?limit=100", things.id("pass"))).await.expect(200);
        let all = timeline["data"].as_array().unwrap().iter();
        all.filter_map(|event| Some(event["type"].as_str()?.strip_prefix("message.")?.to_owned())).collect::<Vec<_>>()
    };
    let first = ask().await;
    for forged in ["of-the-key", "", "of-the-accounts"] {
        assert_eq!(tell(&first, forged, "delivered", "").await.status.as_u16(), 400, "{forged}");
    }
    let unsigned = server.send("POST", &first, &[], "MessageStatus=delivered").await;
    assert_eq!(unsigned.status.as_u16(), 400);
    let stranger = first.replace(&server.ours.to_string(), &server.theirs.to_string());
    assert_eq!(tell(&stranger, "of-the-account", "delivered", "").await.status.as_u16(), 404);
    assert_eq!(told().await, ["requested"], "nothing of that counts");
    // Out of order and twice.
    for status in ["sent", "delivered", "queued", "delivered", "undelivered"] {
        assert_eq!(tell(&first, "of-the-account", status, "").await.status.as_u16(), 204, "{status}");
    }
    assert_eq!(told().await, ["requested", "delivered"]);

    let second = ask().await;
    assert_eq!(tell(&second, "of-the-account", "undelivered", "30005").await.status.as_u16(), 204);
    assert_eq!(told().await, ["requested", "delivered", "requested", "failed"]);
    let refused = server.post(&path, json!({"channel": "sms"})).await.expect(202);
    assert_eq!((&refused["state"], &refused["reason"]), (&json!("failed"), &json!("bounced_before")), "no such number");
    server.call(&server.admin, "DELETE", &format!("/v1/destinations/{}", sender["id"].as_str().unwrap()), &Value::Null).await;
    assert_eq!(tell(&second, "of-the-account", "delivered", "").await.status.as_u16(), 404, "its sender is gone");
}
