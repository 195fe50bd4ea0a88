//! Texts of requests in Jinja's syntax: `{{ contact.email }} has {{ title | lower }}`.
//!
//! Expressions, `if` and `for`, and a few filters; nothing that keeps state, so that a text cannot grow beyond what it says.
//! Rendering burns fuel and the result has a limit.

use std::io::Write;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, filters};
use serde_json::Value;

use super::vendor;

/// The longest template, in bytes.
pub(crate) const MAX_TEMPLATE_BYTES: usize = 16 * 1_024;
/// The longest result, in bytes.
const MAX_RESULT_BYTES: usize = 256 * 1_024;
/// Instructions that one rendering may take.
const FUEL: u64 = 20_000;
/// How often `~`, `+` and `*` may occur: each can double what it is given.
const MAX_GROWING_OPERATORS: usize = 16;
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];
const NAME: &str = "template";

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(32);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("default", filters::default);
    environment.add_filter("round", filters::round);
    environment.add_filter("int", filters::int);
    environment.add_filter("float", filters::float);
    environment.add_filter("length", filters::length);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("join", filters::join);
    environment.add_filter("json", |value: &minijinja::Value| serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()));
    environment.add_filter("url", |text: &minijinja::Value| vendor::segment(&plain(text)));
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("none", minijinja::tests::is_none);
    environment.set_formatter(|out, _, value| std::fmt::Write::write_str(out, &plain(value)).map_err(minijinja::Error::from));
    environment
}

/// A value as text; what is not there is nothing.
fn plain(value: &minijinja::Value) -> String {
    if value.is_undefined() || value.is_none() { String::new() } else { value.to_string() }
}

/// Checks a template; the error says what is wrong and in which line.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_TEMPLATE_BYTES {
        return Err(format!("a template has at most {MAX_TEMPLATE_BYTES} bytes, this one has {}", text.len()));
    }
    let mut growing = 0;
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (close, body) = match rest.as_bytes().get(open + 1) {
            Some(b'{') => ("}}", &rest[open + 2..]),
            Some(b'%') => ("%}", &rest[open + 2..]),
            Some(b'#') => ("#}", &rest[open + 2..]),
            _ => {
                rest = &rest[open + 1..];
                continue;
            }
        };
        let inside = &body[..end(body, close)];
        let word = inside.trim_start_matches(['-', '+']).split_whitespace().next().unwrap_or_default().trim_end_matches('-');
        if close == "%}" && !TAGS.contains(&word) {
            let line = text[..text.len() - body.len()].lines().count();
            return Err(format!("line {line}: `{word}` is not allowed here; there are if, elif, else and for"));
        }
        if close != "#}" {
            growing += inside.matches(['~', '+', '*']).count();
        }
        rest = &body[inside.len()..];
    }
    if growing > MAX_GROWING_OPERATORS {
        return Err(format!("at most {MAX_GROWING_OPERATORS} of `~`, `+` and `*`"));
    }
    let mut environment = environment();
    environment.add_template(NAME, text).map_err(|error| explain(&error))?;
    // Names of filters are looked up when they are used.
    let tried = environment.get_template(NAME).and_then(|template| template.render(()));
    let unknown = [ErrorKind::UnknownFilter, ErrorKind::UnknownTest, ErrorKind::UnknownFunction];
    match tried {
        Err(error) if unknown.contains(&error.kind()) => Err(explain(&error)),
        _ => Ok(()),
    }
}

/// Where a tag ends: at its closing mark, but not within quotes.
fn end(body: &str, close: &str) -> usize {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in body.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if body[at..].starts_with(close) => return at,
            None if close != "#}" && matches!(c, '"' | '\'') => quote = Some(c),
            None => {}
        }
    }
    body.len()
}

/// The text with values; one that is missing becomes nothing.
pub(crate) fn render(text: &str, values: &Value) -> Result<String, String> {
    if !text.contains("{{") && !text.contains("{%") {
        return Ok(text.to_owned());
    }
    check(text)?;
    let mut environment = environment();
    environment.add_template(NAME, text).map_err(|error| explain(&error))?;
    let template = environment.get_template(NAME).map_err(|error| explain(&error))?;
    let mut out = Capped { bytes: Vec::new(), full: false };
    let rendered = template.render_captured_to(minijinja::value::Serde(values), &mut out);
    if out.full {
        return Err(format!("the text becomes longer than {MAX_RESULT_BYTES} bytes with this event"));
    }
    rendered.map_err(|error| explain(&error))?;
    String::from_utf8(out.bytes).map_err(|_| "the text is not valid UTF-8".to_owned())
}

fn explain(error: &minijinja::Error) -> String {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it takes too many steps: loop over less".to_owned(),
        (ErrorKind::UnknownFilter, _) => {
            "unknown filter: there are upper, lower, title, trim, default, round, int, float, length, first, \
            last, join, json and url"
                .to_owned()
        }
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    error.line().map_or_else(|| what.clone(), |line| format!("line {line}: {what}"))
}

/// Takes what fits and remembers when something did not.
struct Capped {
    bytes: Vec<u8>,
    full: bool,
}

impl Write for Capped {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + chunk.len() > MAX_RESULT_BYTES {
            self.full = true;
            return Err(std::io::Error::other("the text is too long"));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_stand_where_they_are_named() {
        let values = json!({"contact": {"name": "Ada \"A\"", "tags": ["x", "y"]}, "n": 3});
        let rendered = |text: &str| render(text, &values).unwrap();
        assert_eq!(
            rendered(r#"{"name": {{ contact.name | json }}, "n": {{ n }}, "no": "{{ contact.nobody.at_all }}"}"#),
            r#"{"name": "Ada \"A\"", "n": 3, "no": ""}"#
        );
        assert_eq!(rendered("{% for tag in contact.tags %}<{{ tag | upper }}>{% endfor %}"), "<X><Y>");
        assert_eq!(rendered("/people/{{ contact.name | url }}"), "/people/Ada%20%22A%22");
    }

    #[test]
    fn what_could_grow_or_is_wrong_is_refused() {
        for (text, says) in [
            ("{% set x = 1 %}", "`set` is not allowed"),
            ("a\n{{ contact.", "line 2"),
            ("{{ a | nonsense }}", "unknown filter"),
            (&"{{ a ~ a }}".repeat(20), "at most 16"),
            (&"x".repeat(17_000), "at most 16384"),
        ] {
            let problem = check(text).unwrap_err();
            assert!(problem.contains(says), "{text:.40}: {problem}");
        }
        let endless = "{% for a in l %}{% for b in l %}{% for c in l %}{{ a }}{% endfor %}{% endfor %}{% endfor %}";
        assert!(render(endless, &json!({"l": vec![1; 100]})).unwrap_err().contains("too many steps"));
    }
}
