//! The lines of those contacts that have a name.

use deadpool_postgres::Pool;
use domain::{ContactId, OrgId};
use store::Hash;
use uuid::Uuid;

use crate::{
    convert::Columns,
    error::Attempt,
    pool::{execute, query},
};

/// Those that have a name, behind one of them.
pub(crate) async fn line(pool: &Pool, org: OrgId, name: Hash, behind: Option<ContactId>, limit: u32) -> Attempt<Vec<ContactId>> {
    const SQL: &str = "SELECT contact FROM contact_keys WHERE org = $1 AND hash = $2 AND place > coalesce( \
            (SELECT place FROM contact_keys WHERE org = $1 AND contact = $3 AND hash = $2 AND place >= 0), -1) \
        ORDER BY place LIMIT $4";
    let behind = behind.map(|contact| contact.uuid());
    let rows = query(pool, SQL, &[&org.uuid(), &Uuid::from_bytes(name), &behind, &i64::from(limit)]).await?;
    rows.iter().map(|row| Columns::of(row).id()).collect()
}

/// The places of contacts that stand behind others.
pub(crate) async fn places(pool: &Pool, org: OrgId, contacts: &[ContactId]) -> Attempt<Vec<(ContactId, i64)>> {
    const SQL: &str = "SELECT contact, place FROM contact_keys WHERE org = $1 AND contact = ANY($2) AND place > 0";
    let contacts: Vec<Uuid> = contacts.iter().map(|contact| contact.uuid()).collect();
    let rows = query(pool, SQL, &[&org.uuid(), &contacts]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.id()?, columns.take()?))
        })
        .collect()
}

/// Organizations whose contacts are still to be looked through.
pub(crate) async fn unlined(pool: &Pool) -> Attempt<Vec<OrgId>> {
    let rows = query(pool, "SELECT org FROM unlined ORDER BY org", &[]).await?;
    rows.iter().map(|row| Columns::of(row).id()).collect()
}

/// Notes that an organization's contacts were looked through.
pub(crate) async fn lined(pool: &Pool, org: OrgId) -> Attempt<()> {
    execute(pool, "DELETE FROM unlined WHERE org = $1", &[&org.uuid()]).await?;
    Ok(())
}
