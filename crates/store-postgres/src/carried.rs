//! What goes along when an organization moves, page by page.

use deadpool_postgres::Pool;
use domain::{BatchId, ContactId, OrgId, PassId, SyncId, TargetId, Timestamp};
use store::{DedupeRow, Hash, ResultRow};
use uuid::Uuid;

use crate::{
    convert::{Columns, result, result_columns},
    error::Attempt,
    pool::{execute, query},
};

/// Results under idempotency keys.
pub(crate) async fn results(
    pool: &Pool,
    org: OrgId,
    after: &(String, String),
    now: Timestamp,
    limit: u32,
) -> Attempt<Vec<ResultRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        result_columns!(),
        " FROM results r WHERE r.org = $1 AND (r.principal, r.key) > ($2, $3) AND r.expires_at > $4 \
         ORDER BY r.principal, r.key LIMIT $5"
    );
    let rows = query(pool, SQL, &[&org.uuid(), &after.0, &after.1, &now.as_micros(), &i64::from(limit)]).await?;
    rows.iter().map(result).collect()
}

/// Message ids of source events; a place is a source and an id.
pub(crate) async fn dedupe(pool: &Pool, org: OrgId, after: &[u8], limit: u32) -> Attempt<(Vec<DedupeRow>, Vec<u8>)> {
    const SQL: &str = "SELECT source, dedupe, id, expires_at FROM inbox_keys WHERE org = $1 AND (source, dedupe) > ($2, $3) \
        ORDER BY source, dedupe LIMIT $4";
    let place = after.split_at_checked(16).map(|(source, dedupe)| [source, dedupe].map(|half| Uuid::from_slice(half).ok()));
    let [source, dedupe] = place.unwrap_or_default().map(Option::unwrap_or_default);
    let rows = query(pool, SQL, &[&org.uuid(), &source, &dedupe, &i64::from(limit)]).await?;
    let read = |row| {
        let mut columns = Columns::of(row);
        Ok(DedupeRow { org, source: columns.id()?, dedupe: columns.hash()?, id: columns.id()?, until: columns.time()? })
    };
    let rows = rows.iter().map(read).collect::<Attempt<Vec<DedupeRow>>>()?;
    let behind = rows.last().map_or(after.to_vec(), |last| [*last.source.uuid().as_bytes(), last.dedupe].concat());
    Ok((rows, behind))
}

/// Keeps message ids.
pub(crate) async fn keep_dedupe(pool: &Pool, rows: &[DedupeRow]) -> Attempt<()> {
    const SQL: &str = "INSERT INTO inbox_keys (org, source, dedupe, id, expires_at) \
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[]) ORDER BY 1, 2, 3 \
        ON CONFLICT (org, source, dedupe) DO NOTHING";
    execute(
        pool,
        SQL,
        &[
            &rows.iter().map(|row| row.org.uuid()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.source.uuid()).collect::<Vec<_>>(),
            &rows.iter().map(|row| Uuid::from_bytes(row.dedupe)).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.id.uuid()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.until.as_micros()).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// What destinations were last told of contacts.
pub(crate) async fn synced(
    pool: &Pool,
    org: OrgId,
    after: (TargetId, ContactId),
    limit: u32,
) -> Attempt<Vec<(TargetId, ContactId, Hash)>> {
    const SQL: &str = "SELECT target, contact, hash FROM synced WHERE org = $1 AND (target, contact) > ($2, $3) \
        ORDER BY target, contact LIMIT $4";
    let rows = query(pool, SQL, &[&org.uuid(), &after.0.uuid(), &after.1.uuid(), &i64::from(limit)]).await?;
    let read = |row| {
        let mut columns = Columns::of(row);
        Ok((columns.id()?, columns.id()?, columns.hash()?))
    };
    rows.iter().map(read).collect()
}

/// Which contacts destinations find under which records.
pub(crate) async fn records(
    pool: &Pool,
    org: OrgId,
    after: (TargetId, Hash, ContactId),
    limit: u32,
) -> Attempt<Vec<(TargetId, Hash, ContactId)>> {
    const SQL: &str = "SELECT target, record, contact FROM record_contacts \
        WHERE org = $1 AND (target, record, contact) > ($2, $3, $4) ORDER BY target, record, contact LIMIT $5";
    let (target, record, contact) = (after.0.uuid(), Uuid::from_bytes(after.1), after.2.uuid());
    let rows = query(pool, SQL, &[&org.uuid(), &target, &record, &contact, &i64::from(limit)]).await?;
    let read = |row| {
        let mut columns = Columns::of(row);
        Ok((columns.id()?, columns.hash()?, columns.id()?))
    };
    rows.iter().map(read).collect()
}

/// Which run last had a row about a pass.
pub(crate) async fn mirrored(
    pool: &Pool,
    org: OrgId,
    after: (SyncId, PassId),
    limit: u32,
) -> Attempt<Vec<(SyncId, PassId, BatchId)>> {
    const SQL: &str =
        "SELECT sync, pass, run FROM mirrored WHERE org = $1 AND (sync, pass) > ($2, $3) ORDER BY sync, pass LIMIT $4";
    let rows = query(pool, SQL, &[&org.uuid(), &after.0.uuid(), &after.1.uuid(), &i64::from(limit)]).await?;
    let read = |row| {
        let mut columns = Columns::of(row);
        Ok((columns.id()?, columns.id()?, columns.id()?))
    };
    rows.iter().map(read).collect()
}
