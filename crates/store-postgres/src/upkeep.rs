//! Upkeep: forgets expired keys, drops partitions that nobody needs any more.

use std::collections::HashMap;

use deadpool_postgres::Pool;
use domain::Timestamp;
use parking_lot::Mutex;
use store::{Reader, Retention};

use crate::{
    convert::{Columns, to_seq, to_shard},
    error::Attempt,
    leases::watermarks,
    partitions::{self, ATTEMPTS, EVENTS, INBOX, Partition},
    pool::{Params, Transaction, execute, query_once},
};

/// Rows that one step deletes at most.
const STEP_ROWS: i64 = 5_000;
/// Pieces of files that one call deletes at most.
const STEP_CHUNKS: i64 = 256;
/// Steps per kind of row in one call.
const STEPS: usize = 20;

/// How far the source events of partitions that are to be dropped were cleared, by partition and shard. Only saves looking
/// again: clearing twice is harmless.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<HashMap<(String, i16), i64>>);

pub(crate) async fn maintain(pool: &Pool, progress: &Progress, now: Timestamp, keep: Retention) -> Attempt<()> {
    partitions::make_ahead(pool, now).await?;
    forget(pool, now).await?;
    forget_repeats(pool, keep.inbox_before).await?;
    shrink_inbox(pool, progress, keep.inbox_before).await?;
    shrink_events(pool, keep.events_before).await?;
    shrink_attempts(pool, keep.attempts_before).await
}

/// Deletes expired keys and files; one that is being claimed anew this moment is passed over.
async fn forget(pool: &Pool, now: Timestamp) -> Attempt<()> {
    const KEYS: &str = "DELETE FROM inbox_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM inbox_keys \
        WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    const RESULTS: &str = "DELETE FROM results WHERE ctid = ANY (ARRAY(SELECT ctid FROM results \
        WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    const CHUNKS: &str = "DELETE FROM chunks WHERE ctid = ANY (ARRAY(SELECT ctid FROM chunks \
        WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    execute(pool, CHUNKS, &[&now.as_micros(), &STEP_CHUNKS]).await?;
    for sql in [KEYS, RESULTS] {
        for _ in 0..STEPS {
            let gone = execute(pool, sql, &[&now.as_micros(), &STEP_ROWS]).await?;
            if gone < STEP_ROWS.unsigned_abs() {
                break;
            }
        }
    }
    Ok(())
}

/// Forgets how often source events came again that are gone by now.
async fn forget_repeats(pool: &Pool, before: Timestamp) -> Attempt<()> {
    const SQL: &str = "DELETE FROM repeats WHERE ctid = ANY (ARRAY(SELECT ctid FROM repeats \
        WHERE last_at < $1 ORDER BY last_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    execute(pool, SQL, &[&before.as_micros(), &STEP_ROWS]).await?;
    Ok(())
}

/// The first and last number of each shard in a partition.
struct Bounds {
    shards: Vec<i16>,
    low: Vec<i64>,
    high: Vec<i64>,
}

impl Bounds {
    async fn of(pool: &Pool, partition: &Partition) -> Attempt<Self> {
        let name = &partition.name;
        let sql = format!(
            "SELECT shard, low, high FROM (SELECT s::smallint AS shard, \
                (SELECT min(seq) FROM {name} WHERE shard = s::smallint) AS low, \
                (SELECT max(seq) FROM {name} WHERE shard = s::smallint) AS high \
             FROM generate_series(0, 15) AS s) b WHERE low IS NOT NULL"
        );
        let mut bounds = Self { shards: Vec::new(), low: Vec::new(), high: Vec::new() };
        for row in &query_once(pool, &sql, &[]).await? {
            let mut columns = Columns::of(row);
            bounds.shards.push(columns.take()?);
            bounds.low.push(columns.take()?);
            bounds.high.push(columns.take()?);
        }
        Ok(bounds)
    }

    /// Whether readers have come past all of it.
    fn passed(&self, read: &[u64]) -> bool {
        let read_of =
            |shard: i16| (0u16..).zip(read).find(|(index, _)| to_shard(*index) == shard).map_or(0, |(_, seq)| to_seq(*seq));
        self.shards.iter().zip(&self.high).all(|(shard, high)| *high <= read_of(*shard))
    }
}

async fn is_true(pool: &Pool, sql: &str, params: Params<'_>) -> Attempt<bool> {
    Ok(query_once(pool, sql, params).await?.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

/// Source events go with their keys and results, unless flows have not come past them or one of them waits.
async fn shrink_inbox(pool: &Pool, progress: &Progress, before: Timestamp) -> Attempt<()> {
    let read = watermarks(pool, Reader::Flows).await?;
    let mut steps = 0;
    for partition in partitions::list(pool, INBOX).await?.iter().filter(|partition| partition.until() <= before) {
        let bounds = Bounds::of(pool, partition).await?;
        let waiting = format!(
            "SELECT EXISTS (SELECT 1 FROM inbox_results r CROSS JOIN LATERAL \
             (SELECT 1 FROM {} i WHERE i.org = r.org AND i.id = r.id OFFSET 0) i WHERE r.status IN (4, 5))",
            partition.name
        );
        if !bounds.passed(&read) || is_true(pool, &waiting, &[]).await? {
            continue;
        }
        if !clear_source_events(pool, progress, partition, &bounds, &mut steps).await? {
            return Ok(());
        }
        partitions::drop_partition(pool, partition).await?;
        progress.0.lock().retain(|(name, _), _| *name != partition.name);
    }
    execute(pool, DEFAULT_INBOX, &[&before.as_micros(), &STEP_ROWS]).await?;
    Ok(())
}

const DEFAULT_INBOX: &str = "WITH gone AS MATERIALIZED (
        SELECT i.ctid AS place, i.org, i.id FROM inbox_default i
        WHERE i.received_at < $1
        AND i.seq <= (SELECT w.seq FROM watermarks w WHERE w.reader = 'flows' AND w.shard = i.shard)
        AND NOT EXISTS (SELECT 1 FROM inbox_results r WHERE r.org = i.org AND r.id = i.id AND r.status IN (4, 5))
        LIMIT $2),
    keys AS (DELETE FROM data_keys WHERE ctid = ANY (ARRAY(SELECT k.place FROM gone CROSS JOIN LATERAL
        (SELECT ctid AS place FROM data_keys k WHERE k.org = gone.org AND k.subject = gone.id OFFSET 0) k))),
    results AS (DELETE FROM inbox_results WHERE ctid = ANY (ARRAY(SELECT r.place FROM gone CROSS JOIN LATERAL
        (SELECT ctid AS place FROM inbox_results r WHERE r.org = gone.org AND r.id = gone.id OFFSET 0) r)))
    DELETE FROM inbox_default WHERE ctid = ANY (ARRAY(SELECT place FROM gone))";

/// Deletes the keys and results of a partition's source events, some thousand at a time. False when that was enough for
/// one call.
async fn clear_source_events(
    pool: &Pool,
    progress: &Progress,
    partition: &Partition,
    bounds: &Bounds,
    steps: &mut usize,
) -> Attempt<bool> {
    for ((shard, low), high) in bounds.shards.iter().zip(&bounds.low).zip(&bounds.high) {
        let key = (partition.name.clone(), *shard);
        let mut from = progress.0.lock().get(&key).copied().unwrap_or(*low);
        while from <= *high {
            if *steps == STEPS {
                return Ok(false);
            }
            *steps += 1;
            let until = from.saturating_add(STEP_ROWS);
            for (table, id) in [("data_keys", "subject"), ("inbox_results", "id")] {
                let sql = format!(
                    "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT d.place FROM {} i CROSS JOIN LATERAL \
                     (SELECT ctid AS place FROM {table} d WHERE d.org = i.org AND d.{id} = i.id OFFSET 0) d \
                     WHERE i.shard = $1 AND i.seq >= $2 AND i.seq < $3))",
                    partition.name
                );
                query_once(pool, &sql, &[shard, &from, &until]).await?;
            }
            from = until;
            progress.0.lock().insert(key.clone(), from);
        }
    }
    Ok(true)
}

/// Events go unless a reader has not come past them or a delivery needs them.
async fn shrink_events(pool: &Pool, before: Timestamp) -> Attempt<()> {
    const NEEDED: &str = "SELECT EXISTS (SELECT 1 FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS t(shard, low, high)
        CROSS JOIN LATERAL (SELECT 1 FROM deliveries d
            WHERE d.shard = t.shard AND d.seq >= t.low AND d.seq <= t.high LIMIT 1) d)";
    const DEFAULT: &str = "DELETE FROM events_default WHERE ctid = ANY (ARRAY(SELECT e.ctid FROM events_default e
        WHERE e.recorded_at < $1
        AND e.seq <= (SELECT min(w.seq) FROM watermarks w WHERE w.reader IN ('webhooks', 'integrity') AND w.shard = e.shard)
        AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.shard = e.shard AND d.seq = e.seq)
        LIMIT $2))";
    let webhooks = watermarks(pool, Reader::Webhooks).await?;
    let integrity = watermarks(pool, Reader::Integrity).await?;
    let read: Vec<u64> = webhooks.iter().zip(&integrity).map(|(a, b)| *a.min(b)).collect();
    for partition in partitions::list(pool, EVENTS).await?.iter().filter(|partition| partition.until() <= before) {
        let bounds = Bounds::of(pool, partition).await?;
        if bounds.passed(&read) && !is_true(pool, NEEDED, &[&bounds.shards, &bounds.low, &bounds.high]).await? {
            partitions::drop_partition(pool, partition).await?;
        }
    }
    execute(pool, DEFAULT, &[&before.as_micros(), &STEP_ROWS]).await?;
    Ok(())
}

async fn shrink_attempts(pool: &Pool, before: Timestamp) -> Attempt<()> {
    const DEFAULT: &str = "DELETE FROM attempts_default WHERE ctid = ANY (ARRAY(SELECT ctid FROM attempts_default
        WHERE at < $1 LIMIT $2))";
    for partition in partitions::list(pool, ATTEMPTS).await?.iter().filter(|partition| partition.until() <= before) {
        partitions::drop_partition(pool, partition).await?;
    }
    execute(pool, DEFAULT, &[&before.as_micros(), &STEP_ROWS]).await?;
    Ok(())
}

/// Whether the database can be written: a change that is taken back.
pub(crate) async fn ready(pool: &Pool) -> Attempt<()> {
    let open = Transaction::new(pool).await?;
    open.begin().await?;
    let written = open.batch("SET LOCAL statement_timeout = '3s'; UPDATE probe SET turn = turn + 1").await;
    open.roll_back().await;
    written
}
