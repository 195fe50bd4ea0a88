//! `/console/syncs`: batches whose rows a query finds in somebody's database: their runs, what each changed, and when the next
//! begins. They are made and changed by a form.

mod form;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query},
    response::Response,
    routing::{get, post},
};
use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::{
    ask::{Fault, query, segment},
    form::{Field, Kind, Sent, Sheet, version},
    frame::{Desk, heading},
    parts::{chip, considered, facts, id as shown_id, items, json as shown_json, pager_from, plain, table, text, time, toned},
    targets::whole,
};
use crate::App;

/// Syncs of a page: the last run of each is asked for.
const SYNCS: &str = "20";
/// What the API tells of one and does not take.
const TOLD: [&str; 2] = ["id", "created_at"];
/// How a sync may be begun.
const KINDS: [(&str, &str); 3] = [("", "When somebody says so"), ("every", "Every so many minutes"), ("cron", "By a clock")];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/syncs", get(list))
        .route("/console/syncs/new", get(form::begin).post(form::made))
        .route("/console/syncs/{id}", get(show))
        .route("/console/syncs/{id}/edit", get(form::change).post(form::changed))
        .route("/console/syncs/{id}/{action}", post(act))
        .route("/console/syncs/{id}/runs/{run}/{turn}", post(turn))
}

fn api_of(id: &str) -> String {
    format!("/v1/syncs/{}", segment(id))
}

fn page_of(id: &str) -> String {
    format!("/console/syncs/{}", segment(id))
}

/// When it runs by itself, in words.
fn runs_when(it: &Value) -> Markup {
    let schedule = &it["schedule"];
    html! {
        @if it["enabled"] != true && !schedule.is_null() { (toned("warn", "paused")) " " }
        @if let Some(minutes) = schedule["every_minutes"].as_u64() { "every " (minutes) " min" }
        @else if let Some(cron) = schedule["cron"].as_str() { code { (cron) } " " span.soft { (text(schedule, "/zone")) } }
        @else { span.soft { "when somebody says so" } }
    }
}

/// What a run did with its rows; what it would, before it is carried out.
fn counts(run: &Value) -> Markup {
    let is_run = !run["run"]["began_at"].is_null();
    let of = |name: &str| run[if is_run { "run" } else { "check" }][name].as_u64().unwrap_or(0);
    let gone = run["removal"]["done"].as_u64().unwrap_or(0);
    html! {
        (of("rows")) " rows: " strong { (of("created")) " new, " (of("changed")) " changed" } ", " (of("unchanged")) " as they were"
        @if of("still_void") > 0 { ", " (of("still_void")) " met a pass that stays revoked, used up or expired" }
        @if of("failed") > 0 { ", " span.fault { (of("failed")) " failed" } }
        @if gone > 0 { ", " (gone) " passes without a row taken back" }
        @if let Some(kept) = run["removal"]["kept"].as_str() { br; span.soft { (kept) } }
    }
}

async fn list(desk: Desk, Query(pairs): Query<Vec<(String, String)>>) -> Result<Response, Fault> {
    let sheet = Sheet::of(pairs);
    let found = desk.ask.get(&query("/v1/syncs", &[("limit", SYNCS), ("cursor", sheet.value("cursor"))])).await?;
    let mut rows = Vec::new();
    for it in items(&found) {
        let id = text(it, "/id");
        let runs = match desk.ask.get(&format!("{}/runs?limit=1", api_of(id))).await {
            Ok(runs) => runs,
            Err(fault) if fault.status == StatusCode::FORBIDDEN => Value::Null,
            Err(fault) => return Err(fault),
        };
        let last = items(&runs).next();
        rows.push(vec![
            html! { a href=(page_of(id)) { strong { (text(it, "/name")) } } br; span.soft.breaks { (text(it, "/database/url")) } },
            runs_when(it),
            html! {
                @if let Some(last) = last {
                    (time(&desk, &last["created_at"])) " " (chip(text(last, "/state")))
                    @if let Some(fault) = last["fault"].as_str() { br; span.soft { (fault) } }
                } @else { span.soft { "never" } }
            },
            last.map_or(html! { span.soft { "–" } }, counts),
        ]);
    }
    let about = "Queries in databases of yours whose rows become passes.";
    let empty = "No sync yet.";
    let body = html! {
        (heading("Syncs", Some(about), &html! { a.button.main href="/console/syncs/new" { "New sync" } }))
        (table("Syncs", &["Name", "Runs", "Last run", "What it changed"], rows, empty))
        (pager_from("/console/syncs", &[], &found, sheet.value("cursor")))
    };
    Ok(desk.page("Syncs", &body))
}

async fn show(desk: Desk, Path(id): Path<String>, Query(pairs): Query<Vec<(String, String)>>) -> Result<Response, Fault> {
    let sheet = Sheet::of(pairs);
    shown(&desk, &id, &sheet, None).await
}

async fn shown(desk: &Desk, id: &str, sheet: &Sheet, trial: Option<&Value>) -> Result<Response, Fault> {
    let (it, at) = desk.ask.get_version(&api_of(id)).await?;
    let runs = desk.ask.get(&query(&format!("{}/runs", api_of(id)), &[("cursor", sheet.value("cursor"))])).await?;
    let row = |run: &Value| {
        let batch = text(run, "/id");
        vec![
            html! { a href={ "/console/batches/" (segment(batch)) } { (time(desk, &run["created_at"])) } },
            html! { (chip(text(run, "/state"))) @if let Some(fault) = run["fault"].as_str() { br; span.fault { (fault) } } },
            counts(run),
            turns(id, batch, text(run, "/state")),
        ]
    };
    let name = text(&it, "/name");
    let mut all = vec![
        ("Runs", runs_when(&it)),
        ("Database", html! { code.breaks { (text(&it, "/database/url")) } " as " (text(&it, "/database/user")) }),
        ("Query", html! { pre tabindex="0" { code { (text(&it, "/query")) } } }),
    ];
    if let Some(column) = it["incremental"]["column"].as_str() {
        all.push(("What changed is told by", html! { code { (column) } }));
    }
    if let Some(action) = it["removed"]["action"].as_str() {
        let most = it["removed"]["at_most_percent"].as_u64().unwrap_or(0);
        all.push(("Passes without a row", html! { (action) ", unless they are more than " (most) " %" }));
    }
    all.extend([
        ("Called", html! { code { (text(&it, "/slug")) } }),
        ("Id", shown_id(id)),
        ("Made", time(desk, &it["created_at"])),
    ]);
    let body = html! {
        (heading(name, Some("Its rows become passes."), &actions(&it, &at)))
        (sheet.summary())
        (doings(&it, &at, sheet))
        @if let Some(trial) = trial { (tried(trial)) }
        section {
            h2 { "What it does" }
            div.card { (facts(all)) details { summary { "What is done for each row" } (shown_json(&it["batch"])) } }
        }
        section {
            h2 { "Runs" }
            (table("Runs", &["Begun", "State", "What it changed", "Turn"], items(&runs).map(row).collect(), "It never ran."))
            (pager_from(&page_of(id), &[], &runs, sheet.value("cursor")))
        }
    };
    Ok(desk.page_again(name, &[], sheet.fault(), &body))
}

fn actions(it: &Value, at: &str) -> Markup {
    let page = page_of(text(it, "/id"));
    html! {
        a.button.main href={ (page) "/edit" } { "Change" }
        (considered("Delete …", &html! {
            p { "It runs no more. Its passes stay as they are." }
            form method="post" action={ (page) "/delete" } {
                (version(at))
                button.danger type="submit" { "Delete the sync" }
            }
        }))
    }
}

/// Fills in when it runs by itself.
fn suggest_schedule(sheet: &mut Sheet, schedule: &Value) {
    let kind = match schedule {
        Value::Null => "",
        clock if clock["cron"].is_string() => "cron",
        _ => "every",
    };
    sheet.suggest("kind", kind);
    sheet.suggest("schedule.every_minutes", schedule["every_minutes"].as_u64().map(|it| it.to_string()).unwrap_or_default());
    sheet.suggest("schedule.cron", text(schedule, "/cron"));
    sheet.suggest("schedule.zone", text(schedule, "/zone"));
}

fn doings(it: &Value, at: &str, sheet: &Sheet) -> Markup {
    let page = page_of(text(it, "/id"));
    let to = |action: &str| format!("{page}/{action}");
    let schedule = &it["schedule"];
    let mut sheet = sheet.clone();
    suggest_schedule(&mut sheet, schedule);
    html! {
        section.doings {
            h2.hidden { "What can be done" }
            form.inline method="post" action=(to("run")) {
                @if !it["incremental"].is_null() {
                    label { input type="checkbox" name="full" value="true"; " all rows, not only what changed" }
                }
                button.main type="submit" { "Run now" }
            }
            form.inline method="post" action=(to("try")) { button type="submit" { "Try the query" } }
            @if !schedule.is_null() {
                @let (turn, says) = if it["enabled"] == true { ("pause", "Pause the schedule") } else { ("resume", "Resume the schedule") };
                form.inline method="post" action=(to(turn)) { (version(at)) button type="submit" { (says) } }
            }
            details.considered open[sheet.fault().is_some()] {
                summary.button { "Schedule" }
                div {
                    form method="post" action=(to("schedule")) {
                        (version(at))
                        (sheet.field(&Field::line("kind", "Runs").kind(Kind::Choice(&KINDS))))
                        (form::schedule_fields(&sheet))
                        button type="submit" { "Set" }
                    }
                }
            }
        }
    }
}

/// What the query finds.
fn tried(trial: &Value) -> Markup {
    let columns: Vec<&str> = trial["columns"].as_array().into_iter().flatten().map(|it| text(it, "/name")).collect();
    let row = |row: &Value| columns.iter().map(|column| html! { (plain(&row[*column])) }).collect();
    let rows = trial["rows"].as_array().into_iter().flatten().map(row).collect();
    html! { section { h2 { "The first rows" } (table("The first rows", &columns, rows, "It finds nothing.")) } }
}

fn turns(sync: &str, run: &str, state: &str) -> Markup {
    let button = |turn: &str, says: &str| {
        html! { form.inline method="post" action={ (page_of(sync)) "/runs/" (segment(run)) "/" (turn) } { button type="submit" { (says) } } }
    };
    html! {
        @match state {
            "reading" | "checking" | "running" | "scheduled" => { (button("pause", "Pause")) (button("cancel", "Cancel")) }
            "paused" => { (button("resume", "Go on")) (button("cancel", "Cancel")) }
            "checked" => { (button("run", "Run it")) (button("cancel", "Cancel")) }
            _ => span.soft { "–" },
        }
    }
}

/// Puts a sync with something of it changed, over the version that the form was made from; the password stays.
async fn change(desk: &Desk, id: &str, sheet: &Sheet, change: impl FnOnce(&mut Map<String, Value>)) -> Result<Value, Fault> {
    let (held, now) = desk.ask.get_version(&api_of(id)).await?;
    let mut body = held.as_object().cloned().unwrap_or_default();
    body.retain(|name, _| !TOLD.contains(&name.as_str()));
    change(&mut body);
    desk.ask.write_over(Method::PUT, &api_of(id), &Value::Object(body), sheet.version_or(&now)).await
}

fn schedule_of(sheet: &Sheet) -> Result<Value, Fault> {
    Ok(match sheet.value("kind") {
        "every" => match whole(sheet, "schedule.every_minutes")? {
            Value::Null => return Err(Fault::field("schedule.every_minutes", "say how many")),
            minutes => json!({"every_minutes": minutes}),
        },
        "cron" => {
            let zone = sheet.value("schedule.zone").trim();
            json!({"cron": sheet.value("schedule.cron").trim(), "zone": if zone.is_empty() { "UTC" } else { zone }})
        }
        _ => Value::Null,
    })
}

async fn act(desk: Desk, Path((id, action)): Path<(String, String)>, Sent(sheet): Sent) -> Result<Response, Fault> {
    let done = match action.as_str() {
        "run" => desk.ask.post(&format!("{}/run", api_of(&id)), &json!({"full": sheet.ticked("full")})).await.map(|_| "It runs."),
        "try" => match desk.ask.post(&format!("{}/try", api_of(&id)), &Value::Null).await {
            Ok(trial) => return shown(&desk, &id, &sheet, Some(&trial)).await,
            Err(fault) => Err(fault),
        },
        "pause" => change(&desk, &id, &sheet, |body| drop(body.insert("enabled".to_owned(), false.into())))
            .await
            .map(|_| "Its schedule is paused."),
        "resume" => change(&desk, &id, &sheet, |body| drop(body.insert("enabled".to_owned(), true.into())))
            .await
            .map(|_| "Its schedule goes on."),
        "schedule" => match schedule_of(&sheet) {
            Ok(schedule) => change(&desk, &id, &sheet, |body| drop(body.insert("schedule".to_owned(), schedule)))
                .await
                .map(|_| "Its schedule is set."),
            Err(fault) => Err(fault),
        },
        "delete" => {
            desk.ask.write_over(Method::DELETE, &api_of(&id), &Value::Null, sheet.version()).await?;
            return Ok(desk.redirect("/console/syncs", "The sync is deleted."));
        }
        _ => return Err(Fault::nowhere()),
    };
    match done {
        Ok(says) => Ok(desk.redirect(&page_of(&id), says)),
        Err(fault) => shown(&desk, &id, &sheet.refused(fault), None).await,
    }
}

async fn turn(desk: Desk, Path((id, run, turn)): Path<(String, String, String)>) -> Result<Response, Fault> {
    let says = match turn.as_str() {
        "pause" => "The run is paused.",
        "resume" => "The run goes on.",
        "cancel" => "The run is cancelled.",
        "run" => "The run is carried out.",
        _ => return Err(Fault::nowhere()),
    };
    desk.ask.post(&format!("/v1/batches/{}/{turn}", segment(&run)), &Value::Null).await?;
    Ok(desk.redirect(&page_of(&id), says))
}
