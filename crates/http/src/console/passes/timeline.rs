//! A pass's events, newest first, each with what became of telling others.

use maud::{Markup, html};
use serde_json::Value;

use crate::console::{
    ask::{query, segment},
    events,
    frame::Desk,
    parts::{items, pager_from, text, time, toned},
};

/// The events of a page, with the deliveries of each among `attempts`, whose targets are named by `targets`.
pub(super) fn timeline(desk: &Desk, pass: &str, found: &Value, attempts: &Value, targets: &Value, cursor: &str) -> Markup {
    html! {
        @if items(found).next().is_none() { p.empty { "Nothing has happened to it yet." } }
        ol.timeline {
            @for event in items(found) {
                li id=(text(event, "/id")) {
                    p {
                        (events::kind(text(event, "/type"))) " " (time(desk, &event["occurred_at"])) " "
                        span.soft { "by " (events::cause(event)) }
                    }
                    @if !events::says(event).is_empty() { p { (events::says(event)) } }
                    (deliveries(event, attempts, targets))
                    (events::facts(event))
                }
            }
        }
        (pager_from(&events::pass_page(pass), &[], found, cursor))
    }
}

/// What became of an event at each target: the newest try counts.
fn deliveries(event: &Value, attempts: &Value, targets: &Value) -> Markup {
    let id = text(event, "/id");
    let mut tries: Vec<&Value> = Vec::new();
    for attempt in items(attempts).filter(|attempt| text(attempt, "/event") == id) {
        if !tries.iter().any(|known| known["webhook"] == attempt["webhook"]) {
            tries.push(attempt);
        }
    }
    html! {
        @if !tries.is_empty() {
            ul.told {
                @for attempt in tries {
                    @let (target, outcome) = (text(attempt, "/webhook"), text(attempt, "/outcome"));
                    li {
                        a href=(format!("/console/deliveries/{}/{}", segment(target), segment(id))) { (name(targets, target)) } " "
                        (toned(tone(outcome), outcome))
                        @if let Some(error) = attempt["error"].as_str().filter(|_| outcome != "delivered") { " " span.soft { (error) } }
                    }
                }
            }
        }
    }
}

fn tone(outcome: &str) -> &'static str {
    match outcome {
        "delivered" => "good",
        "retrying" => "warn",
        _ => "bad",
    }
}

fn name(targets: &Value, id: &str) -> String {
    let found = items(targets).find(|target| text(target, "/id") == id);
    found.map_or_else(|| id.to_owned(), |target| text(target, "/name").to_owned())
}

/// All deliveries of a pass's events.
pub(super) fn all_deliveries(pass: &str) -> String {
    query("/console/deliveries", &[("pass", pass)])
}
