//! Field mappings: JSON that says how an event becomes the values a step needs.
//!
//! The language is Segment's mapping kit: raw values with directives among them, objects with one `@`-key, such as
//! `{"@path": "$.properties.total"}` (`packages/core/src/mapping-kit` of segmentio/action-destinations). A directive that
//! finds nothing removes its field; null stays null. Understood: `@path`, `@template`, `@literal`, `@if` (`exists`,
//! `blank`), `@arrayPath`, `@case`, `@replace`, `@merge`, `@transform`, `@flatten`, `@json`, `@excludeWhenNull`, and one of
//! our own, `@coalesce`: the first of a list that is neither missing nor null. `@jq` is the way out where these are not enough:
//! the first value that a program in jq makes of what the mapping is given, within the limits of [`script::jq`].
//!
//! Two other ways of writing that people bring along are taken as they are: a list of `{"from": "properties.x", "to":
//! "fields.y"}` (RudderStack), and plain texts with a path or placeholders, `"$.properties.x"` or `"Hi {{traits.name}}"`
//! (Zapier). Inside `@literal` a text is just that text.
//!
//! A mapping is compiled once ([`Mapping::compile`]) and answers in time and space that its [limits](MAX_OUTPUT_BYTES)
//! bound, whatever the event.

mod compile;
mod resolve;
mod template;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use template::Template;

use script::jq::Jq;

use crate::Problem;
use crate::path::Path;

/// How deep a mapping may nest.
pub const MAX_DEPTH: usize = 32;
/// The most values and directives in one mapping.
pub const MAX_NODES: usize = 5_000;
/// The longest pattern and replacement of `@replace`, in characters.
pub const MAX_REPLACE_CHARS: usize = 100;
/// The most values that resolving may make or copy.
pub const MAX_OUTPUT_VALUES: usize = 100_000;
/// The most bytes of text that resolving may make or copy.
pub const MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;

/// How strictly a document is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// It is about to be saved or is tried: what can never do what its author meant is refused.
    Saving,
    /// It was saved, perhaps when less was refused: what worked then goes on working.
    Stored,
}

/// A mapping ready to be resolved.
#[derive(Debug, Clone)]
pub struct Mapping {
    plan: Plan,
}

impl Mapping {
    /// Compiles a mapping.
    ///
    /// # Errors
    /// Every mistake with its place, relative to `mapping`.
    pub fn compile(mapping: &Value) -> Result<Self, Vec<Problem>> {
        Self::compile_by(mapping, Rules::Saving)
    }

    /// Compiles a mapping as strictly as is asked for.
    ///
    /// # Errors
    /// Every mistake with its place, relative to `mapping`.
    pub fn compile_by(mapping: &Value, rules: Rules) -> Result<Self, Vec<Problem>> {
        compile::compile(mapping, rules).map(|plan| Self { plan })
    }

    /// What the mapping makes of a payload. None: nothing, as when a path leads nowhere.
    ///
    /// # Errors
    /// When the result outgrows [`MAX_OUTPUT_VALUES`] or [`MAX_OUTPUT_BYTES`], or a directive that is computed from the
    /// payload (a path, a template) is no text.
    pub fn resolve(&self, payload: &Value) -> Result<Option<Value>, Problem> {
        resolve::resolve(&self.plan, payload)
    }

    /// The keys of the result, when it is an object whose keys are fixed.
    #[must_use]
    pub fn keys(&self) -> Option<Vec<&str>> {
        match &self.plan {
            Plan::Raw(Value::Object(members)) => Some(members.keys().map(String::as_str).collect()),
            Plan::Object(members) => Some(members.iter().map(|(name, _)| name.as_str()).collect()),
            _ => None,
        }
    }

    /// Of the result, when it is an object whose keys are fixed, the members that are the same for every payload.
    #[must_use]
    pub fn constants(&self) -> Vec<(&str, &Value)> {
        match &self.plan {
            Plan::Raw(Value::Object(members)) => members.iter().map(|(name, value)| (name.as_str(), value)).collect(),
            Plan::Object(members) => members
                .iter()
                .filter_map(|(name, plan)| if let Plan::Raw(value) = plan { Some((name.as_str(), value)) } else { None })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The paths of the event that the mapping looks at, for messages.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.plan.each_path(&mut |path| found.push(path.keys().join(".")));
        found
    }

    /// The members of the event that the mapping looks at: the first keys of its paths, each once.
    #[must_use]
    pub fn roots(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        self.plan.each_path(&mut |path| {
            let root = path.keys().first().filter(|root| !found.contains(root)).cloned();
            found.extend(root);
        });
        found
    }

    /// Tells every path that the mapping looks at, by its keys. What a program or a computed path looks at is not known.
    pub fn tell_paths(&self, tell: &mut impl FnMut(&[String])) {
        self.plan.each_path(&mut |path| tell(path.keys()));
    }

    /// The value, when it is the same for every payload.
    #[must_use]
    pub fn constant(&self) -> Option<&Value> {
        match &self.plan {
            Plan::Raw(value) => Some(value),
            _ => None,
        }
    }
}

/// A compiled mapping.
#[derive(Debug, Clone)]
enum Plan {
    Raw(Value),
    Object(Vec<(String, Plan)>),
    List(Vec<Plan>),
    Path(Path),
    PathOf(Box<Plan>),
    Template(Template),
    TemplateOf(Box<Plan>),
    If { test: Box<Plan>, blank: bool, then: Option<Box<Plan>>, otherwise: Option<Box<Plan>> },
    Coalesce(Vec<Plan>),
    Case { upper: bool, value: Box<Plan> },
    Replace { value: Box<Plan>, rules: Vec<Replacement>, ignore_case: bool, all: bool },
    ArrayPath { root: Box<Plan>, shape: Option<Box<Plan>> },
    Merge { objects: Vec<Plan>, first_wins: bool },
    Transform { apply: Box<Plan>, mapping: Box<Plan> },
    Flatten { value: Box<Plan>, separator: String, omit_arrays: bool },
    Jq(Jq),
    Encode(Box<Plan>),
    Decode(Box<Plan>),
    ExcludeWhenNull(Box<Plan>),
}

impl Plan {
    fn each_path(&self, tell: &mut dyn FnMut(&Path)) {
        match self {
            // What a program looks at is not known.
            Self::Raw(_) | Self::Jq(_) => {}
            Self::Path(path) => tell(path),
            Self::Template(template) => template.paths().for_each(tell),
            Self::Object(members) => members.iter().for_each(|(_, plan)| plan.each_path(tell)),
            Self::List(plans) | Self::Coalesce(plans) | Self::Merge { objects: plans, .. } => {
                plans.iter().for_each(|plan| plan.each_path(tell));
            }
            Self::If { test, then, otherwise, .. } => {
                test.each_path(tell);
                then.iter().chain(otherwise).for_each(|plan| plan.each_path(tell));
            }
            Self::PathOf(plan)
            | Self::TemplateOf(plan)
            | Self::Encode(plan)
            | Self::Decode(plan)
            | Self::ExcludeWhenNull(plan) => {
                plan.each_path(tell);
            }
            Self::Case { value, .. } | Self::Replace { value, .. } | Self::Flatten { value, .. } => value.each_path(tell),
            // What the rest looks at inside is relative to what this finds.
            Self::ArrayPath { root: plan, .. } | Self::Transform { apply: plan, .. } => plan.each_path(tell),
        }
    }
}

/// One pattern of `@replace` and what takes its place.
#[derive(Debug, Clone)]
struct Replacement {
    pattern: Vec<char>,
    with: Vec<Insert>,
}

/// A piece of a replacement.
#[derive(Debug, Clone)]
enum Insert {
    Text(String),
    Match,
}
