//! `/console/flows`: when this source event, if this holds, do these steps with these values.

mod edit;
mod form;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query},
    response::Response,
    routing::{get, post},
};
use http::Method;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ask::{Fault, query, segment},
    batches::projects,
    form::{self as sheets, Field, Kind, Sent, Sheet},
    frame::{Desk, heading},
    parts::{chip, considered, facts, id, items, json, pager_from, plain, table, text, time, toned},
};
use crate::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/flows", get(list))
        .route("/console/flows/new", get(edit::begin).post(edit::sent))
        .route("/console/flows/{flow}", get(show))
        .route("/console/flows/{flow}/edit", get(edit::change).post(edit::changed))
        .route("/console/flows/{flow}/versions/{version}", get(version))
        .route("/console/flows/{flow}/replay", post(replay))
        .route("/console/flows/{flow}/{turn}", post(turn))
}

fn api(flow: &str, more: &str) -> String {
    format!("/v1/flows/{}{more}", segment(flow))
}

fn page_of(flow: &str) -> String {
    format!("/console/flows/{}", segment(flow))
}

#[derive(Default, Deserialize)]
struct Listed {
    #[serde(default)]
    project: String,
    #[serde(default)]
    cursor: String,
}

/// What people call a flow.
fn name(document: &Value) -> &str {
    Some(text(document, "/name")).filter(|name| !name.is_empty()).unwrap_or(text(document, "/slug"))
}

fn is_enabled(document: &Value) -> bool {
    document["enabled"] != false
}

/// One name or several, as documents have them.
fn names(value: &Value) -> String {
    match value {
        Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Null => String::new(),
        one => plain(one),
    }
}

async fn list(desk: Desk, Query(listed): Query<Listed>) -> Result<Response, Fault> {
    let page = desk.ask.get(&query("/v1/flows", &[("limit", "100"), ("cursor", &listed.cursor)])).await?;
    let projects = projects(&desk.ask).await.unwrap_or_default();
    let of = |document: &Value| {
        let project = text(document, "/project");
        projects.iter().find(|(id, _, slug)| id == project || slug == project).map_or(project, |(_, name, _)| name).to_owned()
    };
    let wanted = |flow: &&Value| listed.project.is_empty() || of(&flow["document"]) == listed.project;
    let rows = items(&page).filter(wanted).map(|flow| {
        let document = &flow["document"];
        vec![
            html! { a href=(page_of(text(flow, "/id"))) { (name(document)) } br; code.soft { (text(document, "/slug")) } },
            html! { (of(document)) },
            html! { (summary(&document["when"])) },
            html! { (document["steps"].as_array().map_or(0, Vec::len)) },
            html! {
                (state(flow)) " " @if !flow["draft"].is_null() { (toned("busy", "draft")) }
            },
        ]
    });
    let mut choices = vec![("", "All of them")];
    choices.extend(projects.iter().map(|(_, name, _)| (name.as_str(), name.as_str())));
    let sheet = Sheet::of(vec![("project".to_owned(), listed.project.clone())]);
    let rows: Vec<_> = rows.collect();
    let body = html! {
        (heading("Flows", Some("What becomes of source events: when one is this, and that holds, passes are issued and changed."),
            &html! { a.button.main href="/console/flows/new" { "New flow" } }))
        form.filters method="get" action="/console/flows" {
            (sheet.field(&Field::line("project", "Project").kind(Kind::Choice(&choices))))
            button type="submit" { "Show" }
        }
        (table("Flows", &["Flow", "Project", "For", "Steps", "State"], rows, "There is no flow yet."))
        (pager_from("/console/flows", &[("project", &listed.project)], &page, &listed.cursor))
    };
    Ok(desk.page("Flows", &body))
}

fn state(flow: &Value) -> Markup {
    html! {
        (chip(if is_enabled(&flow["document"]) { "enabled" } else { "disabled" }))
        @if problems(flow, "problems").next().is_some() { " " (toned("bad", "does not run")) }
    }
}

fn problems<'v>(flow: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    flow[key].as_array().into_iter().flatten()
}

fn faults<'v>(problems: impl Iterator<Item = &'v Value>) -> Markup {
    html! { ul { @for problem in problems { li.fault { code { (text(problem, "/path")) } " " (text(problem, "/message")) } } } }
}

/// Which events a flow is for, in a line.
fn summary(when: &Value) -> Markup {
    html! {
        @if !when["type"].is_null() { code { (names(&when["type"])) } " " }
        @if !when["event"].is_null() { code { (names(&when["event"])) } " " }
        @if !when["condition"].is_null() { span.soft { "if " code { (plain(&when["condition"])) } } }
    }
}

async fn show(desk: Desk, Path(flow): Path<String>) -> Result<Response, Fault> {
    let (view, at) = desk.ask.get_version(&api(&flow, "")).await?;
    let versions = desk.ask.get(&api(&flow, "/versions")).await?;
    let document = &view["document"];
    let body = html! {
        p.crumbs { a href="/console/flows" { "Flows" } }
        (heading(name(document), None, &actions(&view, &at)))
        @if problems(&view, "problems").next().is_some() { (broken(&view)) }
        @if !view["draft"].is_null() { (draft(&view, &at)) }
        section.columns {
            div.card {
                (facts(vec![
                    ("State", state(&view)),
                    ("Slug", html! { code { (text(document, "/slug")) } }),
                    ("Id", id(text(&view, "/id"))),
                    ("Project", html! { (text(document, "/project")) }),
                    ("Sources", html! { @let sources = names(&document["sources"]); @if sources.is_empty() { "all" } @else { (sources) } }),
                    ("For", summary(&document["when"])),
                    ("Version", html! { (plain(&view["version"])) }),
                    ("Made", time(&desk, &view["created_at"])),
                ]))
            }
            div.card { h2 { "Replay events" } (replay_form(&desk, &view, &Sheet::default())) }
        }
        section { h2 { "Steps" } (steps(document)) }
        section { h2 { "Versions" } (version_table(&desk, &flow, &versions)) }
        section { details { summary { "The document" } (json(document)) } }
    };
    Ok(desk.page(name(document), &body))
}

/// What is done to the flow as the page shows it, and to no other version of it.
fn button(flow: &str, at: &str, turn: &str, says: &str, class: &str) -> Markup {
    html! {
        form.inline method="post" action={ (page_of(flow)) "/" (turn) } {
            (sheets::version(at))
            button class=(class) type="submit" { (says) }
        }
    }
}

fn actions(view: &Value, at: &str) -> Markup {
    let flow = text(view, "/id");
    html! {
        a.button.main href={ (page_of(flow)) "/edit" } { "Change" }
        @if is_enabled(&view["document"]) { (button(flow, at, "disable", "Disable", "")) }
        @else { (button(flow, at, "enable", "Enable", "")) }
        (considered("Delete …", &html! {
            p { "It runs on no event any more, and its versions are gone. Passes stay as they are." }
            (button(flow, at, "delete", "Delete the flow", "danger"))
        }))
    }
}

fn broken(view: &Value) -> Markup {
    html! {
        section.card {
            h2 { "It does not run" }
            p.soft { "Something that it names has changed. Events that it is for are parked until it is mended; replay them then." }
            (faults(problems(view, "problems")))
        }
    }
}

fn draft(view: &Value, at: &str) -> Markup {
    let flow = text(view, "/id");
    html! {
        section.card {
            h2 { "There is a draft" }
            p.soft { "What runs stays as it is until the draft is published." }
            (faults(problems(view, "draft_problems")))
            a.button href={ (page_of(flow)) "/edit?draft=true" } { "Work on it" } " "
            (button(flow, at, "publish", "Publish", "main")) " "
            (button(flow, at, "drop", "Drop it", ""))
        }
    }
}

fn steps(document: &Value) -> Markup {
    let rows = document["steps"].as_array().into_iter().flatten().map(|step| {
        let shown = step.as_object().cloned().unwrap_or_default();
        let rest: Map<String, Value> = shown.into_iter().filter(|(key, _)| key != "id" && key != "action").collect();
        let with = if rest.is_empty() {
            html! { span.soft { "what the event says" } }
        } else {
            json(&Value::Object(rest))
        };
        vec![html! { code { (text(step, "/id")) } }, html! { (text(step, "/action")) }, with]
    });
    table("Steps", &["Step", "What it does", "With"], rows.collect(), "It has no step.")
}

fn version_table(desk: &Desk, flow: &str, versions: &Value) -> Markup {
    let rows = items(versions).map(|version| {
        let number = plain(&version["version"]);
        vec![
            html! { a href={ (page_of(flow)) "/versions/" (number) } { (number) } },
            time(desk, &version["published_at"]),
            html! { @if version["superseded_at"].is_null() { (toned("good", "runs")) } @else { (time(desk, &version["superseded_at"])) } },
        ]
    });
    table("Versions", &["Version", "Began to run", "Until"], rows.collect(), "None.")
}

async fn version(desk: Desk, Path((flow, number)): Path<(String, String)>) -> Result<Response, Fault> {
    let version = desk.ask.get(&api(&flow, &format!("/versions/{}", segment(&number)))).await?;
    let (_, at) = desk.ask.get_version(&api(&flow, "")).await?;
    let back = button(&flow, &at, &format!("restore-{number}"), "Let it run again", "");
    let body = html! {
        p.crumbs { a href="/console/flows" { "Flows" } " / " a href=(page_of(&flow)) { (name(&version["document"])) } }
        (heading(&format!("Version {number}"), None, &back))
        (json(&version["document"]))
    };
    Ok(desk.page(&format!("Version {number}"), &body))
}

async fn turn(desk: Desk, Path((flow, turn)): Path<(String, String)>, Sent(sheet): Sent) -> Result<Response, Fault> {
    let (ask, version, none) = (&desk.ask, sheet.version(), Value::Null);
    let notice = match turn.as_str() {
        "enable" | "disable" => {
            let mut document = ask.get(&api(&flow, "")).await?["document"].clone();
            document["enabled"] = json!(turn == "enable");
            ask.write_over(Method::PUT, &api(&flow, ""), &document, version).await?;
            if turn == "enable" { "The flow runs." } else { "The flow does not run any more." }
        }
        "publish" => {
            ask.write_over(Method::POST, &api(&flow, "/publish"), &none, version).await?;
            "The draft runs."
        }
        "drop" => {
            ask.write_over(Method::DELETE, &api(&flow, "/draft"), &none, version).await?;
            "The draft is dropped."
        }
        "delete" => {
            ask.write_over(Method::DELETE, &api(&flow, ""), &none, version).await?;
            return Ok(desk.redirect("/console/flows", "The flow is deleted."));
        }
        other => {
            let number = other.strip_prefix("restore-").ok_or_else(Fault::nowhere)?;
            let path = api(&flow, &format!("/versions/{}/restore", segment(number)));
            ask.write_over(Method::POST, &path, &none, version).await?;
            "The earlier version runs again."
        }
    };
    Ok(desk.redirect(&page_of(&flow), notice))
}

const STATUSES: &[(&str, &str)] =
    &[("", "Whatever became of them"), ("ignored", "No flow was for them"), ("parked", "Parked"), ("done", "Done")];

fn replay_form(desk: &Desk, view: &Value, sheet: &Sheet) -> Markup {
    let mut sheet = sheet.clone();
    let day = std::time::Duration::from_secs(86_400);
    sheet.suggest("since", domain::Timestamp::from_seconds(desk.now().as_seconds()).minus(day).to_string());
    html! {
        (sheet.summary())
        form method="post" action={ (page_of(text(view, "/id"))) "/replay" } {
            (sheet.field(&Field::line("since", "From").hint("RFC 3339 with a zone.").required()))
            (sheet.field(&Field::line("until", "Until").hint("Now, where it stays empty.")))
            (sheet.field(&Field::line("status", "Which").kind(Kind::Choice(STATUSES))))
            p.hint {
                "Events of the flow's sources go through all flows again, as they are now. What was applied stays applied once."
            }
            button type="submit" { "Replay" }
        }
    }
}

async fn replay(desk: Desk, Path(flow): Path<String>, Sent(sheet): Sent) -> Result<Response, Fault> {
    let view = desk.ask.get(&api(&flow, "")).await?;
    match replayed(&desk, &view["document"], &sheet).await {
        Ok(count) => Ok(desk.redirect(&page_of(&flow), &format!("{count} events are being handled again."))),
        Err(fault) => {
            let sheet = sheet.refused(fault);
            let body = html! {
                p.crumbs { a href="/console/flows" { "Flows" } " / " a href=(page_of(&flow)) { (name(&view["document"])) } }
                (heading("Replay events", None, &html! {}))
                div.card { (replay_form(&desk, &view, &sheet)) }
            };
            Ok(desk.page_again("Replay events", &[], sheet.fault(), &body))
        }
    }
}

async fn replayed(desk: &Desk, document: &Value, sheet: &Sheet) -> Result<u64, Fault> {
    let mut span = json!({});
    for name in ["since", "until", "status"] {
        let value = sheet.value(name).trim();
        if !value.is_empty() {
            span[name] = json!(value);
        }
    }
    let sources = sources_of(desk, document).await?;
    let mut count = 0;
    for source in sources {
        if let Some(source) = source {
            span["source"] = json!(source);
        }
        let told = desk.ask.post("/v1/source-events/replay", &span).await?;
        count += told["replayed"].as_u64().unwrap_or(0);
    }
    Ok(count)
}

/// The ids of the sources that a flow listens to; one none for all of them.
async fn sources_of(desk: &Desk, document: &Value) -> Result<Vec<Option<String>>, Fault> {
    let wanted = names(&document["sources"]);
    if wanted.is_empty() {
        return Ok(vec![None]);
    }
    let page = desk.ask.get("/v1/sources?limit=100").await?;
    let is_wanted = |source: &&Value| wanted.split(", ").any(|name| name == text(source, "/slug") || name == text(source, "/id"));
    Ok(items(&page).filter(is_wanted).map(|source| Some(text(source, "/id").to_owned())).collect())
}
