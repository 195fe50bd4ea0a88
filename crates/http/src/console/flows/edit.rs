//! A flow that is made or changed: the form, a try on a stored event, and what is saved.

use axum::{
    body::Body,
    extract::{Path, Query},
    response::Response,
};
use flows::flow::Flow;
use http::{HeaderMap, HeaderValue, Method, header};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api,
    form::{Around, Samples, count, document, draw, fill, seen, with_guess, with_step, without_step},
    name, page_of,
};
use crate::console::{
    ask::{Ask, Fault, query},
    batches::{project_id, projects},
    form::{Sent, Sheet, once, version},
    frame::{Desk, heading},
    mapping,
    parts::{items, text},
};

/// What a form is about.
struct Subject {
    /// The flow; none for a new one.
    flow: Option<String>,
    /// What it is called.
    title: String,
    /// The whole document, as a text.
    text: String,
}

impl Subject {
    fn new() -> Self {
        Self { flow: None, title: "New flow".to_owned(), text: String::new() }
    }

    fn of(flow: &str, document: &Value) -> Self {
        let text = serde_json::to_string_pretty(document).unwrap_or_default();
        Self { flow: Some(flow.to_owned()), title: name(document).to_owned(), text }
    }

    /// What was sent, with why it was not saved.
    async fn refused(&self, desk: &Desk, sheet: Sheet, fault: Fault) -> Sheet {
        match &self.flow {
            Some(flow) => sheet.refused_by(&desk.ask, fault, &api(flow, ""), &page_of(flow)).await,
            None => sheet.refused(fault),
        }
    }

    fn path(&self) -> String {
        self.flow.as_deref().map_or("/console/flows/new".to_owned(), |flow| format!("{}/edit", page_of(flow)))
    }
}

/// What a new flow begins with.
#[derive(Default, Deserialize)]
pub(super) struct Begin {
    /// A preset of a connector: `stripe/checkout-issues-a-pass`.
    #[serde(default)]
    preset: String,
}

pub(super) async fn begin(desk: Desk, Query(Begin { preset }): Query<Begin>) -> Result<Response, Fault> {
    let projects = projects(&desk.ask).await?;
    let project = projects.first().map_or("", |(id, ..)| id);
    let mut sheet = Sheet::default();
    if preset.is_empty() {
        fill(&mut sheet, &json!({}), project);
        sheet = with_step(&sheet);
    } else {
        let presets = presets(&desk.ask).await?;
        let found = presets.iter().find(|known| known.name == preset).ok_or_else(Fault::nowhere)?;
        let flow = Flow::from_yaml(&found.flow).and_then(|flow| flow.to_json()).map_err(|_| Fault::nowhere())?;
        fill(&mut sheet, &flow, project);
    }
    sheet.suggest("once", desk.once());
    page(&desk, &Subject::new(), sheet, None).await
}

/// A flow that a connector brings along.
struct Preset {
    /// Connector and slug.
    name: String,
    about: String,
    /// In YAML.
    flow: String,
}

async fn presets(ask: &Ask) -> Result<Vec<Preset>, Fault> {
    let connectors = ask.get("/v1/connectors").await?;
    let of = |connector: &Value| {
        let slug = text(connector, "/slug").to_owned();
        let presets = connector["source"]["presets"].as_array().cloned().unwrap_or_default();
        presets.into_iter().map(move |preset| Preset {
            name: format!("{slug}/{}", text(&preset, "/slug")),
            about: text(&preset, "/about").to_owned(),
            flow: text(&preset, "/flow").to_owned(),
        })
    };
    Ok(items(&connectors).flat_map(of).collect())
}

/// Which document of a flow is changed.
#[derive(Default, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    draft: bool,
}

pub(super) async fn change(desk: Desk, Path(flow): Path<String>, Query(which): Query<Which>) -> Result<Response, Fault> {
    let (view, version) = desk.ask.get_version(&api(&flow, "")).await?;
    let document = if which.draft && !view["draft"].is_null() { &view["draft"] } else { &view["document"] };
    let mut sheet = Sheet::default().with_version(version);
    let project = project_id(&desk.ask, text(document, "/project")).await?;
    fill(&mut sheet, document, &project);
    page(&desk, &Subject::of(&flow, document), sheet, None).await
}

async fn page(desk: &Desk, subject: &Subject, mut sheet: Sheet, tried: Option<&Value>) -> Result<Response, Fault> {
    let samples = Samples::read(&desk.ask).await;
    sheet.suggest("sample", samples.first());
    let seen = seen(&desk.ask, &sheet).await;
    let projects = projects(&desk.ask).await?;
    let to = subject.path();
    let is_kept = subject.flow.is_some();
    let (sample, says) = (&seen.event, seen.says.as_deref());
    let around = Around { to: &to, projects: &projects, samples: &samples, sample, says, tried, is_kept };
    let form = draw(desk, &sheet, &around).await?;
    let presets = if is_kept { Vec::new() } else { presets(&desk.ask).await? };
    let body = html! {
        p.crumbs {
            a href="/console/flows" { "Flows" }
            @if let Some(flow) = &subject.flow { " / " a href=(page_of(flow)) { (subject.title) } }
        }
        (heading(if is_kept { "Change the flow" } else { "New flow" }, None, &html! {}))
        @if !presets.is_empty() {
            details.whole {
                summary { "Begin with a preset" }
                ul {
                    @for preset in &presets {
                        li { a href=(query("/console/flows/new", &[("preset", &preset.name)])) { (preset.name) } " " (preset.about) }
                    }
                }
            }
        }
        (form)
        (whole(desk, subject, &sheet))
    };
    Ok(desk.page_again(&subject.title, &[mapping::SCRIPT], sheet.fault(), &body))
}

/// The whole flow as a text, for what the form has no field for.
fn whole(desk: &Desk, subject: &Subject, sheet: &Sheet) -> Markup {
    let typed = sheet.value("document");
    html! {
        details.whole open[!typed.is_empty()] {
            summary { "The whole flow as YAML or JSON" }
            form method="post" action=(subject.path()) {
                (once(&desk.once()))
                (version(sheet.version()))
                div.field {
                    label for="f-document" { "Document" }
                    textarea #f-document name="document" rows="24" spellcheck="false" {
                        (if typed.is_empty() { &subject.text } else { typed })
                    }
                }
                button type="submit" name="do" value="text" { "Save this text" }
            }
        }
    }
}

pub(super) async fn sent(desk: Desk, Sent(sheet): Sent) -> Result<Response, Fault> {
    act(&desk, Subject::new(), sheet).await
}

pub(super) async fn changed(desk: Desk, Path(flow): Path<String>, Sent(sheet): Sent) -> Result<Response, Fault> {
    let view = desk.ask.get(&api(&flow, "")).await?;
    act(&desk, Subject::of(&flow, &view["document"]), sheet).await
}

async fn act(desk: &Desk, subject: Subject, sheet: Sheet) -> Result<Response, Fault> {
    let sample = seen(&desk.ask, &sheet).await.event;
    match sheet.value("do") {
        "add" => return page(desk, &subject, with_step(&sheet), None).await,
        "show" => return page(desk, &subject, sheet, None).await,
        "text" => return save_text(desk, subject, sheet).await,
        turn => {
            let of = |what: &str| turn.strip_prefix(what)?.parse::<usize>().ok().filter(|index| *index < count(&sheet));
            if let Some(index) = of("remove-") {
                return page(desk, &subject, without_step(&sheet, index), None).await;
            }
            if let Some(index) = of("guess-") {
                let sheet = with_guess(&desk.ask, &sheet, index, &sample).await?;
                return page(desk, &subject, sheet, None).await;
            }
        }
    }
    let document = match document(&desk.ask, &sheet, &sample).await {
        Ok(document) => document,
        Err(fault) => return page(desk, &subject, sheet.refused(fault), None).await,
    };
    if sheet.value("do") == "try" {
        return tried(desk, &subject, sheet, &document).await;
    }
    match save(desk, &subject, &sheet, &document).await {
        Ok((flow, notice)) => Ok(desk.redirect(&page_of(&flow), notice)),
        Err(fault) => {
            let sheet = subject.refused(desk, sheet, fault).await;
            page(desk, &subject, sheet, None).await
        }
    }
}

/// Nothing is saved, nothing is done.
async fn tried(desk: &Desk, subject: &Subject, sheet: Sheet, document: &Value) -> Result<Response, Fault> {
    let event = sheet.value("sample");
    if event.is_empty() {
        return page(desk, subject, sheet.refused(Fault::field("sample", "choose an event to try the flow on")), None).await;
    }
    match desk.ask.post("/v1/flows/test", &json!({"document": document, "source_event": event})).await {
        Ok(told) => page(desk, subject, sheet, Some(&told)).await,
        Err(fault) => {
            let errors = fault.errors.iter().map(|(path, why)| {
                let path = path.strip_prefix("document").map_or(path.as_str(), |rest| rest.trim_start_matches('.'));
                (path.to_owned(), why.clone())
            });
            let fault = Fault { errors: errors.collect(), ..fault };
            page(desk, subject, sheet.refused(fault), None).await
        }
    }
}

async fn save(desk: &Desk, subject: &Subject, sheet: &Sheet, document: &Value) -> Result<(String, &'static str), Fault> {
    match &subject.flow {
        None => {
            let made = desk.ask.write_once(Method::POST, "/v1/flows", document, sheet.once()).await?;
            Ok((text(&made, "/id").to_owned(), "The flow is saved."))
        }
        Some(flow) if sheet.value("do") == "draft" => {
            desk.ask.write_over(Method::PUT, &api(flow, "/draft"), document, sheet.version()).await?;
            Ok((flow.clone(), "The draft is saved. What runs is as it was."))
        }
        Some(flow) => {
            desk.ask.write_over(Method::PUT, &api(flow, ""), document, sheet.version()).await?;
            Ok((flow.clone(), "The flow is saved, and runs like this from the next event on."))
        }
    }
}

async fn save_text(desk: &Desk, subject: Subject, sheet: Sheet) -> Result<Response, Fault> {
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"))]);
    if let Some(Ok(version)) = Some(sheet.version()).filter(|it| !it.is_empty()).map(HeaderValue::from_str) {
        headers.insert(header::IF_MATCH, version);
    }
    let (method, path) = match &subject.flow {
        None => (Method::POST, "/v1/flows".to_owned()),
        Some(flow) => (Method::PUT, api(flow, "")),
    };
    let typed = sheet.value("document").to_owned();
    match desk.ask.upload(method, &path, headers, Body::from(typed.clone())).await {
        Ok(saved) => Ok(desk.redirect(&page_of(text(&saved, "/id")), "The flow is saved.")),
        Err(fault) => {
            // The form shows what is saved, the text what was typed.
            let document: Value = serde_json::from_str(&subject.text).unwrap_or_else(|_| json!({}));
            let mut again = Sheet::default().with_version(sheet.version().to_owned());
            fill(&mut again, &document, &project_id(&desk.ask, text(&document, "/project")).await?);
            again.suggest("document", typed);
            again.suggest("once", desk.once());
            let again = subject.refused(desk, again, fault).await;
            page(desk, &subject, again, None).await
        }
    }
}
