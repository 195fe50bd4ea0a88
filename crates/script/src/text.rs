//! Texts with placeholders in Jinja's syntax: `Hi {{ traits.name }}, {{ properties.points | number }} points more`.
//!
//! Expressions, `if`, `for` and a hand-picked set of filters; nothing that keeps state between steps (`set`, macros,
//! blocks). Rendering burns fuel, and the result and every value on the way to it have a limit ([`growth`]). The language is
//! described at <https://jinja.palletsprojects.com/en/stable/templates/>.
//!
//! Filters beside Jinja's own: `number` and `number(2)` (digits in groups of three), `url` (fit for a part of an address).

use std::{fmt, io::Write};

use minijinja::{AutoEscape, Environment, ErrorKind, HtmlEscape, UndefinedBehavior, Value as Jinja, filters};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::js;

mod growth;

/// Instructions that one rendering may take.
const FUEL: u64 = 20_000;
/// The longest source, in bytes, that is read on the stack of whoever asks.
const SHORT: usize = 256;
/// The stack that reading takes, as much as the parser can want for so long a source. What is not touched costs nothing.
const READING_STACK: usize = 256 * 1024 * 1024;
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const NAME: &str = "text";
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];
const FILTERS: &str = "upper, lower, title, capitalize, trim, default, round, abs, int, float, number, length, first, last, join, \
    tojson and url";

/// How large a text may be and become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its longest source, in bytes.
    pub source: usize,
    /// Its longest result, in bytes.
    pub result: usize,
    /// How often `~`, `+`, `*` and `**` may occur: each can double what it is given.
    pub growing: usize,
}

impl Size {
    /// A sentence or a page for people.
    pub const MESSAGE: Self = Self { source: 8 * 1_024, result: 16 * 1_024, growing: 8 };
    /// A part of a request.
    pub const REQUEST: Self = Self { source: 16 * 1_024, result: 256 * 1_024, growing: 16 };
}

/// What is done to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Html,
    Form,
}

/// A text ready to be rendered.
pub struct Text {
    environment: Environment<'static>,
    size: Size,
}

impl Text {
    /// Compiles a text.
    ///
    /// # Errors
    /// What is wrong and in which line.
    pub fn compile(text: &str, size: Size) -> Result<Self, String> {
        Self::prepare(text, size, Escape::None)
    }

    /// Compiles a page of HTML, or XML, in which values are escaped.
    ///
    /// # Errors
    /// As of [`Self::compile`].
    pub fn html(text: &str, size: Size) -> Result<Self, String> {
        Self::prepare(text, size, Escape::Html)
    }

    /// Compiles the fields of a form, in which values are percent-encoded; what the filter `url` encoded stays as it is.
    ///
    /// # Errors
    /// As of [`Self::compile`].
    pub fn form(text: &str, size: Size) -> Result<Self, String> {
        Self::prepare(text, size, Escape::Form)
    }

    fn prepare(text: &str, size: Size, escape: Escape) -> Result<Self, String> {
        if text.len() > size.source {
            return Err(format!("a text has at most {} bytes here, this one has {}", size.source, text.len()));
        }
        check_tags(text, size.growing)?;
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(32);
        let html = escape == Escape::Html;
        environment.set_auto_escape_callback(move |_| if html { AutoEscape::Html } else { AutoEscape::None });
        environment.set_formatter(move |out, _, value| {
            growth::bounded(value)?;
            let text = plain(value);
            match escape {
                Escape::Html if !value.is_safe() => write!(out, "{}", HtmlEscape(&text)),
                Escape::Form if !(value.is_safe() && text.bytes().all(is_encoded)) => out.write_str(&percent_encoded(&text)),
                _ => out.write_str(&text),
            }
            .map_err(minijinja::Error::from)
        });
        add_filters(&mut environment);
        growth::add_guards(&mut environment);
        read(&mut environment, text)?;
        let compiled = Self { environment, size };
        // Names of filters are looked up when they are used, so it is tried with nothing.
        let unknown = [ErrorKind::UnknownFilter, ErrorKind::UnknownTest, ErrorKind::UnknownFunction];
        match compiled.environment.get_template(NAME).and_then(|template| template.render(())) {
            Err(error) if unknown.contains(&error.kind()) => Err(explain(&error)),
            _ => Ok(compiled),
        }
    }

    /// The text with values; one that is missing becomes nothing.
    ///
    /// # Errors
    /// When it runs out of fuel, outgrows its [`Size`], or an expression fails on these values.
    pub fn render(&self, values: &Value) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|error| explain(&error))?;
        let mut out = Capped { bytes: Vec::new(), most: self.size.result, full: false };
        let rendered = template.render_captured_to(minijinja::value::Serde(values), &mut out);
        if out.full {
            return Err(format!("the text becomes longer than {} bytes with this event", self.size.result));
        }
        rendered.map_err(|error| explain(&error))?;
        String::from_utf8(out.bytes).map_err(|_| "the text is not valid UTF-8".to_owned())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Takes a source in. The parser, and what comes behind it, recurs for each sign before a value and each link of a chain, and does
/// not bound that.
fn read(environment: &mut Environment<'static>, text: &str) -> Result<(), String> {
    let mut taken_in = || environment.add_template_owned(NAME, growth::guarded(text)).map_err(|error| explain(&error));
    if text.len() <= SHORT {
        return taken_in();
    }
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().name("text-reader".to_owned()).stack_size(READING_STACK);
        let reading = reader.spawn_scoped(scope, taken_in).map_err(|error| error.to_string())?;
        reading.join().unwrap_or_else(|_| Err("this text cannot be read".to_owned()))
    })
}

/// Those with a `_` before their name are called by a guard that has it.
fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("_upper", filters::upper);
    environment.add_filter("_lower", filters::lower);
    environment.add_filter("_title", filters::title);
    environment.add_filter("_capitalize", filters::capitalize);
    environment.add_filter("_trim", filters::trim);
    environment.add_filter("default", filters::default);
    environment.add_filter("round", filters::round);
    environment.add_filter("abs", filters::abs);
    environment.add_filter("int", filters::int);
    environment.add_filter("float", filters::float);
    environment.add_filter("length", filters::length);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("_join", filters::join);
    environment.add_filter("number", number);
    environment.add_filter("_tojson", filters::tojson);
    environment.add_filter("_url", |text: &Jinja| Jinja::from_safe_string(percent_encoded(&plain(text))));
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("undefined", minijinja::tests::is_undefined);
    environment.add_test("none", minijinja::tests::is_none);
    environment.add_test("number", minijinja::tests::is_number);
    environment.add_test("string", minijinja::tests::is_string);
}

/// `1234.5 | number(2)`: digits in groups of three, so many after the point.
fn number(value: &Jinja, decimals: Option<u32>) -> Result<String, minijinja::Error> {
    let wrong = || minijinja::Error::new(ErrorKind::InvalidOperation, format!("`number` needs a number, found {}", value.kind()));
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

/// A value as text, as JavaScript prints it: no `None`, no `.0`. What is not there is nothing.
fn plain(value: &Jinja) -> String {
    if value.is_undefined() || value.is_none() {
        return String::new();
    }
    match serde_json::to_value(value) {
        Ok(it @ (Value::Number(_) | Value::Bool(_) | Value::Array(_))) => js::string(&it),
        _ => value.to_string(),
    }
}

fn is_encoded(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)
}

/// Text with all but the unreserved characters of RFC 3986 (2.3) encoded, so that it is one part of a path or a query.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, NOT_UNRESERVED).to_string()
}

/// Refuses statements that keep state, and too many operators that make texts grow.
fn check_tags(text: &str, most: usize) -> Result<(), String> {
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
                return Err(format!("line {line}: `{{% {word} %}}` is not allowed in a text; there are if, elif, else and for"));
            }
        }
        if close != "#}" {
            growing += inside.matches(['~', '+', '*']).count();
        }
        line += inside.matches('\n').count();
        rest = &body[inside.len()..];
    }
    if growing > most {
        return Err(format!("a text has at most {most} of `~`, `+` and `*` in its tags here"));
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

fn explain(error: &minijinja::Error) -> String {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it takes too many steps: loop over less".to_owned(),
        (ErrorKind::UnknownFilter, detail) => format!("{}; there are {FILTERS}", detail.unwrap_or("unknown filter")),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    error.line().map_or_else(|| what.clone(), |line| format!("line {line}: {what}"))
}

/// Takes what fits and remembers when something did not.
struct Capped {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl Write for Capped {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + chunk.len() > self.most {
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

    fn render(text: &str) -> Result<String, String> {
        let event = json!({
            "traits": {"name": "Ada"}, "properties": {"points": 1234.5, "whole": 10.0, "gift": true, "none": null, "tags": ["a", "b"]},
        });
        Text::compile(text, Size::MESSAGE)?.render(&event)
    }

    /// A parser that recurs for each of them would end the process.
    #[test]
    fn expressions_of_any_length_are_read() {
        for (link, last) in [("-", "1"), ("not ", "1"), ("1-", "1"), ("1 or ", "1"), ("1 if 0 else ", "1"), ("1 in ", "1")] {
            let expression = link.repeat((Size::REQUEST.source - 10) / link.len());
            let _ = Text::compile(&format!("{{{{ {expression}{last} }}}}"), Size::REQUEST);
        }
        for link in ["|upper", ".b", "[1]", " is defined", "(1)", " == 1"] {
            let chain = link.repeat((Size::REQUEST.source - 10) / link.len());
            let _ = Text::compile(&format!("{{{{ a{chain} }}}}"), Size::REQUEST);
        }
        let signs = "-".repeat(1_000);
        assert_eq!(Text::compile(&format!("{{{{ {signs}1 }}}}"), Size::MESSAGE).unwrap().render(&json!({})).unwrap(), "1");
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
            (
                r#"{"name": {{ (traits.name ~ '"') | tojson }}, "none": {{ traits.nope | tojson }}}"#,
                r#"{"name": "Ada\"", "none": null}"#,
            ),
            ("/people/{{ 'Ada A/é' | url }}", "/people/Ada%20A%2F%C3%A9"),
        ];
        for (text, expected) in table {
            assert_eq!(render(text).unwrap_or_else(|problem| panic!("{text}: {problem}")), expected, "{text}");
        }
    }

    #[test]
    fn pages_are_escaped() {
        let page = Text::html("<b>{{ name }}</b> {{ n }}{{ nobody }}", Size::MESSAGE).unwrap();
        assert_eq!(
            page.render(&json!({"name": "<Ada> & \"co\"", "n": 1.0})).unwrap(),
            "<b>&lt;Ada&gt; &amp; &quot;co&quot;</b> 1"
        );
    }

    #[test]
    fn fields_of_forms_are_encoded_once() {
        let form =
            Text::form("name={{ name }}&again={{ name | url }}&n={{ n }}{{ nobody }}&all={{ list | tojson }}", Size::MESSAGE);
        assert_eq!(
            form.unwrap().render(&json!({"name": "Ada & co=1%", "n": 1.0, "list": ["1%"]})).unwrap(),
            "name=Ada%20%26%20co%3D1%25&again=Ada%20%26%20co%3D1%25&n=1&all=%5B%221%25%22%5D"
        );
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
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn work_and_result_are_bounded() {
        let loops = "{% for a in x %}{% for b in x %}{% for c in x %}.{% endfor %}{% endfor %}{% endfor %}";
        let event = json!({"x": vec![1; 100], "s": "x".repeat(20_000)});
        assert!(Text::compile(loops, Size::MESSAGE).unwrap().render(&event).unwrap_err().contains("too many steps"));
        assert!(Text::compile("{{ s }}", Size::MESSAGE).unwrap().render(&event).unwrap_err().contains("longer than"));
        assert!(Text::compile(&"{{ s ~ s }}".repeat(Size::MESSAGE.growing + 1), Size::MESSAGE).unwrap_err().contains("at most"));
        assert!(Text::compile(&format!("{{{{ '}}}}'{} }}}}", " ~ s".repeat(Size::MESSAGE.growing + 1)), Size::MESSAGE).is_err());
        assert!(Text::compile(&"x".repeat(Size::MESSAGE.source + 1), Size::MESSAGE).is_err());
        assert!(Text::compile("{{ 'x' * 1000000000000 }}", Size::MESSAGE).unwrap().render(&event).is_err());
    }

    proptest! {
        #[test]
        fn compiling_and_rendering_never_panic(text in "(\\{\\{|\\}\\}|\\{%|%\\}|if |for x in y|endif|[a-z.| '\"~*+(){}%#-]|\\n|é){0,24}") {
            if let Ok(text) = Text::compile(&text, Size::MESSAGE) {
                let _ = text.render(&json!({"x": 1, "y": [1]}));
            }
        }
    }
}
