//! Webhooks and destinations: made, changed, switched, rotated, replayed and deleted by forms.

use domain::Scope;
use serde_json::{Value, json};

use crate::{
    browser::{Browser, Page},
    server::Server,
};

const EVIL: &str = "<script>alert(1)</script>";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_by_a_form_and_its_secret_shown_once() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let choose = browser.see("/console/webhooks/new").await;
    choose.expect(&["Standard Webhooks", "/console/webhooks/new?dialect=native"]);
    assert!(!choose.has("hubspot"), "it is no shape of a webhook");
    let page = browser.see("/console/webhooks/new?dialect=native").await;
    page.expect(&["Only events of this project.", "pass.installed", "Switch off after hours"]);
    let typed = [
        ("name", EVIL),
        ("url", "http://10.0.0.1/hook"),
        ("project", things.id("project")),
        ("events", "pass.created"),
        ("filter", "type = \"pass.created\""),
        ("headers", "X-Tenant: bean\r\nX-Other: hush"),
        ("auth.type", "basic"),
        ("auth.user", "ada"),
        ("auth.password", "hush-password"),
        ("pace.per_second", "25"),
    ];
    let refused = browser.submit(&page, "/console/webhooks/new", &typed).await;
    assert_eq!(refused.reply.status.as_u16(), 422);
    refused.expect(&["aria-invalid=\"true\"", "value=\"25\"", "value=\"ada\"", "X-Tenant: bean"]);
    assert!(!refused.has(EVIL) && !refused.has("hush-password"), "escaped, and no secret comes back");
    let again = [("url", "https://hooks.example.com/in"), ("auth.password", "hush-password")];
    let twice_said = [&again[..], &[("headers", "authorization: mine")]].concat();
    let refused_again = browser.send(&refused.form("/console/webhooks/new"), &twice_said).await;
    refused_again.expect(&["Authorization: `auth` sets it", "id=\"f-headers-fault\""]);
    let form = refused.form("/console/webhooks/new");
    let made = browser.send(&form, &again).await;
    made.expect(&["it is shown this once", "whsec_"]);
    let twice = browser.send(&form, &again).await;
    twice.expect(&["whsec_"]);
    let listed = server.get("/v1/webhooks").await.expect(200);
    let ours: Vec<&Value> = listed["data"].as_array().unwrap().iter().filter(|it| it["name"] == EVIL).collect();
    assert_eq!(ours.len(), 1, "a second press makes no second one");
    let it = ours[0];
    assert_eq!(
        (&it["events"], &it["pace"]["per_second"], &it["auth"]["user"]),
        (&json!(["pass.created"]), &json!(25), &json!("ada"))
    );
    assert_eq!(it["headers"], json!({"X-Tenant": null, "X-Other": null}));

    let page = browser.see("/console/webhooks").await;
    page.expect(&["&lt;script&gt;", "nothing sent yet", "hooks.example.com/in"]);
    assert!(!page.has(EVIL) && !page.has("whsec_"));
    let shown = browser.see(&format!("/console/webhooks/{}", it["id"].as_str().unwrap())).await;
    shown.expect(&["Send a test", "Rotate the secret", "Replay", "per_second 25"]);
    assert!(!shown.has("whsec_") && !shown.has("hush") && !shown.has(EVIL));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_changed_switched_and_deleted() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let id = things.id("webhook");
    let (page, api) = (format!("/console/webhooks/{id}"), format!("/v1/webhooks/{id}"));
    let secret = json!({"name": "Hook", "url": "https://hooks.example.com/passes", "headers": {"x-token": "hush"},
        "auth": {"type": "bearer", "token": "tok"}, "switch_off": {"after_hours": null}, "post_only": true});
    server.call(&server.admin, "PUT", &api, &secret).await.expect(200);
    let before = server.get(&api).await.expect(200);
    let edit = browser.see(&format!("{page}/edit")).await;
    let saved = browser.submit(&edit, &format!("{page}/edit"), &[("name", "Other")]).await;
    saved.expect(&["Other is changed."]);
    let mut expected = before.clone();
    expected["name"] = json!("Other");
    assert_eq!(server.get(&api).await.expect(200), expected, "nothing else changed, and what is secret stayed");
    let wrong = browser.submit(&edit, &format!("{page}/edit"), &[("pace.per_second", "many")]).await;
    wrong.expect(&["expected a whole number", "value=\"many\""]);

    let off = browser.submit(&saved, &format!("{page}/disable"), &[]).await;
    off.expect(&["It is switched off.", "Switch on", "May have missed since"]);
    let refused = browser.once("POST", &format!("{page}/test"), "").await;
    assert_eq!(refused.status.as_u16(), 409);
    assert!(refused.text().contains("switched off: switch it on first"), "{}", refused.text());
    server.post("/v1/passes", json!({"project": things.id("project"), "external_id": "missed"})).await.expect(201);
    let missed = browser.submit(&off, &format!("{page}/replay"), &[]).await;
    missed.expect(&["events were looked at", "are sent again", "Switch off"]);
    assert_eq!(server.get(&api).await.expect(200)["enabled"], true);

    let forms = missed.forms(&format!("{page}/replay"));
    let window = [("from", "2026-01-01T00:00"), ("to", "2020-01-01T00:00")];
    let refused = browser.send(forms.last().unwrap(), &window).await;
    refused.expect(&["lies before", "id=\"f-to-fault\"", "value=\"2026-01-01T00:00\""]);
    let window = [("from", "2020-01-01T00:00"), ("all", "true")];
    browser.send(forms.last().unwrap(), &window).await.expect(&["are sent again"]);

    let rotated = browser.submit(&missed, &format!("{page}/rotate"), &[("overlap_hours", "48")]).await;
    rotated.expect(&["whsec_", "it is shown this once"]);
    let shown = browser.see(&page).await;
    shown.expect(&["2 in force", "End the earlier secrets now"]);
    let ended = browser.submit(&shown, &format!("{page}/end-rotation"), &[]).await;
    ended.expect(&["1 in force"]);

    // A page that was opened before is about what was there then.
    for turn in ["disable", "delete"] {
        let stale = browser.submit(&saved, &format!("{page}/{turn}"), &[]).await;
        assert_eq!(stale.reply.status.as_u16(), 412, "{turn}");
        stale.expect(&["Changed meanwhile", "Switch off"]);
    }
    assert_eq!(server.get(&api).await.expect(200)["enabled"], true);
    let gone = browser.submit(&ended, &format!("{page}/delete"), &[]).await;
    assert_eq!(gone.path, "/console/webhooks");
    assert_eq!(server.get(&api).await.problem(404), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_s_form_is_its_connector_s_settings() {
    let server = Server::start().await;
    server.furnish().await;
    let browser = Browser::admin(&server).await;
    browser.see("/console/destinations/new").await.expect(&["HubSpot", "/console/destinations/new?kind=hubspot"]);
    let connectors = server.get("/v1/connectors").await.expect(200);
    for connector in connectors["data"].as_array().unwrap() {
        for (room, part, member) in [("webhooks", "webhook", "dialect"), ("destinations", "destination", "kind")] {
            if connector[part].is_null() {
                continue;
            }
            let page = browser.see(&format!("/console/{room}/new?{member}={}", connector["slug"].as_str().unwrap())).await;
            let form = page.form(&format!("/console/{room}/new"));
            for setting in connector[part]["settings"].as_array().unwrap() {
                let name = setting["name"].as_str().unwrap();
                let at = if setting["in_settings"] == true { format!("settings.{name}") } else { name.to_owned() };
                assert!(drawn(&page, &form, &at), "{}: {at}", connector["slug"]);
            }
        }
    }

    for (kind, absent) in [("kafka", true), ("nats", true), ("http-call", false)] {
        let page = browser.see(&format!("/console/destinations/new?kind={kind}")).await;
        page.expect(&["name=\"pace.per_second\"", "name=\"pace.timeout_seconds\"", "empty means 15."]);
        for part in ["pace.concurrency", "pace.in_order"] {
            assert_ne!(page.has(&format!("name=\"{part}\"")), absent, "{kind}: {part}");
        }
    }

    let page = browser.see("/console/destinations/new?kind=hubspot").await;
    page.expect(&["type=\"password\"", "Kept sealed, and not shown again."]);
    let typed = [("name", "CRM"), ("settings.access_token", "pat-hush"), ("settings.key", "email")];
    let made = browser.submit(&page, "/console/destinations/new", &typed).await;
    made.expect(&["CRM is made.", "kept sealed", "Compare all contacts now"]);
    assert!(!made.has("pat-hush"));
    let id = made.path.rsplit('/').next().unwrap().to_owned();
    let edit = browser.see(&format!("/console/destinations/{id}/edit")).await;
    edit.expect(&["One is kept: leave it empty to keep it."]);
    assert!(!edit.has("pat-hush"));
    browser
        .submit(&edit, &format!("/console/destinations/{id}/edit"), &[("settings.wallet_status_field", "card")])
        .await
        .expect(&["is changed."]);
    let catalog = server.store.current().await.unwrap();
    let stored =
        catalog.org(server.ours).unwrap().targets.values().find(|it| it.value.target.id.to_string() == id).unwrap().clone();
    assert_eq!(server.store.open_settings(server.ours, &stored.value).unwrap()["access_token"], "pat-hush", "kept");
    let edit = browser.see(&format!("/console/destinations/{id}/edit")).await;
    let wrong = browser.submit(&edit, &format!("/console/destinations/{id}/edit"), &[("settings.key", "shoe size")]).await;
    assert_eq!(wrong.reply.status.as_u16(), 422);
    wrong.expect(&["value=\"shoe size\"", "href=\"#f-settings.key\""]);
}

/// Whether a member of the API's body has a field, or several below it.
fn drawn(page: &Page, form: &crate::browser::Form, at: &str) -> bool {
    let below = format!("{at}.");
    form.values.iter().any(|(name, _)| name == at || name.starts_with(&below)) || page.has(&format!("name=\"{at}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn others_see_nothing_and_a_key_without_the_scope_is_told_so() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let stranger = Browser::with(&server, &server.stranger).await;
    for (room, id) in [("webhooks", things.id("webhook")), ("destinations", things.id("destination"))] {
        let list = stranger.see(&format!("/console/{room}")).await;
        assert!(!list.has(id), "{room}");
        for path in ["", "/edit"] {
            assert_eq!(stranger.open(&format!("/console/{room}/{id}{path}")).await.reply.status.as_u16(), 404);
        }
        for action in ["test", "enable", "replay", "delete"] {
            let reply = stranger.once("POST", &format!("/console/{room}/{id}/{action}"), "from=2026-01-01T00%3A00").await;
            assert_eq!(reply.status.as_u16(), 404, "{room} {action}");
        }
    }
    let scanner = Browser::scoped(&server, &[Scope::Scan]).await;
    let refused = scanner.open("/console/webhooks").await;
    assert_eq!(refused.reply.status.as_u16(), 403);
    refused.expect(&["Not allowed with this key", "config_read"]);
    let reader = Browser::scoped(&server, &[Scope::ConfigRead]).await;
    let shown = reader.see(&format!("/console/webhooks/{}", things.id("webhook"))).await;
    shown.expect(&["passes_read"]);
    let refused = reader.submit(&shown, &format!("/console/webhooks/{}/disable", things.id("webhook")), &[]).await;
    assert_eq!(refused.reply.status.as_u16(), 403);
    refused.expect(&["config_write"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_slower_is_told_and_overwrites_nothing_unknowingly() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    for (kind, thing) in [("webhooks", "webhook"), ("destinations", "destination")] {
        let page = format!("/console/{kind}/{}", things.id(thing));
        let edit = format!("{page}/edit");
        let (mine, theirs) = (browser.see(&edit).await, browser.see(&edit).await);
        browser.submit(&theirs, &edit, &[("name", "Theirs")]).await.expect(&["Theirs is changed."]);
        let refused = browser.submit(&mine, &edit, &[("name", "Mine")]).await;
        assert_eq!(refused.reply.status.as_u16(), 412, "{kind}");
        refused.expect(&["Somebody else changed this after you opened the form", "value=\"Mine\"", &format!("href=\"{page}\"")]);
        let held = async || server.get(&format!("/v1/{kind}/{}", things.id(thing))).await.expect(200)["name"].clone();
        assert_eq!(held().await, "Theirs");
        browser.submit(&refused, &edit, &[]).await.expect(&["Mine is changed."]);
        assert_eq!(held().await, "Mine");
    }
}
