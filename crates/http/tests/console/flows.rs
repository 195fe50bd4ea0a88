//! A flow made, tried, changed and brought back, as somebody without scripts does it.

use domain::Scope;
use serde_json::json;

use crate::{browser::Browser, server::Server};

const NEW: &str = "/console/flows/new";

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_made_by_its_form_and_tried_on_a_stored_event() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let page = browser.see(NEW).await;
    // The newest event is the sample.
    page.expect(&["data-path=\"$.userId\"", "track signed_up"]);
    let given = [("slug", "welcome"), ("when.event", "signed_up"), ("when.condition", "userId = \"u-1\"")];
    let guessed = browser.send(&page.form(NEW), &[given.as_slice(), &[("do", "guess-0")]].concat()).await;
    guessed.expect(&["name=\"steps[0].contact.external_id\" value=\"$.userId\"", "value=\"welcome\"", "→ u-1"]);

    let more = [("steps[0].fields.tier", "gold"), ("steps[0].balances.points", "$.nothing"), ("do", "try")];
    let tried = browser.send(&guessed.form(NEW), &more).await;
    tried.expect(&["What it would do", "chip good\">matched", "nothing at nothing", "chip bad\">failed"]);
    let tried = browser.send(&tried.form(NEW), &[("steps[0].balances.points", "5"), ("do", "try")]).await;
    tried.expect(&["chip quiet\">command", "&quot;tier&quot;: &quot;gold&quot;"]);

    let longer = browser.send(&tried.form(NEW), &[("do", "add")]).await;
    longer.expect(&["name=\"steps[1].id\"", "value=\"step-2\"", "name=\"steps[0].fields.tier\" value=\"gold\""]);
    let refused =
        browser.send(&longer.form(NEW), &[("steps[1].id", "step-1"), ("when.condition", "userId = ("), ("do", "save")]).await;
    assert_eq!(refused.reply.status.as_u16(), 422);
    refused.expect(&["id=\"f-when.condition-fault\"", "id=\"f-steps[1].id-fault\"", "is called `step-1` already"]);
    let shorter = browser.send(&refused.form(NEW), &[("when.condition", ""), ("do", "remove-1")]).await;
    assert!(!shorter.has("steps[1]"));

    let page = browser.send(&shorter.form(NEW), &[("do", "save")]).await;
    page.expect(&["The flow is saved.", "welcome", "signed_up"]);
    let flow = page.path.rsplit('/').next().unwrap().to_owned();
    let view = server.get(&format!("/v1/flows/{flow}")).await.expect(200);
    assert_eq!(
        view["document"]["steps"],
        json!([{"id": "step-1", "action": "issue", "contact": {"external_id": "$.userId"},
            "fields": {"tier": "gold"}, "balances": {"points": "5"}}])
    );
    assert_eq!(
        (&view["document"]["project"], &view["document"]["when"]),
        (&json!(things.id("project")), &json!({"event": "signed_up"}))
    );
    // Sent once more, it makes nothing more.
    let again = browser.send(&shorter.form(NEW), &[("do", "save")]).await;
    assert_eq!(again.path, page.path);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_changed_drafted_disabled_and_brought_back() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let path = format!("/console/flows/{}", things.id("flow"));
    let edit = format!("{path}/edit");
    let document = async || server.get(&format!("/v1/flows/{}", things.id("flow"))).await.expect(200);
    let form = browser.see(&edit).await.form(&edit);
    let page = browser.send(&form, &[("name", "<script>alert(1)</script>"), ("do", "draft")]).await;
    page.expect(&["There is a draft", "What runs is as it was."]);
    assert!(document().await["document"]["name"].is_null());
    let worked = browser.see(&format!("{edit}?draft=true")).await;
    worked.expect(&["&lt;script&gt;alert(1)"]);
    assert!(!worked.has("<script>alert"));
    let page = browser.submit(&page, &format!("{path}/publish"), &[]).await;
    page.expect(&["The draft runs.", "&lt;script&gt;alert(1)"]);
    assert!(!page.has("<script>alert"));
    let page = browser.submit(&page, &format!("{path}/disable"), &[]).await;
    page.expect(&["Enable"]);
    assert_eq!(document().await["document"]["enabled"], false);
    let page = browser.submit(&page, &format!("{path}/enable"), &[]).await;
    let versions = server.get(&format!("/v1/flows/{}/versions", things.id("flow"))).await.expect(200);
    let first = versions["data"].as_array().unwrap().last().unwrap()["version"].to_string();
    page.expect(&[&format!("{path}/versions/{first}")]);
    let version = browser.see(&format!("{path}/versions/{first}")).await;
    let page = browser.submit(&version, &format!("{path}/restore-{first}"), &[]).await;
    page.expect(&["The earlier version runs again."]);
    assert!(document().await["document"]["name"].is_null());

    let yaml = "slug: sign-up\nproject: club\nwhen: {event: signed_up}\nsteps:\n  - id: card\n    action: isue\n";
    let forms = browser.see(&edit).await.forms(&edit);
    let refused = browser.send(&forms[1], &[("document", yaml), ("do", "text")]).await;
    assert_eq!(refused.reply.status.as_u16(), 422);
    refused.expect(&["line 6", "action: isue"]);
    let mended = yaml.replace("isue", "issue").replace("event: signed_up", "type: track");
    let page = browser.send(&refused.forms(&edit)[1], &[("document", &mended), ("do", "text")]).await;
    page.expect(&["The flow is saved."]);
    assert_eq!(document().await["document"]["when"], json!({"type": "track"}));

    let list = browser.see("/console/flows").await;
    list.expect(&["sign-up", "chip good\">enabled", "Club"]);
    let page = browser.submit(&page, &format!("{path}/delete"), &[]).await;
    assert_eq!(page.path, "/console/flows");
    assert!(!page.has("sign-up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_begins_with_a_preset() {
    let server = Server::start().await;
    server.furnish().await;
    let browser = Browser::admin(&server).await;
    let page = browser.see(NEW).await;
    page.expect(&["Begin with a preset", "preset=segment%2Fsigned-up-issues-a-pass"]);
    for preset in ["segment/signed-up-issues-a-pass", "stripe/checkout-issues-a-pass"] {
        let page = browser.see(&format!("{NEW}?preset={preset}")).await;
        page.expect(&["name=\"steps[0].action\"", "value=\"issue\" selected"]);
    }
    assert_eq!(browser.open(&format!("{NEW}?preset=no/such")).await.reply.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_replayed_from_a_point_in_time() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let path = format!("/console/flows/{}", things.id("flow"));
    let page = browser.see(&path).await;
    let replay = format!("{path}/replay");
    let wrong = browser.submit(&page, &replay, &[("since", "yesterday")]).await;
    assert_eq!(wrong.reply.status.as_u16(), 422);
    wrong.expect(&["value=\"yesterday\"", "f-since-fault"]);
    let done = browser.submit(&page, &replay, &[("since", "2020-01-01T00:00:00Z")]).await;
    done.expect(&["events are being handled again."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_are_those_of_ones_own_and_of_ones_scopes() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let path = format!("/console/flows/{}", things.id("flow"));
    let stranger = Browser::with(&server, &server.stranger).await;
    for more in ["", "/edit", "/versions/1"] {
        assert_eq!(stranger.open(&format!("{path}{more}")).await.reply.status.as_u16(), 404, "{more}");
    }
    for turn in ["disable", "delete", "publish", "replay"] {
        assert_eq!(
            stranger.once("POST", &format!("{path}/{turn}"), "since=2020-01-01T00:00:00Z").await.status.as_u16(),
            404,
            "{turn}"
        );
    }
    assert!(!stranger.see("/console/flows").await.has(things.id("flow")));
    let reader = Browser::scoped(&server, &[Scope::ConfigRead]).await;
    reader.see(&format!("{path}/edit")).await;
    let refused = reader.once("POST", &format!("{path}/disable"), "").await;
    assert_eq!(refused.status.as_u16(), 403);
    assert!(refused.text().contains("config_write"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_slower_is_told_and_overwrites_nothing_unknowingly() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let path = format!("/console/flows/{}", things.id("flow"));
    let edit = format!("{path}/edit");
    let name = async || server.get(&format!("/v1/flows/{}", things.id("flow"))).await.expect(200)["document"]["name"].clone();
    let (mine, page) = (browser.see(&edit).await, browser.see(&path).await);
    let theirs = browser.see(&edit).await.form(&edit);
    browser.send(&theirs, &[("name", "Theirs"), ("do", "save")]).await.expect(&["The flow is saved"]);

    for turn in ["save", "draft"] {
        let refused = browser.send(&mine.form(&edit), &[("name", "Mine"), ("do", turn)]).await;
        assert_eq!(refused.reply.status.as_u16(), 412, "{turn}");
        let see = format!("href=\"{path}\" target=\"_blank\"");
        refused.expect(&["Somebody else changed this after you opened the form", "value=\"Mine\"", &see]);
    }
    let yaml = "slug: sign-up\nname: Mine\nproject: club\nwhen: {event: signed_up}\nsteps: [{id: card, action: issue}]\n";
    let refused = browser.send(&mine.forms(&edit)[1], &[("document", yaml), ("do", "text")]).await;
    assert_eq!(refused.reply.status.as_u16(), 412);
    refused.expect(&["Somebody else changed this", "name: Mine"]);
    let stale = browser.submit(&page, &format!("{path}/delete"), &[]).await;
    assert_eq!(stale.reply.status.as_u16(), 412);
    stale.expect(&["Changed meanwhile"]);
    assert_eq!(name().await, "Theirs");
    // Sent again after that, it is meant.
    browser.send(&refused.forms(&edit)[1], &[("do", "text")]).await.expect(&["The flow is saved."]);
    assert_eq!(name().await, "Mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_shown_as_the_flow_sees_it() {
    let server = Server::start().await;
    let things = server.furnish().await;
    // What `metadata` knows of an event it finds by its message id.
    let event = domain::SourceEvent {
        dedupe_key: "m-2".to_owned(),
        order_key: "u-1".to_owned(),
        name: "track signed_up".to_owned(),
        occurred_at: None,
        payload: json!({"event": "signed_up", "userId": "u-1", "messageId": "m-2"}).to_string(),
    };
    let (source, received_at) = (things.id("source").parse().unwrap(), server.app.now());
    let arrival = store::Arrival { org: server.ours, source, received_at, event, fault: None };
    let sample = server.store.accept(vec![arrival]).await.unwrap()[0].0.to_string();
    let browser = Browser::admin(&server).await;
    let code = |code: &str| json!({"slug": "neat", "name": "Neat", "code": code});
    let body = "export function transformEvent(event, metadata) {
        return { ...event, who: { name: event.userId, from: metadata(event).sourceName } };
    }";
    let neat = server.post("/v1/transformations", code(body)).await.expect(201);
    let path = format!("/v1/transformations/{}", neat["id"].as_str().unwrap());
    let form = browser.see(NEW).await.form(NEW);
    let through =
        [("sample", sample.as_str()), ("transformation", "neat"), ("steps[0].fields.tier", "$.who.name"), ("do", "show")];
    let shown = browser.send(&form, &through).await;
    shown.expect(&["data-path=\"$.who.name\"", "→ u-1", "data-path=\"$.who.from\"", "<span>Shop</span>"]);
    assert!(!browser.send(&form, &[("do", "show")]).await.has("$.who.name"));

    let change = async |body: &str| {
        server.call(&server.admin, "PUT", &path, &code(body)).await.expect(200);
        browser.send(&form, &through).await
    };
    let two = change("export const transformEvent = (event) => [{ ...event, part: 1 }, event];").await;
    two.expect(&["It makes 2 events of it", "data-path=\"$.part\""]);
    let dropped = change("export const transformEvent = () => null;").await;
    dropped.expect(&["It drops this event", "There is no sample to choose from."]);
    let failed = change("export const transformEvent = (event) => event.no.such;").await;
    failed.expect(&["It fails on this event, transformation:1:"]);
    let missing = browser.send(&form, &[("transformation", "nope"), ("do", "show")]).await;
    missing.expect(&["there is no transformation `nope`", "data-path=\"$.userId\""]);
}
