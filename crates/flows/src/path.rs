//! Where a value sits in an event: `properties.products[0].name`.
//!
//! Both public languages walk an event the same way and inherit two habits from JavaScript that people rely on: lists
//! and texts have a `length`, and walking on from a null, a false, a zero or an empty text answers with that value.

use std::borrow::Cow;

use serde_json::Value;

use script::js;

/// The most segments that a path may have.
pub const MAX_SEGMENTS: usize = 64;

/// A path, split into the keys to walk. No keys: the whole event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path {
    keys: Vec<String>,
}

impl Path {
    /// Splits a mapping path: an optional `$.` or `$` in front, dots, `[0]`, `['key']` and `["key.with.dot"]`.
    ///
    /// # Errors
    /// A sentence saying what is wrong, when a quote is not closed or the path has more than [`MAX_SEGMENTS`] keys.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = match text.strip_prefix('$') {
            Some(rest) if rest.is_empty() || rest.starts_with('[') => rest,
            Some(rest) => rest.strip_prefix('.').unwrap_or(text),
            None => text,
        };
        let mut keys = Vec::new();
        let mut key = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            match (c, after.chars().next()) {
                ('[', Some(quote @ ('\'' | '"'))) => {
                    push(&mut keys, &mut key);
                    let body = &after[1..];
                    let Some((name, tail)) = body.split_once(quote) else {
                        return Err(format!("the key after `[{quote}` needs a closing `{quote}]` in `{text}`"));
                    };
                    let Some(tail) = tail.strip_prefix(']') else {
                        return Err(format!("`]` is missing after `[{quote}{name}{quote}` in `{text}`"));
                    };
                    keys.push(name.to_owned());
                    rest = tail;
                    continue;
                }
                ('[', Some(digit)) if digit.is_ascii_digit() => {
                    push(&mut keys, &mut key);
                    let Some((digits, tail)) = after.split_once(']').filter(|(d, _)| d.bytes().all(|b| b.is_ascii_digit()))
                    else {
                        return Err(format!("an index is written `[0]`: `]` is missing in `{text}`"));
                    };
                    keys.push(digits.to_owned());
                    rest = tail;
                    continue;
                }
                ('.', _) => push(&mut keys, &mut key),
                _ => key.push(c),
            }
            rest = after;
        }
        push(&mut keys, &mut key);
        if keys.len() > MAX_SEGMENTS {
            return Err(format!("a path has at most {MAX_SEGMENTS} parts"));
        }
        Ok(Self { keys })
    }

    /// Splits a condition's field name, where dots and brackets of any kind separate: `products[0].name`.
    pub(crate) fn of_field(name: &str) -> Self {
        let keys = name.split(['.', '[', ']']).filter(|key| !key.is_empty()).map(str::to_owned).collect();
        Self { keys }
    }

    /// The keys, from the root inwards.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The value at this path, or none when there is none.
    #[must_use]
    pub fn get<'a>(&self, root: &'a Value) -> Option<Cow<'a, Value>> {
        let mut current = root;
        for (at, key) in self.keys.iter().enumerate() {
            if js::falsy(current) {
                break;
            }
            match member(current, key) {
                Some(next) => current = next,
                None if key == "length" => return self.after_length(at, length(current)?),
                None => return None,
            }
        }
        Some(Cow::Borrowed(current))
    }

    /// A length is a number: zero ends the walk, anything else has no members.
    fn after_length<'a>(&self, at: usize, length: Value) -> Option<Cow<'a, Value>> {
        let last = at + 1 == self.keys.len();
        (last || js::falsy(&length)).then_some(Cow::Owned(length))
    }
}

fn push(keys: &mut Vec<String>, key: &mut String) {
    if !key.is_empty() {
        keys.push(std::mem::take(key));
    }
}

fn member<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => members.get(key),
        Value::Array(items) => {
            let canonical = key == "0" || (!key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit()));
            if canonical { items.get(key.parse::<usize>().ok()?) } else { None }
        }
        _ => None,
    }
}

fn length(value: &Value) -> Option<Value> {
    match value {
        Value::Array(items) => Some(Value::from(items.len())),
        Value::String(text) => Some(Value::from(text.encode_utf16().count())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn walks_objects_lists_and_lengths() {
        let event = json!({
            "properties": {"products": [{"name": "Tea"}, {"name": "Cake"}], "a.b": 1, "zero": 0, "note": "hé"},
            "traits": null,
        });
        let cases = [
            ("$.properties.products[1].name", Some(json!("Cake"))),
            ("properties.products.0.name", Some(json!("Tea"))),
            ("properties['a.b']", Some(json!(1))),
            ("$['properties'][\"a.b\"]", Some(json!(1))),
            ("$.['properties'].zero", Some(json!(0))),
            ("$x", None),
            ("properties[\"zero\"]", Some(json!(0))),
            ("properties.products.length", Some(json!(2))),
            ("properties.note.length", Some(json!(2))),
            ("properties.products[2]", None),
            ("properties.products[01]", None),
            ("properties.nope.deeper", None),
            ("traits.email", Some(json!(null))),
            ("properties.zero.deeper", Some(json!(0))),
            ("$", Some(event.clone())),
        ];
        for (path, expected) in cases {
            let found = Path::parse(path).unwrap().get(&event).map(Cow::into_owned);
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn refuses_open_brackets_and_endless_paths() {
        assert!(Path::parse("a['b").unwrap_err().contains("closing"));
        assert!(Path::parse("a['b'").unwrap_err().contains('`'));
        assert!(Path::parse("a[1").unwrap_err().contains("index"));
        assert!(Path::parse(&"a.".repeat(MAX_SEGMENTS + 1)).unwrap_err().contains("at most"));
    }
}
