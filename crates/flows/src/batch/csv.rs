//! One record of CSV: where it ends, and what its cells are.

use std::collections::HashMap;

use csv_core::{ReadFieldResult, ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::MAX_COLUMNS;
use super::document::EmptyCells;
use super::report::SURPLUS;
use super::rows::Layout;
use crate::problem;

/// What may stand between cells, likeliest first.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

fn reader(delimiter: Option<char>) -> Reader {
    let delimiter = delimiter.and_then(|c| u8::try_from(c).ok()).unwrap_or(b',');
    ReaderBuilder::new().delimiter(delimiter).build()
}

/// How many bytes the record has that `rest` begins with, without the end of its line; none when it does not end in `rest`.
/// With `last` the end of `rest` ends a record, unless it is within quotes.
pub(super) fn record_end(rest: &[u8], delimiter: Option<char>, last: bool) -> Option<usize> {
    // Without quotes, which is the rule, the line is the record.
    let line = memchr::memchr2(b'\n', b'\r', rest);
    let first = &rest[..line.unwrap_or(rest.len())];
    if memchr::memchr(b'"', first).is_none() {
        return line.or(last.then_some(rest.len()));
    }
    let mut reader = reader(delimiter);
    let (mut cells, mut ends) = ([0; 1_024], [0; 64]);
    let mut read = 0;
    loop {
        let (result, taken, ..) = reader.read_record(&rest[read..], &mut cells, &mut ends);
        read += taken;
        match result {
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            ReadRecordResult::Record => break,
            ReadRecordResult::End => return None,
            ReadRecordResult::InputEmpty => {
                // An end of line ends the record unless a quote is open.
                let ends = last && ends_with(&mut reader, b"\n");
                return ends.then_some(rest.len());
            }
        }
    }
    Some(without_line_end(&rest[..read]))
}

fn ends_with(reader: &mut Reader, more: &[u8]) -> bool {
    let (mut cells, mut ends) = ([0; 64], [0; 64]);
    matches!(reader.read_record(more, &mut cells, &mut ends).0, ReadRecordResult::Record)
}

/// The length of a record without the end of its line.
fn without_line_end(record: &[u8]) -> usize {
    record.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1)
}

/// The cells of a record.
pub(super) fn cells(text: &str, delimiter: Option<char>) -> Vec<String> {
    // Without quotes, which is the rule, the delimiter is all there is to know. Making a reader costs more than reading.
    if !text.is_empty() && memchr::memchr(b'"', text.as_bytes()).is_none() {
        return text.split(delimiter.unwrap_or(',')).map(str::to_owned).collect();
    }
    let mut out = Vec::new();
    let mut reader = reader(delimiter);
    let mut rest = text.as_bytes();
    let mut cell = Vec::new();
    let mut room = [0; 512];
    loop {
        let (result, taken, written) = reader.read_field(rest, &mut room);
        rest = &rest[taken..];
        cell.extend_from_slice(&room[..written]);
        match result {
            // At the end of the text, reading nothing more ends the last cell.
            ReadFieldResult::OutputFull | ReadFieldResult::InputEmpty => {}
            ReadFieldResult::Field { record_end } => {
                out.push(String::from_utf8_lossy(&cell).into_owned());
                cell.clear();
                if record_end {
                    return out;
                }
            }
            ReadFieldResult::End => return out,
        }
    }
}

/// The delimiter that a first line `sep=;` names, as Excel reads and others write it for Excel: no row.
pub(super) fn named_delimiter(text: &str) -> Option<char> {
    let line = text.trim_matches('"');
    let (word, rest) = line.split_at_checked("sep=".len())?;
    // Excel adds its own delimiters when it saves such a line as a row.
    let named = rest.chars().next().filter(char::is_ascii)?;
    let is_named = word.eq_ignore_ascii_case("sep=") && rest[1..].trim_end_matches([',', ';', '\t', ' ', '"']).is_empty();
    (is_named && !named.is_alphanumeric() && named != '"').then_some(named)
}

/// The delimiter and the columns that the first record names.
pub(super) fn header(text: &str, delimiter: Option<char>) -> Result<(char, Vec<String>), String> {
    let start = text.trim_ascii();
    if ["{\"", "[{"].iter().any(|json| start.starts_with(json)) || matches!(start, "{" | "[" | "[]") {
        let what =
            "the first row is JSON, not the names of columns: give `format` (--format ndjson), with an object on each line";
        return Err(what.to_owned());
    }
    let delimiter = delimiter.unwrap_or_else(|| likeliest(text));
    let mut columns: Vec<String> = cells(text, Some(delimiter)).iter().map(|name| name.trim().to_owned()).collect();
    // Spreadsheets write delimiters after the last column.
    while columns.last().is_some_and(String::is_empty) {
        columns.pop();
    }
    if columns.is_empty() {
        return Err("the first row names no columns".to_owned());
    }
    if columns.len() > MAX_COLUMNS {
        return Err(format!("the first row names {} columns; there may be {MAX_COLUMNS}", columns.len()));
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, name) in columns.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("column {} has no name in the first row", index + 1));
        }
        if let Some(before) = seen.insert(name, index) {
            let name = problem::clip(name, 80);
            return Err(format!("two columns are called `{name}` in the first row: {} and {}", before + 1, index + 1));
        }
    }
    Ok((delimiter, columns))
}

/// What stands most often between the cells of a first row.
fn likeliest(text: &str) -> char {
    let count = |delimiter: &char| {
        let mut quoted = false;
        text.chars()
            .filter(|c| {
                quoted ^= *c == '"';
                !quoted && c == delimiter
            })
            .count()
    };
    // Of equals the first.
    DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(',')
}

/// A record's cells under the names of their columns.
pub(super) fn object(text: &str, layout: &Layout) -> Result<Value, String> {
    let cells = cells(text, layout.delimiter);
    let columns = &layout.columns;
    let surplus = cells.get(columns.len()..).unwrap_or_default();
    if cells.len() < columns.len() || surplus.iter().any(|cell| !cell.trim().is_empty()) {
        return Err(format!(
            "has {} cells, and the first row names {} columns: is a delimiter or a quote missing or too many?",
            cells.len(),
            columns.len()
        ));
    }
    let surplus = columns.iter().zip(&cells).find(|(name, cell)| *name == SURPLUS && !cell.trim().is_empty());
    if let Some((_, cell)) = surplus {
        let cell = problem::clip(cell, 80);
        return Err(format!("was not mended: put its cells right, of which `{SURPLUS}` has `{cell}`, and empty that"));
    }
    let mut out = Map::with_capacity(columns.len());
    for (name, cell) in columns.iter().zip(cells) {
        if !cell.trim().is_empty() {
            out.insert(name.clone(), Value::String(cell));
        } else if layout.empty_cells == EmptyCells::Clear {
            out.insert(name.clone(), Value::Null);
        }
    }
    Ok(Value::Object(out))
}

/// A cell as it is written: in quotes where it must be.
pub(super) fn quoted(cell: &str, delimiter: char) -> String {
    let needs = |c: char| c == delimiter || matches!(c, '"' | '\n' | '\r');
    // Blanks at the ends would be taken for slips.
    if cell.contains(needs) || cell.trim() != cell { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}
