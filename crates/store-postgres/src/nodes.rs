//! The nodes that work on this database.

use deadpool_postgres::Pool;
use store::NodeRow;

use crate::{
    convert::Columns,
    error::Attempt,
    pool::{execute, query},
};

pub(crate) async fn all(pool: &Pool) -> Attempt<Vec<NodeRow>> {
    let rows = query(pool, "SELECT name, incarnation, beat, challenge FROM nodes ORDER BY name", &[]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok(NodeRow { name: columns.take()?, incarnation: columns.take()?, beat: columns.take()?, challenge: columns.take()? })
        })
        .collect()
}

/// Of two that start at once under one name, the row lets one in.
pub(crate) async fn join(pool: &Pool, name: &str, incarnation: i64, former: Option<i64>) -> Attempt<bool> {
    const NEW: &str = "INSERT INTO nodes (name, incarnation, beat, challenge) VALUES ($1, $2, 0, 0)
        ON CONFLICT (name) DO UPDATE SET beat = 0 WHERE nodes.incarnation = $2";
    const REPLACED: &str =
        "UPDATE nodes SET incarnation = $2, beat = 0, challenge = 0 WHERE name = $1 AND incarnation IN ($2, $3)";
    let written = match former {
        None => execute(pool, NEW, &[&name, &incarnation]).await?,
        Some(former) => execute(pool, REPLACED, &[&name, &incarnation, &former]).await?,
    };
    Ok(written == 1)
}

pub(crate) async fn challenge(pool: &Pool, name: &str, incarnation: i64) -> Attempt<()> {
    const SQL: &str = "UPDATE nodes SET challenge = challenge + 1 WHERE name = $1 AND incarnation = $2";
    execute(pool, SQL, &[&name, &incarnation]).await.map(drop)
}

pub(crate) async fn show(pool: &Pool, name: &str, incarnation: i64) -> Attempt<bool> {
    const SQL: &str = "UPDATE nodes SET beat = beat + 1 WHERE name = $1 AND incarnation = $2";
    Ok(execute(pool, SQL, &[&name, &incarnation]).await? == 1)
}

pub(crate) async fn leave(pool: &Pool, name: &str, incarnation: i64) -> Attempt<()> {
    execute(pool, "DELETE FROM nodes WHERE name = $1 AND incarnation = $2", &[&name, &incarnation]).await.map(drop)
}
