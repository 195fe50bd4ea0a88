//! What is done to one of them.

use axum::{extract::Path, response::Response};
use http::Method;
use maud::html;
use serde_json::{Value, json};

use super::{
    Room,
    form::{body_of, whole},
    make, show,
};
use crate::console::{
    ask::{Fault, query, segment},
    deliveries,
    form::{Sent, Sheet},
    frame::{Desk, heading},
    parts::{facts, text},
};

/// Parts of a replay that are asked for at one press: 5,000 events each.
const PARTS: usize = 20;

/// Does it, or shows the page again with what was wrong.
pub(super) async fn act(room: Room, desk: Desk, id: String, action: String, sheet: Sheet) -> Result<Response, Fault> {
    let done = match action.as_str() {
        "test" => test(room, &desk, &id, &sheet).await,
        "enable" => switch(room, &desk, &id, &sheet, true).await,
        "disable" => switch(room, &desk, &id, &sheet, false).await,
        "replay" => replay(room, &desk, &id, &sheet).await,
        "backfill" => backfill(&desk, &id, &sheet).await,
        "delete" => delete(room, &desk, &id, &sheet).await,
        _ => return Err(Fault::nowhere()),
    };
    match done {
        Ok(response) => Ok(response),
        Err(fault) => show::again_with(room, &desk, &id, sheet.refused(fault)).await,
    }
}

async fn test(room: Room, desk: &Desk, id: &str, sheet: &Sheet) -> Result<Response, Fault> {
    let wish = match room {
        Room::Destinations if !sheet.value("to").is_empty() => json!({"to": sheet.value("to")}),
        _ => Value::Null,
    };
    let tested = desk.ask.post(&format!("{}/test", room.api_of(id)), &wish).await?;
    let says = match text(&tested, "/attempt/outcome") {
        "delivered" => "It took the test.",
        "" => "The test is on its way.",
        _ => "It did not take the test.",
    };
    Ok(desk.redirect(&deliveries::page_of(id, text(&tested, "/event")), says))
}

async fn switch(room: Room, desk: &Desk, id: &str, sheet: &Sheet, on: bool) -> Result<Response, Fault> {
    let (held, now) = desk.ask.get_version(&room.api_of(id)).await?;
    let mut body = body_of(&held);
    body.insert("enabled".to_owned(), on.into());
    desk.ask.write_over(Method::PUT, &room.api_of(id), &Value::Object(body), sheet.version_or(&now)).await?;
    Ok(desk.redirect(&room.page_of(id), if on { "It is switched on." } else { "It is switched off." }))
}

async fn delete(room: Room, desk: &Desk, id: &str, sheet: &Sheet) -> Result<Response, Fault> {
    desk.ask.write_over(Method::DELETE, &room.api_of(id), &Value::Null, sheet.version()).await?;
    Ok(desk.redirect(room.path(), "It is deleted."))
}

async fn backfill(desk: &Desk, id: &str, sheet: &Sheet) -> Result<Response, Fault> {
    let wish = json!({"everything": sheet.ticked("everything")});
    let path = format!("{}/backfill", Room::Destinations.api_of(id));
    let begun = desk.ask.write_once(Method::POST, &path, &wish, sheet.once()).await?;
    Ok(desk.redirect(&format!("/console/backfills/{}", segment(text(&begun, "/id"))), "The comparison is under way."))
}

/// Sends what happened in some time again, part by part.
async fn replay(room: Room, desk: &Desk, id: &str, sheet: &Sheet) -> Result<Response, Fault> {
    let mut wish =
        json!({"missed": sheet.ticked("missed"), "all": sheet.ticked("all"), "per_second": whole(sheet, "per_second")?});
    if !sheet.ticked("missed") {
        wish["from"] = sheet.moment("from")?;
        wish["to"] = sheet.moment("to")?;
    }
    wish["cursor"] = Some(sheet.value("cursor")).filter(|it| !it.is_empty()).map_or(Value::Null, Value::from);
    let (mut looked_at, mut owed) = (0, 0);
    let path = format!("{}/replay", Room::Webhooks.api_of(id));
    let mut part = Value::Null;
    for _ in 0..PARTS {
        part = desk.ask.post(&path, &wish).await?;
        looked_at += part["looked_at"].as_u64().unwrap_or(0);
        owed += part["owed"].as_u64().unwrap_or(0);
        wish["cursor"] = part["next_cursor"].clone();
        if part["next_cursor"].is_null() {
            let says = format!("{looked_at} events were looked at, and {owed} of them are sent again.");
            return Ok(desk.redirect(&room.page_of(id), &says));
        }
    }
    let again: Vec<_> = sheet.pairs().filter(|(name, _)| *name != "cursor").collect();
    let body = html! {
        (heading("A part of the replay is on its way", None, &html! {}))
        (facts(vec![
            ("Events looked at", html! { (looked_at) }),
            ("Sent again", html! { (owed) }),
            ("Waiting in all", html! { (part["waiting"].as_u64().unwrap_or(0)) }),
        ]))
        form method="post" action={ (room.page_of(id)) "/replay" } {
            @for (name, value) in again { input type="hidden" name=(name) value=(value); }
            input type="hidden" name="cursor" value=(text(&part, "/next_cursor"));
            button.main type="submit" { "Go on" }
        }
    };
    Ok(desk.page("Replay", &body))
}

pub(super) async fn rotate(desk: Desk, Path(id): Path<String>, Sent(sheet): Sent) -> Result<Response, Fault> {
    let path = query(&format!("{}/secrets", Room::Webhooks.api_of(&id)), &[("overlap_hours", sheet.value("overlap_hours"))]);
    match desk.ask.write_once(Method::POST, &path, &Value::Null, sheet.once()).await {
        Ok(made) => Ok(make::secret(Room::Webhooks, &desk, &made, "has a new secret")),
        Err(fault) => show::again_with(Room::Webhooks, &desk, &id, sheet.refused(fault)).await,
    }
}

pub(super) async fn end_rotation(desk: Desk, Path(id): Path<String>) -> Result<Response, Fault> {
    desk.ask.write(Method::DELETE, &format!("{}/secrets", Room::Webhooks.api_of(&id)), &Value::Null).await?;
    Ok(desk.redirect(&Room::Webhooks.page_of(&id), "The newest secret alone is in force."))
}
