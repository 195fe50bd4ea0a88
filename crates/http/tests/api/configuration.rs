//! Configuration over the API: projects, templates, flows, sources, webhooks, keys, the audit log.

use std::sync::Arc;

use connectors::kit::{Secret, WriteKey};
use serde_json::{Value, json};
use store::StoredTarget;

use crate::server::{Server, Things, account_input, answer_input, authority, signer_input};

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_drafted_mended_and_published() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let mut design = Things::design(things.id("sha256"));
    design["fields"][0]["value"] = json!("{{balances.miles}}");
    design["colors"] = json!({"background": "red"});
    let mut body = json!({"project": things.id("project"), "name": "Second", "design": design});
    let wrong = server.post("/v1/templates", body.clone()).await;
    assert_eq!(wrong.problem(422), "invalid", "no wallet could make sense of it");
    assert_eq!(wrong.json()["errors"][0]["path"], "design.colors.background");
    design["colors"] = json!({"background": "#aa0000"});
    body["design"] = design.clone();
    let draft = server.post("/v1/templates", body).await.expect(201);
    assert_eq!((&draft["status"], &draft["version"]), (&json!("draft"), &json!(0)));
    let path = format!("/v1/templates/{}", draft["id"].as_str().unwrap());
    let refused = server.post(&format!("{path}/publish"), Value::Null).await;
    assert_eq!(refused.problem(422), "invalid");
    let paths: Vec<String> =
        refused.json()["errors"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths, ["design.fields.0.value"]);
    let change = json!({"name": "Second", "design": Things::design(things.id("sha256"))});
    server.call(&server.admin, "PUT", &path, &change).await.expect(200);
    assert_eq!(server.post(&format!("{path}/publish"), Value::Null).await.expect(200)["version"], 1);
    let broken = json!({"name": "Second", "design": design});
    let drafted = server.call(&server.admin, "PUT", &path, &broken).await.expect(200);
    assert_eq!((&drafted["version"], &drafted["status"]), (&json!(1), &json!("published")), "what is published stays");
    assert_eq!(drafted["draft"]["design"]["colors"], json!({"background": "#aa0000"}));
    assert_ne!(drafted["design"]["colors"], drafted["draft"]["design"]["colors"]);
    assert_eq!(drafted["problems"].as_array().unwrap().len(), 1);
    assert_eq!(server.post(&format!("{path}/publish"), Value::Null).await.problem(422), "invalid", "and stays whole");
    let unknown = json!({"name": "Second", "design": Things::design(&"0".repeat(64))});
    let unknown = server.call(&server.admin, "PUT", &path, &unknown).await;
    assert_eq!(unknown.json()["errors"][0]["path"], "design.images.icon.x2");
    let used = format!("/v1/templates/{}", things.id("template"));
    assert_eq!(server.call(&server.admin, "DELETE", &used, &Value::Null).await.problem(409), "in_use");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_template_is_followed_by_its_draft() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/v1/templates/{}", things.id("template"));
    let put = async |title: &str| {
        let mut design = Things::design(things.id("sha256"));
        design["title"] = json!(title);
        server.call(&server.admin, "PUT", &path, &json!({"name": title, "design": design})).await
    };
    let tags: Vec<String> =
        [put("Third").await, put("Third again").await].iter().map(|it| it.header("etag").to_owned()).collect();
    assert_ne!(tags[0], tags[1]);
    let bearer = format!("Bearer {}", server.admin);
    let stale = [("authorization", bearer.as_str()), ("if-match", tags[0].as_str())];
    assert_eq!(server.send("DELETE", &format!("{path}/draft"), &stale, "").await.problem(412), "version_conflict");
    server.call(&server.admin, "DELETE", &format!("{path}/draft"), &Value::Null).await.expect(204);
    let bare = server.get(&path).await.expect(200);
    assert_eq!(
        (&bare["draft"], &bare["version"], &bare["design"]["title"]),
        (&Value::Null, &json!(2), &json!("Club card, redrawn"))
    );
    assert_eq!(server.post(&format!("{path}/publish"), Value::Null).await.expect(200)["publication"], Value::Null, "no draft");
    put("Third at last").await.expect(200);
    let published = server.post(&format!("{path}/publish"), Value::Null).await.expect(200);
    assert_eq!(
        (&published["version"], &published["name"], &published["draft"]),
        (&json!(3), &json!("Third at last"), &Value::Null)
    );
    let versions = server.get(&format!("{path}/versions")).await.expect(200);
    let told: Vec<_> =
        versions["data"].as_array().unwrap().iter().map(|it| (it["version"].clone(), it["status"].clone())).collect();
    let (now, past) = (json!("published"), json!("superseded"));
    assert_eq!(told, [(json!(3), now), (json!(2), past.clone()), (json!(1), past)]);
    let titles =
        async |number: u32| server.get(&format!("{path}/versions/{number}")).await.expect(200)["design"]["title"].clone();
    assert_eq!(
        (titles(1).await, titles(2).await, titles(3).await),
        (json!("Club card"), json!("Club card, redrawn"), json!("Third at last"))
    );
    assert_eq!(server.get(&format!("{path}/versions/4")).await.problem(404), "not_found");
    let publication = format!("/v1/publications/{}", published["publication"].as_str().unwrap());
    let earlier = format!("/v1/publications/{}", things.id("publication"));
    assert_eq!(server.get(&earlier).await.expect(200)["state"], "superseded", "the later version wakes the phones");
    assert_eq!(server.get(&publication).await.expect(200)["state"], "running");
    let turn = async |to: &str| server.post(&format!("{publication}/{to}"), Value::Null).await;
    assert_eq!(turn("pause").await.expect(200)["state"], "paused");
    assert_eq!(turn("pause").await.expect(200)["state"], "paused", "twice is the same");
    assert_eq!(turn("resume").await.expect(200)["state"], "running");
    assert_eq!(turn("cancel").await.expect(200)["state"], "cancelled");
    assert_eq!(turn("resume").await.problem(409), "not_allowed");
    let listed = server.get("/v1/publications").await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_told_what_wallets_refuse_and_leave_out() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let mut design = Things::design(things.id("sha256"));
    design["barcode"] = json!({"format": "ean13", "value": "4006381333931"});
    design["semantics"] = json!({"balance": {"amount": 12}});
    design["apple"] = json!({"appLaunchURL": "app://x"});
    let body = |design: &Value| json!({"project": things.id("project"), "name": "Third", "design": design});
    let refused = server.post("/v1/templates", body(&design)).await;
    assert_eq!(refused.problem(422), "invalid");
    let error = &refused.json()["errors"][0];
    assert_eq!(error["path"], "design.apple.appLaunchURL");
    assert!(error["message"].as_str().unwrap().contains("app_without_store_id: https://developer.apple.com"), "{error}");
    let listed = server.get("/v1/templates").await.expect(200)["data"].as_array().unwrap().len();

    design["apple"] = json!({"userInfo": {"newer": [1]}});
    let saved = server.post("/v1/templates", body(&design)).await.expect(201).clone();
    assert_eq!(saved["design"]["apple"], json!({"userInfo": {"newer": [1]}}), "unknown keys are kept");
    let lost = saved["findings"].as_array().unwrap().iter().find(|finding| finding["rule"] == "tag_value").unwrap();
    assert_eq!(
        (&lost["path"], &lost["severity"], &lost["wallet"]),
        (&json!("design.semantics.balance"), &json!("lost"), &json!("apple"))
    );
    assert_eq!(server.get("/v1/templates").await.expect(200)["data"].as_array().unwrap().len(), listed + 1, "nothing half saved");

    let report = server.get(&format!("/v1/templates/{}/report", saved["id"].as_str().unwrap())).await;
    let body = report.expect(200);
    let barcode = body["losses"].as_array().unwrap().iter().find(|loss| loss["path"] == "design.barcode.format").unwrap();
    assert_eq!(barcode["systems"], json!(["ios_17", "ios_18", "ios_26", "watch_os"]));
    assert_eq!(body["problems"], json!([]));

    let path = format!("/v1/templates/{}", things.id("template"));
    server.call(&server.admin, "PUT", &path, &json!({"name": "Card", "design": design})).await.expect(200);
    for (draft, lost) in [(false, 0), (true, 1)] {
        let report = server.get(&format!("{path}/report?draft={draft}")).await;
        let body = report.expect(200);
        let losses = body["losses"].as_array().unwrap().iter();
        assert_eq!(losses.filter(|loss| loss["path"] == "design.barcode.format").count(), lost, "draft {draft}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_do_not_overwrite_each_other() {
    let server = Server::start().await;
    let made = server.post("/v1/projects", Things::bare_project("club")).await;
    let path = made.header("location").to_owned();
    let etag = made.header("etag").to_owned();
    assert_eq!(server.get(&path).await.header("etag"), etag);
    let bearer = format!("Bearer {}", server.admin);
    let put = async |tag: &str| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("if-match", tag)];
        server.send("PUT", &path, &headers, Things::bare_project("club-two").to_string()).await
    };
    put(&etag).await.expect(200);
    assert_eq!(put(&etag).await.problem(412), "version_conflict");
    assert_eq!(server.post("/v1/projects", Things::bare_project("club-two")).await.problem(409), "already_exists");
    let mut other = Things::bare_project("open");
    other["enrolment"] = json!(true);
    server.post("/v1/projects", other.clone()).await.expect(201);
    let theirs = server.call(&server.stranger, "POST", "/v1/projects", &other).await;
    assert_eq!(theirs.problem(409), "already_exists", "enrolment links are unique on the server");
    other["enrolment"] = json!(false);
    server.call(&server.stranger, "POST", "/v1/projects", &other).await.expect(201);
    let faults = server
        .post(
            "/v1/projects",
            json!({"slug": "Bad Slug", "name": "x", "kind": "membership",
        "fields": [{"key": "a b", "label": "x"}], "uses_limit": 0, "apple_pass_type": "pass.none"}),
        )
        .await;
    assert_eq!(faults.problem(422), "invalid");
    assert_eq!(faults.json()["errors"].as_array().unwrap().len(), 3, "{}", faults.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_drafted_tried_published_and_brought_back() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let id = things.id("flow");
    let path = format!("/v1/flows/{id}");
    let before = server.get(&path).await.expect(200).clone();
    assert_eq!((&before["version"], &before["draft"], &before["draft_problems"]), (&json!(1), &Value::Null, &json!([])));
    assert_eq!(server.post(&format!("{path}/publish"), Value::Null).await.problem(409), "not_allowed", "no draft");
    let put = async |to: &str, body: &Value| server.call(&server.admin, "PUT", &format!("{path}{to}"), body).await;

    // A draft runs nowhere but in trials, and may be unfinished.
    let mut draft = before["document"].clone();
    draft["project"] = json!("nowhere");
    let saved = put("/draft", &draft).await.expect(200).clone();
    assert_eq!((&saved["document"], &saved["draft"], &saved["version"]), (&before["document"], &draft, &json!(1)));
    assert_eq!(saved["draft_problems"][0]["path"], "project", "{saved}");
    assert_eq!(server.post(&format!("{path}/publish"), Value::Null).await.problem(422), "invalid");
    assert_eq!(put("/draft", &json!({"slug": "x"})).await.problem(422), "invalid");
    draft["project"] = before["document"]["project"].clone();
    draft["when"] = json!({"event": "drafted"});
    put("/draft", &draft).await.expect(200);
    assert_eq!(server.get(&path).await.expect(200)["draft"], draft, "as it was put");
    let tried = async |is_draft: bool| {
        let trial = json!({"flow": id, "draft": is_draft, "event": {"type": "track", "event": "drafted", "userId": "u-9"}});
        server.post("/v1/flows/test", trial).await.expect(200)["matched"].clone()
    };
    assert_eq!((tried(false).await, tried(true).await), (json!(false), json!(true)));

    let published = server.post(&format!("{path}/publish"), Value::Null).await.expect(200).clone();
    assert_eq!((&published["document"], &published["draft"]), (&draft, &Value::Null));
    let second = published["version"].as_i64().unwrap();
    let bearer = format!("Bearer {}", server.admin);
    let stale = [("authorization", bearer.as_str()), ("if-match", "\"1\"")];
    assert_eq!(server.send("POST", &format!("{path}/versions/1/restore"), &stale, "").await.problem(412), "version_conflict");
    let versions = async || -> Vec<i64> {
        let listed = server.get(&format!("{path}/versions")).await.expect(200);
        listed["data"].as_array().unwrap().iter().map(|it| it["version"].as_i64().unwrap()).collect()
    };
    assert_eq!(versions().await, [second, 1]);
    let first = server.get(&format!("{path}/versions/1")).await.expect(200).clone();
    assert_eq!(first["document"], before["document"]);
    assert!(first["superseded_at"].is_string() && first["published_at"].as_str() <= first["superseded_at"].as_str(), "{first}");
    assert_eq!(server.get(&format!("{path}/versions/99")).await.problem(404), "not_found");

    let back = server.post(&format!("{path}/versions/1/restore"), Value::Null).await.expect(200).clone();
    assert_eq!(back["document"], before["document"]);
    let third = back["version"].as_i64().unwrap();
    assert_eq!(versions().await, [third, second, 1]);
    // Putting what runs already makes no version, and dropping a draft that is not there nothing.
    put("", &before["document"]).await.expect(200);
    server.call(&server.admin, "DELETE", &format!("{path}/draft"), &Value::Null).await.expect(204);
    assert_eq!(versions().await, [third, second, 1]);
    put("/draft", &draft).await.expect(200);
    server.call(&server.admin, "DELETE", &format!("{path}/draft"), &Value::Null).await.expect(204);
    assert_eq!(server.get(&path).await.expect(200)["draft"], Value::Null);
    server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(204);
    assert_eq!(server.get(&format!("{path}/versions")).await.problem(404), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_are_checked_and_tried() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let bearer = format!("Bearer {}", server.admin);
    let yaml = async |text: &str| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/yaml")];
        server.send("POST", "/v1/flows", &headers, text.to_owned()).await
    };
    let good = "slug: purchase\nproject: club\nwhen:\n  event: purchase_completed\nsteps:\n  - id: points\n    action: update\n    \
                balances:\n      points:\n        add: $.properties.points\n";
    yaml(good).await.expect(201);
    let bad = yaml("slug: other\nproject: nowhere\nwhen:\n  event: x\nsteps:\n  - id: a\n    action: issue\n").await;
    assert_eq!((bad.problem(422).as_str(), &bad.json()["errors"][0]["path"]), ("invalid", &json!("project")));
    assert!(bad.json()["errors"][0]["message"].as_str().unwrap().starts_with("line 2"), "{}", bad.text());
    assert_eq!(yaml("slug: [").await.problem(422), "invalid");
    assert_eq!(
        server.send("POST", "/v1/flows", &[("authorization", &bearer), ("content-type", "text/plain")], "x").await.problem(415),
        "unsupported_media_type"
    );
    let sample = json!({"type": "track", "event": "signed_up", "userId": "u-1"});
    let tried = server.post("/v1/flows/test", json!({"flow": things.id("flow"), "event": sample})).await.expect(200);
    assert_eq!((&tried["matched"], &tried["steps"][0]["outcome"]), (&json!(true), &json!("command")), "{tried}");
    let other = server.post("/v1/flows/test", json!({"flow": things.id("flow"), "event": {"event": "other"}})).await.expect(200);
    assert_eq!(other["matched"], false);
    assert_eq!(server.get("/v1/passes").await.expect(200)["data"].as_array().unwrap().len(), 1, "nothing was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_rotates_its_key_and_replays_its_events() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let made = server.post("/v1/sources", json!({"slug": "other", "name": "Other"})).await.expect(201);
    let key = made["write_key"].as_str().unwrap();
    assert!(key.starts_with("pbw_"));
    let key = &WriteKey::new(key).unwrap();
    assert!(http_server::source_of_write_key(&server.app, key).await.unwrap().is_some());
    let path = format!("/v1/sources/{}", made["id"].as_str().unwrap());
    let rotated = server.post(&format!("{path}/rotate"), Value::Null).await.expect(200);
    let shown = rotated["write_key"].as_str().unwrap();
    let new = &WriteKey::new(shown).unwrap();
    assert!(http_server::source_of_write_key(&server.app, key).await.unwrap().is_none(), "the old key is dead");
    let (org, source) = http_server::source_of_write_key(&server.app, new).await.unwrap().unwrap();
    assert_eq!((org, source.slug.as_str()), (server.ours, "other"));
    assert!(!server.get(&path).await.text().contains(shown), "shown once");
    server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(204);
    assert!(http_server::source_of_write_key(&server.app, new).await.unwrap().is_none());
    let events = format!("/v1/sources/{}/events", things.id("source"));
    let parked = server.get(&format!("{events}?status=parked")).await.expect(200);
    assert_eq!(parked["data"][0]["id"], things.id("source_event"));
    let one = format!("{events}/{}", things.id("source_event"));
    let whole = server.get(&one).await.expect(200);
    assert_eq!((&whole["payload"]["userId"], &whole["trace"]), (&json!("u-1"), &json!("mend me")));
    assert_eq!(server.post(&format!("{one}/replay"), Value::Null).await.expect(202)["status"], "waiting");
    assert_eq!(server.get(&one).await.expect(200)["status"], "waiting");
    assert_eq!(server.post(&format!("{one}/replay"), Value::Null).await.problem(409), "not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_keeps_its_secrets_and_its_manners() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let hook = async |url: &str| server.post("/v1/webhooks", json!({"name": "Hook", "url": url})).await;
    for url in ["http://127.0.0.1/x", "http://[::1]/x", "http://169.254.169.254/latest", "ftp://example.com", "not a url"] {
        let refused = hook(url).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["errors"][0]["path"]), ("invalid", &json!("url")), "{url}");
    }
    let path = format!("/v1/webhooks/{}", things.id("webhook"));
    let rotated = server.post(&format!("{path}/secrets"), Value::Null).await.expect(200);
    let secret = rotated["secret"].as_str().unwrap();
    assert!(secret.parse::<Secret>().is_ok());
    let shown = server.get(&path).await.expect(200);
    assert_eq!(shown["secrets"], 2, "the old one is still signed with");
    let ends = |shown: &Value| shown["earlier_secrets_end_at"].as_array().unwrap().clone();
    assert!(ends(&shown)[0].as_str() > shown["created_at"].as_str(), "{shown}");
    let sooner = server.post(&format!("{path}/secrets?overlap_hours=1"), Value::Null).await.expect(200);
    assert_eq!((ends(&sooner).len(), &ends(&sooner)[0]), (2, &ends(&sooner)[1]), "none outlives the end that was given last");
    assert!(ends(&sooner)[0].as_str() < ends(&shown)[0].as_str());
    let at_once = server.post(&format!("{path}/secrets?overlap_hours=0"), Value::Null).await.expect(200);
    assert_eq!((&at_once["secrets"], &at_once["earlier_secrets_end_at"]), (&json!(1), &json!([])));
    let rotated = server.post(&format!("{path}/secrets"), Value::Null).await.expect(200);
    let secret = rotated["secret"].as_str().unwrap();
    assert_eq!(server.post(&format!("{path}/secrets?overlap_hours=169"), Value::Null).await.problem(422), "invalid");
    let catalog = server.store.catalog();
    let id = things.id("webhook").parse::<domain::TargetId>().unwrap().uuid();
    let sealed = &catalog.org(server.ours).unwrap().targets[&id].value.sealed_secrets[0].sealed;
    let opened = server.store.open_of::<StoredTarget>(server.ours, id, sealed).unwrap();
    assert_eq!(opened.as_slice(), secret.as_bytes(), "as the workers will open it");
    assert_eq!(server.call(&server.admin, "DELETE", &format!("{path}/secrets"), &Value::Null).await.expect(200)["secrets"], 1);
    let resent = json!({"webhook": things.id("webhook"), "event": things.id("event")});
    let owed = server.post("/v1/deliveries", resent).await.expect(202);
    let listed = server.get(&format!("/v1/deliveries?webhook={}", things.id("webhook"))).await.expect(200);
    assert!(listed["data"].as_array().unwrap().iter().any(|it| it["id"] == owed["delivery"]), "{listed}");
    assert_eq!(server.get("/v1/deliveries/attempts").await.expect(200)["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_has_the_shape_that_it_asks_for() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let input = |more: Value| {
        let mut all = json!({"name": "Hook", "url": "https://hooks.example.com/"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let made = server.post("/v1/webhooks", input(json!({}))).await.expect(201);
    assert_eq!((&made["dialect"], &made["public_key"]), (&json!("passkit"), &Value::Null));
    let settings = json!({"signature": "ed25519"});
    let asked =
        json!({"dialect": "standard-webhooks", "settings": settings, "wallet": "apple", "templates": [things.id("template")]});
    let made = server.post("/v1/webhooks", input(asked)).await.expect(201);
    let secret: Secret = made["secret"].as_str().unwrap().parse().unwrap();
    let public = connectors::kit::signature::public_key(&secret).unwrap();
    assert!(public.starts_with("whpk_") && made["public_key"] == json!(public), "{made}");
    let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
    let read = server.get(&path).await.expect(200);
    assert_eq!((&read["dialect"], &read["settings"], &read["wallet"]), (&json!("standard-webhooks"), &settings, &json!("apple")));
    assert_eq!(read["templates"], json!([things.id("template")]));
    let flat = input(json!({"dialect": "flat"}));
    assert_eq!(server.call(&server.admin, "PUT", &path, &flat).await.expect(200)["dialect"], "flat");
    for (wrong, at) in [
        (json!({"dialect": "fax"}), "dialect"),
        (json!({"dialect": "stripe"}), "dialect"),
        (json!({"dialect": "standard-webhooks", "settings": {"signature": "rot13"}}), "settings.signature"),
        (json!({"dialect": "flat", "settings": {"mode": "binary"}}), "settings.mode"),
        (json!({"dialect": "passengine", "events": ["pass.installed"]}), "events"),
        (json!({"events": ["contact.created"]}), "events"),
        (json!({"templates": [things.id("pass")]}), "templates.0"),
    ] {
        let refused = server.post("/v1/webhooks", input(wrong)).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["errors"][0]["path"]), ("invalid", &json!(at)));
    }
    for _ in 0..10 {
        server.post("/v1/webhooks", input(json!({"dialect": "passengine"}))).await.expect(201);
    }
    assert_eq!(server.post("/v1/webhooks", input(json!({"dialect": "passengine"}))).await.problem(409), "limit_reached");
}

/// Twenty at once, each on a connection of its own, and then twenty that are to become of that shape.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_webhooks_at_once_no_more_are_made_than_an_organization_has() {
    let server = Arc::new(Server::start().await);
    let many = async |method: &'static str, paths: Vec<String>| {
        let start = Arc::new(tokio::sync::Barrier::new(paths.len()));
        let mut all = tokio::task::JoinSet::new();
        for path in paths {
            let (server, start) = (Arc::clone(&server), Arc::clone(&start));
            let input = json!({"name": "Hook", "url": "https://hooks.example.com/", "dialect": "passengine"});
            all.spawn(async move {
                start.wait().await;
                server.call(&server.admin, method, &path, &input).await
            });
        }
        all.join_all().await
    };
    let count = async || {
        let listed = server.get("/v1/webhooks?limit=100").await.expect(200);
        listed["data"].as_array().unwrap().iter().filter(|webhook| webhook["dialect"] == "passengine").count()
    };
    let replies = many("POST", vec!["/v1/webhooks".to_owned(); 20]).await;
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        assert_eq!(reply.problem(409), "limit_reached");
    }
    assert_eq!((replies.iter().filter(|reply| reply.status == 201).count(), count().await), (10, 10));

    let listed = server.get("/v1/webhooks?limit=100").await.expect(200);
    for webhook in listed["data"].as_array().unwrap().iter().skip(5) {
        let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());
        server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(204);
    }
    let mut paths = Vec::new();
    for _ in 0..20 {
        let made = server.post("/v1/webhooks", json!({"name": "Hook", "url": "https://hooks.example.com/"})).await;
        paths.push(made.header("location").to_owned());
    }
    let replies = many("PUT", paths).await;
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        let code = reply.json()["code"].clone();
        assert!(["limit_reached", "version_conflict"].contains(&code.as_str().unwrap()), "{}", reply.text());
    }
    let became = replies.iter().filter(|reply| reply.status == 200).count();
    assert!((1..=5).contains(&became), "{became}");
    assert_eq!(count().await, 5 + became);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_webhook_are_kept_and_not_told() {
    let server = Server::start().await;
    let input = |headers: Value| json!({"name": "Hook", "url": "https://hooks.example.com/", "headers": headers});
    let nothing_to_keep = server.post("/v1/webhooks", input(json!({"X-Token": null}))).await;
    assert_eq!(nothing_to_keep.problem(422), "invalid");
    assert_eq!(nothing_to_keep.json()["errors"][0]["path"], "headers.X-Token");
    let made = server.post("/v1/webhooks", input(json!({"X-Token": "first-value", "X-Tenant": "second-value"}))).await;
    let path = made.header("location").to_owned();
    assert_eq!(made.expect(201)["headers"], json!({"X-Token": null, "X-Tenant": null}));
    let held = async || {
        let catalog = server.store.catalog();
        let stored = catalog.org(server.ours).unwrap().targets.values().next().unwrap();
        serde_json::to_value(&server.store.open_target(server.ours, &stored.value).unwrap().headers).unwrap()
    };
    assert_eq!(held().await, json!({"X-Token": "first-value", "X-Tenant": "second-value"}));
    let mut read = server.get(&path).await.expect(200);
    read["headers"]["X-Tenant"] = json!("third-value");
    read.as_object_mut().unwrap().retain(|name, _| {
        !["id", "created_at", "secrets", "earlier_secrets_end_at", "disabled_reason", "missed_since"].contains(&name.as_str())
    });
    server.call(&server.admin, "PUT", &path, &read).await.expect(200);
    assert_eq!(held().await, json!({"X-Token": "first-value", "X-Tenant": "third-value"}), "null keeps, a value replaces");
    server.call(&server.admin, "PUT", &path, &input(json!({"X-Token": null}))).await.expect(200);
    assert_eq!(held().await, json!({"X-Token": "first-value"}), "what is not named goes");
    server.call(&server.admin, "DELETE", &path, &Value::Null).await.expect(204);
    let audit = server.get("/v1/audit?limit=100").await;
    let entries = audit.expect(200)["data"].as_array().unwrap().clone();
    let removal = entries.iter().find(|entry| entry["action"] == "delete").unwrap();
    assert_eq!(removal["before"]["headers"], json!(["X-Token"]), "names are audited");
    for value in ["first-value", "second-value", "third-value"] {
        assert!(!audit.text().contains(value) && !server.get("/v1/webhooks").await.text().contains(value), "{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_secrets_are_shown_once_and_audited_without_them() {
    let server = Server::start().await;
    let made = server.post("/v1/keys", json!({"name": "Till", "scopes": ["scan", "passes_read"]})).await.expect(201);
    let secret = made["secret"].as_str().unwrap();
    assert!(server.call(secret, "GET", "/v1/passes", &Value::Null).await.status.is_success());
    let beyond = server.post("/v1/keys", json!({"name": "More", "scopes": ["operator"]})).await;
    assert_eq!((beyond.problem(422).as_str(), &beyond.json()["errors"][0]["path"]), ("invalid", &json!("scopes.0")));
    let signer = server.post("/v1/signers", signer_input("pass.com.example.other")).await;
    let view = signer.expect(201);
    assert_eq!(
        (&view["pass_type"], &view["team"], &view["expired"]),
        (&json!("pass.com.example.other"), &json!("TEAM123456"), &json!(false))
    );
    assert!(!signer.text().contains("PRIVATE KEY"));
    let path = format!("/v1/signers/{}", view["id"].as_str().unwrap());
    let other = server.call(&server.admin, "PUT", &path, &signer_input("pass.com.example.else")).await;
    assert_eq!(other.problem(422), "invalid", "another pass type");
    server.call(&server.admin, "PUT", &path, &signer_input("pass.com.example.other")).await.expect(200);
    let mut half = signer_input("pass.com.example.half");
    half["private_key"] = signer_input("pass.com.example.half")["private_key"].clone();
    assert_eq!(server.post("/v1/signers", half).await.problem(422), "invalid", "a key of another certificate");
    let revoked = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    server.call(&server.admin, "DELETE", &revoked, &Value::Null).await.expect(204);
    assert_eq!(server.call(secret, "GET", "/v1/passes", &Value::Null).await.problem(401), "unauthorized");
    let audit = server.get("/v1/audit?limit=100").await;
    let entries = audit.expect(200)["data"].as_array().unwrap().clone();
    let entry = entries.iter().find(|entry| entry["action"] == "delete").unwrap();
    assert_eq!((&entry["kind"], &entry["before"]["name"], &entry["after"]), (&json!("api_key"), &json!("Till"), &Value::Null));
    assert_eq!(entry["actor"]["type"], "key");
    let text = audit.text();
    assert!(!text.contains("sealed") && !text.contains(secret));
}

/// What is sent to a path: pictures where it takes some, which of two.
fn sent(path: &str, body: &Value, is_first: bool) -> (&'static str, Vec<u8>) {
    let side = if is_first { 64 } else { 96 };
    match path {
        "/v1/images" | "/v1/image-sets/icon" => ("image/png", crate::server::picture(side, side)),
        path if path.starts_with("/v1/templates/import") => ("application/zip", crate::server::packed_pass(&body.to_string())),
        _ if body.is_null() => ("application/json", Vec::new()),
        _ => ("application/json", body.to_string().into_bytes()),
    }
}

/// Every operation of the document that says it takes an idempotency key and is no command.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table of all that can be made")]
async fn what_is_made_under_a_key_is_made_once() {
    let server = Server::start().await;
    let operator = server.key(server.ours, &[domain::Scope::Operator, domain::Scope::Admin]).await;
    let things = server.furnish().await;
    let (webhook, source, destination) = (things.id("webhook"), things.id("source"), things.id("destination"));
    let signed = server.post("/v1/sources", json!({"slug": "pay", "name": "Pay", "kind": "stripe"})).await.expect(201);
    let signed = signed["id"].as_str().unwrap();
    let signer = things.id("signer");
    server.call(&operator, "PUT", &format!("/v1/signers/{signer}"), &signer_input("pass.com.example.club")).await.expect(200);
    let asked = |name: &str| json!({"email": "passes@example.com", "name": name});
    let waits = server.post("/v1/signing-requests", asked("Waits")).await.expect(201);
    let (waiting, portal) = (waits["id"].as_str().unwrap(), authority());
    let answer = |pass_type: &str| answer_input(&portal, &waits, pass_type, "TEAM123456");
    let image = |side: &str| format!("image {side}");
    let template =
        |name: &str| json!({"project": things.id("project"), "name": name, "design": Things::design(things.id("sha256"))});
    let flow = |slug: &str| json!({"slug": slug, "project": "club", "when": {"event": "x"}, "steps": [{"id": "card", "action": "issue"}]});
    let hook = |name: &str| json!({"name": name, "url": "https://hooks.example.com/"});
    let key = |name: &str| json!({"name": name, "scopes": ["scan"]});
    let source_of = |slug: &str| json!({"slug": slug, "name": "Source"});
    let resend = json!({"webhook": webhook, "event": things.id("event")});
    let cases = [
        ("/v1/projects".to_owned(), Things::bare_project("one"), Things::bare_project("two")),
        ("/v1/templates".to_owned(), template("one"), template("two")),
        ("/v1/sources".to_owned(), source_of("one"), source_of("two")),
        ("/v1/flows".to_owned(), flow("one"), flow("two")),
        ("/v1/transformations".to_owned(), Things::transformation("one"), Things::transformation("two")),
        ("/v1/webhooks".to_owned(), hook("one"), hook("two")),
        ("/v1/destinations".to_owned(), Things::destination("one"), Things::destination("two")),
        ("/v1/keys".to_owned(), key("one"), key("two")),
        ("/v1/inspectors".to_owned(), json!({"name": "One", "keyed": true}), json!({"name": "Two"})),
        ("/v1/organizations".to_owned(), json!({"name": "One"}), json!({"name": "Two"})),
        ("/v1/signers".to_owned(), signer_input("pass.com.example.one"), signer_input("pass.com.example.two")),
        (format!("/v1/signers/{signer}/rollback"), Value::Null, Value::Null),
        ("/v1/signing-requests".to_owned(), asked("One"), asked("Two")),
        (format!("/v1/signing-requests/{waiting}/answer"), answer("pass.com.example.asked"), answer("pass.com.example.else")),
        ("/v1/google-accounts".to_owned(), account_input("3388000000000000011"), account_input("3388000000000000012")),
        ("/v1/deliveries".to_owned(), resend, json!({"webhook": webhook, "event": source})),
        ("/v1/images".to_owned(), json!(image("one")), json!(image("two"))),
        ("/v1/image-sets/icon".to_owned(), json!(image("one")), json!(image("two"))),
        (format!("/v1/templates/import?project={}", things.id("project")), json!("one"), json!("two")),
        (format!("/v1/webhooks/{webhook}/secrets"), Value::Null, Value::Null),
        (format!("/v1/destinations/{destination}/backfill"), json!({}), json!({"everything": true})),
        (format!("/v1/sources/{source}/rotate"), Value::Null, Value::Null),
        (
            format!("/v1/sources/{signed}/secrets"),
            json!({"secret": "whsec_of_the_endpoint"}),
            json!({"secret": "whsec_of_another_one"}),
        ),
        (
            "/v1/passes".to_owned(),
            json!({"project": things.id("project")}),
            json!({"project": things.id("project"), "external_id": "two"}),
        ),
        (
            "/v1/batches".to_owned(),
            json!({"project": things.id("project"), "operation": "issue"}),
            json!({"project": things.id("project"), "operation": "revoke"}),
        ),
        ("/v1/syncs".to_owned(), Things::sync("once", "club"), Things::sync("twice", "club")),
        ("/v1/contacts".to_owned(), json!({"email": "eve@example.com"}), json!({"email": "bob@example.com"})),
        ("/v1/scans".to_owned(), json!({"code": "nobody"}), json!({"code": "somebody"})),
    ];
    // One of a destination is under way at a time.
    server.post(&format!("/v1/backfills/{}/cancel", things.id("backfill")), Value::Null).await.expect(200);
    let bearer = format!("Bearer {operator}");
    for (path, body, other) in &cases {
        let first = body;
        let of = async |body: &Value| {
            let (media, bytes) = sent(path, body, body == first);
            let name = format!("once-{path}");
            let headers = [("authorization", bearer.as_str()), ("content-type", media), ("idempotency-key", name.as_str())];
            server.send("POST", path, &headers, bytes).await
        };
        let first = of(body).await;
        assert!(first.status.is_success(), "{path}: {}", first.text());
        assert!(!first.headers.contains_key("idempotency-replayed"), "{path}");
        let again = of(body).await;
        assert_eq!((again.status, again.text()), (first.status, first.text()), "{path}: the same answer");
        assert_eq!(again.header("idempotency-replayed"), "true", "{path}");
        for header in ["location", "etag"] {
            assert_eq!(again.headers.get(header), first.headers.get(header), "{path}");
        }
        if other != body {
            assert_eq!(of(other).await.problem(409), "key_reused", "{path}");
        }
    }
    let document = http_server::openapi();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let takes_one =
            methods["post"]["parameters"].as_array().is_some_and(|all| all.iter().any(|it| it["name"] == "Idempotency-Key"));
        let is_tried = |(tried, ..): &&(String, Value, Value)| {
            let path = path.replace("{signer}", signer).replace("{signing_request}", waiting);
            let with = |source: &str| {
                path.replace("{webhook}", webhook)
                    .replace("{destination}", destination)
                    .replace("{source}", source)
                    .replace("{role}", "icon")
            };
            tried.split('?').next() == Some(path.as_str()) || [source, signed].iter().any(|source| with(source) == *tried)
        };
        let of_a_pass = path.starts_with("/v1/passes/");
        assert!(!takes_one || of_a_pass || cases.iter().any(|case| is_tried(&case)), "{path} takes a key: try it here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_under_one_key_make_one() {
    let server = Server::start().await;
    let body = json!({"name": "Once", "scopes": ["scan"]});
    let ask = || server.once("at-once", "POST", "/v1/keys", &body);
    let (one, two, three, four) = tokio::join!(ask(), ask(), ask(), ask());
    let answers = [one, two, three, four];
    let made: std::collections::BTreeSet<String> = answers.iter().map(crate::server::Reply::text).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(answers.iter().all(|answer| answer.status.as_u16() == 201), "{answers:?}");
    let listed = server.get("/v1/keys").await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().iter().filter(|key| key["name"] == "Once").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_refused_when_they_were_changed() {
    let server = Server::start().await;
    let things = server.furnish().await;
    for number in 0..3 {
        server.post("/v1/projects", Things::bare_project(&format!("more-{number}"))).await.expect(201);
        server.post("/v1/sources", json!({"slug": format!("more-{number}"), "name": "More"})).await.expect(201);
        let hook = server.post("/v1/webhooks", json!({"name": "More", "url": "https://hooks.example.com/"})).await.expect(201);
        server.post("/v1/deliveries", json!({"webhook": hook["id"], "event": things.id("event")})).await.expect(202);
    }
    let lists = ["/v1/projects", "/v1/sources", "/v1/deliveries", "/v1/events", "/v1/audit"];
    for list in lists {
        let mut path = format!("{list}?limit=1");
        let mut ids = Vec::new();
        let mut cursor = String::new();
        while ids.len() < 3 {
            let page = server.get(&path).await.expect(200);
            ids.extend(page["data"].as_array().unwrap().iter().map(|it| it["id"].clone()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = next.to_owned();
            path = format!("{list}?limit=1&cursor={cursor}");
            if page["has_more"] == false {
                break;
            }
        }
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len(), "{list}: nothing twice");
        let refused = async |key: &str, list: &str, cursor: &str| {
            let reply = server.call(key, "GET", &format!("{list}?cursor={cursor}"), &Value::Null).await;
            assert_eq!(reply.problem(400), "invalid_parameter", "{list} {cursor}");
            assert!(reply.json()["detail"].as_str().unwrap().contains("next_cursor"), "{}", reply.text());
        };
        let last = cursor.pop().unwrap();
        for bad in ["", "AAAA", "!", "%ff", &cursor, &format!("{cursor}{}", if last == 'A' { 'E' } else { 'A' })] {
            refused(&server.admin, list, bad).await;
        }
        let whole = format!("{cursor}{last}");
        refused(&server.stranger, list, &whole).await;
        for other in lists.iter().filter(|other| **other != list) {
            refused(&server.admin, other, &whole).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspector_shows_what_came_to_whoever_may_look() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let make = async |input: Value| server.post("/v1/inspectors", input).await;
    assert_eq!(make(json!({"name": "Bin", "expires_in_hours": 0})).await.problem(422), "invalid");
    let open = make(json!({"name": "Open"})).await.expect(201);
    let keyed = make(json!({"name": "Keyed", "keyed": true, "expires_in_hours": 1})).await.expect(201);
    assert_eq!((&open["view_key"], &open["keyed"], &keyed["keyed"]), (&Value::Null, &json!(false), &json!(true)));
    let path = |url: &Value| url.as_str().unwrap().strip_prefix("http://localhost:8080").unwrap().to_owned();
    // A webhook that points there: its signatures are checked.
    let secret = {
        let id = things.id("webhook").parse::<domain::TargetId>().unwrap();
        let catalog = server.store.catalog();
        let held = catalog.org(server.ours).unwrap().targets[&id.uuid()].clone();
        let target = domain::Target { url: keyed["url"].as_str().unwrap().to_owned(), ..held.value.target.clone() };
        let stored = server.store.seal_target(server.ours, target, held.value.sealed_secrets.clone()).unwrap();
        let change = store::ConfigChange {
            org: server.ours,
            actor: "{}".to_owned(),
            now: crate::server::NOW,
            names: Vec::new(),
            removed_names: Vec::new(),
        };
        assert!(server.store.put(&change, &stored, held.revision).await.unwrap());
        let opened = server.store.open_of::<StoredTarget>(server.ours, id.uuid(), &stored.sealed_secrets[0].sealed).unwrap();
        std::str::from_utf8(&opened).unwrap().parse::<Secret>().unwrap()
    };
    let good = connectors::kit::signature::hex_hmac(&secret, b"hello");
    for (signature, url) in [(good.as_str(), &keyed["url"]), ("00ff", &keyed["url"]), (good.as_str(), &open["url"])] {
        server.send("PUT", &format!("{}/below?x=1", path(url)), &[("x-passkit-signature", signature)], "hello").await.text();
    }
    // The vendors' own headers, each in its own writing.
    use connectors::kit::signature::{base64_hmac, hex_hmac_sha1};
    let address = path(&keyed["url"]);
    let (base64, sha1) = (base64_hmac(&secret, b"hello"), format!("sha1={}", hex_hmac_sha1(&secret, b"hello")));
    let tags = [
        ("X-PassEngine-Signature", &good),
        ("X-Neostore-Signature", &good),
        ("X-Neostore-Signature", &base64),
        ("X-PassSlot-Signature", &sha1),
    ];
    for ((header, made), body) in tags.iter().flat_map(|tag| ["hello", "other"].map(|body| (tag, body))) {
        server.send("POST", &address, &[(*header, made.as_str())], body).await.text();
    }
    let requests = format!("/v1/inspectors/{}/requests", keyed["id"].as_str().unwrap());
    let taken = server.get(&requests).await.expect(200);
    let valid = |header: &str, body: &str| {
        let of = |it: &&Value| it["signatures"][0]["header"] == header && it["body"] == body;
        taken["data"].as_array().unwrap().iter().filter(of).filter(|it| it["signatures"][0]["valid"] == true).count()
    };
    for (header, right) in
        [("X-PassKit-Signature", 1), ("X-PassEngine-Signature", 1), ("X-Neostore-Signature", 2), ("X-PassSlot-Signature", 1)]
    {
        assert_eq!((valid(header, "hello"), valid(header, "other")), (right, 0), "{header}: {taken}");
    }
    assert_eq!(taken["data"].as_array().unwrap().len(), 10);
    let in_the_open = path(&open["url"]);
    let headers = [("x-part", "one"), ("x-part", "two")];
    server.send("POST", &in_the_open, &headers, b"\xf0\x9f\x98".as_slice()).await.text();
    let held = server.get(&format!("/v1/inspectors/{}/requests", open["id"].as_str().unwrap())).await.expect(200);
    let bytes = held["data"].as_array().unwrap().iter().find(|it| it["size"] == 3).unwrap();
    assert_eq!((&bytes["base64"], &bytes["headers"]["x-part"]), (&json!("8J+Y"), &json!("one, two")));
    assert_eq!(taken["data"][0]["base64"], Value::Null, "a text is one");
    assert_eq!(server.send("POST", &in_the_open, &[], vec![b' '; 2_097_153]).await.problem(413), "too_large");
    let look = async |path: &str| server.send("GET", path, &[], "").await;
    assert_eq!(look(&path(&open["page_url"])).await.status.as_u16(), 200);
    assert_eq!(look(&path(&keyed["page_url"])).await.problem(404), "not_found");
    assert_eq!(look(&format!("{}?key=pbv_wrong", path(&keyed["page_url"]))).await.problem(404), "not_found");
    let key = keyed["view_key"].as_str().unwrap();
    let page = look(&format!("{}?key={key}", path(&keyed["page_url"]))).await;
    assert!(page.status.is_success() && page.text().contains("/below?x=1"), "{}", page.text());
    assert_eq!(
        look(&format!("{}/requests?key={key}", path(&keyed["page_url"]))).await.json()["data"].as_array().unwrap().len(),
        10
    );
    let one = format!("/v1/inspectors/{}", keyed["id"].as_str().unwrap());
    assert!(!server.get(&one).await.text().contains(key), "shown once");
    server.call(&server.admin, "DELETE", &one, &Value::Null).await.expect(204);
    assert_eq!(server.send("POST", &path(&keyed["url"]), &[], "x").await.problem(404), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_spells_tls_as_a_destination_does_and_takes_its_former_words() {
    let server = Server::start().await;
    server.furnish().await;
    let with = |slug: &str, tls: &Value| {
        let mut sync = Things::sync(slug, "club");
        sync["database"]["tls"] = tls.clone();
        sync
    };
    for (slug, said, shown) in
        [("a", json!("verify"), "verify"), ("b", json!("off"), "off"), ("c", json!(true), "verify"), ("d", json!(false), "off")]
    {
        let made = server.post("/v1/syncs", with(slug, &said)).await.expect(201);
        assert_eq!(made["database"]["tls"], shown, "{said}");
    }
    let wrong = server.post("/v1/syncs", with("e", &json!("none"))).await;
    let fault = wrong.json()["errors"][0].clone();
    assert_eq!((wrong.problem(422).as_str(), &fault["path"]), ("invalid", &json!("database.tls")), "{fault}");
    assert!(fault["message"].as_str().unwrap().contains("`verify` or `off`"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_logs_are_read_by_their_organization() {
    let server = Server::start().await;
    server.furnish().await;
    let line = "Get serial #s task (for device 4f, pass type pass.com.example.club) encountered error: code 500";
    let body = json!({"logs": [line, "pass type pass.com.example.stranger"]}).to_string();
    assert!(server.send("POST", "/apple/v1/log", &[], body).await.status.is_success());
    let read = server.get("/v1/phone-logs").await.expect(200);
    assert_eq!((&read["data"][0]["pass_type"], &read["data"][0]["lines"]), (&json!("pass.com.example.club"), &json!([line])));
    let theirs = server.call(&server.stranger, "GET", "/v1/phone-logs", &Value::Null).await.expect(200);
    assert_eq!(theirs["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_apple_alone_needs_holds_up_no_project_that_is_googles_alone() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let mut project = Things::bare_project("google-club");
    project["google_issuer"] = json!("3388000000000000001");
    let made = server.post("/v1/projects", project.clone()).await.expect(201);
    let mut design = Things::design(things.id("sha256"));
    design["images"] = json!({"logo": {"google": things.id("sha256")}});
    let template = json!({"project": made["id"], "name": "Card", "design": design});
    let template = server.post("/v1/templates", template).await.expect(201);
    let path = format!("/v1/templates/{}", template["id"].as_str().unwrap());
    let icon = template["findings"].as_array().unwrap().iter().find(|finding| finding["rule"] == "icon_missing");
    assert_eq!(icon.map(|finding| &finding["severity"]), Some(&json!("lost")), "said all the same");
    server.post(&format!("{path}/publish"), Value::Null).await.expect(200);

    project["apple_pass_type"] = json!("pass.com.example.club");
    server.call(&server.admin, "PUT", &format!("/v1/projects/{}", made["id"].as_str().unwrap()), &project).await.expect(200);
    server.call(&server.admin, "PUT", &path, &json!({"name": "Card", "design": design})).await.expect(200);
    let refused = server.post(&format!("{path}/publish"), Value::Null).await;
    assert_eq!(refused.problem(422), "invalid");
    assert!(refused.text().contains("design.images.icon.x2"), "{}", refused.text());
}

/// Writes a flow as it would not be taken any more.
async fn put_flow(server: &Server, slug: &str, change: impl FnOnce(&mut store::StoredFlow)) {
    let catalog = server.store.catalog();
    let held = catalog.org(server.ours).unwrap().flows.values().find(|stored| stored.value.slug == slug).unwrap().clone();
    let mut flow = store::StoredFlow::clone(&held.value);
    change(&mut flow);
    let (now, actor) = (crate::server::NOW, "{}".to_owned());
    let change = store::ConfigChange { org: server.ours, actor, now, names: Vec::new(), removed_names: Vec::new() };
    assert!(server.store.put(&change, &flow, held.revision).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flows_that_run_stand_on_does_not_change_under_them() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/v1/projects/{}", things.id("project"));
    let flow = format!("/v1/flows/{}", things.id("flow"));
    let put = async |path: &str, body: &Value| server.call(&server.admin, "PUT", path, body).await;
    let project = |slug: &str, fields: Value| {
        let mut body = Things::bare_project(slug);
        body["variants"] = json!([{"id": "base", "name": "Base", "template": things.id("template")}]);
        body["fields"] = fields;
        body
    };
    let tier = json!([{"key": "tier", "label": "Tier"}]);
    let refused = put(&path, &project("renamed", tier.clone())).await;
    assert_eq!(refused.problem(409), "in_use");
    assert!(refused.text().contains("flow `sign-up`, project: there is no project `club`"), "{}", refused.text());
    assert_eq!(server.get(&path).await.expect(200)["slug"], "club", "nothing half done");

    // By its id it holds.
    let document = |project: &str, fields: Value| {
        json!({"slug": "sign-up", "project": project, "sources": "shop", "when": {"event": "signed_up"},
            "steps": [{"id": "card", "action": "issue", "fields": fields}]})
    };
    put(&flow, &document(things.id("project"), json!({"tier": "gold"}))).await.expect(200);
    put(&path, &project("renamed", tier.clone())).await.expect(200);
    let refused = put(&path, &project("renamed", json!([]))).await;
    assert_eq!(refused.problem(409), "in_use");
    assert!(refused.text().contains("steps[0].fields.tier: the project has no field of this key"), "{}", refused.text());
    let required = json!([{"key": "tier", "label": "Tier"}, {"key": "seat", "label": "Seat", "required": true}]);
    assert!(put(&path, &project("renamed", required)).await.text().contains("cannot be issued without seat"));

    let source = format!("/v1/sources/{}", things.id("source"));
    let refused = put(&source, &json!({"slug": "store", "name": "Store"})).await;
    assert_eq!(refused.problem(409), "in_use");
    assert!(refused.text().contains("there is no source `shop`"), "{}", refused.text());
    put(&source, &json!({"slug": "shop", "name": "Store"})).await.expect(200);
    assert_eq!(server.call(&server.admin, "DELETE", &source, &Value::Null).await.problem(409), "in_use");

    // One that is disabled stands in nobody's way; it says what it lacks, and nothing is amiss with the set-up.
    let mut disabled = document(things.id("project"), json!({"tier": "gold"}));
    disabled["enabled"] = json!(false);
    put(&flow, &disabled).await.expect(200);
    put(&path, &project("renamed", json!([]))).await.expect(200);
    let listed = server.get("/v1/flows").await.expect(200)["data"][0].clone();
    let lacks = json!([{"path": "steps[0].fields.tier", "message": "the project has no field of this key; there is none yet"}]);
    assert_eq!(listed["problems"], lacks);
    let rules = |whole: &Value| whole["findings"].to_string().contains("flow_broken");
    assert!(!rules(&server.get("/v1/doctor").await.expect(200)));

    // One that runs and broke all the same, as an import or an earlier release may leave it.
    put_flow(&server, "sign-up", |flow| flow.document["enabled"] = json!(true)).await;
    let whole = server.get("/v1/doctor").await.expect(200);
    let found = whole["findings"].as_array().unwrap().iter().find(|found| found["rule"] == "flow_broken").unwrap();
    assert_eq!((&found["path"], &found["severity"]), (&json!("sign-up"), &json!("lost")));
    assert!(found["consequence"].as_str().unwrap().contains("steps[0].fields.tier"), "{found}");
    put(&path, &project("renamed-again", json!([]))).await.expect(200);
    put(&path, &project("renamed-again", tier)).await.expect(200);
    assert_eq!(server.get(&flow).await.expect(200)["problems"], json!([]), "mended by what it names");
}

#[tokio::test(flavor = "multi_thread")]
async fn wallets_go_on_to_know_the_passes_of_a_project() {
    let server = Server::start().await;
    let things = server.furnish().await;
    server.post("/v1/signers", signer_input("pass.com.example.other")).await.expect(201);
    server.post("/v1/google-accounts", account_input("3388000000000000077")).await.expect(201);
    let path = format!("/v1/projects/{}", things.id("project"));
    let put = async |path: &str, slug: &str, apple: Option<&str>, google: Option<&str>| {
        let mut body = Things::bare_project(slug);
        if slug == "club" {
            body["variants"] = json!([{"id": "base", "name": "Base", "template": things.id("template")}]);
        }
        (body["apple_pass_type"], body["google_issuer"]) = (json!(apple), json!(google));
        server.call(&server.admin, "PUT", path, &body).await
    };
    let (club, other) = (Some("pass.com.example.club"), Some("pass.com.example.other"));
    let (ours, second) = (Some("3388000000000000001"), Some("3388000000000000077"));
    put(&path, "club", club, None).await.expect(200);
    put(&path, "club", club, ours).await.expect(200);
    for (apple, google, names) in [
        (None, ours, "apple_pass_type"),
        (other, ours, "apple_pass_type"),
        (club, None, "google_issuer"),
        (club, second, "google_issuer"),
    ] {
        let refused = put(&path, "club", apple, google).await;
        assert_eq!(refused.problem(409), "in_use");
        assert!(refused.text().contains(names) && refused.text().contains("make another project"), "{}", refused.text());
    }
    put(&path, "club", club, ours).await.expect(200);
    // Without a pass nobody misses it.
    let bare = server.post("/v1/projects", Things::bare_project("bare")).await.expect(201);
    let bare = format!("/v1/projects/{}", bare["id"].as_str().unwrap());
    put(&bare, "bare", club, ours).await.expect(200);
    put(&bare, "bare", other, None).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_of_a_flow_tells_what_the_engine_would_say_and_changes_nothing() {
    let server = Server::start().await;
    let things = server.furnish().await;
    server.post("/v1/projects", Things::bare_project("bare")).await.expect(201);
    let step = |id: &str, action: &str| json!({"id": id, "action": action});
    let trial = |project: &str, steps: Value, user: &str| {
        let document = json!({"slug": "tried", "project": project, "when": {"event": "e"}, "steps": steps});
        json!({"document": document, "event": {"type": "track", "event": "e", "userId": user}})
    };
    let ask = async |body: &Value| {
        let told = server.post("/v1/flows/test", body.clone()).await.expect(200);
        assert_eq!(told["decided"], true);
        told["steps"].clone()
    };
    let steps = ask(&trial("bare", json!([step("card", "issue"), step("more", "activate")]), "new")).await;
    assert_eq!(steps[0]["outcome"], "rejected", "{steps}");
    assert_eq!(steps[0]["error"]["path"], "variant");
    let why = "the project has no variant yet: publish a template and name it in the project's `variants`";
    assert_eq!(steps[0]["error"]["message"], why);

    // Each step finds what the one before it made, and nothing is there afterwards.
    let two = json!([step("card", "issue"), {"id": "add", "action": "update", "balances": {"points": {"add": 5}}}]);
    let steps = ask(&trial("club", two.clone(), "new")).await;
    assert_eq!((&steps[0]["result"], &steps[1]["result"]), (&json!("created"), &json!("changed")), "{steps}");
    let update = json!([two[1], {"id": "more", "action": "notify", "message": "hello"}]);
    let steps = ask(&trial("club", update.clone(), "new")).await;
    assert_eq!((&steps[0]["outcome"], &steps[0]["error"]["code"]), (&json!("rejected"), &json!("not_found")), "{steps}");
    assert_eq!((&steps[1]["outcome"], &steps[1]["result"]), (&json!("not_reached"), &Value::Null), "{steps}");

    let pass = server.post("/v1/passes", json!({"project": things.id("project"), "external_id": "back"})).await.expect(201)["id"]
        .clone();
    let path = format!("/v1/passes/{}/revoke", pass.as_str().unwrap());
    server.post(&path, json!({})).await.expect(200);
    let steps = ask(&trial("club", json!([step("card", "issue")]), "back")).await;
    assert_eq!((&steps[0]["result"], &steps[0]["pass"]), (&json!("still_revoked"), &pass), "{steps}");
    let again = json!([{"id": "card", "action": "issue", "if_exists": "reactivate"}]);
    assert_eq!(ask(&trial("club", again, "back")).await[0]["result"], "changed");
    let held = server.get(&format!("/v1/passes/{}", pass.as_str().unwrap())).await.expect(200);
    assert_eq!(held["state"], "revoked", "{held}");

    // Whether there is such a pass is not told to a key that may not read passes.
    let key = server.post("/v1/keys", json!({"name": "Builder", "scopes": ["config_read"]})).await.expect(201)["secret"].clone();
    let told = server.call(key.as_str().unwrap(), "POST", "/v1/flows/test", &trial("club", update, "new")).await.expect(200);
    assert_eq!((&told["decided"], &told["steps"][0]["outcome"]), (&json!(false), &json!("command")), "{told}");
}
