//! JSON → plan, collecting every mistake.

use serde_json::{Map, Value};

use super::{Insert, MAX_DEPTH, MAX_NODES, MAX_REPLACE_CHARS, Plan, Replacement, Rules, Template};
use crate::path::Path;
use crate::problem::{self, kind};
use script::{jq::Jq, js};

use crate::Problem;

const DIRECTIVES: &str = "@path, @template, @literal, @if, @coalesce, @arrayPath, @case, @replace, @merge, @transform, @flatten, @json, @excludeWhenNull and @jq";

pub(super) fn compile(mapping: &Value, rules: Rules) -> Result<Plan, Vec<Problem>> {
    let mut compiler = Compiler { problems: Vec::new(), nodes: 0, rules };
    let plan = match mapping {
        Value::Array(items) if is_from_to(items) => compiler.pairs(items),
        _ => compiler.value(mapping, &Scope { path: String::new(), depth: 0, sugar: true }),
    };
    match plan {
        Some(plan) if compiler.problems.is_empty() => Ok(plan),
        _ => Err(compiler.problems),
    }
}

/// Where the compiler stands.
struct Scope {
    path: String,
    depth: usize,
    /// Whether plain texts may hold paths and placeholders.
    sugar: bool,
}

impl Scope {
    fn key(&self, name: &str) -> Self {
        Self { path: problem::key(&self.path, name), depth: self.depth + 1, sugar: self.sugar }
    }

    fn index(&self, at: usize) -> Self {
        Self { path: problem::index(&self.path, at), depth: self.depth + 1, sugar: self.sugar }
    }
}

struct Compiler {
    problems: Vec<Problem>,
    nodes: usize,
    rules: Rules,
}

impl Compiler {
    fn wrong<T>(&mut self, at: &Scope, message: impl Into<String>) -> Option<T> {
        self.problems.push(Problem::new(at.path.clone(), message));
        None
    }

    fn value(&mut self, value: &Value, at: &Scope) -> Option<Plan> {
        self.nodes += 1;
        if at.depth > MAX_DEPTH {
            return self.wrong(at, format!("a mapping nests at most {MAX_DEPTH} deep"));
        }
        if self.nodes > MAX_NODES {
            if self.nodes == MAX_NODES + 1 {
                return self.wrong(at, format!("a mapping has at most {MAX_NODES} values"));
            }
            return None;
        }
        match value {
            Value::Object(members) if members.keys().any(|name| name.starts_with('@')) => self.directive(members, at),
            Value::Object(members) => {
                let plans: Vec<Option<(String, Plan)>> =
                    members.iter().map(|(name, member)| Some((name.clone(), self.value(member, &at.key(name))?))).collect();
                let plans: Vec<(String, Plan)> = plans.into_iter().collect::<Option<_>>()?;
                Some(object(plans))
            }
            Value::Array(items) => Some(list(self.each(items, at)?)),
            Value::String(text) if at.sugar => self.text(text, at),
            plain => Some(Plan::Raw(plain.clone())),
        }
    }

    fn each(&mut self, items: &[Value], at: &Scope) -> Option<Vec<Plan>> {
        let plans: Vec<Option<Plan>> = items.iter().enumerate().map(|(i, item)| self.value(item, &at.index(i))).collect();
        plans.into_iter().collect()
    }

    /// A plain text: a path, a text with placeholders, or just itself.
    fn text(&mut self, text: &str, at: &Scope) -> Option<Plan> {
        if text.starts_with("$.") || text.starts_with("$[") {
            let is_quoted = (text.starts_with("$['") || text.starts_with("$[\""))
                && (self.rules == Rules::Saving || Path::parse(text).is_ok());
            let is_path = (text.starts_with("$.") || is_quoted) && !has_bare_blank(text.trim_end());
            if is_path {
                return self.path(text, at);
            }
            if self.rules == Rules::Saving {
                let message = "begins like a path and is none: no blanks outside quotes, and only a quote after `$[`; \
                               write a name with blanks as `$['First name']`, \
                               and what is no path as {\"@literal\": \"the text\"}";
                return self.wrong(at, message);
            }
        }
        if !text.contains("{{") {
            return Some(Plan::Raw(Value::from(text)));
        }
        match Template::parse(text) {
            // A lone placeholder keeps the type of its value, as inserting a field does in the tools that write so.
            Ok(template) => {
                Some(template.sole_path().map_or_else(|| Plan::Template(template.clone()), |path| Plan::Path(path.clone())))
            }
            Err(message) => self.wrong(at, message),
        }
    }

    fn path(&mut self, text: &str, at: &Scope) -> Option<Plan> {
        match Path::parse(text) {
            Ok(path) => Some(Plan::Path(path)),
            Err(message) => self.wrong(at, message),
        }
    }

    fn directive(&mut self, members: &Map<String, Value>, at: &Scope) -> Option<Plan> {
        let named: Vec<&String> = members.keys().filter(|name| name.starts_with('@')).collect();
        let others: Vec<&str> =
            members.keys().map(String::as_str).filter(|name| !name.starts_with('@') && *name != "_metadata").collect();
        let (Some(name), 1, true) = (named.first(), named.len(), others.is_empty()) else {
            return self
                .wrong(at, "a directive is an object with one @-key and nothing beside it; put it under a key of its own");
        };
        let value = members.get(*name)?;
        let inner = at.key(name);
        match name.as_str() {
            "@path" => self.text_or(value, &inner, |this, text, at| this.path(text, at), Plan::PathOf),
            "@template" => self.text_or(
                value,
                &inner,
                |this, text, at| match Template::parse(text) {
                    Ok(template) => Some(Plan::Template(template)),
                    Err(message) => this.wrong(at, message),
                },
                Plan::TemplateOf,
            ),
            "@literal" => self.value(value, &Scope { sugar: false, ..inner }),
            "@excludeWhenNull" => Some(Plan::ExcludeWhenNull(Box::new(self.value(value, &inner)?))),
            "@if" => self.conditional(value, &inner),
            "@coalesce" => match value {
                Value::Array(items) if !items.is_empty() => Some(Plan::Coalesce(self.each(items, &inner)?)),
                _ => self.wrong(&inner, "expected a list of values, the first present one is taken"),
            },
            "@arrayPath" => self.array_path(value, &inner),
            "@case" => self.case(value, &inner),
            "@replace" => self.replace(value, &inner),
            "@merge" => self.merge(value, &inner),
            "@transform" => {
                let options = self.options(value, &inner, &["apply", "mapping"])?;
                let apply = self.required(options, "apply", &inner, Value::is_object, "an object or a directive");
                let mapping = self.required(options, "mapping", &inner, Value::is_object, "an object or a directive");
                Some(Plan::Transform { apply: Box::new(apply?), mapping: Box::new(mapping?) })
            }
            "@flatten" => self.flatten(value, &inner),
            "@json" => self.json(value, &inner),
            "@liquid" => self.wrong(&inner, "Liquid is not supported: use @template for placeholders, or the text of a message step for filters and conditions"),
            "@jq" => match value {
                Value::String(program) => match Jq::compile(program) {
                    Ok(program) => Some(Plan::Jq(program)),
                    Err(message) => self.wrong(&inner, message),
                },
                other => self.wrong(&inner, format!("expected a program in jq as a text, found {}", kind(other))),
            },
            other => self.wrong(at, format!("{other} is not a directive; there are {DIRECTIVES}")),
        }
    }

    /// A directive whose value is a text or computes one.
    fn text_or(
        &mut self,
        value: &Value,
        at: &Scope,
        fixed: impl FnOnce(&mut Self, &str, &Scope) -> Option<Plan>,
        computed: impl FnOnce(Box<Plan>) -> Plan,
    ) -> Option<Plan> {
        match value {
            Value::String(text) => fixed(self, text, at),
            value if is_directive(value) => Some(computed(Box::new(self.value(value, at)?))),
            other => self.wrong(at, format!("expected a text or a directive, found {}", kind(other))),
        }
    }

    /// The options object of a directive, with no keys but the known ones.
    fn options<'v>(&mut self, value: &'v Value, at: &Scope, known: &[&str]) -> Option<&'v Map<String, Value>> {
        let Value::Object(options) = value else {
            return self.wrong(at, format!("expected an object with {}, found {}", known.join(", "), kind(value)));
        };
        for name in options.keys().filter(|name| !known.contains(&name.as_str())) {
            self.problems
                .push(Problem::new(problem::key(&at.path, name), format!("unknown key; there are {}", known.join(", "))));
        }
        Some(options)
    }

    fn required(
        &mut self,
        options: &Map<String, Value>,
        name: &str,
        at: &Scope,
        fits: impl Fn(&Value) -> bool,
        expected: &str,
    ) -> Option<Plan> {
        match options.get(name) {
            Some(value) if fits(value) => self.value(value, &at.key(name)),
            Some(value) => self.wrong(&at.key(name), format!("expected {expected}, found {}", kind(value))),
            None => self.wrong(&at.key(name), format!("missing: expected {expected}")),
        }
    }

    fn flag(&mut self, options: &Map<String, Value>, name: &str, at: &Scope, default: bool) -> Option<bool> {
        match options.get(name) {
            None | Some(Value::Null) => Some(default),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(other) => self.wrong(&at.key(name), format!("expected true or false, found {}", kind(other))),
        }
    }

    fn word<'v>(&mut self, options: &'v Map<String, Value>, name: &str, at: &Scope, allowed: &[&'v str]) -> Option<&'v str> {
        let given = options.get(name).and_then(Value::as_str).map(str::to_lowercase);
        match allowed.iter().find(|word| given.as_deref() == Some(word)) {
            Some(word) => Some(word),
            None => self.wrong(&at.key(name), format!("expected one of {}", allowed.join(", "))),
        }
    }

    fn conditional(&mut self, value: &Value, at: &Scope) -> Option<Plan> {
        let options = self.options(value, at, &["exists", "blank", "then", "else"])?;
        let (test, blank) = match (options.get("exists"), options.get("blank")) {
            (Some(test), None) => (self.value(test, &at.key("exists")), false),
            (None, Some(test)) => (self.value(test, &at.key("blank")), true),
            (Some(_), Some(_)) => (self.wrong(at, "give either `exists` or `blank`, not both"), false),
            (None, None) => (self.wrong(at, "missing: `exists` or `blank` with the value to test"), false),
        };
        if !options.contains_key("then") && !options.contains_key("else") {
            return self.wrong(at, "missing: `then`, `else` or both");
        }
        let mut branch = |name: &str| options.get(name).map(|value| self.value(value, &at.key(name)).map(Box::new));
        let (then, otherwise) = (branch("then"), branch("else"));
        Some(Plan::If { test: Box::new(test?), blank, then: lift(then)?, otherwise: lift(otherwise)? })
    }

    fn array_path(&mut self, value: &Value, at: &Scope) -> Option<Plan> {
        let Some((first, rest)) = value.as_array().and_then(|items| items.split_first()).filter(|(_, rest)| rest.len() <= 1)
        else {
            return self.wrong(at, "expected a list of a path and, if wanted, the shape of each item");
        };
        let root = match first {
            Value::String(text) => self.path(text, &at.index(0)),
            value if is_directive(value) => self.value(value, &at.index(0)),
            other => self.wrong(&at.index(0), format!("expected a path or a directive, found {}", kind(other))),
        };
        let shape = match rest.first() {
            None | Some(Value::Null) => Some(None),
            Some(Value::Object(shape)) if shape.is_empty() => Some(None),
            Some(shape @ Value::Object(_)) => self.value(shape, &at.index(1)).map(|plan| Some(Box::new(plan))),
            Some(other) => self.wrong(&at.index(1), format!("expected the shape of an item as an object, found {}", kind(other))),
        };
        Some(Plan::ArrayPath { root: Box::new(root?), shape: shape? })
    }

    fn case(&mut self, value: &Value, at: &Scope) -> Option<Plan> {
        let options = self.options(value, at, &["operator", "value"])?;
        let operator = self.word(options, "operator", at, &["lower", "upper"]);
        let value =
            self.required(options, "value", at, |value| value.is_string() || is_directive(value), "a text or a directive");
        Some(Plan::Case { upper: operator? == "upper", value: Box::new(value?) })
    }

    fn replace(&mut self, value: &Value, at: &Scope) -> Option<Plan> {
        let known = ["pattern", "replacement", "pattern2", "replacement2", "value", "ignorecase", "global"];
        let options = self.options(value, at, &known)?;
        let value =
            self.required(options, "value", at, |value| value.is_string() || is_directive(value), "a text or a directive");
        let first = self.replacement(options, "pattern", "replacement", at);
        let second = match options.get("pattern2") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(_) => Some(self.replacement(options, "pattern2", "replacement2", at)),
        };
        let ignore_case = self.flag(options, "ignorecase", at, false);
        let all = self.flag(options, "global", at, true);
        let rules = std::iter::once(first).chain(second).collect::<Option<Vec<Replacement>>>();
        Some(Plan::Replace { value: Box::new(value?), rules: rules?, ignore_case: ignore_case?, all: all? })
    }

    fn replacement(&mut self, options: &Map<String, Value>, pattern: &str, with: &str, at: &Scope) -> Option<Replacement> {
        let fits = |text: &str| text.chars().count() <= MAX_REPLACE_CHARS;
        let found = match options.get(pattern) {
            Some(Value::String(text)) if !text.is_empty() && fits(text) => Some(text.chars().collect()),
            _ => self
                .wrong(&at.key(pattern), format!("expected a text of 1 to {MAX_REPLACE_CHARS} characters, taken as it stands")),
        };
        let text = match options.get(with) {
            None | Some(Value::Null) => Some(""),
            Some(Value::String(text)) if fits(text) => Some(text.as_str()),
            _ => self.wrong(&at.key(with), format!("expected a text of at most {MAX_REPLACE_CHARS} characters")),
        };
        match inserts(text?) {
            Ok(with) => Some(Replacement { pattern: found?, with }),
            Err(message) => self.wrong(&at.key(with), message),
        }
    }

    fn merge(&mut self, value: &Value, at: &Scope) -> Option<Plan> {
        let options = self.options(value, at, &["objects", "direction"])?;
        let direction = self.word(options, "direction", at, &["left", "right"]);
        let inner = at.key("objects");
        let objects = match options.get("objects") {
            Some(Value::Array(items)) => {
                for (i, item) in items.iter().enumerate().filter(|(_, item)| !item.is_object()) {
                    let message = format!("expected an object or a directive, found {}", kind(item));
                    self.problems.push(Problem::new(inner.index(i).path, message));
                }
                self.each(items, &inner)
            }
            _ => self.wrong(&inner, "expected a list of objects and directives"),
        };
        Some(Plan::Merge { objects: objects?, first_wins: direction? == "left" })
    }

    fn flatten(&mut self, value: &Value, at: &Scope) -> Option<Plan> {
        let options = self.options(value, at, &["separator", "value", "omitArrays"])?;
        let separator = match options.get("separator") {
            Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_REPLACE_CHARS => Some(text.clone()),
            _ => self.wrong(&at.key("separator"), "expected a text that joins the keys, such as `.`"),
        };
        let omit_arrays = self.flag(options, "omitArrays", at, false);
        let value = self.required(options, "value", at, |_| true, "a directive or a value");
        Some(Plan::Flatten { value: Box::new(value?), separator: separator?, omit_arrays: omit_arrays? })
    }

    fn json(&mut self, value: &Value, at: &Scope) -> Option<Plan> {
        let options = self.options(value, at, &["mode", "value"])?;
        let mode = self.word(options, "mode", at, &["encode", "decode"]);
        let value = self.required(options, "value", at, |_| true, "a directive or a value").map(Box::new);
        Some(if mode? == "encode" { Plan::Encode(value?) } else { Plan::Decode(value?) })
    }

    /// RudderStack's list: each entry sets one place of the result from one path of the event.
    fn pairs(&mut self, items: &[Value]) -> Option<Plan> {
        let mut root: Vec<(String, Plan)> = Vec::new();
        let mut whole = true;
        for (i, item) in items.iter().enumerate() {
            let at = Scope { path: problem::index("", i), depth: 1, sugar: true };
            let side = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
            let from = self.path(side("from"), &at.key("from"));
            let to = match Path::parse(side("to")) {
                Ok(path) if !path.keys().is_empty() && path.keys().len() <= MAX_DEPTH => Some(path),
                Ok(_) => self.wrong(&at.key("to"), "expected a place in the result, such as `fields.points`"),
                Err(message) => self.wrong(&at.key("to"), message),
            };
            let (Some(from), Some(to)) = (from, to) else {
                whole = false;
                continue;
            };
            if !place(&mut root, to.keys(), from) {
                whole = false;
                self.problems.push(Problem::new(at.key("to").path, "another entry sets this place already"));
            }
        }
        if items.len() > MAX_NODES {
            return self.wrong(
                &Scope { path: String::new(), depth: 0, sugar: true },
                format!("a mapping has at most {MAX_NODES} values"),
            );
        }
        whole.then_some(Plan::Object(root))
    }
}

/// Sets `plan` at the place that `keys` name; false when something is there already.
fn place(members: &mut Vec<(String, Plan)>, keys: &[String], plan: Plan) -> bool {
    let Some((key, rest)) = keys.split_first() else { return false };
    let at = members.iter().position(|(name, _)| name == key);
    match (at.and_then(|at| members.get_mut(at)), rest.is_empty()) {
        (None, true) => members.push((key.clone(), plan)),
        (None, false) => {
            let mut inner = Vec::new();
            place(&mut inner, rest, plan);
            members.push((key.clone(), Plan::Object(inner)));
        }
        (Some((_, Plan::Object(inner))), false) => return place(inner, rest, plan),
        (Some(_), _) => return false,
    }
    true
}

/// Whether a path has blanks in it that are not part of a quoted name.
fn has_bare_blank(text: &str) -> bool {
    let mut quote = None;
    let mut before = ' ';
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '\'' | '"') && before == '[' => quote = Some(c),
            None if c.is_whitespace() => return true,
            Some(_) | None => {}
        }
        before = c;
    }
    false
}

fn is_from_to(items: &[Value]) -> bool {
    let pair = |item: &Value| {
        item.as_object().is_some_and(|pair| {
            pair.len() == 2 && ["from", "to"].iter().all(|side| pair.get(*side).is_some_and(Value::is_string))
        })
    };
    !items.is_empty() && items.iter().all(pair)
}

fn is_directive(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.keys().any(|name| name.starts_with('@')))
}

/// An absent branch is fine, one that could not be compiled is not.
fn lift(branch: Option<Option<Box<Plan>>>) -> Option<Option<Box<Plan>>> {
    match branch {
        None => Some(None),
        Some(plan) => plan.map(Some),
    }
}

fn object(plans: Vec<(String, Plan)>) -> Plan {
    if plans.iter().all(|(_, plan)| matches!(plan, Plan::Raw(_))) {
        let raw =
            plans.into_iter().filter_map(|(name, plan)| if let Plan::Raw(value) = plan { Some((name, value)) } else { None });
        return Plan::Raw(Value::Object(raw.collect()));
    }
    Plan::Object(plans)
}

fn list(plans: Vec<Plan>) -> Plan {
    if plans.iter().all(|plan| matches!(plan, Plan::Raw(_))) {
        let raw = plans.into_iter().filter_map(|plan| if let Plan::Raw(value) = plan { Some(value) } else { None });
        return Plan::Raw(Value::Array(raw.collect()));
    }
    Plan::List(plans)
}

/// Splits a replacement at `$$` (a dollar) and `$&` (what was found).
fn inserts(text: &str) -> Result<Vec<Insert>, String> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('$', Some('$')) => {
                plain.push('$');
                chars.next();
            }
            ('$', Some('&')) => {
                parts.push(Insert::Text(std::mem::take(&mut plain)));
                parts.push(Insert::Match);
                chars.next();
            }
            ('$', Some('`' | '\'')) => {
                return Err("write `$$` for a dollar sign here; `$` followed by a quote is not supported".to_owned());
            }
            _ => plain.push(c),
        }
    }
    parts.push(Insert::Text(plain));
    Ok(parts)
}

/// Whether JavaScript's loose `value == ""` holds.
pub(super) fn is_loosely_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Null | Value::Object(_) => false,
        Value::Bool(_) | Value::Number(_) => js::falsy(value),
        Value::Array(_) => js::string(value).is_empty(),
    }
}
