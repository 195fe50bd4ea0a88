//! The fields of the style.

use std::collections::HashSet;

use serde_json::Value;

use super::{Report, dates, items};
use crate::model::{DataDetector, DateStyle, Fields, NumberStyle, Style, TextAlignment, TransitType};

pub(super) fn check(report: &mut Report, pass: &Value) {
    let mut seen = HashSet::new();
    for style in Style::KEYS.iter().copied().chain(["posterGeneric"]).filter(|key| pass[*key].is_object()) {
        check_transit(report, style, &pass[style]);
        // the poster repeats the fields of the style beside it
        if style == "posterGeneric" {
            seen.clear();
        }
        for group in Fields::GROUPS {
            for (at, field) in items(&pass[style][*group]).iter().enumerate() {
                let path = format!("{style}.{group}[{at}]");
                check_key(report, &path, field, &mut seen);
                check_value(report, &path, field);
                check_attributed(report, &path, field);
                check_place(report, &path, group, field);
                check_words(report, &path, field);
            }
        }
    }
}

fn check_transit(report: &mut Report, style: &str, fields: &Value) {
    let path = format!("{style}.transitType");
    match (style, fields.get("transitType")) {
        ("boardingPass", None) => {
            report.refused(&path, "transit_type", format!("add one of {}", TransitType::KNOWN.join(", ")));
        }
        ("boardingPass", Some(word)) => check_word(report, &path, word, TransitType::KNOWN, "a generic symbol is shown"),
        (_, Some(_)) => {
            report.lost(&path, "transit_type", "the key is ignored", "only boarding passes have a `transitType`; remove it");
        }
        (_, None) => {}
    }
}

fn check_key<'a>(report: &mut Report, path: &str, field: &'a Value, seen: &mut HashSet<&'a str>) {
    let path = format!("{path}.key");
    match field["key"].as_str() {
        None | Some("") => report.refused(&path, "field_key", "give each field a key of its own"),
        Some(key) if !seen.insert(key) => {
            report.refused(&path, "field_key_twice", format!("`{key}` is used twice; keys are unique across the whole pass"));
        }
        Some(_) => {}
    }
}

fn check_value(report: &mut Report, path: &str, field: &Value) {
    let value = &field["value"];
    let at = format!("{path}.value");
    if !value.is_string() && !value.is_number() {
        report.refused(&at, "field_value", "give a text or a number");
        return;
    }
    let is_shown = |key: &str| field[key].as_str().is_some_and(|style| style != "PKDateStyleNone");
    if is_shown("dateStyle") || is_shown("timeStyle") {
        dates::check(report, &at, value);
    }
    for key in ["numberStyle", "currencyCode"] {
        if field.get(key).is_some() && !value.is_number() {
            report.lost(
                &format!("{path}.{key}"),
                "number_format_on_text",
                "the value is shown as it stands",
                format!("make the value a JSON number, or remove `{key}`"),
            );
        }
    }
    if field.get("numberStyle").is_some() && field.get("currencyCode").is_some() {
        report.lost(
            &format!("{path}.numberStyle"),
            "number_and_currency",
            "one of the two is ignored",
            "keep `numberStyle` or `currencyCode`",
        );
    }
    if field.get("changeMessage").is_some_and(|text| text.as_str().is_none_or(|text| !text.contains("%@"))) {
        report.lost(
            &format!("{path}.changeMessage"),
            "change_message",
            "the notification does not name the new value",
            "put `%@` where the new value belongs",
        );
    }
}

/// Apple takes anchors alone: `<a href='…'>…</a>`.
fn check_attributed(report: &mut Report, path: &str, field: &Value) {
    let Some(value) = field.get("attributedValue") else { return };
    let fits = value.is_number() || value.as_str().is_some_and(|text| text.split('<').skip(1).all(is_anchor));
    if !fits {
        report.lost(
            &format!("{path}.attributedValue"),
            "attributed_value",
            "the markup is not shown as it was meant",
            "write text with `<a href='https://example.com'>` and `</a>` alone, and `&lt;` for a <",
        );
    }
}

/// Whether what follows a `<` is the rest of an anchor's tag.
fn is_anchor(rest: &str) -> bool {
    let lower = rest.to_ascii_lowercase();
    match lower.split_once('>') {
        Some(("/a", _)) => true,
        Some((tag, _)) => tag.strip_prefix("a ").is_some_and(|tag| tag.trim_start().starts_with("href")),
        None => false,
    }
}

fn check_place(report: &mut Report, path: &str, group: &str, field: &Value) {
    let has = |key: &str| field.get(key).is_some();
    if has("textAlignment") && matches!(group, "primaryFields" | "backFields") {
        report.lost(
            &format!("{path}.textAlignment"),
            "alignment_place",
            "the alignment is ignored",
            "remove it; primary and back fields have none",
        );
    }
    if has("row") && group != "auxiliaryFields" {
        report.lost(
            &format!("{path}.row"),
            "row_place",
            "the row is ignored",
            "only auxiliary fields have a row; remove it or move the field",
        );
    }
    if has("row") && !matches!(field["row"].as_u64(), Some(0 | 1)) {
        report.lost(&format!("{path}.row"), "row_value", "the row is ignored", "write 0 or 1");
    }
    if has("dataDetectorTypes") && group != "backFields" {
        report.lost(
            &format!("{path}.dataDetectorTypes"),
            "detector_place",
            "no links are made",
            "only back fields have detectors; remove the key",
        );
    }
}

fn check_words(report: &mut Report, path: &str, field: &Value) {
    let sets = [
        ("textAlignment", TextAlignment::KNOWN),
        ("dateStyle", DateStyle::KNOWN),
        ("timeStyle", DateStyle::KNOWN),
        ("numberStyle", NumberStyle::KNOWN),
    ];
    for (key, known) in sets {
        if let Some(word) = field.get(key) {
            check_word(report, &format!("{path}.{key}"), word, known, "the style is ignored");
        }
    }
    for (at, word) in items(&field["dataDetectorTypes"]).iter().enumerate() {
        check_word(report, &format!("{path}.dataDetectorTypes[{at}]"), word, DataDetector::KNOWN, "the detector is ignored");
    }
}

fn check_word(report: &mut Report, path: &str, word: &Value, known: &[&str], consequence: &str) {
    if word.as_str().is_none_or(|word| !known.contains(&word)) {
        report.lost(path, "unknown_word", consequence, format!("write one of {}", known.join(", ")));
    }
}
