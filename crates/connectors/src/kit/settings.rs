//! Descriptions of settings, of which documentation and forms are made.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use domain::FieldValue;
use http::HeaderName;

use super::json;

/// One setting of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the API.
    pub name: &'static str,
    /// What kind of value it takes.
    pub value: &'static str,
    /// What its value is checked against.
    pub takes: Takes,
    /// What holds when it is left out.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// What a setting's value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// It is a field of the API beside `settings`, which checks it.
    Own,
    /// `true` or `false`.
    Flag,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A whole number between these two.
    Whole(i64, i64),
    /// The name of a header.
    Header,
    /// Text of at most so many bytes.
    Text(usize),
    /// Text of at most so many bytes and as many lines as it likes: a template, code.
    Lines(usize),
    /// A credential of at most so many bytes: kept sealed, never shown again.
    Secret(usize),
    /// Several credentials under names of the user's choice, each of at most so many bytes, set as `NAME.…`.
    Secrets(usize),
    /// A path into JSON: `customer.id`, `items[0].sku`.
    Path,
}

/// What was set for one source or target.
pub type Settings = BTreeMap<String, FieldValue>;

/// A setting that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SettingProblem {
    /// Which.
    pub name: String,
    /// What to change.
    pub message: String,
}

/// Checks what was set against what can be set.
pub fn check(known: &[Setting], given: &Settings) -> Result<(), SettingProblem> {
    for (name, value) in given {
        let problem = |message: String| SettingProblem { name: super::head(name, 100).to_owned(), message };
        let Some(setting) = find(known, name) else {
            let names: Vec<_> = known.iter().filter(|it| it.takes != Takes::Own).map(|it| it.name).collect();
            let names =
                if names.is_empty() { "this connector has none".to_owned() } else { format!("there are {}", names.join(", ")) };
            return Err(problem(format!("no such setting: {names}")));
        };
        if !setting.takes.fits(value) {
            return Err(problem(format!("expected {}", setting.value)));
        }
    }
    Ok(())
}

/// The setting of that name, where it is one of `settings`.
pub fn find<'s>(known: &'s [Setting], name: &str) -> Option<&'s Setting> {
    known.iter().filter(|setting| setting.takes != Takes::Own).find(|setting| match setting.takes {
        Takes::Secrets(_) => name.strip_prefix(setting.name).and_then(|rest| rest.strip_prefix('.')).is_some_and(is_word),
        _ => setting.name == name,
    })
}

fn is_word(name: &str) -> bool {
    (1..=100).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
}

impl Takes {
    /// Whether its value is a credential.
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Secret(_) | Self::Secrets(_))
    }

    fn fits(self, value: &FieldValue) -> bool {
        match (self, value) {
            (Self::Flag, FieldValue::Flag(_)) => true,
            (Self::Choice(words), FieldValue::Text(text)) => words.contains(&text.as_str()),
            (Self::Whole(least, most), FieldValue::Number(number)) => {
                number.as_i64().is_some_and(|number| (least..=most).contains(&number))
            }
            (Self::Header, FieldValue::Text(text)) => HeaderName::try_from(text.as_str()).is_ok(),
            (Self::Text(most), FieldValue::Text(text)) => (1..=most).contains(&text.len()) && !text.contains(char::is_control),
            (Self::Lines(most), FieldValue::Text(text)) => {
                let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
                (1..=most).contains(&text.len()) && !text.contains(odd)
            }
            (Self::Secret(most) | Self::Secrets(most), FieldValue::Text(text)) => (1..=most).contains(&text.len()),
            (Self::Path, FieldValue::Text(text)) => json::is_path(text),
            _ => false,
        }
    }
}

/// A setting's text, when it was set.
pub(crate) fn text<'a>(settings: &'a Settings, name: &str) -> Option<&'a str> {
    match settings.get(name)? {
        FieldValue::Text(text) => Some(text),
        FieldValue::Number(_) | FieldValue::Flag(_) => None,
    }
}

/// A setting's whole number, when it was set.
pub(crate) fn whole(settings: &Settings, name: &str) -> Option<i64> {
    match settings.get(name)? {
        FieldValue::Number(number) => number.as_i64(),
        FieldValue::Text(_) | FieldValue::Flag(_) => None,
    }
}

/// The settings as a Markdown table, as it stands in the connector's README.
pub fn table(settings: &[Setting]) -> String {
    let mut out = "| setting | value | default | what it does |\n| --- | --- | --- | --- |\n".to_owned();
    for Setting { name, value, default, about, .. } in settings {
        let _ = writeln!(out, "| `{name}` | {value} | {default} | {about} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &[Setting] = &[
        Setting { name: "url", value: "URL", takes: Takes::Own, default: "", about: "" },
        Setting { name: "mode", value: "`a` or `b`", takes: Takes::Choice(&["a", "b"]), default: "", about: "" },
        Setting { name: "most", value: "1 to 9", takes: Takes::Whole(1, 9), default: "", about: "" },
        Setting { name: "path", value: "path", takes: Takes::Path, default: "", about: "" },
        Setting { name: "header", value: "header name", takes: Takes::Header, default: "", about: "" },
    ];

    fn problem(json: &str) -> Option<String> {
        let given: Settings = serde_json::from_str(json).unwrap();
        check(SETTINGS, &given).err().map(|problem| format!("{}: {}", problem.name, problem.message))
    }

    #[test]
    fn what_is_set_must_be_known_and_fit() {
        assert_eq!(problem(r#"{"mode":"a","most":9,"path":"a.b[0]","header":"X-Sig"}"#), None);
        assert_eq!(problem(r#"{"mode":"c"}"#).as_deref(), Some("mode: expected `a` or `b`"));
        for wrong in [r#"{"most":10}"#, r#"{"most":1.5}"#, r#"{"most":"1"}"#, r#"{"path":"a..b"}"#, r#"{"header":"a b"}"#] {
            assert!(problem(wrong).unwrap().contains("expected"), "{wrong}");
        }
        assert_eq!(problem(r#"{"url":"x"}"#).as_deref(), Some("url: no such setting: there are mode, most, path, header"));
    }
}
