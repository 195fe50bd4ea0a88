//! Texts with `{{path}}` placeholders, as `@template` has them.

use serde_json::Value;

use crate::path::Path;
use script::js;

/// The longest text with placeholders, in bytes.
pub(super) const MAX_TEMPLATE_BYTES: usize = 16_384;

/// A text with placeholders, split once. A placeholder without a value becomes nothing.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Place(Path),
}

impl Template {
    /// Splits a text at `{{path}}` and `{{{path}}}`; both insert the value as it is.
    ///
    /// # Errors
    /// A sentence saying what is wrong: an empty placeholder, or one that is not closed.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("a text with placeholders has at most {MAX_TEMPLATE_BYTES} bytes"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let (before, from) = rest.split_at(open);
            let braces = if from.starts_with("{{{") { 3 } else { 2 };
            let body = &from[braces..];
            let close = if braces == 3 { "}}}" } else { "}}" };
            let Some((inside, after)) = body.split_once(close) else {
                return Err(format!("the placeholder `{}` has no closing `{close}`", crate::problem::clip(from, 40)));
            };
            let name = inside.trim();
            if name.is_empty() || name.contains(['{', '}']) {
                return Err(format!("`{{{{{inside}}}}}` names no field; write a path such as `{{{{properties.total}}}}`"));
            }
            if name.starts_with(['#', '/', '>', '%']) || name.contains('|') {
                return Err(format!(
                    "`{{{{{inside}}}}}` is not a path; a mapping knows no blocks or filters (texts of messages do)"
                ));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Place(Path::parse(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The text with the values of `payload`; none when it would be longer than `limit` bytes.
    #[must_use]
    pub fn render(&self, payload: &Value, limit: usize) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Place(path) => match path.get(payload).as_deref() {
                    None | Some(Value::Null) => {}
                    Some(value) => out.push_str(&js::string(value)),
                },
            }
            if out.len() > limit {
                return None;
            }
        }
        Some(out)
    }

    /// The path, when the text is one placeholder and nothing else.
    pub(super) fn sole_path(&self) -> Option<&Path> {
        match self.parts.as_slice() {
            [Part::Place(path)] => Some(path),
            _ => None,
        }
    }

    /// The paths that the text asks for.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().filter_map(|part| if let Part::Place(path) = part { Some(path) } else { None })
    }
}
