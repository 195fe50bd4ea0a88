//! `/console/backfills`: destinations compared with the truth: which, how far, what each changed, and when the next begins.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query},
    response::Response,
    routing::{get, post},
};
use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    ask::{Fault, query, segment},
    form::{Sent, Sheet, once},
    frame::{Desk, heading},
    parts::{chip, facts, id as shown_id, items, linked_id, pager_from, table, text, time},
    targets::{Room, body_of, whole},
};
use crate::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/backfills", get(list))
        .route("/console/backfills/begin", post(begin))
        .route("/console/backfills/schedule", post(schedule))
        .route("/console/backfills/{id}", get(show))
        .route("/console/backfills/{id}/{turn}", post(turn))
}

/// The destinations that hold a state of each contact, which can be compared.
async fn comparable(desk: &Desk) -> Result<Vec<Value>, Fault> {
    let connectors = desk.ask.get("/v1/connectors").await?;
    let holds = |it: &&Value| items(&connectors).any(|of| of["slug"] == it["kind"] && of["destination"]["holds_state"] == true);
    let found = desk.ask.get("/v1/destinations?limit=100").await?;
    Ok(items(&found).filter(holds).cloned().collect())
}

fn counts(it: &Value) -> Markup {
    let of = |name: &str| it[name].as_u64().unwrap_or(0);
    html! {
        (of("looked_at")) " looked at, " strong { (of("repaired")) " told anew" }
        @if of("refused") > 0 { ", " span.fault { (of("refused")) " refused" } }
    }
}

async fn list(desk: Desk, Query(pairs): Query<Vec<(String, String)>>) -> Result<Response, Fault> {
    listed(&desk, &Sheet::of(pairs)).await
}

async fn listed(desk: &Desk, sheet: &Sheet) -> Result<Response, Fault> {
    let cursor = sheet.value("cursor");
    let destinations = comparable(desk).await?;
    let found = desk.ask.get(&query("/v1/backfills", &[("cursor", cursor)])).await?;
    let row = |it: &Value| {
        let id = text(it, "/id");
        let destination = text(it, "/destination");
        let found = destinations.iter().find(|it| text(it, "/id") == destination);
        vec![
            html! { a href=(page_of(id)) { (time(desk, &it["created_at"])) } },
            html! {
                @if let Some(found) = found { a href=(Room::Destinations.page_of(destination)) { (text(found, "/name")) } }
                @else { span.soft { "deleted" } }
            },
            html! { (chip(text(it, "/state"))) @if let Some(trouble) = it["trouble"].as_str() { br; span.soft { (trouble) } } },
            counts(it),
            turns(id, text(it, "/state")),
        ]
    };
    let columns = ["Begun", "Destination", "State", "What came of it", "Turn"];
    let about = "All contacts are compared with what a destination was told of them, and it is told anew where that differs.";
    let body = html! {
        (heading("Backfills", Some(about), &html! {}))
        (sheet.summary())
        section { h2 { "Destinations" } (these(desk, &destinations, sheet)) }
        section {
            h2 { "Runs" }
            (table("Runs", &columns, items(&found).map(row).collect(), "None yet."))
            (pager_from("/console/backfills", &[], &found, cursor))
        }
    };
    Ok(desk.page_again("Backfills", &[], sheet.fault(), &body))
}

fn page_of(id: &str) -> String {
    format!("/console/backfills/{}", segment(id))
}

/// Those that can be compared, each with its schedule and a button.
fn these(desk: &Desk, destinations: &[Value], sheet: &Sheet) -> Markup {
    let row = |it: &Value| {
        let (id, hours) = (text(it, "/id"), it["backfill_every_hours"].as_u64());
        let mine = sheet.value("destination") == id;
        let shown = Sheet::of(vec![("backfill_every_hours".to_owned(), hours.map(|it| it.to_string()).unwrap_or_default())]);
        let schedule = if mine { sheet } else { &shown };
        vec![
            html! { a href=(Room::Destinations.page_of(id)) { strong { (text(it, "/name")) } } br; code.soft { (text(it, "/kind")) } },
            html! {
                form.inline method="post" action="/console/backfills/schedule" {
                    input type="hidden" name="destination" value=(id);
                    label { "Every " input.short type="number" name="backfill_every_hours" min="1" max="8760"
                        value=(schedule.value("backfill_every_hours")) aria-label="Every how many hours"; " hours" }
                    button type="submit" { "Set" }
                }
                @if hours.is_none() { span.soft { "Only when somebody asks for it." } }
            },
            html! {
                @if it["enabled"] == true {
                    form.inline method="post" action="/console/backfills/begin" {
                        (once(&desk.once()))
                        input type="hidden" name="destination" value=(id);
                        label { input type="checkbox" name="everything" value="true"; " tell everybody anew" }
                        button type="submit" { "Compare now" }
                    }
                } @else { span.soft { "switched off" } }
            },
        ]
    };
    let empty = "No destination holds a state of contacts, as customer databases do.";
    table("Destinations", &["Name", "Schedule", "Now"], destinations.iter().map(row).collect(), empty)
}

fn turns(id: &str, state: &str) -> Markup {
    let button = |turn: &str, says: &str| {
        html! { form.inline method="post" action={ (page_of(id)) "/" (turn) } { button type="submit" { (says) } } }
    };
    html! {
        @match state {
            "running" => { (button("pause", "Pause")) (button("cancel", "Cancel")) }
            "paused" => { (button("resume", "Go on")) (button("cancel", "Cancel")) }
            _ => span.soft { "–" },
        }
    }
}

async fn show(desk: Desk, Path(id): Path<String>) -> Result<Response, Fault> {
    let it = desk.ask.get(&format!("/v1/backfills/{}", segment(&id))).await?;
    let destination = text(&it, "/destination");
    let of = |name: &str| html! { (it[name].as_u64().unwrap_or(0)) };
    let mut all = vec![
        ("State", chip(text(&it, "/state"))),
        ("Destination", linked_id(destination, &Room::Destinations.page_of(destination))),
        ("Looked at", of("looked_at")),
        ("As they are there", of("matched")),
        ("Told anew", of("repaired")),
        ("Of those changed there", of("drifted")),
        ("Refused", of("refused")),
        ("Without a name there", of("nameless")),
        ("Everybody told anew", html! { @if it["everything"] == true { "yes" } @else { "no, only where it differs" } }),
        ("Begun", time(&desk, &it["created_at"])),
        ("Came on", time(&desk, &it["updated_at"])),
        ("Id", shown_id(&id)),
    ];
    if let Some(trouble) = it["trouble"].as_str() {
        let again = &it["not_before"];
        all.insert(
            1,
            ("Held up by", html! { (trouble) @if !again.is_null() { span.soft { ", tried again " (time(&desk, again)) } } }),
        );
    }
    let refusal = |it: &Value| vec![shown_id(text(it, "/contact")), html! { (text(it, "/reason")) }];
    let refused: Vec<_> = it["samples"].as_array().into_iter().flatten().map(refusal).collect();
    let changed = |it: &Value| vec![shown_id(text(it, "/contact")), html! { (text(it, "/fields")) }];
    let drift: Vec<_> = it["drift"].as_array().into_iter().flatten().map(changed).collect();
    let body = html! {
        (heading("Backfill", None, &turns(&id, text(&it, "/state"))))
        section.card { (facts(all)) }
        @if !refused.is_empty() {
            section { h2 { "Some that were refused" } (table("Refused", &["Contact", "Why"], refused, "")) }
        }
        @if !drift.is_empty() {
            section { h2 { "Some that were changed there" } (table("Changed there", &["Contact", "Fields"], drift, "")) }
        }
        p { a href="/console/backfills" { "All backfills" } }
    };
    Ok(desk.page("Backfill", &body))
}

async fn begin(desk: Desk, Sent(sheet): Sent) -> Result<Response, Fault> {
    let path = format!("/v1/destinations/{}/backfill", segment(sheet.value("destination")));
    let wish = json!({"everything": sheet.ticked("everything")});
    match desk.ask.write_once(Method::POST, &path, &wish, sheet.once()).await {
        Ok(begun) => Ok(desk.redirect(&page_of(text(&begun, "/id")), "The comparison is under way.")),
        Err(fault) => listed(&desk, &sheet.refused(fault)).await,
    }
}

/// How often a destination is compared by itself.
async fn schedule(desk: Desk, Sent(sheet): Sent) -> Result<Response, Fault> {
    let path = format!("/v1/destinations/{}", segment(sheet.value("destination")));
    let mut body = body_of(&desk.ask.get(&path).await?);
    let set = match whole(&sheet, "backfill_every_hours") {
        Ok(hours) => {
            if hours.is_null() {
                body.insert("backfill_everything".to_owned(), false.into());
            }
            body.insert("backfill_every_hours".to_owned(), hours);
            desk.ask.write(Method::PUT, &path, &Value::Object(body)).await
        }
        Err(fault) => Err(fault),
    };
    match set {
        Ok(set) => Ok(desk.redirect("/console/backfills", &format!("The schedule of {} is set.", text(&set, "/name")))),
        Err(fault) => listed(&desk, &sheet.refused(fault)).await,
    }
}

async fn turn(desk: Desk, Path((id, turn)): Path<(String, String)>) -> Result<Response, Fault> {
    let says = match turn.as_str() {
        "pause" => "It is paused.",
        "resume" => "It goes on.",
        "cancel" => "It is cancelled.",
        _ => return Err(Fault::nowhere()),
    };
    desk.ask.post(&format!("/v1/backfills/{}/{turn}", segment(&id)), &Value::Null).await?;
    Ok(desk.redirect(&page_of(&id), says))
}
