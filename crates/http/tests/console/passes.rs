//! Passes: finding them, their page, and what is done to them.

use std::time::Duration;

use domain::{Action, PassRef, Scope};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    server::{NOW, Server, Things},
};

const ODD: &str = "<script>alert(1)</script>";

fn escaped() -> String {
    ODD.replace('<', "&lt;").replace('>', "&gt;")
}

fn page_of(things: &Things) -> String {
    format!("/console/passes/{}", things.id("pass"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_found_by_what_people_know_of_it() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let pass = things.id("pass");
    server.post("/v1/contacts", json!({"email": "ada@example.com", "external_id": "member-7"})).await.expect(200);
    let other = json!({"project": things.id("project"), "external_id": "card-2"});
    let other = server.post("/v1/passes", other).await.expect(201)["id"].as_str().unwrap().to_owned();
    let browser = Browser::admin(&server).await;
    let list = browser.see("/console/passes").await;
    list.expect(&[pass, &other, "card-1", "Club", "aria-current=\"page\""]);
    let find = async |wanted: &str| browser.submit(&list, "/console/passes", &[("q", wanted)]).await;
    assert_eq!(find(pass).await.path, format!("/console/passes/{pass}"), "by its id one is there");
    for known in ["card-1", "ADA@example.com", "member-7", " card-1 "] {
        let found = find(known).await;
        assert!(found.has(pass) && !found.has(&other), "{known}: {}", found.text());
    }
    for unknown in ["card-3", "eve@example.com", "0000000000000000000000", "@", &"x".repeat(3_000), "../keys"] {
        let found = find(unknown).await;
        assert_eq!(found.reply.status.as_u16(), 200, "{unknown}");
        found.expect(&["There is no such pass."]);
    }
    assert!(browser.see(&format!("/console/passes?q={}", crate::browser::encode(ODD))).await.has(&escaped()));
    let stranger = Browser::with(&server, &server.stranger).await;
    for known in [pass, "card-1", "ada@example.com"] {
        let found = stranger.see(&format!("/console/passes?q={known}")).await;
        found.expect(&["There is no such pass."]);
    }
    let refused = stranger.open(&page_of(&things)).await;
    assert_eq!(refused.reply.status.as_u16(), 404);
    refused.expect(&["no such pass"]);
    assert_eq!(stranger.open(&format!("{}/preview", page_of(&things))).await.reply.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_page_tells_all_that_is_known() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let id: domain::PassId = things.id("pass").parse().unwrap();
    let install = Action::RecordFormer {
        pass: PassRef::Id(id),
        wallet: domain::Wallet::Apple,
        installed_at: NOW.minus(Duration::from_secs(7_200)),
        uninstalled_at: None,
    };
    server.did(install).await;
    let odd = json!({"fields": {"tier": ODD}, "external_id": ODD, "contact": {"email": "ada@example.com", "name": ODD}});
    let path = format!("/v1/passes/{id}");
    server.call(&server.admin, "PATCH", &path, &odd).await.expect(200);
    server.post(&format!("{path}/notify"), json!({"text": ODD})).await.expect(200);
    let browser = Browser::admin(&server).await;
    let page = browser.see(&page_of(&things)).await;
    page.expect(&[
        &escaped(),
        "ada@example.com",
        "Tier",
        "points",
        "pass.created",
        "pass.installed",
        "pass.updated",
        "pass.notified",
        "fields.tier",
        "2 h ago",
        "Apple",
        "the wallet",
        "a request",
    ]);
    assert!(!page.has("<script>alert") && !page.has("style="), "{}", page.text());
    let text = page.text();
    assert!(text.find("pass.notified").unwrap() < text.find("pass.created").unwrap(), "newest first");
    let policy = page.reply.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && policy.contains("frame-src 'self'"), "{policy}");

    let preview = browser.see(&format!("{}/preview", page_of(&things))).await;
    preview.expect(&["iOS", "Google"]);
    assert!(!preview.has("<script"));
    assert!(preview.reply.header("content-security-policy").contains("frame-ancestors 'self'"));

    let reader = Browser::scoped(&server, &[Scope::PassesRead]).await;
    let page = reader.see(&page_of(&things)).await;
    page.expect(&["ada@example.com", things.id("project")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_tells_who_was_told() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let events = server.get(&format!("/v1/passes/{}/events", things.id("pass"))).await.expect(200);
    let (event, target) = (events["data"][0]["id"].as_str().unwrap(), things.id("webhook"));
    let said = format!("it said {ODD}");
    server.tried(target, event, (1, 3, Some(500), Some(&said)), &json!({})).await;
    let page = Browser::admin(&server).await.see(&page_of(&things)).await;
    page.expect(&[&format!("/console/deliveries/{target}/{event}"), "Hook", "failed", &format!("it said {}", escaped())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_and_was_never_tried_says_why() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let events = server.get(&format!("/v1/passes/{}/events", things.id("pass"))).await.expect(200);
    let (tried, untried) = (events["data"][0]["id"].as_str().unwrap(), events["data"][1]["id"].as_str().unwrap());
    let target = things.id("webhook");
    let browser = Browser::admin(&server).await;
    let said = format!("it said {ODD}");
    server.tried(target, tried, (1, 2, Some(503), Some(&said)), &json!({})).await;
    server.post("/v1/deliveries", json!({"webhook": target, "event": untried})).await.expect(202);
    let page = browser.see(&page_of(&things)).await;
    let why = format!("what was sent there last failed: it said {}", escaped());
    let owed = format!("/console/deliveries/owed?pass={}", things.id("pass"));
    page.expect(&[&format!("/console/deliveries/{target}/{untried}"), "Hook", &why, "next try", &owed, "deliver"]);
    browser.see(&owed).await.expect(&[&why, events["data"][1]["type"].as_str().unwrap(), &page_of(&things)]);
    browser.see(&format!("/console/deliveries/{target}/{untried}")).await.expect(&["Why it waits", &why, "not tried yet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_changes_what_differs_and_once() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (browser, path) = (Browser::admin(&server).await, page_of(&things));
    let api = format!("/v1/passes/{}", things.id("pass"));
    let page = browser.see(&path).await;
    let form = page.form(&format!("{path}/change"));
    let changes = [("fields.tier", "gold"), ("balances.points", "10"), ("message", "Welcome")];
    let done = browser.send(&form, &changes).await;
    assert_eq!(done.path, path);
    done.expect(&["It is changed.", "gold"]);
    let after = server.get(&api).await.expect(200);
    assert_eq!((&after["fields"]["tier"], &after["balances"]["points"]), (&json!("gold"), &json!("10")));
    assert_eq!(after["message"]["text"], "Welcome");
    browser.send(&form, &changes).await.expect(&["It is changed."]);
    let again = server.get(&api).await.expect(200);
    assert_eq!(again["balances"]["points"], "10", "the same form once more adds nothing");
    assert_eq!(again["version"], after["version"]);

    let refused = browser.submit(&browser.see(&path).await, &format!("{path}/change"), &[("balances.points", "-50")]).await;
    assert_eq!(refused.reply.status.as_u16(), 409);
    refused.expect(&["Balance too low", "<details class=\"considered\" open>", "value=\"-50\""]);
    let refused = browser.submit(&refused, &format!("{path}/change"), &[("balances.points", ""), ("expires_at", "soon")]).await;
    assert_eq!(refused.reply.status.as_u16(), 422);
    refused.expect(&["id=\"f-expires_at-fault\"", "aria-invalid=\"true\"", "value=\"soon\""]);
    let mended = browser.submit(&refused, &format!("{path}/change"), &[("expires_at", "2028-01-01T00:00:00Z")]).await;
    mended.expect(&["It is changed."]);
    assert_eq!(server.get(&api).await.expect(200)["expires_at"], "2028-01-01T00:00:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_told_revoked_activated_and_deleted() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (browser, path) = (Browser::admin(&server).await, page_of(&things));
    let api = format!("/v1/passes/{}", things.id("pass"));
    let press = async |action: &str, values: &[(&str, &str)]| {
        browser.submit(&browser.see(&path).await, &format!("{path}/{action}"), values).await
    };
    let kinds = async || -> Vec<String> {
        let events = server.get(&format!("{api}/events")).await.expect(200);
        events["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    let form = browser.see(&path).await.form(&format!("{path}/notify"));
    for _ in 0..2 {
        browser.send(&form, &[("text", "Come in")]).await.expect(&["The holder is being told."]);
    }
    assert_eq!(kinds().await.iter().filter(|kind| *kind == "pass.notified").count(), 1, "a double click");
    let long = press("notify", &[("text", &"x".repeat(501))]).await;
    assert_eq!(long.reply.status.as_u16(), 422);
    long.expect(&["id=\"f-text-fault\""]);
    let early = press("notify", &[("text", "Soon"), ("at", "tomorrow")]).await;
    assert_eq!(early.reply.status.as_u16(), 422);
    early.expect(&["id=\"f-at-fault\"", "value=\"tomorrow\""]);
    assert!(early.forms(&format!("{path}/cancel-notices")).is_empty(), "nothing is planned");
    let times = [("text", "Soon"), ("at", "2099-01-04T08:00"), ("until", "2099-01-05T00:00")];
    press("notify", &times).await.expect(&["It is planned", "“Soon” planned for"]);
    let planned = server.get(&api).await.expect(200)["planned_messages"].clone();
    assert_eq!(planned, json!([{"text": "Soon", "at": "2099-01-04T08:00:00Z", "until": "2099-01-05T00:00:00Z"}]));
    press("cancel-notices", &[]).await.expect(&["Nothing is planned any more."]);
    assert_eq!(server.get(&api).await.expect(200)["planned_messages"], json!([]));
    press("revoke", &[("reason", "left & gone")]).await.expect(&["It is revoked.", "left &amp; gone"]);
    assert_eq!(server.get(&api).await.expect(200)["state"], "revoked");
    press("activate", &[]).await.expect(&["It is active."]);
    let reader = Browser::scoped(&server, &[Scope::PassesRead]).await;
    let refused = reader.submit(&reader.see(&path).await, &format!("{path}/delete"), &[]).await;
    assert_eq!(refused.reply.status.as_u16(), 403);
    refused.expect(&["Not allowed with this key", "passes_write"]);
    assert_eq!(server.get(&api).await.expect(200)["state"], "active");
    press("delete", &[]).await.expect(&["It is deleted."]);
    let gone = browser.see(&path).await;
    assert!(gone.forms(&format!("{path}/change")).is_empty(), "nothing more can be done");
    assert_eq!(browser.once("POST", &format!("{path}/explode"), "").await.status.as_u16(), 404);
    assert_eq!(server.get(&api).await.expect(200)["state"], Value::from("deleted"));
}
