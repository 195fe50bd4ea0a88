//! The condition as a tree, the shape that Segment's editors read and write.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::eval::Compiled;
use super::{MAX_COMPARISONS, MAX_DEPTH, ParseError};
use crate::Problem;
use crate::problem::{self, kind};

/// A comparison, or a group of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Conditions joined by one word.
    Group {
        /// The word.
        operator: Junction,
        /// What it joins; at least one.
        children: Vec<Condition>,
    },
    /// One field against one value.
    Compare {
        /// The field of the event.
        field: Field,
        /// How it is compared.
        operator: Operator,
        /// With what; none for `exists`, `is_true` and their opposites.
        value: Option<Scalar>,
    },
}

/// How the children of a group combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Junction {
    /// All hold.
    And,
    /// At least one holds.
    Or,
    /// Not all hold. Ours: `!( … )` of the documented language, which the original tree cannot say.
    Not,
}

/// The field of an event that a comparison looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// `type`: track, identify, page, screen, group, alias.
    Type,
    /// `event`: the name of a track call.
    Event,
    /// `name`: the name of a page or screen.
    Name,
    /// `userId`.
    UserId,
    /// A member of `properties`, dots for nesting.
    Property(String),
    /// A member of `traits`.
    Trait(String),
    /// A member of `context`.
    Context(String),
}

/// The fixed value of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A number.
    Number(serde_json::Number),
    /// True or false.
    Bool(bool),
}

macro_rules! operators {
    ($($variant:ident $word:literal $doc:literal),+ $(,)?) => {
        /// How a comparison compares. The words are those of the JSON tree.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operator { $(#[doc = $doc] $variant),+ }

        impl Operator {
            /// Every operator, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of the JSON tree.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The operator of that word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

operators! {
    Equal "=" "The same text.",
    NotEqual "!=" "Anything but that text.",
    Less "<" "A smaller number.",
    LessOrEqual "<=" "A number at most that.",
    Greater ">" "A greater number.",
    GreaterOrEqual ">=" "A number at least that.",
    NumberEquals "number_equals" "The same number.",
    NumberNotEquals "number_not_equals" "Another number.",
    Contains "contains" "A text with that text in it.",
    NotContains "not_contains" "A text without that text in it.",
    StartsWith "starts_with" "A text that starts so.",
    NotStartsWith "not_starts_with" "A text that starts otherwise.",
    EndsWith "ends_with" "A text that ends so.",
    NotEndsWith "not_ends_with" "A text that ends otherwise.",
    Exists "exists" "Neither missing nor null.",
    NotExists "not_exists" "Missing or null.",
    IsTrue "is_true" "The boolean true.",
    IsFalse "is_false" "The boolean false.",
    Matches "matches" "A text of that glob pattern. Ours.",
    NotMatches "not_matches" "A text of another shape. Ours.",
    Includes "includes" "A list with that value in it. Ours.",
}

impl Operator {
    /// Whether the operator compares with a value.
    #[must_use]
    pub fn takes_value(self) -> bool {
        !matches!(self, Self::Exists | Self::NotExists | Self::IsTrue | Self::IsFalse)
    }

    /// Whether the value must be a number.
    pub(super) fn wants_number(self) -> bool {
        matches!(
            self,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual | Self::NumberEquals | Self::NumberNotEquals
        )
    }
}

impl Junction {
    /// The word of the JSON tree.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
        }
    }
}

impl Field {
    /// The `type` of the JSON tree and, for a member, its `name`.
    fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Type => ("event-type", None),
            Self::Event => ("event", None),
            Self::Name => ("name", None),
            Self::UserId => ("userId", None),
            Self::Property(name) => ("event-property", Some(name)),
            Self::Trait(name) => ("event-trait", Some(name)),
            Self::Context(name) => ("event-context", Some(name)),
        }
    }
}

impl Scalar {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Bool(flag) => Value::Bool(*flag),
        }
    }
}

impl Condition {
    /// Reads a condition from a document: text in the query language, or the JSON tree.
    ///
    /// # Errors
    /// Every mistake with its place, relative to `value`.
    pub fn from_json(value: &Value) -> Result<Self, Vec<Problem>> {
        match value {
            Value::String(text) => super::parse(text).map_err(|error: ParseError| vec![Problem::new("", error.to_string())]),
            Value::Object(_) => {
                let mut reader = Reader { problems: Vec::new(), comparisons: 0 };
                let read = reader.condition(value, "", 0);
                if reader.comparisons > MAX_COMPARISONS {
                    reader.problems.push(Problem::new("", format!("a condition has at most {MAX_COMPARISONS} comparisons")));
                }
                match read {
                    Some(condition) if reader.problems.is_empty() => Ok(condition),
                    _ => Err(reader.problems),
                }
            }
            other => Err(vec![Problem::new(
                "",
                format!("a condition is a text such as `type = \"track\"` or its JSON tree, not {}", kind(other)),
            )]),
        }
    }

    /// The same condition, ready to be evaluated.
    ///
    /// # Errors
    /// Every comparison that makes no sense, such as `<` with a text.
    pub fn compile(&self) -> Result<Compiled, Vec<Problem>> {
        super::eval::compile(self)
    }
}

struct Reader {
    problems: Vec<Problem>,
    comparisons: usize,
}

impl Reader {
    fn wrong<T>(&mut self, path: &str, message: impl Into<String>) -> Option<T> {
        self.problems.push(Problem::new(path, message));
        None
    }

    fn condition(&mut self, value: &Value, path: &str, depth: usize) -> Option<Condition> {
        let Value::Object(node) = value else {
            return self.wrong(path, format!("expected a condition object, found {}", kind(value)));
        };
        if depth > MAX_DEPTH {
            return self.wrong(path, format!("groups nest at most {MAX_DEPTH} deep"));
        }
        match node.get("type").and_then(Value::as_str) {
            Some("group") => self.group(node, path, depth),
            Some(word) => self.comparison(node, word, path),
            None => self.wrong(
                &problem::key(path, "type"),
                "expected `group`, `event-type`, `event`, `name`, `userId`, `event-property`, `event-trait` or `event-context`",
            ),
        }
    }

    fn group(&mut self, node: &Map<String, Value>, path: &str, depth: usize) -> Option<Condition> {
        self.only(node, &["type", "operator", "children"], path);
        let operator = match node.get("operator").and_then(Value::as_str) {
            Some("and") => Some(Junction::And),
            Some("or") => Some(Junction::Or),
            Some("not") => Some(Junction::Not),
            _ => self.wrong(&problem::key(path, "operator"), "expected `and`, `or` or `not`"),
        };
        let at = problem::key(path, "children");
        let Some(Value::Array(items)) =
            node.get("children").filter(|children| children.as_array().is_some_and(|items| !items.is_empty()))
        else {
            return self.wrong(&at, "expected a list with at least one condition");
        };
        let children: Vec<Option<Condition>> =
            items.iter().enumerate().map(|(i, child)| self.condition(child, &problem::index(&at, i), depth + 1)).collect();
        Some(Condition::Group { operator: operator?, children: children.into_iter().collect::<Option<_>>()? })
    }

    fn comparison(&mut self, node: &Map<String, Value>, word: &str, path: &str) -> Option<Condition> {
        self.comparisons += 1;
        let name = node.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned);
        let named = matches!(word, "event-property" | "event-trait" | "event-context");
        self.only(node, if named { &["type", "name", "operator", "value"] } else { &["type", "operator", "value"] }, path);
        let field = match (word, name) {
            ("event-type", _) => Some(Field::Type),
            ("event", _) => Some(Field::Event),
            ("name", _) => Some(Field::Name),
            ("userId", _) => Some(Field::UserId),
            ("event-property", Some(name)) => Some(Field::Property(name)),
            ("event-trait", Some(name)) => Some(Field::Trait(name)),
            ("event-context", Some(name)) => Some(Field::Context(name)),
            _ if named => self.wrong(&problem::key(path, "name"), "expected the name of the field, such as `total`"),
            _ => self.wrong(&problem::key(path, "type"), format!("`{}` is no kind of condition", problem::clip(word, 40))),
        };
        let operator = match node.get("operator").and_then(Value::as_str).and_then(Operator::from_word) {
            Some(operator) => Some(operator),
            None => {
                let words: Vec<&str> = Operator::ALL.iter().map(|operator| operator.word()).collect();
                self.wrong(&problem::key(path, "operator"), format!("expected one of {}", words.join(", ")))
            }
        };
        let value = match node.get("value") {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(Scalar::Text(text.clone()))),
            Some(Value::Number(number)) => Some(Some(Scalar::Number(number.clone()))),
            Some(Value::Bool(flag)) => Some(Some(Scalar::Bool(*flag))),
            Some(other) => {
                self.wrong(&problem::key(path, "value"), format!("expected a text, a number or a boolean, found {}", kind(other)))
            }
        };
        Some(Condition::Compare { field: field?, operator: operator?, value: value? })
    }

    fn only(&mut self, node: &Map<String, Value>, known: &[&str], path: &str) {
        for name in node.keys().filter(|name| !known.contains(&name.as_str())) {
            self.problems.push(Problem::new(
                problem::key(path, name),
                format!("unknown key; a condition of this type has {}", known.join(", ")),
            ));
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Group { operator, children } => {
                let mut map = serializer.serialize_map(Some(3))?;
                map.serialize_entry("type", "group")?;
                map.serialize_entry("operator", operator.word())?;
                map.serialize_entry("children", children)?;
                map.end()
            }
            Self::Compare { field, operator, value } => {
                let (kind, name) = field.parts();
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("type", kind)?;
                if let Some(name) = name {
                    map.serialize_entry("name", name)?;
                }
                map.serialize_entry("operator", operator.word())?;
                if let Some(value) = value {
                    map.serialize_entry("value", &value.to_json())?;
                }
                map.end()
            }
        }
    }
}

impl<'de> serde::Deserialize<'de> for Condition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(|problems| {
            let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
            serde::de::Error::custom(text.join("; "))
        })
    }
}
