//! Commits: three goes at most, each one round trip.
//!
//! 1. Lock the rows that are replaced, in key order; claim keys and write what carries no number.
//! 2. Where names or external ids change, give up old ones and claim new ones, in key order.
//! 3. Bump the heads in ascending order, write events and passes with their numbers, and commit: the heads are held no
//!    longer than the commit itself takes.

mod append;
mod claims;
mod statements;

use std::collections::HashMap;

use deadpool_postgres::Pool;
use domain::{OrgId, PassId};
use store::{CommitRows, Committed, PassWrite, StoreError};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    config,
    convert::Columns,
    error::{Attempt, Failed},
    pool::{Transaction, rerun},
};
use statements::Statements;

pub(crate) async fn commit(pool: &Pool, rows: &CommitRows) -> Attempt<Committed> {
    let batch = Batch::of(rows)?;
    match rerun!(Box::pin(commit_once(pool, &batch)).await) {
        Ok(positions) => Ok(Committed::Done(positions)),
        Err(Failed::Conflict) => Ok(Committed::Conflict),
        // A pass or contact that another commit inserted between our look and our insert.
        Err(failed) if failed.unique().is_some() => Ok(Committed::Conflict),
        Err(failed) => Err(failed),
    }
}

/// The rows of a commit, those of each table in the order of their keys.
struct Batch<'a> {
    rows: &'a CommitRows,
    passes: Vec<&'a PassWrite>,
    contacts: Vec<&'a store::ContactWrite>,
    installations: Vec<&'a store::InstallationRow>,
    data_keys: Vec<&'a (OrgId, Uuid, Vec<u8>)>,
    destroyed: Vec<(OrgId, Uuid)>,
    results: Vec<&'a store::ResultRow>,
    codes: Vec<(&'a str, OrgId, PassId)>,
}

impl<'a> Batch<'a> {
    fn of(rows: &'a CommitRows) -> Attempt<Self> {
        let mut passes: Vec<_> = rows.passes.iter().collect();
        passes.sort_by_key(|write| (write.row.org, write.row.id));
        let mut contacts: Vec<_> = rows.contacts.iter().collect();
        contacts.sort_by_key(|write| (write.row.org, write.row.id));
        if passes.windows(2).any(|pair| (pair[0].row.org, pair[0].row.id) == (pair[1].row.org, pair[1].row.id))
            || contacts.windows(2).any(|pair| (pair[0].row.org, pair[0].row.id) == (pair[1].row.org, pair[1].row.id))
        {
            return Err(StoreError::Internal("a commit writes one pass or contact twice".into()).into());
        }
        // Of one installation the last word counts.
        let installations: std::collections::BTreeMap<_, _> =
            rows.installations.iter().map(|row| ((row.org, row.pass, row.wallet, &row.device), row)).collect();
        let mut data_keys: Vec<_> = rows.data_keys.iter().collect();
        data_keys.sort_by_key(|key| (key.0, key.1));
        let mut destroyed = rows.destroyed_keys.clone();
        destroyed.sort_unstable();
        destroyed.dedup();
        let mut results: Vec<_> = rows.results.iter().collect();
        results.sort_by(|a, b| (a.org, &a.principal, &a.key).cmp(&(b.org, &b.principal, &b.key)));
        let new = passes.iter().filter(|write| write.expected.is_none());
        let mut codes: Vec<_> = new.filter_map(|write| Some((write.code.as_deref()?, write.row.org, write.row.id))).collect();
        codes.sort_unstable();
        Ok(Self {
            rows,
            passes,
            contacts,
            installations: installations.into_values().collect(),
            data_keys,
            destroyed,
            results,
            codes,
        })
    }

    /// Whether one key is claimed twice in the batch itself.
    fn claims_twice(&self) -> bool {
        self.data_keys.windows(2).any(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
            || self
                .results
                .windows(2)
                .any(|pair| (pair[0].org, &pair[0].principal, &pair[0].key) == (pair[1].org, &pair[1].principal, &pair[1].key))
    }
}

async fn commit_once(pool: &Pool, batch: &Batch<'_>) -> Attempt<Vec<domain::Position>> {
    if batch.claims_twice() {
        return Err(Failed::Conflict);
    }
    let open = Transaction::new(pool).await?;
    let statements = Statements::prepare(&open).await?;
    match steps(&open, &statements, batch).await {
        Ok(positions) => {
            open.ended();
            Ok(positions)
        }
        Err(failed) => {
            open.roll_back().await;
            Err(failed)
        }
    }
}

async fn steps(open: &Transaction, statements: &Statements, batch: &Batch<'_>) -> Attempt<Vec<domain::Position>> {
    let locked = Box::pin(claims::lock_and_claim(open, statements, batch)).await?;
    Box::pin(config::hold(open, &batch.rows.standing)).await?;
    Box::pin(claims::change_names(open, statements, batch, &locked)).await?;
    Box::pin(append::append_and_commit(open, statements, batch)).await
}

/// What is stored of a pass that is written.
struct StoredPass {
    version: i64,
    external: Option<(OrgId, Uuid, Uuid)>,
}

/// What is stored of the rows that are written.
struct Locked {
    passes: HashMap<(OrgId, PassId), StoredPass>,
    /// Names of the contacts that are replaced.
    names: Vec<(OrgId, Uuid, domain::ContactId)>,
}

impl Locked {
    fn of(passes: &[Row], names: &[Row]) -> Attempt<Self> {
        let mut locked = Self { passes: HashMap::with_capacity(passes.len()), names: Vec::with_capacity(names.len()) };
        for row in passes {
            let mut columns = Columns::of(row);
            let (org, id, version) = (columns.id()?, columns.id()?, columns.take()?);
            let (project, external, state) = (columns.take()?, columns.take::<Option<Uuid>>()?, columns.take::<i16>()?);
            let external = external.filter(|_| state != store::DELETED).map(|external| (org, project, external));
            locked.passes.insert((org, id), StoredPass { version, external });
        }
        for row in names {
            let mut columns = Columns::of(row);
            locked.names.push((columns.id()?, columns.take()?, columns.id()?));
        }
        Ok(locked)
    }
}
