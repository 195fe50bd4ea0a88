//! Installations and pushes.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;
use domain::{OrgId, PassId, Timestamp};
use store::{InstallationRow, PassRow, PushSettlement, StaleDevice, StaleKey, StalePlace};
use tokio_postgres::types::ToSql;

use crate::{
    convert::{Columns, from_seq, installation, installation_columns, pass, pass_columns, text, to_seq, to_shard},
    error::Attempt,
    leases::held,
    pool::query,
};

pub(crate) async fn passes_on_device(pool: &Pool, org: OrgId, device: &str) -> Attempt<Vec<PassRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        pass_columns!(),
        " FROM (SELECT pass FROM installations WHERE org = $1 AND device = $2 AND wallet = 1 AND active OFFSET 0) i \
         CROSS JOIN LATERAL (SELECT * FROM passes p WHERE p.org = $1 AND p.id = i.pass OFFSET 0) p"
    );
    let rows = query(pool, SQL, &[&org.uuid(), &text(device)]).await?;
    rows.iter().map(|row| pass(&mut Columns::of(row))).collect()
}

pub(crate) async fn installations(
    pool: &Pool,
    org: OrgId,
    pass: PassId,
    after: Option<(i16, String)>,
    limit: u32,
) -> Attempt<Vec<InstallationRow>> {
    const SQL: &str = concat!(
        "SELECT ",
        installation_columns!(),
        " FROM installations i WHERE i.org = $1 AND i.pass = $2 AND (i.wallet, i.device) > ($3, $4) \
         ORDER BY i.wallet, i.device LIMIT $5"
    );
    let (wallet, device) = after.unwrap_or_default();
    let rows = query(pool, SQL, &[&org.uuid(), &pass.uuid(), &wallet, &text(&device), &i64::from(limit)]).await?;
    rows.iter().filter_map(|row| installation(&mut Columns::of(row)).transpose()).collect()
}

fn stale(columns: &mut Columns<'_>) -> Attempt<(i64, Option<StaleDevice>)> {
    let content_seq = columns.take()?;
    let project = columns.id()?;
    let installation = installation(columns)?;
    Ok((content_seq, installation.map(|installation| StaleDevice { installation, content_seq, project })))
}

pub(crate) async fn devices(pool: &Pool, org: OrgId, after: &str, limit: u32) -> Attempt<Vec<StaleDevice>> {
    const SQL: &str = concat!(
        "SELECT p.content_seq, p.project, ",
        installation_columns!(),
        " FROM (SELECT DISTINCT device FROM installations WHERE org = $1 AND device > $2 AND wallet = 1 AND active \
                ORDER BY device LIMIT $3) d \
         CROSS JOIN LATERAL (SELECT * FROM installations i WHERE i.org = $1 AND i.device = d.device AND i.wallet = 1 \
                AND i.active OFFSET 0) i \
         CROSS JOIN LATERAL (SELECT project, content_seq FROM passes p WHERE p.org = i.org AND p.id = i.pass OFFSET 0) p \
         ORDER BY i.device, i.pass"
    );
    let rows = query(pool, SQL, &[&org.uuid(), &text(after), &i64::from(limit)]).await?;
    let rows: Vec<_> = rows.iter().map(|row| stale(&mut Columns::of(row))).collect::<Attempt<_>>()?;
    Ok(rows.into_iter().filter_map(|(_, device)| device).collect())
}

pub(crate) async fn device_count(pool: &Pool, org: OrgId) -> Attempt<u64> {
    const SQL: &str =
        "SELECT count(*) FROM (SELECT DISTINCT device FROM installations WHERE org = $1 AND wallet = 1 AND active) d";
    let rows = query(pool, SQL, &[&org.uuid()]).await?;
    let count: i64 = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(crate) async fn owe_push(pool: &Pool, org: OrgId, pass: PassId, device: &str, at: Timestamp) -> Attempt<()> {
    const SQL: &str = "UPDATE installations SET pushed_seq = -1, push_due_at = $4 \
        WHERE org = $1 AND pass = $2 AND wallet = 1 AND device = $3 AND active";
    query(pool, SQL, &[&org.uuid(), &pass.uuid(), &text(device), &at.as_micros()]).await?;
    Ok(())
}

pub(crate) async fn device_since(pool: &Pool, org: OrgId, device: &str) -> Attempt<Vec<(PassId, Timestamp)>> {
    const SQL: &str = "SELECT pass, since FROM installations WHERE org = $1 AND device = $2 AND wallet = 1 AND active";
    let rows = query(pool, SQL, &[&org.uuid(), &text(device)]).await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            Ok((columns.id()?, columns.time()?))
        })
        .collect()
}

/// Devices of a shard that are behind their passes, from a place on.
#[derive(Debug, Clone)]
pub(crate) struct Stale {
    pub(crate) shard: u16,
    pub(crate) after: StalePlace,
    pub(crate) limit: u32,
}

/// Those of several shards, each with how far was looked: a pass of which nobody is behind is a row without a device.
pub(crate) async fn stale_devices(pool: &Pool, asked: &[Stale]) -> Attempt<Vec<(StalePlace, Vec<StaleDevice>)>> {
    const SQL: &str = concat!(
        "SELECT t.n, p.content_seq, p.project, ",
        installation_columns!(),
        " FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::text[]) \
                WITH ORDINALITY AS t(shard, after, most, content_seq, org, pass, device, n) \
         CROSS JOIN LATERAL (SELECT org, id, project, content_seq FROM passes WHERE shard = t.shard AND content_seq > t.after \
                ORDER BY content_seq FETCH FIRST (t.most) ROWS WITH TIES) p \
         LEFT JOIN LATERAL (SELECT * FROM installations i WHERE i.org = p.org AND i.pass = p.id AND i.wallet = 1 \
                AND i.device > CASE WHEN (p.content_seq, p.org, p.id) = (t.content_seq, t.org, t.pass) THEN t.device ELSE '' END \
                AND i.active AND i.pushed_seq < p.content_seq ORDER BY i.device LIMIT t.most) i ON true \
         WHERE (p.content_seq, p.org, p.id) >= (t.content_seq, t.org, t.pass) \
         ORDER BY t.n, p.content_seq, p.org, p.id, i.device"
    );
    let from: Vec<StaleKey> = asked.iter().map(|it| it.after.from()).collect();
    let bound: [&(dyn ToSql + Sync); 7] = [
        &asked.iter().map(|it| to_shard(it.shard)).collect::<Vec<_>>(),
        &asked.iter().map(|it| to_seq(it.after.seq)).collect::<Vec<_>>(),
        &asked.iter().map(|it| i64::from(it.limit)).collect::<Vec<_>>(),
        &from.iter().map(|key| key.content_seq).collect::<Vec<_>>(),
        &from.iter().map(|key| key.org.uuid()).collect::<Vec<_>>(),
        &from.iter().map(|key| key.pass.uuid()).collect::<Vec<_>>(),
        &from.iter().map(|key| text(&key.device)).collect::<Vec<_>>(),
    ];
    let rows = query(pool, SQL, &bound).await?;
    let mut found: Vec<(u64, Vec<StaleDevice>)> = asked.iter().map(|it| (it.after.seq, Vec::new())).collect();
    for row in &rows {
        let mut columns = Columns::of(row);
        if let Some((seq, devices)) = columns.place()?.and_then(|place| found.get_mut(place)) {
            let (content_seq, device) = stale(&mut columns)?;
            *seq = from_seq(content_seq);
            devices.extend(device);
        }
    }
    let places = asked.iter().zip(found).map(|(it, (seq, mut devices))| {
        devices.truncate(it.limit as usize);
        (it.after.next(seq, &devices, it.limit), devices)
    });
    Ok(places.collect())
}

pub(crate) async fn due_pushes(pool: &Pool, shard: u16, now: Timestamp, limit: u32) -> Attempt<Vec<StaleDevice>> {
    const SQL: &str = concat!(
        "SELECT p.content_seq, p.project, ",
        installation_columns!(),
        " FROM (SELECT * FROM installations WHERE shard = $1 AND push_due_at <= $2 AND active AND wallet = 1 \
                ORDER BY push_due_at LIMIT $3) i \
         CROSS JOIN LATERAL (SELECT content_seq, project FROM passes p WHERE p.org = i.org AND p.id = i.pass OFFSET 0) p \
         ORDER BY i.push_due_at"
    );
    let rows = query(pool, SQL, &[&to_shard(shard), &now.as_micros(), &i64::from(limit)]).await?;
    rows.iter().filter_map(|row| stale(&mut Columns::of(row)).map(|(_, device)| device).transpose()).collect()
}

/// A push that failed leaves what the device was woken for. Rows are locked in the order of the list and come back as they are
/// by then; that they are written as inserts that conflict finds them by their key, whichever version the statement sees, and
/// never by a scan.
const SETTLE: &str = "WITH fence AS MATERIALIZED (SELECT shard FROM leases WHERE shard = $1 AND epoch = $2 FOR KEY SHARE),
    locked AS MATERIALIZED (
        SELECT i.*, t.pushed, t.retry FROM fence
        CROSS JOIN unnest($3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::bigint[]) AS t(org, pass, device, pushed, retry)
        CROSS JOIN LATERAL (SELECT * FROM installations i
            WHERE i.org = t.org AND i.pass = t.pass AND i.wallet = 1 AND i.device = t.device FOR UPDATE) i),
    pushed AS (
        INSERT INTO installations (org, pass, wallet, device, shard, active, since, first_installed_at, pushed_seq, push_due_at)
        SELECT org, pass, wallet, device, shard, active, since, first_installed_at, coalesce(pushed, pushed_seq), retry
        FROM locked
        ON CONFLICT (org, pass, wallet, device) DO UPDATE SET pushed_seq = excluded.pushed_seq,
            push_due_at = excluded.push_due_at,
            push_tries = CASE WHEN excluded.push_due_at IS NULL THEN 0 ELSE installations.push_tries + 1 END),
    moved AS (
        INSERT INTO watermarks (reader, shard, seq) SELECT 'wallet_sync', shard, $8 FROM fence WHERE $8::bigint IS NOT NULL
        ON CONFLICT (reader, shard) DO UPDATE SET seq = excluded.seq)
    SELECT count(*) FROM fence";

pub(crate) async fn settle(pool: &Pool, settlement: &PushSettlement) -> Attempt<()> {
    let lease = settlement.lease;
    let pushes: BTreeMap<_, _> = settlement.pushes.iter().map(|push| ((push.org, push.pass, &push.device), push)).collect();
    let pushes = || pushes.values();
    let answer = query(
        pool,
        SETTLE,
        &[
            &to_shard(lease.shard),
            &lease.epoch,
            &pushes().map(|push| push.org.uuid()).collect::<Vec<_>>(),
            &pushes().map(|push| push.pass.uuid()).collect::<Vec<_>>(),
            &pushes().map(|push| text(&push.device)).collect::<Vec<_>>(),
            &pushes().map(|push| push.pushed_seq).collect::<Vec<_>>(),
            &pushes().map(|push| push.retry_at.map(Timestamp::as_micros)).collect::<Vec<_>>(),
            &settlement.watermark.map(to_seq),
        ],
    )
    .await?;
    held(&answer, lease)
}
