//! One of them: how it fares, what is set, and what can be done.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::{Room, again, connector, fares, form::takes, list};
use crate::console::{
    ask::{Fault, query, segment},
    deliveries,
    form::{Field, Kind, Sheet, once, version},
    frame::{Desk, heading},
    parts::{considered, facts, id as shown_id, plain, text, time},
};

/// Attempts that are shown with it.
const ATTEMPTS: &str = "10";
/// Members that have a place of their own on the page, or are on no page.
const ELSEWHERE: [&str; 13] = [
    "id",
    "name",
    "url",
    "settings",
    "enabled",
    "disabled_reason",
    "missed_since",
    "secrets",
    "earlier_secrets_end_at",
    "public_key",
    "created_at",
    "dialect",
    "kind",
];

pub(super) async fn page(room: Room, desk: Desk, id: String) -> Result<Response, Fault> {
    again_with(room, &desk, &id, Sheet::default()).await
}

/// The page with what was wrong with something that was asked for on it.
pub(super) async fn again_with(room: Room, desk: &Desk, id: &str, sheet: Sheet) -> Result<Response, Fault> {
    let (it, at) = desk.ask.get_version(&room.api_of(id)).await?;
    let health = desk.ask.get(&format!("/v1/deliveries/health/{}", segment(id))).await?;
    let connector = connector(desk, it[room.connector()].as_str().unwrap_or_default()).await?;
    let wanted = query("/v1/deliveries/attempts", &[("webhook", id), ("limit", ATTEMPTS)]);
    let attempts = desk.ask.get(&wanted).await;
    let name = text(&it, "/name");
    let page = room.page_of(id);
    let actions = html! { a.button href={ (page) "/edit" } { "Change" } };
    let body = html! {
        (heading(name, Some(text(&connector, "/label")), &actions))
        (sheet.summary())
        section.card { (state(room, desk, &it, &health)) }
        (doings(room, desk, &it, &at, &connector, &sheet))
        section {
            h2 { "What is set" }
            @let set = set(&it);
            @if set.is_empty() { p.empty { "Nothing beside the address: every event, as the shape has it." } } @else { div.card { (facts(set)) } }
        }
        section {
            h2 { "Last attempts" }
            @match &attempts {
                Ok(found) => {
                    (deliveries::attempts(desk, found, None))
                    p { a href=(query("/console/deliveries", &[("webhook", id)])) { "All attempts" } }
                }
                Err(fault) => p.fault { (fault.title) ": " (fault.detail) },
            }
        }
    };
    Ok(again(desk, name, &sheet, &body))
}

fn state(room: Room, desk: &Desk, it: &Value, health: &Value) -> Markup {
    let mut all = vec![("State", fares(health))];
    if let Some(reason) = it["disabled_reason"].as_str() {
        all.push(("Why", html! { (reason) }));
    }
    for (name, member) in [("Nothing taken since", "failing_since"), ("Took something last", "took_last_at")] {
        if !health[member].is_null() {
            all.push((name, time(desk, &health[member])));
        }
    }
    all.push(("Last attempt", list::last(desk, health)));
    let due = &health["due_at"];
    all.push((
        "Owed",
        html! { (list::owed(text(it, "/id"), health)) @if !due.is_null() { span.soft { ", the first " (time(desk, due)) } } },
    ));
    if !it["missed_since"].is_null() {
        all.push(("May have missed since", time(desk, &it["missed_since"])));
    }
    if let Some(url) = it["url"].as_str() {
        all.push(("Address", html! { code.breaks { (url) } }));
    }
    if room == Room::Webhooks {
        let ends = it["earlier_secrets_end_at"].as_array().into_iter().flatten();
        all.push(("Signing secrets", html! {
            (it["secrets"].as_u64().unwrap_or(1)) " in force"
            @for end in ends { span.soft { ", an earlier one until " @if end.is_null() { "somebody ends it" } @else { (time(desk, end)) } } }
        }));
    }
    all.push(("Id", shown_id(text(it, "/id"))));
    all.push(("Made", time(desk, &it["created_at"])));
    facts(all)
}

/// What is set, in the API's words; credentials are not shown.
fn set(it: &Value) -> Vec<(&str, Markup)> {
    let mut all = Vec::new();
    let settings = it["settings"].as_object().into_iter().flatten();
    for (name, value) in settings {
        let says = if value.is_null() {
            html! { span.soft { "kept sealed" } }
        } else {
            words(value)
        };
        all.push((name.as_str(), says));
    }
    for (name, value) in it.as_object().into_iter().flatten() {
        let empty = match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            // Of a shape that has no such word.
            Value::String(text) => name == "uninstall_name" && text == "uninstalled",
            Value::Object(members) => members.is_empty() || members.values().all(|value| value.is_null() || *value == false),
            _ => false,
        };
        if !empty && !ELSEWHERE.contains(&name.as_str()) {
            all.push((name.as_str(), words(value)));
        }
    }
    all
}

fn words(value: &Value) -> Markup {
    match value {
        Value::Array(items) => html! { @for item in items { code { (plain(item)) } " " } },
        Value::Object(members) => html! {
            @for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) { div { code { (name) " " (plain(value)) } } }
        },
        Value::String(text) if text.contains('\n') => html! { pre tabindex="0" { code { (text) } } },
        other => html! { (plain(other)) },
    }
}

/// What can be done; to it as the page shows it, where that matters.
fn doings(room: Room, desk: &Desk, it: &Value, at: &str, connector: &Value, sheet: &Sheet) -> Markup {
    let page = room.page_of(text(it, "/id"));
    let enabled = it["enabled"] == true;
    let sends = connector["destination"]["events"].as_array().is_some_and(|events| *events == ["message.requested"]);
    let holds_state = connector["destination"]["holds_state"] == true;
    let to = |action: &str| format!("{page}/{action}");
    html! {
        section.doings {
            h2.hidden { "What can be done" }
            @if enabled {
                form.inline method="post" action=(to("test")) {
                    @if sends {
                        (sheet.field(&Field::line("to", "Send a test to").required().hint("An address or number of yours.")))
                    }
                    button type="submit" { "Send a test" }
                }
                form.inline method="post" action=(to("disable")) { (version(at)) button type="submit" { "Switch off" } }
            } @else {
                form.inline method="post" action=(to("enable")) { (version(at)) button.main type="submit" { "Switch on" } }
            }
            @if holds_state && enabled {
                form.inline method="post" action=(to("backfill")) {
                    (once(&desk.once()))
                    button type="submit" { "Compare all contacts now" }
                }
                a.button href="/console/backfills" { "Comparisons" }
            }
            @if room == Room::Webhooks { (secrets(desk, it, &page)) }
            @if room == Room::Webhooks || takes(room, connector, "events") { (replay(it, &page, sheet)) }
            (considered("Delete", &html! {
                p { "What is still owed to it is given up." }
                form method="post" action=(to("delete")) {
                    (version(at))
                    button.danger type="submit" { "Delete " (text(it, "/name")) }
                }
            }))
        }
    }
}

fn secrets(desk: &Desk, it: &Value, page: &str) -> Markup {
    const OVERLAPS: [(&str, &str); 5] = [
        ("24", "A day"),
        ("48", "Two days"),
        ("168", "A week"),
        ("1", "An hour"),
        ("0", "Not at all: the receiver has the new one already"),
    ];
    let more = it["secrets"].as_u64().unwrap_or(1) > 1;
    considered(
        "Rotate the secret",
        &html! {
            p { "Bodies are signed with the new secret and with the one before for a while, so that nothing is lost meanwhile." }
            form method="post" action={ (page) "/rotate" } {
                (once(&desk.once()))
                (Sheet::default().field(&Field::line("overlap_hours", "For how long with both").kind(Kind::Choice(&OVERLAPS))))
                button type="submit" { "Rotate, and show the new one" }
            }
            @if more {
                form method="post" action={ (page) "/end-rotation" } { button type="submit" { "End the earlier secrets now" } }
            }
        },
    )
}

/// What was missed is sent again.
fn replay(it: &Value, page: &str, sheet: &Sheet) -> Markup {
    let missed = !it["missed_since"].is_null();
    let form = html! {
        p { "Events that it is meant for are sent again, behind what happens now." }
        @if missed {
            form method="post" action={ (page) "/replay" } {
                input type="hidden" name="missed" value="true";
                button.main type="submit" { "Send what it missed" }
            }
        }
        form method="post" action={ (page) "/replay" } {
            (sheet.field(&Field::line("from", "From (UTC)").kind(Kind::Line("datetime-local")).required()))
            (sheet.field(&Field::line("to", "To (UTC)").kind(Kind::Line("datetime-local")).hint("Empty means now.")))
            (sheet.field(&Field::line("per_second", "How many a second").kind(Kind::Line("number")).hint("1 to 1000; 50 unless told.")))
            (sheet.field(&Field::line("all", "Also what it has taken already").kind(Kind::Tick)))
            button type="submit" { "Send what happened then" }
        }
    };
    html! {
        details.considered open[sheet.fault().is_some() && !sheet.value("from").is_empty()] {
            summary.button { "Replay" }
            div { (form) }
        }
    }
}
