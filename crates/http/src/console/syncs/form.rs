//! A sync that is made or changed: where its rows are, the query, and what becomes of each row.

use axum::{extract::Path, response::Response};
use http::Method;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::{KINDS, api_of, page_of, schedule_of, suggest_schedule};
use crate::console::{
    ask::Fault,
    batches::{EMPTY_CELLS, IF_EXISTS, OPERATIONS, STARTS, project_id, projects},
    form::{Field, Kind, Sent, Sheet, once, version},
    frame::{Desk, heading},
    mapping::{self, About, widget},
    parts::text,
    targets::whole,
};

const NEW: &str = "/console/syncs/new";
/// Where the map stands in the API's body.
const MAP: &str = "batch.map";
/// The row of the last try, as JSON: what the map is shown on.
const SAMPLE: &str = "sample";
const REMOVED: &[(&str, &str)] = &[("", "Nothing"), ("revoke", "They are called back"), ("delete", "They are removed")];
const TLS: [(&str, &str); 2] =
    [("verify", "Encrypted, the server's certificate and name checked"), ("off", "Off: within a network that you trust")];
/// Members that are texts which have to be said.
const TEXTS: [&str; 5] = ["slug", "name", "database.url", "database.user", "query"];

/// What a sync begins with where nothing is said, as the API has it.
fn fresh() -> Value {
    json!({
        "database": {"tls": "verify"},
        "batch": {"operation": "issue", "match_columns": true},
        "start": "always",
        "patience_seconds": 300,
        "enabled": true,
    })
}

fn about(sheet: &Sheet) -> About<'_> {
    About { project: sheet.value("batch.project"), action: sheet.value("batch.operation"), over: "rows", prefix: MAP }
}

fn sample(sheet: &Sheet) -> Value {
    serde_json::from_str(sheet.value(SAMPLE)).unwrap_or_else(|_| json!({}))
}

/// Fills the form in with a sync.
fn fill(sheet: &mut Sheet, it: &Value, project: &str) {
    let at = |name: &str| format!("/{}", name.replace('.', "/"));
    sheet.suggest("batch.project", project);
    for name in TEXTS.into_iter().chain(["database.tls", "database.authorities", "batch.operation", "batch.if_exists", "start"]) {
        sheet.suggest(name, text(it, &at(name)));
    }
    sheet.suggest("batch.empty_cells", text(it, "/batch/empty_cells"));
    for name in ["batch.match_columns", "enabled"] {
        if it.pointer(&at(name)) == Some(&Value::Bool(true)) {
            sheet.suggest(name, "true");
        }
    }
    sheet.suggest("incremental.column", text(it, "/incremental/column"));
    sheet.suggest("removed.action", text(it, "/removed/action"));
    for (name, unless) in [("incremental.overlap_seconds", 300), ("removed.at_most_percent", 10), ("patience_seconds", 300)] {
        let number = it.pointer(&at(name)).and_then(Value::as_u64).unwrap_or(unless);
        sheet.suggest(name, number.to_string());
    }
    suggest_schedule(sheet, &it["schedule"]);
    let map = it["batch"]["map"].as_object().cloned().unwrap_or_default();
    let about = About { project, action: text(it, "/batch/operation"), over: "rows", prefix: MAP };
    sheet.fill_map(&about, &map);
}

/// The sync that the form says.
async fn read(desk: &Desk, sheet: &Sheet) -> Result<Value, Fault> {
    let map = about(sheet).read(&desk.ask, sheet, &sample(sheet)).await?;
    let said = |name: &str| Some(sheet.value(name).trim()).filter(|value| !value.is_empty());
    let number = |name: &str| whole(sheet, name);
    let mut body = json!({
        "slug": sheet.value("slug").trim(),
        "name": sheet.value("name").trim(),
        "database": {
            "url": sheet.value("database.url").trim(),
            "user": sheet.value("database.user").trim(),
            "tls": sheet.value("database.tls"),
            "authorities": said("database.authorities"),
        },
        "query": sheet.value("query"),
        "incremental": null,
        "removed": null,
        "batch": {
            "project": sheet.value("batch.project"),
            "operation": sheet.value("batch.operation"),
            "match_columns": sheet.ticked("batch.match_columns"),
            "map": map,
        },
        "start": sheet.value("start"),
        "schedule": schedule_of(sheet)?,
        "enabled": sheet.ticked("enabled"),
    });
    // As it was typed: a password may begin or end with a space.
    let password = sheet.value("database.password");
    if !password.is_empty() {
        body["database"]["password"] = json!(password);
    }
    let is_issue = sheet.value("batch.operation") == "issue";
    for name in ["if_exists", "empty_cells"].into_iter().filter(|name| is_issue || *name != "if_exists") {
        if let Some(value) = said(&format!("batch.{name}")) {
            body["batch"][name] = json!(value);
        }
    }
    if let Some(column) = said("incremental.column") {
        body["incremental"] = with("column", column, "overlap_seconds", number("incremental.overlap_seconds")?);
    }
    if let Some(action) = said("removed.action") {
        body["removed"] = with("action", action, "at_most_percent", number("removed.at_most_percent")?);
    }
    let patience = number("patience_seconds")?;
    if !patience.is_null() {
        body["patience_seconds"] = patience;
    }
    Ok(body)
}

/// A text, and a number where one was given.
fn with(name: &str, text: &str, more: &str, number: Value) -> Value {
    let mut out = Map::from_iter([(name.to_owned(), json!(text))]);
    if !number.is_null() {
        out.insert(more.to_owned(), number);
    }
    Value::Object(out)
}

pub(super) async fn begin(desk: Desk) -> Result<Response, Fault> {
    let mut sheet = Sheet::default();
    let projects = projects(&desk.ask).await?;
    fill(&mut sheet, &fresh(), projects.first().map_or("", |(id, ..)| id));
    sheet.suggest("once", desk.once());
    page(&desk, None, &sheet).await
}

pub(super) async fn change(desk: Desk, Path(id): Path<String>) -> Result<Response, Fault> {
    let (it, version) = desk.ask.get_version(&api_of(&id)).await?;
    let mut sheet = Sheet::default().with_version(version);
    let project = project_id(&desk.ask, text(&it, "/batch/project")).await?;
    fill(&mut sheet, &it, &project);
    page(&desk, Some(&id), &sheet).await
}

pub(super) async fn made(desk: Desk, Sent(sheet): Sent) -> Result<Response, Fault> {
    sent(&desk, None, sheet).await
}

pub(super) async fn changed(desk: Desk, Path(id): Path<String>, Sent(sheet): Sent) -> Result<Response, Fault> {
    desk.ask.get(&api_of(&id)).await?;
    sent(&desk, Some(&id), sheet).await
}

async fn sent(desk: &Desk, held: Option<&str>, mut sheet: Sheet) -> Result<Response, Fault> {
    match (sheet.value("do"), held) {
        ("show", _) => return page(desk, held, &sheet).await,
        ("try", Some(id)) => {
            let tried = desk.ask.post(&format!("{}/try", api_of(id)), &Value::Null).await;
            let sheet = match tried {
                Ok(tried) => sheet.with(SAMPLE, tried["rows"].get(0).unwrap_or(&json!({})).to_string()),
                Err(fault) => sheet.refused(fault),
            };
            return page(desk, held, &sheet).await;
        }
        _ => {}
    }
    let saved = match (read(desk, &sheet).await, held) {
        (Err(fault), _) => Err(fault),
        (Ok(body), None) => desk.ask.write_once(Method::POST, "/v1/syncs", &body, sheet.once()).await,
        (Ok(body), Some(id)) => desk.ask.write_over(Method::PUT, &api_of(id), &body, sheet.version()).await,
    };
    match saved {
        Ok(it) => {
            let says = if held.is_some() { "The sync is changed." } else { "The sync is made. Try its query, then run it." };
            Ok(desk.redirect(&page_of(text(&it, "/id")), says))
        }
        Err(fault) => {
            sheet = match held {
                Some(id) => sheet.refused_by(&desk.ask, fault, &api_of(id), &page_of(id)).await,
                None => sheet.refused(fault),
            };
            page(desk, held, &sheet).await
        }
    }
}

async fn page(desk: &Desk, held: Option<&str>, sheet: &Sheet) -> Result<Response, Fault> {
    let projects = projects(&desk.ask).await?;
    let (title, to, does) = match held {
        None => ("New sync", NEW.to_owned(), "Make it"),
        Some(id) => ("Change the sync", format!("{}/edit", page_of(id)), "Save"),
    };
    let back = held.map_or_else(|| "/console/syncs".to_owned(), page_of);
    let choices: Vec<(&str, &str)> = projects.iter().map(|(id, name, _)| (id.as_str(), name.as_str())).collect();
    let map = map(desk, sheet, held.is_some()).await?;
    let body = html! {
        p.crumbs { a href="/console/syncs" { "Syncs" } }
        (heading(title, Some("Rows that a query finds in a database of yours become passes."), &html! {}))
        (sheet.summary())
        form.wide method="post" action=(to) {
            @if held.is_none() { (once(sheet.once())) }
            (version(sheet.version()))
            input type="hidden" name=(SAMPLE) value=(sheet.value(SAMPLE));
            // What Enter in a field does.
            button.hidden type="submit" name="do" value="save" tabindex="-1" aria-hidden="true" { (does) }
            (source(sheet, held.is_some()))
            (rows(sheet, &choices))
            (map)
            (changes(sheet))
            div.actions { button.main type="submit" name="do" value="save" { (does) } a.button href=(back) { "Cancel" } }
        }
    };
    Ok(desk.page_again(title, &[mapping::SCRIPT], sheet.fault(), &body))
}

fn source(sheet: &Sheet, is_held: bool) -> Markup {
    let password =
        if is_held { "The one that is kept stays where this is empty." } else { "Type it last: no page sends it back." };
    let account = "A role that may SELECT what the query names, and no more.";
    let pem = "Authorities to check it against instead of those that the system trusts, PEM.";
    html! {
        div.columns {
            div.card {
                h2 { "The sync" }
                (sheet.field(&Field::line("slug", "Short name").hint("Lower case letters, digits and hyphens.").required()))
                (sheet.field(&Field::line("name", "Name").required()))
                (sheet.field(&Field::line("kind", "Runs").kind(Kind::Choice(&KINDS))))
                (schedule_fields(sheet))
                (sheet.field(&Field::line("enabled", "It runs by its schedule").kind(Kind::Tick)))
            }
            div.card {
                h2 { "The database" }
                (sheet.field(&Field::line("database.url", "Address").hint("postgresql://host:5432/database").required()))
                (sheet.field(&Field::line("database.user", "User").hint(account).required()))
                (sheet.field(&Field::line("database.password", "Password").kind(Kind::Line("password")).hint(password)))
                (sheet.field(&Field::line("database.tls", "TLS").kind(Kind::Choice(&TLS))))
                details { summary { "Authorities of its own" }
                    (sheet.field(&Field::line("database.authorities", "Certificates").kind(Kind::Lines(4)).hint(pem)))
                }
            }
        }
    }
}

/// When a sync runs by itself.
pub(super) fn schedule_fields(sheet: &Sheet) -> Markup {
    html! {
        (sheet.field(&Field::line("schedule.every_minutes", "Minutes").kind(Kind::Line("number"))))
        (sheet.field(&Field::line("schedule.cron", "Minute, hour, day, month, weekday").hint("As in a crontab: 0 3 * * *")))
        (sheet.field(&Field::line("schedule.zone", "The clock's zone").hint("Europe/Berlin; UTC when it is empty.")))
    }
}

fn rows(sheet: &Sheet, projects: &[(&str, &str)]) -> Markup {
    let query = "One statement, run in a read-only transaction, such as SELECT member_no AS external_id, email FROM members.";
    let columns = "A column called external_id, email or as a field of the project is taken where the map says nothing.";
    html! {
        div.card {
            (sheet.field(&Field::line("query", "Query").kind(Kind::Lines(8)).hint(query).required()))
            (sheet.field(&Field::line("patience_seconds", "Seconds for a stretch of rows").kind(Kind::Line("number"))))
        }
        div.card {
            h2 { "What becomes of a row" }
            (sheet.field(&Field::line("batch.project", "Project").kind(Kind::Choice(projects)).required()))
            (sheet.field(&Field::line("batch.operation", "What is done").kind(Kind::Choice(OPERATIONS)).required()))
            (sheet.field(&Field::line("batch.if_exists", "When there is such a pass already").kind(Kind::Choice(IF_EXISTS))))
            (sheet.field(&Field::line("batch.empty_cells", "What an empty cell says").kind(Kind::Choice(EMPTY_CELLS))))
            (sheet.field(&Field::line("batch.match_columns", "Columns are known by their names").kind(Kind::Tick).hint(columns)))
            (sheet.field(&Field::line("start", "Run what was checked").kind(Kind::Choice(STARTS))))
            button type="submit" name="do" value="show" formnovalidate { "Show what can be set" }
        }
    }
}

/// The map, beside a row where the saved query was tried.
async fn map(desk: &Desk, sheet: &Sheet, is_held: bool) -> Result<Markup, Fault> {
    let (about, sample) = (about(sheet), sample(sheet));
    // What cannot be read is said beside its field; the rest is shown as it was typed.
    let map = about.read(&desk.ask, sheet, &sample).await.unwrap_or_default();
    // Without a project there is nothing that could be set.
    let Ok(known) = about.ask(&desk.ask, &map, &sample).await else { return Ok(html! {}) };
    Ok(html! {
        div.card {
            h2 { "Map" }
            @if is_held { p { button type="submit" name="do" value="try" formnovalidate { "Try the saved query for a sample" } } }
            @else { p.hint { "Once it is made its query can be tried, and its columns be chosen here." } }
            (widget(sheet, &about, &map, &sample, &known))
        }
    })
}

fn changes(sheet: &Sheet) -> Markup {
    let column = "It rises with every change, such as updated_at. Without one every run reads all rows.";
    let overlap = "How long before the last one rows are read again, for changes that were committed later.";
    let removed = "Found by a run of all rows, in which none failed.";
    html! {
        div.columns {
            div.card {
                h2 { "What changed" }
                (sheet.field(&Field::line("incremental.column", "Column that tells").hint(column)))
                (sheet.field(&Field::line("incremental.overlap_seconds", "Seconds again").kind(Kind::Line("number")).hint(overlap)))
            }
            div.card {
                h2 { "What is gone" }
                (sheet.field(&Field::line("removed.action", "Passes without a row").kind(Kind::Choice(REMOVED)).hint(removed)))
                (sheet.field(&Field::line("removed.at_most_percent", "Unless they are more, in percent").kind(Kind::Line("number"))))
            }
        }
    }
}
