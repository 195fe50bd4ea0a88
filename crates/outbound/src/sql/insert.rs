//! Rows into tables that fit, in one transaction: one statement for the rows of a table that have the same columns.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokio_postgres::types::Type;

use super::{Batch, Unwritten, quoted, schema::Columns, session::Session};
use crate::rows::{Cell, Row};

/// Bytes of rows that go in one statement.
const MAX_STATEMENT_BYTES: usize = 4 << 20;

/// Rows of a table that have the same columns.
type Group<'b> = (&'b str, Option<&'b str>, Vec<&'b str>);

/// Writes all rows, or none.
pub(super) async fn all(session: &Session, batch: &Batch, columns: &Columns) -> Result<(), Unwritten> {
    let mut groups: BTreeMap<Group<'_>, Vec<&Row>> = BTreeMap::new();
    let mut rows = newest(&batch.rows);
    // Whoever replaces the same rows at the same time takes them in the same order.
    rows.sort_by(|a, b| key(a).cmp(&key(b)));
    for row in rows {
        // A column that there is no value for yet is not made.
        let there = columns.get(&row.table);
        let names = row.values.keys().filter(|name| there.is_some_and(|there| there.contains_key(*name)));
        let group = (row.table.as_str(), row.newest_by.as_deref(), names.map(String::as_str).collect());
        groups.entry(group).or_default().push(row);
    }
    session.run("BEGIN").await?;
    for ((table, newest_by, names), rows) in &groups {
        let Some(there) = columns.get(*table) else { continue };
        let statement = statement(&batch.schema, table, *newest_by, names, there);
        for text in texts(names, rows) {
            session.query(&statement, &[(&text, Type::TEXT)]).await?;
        }
    }
    session.run("COMMIT").await
}

fn key(row: &Row) -> Option<(&str, &str)> {
    match row.values.get("id") {
        Some(Cell::Text(id)) => Some((&row.table, id)),
        _ => None,
    }
}

/// The rows without those that another of the same key in the same batch replaces anyhow.
fn newest(rows: &[Row]) -> Vec<&Row> {
    let order = |row: &Row, by: &str| match row.values.get(by) {
        Some(Cell::Whole(number)) => *number,
        _ => i64::MIN,
    };
    let mut kept: Vec<&Row> = Vec::with_capacity(rows.len());
    let mut places = std::collections::HashMap::new();
    for row in rows {
        let place = key(row).map(|key| *places.entry(key).or_insert(kept.len())).unwrap_or(kept.len());
        match (kept.get(place), &row.newest_by) {
            (None, _) => kept.push(row),
            (Some(held), Some(by)) if order(row, by) >= order(held, by) => kept[place] = row,
            (Some(_), _) => {}
        }
    }
    kept
}

/// Columns with their types.
pub(super) fn typed(names: &[&str], there: &BTreeMap<String, String>) -> String {
    let typed = names.iter().map(|name| format!("{} {}", quoted(name), there.get(*name).map_or("text", String::as_str)));
    typed.collect::<Vec<_>>().join(", ")
}

fn statement(schema: &str, table: &str, newest_by: Option<&str>, names: &[&str], there: &BTreeMap<String, String>) -> String {
    let listed = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let typed = typed(names, there);
    let conflict = match newest_by {
        None => "DO NOTHING".to_owned(),
        Some(by) => {
            let set = names.iter().filter(|name| **name != "id").map(|name| format!("{0} = excluded.{0}", quoted(name)));
            let set = set.collect::<Vec<_>>().join(", ");
            format!("DO UPDATE SET {set} WHERE held.{0} IS NULL OR held.{0} <= excluded.{0}", quoted(by))
        }
    };
    format!(
        "INSERT INTO {}.{} AS held ({listed}) SELECT {listed} FROM jsonb_to_recordset($1::text::jsonb) AS given({typed}) \
         ON CONFLICT (\"id\") {conflict}",
        quoted(schema),
        quoted(table)
    )
}

/// Rows as arrays of JSON objects of a bounded size.
pub(super) fn texts(names: &[&str], rows: &[&Row]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for row in rows {
        let cells = names.iter().filter_map(|name| Some(((*name).to_owned(), json(row.values.get(*name)?))));
        let text = Value::Object(cells.collect::<Map<_, _>>()).to_string();
        match texts.last_mut() {
            Some(last) if last.len() + text.len() < MAX_STATEMENT_BYTES => {
                last.push(',');
                last.push_str(&text);
            }
            _ => texts.push(format!("[{text}")),
        }
    }
    texts.iter_mut().for_each(|text| text.push(']'));
    texts
}

fn json(cell: &Cell) -> Value {
    match cell {
        Cell::Null(()) => Value::Null,
        Cell::Flag(flag) => (*flag).into(),
        Cell::Whole(number) => (*number).into(),
        Cell::Text(text) => text.as_str().into(),
        Cell::Number { number } => number.as_str().into(),
        Cell::Time { time } => time.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_the_newest_is_written() {
        let row = |table: &str, id: &str, version: i64, newest: bool| Row {
            table: table.to_owned(),
            newest_by: newest.then(|| "version".to_owned()),
            clears: None,
            values: BTreeMap::from([("id".to_owned(), Cell::Text(id.to_owned())), ("version".to_owned(), Cell::Whole(version))]),
        };
        let rows =
            [row("users", "1", 2, true), row("users", "1", 1, true), row("users", "2", 1, true), row("users", "1", 3, true)];
        let kept: Vec<_> = newest(&rows).into_iter().map(|row| row.values["version"].clone()).collect();
        assert_eq!(kept, [Cell::Whole(3), Cell::Whole(1)]);
        let rows = [row("tracks", "1", 1, false), row("tracks", "1", 2, false), row("users", "1", 1, false)];
        assert_eq!(newest(&rows).len(), 2, "the first of a log stays");
    }
}
