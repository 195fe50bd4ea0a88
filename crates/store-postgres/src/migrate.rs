//! The schema, one numbered step after another.

use deadpool_postgres::Pool;
use domain::Timestamp;
use store::StoreError;
use uuid::Uuid;

use crate::{
    error::Attempt,
    partitions,
    pool::{Transaction, connection, query, rerun},
};

/// The steps, oldest first; the number of a step is its place, from 1. A step that was released is never changed.
const STEPS: &[&str] = &[
    include_str!("../migrations/0001_spine.sql"),
    include_str!("../migrations/0002_sealed_headers.sql"),
    include_str!("../migrations/0003_jobs.sql"),
    include_str!("../migrations/0004_nodes.sql"),
    include_str!("../migrations/0005_push_tries.sql"),
    include_str!("../migrations/0006_google.sql"),
    include_str!("../migrations/0007_synced.sql"),
    include_str!("../migrations/0008_replays.sql"),
    include_str!("../migrations/0009_batches.sql"),
    include_str!("../migrations/0010_job_subjects.sql"),
    include_str!("../migrations/0011_delayed.sql"),
    include_str!("../migrations/0012_mirrored.sql"),
    include_str!("../migrations/0013_repeats.sql"),
    include_str!("../migrations/0014_asked_again.sql"),
    include_str!("../migrations/0015_owed_to_a_target.sql"),
    include_str!("../migrations/0016_installed.sql"),
    include_str!("../migrations/0017_records.sql"),
    include_str!("../migrations/0018_pages_of_the_owed.sql"),
    include_str!("../migrations/0019_waiting_in_order.sql"),
    include_str!("../migrations/0020_lines.sql"),
    include_str!("../migrations/0021_paths.sql"),
];

/// Where the schema's number is. Its one row is also what two nodes that migrate at once take turns on.
const BOOTSTRAP: &str = "CREATE TABLE IF NOT EXISTS schema_version (
        id smallint PRIMARY KEY CHECK (id = 1), version bigint NOT NULL, changed_at bigint NOT NULL);
    INSERT INTO schema_version (id, version, changed_at) VALUES (1, 0, 0) ON CONFLICT DO NOTHING";

/// How often the bootstrap is tried when another node is at it.
const BOOTSTRAP_TRIES: usize = 5;

const LOCK: &str = "SELECT version FROM schema_version WHERE id = 1 FOR UPDATE";

fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

pub(crate) async fn migrate(pool: &Pool, now: Timestamp) -> Attempt<()> {
    bootstrap(pool).await?;
    while take_step(pool, now).await? {}
    choose_epoch(pool).await?;
    partitions::make_ahead(pool, now).await
}

/// Two sessions that create a table at once may both find none; the slower one then finds it the next time.
async fn bootstrap(pool: &Pool) -> Attempt<()> {
    for _ in 1..BOOTSTRAP_TRIES {
        match connection(pool).await?.batch_execute(BOOTSTRAP).await.map_err(Into::into) {
            Err(failed) if crate::error::Failed::is_there_already(&failed) => {}
            other => return other,
        }
    }
    Ok(connection(pool).await?.batch_execute(BOOTSTRAP).await?)
}

/// Takes the next step, if there is one, in a transaction of its own; an empty database takes all of them in one.
async fn take_step(pool: &Pool, now: Timestamp) -> Attempt<bool> {
    rerun!({
        let transaction = Transaction::new(pool).await?;
        let (lock, bump) = (
            transaction.prepare(LOCK).await?,
            transaction.prepare("UPDATE schema_version SET version = $1, changed_at = $2 WHERE id = 1").await?,
        );
        transaction.begin().await?;
        transaction.batch("SET LOCAL statement_timeout = 0").await?;
        let found: i64 = match transaction.query(&lock, &[]).await?.first() {
            Some(row) => row.try_get(0)?,
            None => 0,
        };
        if found > known() {
            return Err(StoreError::TooNew { found, known: known() }.into());
        }
        let left = usize::try_from(found).ok().and_then(|done| STEPS.get(done..)).unwrap_or_default();
        let taken = if found == 0 { left } else { &left[..left.len().min(1)] };
        if taken.is_empty() {
            transaction.roll_back().await;
            return Ok(false);
        }
        transaction.batch(&taken.join(";\n")).await?;
        let schema = found + taken.len() as i64;
        transaction.execute(&bump, &[&schema, &now.as_micros()]).await?;
        transaction.commit().await?;
        tracing::info!(schema, "the database's schema was brought up to date");
        Ok(true)
    })
}

/// Draws the epoch of the logs unless there is one.
async fn choose_epoch(pool: &Pool) -> Attempt<()> {
    let Some(row) = query(pool, "SELECT gen_random_uuid()", &[]).await?.pop() else { return Ok(()) };
    let random: Uuid = row.try_get(0)?;
    let (high, low) = random.as_u64_pair();
    // Without the bits that say which kind of UUID it is, and positive.
    let epoch = ((high & 0xFFFF_FFFF_FFFF_0000) | (low & 0xFFFF)) >> 1 | 1;
    let epoch = i64::try_from(epoch).unwrap_or(1);
    query(pool, "UPDATE store_state SET log_epoch = $1 WHERE id = 1 AND log_epoch = 0", &[&epoch]).await?;
    Ok(())
}

pub(crate) async fn log_epoch(pool: &Pool) -> Attempt<u64> {
    let rows = query(pool, "SELECT log_epoch FROM store_state WHERE id = 1", &[]).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.map(crate::convert::from_seq).unwrap_or_default())
}
