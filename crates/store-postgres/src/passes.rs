//! Lists of passes and contacts.

use deadpool_postgres::Pool;
use domain::{ContactId, OrgId, PassId, ProjectId, Timestamp};
use store::{ContactRow, PassRow};
use uuid::Uuid;

use crate::{
    convert::{Columns, contact, contact_columns, pass, pass_columns, to_shard},
    error::Attempt,
    pool::query,
};

pub(crate) async fn passes(
    pool: &Pool,
    org: OrgId,
    project: Option<ProjectId>,
    contact: Option<ContactId>,
    after: Option<PassId>,
    limit: u32,
) -> Attempt<Vec<PassRow>> {
    macro_rules! list {
        ($filter:literal) => {
            concat!(
                "SELECT ",
                pass_columns!(),
                " FROM passes p WHERE p.org = $1 AND p.id > $2 AND ",
                $filter,
                " ORDER BY p.id LIMIT $3"
            )
        };
    }
    const ALL: &str = list!("$4::uuid IS NULL AND $5::uuid IS NULL");
    const OF_PROJECT: &str = list!("p.project = $4 AND $5::uuid IS NULL");
    const OF_CONTACT: &str = list!("p.contact = $5 AND ($4::uuid IS NULL OR p.project = $4)");
    let sql = match (project, contact) {
        (None, None) => ALL,
        (Some(_), None) => OF_PROJECT,
        (_, Some(_)) => OF_CONTACT,
    };
    // No id is nil.
    let after = after.map_or(Uuid::nil(), PassId::uuid);
    let (project, contact) = (project.map(ProjectId::uuid), contact.map(ContactId::uuid));
    let rows = query(pool, sql, &[&org.uuid(), &after, &i64::from(limit), &project, &contact]).await?;
    rows.iter().map(|row| pass(&mut Columns::of(row))).collect()
}

/// Counts by the index alone, where the table was vacuumed lately.
pub(crate) async fn count(pool: &Pool, org: OrgId, project: ProjectId, most: u32) -> Attempt<u32> {
    const SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM passes WHERE org = $1 AND project = $2 LIMIT $3) p";
    let rows = query(pool, SQL, &[&org.uuid(), &project.uuid(), &i64::from(most)]).await?;
    let counted: i64 = rows.first().map(|row| Columns::of(row).take()).transpose()?.unwrap_or_default();
    Ok(u32::try_from(counted).unwrap_or(most))
}

pub(crate) async fn contacts(pool: &Pool, org: OrgId, after: Option<ContactId>, limit: u32) -> Attempt<Vec<ContactRow>> {
    const SQL: &str =
        concat!("SELECT ", contact_columns!(), " FROM contacts c WHERE c.org = $1 AND c.id > $2 ORDER BY c.id LIMIT $3");
    let after = after.map_or(Uuid::nil(), ContactId::uuid);
    let rows = query(pool, SQL, &[&org.uuid(), &after, &i64::from(limit)]).await?;
    rows.iter().filter_map(|row| contact(&mut Columns::of(row)).transpose()).collect()
}

pub(crate) async fn due(pool: &Pool, shard: u16, now: Timestamp, limit: u32) -> Attempt<Vec<(OrgId, PassId)>> {
    const SQL: &str = "SELECT org, id FROM passes WHERE shard = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3";
    let rows = query(pool, SQL, &[&to_shard(shard), &now.as_micros(), &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.id()?, columns.id()?))
        })
        .collect()
}
