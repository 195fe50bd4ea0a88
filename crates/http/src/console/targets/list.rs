//! Which there are, and how they fare.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::{Room, fares};
use crate::console::{
    ask::{Fault, query},
    form::Sheet,
    frame::{Desk, heading},
    parts::{chip, items, pager_from, table, text, time},
};

pub(super) async fn page(room: Room, desk: Desk, sheet: Sheet) -> Result<Response, Fault> {
    let cursor = sheet.value("cursor");
    let found = desk.ask.get(&query(room.api(), &[("cursor", cursor)])).await?;
    let healths = desk.ask.get(&query("/v1/deliveries/health", &[("kind", room.one()), ("cursor", cursor)])).await?;
    let health = |id: &str| items(&healths).find(|health| text(health, "/id") == id).unwrap_or(&Value::Null);
    let rows = items(&found).map(|it| row(room, &desk, it, health(text(it, "/id")))).collect();
    let about = match room {
        Room::Webhooks => "Endpoints that get every event in the shape that they ask for.",
        Room::Destinations => "Services with an account that are told of events in their own words.",
    };
    let actions = html! { a.button.main href={ (room.path()) "/new" } { "New " (room.one()) } };
    let columns = ["Name", if room == Room::Webhooks { "Shape" } else { "Service" }, "State", "Last attempt", "Owed"];
    let empty = match room {
        Room::Webhooks => "No webhook yet. Make one, and point it at an inspector to see what it sends.",
        Room::Destinations => "No destination yet.",
    };
    let body = html! {
        (heading(room.title(), Some(about), &actions))
        (table(room.title(), &columns, rows, empty))
        (pager_from(room.path(), &[], &found, cursor))
    };
    Ok(desk.page(room.title(), &body))
}

fn row(room: Room, desk: &Desk, it: &Value, health: &Value) -> Vec<Markup> {
    let id = text(it, "/id");
    vec![
        html! {
            a href=(room.page_of(id)) { strong { (text(it, "/name")) } }
            @if let Some(url) = it["url"].as_str() { br; span.soft.breaks { (url) } }
        },
        html! { code { (it[room.connector()].as_str().unwrap_or_default()) } },
        html! {
            (fares(health))
            @if let Some(reason) = health["disabled_reason"].as_str() { br; span.soft { (reason) } }
            @if !health["failing_since"].is_null() { br; span.soft { "nothing taken since " (time(desk, &health["failing_since"])) } }
        },
        last(desk, health),
        owed(id, health),
    ]
}

/// The last attempt in a few words.
pub(super) fn last(desk: &Desk, health: &Value) -> Markup {
    let last = &health["last_attempt"];
    html! {
        @if last.is_null() { span.soft { "–" } } @else {
            a href=(crate::console::deliveries::page_of(text(health, "/id"), text(last, "/event"))) { (time(desk, &last["at"])) }
            " " (chip(text(last, "/outcome")))
            @if let Some(error) = last["error"].as_str() { br; span.soft { (error) } }
        }
    }
}

/// How much is owed, with the way to what.
pub(super) fn owed(id: &str, health: &Value) -> Markup {
    let count = health["owed"].as_u64().unwrap_or(0);
    html! {
        @if count == 0 { span.soft { "0" } } @else { a href=(query("/console/deliveries/owed", &[("webhook", id)])) { (count) } }
    }
}
