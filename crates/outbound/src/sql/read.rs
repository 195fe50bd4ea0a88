//! Rows out of somebody's PostgreSQL: a query in a read-only transaction, fetched through a cursor, so that memory holds a stretch
//! of them however many there are.
//!
//! The query stands within a statement of ours that goes by the extended protocol, which takes one statement alone; the server
//! makes JSON of each row, so that every type has one form: numbers with a scale are text, digit by digit, times are ISO 8601, with
//! their zone where they have one.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::{Place, Unwritten, quoted, session};
use crate::http::{Client, Failure, Phase, Progress};

/// How long connecting and signing in may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// Bytes that the server may send for one stretch of rows.
const MAX_FETCH_BYTES: usize = 64 << 20;
/// What a stretch of rows is to come to, in bytes.
const FETCH_BYTES: usize = 1 << 20;
/// Rows of the first stretch, when it is not known how long they are.
const FIRST_FETCH: usize = 50;
/// Most rows of a stretch.
const MAX_FETCH: usize = 5_000;
/// A server that is asked to looks this often whether we are still there while it works (PostgreSQL 14 and later).
const LOOK_FOR_US: &str = "SET client_connection_check_interval = '1s'";

/// What is asked of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// One statement that gives rows.
    pub text: String,
    /// How long the server may work on one stretch of rows.
    pub patience: Duration,
    /// What tells that a row changed, where not all rows are wanted.
    pub since: Option<Since>,
}

/// Rows that changed lately, in the order in which they did: those of which a column is not less than it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The column: a number or a time, that rises with every change. Rows without are always among those.
    pub column: String,
    /// The highest that was seen, as JSON of a row had it; none wants all rows.
    pub mark: Option<String>,
    /// How far before a time rows are wanted again: what was changed then may have been committed later.
    pub overlap: Duration,
}

/// A column of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as PostgreSQL calls it.
    pub kind: String,
}

/// A query that is being answered. The server ends it when this is dropped.
pub struct Reading {
    session: session::Session,
    columns: Vec<Column>,
    patience: Duration,
    fetch: usize,
}

impl Reading {
    /// Connects and asks.
    ///
    /// # Errors
    /// When there is no talking to the server, or it refuses the query.
    pub async fn begin(client: &Client, place: &Place, query: &Query) -> Result<Self, Unwritten> {
        let progress = Progress::default();
        let opening = tokio::time::timeout(CONNECT_WITHIN, session::open(client, place, query.patience, &progress)).await;
        let late = |phase, after| Unwritten::Failed(Failure::Timeout { phase, after, status: None });
        let session = opening.map_err(|_| late(progress.phase(), CONNECT_WITHIN))??;
        // An older server goes on until the time for a statement is over.
        match session.run(LOOK_FOR_US).await {
            Ok(()) | Err(Unwritten::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let text = &query.text;
        let columns = session.columns(&format!("SELECT * FROM (\n{text}\n) AS q")).await?;
        check(&columns)?;
        let cells: Vec<String> = columns.iter().map(cell).collect();
        let cells = cells.join(", ");
        let wanted = query.since.as_ref().map(|since| since.wanted(&columns)).transpose()?.unwrap_or_default();
        let declare = format!(
            "DECLARE passbridge_rows NO SCROLL CURSOR FOR \
             SELECT row_to_json(r)::text FROM (\n{text}\n) AS q CROSS JOIN LATERAL (SELECT {cells}) AS r{wanted}"
        );
        session.query(&declare, &[]).await?;
        let columns = columns.into_iter().map(|(name, kind)| Column { name, kind: kind.name().to_owned() }).collect();
        Ok(Self { session, columns, patience: query.patience, fetch: FIRST_FETCH })
    }

    /// The columns of the rows.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The next rows, each a JSON object; none when there are no more.
    ///
    /// # Errors
    /// When the server does not answer in time, or breaks off.
    pub async fn next(&mut self, most: usize) -> Result<Vec<String>, Unwritten> {
        self.session.allow(MAX_FETCH_BYTES);
        let fetch = format!("FETCH FORWARD {} FROM passbridge_rows", self.fetch.min(most));
        // The server has the same patience; one that says nothing at all is not waited for.
        let late = Unwritten::Failed(Failure::Timeout { phase: Phase::Answer, after: self.patience, status: None });
        let rows = tokio::time::timeout(self.patience + CONNECT_WITHIN, self.session.query(&fetch, &[])).await;
        let found = rows.map_err(|_| late)??;
        let found: Result<Vec<String>, _> = found.iter().map(|row| row.try_get(0)).collect();
        let found = found.map_err(|error| Unwritten::of(&error))?;
        let bytes: usize = found.iter().map(String::len).sum();
        if let Some(each) = bytes.checked_div(found.len()) {
            self.fetch = (FETCH_BYTES / each.max(1)).clamp(1, MAX_FETCH);
        }
        Ok(found)
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Since {
    /// Which rows, and in what order.
    fn wanted(&self, columns: &[(String, Type)]) -> Result<String, Unwritten> {
        let name = &self.column;
        let Some((_, kind)) = columns.iter().find(|(column, _)| column == name) else {
            return refused(&format!("the query has no column \"{name}\", which is to tell what changed"));
        };
        let is_time = [Type::TIMESTAMPTZ, Type::TIMESTAMP].contains(kind);
        if !is_time && ![Type::INT2, Type::INT4, Type::INT8, Type::NUMERIC, Type::DATE].contains(kind) {
            let kind = kind.name();
            return refused(&format!("column \"{name}\" is to tell what changed: expected a number or a time, not {kind}"));
        }
        let column = quoted(name);
        let order = format!(" ORDER BY q.{column} NULLS FIRST");
        let Some(mark) = &self.mark else { return Ok(order) };
        let mark = format!("{}::{}", literal(mark), kind.name());
        let from = if is_time { format!("{mark} - interval '{} seconds'", self.overlap.as_secs()) } else { mark };
        Ok(format!(" WHERE q.{column} IS NULL OR q.{column} >= {from}{order}"))
    }
}

/// A text as it stands in a statement of a server whose strings are those of the standard, as all are since PostgreSQL 9.1.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn refused<T>(message: &str) -> Result<T, Unwritten> {
    Err(Unwritten::refused(&tokio_postgres::error::SqlState::SYNTAX_ERROR, message))
}

/// A column as it stands in the row that JSON is made of.
fn cell((name, kind): &(String, Type)) -> String {
    let name = quoted(name);
    if *kind == Type::NUMERIC { format!("(q.{name})::text AS {name}") } else { format!("q.{name}") }
}

fn check(columns: &[(String, Type)]) -> Result<(), Unwritten> {
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names.is_empty() {
        return refused("the query has no columns");
    }
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return refused(&format!("two columns of the query are called \"{}\"", pair[0]));
    }
    Ok(())
}
