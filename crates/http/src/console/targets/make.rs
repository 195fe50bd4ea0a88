//! Made and changed by a form that is drawn from the connector's settings as the API publishes them.

use axum::response::Response;
use http::Method;
use maud::{Markup, html};
use serde_json::Value;

use super::{
    Room, again, connector,
    fields::{self, Choices},
    form,
};
use crate::console::{
    ask::{Fault, query},
    form::{Sheet, once, version},
    frame::{Desk, heading},
    parts::{items, text, toned},
};

/// A form for a new one, or the choice of what it is to be.
pub(super) async fn new(room: Room, desk: Desk, mut sheet: Sheet) -> Result<Response, Fault> {
    let slug = sheet.value(room.connector()).to_owned();
    if slug.is_empty() {
        return choose(room, &desk).await;
    }
    let connector = connector(&desk, &slug).await?;
    sheet.suggest("enabled", "true");
    sheet.suggest("switch_off.after_hours", "120");
    sheet.suggest("once", desk.once());
    drawn(room, &desk, &sheet, &connector, None).await
}

/// Which connectors there are.
async fn choose(room: Room, desk: &Desk) -> Result<Response, Fault> {
    let found = desk.ask.get("/v1/connectors").await?;
    let about = match room {
        Room::Webhooks => "In which shape is it to get events?",
        Room::Destinations => "Which service is to be told?",
    };
    let body = html! {
        (heading(&format!("New {}", room.one()), Some(about), &html! {}))
        ul.cards {
            @for it in items(&found).filter(|it| !it[room.one()].is_null()) {
                li {
                    a href=(query(&format!("{}/new", room.path()), &[(room.connector(), text(it, "/slug"))])) {
                        strong { (text(it, "/label")) }
                    }
                    @if text(it, "/maturity") == "beta" { " " (toned("quiet", "beta")) }
                    br; code.soft { (text(it, "/slug")) }
                }
            }
        }
    };
    Ok(desk.page(&format!("New {}", room.one()), &body))
}

/// The form of a new one, or of `held`.
async fn drawn(room: Room, desk: &Desk, sheet: &Sheet, connector: &Value, held: Option<&Value>) -> Result<Response, Fault> {
    let choices = Choices::read(desk).await?;
    let (title, to, does) = match held {
        None => (format!("New {}", room.one()), format!("{}/new", room.path()), "Make it"),
        Some(held) => (format!("Change {}", text(held, "/name")), format!("{}/edit", room.page_of(text(held, "/id"))), "Save"),
    };
    let back = held.map_or(room.path().to_owned(), |held| room.page_of(text(held, "/id")));
    let body = html! {
        (heading(&title, Some(text(connector, "/label")), &html! {}))
        (sheet.summary())
        form.wide method="post" action=(to) {
            input type="hidden" name=(room.connector()) value=(text(connector, "/slug"));
            @if held.is_none() { (once(sheet.once())) }
            (version(sheet.version()))
            (fields::draw(room, sheet, connector, held, &choices))
            div.actions { button.main type="submit" { (does) } a.button href=(back) { "Cancel" } }
        }
        (notes(connector))
    };
    Ok(again(desk, &title, sheet, &body))
}

/// What has to be done at the vendor, as the connector's notes say.
fn notes(connector: &Value) -> Markup {
    let readme = text(connector, "/readme");
    html! { @if !readme.is_empty() { details { summary { "Set-up notes, limits and retries" } pre.notes tabindex="0" { (readme) } } } }
}

pub(super) async fn create(room: Room, desk: Desk, sheet: Sheet) -> Result<Response, Fault> {
    let connector = connector(&desk, sheet.value(room.connector())).await?;
    let made = match form::read(room, &sheet, &connector, None) {
        Ok(body) => desk.ask.write_once(Method::POST, room.api(), &body, sheet.once()).await,
        Err(fault) => Err(fault),
    };
    match made {
        Ok(made) if made["secret"].is_string() => Ok(secret(room, &desk, &made, "is made")),
        Ok(made) => Ok(desk.redirect(&room.page_of(text(&made, "/id")), &format!("{} is made.", text(&made, "/name")))),
        Err(fault) => drawn(room, &desk, &sheet.refused(form::beside(fault)), &connector, None).await,
    }
}

/// A secret, shown this once.
pub(super) fn secret(room: Room, desk: &Desk, made: &Value, what: &str) -> Response {
    let (name, id) = (text(made, "/name"), text(made, "/id"));
    let title = format!("{name} {what}");
    let body = html! {
        (heading(&title, None, &html! {}))
        div.notice role="status" {
            p { "This is its signing secret. Give it to the receiver now: " strong { "it is shown this once." } }
            p { span.id { code #secret { (text(made, "/secret")) } } }
            @if let Some(key) = made["public_key"].as_str() { p { "The public key by which signatures are checked: " code { (key) } } }
        }
        p { a.button.main href=(room.page_of(id)) { "I have it" } }
    };
    desk.page(&title, &body)
}

pub(super) async fn edit(room: Room, desk: Desk, id: String) -> Result<Response, Fault> {
    let (held, version) = desk.ask.get_version(&room.api_of(&id)).await?;
    let connector = connector(&desk, held[room.connector()].as_str().unwrap_or_default()).await?;
    let sheet = form::fill(&held, &connector, room).with_version(version);
    drawn(room, &desk, &sheet, &connector, Some(&held)).await
}

pub(super) async fn replace(room: Room, desk: Desk, id: String, sheet: Sheet) -> Result<Response, Fault> {
    let held = desk.ask.get(&room.api_of(&id)).await?;
    let connector = connector(&desk, held[room.connector()].as_str().unwrap_or_default()).await?;
    let saved = match form::read(room, &sheet, &connector, Some(&held)) {
        Ok(body) => desk.ask.write_over(Method::PUT, &room.api_of(&id), &body, sheet.version()).await,
        Err(fault) => Err(fault),
    };
    match saved {
        Ok(saved) => Ok(desk.redirect(&room.page_of(&id), &format!("{} is changed.", text(&saved, "/name")))),
        Err(fault) => {
            let sheet = sheet.refused_by(&desk.ask, form::beside(fault), &room.api_of(&id), &room.page_of(&id)).await;
            drawn(room, &desk, &sheet, &connector, Some(&held)).await
        }
    }
}
