//! One line of NDJSON.

use serde_json::Value;

use crate::problem;

/// The object that a line holds.
pub(super) fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
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
