//! Keys that a design sets as they stand, over everything that was drawn.
//!
//! Objects are merged key by key, so that one constant deep inside can be set without repeating its surroundings; any
//! other value replaces what was there, and null removes it. What names or authenticates a pass cannot be set.

use serde_json::{Map, Value};

/// Why keys that were set as they stand do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys under `{part}` of the design do not fit: {fault}; compare them with the wallet's own reference")]
pub struct OverlayError {
    /// `apple` or `google`.
    pub part: &'static str,
    /// What does not fit.
    pub fault: String,
}

/// Merges `keys` into `target`, except those that are protected.
pub(crate) fn merge(target: &mut Value, keys: &Map<String, Value>, protected: &[&str]) {
    for (key, value) in keys.iter().filter(|(key, _)| !protected.contains(&key.as_str())) {
        merge_one(target, key, value);
    }
}

fn merge_one(target: &mut Value, key: &str, value: &Value) {
    let Some(object) = target.as_object_mut() else { return };
    match value {
        Value::Null => {
            object.shift_remove(key);
        }
        Value::Object(inner) => match object.get_mut(key) {
            Some(existing) if existing.is_object() => inner.iter().for_each(|(key, value)| merge_one(existing, key, value)),
            _ => {
                object.insert(key.to_owned(), value.clone());
            }
        },
        other => {
            object.insert(key.to_owned(), other.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_merge_other_values_replace_null_removes() {
        let mut target = json!({"id": "mine", "a": {"b": 1, "c": [1, 2]}, "d": 4});
        let Value::Object(keys) = json!({"id": "other", "a": {"c": [3], "e": null}, "d": null, "f": {"g": true}}) else {
            panic!()
        };
        merge(&mut target, &keys, &["id"]);
        assert_eq!(target, json!({"id": "mine", "a": {"b": 1, "c": [3]}, "f": {"g": true}}));
    }
}
