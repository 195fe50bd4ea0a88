//! Rules on translations. Wallet looks up the literal label or value of `pass.json`, never the field's key.

use std::collections::HashSet;

use serde_json::Value;

use super::{File, Report};
use crate::strings::read_strings;

pub(super) fn check(report: &mut Report, pass: &Value, files: &[File<'_>]) {
    let mut literals = HashSet::new();
    collect(pass, &mut literals);
    for file in files.iter().filter(|file| file.path.ends_with(".lproj/pass.strings")) {
        let pairs = match read_strings(file.data) {
            Ok(pairs) => pairs,
            Err(fault) => {
                report.lost(file.path, "strings_unreadable", "nothing is translated into this language", fault.to_string());
                continue;
            }
        };
        if let Some((text, _)) = pairs.iter().find(|(text, _)| !literals.contains(text.as_str())) {
            let consequence = format!("`{text}` stands nowhere in pass.json, so its translation is never shown");
            report.advice(file.path, "strings_unused", consequence, "use the literal label or value as key, not the field's key");
        }
    }
}

/// Every text except fields' keys, which are never shown.
fn collect<'a>(value: &'a Value, out: &mut HashSet<&'a str>) {
    match value {
        Value::String(text) => {
            out.insert(text);
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
        Value::Object(items) => items.iter().filter(|(name, _)| *name != "key").for_each(|(_, item)| collect(item, out)),
        _ => {}
    }
}
