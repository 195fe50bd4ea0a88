//! What targets are owed, and the tries at it.
//!
//! `wake_at` is when a delivery is to be looked at: its due time, or the end of the claim on it.

use std::{collections::BTreeMap, sync::Arc};

use deadpool_postgres::Pool;
use domain::{DeliveryId, EventId, OrgId, PassId, Position, TargetId, Timestamp};
use store::{About, AttemptFilter, AttemptRow, DeliveryRow, DeliverySettlement, Lease};
use uuid::Uuid;

use crate::{
    convert::{Columns, attempt, attempt_columns, delivery, delivery_columns, text, to_seq, to_shard},
    error::Attempt,
    leases::{Fence, held},
    pool::{Params, Transaction, query, rerun},
};
use tokio_postgres::{Row, types::ToSql};

macro_rules! upsert {
    ($from:literal, $asked_at:literal) => {
        concat!(
            "INSERT INTO deliveries (org, id, target, event, shard, seq, attempts, due_at, behind, asked_at, wake_at) ",
            $from,
            " ON CONFLICT (org, id) DO UPDATE SET target = excluded.target, event = excluded.event, shard = excluded.shard, \
             seq = excluded.seq, attempts = excluded.attempts, due_at = excluded.due_at, \
             behind = excluded.behind, wake_at = excluded.wake_at, asked_at = ",
            $asked_at
        )
    };
}

/// A claim is written as an insert that conflicts, which finds the row that was locked by its key, whichever version of it the
/// statement sees.
pub(crate) async fn claim(pool: &Pool, lease: Lease, now: Timestamp, until: Timestamp, limit: u32) -> Attempt<Vec<DeliveryRow>> {
    const SQL: &str = concat!(
        "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $1 AND epoch = $2 FOR KEY SHARE), \
         due AS MATERIALIZED (SELECT t.* FROM fence CROSS JOIN LATERAL (SELECT * FROM deliveries \
             WHERE shard = $1 AND wake_at <= $3 ORDER BY wake_at LIMIT $5 FOR UPDATE SKIP LOCKED) t), \
         claimed AS (",
        upsert!(
            "SELECT org, id, target, event, shard, seq, attempts, due_at, behind, asked_at, $4::bigint FROM due",
            "excluded.asked_at"
        ),
        " RETURNING *) \
         SELECT (SELECT count(*) FROM fence), ",
        delivery_columns!(),
        " FROM (SELECT 1) one LEFT JOIN claimed d ON true ORDER BY d.due_at"
    );
    let rows = query(pool, SQL, &[&to_shard(lease.shard), &lease.epoch, &now.as_micros(), &until.as_micros(), &i64::from(limit)])
        .await?;
    held(&rows, lease)?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut columns = Columns::of(row);
        columns.take::<i64>()?;
        claimed.extend(delivery(&mut columns)?);
    }
    Ok(claimed)
}

pub(crate) async fn unclaim(pool: &Pool, lease: Lease, now: Timestamp) -> Attempt<()> {
    const SQL: &str = "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $1 AND epoch = $2 FOR KEY SHARE),
        freed AS (UPDATE deliveries SET wake_at = $3, due_at = $3
            WHERE shard = (SELECT shard FROM fence) AND wake_at <> due_at)
        SELECT count(*) FROM fence";
    let answer = query(pool, SQL, &[&to_shard(lease.shard), &lease.epoch, &now.as_micros()]).await?;
    held(&answer, lease)
}

/// Locks what is over, before a statement of its own deletes it: that one then sees each row as it is, whoever replaced it
/// meanwhile.
const LOCK: &str = "SELECT 1 FROM unnest($1::uuid[], $2::uuid[]) AS t(org, id) \
    CROSS JOIN LATERAL (SELECT 1 FROM deliveries d WHERE d.org = t.org AND d.id = t.id FOR UPDATE) d";

/// Attempts are kept once each, so that a settlement may be written again when nobody knows whether it was.
const SETTLE: &str = concat!(
    "WITH fence AS MATERIALIZED ( \
         SELECT l.shard FROM unnest($1::smallint[], $2::bigint[]) AS t(shard, epoch) CROSS JOIN LATERAL \
         (SELECT shard FROM leases l WHERE l.shard = t.shard AND l.epoch = t.epoch FOR KEY SHARE) l), \
     tried AS (INSERT INTO attempts (org, delivery, target, event, shard, seq, attempt, at, elapsed_micros, outcome, status, \
             error, next_at, subject, detail) \
         SELECT t.* FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::smallint[], \
             $8::bigint[], $9::integer[], $10::bigint[], $11::bigint[], $12::smallint[], $13::smallint[], $14::text[], \
             $15::bigint[], $16::uuid[], $17::bytea[]) AS t(org, delivery, target, event, shard, seq, attempt, at, \
             elapsed_micros, outcome, status, error, next_at, subject, detail) \
         WHERE t.shard = ANY (ARRAY(SELECT shard FROM fence)) \
         ON CONFLICT DO NOTHING), \
     finished AS (DELETE FROM deliveries WHERE ctid = ANY (ARRAY( \
         SELECT d.place FROM unnest($18::uuid[], $19::uuid[], $20::smallint[], $32::bigint[]) AS t(org, id, shard, asked_at) \
         CROSS JOIN LATERAL (SELECT ctid AS place, asked_at FROM deliveries d WHERE d.org = t.org AND d.id = t.id OFFSET 0) d \
         WHERE d.asked_at IS NOT DISTINCT FROM t.asked_at AND t.shard = ANY (ARRAY(SELECT shard FROM fence))))), \
     owed AS (",
    upsert!(
        "SELECT t.*, t.due_at FROM unnest($21::uuid[], $22::uuid[], $23::uuid[], $24::uuid[], \
         $25::smallint[], $26::bigint[], $27::integer[], $28::bigint[], $31::boolean[], $33::bigint[]) \
         AS t(org, id, target, event, shard, seq, attempts, due_at, behind, asked_at) \
         WHERE t.shard = ANY (ARRAY(SELECT shard FROM fence))",
        "excluded.asked_at WHERE deliveries.asked_at IS NOT DISTINCT FROM excluded.asked_at"
    ),
    "), \
     moved AS (INSERT INTO watermarks (reader, shard, seq) \
         SELECT 'webhooks', t.shard, t.seq FROM unnest($29::smallint[], $30::bigint[]) AS t(shard, seq) \
         WHERE t.shard = ANY (ARRAY(SELECT shard FROM fence)) \
         ON CONFLICT (reader, shard) DO UPDATE SET seq = excluded.seq) \
     SELECT shard FROM fence"
);

/// Writes the settlements of several shards; whether each one's lease was held.
pub(crate) async fn settle(pool: &Pool, settlements: &[Arc<DeliverySettlement>]) -> Attempt<Vec<bool>> {
    let fence = Fence::of(settlements.iter().map(|settlement| settlement.lease));
    let current = || settlements.iter().filter(|settlement| fence.has(settlement.lease));
    let attempts = || current().flat_map(|settlement| &settlement.attempts);
    // In key order, the last word on each.
    let ended = |settlement: &Arc<DeliverySettlement>| {
        let shard = settlement.lease.shard;
        settlement
            .finished
            .iter()
            .map(move |over| ((over.org.uuid(), over.id.uuid()), (shard, over.asked_at)))
            .collect::<Vec<_>>()
    };
    let finished: BTreeMap<(Uuid, Uuid), (u16, Option<Timestamp>)> = current().flat_map(ended).collect();
    let owed: BTreeMap<_, _> = current().flat_map(|settlement| &settlement.owed).map(|row| ((row.org, row.id), row)).collect();
    let owed = || owed.values();
    let marks: BTreeMap<u16, u64> =
        current().filter_map(|settlement| Some((settlement.lease.shard, settlement.watermark?))).collect();
    let over = (finished.keys().map(|(org, _)| *org).collect(), finished.keys().map(|(_, id)| *id).collect());
    let answer = write(
        pool,
        &over,
        &[
            &fence.shards(),
            &fence.epochs(),
            &attempts().map(|row| row.org.uuid()).collect::<Vec<_>>(),
            &attempts().map(|row| row.delivery.uuid()).collect::<Vec<_>>(),
            &attempts().map(|row| row.target.uuid()).collect::<Vec<_>>(),
            &attempts().map(|row| row.event.uuid()).collect::<Vec<_>>(),
            &attempts().map(|row| to_shard(row.position.shard)).collect::<Vec<_>>(),
            &attempts().map(|row| to_seq(row.position.seq)).collect::<Vec<_>>(),
            &attempts().map(|row| row.attempt).collect::<Vec<_>>(),
            &attempts().map(|row| row.at.as_micros()).collect::<Vec<_>>(),
            &attempts().map(|row| row.elapsed_micros).collect::<Vec<_>>(),
            &attempts().map(|row| row.outcome).collect::<Vec<_>>(),
            &attempts().map(|row| row.status).collect::<Vec<_>>(),
            &attempts().map(|row| row.error.as_deref().map(text)).collect::<Vec<_>>(),
            &attempts().map(|row| row.next_at.map(Timestamp::as_micros)).collect::<Vec<_>>(),
            &attempts().map(|row| row.subject).collect::<Vec<_>>(),
            &attempts().map(|row| row.detail.as_slice()).collect::<Vec<_>>(),
            &over.0,
            &over.1,
            &finished.values().map(|(shard, _)| to_shard(*shard)).collect::<Vec<_>>(),
            &owed().map(|row| row.org.uuid()).collect::<Vec<_>>(),
            &owed().map(|row| row.id.uuid()).collect::<Vec<_>>(),
            &owed().map(|row| row.target.uuid()).collect::<Vec<_>>(),
            &owed().map(|row| row.event.uuid()).collect::<Vec<_>>(),
            &owed().map(|row| to_shard(row.position.shard)).collect::<Vec<_>>(),
            &owed().map(|row| to_seq(row.position.seq)).collect::<Vec<_>>(),
            &owed().map(|row| row.attempts).collect::<Vec<_>>(),
            &owed().map(|row| row.due_at.as_micros()).collect::<Vec<_>>(),
            &marks.keys().map(|shard| to_shard(*shard)).collect::<Vec<_>>(),
            &marks.values().map(|seq| to_seq(*seq)).collect::<Vec<_>>(),
            &owed().map(|row| row.behind).collect::<Vec<_>>(),
            &finished.values().map(|(_, asked_at)| asked_at.map(Timestamp::as_micros)).collect::<Vec<_>>(),
            &owed().map(|row| row.asked_at.map(Timestamp::as_micros)).collect::<Vec<_>>(),
        ],
    )
    .await?;
    fence.held(&answer, settlements.iter().map(|settlement| settlement.lease))
}

/// Writes a settlement in one round trip.
async fn write(pool: &Pool, over: &(Vec<Uuid>, Vec<Uuid>), settlement: Params<'_>) -> Attempt<Vec<Row>> {
    if over.0.is_empty() {
        return query(pool, SETTLE, settlement).await;
    }
    rerun!({
        let open = Transaction::new(pool).await?;
        let (lock, settle) = (open.prepare(LOCK).await?, open.prepare(SETTLE).await?);
        let locked: [&(dyn ToSql + Sync); 2] = [&over.0, &over.1];
        let sent =
            tokio::try_join!(open.begin(), open.execute(&lock, &locked), open.query(&settle, settlement), open.send_commit());
        match sent {
            Ok((.., answer, ())) => {
                open.ended();
                Ok(answer)
            }
            Err(failed) => {
                open.roll_back().await;
                Err(failed)
            }
        }
    })
}

pub(crate) async fn touched(pool: &Pool, shard: u16, after: u64) -> Attempt<Vec<DeliveryId>> {
    const SQL: &str = "SELECT delivery FROM attempts WHERE shard = $1 AND seq > $2
        UNION SELECT id FROM deliveries WHERE shard = $1 AND seq > $2";
    let rows = query(pool, SQL, &[&to_shard(shard), &to_seq(after)]).await?;
    rows.iter().map(|row| Columns::of(row).id()).collect()
}

pub(crate) async fn next(pool: &Pool, shard: u16) -> Attempt<Option<Timestamp>> {
    let rows = query(pool, "SELECT min(wake_at) FROM deliveries WHERE shard = $1", &[&to_shard(shard)]).await?;
    Ok(rows.first().map(|row| Columns::of(row).maybe_time()).transpose()?.flatten())
}

pub(crate) async fn list(
    pool: &Pool,
    org: OrgId,
    target: Option<TargetId>,
    after: Option<(Timestamp, DeliveryId)>,
    limit: u32,
) -> Attempt<Vec<DeliveryRow>> {
    // One look-up finds each target that is owed something, two more the first of what it is owed.
    const SQL: &str = concat!(
        "WITH RECURSIVE owed (target) AS (
             (SELECT target FROM deliveries WHERE org = $1 AND $2::uuid IS NULL ORDER BY target LIMIT 1)
             UNION ALL SELECT (SELECT d.target FROM deliveries d WHERE d.org = $1 AND d.target > o.target ORDER BY d.target LIMIT 1)
             FROM owed o WHERE o.target IS NOT NULL)
         SELECT ",
        delivery_columns!(),
        " FROM (SELECT target FROM owed UNION ALL SELECT $2) o CROSS JOIN (VALUES (false), (true)) lane (behind)
         CROSS JOIN LATERAL (SELECT * FROM deliveries m WHERE m.org = $1 AND m.target = o.target AND m.behind = lane.behind
             AND (m.due_at, m.id) > ($4, $5) ORDER BY m.due_at, m.id LIMIT $3) d
         ORDER BY d.due_at, d.id LIMIT $3"
    );
    let (due_at, id) = after.map_or((i64::MIN, Uuid::nil()), |(due_at, id)| (due_at.as_micros(), id.uuid()));
    let rows = query(pool, SQL, &[&org.uuid(), &target.map(domain::Id::uuid), &i64::from(limit), &due_at, &id]).await?;
    rows.iter().filter_map(|row| delivery(&mut Columns::of(row)).transpose()).collect()
}

/// Found by where the events stand.
pub(crate) async fn about(
    pool: &Pool,
    org: OrgId,
    about: About,
    target: Option<TargetId>,
    after: Option<(Timestamp, DeliveryId)>,
    limit: u32,
) -> Attempt<Vec<DeliveryRow>> {
    macro_rules! list {
        ($events:literal) => {
            concat!(
                "SELECT ",
                delivery_columns!(),
                " FROM (SELECT e.shard, e.seq FROM events e WHERE e.org = $1 AND ",
                $events,
                " OFFSET 0) e CROSS JOIN LATERAL (
                     SELECT * FROM deliveries d WHERE d.shard = e.shard AND d.seq = e.seq AND d.org = $1 OFFSET 0) d
                 WHERE ($4::uuid IS NULL OR d.target = $4) AND (d.due_at, d.id) > ($5, $6) ORDER BY d.due_at, d.id LIMIT $7"
            )
        };
    }
    const OF_EVENT: &str = list!("e.id = $2 AND ($3::uuid IS NULL OR e.pass = $3)");
    const OF_PASS: &str = list!("$2::uuid IS NULL AND e.pass = $3");
    let (due_at, id) = after.map_or((i64::MIN, Uuid::nil()), |(due_at, id)| (due_at.as_micros(), id.uuid()));
    let (event, pass, target) =
        (about.event.map(domain::Id::uuid), about.pass.map(domain::Id::uuid), target.map(domain::Id::uuid));
    let sql = if event.is_some() { OF_EVENT } else { OF_PASS };
    let rows = query(pool, sql, &[&org.uuid(), &event, &pass, &target, &due_at, &id, &i64::from(limit)]).await?;
    rows.iter().filter_map(|row| delivery(&mut Columns::of(row)).transpose()).collect()
}

pub(crate) async fn one(pool: &Pool, org: OrgId, id: DeliveryId) -> Attempt<Option<DeliveryRow>> {
    const SQL: &str = concat!("SELECT ", delivery_columns!(), " FROM deliveries d WHERE d.org = $1 AND d.id = $2");
    let rows = query(pool, SQL, &[&org.uuid(), &id.uuid()]).await?;
    rows.first().map_or(Ok(None), |row| delivery(&mut Columns::of(row)))
}

pub(crate) async fn owe(pool: &Pool, rows: &[DeliveryRow]) -> Attempt<()> {
    const SQL: &str = upsert!(
        "SELECT t.*, t.due_at FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::smallint[], $6::bigint[], \
         $7::integer[], $8::bigint[], $9::boolean[], $10::bigint[]) \
         AS t(org, id, target, event, shard, seq, attempts, due_at, behind, asked_at)",
        "greatest(excluded.asked_at, deliveries.asked_at + 1)"
    );
    // In key order, the last word on each.
    let rows: BTreeMap<_, _> = rows.iter().map(|row| ((row.org, row.id), row)).collect();
    let rows = || rows.values();
    query(
        pool,
        SQL,
        &[
            &rows().map(|row| row.org.uuid()).collect::<Vec<_>>(),
            &rows().map(|row| row.id.uuid()).collect::<Vec<_>>(),
            &rows().map(|row| row.target.uuid()).collect::<Vec<_>>(),
            &rows().map(|row| row.event.uuid()).collect::<Vec<_>>(),
            &rows().map(|row| to_shard(row.position.shard)).collect::<Vec<_>>(),
            &rows().map(|row| to_seq(row.position.seq)).collect::<Vec<_>>(),
            &rows().map(|row| row.attempts).collect::<Vec<_>>(),
            &rows().map(|row| row.due_at.as_micros()).collect::<Vec<_>>(),
            &rows().map(|row| row.behind).collect::<Vec<_>>(),
            &rows().map(|row| row.asked_at.map(Timestamp::as_micros)).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// A row that somebody writes at the moment stays as they write it.
pub(crate) async fn hasten(pool: &Pool, org: OrgId, target: TargetId, now: Timestamp, limit: u32) -> Attempt<u64> {
    const SQL: &str = "WITH waits AS MATERIALIZED (SELECT org, id FROM deliveries
            WHERE org = $1 AND target = $2 AND due_at > $3 AND wake_at = due_at AND NOT behind
            ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED),
        hastened AS (UPDATE deliveries d SET due_at = $3, wake_at = $3 FROM waits w WHERE d.org = w.org AND d.id = w.id RETURNING 1)
        SELECT count(*) FROM hastened";
    let rows = query(pool, SQL, &[&org.uuid(), &target.uuid(), &now.as_micros(), &i64::from(limit)]).await?;
    let count: Option<i64> = rows.first().map(|row| Columns::of(row).take()).transpose()?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

pub(crate) async fn owed(pool: &Pool, org: OrgId, target: TargetId) -> Attempt<(u64, Option<Timestamp>)> {
    const SQL: &str = "SELECT count(*), min(due_at) FROM deliveries WHERE org = $1 AND target = $2";
    counted(pool, SQL, org, target).await
}

pub(crate) async fn behind(pool: &Pool, org: OrgId, target: TargetId) -> Attempt<(u64, Option<Timestamp>)> {
    const SQL: &str = "SELECT count(*), max(due_at) FROM deliveries WHERE org = $1 AND target = $2 AND behind";
    counted(pool, SQL, org, target).await
}

async fn counted(pool: &Pool, sql: &'static str, org: OrgId, target: TargetId) -> Attempt<(u64, Option<Timestamp>)> {
    let rows = query(pool, sql, &[&org.uuid(), &target.uuid()]).await?;
    let Some(row) = rows.first() else { return Ok((0, None)) };
    let mut columns = Columns::of(row);
    let count: i64 = columns.take()?;
    Ok((u64::try_from(count).unwrap_or(0), columns.maybe_time()?))
}

pub(crate) async fn earlier_owed(
    pool: &Pool,
    org: OrgId,
    lines: &[(TargetId, PassId, Position)],
) -> Attempt<Vec<Option<Timestamp>>> {
    const SQL: &str = "SELECT (SELECT min(d.due_at) FROM events e JOIN deliveries d ON d.shard = e.shard AND d.seq = e.seq
            WHERE e.org = $1 AND e.pass = t.pass AND e.shard = t.shard AND e.seq < t.seq
                AND d.org = $1 AND d.target = t.target AND NOT d.behind)
        FROM unnest($2::uuid[], $3::uuid[], $4::smallint[], $5::bigint[])
            WITH ORDINALITY AS t(target, pass, shard, seq, number) ORDER BY t.number";
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let targets: Vec<Uuid> = lines.iter().map(|(target, ..)| target.uuid()).collect();
    let passes: Vec<Uuid> = lines.iter().map(|(_, pass, _)| pass.uuid()).collect();
    let shards: Vec<i16> = lines.iter().map(|(.., before)| to_shard(before.shard)).collect();
    let seqs: Vec<i64> = lines.iter().map(|(.., before)| to_seq(before.seq)).collect();
    let rows = query(pool, SQL, &[&org.uuid(), &targets, &passes, &shards, &seqs]).await?;
    rows.iter().map(|row| Columns::of(row).maybe_time()).collect()
}

pub(crate) async fn newest_attempts(
    pool: &Pool,
    org: OrgId,
    of: &[(TargetId, Option<EventId>)],
) -> Attempt<Vec<Option<AttemptRow>>> {
    macro_rules! newest {
        ($which:literal) => {
            concat!(
                "(SELECT * FROM attempts a WHERE a.org = $1 AND a.target = t.target AND ",
                $which,
                " ORDER BY a.at DESC, a.delivery DESC, a.attempt DESC LIMIT 1)"
            )
        };
    }
    const SQL: &str = concat!(
        "SELECT t.number, ",
        attempt_columns!(),
        " FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS t(target, event, number) CROSS JOIN LATERAL (",
        newest!("t.event IS NULL"),
        " UNION ALL ",
        newest!("a.event = t.event"),
        ") a"
    );
    let mut newest = vec![None; of.len()];
    if of.is_empty() {
        return Ok(newest);
    }
    let targets: Vec<Uuid> = of.iter().map(|(target, _)| target.uuid()).collect();
    let events: Vec<Option<Uuid>> = of.iter().map(|(_, event)| event.map(domain::Id::uuid)).collect();
    for row in query(pool, SQL, &[&org.uuid(), &targets, &events]).await? {
        let mut columns = Columns::of(&row);
        let number = usize::try_from(columns.take::<i64>()?).unwrap_or_default();
        let found = attempt(&mut columns)?;
        if let Some(place) = number.checked_sub(1).and_then(|place| newest.get_mut(place)) {
            *place = Some(found);
        }
    }
    Ok(newest)
}

pub(crate) async fn taken_or_owed(pool: &Pool, org: OrgId, target: TargetId, events: &[EventId]) -> Attempt<Vec<EventId>> {
    const SQL: &str = "SELECT t.event FROM unnest($3::uuid[], $4::uuid[]) AS t(event, delivery) WHERE EXISTS (
            SELECT 1 FROM attempts a WHERE a.org = $1 AND a.event = t.event AND a.target = $2 AND a.outcome = 1)
        OR EXISTS (SELECT 1 FROM deliveries d WHERE d.org = $1 AND d.id = t.delivery)";
    let deliveries: Vec<Uuid> = events.iter().map(|event| DeliveryId::of(event.uuid(), target.uuid()).uuid()).collect();
    let events: Vec<Uuid> = events.iter().map(|event| event.uuid()).collect();
    let rows = query(pool, SQL, &[&org.uuid(), &target.uuid(), &events, &deliveries]).await?;
    rows.iter().map(|row| Columns::of(row).id()).collect()
}

pub(crate) async fn attempts(pool: &Pool, org: OrgId, filter: &AttemptFilter, limit: u32) -> Attempt<Vec<AttemptRow>> {
    macro_rules! list {
        ($filter:literal) => {
            concat!(
                "SELECT ",
                attempt_columns!(),
                " FROM attempts a WHERE a.org = $1 AND a.at <= $2 AND (a.at, a.delivery, a.attempt) < ($2, $6, $7) AND a.at >= $8 \
                 AND ($9::smallint IS NULL OR a.outcome = $9) AND ($10::smallint IS NULL OR a.status = $10) \
                 AND ($11::smallint IS NULL OR EXISTS (SELECT 1 FROM events e WHERE e.shard = a.shard AND e.seq = a.seq AND e.kind = $11)) \
                 AND ",
                $filter,
                " ORDER BY a.at DESC, a.delivery DESC, a.attempt DESC LIMIT $3"
            )
        };
    }
    const ALL: &str = list!("$4::uuid IS NULL AND $5::uuid IS NULL AND $12::uuid IS NULL");
    const OF_TARGET: &str = list!("a.target = $4 AND $5::uuid IS NULL AND $12::uuid IS NULL");
    const OF_EVENT: &str = list!(
        "a.event = $5 AND ($4::uuid IS NULL OR a.target = $4) AND ($12::uuid IS NULL OR EXISTS \
         (SELECT 1 FROM events e WHERE e.shard = a.shard AND e.seq = a.seq AND e.pass = $12))"
    );
    const OF_PASS: &str = list!(
        "a.event IN (SELECT e.id FROM events e WHERE e.org = $1 AND e.pass = $12) AND ($4::uuid IS NULL OR a.target = $4) \
         AND $5::uuid IS NULL"
    );
    let sql = match (filter.target, filter.event) {
        (_, Some(_)) => OF_EVENT,
        (_, None) if filter.pass.is_some() => OF_PASS,
        (Some(_), None) => OF_TARGET,
        (None, None) => ALL,
    };
    let (at, delivery, number) = filter.end();
    let (target, event) = (filter.target.map(domain::Id::uuid), filter.event.map(domain::Id::uuid));
    let since = filter.since.map_or(i64::MIN, Timestamp::as_micros);
    let rows = query(
        pool,
        sql,
        &[
            &org.uuid(),
            &at.as_micros(),
            &i64::from(limit),
            &target,
            &event,
            &delivery.uuid(),
            &number,
            &since,
            &filter.outcome,
            &filter.status,
            &filter.kind,
            &filter.pass.map(domain::Id::uuid),
        ],
    )
    .await?;
    rows.iter().map(|row| attempt(&mut Columns::of(row))).collect()
}
