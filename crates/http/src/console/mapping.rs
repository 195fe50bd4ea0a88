//! The mapping widget: a sample's values beside the places that a map can set, put together by clicking.
//!
//! Every place is a field of the form around it, `PREFIX.PLACE`, so that all of it works without a script, and what the API
//! finds wrong stands beside the field. What a map makes of the sample is the API's answer, never worked out here.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    response::{IntoResponse, Response},
    routing::post,
};
use flows::targets::{member, put};
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::{
    ask::{Ask, Fault, query, segment},
    form::{Sent, Sheet},
    frame::Desk,
    parts::{items, plain, text},
};
use crate::App;

/// The script of the widget.
pub(super) const SCRIPT: &str = "console-map.js";
/// The most values of a sample that are shown.
const MAX_SHOWN: usize = 400;
/// Characters of a value that are shown.
const SHOWN_CHARS: usize = 120;
/// Members of a flow's step that are fields of their own.
pub(super) const STEP: [&str; 8] = ["id", "action", "condition", "on_error", "if_exists", "channel", "sender", "for"];
/// The field with the whole map as a text, and the one that says which counts.
const WRITTEN: &str = "written";
const FROM: &str = "map_from";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/console/mapping/test", post(test))
}

/// What a map is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// The project: its id.
    pub(super) project: &'a str,
    /// What the step, or the batch, does.
    pub(super) action: &'a str,
    /// `events` or `rows`.
    pub(super) over: &'a str,
    /// What stands before the names of the fields: the place of the map in the API's body.
    pub(super) prefix: &'a str,
}

/// What the API knows of a map: what it can set, and what it makes of the sample.
pub(super) struct Known {
    targets: Value,
    tested: Value,
}

impl About<'_> {
    fn path(&self, what: &str) -> String {
        format!("/v1/projects/{}/{what}", segment(self.project))
    }

    /// Asks what there is to know of a map.
    pub(super) async fn ask(&self, ask: &Ask, map: &Map<String, Value>, sample: &Value) -> Result<Known, Fault> {
        let path = query(&self.path("mapping-targets"), &[("action", self.action), ("over", self.over)]);
        let targets = ask.get(&path).await?;
        let tested = self.test(ask, &json!({"map": map}), sample).await?;
        Ok(Known { targets, tested })
    }

    async fn test(&self, ask: &Ask, map: &Value, sample: &Value) -> Result<Value, Fault> {
        let sample = if sample.is_object() { sample.clone() } else { json!({}) };
        let mut body = json!({"action": self.action, "over": self.over, "sample": sample});
        if let (Some(body), Some(map)) = (body.as_object_mut(), map.as_object()) {
            body.extend(map.clone());
        }
        ask.post(&self.path("mapping-test"), &body).await
    }

    /// The API's guess at a map for a sample.
    pub(super) async fn guess(&self, ask: &Ask, sample: &Value) -> Result<Map<String, Value>, Fault> {
        let body = json!({"action": self.action, "over": self.over, "sample": sample});
        let guess = ask.post(&self.path("mapping-suggestion"), &body).await?;
        Ok(guess["map"].as_object().cloned().unwrap_or_default())
    }

    /// Whether a place below the prefix is no part of the map: what a step says beside it.
    fn is_beside(&self, place: &str) -> bool {
        self.over == "events" && STEP.contains(&place)
    }

    fn name(&self, place: &str) -> String {
        format!("{}.{place}", self.prefix)
    }

    /// The map that a form says, out of its fields or out of its text.
    pub(super) async fn read(&self, ask: &Ask, sheet: &Sheet, sample: &Value) -> Result<Map<String, Value>, Fault> {
        if sheet.value(&self.name(FROM)) == WRITTEN {
            let written = sheet.value(&self.name(WRITTEN));
            let tested = self.test(ask, &json!({"text": written}), sample).await.map_err(|fault| self.moved(fault))?;
            return Ok(tested["map"].as_object().cloned().unwrap_or_default());
        }
        self.of_fields(sheet)
    }

    /// A fault of the text, where the form has it.
    fn moved(&self, fault: Fault) -> Fault {
        let errors = fault.errors.iter().map(|(path, message)| match path.strip_prefix("text") {
            Some(_) => (self.name(WRITTEN), message.clone()),
            None => (path.clone(), message.clone()),
        });
        Fault { errors: errors.collect(), ..fault }
    }

    fn of_fields(&self, sheet: &Sheet) -> Result<Map<String, Value>, Fault> {
        let mut map = Map::new();
        let start = format!("{}.", self.prefix);
        let own = sheet.pairs().filter_map(|(name, value)| Some((name, name.strip_prefix(&start)?, value.trim())));
        let is_mapped = |place: &str| ![WRITTEN, FROM].contains(&place) && !self.is_beside(place);
        for (name, place, typed) in own.filter(|(_, place, typed)| is_mapped(place) && !typed.is_empty()) {
            let value = value_of(typed).map_err(|why| Fault::field(name, &why))?;
            put(&mut map, place, value);
        }
        Ok(map)
    }
}

/// What somebody typed at a place: a path, a text with placeholders, a plain text, or JSON where that is an object, a list or
/// null.
fn value_of(typed: &str) -> Result<Value, String> {
    if typed == "null" {
        return Ok(Value::Null);
    }
    if (typed.starts_with('{') && !typed.starts_with("{{")) || typed.starts_with('[') {
        return serde_json::from_str(typed).map_err(|error| format!("is no JSON: {error}"));
    }
    if typed.starts_with("$.") && typed.contains(char::is_whitespace) {
        return Ok(json!({"@path": typed}));
    }
    Ok(json!(typed))
}

/// A value of a map as it is typed.
fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) if members.len() == 1 => match members.get("@path").and_then(Value::as_str) {
            Some(path) if path.starts_with("$.") => path.to_owned(),
            _ => value.to_string(),
        },
        value => value.to_string(),
    }
}

/// The places of a map with what stands there.
pub(super) fn places(map: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (key, value) in map {
        match value {
            Value::Object(members) if !members.keys().any(|key| key.starts_with('@')) => {
                out.extend(members.iter().map(|(inner, value)| (format!("{key}.{inner}"), typed(value))));
            }
            value => drop(out.insert(key.clone(), typed(value))),
        }
    }
    out
}

/// What a place makes of the sample: of its type where the whole map is right, else as it stands in the sample.
fn made(tested: &Value, place: &str) -> Option<String> {
    let resolved = place.split('.').try_fold(&tested["resolved"], |value, key| value.get(key));
    let found = resolved.filter(|found| !found.is_null()).or_else(|| tested["values"].get(place))?;
    let shown = plain(found.get("set").unwrap_or(found));
    Some(clipped(&shown))
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is wrong at a place.
fn wrong<'t>(tested: &'t Value, place: &str) -> Option<&'t str> {
    let is_here = |problem: &&Value| {
        let path = text(problem, "/path");
        path == place || path.strip_prefix(place).is_some_and(|rest| rest.starts_with(['.', '[', '@']))
    };
    tested["problems"].as_array()?.iter().find(is_here).map(|problem| text(problem, "/message"))
}

impl Sheet {
    /// Fills the fields of a map in.
    pub(super) fn fill_map(&mut self, about: &About<'_>, map: &Map<String, Value>) {
        for (place, typed) in places(map) {
            self.suggest(&about.name(&place), typed);
        }
    }
}

/// The widget: to stand within a form whose fields are `sheet`.
pub(super) fn widget(sheet: &Sheet, about: &About<'_>, map: &Map<String, Value>, sample: &Value, known: &Known) -> Markup {
    let fixed: Vec<&str> = items(&known.targets).map(|target| text(target, "/place")).collect();
    let others = places(map).into_keys().filter(|place| !fixed.contains(&place.as_str()));
    let others: Vec<Value> = others.map(|place| json!({"place": place, "label": place, "takes": "", "choices": []})).collect();
    html! {
        div.map data-map data-project=(about.project) data-action=(about.action) data-over=(about.over) data-prefix=(about.prefix)
            data-sample=(sample) {
            p.hint.map-says role="status" aria-live="polite" data-says {
                "Type where each value comes from, such as " code { "$.properties.email" } ", or a fixed text."
            }
            div.map-sides {
                div.map-sample {
                    h3 { "Sample" }
                    @if sample.as_object().is_none_or(Map::is_empty) { p.empty { "There is no sample to choose from." } }
                    @else { ul.tree { (tree(sample, "$", &mut 0)) } }
                }
                div.map-places {
                    h3 { "What it sets" }
                    @for target in items(&known.targets).chain(&others) { (place(sheet, about, target, &known.tested)) }
                    (elsewhere(&known.tested))
                }
            }
            details.map-text open[sheet.value(&about.name(FROM)) == WRITTEN] {
                summary { "As YAML or JSON" }
                (as_text(sheet, about, map))
            }
        }
    }
}

fn as_text(sheet: &Sheet, about: &About<'_>, map: &Map<String, Value>) -> Markup {
    let is_written = sheet.value(&about.name(FROM)) == WRITTEN;
    let shown = serde_json::to_string_pretty(map).unwrap_or_default();
    let held = if is_written { sheet.value(&about.name(WRITTEN)) } else { &shown };
    let at = format!("f-{}", about.name(WRITTEN));
    let fault = sheet.fault().and_then(|fault| fault.at(&about.name(WRITTEN)).next().map(str::to_owned));
    html! {
        div.field {
            label for=(at) { "The whole map" }
            textarea id=(at) name=(about.name(WRITTEN)) rows="10" spellcheck="false" data-written { (held) }
            @if let Some(fault) = fault { p.fault { (fault) } }
        }
        div.field {
            label for={ (at) "-from" } { "Which counts" }
            select id={ (at) "-from" } name=(about.name(FROM)) data-from {
                option value="fields" selected[!is_written] { "The fields above" }
                option value=(WRITTEN) selected[is_written] { "This text" }
            }
        }
    }
}

fn place(sheet: &Sheet, about: &About<'_>, target: &Value, tested: &Value) -> Markup {
    let (place, takes) = (text(target, "/place"), text(target, "/takes"));
    let name = about.name(place);
    let at = format!("f-{name}");
    let said = sheet.fault().and_then(|fault| fault.at(&name).next());
    let fault = said.or_else(|| wrong(tested, place));
    let choices = target["choices"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    html! {
        div.place data-place=(place) {
            label for=(at) {
                span { (text(target, "/label")) @if target["required"] == true { span.soft title="required" { " *" } } }
                span.takes { (takes) }
            }
            div.from {
                input id=(at) name=(name) value=(sheet.value(&name)) autocomplete="off" spellcheck="false"
                    aria-invalid=[fault.map(|_| "true")] aria-describedby={ (at) "-made" };
                button.take type="button" data-take aria-pressed="false" hidden { "Choose" span.hidden { " " (place) } }
                button type="button" data-remove hidden { "Remove" span.hidden { " " (place) } }
            }
            p.made id={ (at) "-made" } {
                output for=(at) data-made { @if let Some(made) = made(tested, place) { "→ " (made) } }
                span.fault data-fault { @if let Some(fault) = fault { (fault) } }
                @if !choices.is_empty() { span.soft { "One of " (choices) } }
                @else if target["one_of"] == "pass" { span.soft { "One of these says which pass." } }
                @else if target["one_of"] == "person" { span.soft { "One of these says who; unless told, the event's own." } }
                @else if let Some(default) = target.get("default").filter(|default| !default.is_null()) {
                    span.soft { (plain(default)) " unless told" }
                }
            }
        }
    }
}

/// What is wrong with a map as a whole.
fn elsewhere(tested: &Value) -> Markup {
    let whole = tested["problems"].as_array().into_iter().flatten().filter(|problem| is_of_all(text(problem, "/path")));
    html! { div data-elsewhere { @for problem in whole { p.fault { (text(problem, "/path")) " " (text(problem, "/message")) } } } }
}

fn is_of_all(path: &str) -> bool {
    ["", "find", "contact", "fields", "balances"].contains(&path)
}

fn tree(value: &Value, path: &str, shown: &mut usize) -> Markup {
    let members: Vec<(String, String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), member(path, key), value)).collect(),
        Value::Array(elements) => {
            let element = |(index, value)| (format!("{index}"), format!("{path}[{index}]"), value);
            elements.iter().enumerate().map(element).collect()
        }
        _ => Vec::new(),
    };
    html! {
        @for (key, path, value) in members {
            @if *shown < MAX_SHOWN {
                ({ *shown += 1; "" })
                li {
                    @if value.is_object() || value.is_array() {
                        details open { summary { code { (key) } } ul { (tree(value, &path, shown)) } }
                    } @else {
                        button.value type="button" data-path=(path) title=(path) aria-pressed="false" {
                            code { (key) } span { (clipped(&plain(value))) }
                        }
                    }
                }
            }
        }
    }
}

/// What a map makes of a sample, for the widget's script.
async fn test(desk: Desk, Sent(sheet): Sent) -> Response {
    let prefix = sheet.value("prefix").to_owned();
    let about =
        About { project: sheet.value("project"), action: sheet.value("action"), over: sheet.value("over"), prefix: &prefix };
    let sample: Value = serde_json::from_str(sheet.value("sample")).unwrap_or_default();
    let told = async {
        let map = about.read(&desk.ask, &sheet, &sample).await?;
        let tested = about.test(&desk.ask, &json!({"map": map}), &sample).await?;
        Ok::<_, Fault>((map, tested))
    };
    match told.await {
        Ok((map, tested)) => Json(answer(&map, &tested)).into_response(),
        Err(fault) => {
            let errors: BTreeMap<&str, &str> = fault
                .errors
                .iter()
                .map(|(at, why)| (at.strip_prefix(&format!("{prefix}.")).unwrap_or(at), why.as_str()))
                .collect();
            let said = if errors.is_empty() { fault.detail.as_str() } else { "" };
            (StatusCode::OK, Json(json!({"fault": said, "faults": errors}))).into_response()
        }
    }
}

fn answer(map: &Map<String, Value>, tested: &Value) -> Value {
    let fields = places(map);
    let made: BTreeMap<&String, String> = fields.keys().filter_map(|place| Some((place, made(tested, place)?))).collect();
    let problems = tested["problems"].as_array().into_iter().flatten();
    let mut faults = BTreeMap::new();
    let mut others = Vec::new();
    for problem in problems {
        let (path, message) = (text(problem, "/path"), text(problem, "/message"));
        let place: String = path.split(['[', '@']).next().unwrap_or_default().trim_end_matches('.').to_owned();
        if is_of_all(path) {
            others.push(format!("{path} {message}"));
        } else {
            faults.insert(place, message);
        }
    }
    let text = serde_json::to_string_pretty(map).unwrap_or_default();
    json!({"fields": fields, "made": made, "faults": faults, "others": others, "text": text})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_what_is_shown_again() {
        for (text, value) in [
            ("$.properties.email", json!("$.properties.email")),
            ("$.['First name']", json!({"@path": "$.['First name']"})),
            ("{{first}} {{last}}", json!("{{first}} {{last}}")),
            ("null", Value::Null),
            ("{\"@literal\":\"$.x\"}", json!({"@literal": "$.x"})),
            ("50", json!("50")),
        ] {
            assert_eq!(value_of(text), Ok(value.clone()), "{text}");
            assert_eq!(typed(&value), text);
        }
        assert!(value_of("{nonsense").is_err());
    }

    #[test]
    fn a_map_is_its_places() {
        let map = json!({"external_id": "$.no", "contact": {"email": "$.mail"}, "fields": {"@merge": []}, "balances": {}});
        let map = map.as_object().unwrap();
        let found = places(map);
        let places: Vec<(&str, &str)> = found.iter().map(|(place, typed)| (place.as_str(), typed.as_str())).collect();
        assert_eq!(places, [("contact.email", "$.mail"), ("external_id", "$.no"), ("fields", "{\"@merge\":[]}")]);
    }

    #[test]
    fn values_of_samples_are_escaped() {
        let shown = tree(&json!({"<b>": {"x": ["<script>"]}}), "$", &mut 0).into_string();
        assert!(!shown.contains("<b>") && !shown.contains("<script>"), "{shown}");
        assert!(shown.contains("data-path=\"$.['&lt;b&gt;'].x[0]\""), "{shown}");
    }
}
