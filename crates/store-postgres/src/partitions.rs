//! Day partitions of the append-only tables: made ahead, dropped whole.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use deadpool_postgres::Pool;
use domain::Timestamp;

use crate::{
    error::Attempt,
    pool::{query, transaction},
};

/// How many days ahead there are partitions, so that a server may sleep for a while.
const DAYS_AHEAD: i64 = 7;
/// How many days behind, for what another node's clock calls yesterday.
const DAYS_BEHIND: i64 = 1;
const DAY: Duration = Duration::from_secs(86_400);
const DAY_MICROS: i64 = 86_400_000_000;

/// An append-only table and the column of its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) time: &'static str,
}

pub(crate) const INBOX: Table = Table { name: "inbox", time: "received_at" };
pub(crate) const EVENTS: Table = Table { name: "events", time: "recorded_at" };
pub(crate) const ATTEMPTS: Table = Table { name: "attempts", time: "at" };

/// The partition of one day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Partition {
    /// Its table's name, such as `events_20261120`.
    pub(crate) name: String,
    /// When its day begins.
    pub(crate) from: Timestamp,
}

impl Partition {
    fn of(table: Table, at: Timestamp) -> Self {
        let from = Timestamp::from_micros(at.as_micros().div_euclid(DAY_MICROS) * DAY_MICROS);
        let day: String = from.to_string().chars().take(10).filter(char::is_ascii_digit).collect();
        Self { name: format!("{}_{day}", table.name), from }
    }

    fn parse(table: Table, name: &str) -> Option<Self> {
        let day = name.strip_prefix(table.name)?.strip_prefix('_')?;
        let (year, month, day) = (day.get(..4)?, day.get(4..6)?, day.get(6..8)?);
        let from = format!("{year}-{month}-{day}T00:00:00Z").parse().ok()?;
        Some(Self { name: name.to_owned(), from })
    }

    /// When its day ends.
    pub(crate) fn until(&self) -> Timestamp {
        self.from.plus(DAY)
    }
}

/// A table's day partitions, oldest first.
pub(crate) async fn list(pool: &Pool, table: Table) -> Attempt<BTreeSet<Partition>> {
    const LIST: &str = "SELECT c.relname::text FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid \
        WHERE h.inhparent = to_regclass($1::text)";
    let rows = query(pool, LIST, &[&table.name]).await?;
    let names: Result<Vec<&str>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let mut partitions: Vec<_> = names?.into_iter().filter_map(|name| Partition::parse(table, name)).collect();
    partitions.sort_by_key(|partition| partition.from);
    Ok(partitions.into_iter().collect())
}

/// Makes the partitions that are missing around the present.
pub(crate) async fn make_ahead(pool: &Pool, now: Timestamp) -> Attempt<()> {
    for table in [INBOX, EVENTS, ATTEMPTS] {
        let there = list(pool, table).await?;
        let missing: Vec<Partition> = (-DAYS_BEHIND..=DAYS_AHEAD)
            .map(|offset| Partition::of(table, Timestamp::from_micros(now.as_micros().saturating_add(offset * DAY_MICROS))))
            .filter(|partition| !there.contains(partition))
            .collect();
        if missing.is_empty() {
            continue;
        }
        match make(pool, table, &missing).await {
            Err(failed) if failed.is_there_already() || failed.is_locked_out() => {
                tracing::debug!(table = table.name, "another session is at these partitions");
            }
            other => other?,
        }
    }
    Ok(())
}

/// Makes partitions, with the rows that went to the default partition for want of them.
async fn make(pool: &Pool, table: Table, missing: &[Partition]) -> Attempt<()> {
    let Table { name: parent, time } = table;
    let mut sql = format!("SET LOCAL lock_timeout = '2s'; LOCK TABLE {parent}_default IN ACCESS EXCLUSIVE MODE;");
    for partition in missing {
        let name = &partition.name;
        let (from, until) = (partition.from.as_micros(), partition.until().as_micros());
        let _ = write!(
            sql,
            "CREATE TABLE {name} (LIKE {parent} INCLUDING ALL);
            WITH moved AS (DELETE FROM {parent}_default WHERE {time} >= {from} AND {time} < {until} RETURNING *)
                INSERT INTO {name} SELECT * FROM moved;
            ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({until});"
        );
    }
    transaction!(pool, open => open.batch(&sql).await)
}

/// Drops a partition unless somebody is busy with it; then it goes another time.
pub(crate) async fn drop_partition(pool: &Pool, partition: &Partition) -> Attempt<()> {
    let sql = format!("SET LOCAL lock_timeout = '2s'; DROP TABLE IF EXISTS {}", partition.name);
    match transaction!(pool, open => open.batch(&sql).await) {
        Err(failed) if failed.is_locked_out() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_by_its_day() {
        let partition = Partition::of(EVENTS, "2026-11-20T23:59:59.999999Z".parse().unwrap());
        assert_eq!(partition.name, "events_20261120");
        assert_eq!(partition.until(), "2026-11-21T00:00:00Z".parse().unwrap());
        assert_eq!(Partition::parse(EVENTS, "events_20261120"), Some(partition));
        assert_eq!(Partition::parse(EVENTS, "events_default"), None);
        let before_1970 = Partition::of(EVENTS, Timestamp::from_micros(-1));
        assert_eq!(before_1970.name, "events_19691231");
    }
}
