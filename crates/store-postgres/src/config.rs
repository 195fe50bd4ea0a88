//! Configuration, names, audit, keys and blobs.

use deadpool_postgres::Pool;
use domain::{OrgId, ProjectId};
use store::{AuditRow, BlobRow, ConfigWrite, ConfigWritten, DirectoryRow, ResourceKind, ResourceRow, StoreError, Unchanged};
use uuid::Uuid;

use crate::{
    convert::{Columns, bytes, resource, resource_columns, text},
    error::{Attempt, Failed},
    jobs,
    pool::{Transaction, query, transaction},
};

pub(crate) async fn version(pool: &Pool) -> Attempt<i64> {
    let rows = query(pool, "SELECT config_version FROM store_state WHERE id = 1", &[]).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

pub(crate) async fn since(pool: &Pool, version: i64, most: u32) -> Attempt<Vec<ResourceRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        resource_columns!(),
        " FROM resources WHERE changed > $1 AND changed <= ( \
            SELECT max(changed) FROM (SELECT changed FROM resources WHERE changed > $1 ORDER BY changed LIMIT $2) next) \
         ORDER BY changed, created_at, org, kind, id"
    );
    query(pool, SQL, &[&version, &i64::from(most)]).await?.iter().map(resource).collect()
}

/// The version's row is bumped first: whoever changes configuration waits there, so versions become visible in order.
pub(crate) async fn write(pool: &Pool, write: &ConfigWrite) -> Attempt<ConfigWritten> {
    let written = transaction!(pool, open => {
        let bump = open
            .prepare("UPDATE store_state SET config_version = config_version + 1 WHERE id = 1 RETURNING config_version")
            .await?;
        let rows = open.query(&bump, &[]).await?;
        let version: i64 = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        claim_results(open, write).await?;
        expect_unchanged(open, &write.unchanged).await?;
        write_resources(open, &write.resources, version).await?;
        expect_no_passes(open, &write.without_passes).await?;
        jobs::write(open, &write.jobs).await?;
        write_names(open, write).await?;
        write_rest(open, write).await?;
        Ok(version)
    });
    match written {
        Ok(version) => Ok(ConfigWritten::Done(version)),
        Err(Failed::Conflict) => Ok(ConfigWritten::Conflict),
        Err(failed) => Err(failed),
    }
}

/// What others wrote before they let the version's row go is seen here: each statement has a snapshot of its own.
async fn expect_unchanged(open: &Transaction, all: &[Unchanged]) -> Attempt<()> {
    let changed = open.prepare("SELECT 1 FROM resources WHERE changed > $3 AND org = $1 AND kind = $2 LIMIT 1").await?;
    for Unchanged { org, kind, since } in all {
        if !open.query(&changed, &[&org.uuid(), kind, since]).await?.is_empty() {
            return Err(Failed::Conflict);
        }
    }
    Ok(())
}

/// Whoever issues the first pass into a project that is removed here holds its row, which was waited for.
async fn expect_no_passes(open: &Transaction, all: &[(OrgId, ProjectId)]) -> Attempt<()> {
    let issued = open.prepare("SELECT 1 FROM passes WHERE org = $1 AND project = $2 AND version >= 0 LIMIT 1").await?;
    for (org, project) in all {
        if !open.query(&issued, &[&org.uuid(), &project.uuid()]).await?.is_empty() {
            return Err(Failed::Conflict);
        }
    }
    Ok(())
}

/// Sees to it that projects are not removed before the transaction ends.
pub(crate) async fn hold(open: &Transaction, projects: &[(OrgId, ProjectId)]) -> Attempt<()> {
    const HOLD: &str = "SELECT 1 FROM resources WHERE org = $1 AND kind = $2 AND id = $3 AND NOT deleted FOR SHARE";
    if projects.is_empty() {
        return Ok(());
    }
    let hold = open.prepare(HOLD).await?;
    let mut projects = projects.to_vec();
    projects.sort_unstable();
    for (org, project) in projects {
        if open.query(&hold, &[&org.uuid(), &ResourceKind::Project.number(), &project.uuid()]).await?.is_empty() {
            return Err(Failed::Conflict);
        }
    }
    Ok(())
}

async fn write_resources(open: &Transaction, rows: &[ResourceRow], version: i64) -> Attempt<()> {
    const INSERT: &str = concat!(
        "INSERT INTO resources (",
        resource_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (org, kind, id) DO NOTHING"
    );
    const REPLACE: &str = "UPDATE resources SET slug = $4, body = $5, revision = $6::bigint, changed = $7, deleted = $8, \
        created_at = $9, updated_at = $10 WHERE org = $1 AND kind = $2 AND id = $3 AND revision = $6::bigint - 1";
    let (insert, replace) = (open.prepare(INSERT).await?, open.prepare(REPLACE).await?);
    for row in rows {
        let statement = if row.revision <= 1 { &insert } else { &replace };
        let slug = row.slug.as_deref().map(text);
        let slug = slug.as_deref();
        let written = open
            .execute(
                statement,
                &[
                    &row.org.uuid(),
                    &row.kind,
                    &row.id,
                    &slug,
                    &row.body,
                    &row.revision,
                    &version,
                    &row.deleted,
                    &row.created_at.as_micros(),
                    &row.updated_at.as_micros(),
                ],
            )
            .await;
        match written {
            Err(failed) if failed.unique() == Some("resources_slug") => {
                return Err(StoreError::Taken(slug.unwrap_or_default().to_owned()).into());
            }
            Ok(0) => return Err(Failed::Conflict),
            other => other?,
        };
    }
    Ok(())
}

async fn claim_results(open: &Transaction, write: &ConfigWrite) -> Attempt<()> {
    const CLAIM: &str = "INSERT INTO results (org, principal, key, fingerprint, subject, body, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (org, principal, key) DO UPDATE SET \
        fingerprint = excluded.fingerprint, subject = excluded.subject, body = excluded.body, expires_at = excluded.expires_at \
        WHERE results.expires_at <= $8";
    if write.results.is_empty() {
        return Ok(());
    }
    let claim = open.prepare(CLAIM).await?;
    for row in &write.results {
        let (principal, key, fingerprint) = (text(&row.principal), text(&row.key), &row.fingerprint[..]);
        let times = (row.expires_at.as_micros(), write.now.as_micros());
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [&row.org.uuid(), &principal, &key, &fingerprint, &row.subject, &row.body, &times.0, &times.1];
        if open.execute(&claim, &values).await? == 0 {
            return Err(Failed::Conflict);
        }
    }
    Ok(())
}

async fn write_names(open: &Transaction, write: &ConfigWrite) -> Attempt<()> {
    let remove = open.prepare("DELETE FROM directory WHERE kind = $1 AND name = $2").await?;
    for (kind, name) in &write.removed_names {
        open.execute(&remove, &[kind, name]).await?;
    }
    let add =
        open.prepare("INSERT INTO directory (kind, name, org, target) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING").await?;
    let mut names: Vec<_> = write.names.iter().collect();
    names.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    for row in names {
        if open.execute(&add, &[&row.kind, &row.name, &row.org.uuid(), &row.target]).await? == 0 {
            // Hashes of secrets are not for showing.
            let shown = std::str::from_utf8(&row.name).map_or_else(|_| "that name".to_owned(), str::to_owned);
            return Err(StoreError::Taken(shown).into());
        }
    }
    Ok(())
}

async fn write_rest(open: &Transaction, write: &ConfigWrite) -> Attempt<()> {
    let insert = open
        .prepare(
            "INSERT INTO audit (org, id, at, actor, action, kind, resource, before, after) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .await?;
    for row in &write.audit {
        open.execute(
            &insert,
            &[
                &row.org.uuid(),
                &row.id,
                &row.at.as_micros(),
                &row.actor,
                &row.action,
                &row.kind,
                &row.resource,
                &row.before,
                &row.after,
            ],
        )
        .await?;
    }
    let insert = open.prepare("INSERT INTO org_keys (org, wrapped) VALUES ($1, $2) ON CONFLICT DO NOTHING").await?;
    for (org, wrapped) in &write.org_keys {
        if open.execute(&insert, &[&org.uuid(), wrapped]).await? == 0 {
            return Err(Failed::Conflict);
        }
    }
    let insert = open
        .prepare(
            "INSERT INTO blobs (org, sha256, media_type, bytes, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .await?;
    for row in &write.blobs {
        let sha256 = &row.sha256[..];
        open.execute(&insert, &[&row.org.uuid(), &sha256, &row.media_type, &row.bytes, &row.created_at.as_micros()]).await?;
    }
    Ok(())
}

pub(crate) async fn org_keys(pool: &Pool) -> Attempt<Vec<(OrgId, Vec<u8>)>> {
    let rows = query(pool, "SELECT org, wrapped FROM org_keys", &[]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.id()?, columns.take()?))
        })
        .collect()
}

pub(crate) async fn look_up(pool: &Pool, kind: i16, name: &[u8]) -> Attempt<Option<(OrgId, Uuid)>> {
    let rows = query(pool, "SELECT org, target FROM directory WHERE kind = $1 AND name = $2", &[&kind, &name]).await?;
    rows.first()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.id()?, columns.take()?))
        })
        .transpose()
}

/// [`store::Backend::names`]; 4 are link codes.
pub(crate) async fn names(pool: &Pool, org: OrgId, after: &(i16, Vec<u8>), limit: u32) -> Attempt<Vec<DirectoryRow>> {
    const SQL: &str = "SELECT kind, name, org, target FROM directory \
        WHERE (kind, name) > ($2, $3) AND org = $1 AND kind <> 4 ORDER BY kind, name LIMIT $4";
    let rows = query(pool, SQL, &[&org.uuid(), &after.0, &after.1, &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok(DirectoryRow { kind: columns.take()?, name: columns.take()?, org: columns.id()?, target: columns.take()? })
        })
        .collect()
}

pub(crate) async fn blob_names(pool: &Pool, org: OrgId) -> Attempt<Vec<[u8; 32]>> {
    let rows = query(pool, "SELECT sha256 FROM blobs WHERE org = $1 ORDER BY sha256", &[&org.uuid()]).await?;
    rows.iter().map(|row| bytes(Columns::of(row).take()?, "blobs", "sha256")).collect()
}

pub(crate) async fn audit(pool: &Pool, org: OrgId, before: Option<Uuid>, limit: u32) -> Attempt<Vec<AuditRow>> {
    const SQL: &str = "SELECT org, id, at, actor, action, kind, resource, before, after FROM audit \
        WHERE org = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
    let rows = query(pool, SQL, &[&org.uuid(), &before.unwrap_or(Uuid::max()), &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok(AuditRow {
                org: columns.id()?,
                id: columns.take()?,
                at: columns.time()?,
                actor: columns.take()?,
                action: columns.take()?,
                kind: columns.take()?,
                resource: columns.take()?,
                before: columns.take()?,
                after: columns.take()?,
            })
        })
        .collect()
}

pub(crate) async fn blob(pool: &Pool, org: OrgId, sha256: [u8; 32]) -> Attempt<Option<BlobRow>> {
    const SQL: &str = "SELECT org, sha256, media_type, bytes, created_at FROM blobs WHERE org = $1 AND sha256 = $2";
    let rows = query(pool, SQL, &[&org.uuid(), &&sha256[..]]).await?;
    rows.first()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok(BlobRow {
                org: columns.id()?,
                sha256: bytes(columns.take()?, "blobs", "sha256")?,
                media_type: columns.take()?,
                bytes: columns.take()?,
                created_at: columns.time()?,
            })
        })
        .transpose()
}
