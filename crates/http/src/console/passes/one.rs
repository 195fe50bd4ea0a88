//! The page of a pass: what it says, where it stands, in which wallets it is, what happened to it.

use axum::{
    extract::{Path, Query},
    response::Response,
};
use http::{HeaderMap, HeaderValue, header};
use maud::{Markup, html};
use serde_json::Value;

use super::{
    act::{self, Action},
    may_see,
    timeline::{Told, all_deliveries, owed_line, timeline},
};
use crate::console::{
    ask::{Fault, query, segment},
    events::pass_page,
    form::Sheet,
    frame::{self, Desk},
    parts::{chip, facts, id as shown_id, items, plain, table, text, time},
};

/// What the page may load: as all pages of ours, and the preview in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// All that the page is made of.
pub(super) struct Known {
    pub(super) pass: Value,
    pub(super) project: Value,
    pub(super) contact: Value,
}

impl Known {
    /// A pass with what belongs to it, as far as this key may see it.
    pub(super) async fn read(desk: &Desk, id: &str) -> Result<Self, Fault> {
        let pass = desk.ask.get(&format!("/v1/passes/{}", segment(id))).await?;
        let project = may_see(desk, &format!("/v1/projects/{}", segment(text(&pass, "/project")))).await?;
        let contact = match text(&pass, "/contact") {
            "" => Value::Null,
            contact => may_see(desk, &format!("/v1/contacts/{}", segment(contact))).await?,
        };
        Ok(Self { pass, project, contact })
    }

    fn title(&self) -> &str {
        let names = [text(&self.contact, "/name"), text(&self.pass, "/external_id"), text(&self.contact, "/email")];
        names.into_iter().find(|name| !name.is_empty()).unwrap_or("Pass")
    }
}

pub(super) async fn show(
    desk: Desk,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let known = Known::read(&desk, &id).await?;
    draw(&desk, &known, Sheet::of(pairs).value("cursor"), None).await
}

/// The page; with a form that was refused, as it was sent.
pub(super) async fn draw(desk: &Desk, known: &Known, cursor: &str, refused: Option<(Action, &Sheet)>) -> Result<Response, Fault> {
    let pass = &known.pass;
    let id = text(pass, "/id");
    let path = format!("/v1/passes/{}", segment(id));
    let events = [("order", "newest"), ("limit", "50"), ("cursor", cursor)];
    let events = desk.ask.get(&query(&format!("{path}/events"), &events)).await?;
    let attempts = desk.ask.get(&query("/v1/deliveries/attempts", &[("pass", id), ("limit", "100")])).await?;
    let owed = desk.ask.get(&query("/v1/deliveries", &[("pass", id), ("limit", "100")])).await?;
    let targets = may_see(desk, "/v1/deliveries/health?limit=100").await?;
    let installations = desk.ask.get(&format!("{path}/installations?limit=100")).await?;
    let reach = desk.ask.get(&format!("{path}/reach")).await?;
    let body = html! {
        p.crumbs { a href="/console/passes" { "Passes" } }
        (frame::heading(known.title(), None, &html! { (chip(text(pass, "/state"))) " " (chip(text(pass, "/status"))) }))
        @if let Some((_, sheet)) = refused { (sheet.summary()) }
        (act::forms(desk, known, &reach, refused))
        div.columns {
            section.card { h2 { "The pass" } (about(desk, known)) }
            div {
                section.card { h2 { "What it says" } (says(desk, known)) }
                section.card { h2 { "In wallets" } (wallets(desk, pass)) }
            }
        }
        section {
            details.preview {
                summary { "As each phone draws it" }
                iframe src={ (pass_page(id)) "/preview" } title="The pass as each phone draws it" loading="lazy" sandbox="" {}
            }
        }
        section { h2 { "Installations" } (installed(desk, &installations)) }
        section {
            div.heading { h2 { "What happened" } a href=(all_deliveries(id)) { "All deliveries" } }
            (owed_line(id, &owed))
            (timeline(desk, id, &events, &Told { attempts: &attempts, owed: &owed, targets: &targets }, cursor))
        }
    };
    let fault = refused.and_then(|(_, sheet)| sheet.fault());
    let mut response = desk.page_again(known.title(), &[], fault, &body);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

/// The pass as each phone draws it.
pub(super) async fn preview(desk: Desk, Path(id): Path<String>) -> Result<Response, Fault> {
    desk.ask.download(&format!("/v1/passes/{}/preview", segment(&id)), HeaderMap::new()).await
}

fn about(desk: &Desk, known: &Known) -> Markup {
    let (pass, contact) = (&known.pass, &known.contact);
    let project = match text(&known.project, "/name") {
        "" => html! { code { (text(pass, "/project")) } },
        name => html! { a href=(query("/console/passes", &[("project", text(pass, "/project"))])) { (name) } },
    };
    let mut all = vec![
        ("Id", shown_id(text(pass, "/id"))),
        ("External id", html! { (plain(&pass["external_id"])) }),
        ("Project", project),
        ("Variant", html! { (text(pass, "/variant")) }),
        ("Holder", holder(pass, contact)),
        (
            "State",
            html! { (chip(text(pass, "/state"))) @if !pass["state_since"].is_null() { " " (time(desk, &pass["state_since"])) } },
        ),
    ];
    if let Some(reason) = pass["state_reason"].as_str() {
        all.push(("Why", html! { (reason) }));
    }
    all.extend([
        ("Valid", html! { (time(desk, &pass["starts_at"])) " to " (time(desk, &pass["expires_at"])) }),
        ("Uses", html! { (pass["uses"]) @if let Some(limit) = pass["uses_limit"].as_u64() { " of " (limit) } }),
        ("Issued", time(desk, &pass["issued_at"])),
        ("Changed", html! { (time(desk, &pass["updated_at"])) ", version " (pass["version"]) }),
        ("Page", html! { a href=(text(pass, "/links/page")) rel="noreferrer" { "Open as its holder does" } }),
    ]);
    facts(all)
}

fn holder(pass: &Value, contact: &Value) -> Markup {
    let id = text(pass, "/contact");
    html! {
        @if id.is_empty() { span.soft { "nobody" } }
        @else {
            @for place in ["/name", "/email", "/phone"] { @if !text(contact, place).is_empty() { (text(contact, place)) br; } }
            a href=(query("/console/passes", &[("q", [text(contact, "/email"), text(contact, "/external_id")].into_iter().find(|it| !it.is_empty()).unwrap_or_default())])) { "All passes of theirs" }
        }
    }
}

/// Fields under the labels that the project gives them, and balances.
fn says(desk: &Desk, known: &Known) -> Markup {
    let label = |key: &str| {
        let defined = known.project["fields"].as_array().into_iter().flatten();
        defined.filter(|field| text(field, "/key") == key).map(|field| text(field, "/label").to_owned()).next()
    };
    let fields = known.pass["fields"].as_object().into_iter().flatten();
    let fields: Vec<(String, String)> =
        fields.map(|(key, value)| (label(key).unwrap_or_else(|| key.clone()), plain(value))).collect();
    let balances = known.pass["balances"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), plain(value)));
    let all: Vec<(String, String)> = balances.chain(fields).collect();
    let message = text(&known.pass, "/message/text");
    html! {
        @if all.is_empty() && message.is_empty() { p.soft { "It has no fields of its own." } }
        (facts(all.iter().map(|(name, value)| (name.as_str(), html! { (value) })).collect()))
        @if !message.is_empty() { p.says { "“" (message) "”" } }
        @for planned in known.pass["planned_messages"].as_array().into_iter().flatten() {
            p.says.soft { "“" (text(planned, "/text")) "” planned for " (time(desk, &planned["at"])) @if !planned["until"].is_null() { ", until " (time(desk, &planned["until"])) } }
        }
    }
}

fn wallets(desk: &Desk, pass: &Value) -> Markup {
    let wallet = |name: &'static str, held: &Value| {
        let active = held["active"].as_u64().unwrap_or_default();
        let gone = !held["last_uninstalled_at"].is_null();
        let shown = html! {
            @if active > 0 { (chip("installed")) " on " (active) @if active == 1 { " device" } @else { " devices" } }
            @else if gone { (chip("uninstalled")) }
            @else { span.soft { "never" } }
            @if !held["last_installed_at"].is_null() { br; span.soft { "installed " (time(desk, &held["last_installed_at"])) } }
            @if gone { br; span.soft { "left " (time(desk, &held["last_uninstalled_at"])) " (" (plain(&held["last_uninstall_reason"]).replace('_', " ")) ", " (text(held, "/last_uninstall_confidence")) ")" } }
        };
        (name, shown)
    };
    let held = &pass["wallets"];
    let unknown = Some(&held["unknown"]).filter(|held| !held.is_null()).map(|held| wallet("A wallet that was not named", held));
    let known = [wallet("Apple Wallet", &held["apple"]), wallet("Google Wallet", &held["google"])];
    facts(known.into_iter().chain(unknown).collect())
}

fn installed(desk: &Desk, found: &Value) -> Markup {
    let row = |it: &Value| {
        vec![
            html! { (match text(it, "/wallet") { "apple" => "Apple", "google" => "Google", _ => "unknown" }) },
            html! { @if text(it, "/device").is_empty() { span.soft { "an account" } }
            @else if text(it, "/device").starts_with("former-") { span.soft { "told by another platform" } }
                @else { (shown_id(text(it, "/device"))) } },
            html! { @if it["active"] == true { (chip("installed")) } @else { (chip("uninstalled")) " " span.soft { (plain(&it["reason"]).replace('_', " ")) ", " (text(it, "/confidence")) } } },
            time(desk, &it["since"]),
            time(desk, &it["first_installed_at"]),
        ]
    };
    let rows = items(found).map(row).collect();
    table("Installations", &["Wallet", "Device", "State", "Since", "First"], rows, "No wallet has held it yet.")
}
