//! One line of NDJSON.

use serde_json::{Map, Value};

use super::EmptyCells;
use super::report::TEXT;
use crate::problem;

/// Adds a row of a table as a line. Nulls say what empty cells say.
pub fn line(mut row: Map<String, Value>, empty_cells: EmptyCells, out: &mut Vec<u8>) {
    if empty_cells == EmptyCells::Ignore {
        row.retain(|_, value| !value.is_null());
    }
    out.extend_from_slice(Value::Object(row).to_string().as_bytes());
    out.push(b'\n');
}

/// The object that a line holds.
pub(super) fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) if members.contains_key(TEXT) => {
            Err(format!("was not mended: put the object that it should be in the place of the line with `{TEXT}`"))
        }
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(other) => Err(format!("expected an object, found {}", problem::kind(&other))),
        Err(error) => {
            let words = error.to_string();
            let words = match words.split(" at line ").next().unwrap_or_default() {
                "unexpected end of hex escape" => "a lone surrogate, or an escape that is cut short",
                words => words,
            };
            Err(format!("is not JSON: {words} at character {}", error.column()))
        }
    }
}
