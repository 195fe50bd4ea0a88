//! Values of a pass's own fields.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a pass field holds: JSON text, number or boolean. Dates are text in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, a number, true or false")]
pub enum FieldValue {
    /// A number: an integer of 64 bits, else the double that is nearest, which JSON gives back as it was told.
    Number(serde_json::Number),
    /// A flag.
    Flag(bool),
    /// Text.
    Text(String),
}

/// Most bytes of one field's text.
const MAX_TEXT_BYTES: usize = 4_096;

impl FieldValue {
    /// From JSON, unless it is null, an array, an object or text of more than 4,096 bytes.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::String(text) if text.len() <= MAX_TEXT_BYTES => Some(Self::Text(text.clone())),
            serde_json::Value::Number(number) => Some(Self::Number(number.clone())),
            serde_json::Value::Bool(flag) => Some(Self::Flag(*flag)),
            _ => None,
        }
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_back_to_the_last_digit() {
        for text in ["0.10110000000000001", "1234.5600000000002", "9007199254740993", "-0.11320000000000001"] {
            let value: FieldValue = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }
    }
}
