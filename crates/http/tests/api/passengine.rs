//! PassEngine's triggers as its polling clients ask for them.

use std::collections::BTreeSet;

use domain::Scope;
use serde_json::{Value, json};

use crate::server::{Reply, Server};

const TRIGGERS: &str = "/passengine/api/v1/triggers";

fn items(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    serde_json::from_slice::<Vec<Value>>(&reply.bytes).unwrap()
}

fn refused(reply: &Reply, status: u16) -> String {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    let said = reply.json();
    assert_eq!(said.as_object().unwrap().len(), 1, "PassEngine's errors have one member: {said}");
    said["error"].as_str().unwrap().to_owned()
}

/// The path of the next page, when there is one.
fn next(reply: &Reply) -> Option<String> {
    let link = reply.headers.get("link")?.to_str().unwrap();
    let address = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    Some(address[address.find("/passengine").unwrap()..].to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_are_newest_first_and_have_the_webhooks_body_with_an_id() {
    let server = Server::start().await;
    let things = server.furnish().await;
    server.forward(std::time::Duration::from_secs(1));
    let pass = things.id("pass");
    server.post(&format!("/v1/passes/{pass}/revoke"), json!({})).await.expect(200);
    let all = items(&server.get(TRIGGERS).await);
    let names: Vec<&str> = all.iter().map(|item| item["event"].as_str().unwrap()).collect();
    assert_eq!(names[0], "pass.status_changed", "{names:?}");
    let kinds: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["client.created", "pass.created", "pass.scanned", "pass.status_changed"]);
    let times: Vec<&str> = all.iter().map(|item| item["timestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let ids: BTreeSet<&str> = all.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), all.len());
    let newest = &all[0];
    assert_eq!(newest.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>().len(), 4);
    assert_eq!((&newest["data"]["id"], &newest["data"]["status"]), (&json!(pass), &json!("revoked")));
    assert_eq!(newest["data"]["previousStatus"], "active");
    let scanned = items(&server.get(&format!("{TRIGGERS}?event=pass.scanned")).await);
    assert_eq!((scanned.len(), &scanned[0]["data"]["scan"]["result"]), (1, &json!("accepted")));
    let since = format!("{TRIGGERS}?since={}", times[0]);
    let news: Vec<_> = items(&server.get(&since).await);
    assert_eq!(news.len(), 1, "who knows the newest time gets that item once more and misses nothing");
    let theirs = server.call(&server.stranger, "GET", TRIGGERS, &Value::Null).await;
    assert_eq!(items(&theirs), Vec::<Value>::new(), "another organization's");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_leave_no_gap_and_repeat_nothing_while_more_is_written() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let issue = async |name: &str| {
        let body = json!({"project": things.id("project"), "external_id": name, "contact": {"external_id": name}});
        server.post("/v1/passes", body).await.expect(201)["id"].as_str().unwrap().to_owned()
    };
    let mut issued = BTreeSet::from([things.id("pass").to_owned()]);
    for number in 0..24 {
        issued.insert(issue(&format!("early-{number}")).await);
    }
    let mut path = Some(format!("{TRIGGERS}?event=pass.created&limit=7"));
    let (mut seen, mut pages) = (Vec::new(), 0);
    while let Some(at) = path {
        let reply = server.get(&at).await;
        let page = items(&reply);
        assert!(page.len() <= 7);
        seen.extend(page.iter().map(|item| item["data"]["id"].as_str().unwrap().to_owned()));
        pages += 1;
        issue(&format!("late-{pages}")).await;
        path = next(&reply);
    }
    assert_eq!((pages, seen.len()), (4, 25));
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), issued);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_takes_no_place_of_an_answer() {
    let server = Server::start().await;
    let things = server.furnish().await;
    for number in 0..45 {
        server.forward(std::time::Duration::from_secs(1));
        let body =
            json!({"project": things.id("project"), "external_id": format!("gone-{number}"), "contact": {"external_id": "gone"}});
        let pass = server.post("/v1/passes", body).await.expect(201);
        if number == 44 {
            server
                .call(&server.admin, "DELETE", &format!("/v1/contacts/{}", pass["contact"].as_str().unwrap()), &Value::Null)
                .await;
        }
    }
    let reply = server.get(&format!("{TRIGGERS}?event=pass.created&limit=1")).await;
    let newest = items(&reply);
    assert_eq!((newest.len(), &newest[0]["data"]["id"]), (1, &json!(things.id("pass"))), "the newest who is still there");
    assert_eq!(next(&reply), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_limits_and_preflights_are_passengines() {
    let server = Server::start().await;
    for (query, part) in [
        ("event=pass.lost", "event: expected one of pass.created"),
        ("since=yesterday", "since: expected a time"),
        ("limit=0", "limit: expected 1 to 100"),
        ("cursor=AAAA", "cursor: "),
    ] {
        let said = refused(&server.get(&format!("{TRIGGERS}?{query}")).await, 400);
        assert!(said.starts_with(part), "{query}: {said}");
    }
    refused(&server.call("pbk_wrong", "GET", TRIGGERS, &Value::Null).await, 401);
    let narrow = server.key(server.ours, &[Scope::Scan]).await;
    refused(&server.call(&narrow, "GET", TRIGGERS, &Value::Null).await, 403);
    refused(&server.get("/passengine/api/v1/nothing").await, 404);
    refused(&server.post(TRIGGERS, json!({})).await, 405);
    let preflight = server.send("OPTIONS", TRIGGERS, &[("origin", "https://app.example.com")], "").await;
    assert_eq!((preflight.status.as_u16(), preflight.header("access-control-allow-origin")), (204, "*"));
    let busy = server.key(server.ours, &[Scope::PassesRead]).await;
    for left in (0..10).rev() {
        let reply = server.call(&busy, "GET", TRIGGERS, &Value::Null).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-ratelimit-remaining")), (200, left.to_string().as_str()));
        assert_eq!((reply.header("x-ratelimit-limit"), reply.header("access-control-allow-origin")), ("10", "*"));
    }
    let reply = server.call(&busy, "GET", TRIGGERS, &Value::Null).await;
    refused(&reply, 429);
    assert!((1..=6).contains(&reply.header("retry-after").parse::<u64>().unwrap()), "{:?}", reply.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_made_listed_and_ended_as_clients_of_hooks_do() {
    const HOOKS: &str = "/passengine/api/v1/webhooks";
    let server = Server::start().await;
    let others =
        server.post("/v1/webhooks", json!({"name": "Other", "url": "https://hooks.example.com/other"})).await.expect(201);
    let wish = |event: &str, url: &str| json!({"event": event, "targetUrl": url});
    let made = server.post(HOOKS, wish("pass.scanned", "https://hooks.example.com/a")).await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, "no-store"), "{}", made.text());
    let made = made.json();
    let id = made["id"].as_str().unwrap();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made}");
    let ours = server.get(&format!("/v1/webhooks/{id}")).await.expect(200);
    assert_eq!((&ours["dialect"], &ours["url"]), (&json!("passengine"), &made["targetUrl"]));
    assert_eq!(ours["events"], json!(["pass.scanned", "pass.scan_refused"]), "{ours}");
    server.forward(std::time::Duration::from_secs(1));
    let twin = server.post(HOOKS, wish("pass.scanned", "https://hooks.example.com/a")).await.expect(201);
    assert_ne!(twin["id"], made["id"], "each of a client's has its own");
    let mut shown = made.clone();
    shown.as_object_mut().unwrap().remove("secret");
    assert_eq!(shown["active"], true);
    let listed = items(&server.get(HOOKS).await);
    assert_eq!((listed.len(), &listed[0]), (2, &shown), "{listed:?}");

    // Each key has its own ten a minute.
    let second = server.key(server.ours, &[Scope::ConfigRead, Scope::ConfigWrite]).await;
    for (wrong, part) in [
        (wish("pass.used", "https://hooks.example.com/a"), "event: expected one of pass.created"),
        (wish("pass.scanned", "ftp://hooks.example.com/a"), "targetUrl: "),
        (wish("pass.scanned", "http://127.0.0.1/a"), "targetUrl: "),
        (json!({"event": "pass.scanned"}), "targetUrl"),
        (json!([]), "expected"),
    ] {
        let said = refused(&server.call(&second, "POST", HOOKS, &wrong).await, 400);
        assert!(said.contains(part), "{wrong}: {said}");
    }
    let one = format!("{HOOKS}/{id}");
    let delete = async |key: &str, path: &str| server.call(key, "DELETE", path, &Value::Null).await;
    refused(&delete(&server.stranger, &one).await, 404);
    refused(&delete(&server.admin, &format!("{HOOKS}/{}", others["id"].as_str().unwrap())).await, 404);
    let reader = server.key(server.ours, &[Scope::PassesRead]).await;
    refused(&delete(&reader, &one).await, 403);
    refused(&server.call(&reader, "GET", HOOKS, &Value::Null).await, 403);
    assert_eq!(delete(&server.admin, &one).await.status.as_u16(), 204);
    refused(&delete(&server.admin, &one).await, 404);

    for number in 1..10 {
        server
            .post(
                "/v1/webhooks",
                json!({"name": "Full", "url": format!("https://hooks.example.com/{number}"),
            "dialect": "passengine"}),
            )
            .await
            .expect(201);
    }
    let said = refused(&server.call(&second, "POST", HOOKS, &wish("client.created", "https://hooks.example.com/b")).await, 403);
    assert!(said.contains("at most 10"), "{said}");
    assert_eq!(
        items(&server.call(&second, "GET", HOOKS, &Value::Null).await).iter().filter(|it| it["event"].is_null()).count(),
        9,
        "told of everything"
    );
}
