//! `/console/inspectors`: request bins, to see what a webhook sends.

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
    form::{Field, Kind, Sent, Sheet, once},
    frame::{Desk, heading},
    parts::{considered, items, pager_from, table, text, time, toned},
    targets::whole,
};
use crate::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/inspectors", get(list).post(create)).route("/console/inspectors/{id}/delete", post(delete))
}

async fn list(desk: Desk, Query(pairs): Query<Vec<(String, String)>>) -> Result<Response, Fault> {
    listed(&desk, Sheet::of(pairs)).await
}

async fn listed(desk: &Desk, mut sheet: Sheet) -> Result<Response, Fault> {
    let cursor = sheet.value("cursor").to_owned();
    let found = desk.ask.get(&query("/v1/inspectors", &[("cursor", &cursor)])).await?;
    sheet.suggest("expires_in_hours", "168");
    sheet.suggest("once", desk.once());
    let body = html! {
        (heading("Inspectors", Some("Addresses that take any request and show it, with what its signatures are worth."), &html! {}))
        (sheet.summary())
        (table("Inspectors", &["Name", "Send to", "Ends", ""], items(&found).map(|it| row(desk, it)).collect(), "No inspector yet."))
        (pager_from("/console/inspectors", &[], &found, &cursor))
        section {
            h2 { "New inspector" }
            form method="post" action="/console/inspectors" {
                (once(sheet.once()))
                (sheet.field(&Field::line("name", "Name").required()))
                (sheet.field(&Field::line("expires_in_hours", "Hours that it lives").kind(Kind::Line("number")).hint("1 to 8760.")))
                (sheet.field(&Field::line("keyed", "Looking takes a key").kind(Kind::Tick).hint("Sending to it never does.")))
                button.main type="submit" { "Make it" }
            }
        }
    };
    Ok(desk.page_again("Inspectors", &[], sheet.fault(), &body))
}

fn row(desk: &Desk, it: &Value) -> Vec<Markup> {
    let (name, id) = (text(it, "/name"), text(it, "/id"));
    let is_keyed = it["keyed"] == true;
    vec![
        html! {
            @if it["expired"] == true || is_keyed { strong { (name) } } @else { a href=(text(it, "/page_url")) { strong { (name) } } }
            @if is_keyed { " " (toned("quiet", "by key")) br; span.soft { "Its page opens with the key that was shown when it was made." } }
        },
        super::parts::id(text(it, "/url")),
        html! { (time(desk, &it["expires_at"])) @if it["expired"] == true { " " (toned("warn", "ended")) } },
        considered(
            "Delete",
            &html! {
                p { "What it took is removed." }
                form method="post" action={ "/console/inspectors/" (segment(id)) "/delete" } { button.danger type="submit" { "Delete " (name) } }
            },
        ),
    ]
}

async fn create(desk: Desk, Sent(sheet): Sent) -> Result<Response, Fault> {
    let made = match whole(&sheet, "expires_in_hours") {
        Ok(hours) => {
            let hours = if hours.is_null() { json!(168) } else { hours };
            let wish = json!({"name": sheet.value("name"), "keyed": sheet.ticked("keyed"), "expires_in_hours": hours});
            desk.ask.write_once(Method::POST, "/v1/inspectors", &wish, sheet.once()).await
        }
        Err(fault) => Err(fault),
    };
    match made {
        Ok(made) if made["view_key"].is_string() => Ok(keyed(&desk, &made)),
        Ok(made) => Ok(desk.redirect("/console/inspectors", &format!("{} is made.", text(&made, "/name")))),
        Err(fault) => listed(&desk, sheet.refused(fault)).await,
    }
}

/// The address of a page that takes a key, shown this once.
fn keyed(desk: &Desk, made: &Value) -> Response {
    let page = query(text(made, "/page_url"), &[("key", text(made, "/view_key"))]);
    let title = format!("{} is made", text(made, "/name"));
    let body = html! {
        (heading(&title, None, &html! {}))
        div.notice role="status" {
            p { "This is the address of its page, with its key: " strong { "it is shown this once." } }
            p { a.breaks href=(page) { code { (page) } } }
            p { "Send to " code.breaks { (text(made, "/url")) } "." }
        }
        p { a.button.main href="/console/inspectors" { "I have it" } }
    };
    desk.page(&title, &body)
}

async fn delete(desk: Desk, Path(id): Path<String>) -> Result<Response, Fault> {
    desk.ask.write(Method::DELETE, &format!("/v1/inspectors/{}", segment(&id)), &Value::Null).await?;
    Ok(desk.redirect("/console/inspectors", "It is deleted."))
}
