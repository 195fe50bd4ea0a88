//! Columns: which are taken where the map says nothing, and which the map names and the file does not have.

use domain::Project;
use serde_json::{Map, Value, json};

use super::document::{Batch, Operation};
use crate::Problem;
use crate::mapping::Mapping;
use crate::problem;

/// The person's columns: the part of the contact, and what the column is called.
const PERSON: [(&str, &str); 4] =
    [("external_id", "contact_external_id"), ("email", "email"), ("name", "name"), ("phone", "phone")];
/// How a pass is found: the way, and what the column is called.
const FIND: [(&str, &str); 4] =
    [("pass", "pass_id"), ("external_id", "external_id"), ("contact", "contact_external_id"), ("email", "email")];

/// The map with what it leaves out taken from columns of that name.
pub(super) fn fill(batch: &Batch, project: &Project, known: Option<&[String]>) -> Map<String, Value> {
    let mut fill = Fill { map: batch.map.clone(), known };
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

    fn find(&mut self) {
        let ways: Map<String, Value> =
            FIND.iter().filter(|(_, column)| self.has(column)).map(|(way, column)| ((*way).to_owned(), path(column))).collect();
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
            let value = if self.has(column) { path(column) } else { Value::Null };
            parts.entry(part).or_insert(value);
        }
        self.map.insert("contact".to_owned(), parts.into());
    }

    /// Members of an object by their key, or by their key with what they are in front.
    fn members<'k>(&mut self, object: &str, keys: impl Iterator<Item = &'k str>) {
        let mut members = match self.map.get(object) {
            None => Map::new(),
            Some(Value::Object(members)) if !members.keys().any(|key| key.starts_with('@')) => members.clone(),
            Some(_) => return,
        };
        for key in keys {
            let full = format!("{object}.{key}");
            let value = match (self.known, self.has(&full), self.has(key)) {
                (None, ..) => json!({"@coalesce": [path(&full), path(key)]}),
                (_, true, _) => path(&full),
                (_, _, true) => path(key),
                _ => continue,
            };
            members.entry(key).or_insert(value);
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
    let quote = if column.contains('\'') { '"' } else { '\'' };
    json!({"@path": format!("$.[{quote}{column}{quote}]")})
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
    let there_are = || known.map(|known| format!("; there are {}", problem::clip(&known.join(", "), 400))).unwrap_or_default();
    if batch.operation == Operation::Issue {
        let of_contact = batch.map.get("contact").and_then(|contact| contact.get("external_id")).is_some_and(|id| !id.is_null());
        let found = if batch.match_columns { has("external_id") } else { of_contact };
        if !found && !batch.map.contains_key("external_id") {
            let no_column = if batch.match_columns { "the file has no column `external_id`: " } else { "" };
            let message = "map the column that tells passes apart, or write null for passes without an external id";
            problems.push(Problem::new("map.external_id", format!("{no_column}{message}{}", there_are())));
        }
    } else if batch.match_columns && !FIND.iter().any(|(_, column)| has(column)) && !batch.map.contains_key("find") {
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
