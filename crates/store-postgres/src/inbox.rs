//! Source events: taken in, read, settled.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use deadpool_postgres::Pool;
use domain::{OrgId, SourceEventId, Timestamp};
use store::{
    Accepted, Hash, InboxFilter, InboxInsert, InboxResult, InboxRow, InboxSettlement, InboxStatus, Lease, Repeats, StoreError,
    Turns, WaitingKey,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    convert::{Columns, inbox, inbox_columns, inbox_result, text, to_seq, to_shard},
    error::Attempt,
    leases::{Fence, held},
    pool::{execute, query},
};

/// Claims the dedupe keys in their order, then bumps the heads in theirs, then writes what is new: one statement whatever
/// the number of rows. What was claimed is matched by hash, since a join of two lists has no index to walk.
const ACCEPT: &str = "WITH input AS MATERIALIZED (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::uuid[], $7::smallint[],
            $8::bigint[], $9::bigint[], $10::text[], $11::bytea[], $12::bytea[], $13::text[]) WITH ORDINALITY
        AS t(org, id, source, dedupe, dedupe_until, order_key, shard, received_at, occurred_at, name, data_key, body, fault, n)),
    claimed AS (
        INSERT INTO inbox_keys (org, source, dedupe, id, expires_at)
        SELECT org, source, dedupe, id, dedupe_until FROM input ORDER BY org, source, dedupe
        ON CONFLICT (org, source, dedupe) DO UPDATE SET id = excluded.id, expires_at = excluded.expires_at
        WHERE inbox_keys.expires_at <= $14
        RETURNING org, id),
    fresh AS MATERIALIZED (
        SELECT *, row_number() OVER (PARTITION BY shard ORDER BY n DESC) - 1 AS back FROM input
        WHERE ((org, id) IN (SELECT org, id FROM claimed)) IS TRUE),
    heads AS (
        INSERT INTO log_heads (log, shard, seq)
        SELECT 1, shard, count(*) FROM fresh GROUP BY shard ORDER BY shard
        ON CONFLICT (log, shard) DO UPDATE SET seq = log_heads.seq + excluded.seq
        RETURNING shard, seq),
    placed AS MATERIALIZED (SELECT f.*, h.seq - f.back AS seq FROM fresh f JOIN heads h ON h.shard = f.shard),
    kept AS (INSERT INTO data_keys (org, subject, wrapped) SELECT org, id, data_key FROM placed),
    parked AS (
        INSERT INTO inbox_results (org, id, shard, status, runs, at, trace)
        SELECT org, id, shard, 3, 0, received_at, fault FROM placed WHERE fault IS NOT NULL),
    written AS (
        INSERT INTO inbox (seq, received_at, occurred_at, org, id, source, order_key, shard, name, body)
        SELECT seq, received_at, occurred_at, org, id, source, order_key, shard, name, body FROM placed)
    SELECT n, shard, seq FROM placed";

/// Whose the dedupe keys are that were there already.
const KNOWN: &str =
    "SELECT t.n, k.id FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS t(org, source, dedupe, n)
    CROSS JOIN LATERAL (SELECT id FROM inbox_keys k
        WHERE k.org = t.org AND k.source = t.source AND k.dedupe = t.dedupe OFFSET 0) k";

pub(crate) async fn accept(pool: &Pool, rows: &[InboxInsert]) -> Attempt<Vec<Accepted>> {
    // A statement cannot claim one key twice: rows with a key that came before in the batch follow its first row.
    let mut first_with: HashMap<(OrgId, Uuid, Hash), usize> = HashMap::with_capacity(rows.len());
    let mut firsts: Vec<&InboxInsert> = Vec::with_capacity(rows.len());
    let mut leads: Vec<(usize, bool)> = Vec::with_capacity(rows.len());
    for row in rows {
        let lead = *first_with.entry((row.org, row.source.uuid(), row.dedupe)).or_insert(firsts.len());
        let is_first = lead == firsts.len();
        leads.push((lead, is_first));
        if is_first {
            firsts.push(row);
        }
    }
    if firsts.is_empty() {
        return Ok(Vec::new());
    }
    let outcomes = accept_distinct(pool, &firsts).await?;
    let of_lead = |(lead, is_first): (usize, bool)| match (outcomes[lead], is_first) {
        (Accepted::New(_), false) => Accepted::Duplicate(firsts[lead].id),
        (outcome, _) => outcome,
    };
    let accepted: Vec<Accepted> = leads.into_iter().map(of_lead).collect();
    note_repeats(pool, rows, &accepted).await?;
    Ok(accepted)
}

/// Notes that source events came again; nothing is asked of the database where none did.
async fn note_repeats(pool: &Pool, rows: &[InboxInsert], accepted: &[Accepted]) -> Attempt<()> {
    const SQL: &str = "INSERT INTO repeats (org, id, times, last_at)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) ORDER BY 1, 2
        ON CONFLICT (org, id) DO UPDATE SET times = repeats.times + excluded.times,
            last_at = greatest(repeats.last_at, excluded.last_at)";
    let mut all: BTreeMap<(Uuid, Uuid), (i64, i64)> = BTreeMap::new();
    for (row, accepted) in rows.iter().zip(accepted) {
        let Accepted::Duplicate(first) = accepted else { continue };
        let (times, last_at) = all.entry((row.org.uuid(), first.uuid())).or_default();
        (*times, *last_at) = (*times + 1, row.received_at.as_micros().max(*last_at));
    }
    if all.is_empty() {
        return Ok(());
    }
    let (orgs, ids): (Vec<Uuid>, Vec<Uuid>) = all.keys().copied().unzip();
    let (times, last): (Vec<i64>, Vec<i64>) = all.values().copied().unzip();
    execute(pool, SQL, &[&orgs, &ids, &times, &last]).await?;
    Ok(())
}

/// How often a source event came again; none when it did not.
pub(crate) async fn repeats(pool: &Pool, org: OrgId, id: SourceEventId) -> Attempt<Option<Repeats>> {
    let rows = query(pool, "SELECT times, last_at FROM repeats WHERE org = $1 AND id = $2", &[&org.uuid(), &id.uuid()]).await?;
    let read = |row: &Row| {
        let mut columns = Columns::of(row);
        let times = u64::try_from(columns.take::<i64>()?).unwrap_or(0);
        Ok(Repeats { times, last_at: Timestamp::from_micros(columns.take()?) })
    };
    rows.first().map(read).transpose()
}

async fn accept_distinct(pool: &Pool, rows: &[&InboxInsert]) -> Attempt<Vec<Accepted>> {
    let now = rows.iter().map(|row| row.received_at.as_micros()).max().unwrap_or_default();
    let placed = query(
        pool,
        ACCEPT,
        &[
            &rows.iter().map(|row| row.org.uuid()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.id.uuid()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.source.uuid()).collect::<Vec<_>>(),
            &rows.iter().map(|row| Uuid::from_bytes(row.dedupe)).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.dedupe_until.as_micros()).collect::<Vec<_>>(),
            &rows.iter().map(|row| Uuid::from_bytes(row.order_key)).collect::<Vec<_>>(),
            &rows.iter().map(|row| to_shard(row.shard)).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.received_at.as_micros()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.occurred_at.map(Timestamp::as_micros)).collect::<Vec<_>>(),
            &rows.iter().map(|row| text(&row.name)).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.data_key.as_slice()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.body.as_slice()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.fault.as_deref().map(text)).collect::<Vec<_>>(),
            &now,
        ],
    )
    .await?;
    let mut outcomes: Vec<Option<Accepted>> = vec![None; rows.len()];
    for row in &placed {
        let mut columns = Columns::of(row);
        let index = columns.take::<i64>()?;
        outcomes[place(index)] = Some(Accepted::New(columns.position()?));
    }
    if placed.len() < rows.len() {
        find_known(pool, rows, &mut outcomes).await?;
    }
    // Its key was claimed by another and forgotten in the blink between: the sender's next try will do.
    let vanished = || StoreError::Unavailable("a source event's key expired while it was looked at: send it again".into());
    Ok(outcomes.into_iter().map(|outcome| outcome.ok_or_else(vanished)).collect::<Result<_, _>>()?)
}

/// Ordinality counts from 1.
fn place(ordinality: i64) -> usize {
    usize::try_from(ordinality).unwrap_or(1) - 1
}

async fn find_known(pool: &Pool, rows: &[&InboxInsert], outcomes: &mut [Option<Accepted>]) -> Attempt<()> {
    let open: Vec<usize> = (0..rows.len()).filter(|&index| outcomes[index].is_none()).collect();
    let known = query(
        pool,
        KNOWN,
        &[
            &open.iter().map(|&index| rows[index].org.uuid()).collect::<Vec<_>>(),
            &open.iter().map(|&index| rows[index].source.uuid()).collect::<Vec<_>>(),
            &open.iter().map(|&index| Uuid::from_bytes(rows[index].dedupe)).collect::<Vec<_>>(),
        ],
    )
    .await?;
    for row in &known {
        let mut columns = Columns::of(row);
        let index = open[place(columns.take()?)];
        outcomes[index] = Some(Accepted::Duplicate(columns.id()?));
    }
    Ok(())
}

pub(crate) async fn due(pool: &Pool, shard: u16, now: Timestamp, limit: u32) -> Attempt<Vec<InboxRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        inbox_columns!(),
        " FROM ((SELECT * FROM inbox_results WHERE shard = $1 AND status = 4 AND due_at <= $2 ORDER BY due_at, seq LIMIT $3) \
         UNION ALL (SELECT * FROM inbox_results WHERE shard = $1 AND status = 5 AND due_at <= $2 ORDER BY due_at LIMIT $3) \
         ORDER BY status, due_at, seq LIMIT $3) r CROSS JOIN LATERAL (SELECT * FROM inbox i WHERE i.org = r.org AND i.id = r.id OFFSET 0) i ORDER BY r.status, r.due_at, i.seq"
    );
    let rows = query(pool, SQL, &[&to_shard(shard), &now.as_micros(), &i64::from(limit)]).await?;
    rows.iter().map(|row| inbox(&mut Columns::of(row))).collect()
}

/// Takes the next turns of a flow: when the first of them is.
pub(crate) async fn take_turns(pool: &Pool, turns: &Turns) -> Attempt<Timestamp> {
    const SQL: &str = "INSERT INTO paces (org, flow, next_at) VALUES ($1, $2, $3::bigint + $4::bigint)
        ON CONFLICT (org, flow) DO UPDATE SET next_at = greatest(paces.next_at, $3) + $4 RETURNING next_at - $4";
    let rows = query(pool, SQL, &[&turns.org.uuid(), &turns.flow.uuid(), &turns.now.as_micros(), &turns.span_micros()]).await?;
    let first = rows.first().map(|row| Columns::of(row).take::<i64>()).transpose()?;
    Ok(first.map_or(turns.now, Timestamp::from_micros))
}

pub(crate) async fn waiting_keys(pool: &Pool, shard: u16) -> Attempt<Vec<WaitingKey>> {
    const SQL: &str = "SELECT org, order_key, seq, due_at, all_due_at FROM (
            SELECT i.org, i.order_key, i.seq, r.due_at,
                max(r.due_at) OVER (PARTITION BY i.org, i.order_key) AS all_due_at,
                row_number() OVER (PARTITION BY i.org, i.order_key ORDER BY i.seq) AS nth
            FROM (SELECT org, id, due_at FROM inbox_results WHERE shard = $1 AND status = 4 AND due_at IS NOT NULL) r
            CROSS JOIN LATERAL (SELECT i.org, i.order_key, i.seq FROM inbox i WHERE i.org = r.org AND i.id = r.id OFFSET 0) i) w
        WHERE nth = 1";
    let rows = query(pool, SQL, &[&to_shard(shard)]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok(WaitingKey {
                org: columns.id()?,
                order_key: columns.hash()?,
                first: columns.seq()?,
                due_at: columns.time()?,
                all_due_at: columns.time()?,
            })
        })
        .collect()
}

pub(crate) async fn hasten(pool: &Pool, lease: Lease, now: Timestamp) -> Attempt<()> {
    const SQL: &str = "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $1 AND epoch = $2 FOR KEY SHARE),
        due AS MATERIALIZED (SELECT r.org, r.id, least($3, min(r.due_at) OVER (
                PARTITION BY i.org, i.order_key ORDER BY i.seq ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)) AS due_at
            FROM (SELECT org, id, due_at FROM inbox_results
                WHERE shard = (SELECT shard FROM fence) AND status = 4 AND due_at IS NOT NULL) r
            CROSS JOIN LATERAL (SELECT i.org, i.order_key, i.seq FROM inbox i WHERE i.org = r.org AND i.id = r.id OFFSET 0) i),
        hastened AS (UPDATE inbox_results r SET due_at = d.due_at FROM due d
            WHERE r.shard = (SELECT shard FROM fence) AND r.status = 4 AND r.org = d.org AND r.id = d.id AND r.due_at > d.due_at)
        SELECT count(*) FROM fence";
    let answer = query(pool, SQL, &[&to_shard(lease.shard), &lease.epoch, &now.as_micros()]).await?;
    held(&answer, lease)
}

/// Everything hangs on the fence, which holds the leases' rows against a seizure until this is committed. A contact's key
/// is held likewise, so that an erasure comes before, and the source event's key goes at once, or after, and finds it.
const SETTLE: &str = "WITH fence AS MATERIALIZED (
        SELECT l.shard FROM unnest($1::smallint[], $2::bigint[]) AS t(shard, epoch)
        CROSS JOIN LATERAL (SELECT shard FROM leases l WHERE l.shard = t.shard AND l.epoch = t.epoch FOR KEY SHARE) l),
    input AS MATERIALIZED (
        SELECT * FROM unnest($3::uuid[], $4::uuid[], $5::smallint[], $6::integer[], $7::bigint[], $8::bigint[],
            $9::text[], $10::uuid[], $11::smallint[]) AS t(org, id, status, runs, due_at, at, trace, owner, shard)
        WHERE t.shard = ANY (ARRAY(SELECT shard FROM fence))),
    results AS (
        INSERT INTO inbox_results (org, id, shard, status, runs, due_at, at, trace, owner, seq)
        SELECT org, id, shard, status, runs, due_at, at, trace, owner,
            CASE WHEN status = 4 THEN (SELECT i.seq FROM inbox i WHERE i.org = input.org AND i.id = input.id) END FROM input
        ON CONFLICT (org, id) DO UPDATE SET
            status = coalesce(excluded.status, inbox_results.status), runs = coalesce(excluded.runs, inbox_results.runs),
            due_at = CASE WHEN excluded.status IS NULL THEN inbox_results.due_at ELSE excluded.due_at END,
            at = coalesce(excluded.at, inbox_results.at), trace = coalesce(excluded.trace, inbox_results.trace),
            owner = coalesce(excluded.owner, inbox_results.owner), seq = coalesce(excluded.seq, inbox_results.seq)),
    owned AS MATERIALIZED (
        SELECT t.org, t.id, k.subject FROM input t
        LEFT JOIN LATERAL (SELECT subject FROM data_keys k
            WHERE k.org = t.org AND k.subject = t.owner FOR KEY SHARE) k ON true
        WHERE t.owner IS NOT NULL),
    erased AS (
        DELETE FROM data_keys WHERE ctid = ANY (ARRAY(SELECT k.place FROM owned CROSS JOIN LATERAL (
            SELECT ctid AS place FROM data_keys k WHERE k.org = owned.org AND k.subject = owned.id OFFSET 0) k
            WHERE owned.subject IS NULL))),
    moved AS (
        INSERT INTO watermarks (reader, shard, seq)
        SELECT 'flows', t.shard, t.seq FROM unnest($12::smallint[], $13::bigint[]) AS t(shard, seq)
        WHERE t.shard = ANY (ARRAY(SELECT shard FROM fence))
        ON CONFLICT (reader, shard) DO UPDATE SET seq = excluded.seq)
    SELECT shard FROM fence";

/// What flows made of a source event, whose it is, and in which shard.
type Outcome<'a> = (Option<&'a InboxResult>, Option<Uuid>, u16);

/// Writes the settlements of several shards; whether each one's lease was held.
pub(crate) async fn settle(pool: &Pool, settlements: &[Arc<InboxSettlement>]) -> Attempt<Vec<bool>> {
    let fence = Fence::of(settlements.iter().map(|settlement| settlement.lease));
    let current = || settlements.iter().filter(|settlement| fence.has(settlement.lease));
    // In key order, each event once, with its result, its owner, or both.
    let mut rows: BTreeMap<(Uuid, Uuid), Outcome<'_>> = BTreeMap::new();
    for settlement in current() {
        let shard = settlement.lease.shard;
        for (org, id, result) in &settlement.results {
            let row = rows.entry((org.uuid(), id.uuid())).or_default();
            (row.0, row.2) = (Some(result), shard);
        }
        for (org, id, contact) in &settlement.owners {
            let row = rows.entry((org.uuid(), id.uuid())).or_default();
            (row.1, row.2) = (Some(contact.uuid()), shard);
        }
    }
    let results = || rows.values().map(|(result, ..)| *result);
    let marks: BTreeMap<u16, u64> =
        current().filter_map(|settlement| Some((settlement.lease.shard, settlement.watermark?))).collect();
    let answer = query(
        pool,
        SETTLE,
        &[
            &fence.shards(),
            &fence.epochs(),
            &rows.keys().map(|(org, _)| *org).collect::<Vec<_>>(),
            &rows.keys().map(|(_, id)| *id).collect::<Vec<_>>(),
            &results().map(|result| Some(result?.status)).collect::<Vec<Option<i16>>>(),
            &results().map(|result| Some(result?.runs)).collect::<Vec<Option<i32>>>(),
            &results().map(|result| Some(result?.due_at?.as_micros())).collect::<Vec<Option<i64>>>(),
            &results().map(|result| Some(result?.at.as_micros())).collect::<Vec<Option<i64>>>(),
            &results().map(|result| Some(text(&result?.trace))).collect::<Vec<_>>(),
            &rows.values().map(|(_, owner, _)| *owner).collect::<Vec<_>>(),
            &rows.values().map(|(.., shard)| to_shard(*shard)).collect::<Vec<_>>(),
            &marks.keys().map(|shard| to_shard(*shard)).collect::<Vec<_>>(),
            &marks.values().map(|seq| to_seq(*seq)).collect::<Vec<_>>(),
        ],
    )
    .await?;
    fence.held(&answer, settlements.iter().map(|settlement| settlement.lease))
}

pub(crate) async fn source_event(pool: &Pool, org: OrgId, id: SourceEventId) -> Attempt<Option<InboxRow>> {
    const SQL: &str = concat!("SELECT ", inbox_columns!(), " FROM inbox i", inbox_result!(), "WHERE i.org = $1 AND i.id = $2");
    let rows = query(pool, SQL, &[&org.uuid(), &id.uuid()]).await?;
    rows.first().map(|row| inbox(&mut Columns::of(row))).transpose()
}

pub(crate) async fn source_events(pool: &Pool, org: OrgId, filter: &InboxFilter, limit: u32) -> Attempt<Vec<InboxRow>> {
    const ALL: &str = concat!(
        "SELECT ",
        inbox_columns!(),
        " FROM inbox i",
        inbox_result!(),
        "WHERE i.org = $1 AND i.id < $2 AND ($3::uuid IS NULL OR i.source = $3) \
         AND ($4::smallint IS NULL OR r.status = $4 OR $4 = 1 AND r.status IS NULL AND i.seq <= \
            (SELECT w.seq FROM watermarks w WHERE w.reader = 'flows' AND w.shard = i.shard)) ORDER BY i.id DESC LIMIT $5"
    );
    // What is parked, waits or is delayed is rare and has an index of its own.
    const RARE: &str = concat!(
        "SELECT ",
        inbox_columns!(),
        " FROM (SELECT * FROM inbox_results WHERE org = $1 AND id < $2 AND status = $4 AND status IN (3, 4, 5) OFFSET 0) r \
         CROSS JOIN LATERAL (SELECT * FROM inbox i WHERE i.org = r.org AND i.id = r.id OFFSET 0) i \
         WHERE ($3::uuid IS NULL OR i.source = $3) ORDER BY r.id DESC LIMIT $5"
    );
    let rare = [InboxStatus::Parked.number(), InboxStatus::Waiting.number(), InboxStatus::Delayed.number()];
    let sql = if filter.status.is_some_and(|status| rare.contains(&status)) { RARE } else { ALL };
    let before = filter.before.map_or(Uuid::max(), SourceEventId::uuid);
    let source = filter.source.map(domain::SourceId::uuid);
    let rows = query(pool, sql, &[&org.uuid(), &before, &source, &filter.status, &i64::from(limit)]).await?;
    rows.iter().map(|row| inbox(&mut Columns::of(row))).collect()
}
