//! The fields of a pass: what a design has words for, and what is left of each.

use std::collections::BTreeSet;

use domain::{Alignment, DateFormat, DateLength, Design, DesignField, FieldPlace, Link, NumberFormat};
use serde_json::{Map, Value};

use super::source::{Source, parse};
use super::{Notes, Outcome};
use crate::MESSAGE_FIELD;
use crate::values::Moment;

/// Keys of the fields that links of a design are drawn as.
const LINK_FIELD: &str = "passbridge.link.";
const GROUPS: [(&str, FieldPlace); 7] = [
    ("headerFields", FieldPlace::Header),
    ("primaryFields", FieldPlace::Primary),
    ("secondaryFields", FieldPlace::Secondary),
    ("auxiliaryFields", FieldPlace::Auxiliary),
    ("backFields", FieldPlace::Back),
    ("additionalInfoFields", FieldPlace::AdditionalInfo),
    ("footerFields", FieldPlace::Footer),
];

/// Takes the fields of a style into the design; the foot of a poster stands in the poster alone.
pub(super) fn read(source: &mut Source<'_>, design: &mut Design, style: &'static str) {
    let mut keys = BTreeSet::new();
    for style in [style, "posterGeneric"] {
        let Some(value) = source.peek(style) else { continue };
        let mut odd: Vec<String> = Vec::new();
        match value {
            Value::Object(groups) => {
                let listed = |group: &&str| groups.get(*group).is_some_and(|fields| !fields.is_array() && !fields.is_null());
                odd.extend(GROUPS.iter().map(|(group, _)| *group).filter(listed).map(|group| format!("{style}.{group}")));
            }
            _ => odd.push(style.to_owned()),
        }
        odd.into_iter().for_each(|path| source.notes.left_out(path, "it holds no list of fields"));
    }
    let groups = |source: &Source<'_>, style: &str, footer: bool| -> Vec<(String, FieldPlace, Vec<Value>)> {
        let of = |(group, place): &(&str, FieldPlace)| {
            let fields = source.peek(style)?[*group].as_array()?.clone();
            ((*place == FieldPlace::Footer) == footer).then(|| (format!("{style}.{group}"), *place, fields))
        };
        GROUPS.iter().filter_map(of).collect()
    };
    let mut all = groups(source, style, false);
    let foot = groups(source, "posterGeneric", true);
    let in_foot = |key: &Value| foot.iter().flat_map(|(_, _, fields)| fields).any(|field| field["key"] == *key);
    let in_style: Vec<Value> = all.iter().flat_map(|(_, _, fields)| fields).map(|field| field["key"].clone()).collect();
    all.extend(foot.clone());
    for (group, place, fields) in all {
        for (index, field) in fields.iter().enumerate() {
            let path = format!("{group}[{index}]");
            // older phones show the foot of a poster among the fields: it is one field of the design
            let place = if in_foot(&field["key"]) { FieldPlace::Footer } else { place };
            if group.starts_with("posterGeneric") && in_style.contains(&field["key"]) {
                continue;
            }
            match field {
                Value::Object(field) => one(design, &path, place, field, &mut keys, source.notes),
                _ => source.notes.left_out(path, "it is no field"),
            }
        }
    }
}

fn one(
    design: &mut Design,
    path: &str,
    place: FieldPlace,
    json: &Map<String, Value>,
    keys: &mut BTreeSet<String>,
    notes: &mut Notes,
) {
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    let key = text("key").unwrap_or_default();
    if key == MESSAGE_FIELD {
        design.message_label = text("label").unwrap_or(&design.message_label).to_owned();
        return;
    }
    let value = match json.get("value") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return notes.left_out(path, "its value is neither a text nor a number"),
    };
    if key.starts_with(LINK_FIELD) && ["https://", "mailto:", "tel:"].iter().any(|scheme| value.starts_with(scheme)) {
        let label = text("attributedValue").and_then(anchor).unwrap_or_else(|| value.clone());
        design.links.push(Link { label, url: value });
        return;
    }
    if design.fields.len() == Design::MAX_FIELDS {
        return notes.left_out(path, format!("a design has at most {} fields", Design::MAX_FIELDS));
    }
    let key = unique(key, path, keys, notes);
    let mut field = DesignField::new(key, parse(&format!("{path}.value"), &value, notes), place);
    field.label = text("label").unwrap_or_default().to_owned();
    match text("changeMessage") {
        Some(message) if message.contains("%@") => field.change_message = Some(message.to_owned()),
        Some(_) => notes.left_out(format!("{path}.changeMessage"), "without %@ it says nothing of the new value"),
        None => {}
    }
    if !matches!(place, FieldPlace::Primary | FieldPlace::Back) {
        field.alignment = text("textAlignment").and_then(alignment);
    }
    field.number = number(json, &value);
    field.date = date(json, &value);
    design.fields.push(field);
}

/// A key that no other field has.
fn unique(key: &str, path: &str, keys: &mut BTreeSet<String>, notes: &mut Notes) -> String {
    let wanted = if key.is_empty() { "field" } else { key };
    let mut found = wanted.to_owned();
    let mut number = 2;
    while !keys.insert(found.clone()) {
        found = format!("{wanted}_{number}");
        number += 1;
    }
    if found != key {
        notes.say(format!("{path}.key"), Outcome::Changed, format!("each field has a key of its own: it is {found:?} now"));
    }
    found
}

/// The words of `<a href="…">words</a>`.
fn anchor(text: &str) -> Option<String> {
    let (_, rest) = text.strip_prefix("<a ")?.split_once('>')?;
    let words = rest.strip_suffix("</a>")?;
    let plain = words.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    Some(plain).filter(|words| !words.is_empty())
}

fn alignment(word: &str) -> Option<Alignment> {
    match word {
        "PKTextAlignmentLeft" => Some(Alignment::Left),
        "PKTextAlignmentCenter" => Some(Alignment::Center),
        "PKTextAlignmentRight" => Some(Alignment::Right),
        "PKTextAlignmentNatural" => Some(Alignment::Natural),
        _ => None,
    }
}

fn number(json: &Map<String, Value>, value: &str) -> Option<NumberFormat> {
    if !value.trim().parse::<f64>().is_ok_and(f64::is_finite) {
        return None;
    }
    let currency = json.get("currencyCode").and_then(Value::as_str).unwrap_or_default();
    match json.get("numberStyle").and_then(Value::as_str) {
        _ if currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            Some(NumberFormat::Currency(currency.to_owned()))
        }
        Some("PKNumberStyleDecimal") => Some(NumberFormat::Decimal),
        Some("PKNumberStylePercent") => Some(NumberFormat::Percent),
        _ => None,
    }
}

/// How a time is written; a style that the file does not name shows nothing of it.
fn date(json: &Map<String, Value>, value: &str) -> Option<DateFormat> {
    let length = |key: &str| match json.get(key).and_then(Value::as_str) {
        Some("PKDateStyleShort") => DateLength::Short,
        Some("PKDateStyleMedium") => DateLength::Medium,
        Some("PKDateStyleLong") => DateLength::Long,
        Some("PKDateStyleFull") => DateLength::Full,
        _ => DateLength::None,
    };
    let flag = |key: &str| json.get(key).and_then(Value::as_bool).unwrap_or_default();
    let is_styled = json.contains_key("dateStyle") || json.contains_key("timeStyle") || flag("isRelative");
    (is_styled && Moment::parse(value).is_some()).then(|| DateFormat {
        date: Some(length("dateStyle")),
        time: Some(length("timeStyle")),
        relative: flag("isRelative"),
        local: flag("ignoresTimeZone"),
    })
}
