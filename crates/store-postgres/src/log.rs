//! Reading the two logs.
//!
//! Logs are dense, so a read can tell whether it saw everything up to the head. That makes it safe to look first only
//! where the rows must be by their time, in one or two day partitions, and everywhere only when something is missing.

use deadpool_postgres::Pool;
use domain::{EventId, OrgId, PassId, Position, Timestamp};
use parking_lot::Mutex;
use store::{EventRow, InboxRow, Log};
use tokio_postgres::Row;

use crate::{
    SHARDS,
    convert::{Columns, event, event_columns, from_seq, inbox, inbox_columns, inbox_result, to_seq, to_shard},
    error::Attempt,
    pool::query,
};

/// How much earlier than its predecessor a row may have been written by its own time, before a second look is needed:
/// one hour in microseconds.
const SKEW: i64 = 3_600_000_000;

/// The last row that was read of each shard of a log: its number and its time.
#[derive(Debug, Default)]
pub(crate) struct Hints([Mutex<Option<(u64, i64)>>; SHARDS as usize]);

impl Hints {
    fn slot(&self, shard: u16) -> Option<&Mutex<Option<(u64, i64)>>> {
        self.0.get(usize::from(shard))
    }
    /// From when on the rows after a number are likely to be.
    fn since(&self, shard: u16, after: u64) -> Option<i64> {
        let (seq, time) = (*self.slot(shard)?.lock())?;
        (seq == after).then_some(time - SKEW)
    }
    fn remember(&self, shard: u16, last: (u64, Timestamp)) {
        if let Some(slot) = self.slot(shard) {
            *slot.lock() = Some((last.0, last.1.as_micros()));
        }
    }
}

const READ_INBOX: &str = concat!(
    "SELECT h.seq, ",
    inbox_columns!(),
    " FROM log_heads h LEFT JOIN LATERAL (SELECT * FROM inbox i WHERE i.shard = $1 AND i.seq > $2 AND h.seq > $2 \
     AND i.received_at >= $4 ORDER BY i.seq LIMIT $3) i ON true",
    inbox_result!(),
    "WHERE h.log = 1 AND h.shard = $1 ORDER BY i.seq"
);

const READ_EVENTS: &str = concat!(
    "SELECT h.seq, ",
    event_columns!(),
    " FROM log_heads h LEFT JOIN LATERAL (SELECT * FROM events e WHERE e.shard = $1 AND e.seq > $2 AND h.seq > $2 \
     AND e.recorded_at >= $4 ORDER BY e.seq LIMIT $3) e ON true \
     WHERE h.log = 2 AND h.shard = $1 ORDER BY e.seq"
);

pub(crate) async fn read_inbox(pool: &Pool, hints: &Hints, shard: u16, after: u64, limit: u32) -> Attempt<Vec<InboxRow>> {
    let rows = read(pool, READ_INBOX, hints.since(shard, after), (shard, after, limit)).await?;
    let rows: Vec<InboxRow> = rows.iter().map(after_head(inbox)).collect::<Attempt<_>>()?;
    if let Some(last) = rows.last() {
        hints.remember(shard, (last.position.seq, last.received_at));
    }
    Ok(rows)
}

pub(crate) async fn read_events(pool: &Pool, hints: &Hints, shard: u16, after: u64, limit: u32) -> Attempt<Vec<EventRow>> {
    let rows = read(pool, READ_EVENTS, hints.since(shard, after), (shard, after, limit)).await?;
    let rows: Vec<EventRow> = rows.iter().map(after_head(event)).collect::<Attempt<_>>()?;
    if let Some(last) = rows.last() {
        hints.remember(shard, (last.position.seq, last.recorded_at));
    }
    Ok(rows)
}

fn after_head<T>(convert: impl Fn(&mut Columns<'_>) -> Attempt<T>) -> impl Fn(&Row) -> Attempt<T> {
    move |row| {
        let mut columns = Columns::of(row);
        columns.seq()?;
        convert(&mut columns)
    }
}

async fn read(pool: &Pool, sql: &str, since: Option<i64>, place: (u16, u64, u32)) -> Attempt<Vec<Row>> {
    let (shard, after, limit) = place;
    let mut since = since.unwrap_or(i64::MIN);
    loop {
        let mut rows = query(pool, sql, &[&to_shard(shard), &to_seq(after), &i64::from(limit), &since]).await?;
        let head = rows.first().map(|row| row.try_get(0)).transpose()?.map(from_seq).unwrap_or_default();
        rows.retain(|row| row.try_get::<_, Option<i64>>(2).is_ok_and(|seq| seq.is_some()));
        let expected = head.saturating_sub(after).min(u64::from(limit));
        let last = rows.last().map(|row| row.try_get(2)).transpose()?.map_or(after, from_seq);
        if since == i64::MIN || (rows.len() as u64 == expected && last == after + expected) {
            return Ok(rows);
        }
        since = i64::MIN;
    }
}

pub(crate) async fn heads(pool: &Pool, log: Log) -> Attempt<Vec<u64>> {
    let number: i16 = match log {
        Log::Inbox => 1,
        Log::Events => 2,
    };
    by_shard(&query(pool, "SELECT shard, seq FROM log_heads WHERE log = $1", &[&number]).await?)
}

/// Numbers of all shards, in their order.
pub(crate) fn by_shard(rows: &[Row]) -> Attempt<Vec<u64>> {
    let mut numbers = vec![0; usize::from(SHARDS)];
    for row in rows {
        let position = Columns::of(row).position()?;
        if let Some(number) = numbers.get_mut(usize::from(position.shard)) {
            *number = position.seq;
        }
    }
    Ok(numbers)
}

fn events(rows: &[Row]) -> Attempt<Vec<EventRow>> {
    rows.iter().map(|row| event(&mut Columns::of(row))).collect()
}

pub(crate) async fn events_at(pool: &Pool, positions: &[Position]) -> Attempt<Vec<EventRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM unnest($1::smallint[], $2::bigint[]) AS t(shard, seq) CROSS JOIN LATERAL \
         (SELECT * FROM events e WHERE e.shard = t.shard AND e.seq = t.seq OFFSET 0) e"
    );
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let shards: Vec<i16> = positions.iter().map(|position| to_shard(position.shard)).collect();
    let numbers: Vec<i64> = positions.iter().map(|position| to_seq(position.seq)).collect();
    events(&query(pool, SQL, &[&shards, &numbers]).await?)
}

/// Takes from the shards in turn, so that a busy one does not hold back the others; each shard's part is an unbroken
/// beginning of what it has.
pub(crate) async fn feed(pool: &Pool, org: OrgId, after: &[u64], limit: u32) -> Attempt<Vec<EventRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM unnest($2::bigint[]) WITH ORDINALITY AS t(after, n) CROSS JOIN LATERAL \
         (SELECT e.*, row_number() OVER (ORDER BY e.seq) AS turn FROM (SELECT * FROM events e \
          WHERE e.org = $1 AND e.shard = t.n - 1 AND e.seq > t.after ORDER BY e.seq LIMIT $3) e) e \
         ORDER BY e.turn, e.shard LIMIT $3"
    );
    let after: Vec<i64> = (0..usize::from(SHARDS)).map(|shard| after.get(shard).copied().map_or(0, to_seq)).collect();
    events(&query(pool, SQL, &[&org.uuid(), &after, &i64::from(limit)]).await?)
}

pub(crate) async fn events_of_pass(pool: &Pool, org: OrgId, pass: PassId, after: u64, limit: u32) -> Attempt<Vec<EventRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.org = $1 AND e.pass = $2 AND e.seq > $3 ORDER BY e.seq LIMIT $4"
    );
    events(&query(pool, SQL, &[&org.uuid(), &pass.uuid(), &to_seq(after), &i64::from(limit)]).await?)
}

pub(crate) async fn event_by_id(pool: &Pool, org: OrgId, id: EventId) -> Attempt<Option<EventRow>> {
    const SQL: &str = concat!("SELECT ", event_columns!(), " FROM events e WHERE e.org = $1 AND e.id = $2");
    Ok(events(&query(pool, SQL, &[&org.uuid(), &id.uuid()]).await?)?.pop())
}
