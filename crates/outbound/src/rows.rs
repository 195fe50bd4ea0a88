//! Rows of tables, as they go into databases and files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A row. Its key is the column `id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its table.
    pub table: String,
    /// The column by which it replaces the row with its key, unless that has more in it. Without it, what is there stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_by: Option<String>,
    /// Which columns of its table are emptied where it has no value for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clears: Option<Clears>,
    /// Its values by column. Null clears a column that is there.
    pub values: BTreeMap<String, Cell>,
}

/// Columns that a row says wholly, so that what it has no value for is nothing. Those of types that we do not make are never among
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Clears {
    /// Those that another table has too.
    Like {
        /// The other table.
        like: String,
        /// Columns that are left alone all the same.
        but: Vec<String>,
    },
    /// Those whose names begin so.
    Beginning {
        /// The beginnings.
        beginning: Vec<String>,
    },
}

/// A value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// Nothing.
    Null(()),
    /// `boolean`
    Flag(bool),
    /// `bigint`
    Whole(i64),
    /// `text`
    Text(String),
    /// `numeric`, digit by digit.
    Number {
        /// As decimal text.
        number: String,
    },
    /// `timestamptz`
    Time {
        /// RFC 3339.
        time: String,
    },
}

/// What the values of a column are, from narrow to wide as far as they widen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Flag,
    Time,
    Whole,
    Number,
    Text,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Flag, Self::Time, Self::Whole, Self::Number, Self::Text];

    pub(crate) fn of(cell: &Cell) -> Option<Self> {
        Some(match cell {
            Cell::Null(()) => return None,
            Cell::Flag(_) => Self::Flag,
            Cell::Whole(_) => Self::Whole,
            Cell::Number { .. } => Self::Number,
            Cell::Text(_) => Self::Text,
            Cell::Time { .. } => Self::Time,
        })
    }

    /// The narrowest that takes both.
    pub(crate) fn with(self, other: Self) -> Self {
        match (self, other) {
            _ if self == other => self,
            (Self::Whole, Self::Number) | (Self::Number, Self::Whole) => Self::Number,
            _ => Self::Text,
        }
    }
}

/// The columns that rows have values for, each with what takes all of them.
pub(crate) fn columns<'r>(rows: impl IntoIterator<Item = &'r Row>) -> BTreeMap<&'r str, Kind> {
    let mut columns: BTreeMap<&str, Kind> = BTreeMap::new();
    for row in rows {
        for (name, cell) in &row.values {
            let Some(kind) = Kind::of(cell) else { continue };
            columns.entry(name).and_modify(|known| *known = known.with(kind)).or_insert(kind);
        }
    }
    columns
}
