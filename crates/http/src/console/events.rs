//! Events as people read them: what happened, why, and what it says. Used wherever events are shown; and the live tail.

use std::sync::Arc;

use axum::{Router, extract::Query, response::Response, routing::get};
use domain::EventKind;
use http::HeaderMap;
use maud::{Markup, html};
use serde_json::Value;

use super::{
    ask::{Fault, query, segment},
    form::Sheet,
    frame::Desk,
    parts::{json, plain, short_id, text, time},
};
use crate::App;

/// Where a stream goes on, as browsers say it by themselves.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/events/stream", get(stream))
}

/// The live tail, passed through.
async fn stream(desk: Desk, Query(pairs): Query<Vec<(String, String)>>, headers: HeaderMap) -> Result<Response, Fault> {
    let mut wanted = HeaderMap::new();
    if let Some(last) = headers.get(LAST_EVENT_ID) {
        wanted.insert(LAST_EVENT_ID, last.clone());
    }
    let sheet = Sheet::of(pairs);
    let asked = ["cursor", "for_seconds"].map(|name| (name, sheet.value(name)));
    desk.ask.download(&query("/v1/events/stream", &asked), wanted).await
}

/// The page of a pass.
pub(super) fn pass_page(id: &str) -> String {
    format!("/console/passes/{}", segment(id))
}

/// The page of a source event.
pub(super) fn source_event_page(id: &str) -> String {
    format!("/console/source-events/{}", segment(id))
}

/// An event's type as a chip, spelt as webhooks and filters have it.
pub(super) fn kind(kind: &str) -> Markup {
    html! { span class={ "chip " (tone(kind)) } { (kind) } }
}

fn tone(kind: &str) -> &'static str {
    match kind {
        "pass.created" | "pass.installed" | "pass.activated" | "message.delivered" => "good",
        "pass.revoked" | "pass.deleted" | "pass.scan_refused" | "scan.unknown" | "message.failed" | "webhook.disabled" => "bad",
        "pass.uninstalled"
        | "pass.expired"
        | "pass.message_dropped"
        | "message.unknown"
        | "webhook.failing"
        | "signer.expiring" => "warn",
        "pass.updated" | "pass.scanned" | "pass.notified" | "message.requested" | "message.sent" => "busy",
        _ => "quiet",
    }
}

/// Who or what led to an event, with the way there.
pub(super) fn cause(event: &Value) -> Markup {
    let id = text(event, "/cause/id");
    html! {
        @match text(event, "/cause/type") {
            "source_event" => { "source event " (short_id(id, &source_event_page(id))) ", step " code { (text(event, "/cause/step")) } }
            "batch" => {
                "batch " (short_id(id, &format!("/console/batches/{}", segment(id))))
                @if let Some(row) = event["cause"]["row"].as_u64().filter(|row| *row > 0) { ", row " (row) }
            }
            "request" => { "a request" @if text(event, "/actor/type") == "key" { " with the key " code { (text(event, "/actor/id")) } } }
            "page" => { "a page" }
            "wallet" => { "the wallet" }
            "schedule" => { "its time" }
            _ => { @if event["erased"] == true { "its person was erased" } @else { "–" } }
        }
    }
}

/// What an event says in a line: the facts that people look for.
pub(super) fn says(event: &Value) -> String {
    let facts = &event["facts"];
    let listed = |value: &Value| value.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>().join(", ");
    let signed = |value: &Value| {
        let changes = value.as_object().into_iter().flatten();
        changes.map(|(name, by)| format!("{name} {}", plus(&plain(by)))).collect::<Vec<_>>().join(", ")
    };
    let mut said: Vec<String> = Vec::new();
    for name in ["wallet", "text", "reason", "detail", "refused", "previous_variant", "channel", "to"] {
        let of_message = match name {
            "channel" | "to" => true,
            "text" => text(event, "/type").starts_with("pass."),
            _ => false,
        };
        let value = if of_message { facts["message"].get(name) } else { facts.get(name) };
        said.extend(value.filter(|value| !value.is_null() && !value.is_object()).map(plain));
    }
    said.push(listed(&facts["changed"]));
    said.push(signed(&facts["balance_changes"]));
    said.retain(|words| !words.is_empty());
    said.join(" · ")
}

fn plus(amount: &str) -> String {
    if amount.starts_with('-') { amount.to_owned() } else { format!("+{amount}") }
}

/// One event of a list of the whole organization: for the page, and for the script that adds newer ones.
fn line(desk: &Desk, event: &Value) -> Markup {
    let pass = text(event, "/pass");
    html! {
        li {
            (time(desk, &event["occurred_at"])) " " (kind(text(event, "/type"))) " "
            @if !pass.is_empty() { (short_id(pass, &pass_page(pass))) " " }
            span.soft { (says(event)) }
        }
    }
}

/// The newest events, to which a script adds those that come.
pub(super) fn tail(desk: &Desk, newest: &[&Value]) -> Markup {
    let named = |kind: EventKind| format!("{}={}", kind.name(), tone(kind.name()));
    let kinds = EventKind::all().map(named).collect::<Vec<_>>().join(" ");
    html! {
        ol.tail #tail data-stream="/console/events/stream" data-types=(kinds) aria-label="Events, newest first" {
            @for event in newest { (line(desk, event)) }
        }
        @if newest.is_empty() { p.empty #tail-empty { "Nothing has happened yet." } }
        p.soft #tail-state aria-live="polite" {}
    }
}

/// The facts of an event, folded.
pub(super) fn facts(event: &Value) -> Markup {
    let some = event["facts"].as_object().is_some_and(|facts| !facts.is_empty());
    html! { @if some { details { summary.soft { "Facts" } (json(&event["facts"])) } } }
}
