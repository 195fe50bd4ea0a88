//! What people ask of their webhooks, over the API.

use serde_json::{Value, json};

use crate::server::{Server, Things};

fn hook(more: &Value) -> Value {
    let mut all = json!({"name": "Hook", "url": "https://hooks.example.com/", "dialect": "native"});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_payloads_are_checked_before_they_are_saved() {
    let server = Server::start().await;
    let code = json!({"slug": "mine", "name": "Mine", "enabled": true,
        "code": "export function transformEvent(event) { return { id: event.data.pass.id }; }"});
    server.post("/v1/transformations", code).await.expect(201);
    let fails = json!({"slug": "fails", "name": "Fails", "enabled": true,
        "code": "export function transformEvent(event) { return event.none.at.all; }"});
    server.post("/v1/transformations", fails).await.expect(201);
    for good in [
        json!({"filter": r#"type = "pass.installed" and (properties.pass.fields.tier = "gold" or traits.tier exists)"#}),
        json!({"payload": {"template": {"text": r#"{"t": {{ type | tojson }}}"#}}}),
        json!({"payload": {"template": {"text": "{{ traits.name }} installed", "content": "text"}}, "dialect": "flat"}),
        json!({"payload": {"mapping": {"id": {"@path": "$.data.pass.id"}}}, "dialect": "standard-webhooks"}),
        json!({"payload": {"transformation": "mine"}}),
    ] {
        let made = server.post("/v1/webhooks", hook(&good)).await.expect(201);
        for (name, value) in good.as_object().unwrap().iter().filter(|(name, _)| *name == "filter") {
            assert_eq!(&made[name], value);
        }
    }
    for (wrong, at, part) in [
        (json!({"filter": "type = \"a\" and\nproperties.x >"}), "filter", "line 2, column 15"),
        (json!({"filter": "pass.state = 1"}), "filter", "line 1, column 1"),
        (json!({"payload": {"template": {"text": "{\n{{ type | shout }}"}}}), "payload.template.text", "line 2"),
        (json!({"payload": {"template": {"text": "{\"a\": {{ type }}}"}}}), "payload.template.text", "tojson"),
        (json!({"payload": {"mapping": {"a": {"@nope": 1}}}}), "payload.mapping.a", "@nope"),
        (json!({"payload": {"transformation": "none"}}), "payload.transformation", "make it first"),
        (json!({"payload": {"transformation": "fails"}}), "payload.transformation", "it fails on a sample event"),
        (json!({"payload": {"mapping": {"a": 1}}, "dialect": "passkit"}), "payload", "signs its own body"),
    ] {
        let refused = server.post("/v1/webhooks", hook(&wrong)).await;
        assert_eq!(refused.problem(422), "invalid", "{wrong}");
        let error = refused.json()["errors"][0].clone();
        assert!(error["path"].as_str().unwrap().starts_with(at), "{wrong}: {error}");
        assert!(error["message"].as_str().unwrap().contains(part), "{wrong}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_kept_and_not_told() {
    let server = Server::start().await;
    let oauth =
        json!({"type": "oauth2", "token_url": "https://id.example.com/token", "client_id": "me", "client_secret": "hush-1"});
    let made = server.post("/v1/webhooks", hook(&json!({"auth": oauth}))).await;
    let path = made.header("location").to_owned();
    let shown = made.expect(201);
    assert_eq!((&shown["auth"]["client_secret"], &shown["auth"]["client_id"]), (&Value::Null, &json!("me")));
    let held = async || {
        let catalog = server.store.catalog();
        let stored = catalog.org(server.ours).unwrap().targets.values().next().unwrap();
        assert!(!serde_json::to_string(&stored.value.target).unwrap().contains("hush"), "sealed");
        serde_json::to_value(&server.store.open_target(server.ours, &stored.value).unwrap().auth).unwrap()
    };
    assert_eq!(held().await["client_secret"], "hush-1");
    let kept = json!({"type": "oauth2", "token_url": "https://id.example.com/token", "client_id": "you"});
    server.call(&server.admin, "PUT", &path, &hook(&json!({"auth": kept}))).await.expect(200);
    assert_eq!((&held().await["client_secret"], &held().await["client_id"]), (&json!("hush-1"), &json!("you")));
    let elsewhere = json!({"type": "oauth2", "token_url": "https://evil.example.com/token", "client_id": "you"});
    let refused = server.call(&server.admin, "PUT", &path, &hook(&json!({"auth": elsewhere}))).await;
    assert_eq!(
        (refused.problem(422), &refused.json()["errors"][0]["path"]),
        ("invalid".to_owned(), &json!("auth.client_secret"))
    );
    let basic = json!({"type": "basic", "user": "u", "password": "hush-2"});
    server.call(&server.admin, "PUT", &path, &hook(&json!({"auth": basic}))).await.expect(200);
    assert!(!server.get("/v1/audit?limit=100").await.text().contains("hush"));
    for (wrong, at) in [
        (json!({"auth": {"type": "basic", "user": "a:b", "password": "x"}}), "auth.user"),
        (json!({"auth": {"type": "bearer", "token": "a b"}}), "auth.token"),
        (json!({"auth": {"type": "bearer", "token": "t"}, "headers": {"authorization": "x"}}), "headers.Authorization"),
        (
            json!({"auth": {"type": "oauth2", "token_url": "http://127.0.0.1/", "client_id": "a", "client_secret": "b"}}),
            "auth.token_url",
        ),
        (json!({"certificate": {"chain": "none", "private_key": "none"}}), "certificate"),
        (json!({"pace": {"per_second": 0}}), "pace.per_second"),
        (json!({"pace": {"timeout_seconds": 31}}), "pace.timeout_seconds"),
        (json!({"switch_off": {"after_hours": 9999}}), "switch_off.after_hours"),
    ] {
        let refused = server.post("/v1/webhooks", hook(&wrong)).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["errors"][0]["path"]), ("invalid", &json!(at)), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_out_is_one_that_the_operator_configured() {
    let server = Server::start().await;
    let slack = json!({"name": "S", "kind": "slack", "settings": {"webhook_url": "https://hooks.slack.com/services/T0/B0/x"}});
    server.furnish().await;
    let sync = Things::sync("by-egress", "club");
    for (path, body) in [("/v1/webhooks", hook(&json!({}))), ("/v1/destinations", slack), ("/v1/syncs", sync)] {
        let with = |egress: &Value| {
            let mut body = body.clone();
            body["egress"] = egress.clone();
            body
        };
        for name in ["nowhere", "theirs", "unused"] {
            let refused = server.post(path, with(&json!(name))).await;
            assert_eq!(refused.problem(422), "invalid");
            let error = &refused.json()["errors"][0];
            assert_eq!(error["path"], "egress");
            let why = error["message"].as_str().unwrap();
            assert!(why.ends_with("for it there is fixed, office") && why.contains(&server.ours.to_string()), "{error}");
        }
        let made = server.post(path, with(&json!("office"))).await;
        let one = made.header("location").to_owned();
        assert_eq!(made.expect(201)["egress"], "office");
        assert_eq!(server.get(&one).await.expect(200)["egress"], "office");
        let changed = server.call(&server.admin, "PUT", &one, &with(&Value::Null)).await.expect(200);
        assert_eq!(changed["egress"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_replayed_and_what_was_missed() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let made = server.post("/v1/webhooks", hook(&json!({"project": things.id("project")}))).await.expect(201);
    let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
    let replay = async |wish: Value| server.post(&format!("{path}/replay"), wish).await;
    for (wrong, at) in [
        (json!({}), "from"),
        (json!({"missed": true, "from": "2020-01-01T00:00:00Z"}), "from"),
        (json!({"from": "2020-01-02T00:00:00Z", "to": "2020-01-01T00:00:00Z"}), "to"),
        (json!({"from": "2020-01-01T00:00:00Z", "per_second": 0}), "per_second"),
    ] {
        let refused = replay(wrong.clone()).await;
        assert_eq!((refused.problem(422).as_str(), &refused.json()["errors"][0]["path"]), ("invalid", &json!(at)), "{wrong}");
    }
    assert_eq!(replay(json!({"missed": true})).await.problem(409), "nothing_missed");
    let early = replay(json!({"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"})).await.expect(200);
    assert_eq!((&early["owed"], &early["next_cursor"]), (&json!(0), &Value::Null), "before there was anything");
    let since = json!({"from": "2020-01-01T00:00:00Z"});
    let first = replay(since.clone()).await.expect(200);
    let owed = first["owed"].as_u64().unwrap();
    assert!(owed > 0 && first["waiting"] == first["owed"] && first["next_cursor"].is_null(), "{first}");
    let again = replay(since).await.expect(200);
    assert_eq!((&again["owed"], &again["waiting"]), (&json!(0), &first["waiting"]), "what is owed already is not missed");
    let all = replay(json!({"from": "2020-01-01T00:00:00Z", "all": true})).await.expect(200);
    assert_eq!((&all["owed"], &all["waiting"]), (&first["owed"], &first["waiting"]), "one row each");
    assert_eq!(server.get(&format!("{path}/replay")).await.expect(200)["waiting"], first["waiting"]);

    let mut off = hook(&json!({"project": things.id("project"), "enabled": false}));
    let missing = server.call(&server.admin, "PUT", &path, &off).await.expect(200)["missed_since"].clone();
    assert!(missing.is_string(), "it misses what comes from now on");
    assert_eq!(replay(json!({"from": "2020-01-01T00:00:00Z"})).await.problem(409), "not_allowed");
    server.post("/v1/passes", json!({"project": things.id("project"), "external_id": "missed"})).await.expect(201);
    let missed = replay(json!({"missed": true})).await.expect(200);
    assert!(missed["owed"].as_u64().unwrap() >= 1, "{missed}");
    let read = server.get(&path).await.expect(200);
    assert_eq!((&read["enabled"], &read["missed_since"]), (&json!(true), &Value::Null));
    off["enabled"] = json!(true);
    assert_eq!(server.call(&server.admin, "PUT", &path, &off).await.expect(200)["missed_since"], Value::Null);

    // A part of what was missed is missed still.
    off["enabled"] = json!(false);
    server.call(&server.admin, "PUT", &path, &off).await.expect(200);
    let early = json!({"missed": true, "to": server.get(&path).await.expect(200)["missed_since"]});
    server.forward(std::time::Duration::from_secs(60));
    assert!(replay(early.clone()).await.expect(200)["next_cursor"].is_null());
    assert_eq!(server.get(&path).await.expect(200)["missed_since"], early["to"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_a_shape_brings_is_shown() {
    let server = Server::start().await;
    for (dialect, asked, shown) in
        [("passengine", Value::Null, json!(5)), ("passengine", json!(7), json!(7)), ("native", Value::Null, Value::Null)]
    {
        let wish = hook(&json!({"dialect": dialect, "switch_off": {"after_failures": asked}}));
        let made = server.post("/v1/webhooks", wish).await;
        let one = made.header("location").to_owned();
        assert_eq!(made.expect(201)["switch_off"], json!({"after_failures": shown, "after_hours": 120}), "{dialect}");
        let mut read = server.get(&one).await.expect(200);
        assert_eq!(read["switch_off"]["after_failures"], shown, "{dialect}");
        let back = if asked.is_null() { json!(5) } else { asked.clone() };
        for (other, then) in [("flat", &asked), ("passengine", &back)] {
            read["dialect"] = json!(other);
            read = server.call(&server.admin, "PUT", &one, &read).await.expect(200);
            assert_eq!(
                &read["switch_off"]["after_failures"], then,
                "{dialect}, then {other}: what its shape brought is left behind"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_webhooks_and_destinations_fare_is_told_on_one_page() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (webhook, event) = (things.id("webhook"), things.id("event"));
    let made = server.post("/v1/webhooks", hook(&json!({"name": "Spare", "enabled": false}))).await.expect(201);
    let spare = made["id"].as_str().unwrap();
    let all = server.get("/v1/deliveries/health").await.expect(200);
    let of = |all: &Value, id: &str| all["data"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap().clone();
    assert_eq!((&of(&all, webhook)["state"], &of(&all, webhook)["owed"]), (&json!("unused"), &json!(1)), "its test waits");
    assert_eq!((&of(&all, spare)["state"], &of(&all, spare)["due_at"]), (&json!("switched_off"), &Value::Null));
    assert_eq!(of(&all, things.id("destination"))["kind"], "destination");
    let webhooks = server.get("/v1/deliveries/health?kind=webhook&limit=1").await.expect(200);
    let rest =
        server.get(&format!("/v1/deliveries/health?kind=webhook&cursor={}", webhooks["next_cursor"].as_str().unwrap())).await;
    let ids: Vec<Value> = [webhooks, rest.expect(200)]
        .iter()
        .flat_map(|page| page["data"].as_array().unwrap())
        .map(|it| it["id"].clone())
        .collect();
    let listed = server.get("/v1/webhooks").await.expect(200);
    assert_eq!(ids, listed["data"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect::<Vec<_>>(), "in their order");

    let detail = json!({"request": null, "reply": null});
    server.tried(webhook, event, (1, 1, Some(200), None), &detail).await;
    let took = server.get(&format!("/v1/deliveries/health/{webhook}")).await.expect(200);
    assert_eq!(
        (&took["state"], &took["failing_since"], &took["last_attempt"]["outcome"]),
        (&json!("working"), &Value::Null, &json!("delivered"))
    );
    server.forward(std::time::Duration::from_secs(60));
    server.tried(webhook, event, (2, 2, Some(503), Some("the receiver answered 503")), &detail).await;
    let failing = server.get(&format!("/v1/deliveries/health/{webhook}")).await.expect(200);
    assert_eq!((&failing["state"], &failing["failing_since"]), (&json!("failing"), &took["took_last_at"]));
    assert_eq!(failing["last_attempt"]["error"], "the receiver answered 503");
    let attempts = server.get(&format!("/v1/deliveries/attempts?webhook={webhook}")).await.expect(200);
    let kind = server.get(&format!("/v1/events/{event}")).await.expect(200)["type"].clone();
    assert_eq!((attempts["data"].as_array().unwrap().len(), &attempts["data"][0]["type"]), (2, &kind));

    let stranger = server.call(&server.stranger, "GET", "/v1/deliveries/health", &Value::Null).await.expect(200);
    assert_eq!(stranger["data"], json!([]));
    let path = format!("/v1/deliveries/health/{webhook}");
    assert_eq!(server.call(&server.stranger, "GET", &path, &Value::Null).await.problem(404), "not_found");
    assert_eq!(server.get("/v1/deliveries/health?kind=other").await.problem(400), "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_says_what_it_waits_for() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (webhook, pass) = (things.id("webhook"), things.id("pass"));
    let events = server.get(&format!("/v1/passes/{pass}/events")).await.expect(200);
    let of_pass: Vec<&str> = events["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    let (earlier, later) = (of_pass[0], of_pass[1]);
    let owe = async |event: &str| {
        server.post("/v1/deliveries", json!({"webhook": webhook, "event": event})).await.expect(202)["delivery"].clone()
    };
    let list = async |filter: &str| server.get(&format!("/v1/deliveries?{filter}")).await.expect(200)["data"].clone();
    let (test, about_pass) = (list("").await, format!("pass={pass}"));
    for owed in list(&about_pass).await.as_array().unwrap() {
        assert_eq!(owed["pass"], pass, "{owed}");
    }
    let first = owe(later).await;
    let of_later = format!("event={later}");
    let why = async |filter: &str| {
        let owed = list(filter).await;
        let one = owed.as_array().unwrap().iter().find(|it| it["id"] == first).unwrap_or_else(|| panic!("{filter}: {owed}"));
        (one["waiting_for"].as_str().unwrap().to_owned(), one["error"].clone())
    };
    assert_eq!(why(&of_later).await, ("place".to_owned(), Value::Null));
    let one = server.get(&format!("/v1/deliveries/{}", first.as_str().unwrap())).await.expect(200);
    assert_eq!((&one["type"], &one["pass"], &one["waiting_for"]), (&events["data"][1]["type"], &json!(pass), &json!("place")));
    for nothing in
        [format!("event={earlier}&pass={}", things.id("project")), format!("webhook={}&{about_pass}", things.id("destination"))]
    {
        assert_eq!(list(&nothing).await, json!([]), "{nothing}");
    }
    let stranger = server.call(&server.stranger, "GET", &format!("/v1/deliveries?{about_pass}"), &Value::Null).await;
    assert_eq!(stranger.expect(200)["data"], json!([]));

    // The receiver fails: what was never tried says so, in the words of the try that failed.
    let (detail, broken) = (json!({"request": null, "reply": null}), "the receiver answered 503");
    server.tried(webhook, earlier, (1, 2, Some(503), Some(broken)), &detail).await;
    assert_eq!(why(&about_pass).await, ("receiver".to_owned(), json!(broken)));
    server.forward(std::time::Duration::from_secs(60));
    server.tried(webhook, earlier, (2, 1, Some(200), None), &detail).await;
    assert_eq!(why(&about_pass).await.0, "place");

    // It wants so many in a second, and the events of a pass in order.
    let path = format!("/v1/webhooks/{webhook}");
    let mut wish = hook(&json!({"pace": {"per_second": 2}}));
    server.call(&server.admin, "PUT", &path, &wish).await.expect(200);
    assert_eq!(why(&about_pass).await.0, "pace");
    wish["pace"] = json!({"in_order": true});
    server.call(&server.admin, "PUT", &path, &wish).await.expect(200);
    owe(earlier).await;
    assert_eq!(why(&about_pass).await.0, "turn");

    // It was tried itself.
    let backend = server.store.backend();
    let row = backend.delivery(server.ours, first.as_str().unwrap().parse().unwrap()).await.unwrap().unwrap();
    backend.owe(vec![store::DeliveryRow { attempts: 1, behind: true, ..row.clone() }]).await.unwrap();
    server.tried(webhook, later, (1, 2, None, Some("no connection")), &detail).await;
    assert_eq!(why(&of_later).await, ("next_try".to_owned(), json!("no connection")));
    server.forward(std::time::Duration::from_secs(60));
    server.tried(webhook, earlier, (3, 1, Some(200), None), &detail).await;
    backend.owe(vec![store::DeliveryRow { behind: true, ..row }]).await.unwrap();
    assert_eq!(why(&of_later).await.0, "replay");
    assert!(!list("").await.as_array().unwrap().is_empty() && !test.as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_set_is_told_to_programs() {
    let server = Server::start().await;
    let read = async |slug: &str| server.get(&format!("/v1/connectors/{slug}")).await.expect(200);
    let of = |connector: &Value, part: &str, name: &str| {
        connector[part]["settings"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone()
    };
    let alerts = read("mail-alerts").await;
    let every = of(&alerts, "destination", "every_minutes");
    assert_eq!(
        (&every["type"], &every["minimum"], &every["maximum"], &every["required"]),
        (&json!("whole"), &json!(1), &json!(1440), &json!(false))
    );
    assert_eq!(of(&alerts, "destination", "password")["type"], "secret");
    assert_eq!(
        (&of(&alerts, "destination", "to")["required"], &of(&alerts, "destination", "to")["max_bytes"]),
        (&json!(true), &json!(320))
    );
    let names = alerts["destination"]["events"].as_array().unwrap();
    assert!(names.contains(&json!("sync.failed")) && !names.contains(&json!("pass.created")), "{names:?}");
    let native = read("native").await;
    assert_eq!(of(&native, "webhook", "pace")["type"], "member");
    assert!(native["webhook"]["events"].as_array().unwrap().contains(&json!("pass.created")));
}
