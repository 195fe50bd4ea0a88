//! Rows of PostgreSQL to rows of the contract.

use domain::{Id, IdKind, Position, Timestamp};
use store::{
    AttemptRow, ContactRow, DeliveryRow, EventRow, Hash, InboxResult, InboxRow, InstallationRow, PassRow, ResourceRow, ResultRow,
    StoreError,
};
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::error::Attempt;

/// Reads a row's columns from left to right.
pub(crate) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    pub(crate) fn take<T: FromSql<'a>>(&mut self) -> Attempt<T> {
        let value = self.row.try_get(self.next)?;
        self.next += 1;
        Ok(value)
    }
    pub(crate) fn id<K: IdKind>(&mut self) -> Attempt<Id<K>> {
        Ok(Id::from_uuid(self.take()?))
    }
    pub(crate) fn maybe_id<K: IdKind>(&mut self) -> Attempt<Option<Id<K>>> {
        Ok(self.take::<Option<Uuid>>()?.map(Id::from_uuid))
    }
    pub(crate) fn time(&mut self) -> Attempt<Timestamp> {
        Ok(Timestamp::from_micros(self.take()?))
    }
    pub(crate) fn maybe_time(&mut self) -> Attempt<Option<Timestamp>> {
        Ok(self.take::<Option<i64>>()?.map(Timestamp::from_micros))
    }
    pub(crate) fn hash(&mut self) -> Attempt<Hash> {
        Ok(self.take::<Uuid>()?.into_bytes())
    }
    pub(crate) fn seq(&mut self) -> Attempt<u64> {
        Ok(from_seq(self.take()?))
    }
    /// Which of several questions a row answers: the ordinality of its keys, which counts from 1.
    pub(crate) fn place(&mut self) -> Attempt<Option<usize>> {
        Ok(usize::try_from(self.take::<i64>()?).ok().and_then(|place| place.checked_sub(1)))
    }
    pub(crate) fn shard(&mut self) -> Attempt<u16> {
        let shard: i16 = self.take()?;
        Ok(u16::try_from(shard).unwrap_or_default())
    }
    pub(crate) fn position(&mut self) -> Attempt<Position> {
        Ok(Position { shard: self.shard()?, seq: self.seq()? })
    }
}

/// Numbers of a log fit: they count from 1, one by one.
pub(crate) fn to_seq(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

pub(crate) fn from_seq(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or_default()
}

pub(crate) fn to_shard(shard: u16) -> i16 {
    i16::try_from(shard).unwrap_or(i16::MAX)
}

/// Text as PostgreSQL can hold it: it knows no zero byte, which becomes the replacement character.
pub(crate) fn text(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() }
}

pub(crate) fn bytes<const N: usize>(value: &[u8], table: &'static str, column: &'static str) -> Attempt<[u8; N]> {
    let wrong = |_| StoreError::Inconsistent { table, column, row: String::new(), why: format!("not {N} bytes") };
    Ok(value.try_into().map_err(wrong)?)
}

macro_rules! resource_columns {
    () => {
        "org, kind, id, slug, body, revision, changed, deleted, created_at, updated_at"
    };
}

pub(crate) fn resource(row: &Row) -> Attempt<ResourceRow> {
    let mut columns = Columns::of(row);
    Ok(ResourceRow {
        org: columns.id()?,
        kind: columns.take()?,
        id: columns.take()?,
        slug: columns.take()?,
        body: columns.take()?,
        revision: columns.take()?,
        changed: columns.take()?,
        deleted: columns.take()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    })
}

/// Of a source event `i` with its result `r`.
macro_rules! inbox_columns {
    () => {
        "i.shard, i.seq, i.org, i.id, i.source, i.order_key, i.received_at, i.occurred_at, i.name, \
         (SELECT k.wrapped FROM data_keys k WHERE k.org = i.org AND k.subject = i.id), i.body, \
         r.status, r.runs, r.due_at, r.at, r.trace"
    };
}

/// The result `r` of a source event `i`.
macro_rules! inbox_result {
    () => {
        " LEFT JOIN LATERAL (SELECT * FROM inbox_results f WHERE f.org = i.org AND f.id = i.id OFFSET 0) r ON true "
    };
}

pub(crate) fn inbox(columns: &mut Columns<'_>) -> Attempt<InboxRow> {
    Ok(InboxRow {
        position: columns.position()?,
        org: columns.id()?,
        id: columns.id()?,
        source: columns.id()?,
        order_key: columns.hash()?,
        received_at: columns.time()?,
        occurred_at: columns.maybe_time()?,
        name: columns.take()?,
        data_key: columns.take()?,
        body: columns.take()?,
        result: match columns.take::<Option<i16>>()? {
            None => None,
            Some(status) => Some(InboxResult {
                status,
                runs: columns.take()?,
                due_at: columns.maybe_time()?,
                at: columns.time()?,
                trace: columns.take()?,
            }),
        },
    })
}

/// Of a pass `p`.
macro_rules! pass_columns {
    () => {
        "p.org, p.id, p.project, p.shard, p.version, p.content_seq, p.contact, p.external, p.state, p.installed, p.due_at, \
         p.issued_at, p.updated_at, p.subject, \
         (SELECT k.wrapped FROM data_keys k WHERE k.org = p.org AND k.subject = p.subject), p.body"
    };
}

pub(crate) fn pass(columns: &mut Columns<'_>) -> Attempt<PassRow> {
    Ok(PassRow {
        org: columns.id()?,
        id: columns.id()?,
        project: columns.id()?,
        shard: columns.shard()?,
        version: columns.take()?,
        content_seq: columns.take()?,
        contact: columns.maybe_id()?,
        external: columns.take::<Option<Uuid>>()?.map(Uuid::into_bytes),
        state: columns.take()?,
        installed: columns.take()?,
        due_at: columns.maybe_time()?,
        issued_at: columns.time()?,
        updated_at: columns.time()?,
        subject: columns.take()?,
        data_key: columns.take()?,
        body: columns.take()?,
    })
}

/// Of a contact `c`.
macro_rules! contact_columns {
    () => {
        "c.org, c.id, c.version, c.created_at, c.updated_at, c.wallets, \
         (SELECT k.wrapped FROM data_keys k WHERE k.org = c.org AND k.subject = c.id), c.body"
    };
}

/// None when the row has no contact beside it.
pub(crate) fn contact(columns: &mut Columns<'_>) -> Attempt<Option<ContactRow>> {
    let Some(org) = columns.maybe_id()? else { return Ok(None) };
    Ok(Some(ContactRow {
        org,
        id: columns.id()?,
        version: columns.take()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
        wallets: columns.take()?,
        data_key: columns.take()?,
        body: columns.take()?,
    }))
}

/// Of an installation `i`.
macro_rules! installation_columns {
    () => {
        "i.org, i.pass, i.wallet, i.device, i.shard, i.active, i.since, i.reason, i.first_installed_at, i.push_token, \
         i.pushed_seq, i.push_due_at, i.push_tries"
    };
}

pub(crate) fn installation(columns: &mut Columns<'_>) -> Attempt<Option<InstallationRow>> {
    let Some(org) = columns.maybe_id()? else { return Ok(None) };
    Ok(Some(InstallationRow {
        org,
        pass: columns.id()?,
        wallet: columns.take()?,
        device: columns.take()?,
        shard: columns.shard()?,
        active: columns.take()?,
        since: columns.time()?,
        reason: columns.take()?,
        first_installed_at: columns.time()?,
        push_token: columns.take()?,
        pushed_seq: columns.take()?,
        push_due_at: columns.maybe_time()?,
        push_tries: columns.take()?,
    }))
}

/// Of a result `r`.
macro_rules! result_columns {
    () => {
        "r.org, r.principal, r.key, r.fingerprint, r.subject, \
         (SELECT k.wrapped FROM data_keys k WHERE k.org = r.org AND k.subject = r.subject), r.body, r.expires_at"
    };
}

pub(crate) fn result(row: &Row) -> Attempt<ResultRow> {
    let mut columns = Columns::of(row);
    Ok(ResultRow {
        org: columns.id()?,
        principal: columns.take()?,
        key: columns.take()?,
        fingerprint: bytes(columns.take()?, "results", "fingerprint")?,
        subject: columns.take()?,
        data_key: columns.take()?,
        body: columns.take()?,
        expires_at: columns.time()?,
    })
}

/// Of an event `e`.
macro_rules! event_columns {
    () => {
        "e.shard, e.seq, e.org, e.id, e.kind, e.schema, e.occurred_at, e.recorded_at, e.project, e.pass, e.contact, e.version, \
         e.subject, (SELECT k.wrapped FROM data_keys k WHERE k.org = e.org AND k.subject = e.subject), e.body"
    };
}

pub(crate) fn event(columns: &mut Columns<'_>) -> Attempt<EventRow> {
    Ok(EventRow {
        position: columns.position()?,
        org: columns.id()?,
        id: columns.id()?,
        kind: columns.take()?,
        schema: columns.take()?,
        occurred_at: columns.time()?,
        recorded_at: columns.time()?,
        project: columns.maybe_id()?,
        pass: columns.maybe_id()?,
        contact: columns.maybe_id()?,
        version: columns.take()?,
        subject: columns.take()?,
        data_key: columns.take()?,
        body: columns.take()?,
    })
}

/// Of a delivery `d`.
macro_rules! delivery_columns {
    () => {
        "d.org, d.id, d.target, d.event, d.shard, d.seq, d.attempts, d.due_at, d.behind, d.asked_at"
    };
}

pub(crate) fn delivery(columns: &mut Columns<'_>) -> Attempt<Option<DeliveryRow>> {
    let Some(org) = columns.maybe_id()? else { return Ok(None) };
    Ok(Some(DeliveryRow {
        org,
        id: columns.id()?,
        target: columns.id()?,
        event: columns.id()?,
        position: columns.position()?,
        attempts: columns.take()?,
        due_at: columns.time()?,
        behind: columns.take()?,
        asked_at: columns.maybe_time()?,
    }))
}

/// Of an attempt `a`.
macro_rules! attempt_columns {
    () => {
        "a.org, a.delivery, a.target, a.event, a.shard, a.seq, a.attempt, a.at, a.elapsed_micros, a.outcome, a.status, a.error, \
         a.next_at, a.subject, (SELECT k.wrapped FROM data_keys k WHERE k.org = a.org AND k.subject = a.subject), a.detail"
    };
}

pub(crate) fn attempt(columns: &mut Columns<'_>) -> Attempt<AttemptRow> {
    Ok(AttemptRow {
        org: columns.id()?,
        delivery: columns.id()?,
        target: columns.id()?,
        event: columns.id()?,
        position: columns.position()?,
        attempt: columns.take()?,
        at: columns.time()?,
        elapsed_micros: columns.take()?,
        outcome: columns.take()?,
        status: columns.take()?,
        error: columns.take()?,
        next_at: columns.maybe_time()?,
        subject: columns.take()?,
        data_key: columns.take()?,
        detail: columns.take()?,
    })
}

pub(crate) use {
    attempt_columns, contact_columns, delivery_columns, event_columns, inbox_columns, inbox_result, installation_columns,
    pass_columns, resource_columns, result_columns,
};
