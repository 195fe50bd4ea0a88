//! Backfills, syncs and inspectors.

use serde_json::json;

use crate::{
    browser::Browser,
    server::{Server, Things},
};

#[tokio::test(flavor = "multi_thread")]
async fn backfills_are_begun_paused_and_set_to_a_schedule() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let (destination, backfill) = (things.id("destination"), things.id("backfill"));
    let page = browser.see("/console/backfills").await;
    page.expect(&["Members", "running", "Compare now", "Only when somebody asks for it."]);
    let refused = browser.submit(&page, "/console/backfills/begin", &[("destination", destination)]).await;
    assert_eq!(refused.reply.status.as_u16(), 409);
    refused.expect(&[backfill, "wait until it is done, or cancel it"]);
    let at = format!("/console/backfills/{backfill}");
    let paused = browser.submit(&page, &format!("{at}/pause"), &[]).await;
    paused.expect(&["It is paused.", "Go on"]);
    let running = browser.submit(&paused, &format!("{at}/resume"), &[]).await;
    running.expect(&["It goes on.", "Pause"]);
    browser.submit(&running, &format!("{at}/cancel"), &[]).await.expect(&["It is cancelled.", "cancelled"]);
    let page = browser.see("/console/backfills").await;
    let begun = browser.submit(&page, "/console/backfills/begin", &[("everything", "true")]).await;
    begun.expect(&["The comparison is under way.", "yes"]);
    let set = browser.submit(&page, "/console/backfills/schedule", &[("backfill_every_hours", "24")]).await;
    set.expect(&["The schedule of Members is set.", "value=\"24\""]);
    let api = format!("/v1/destinations/{destination}");
    let held = server.get(&api).await.expect(200);
    assert_eq!((&held["backfill_every_hours"], &held["settings"]["access_token"]), (&json!(24), &json!(null)));
    let refused = browser.submit(&set, "/console/backfills/schedule", &[("backfill_every_hours", "99999")]).await;
    assert_eq!(refused.reply.status.as_u16(), 422);
    refused.expect(&["expected 1 to 8760", "value=\"99999\""]);
    let none = browser.submit(&set, "/console/backfills/schedule", &[("backfill_every_hours", "")]).await;
    none.expect(&["Only when somebody asks for it."]);
    let stranger = Browser::with(&server, &server.stranger).await;
    assert!(!stranger.see("/console/backfills").await.has("Members"));
    assert_eq!(stranger.open(&at).await.reply.status.as_u16(), 404);
    assert_eq!(stranger.once("POST", &format!("{at}/cancel"), "").await.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_are_run_paused_and_set_to_a_schedule() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let made = server.post("/v1/syncs", Things::sync("people<i>", things.id("project"))).await;
    assert_eq!(made.problem(422), "invalid", "a slug has no such letters");
    let mut wanted = Things::sync("people", things.id("project"));
    (wanted["name"], wanted["query"]) = (json!("<b>People</b>"), json!("SELECT '<script>' AS external_id"));
    wanted["incremental"] = json!({"column": "updated_at"});
    let made = server.post("/v1/syncs", wanted).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let (page, api) = (format!("/console/syncs/{id}"), format!("/v1/syncs/{id}"));
    let list = browser.see("/console/syncs").await;
    list.expect(&["&lt;b&gt;People", "never", "when somebody says so", "warehouse.example.com"]);
    let shown = browser.see(&page).await;
    shown.expect(&["&lt;script&gt;", "updated_at", "It never ran."]);
    assert!(!shown.has("<b>People") && !shown.has("of nobody"));

    let every = [("kind", "every"), ("schedule.every_minutes", "60")];
    let set = browser.submit(&shown, &format!("{page}/schedule"), &every).await;
    set.expect(&["Its schedule is set.", "every 60 min", "Pause the schedule"]);
    let paused = browser.submit(&set, &format!("{page}/pause"), &[]).await;
    paused.expect(&["Its schedule is paused.", "Resume the schedule"]);
    assert_eq!(server.get(&api).await.expect(200)["enabled"], false);
    let resumed = browser.submit(&paused, &format!("{page}/resume"), &[]).await;
    resumed.expect(&["Its schedule goes on."]);
    // A page that was opened before is about what was there then.
    for (turn, fields) in [("pause", &[] as &[(&str, &str)]), ("schedule", &every)] {
        let stale = browser.submit(&set, &format!("{page}/{turn}"), fields).await;
        assert_eq!(stale.reply.status.as_u16(), 412, "{turn}");
        stale.expect(&["Changed meanwhile", "Pause the schedule"]);
    }
    let cron = [("kind", "cron"), ("schedule.cron", "61 3 * * *"), ("schedule.zone", "Europe/Berlin")];
    let refused = browser.submit(&resumed, &format!("{page}/schedule"), &cron).await;
    assert_eq!(refused.reply.status.as_u16(), 422);
    refused.expect(&["61 3 * * *", "role=\"alert\""]);
    let cron = [("kind", "cron"), ("schedule.cron", "0 3 * * *"), ("schedule.zone", "Europe/Berlin")];
    browser.submit(&refused, &format!("{page}/schedule"), &cron).await.expect(&["0 3 * * *", "Europe/Berlin"]);
    let expected = json!({"cron": "0 3 * * *", "zone": "Europe/Berlin"});
    assert_eq!(server.get(&api).await.expect(200)["schedule"], expected);

    let run = browser.submit(&set, &format!("{page}/run"), &[("full", "true")]).await;
    run.expect(&["It runs.", "reading", "Pause"]);
    let twice = browser.submit(&set, &format!("{page}/run"), &[]).await;
    assert_eq!(twice.reply.status.as_u16(), 409);
    let batch = server.get(&format!("{api}/runs")).await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    let cancelled = browser.submit(&run, &format!("{page}/runs/{batch}/cancel"), &[]).await;
    cancelled.expect(&["The run is cancelled.", "cancelled"]);

    let stranger = Browser::with(&server, &server.stranger).await;
    assert!(!stranger.see("/console/syncs").await.has(id));
    assert_eq!(stranger.open(&page).await.reply.status.as_u16(), 404);
    assert_eq!(stranger.once("POST", &format!("{page}/run"), "").await.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_is_made_changed_and_deleted_by_its_form() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let new = "/console/syncs/new";
    let page = browser.see("/console/syncs").await;
    page.expect(&["href=\"/console/syncs/new\""]);
    let form = browser.see(new).await.form(new);
    let given = [
        ("slug", "people"),
        ("name", "<b>People</b>"),
        ("database.url", "postgresql://warehouse.example.com/analytics"),
        ("database.user", "reader"),
        ("database.password", " of nobody "),
        ("query", "SELECT member_no, tier FROM members"),
        ("batch.map.external_id", "$.member_no"),
        ("batch.map.fields.tier", "$.tier"),
        ("incremental.column", "updated_at"),
        ("removed.action", "revoke"),
        ("kind", "cron"),
        ("schedule.cron", "0 3 * * *"),
        ("do", "save"),
    ];
    let faults = [
        ("slug", "No Slug", "f-slug-fault"),
        ("database.url", "https://warehouse.example.com", "f-database.url-fault"),
        ("database.password", "", "f-database.password-fault"),
        ("query", "", "f-query-fault"),
        ("batch.map.variant", "nope", "f-batch.map.variant"),
        ("removed.at_most_percent", "101", "f-removed.at_most_percent-fault"),
        ("incremental.overlap_seconds", "soon", "f-incremental.overlap_seconds-fault"),
        ("schedule.cron", "61 3 * * *", "61 3 * * *"),
    ];
    for (field, wrong, says) in faults {
        let refused = browser.send(&form, &[given.as_slice(), &[(field, wrong)]].concat()).await;
        assert_eq!(refused.reply.status.as_u16(), 422, "{field}: {}", refused.text());
        refused.expect(&["role=\"alert\"", says, "&lt;b&gt;People", "value=\"$.member_no\""]);
        assert!(!refused.has("of nobody"));
    }
    let made = browser.send(&form, &given).await;
    made.expect(&["The sync is made.", "&lt;b&gt;People", "0 3 * * *", "updated_at", "revoke"]);
    let again = browser.send(&form, &given).await;
    assert_eq!(again.path, made.path, "one form makes one sync");
    let api = made.path.replace("/console", "/v1");
    let it = server.get(&api).await.expect(200);
    let map = json!({"external_id": "$.member_no", "fields": {"tier": "$.tier"}});
    assert_eq!((&it["batch"]["map"], &it["batch"]["project"]), (&map, &json!(things.id("project"))));
    assert_eq!(it["incremental"], json!({"column": "updated_at", "overlap_seconds": 300}));
    assert_eq!(it["removed"], json!({"action": "revoke", "at_most_percent": 10}));
    assert_eq!(it["database"]["tls"], "verify");

    let edit = format!("{}/edit", made.path);
    let (mine, theirs) = (browser.see(&edit).await, browser.see(&edit).await);
    browser.submit(&theirs, &edit, &[("do", "save")]).await.expect(&["The sync is changed."]);
    assert_eq!(server.get(&api).await.expect(200), it, "what is shown is what is sent again");
    let refused = browser.submit(&mine, &edit, &[("name", "Mine"), ("do", "save")]).await;
    assert_eq!(refused.reply.status.as_u16(), 412);
    refused.expect(&["Somebody else changed this after you opened the form", "value=\"Mine\""]);
    let saved = browser.submit(&refused, &edit, &[("database.tls", "off"), ("do", "save")]).await;
    saved.expect(&["The sync is changed.", "Mine"]);
    assert_eq!(server.get(&api).await.expect(200)["database"]["tls"], "off");

    let stranger = Browser::with(&server, &server.stranger).await;
    assert_eq!(stranger.open(&edit).await.reply.status.as_u16(), 404);
    assert_eq!(stranger.once("POST", &edit, "do=save&name=x").await.status.as_u16(), 404);
    let gone = browser.submit(&saved, &format!("{}/delete", made.path), &[]).await;
    gone.expect(&["The sync is deleted."]);
    assert_eq!(server.get(&api).await.problem(404), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn inspectors_are_made_and_their_key_is_shown_once() {
    let server = Server::start().await;
    let browser = Browser::admin(&server).await;
    let page = browser.see("/console/inspectors").await;
    page.expect(&["No inspector yet.", "value=\"168\""]);
    let refused = browser.submit(&page, "/console/inspectors", &[("name", "Bin"), ("expires_in_hours", "0")]).await;
    assert_eq!(refused.reply.status.as_u16(), 422);
    refused.expect(&["expected 1 to 8760", "value=\"Bin\""]);
    let made = browser.submit(&page, "/console/inspectors", &[("name", "<i>Bin</i>")]).await;
    made.expect(&["&lt;i&gt;Bin", "/inspect/"]);
    assert!(!made.has("<i>Bin"));
    let keyed = browser.submit(&made, "/console/inspectors", &[("name", "Secret bin"), ("keyed", "true")]).await;
    keyed.expect(&["it is shown this once", "?key=pbv_"]);
    let list = browser.see("/console/inspectors").await;
    list.expect(&["Secret bin", "by key"]);
    assert!(!list.has("pbv_"));
    let id = server.get("/v1/inspectors").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    browser.submit(&list, &format!("/console/inspectors/{id}/delete"), &[]).await.expect(&["It is deleted."]);
    assert_eq!(server.get("/v1/inspectors").await.expect(200)["data"].as_array().unwrap().len(), 1);
    let stranger = Browser::with(&server, &server.stranger).await;
    assert!(!stranger.see("/console/inspectors").await.has("Secret bin"));
}
