//! `/console/deliveries`: every try at telling somebody, one delivery with all of its tries, and what is owed. When something
//! does not arrive, the page that says why is one click away, and so is sending it again.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query},
    response::Response,
    routing::get,
};
use domain::{DeliveryId, EventId, EventKind, TargetId};
use http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    ask::{Fault, query, segment},
    form::{Field, Kind, Sent, Sheet, once},
    frame::{Desk, heading},
    parts::{chip, facts, id as shown_id, items, linked_id, pager_from, short_id, table, text, time, toned},
    targets::Room,
};
use crate::App;

/// What can be asked for.
const FILTERS: [&str; 8] = ["webhook", "type", "pass", "event", "outcome", "status", "since", "until"];
/// Those that are folded while they are not used.
const MORE: [&str; 5] = ["status", "pass", "event", "since", "until"];
const OUTCOMES: [(&str, &str); 5] = [
    ("", "Any"),
    ("delivered", "Delivered"),
    ("retrying", "Failed, tried again"),
    ("failed", "Failed for good"),
    ("expired", "Given up"),
];
/// Most tries of one delivery that are shown.
const MOST_TRIES: &str = "100";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/deliveries", get(log).post(resend))
        .route("/console/deliveries/owed", get(owed))
        .route("/console/deliveries/{webhook}/{event}", get(one))
}

/// The page of a delivery: one event owed to one webhook or destination.
pub(super) fn page_of(webhook: &str, event: &str) -> String {
    format!("/console/deliveries/{}/{}", segment(webhook), segment(event))
}

/// Webhooks and destinations by name, the first hundred; none for a key that may not read them.
struct Names(Value);

impl Names {
    async fn read(desk: &Desk) -> Result<Self, Fault> {
        match desk.ask.get("/v1/deliveries/health?limit=100").await {
            Ok(found) => Ok(Self(found)),
            Err(fault) if fault.status == StatusCode::FORBIDDEN => Ok(Self(Value::Null)),
            Err(fault) => Err(fault),
        }
    }

    fn of(&self, id: &str) -> Option<&Value> {
        items(&self.0).find(|it| text(it, "/id") == id)
    }

    /// A name that leads to what it names.
    fn shown(&self, id: &str) -> Markup {
        match self.of(id) {
            Some(it) => html! { a.whom href=(Room::of(text(it, "/kind")).page_of(id)) { (text(it, "/name")) } },
            None => html! { code { (id) } },
        }
    }
}

/// Attempts as a table; with the names of whom, where they are about several.
pub(super) fn attempts(desk: &Desk, found: &Value, names: Option<&dyn Fn(&str) -> Markup>) -> Markup {
    let row = |it: &Value| {
        let page = page_of(text(it, "/webhook"), text(it, "/event"));
        let mut cells = vec![
            html! { a href=(page) { (time(desk, &it["at"])) } },
            html! { a.unbroken href=(page) { (it["type"].as_str().unwrap_or("event")) } },
        ];
        cells.extend(names.map(|names| names(text(it, "/webhook"))));
        cells.extend([
            chip(text(it, "/outcome")),
            html! {
                @if let Some(status) = it["status"].as_i64() { code { (status) } } @else { span.soft { "–" } }
                @if let Some(error) = it["error"].as_str() { br; span.soft.breaks { (error) } }
            },
            html! { (it["attempt"].as_i64().unwrap_or(1)) },
            html! { @if it["next_at"].is_null() { span.soft { "–" } } @else { (time(desk, &it["next_at"])) } },
        ]);
        cells
    };
    let columns: &[&str] = match names {
        Some(_) => &["When", "Event", "To", "Ended", "Answer", "Try", "Next try"],
        None => &["When", "Event", "Ended", "Answer", "Try", "Next try"],
    };
    table("Attempts", columns, items(found).map(row).collect(), "Nothing was sent yet, or nothing that fits.")
}

async fn log(desk: Desk, Query(pairs): Query<Vec<(String, String)>>) -> Result<Response, Fault> {
    let sheet = Sheet::of(pairs);
    let names = Names::read(&desk).await?;
    let (found, sheet) = match search(&desk, &sheet).await {
        Ok(found) => (found, sheet),
        Err(fault) if fault.status.is_client_error() && fault.status != StatusCode::FORBIDDEN => {
            let fault = Fault { errors: beside(&fault), ..fault };
            (Value::Null, sheet.refused(fault))
        }
        Err(fault) => return Err(fault),
    };
    let keep: Vec<(&str, &str)> = FILTERS.iter().map(|name| (*name, sheet.value(name))).collect();
    let shown = |id: &str| names.shown(id);
    let body = html! {
        (heading("Deliveries", Some("Every try, newest first."), &html! { a.button href="/console/deliveries/owed" { "What is owed" } }))
        (filters(&sheet, &names))
        (attempts(&desk, &found, Some(&shown)))
        (pager_from("/console/deliveries", &keep, &found, sheet.value("cursor")))
    };
    Ok(desk.page_again("Deliveries", &[], sheet.fault(), &body))
}

/// A parameter that the API does not read is named in its words; here it stands beside its field.
fn beside(fault: &Fault) -> Box<[(String, String)]> {
    let detail = fault.detail.strip_prefix("query: ").unwrap_or(&fault.detail);
    let named = detail.split_once(": ").filter(|(name, _)| FILTERS.contains(name));
    named.map_or_else(|| fault.errors.clone(), |(name, message)| Box::new([(name.to_owned(), message.to_owned())]))
}

async fn search(desk: &Desk, sheet: &Sheet) -> Result<Value, Fault> {
    let moment = |name| Ok::<_, Fault>(sheet.moment(name)?.as_str().unwrap_or_default().to_owned());
    let (since, until) = (moment("since")?, moment("until")?);
    let mut wanted: Vec<(&str, &str)> = FILTERS[..6].iter().map(|name| (*name, sheet.value(name).trim())).collect();
    wanted.extend([("since", since.as_str()), ("until", &until), ("cursor", sheet.value("cursor"))]);
    desk.ask.get(&query("/v1/deliveries/attempts", &wanted)).await
}

fn filters(sheet: &Sheet, names: &Names) -> Markup {
    let who: Vec<(&str, &str)> =
        std::iter::once(("", "Anybody")).chain(items(&names.0).map(|it| (text(it, "/id"), text(it, "/name")))).collect();
    let kinds: Vec<(&str, &str)> =
        std::iter::once(("", "Any")).chain(EventKind::all().map(|kind| (kind.name(), kind.name()))).collect();
    let is_set = |names: &[&str]| names.iter().any(|name| !sheet.value(name).is_empty());
    let more = is_set(&MORE);
    html! {
        (sheet.summary())
        form.filters method="get" action="/console/deliveries" role="search" {
            @if names.0.is_null() { (sheet.field(&Field::line("webhook", "To"))) } @else {
                (sheet.field(&Field::line("webhook", "To").kind(Kind::Choice(&who))))
            }
            (sheet.field(&Field::line("type", "Event type").kind(Kind::Choice(&kinds))))
            (sheet.field(&Field::line("outcome", "Ended").kind(Kind::Choice(&OUTCOMES))))
            details.more open[more] {
                summary { "More" }
                div {
                    (sheet.field(&Field::line("status", "HTTP status").kind(Kind::Line("number"))))
                    (sheet.field(&Field::line("pass", "Pass")))
                    (sheet.field(&Field::line("event", "Event")))
                    (sheet.field(&Field::line("since", "Since (UTC)").kind(Kind::Line("datetime-local"))))
                    (sheet.field(&Field::line("until", "Until (UTC)").kind(Kind::Line("datetime-local"))))
                }
            }
            div.actions {
                button type="submit" { "Search" }
                @if is_set(&FILTERS) { a href="/console/deliveries" { "All" } }
            }
        }
    }
}

async fn owed(desk: Desk, Query(pairs): Query<Vec<(String, String)>>) -> Result<Response, Fault> {
    let sheet = Sheet::of(pairs);
    let cursor = sheet.value("cursor");
    let of = ["webhook", "event", "pass"].map(|name| (name, sheet.value(name)));
    let wanted: Vec<_> = of.into_iter().chain([("cursor", cursor)]).collect();
    let found = desk.ask.get(&query("/v1/deliveries", &wanted)).await?;
    let names = Names::read(&desk).await?;
    let row = |it: &Value| {
        let (webhook, event) = (text(it, "/webhook"), text(it, "/event"));
        vec![
            time(&desk, &it["due_at"]),
            names.shown(webhook),
            html! { (it["type"].as_str().unwrap_or("event")) " " (short_id(event, &page_of(webhook, event))) },
            html! { (it["attempts"].as_i64().unwrap_or(0)) },
            html! { span.breaks { (waits(it)) } },
        ]
    };
    let columns = ["Next try", "To", "Event", "Tries so far", "Why it waits"];
    let [(_, webhook), _, (_, pass)] = of;
    let about = "What waits for its next try. What is taken at once is never here.";
    let body = html! {
        (heading("Owed", Some(about), &html! { a.button href="/console/deliveries" { "All attempts" } }))
        @if !webhook.is_empty() { p { "To " (names.shown(webhook)) ". " a href="/console/deliveries/owed" { "To everybody" } } }
        @if !pass.is_empty() {
            p { "About the pass " (linked_id(pass, &format!("/console/passes/{}", segment(pass)))) ". " a href="/console/deliveries/owed" { "About everything" } }
        }
        (table("Owed", &columns, items(&found).map(row).collect(), "Nothing is owed."))
        (pager_from("/console/deliveries/owed", &of, &found, cursor))
    };
    Ok(desk.page("Owed deliveries", &body))
}

/// Why a delivery that is owed was not made yet.
pub(super) fn waits(owed: &Value) -> Markup {
    let why = match text(owed, "/waiting_for") {
        "next_try" => "it was tried and failed",
        "receiver" => "what was sent there last failed",
        "replay" => "it is replayed, one after another, when nothing else is to be sent",
        "turn" => "an earlier event of its pass is not settled",
        "pace" => "only so many are sent there in a second",
        _ => "it is about to be sent",
    };
    html! { (why) @if let Some(error) = owed["error"].as_str() { ": " (error) } }
}

/// What is still owed of a delivery; nothing when it is settled.
async fn waiting(desk: &Desk, webhook: &str, event: &str) -> Result<Option<Value>, Fault> {
    let (Ok(webhook), Ok(event)) = (webhook.parse::<TargetId>(), event.parse::<EventId>()) else { return Err(Fault::nowhere()) };
    match desk.ask.get(&format!("/v1/deliveries/{}", DeliveryId::of(event.uuid(), webhook.uuid()))).await {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.status == StatusCode::NOT_FOUND => Ok(None),
        Err(fault) => Err(fault),
    }
}

async fn one(desk: Desk, Path((webhook, event)): Path<(String, String)>) -> Result<Response, Fault> {
    let waiting = waiting(&desk, &webhook, &event).await?;
    let about = desk.ask.get(&format!("/v1/events/{}", segment(&event))).await;
    let wanted = [("webhook", webhook.as_str()), ("event", &event), ("limit", MOST_TRIES)];
    let tries = desk.ask.get(&query("/v1/deliveries/attempts", &wanted)).await?;
    let names = Names::read(&desk).await?;
    let newest = items(&tries).next();
    if newest.is_none() && waiting.is_none() {
        // Nothing is known of it, unless there is such an event and somebody that it could be sent to.
        about.as_ref().map_err(Clone::clone)?;
        desk.ask.get(&format!("/v1/deliveries/health/{}", segment(&webhook))).await?;
    }
    let kind = about.as_ref().ok().map_or("Delivery", |it| text(it, "/type"));
    let actions = html! {
        form.inline method="post" action="/console/deliveries" {
            (once(&desk.once()))
            input type="hidden" name="webhook" value=(webhook);
            input type="hidden" name="event" value=(event);
            button.main type="submit" { "Send again" }
        }
    };
    let body = html! {
        (heading(kind, Some("One event, owed to one receiver."), &actions))
        section.card { (facts(said(&desk, &webhook, &event, &names, about.as_ref().ok(), waiting.as_ref(), newest))) }
        section {
            h2 { "Tries" }
            @if newest.is_none() { p.empty { "It was not tried yet." } }
            @for (number, attempt) in items(&tries).enumerate() { (tried(&desk, attempt, number == 0)) }
        }
        @if let Ok(about) = &about {
            section { details { summary { "The event" } (super::parts::json(about)) } }
        }
    };
    Ok(desk.page(kind, &body))
}

/// What a delivery is about, and how it stands.
fn said<'s>(
    desk: &Desk,
    webhook: &str,
    event: &str,
    names: &Names,
    about: Option<&Value>,
    waiting: Option<&Value>,
    newest: Option<&Value>,
) -> Vec<(&'s str, Markup)> {
    let stands = match (waiting, newest) {
        (Some(waiting), _) => html! { (toned("busy", "owed")) " the next try is " (time(desk, &waiting["due_at"])) },
        (None, Some(newest)) => chip(text(newest, "/outcome")),
        (None, None) => toned("quiet", "not sent"),
    };
    let mut all = vec![("Stands", stands), ("To", names.shown(webhook))];
    all.extend(waiting.map(|waiting| ("Why it waits", waits(waiting))));
    if let Some(error) =
        newest.filter(|_| waiting.is_none_or(|it| it["error"].is_null())).and_then(|newest| newest["error"].as_str())
    {
        all.push(("Why it failed", html! { (error) }));
    }
    all.push((
        "Event",
        html! {
            (shown_id(event)) " " a href=(query("/console/deliveries", &[("event", event)])) { "all of its deliveries" }
        },
    ));
    if let Some(about) = about {
        all.push(("Happened", time(desk, &about["occurred_at"])));
        if let Some(pass) = about["pass"].as_str() {
            all.push(("Pass", linked_id(pass, &format!("/console/passes/{}", segment(pass)))));
        }
        let cause = text(about, "/cause/id");
        match text(about, "/cause/type") {
            "source_event" => all.push(("Caused by", linked_id(cause, &format!("/console/source-events/{}", segment(cause))))),
            "batch" => all.push(("Caused by", linked_id(cause, &format!("/console/batches/{}", segment(cause))))),
            _ => {}
        }
    }
    if let (Ok(webhook), Ok(event)) = (webhook.parse::<TargetId>(), event.parse::<EventId>()) {
        all.push(("Delivery", shown_id(&DeliveryId::of(event.uuid(), webhook.uuid()).to_string())));
    }
    all
}

/// One try: what was sent, what came back, how long it took.
fn tried(desk: &Desk, attempt: &Value, is_open: bool) -> Markup {
    let detail = &attempt["detail"];
    let took = attempt["elapsed_ms"].as_f64().unwrap_or(0.0);
    html! {
        details.try open[is_open] {
            summary {
                strong { "Try " (attempt["attempt"].as_i64().unwrap_or(1)) } " "
                (time(desk, &attempt["at"])) " " (chip(text(attempt, "/outcome"))) " "
                @if let Some(status) = attempt["status"].as_i64() { code { (status) } " " }
                span.soft { (format!("{took:.0} ms")) }
            }
            @if let Some(error) = attempt["error"].as_str() { p.fault { (error) } }
            @if !attempt["next_at"].is_null() { p { "Tried again " (time(desk, &attempt["next_at"])) "." } }
            @if let Some(together) = detail["together"].as_u64() {
                p.soft { "Sent together with " (together.saturating_sub(1)) " others; this is the part of this event." }
            }
            @if let Some(egress) = detail["egress"].as_str() { p.soft { "By the way out " code { (egress) } "." } }
            @if detail.is_null() { p.soft { "What was sent is kept no more: its person was erased." } } @else {
                div.exchange {
                    div {
                        h3 { "Request" }
                        @match &detail["request"] {
                            Value::Null => p.soft { "None was sent." },
                            request => {
                                p { code.breaks { (text(request, "/method")) " " (text(request, "/url")) } }
                                (message(request))
                            }
                        }
                    }
                    div {
                        h3 { "Answer" }
                        @match &detail["reply"] {
                            Value::Null => p.soft { "None came." },
                            reply => {
                                p { code { (reply["status"].as_i64().unwrap_or(0)) } }
                                (message(reply))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Headers and body, JSON laid out to be read.
fn message(message: &Value) -> Markup {
    let headers: Vec<_> = message["headers"].as_object().into_iter().flatten().collect();
    let body = text(message, "/body");
    let laid_out = serde_json::from_str::<Value>(body).ok().and_then(|json| serde_json::to_string_pretty(&json).ok());
    html! {
        @if !headers.is_empty() {
            pre tabindex="0" { code { @for (name, value) in headers { (name) ": " (value.as_str().unwrap_or_default()) "\n" } } }
        }
        @if body.is_empty() { p.soft { "Without a body." } } @else {
            pre.json tabindex="0" { code { (laid_out.as_deref().unwrap_or(body)) } }
        }
    }
}

async fn resend(desk: Desk, Sent(sheet): Sent) -> Result<Response, Fault> {
    let (webhook, event) = (sheet.value("webhook"), sheet.value("event"));
    desk.ask.write_once(Method::POST, "/v1/deliveries", &json!({"webhook": webhook, "event": event}), sheet.once()).await?;
    Ok(desk.redirect(&page_of(webhook, event), "It is on its way once more."))
}
