//! A design's words in other languages: `pass.strings` for Apple, translated values for Google.
//!
//! Apple looks a translation up by the literal text that stands in `pass.json`. A text without placeholders is the same on
//! every pass, so its translations are prepared with the images; one with placeholders comes out differently on each pass,
//! and the pass then carries strings files of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::{Design, Text};
use serde_json::{Value, json};

use crate::PassView;

/// What each literal text is in one language.
pub(crate) type Table = BTreeMap<String, String>;

/// The tables of a design, filled by `fill`; a text that comes out empty, or that `fill` does not give, is left out.
fn tables(design: &Design, fill: impl Fn(&Text) -> Option<String>) -> Vec<(&str, Table)> {
    let table = |texts: &BTreeMap<String, Text>| -> Table {
        texts.iter().filter_map(|(from, to)| Some((fill(&Text::parse(from).ok()?)?, fill(to)?))).collect()
    };
    design.translations.iter().map(|(language, translation)| (language.as_str(), table(&translation.texts))).collect()
}

fn constant(text: &Text) -> Option<String> {
    text.names().next().is_none().then(|| text.fill(|_| None)).filter(|text| !text.is_empty())
}

/// The words that are the same on every pass; `fill` knows more, such as the project's name.
pub(crate) fn of_design<'d>(design: &'d Design, project_name: &str) -> Vec<(&'d str, Table)> {
    tables(design, |text| {
        let known = text.names().all(|name| name == "project.name");
        known.then(|| text.fill(|_| Some(project_name.to_owned()))).filter(|text| !text.is_empty())
    })
}

/// The words of one pass.
pub(crate) fn of_pass<'d>(view: &PassView<'d>) -> Vec<(&'d str, Table)> {
    let design: &'d Design = &view.template.design;
    tables(design, |text| Some(view.text(text)).filter(|text| !text.is_empty()))
}

/// The strings files with what is the same on every pass.
pub(crate) fn common_strings(design: &Design) -> Vec<(String, Bytes)> {
    files(tables(design, constant))
}

/// The strings files of one pass, where its translations hold placeholders; they replace those that were prepared with
/// [`crate::apple_assets`]. Empty for most designs.
#[must_use]
pub fn apple_strings(view: &PassView<'_>) -> Vec<(String, Bytes)> {
    let design = &view.template.design;
    let varies = |text: &Text| text.names().next().is_some();
    let mut texts = design.translations.values().flat_map(|translation| &translation.texts);
    if view.is_blank() || !texts.any(|(from, to)| varies(to) || from.contains("{{")) {
        return Vec::new();
    }
    files(of_pass(view))
}

fn files(tables: Vec<(&str, Table)>) -> Vec<(String, Bytes)> {
    let file = |(language, table): (&str, Table)| {
        let pairs = table.iter().map(|(from, to)| (from.as_str(), to.as_str()));
        (pkpass::strings_path(language), Bytes::from(pkpass::write_strings(pairs)))
    };
    tables.into_iter().filter(|(_, table)| !table.is_empty()).map(file).collect()
}

/// Google's plain texts and the keys of their localised forms.
const LOCALIZED: &[(&str, &str)] = &[
    ("body", "localizedBody"),
    ("description", "localizedDescription"),
    ("header", "localizedHeader"),
    ("issuerName", "localizedIssuerName"),
    ("label", "localizedLabel"),
    ("merchantName", "localizedMerchantName"),
    ("programName", "localizedProgramName"),
    ("provider", "localizedProvider"),
    ("title", "localizedTitle"),
];

/// Adds to a Google class or object what its texts are in other languages; a text that brings its own translations keeps
/// them. `language` is the one that the plain texts are written in.
pub(crate) fn localize(value: &mut Value, language: &str, tables: &[(&str, Table)]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| localize(item, language, tables)),
        Value::Object(object) => {
            if let Some(text) = object.get("defaultValue").and_then(|value| value["value"].as_str()) {
                let translated = translations(text, tables);
                if !translated.is_empty() && !object.contains_key("translatedValues") {
                    object.insert("translatedValues".to_owned(), translated.into());
                }
                return;
            }
            for (plain, localized) in LOCALIZED {
                let Some(text) = object.get(*plain).and_then(Value::as_str) else { continue };
                let translated = translations(text, tables);
                if !translated.is_empty() && !object.contains_key(*localized) {
                    let whole = json!({"defaultValue": {"language": language, "value": text}, "translatedValues": translated});
                    object.insert((*localized).to_owned(), whole);
                }
            }
            object.values_mut().for_each(|inner| localize(inner, language, tables));
        }
        _ => {}
    }
}

fn translations(text: &str, tables: &[(&str, Table)]) -> Vec<Value> {
    let of = |(language, table): &(&str, Table)| Some(json!({"language": language, "value": table.get(text)?}));
    tables.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_of_google_gets_its_translations_once() {
        let tables = [("de", Table::from([("Points".to_owned(), "Punkte".to_owned())])), ("fr", Table::new())];
        let mut class = json!({
            "issuerName": "Points", "id": "Points",
            "eventName": {"defaultValue": {"language": "en", "value": "Points"}},
            "textModulesData": [{"header": "Points", "body": "12", "localizedBody": "kept"}],
            "own": {"defaultValue": {"language": "en", "value": "Points"}, "translatedValues": []}
        });
        localize(&mut class, "en", &tables);
        let german = json!([{"language": "de", "value": "Punkte"}]);
        assert_eq!(class["eventName"]["translatedValues"], german);
        assert_eq!(class["localizedIssuerName"]["translatedValues"], german);
        assert_eq!(class["textModulesData"][0]["localizedHeader"]["defaultValue"]["value"], "Points");
        assert_eq!(class["own"]["translatedValues"], json!([]), "its own translations are kept");
        assert_eq!((&class["id"], class.get("localizedId")), (&json!("Points"), None));
        let once = class.clone();
        localize(&mut class, "en", &tables);
        assert_eq!(class, once);
    }
}
