//! `/console/batches`: files of rows, from the upload over the map and the check to the run and the rows that failed.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, Request},
    response::Response,
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, Method, header};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ask::{Ask, Fault, query, segment},
    form::{Field, Kind, Sent, Sheet, Upload, once, version},
    frame::{Desk, heading},
    mapping::{self, About, widget},
    parts::{chip, facts, id, items, linked_id, pager_from, plain, table, text, time},
};
use crate::App;

/// Rows that are shown of a file, and of those that failed.
const SHOWN_ROWS: u32 = 20;
/// Columns that are shown of a file.
const SHOWN_COLUMNS: usize = 12;
pub(super) const OPERATIONS: &[(&str, &str)] = &[
    ("issue", "Issue passes, or change those that there are"),
    ("update", "Change passes"),
    ("revoke", "Call passes back"),
    ("delete", "Remove passes"),
    ("notify", "Tell passes' holders something"),
];
const FORMATS: &[(&str, &str)] = &[("csv", "CSV"), ("ndjson", "NDJSON: a JSON object a line"), ("parquet", "Parquet")];
pub(super) const IF_EXISTS: &[(&str, &str)] = &[
    ("", "Change it; one that was revoked stays so"),
    ("reactivate", "Change it, and switch it on again where it was revoked"),
    ("skip", "Leave it as it is"),
    ("reject", "The row fails"),
];
const DELIMITERS: &[(&str, &str)] =
    &[("", "Found out from the first line"), (",", "Comma"), (";", "Semicolon"), ("\t", "Tabulator"), ("|", "Bar")];
pub(super) const EMPTY_CELLS: &[(&str, &str)] = &[("ignore", "Nothing"), ("clear", "Remove what it would set")];
pub(super) const STARTS: &[(&str, &str)] = &[
    ("by_hand", "When I say so"),
    ("if_clean", "At once, unless a row would fail"),
    ("always", "At once; rows that fail are reported"),
];
/// What of a batch's document an upload of mended rows takes over.
const TAKEN_OVER: [&str; 6] = ["project", "operation", "if_exists", "map", "match_columns", "empty_cells"];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/console/batches", get(list))
        .route("/console/batches/new", get(ask_for_file).post(upload))
        .route("/console/batches/{batch}", get(show))
        .route("/console/batches/{batch}/map", get(ask_for_map).post(map))
        .route("/console/batches/{batch}/report", get(report))
        .route("/console/batches/{batch}/{turn}", post(turn))
}

fn api(batch: &str, more: &str) -> String {
    format!("/v1/batches/{}{more}", segment(batch))
}

fn page_of(batch: &str) -> String {
    format!("/console/batches/{}", segment(batch))
}

/// The projects by id: name and slug.
pub(super) async fn projects(ask: &Ask) -> Result<Vec<(String, String, String)>, Fault> {
    let page = ask.get("/v1/projects?limit=100").await?;
    let of = |name: &str, project: &Value| text(project, name).to_owned();
    Ok(items(&page).map(|project| (of("/id", project), of("/name", project), of("/slug", project))).collect())
}

/// The id of a project that a document names by its slug or id.
pub(super) async fn project_id(ask: &Ask, named: &str) -> Result<String, Fault> {
    let projects = projects(ask).await?;
    let found = projects.into_iter().find(|(id, _, slug)| id == named || slug == named);
    Ok(found.map_or_else(|| named.to_owned(), |(id, ..)| id))
}

fn named<'p>(projects: &'p [(String, String, String)], project: &'p str) -> &'p str {
    projects.iter().find(|(id, ..)| id == project).map_or(project, |(_, name, _)| name)
}

#[derive(Default, Deserialize)]
struct Listed {
    #[serde(default)]
    cursor: String,
}

async fn list(desk: Desk, Query(listed): Query<Listed>) -> Result<Response, Fault> {
    let page = desk.ask.get(&query("/v1/batches", &[("limit", "25"), ("cursor", &listed.cursor)])).await?;
    let projects = projects(&desk.ask).await.unwrap_or_default();
    let rows = items(&page).map(|batch| {
        let tally = if batch["run"]["began_at"].is_null() { &batch["check"] } else { &batch["run"] };
        vec![
            linked_id(text(batch, "/id"), &page_of(text(batch, "/id"))),
            html! { (named(&projects, text(batch, "/project"))) },
            html! { (text(batch, "/operation")) @if !batch["sync"].is_null() { span.soft { " of a sync" } } },
            chip(text(batch, "/state")),
            html! { (plain(&tally["rows"])) },
            html! { (plain(&tally["failed"])) },
            time(&desk, &batch["created_at"]),
        ]
    });
    let columns = ["Batch", "Project", "What is done", "State", "Rows", "Failed", "Made"];
    let body = html! {
        (heading("Batches", Some("A file of rows, each of which issues, changes or calls back a pass."),
            &html! { a.button.main href="/console/batches/new" { "Upload a file" } }))
        (table("Batches", &columns, rows.collect(), "There is no batch yet. Upload a file of rows to begin."))
        (pager_from("/console/batches", &[], &page, &listed.cursor))
    };
    Ok(desk.page("Batches", &body))
}

/// A new batch, and the one whose mended rows it has.
#[derive(Default, Deserialize)]
struct Like {
    #[serde(default)]
    like: String,
}

async fn ask_for_file(desk: Desk, Query(Like { like }): Query<Like>) -> Result<Response, Fault> {
    let mut sheet = Sheet::default();
    if !like.is_empty() {
        let batch = desk.ask.get(&api(&like, "")).await?;
        let document = &batch["document"];
        let format = if document["format"] == "parquet" { "ndjson" } else { text(document, "/format") };
        let given = [("project", text(&batch, "/project")), ("operation", text(document, "/operation")), ("format", format)];
        given.into_iter().for_each(|(name, value)| sheet.suggest(name, value));
        sheet.suggest("like", like);
    }
    sheet.suggest("once", desk.once());
    file_form(&desk, &sheet).await
}

async fn file_form(desk: &Desk, sheet: &Sheet) -> Result<Response, Fault> {
    let projects = projects(&desk.ask).await?;
    let choices: Vec<(&str, &str)> = projects.iter().map(|(id, name, _)| (id.as_str(), name.as_str())).collect();
    let encoding = "Leave it empty for UTF-8. A label of the WHATWG Encoding Standard, such as windows-1252.";
    let body = html! {
        p.crumbs { a href="/console/batches" { "Batches" } }
        (heading("Upload a file", Some("Nothing is done with its rows before you have mapped and checked them."), &html! {}))
        (sheet.summary())
        form.card method="post" action="/console/batches/new" enctype="multipart/form-data" {
            (once(sheet.once()))
            input type="hidden" name="like" value=(sheet.value("like"));
            (sheet.field(&Field::line("project", "Project").kind(Kind::Choice(&choices)).required()))
            (sheet.field(&Field::line("operation", "What is done for each row").kind(Kind::Choice(OPERATIONS))))
            (sheet.field(&Field::line("format", "How the file is written").kind(Kind::Choice(FORMATS))))
            details {
                summary { "Encoding and delimiter" }
                (sheet.field(&Field::line("encoding", "Encoding").hint(encoding)))
                (sheet.field(&Field::line("delimiter", "Between cells").kind(Kind::Choice(DELIMITERS))))
            }
            div.field {
                label for="f-file" { "File" }
                input #f-file type="file" name="file" required;
                p.hint { "At most 4 GiB. It is kept sealed until the batch is over, or 30 days." }
            }
            button.main type="submit" { "Upload" }
        }
    };
    Ok(desk.page_again("Upload a file", &[], sheet.fault(), &body))
}

/// The file goes through to the API as it comes.
async fn upload(desk: Desk, request: Request) -> Result<Response, Fault> {
    let Upload { sheet, file, .. } = Upload::read(request).await?;
    let batch = match made(&desk, &sheet).await {
        Ok(batch) => batch,
        Err(fault) => return file_form(&desk, &sheet.refused(fault)).await,
    };
    let batch = text(&batch, "/id").to_owned();
    let media = match sheet.value("format") {
        "ndjson" => "application/x-ndjson",
        "parquet" => "application/vnd.apache.parquet",
        _ => "text/csv",
    };
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))]);
    match desk.ask.upload(Method::PUT, &api(&batch, "/rows?hold=true"), headers, file).await {
        Ok(kept) if kept["state"] == "uploaded" => Ok(desk.redirect(&format!("{}/map", page_of(&batch)), "The rows are there.")),
        Ok(_) => Ok(desk.redirect(&page_of(&batch), "The file is there. Its rows are being read.")),
        Err(fault) => {
            // What could not be kept awaits no rows any more: the form makes another.
            let _ = desk.ask.post(&api(&batch, "/cancel"), &Value::Null).await;
            let mut again = Sheet::default();
            sheet.pairs().filter(|(name, _)| *name != "once").for_each(|(name, value)| again.suggest(name, value));
            again.suggest("once", desk.once());
            let errors = fault.errors.iter().map(|(path, why)| {
                let path = if path.is_empty() { "file" } else { path };
                (path.to_owned(), why.clone())
            });
            let fault = Fault { errors: errors.collect(), ..fault };
            file_form(&desk, &again.refused(fault)).await
        }
    }
}

async fn made(desk: &Desk, sheet: &Sheet) -> Result<Value, Fault> {
    let mut document = Map::new();
    let like = sheet.value("like");
    if !like.is_empty() {
        let batch = desk.ask.get(&api(like, "")).await?;
        let taken = TAKEN_OVER.iter().filter_map(|key| Some(((*key).to_owned(), batch["document"].get(*key)?.clone())));
        document.extend(taken);
    }
    if document.get("operation").is_none_or(|operation| operation != sheet.value("operation")) {
        document.retain(|key, _| key == "project");
    }
    for name in ["project", "operation", "format", "encoding", "delimiter"] {
        let value = if name == "delimiter" { sheet.value(name) } else { sheet.value(name).trim() };
        if !value.is_empty() {
            document.insert(name.to_owned(), json!(value));
        }
    }
    if document.get("format").is_some_and(|format| format != "csv") {
        document.remove("delimiter");
    }
    desk.ask.write_once(Method::POST, "/v1/batches", &Value::Object(document), sheet.once()).await
}

async fn show(desk: Desk, Path(batch): Path<String>) -> Result<Response, Fault> {
    let view = desk.ask.get(&api(&batch, "")).await?;
    let projects = projects(&desk.ask).await.unwrap_or_default();
    let failures = desk.ask.get(&api(&batch, &format!("/failures?limit={SHOWN_ROWS}"))).await?;
    let project = named(&projects, text(&view, "/project"));
    let about = format!("{} in {project}", operation(text(&view, "/operation")));
    let body = html! {
        p.crumbs { a href="/console/batches" { "Batches" } }
        (heading("Batch", Some(&about), &actions(&view)))
        (progress(&desk, &view))
        section { h2 { "Rows that failed" } (failed(&view, &failures)) }
        section { h2 { "What was asked for" } (super::parts::json(&view["document"])) }
    };
    Ok(desk.page_with("Batch", &["console-batch.js"], &body))
}

fn operation(name: &str) -> &str {
    OPERATIONS.iter().find(|(it, _)| *it == name).map_or(name, |(_, words)| words)
}

/// What can be done with a batch, where it stands.
fn actions(view: &Value) -> Markup {
    let (batch, state) = (text(view, "/id"), text(view, "/state"));
    let of = |turn: &str, says: &str, class: &str| {
        html! {
            form.inline method="post" action={ (page_of(batch)) "/" (turn) } { button class=(class) type="submit" { (says) } }
        }
    };
    let is_checked = matches!(state, "checked" | "scheduled");
    let goes_on = matches!(state, "reading" | "checking" | "running" | "scheduled");
    html! {
        @if matches!(state, "uploaded" | "checked") && view["sync"].is_null() {
            a.button href={ (page_of(batch)) "/map" } { "Map its columns" }
        }
        @if is_checked { (of("run", "Run now", "main")) }
        @if goes_on { (of("pause", "Pause", "")) }
        @if state == "paused" { (of("resume", "Resume", "main")) }
        @if goes_on || matches!(state, "awaiting_rows" | "uploaded" | "checked" | "paused") { (of("cancel", "Cancel", "danger")) }
    }
}

/// How far it is; a script asks for it again while it moves.
fn progress(desk: &Desk, view: &Value) -> Markup {
    let state = text(view, "/state");
    let moves = matches!(state, "reading" | "checking" | "running" | "scheduled");
    let tally = if view["run"]["began_at"].is_null() { &view["check"] } else { &view["run"] };
    let (read, all) = (tally["bytes"].as_u64().unwrap_or(0), view["bytes"].as_u64().unwrap_or(0));
    let is_run = !view["run"]["began_at"].is_null();
    let numbers: [(&str, &str); 5] = if is_run {
        [("rows", "rows"), ("created", "issued"), ("changed", "changed"), ("unchanged", "as they were"), ("failed", "failed")]
    } else {
        [
            ("rows", "rows"),
            ("created", "would be issued"),
            ("changed", "would change"),
            ("unchanged", "are so already"),
            ("failed", "would fail"),
        ]
    };
    let failed = tally["failed"].as_u64().unwrap_or(0) > 0;
    html! {
        section data-progress=(page_of(text(view, "/id"))) data-state=(state) data-moves=[moves.then_some("true")] {
            ul.numbers {
                @for (name, says) in numbers {
                    li.bad[name == "failed" && failed] { strong { (plain(&tally[name])) } span { (says) } }
                }
                @if tally["still_void"].as_u64().unwrap_or(0) > 0 {
                    li.bad { strong { (plain(&tally["still_void"])) } span { "met a pass that stays revoked, used up or expired" } }
                }
            }
            @if matches!(state, "checking" | "running") && all > 0 {
                progress max=(all) value=(read) aria-label="Part of the file that was read" { (read) " of " (all) " bytes" }
            }
            @if view["unused_columns"].as_array().is_some_and(|all| !all.is_empty()) {
                p.fault { "Nothing takes these columns: " (view["unused_columns"].as_array().into_iter().flatten().map(plain)
                    .collect::<Vec<_>>().join(", ")) }
            }
            @if let Some(fault) = view["fault"].as_str() { div.faults role="alert" { p { (fault) } } }
            (facts(vec![
                ("State", chip(state)),
                ("Id", id(text(view, "/id"))),
                ("Made", time(desk, &view["created_at"])),
                ("Came on", time(desk, &view["updated_at"])),
                ("Starts", html! { @if view["start_at"].is_null() { (start(text(view, "/start"))) } @else { (time(desk, &view["start_at"])) } }),
                ("Gives way to", html! { @if let Some(reader) = view["waits_for"].as_str() { (reader) } @else { "–" } }),
            ]))
            @if moves { noscript { p { a href=(page_of(text(view, "/id"))) { "Look again" } } } }
        }
    }
}

fn start(name: &str) -> &str {
    STARTS.iter().find(|(it, _)| *it == name).map_or(name, |(_, words)| words)
}

fn failed(view: &Value, failures: &Value) -> Markup {
    let rows: Vec<Vec<Markup>> = items(failures)
        .map(|failure| {
            let cells = failure["cells"].as_object();
            let cells = cells.into_iter().flatten().filter(|(_, cell)| !plain(cell).is_empty() && !cell.is_null());
            vec![
                html! { (plain(&failure["row"])) span.soft { " line " (plain(&failure["line"])) } },
                html! { (text(failure, "/reason")) },
                html! { (text(failure, "/column")) },
                html! { @for (name, cell) in cells { span.soft { (name) } " " (plain(cell)) " " } },
            ]
        })
        .collect();
    let batch = text(view, "/id");
    html! {
        (table("Rows that failed", &["Row", "Why", "Column", "What stands there"], rows.clone(), "None."))
        @if !rows.is_empty() {
            p {
                "These are the first. " a href={ (page_of(batch)) "/report" } { "Download all of them" }
                ", mend them, and " a href=(query("/console/batches/new", &[("like", batch)])) { "upload the mended file" } "."
            }
        }
    }
}

async fn report(desk: Desk, Path(batch): Path<String>) -> Result<Response, Fault> {
    desk.ask.download(&api(&batch, "/report"), HeaderMap::new()).await
}

async fn turn(desk: Desk, Path((batch, turn)): Path<(String, String)>) -> Result<Response, Fault> {
    let notice = match turn.as_str() {
        "run" => "The batch runs.",
        "pause" => "The batch is paused.",
        "resume" => "The batch goes on.",
        "cancel" => "The batch is cancelled. What was done stays done.",
        _ => return Err(Fault::nowhere()),
    };
    desk.ask.post(&api(&batch, &format!("/{turn}")), &Value::Null).await?;
    Ok(desk.redirect(&page_of(&batch), notice))
}

/// A batch on its way to its map: what it is, and its first rows.
struct Mapped {
    batch: String,
    project: String,
    view: Value,
    version: String,
    sample: Value,
    columns: Vec<String>,
}

impl Mapped {
    async fn read(desk: &Desk, batch: &str) -> Result<Self, Fault> {
        let (view, version) = desk.ask.get_version(&api(batch, "")).await?;
        let sample = desk.ask.get(&api(batch, &format!("/sample?limit={SHOWN_ROWS}"))).await?;
        let columns = sample["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { batch: batch.to_owned(), project: text(&view, "/project").to_owned(), view, version, sample, columns })
    }

    fn about(&self) -> About<'_> {
        About { project: &self.project, action: text(&self.view, "/operation"), over: "rows", prefix: "map" }
    }

    /// A row with a value in every column that has one in the first rows: what is empty in the first may not be in others.
    fn row(&self) -> Value {
        let rows = self.sample["rows"].as_array().into_iter().flatten();
        let cells: Vec<&Map<String, Value>> = rows.filter_map(|row| row["cells"].as_object()).collect();
        let of = |column: &String| cells.iter().find_map(|cells| cells.get(column)).cloned();
        let row = self.columns.iter().filter_map(|column| Some((column.clone(), of(column)?)));
        Value::Object(row.collect())
    }

    fn preview(&self) -> Markup {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).take(SHOWN_COLUMNS).collect();
        let rows = items_of(&self.sample["rows"]).map(|row| {
            let cell = |column: &&str| html! { (row["cells"].get(*column).map(plain).unwrap_or_default()) };
            match row["fault"].as_str() {
                Some(fault) => {
                    let mut cells = vec![html! { span.fault { "line " (plain(&row["line"])) " " (fault) } }];
                    cells.resize(columns.len(), html! {});
                    cells
                }
                None => columns.iter().map(cell).collect(),
            }
        });
        html! {
            details {
                summary { "The first rows" }
                (table("The first rows", &columns, rows.collect(), "The file has no rows."))
                @if self.columns.len() > SHOWN_COLUMNS { p.soft { "and " (self.columns.len() - SHOWN_COLUMNS) " columns more" } }
            }
        }
    }
}

fn items_of(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

async fn ask_for_map(desk: Desk, Path(batch): Path<String>) -> Result<Response, Fault> {
    let mapped = Mapped::read(&desk, &batch).await?;
    let document = &mapped.view["document"];
    let mut map = document["map"].as_object().cloned().unwrap_or_default();
    // Nothing was said yet: what the columns are called suggests something.
    if map.is_empty() {
        map = mapped.about().guess(&desk.ask, &mapped.row()).await?;
    }
    let mut sheet = Sheet::default().with_version(mapped.version.clone());
    sheet.fill_map(&mapped.about(), &map);
    for name in ["if_exists", "empty_cells"] {
        sheet.suggest(name, text(document, &format!("/{name}")));
    }
    sheet.suggest("start", text(&mapped.view, "/start"));
    sheet.suggest("start_at", text(&mapped.view, "/start_at"));
    map_form(&desk, &mapped, &sheet, &map).await
}

async fn map_form(desk: &Desk, mapped: &Mapped, sheet: &Sheet, map: &Map<String, Value>) -> Result<Response, Fault> {
    let row = mapped.row();
    let known = mapped.about().ask(&desk.ask, map, &row).await?;
    let is_issue = mapped.view["operation"] == "issue";
    let at = "RFC 3339 with a zone, such as 2026-12-01T09:00:00+01:00; for a batch that starts by itself.";
    let body = html! {
        p.crumbs { a href="/console/batches" { "Batches" } " / " a href=(page_of(&mapped.batch)) { "Batch" } }
        (heading("Map the columns", Some(operation(text(&mapped.view, "/operation"))), &html! {}))
        (sheet.summary())
        section { (mapped.preview()) }
        form method="post" action={ (page_of(&mapped.batch)) "/map" } {
            (version(sheet.version()))
            div.card { (widget(sheet, &mapped.about(), map, &row, &known)) }
            div.card {
                @if is_issue {
                    (sheet.field(&Field::line("if_exists", "When there is such a pass already").kind(Kind::Choice(IF_EXISTS))))
                }
                (sheet.field(&Field::line("empty_cells", "What an empty cell says").kind(Kind::Choice(EMPTY_CELLS))))
                (sheet.field(&Field::line("start", "Run it").kind(Kind::Choice(STARTS))))
                (sheet.field(&Field::line("start_at", "Not before").hint(at)))
                button.main type="submit" name="do" value="check" { "Check the rows" }
                " " button type="submit" name="do" value="try" { "Show what it makes of the sample" }
                p.hint { "The check does nothing: it says what would become of every row." }
            }
        }
    };
    Ok(desk.page_again("Map the columns", &[mapping::SCRIPT], sheet.fault(), &body))
}

async fn map(desk: Desk, Path(batch): Path<String>, Sent(sheet): Sent) -> Result<Response, Fault> {
    let mapped = Mapped::read(&desk, &batch).await?;
    let map = match mapped.about().read(&desk.ask, &sheet, &mapped.row()).await {
        Ok(map) => map,
        Err(fault) => return map_form(&desk, &mapped, &sheet.refused(fault), &Map::new()).await,
    };
    if sheet.value("do") == "try" {
        return map_form(&desk, &mapped, &sheet, &map).await;
    }
    // What is on the page is all there is: columns that happen to be called like a place are not taken behind one's back.
    let mut change = json!({"map": map, "match_columns": false});
    for name in ["if_exists", "empty_cells", "start", "start_at"] {
        let value = sheet.value(name).trim();
        change[name] = if value.is_empty() { Value::Null } else { json!(value) };
    }
    match desk.ask.write_over(Method::PATCH, &api(&batch, ""), &change, sheet.version()).await {
        Ok(_) => Ok(desk.redirect(&page_of(&batch), "The rows are being checked.")),
        Err(fault) => {
            let sheet = sheet.refused_by(&desk.ask, fault, &api(&batch, ""), &page_of(&batch)).await;
            map_form(&desk, &mapped, &sheet, &map).await
        }
    }
}
