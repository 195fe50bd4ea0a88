//! The form of a flow: from a document and back.

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::names;
use crate::console::{
    ask::{Ask, Fault, query, segment},
    form::{Field, Kind, Sheet, once, version},
    frame::Desk,
    mapping::{About, STEP, widget},
    parts::{chip, items, json as shown, text, toned},
};

/// Most sources whose events are offered as samples, and most events of each.
const SAMPLE_SOURCES: usize = 5;
const SAMPLES_EACH: &str = "8";
/// Members of a flow that are lines of text.
const LINES: [&str; 5] = ["slug", "name", "project", "transformation", "rate"];
/// How many steps the form has.
const COUNT: &str = "step_count";

const ACTIONS: &[(&str, &str)] = &[
    ("issue", "Issue a pass, or change the one that there is"),
    ("update", "Change a pass"),
    ("activate", "Switch a pass on"),
    ("revoke", "Call a pass back"),
    ("delete", "Remove a pass"),
    ("notify", "Tell its holder something"),
    ("send", "Send its holder the address of its page"),
    ("wait", "Do the steps after it later"),
    ("record_install", "Note that another platform says a wallet holds it"),
    ("record_uninstall", "Note that another platform says a wallet holds it no more"),
    ("record_scan", "Note that another platform's scanner accepted it"),
];
const IF_EXISTS: &[(&str, &str)] = &[
    ("", "Change it; one that was revoked stays so"),
    ("reactivate", "Change it, and switch it on again where it was revoked"),
    ("skip", "Leave it as it is"),
    ("reject", "Park the event"),
];
const ON_ERROR: &[(&str, &str)] = &[("", "Later steps wait for a replay"), ("continue", "Later steps are done")];
const LATE: &[(&str, &str)] = &[("", "Their steps are done like any others"), ("skip", "The pass stays as it is")];
const CHANNELS: &[(&str, &str)] = &[("", "–"), ("email", "E-mail"), ("sms", "SMS")];

/// The place of a step.
pub(super) fn step_at(index: usize) -> String {
    format!("steps[{index}]")
}

/// How many steps the form has.
pub(super) fn count(sheet: &Sheet) -> usize {
    sheet.value(COUNT).parse().unwrap_or(0).min(flows::flow::MAX_STEPS)
}

/// Fills the form in with a document.
pub(super) fn fill(sheet: &mut Sheet, document: &Value, project: &str) {
    sheet.suggest("project", project);
    for name in LINES {
        sheet.suggest(name, text(document, &format!("/{name}")));
    }
    if document["enabled"] != false {
        sheet.suggest("enabled", "true");
    }
    if document["when"]["loose"] == true {
        sheet.suggest("when.loose", "true");
    }
    sheet.suggest("late", if document["late"] == "skip" { "skip" } else { "" });
    sheet.suggest("sources", names(&document["sources"]));
    sheet.suggest("when.type", names(&document["when"]["type"]));
    sheet.suggest("when.event", names(&document["when"]["event"]));
    sheet.suggest("when.condition", condition_text(&document["when"]["condition"]));
    let steps = document["steps"].as_array().cloned().unwrap_or_default();
    sheet.suggest(COUNT, steps.len().to_string());
    for (index, step) in steps.iter().enumerate() {
        let at = step_at(index);
        for name in STEP {
            let value =
                if name == "condition" { condition_text(&step[name]) } else { text(step, &format!("/{name}")).to_owned() };
            sheet.suggest(&format!("{at}.{name}"), value);
        }
        sheet.fill_map(&about(project, "", &at), &map_of(step));
    }
}

fn condition_text(condition: &Value) -> String {
    match condition {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        tree => tree.to_string(),
    }
}

/// What of a step is its map.
fn map_of(step: &Value) -> Map<String, Value> {
    let mut map = step.as_object().cloned().unwrap_or_default();
    map.retain(|key, _| !STEP.contains(&key.as_str()));
    map
}

fn about<'a>(project: &'a str, action: &'a str, at: &'a str) -> About<'a> {
    About { project, action, over: "events", prefix: at }
}

/// The document that the form says.
pub(super) async fn document(ask: &Ask, sheet: &Sheet, sample: &Value) -> Result<Value, Fault> {
    let mut document = json!({"enabled": sheet.ticked("enabled"), "when": {}, "steps": []});
    for name in LINES {
        let value = sheet.value(name).trim();
        if !value.is_empty() {
            document[name] = json!(value);
        }
    }
    if sheet.value("late") == "skip" {
        document["late"] = json!("skip");
    }
    let list = |name: &str| {
        let all: Vec<&str> = sheet.value(name).split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        (!all.is_empty()).then(|| json!(all))
    };
    if let Some(sources) = list("sources") {
        document["sources"] = sources;
    }
    for name in ["type", "event"] {
        if let Some(all) = list(&format!("when.{name}")) {
            document["when"][name] = all;
        }
    }
    if sheet.ticked("when.loose") {
        document["when"]["loose"] = json!(true);
    }
    if let Some(condition) = condition(sheet, "when.condition")? {
        document["when"]["condition"] = condition;
    }
    let mut steps = Vec::new();
    for index in 0..count(sheet) {
        steps.push(step(ask, sheet, index, sample).await?);
    }
    document["steps"] = Value::Array(steps);
    Ok(document)
}

/// A condition as text, or as its tree where that was written.
fn condition(sheet: &Sheet, name: &str) -> Result<Option<Value>, Fault> {
    let typed = sheet.value(name).trim();
    match typed {
        "" => Ok(None),
        tree if tree.starts_with('{') => {
            serde_json::from_str(tree).map(Some).map_err(|error| Fault::field(name, &format!("is no JSON: {error}")))
        }
        words => Ok(Some(json!(words))),
    }
}

async fn step(ask: &Ask, sheet: &Sheet, index: usize, sample: &Value) -> Result<Value, Fault> {
    let at = step_at(index);
    let of = |name: &str| sheet.value(&format!("{at}.{name}")).trim();
    let mut step = about(sheet.value("project"), of("action"), &at).read(ask, sheet, sample).await?;
    for name in STEP.into_iter().filter(|name| *name != "condition" && !of(name).is_empty()) {
        step.insert(name.to_owned(), json!(of(name)));
    }
    if let Some(condition) = condition(sheet, &format!("{at}.condition"))? {
        step.insert("condition".to_owned(), condition);
    }
    Ok(Value::Object(step))
}

/// The form with a step more, or with one less.
pub(super) fn with_step(sheet: &Sheet) -> Sheet {
    let index = count(sheet);
    let mut next = without(sheet, |name| name == COUNT);
    next.suggest(COUNT, (index + 1).to_string());
    next.suggest(&format!("{}.id", step_at(index)), format!("step-{}", index + 1));
    next.suggest(&format!("{}.action", step_at(index)), if index == 0 { "issue" } else { "update" });
    next
}

pub(super) fn without_step(sheet: &Sheet, gone: usize) -> Sheet {
    let mut next = Sheet::default();
    for (name, value) in sheet.pairs().filter(|(name, _)| *name != COUNT) {
        let place = name.strip_prefix("steps[").and_then(|rest| rest.split_once(']'));
        match place.and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest))) {
            Some((index, _)) if index == gone => {}
            Some((index, rest)) if index > gone => next.suggest(&format!("{}{rest}", step_at(index - 1)), value),
            _ => next.suggest(name, value),
        }
    }
    next.suggest(COUNT, count(sheet).saturating_sub(1).to_string());
    next
}

/// The form with another map of a step.
pub(super) async fn with_guess(ask: &Ask, sheet: &Sheet, index: usize, sample: &Value) -> Result<Sheet, Fault> {
    let at = step_at(index);
    let start = format!("{at}.");
    let is_mapped = |name: &str| name.strip_prefix(&start).is_some_and(|rest| !STEP.contains(&rest));
    let mut next = without(sheet, is_mapped);
    let action = sheet.value(&format!("{at}.action")).to_owned();
    let about = about(sheet.value("project"), &action, &at);
    next.fill_map(&about, &about.guess(ask, sample).await?);
    Ok(next)
}

fn without(sheet: &Sheet, is_gone: impl Fn(&str) -> bool) -> Sheet {
    Sheet::of(sheet.pairs().filter(|(name, _)| !is_gone(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Source events that a flow may be tried on: id and words.
pub(super) struct Samples(Vec<(String, String)>);

impl Samples {
    /// The last ones of the sources; none where the key may not read them.
    pub(super) async fn read(ask: &Ask) -> Self {
        let sources = ask.get("/v1/sources?limit=100").await.unwrap_or_default();
        let mut found = Vec::new();
        for source in items(&sources).take(SAMPLE_SOURCES) {
            let path = format!("/v1/sources/{}/events", segment(text(source, "/id")));
            let events = ask.get(&query(&path, &[("limit", SAMPLES_EACH)])).await.unwrap_or_default();
            let words =
                |event: &Value| format!("{} · {} · {}", text(event, "/name"), text(source, "/slug"), text(event, "/received_at"));
            found.extend(items(&events).map(|event| (text(event, "/id").to_owned(), words(event))));
        }
        Self(found)
    }

    /// The newest of the first source.
    pub(super) fn first(&self) -> &str {
        self.0.first().map_or("", |(id, _)| id.as_str())
    }
}

/// What a source event says.
async fn payload(ask: &Ask, event: &str) -> Value {
    if event.is_empty() {
        return json!({});
    }
    let event = ask.get(&format!("/v1/source-events/{}", segment(event))).await.unwrap_or_default();
    if event["payload"].is_object() { event["payload"].clone() } else { json!({}) }
}

/// A sample as the flow sees it: after its transformation.
pub(super) struct Seen {
    /// The event; empty where nothing is left of it.
    pub(super) event: Value,
    /// What the transformation did, where it did something that has to be said.
    pub(super) says: Option<String>,
}

/// The chosen sample, as a flow with the form's transformation sees it.
pub(super) async fn seen(ask: &Ask, sheet: &Sheet) -> Seen {
    let (sample, name) = (sheet.value("sample"), sheet.value("transformation").trim());
    if sample.is_empty() || name.is_empty() {
        return Seen { event: payload(ask, sample).await, says: None };
    }
    // A flow that does nothing with what it is given.
    let (when, steps) = (json!({"type": "track"}), json!([{"id": "sample", "action": "wait", "for": "1m"}]));
    let document =
        json!({"slug": "sample", "project": sheet.value("project"), "transformation": name, "when": when, "steps": steps});
    let told = match ask.post("/v1/flows/test", &json!({"document": document, "source_event": sample})).await {
        Ok(told) => told["transformation"].clone(),
        Err(fault) => return Seen { event: payload(ask, sample).await, says: Some(fault.detail) },
    };
    let events = told["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    match (text(&told, "/outcome"), events) {
        ("kept", [event]) => Seen { event: event.clone(), says: None },
        ("kept", [event, ..]) => {
            Seen { event: event.clone(), says: Some(format!("It makes {} events of it; this is the first.", events.len())) }
        }
        ("dropped", _) => Seen { event: json!({}), says: Some("It drops this event: the flow sees nothing.".to_owned()) },
        ("failed", _) => {
            let says =
                format!("It fails on this event, {}. A try sends nothing, so a fetch fails here.", text(&told, "/message"));
            Seen { event: json!({}), says: Some(says) }
        }
        // It is switched off.
        _ => Seen { event: payload(ask, sample).await, says: None },
    }
}

/// What stands in the form around its fields.
pub(super) struct Around<'a> {
    /// Where it is sent.
    pub(super) to: &'a str,
    /// The projects: id, name, slug.
    pub(super) projects: &'a [(String, String, String)],
    /// Events to try it on.
    pub(super) samples: &'a Samples,
    /// What the chosen one says.
    pub(super) sample: &'a Value,
    /// What its transformation did with it.
    pub(super) says: Option<&'a str>,
    /// What came of the last try.
    pub(super) tried: Option<&'a Value>,
    /// Whether there is such a flow already.
    pub(super) is_kept: bool,
}

/// The form.
pub(super) async fn draw(desk: &Desk, sheet: &Sheet, around: &Around<'_>) -> Result<Markup, Fault> {
    let mut steps = Vec::new();
    for index in 0..count(sheet) {
        steps.push(draw_step(desk, sheet, around, index).await?);
    }
    Ok(html! {
        (sheet.summary())
        form method="post" action=(around.to) {
            (once(sheet.once()))
            (version(sheet.version()))
            input type="hidden" name=(COUNT) value=(count(sheet));
            div.columns { (draw_flow(sheet, around)) (draw_when(sheet)) }
            (draw_sample(sheet, around))
            h2 { "Steps" }
            @for step in &steps { (step) }
            p { button type="submit" name="do" value="add" { "Add a step" } }
            @if let Some(tried) = around.tried { (draw_trace(tried)) }
            div.actions {
                button.main type="submit" name="do" value="save" { "Save" }
                @if around.is_kept { button type="submit" name="do" value="draft" { "Save as draft" } }
                button type="submit" name="do" value="try" { "Try it on the sample" }
            }
        }
    })
}

fn draw_flow(sheet: &Sheet, around: &Around<'_>) -> Markup {
    let choices: Vec<(&str, &str)> = around.projects.iter().map(|(id, name, _)| (id.as_str(), name.as_str())).collect();
    let slug = "Unique in the organization: lower case letters, digits and hyphens.";
    html! {
        div.card {
            h2 { "The flow" }
            (sheet.field(&Field::line("slug", "Short name").hint(slug).required()))
            (sheet.field(&Field::line("name", "Name")))
            (sheet.field(&Field::line("project", "Project").kind(Kind::Choice(&choices)).required()))
            (sheet.field(&Field::line("enabled", "It runs").kind(Kind::Tick)))
            details {
                summary { "More" }
                (sheet.field(&Field::line("transformation", "Transformation").hint("Its short name; events go through it first.")))
                (sheet.field(&Field::line("rate", "At most").hint("Such as 10/second, 300/minute or 5000/hour.")))
                (sheet.field(&Field::line("late", "Events that come late").kind(Kind::Choice(LATE))))
            }
        }
    }
}

fn draw_when(sheet: &Sheet) -> Markup {
    let condition = "Such as properties.total > 50 and properties.plan != \"trial\".";
    html! {
        div.card {
            h2 { "When" }
            (sheet.field(&Field::line("sources", "Sources").hint("Short names, with commas between them; all of them where it stays empty.")))
            (sheet.field(&Field::line("when.type", "Kinds of call").hint("track, identify, page, screen, group, alias.")))
            (sheet.field(&Field::line("when.event", "Event names").hint("With commas between them; any of them fits.")))
            (sheet.field(&Field::line("when.loose", "Case and separators of names do not matter").kind(Kind::Tick)))
            (sheet.field(&Field::line("when.condition", "And this holds").kind(Kind::Lines(2)).hint(condition)))
        }
    }
}

fn draw_sample(sheet: &Sheet, around: &Around<'_>) -> Markup {
    let mut choices = vec![("", "None")];
    choices.extend(around.samples.0.iter().map(|(id, words)| (id.as_str(), words.as_str())));
    let held = sheet.value("sample");
    if !held.is_empty() && !choices.iter().any(|(id, _)| *id == held) {
        choices.push((held, held));
    }
    let hint = "An event that came in. It is shown below as the flow sees it: after its transformation.";
    html! {
        div.card {
            (sheet.field(&Field::line("sample", "Sample").kind(Kind::Choice(&choices)).hint(hint)))
            @if let Some(says) = around.says { p.soft role="status" { "Its transformation: " (says) } }
            button type="submit" name="do" value="show" { "Show it" }
        }
    }
}

async fn draw_step(desk: &Desk, sheet: &Sheet, around: &Around<'_>, index: usize) -> Result<Markup, Fault> {
    let at = step_at(index);
    let name = |name: &str| format!("{at}.{name}");
    let action = sheet.value(&name("action")).to_owned();
    let about = about(sheet.value("project"), &action, &at);
    // What cannot be read is said beside its field; the rest is shown as it was typed.
    let map = about.read(&desk.ask, sheet, around.sample).await.unwrap_or_default();
    let known = about.ask(&desk.ask, &map, around.sample).await?;
    let names = STEP.map(name);
    let [id, action_at, condition, on_error, if_exists, channel, sender, span] = names.each_ref().map(String::as_str);
    Ok(html! {
        details.card.step open {
            summary { (index + 1) ". " (sheet.value(id)) " " span.soft { (action) } }
            div.columns {
                (sheet.field(&Field::line(id, "Id").hint("Keep it: an event does a step once.").required()))
                (sheet.field(&Field::line(action_at, "What it does").kind(Kind::Choice(ACTIONS))))
                (sheet.field(&Field::line(condition, "Only if").hint("A condition; passed over where it does not hold.")))
                (sheet.field(&Field::line(on_error, "When it fails").kind(Kind::Choice(ON_ERROR))))
                @if action == "issue" {
                    (sheet.field(&Field::line(if_exists, "When there is such a pass already").kind(Kind::Choice(IF_EXISTS))))
                }
                @if action == "send" {
                    (sheet.field(&Field::line(channel, "By which way").kind(Kind::Choice(CHANNELS))))
                    (sheet.field(&Field::line(sender, "Destination that sends it").hint("The only one for this way where it stays empty.")))
                }
                @if action == "wait" { (sheet.field(&Field::line(span, "So long after the event").hint("90m, 12h, 30d, 4w."))) }
            }
            (widget(sheet, &about, &map, around.sample, &known))
            p {
                button type="submit" name="do" value={ "guess-" (index) } { "Guess from the sample" } " "
                button type="submit" name="do" value={ "remove-" (index) } { "Remove the step" }
            }
        }
    })
}

/// What a try of the flow came to.
fn draw_trace(tried: &Value) -> Markup {
    let runs = tried["runs"].as_array().cloned().unwrap_or_else(|| vec![tried.clone()]);
    html! {
        section.card role="status" {
            h2 { "What it would do" }
            @if !tried["transformation"].is_null() {
                details { summary { "What the transformation made of it" } (shown(&tried["transformation"])) }
            }
            @for run in &runs {
                @if run["matched"] == true { p { (toned("good", "matched")) } }
                @else { p { (toned("warn", "not for this flow")) " " (text(run, "/reason")) } }
                @for step in run["steps"].as_array().into_iter().flatten() {
                    h3 { code { (text(step, "/step")) } " " (text(step, "/action")) " " (chip(text(step, "/outcome")))
                        @if let Some(result) = step["result"].as_str() { " " (chip(result)) } }
                    @if let Some(why) = step["error"]["message"].as_str() { p.fault { (why) } }
                    p { (text(step, "/reason")) }
                    @for problem in step["problems"].as_array().into_iter().flatten() {
                        p.fault { code { (text(problem, "/path")) } " " (text(problem, "/message")) }
                    }
                    @if !step["resolved"].is_null() { (shown(&step["resolved"])) }
                }
            }
            p.hint { "Nothing was done." }
        }
    }
}
