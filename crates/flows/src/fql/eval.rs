//! A condition compiled to fixed comparisons, and their verdict on an event.

use serde_json::Value;

use super::ast::{Condition, Field, Junction, Operator, Scalar};
use super::glob::Glob;
use super::{MAX_COMPARISONS, MAX_DEPTH};
use crate::path::Path;
use script::js;

use crate::{Problem, problem};

/// A condition ready to be evaluated. Cost: the event's values that it names, once each.
#[derive(Debug, Clone)]
pub struct Compiled {
    root: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Group(Junction, Vec<Node>),
    Compare { path: Path, test: Test, shown: String },
}

#[derive(Debug, Clone)]
enum Test {
    Text { wanted: String, equal: bool },
    NotBool(bool),
    Number { wanted: f64, order: Order },
    Holds { part: Part, negated: bool },
    Includes(Value),
    Exists(bool),
    Is(bool),
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Equal,
    Other,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Debug, Clone)]
enum Part {
    Inside(String),
    Start(String),
    End(String),
    Glob(Glob),
}

pub(super) fn compile(condition: &Condition) -> Result<Compiled, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut comparisons = 0;
    let root = node(condition, "", 0, &mut comparisons, &mut problems);
    if comparisons > MAX_COMPARISONS {
        problems.push(Problem::new("", format!("a condition has at most {MAX_COMPARISONS} comparisons")));
    }
    match root {
        Some(root) if problems.is_empty() => Ok(Compiled { root }),
        _ => Err(problems),
    }
}

fn node(condition: &Condition, path: &str, depth: usize, comparisons: &mut usize, problems: &mut Vec<Problem>) -> Option<Node> {
    match condition {
        Condition::Group { operator, children } => {
            let at = problem::key(path, "children");
            if depth > MAX_DEPTH || children.is_empty() {
                problems
                    .push(Problem::new(path, format!("a group has at least one condition and nests at most {MAX_DEPTH} deep")));
                return None;
            }
            let nodes: Vec<Option<Node>> = children
                .iter()
                .enumerate()
                .map(|(i, child)| node(child, &problem::index(&at, i), depth + 1, comparisons, problems))
                .collect();
            Some(Node::Group(*operator, nodes.into_iter().collect::<Option<_>>()?))
        }
        Condition::Compare { field, operator, value } => {
            *comparisons += 1;
            match test(*operator, value.as_ref()) {
                Ok(test) => {
                    let shown = condition.to_text().unwrap_or_else(|_| format!("the comparison by {}", operator.word()));
                    Some(Node::Compare { path: place(field), test, shown })
                }
                Err(message) => {
                    problems.push(Problem::new(problem::key(path, "value"), message));
                    None
                }
            }
        }
    }
}

fn place(field: &Field) -> Path {
    match field {
        Field::Type => Path::of_field("type"),
        Field::Event => Path::of_field("event"),
        Field::Name => Path::of_field("name"),
        Field::UserId => Path::of_field("userId"),
        Field::Property(name) => Path::of_field(&format!("properties.{name}")),
        Field::Trait(name) => Path::of_field(&format!("traits.{name}")),
        Field::Context(name) => Path::of_field(&format!("context.{name}")),
    }
}

/// The number that a scalar stands for; a text must be one that reads as a plain decimal.
pub(super) fn number_of(scalar: &Scalar) -> Option<f64> {
    let number = match scalar {
        Scalar::Number(number) => number.as_f64(),
        Scalar::Text(text) if text.trim().starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => {
            text.trim().parse().ok()
        }
        Scalar::Text(_) | Scalar::Bool(_) => None,
    };
    number.filter(|number| number.is_finite())
}

fn test(operator: Operator, value: Option<&Scalar>) -> Result<Test, String> {
    match operator {
        Operator::Exists => return Ok(Test::Exists(true)),
        Operator::NotExists => return Ok(Test::Exists(false)),
        Operator::IsTrue => return Ok(Test::Is(true)),
        Operator::IsFalse => return Ok(Test::Is(false)),
        _ => {}
    }
    let value = value.ok_or_else(|| format!("`{}` needs a value to compare with", operator.word()))?;
    let text = || js::string(&value.to_json());
    let number = |order| {
        let wanted =
            number_of(value).ok_or_else(|| format!("`{}` compares with a number, found {}", operator.word(), value.to_json()))?;
        Ok(Test::Number { wanted, order })
    };
    let holds = |part, negated| Ok(Test::Holds { part, negated });
    match operator {
        Operator::Equal => Ok(Test::Text { wanted: text(), equal: true }),
        Operator::NotEqual => match value {
            Scalar::Bool(flag) => Ok(Test::NotBool(*flag)),
            _ => Ok(Test::Text { wanted: text(), equal: false }),
        },
        Operator::Less => number(Order::Less),
        Operator::LessOrEqual => number(Order::AtMost),
        Operator::Greater => number(Order::Greater),
        Operator::GreaterOrEqual => number(Order::AtLeast),
        Operator::NumberEquals => number(Order::Equal),
        Operator::NumberNotEquals => number(Order::Other),
        Operator::Contains => holds(Part::Inside(text()), false),
        Operator::NotContains => holds(Part::Inside(text()), true),
        Operator::StartsWith => holds(Part::Start(text()), false),
        Operator::NotStartsWith => holds(Part::Start(text()), true),
        Operator::EndsWith => holds(Part::End(text()), false),
        Operator::NotEndsWith => holds(Part::End(text()), true),
        Operator::Matches => holds(Part::Glob(Glob::parse(&text())?), false),
        Operator::NotMatches => holds(Part::Glob(Glob::parse(&text())?), true),
        Operator::Includes => Ok(Test::Includes(value.to_json())),
        Operator::Exists | Operator::NotExists | Operator::IsTrue | Operator::IsFalse => Err("takes no value".to_owned()),
    }
}

impl Compiled {
    /// Whether the condition holds for the event.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        self.root.holds(event)
    }

    /// Why the condition does not hold: the first comparison that decided, and what the event has there. None: it holds.
    #[must_use]
    pub fn why_not(&self, event: &Value) -> Option<String> {
        self.root.why_not(event, true)
    }

    /// As [`Compiled::why_not`], without saying any value of the event: for traces that are kept.
    #[must_use]
    pub fn which_not(&self, event: &Value) -> Option<String> {
        self.root.why_not(event, false)
    }
}

impl Node {
    fn holds(&self, event: &Value) -> bool {
        match self {
            Self::Group(Junction::And, children) => children.iter().all(|child| child.holds(event)),
            Self::Group(Junction::Or, children) => children.iter().any(|child| child.holds(event)),
            Self::Group(Junction::Not, children) => !children.iter().all(|child| child.holds(event)),
            Self::Compare { path, test, .. } => test.holds(path.get(event).as_deref()),
        }
    }

    fn why_not(&self, event: &Value, values: bool) -> Option<String> {
        if self.holds(event) {
            return None;
        }
        Some(match self {
            Self::Group(Junction::And, children) => {
                children.iter().find_map(|child| child.why_not(event, values)).unwrap_or_default()
            }
            Self::Group(Junction::Or, children) => {
                let reasons: Vec<String> = children.iter().filter_map(|child| child.why_not(event, values)).collect();
                reasons.join("; and ")
            }
            Self::Group(Junction::Not, _) => "what `!( … )` excludes is the case".to_owned(),
            Self::Compare { path, shown, .. } => {
                let found = match path.get(event) {
                    None => "missing".to_owned(),
                    Some(value) if !values => problem::kind(&value).to_owned(),
                    Some(value) => problem::clip(&value.to_string(), 80),
                };
                format!("`{shown}` does not hold: {} is {found}", path.keys().join("."))
            }
        })
    }
}

impl Test {
    fn holds(&self, actual: Option<&Value>) -> bool {
        match self {
            Self::Text { wanted, equal } => (actual.and_then(Value::as_str) == Some(wanted)) == *equal,
            Self::NotBool(flag) => {
                actual != Some(&Value::Bool(*flag))
                    && actual.and_then(Value::as_str) != Some(if *flag { "true" } else { "false" })
            }
            Self::Number { wanted, order } => actual
                .filter(|value| value.is_number())
                .and_then(Value::as_f64)
                .is_some_and(|actual| order.holds(actual, *wanted)),
            Self::Holds { part, negated } => actual.and_then(Value::as_str).is_some_and(|actual| part.holds(actual) != *negated),
            Self::Includes(wanted) => {
                actual.and_then(Value::as_array).is_some_and(|items| items.iter().any(|item| same(item, wanted)))
            }
            Self::Exists(wanted) => actual.is_some_and(|value| !value.is_null()) == *wanted,
            Self::Is(wanted) => actual == Some(&Value::Bool(*wanted)),
        }
    }
}

impl Order {
    // Exact equality is the rule of the language: numbers are compared as they stand in the event.
    fn holds(self, actual: f64, wanted: f64) -> bool {
        match self {
            Self::Equal => actual == wanted,
            Self::Other => actual != wanted,
            Self::Less => actual < wanted,
            Self::AtMost => actual <= wanted,
            Self::Greater => actual > wanted,
            Self::AtLeast => actual >= wanted,
        }
    }
}

impl Part {
    fn holds(&self, actual: &str) -> bool {
        match self {
            Self::Inside(wanted) => actual.contains(wanted.as_str()),
            Self::Start(wanted) => actual.starts_with(wanted.as_str()),
            Self::End(wanted) => actual.ends_with(wanted.as_str()),
            Self::Glob(glob) => glob.matches(actual),
        }
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}
