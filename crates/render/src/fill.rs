//! Placeholders in JSON that a design sets as it stands: `{"eventName": "{{fields.show}}"}`.

use domain::Text;
use pkpass::model::{TagKind, tag_kind};
use serde_json::{Map, Number, Value as Json, json};

use crate::PassView;
use crate::values::Value;

/// Most levels of nesting that are filled.
const MAX_DEPTH: usize = 32;

/// Fills every text; a text that is one placeholder keeps the type of its value, and one that comes out empty is left out.
pub(crate) fn fill(view: &PassView<'_>, keys: &Map<String, Json>) -> Map<String, Json> {
    fill_object(view, keys, MAX_DEPTH)
}

/// The keys whose texts hold no placeholder.
pub(crate) fn constants(keys: &Map<String, Json>) -> Map<String, Json> {
    let is_constant = |value: &Json| !value.to_string().contains("{{");
    keys.iter().filter(|(_, value)| is_constant(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn fill_object(view: &PassView<'_>, keys: &Map<String, Json>, depth: usize) -> Map<String, Json> {
    keys.iter().filter_map(|(key, value)| Some((key.clone(), fill_one(view, value, depth)?))).collect()
}

fn fill_one(view: &PassView<'_>, value: &Json, depth: usize) -> Option<Json> {
    match value {
        Json::Object(inner) if depth > 0 => Some(Json::Object(fill_object(view, inner, depth - 1))),
        Json::Array(items) if depth > 0 => Some(items.iter().filter_map(|item| fill_one(view, item, depth - 1)).collect()),
        Json::String(source) if source.contains("{{") => match view.value(&Text::parse(source).ok()?)? {
            Value::Text(text) => Some(Json::String(text)),
            Value::Number(number) => Some(Json::Number(number)),
            Value::Time(time) => Some(Json::String(time.wallet())),
        },
        other => Some(other.clone()),
    }
}

/// Fills semantic tags and gives each value the form that its tag wants where that is plain: a flight number that is kept
/// as text becomes a number, a name its parts, one text a list of one.
pub(crate) fn fill_semantics(view: &PassView<'_>, tags: &Map<String, Json>) -> Map<String, Json> {
    let mut filled = fill(view, tags);
    for (tag, value) in &mut filled {
        if let Some(kind) = tag_kind(tag)
            && let Some(formed) = formed(kind, value)
        {
            *value = formed;
        }
    }
    filled
}

fn formed(kind: TagKind, value: &Json) -> Option<Json> {
    match (kind, value) {
        (TagKind::Number, Json::String(text)) => text.trim().parse::<i64>().ok().map(|number| Json::Number(Number::from(number))),
        (TagKind::Text, Json::Number(number)) => Some(Json::String(number.to_string())),
        (TagKind::Flag, Json::String(text)) => Some(Json::Bool(matches!(text.as_str(), "true" | "Yes" | "yes"))),
        (TagKind::Texts, Json::String(text)) => Some(json!([text])),
        (TagKind::Person, Json::String(name)) => Some(match name.trim().rsplit_once(' ') {
            Some((given, family)) => json!({"givenName": given.trim(), "familyName": family}),
            None => json!({"givenName": name.trim()}),
        }),
        _ => None,
    }
}
