//! The batch as people write it.

use domain::Project;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{BatchPlan, columns, rows::Format};
use crate::Problem;
use crate::flow::{IfExists, Step, StepAction, check_step, from_yaml};
use crate::mapping::Rules;
use crate::problem;
use crate::strict::Strict;

/// A batch as it is written and stored. What it says is checked by [`Batch::check`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The project whose passes it is about: slug or id.
    pub project: String,
    /// What is done for each row.
    pub operation: Operation,
    /// Issue: what happens when the project has a pass of that external id: `update` (the default), `skip` or `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_exists: Option<IfExists>,
    /// Which columns become what: the values of a flow's step ([`crate::flow::Step`]), whose event is the row.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub map: Map<String, Value>,
    /// Whether what `map` leaves out is taken from the columns of that name.
    #[serde(default = "yes")]
    pub match_columns: bool,
    /// How the file is written.
    #[serde(default)]
    pub format: Format,
    /// CSV: what stands between cells, one character; found out from the first line where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The file's encoding, a label of the WHATWG Encoding Standard such as `windows-1252`; UTF-8 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// What an empty cell says: one of CSV, or a null of Parquet.
    #[serde(default)]
    pub empty_cells: EmptyCells,
}

/// What is done for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Issue a pass, or change the one of that external id.
    Issue,
    /// Change a pass.
    Update,
    /// Call a pass back.
    Revoke,
    /// Remove a pass.
    Delete,
    /// Tell a pass's holder something.
    Notify,
}

impl Operation {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Update => "update",
            Self::Revoke => "revoke",
            Self::Delete => "delete",
            Self::Notify => "notify",
        }
    }

    pub(super) const fn action(self) -> StepAction {
        match self {
            Self::Issue => StepAction::Issue,
            Self::Update => StepAction::Update,
            Self::Revoke => StepAction::Revoke,
            Self::Delete => StepAction::Delete,
            Self::Notify => StepAction::Notify,
        }
    }
}

/// What an empty cell says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyCells {
    /// Nothing: what it would set stays as it is.
    #[default]
    Ignore,
    /// Null: what it would set is removed.
    Clear,
}

fn yes() -> bool {
    true
}

/// Members of a step that a row decides, with those that a batch says for all rows left out.
const NOT_MAPPED: [&str; 5] = ["id", "action", "condition", "on_error", "if_exists"];

impl Batch {
    /// Reads a batch from its JSON document.
    ///
    /// # Errors
    /// The first key that is unknown, missing or of the wrong type, with its place.
    pub fn from_json(document: &Value) -> Result<Self, Problem> {
        read(document)
    }

    /// Reads a map from YAML.
    ///
    /// # Errors
    /// What is wrong, with its line where it can be found.
    pub fn map_of_yaml(text: &str) -> Result<Map<String, Value>, Problem> {
        match from_yaml(text)? {
            Value::Object(map) => Ok(map),
            other => Err(Problem::new(
                "",
                format!("expected an object with external_id, contact, fields …, found {}", problem::kind(&other)),
            )),
        }
    }

    /// Takes a value from a column: `fields.tier` from `Tier`.
    ///
    /// # Errors
    /// When that can only be said in a written map.
    pub fn take_from(map: &mut Map<String, Value>, target: &str, column: &str) -> Result<(), String> {
        columns::take_from(map, target, column)
    }

    /// Checks the batch against the organization's projects, and against the file's columns where they are known, and
    /// prepares it to run.
    ///
    /// What `map` leaves out is taken from columns of that name: `external_id`, `variant`, `starts_at`, `expires_at`,
    /// `uses_limit`, `inactive`, `reason`, `message`, `pass_id`; `contact_external_id`, `email`, `name` and `phone` of the
    /// contact, also as `contact.external_id`, `contact.email` and so on, with `contact.traits.KEY` beside; every field and
    /// balance of the project by its key, or as `fields.KEY` and `balances.KEY`. A row that is an object may have `contact`,
    /// `fields` and `balances` as objects, as the API takes them.
    ///
    /// # Errors
    /// Every mistake with its place in the document, and every column that `map` names and the file does not have.
    pub fn check(&self, projects: &[Project], known: Option<&[String]>) -> Result<BatchPlan, Vec<Problem>> {
        self.check_by(Rules::Saving, projects, known)
    }

    /// Checks the batch as strictly as is asked for and prepares it to run.
    ///
    /// # Errors
    /// Every mistake with its place in the document.
    pub fn check_by(&self, rules: Rules, projects: &[Project], known: Option<&[String]>) -> Result<BatchPlan, Vec<Problem>> {
        let mut problems = Vec::new();
        let is_it = |project: &&Project| project.slug == self.project || self.project.parse() == Ok(project.id);
        let Some(project) = projects.iter().find(is_it) else {
            let message = format!("there is no project `{}`", problem::clip(&self.project, 40));
            return Err(vec![Problem::new("project", message)]);
        };
        self.plain_faults(&mut problems);
        let map = if self.match_columns { columns::fill(self, project, known) } else { self.map.clone() };
        if let Some(known) = known {
            columns::missing(&self.map, known, &mut problems);
        }
        columns::unnamed(self, known, &mut problems);
        let step = self.step(&map).map_err(|problem| problems.push(problem)).ok();
        let planned = step.and_then(|step| check_step(&step, project, "map", rules, &mut problems));
        match planned {
            Some(step) if problems.is_empty() => Ok(BatchPlan::new(project.clone(), step, map)),
            _ => Err(problems),
        }
    }

    fn plain_faults(&self, problems: &mut Vec<Problem>) {
        for key in NOT_MAPPED.iter().filter(|key| self.map.contains_key(**key)) {
            problems.push(Problem::new(problem::key("map", key), "is not mapped: all rows of a batch are treated alike"));
        }
        if self.if_exists.is_some() && self.operation != Operation::Issue {
            problems.push(Problem::new("if_exists", "has no meaning for this operation"));
        }
        let bad = |c: &char| !c.is_ascii() || matches!(c, '"' | '\r' | '\n' | '\0');
        if self.delimiter.as_ref().is_some_and(bad) {
            problems.push(Problem::new("delimiter", "expected one character such as `,` `;` or a tabulator; not a quote"));
        }
        if self.format == Format::Parquet && self.encoding.is_some() {
            problems.push(Problem::new("encoding", "has no meaning for Parquet, whose texts are UTF-8"));
        }
        if let Err(message) = super::decode::encoding(self.encoding.as_deref()) {
            problems.push(Problem::new("encoding", message));
        }
    }

    fn step(&self, map: &Map<String, Value>) -> Result<Step, Problem> {
        let mut step = map.clone();
        step.retain(|key, _| !NOT_MAPPED.contains(&key.as_str()));
        step.insert("id".to_owned(), json!("row"));
        step.insert("action".to_owned(), json!(self.operation.action()));
        if let Some(if_exists) = self.if_exists.filter(|_| self.operation == Operation::Issue) {
            step.insert("if_exists".to_owned(), json!(if_exists));
        }
        read(&Value::Object(step)).map_err(|problem| problem.under("map"))
    }
}

fn read<T: serde::de::DeserializeOwned>(document: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Strict(document)).map_err(|error| Problem::unread(&error))
}
