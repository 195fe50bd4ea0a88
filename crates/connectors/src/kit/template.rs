//! Texts of requests, with placeholders ([`script::text`]).

use script::text::{Size, Text};
use serde_json::Value;

/// The longest template, in bytes.
pub(crate) const MAX_TEMPLATE_BYTES: usize = Size::REQUEST.source;

/// Checks a template; the error says what is wrong and in which line.
pub(crate) fn check(text: &str) -> Result<(), String> {
    Text::compile(text, Size::REQUEST).map(drop)
}

/// Checks a page of HTML.
pub(crate) fn check_html(text: &str) -> Result<(), String> {
    Text::html(text, Size::REQUEST).map(drop)
}

/// The page with values, which are escaped.
pub(crate) fn render_html(text: &str, values: &Value) -> Result<String, String> {
    Text::html(text, Size::REQUEST)?.render(values)
}

/// The text with values; one that is missing becomes nothing.
pub(crate) fn render(text: &str, values: &Value) -> Result<String, String> {
    if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
        return Ok(text.to_owned());
    }
    Text::compile(text, Size::REQUEST)?.render(values)
}
