//! What Google Wallet holds.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;
use domain::{OrgId, Timestamp};
use store::{ChangedPass, GoogleSettlement, GoogleThingRow, GoogleWants, Lease};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    convert::{Columns, from_seq, text, to_seq, to_shard},
    error::Attempt,
    leases::held,
    pool::query,
};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT org, thing, account, urgency, wanted_seq, synced_seq, due_at, body FROM google_things ", $rest)
    };
}

fn read(row: &Row) -> Attempt<GoogleThingRow> {
    let mut columns = Columns::of(row);
    Ok(GoogleThingRow {
        org: columns.id()?,
        thing: columns.take()?,
        account: columns.take()?,
        urgency: columns.take()?,
        wanted_seq: columns.take()?,
        synced_seq: columns.take()?,
        due_at: columns.maybe_time()?,
        body: columns.take()?,
    })
}

fn read_changed(columns: &mut Columns<'_>) -> Attempt<ChangedPass> {
    Ok(ChangedPass {
        org: columns.id()?,
        pass: columns.id()?,
        project: columns.id()?,
        content_seq: columns.take()?,
        held: columns.take()?,
    })
}

/// Changed passes of a shard after a number, so many and those that changed with the last of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed {
    pub(crate) shard: u16,
    pub(crate) after: u64,
    pub(crate) limit: u32,
}

/// The next of several shards, each with how far was looked.
pub(crate) async fn changed(pool: &Pool, asked: &[Changed]) -> Attempt<Vec<(u64, Vec<ChangedPass>)>> {
    const SQL: &str = "SELECT t.n, p.org, p.id, p.project, p.content_seq,
            EXISTS (SELECT 1 FROM installations i
                WHERE i.org = p.org AND i.pass = p.id AND i.wallet = 2 AND i.device = '' AND i.active)
        FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS t(shard, after, most, n)
        CROSS JOIN LATERAL (SELECT org, id, project, content_seq FROM passes
              WHERE shard = t.shard AND content_seq > t.after ORDER BY content_seq FETCH FIRST (t.most) ROWS WITH TIES) p
        ORDER BY t.n, p.content_seq";
    let rows = query(
        pool,
        SQL,
        &[
            &asked.iter().map(|it| to_shard(it.shard)).collect::<Vec<_>>(),
            &asked.iter().map(|it| to_seq(it.after)).collect::<Vec<_>>(),
            &asked.iter().map(|it| i64::from(it.limit)).collect::<Vec<_>>(),
        ],
    )
    .await?;
    let mut found: Vec<(u64, Vec<ChangedPass>)> = asked.iter().map(|it| (it.after, Vec::new())).collect();
    for row in &rows {
        let mut columns = Columns::of(row);
        if let Some((seq, passes)) = columns.place()?.and_then(|place| found.get_mut(place)) {
            let pass = read_changed(&mut columns)?;
            *seq = from_seq(pass.content_seq);
            passes.push(pass);
        }
    }
    Ok(found)
}

const WANT: &str = "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $1 AND epoch = $2 FOR KEY SHARE),
    wanted AS (
        INSERT INTO google_things AS g (org, thing, account, urgency, wanted_seq, synced_seq, due_at, body)
        SELECT t.org, t.thing, t.account, t.urgency, t.seq, 0, $8, '' FROM fence
        CROSS JOIN unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::smallint[], $7::bigint[]) AS t(org, thing, account, urgency, seq)
        ORDER BY t.org, t.thing
        ON CONFLICT (org, thing) DO UPDATE SET account = excluded.account, urgency = excluded.urgency,
            wanted_seq = greatest(g.wanted_seq, excluded.wanted_seq), due_at = least(g.due_at, excluded.due_at)
        WHERE excluded.wanted_seq > g.synced_seq),
    moved AS (
        INSERT INTO watermarks (reader, shard, seq) SELECT 'google', shard, $9 FROM fence
        ON CONFLICT (reader, shard) DO UPDATE SET seq = excluded.seq)
    SELECT count(*) FROM fence";

pub(crate) async fn want(pool: &Pool, wants: &GoogleWants) -> Attempt<()> {
    let lease = wants.lease;
    let by_pass: BTreeMap<_, _> = wants.passes.iter().map(|want| ((want.0.org, want.0.pass), want)).collect();
    let passes = || by_pass.values();
    let answer = query(
        pool,
        WANT,
        &[
            &to_shard(lease.shard),
            &lease.epoch,
            &passes().map(|(pass, ..)| pass.org.uuid()).collect::<Vec<_>>(),
            &passes().map(|(pass, ..)| pass.pass.uuid()).collect::<Vec<_>>(),
            &passes().map(|(_, account, _)| *account).collect::<Vec<_>>(),
            &passes().map(|(.., urgency)| *urgency).collect::<Vec<_>>(),
            &passes().map(|(pass, ..)| pass.content_seq).collect::<Vec<_>>(),
            &wants.due_at.as_micros(),
            &to_seq(wants.watermark),
        ],
    )
    .await?;
    held(&answer, lease)
}

pub(crate) async fn due(pool: &Pool, org: OrgId, account: Uuid, now: Timestamp, limit: u32) -> Attempt<Vec<GoogleThingRow>> {
    const SQL: &str = select!("WHERE org = $1 AND account = $2 AND due_at <= $3 ORDER BY urgency, due_at LIMIT $4");
    let rows = query(pool, SQL, &[&org.uuid(), &account, &now.as_micros(), &i64::from(limit)]).await?;
    rows.iter().map(read).collect()
}

pub(crate) async fn one(pool: &Pool, org: OrgId, thing: Uuid) -> Attempt<Option<GoogleThingRow>> {
    let rows = query(pool, select!("WHERE org = $1 AND thing = $2"), &[&org.uuid(), &thing]).await?;
    rows.first().map(read).transpose()
}

const ASK: &str = "INSERT INTO google_things AS g (org, thing, account, urgency, wanted_seq, synced_seq, due_at, body)
    SELECT t.org, t.thing, t.account, t.urgency, t.wanted, t.synced, t.due, t.body
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
        AS t(org, thing, account, urgency, wanted, synced, due, body)
    ORDER BY t.org, t.thing
    ON CONFLICT (org, thing) DO UPDATE SET account = excluded.account, urgency = excluded.urgency,
        wanted_seq = greatest(g.wanted_seq, excluded.wanted_seq), due_at = excluded.due_at
    WHERE $9 OR g.account <> excluded.account";

pub(crate) async fn ask(pool: &Pool, rows: &[GoogleThingRow], again: bool) -> Attempt<()> {
    let by_thing: BTreeMap<_, _> = rows.iter().map(|row| ((row.org, row.thing), row)).collect();
    let rows = || by_thing.values();
    query(
        pool,
        ASK,
        &[
            &rows().map(|row| row.org.uuid()).collect::<Vec<_>>(),
            &rows().map(|row| row.thing).collect::<Vec<_>>(),
            &rows().map(|row| row.account).collect::<Vec<_>>(),
            &rows().map(|row| row.urgency).collect::<Vec<_>>(),
            &rows().map(|row| row.wanted_seq).collect::<Vec<_>>(),
            &rows().map(|row| row.synced_seq).collect::<Vec<_>>(),
            &rows().map(|row| row.due_at.map(Timestamp::as_micros)).collect::<Vec<_>>(),
            &rows().map(|row| text(&row.body)).collect::<Vec<_>>(),
            &again,
        ],
    )
    .await?;
    Ok(())
}

const SETTLE: &str = "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $1 AND epoch = $2 FOR KEY SHARE),
    settled AS (
        INSERT INTO google_things AS g (org, thing, account, urgency, wanted_seq, synced_seq, due_at, body)
        SELECT t.org, t.thing, t.account, 1, 0, coalesce(t.synced, 0), t.retry, t.body FROM fence
        CROSS JOIN unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::bigint[], $8::text[])
            AS t(org, thing, account, synced, retry, body)
        ORDER BY t.org, t.thing
        ON CONFLICT (org, thing) DO UPDATE SET
            due_at = CASE WHEN g.due_at IS NOT NULL AND g.due_at IS DISTINCT FROM
                               (SELECT s.seen FROM unnest($3::uuid[], $4::uuid[], $9::bigint[]) AS s(org, thing, seen)
                                WHERE s.org = g.org AND s.thing = g.thing) THEN g.due_at
                          WHEN excluded.due_at IS NULL AND excluded.synced_seq > 0 AND g.wanted_seq > excluded.synced_seq
                          THEN g.due_at ELSE excluded.due_at END,
            synced_seq = greatest(g.synced_seq, excluded.synced_seq), body = excluded.body)
    SELECT count(*) FROM fence";

pub(crate) async fn settle(pool: &Pool, settlement: &GoogleSettlement) -> Attempt<()> {
    let lease = settlement.lease;
    let by_thing: BTreeMap<_, _> = settlement.outcomes.iter().map(|one| ((one.org, one.thing), one)).collect();
    let outcomes = || by_thing.values();
    let answer = query(
        pool,
        SETTLE,
        &[
            &to_shard(lease.shard),
            &lease.epoch,
            &outcomes().map(|one| one.org.uuid()).collect::<Vec<_>>(),
            &outcomes().map(|one| one.thing).collect::<Vec<_>>(),
            &outcomes().map(|one| one.account).collect::<Vec<_>>(),
            &outcomes().map(|one| one.synced_seq).collect::<Vec<_>>(),
            &outcomes().map(|one| one.retry_at.map(Timestamp::as_micros)).collect::<Vec<_>>(),
            &outcomes().map(|one| text(&one.body)).collect::<Vec<_>>(),
            &outcomes().map(|one| one.seen_due_at.map(Timestamp::as_micros)).collect::<Vec<_>>(),
        ],
    )
    .await?;
    held(&answer, lease)
}

/// Forgets things under the lease.
pub(crate) async fn forget(pool: &Pool, lease: Lease, org: OrgId, things: &[Uuid]) -> Attempt<()> {
    const SQL: &str = "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $1 AND epoch = $2 FOR KEY SHARE),
        gone AS (DELETE FROM google_things WHERE org = $3 AND thing = ANY ($4) AND EXISTS (SELECT 1 FROM fence))
        SELECT count(*) FROM fence";
    let answer = query(pool, SQL, &[&to_shard(lease.shard), &lease.epoch, &org.uuid(), &things]).await?;
    held(&answer, lease)
}
