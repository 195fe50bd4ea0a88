//! Texts with placeholders, as designs use them: `Hello {{contact.name}}`.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text whose `{{name}}` parts are filled in when a pass is drawn. Parsed once.
///
/// Names are dotted paths: `fields.<key>`, `balances.<key>`, `contact.{name,email,phone,external_id}`,
/// `pass.{id,external_id,serial,code,signed,rotating,message,expires_at}`, `variant.{id,name}`, `project.name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Name(String),
}

/// A text that is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// `{{` has no `}}`.
    #[error("the placeholder that opens at byte {0} is never closed: add }}}}")]
    Unclosed(usize),
    /// The name has other characters than a dotted path.
    #[error("{0:?} is no placeholder name: use a dotted path such as fields.points")]
    BadName(String),
    /// Longer than a text may be.
    #[error("longer than {} bytes", Text::MAX_BYTES)]
    TooLong,
}

impl Text {
    /// Most bytes of a text's source.
    pub const MAX_BYTES: usize = 4_096;

    /// Parses a text.
    pub fn parse(source: &str) -> Result<Self, TextError> {
        if source.len() > Self::MAX_BYTES {
            return Err(TextError::TooLong);
        }
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(open) = rest.find("{{") {
            let at = source.len() - rest.len() + open;
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            let inner = &rest[open + 2..];
            let close = inner.find("}}").ok_or(TextError::Unclosed(at))?;
            let name = inner[..close].trim();
            if !is_path(name) {
                return Err(TextError::BadName(name.to_owned()));
            }
            parts.push(Part::Name(name.to_owned()));
            rest = &inner[close + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { source: source.to_owned(), parts })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names it asks for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The single name that it consists of, when there is nothing else in it.
    pub fn sole_name(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// The other way round, for a text with one placeholder: its name, and what it must have stood for to give `filled`.
    pub fn read_back<'a>(&'a self, filled: &'a str) -> Option<(&'a str, &'a str)> {
        let (before, name, after) = match self.parts.as_slice() {
            [Part::Name(name)] => ("", name, ""),
            [Part::Literal(before), Part::Name(name)] => (before.as_str(), name, ""),
            [Part::Name(name), Part::Literal(after)] => ("", name, after.as_str()),
            [Part::Literal(before), Part::Name(name), Part::Literal(after)] => (before.as_str(), name, after.as_str()),
            _ => return None,
        };
        let value = filled.strip_prefix(before)?.strip_suffix(after)?;
        (!value.is_empty()).then_some((name, value))
    }

    /// Fills in the placeholders; a name without a value becomes nothing.
    pub fn fill(&self, look_up: impl Fn(&str) -> Option<String>) -> String {
        let mut out = String::with_capacity(self.source.len());
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Name(name) => {
                    let _ = write!(out, "{}", look_up(name).unwrap_or_default());
                }
            }
        }
        out
    }
}

fn is_path(name: &str) -> bool {
    !name.is_empty()
        && name.split('.').all(|step| !step.is_empty() && step.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-'))
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_names_and_points_at_faults() {
        let text = Text::parse("Hi {{ contact.name }}, {{fields.a}}!").unwrap();
        assert_eq!(text.names().collect::<Vec<_>>(), ["contact.name", "fields.a"]);
        assert_eq!(text.fill(|name| (name == "contact.name").then(|| "Ada".to_owned())), "Hi Ada, !");
        let link = Text::parse("https://x.example/{{pass.id}}?a").unwrap();
        assert_eq!(link.read_back("https://x.example/77?a"), Some(("pass.id", "77")));
        assert_eq!((link.read_back("https://x.example/?a"), link.read_back("77"), text.read_back("Hi")), (None, None, None));
        assert_eq!(Text::parse("a {{b"), Err(TextError::Unclosed(2)));
        assert!(matches!(Text::parse("{{a b}}"), Err(TextError::BadName(_))));
        assert_eq!(Text::parse("{{balances.points}}").unwrap().sole_name(), Some("balances.points"));
    }
}
