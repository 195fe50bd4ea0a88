//! Bounded rings for people to look at.

use deadpool_postgres::Pool;
use domain::OrgId;
use store::CaptureRow;

use crate::{
    convert::{Columns, text},
    error::Attempt,
    pool::query,
};

/// What is inserted by a statement is not seen by its other parts, so the ring is cut to one less beside it.
pub(crate) async fn capture(pool: &Pool, row: &CaptureRow, keep: u32) -> Attempt<()> {
    const SQL: &str = "WITH cut AS (DELETE FROM captures WHERE org = $1 AND ring = $2 AND id <= (
            SELECT id FROM captures WHERE org = $1 AND ring = $2 ORDER BY id DESC OFFSET $6 LIMIT 1))
        INSERT INTO captures (org, ring, id, at, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let others = i64::from(keep.saturating_sub(1));
    query(pool, SQL, &[&row.org.uuid(), &text(&row.ring), &row.id, &row.at.as_micros(), &row.body, &others]).await?;
    Ok(())
}

pub(crate) async fn list(pool: &Pool, org: OrgId, ring: &str, limit: u32) -> Attempt<Vec<CaptureRow>> {
    const SQL: &str = "SELECT org, ring, id, at, body FROM captures WHERE org = $1 AND ring = $2 ORDER BY id DESC LIMIT $3";
    let rows = query(pool, SQL, &[&org.uuid(), &text(ring), &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok(CaptureRow {
                org: columns.id()?,
                ring: columns.take()?,
                id: columns.take()?,
                at: columns.time()?,
                body: columns.take()?,
            })
        })
        .collect()
}

pub(crate) async fn remove(pool: &Pool, org: OrgId, ring: &str) -> Attempt<()> {
    query(pool, "DELETE FROM captures WHERE org = $1 AND ring = $2", &[&org.uuid(), &ring]).await?;
    Ok(())
}
