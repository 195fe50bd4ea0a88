//! Columns: which are taken where the map says nothing, and which the map names and the file does not have.

use std::collections::{BTreeMap, BTreeSet};

use domain::Project;
use serde_json::{Map, Value, json};

use super::document::{Batch, Operation};
use super::report::is_note;
use super::rows::Format;
use crate::Problem;
use crate::mapping::Mapping;
use crate::problem;

/// The person's columns: the part of the contact, and what the column is called.
const PERSON: [(&str, &str); 4] =
    [("external_id", "contact_external_id"), ("email", "email"), ("name", "name"), ("phone", "phone")];
/// How a pass is found: the way, what the column is called, and the part of the contact that it is.
const FIND: [(&str, &str, Option<&str>); 4] = [
    ("pass", "pass_id", None),
    ("external_id", "external_id", None),
    ("contact", "contact_external_id", Some("external_id")),
    ("email", "email", Some("email")),
];
/// What the columns of a person's traits begin with.
const TRAITS: &str = "contact.traits.";

/// The map with what it leaves out taken from columns of that name.
pub(super) fn fill(batch: &Batch, project: &Project, known: Option<&[String]>) -> Map<String, Value> {
    let mut fill = Fill { map: batch.map.clone(), known, objects: batch.format != Format::Csv };
    match batch.operation {
        Operation::Issue => {
            fill.must("external_id");
            fill.issue_or_update(project);
            fill.may("inactive", "inactive");
        }
        Operation::Update => {
            fill.find();
            fill.issue_or_update(project);
        }
        Operation::Revoke => {
            fill.find();
            fill.may("reason", "reason");
        }
        Operation::Delete => fill.find(),
        Operation::Notify => {
            fill.find();
            fill.map.entry("message").or_insert_with(|| json!("{{ message }}"));
        }
    }
    fill.map
}

struct Fill<'f> {
    map: Map<String, Value>,
    known: Option<&'f [String]>,
    /// Whether a cell may be an object.
    objects: bool,
}

impl Fill<'_> {
    /// Whether the file has such a column, or may have it.
    fn has(&self, column: &str) -> bool {
        self.known.is_none_or(|known| known.iter().any(|name| name == column))
    }

    fn must(&mut self, key: &str) {
        self.map.entry(key).or_insert_with(|| path(key));
    }

    fn may(&mut self, key: &str, column: &str) {
        if self.has(column) {
            self.must_from(key, column);
        }
    }

    fn must_from(&mut self, key: &str, column: &str) {
        self.map.entry(key).or_insert_with(|| path(column));
    }

    /// What says a member of an object: a column of its full name, a member of an object in the row, or a column of its short
    /// name, as in what the API takes and shows.
    fn member(&self, object: &str, key: &str, short: &str) -> Option<Value> {
        let full = format!("{object}.{key}");
        match (self.known, self.has(&full), self.has(short)) {
            (None, ..) => Some(json!({"@coalesce": [path(&full), path_within(object, key), path(short)]})),
            (_, true, _) => Some(path(&full)),
            (_, _, true) => Some(path(short)),
            _ => (self.objects && self.has(object)).then(|| path_within(object, key)),
        }
    }

    fn find(&mut self) {
        let way = |(way, column, part): (&str, &str, Option<&str>)| {
            let value = match part {
                Some(part) => self.member("contact", part, column)?,
                None => self.has(column).then(|| path(column))?,
            };
            Some((way.to_owned(), value))
        };
        let ways: Map<String, Value> = FIND.into_iter().filter_map(way).collect();
        // Without any, what is wrong is said of the column that people mean.
        self.map
            .entry("find")
            .or_insert_with(|| if ways.is_empty() { json!({"external_id": path("external_id")}) } else { ways.into() });
    }

    fn issue_or_update(&mut self, project: &Project) {
        self.contact();
        for key in ["variant", "starts_at", "uses_limit"] {
            self.may(key, key);
        }
        if !self.map.contains_key("expires_in") {
            self.may("expires_at", "expires_at");
        }
        self.members("fields", project.fields.iter().map(|field| field.key.as_str()));
        self.members("balances", project.balances.keys().map(String::as_str));
    }

    /// What a flow would look for in an event is not looked for in a row: every part is said.
    fn contact(&mut self) {
        let mut parts = match self.map.get("contact") {
            None => Map::new(),
            Some(Value::Object(parts)) if !parts.keys().any(|key| key.starts_with('@')) => parts.clone(),
            Some(_) => return,
        };
        for (part, column) in PERSON {
            parts.entry(part).or_insert_with(|| self.member("contact", part, column).unwrap_or_default());
        }
        if let Some(traits) = self.traits() {
            parts.entry("traits").or_insert(traits);
        }
        self.map.insert("contact".to_owned(), parts.into());
    }

    fn traits(&self) -> Option<Value> {
        let Some(known) = self.known else { return Some(path_within("contact", "traits")) };
        let of = |column: &String| Some((column.strip_prefix(TRAITS)?.to_owned(), path(column)));
        let traits: Map<String, Value> = known.iter().filter_map(of).collect();
        if traits.is_empty() {
            return (self.objects && self.has("contact")).then(|| path_within("contact", "traits"));
        }
        Some(traits.into())
    }

    /// Members of an object by their key, or by their key with what they are in front.
    fn members<'k>(&mut self, object: &str, keys: impl Iterator<Item = &'k str>) {
        let mut members = match self.map.get(object) {
            None => Map::new(),
            Some(Value::Object(members)) if !members.keys().any(|key| key.starts_with('@')) => members.clone(),
            Some(_) => return,
        };
        for key in keys {
            if let Some(value) = self.member(object, key, key) {
                members.entry(key).or_insert(value);
            }
        }
        if !members.is_empty() {
            self.map.insert(object.to_owned(), members.into());
        }
    }
}

/// Puts the cell of a column at a place of a map.
pub(super) fn take_from(map: &mut Map<String, Value>, target: &str, column: &str) -> Result<(), String> {
    let value = match target {
        "message" if column.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => json!(format!("{{{{ {column} }}}}")),
        "message" => return Err(format!("`{column}` cannot stand in a message: rename the column, or give a file with a map")),
        "expires_in" => json!(column),
        _ => path(column),
    };
    let mut place = map;
    let mut keys = target.split('.').peekable();
    while let Some(key) = keys.next() {
        if keys.peek().is_none() {
            place.insert(key.to_owned(), value);
            return Ok(());
        }
        let inner = place.entry(key).or_insert_with(|| Map::new().into());
        place = inner.as_object_mut().ok_or_else(|| format!("`{target}` is within `{key}`, which is mapped already"))?;
    }
    Ok(())
}

/// The cell of a column, whatever it is called.
fn path(column: &str) -> Value {
    json!({"@path": format!("$.{}", quoted(column))})
}

/// A member of an object that a row has.
fn path_within(object: &str, key: &str) -> Value {
    json!({"@path": format!("$.{}{}", quoted(object), quoted(key))})
}

fn quoted(key: &str) -> String {
    let quote = if key.contains('\'') { '"' } else { '\'' };
    format!("[{quote}{key}{quote}]")
}

/// Whether a program or a computed path is in a mapping.
fn is_computed(mapping: &Value) -> bool {
    match mapping {
        Value::Object(members) => members.iter().any(|(key, value)| {
            key == "@jq" || matches!(key.as_str(), "@path" | "@template") && value.is_object() || is_computed(value)
        }),
        Value::Array(all) => all.iter().any(is_computed),
        _ => false,
    }
}

/// What a map takes from rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    /// Columns, with the members that are taken of those that are objects; none where all of it is.
    columns: BTreeMap<String, Option<BTreeSet<String>>>,
    /// Whether anything may be: a program looks at rows.
    all: bool,
}

impl Taken {
    pub(super) fn by(map: &Map<String, Value>) -> Self {
        let mut taken = Self::default();
        map.iter().for_each(|(key, value)| taken.add(key, value));
        taken
    }

    fn add(&mut self, key: &str, value: &Value) {
        match value {
            // A text for the holder is no mapping: each of its words may be a column.
            Value::String(text) if key == "message" => {
                let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
                words.for_each(|word| self.take(&[word.to_owned()]));
            }
            Value::Object(members) if !members.keys().any(|key| key.starts_with('@')) => {
                members.iter().for_each(|(key, value)| self.add(key, value));
            }
            other => match Mapping::compile(other) {
                Ok(mapping) if !is_computed(other) => mapping.tell_paths(&mut |keys| self.take(keys)),
                _ => self.all = true,
            },
        }
    }

    fn take(&mut self, keys: &[String]) {
        match keys {
            [] => self.all = true,
            [column] => {
                self.columns.insert(column.clone(), None);
            }
            [column, member, ..] => {
                if let Some(members) = self.columns.entry(column.clone()).or_insert_with(|| Some(BTreeSet::new())) {
                    members.insert(member.clone());
                }
            }
        }
    }

    /// Whether nothing takes a column.
    pub(super) fn leaves(&self, column: &str) -> bool {
        !self.all && !self.columns.contains_key(column) && !is_note(column)
    }

    /// Tells what nothing takes of a row: its members, and members of these that it takes only others of.
    pub(super) fn left_of(&self, row: &Value, tell: &mut impl FnMut(String)) {
        for (column, value) in row.as_object().into_iter().flatten().filter(|_| !self.all) {
            if self.leaves(column) {
                tell(column.clone());
            } else if let (Some(Some(taken)), Value::Object(members)) = (self.columns.get(column), value) {
                members.keys().filter(|key| !taken.contains(*key)).for_each(|key| tell(format!("{column}.{key}")));
            }
        }
    }
}

/// Tells of every column that the map names and the file does not have.
pub(super) fn missing(map: &Map<String, Value>, known: &[String], problems: &mut Vec<Problem>) {
    for (key, value) in map {
        missing_in(&problem::key("map", key), value, known, problems);
    }
}

fn missing_in(path: &str, value: &Value, known: &[String], problems: &mut Vec<Problem>) {
    if let Value::Object(members) = value
        && !members.keys().any(|key| key.starts_with('@'))
    {
        members.iter().for_each(|(key, value)| missing_in(&problem::key(path, key), value, known, problems));
        return;
    }
    let Ok(mapping) = Mapping::compile(value) else { return };
    for root in mapping.roots().into_iter().filter(|root| !known.contains(root)) {
        let message =
            format!("the file has no column `{}`; it has {}", problem::clip(&root, 80), problem::clip(&known.join(", "), 400));
        problems.push(Problem::new(path, message));
    }
}

/// Tells when neither the map nor a column says which pass a row is about. Passes that nothing tells apart would be issued once
/// more by every file of the same rows, so a batch that wants that says `null`; where columns are not matched, a pass has its
/// contact's external id unless told.
pub(super) fn unnamed(batch: &Batch, known: Option<&[String]>, problems: &mut Vec<Problem>) {
    let known = known.filter(|_| batch.match_columns);
    let has = |column: &str| known.is_none_or(|known| known.iter().any(|name| name == column));
    let has_part = |part: Option<&str>| {
        part.is_some_and(|part| has(&format!("contact.{part}")) || batch.format != Format::Csv && has("contact"))
    };
    let there_are = || known.map(|known| format!("; there are {}", problem::clip(&known.join(", "), 400))).unwrap_or_default();
    if batch.operation == Operation::Issue {
        let of_contact = batch.map.get("contact").and_then(|contact| contact.get("external_id")).is_some_and(|id| !id.is_null());
        let found = if batch.match_columns { has("external_id") } else { of_contact };
        if !found && !batch.map.contains_key("external_id") {
            let no_column = if batch.match_columns { "the file has no column `external_id`: " } else { "" };
            let message = "map the column that tells passes apart, or write null for passes without an external id";
            problems.push(Problem::new("map.external_id", format!("{no_column}{message}{}", there_are())));
        }
    } else if batch.match_columns
        && !FIND.iter().any(|(_, column, part)| has(column) || has_part(*part))
        && !batch.map.contains_key("find")
    {
        let message = "the file has no column `pass_id`, `external_id`, `contact_external_id` or `email`: map one of its columns";
        problems.push(Problem::new("map.find", format!("{message}{}", there_are())));
    }
}

/// The columns that the value at a place of the map looks at.
pub(super) fn behind(map: &Map<String, Value>, place: &str) -> Vec<String> {
    let mut at = None;
    let mut members = map;
    for key in place.split('.') {
        let Some(next) = members.get(key) else { break };
        at = Some(next);
        match next {
            Value::Object(inner) => members = inner,
            _ => break,
        }
    }
    at.and_then(|value| Mapping::compile(value).ok()).map(|mapping| mapping.roots()).unwrap_or_default()
}
