//! The last go: heads, events, passes, commit.

use std::collections::BTreeMap;

use domain::Position;
use store::{EventRow, PassWrite, StoreError};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::{Batch, statements::Statements};
use crate::{
    convert::{Columns, to_shard},
    error::Attempt,
    pool::Transaction,
};

/// Where each event of a batch stands within its shard's part.
struct Places {
    /// How many events each shard gets, ascending.
    counts: BTreeMap<u16, i64>,
    /// How many events of the same shard come after each one.
    back: Vec<i64>,
}

impl Places {
    fn of(events: &[EventRow]) -> Self {
        let mut counts = BTreeMap::new();
        let mut back = vec![0; events.len()];
        for (event, back) in events.iter().zip(&mut back).rev() {
            let count = counts.entry(event.position.shard).or_insert(0);
            *back = *count;
            *count += 1;
        }
        Self { counts, back }
    }
}

pub(super) async fn append_and_commit(open: &Transaction, statements: &Statements, batch: &Batch<'_>) -> Attempt<Vec<Position>> {
    let events = &batch.rows.events;
    let places = Places::of(events);
    if batch.passes.iter().any(|write| write.content_event.is_some_and(|index| index >= events.len())) {
        return Err(StoreError::Internal("a pass names an event that its commit does not have".into()).into());
    }
    let (new, old): (Vec<&PassWrite>, Vec<_>) = batch.passes.iter().partition(|write| write.expected.is_none());
    let answers = tokio::join!(
        biased;
        append(open, &statements.append, events, &places),
        write_passes(open, &statements.insert_passes, &new, events, &places),
        write_passes(open, &statements.replace_passes, &old, events, &places),
        open.send_commit(),
    );
    let heads = answers.0?;
    answers.1?;
    answers.2?;
    answers.3?;
    positions(events, &places, &heads)
}

fn positions(events: &[EventRow], places: &Places, heads: &[Row]) -> Attempt<Vec<Position>> {
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    for row in heads {
        let head = Columns::of(row).position()?;
        last.insert(head.shard, head.seq);
    }
    let place = |(event, back): (&EventRow, &i64)| {
        let shard = event.position.shard;
        let head = last.get(&shard).copied().unwrap_or_default();
        Position { shard, seq: head.saturating_sub(u64::try_from(*back).unwrap_or_default()) }
    };
    Ok(events.iter().zip(&places.back).map(place).collect())
}

async fn append(open: &Transaction, statement: &Statement, events: &[EventRow], places: &Places) -> Attempt<Vec<Row>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    open.query(
        statement,
        &[
            &places.counts.keys().map(|shard| to_shard(*shard)).collect::<Vec<_>>(),
            &places.counts.values().copied().collect::<Vec<i64>>(),
            &events.iter().map(|row| to_shard(row.position.shard)).collect::<Vec<_>>(),
            &places.back,
            &events.iter().map(|row| row.org.uuid()).collect::<Vec<_>>(),
            &events.iter().map(|row| row.id.uuid()).collect::<Vec<_>>(),
            &events.iter().map(|row| row.kind).collect::<Vec<_>>(),
            &events.iter().map(|row| row.schema).collect::<Vec<_>>(),
            &events.iter().map(|row| row.occurred_at.as_micros()).collect::<Vec<_>>(),
            &events.iter().map(|row| row.recorded_at.as_micros()).collect::<Vec<_>>(),
            &events.iter().map(|row| row.project.map(domain::Id::uuid)).collect::<Vec<_>>(),
            &events.iter().map(|row| row.pass.map(domain::Id::uuid)).collect::<Vec<_>>(),
            &events.iter().map(|row| row.contact.map(domain::Id::uuid)).collect::<Vec<_>>(),
            &events.iter().map(|row| row.version).collect::<Vec<_>>(),
            &events.iter().map(|row| row.subject).collect::<Vec<Uuid>>(),
            &events.iter().map(|row| row.body.as_slice()).collect::<Vec<_>>(),
        ],
    )
    .await
}

async fn write_passes(
    open: &Transaction,
    statement: &Statement,
    writes: &[&PassWrite],
    events: &[EventRow],
    places: &Places,
) -> Attempt<()> {
    if writes.is_empty() {
        return Ok(());
    }
    let rows = || writes.iter().map(|write| &write.row);
    open.execute(
        statement,
        &[
            &rows().map(|row| row.org.uuid()).collect::<Vec<_>>(),
            &rows().map(|row| row.id.uuid()).collect::<Vec<_>>(),
            &rows().map(|row| row.project.uuid()).collect::<Vec<_>>(),
            &rows().map(|row| to_shard(row.shard)).collect::<Vec<_>>(),
            &rows().map(|row| row.version).collect::<Vec<_>>(),
            &rows().map(|row| row.contact.map(domain::Id::uuid)).collect::<Vec<_>>(),
            &rows().map(|row| row.external.map(Uuid::from_bytes)).collect::<Vec<_>>(),
            &rows().map(|row| row.state).collect::<Vec<_>>(),
            &rows().map(|row| row.due_at.map(domain::Timestamp::as_micros)).collect::<Vec<_>>(),
            &rows().map(|row| row.issued_at.as_micros()).collect::<Vec<_>>(),
            &rows().map(|row| row.updated_at.as_micros()).collect::<Vec<_>>(),
            &rows().map(|row| row.subject).collect::<Vec<_>>(),
            &rows().map(|row| row.body.as_slice()).collect::<Vec<_>>(),
            &writes.iter().map(|write| Some(to_shard(events[write.content_event?].position.shard))).collect::<Vec<_>>(),
            &writes.iter().map(|write| Some(places.back[write.content_event?])).collect::<Vec<_>>(),
            &rows().map(|row| row.installed).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Id, Timestamp};

    #[test]
    fn events_count_back_from_their_shards_head() {
        let event = |shard| EventRow {
            position: Position { shard, seq: 0 },
            org: Id::from_uuid(Uuid::nil()),
            id: Id::from_uuid(Uuid::nil()),
            kind: 1,
            schema: 1,
            occurred_at: Timestamp::from_micros(0),
            recorded_at: Timestamp::from_micros(0),
            project: None,
            pass: None,
            contact: None,
            version: 1,
            subject: Uuid::nil(),
            data_key: None,
            body: Vec::new(),
        };
        let places = Places::of(&[event(3), event(1), event(3), event(3)]);
        assert_eq!(places.counts, BTreeMap::from([(1, 1), (3, 3)]));
        assert_eq!(places.back, [2, 0, 1, 0]);
    }
}
