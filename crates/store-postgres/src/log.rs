//! Reading the two logs.
//!
//! Logs are dense, so a read can tell whether it saw everything up to the head. That makes it safe to look first only
//! where the rows must be by their time, in one or two day partitions, and everywhere only when something is missing.

use deadpool_postgres::Pool;
use domain::{EventId, OrgId, PassId, Position, Timestamp};
use parking_lot::Mutex;
use store::{EventRow, InboxRow, Log, Newest, Pulse};
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
    /// The next rows of a shard after a number.
    pub(crate) fn next(&self, shard: u16, after: u64, limit: u32) -> Next {
        Next { shard, after, limit, since: self.since(shard, after) }
    }
    fn slot(&self, shard: u16) -> Option<&Mutex<Option<(u64, i64)>>> {
        self.0.get(usize::from(shard))
    }
    /// From when on the rows after a number are likely to be.
    fn since(&self, shard: u16, after: u64) -> Option<i64> {
        let (seq, time) = (*self.slot(shard)?.lock())?;
        (seq == after).then_some(time - SKEW)
    }
    /// Takes in where the last row of a read stands, and when it was written.
    pub(crate) fn remember(&self, last: Option<(Position, Timestamp)>) {
        let Some((position, time)) = last else { return };
        if let Some(slot) = self.slot(position.shard) {
            *slot.lock() = Some((position.seq, time.as_micros()));
        }
    }
}

const READ_INBOX: &str = concat!(
    "SELECT t.n, h.seq, ",
    inbox_columns!(),
    " FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS t(shard, after, since, n) \
     CROSS JOIN LATERAL (SELECT seq FROM log_heads h WHERE h.log = 1 AND h.shard = t.shard OFFSET 0) h \
     LEFT JOIN LATERAL (SELECT * FROM inbox i WHERE i.shard = t.shard AND i.seq > t.after AND h.seq > t.after \
     AND i.received_at >= t.since ORDER BY i.seq LIMIT $4) i ON true",
    inbox_result!(),
    "ORDER BY t.n, i.seq"
);

const READ_EVENTS: &str = concat!(
    "SELECT t.n, h.seq, ",
    event_columns!(),
    " FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS t(shard, after, since, n) \
     CROSS JOIN LATERAL (SELECT seq FROM log_heads h WHERE h.log = 2 AND h.shard = t.shard OFFSET 0) h \
     LEFT JOIN LATERAL (SELECT * FROM events e WHERE e.shard = t.shard AND e.seq > t.after AND h.seq > t.after \
     AND e.recorded_at >= t.since ORDER BY e.seq LIMIT $4) e ON true \
     ORDER BY t.n, e.seq"
);

/// The next rows of a shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    pub(crate) shard: u16,
    pub(crate) after: u64,
    pub(crate) limit: u32,
    /// From when on they are likely to be.
    pub(crate) since: Option<i64>,
}

/// Reads of several shards' source events.
pub(crate) async fn read_inbox(pool: &Pool, asked: &[Next]) -> Attempt<Vec<Vec<InboxRow>>> {
    read(pool, READ_INBOX, asked, inbox).await
}

/// Reads of several shards' events.
pub(crate) async fn read_events(pool: &Pool, asked: &[Next]) -> Attempt<Vec<Vec<EventRow>>> {
    read(pool, READ_EVENTS, asked, event).await
}

/// What was read of one shard, up to its limit.
struct Part<T> {
    head: u64,
    /// Number of the last row.
    last: u64,
    rows: Vec<T>,
}

/// Looks where rows are likely to be, and everywhere for the shards of which something is missing then.
async fn read<T>(
    pool: &Pool,
    sql: &str,
    asked: &[Next],
    convert: impl Fn(&mut Columns<'_>) -> Attempt<T>,
) -> Attempt<Vec<Vec<T>>> {
    let mut parts = look(pool, sql, asked, &convert).await?;
    let is_short = |(next, part): (&Next, &Part<T>)| {
        let expected = part.head.saturating_sub(next.after).min(u64::from(next.limit));
        next.since.is_some() && (part.rows.len() as u64 != expected || part.last != next.after + expected)
    };
    let short: Vec<usize> = (0..asked.len()).filter(|&index| is_short((&asked[index], &parts[index]))).collect();
    if !short.is_empty() {
        let again: Vec<Next> = short.iter().map(|&index| Next { since: None, ..asked[index] }).collect();
        for (index, part) in short.into_iter().zip(look(pool, sql, &again, &convert).await?) {
            parts[index] = part;
        }
    }
    Ok(parts.into_iter().map(|part| part.rows).collect())
}

async fn look<T>(
    pool: &Pool,
    sql: &str,
    asked: &[Next],
    convert: &impl Fn(&mut Columns<'_>) -> Attempt<T>,
) -> Attempt<Vec<Part<T>>> {
    let most = asked.iter().map(|next| next.limit).max().unwrap_or_default();
    let rows = query(
        pool,
        sql,
        &[
            &asked.iter().map(|next| to_shard(next.shard)).collect::<Vec<_>>(),
            &asked.iter().map(|next| to_seq(next.after)).collect::<Vec<_>>(),
            &asked.iter().map(|next| next.since.unwrap_or(i64::MIN)).collect::<Vec<_>>(),
            &i64::from(most),
        ],
    )
    .await?;
    let empty = |next: &Next| Part { head: 0, last: next.after, rows: Vec::new() };
    let mut parts: Vec<Part<T>> = asked.iter().map(empty).collect();
    for row in &rows {
        let mut columns = Columns::of(row);
        let (place, head) = (columns.place()?, columns.seq()?);
        // Where nothing was found only the head is told.
        let seq = row.try_get::<_, Option<i64>>(3)?.map(from_seq);
        let Some((next, part)) = place.and_then(|place| asked.get(place).zip(parts.get_mut(place))) else {
            continue;
        };
        part.head = head;
        if let Some(seq) = seq.filter(|_| part.rows.len() < next.limit as usize) {
            part.rows.push(convert(&mut columns)?);
            part.last = seq;
        }
    }
    Ok(parts)
}

pub(crate) async fn heads(pool: &Pool, log: Log) -> Attempt<Vec<u64>> {
    let number: i16 = match log {
        Log::Inbox => 1,
        Log::Events => 2,
    };
    by_shard(&query(pool, "SELECT shard, seq FROM log_heads WHERE log = $1", &[&number]).await?)
}

/// One row per shard; every due time is the first entry of an index.
pub(crate) async fn pulse(pool: &Pool) -> Attempt<Vec<Pulse>> {
    const SQL: &str = "SELECT h.shard, h.seq,
        (SELECT seq FROM log_heads e WHERE e.log = 2 AND e.shard = h.shard),
        least((SELECT due_at FROM inbox_results r WHERE r.shard = h.shard AND r.status = 4 AND r.due_at IS NOT NULL
            ORDER BY r.due_at LIMIT 1), (SELECT due_at FROM inbox_results r WHERE r.shard = h.shard AND r.status = 5
            AND r.due_at IS NOT NULL ORDER BY r.due_at LIMIT 1)),
        (SELECT wake_at FROM deliveries d WHERE d.shard = h.shard ORDER BY d.wake_at LIMIT 1),
        (SELECT due_at FROM passes p WHERE p.shard = h.shard AND p.due_at IS NOT NULL ORDER BY p.due_at LIMIT 1),
        (SELECT push_due_at FROM installations i WHERE i.shard = h.shard AND i.push_due_at IS NOT NULL
            ORDER BY i.push_due_at LIMIT 1)
        FROM log_heads h WHERE h.log = 1";
    let mut shards = vec![Pulse::default(); usize::from(SHARDS)];
    for row in &query(pool, SQL, &[]).await? {
        let mut columns = Columns::of(row);
        let head = columns.position()?;
        let pulse = Pulse {
            inbox: head.seq,
            events: columns.seq()?,
            inbox_due: columns.maybe_time()?,
            delivery_due: columns.maybe_time()?,
            pass_due: columns.maybe_time()?,
            push_due: columns.maybe_time()?,
        };
        if let Some(slot) = shards.get_mut(usize::from(head.shard)) {
            *slot = pulse;
        }
    }
    Ok(shards)
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

/// Events of each shard, the newest first.
pub(crate) async fn newest(pool: &Pool, org: OrgId, wish: &Newest) -> Attempt<Vec<EventRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM unnest($2::bigint[]) WITH ORDINALITY AS t(before, n) CROSS JOIN LATERAL \
         (SELECT * FROM events e WHERE e.org = $1 AND e.shard = t.n - 1 AND e.seq < t.before AND e.kind = ANY($4::smallint[]) \
          AND e.recorded_at >= $5 ORDER BY e.seq DESC LIMIT $3) e ORDER BY e.shard, e.seq DESC"
    );
    let before: Vec<i64> = (0..usize::from(SHARDS)).map(|shard| wish.before.get(shard).copied().map_or(0, to_seq)).collect();
    let kinds: Vec<i16> = wish.kinds.iter().map(|kind| kind.number()).collect();
    let since = wish.since.map_or(i64::MIN, Timestamp::as_micros);
    events(&query(pool, SQL, &[&org.uuid(), &before, &(i64::from(wish.limit) + 1), &kinds, &since]).await?)
}

pub(crate) async fn events_of_pass(pool: &Pool, org: OrgId, pass: PassId, after: u64, limit: u32) -> Attempt<Vec<EventRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.org = $1 AND e.pass = $2 AND e.seq > $3 ORDER BY e.seq LIMIT $4"
    );
    events(&query(pool, SQL, &[&org.uuid(), &pass.uuid(), &to_seq(after), &i64::from(limit)]).await?)
}

pub(crate) async fn newest_of_pass(pool: &Pool, org: OrgId, pass: PassId, before: u64, limit: u32) -> Attempt<Vec<EventRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM events e WHERE e.org = $1 AND e.pass = $2 AND e.seq < $3 ORDER BY e.seq DESC LIMIT $4"
    );
    events(&query(pool, SQL, &[&org.uuid(), &pass.uuid(), &to_seq(before), &i64::from(limit)]).await?)
}

pub(crate) async fn event_by_id(pool: &Pool, org: OrgId, id: EventId) -> Attempt<Option<EventRow>> {
    const SQL: &str = concat!("SELECT ", event_columns!(), " FROM events e WHERE e.org = $1 AND e.id = $2");
    Ok(events(&query(pool, SQL, &[&org.uuid(), &id.uuid()]).await?)?.pop())
}
