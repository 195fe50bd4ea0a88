//! The rows that failed, as they stood in the file, with why.

use serde_json::{Map, Value, json};

use super::csv;
use super::rows::{Format, Layout, Row};

/// What stands beside a row in a report. A file that is fed back may have them: they are written anew.
const NOTES: [&str; 4] = ["batch_row", "batch_line", "batch_column", "batch_reason"];
/// Where cells go that are too many, or how many are missing. A row that is fed back fails until this is emptied.
pub(super) const SURPLUS: &str = "batch_surplus";
/// What a line stands under that is no object.
pub(super) const TEXT: &str = "batch_text";

/// What a report says of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Counts rows from 1, without the one that names the columns.
    pub row: u64,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The columns that it is about, where that can be said.
    pub column: String,
    /// Why it failed.
    pub reason: String,
}

/// Writes rows that failed in the format of their file, with `batch_row`, `batch_line`, `batch_column` and `batch_reason`
/// beside what stood there.
#[derive(Debug)]
pub struct Report<'r> {
    layout: &'r Layout,
}

impl<'r> Report<'r> {
    /// Of a file of this layout.
    #[must_use]
    pub fn of(layout: &'r Layout) -> Self {
        Self { layout }
    }

    /// What a report begins with: the names of the columns.
    #[must_use]
    pub fn head(&self) -> String {
        if self.layout.format != Format::Csv || self.layout.columns.is_empty() {
            return String::new();
        }
        let own = self.layout.columns.iter().map(String::as_str).filter(|name| !is_note(name));
        self.line(own.chain(NOTES).chain([SURPLUS]))
    }

    /// How a report is written, for whoever reads its rows without its head.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let own = self.layout.columns.iter().filter(|name| !is_note(name)).cloned();
        let all = own.chain(NOTES.map(str::to_owned)).chain([SURPLUS.to_owned()]);
        let columns = if self.layout.format == Format::Csv { all.collect() } else { Vec::new() };
        Layout { columns, delimiter: Some(self.delimiter()), ..self.layout.clone() }
    }

    /// What a report says of a row, and the row's own cells.
    #[must_use]
    pub fn read(row: &Value) -> Option<(Note, Map<String, Value>)> {
        let mut cells = row.as_object()?.clone();
        let [number, line, column, reason] = NOTES.map(|name| cells.remove(name).unwrap_or_default());
        let count = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let note = Note { row: count(&number)?, line: count(&line)?, column: text(&column), reason: text(&reason) };
        Some((note, cells))
    }

    /// Adds a row.
    pub fn add(&self, out: &mut String, row: &Row, column: &str, reason: &str) {
        match self.layout.format {
            Format::Csv => self.add_csv(out, row, column, reason),
            Format::Ndjson | Format::Parquet => add_object(out, row, column, reason),
        }
    }

    fn add_csv(&self, out: &mut String, row: &Row, column: &str, reason: &str) {
        let columns = &self.layout.columns;
        let mut cells = csv::cells(&row.text, self.layout.delimiter);
        let missing = columns.len().saturating_sub(cells.len());
        let surplus = cells.split_off(cells.len().min(columns.len()));
        cells.resize(columns.len(), String::new());
        let before = columns.iter().position(|name| name == SURPLUS).map(|at| cells[at].clone()).unwrap_or_default();
        let surplus = match surplus.join(&self.delimiter().to_string()).trim() {
            "" if missing > 0 => format!("cells missing: {missing}"),
            "" => before,
            cells => cells.to_owned(),
        };
        let own = columns.iter().zip(&cells).filter(|(name, _)| !is_note(name)).map(|(_, cell)| cell.as_str());
        let (number, line) = (row.number.to_string(), row.line.to_string());
        let notes = [number.as_str(), line.as_str(), column, reason, surplus.as_str()];
        out.push_str(&self.line(own.chain(notes)));
    }

    fn delimiter(&self) -> char {
        self.layout.delimiter.unwrap_or(',')
    }

    fn line<'c>(&self, cells: impl Iterator<Item = &'c str>) -> String {
        let delimiter = self.delimiter();
        let cells: Vec<String> = cells.map(|cell| csv::quoted(cell, delimiter)).collect();
        format!("{}\n", cells.join(&delimiter.to_string()))
    }
}

pub(super) fn is_note(name: &str) -> bool {
    NOTES.contains(&name) || name == SURPLUS
}

/// A line that is no object is kept as a text.
fn add_object(out: &mut String, row: &Row, column: &str, reason: &str) {
    let mut object = match &row.value {
        Ok(Value::Object(members)) => members.clone(),
        _ => match serde_json::from_str(&row.text) {
            Ok(Value::Object(again)) if again.contains_key(TEXT) => again,
            _ => [(TEXT.to_owned(), json!(row.text))].into_iter().collect(),
        },
    };
    for (name, value) in NOTES.into_iter().zip([json!(row.number), json!(row.line), json!(column), json!(reason)]) {
        object.insert(name.to_owned(), value);
    }
    out.push_str(&Value::Object(object).to_string());
    out.push('\n');
}
