//! A pass's events, newest first, each with what became of telling others.

use maud::{Markup, html};
use serde_json::Value;

use crate::console::{
    ask::{query, segment},
    deliveries::waits,
    events,
    frame::Desk,
    parts::{items, pager_from, text, time, toned},
};

/// What is known of telling others about a pass.
pub(super) struct Told<'a> {
    /// The tries, newest first.
    pub(super) attempts: &'a Value,
    /// What is not settled.
    pub(super) owed: &'a Value,
    /// Who is told, by name; null for a key that may not read that.
    pub(super) targets: &'a Value,
}

/// The events of a page, each with what became of telling others.
pub(super) fn timeline(desk: &Desk, pass: &str, found: &Value, told: &Told<'_>, cursor: &str) -> Markup {
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
                    (deliveries(desk, event, told))
                    (events::facts(event))
                }
            }
        }
        (pager_from(&events::pass_page(pass), &[], found, cursor))
    }
}

/// How much is owed about the pass, whichever page its events are on.
pub(super) fn owed_line(pass: &str, owed: &Value) -> Markup {
    let count = items(owed).count();
    let more = if owed["next_cursor"].is_null() { "" } else { "more than " };
    html! {
        @if count > 0 {
            p {
                (toned("busy", "owed")) " " a href=(query("/console/deliveries/owed", &[("pass", pass)])) {
                    (more) (count) @if count == 1 { " delivery waits" } @else { " deliveries wait" }
                }
            }
        }
    }
}

/// What became of an event at each target: what is owed still, else the newest try.
fn deliveries(desk: &Desk, event: &Value, told: &Told<'_>) -> Markup {
    let id = text(event, "/id");
    let of = |all| items(all).filter(|it| text(it, "/event") == id);
    let owed: Vec<&Value> = of(told.owed).collect();
    let mut tries: Vec<&Value> = Vec::new();
    for attempt in of(told.attempts) {
        if !owed.iter().chain(&tries).any(|known| known["webhook"] == attempt["webhook"]) {
            tries.push(attempt);
        }
    }
    let to = |it: &Value| {
        let target = text(it, "/webhook");
        html! { a href=(format!("/console/deliveries/{}/{}", segment(target), segment(id))) { (name(told.targets, target)) } }
    };
    html! {
        @if !owed.is_empty() || !tries.is_empty() {
            ul.told {
                @for it in owed {
                    li {
                        (to(it)) " " (toned("busy", "owed")) " "
                        span.soft { (waits(it)) "; next try " (time(desk, &it["due_at"])) }
                    }
                }
                @for attempt in tries {
                    @let outcome = text(attempt, "/outcome");
                    li {
                        (to(attempt)) " " (toned(tone(outcome), outcome))
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
