//! `pass.json` while it is read: what was taken is gone from it, what is left was not understood.

use domain::Text;
use serde_json::{Map, Value};

use super::{Notes, Outcome};

/// Keys that name one pass, or prove who asks for it; a design has no use for them.
pub(super) const OF_ONE_PASS: [&str; 8] = [
    "formatVersion",
    "passTypeIdentifier",
    "teamIdentifier",
    "serialNumber",
    "authenticationToken",
    "webServiceURL",
    "expirationDate",
    "voided",
];

pub(super) struct Source<'n> {
    json: Map<String, Value>,
    pub(super) notes: &'n mut Notes,
}

impl<'n> Source<'n> {
    pub(super) fn new(mut json: Map<String, Value>, notes: &'n mut Notes) -> Self {
        json.retain(|_, value| !value.is_null());
        for key in OF_ONE_PASS {
            let Some(value) = json.shift_remove(key) else { continue };
            match key {
                "expirationDate" => notes.left_out(key, "each pass has its own validity: give it when a pass is issued"),
                "voided" if value == Value::Bool(true) => notes.left_out(key, "each pass has its own state"),
                _ => {}
            }
        }
        if json.shift_remove("groupingIdentifier").is_some() {
            notes.say("groupingIdentifier", Outcome::Changed, "passes of one project are grouped");
        }
        Self { json, notes }
    }

    /// A value, without taking it.
    pub(super) fn peek(&self, key: &str) -> Option<&Value> {
        self.json.get(key)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.json.shift_remove(key)
    }

    /// A text; anything else under its key is left out.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.notes.left_out(key, "it is no text");
                None
            }
        }
    }

    /// A text that may hold placeholders.
    pub(super) fn template(&mut self, key: &str) -> Option<Text> {
        self.text(key).map(|text| self.parse(key, &text))
    }

    pub(super) fn object(&mut self, key: &str) -> Option<Map<String, Value>> {
        match self.take(key)? {
            Value::Object(object) => Some(object),
            _ => {
                self.notes.left_out(key, "it is no object");
                None
            }
        }
    }

    /// A list; anything else under its key is left out.
    pub(super) fn list(&mut self, key: &str) -> Vec<Value> {
        match self.take(key) {
            Some(Value::Array(list)) => list,
            None => Vec::new(),
            Some(_) => {
                self.notes.left_out(key, "it is no list");
                Vec::new()
            }
        }
    }

    /// Says which keys of a part are left out because a design has no word for them.
    pub(super) fn only(&mut self, path: &str, part: &Value, known: &[&str]) {
        for key in part.as_object().into_iter().flat_map(Map::keys).filter(|key| !known.contains(&key.as_str())) {
            self.notes.left_out(format!("{path}.{key}"), "a design has no word for it");
        }
    }

    /// A text as a design has it: braces that are no placeholder are set apart, and what is too long is cut.
    pub(super) fn parse(&mut self, path: &str, text: &str) -> Text {
        parse(path, text, self.notes)
    }

    /// What was not taken.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.json
    }
}

/// A text as a design has it, see [`Source::parse`].
pub(super) fn parse(path: &str, text: &str, notes: &mut Notes) -> Text {
    let end = (0..=text.len().min(Text::MAX_BYTES)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    if end < text.len() {
        notes.say(path, Outcome::Changed, format!("cut after {} bytes", Text::MAX_BYTES));
    }
    if let Ok(text) = Text::parse(&text[..end]) {
        return text;
    }
    notes.say(path, Outcome::Changed, "`{{` opens a placeholder in a design: the braces were set apart");
    let apart = text[..end].replace("{{", "{ {").replace("{{", "{ {");
    let end = (0..=apart.len().min(Text::MAX_BYTES)).rev().find(|at| apart.is_char_boundary(*at)).unwrap_or(0);
    Text::parse(&apart[..end]).unwrap_or_default()
}
