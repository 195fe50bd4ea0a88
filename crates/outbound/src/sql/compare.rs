//! Rows compared with those that are there, by the server and by the types of its columns, so that it sends what differs alone.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::{
    Batch, Difference, Unwritten,
    insert::{texts, typed},
    quoted,
    schema::{Columns, is_ours},
    session::Session,
};
use crate::rows::{Cell, Row};

/// The rows that are held otherwise, or not at all.
pub(super) async fn all(
    session: &Session,
    batch: &Batch,
    columns: &Columns,
    tell: Option<&str>,
) -> Result<Vec<Difference>, Unwritten> {
    let mut different = Vec::new();
    let mut groups: BTreeMap<(&str, Vec<&str>), Vec<&Row>> = BTreeMap::new();
    for row in &batch.rows {
        let Some(there) = columns.get(&row.table) else {
            different.extend(id(row).map(|id| Difference { id, columns: Vec::new(), told: None }));
            continue;
        };
        let (names, missing): (Vec<&str>, Vec<&str>) =
            row.values.keys().map(String::as_str).partition(|name| there.contains_key(*name));
        let missing: Vec<String> = missing.into_iter().filter(|name| !is_null(row, name)).map(str::to_owned).collect();
        if missing.is_empty() {
            groups.entry((row.table.as_str(), names)).or_default().push(row);
        } else {
            // A column that is not there holds nothing.
            different.extend(id(row).map(|id| Difference { id, columns: missing, told: None }));
        }
    }
    for ((table, names), rows) in &groups {
        let Some(there) = columns.get(*table) else { continue };
        let statement = statement(&batch.schema, table, names, there, tell);
        for text in texts(names, rows) {
            for row in session.query(&statement, &[(&text, Type::TEXT)]).await? {
                let id = row.try_get(0).map_err(|error| Unwritten::of(&error))?;
                let columns = row.try_get(1).map_err(|error| Unwritten::of(&error))?;
                let told = row.try_get(2).map_err(|error| Unwritten::of(&error))?;
                different.push(Difference { id, columns, told });
            }
        }
    }
    Ok(different)
}

fn is_null(row: &Row, name: &str) -> bool {
    matches!(row.values.get(name), None | Some(Cell::Null(())))
}

fn id(row: &Row) -> Option<String> {
    match row.values.get("id") {
        Some(Cell::Text(id)) => Some(id.clone()),
        _ => None,
    }
}

fn statement(schema: &str, table: &str, names: &[&str], there: &BTreeMap<String, String>, tell: Option<&str>) -> String {
    let compared: Vec<&str> = names.iter().copied().filter(|name| *name != "id").collect();
    // Not every type that others give a column has an equality.
    let cast = |name: &str| if there.get(name).is_some_and(|kind| is_ours(kind)) { "" } else { "::text" };
    let other = |name: &&str| format!("held.{0}{1} IS DISTINCT FROM given.{0}{1}", quoted(name), cast(name));
    let literal = |name: &str| format!("'{}'", name.replace('\'', "''"));
    let named =
        compared.iter().map(|name| format!("CASE WHEN held.\"id\" IS NOT NULL AND {} THEN {} END", other(name), literal(name)));
    let named = named.collect::<Vec<_>>().join(", ");
    let told = tell.filter(|name| there.contains_key(*name)).map_or("NULL".to_owned(), |name| format!("held.{}", quoted(name)));
    let any = compared.iter().map(|name| format!(" OR {}", other(name))).collect::<String>();
    format!(
        "SELECT given.\"id\"::text, array_remove(ARRAY[{named}]::text[], NULL), {told}::text \
         FROM jsonb_to_recordset($1::text::jsonb) AS given({typed}) \
         LEFT JOIN {schema}.{table} AS held ON held.\"id\" = given.\"id\" WHERE held.\"id\" IS NULL{any}",
        typed = typed(names, there),
        schema = quoted(schema),
        table = quoted(table),
    )
}
