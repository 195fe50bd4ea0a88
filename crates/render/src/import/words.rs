//! The languages of a pass: its strings files.

use std::collections::BTreeMap;

use domain::{Design, Text, Translation, is_language};
use pkpass::Package;
use serde_json::{Map, Value};

use super::{Notes, Outcome};

/// The tag of a language that nobody knows (BCP 47).
const UNKNOWN: &str = "und";
/// Most levels of nesting that are looked through.
const MAX_DEPTH: usize = 32;

type Table = BTreeMap<String, String>;

/// What the texts of a pass are in each language, and in which of them they are written.
pub(super) struct Words {
    language: String,
    tables: BTreeMap<String, Table>,
}

/// Reads the strings files. Where texts are asked for in a language that has one, they are put in its words.
pub(super) fn read(package: &Package, asked: Option<&str>, json: &mut Map<String, Value>, notes: &mut Notes) -> Words {
    let mut tables = BTreeMap::new();
    for (path, bytes) in package.files() {
        let Some(tag) = path.strip_suffix(".lproj/pass.strings") else { continue };
        let language = tag.replace('_', "-");
        if !is_language(&language) {
            notes.left_out(path, format!("{tag:?} is no language that both wallets know"));
            continue;
        }
        match pkpass::read_strings(bytes) {
            Ok(pairs) => drop(tables.insert(language, pairs.into_iter().collect::<Table>())),
            Err(fault) => notes.left_out(path, fault.to_string()),
        }
    }
    let same = |table: &Table| table.iter().all(|(from, to)| from == to);
    let own = tables.iter().find(|(_, table)| !table.is_empty() && same(table)).map(|(language, _)| language.clone());
    let language = match asked {
        Some(asked) => asked.to_owned(),
        None => own.unwrap_or_else(|| if tables.contains_key("en") { UNKNOWN } else { "en" }.to_owned()),
    };
    if language == UNKNOWN {
        let reason = "nothing says in which language pass.json is written: name it, and import again";
        notes.say("pass.json", Outcome::Changed, format!("{reason}, or change `language` of the design"));
    }
    if let Some(own) = tables.remove(&language) {
        json.values_mut().for_each(|value| translate(value, &own, MAX_DEPTH));
        let rekeyed = |table: Table| table.into_iter().map(|(from, to)| (own.get(&from).cloned().unwrap_or(from), to)).collect();
        tables = tables.into_iter().map(|(language, table)| (language, rekeyed(table))).collect();
    }
    Words { language, tables }
}

/// Puts every text that a table knows into its words.
fn translate(value: &mut Value, table: &Table, depth: usize) {
    match value {
        Value::String(text) => {
            if let Some(translated) = table.get(text.as_str()) {
                text.clone_from(translated);
            }
        }
        Value::Array(items) if depth > 0 => items.iter_mut().for_each(|item| translate(item, table, depth - 1)),
        Value::Object(object) if depth > 0 => object.values_mut().for_each(|item| translate(item, table, depth - 1)),
        _ => {}
    }
}

impl Words {
    pub(super) fn write(self, design: &mut Design) {
        design.language = self.language;
        for (language, table) in self.tables.into_iter().take(Design::MAX_TRANSLATIONS) {
            let texts: BTreeMap<String, Text> = table
                .into_iter()
                .filter_map(|(from, to)| {
                    Text::parse(&from).ok()?;
                    Some((from, Text::parse(&to).ok()?))
                })
                .collect();
            if !texts.is_empty() {
                design.translations.insert(language, Translation { texts, ..Translation::default() });
            }
        }
    }
}
