use std::fmt;

/// Something wrong in what a person wrote: where, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The place as a path from the root of the document, such as `steps[0].fields.points.@path`; empty for the root.
    pub path: String,
    /// What is wrong and what would be right, one sentence, no final stop.
    pub message: String,
    /// The line of the YAML text, from 1, when the document was one and the place could be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), line: None }
    }

    /// Why a document could not be read, with the place.
    pub(crate) fn unread(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        Self::new(if path == "." { String::new() } else { path }, plainly(&error.inner().to_string()))
    }

    /// The same problem seen from a document in which the old root sits at `prefix`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.path = join(prefix, &self.path);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

impl std::error::Error for Problem {}

/// What does not fit, as a reader of JSON says it, in the words of JSON and without the names that our types have.
#[must_use]
pub fn plainly(text: &str) -> String {
    if let Some((before, _)) = text.split_once("data did not match any variant of untagged enum") {
        return format!("{before}fits none of the forms that are taken here");
    }
    let words = |text: &str| {
        let text =
            text.replace("invalid type: sequence", "invalid type: list").replace("invalid type: unit", "invalid type: null");
        text.replace("expected a sequence", "expected a list")
    };
    let Some((before, expected)) = text.split_once("expected ") else { return words(text) };
    let first = expected.split(' ').next().unwrap_or_default();
    let what = match expected {
        "value" if before.is_empty() => return "expected exactly one of the names that are taken here".to_owned(),
        "variant identifier" => "one of the names that are taken here",
        "string or map" | "enum" => "one of the names or forms that are taken here",
        _ if first == "enum" => "one of the names or forms that are taken here",
        "map" | "a map" => "an object",
        // A list of the right length would be read as the object's members, which nobody means.
        _ if first == "struct" && before.starts_with("invalid length") => {
            return "invalid type: list, expected an object".to_owned();
        }
        _ if ["struct", "tuple", "unit", "newtype", "internally", "adjacently"].contains(&first) => "an object",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not below 0 and not too large",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number, not too large",
        "f32" | "f64" => "a number",
        other => return words(&format!("{before}expected {other}")),
    };
    words(&format!("{before}expected {what}"))
}

/// `prefix` followed by `rest`; an index sticks to what is before it, a name is set off by a dot.
pub(crate) fn join(prefix: &str, rest: &str) -> String {
    match (prefix.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (_, true) => prefix.to_owned(),
        _ if rest.starts_with('[') => format!("{prefix}{rest}"),
        _ => format!("{prefix}.{rest}"),
    }
}

/// The path of the member `key` of the object at `path`.
pub(crate) fn key(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | ' ' | '$'));
    if plain { join(path, key) } else { join(path, &format!("[{}]", serde_json::Value::from(key))) }
}

/// The path of element `index` of the array at `path`.
pub(crate) fn index(path: &str, index: usize) -> String {
    join(path, &format!("[{index}]"))
}

/// What a JSON value is, with its article, for messages.
pub(crate) fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}

/// At most `max` characters of `text`, with an ellipsis when something was left out.
pub(crate) fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_nothing_of_our_types() {
        let table = [
            ("invalid type: sequence, expected struct Scan", "invalid type: list, expected an object"),
            (
                "invalid type: integer `5`, expected struct Design with 20 elements",
                "invalid type: integer `5`, expected an object",
            ),
            ("invalid length 0, expected struct Flow with 10 elements", "invalid type: list, expected an object"),
            (
                "invalid type: string \"\", expected internally tagged enum AuthInput",
                "invalid type: string \"\", expected an object",
            ),
            (
                "invalid type: null, expected variant identifier",
                "invalid type: null, expected one of the names that are taken here",
            ),
            (
                "invalid type: sequence, expected string or map",
                "invalid type: list, expected one of the names or forms that are taken here",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                "invalid value: integer `-1`, expected a whole number, not below 0 and not too large",
            ),
            ("data did not match any variant of untagged enum Which", "fits none of the forms that are taken here"),
            ("expected value", "expected exactly one of the names that are taken here"),
            ("invalid type: map, expected a string", "invalid type: map, expected a string"),
            ("missing field `text`", "missing field `text`"),
            ("unknown field `a`, expected one of `b`, `c`", "unknown field `a`, expected one of `b`, `c`"),
            ("invalid type: map, expected a sequence", "invalid type: map, expected a list"),
            ("invalid type: null, expected a map", "invalid type: null, expected an object"),
        ];
        for (told, said) in table {
            assert_eq!(plainly(told), said);
        }
    }
}
