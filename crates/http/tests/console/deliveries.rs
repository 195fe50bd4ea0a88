//! The log of deliveries, one delivery with every try, and what is owed.

use serde_json::{Value, json};

use crate::{browser::Browser, server::Server};

fn detail(body: &str) -> Value {
    json!({
        "request": {"method": "POST", "url": "https://hooks.example.com/passes", "headers": {"content-type": "application/json", "authorization": "(kept secret)"}, "body": body},
        "reply": {"status": 503, "headers": {"retry-after": "9"}, "body": "<b>busy</b>"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_says_why_and_is_sent_again_by_one_click() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let (webhook, event) = (things.id("webhook"), things.id("event"));
    let error = Some("the receiver answered 503");
    server.tried(webhook, event, (1, 2, Some(503), error), &detail("{\"a\":\"<script>x</script>\"}")).await;
    server.forward(std::time::Duration::from_secs(5));
    server.tried(webhook, event, (2, 3, Some(503), error), &detail("no json <script>")).await;
    let kind = server.get(&format!("/v1/events/{event}")).await.expect(200)["type"].as_str().unwrap().to_owned();

    let log = browser.see("/console/deliveries").await;
    let page = format!("/console/deliveries/{webhook}/{event}");
    log.expect(&[&page, "the receiver answered 503", &kind, "Hook"]);
    let form = log.form("/console/deliveries");
    assert_eq!(form.method, "get");
    for (filter, found) in [
        (("webhook", webhook), true),
        (("type", kind.as_str()), true),
        (("type", "pass.deleted"), false),
        (("outcome", "failed"), true),
        (("outcome", "delivered"), false),
        (("status", "503"), true),
        (("status", "200"), false),
        (("event", event), true),
        (("since", "2000-01-01T00:00"), true),
        (("until", "2000-01-01T00:00"), false),
    ] {
        let found_here = browser.send(&form, &[filter]).await;
        assert_eq!((found_here.reply.status.as_u16(), found_here.has(&page)), (200, found), "{filter:?}");
        found_here.expect(&[filter.1]);
    }
    let wrong = browser.send(&form, &[("pass", "no id <i>")]).await;
    assert_eq!(wrong.reply.status.as_u16(), 400);
    wrong.expect(&["no id &lt;i&gt;", "aria-invalid=\"true\""]);

    let shown = browser.see(&page).await;
    shown.expect(&[
        "Try 2",
        "Try 1",
        "retry-after: 9",
        "&lt;b&gt;busy&lt;/b&gt;",
        "(kept secret)",
        "https://hooks.example.com/passes",
    ]);
    shown.expect(&["&lt;script&gt;x&lt;/script&gt;", "the receiver answered 503", "Tried again"]);
    assert!(!shown.has("<script>x") && !shown.has("<b>busy"));
    let of_event = format!("/console/deliveries?event={event}");
    shown.expect(&[&of_event]);
    let form = shown.form("/console/deliveries");
    let again = browser.send(&form, &[]).await;
    assert_eq!(again.path, page);
    again.expect(&["It is on its way once more.", "owed"]);
    browser.send(&form, &[]).await.expect(&["owed"]);
    let owed = browser.see("/console/deliveries/owed").await;
    owed.expect(&[&page, "Hook"]);
    let other = things.id("destination");
    assert!(!browser.see(&format!("/console/deliveries/owed?webhook={other}")).await.has(&page));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_has_pages_that_keep_what_was_searched_for() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let browser = Browser::admin(&server).await;
    let (webhook, event) = (things.id("webhook"), things.id("event"));
    for number in 1..=60 {
        server.tried(webhook, event, (number, 2, Some(503), None), &detail("{}")).await;
        server.forward(std::time::Duration::from_secs(1));
    }
    let first = browser.see(&format!("/console/deliveries?webhook={webhook}&outcome=retrying")).await;
    let text = first.text();
    let (_, rest) = text.split_once("rel=\"next\" href=\"").unwrap();
    let next = rest.split_once('"').unwrap().0.replace("&amp;", "&");
    assert!(next.contains("outcome=retrying") && next.contains("cursor="), "{next}");
    let second = browser.see(&next).await;
    second.expect(&["First page", "selected"]);
    assert!(!second.has("rel=\"next\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn others_deliveries_are_nowhere() {
    let server = Server::start().await;
    let things = server.furnish().await;
    let (webhook, event) = (things.id("webhook"), things.id("event"));
    server.tried(webhook, event, (1, 3, Some(500), Some("secret reason")), &detail("{}")).await;
    let stranger = Browser::with(&server, &server.stranger).await;
    assert!(!stranger.see("/console/deliveries").await.has(event));
    let page = format!("/console/deliveries/{webhook}/{event}");
    assert_eq!(stranger.open(&page).await.reply.status.as_u16(), 404);
    let reply = stranger.once("POST", "/console/deliveries", &format!("webhook={webhook}&event={event}")).await;
    assert_eq!(reply.status.as_u16(), 404);
    let browser = Browser::admin(&server).await;
    for nowhere in ["/console/deliveries/x/y", &format!("/console/deliveries/{event}/{event}")] {
        assert_eq!(browser.open(nowhere).await.reply.status.as_u16(), 404, "{nowhere}");
    }
}
