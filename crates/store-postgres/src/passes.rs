//! Lists of passes and contacts.

use deadpool_postgres::Pool;
use domain::{ContactId, OrgId, PassId, ProjectId, Timestamp};
use store::{ContactRow, PassFilter, PassRow, PassState};
use tokio_postgres::types::ToSql;
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
    const OF_PROJECT: &str = list!("p.project = $4 AND p.version >= 0 AND $5::uuid IS NULL");
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

/// Passes that fulfil a filter: of each way to be installed the first by the index of those, then the first of all.
pub(crate) async fn find(pool: &Pool, org: OrgId, filter: &PassFilter, limit: u32) -> Attempt<Vec<PassRow>> {
    let (org, limit) = (org.uuid(), i64::from(limit));
    let (project, contact) = (filter.project.map(ProjectId::uuid), filter.contact.map(ContactId::uuid));
    let at = filter.after.map(|(at, _)| at).or(filter.updated_since).map_or(0, Timestamp::as_micros);
    // No id is nil.
    let after = filter.after.map_or(Uuid::nil(), |(_, id)| id.uuid());
    let state = filter.state.map(PassState::number);
    let mut bound: Vec<&(dyn ToSql + Sync)> = vec![&org, &limit, &after];
    let mut wanted = "org = $1 AND version >= 0".to_owned();
    if let Some(project) = &project {
        bound.push(project);
        wanted.push_str(&format!(" AND project = ${}", bound.len()));
    }
    if let Some(contact) = &contact {
        bound.push(contact);
        wanted.push_str(&format!(" AND contact = ${}", bound.len()));
    }
    if let Some(state) = &state {
        bound.push(state);
        wanted.push_str(&format!(" AND state = ${}", bound.len()));
    }
    let (order, place) = if filter.updated_since.is_some() {
        bound.push(&at);
        ("updated_at, id", format!("(updated_at, id) > (${}, $3)", bound.len()))
    } else {
        ("id", "id > $3".to_owned())
    };
    let each: Vec<String> = if filter.installed.is_empty() {
        vec![String::new()]
    } else {
        filter.installed.iter().map(|way| format!(" AND installed = {way}")).collect()
    };
    let each: Vec<String> = each
        .iter()
        .map(|way| format!("(SELECT id FROM passes WHERE {wanted}{way} AND {place} ORDER BY {order} LIMIT $2)"))
        .collect();
    let order = if filter.updated_since.is_some() { "p.updated_at, p.id" } else { "p.id" };
    let sql = format!(
        "SELECT {} FROM passes p JOIN ({}) f ON f.id = p.id WHERE p.org = $1 ORDER BY {order} LIMIT $2",
        pass_columns!(),
        each.join(" UNION ALL ")
    );
    let rows = query(pool, &sql, &bound).await?;
    rows.iter().map(|row| pass(&mut Columns::of(row))).collect()
}

pub(crate) async fn find_contacts(
    pool: &Pool,
    org: OrgId,
    wallets: i16,
    after: Option<ContactId>,
    limit: u32,
) -> Attempt<Vec<ContactRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        contact_columns!(),
        " FROM contacts c WHERE c.org = $1 AND c.wallets = $2 AND c.created_at >= 0 AND c.id > $3 ORDER BY c.id LIMIT $4"
    );
    let after = after.map_or(Uuid::nil(), ContactId::uuid);
    let rows = query(pool, SQL, &[&org.uuid(), &wallets, &after, &i64::from(limit)]).await?;
    rows.iter().filter_map(|row| contact(&mut Columns::of(row)).transpose()).collect()
}

/// Counts by the index alone, where the table was vacuumed lately.
pub(crate) async fn count(pool: &Pool, org: OrgId, project: ProjectId, most: u32) -> Attempt<u32> {
    const SQL: &str = "SELECT count(*) FROM (SELECT 1 FROM passes WHERE org = $1 AND project = $2 AND version >= 0 LIMIT $3) p";
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
