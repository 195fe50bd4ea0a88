//! Keys that a design sets as they stand, over everything that was drawn.
//!
//! Objects are merged key by key, so that one constant deep inside can be set without repeating its surroundings; any
//! other value replaces what was there, and null removes it. What names or authenticates a pass cannot be set.

use std::fmt::Display;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// Why keys that were set as they stand do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` of the design does not fit: {fault}; compare it with the wallet's own reference")]
pub struct OverlayError {
    /// `apple`, `google` or `google_object`.
    pub part: &'static str,
    /// The key at fault, as a dotted path that begins with the part.
    pub path: String,
    /// What does not fit.
    pub fault: String,
}

impl OverlayError {
    fn new(part: &'static str, fault: &dyn Display) -> Self {
        Self { part, path: part.to_owned(), fault: fault.to_string() }
    }
}

/// Keys that a design sets over what was drawn.
pub(crate) struct Keys<'a> {
    /// The part of the design that they stand in.
    pub(crate) part: &'static str,
    /// The keys, filled.
    pub(crate) keys: &'a Map<String, Value>,
    /// Keys that it cannot set.
    pub(crate) protected: &'a [&'a str],
}

/// What was drawn, with the keys over it and `finish`ed, read back as what it was. A fault is blamed on the key that causes it.
pub(crate) fn overlaid<T: Serialize, R, E: Display>(
    drawn: &T,
    set: &Keys<'_>,
    finish: impl FnOnce(&mut Value),
    read: impl Fn(Value) -> Result<R, E>,
) -> Result<R, OverlayError> {
    let plain = serde_json::to_value(drawn).map_err(|fault| OverlayError::new(set.part, &fault))?;
    let mut value = plain.clone();
    merge(&mut value, set.keys, set.protected);
    finish(&mut value);
    read(value).map_err(|fault| {
        let fails = |key: &str, inner: Value| {
            let mut value = plain.clone();
            merge(&mut value, &Map::from_iter([(key.to_owned(), inner)]), set.protected);
            read(value).is_err()
        };
        let mut error = OverlayError::new(set.part, &fault);
        if let Some((key, inner)) = set.keys.iter().find(|(key, inner)| fails(key, (*inner).clone())) {
            error.path = format!("{}.{key}", set.part);
            narrow(inner, &|inner| fails(key, inner), &mut error.path);
        }
        error
    })
}

/// Goes down to the one entry that fails by itself.
fn narrow(value: &Value, fails: &dyn Fn(Value) -> bool, path: &mut String) {
    let list = |inner: Value| json!([inner]);
    let keyed = |key: &str, inner: Value| Value::Object(Map::from_iter([(key.to_owned(), inner)]));
    match value {
        Value::Array(items) if !fails(json!([])) => {
            if let Some(at) = items.iter().position(|item| fails(list(item.clone()))) {
                path.push_str(&format!(".{at}"));
                narrow(&items[at], &|inner| fails(list(inner)), path);
            }
        }
        // what is missing is missing from an empty one too
        Value::Object(keys) if !fails(json!({})) => {
            if let Some((key, inner)) = keys.iter().find(|(key, inner)| fails(keyed(key, (*inner).clone()))) {
                path.push_str(&format!(".{key}"));
                narrow(inner, &|inner| fails(keyed(key, inner)), path);
            }
        }
        _ => {}
    }
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
    use std::collections::BTreeMap;

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

    #[test]
    fn a_fault_is_blamed_on_the_key_that_causes_it() {
        #[derive(serde::Serialize, serde::Deserialize, Default)]
        #[serde(default)]
        struct Thing {
            name: String,
            list: Vec<Item>,
            inner: BTreeMap<String, u8>,
        }
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Item {
            id: u8,
        }
        let table = [
            (json!({"name": "a", "inner": {"x": 1, "y": "no"}}), "part.inner.y"),
            (json!({"list": [{"id": 1}, {"id": "two"}]}), "part.list.1"),
            (json!({"list": [{"id": 1}, {}]}), "part.list.1"),
            (json!({"name": ["a"]}), "part.name"),
        ];
        for (keys, path) in table {
            let set = Keys { part: "part", keys: keys.as_object().unwrap(), protected: &[] };
            let read = |value| serde_json::from_value::<Thing>(value);
            let error = overlaid(&Thing::default(), &set, |_| {}, read).err().unwrap();
            assert_eq!(error.path, path, "{error}");
        }
    }
}
