//! `/console/source-events`: what the business told us, what became of each, and another try.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Query},
    response::Response,
    routing::{get, post},
};
use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    ask::{Fault, query, segment},
    events::{pass_page, source_event_page},
    form::{Field, Kind, Sent, Sheet},
    frame::{self, Desk},
    parts::{self, chip, considered, facts, id as shown_id, items, linked_id, pager_from, table, text, time, toned},
};
use crate::App;

const LIST: &str = "/console/source-events";
/// What can become of one, as people say it.
const STATES: [(&str, &str); 6] =
    [("", "Any"), ("parked", "Parked"), ("waiting", "Waiting"), ("delayed", "Delayed"), ("done", "Done"), ("ignored", "Ignored")];
/// How far back parked ones can be replayed: seconds and words.
const SPANS: [(&str, &str); 4] =
    [("3600", "the last hour"), ("86400", "the last day"), ("604800", "the last week"), ("2592000", "the last 30 days")];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(LIST, get(list))
        .route("/console/source-events/replay", post(replay_parked))
        .route("/console/source-events/{event}", get(one))
        .route("/console/source-events/{event}/replay", post(replay))
        .route("/console/source-events/{event}/cancel", post(cancel))
}

/// Sources by name; none for a key that may not read them.
async fn sources(desk: &Desk) -> Result<Value, Fault> {
    match desk.ask.get("/v1/sources?limit=100").await {
        Err(fault) if fault.status == StatusCode::FORBIDDEN => Ok(Value::Null),
        found => found,
    }
}

fn source_name(sources: &Value, id: &str) -> Markup {
    let name = items(sources).find(|source| text(source, "/id") == id).map(|source| text(source, "/name"));
    html! { @match name { Some(name) => (name), None => code { (id) } } }
}

async fn list(desk: Desk, Query(pairs): Query<Vec<(String, String)>>) -> Result<Response, Fault> {
    let sheet = Sheet::of(pairs);
    let keep = ["source", "status", "name"].map(|name| (name, sheet.value(name)));
    let cursor = sheet.value("cursor");
    let found = desk.ask.get(&query("/v1/source-events", &[keep.as_slice(), &[("cursor", cursor)]].concat())).await?;
    let sources = sources(&desk).await?;
    let row = |event: &Value| {
        let page = source_event_page(text(event, "/id"));
        vec![
            html! { a href=(page) { (time(&desk, &event["received_at"])) } },
            html! { a href=(page) { strong { (text(event, "/name")) } } },
            source_name(&sources, text(event, "/source")),
            state(&desk, event),
            html! { (event["runs"]) },
        ]
    };
    let rows = items(&found).map(row).collect();
    let nothing = if found["next_cursor"].is_null() {
        "Nothing came in yet, or nothing that fits."
    } else {
        "None of the newest 5,000 fits. Older ones are on the next page."
    };
    let body = html! {
        (frame::heading("Source events", Some("What the business told us, newest first."), &replay_all(&sheet, &sources)))
        (filters(&sheet, &sources))
        (table("Source events", &["Received", "Name", "Source", "State", "Runs"], rows, nothing))
        (pager_from(LIST, &keep, &found, cursor))
    };
    Ok(desk.page("Source events", &body))
}

fn state(desk: &Desk, event: &Value) -> Markup {
    html! {
        (chip(text(event, "/status")))
        @if !event["due_at"].is_null() { " " span.soft { "due " (time(desk, &event["due_at"])) } }
    }
}

fn choices(sources: &Value) -> Vec<(&str, &str)> {
    let named = items(sources).map(|source| (text(source, "/id"), text(source, "/name")));
    std::iter::once(("", "Any")).chain(named).collect()
}

fn filters(sheet: &Sheet, sources: &Value) -> Markup {
    let named = choices(sources);
    html! {
        form.filters method="get" action=(LIST) role="search" {
            @if named.len() > 1 { (sheet.field(&Field::line("source", "Source").kind(Kind::Choice(&named)))) }
            (sheet.field(&Field::line("status", "State").kind(Kind::Choice(&STATES))))
            (sheet.field(&Field::line("name", "Name").kind(Kind::Line("search"))))
            button type="submit" { "Show" }
            @if sheet.pairs().any(|(_, value)| !value.is_empty()) { a href=(LIST) { "All" } }
        }
    }
}

/// The form that has parked ones handled again.
fn replay_all(sheet: &Sheet, sources: &Value) -> Markup {
    let mut spans = Sheet::of(vec![("of".to_owned(), sheet.value("source").to_owned())]);
    spans.suggest("span", "86400");
    let named = choices(sources);
    let form = html! {
        form method="post" action="/console/source-events/replay" {
            p { "What was applied stays applied once; what was refused is decided anew, with the flows as they are now." }
            (spans.field(&Field::line("span", "Those that were received in").kind(Kind::Choice(&SPANS))))
            @if named.len() > 1 { (spans.field(&Field::line("of", "Of which source").kind(Kind::Choice(&named)))) }
            button.main type="submit" { "Replay them" }
        }
    };
    considered("Replay what is parked …", &form)
}

async fn replay_parked(desk: Desk, Sent(sheet): Sent) -> Result<Response, Fault> {
    let span: u64 = sheet.value("span").parse().map_err(|_| Fault::field("span", "choose one"))?;
    let mut asked = json!({"since": desk.now().minus(Duration::from_secs(span)), "status": "parked"});
    if !sheet.value("of").is_empty() {
        asked["source"] = sheet.value("of").into();
    }
    let done = desk.ask.post("/v1/source-events/replay", &asked).await?;
    let notice = match done["replayed"].as_u64().unwrap_or_default() {
        0 => "There was nothing parked in that time.".to_owned(),
        1 => "1 source event is being handled again.".to_owned(),
        count => format!("{count} source events are being handled again."),
    };
    Ok(desk.redirect(LIST, &notice))
}

/// The last that came in, for the overview.
pub(super) fn short(desk: &Desk, found: &Value) -> Markup {
    let row = |event: &Value| {
        vec![
            html! { a href=(source_event_page(text(event, "/id"))) { strong { (text(event, "/name")) } } },
            state(desk, event),
            time(desk, &event["received_at"]),
        ]
    };
    table("What came in last", &["Name", "State", "Received"], items(found).map(row).collect(), "Nothing came in yet.")
}

async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Fault> {
    let event = desk.ask.get(&format!("/v1/source-events/{}", segment(&id))).await?;
    let sources = sources(&desk).await?;
    let name = text(&event, "/name");
    let trace = &event["trace"];
    let body = html! {
        p.crumbs { a href=(LIST) { "Source events" } }
        (frame::heading(name, None, &actions(&event)))
        section.card { (about(&desk, &event, &sources)) }
        @if let Some(reason) = trace["reason"].as_str().or(trace.as_str()) { div.faults { h2 { "Why it is parked" } p { (reason) } } }
        section {
            h2 { "What flows made of it" }
            @match trace["flows"].as_array().filter(|flows| !flows.is_empty()) {
                Some(flows) => { @for flow in flows { (flow_card(&desk, flow)) } }
                None => { p.empty { (no_flows(&event)) } }
            }
        }
        section {
            h2 { "What arrived" }
            @if event["payload"].is_null() { p.empty { "Its person was erased: nothing of it is left." } }
            @else if let Some(raw) = event["payload"].as_str() { pre.json tabindex="0" { code { (raw) } } }
            @else { (parts::json(&event["payload"])) }
        }
    };
    Ok(desk.page(name, &body))
}

fn no_flows(event: &Value) -> &'static str {
    match text(event, "/status") {
        "pending" => "No flow has come by yet.",
        "ignored" => "No flow is for events of this name.",
        _ => "No flow has left a trace of it.",
    }
}

fn about(desk: &Desk, event: &Value, sources: &Value) -> Markup {
    let mut all = vec![
        ("State", state(desk, event)),
        ("Id", shown_id(text(event, "/id"))),
        ("Source", source_name(sources, text(event, "/source"))),
        ("Received", time(desk, &event["received_at"])),
        ("Happened", time(desk, &event["occurred_at"])),
        (
            "Runs",
            html! { (event["runs"]) @if let Some(run) = event["trace"]["run"].as_u64() { ", the last under number " (run) } },
        ),
    ];
    if let Some(times) = event["repeated"]["times"].as_u64() {
        all.push((
            "Came again",
            html! { (times) " times, last " (time(desk, &event["repeated"]["last_at"])) "; that did nothing" },
        ));
    }
    facts(all)
}

fn actions(event: &Value) -> Markup {
    let id = text(event, "/id");
    let page = source_event_page(id);
    let settled = ["done", "parked", "ignored"].contains(&text(event, "/status"));
    let next_run = event["trace"]["run"].as_u64().unwrap_or_default() + 1;
    html! {
        @if settled {
            form.inline method="post" action={ (page) "/replay" } { button.main type="submit" { "Replay" } }
            (considered("Do everything once more …", &html! {
                form method="post" action={ (page) "/replay" } {
                    p { "Also what was applied already: points are added again, messages are sent again." }
                    input type="hidden" name="run" value=(next_run);
                    button.danger type="submit" { "Do it all as run " (next_run) }
                }
            }))
        }
        @if text(event, "/status") == "delayed" {
            (considered("Cancel what waits …", &html! {
                form method="post" action={ (page) "/cancel" } {
                    p { "Steps that wait are not done, nor those after them. What was done stays." }
                    button.danger type="submit" { "Cancel it" }
                }
            }))
        }
    }
}

/// One flow that looked at the event.
fn flow_card(desk: &Desk, flow: &Value) -> Markup {
    let steps: Vec<&Value> = flow["steps"].as_array().into_iter().flatten().collect();
    html! {
        article.card {
            h3.flow {
                "Flow " code { (text(flow, "/flow")) } " "
                @if flow["matched"] == true { (toned("good", "matched")) } @else { (toned("quiet", "did not match")) }
                @if let Some(version) = flow["version"].as_i64() { " " span.soft { "version " (version) } }
                @if let Some(part) = flow["part"].as_u64() { " " span.soft { "part " (part) } }
            }
            @if let Some(reason) = flow["reason"].as_str() { p { (reason) } }
            @if flow["changed_since"] == true { p.soft { "The flow or its transformation has changed since: what its steps were given cannot be told any more." } }
            @if flow["turn"].is_object() { p { "Its turn: " (chip(text(flow, "/turn/outcome"))) " " (time(desk, &flow["turn"]["due_at"])) } }
            @if !flow["input"].is_null() { details { summary { "What its transformation made of the event" } (parts::json(&flow["input"])) } }
            @if !steps.is_empty() { ol.steps { @for step in &steps { (step_line(desk, step)) } } }
        }
    }
}

fn step_line(desk: &Desk, step: &Value) -> Markup {
    let outcome = text(step, "/outcome");
    let tone = match outcome {
        "done" | "scanned" | "noted" | "waited" => "good",
        "rejected" | "failed" | "scan_refused" => "bad",
        "waiting" | "command" | "wait" => "busy",
        "skipped" | "cancelled" => "warn",
        _ => "quiet",
    };
    let pass = text(step, "/pass");
    html! {
        li {
            strong { (text(step, "/step")) } " " span.soft { (text(step, "/action")) } " " (toned(tone, outcome))
            @if !pass.is_empty() { " " (linked_id(pass, &pass_page(pass))) }
            @if !step["due_at"].is_null() { " " span.soft { "due " (time(desk, &step["due_at"])) } }
            @if let Some(reason) = step["reason"].as_str() { p { (reason) } }
            @if step["error"].is_object() { p.fault { (fault_words(&step["error"])) } }
            @for problem in step["problems"].as_array().into_iter().flatten() { p.fault { (fault_words(problem)) } }
            @if !step["late"].is_null() { p.soft { "Late: " (parts::plain(&step["late"])) } }
            @if !step["resolved"].is_null() { details { summary.soft { "What it was given" } (parts::json(&step["resolved"])) } }
        }
    }
}

fn fault_words(fault: &Value) -> String {
    let (path, message) = (text(fault, "/path"), text(fault, "/message"));
    match (path, message) {
        (_, "") => parts::plain(fault),
        ("", message) => message.to_owned(),
        (path, message) => format!("{path}: {message}"),
    }
}

/// To the event's page, which says what came of it; a second press of a button says why it does nothing more.
fn back(desk: &Desk, id: &str, done: Result<Value, Fault>, notice: &str) -> Result<Response, Fault> {
    match done {
        Ok(_) => Ok(desk.redirect(&source_event_page(id), notice)),
        Err(fault) if fault.status == StatusCode::CONFLICT => Ok(desk.redirect(&source_event_page(id), &fault.detail)),
        Err(fault) => Err(fault),
    }
}

async fn replay(desk: Desk, Path(id): Path<String>, Sent(sheet): Sent) -> Result<Response, Fault> {
    let run = match sheet.value("run") {
        "" => Value::Null,
        run => json!(run.parse::<u32>().map_err(|_| Fault::field("run", "expected a number"))?),
    };
    let done = desk.ask.post(&format!("/v1/source-events/{}/replay", segment(&id)), &json!({"run": run})).await;
    back(&desk, &id, done, "It is being handled again.")
}

async fn cancel(desk: Desk, Path(id): Path<String>, Sent(_): Sent) -> Result<Response, Fault> {
    let path = format!("/v1/source-events/{}/cancel", segment(&id));
    let done = desk.ask.write(Method::POST, &path, &Value::Null).await;
    back(&desk, &id, done, "What waited is cancelled.")
}
