//! What destinations were last told of contacts.

use deadpool_postgres::Pool;
use domain::{ContactId, OrgId, TargetId};
use store::Hash;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    convert::Columns,
    error::Attempt,
    pool::{execute, query},
};

/// Of these contacts, what was told.
pub(crate) async fn read(pool: &Pool, org: OrgId, target: TargetId, contacts: &[ContactId]) -> Attempt<Vec<(ContactId, Hash)>> {
    const SQL: &str = "SELECT contact, hash FROM synced WHERE org = $1 AND target = $2 AND contact = ANY($3)";
    let contacts: Vec<Uuid> = contacts.iter().map(|contact| contact.uuid()).collect();
    let rows = query(pool, SQL, &[&org.uuid(), &target.uuid(), &contacts]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.id()?, columns.hash()?))
        })
        .collect()
}

/// Notes what was told, or that it is not known any more; each contact stands once.
pub(crate) async fn note(pool: &Pool, org: OrgId, target: TargetId, told: &[(ContactId, Option<Hash>)]) -> Attempt<()> {
    const SQL: &str = "WITH gone AS (DELETE FROM synced WHERE org = $1 AND target = $2 AND contact = ANY($3)) \
        INSERT INTO synced (org, target, contact, hash) SELECT $1, $2, t.* FROM unnest($4::uuid[], $5::uuid[]) AS t \
        ORDER BY 3 ON CONFLICT (org, target, contact) DO UPDATE SET hash = excluded.hash";
    let gone: Vec<Uuid> = told.iter().filter(|(_, hash)| hash.is_none()).map(|(contact, _)| contact.uuid()).collect();
    let (contacts, hashes): (Vec<Uuid>, Vec<Uuid>) =
        told.iter().filter_map(|(contact, hash)| Some((contact.uuid(), Uuid::from_bytes((*hash)?)))).unzip();
    query(pool, SQL, &[&org.uuid(), &target.uuid(), &gone, &contacts, &hashes]).await?;
    Ok(())
}

/// Notes which contacts are found under which record.
pub(crate) async fn note_records(pool: &Pool, org: OrgId, target: TargetId, found: &[(Hash, ContactId)]) -> Attempt<()> {
    const SQL: &str = "INSERT INTO record_contacts (org, target, record, contact) \
        SELECT $1, $2, t.* FROM unnest($3::uuid[], $4::uuid[]) AS t ORDER BY 3, 4 ON CONFLICT DO NOTHING";
    let (records, contacts): (Vec<Uuid>, Vec<Uuid>) =
        found.iter().map(|(record, contact)| (Uuid::from_bytes(*record), contact.uuid())).unzip();
    execute(pool, SQL, &[&org.uuid(), &target.uuid(), &records, &contacts]).await?;
    Ok(())
}

/// The contacts that are noted of records.
pub(crate) async fn records(
    pool: &Pool,
    org: OrgId,
    target: TargetId,
    records: &[Hash],
    each: u32,
) -> Attempt<Vec<(Hash, ContactId)>> {
    const SQL: &str = "SELECT asked.record, of_it.contact FROM unnest($3::uuid[]) AS asked(record), LATERAL \
        (SELECT contact FROM record_contacts WHERE org = $1 AND target = $2 AND record = asked.record ORDER BY contact LIMIT $4) \
        AS of_it";
    let records: Vec<Uuid> = records.iter().map(|record| Uuid::from_bytes(*record)).collect();
    let rows = query(pool, SQL, &[&org.uuid(), &target.uuid(), &records, &i64::from(each)]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.hash()?, columns.id()?))
        })
        .collect()
}

/// The next destination that something is noted of.
pub(crate) async fn next(pool: &Pool, after: Option<(OrgId, TargetId)>) -> Attempt<Option<(OrgId, TargetId)>> {
    const SQL: &str = "(SELECT org, target FROM synced WHERE (org, target) > ($1, $2) ORDER BY org, target LIMIT 1) UNION ALL \
        (SELECT org, target FROM record_contacts WHERE (org, target) > ($1, $2) ORDER BY org, target LIMIT 1) \
        ORDER BY org, target LIMIT 1";
    let (org, target) = after.map_or((Uuid::nil(), Uuid::nil()), |(org, target)| (org.uuid(), target.uuid()));
    let read = |row: &Row| {
        let mut columns = Columns::of(row);
        Ok((columns.id()?, columns.id()?))
    };
    query(pool, SQL, &[&org, &target]).await?.first().map(read).transpose()
}

/// Removes some of what is noted of a destination.
pub(crate) async fn drop_some(pool: &Pool, org: OrgId, target: TargetId, limit: u32) -> Attempt<u32> {
    const TOLD: &str = "DELETE FROM synced WHERE org = $1 AND target = $2 AND contact = ANY (ARRAY(SELECT contact FROM synced
        WHERE org = $1 AND target = $2 LIMIT $3))";
    const RECORDS: &str = "DELETE FROM record_contacts WHERE org = $1 AND target = $2 AND (record, contact) IN
        (SELECT record, contact FROM record_contacts WHERE org = $1 AND target = $2 LIMIT $3)";
    let told = execute(pool, TOLD, &[&org.uuid(), &target.uuid(), &i64::from(limit)]).await?;
    let records = execute(pool, RECORDS, &[&org.uuid(), &target.uuid(), &i64::from(limit)]).await?;
    Ok(u32::try_from(told.max(records)).unwrap_or(u32::MAX))
}
