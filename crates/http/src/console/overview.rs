//! `/console`: how things stand.

use std::sync::Arc;

use axum::{Router, response::Response, routing::get};
use maud::{Markup, html};
use serde_json::Value;

use super::{
    ask::{Fault, query},
    events,
    frame::{self, Desk},
    parts::{chip, items, table, text, time, toned},
    source_events,
};
use crate::App;

/// Things that wait or failed are counted up to here.
const COUNTED: usize = 100;
/// Events and source events that are shown.
const SHOWN: &str = "12";

/// What the API says, or why this key does not get to hear it.
type Told = Result<Value, Fault>;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console", get(show)).route("/console/", get(show))
}

async fn show(desk: Desk) -> Result<Response, Fault> {
    let ask = &desk.ask;
    let most = COUNTED.to_string();
    let counted = [("limit", most.as_str())];
    let parked = ask.get(&query("/v1/source-events", &[("status", "parked"), counted[0]])).await;
    let owed = ask.get(&query("/v1/deliveries", &counted)).await;
    let failed = ask.get(&query("/v1/deliveries/attempts", &[("outcome", "failed"), counted[0]])).await;
    let batches = ask.get(&query("/v1/batches", &counted)).await;
    let projects = ask.get(&query("/v1/projects", &counted)).await;
    let counts = ask.get(&query("/v1/passes/counts", &counted)).await;
    let newest = ask.get(&query("/v1/events/newest", &[("limit", SHOWN)])).await;
    let came = ask.get(&query("/v1/source-events", &[("limit", SHOWN)])).await;
    let signers = ask.get(&query("/v1/signers", &counted)).await;
    let body = html! {
        (frame::heading("Overview", None, &html! {}))
        ul.numbers {
            (number(total(&counts), "Passes", "/console/passes", ""))
            (number(waiting(&parked, |_| true), "Source events parked", "/console/source-events?status=parked", "bad"))
            (number(waiting(&owed, |_| true), "Deliveries owed", "/console/deliveries/owed", "warn"))
            (number(waiting(&failed, |_| true), "Attempts failed for good", "/console/deliveries?outcome=failed", "bad"))
            (number(waiting(&batches, is_running), "Batches under way", "/console/batches", ""))
        }
        div.columns {
            section {
                h2 { "Happening now" }
                (told(&newest, |newest| events::tail(&desk, &items(newest).collect::<Vec<_>>())))
            }
            section {
                h2 { "What came in last" }
                (told(&came, |came| source_events::short(&desk, came)))
            }
        }
        section { h2 { "Projects" } (told(&projects, |found| projects_table(found, &counts))) }
        section { h2 { "Certificates" } (told(&signers, |found| certificates(&desk, found))) }
    };
    Ok(desk.page_with("Overview", &["console-live.js"], &body))
}

/// A part of the page, or why it is not there.
fn told(told: &Told, draw: impl FnOnce(&Value) -> Markup) -> Markup {
    match told {
        Ok(value) => draw(value),
        Err(fault) => html! { p.empty { (fault.title) ": " (fault.detail) } },
    }
}

/// How many of a list there are, as far as it was read; nothing for a key that may not see them.
fn waiting(told: &Told, counts: impl Fn(&Value) -> bool) -> Option<(usize, bool)> {
    let found = told.as_ref().ok()?;
    Some((items(found).filter(|it| counts(it)).count(), !found["next_cursor"].is_null()))
}

fn total(counts: &Told) -> Option<(usize, bool)> {
    let counts = counts.as_ref().ok()?;
    let all = items(counts).filter_map(|it| it["passes"].as_u64()).sum::<u64>();
    let more = !counts["next_cursor"].is_null() || items(counts).any(|it| it["more"] == true);
    Some((usize::try_from(all).unwrap_or(usize::MAX), more))
}

fn is_running(batch: &Value) -> bool {
    let under_way = ["reading", "checking", "scheduled", "running"];
    batch["trial"] != true && under_way.contains(&text(batch, "/state"))
}

fn number(count: Option<(usize, bool)>, label: &str, to: &str, tone: &str) -> Markup {
    let tone = if count.is_some_and(|(count, _)| count > 0) { tone } else { "" };
    html! {
        li class=(tone) {
            a href=(to) {
                strong { @match count { Some((count, more)) => { (count) @if more { "+" } } None => { "–" } } }
                span { (label) }
            }
        }
    }
}

fn projects_table(projects: &Value, counts: &Told) -> Markup {
    let count = |id: &str| {
        let counts = counts.as_ref().ok()?;
        let found = items(counts).find(|it| text(it, "/project") == id)?;
        Some((found["passes"].as_u64()?, found["more"] == true))
    };
    let row = |project: &Value| {
        let id = text(project, "/id");
        let offers = [("/apple_pass_type", "Apple"), ("/google_issuer", "Google")];
        vec![
            html! { a href=(query("/console/passes", &[("project", id)])) { strong { (text(project, "/name")) } } },
            html! { (text(project, "/kind").replace('_', " ")) },
            html! { @match count(id) { Some((count, more)) => { (count) @if more { "+" } } None => { span.soft { "–" } } } },
            html! {
                @for (place, wallet) in offers { @if !text(project, place).is_empty() { (toned("quiet", wallet)) " " } }
            },
        ]
    };
    let rows = items(projects).map(row).collect();
    table("Projects", &["Name", "Kind", "Passes", "Wallets"], rows, "There is no project yet.")
}

fn certificates(desk: &Desk, signers: &Value) -> Markup {
    let row = |signer: &Value| {
        let state = match text(signer, "/warning") {
            "" => chip("active"),
            "past" => toned("bad", "expired"),
            near => toned(if near == "within_90_days" { "warn" } else { "bad" }, near),
        };
        vec![
            html! { code { (text(signer, "/pass_type")) } },
            html! { (text(signer, "/team")) },
            state,
            time(desk, &signer["expires_at"]),
        ]
    };
    let rows = items(signers).map(row).collect();
    table("Certificates", &["Pass type", "Team", "State", "Ends"], rows, "There is no signer yet, so no Apple passes.")
}
