//! Descriptions of settings, of which documentation and forms are made.

use std::fmt::Write as _;

/// One setting of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its name in the API.
    pub name: &'static str,
    /// What kind of value it takes.
    pub value: &'static str,
    /// What holds when it is left out.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// The settings as a Markdown table, as it stands in the connector's README.
pub fn table(settings: &[Setting]) -> String {
    let mut out = "| setting | value | default | what it does |\n| --- | --- | --- | --- |\n".to_owned();
    for Setting { name, value, default, about } in settings {
        let _ = writeln!(out, "| `{name}` | {value} | {default} | {about} |");
    }
    out
}
