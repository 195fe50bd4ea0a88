//! What rows need of a schema, and how it comes about: tables and columns are made, narrow columns become wider ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::types::Type;

use super::{Batch, Unwritten, quoted, session::Session};
use crate::rows::{Cell, Clears, Kind, Row, columns};

/// How often what another writer made meanwhile is read anew.
const TRIES: usize = 3;
/// What is answered to whoever makes what another made at the same moment: `unique_violation`, `duplicate_table`,
/// `duplicate_column`, `duplicate_schema`, `duplicate_object`.
const MADE_MEANWHILE: [&str; 5] = ["23505", "42P07", "42701", "42P06", "42710"];

/// The columns of each table with their types, as PostgreSQL writes them.
pub(super) type Columns = HashMap<String, BTreeMap<String, String>>;

/// As PostgreSQL writes a type, and reads it too.
const fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Flag => "boolean",
        Kind::Time => "timestamp with time zone",
        Kind::Whole => "bigint",
        Kind::Number => "numeric",
        Kind::Text => "text",
    }
}

/// Makes what the rows need, and tells which columns there are then.
pub(super) async fn prepare(session: &Session, batch: &Batch) -> Result<Columns, Unwritten> {
    let wanted = wanted(batch);
    let mut tried = 0;
    loop {
        let present = read(session, &batch.schema, &wanted).await?;
        let statements = statements(&batch.schema, &wanted, &present);
        if statements.is_empty() {
            return Ok(present);
        }
        tried += 1;
        match session.run(&statements.join("; ")).await {
            Err(Unwritten::Refused(refused)) if tried < TRIES && MADE_MEANWHILE.contains(&refused.sqlstate.as_str()) => {}
            Err(error) => return Err(error),
            Ok(()) if tried < TRIES => {}
            Ok(()) => return read(session, &batch.schema, &wanted).await,
        }
    }
}

/// The columns that there are, of the tables that the rows go to and of those that they clear like.
pub(super) async fn present(session: &Session, batch: &Batch) -> Result<Columns, Unwritten> {
    let mut wanted = wanted(batch);
    for row in &batch.rows {
        if let Some(Clears::Like { like, .. }) = &row.clears {
            wanted.entry(like).or_default();
        }
    }
    read(session, &batch.schema, &wanted).await
}

/// The rows with nothing in each column that they clear.
pub(super) fn cleared(batch: &Batch, columns: &Columns) -> Batch {
    let mut batch = batch.clone();
    for row in &mut batch.rows {
        let (Some(clears), Some(there)) = (&row.clears, columns.get(&row.table)) else { continue };
        for (name, _) in there.iter().filter(|(name, kind)| is_ours(kind) && clears.has(name, columns)) {
            row.values.entry(name.clone()).or_insert(Cell::Null(()));
        }
    }
    batch
}

impl Clears {
    fn has(&self, name: &str, columns: &Columns) -> bool {
        match self {
            Self::Like { like, but } => {
                columns.get(like).is_some_and(|like| like.contains_key(name)) && !but.iter().any(|but| but == name)
            }
            Self::Beginning { beginning } => beginning.iter().any(|beginning| name.starts_with(beginning)),
        }
    }
}

/// Whether a column is of a type that we make.
pub(super) fn is_ours(known: &str) -> bool {
    Kind::ALL.into_iter().any(|own| sql_type(own) == known)
}

/// The columns that there are values for, by table.
fn wanted(batch: &Batch) -> BTreeMap<&str, BTreeMap<&str, Kind>> {
    let mut tables: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in &batch.rows {
        tables.entry(&row.table).or_default().push(row);
    }
    tables.into_iter().map(|(table, rows)| (table, columns(rows))).collect()
}

async fn read(session: &Session, schema: &str, wanted: &BTreeMap<&str, BTreeMap<&str, Kind>>) -> Result<Columns, Unwritten> {
    const SQL: &str = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)::text \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
        WHERE n.nspname = $1::text AND c.relname = ANY($2::text[]) AND c.relkind IN ('r', 'p', 'v', 'f') \
        AND a.attnum > 0 AND NOT a.attisdropped";
    let tables: Vec<&str> = wanted.keys().copied().collect();
    let rows = session.query(SQL, &[(&schema, Type::TEXT), (&tables, Type::TEXT_ARRAY)]).await?;
    let mut columns = Columns::new();
    for row in rows {
        let cell = |number: usize| row.try_get::<_, String>(number).map_err(|error| Unwritten::of(&error));
        columns.entry(cell(0)?).or_default().insert(cell(1)?, cell(2)?);
    }
    Ok(columns)
}

/// What is to be made.
fn statements(schema: &str, wanted: &BTreeMap<&str, BTreeMap<&str, Kind>>, columns: &Columns) -> Vec<String> {
    let mut out = Vec::new();
    if wanted.keys().any(|table| !columns.contains_key(*table)) {
        let name = schema.replace('\'', "''");
        // Asked for only where it is not there: not everybody who may write may make schemas.
        out.push(format!(
            "DO $make$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '{name}') \
             THEN CREATE SCHEMA {}; END IF; END $make$",
            quoted(schema)
        ));
    }
    for (table, wanted) in wanted {
        let place = format!("{}.{}", quoted(schema), quoted(table));
        let Some(present) = columns.get(*table) else {
            let others = wanted.iter().filter(|(name, _)| **name != "id");
            let others: String = others.map(|(name, kind)| format!(", {} {}", quoted(name), sql_type(*kind))).collect();
            out.push(format!("CREATE TABLE {place} (\"id\" text PRIMARY KEY{others})"));
            continue;
        };
        let changes: BTreeSet<String> = wanted
            .iter()
            .filter_map(|(name, kind)| match present.get(*name) {
                None => Some(format!("ADD COLUMN {} {}", quoted(name), sql_type(*kind))),
                Some(known) => widened(known, *kind)
                    .map(|wider| format!("ALTER COLUMN {0} TYPE {1} USING {0}::{1}", quoted(name), sql_type(wider))),
            })
            .collect();
        if !changes.is_empty() {
            let changes: Vec<String> = changes.into_iter().collect();
            out.push(format!("ALTER TABLE {place} {}", changes.join(", ")));
        }
    }
    out
}

/// What a column has to become; nothing where it takes the values, or is of a type that we would not have made.
fn widened(known: &str, kind: Kind) -> Option<Kind> {
    let known = Kind::ALL.into_iter().find(|own| sql_type(*own) == known)?;
    Some(known.with(kind)).filter(|wider| *wider != known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(table: &str, values: &str) -> Row {
        Row { table: table.to_owned(), newest_by: None, clears: None, values: serde_json::from_str(values).unwrap() }
    }

    #[test]
    fn what_a_row_says_wholly_is_cleared() {
        let columns =
            |names: &[(&str, &str)]| names.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
        let users =
            columns(&[("id", "text"), ("vip", "text"), ("city", "text"), ("notes", "text"), ("at", "text"), ("t", "date")]);
        let identifies = columns(&[("id", "text"), ("vip", "text"), ("city", "text"), ("at", "text"), ("t", "date")]);
        let there = HashMap::from([("users".to_owned(), users), ("identifies".to_owned(), identifies)]);
        let cleared = |clears: Clears| {
            let row = Row { clears: Some(clears), ..row("users", r#"{"id": "1", "city": "Ulm"}"#) };
            let batch = cleared(&Batch { schema: "events".to_owned(), rows: vec![row] }, &there);
            batch.rows[0].values.iter().map(|(name, value)| (name.clone(), *value == Cell::Null(()))).collect::<Vec<_>>()
        };
        let expected = |names: &[(&str, bool)]| names.iter().map(|(name, null)| ((*name).to_owned(), *null)).collect::<Vec<_>>();
        let like = Clears::Like { like: "identifies".to_owned(), but: vec!["at".to_owned()] };
        assert_eq!(cleared(like), expected(&[("city", false), ("id", false), ("vip", true)]), "notes are somebody else's");
        let beginning = Clears::Beginning { beginning: vec!["no".to_owned()] };
        assert_eq!(cleared(beginning), expected(&[("city", false), ("id", false), ("notes", true)]));
    }

    #[test]
    fn columns_are_made_for_values_and_widened() {
        let first = row("tracks", r#"{"id": "1", "a": 1, "b": null, "c": {"time": "2026-11-20T10:00:00Z"}, "d\"": true}"#);
        let second = row("tracks", r#"{"id": "2", "a": {"number": "1.5"}, "c": "soon"}"#);
        let batch = Batch { schema: "events".to_owned(), rows: vec![first, second] };
        let wanted = wanted(&batch);
        let made = statements("events", &wanted, &Columns::new());
        assert!(made[0].contains("CREATE SCHEMA \"events\""), "{made:?}");
        let table = "CREATE TABLE \"events\".\"tracks\" (\"id\" text PRIMARY KEY, \"a\" numeric, \"c\" text, \"d\"\"\" boolean)";
        assert_eq!(made[1], table);
        let types = [("id", "text"), ("a", "bigint"), ("c", "character varying(20)")];
        let there = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into();
        let made = statements("events", &wanted, &HashMap::from([("tracks".to_owned(), there)]));
        let change = "ADD COLUMN \"d\"\"\" boolean, ALTER COLUMN \"a\" TYPE numeric USING \"a\"::numeric";
        assert_eq!(made, [format!("ALTER TABLE \"events\".\"tracks\" {change}")], "what somebody else made stays as it is");
    }
}
