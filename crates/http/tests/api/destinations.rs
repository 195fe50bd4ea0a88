//! Destinations over the API: services, their settings and credentials.

use serde_json::{Value, json};

use crate::server::{Server, Things};

#[allow(clippy::needless_pass_by_value, reason = "it is made where it is given")]
fn input(kind: &str, settings: Value) -> Value {
    json!({"name": "Members", "kind": kind, "settings": settings})
}

const CODE: &str = "export default (context) => context.register('runtime.wallet.passUpdater', { OnPassInstalled() {} });";

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_made_changed_and_removed_and_tells_no_credential() {
    let server = Server::start().await;
    let settings = json!({"access_token": "pat-first", "key": "email", "wallet_status_field": "card"});
    let made = server.post("/v1/destinations", input("hubspot", settings)).await;
    let path = made.header("location").to_owned();
    let made = made.expect(201);
    assert_eq!(made["settings"], json!({"access_token": null, "key": "email", "wallet_status_field": "card"}));
    assert!(made.get("secret").is_none(), "nothing is signed there");
    let held = async || {
        let catalog = server.store.catalog();
        let stored = catalog.org(server.ours).unwrap().targets.values().next().unwrap();
        assert!(!stored.value.target.settings.contains_key("access_token"));
        server.store.open_settings(server.ours, &stored.value).unwrap()["access_token"].clone()
    };
    assert_eq!(held().await, "pat-first");
    let mut read = server.get(&path).await.expect(200);
    read.as_object_mut()
        .unwrap()
        .retain(|name, _| !["id", "created_at", "disabled_reason", "missed_since"].contains(&name.as_str()));
    read["name"] = json!("All members");
    assert_eq!(server.call(&server.admin, "PUT", &path, &read).await.expect(200)["name"], "All members");
    assert_eq!(held().await, "pat-first", "null keeps");
    read["settings"]["access_token"] = json!("pat-second");
    server.call(&server.admin, "PUT", &path, &read).await.expect(200);
    assert_eq!(held().await, "pat-second", "a value replaces");
    assert_eq!(server.get("/v1/destinations").await.expect(200)["data"][0]["name"], "All members");
    assert_eq!(server.get("/v1/webhooks").await.expect(200)["data"], json!([]), "it is no webhook");
    let as_webhook = path.replace("destinations", "webhooks");
    assert_eq!(server.get(&as_webhook).await.problem(404), "not_found");
    server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(204);
    let audit = server.get("/v1/audit?limit=100").await.text();
    assert!(!audit.contains("pat-first") && !audit.contains("pat-second"), "{audit}");
}

/// What is posted is refused for what stands at this place.
async fn refused(server: &Server, wrong: &Value, at: &str, says: &str) {
    let refused = server.post("/v1/destinations", wrong.clone()).await;
    assert_eq!(refused.problem(422), "invalid", "{wrong}");
    let error = refused.json()["errors"][0].clone();
    assert_eq!(error["path"], at, "{wrong}: {error}");
    assert!(error.to_string().contains(says), "{wrong}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_has_to_register_what_is_called() {
    let server = Server::start().await;
    for (functions, says) in [
        ("{}", "registers nothing at runtime.wallet.passUpdater"),
        ("{OnPassInstalled: 5}", "registers nothing at"),
        ("{OnPassInstaled() {}}", "OnPassInstaled at runtime.wallet.passUpdater: only the functions"),
    ] {
        let code = format!("export default (c) => c.register('runtime.wallet.passUpdater', {functions})");
        let refused = server.post("/v1/destinations", input("custom", json!({"code": code}))).await.expect(422);
        assert_eq!(refused["errors"][0]["path"], "settings.code");
        assert!(refused["errors"][0]["message"].as_str().unwrap().contains(says), "{refused}");
    }
    let code = "export default (c) => c.register('runtime.wallet.passUpdater', {OnPassUninstalled() {}})";
    server.post("/v1/destinations", input("custom", json!({"code": code}))).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_checked_when_they_are_made() {
    let server = Server::start().await;
    let at = |kind: &str, url: &str, settings: Value| {
        let mut body = input(kind, settings);
        body["url"] = json!(url);
        body
    };
    let nats = |settings: Value| at("nats", "nats://nats.example.com", settings);
    let kafka = |settings: Value| at("kafka", "kafka://kafka.example.com", settings);
    let at_once = |mut body: Value| {
        body["pace"] = json!({"concurrency": 2});
        body
    };
    for (wrong, at, says) in [
        (input("nats", json!({})), "url", "required"),
        (at("nats", "nats://10.0.0.1", json!({})), "url", "allow_networks"),
        (at("nats", "https://nats.example.com", json!({})), "url", "nats://host:4222"),
        (nats(json!({"user": "ada"})), "settings.password", "beside `user`"),
        (nats(json!({"token": "t", "nkey": "SU"})), "settings.nkey", "another way"),
        (nats(json!({"nkey": "UA"})), "settings.nkey", "begins with SU"),
        (nats(json!({"credentials": "eyJ"})), "settings.credentials", ".creds file"),
        (nats(json!({"subject": "passbridge.{{ email }}"})), "settings.subject", "organization, project, event"),
        (nats(json!({"subject": "$JS.API.{{ event }}"})), "settings.subject", "is none"),
        (nats(json!({"authorities": "ours"})), "settings.authorities", "PEM"),
        (nats(json!({"inbox": "a b"})), "settings.inbox", "dots between"),
        (at("kafka", "nats://kafka.example.com", json!({})), "url", "kafka://host:9092"),
        (at("kafka", "kafka://192.168.0.1", json!({})), "url", "allow_networks"),
        (at_once(kafka(json!({}))), "pace.concurrency", "one after another"),
        (at_once(nats(json!({}))), "pace.concurrency", "one after another"),
        (kafka(json!({"password": "hush"})), "settings.user", "beside `password`"),
        (kafka(json!({"topic": "wallets {{ event }}"})), "settings.topic", "is none"),
        (kafka(json!({"mechanism": "plain", "user": "u", "password": "p", "tls": "off"})), "settings.mechanism", "SCRAM"),
    ] {
        refused(&server, &wrong, at, says).await;
    }
    let made = server.post("/v1/destinations", nats(json!({"nkey": "SUHUSH", "stream": "WALLETS"}))).await.expect(201);
    assert_eq!(made["settings"], json!({"nkey": null, "stream": "WALLETS"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_its_place() {
    let server = Server::start().await;
    let token = |more: Value| {
        let mut all = json!({"access_token": "pat", "key": "email"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input("hubspot", all)
    };
    let with = |mut body: Value, more: Value| {
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let tables = |more: Value| with(input("postgresql", json!({"user": "u", "password": "p"})), more);
    let http = |more: Value| with(input("http-call", json!({})), more);
    for (wrong, at, says) in [
        (input("fax", json!({})), "kind", "hubspot"),
        (input("flat", json!({})), "kind", "no such destination"),
        (input("hubspot", json!({"key": "email"})), "settings.access_token", "required"),
        (input("hubspot", json!({"access_token": null, "key": "email"})), "settings.access_token", "none to keep"),
        (token(json!({"key": "shoe size"})), "settings.key", "external_id"),
        (token(json!({"key": "external_id"})), "settings.key", "key_property"),
        (token(json!({"colour": "red"})), "settings.colour", "no such setting"),
        (token(json!({"wallet_status_field": "Card!"})), "settings.wallet_status_field", "lower case"),
        (with(token(json!({})), json!({"events": ["pass.created"]})), "events", "pass.created"),
        (with(token(json!({})), json!({"headers": {"X-A": "1"}})), "headers", "takes none"),
        (with(token(json!({})), json!({"url": "http://169.254.169.254/"})), "url", "169.254"),
        (with(token(json!({})), json!({"project": "0000000000000000000001"})), "project", "no such project"),
        (input("rudderstack", json!({"write_key": "k"})), "url", "required"),
        (http(json!({})), "url", "required"),
        (http(json!({"url": "https://{{ contact.email }}/"})), "url", ""),
        (http(json!({"url": "https://example.com/{{ contact.email | nonsense }}"})), "url", "nonsense is unknown"),
        (http(json!({"url": "https://example.com/", "settings": {"body": "{% set x = 1 %}"}})), "settings.body", "not allowed"),
        (input("slack", json!({"webhook_url": "https://example.com/hook"})), "settings.webhook_url", "hooks.slack.com"),
        (input("custom", json!({"code": "export default (context) => {"})), "settings.code", "connector:1"),
        (input("custom", json!({"code": "export default (context) => {}"})), "settings.code", "registers nothing"),
        (input("custom", json!({"code": CODE, "secret.": "x"})), "settings.secret.", "no such setting"),
        (with(token(json!({})), json!({"filter": "tier is gold"})), "filter", ""),
        (with(token(json!({})), json!({"auth": {"type": "bearer", "token": "t"}})), "auth", "takes none"),
        (with(token(json!({})), json!({"pace": {"per_second": 1}})), "pace", "takes none"),
        (with(token(json!({})), json!({"backfill_every_hours": 0})), "backfill_every_hours", "1 to 8760"),
        (with(token(json!({})), json!({"switch_off": {"after_failures": 0}})), "switch_off.after_failures", "expected"),
        (
            with(http(json!({"url": "https://example.com/"})), json!({"backfill_every_hours": 24})),
            "backfill_every_hours",
            "no state",
        ),
        (http(json!({"url": "https://example.com/", "auth": {"type": "bearer"}})), "auth.token", "none to keep"),
        (tables(json!({"url": "postgresql://10.0.0.1/x"})), "url", "allow_networks"),
        (tables(json!({"url": "https://db.example.com/x"})), "url", "postgresql://host:5432/database"),
        (tables(json!({"url": "postgresql://u:hush@db.example.com/x"})), "url", "user name or password"),
        (tables(json!({"url": "postgresql://db.example.com/x", "settings": {"user": "u"}})), "settings.password", "required"),
    ] {
        refused(&server, &wrong, at, says).await;
    }
    server.post("/v1/destinations", input("custom", json!({"code": CODE, "secret.crm": "hush"}))).await.expect(201);
    let signed = http(json!({"url": "https://example.com/{{ contact.email | url }}", "headers": {"X-A": "{{ id }}"}}));
    let made = server.post("/v1/destinations", signed).await.expect(201);
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made}");
    assert_eq!(made["headers"], json!({"X-A": null}));
    let proven = json!({"url": "https://example.com/", "auth": {"type": "bearer", "token": "hush"}, "pace": {"per_second": 5},
        "filter": "properties.pass.variant = \"gold\""});
    let mut made = server.post("/v1/destinations", http(proven)).await.expect(201);
    assert_eq!((&made["auth"], &made["pace"]["per_second"]), (&json!({"type": "bearer", "token": null}), &json!(5)));
    let path = format!("/v1/destinations/{}", made["id"].as_str().unwrap());
    let told = ["id", "created_at", "disabled_reason", "missed_since", "secret"];
    made.as_object_mut().unwrap().retain(|name, _| !told.contains(&name.as_str()));
    made["switch_off"] = json!({"after_failures": 3, "after_hours": null});
    let kept = server.call(&server.admin, "PUT", &path, &made).await.expect(200);
    assert_eq!((&kept["switch_off"], &kept["auth"]["token"]), (&made["switch_off"], &Value::Null));
    let catalog = server.store.catalog();
    let stored = catalog.org(server.ours).unwrap().targets.values().find(|it| path.ends_with(&it.value.target.id.to_string()));
    let opened = server.store.open_target(server.ours, &stored.unwrap().value).unwrap();
    let bearer = domain::TargetAuth::Bearer { token: domain::Hidden("hush".to_owned()) };
    assert_eq!(opened.auth, Some(bearer), "null keeps");
    let made = server.post("/v1/destinations", tables(json!({"url": "postgresql://db.example.com/x"}))).await.expect(201);
    assert_eq!(made["settings"], json!({"user": "u", "password": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_tried_with_the_newest_event_that_it_is_meant_for() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/v1/destinations/{}", things.id("destination"));
    assert_eq!(server.post(&format!("{path}/test"), Value::Null).await.problem(409), "no_event", "no status changed yet");
    let slack = json!({"webhook_url": "https://hooks.slack.com/services/T0/B0/x"});
    let made = server.post("/v1/destinations", input("slack", slack)).await.expect(201);
    let owed = server.post(&format!("/v1/destinations/{}/test", made["id"].as_str().unwrap()), Value::Null).await.expect(202);
    let listed = server.get(&format!("/v1/deliveries?webhook={}", made["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(listed["data"][0]["id"], owed["delivery"]);
    let catalog = server.get("/v1/connectors/hubspot").await.expect(200);
    assert_eq!((&catalog["webhook"], &catalog["destination"]["holds_state"]), (&Value::Null, &json!(true)));
    assert_eq!(catalog["destination"]["state_is_read"], true);
    assert_eq!(server.get("/v1/connectors/segment").await.expect(200)["destination"]["state_is_read"], false);
    let token = catalog["destination"]["settings"].as_array().unwrap().iter().find(|it| it["name"] == "access_token").unwrap();
    assert_eq!(token["secret"], true);
    assert!(Things::destination("x")["settings"]["access_token"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_destination_missed_is_told_whatever_was_changed_meanwhile() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let slack = |name: &str, enabled: bool| {
        let settings = json!({"webhook_url": "https://hooks.slack.com/services/T0/B0/x"});
        json!({"name": name, "kind": "slack", "settings": settings, "enabled": enabled})
    };
    let made = server.post("/v1/destinations", slack("Team", true)).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/destinations/{id}");
    let put = async |name: &str, enabled: bool| {
        server.call(&server.admin, "PUT", &path, &slack(name, enabled)).await.expect(200)["missed_since"].clone()
    };
    assert_eq!(put("Shop", true).await, Value::Null);
    let off = put("Shop", false).await;
    assert!(off.is_string(), "it misses what comes from now on");
    server.post("/v1/passes", json!({"project": things.id("project"), "external_id": "missed"})).await.expect(201);
    assert_eq!(put("Both", true).await, off, "no change of it forgets that");
    let told = server.post(&format!("/v1/webhooks/{id}/replay"), json!({"missed": true})).await.expect(200);
    assert!(told["owed"].as_u64().unwrap() >= 1, "{told}");
    assert_eq!(server.get(&path).await.expect(200)["missed_since"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_is_begun_once_halted_and_ended() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/v1/destinations/{}/backfill", things.id("destination"));
    let refused = server.post(&path, json!({"everything": true})).await;
    assert!(refused.json()["detail"].as_str().unwrap().contains(things.id("backfill")), "it says which");
    assert_eq!(refused.problem(409), "under_way", "one at a time");
    let of = |what: &str| format!("/v1/backfills/{}{what}", things.id("backfill"));
    assert_eq!(server.post(&of("/pause"), Value::Null).await.expect(200)["state"], "paused");
    assert_eq!(server.post(&path, json!({})).await.problem(409), "under_way", "one that is halted is under way");
    assert_eq!(server.get(&of("")).await.expect(200)["destination"], things.id("destination"));
    assert_eq!(server.post(&of("/resume"), Value::Null).await.expect(200)["state"], "running");
    assert_eq!(server.post(&of("/cancel"), Value::Null).await.expect(200)["state"], "cancelled");
    assert_eq!(server.post(&of("/resume"), Value::Null).await.problem(409), "not_allowed");
    let next = server.post(&path, json!({"everything": true})).await.expect(202);
    assert_eq!((&next["everything"], &next["looked_at"]), (&json!(true), &json!(0)));
    let listed = server.get("/v1/backfills").await.expect(200);
    assert!(listed["data"].as_array().unwrap().iter().any(|held| held["id"] == next["id"]), "{listed}");
    assert_eq!(server.post(&path, json!({"every": true})).await.problem(422), "invalid");
    let slack = input("slack", json!({"webhook_url": "https://hooks.slack.com/services/T0/B0/x"}));
    let slack = server.post("/v1/destinations", slack).await.expect(201);
    let path = format!("/v1/destinations/{}/backfill", slack["id"].as_str().unwrap());
    assert_eq!(server.post(&path, json!({})).await.problem(409), "not_allowed", "it holds no state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_written_to_where_the_operator_allows_one() {
    let server = Server::start().await;
    let lake = json!({"name": "Lake", "kind": "parquet", "settings": {"store": "folder"}});
    let refused = server.post("/v1/destinations", lake).await;
    assert_eq!((refused.problem(422).as_str(), &refused.json()["errors"][0]["path"]), ("invalid", &json!("settings.store")));
    assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("files_folder"), "{}", refused.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_takes_a_payload_as_webhooks_do() {
    let server = Server::start().await;
    let call = |more: Value| {
        let mut body = input("http-call", json!({}));
        body["url"] = json!("https://api.example.com/members");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let payload = json!({"mapping": {"id": {"@path": "$.data.pass.id"}}});
    let made = server.post("/v1/destinations", call(json!({"payload": payload}))).await;
    let path = made.header("location").to_owned();
    assert_eq!(made.expect(201)["payload"], payload);
    assert_eq!(server.get(&path).await.expect(200)["payload"], payload);
    let hubspot =
        json!({"name": "H", "kind": "hubspot", "settings": {"access_token": "pat", "key": "email"}, "payload": payload});
    for (wrong, at) in [
        (call(json!({"payload": {"mapping": {"a": {"@nope": 1}}}})), "payload.mapping.a"),
        (call(json!({"payload": {"transformation": "none"}})), "payload.transformation"),
        (call(json!({"payload": payload, "settings": {"body": "{}"}})), "settings.body"),
        (hubspot, "payload"),
    ] {
        let refused = server.post("/v1/destinations", wrong.clone()).await;
        assert_eq!(refused.problem(422), "invalid", "{wrong}");
        assert!(refused.json()["errors"][0]["path"].as_str().unwrap().starts_with(at), "{}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_told_of_the_running_of_things_alone() {
    let server = Server::start().await;
    let alerts = |more: Value| {
        let settings = json!({"from": "passes@example.com", "to": "ops@example.com"});
        let mut body = json!({"name": "Ops", "kind": "mail-alerts", "url": "smtp://mail.example.com", "settings": settings});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let made = server.post("/v1/destinations", alerts(json!({}))).await;
    let path = made.header("location").to_owned();
    assert_eq!(made.expect(201)["events"], Value::Null);
    let tested = server.post(&format!("{path}/test"), Value::Null).await.expect(202);
    let event = server.get(&format!("/v1/events/{}", tested["event"].as_str().unwrap())).await.expect(200);
    assert_eq!(event["type"], "webhook.test");
    let chosen = server.post("/v1/destinations", alerts(json!({"events": ["backfill.failed"]}))).await.expect(201);
    assert_eq!(chosen["events"], json!(["backfill.failed"]));
    let settings = json!({"from": "passes@example.com", "to": "everybody"});
    for (wrong, at) in [
        (json!({"events": ["pass.created"]}), "events"),
        (json!({"filter": "type = \"x\""}), "filter"),
        (json!({"wallet": "apple"}), "wallet"),
        (json!({"settings": settings}), "settings.to"),
        (
            json!({"settings": {"from": "passes@example.com", "to": "a@example.com", "every_minutes": 0}}),
            "settings.every_minutes",
        ),
    ] {
        let refused = server.post("/v1/destinations", alerts(wrong.clone())).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["errors"][0]["path"]), ("invalid", &json!(at)), "{wrong}");
    }
}
