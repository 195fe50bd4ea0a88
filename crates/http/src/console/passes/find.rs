//! Finding passes: by their id, their external id, or who holds them.

use axum::{extract::Query, response::Response};
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::may_see;
use crate::console::{
    ask::{Fault, query, segment},
    events::pass_page,
    form::{Field, Kind, Sheet},
    frame::{self, Desk},
    parts::{chip, items, linked_id, pager_from, plain, table, text, time},
};

const LIST: &str = "/console/passes";
/// Characters of a pass's id.
const ID_CHARS: usize = 22;

/// The list, or what a search finds; what is found by its id is opened.
pub(super) async fn list(desk: Desk, Query(pairs): Query<Vec<(String, String)>>) -> Result<Response, Fault> {
    let sheet = Sheet::of(pairs);
    let (wanted, project) = (sheet.value("q").trim(), sheet.value("project"));
    let projects = may_see(&desk, "/v1/projects?limit=100").await?;
    if let Some(pass) = by_id(&desk, wanted).await? {
        return Ok(desk.redirect(&pass_page(&pass), ""));
    }
    let cursor = sheet.value("cursor");
    let found = if wanted.is_empty() {
        desk.ask.get(&query("/v1/passes", &[("project", project), ("cursor", cursor)])).await?
    } else {
        search(&desk, wanted, project).await?
    };
    let keep = [("q", wanted), ("project", project)];
    let about = if wanted.is_empty() { "Oldest first." } else { "What has this external id, or is held by this person." };
    let body = html! {
        (frame::heading("Passes", Some(about), &html! {}))
        (filters(&sheet, &projects))
        (passes(&desk, &found, &projects))
        (pager_from(LIST, &keep, &found, cursor))
    };
    Ok(desk.page("Passes", &body))
}

async fn by_id(desk: &Desk, wanted: &str) -> Result<Option<String>, Fault> {
    if wanted.len() != ID_CHARS || !wanted.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(None);
    }
    let found = may_see(desk, &format!("/v1/passes/{}", segment(wanted))).await?;
    Ok(found["id"].as_str().map(str::to_owned))
}

/// Passes with an external id, and passes of whoever has this e-mail address, external id or contact's id.
async fn search(desk: &Desk, wanted: &str, project: &str) -> Result<Value, Fault> {
    let named = query("/v1/passes", &[("external_id", wanted), ("project", project)]);
    let mut data: Vec<Value> = items(&desk.ask.get(&named).await?).cloned().collect();
    let who = if wanted.contains('@') { "email" } else { "external_id" };
    let people = match desk.ask.get(&query("/v1/contacts", &[(who, wanted)])).await {
        // What is no address, or an id that is too long, is nobody's.
        Err(fault) if fault.status.is_client_error() && fault.status != StatusCode::TOO_MANY_REQUESTS => Value::Null,
        people => people?,
    };
    for contact in items(&people).map(|contact| text(contact, "/id")) {
        let held = desk.ask.get(&query("/v1/passes", &[("contact", contact), ("project", project), ("limit", "100")])).await?;
        for pass in items(&held) {
            if !data.iter().any(|known| known["id"] == pass["id"]) {
                data.push(pass.clone());
            }
        }
    }
    Ok(json!({"data": data, "next_cursor": null}))
}

fn filters(sheet: &Sheet, projects: &Value) -> Markup {
    let named = items(projects).map(|project| (text(project, "/id"), text(project, "/name")));
    let named: Vec<(&str, &str)> = std::iter::once(("", "Any")).chain(named).collect();
    let wanted = Field::line("q", "Find").kind(Kind::Line("search"));
    html! {
        form.filters method="get" action=(LIST) role="search" {
            div.wide { (sheet.field(&wanted.hint("The pass's id or external id, or its holder's e-mail address or external id"))) }
            @if named.len() > 1 { (sheet.field(&Field::line("project", "Project").kind(Kind::Choice(&named)))) }
            button type="submit" { "Find" }
            @if sheet.pairs().any(|(_, value)| !value.is_empty()) { a href=(LIST) { "All" } }
        }
    }
}

fn passes(desk: &Desk, found: &Value, projects: &Value) -> Markup {
    let project = |id: &str| items(projects).find(|it| text(it, "/id") == id).map(|it| text(it, "/name").to_owned());
    let row = |pass: &Value| {
        let id = text(pass, "/id");
        vec![
            linked_id(id, &pass_page(id)),
            html! { @if pass["external_id"].is_null() { span.soft { "–" } } @else { (plain(&pass["external_id"])) } },
            html! { (project(text(pass, "/project")).unwrap_or_else(|| text(pass, "/project").to_owned())) },
            chip(text(pass, "/state")),
            wallets(pass),
            time(desk, &pass["updated_at"]),
        ]
    };
    let rows = items(found).map(row).collect();
    table("Passes", &["Pass", "External id", "Project", "State", "In wallets", "Changed"], rows, "There is no such pass.")
}

/// In which wallets a pass is now.
fn wallets(pass: &Value) -> Markup {
    let held =
        [("Apple", "/wallets/apple/active"), ("Google", "/wallets/google/active"), ("one unknown", "/wallets/unknown/active")];
    let held = held.map(|(name, place)| (name, pass.pointer(place).and_then(Value::as_u64).unwrap_or_default()));
    html! {
        @if held.iter().all(|(_, count)| *count == 0) { span.soft { "none" } }
        @for (name, count) in held { @if count > 0 { (name) @if count > 1 { " × " (count) } " " } }
    }
}
