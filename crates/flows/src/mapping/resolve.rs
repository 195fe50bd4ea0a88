//! Plan and payload → value, within a budget.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::compile::is_loosely_empty;
use super::{Insert, MAX_OUTPUT_BYTES, MAX_OUTPUT_VALUES, Plan, Replacement, Template};
use crate::path::Path;
use crate::problem::kind;
use script::{
    jq::{Fault, MAX_WORK},
    js,
};

use crate::Problem;

pub(super) fn resolve(plan: &Plan, payload: &Value) -> Result<Option<Value>, Problem> {
    let mut budget = Budget { values: MAX_OUTPUT_VALUES, bytes: MAX_OUTPUT_BYTES, work: MAX_WORK };
    let found = budget.run(plan, Some(payload)).map_err(|message| Problem::new("", message))?;
    budget.own(found).map_err(|message| Problem::new("", message))
}

/// A value on its way: missing, borrowed from the payload, or made here. An object remembers which of its members are
/// missing, because a missing member still covers an earlier one when objects are merged.
enum Found<'a> {
    Missing,
    Value(Cow<'a, Value>),
    List(Vec<Found<'a>>),
    Object(Vec<(String, Found<'a>)>),
}

/// What may still be made.
struct Budget {
    values: usize,
    bytes: usize,
    /// What programs in jq may still do, all of the mapping together.
    work: u64,
}

type Resolved<T> = Result<T, String>;

fn too_much() -> String {
    format!("the mapping makes more than {MAX_OUTPUT_VALUES} values or {MAX_OUTPUT_BYTES} bytes of this event; map less of it")
}

impl Budget {
    fn spend(&mut self, values: usize, bytes: usize) -> Resolved<()> {
        match (self.values.checked_sub(values), self.bytes.checked_sub(bytes)) {
            (Some(values), Some(bytes)) => {
                (self.values, self.bytes) = (values, bytes);
                Ok(())
            }
            _ => Err(too_much()),
        }
    }

    /// Pays for a value that is about to be copied.
    fn pay(&mut self, value: &Value) -> Resolved<()> {
        match value {
            Value::String(text) => self.spend(1, text.len()),
            Value::Array(items) => {
                self.spend(1, 0)?;
                items.iter().try_for_each(|item| self.pay(item))
            }
            Value::Object(members) => {
                self.spend(1, 0)?;
                members.iter().try_for_each(|(name, member)| self.spend(0, name.len()).and_then(|()| self.pay(member)))
            }
            _ => self.spend(1, 0),
        }
    }

    /// The final value: missing members are gone, missing items of a list are null.
    fn own(&mut self, found: Found<'_>) -> Resolved<Option<Value>> {
        Ok(match found {
            Found::Missing => None,
            Found::Value(Cow::Owned(value)) => Some(value),
            Found::Value(Cow::Borrowed(value)) => {
                self.pay(value)?;
                Some(value.clone())
            }
            Found::List(items) => {
                let items: Resolved<Vec<Value>> =
                    items.into_iter().map(|item| Ok(self.own(item)?.unwrap_or(Value::Null))).collect();
                Some(Value::Array(items?))
            }
            Found::Object(members) => {
                let mut object = Map::new();
                for (name, member) in members {
                    if let Some(value) = self.own(member)? {
                        object.insert(name, value);
                    }
                }
                Some(Value::Object(object))
            }
        })
    }

    fn run<'a>(&mut self, plan: &'a Plan, payload: Option<&'a Value>) -> Resolved<Found<'a>> {
        self.spend(1, 0)?;
        Ok(match plan {
            Plan::Raw(value) => Found::Value(Cow::Borrowed(value)),
            Plan::Object(members) => {
                let run = |(name, plan): &'a (String, Plan)| Ok((name.clone(), self.run(plan, payload)?));
                Found::Object(members.iter().map(run).collect::<Resolved<_>>()?)
            }
            Plan::List(items) => Found::List(items.iter().map(|item| self.run(item, payload)).collect::<Resolved<_>>()?),
            Plan::Path(path) => look(path, payload),
            Plan::PathOf(path) => {
                let text = self.text(path, payload, "@path")?;
                look(
                    &Path::parse(&text).map_err(|_| "@path needs a path, and what it is computed from is none".to_owned())?,
                    payload,
                )
            }
            Plan::Template(template) => self.render(template, payload)?,
            Plan::TemplateOf(template) => {
                let text = self.text(template, payload, "@template")?;
                let template = Template::parse(&text)
                    .map_err(|_| "@template needs a text with placeholders that are closed and not empty".to_owned())?;
                self.render(&template, payload)?
            }
            Plan::If { test, blank, then, otherwise } => {
                let holds = match self.run(test, payload)? {
                    Found::Missing => false,
                    Found::Value(value) => !(value.is_null() || *blank && is_loosely_empty(&value)),
                    Found::List(items) => !(*blank && items.is_empty()),
                    Found::Object(_) => true,
                };
                match if holds { then } else { otherwise } {
                    Some(branch) => self.run(branch, payload)?,
                    None => Found::Missing,
                }
            }
            other => self.compute(other, payload)?,
        })
    }

    /// The directives that make a new value of what they are given.
    fn compute<'a>(&mut self, plan: &'a Plan, payload: Option<&'a Value>) -> Resolved<Found<'a>> {
        Ok(match plan {
            Plan::Jq(program) => match program.run(payload.unwrap_or(&Value::Null), &mut self.work) {
                Ok(None) => Found::Missing,
                Ok(Some(value)) => {
                    self.pay(&value)?;
                    Found::Value(Cow::Owned(value))
                }
                Err(Fault::Limit(why)) => return Err(why.to_owned()),
                // What jq says of it may repeat the event.
                Err(Fault::Own(_)) => return Err("the jq program ends with an error with this event".to_owned()),
            },
            Plan::Coalesce(options) => self.coalesce(options, payload)?,
            Plan::Case { upper, value } => {
                let found = self.run(value, payload)?;
                match text_of(&found) {
                    Some(text) => self.made(if *upper { text.to_uppercase() } else { text.to_lowercase() })?,
                    None => found,
                }
            }
            Plan::Replace { value, rules, ignore_case, all } => {
                let found = self.run(value, payload)?;
                self.replace(&found, rules, *ignore_case, *all)?
            }
            Plan::ArrayPath { root, shape } => self.array_path(root, shape.as_deref(), payload)?,
            Plan::Merge { objects, first_wins } => self.merge(objects, *first_wins, payload)?,
            Plan::Transform { apply, mapping } => {
                let applied = self.run(apply, payload)?;
                let applied = self.own(applied)?;
                let mapped = self.run(mapping, applied.as_ref())?;
                Found::from(self.own(mapped)?)
            }
            Plan::Flatten { value, separator, omit_arrays } => {
                let found = self.run(value, payload)?;
                let mut out = Map::new();
                if let Some(value) = self.own(found)? {
                    self.flatten(value, String::new(), separator, *omit_arrays, &mut out)?;
                }
                Found::from(Some(Value::Object(out)))
            }
            Plan::Encode(value) => {
                let found = self.run(value, payload)?;
                match self.own(found)? {
                    Some(value) => {
                        let mut text = String::new();
                        js::stringify(&value, &mut text);
                        self.made(text)?
                    }
                    None => Found::Missing,
                }
            }
            Plan::Decode(value) => {
                let found = self.run(value, payload)?;
                let decoded = text_of(&found).and_then(|text| serde_json::from_str::<Value>(text).ok());
                match decoded {
                    Some(value) => {
                        self.pay(&value)?;
                        Found::from(Some(value))
                    }
                    None => found,
                }
            }
            Plan::ExcludeWhenNull(value) => {
                let found = self.run(value, payload)?;
                self.without_nulls(found)?
            }
            // The rest is what `run` answers itself.
            simple => self.run(simple, payload)?,
        })
    }

    fn coalesce<'a>(&mut self, options: &'a [Plan], payload: Option<&'a Value>) -> Resolved<Found<'a>> {
        let mut last = Found::Missing;
        for option in options {
            last = self.run(option, payload)?;
            let absent = match &last {
                Found::Missing => true,
                Found::Value(value) => value.is_null(),
                _ => false,
            };
            if !absent {
                break;
            }
        }
        Ok(last)
    }

    fn made<'a>(&mut self, text: String) -> Resolved<Found<'a>> {
        self.spend(1, text.len())?;
        Ok(Found::from(Some(Value::String(text))))
    }

    fn text(&mut self, plan: &Plan, payload: Option<&Value>, name: &str) -> Resolved<String> {
        match self.run(plan, payload)? {
            Found::Value(value) => match value.as_ref() {
                Value::String(text) => Ok(text.clone()),
                other => Err(format!("{name} needs a text, and what it is computed from is {}", kind(other))),
            },
            Found::Missing => Err(format!("{name} needs a text, and what it is computed from is missing")),
            Found::List(_) => Err(format!("{name} needs a text, and what it is computed from is a list")),
            Found::Object(_) => Err(format!("{name} needs a text, and what it is computed from is an object")),
        }
    }

    fn render<'a>(&mut self, template: &Template, payload: Option<&Value>) -> Resolved<Found<'a>> {
        let text = template.render(payload.unwrap_or(&Value::Null), self.bytes).ok_or_else(too_much)?;
        self.made(text)
    }

    fn replace<'a>(&mut self, found: &Found<'a>, rules: &[Replacement], ignore_case: bool, all: bool) -> Resolved<Found<'a>> {
        let start = match found {
            Found::Value(value) => match value.as_ref() {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => js::string(value),
                _ => String::new(),
            },
            _ => String::new(),
        };
        let mut text = start;
        for rule in rules {
            text = self.replace_once(&text, rule, ignore_case, all)?;
        }
        self.made(text)
    }

    fn replace_once(&mut self, text: &str, rule: &Replacement, ignore_case: bool, all: bool) -> Resolved<String> {
        let chars: Vec<char> = text.chars().collect();
        let same = |a: char, b: char| a == b || (ignore_case && fold(a) == fold(b));
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        let mut replaced = false;
        while let Some(&c) = chars.get(at) {
            let here =
                chars.get(at..at + rule.pattern.len()).filter(|here| here.iter().zip(&rule.pattern).all(|(a, b)| same(*a, *b)));
            match here {
                Some(here) if all || !replaced => {
                    replaced = true;
                    at += here.len();
                    let before = out.len();
                    for part in &rule.with {
                        match part {
                            Insert::Text(with) => out.push_str(with),
                            Insert::Match => out.extend(here),
                        }
                    }
                    self.spend(0, out.len() - before)?;
                }
                _ => {
                    out.push(c);
                    at += 1;
                }
            }
        }
        Ok(out)
    }

    fn array_path<'a>(&mut self, root: &'a Plan, shape: Option<&'a Plan>, payload: Option<&'a Value>) -> Resolved<Found<'a>> {
        let found = self.run(root, payload)?;
        let Some(shape) = shape else { return Ok(found) };
        // Items of the payload are shaped in place; items that were made on the way are owned by nobody yet.
        if let Found::Value(Cow::Borrowed(value)) = &found {
            let items: &[Value] = match value {
                Value::Array(items) => items,
                Value::Object(_) => std::slice::from_ref(*value),
                _ => return Ok(found),
            };
            return Ok(Found::List(items.iter().map(|item| self.run(shape, Some(item))).collect::<Resolved<_>>()?));
        }
        let items = match self.own(found)? {
            Some(Value::Array(items)) => items,
            Some(object @ Value::Object(_)) => vec![object],
            other => return Ok(Found::from(other)),
        };
        let mut shaped = Vec::with_capacity(items.len());
        for item in items {
            let found = self.run(shape, Some(&item))?;
            shaped.push(Found::from(self.own(found)?));
        }
        Ok(Found::List(shaped))
    }

    fn merge<'a>(&mut self, objects: &'a [Plan], first_wins: bool, payload: Option<&'a Value>) -> Resolved<Found<'a>> {
        let mut sources: Vec<Found<'a>> = objects.iter().map(|object| self.run(object, payload)).collect::<Resolved<_>>()?;
        if first_wins {
            sources.reverse();
        }
        let mut merged: Vec<(String, Found<'a>)> = Vec::new();
        let mut places: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        for source in sources {
            for (name, member) in members(source) {
                self.spend(1, name.len())?;
                match places.get(&name).and_then(|at| merged.get_mut(*at)) {
                    Some((_, held)) => *held = member,
                    None => {
                        places.insert(name.clone(), merged.len());
                        merged.push((name, member));
                    }
                }
            }
        }
        Ok(Found::Object(merged))
    }

    fn flatten(
        &mut self,
        value: Value,
        prefix: String,
        separator: &str,
        omit_arrays: bool,
        out: &mut Map<String, Value>,
    ) -> Resolved<()> {
        let join = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}{separator}{name}") };
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    self.flatten(member, join(&name), separator, omit_arrays, out)?;
                }
            }
            Value::Array(items) if !omit_arrays => {
                for (i, item) in items.into_iter().enumerate() {
                    self.flatten(item, join(&i.to_string()), separator, omit_arrays, out)?;
                }
            }
            plain => {
                self.spend(1, prefix.len())?;
                out.insert(prefix, plain);
            }
        }
        Ok(())
    }

    /// Null members go, at every depth of objects; lists stay as they are.
    fn without_nulls<'a>(&mut self, found: Found<'a>) -> Resolved<Found<'a>> {
        Ok(match found {
            Found::Value(value) if value.is_null() => Found::Missing,
            Found::Value(value) if value.is_object() => {
                if let Cow::Borrowed(borrowed) = &value {
                    self.pay(borrowed)?;
                }
                Found::from(Some(strip_nulls(value.into_owned())))
            }
            Found::Object(members) => {
                let keep = |(name, member): (String, Found<'a>)| Ok((name, self.without_nulls(member)?));
                Found::Object(members.into_iter().map(keep).collect::<Resolved<_>>()?)
            }
            other => other,
        })
    }
}

fn strip_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(name, member)| (name, strip_nulls(member)))
                .collect(),
        ),
        other => other,
    }
}

impl From<Option<Value>> for Found<'_> {
    fn from(value: Option<Value>) -> Self {
        value.map_or(Self::Missing, |value| Self::Value(Cow::Owned(value)))
    }
}

fn look<'a>(path: &Path, payload: Option<&'a Value>) -> Found<'a> {
    payload.and_then(|payload| path.get(payload)).map_or(Found::Missing, Found::Value)
}

fn text_of<'f>(found: &'f Found<'_>) -> Option<&'f str> {
    match found {
        Found::Value(value) => value.as_str(),
        _ => None,
    }
}

/// One character's simple upper case, or itself when that would be several characters.
fn fold(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => c,
    }
}

/// The members of what is merged: of an object by name, of a list by index, of anything else none.
fn members(found: Found<'_>) -> Vec<(String, Found<'_>)> {
    match found {
        Found::Object(members) => members,
        Found::List(items) => items.into_iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect(),
        Found::Value(Cow::Borrowed(Value::Object(members))) => {
            members.iter().map(|(name, member)| (name.clone(), Found::Value(Cow::Borrowed(member)))).collect()
        }
        Found::Value(Cow::Borrowed(Value::Array(items))) => {
            items.iter().enumerate().map(|(i, item)| (i.to_string(), Found::Value(Cow::Borrowed(item)))).collect()
        }
        Found::Value(Cow::Owned(Value::Object(members))) => {
            members.into_iter().map(|(name, member)| (name, Found::from(Some(member)))).collect()
        }
        Found::Value(Cow::Owned(Value::Array(items))) => {
            items.into_iter().enumerate().map(|(i, item)| (i.to_string(), Found::from(Some(item)))).collect()
        }
        _ => Vec::new(),
    }
}
