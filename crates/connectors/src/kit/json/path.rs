//! Paths into JSON text, as settings name them: `data.object.metadata.member_id`, `items[0].sku`.

use serde_json::value::RawValue;

use super::{Kind, Object, kind};

/// Longest path that can be set, in bytes.
const MAX_PATH_BYTES: usize = 200;
/// Most steps of a path.
const MAX_STEPS: usize = 20;

enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

/// The steps of a path, or nothing when it is none.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let path = path.strip_prefix("$.").unwrap_or(path);
    if path.is_empty() || path.len() > MAX_PATH_BYTES {
        return None;
    }
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        if !key.is_empty() {
            steps.push(Step::Key(key));
        }
        let mut rest = indices;
        while let Some(open) = rest.strip_prefix('[') {
            let (digits, after) = open.split_once(']')?;
            steps.push(Step::Index(digits.parse().ok()?));
            rest = after;
        }
        if !rest.is_empty() || part.is_empty() {
            return None;
        }
    }
    (steps.len() <= MAX_STEPS).then_some(steps)
}

/// Whether text is a path that [`at`] can follow.
pub fn is_path(path: &str) -> bool {
    steps(path).is_some()
}

/// The value at a path below valid JSON text; nothing when it is not there or `null`.
pub(crate) fn at<'a>(text: &'a str, path: &str) -> Option<&'a str> {
    below(text, &steps(path)?)
}

fn below<'a>(text: &'a str, steps: &[Step<'_>]) -> Option<&'a str> {
    let mut value = text;
    for step in steps {
        value = match (step, kind(value)) {
            (Step::Key(key), Kind::Object) => Object::parse(value).ok()?.given(key)?,
            (Step::Index(index), Kind::Array) => serde_json::from_str::<Vec<&'a RawValue>>(value).ok()?.get(*index)?.get(),
            _ => return None,
        };
    }
    (value != "null").then_some(value)
}

/// A JSON object whose members are told apart once, for whoever looks at several paths below it.
#[derive(Debug, Default)]
pub(crate) struct Document<'a> {
    text: &'a str,
    members: Object<'a>,
}

impl<'a> Document<'a> {
    /// Reads the first level of `text`.
    pub(crate) fn parse(text: &'a str) -> serde_json::Result<Self> {
        Ok(Self { text, members: Object::parse(text)? })
    }
    /// Of valid JSON; what is no object has no members.
    pub(crate) fn of(text: &'a str) -> Self {
        Self::parse(text).unwrap_or(Self { text, members: Object::default() })
    }
    /// All of it.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }
    /// Its first level.
    pub(crate) fn members(&self) -> &Object<'a> {
        &self.members
    }
    /// The value at a path; nothing when it is not there or `null`.
    pub(crate) fn at(&self, path: &str) -> Option<&'a str> {
        match steps(path)?.split_first()? {
            (Step::Key(key), rest) => below(self.members.given(key)?, rest),
            (Step::Index(_), _) => None,
        }
    }
    /// The object at a path.
    pub(crate) fn object_at(&self, path: &str) -> Option<Self> {
        Self::parse(self.at(path)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_lead_into_objects_and_arrays() {
        let text = r#"{"a":{"b":[10,{"c":"x"}],"n":null},"e f":1}"#;
        let cases = [
            ("a.b[0]", Some("10")),
            ("$.a.b[1].c", Some("\"x\"")),
            ("e f", Some("1")),
            ("a.n", None),
            ("a.b[7]", None),
            ("a.b.c", None),
            ("", None),
            ("a..b", None),
            ("a[b]", None),
            ("a[1", None),
        ];
        for (path, found) in cases {
            assert_eq!(at(text, path), found, "{path}");
            assert_eq!(Document::of(text).at(path), found, "{path}");
        }
        assert!(is_path("data.object.metadata.member_id") && !is_path("a.[0]x") && !is_path(&"a.".repeat(200)));
    }

    proptest! {
        #[test]
        fn any_path_is_answered(path in ".{0,40}") {
            let text = r#"{"a":[{"b":1}]}"#;
            prop_assert_eq!(Document::of(text).at(&path), at(text, &path));
        }
    }
}
