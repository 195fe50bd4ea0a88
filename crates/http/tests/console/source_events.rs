//! Source events: the list, one with its trace, another try; and the overview that leads there.

use domain::{Scope, SourceEventId};
use serde_json::{Value, json};
use store::{InboxResult, InboxSettlement, InboxStatus};

use crate::{
    browser::Browser,
    server::{NOW, Server},
};

const ODD: &str = "<script>alert(1)</script>";

/// Writes what a worker would.
async fn settle(server: &Server, id: &str, status: InboxStatus, trace: &Value) {
    let id: SourceEventId = id.parse().unwrap();
    let entry = server.store.source_event(server.ours, id).await.unwrap().unwrap();
    let backend = server.store.backend();
    let lease = backend.leases().await.unwrap()[usize::from(entry.position.shard)].lease;
    let due_at = (status == InboxStatus::Delayed).then(|| NOW.plus(std::time::Duration::from_secs(3_600)));
    let result = InboxResult { status: status.number(), runs: 1, due_at, at: NOW, trace: trace.to_string() };
    let results = vec![(server.ours, id, result)];
    backend.settle_inbox(InboxSettlement { lease, results, owners: Vec::new(), watermark: None }).await.unwrap();
}

fn trace(pass: &str) -> Value {
    let done = json!({"step": "card", "action": "issue", "outcome": "done", "pass": pass});
    let refused = json!({"step": "tell", "action": "notify", "outcome": "rejected",
                         "error": {"code": "invalid", "path": "text", "message": format!("is {ODD}")}});
    let ran = json!({"flow": "sign-up", "matched": true, "version": 1, "steps": [done, refused]});
    json!({"flows": [ran, {"flow": "other", "matched": false, "reason": "its condition does not hold"}], "reason": format!("tell: {ODD}")})
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tells_what_each_step_was_given_and_made() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let id = things.id("source_event");
    let browser = Browser::admin(&server).await;
    let unreadable = browser.see(&format!("/console/source-events/{id}")).await;
    unreadable.expect(&["Why it is parked", "mend me"]);
    settle(&server, id, InboxStatus::Parked, &trace(things.id("pass"))).await;
    let page = browser.see(&format!("/console/source-events/{id}")).await;
    page.expect(&[
        "track signed_up",
        "parked",
        "Shop",
        "Why it is parked",
        "sign-up",
        "its condition does not hold",
        &format!("/console/passes/{}", things.id("pass")),
        "text: is &lt;script&gt;",
        "What it was given",
        "&quot;external_id&quot;: &quot;u-1&quot;",
        "&quot;userId&quot;: &quot;u-1&quot;",
    ]);
    assert!(!page.has("<script>alert"));
    let stranger = Browser::with(&server, &server.stranger).await;
    assert_eq!(stranger.open(&format!("/console/source-events/{id}")).await.reply.status.as_u16(), 404);
    let reply = stranger.once("POST", &format!("/console/source-events/{id}/replay"), "").await;
    assert_eq!(reply.status.as_u16(), 404);
    assert!(!stranger.see("/console/source-events").await.has("signed_up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_narrows_by_source_state_and_name() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let list = browser.see("/console/source-events").await;
    list.expect(&["track signed_up", "Shop", "parked"]);
    let narrow = async |values: &[(&str, &str)]| browser.submit(&list, "/console/source-events", values).await;
    for fits in [[("status", "parked")], [("name", "SIGNED")], [("source", things.id("source"))]] {
        assert!(narrow(&fits).await.has("track signed_up"), "{fits:?}");
    }
    for other in [[("status", "done")], [("name", "purchase")]] {
        let page = narrow(&other).await;
        assert!(!page.has("track signed_up"), "{other:?}");
        page.expect(&["Nothing came in yet, or nothing that fits."]);
    }
    assert!(narrow(&[("name", ODD)]).await.has("value=\"&lt;script&gt;"));
    let wrong = browser.open("/console/source-events?status=odd").await;
    assert_eq!(wrong.reply.status.as_u16(), 400);
    wrong.expect(&["Parameter not readable"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_and_all_that_are_parked_are_replayed() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let id = things.id("source_event");
    let (browser, path) = (Browser::admin(&server).await, format!("/console/source-events/{id}"));
    let state = async || server.get(&format!("/v1/source-events/{id}")).await.expect(200)["status"].clone();
    let page = browser.see(&path).await;
    let button = page.form(&format!("{path}/replay"));
    browser.send(&button, &[]).await.expect(&["It is being handled again.", "waiting"]);
    assert_eq!(state().await, "waiting");
    browser.send(&button, &[]).await.expect(&["it is still being handled by itself"]);

    settle(&server, id, InboxStatus::Parked, &trace(things.id("pass"))).await;
    let list = browser.see(&format!("/console/source-events?source={}", things.id("source"))).await;
    let parked = list.form("/console/source-events/replay");
    assert!(parked.values.contains(&("of".to_owned(), things.id("source").to_owned())), "{:?}", parked.values);
    browser.submit(&list, "/console/source-events/replay", &[]).await.expect(&["1 source event is being handled again."]);
    assert_eq!(state().await, "waiting");
    browser.submit(&list, "/console/source-events/replay", &[]).await.expect(&["There was nothing parked in that time."]);

    settle(&server, id, InboxStatus::Done, &trace(things.id("pass"))).await;
    let page = browser.see(&path).await;
    let [_, anew] = page.forms(&format!("{path}/replay")).try_into().expect("what was not applied, or all");
    assert_eq!(anew.values, [("run".to_owned(), "1".to_owned())]);
    browser.send(&anew, &[]).await.expect(&["It is being handled again."]);

    let step = json!({"step": "later", "action": "wait", "outcome": "waiting", "due_at": NOW.plus(std::time::Duration::from_secs(3_600)), "since": NOW});
    let waits = json!({"flows": [{"flow": "sign-up", "matched": true, "version": 1, "steps": [step]}]});
    settle(&server, id, InboxStatus::Delayed, &waits).await;
    let page = browser.see(&path).await;
    page.expect(&["delayed", "in 1 h"]);
    browser.submit(&page, &format!("{path}/cancel"), &[]).await.expect(&["What waited is cancelled.", "cancelled by hand"]);
    assert_eq!(state().await, "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_tells_how_things_stand() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let page = browser.see("/console").await;
    let text = page.text();
    let number =
        |label: &str| text.split_once(&format!("</strong><span>{label}")).unwrap().0.rsplit_once('>').unwrap().1.to_owned();
    assert_eq!((number("Passes"), number("Source events parked")), ("1".to_owned(), "1".to_owned()));
    page.expect(&[
        "Club",
        "membership",
        "track signed_up",
        "pass.created",
        "pass.com.example.club",
        "2028-01-1",
        "console-live.js",
    ]);
    page.expect(&[&format!("/console/passes?project={}", things.id("project")), "/console/events/stream"]);
    let scanner = Browser::scoped(&server, &[Scope::Scan]).await;
    scanner.see("/console").await.expect(&["Not allowed with this key: this needs an API key with the scope `config_read`"]);
    let stranger = Browser::with(&server, &server.stranger).await.see("/console").await;
    for ours in ["Club", "signed_up", "pass.created<", "example.club"] {
        assert!(!stranger.has(ours), "{ours}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_tail_is_the_apis() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let feed = server.get("/v1/events?limit=1").await.expect(200);
    let path = format!("/console/events/stream?for_seconds=2&cursor={}", feed["next_cursor"].as_str().unwrap());
    let notify = format!("/v1/passes/{}/notify", things.id("pass"));
    server.post(&notify, json!({"text": "Hello"})).await.expect(200);
    let told = browser.once("GET", &path, "").await;
    assert_eq!((told.status.as_u16(), told.header("content-type")), (200, "text/event-stream"));
    for kind in ["event: pass.scanned", "event: pass.notified"] {
        assert!(told.text().contains(kind), "{kind}: {}", told.text());
    }
    let scanner = Browser::scoped(&server, &[Scope::Scan]).await;
    assert_eq!(scanner.once("GET", &path, "").await.status.as_u16(), 403);
}
