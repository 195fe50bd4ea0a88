//! Rows out of a file that comes in pieces.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::{Batch, EmptyCells};
use super::{MAX_ROW_BYTES, csv, ndjson};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Cells with something between them, the first row names the columns (RFC 4180).
    #[default]
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// A file of columns (Apache Parquet), whose rows are kept as NDJSON once they were read.
    Parquet,
}

impl Format {
    /// How rows are kept of a file that came like this, and how the report on them is written.
    #[must_use]
    pub const fn kept(self) -> Self {
        match self {
            Self::Csv => Self::Csv,
            Self::Ndjson | Self::Parquet => Self::Ndjson,
        }
    }
}

/// What must be known to read rows from the middle of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// How it is written.
    pub format: Format,
    /// The names of the columns; empty where they are not known, as before the first row of a CSV file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// CSV: what stands between cells; none before the first row was read, unless it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// CSV: what an empty cell says.
    pub empty_cells: EmptyCells,
}

impl Layout {
    /// Of a file that nothing was read of.
    #[must_use]
    pub fn of(batch: &Batch) -> Self {
        Self {
            format: batch.format.kept(),
            columns: Vec::new(),
            delimiter: batch.delimiter.filter(|_| batch.format == Format::Csv),
            empty_cells: batch.empty_cells,
        }
    }

    /// Of rows that were brought in from where their columns are known.
    #[must_use]
    pub fn of_table(batch: &Batch, columns: Vec<String>) -> Self {
        Self { format: Format::Ndjson, columns, delimiter: None, empty_cells: batch.empty_cells }
    }

    /// The names of the columns, where they are known.
    #[must_use]
    pub fn known(&self) -> Option<&[String]> {
        (!self.columns.is_empty()).then_some(self.columns.as_slice())
    }
}

/// A place between two rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Bytes of UTF-8 before it.
    pub offset: u64,
    /// Rows before it, without the one that names the columns.
    pub rows: u64,
    /// Lines before it.
    pub lines: u64,
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Counts rows from 1, without the one that names the columns.
    pub number: u64,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its cells as an object, or why it is none.
    pub value: Result<Value, String>,
    /// As it stands in the file, without the end of the line; empty when it is too long to be kept.
    pub text: String,
    /// The place after it.
    pub end: Place,
}

/// Finds rows in a file that is given to it piece by piece. Why a file cannot be read any further is an error in words.
#[derive(Debug)]
pub struct Reader {
    layout: Layout,
    place: Place,
    /// What was given and is no whole row yet.
    buffer: Vec<u8>,
    /// How much of it was read.
    read: usize,
    /// A line that is too long is being passed over.
    skipping: bool,
}

impl Reader {
    /// A reader that goes on at a place; the next piece begins there.
    #[must_use]
    pub fn new(layout: Layout, place: Place) -> Self {
        Self { layout, place, buffer: Vec::new(), read: 0, skipping: false }
    }

    /// What was learnt about the file.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole row of what was given; none when more has to be given first, or when `last` is given at its end.
    ///
    /// # Errors
    /// When the file cannot be read from here on.
    pub fn next(&mut self, last: bool) -> Result<Option<Row>, String> {
        match self.layout.format {
            Format::Csv => self.next_csv(last),
            Format::Ndjson | Format::Parquet => self.next_line(last),
        }
    }

    fn next_csv(&mut self, last: bool) -> Result<Option<Row>, String> {
        while self.layout.columns.is_empty() {
            let Some((text, line)) = self.record(last)? else {
                return if last {
                    Err("the file is empty: expected a first row with the names of the columns".to_owned())
                } else {
                    Ok(None)
                };
            };
            if let Some(delimiter) = csv::named_delimiter(&text).filter(|_| line == 1) {
                self.layout.delimiter = self.layout.delimiter.or(Some(delimiter));
                continue;
            }
            let (delimiter, columns) = csv::header(&text, self.layout.delimiter)?;
            self.layout.delimiter = Some(delimiter);
            self.layout.columns = columns;
        }
        let Some((text, line)) = self.record(last)? else { return Ok(None) };
        self.place.rows += 1;
        let value = csv::object(&text, &self.layout);
        Ok(Some(Row { number: self.place.rows, line, value, text, end: self.place }))
    }

    /// The text of the next record and its line.
    fn record(&mut self, last: bool) -> Result<Option<(String, u64)>, String> {
        self.pass_line_ends();
        let rest = &self.buffer[self.read..];
        if rest.is_empty() {
            return Ok(None);
        }
        let line = self.place.lines + 1;
        match csv::record_end(rest, self.layout.delimiter, last) {
            Some(end) => {
                let text = text(&rest[..end])?;
                self.pass(end);
                Ok(Some((text, line)))
            }
            None if rest.len() > MAX_ROW_BYTES => {
                Err(format!("the row that begins on line {line} is longer than {MAX_ROW_BYTES} bytes: is a quote not closed?"))
            }
            None if last => Err(format!("the row that begins on line {line} opens a quote that is never closed")),
            None => Ok(None),
        }
    }

    fn next_line(&mut self, last: bool) -> Result<Option<Row>, String> {
        if !self.skipping {
            self.pass_line_ends();
        }
        let rest = &self.buffer[self.read..];
        let line = self.place.lines + 1;
        let end = match memchr::memchr(b'\n', rest) {
            Some(end) => end,
            None if rest.len() > MAX_ROW_BYTES => {
                self.skipping = true;
                let length = rest.len();
                self.pass(length);
                return Ok(None);
            }
            None if last && (!rest.is_empty() || self.skipping) => rest.len(),
            None => return Ok(None),
        };
        let is_too_long = std::mem::take(&mut self.skipping) || end > MAX_ROW_BYTES;
        let text = if is_too_long { String::new() } else { text(rest[..end].trim_ascii_end())? };
        self.pass(end);
        if text.trim().is_empty() && !is_too_long {
            return self.next_line(last);
        }
        self.place.rows += 1;
        let value = if is_too_long { Err(format!("is longer than {MAX_ROW_BYTES} bytes")) } else { ndjson::object(&text) };
        Ok(Some(Row { number: self.place.rows, line, value, text, end: self.place }))
    }

    fn pass_line_ends(&mut self) {
        let ends = self.buffer[self.read..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.pass(ends);
    }

    fn pass(&mut self, bytes: usize) {
        let passed = &self.buffer[self.read..self.read + bytes];
        self.place.lines += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.place.offset += bytes as u64;
        self.read += bytes;
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "what was uploaded is damaged: it is not UTF-8".to_owned())
}
