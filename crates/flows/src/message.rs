//! Texts for people in Jinja's syntax: `Hi {{ traits.name }}, {{ properties.points | number }} points more`.
//!
//! Expressions, `if`, `for` and a hand-picked set of filters; nothing that keeps state between steps (`set`, macros,
//! blocks), so that a text cannot grow beyond what it says. Rendering burns fuel and the result has a limit.

use std::fmt;
use std::io::Write;

use minijinja::{Environment, UndefinedBehavior, Value as Jinja, filters};
use serde_json::Value;

use crate::{Problem, js};

/// The longest text, in bytes.
pub const MAX_TEXT_BYTES: usize = 8_192;
/// The longest result, in bytes.
pub const MAX_RESULT_BYTES: usize = 16_384;
/// Instructions that one rendering may take.
pub const FUEL: u64 = 20_000;
/// How often `~`, `+`, `*` and `**` may occur in one text: each can double what it is given.
pub const MAX_GROWING_OPERATORS: usize = 8;

const NAME: &str = "message";
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// A text ready to be rendered.
pub struct Message {
    environment: Environment<'static>,
}

impl Message {
    /// Compiles a text.
    ///
    /// # Errors
    /// What is wrong and in which line.
    pub fn compile(text: &str) -> Result<Self, Problem> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Problem::new("", format!("a text has at most {MAX_TEXT_BYTES} bytes, this one has {}", text.len())));
        }
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(32);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(plain);
        add_filters(&mut environment);
        check_tags(text)?;
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| explain(&error))?;
        Ok(Self { environment })
    }

    /// The text with the values of an event; a missing value becomes nothing.
    ///
    /// # Errors
    /// When it runs out of fuel, outgrows [`MAX_RESULT_BYTES`], or an expression fails on this event's values.
    pub fn render(&self, event: &Value) -> Result<String, Problem> {
        let template = self.environment.get_template(NAME).map_err(|error| explain(&error))?;
        let mut out = Capped { bytes: Vec::new(), full: false };
        let rendered = template.render_captured_to(minijinja::value::Serde(event), &mut out);
        if out.full {
            return Err(Problem::new("", format!("the text becomes longer than {MAX_RESULT_BYTES} bytes with this event")));
        }
        rendered.map_err(|error| explain(&error))?;
        String::from_utf8(out.bytes).map_err(|_| Problem::new("", "the text is not valid UTF-8"))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").finish_non_exhaustive()
    }
}

fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("upper", filters::upper);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("title", filters::title);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("default", filters::default);
    environment.add_filter("round", filters::round);
    environment.add_filter("abs", filters::abs);
    environment.add_filter("int", filters::int);
    environment.add_filter("float", filters::float);
    environment.add_filter("length", filters::length);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("join", filters::join);
    environment.add_filter("number", number);
    environment.add_filter("tojson", filters::tojson);
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("undefined", minijinja::tests::is_undefined);
    environment.add_test("none", minijinja::tests::is_none);
    environment.add_test("number", minijinja::tests::is_number);
    environment.add_test("string", minijinja::tests::is_string);
}

/// `1234.5 | number(2)`: digits in groups of three, so many after the point.
fn number(value: &Jinja, decimals: Option<u32>) -> Result<String, minijinja::Error> {
    let wrong = || {
        minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, format!("`number` needs a number, found {}", value.kind()))
    };
    let parsed = match value.as_str() {
        Some(text) => text.trim().parse::<f64>().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    let amount = parsed.filter(|amount| amount.is_finite()).ok_or_else(wrong)?;
    let text = match decimals {
        Some(decimals) => format!("{:.*}", decimals.min(6) as usize, amount.abs()),
        None => amount.abs().to_string(),
    };
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, fraction)| (whole, Some(fraction)));
    let mut out = String::new();
    if amount < 0.0 && text.bytes().any(|b| matches!(b, b'1'..=b'9')) {
        out.push('-');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    Ok(out)
}

/// Values print as in a mapping's template: no `None`, no `.0`.
fn plain(out: &mut minijinja::Output<'_>, _: &mut minijinja::State<'_, '_>, value: &Jinja) -> Result<(), minijinja::Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    let text = match serde_json::to_value(value) {
        Ok(number @ Value::Number(_)) => js::string(&number),
        Ok(Value::Bool(flag)) => flag.to_string(),
        Ok(list @ Value::Array(_)) => js::string(&list),
        _ => value.to_string(),
    };
    fmt::Write::write_str(out, &text).map_err(minijinja::Error::from)
}

/// Refuses statements that keep state, and too many operators that make texts grow.
fn check_tags(text: &str) -> Result<(), Problem> {
    let mut growing = 0;
    let mut line = 1;
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        line += rest[..open].matches('\n').count();
        let from = &rest[open..];
        let close = match from.as_bytes().get(1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                rest = &from[1..];
                continue;
            }
        };
        let body = &from[2..];
        let inside = &body[..tag_end(body, close)];
        if close == "%}" {
            let word = inside.trim_start_matches(['-', '+']).split_whitespace().next().unwrap_or_default().trim_end_matches('-');
            if !TAGS.contains(&word) {
                let message = format!("line {line}: `{{% {word} %}}` is not allowed in a text; there are if, elif, else and for");
                return Err(Problem::new("", message));
            }
        }
        if close != "#}" {
            growing += inside.matches(['~', '+', '*']).count();
        }
        line += inside.matches('\n').count();
        rest = &body[inside.len()..];
    }
    if growing > MAX_GROWING_OPERATORS {
        return Err(Problem::new("", format!("a text has at most {MAX_GROWING_OPERATORS} of `~`, `+` and `*` in its tags")));
    }
    Ok(())
}

/// Where a tag ends: at its closing mark, but not inside a quoted text.
fn tag_end(body: &str, close: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
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

fn explain(error: &minijinja::Error) -> Problem {
    let what = match error.kind() {
        minijinja::ErrorKind::OutOfFuel => "the text takes too many steps; loop over less".to_owned(),
        minijinja::ErrorKind::UnknownFilter => {
            format!(
                "{}; there are upper, lower, title, capitalize, trim, default, round, abs, int, float, number, length, first, last, join and tojson",
                error.detail().unwrap_or("unknown filter")
            )
        }
        kind => match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    match error.line() {
        Some(line) => Problem::new("", format!("line {line}: {what}")),
        None => Problem::new("", what),
    }
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
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> Result<String, Problem> {
        let event = json!({
            "traits": {"name": "Ada"}, "properties": {"points": 1234.5, "whole": 10.0, "gift": true, "none": null, "tags": ["a", "b"]},
        });
        Message::compile(text)?.render(&event)
    }

    #[test]
    fn texts_are_filled() {
        let table = [
            ("Hi {{ traits.name }}!", "Hi Ada!"),
            ("{{ traits.nope.deeper }}{{ properties.none }}.", "."),
            ("{{ properties.whole }} {{ properties.points }} {{ properties.gift }}", "10 1234.5 true"),
            (
                "{{ properties.points | number }} {{ properties.points | number(2) }} {{ 1234567 | number(0) }}",
                "1,234.5 1,234.50 1,234,567",
            ),
            ("{{ -0.001 | number(2) }} {{ '12' | number(1) }}", "0.00 12.0"),
            ("{{ traits.name | upper }} {{ traits.nope | default('you') }}", "ADA you"),
            ("{% if properties.points > 1000 %}gold{% else %}silver{% endif %}", "gold"),
            ("{% for tag in properties.tags %}{{ tag }};{% endfor %}", "a;b;"),
            ("{{ properties.tags | join(', ') }} {{ properties.tags | length }}", "a, b 2"),
            ("{{ '}}' ~ '%}' }}", "}}%}"),
            ("<b> {{ '<i>' }}", "<b> <i>"),
        ];
        for (text, expected) in table {
            assert_eq!(render(text).unwrap_or_else(|problem| panic!("{text}: {problem}")), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_name_their_line() {
        let table = [
            ("a\n{{ traits.name", "line 2"),
            ("a\nb\n{{ traits.name | shout }}", "line 3"),
            ("{{ traits.name | shout }}", "there are upper"),
            ("a\n{% set x = 1 %}", "line 2: `{% set %}`"),
            ("{%- macro x() %}{% endmacro %}", "macro"),
            ("{% if '%}{#' %}{% set x = 1 %}{% endif %}", "set"),
            ("{% raw %}{{ \"{% endraw %}{% set x = 1 %}", "raw"),
            ("{{ traits.name | number }}", "needs a number"),
            ("{{ range(9) }}", "line 1"),
        ];
        for (text, part) in table {
            let problem = render(text).expect_err(text);
            assert!(problem.message.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn work_and_result_are_bounded() {
        let loops = "{% for a in x %}{% for b in x %}{% for c in x %}.{% endfor %}{% endfor %}{% endfor %}";
        let event = json!({"x": vec![1; 100], "s": "x".repeat(20_000)});
        assert!(Message::compile(loops).unwrap().render(&event).unwrap_err().message.contains("too many steps"));
        assert!(Message::compile("{{ s }}").unwrap().render(&event).unwrap_err().message.contains("longer than"));
        assert!(Message::compile(&"{{ s ~ s }}".repeat(MAX_GROWING_OPERATORS + 1)).unwrap_err().message.contains("at most"));
        assert!(Message::compile(&format!("{{{{ '}}}}'{} }}}}", " ~ s".repeat(MAX_GROWING_OPERATORS + 1))).is_err());
        assert!(Message::compile(&"x".repeat(MAX_TEXT_BYTES + 1)).is_err());
        assert!(Message::compile("{{ 'x' * 1000000000000 }}").unwrap().render(&event).is_err());
    }

    proptest! {
        #[test]
        fn compiling_and_rendering_never_panic(text in "(\\{\\{|\\}\\}|\\{%|%\\}|if |for x in y|endif|[a-z.| '\"~*+(){}%#-]|\\n|é){0,24}") {
            if let Ok(message) = Message::compile(&text) {
                let _ = message.render(&json!({"x": 1, "y": [1]}));
            }
        }
    }
}
