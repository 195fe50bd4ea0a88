//! The two logs in domain words: source events in, events out.

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use domain::{
    Actor, Cause, Event, EventId, EventKind, Facts, Image, OrgId, PassId, Position, SourceEvent, SourceEventId, SourceId,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Accepted, DataKey, InboxFilter, InboxInsert, InboxResult, InboxRow, InboxSettlement, InboxStatus, Reader, Repeats, Store,
    StoreError,
    error::Result,
    rows::{EventRow, Hash},
    states::{EVENT_CONTEXT, context, damaged, parse},
};

/// How long the inbox recognises a duplicate.
pub const DEDUPE_DAYS: u64 = 30;
const INBOX_CONTEXT: &[u8] = b"source event";

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventBody<'e> {
    actor: Cow<'e, Actor>,
    cause: Cow<'e, Cause>,
    facts: Cow<'e, Facts>,
    image: Cow<'e, Image>,
}

impl<'e> EventBody<'e> {
    pub(crate) fn of(event: &'e Event) -> Self {
        Self {
            actor: Cow::Borrowed(&event.actor),
            cause: Cow::Borrowed(&event.cause),
            facts: Cow::Borrowed(&event.facts),
            image: Cow::Borrowed(&event.image),
        }
    }
}

/// An event as it was read: whole, or only its outline once whom it is about was erased.
#[derive(Debug, Clone)]
pub enum LoggedEvent {
    /// The event, and under whose data key things about it are sealed.
    Whole(Box<Event>, SealedUnder),
    /// What is left of it.
    Erased(EventOutline),
}

/// Under whose data key an event is sealed, for sealing more about it.
#[derive(Debug, Clone)]
pub struct SealedUnder {
    subject: Uuid,
    /// The key, wrapped; none where nothing is sealed, or where it was open from the start.
    data_key: Option<Vec<u8>>,
    /// The key once it was opened: much is sealed about an event that is owed to many.
    opened: OnceLock<Arc<DataKey>>,
}

impl SealedUnder {
    /// By the key of an event that was written down just now; none where it is not sealed.
    pub(crate) fn known(subject: Uuid, key: Option<Arc<DataKey>>) -> Self {
        Self { subject, data_key: None, opened: key.map(OnceLock::from).unwrap_or_default() }
    }
}

/// What is left of an event after erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventOutline {
    /// Its id.
    pub id: EventId,
    /// Where it stands.
    pub position: Position,
    /// Its kind, unless a newer version wrote it.
    pub kind: Option<EventKind>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Its pass.
    pub pass: Option<PassId>,
}

impl LoggedEvent {
    /// The event, unless it was erased.
    pub fn whole(self) -> Option<Event> {
        match self {
            Self::Whole(event, _) => Some(*event),
            Self::Erased(_) => None,
        }
    }
    /// Where it stands.
    pub fn position(&self) -> Position {
        match self {
            Self::Whole(event, _) => event.position,
            Self::Erased(outline) => outline.position,
        }
    }
}

/// A source event in the inbox, opened.
#[derive(Debug, Clone)]
pub struct InboxEntry {
    /// Where it stands.
    pub position: Position,
    /// Whose.
    pub org: OrgId,
    /// Its id.
    pub id: SourceEventId,
    /// Where it came from.
    pub source: SourceId,
    /// Blind index of whom it is about.
    pub order_key: Hash,
    /// When it reached us.
    pub received_at: Timestamp,
    /// When it happened, by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// What it is called.
    pub name: String,
    /// The event as JSON; none after erasure.
    pub payload: Option<String>,
    /// What became of it.
    pub result: Option<InboxResult>,
}

impl InboxEntry {
    /// Which run of its flows was asked for last: 0, or a number that does what was applied once more.
    pub fn run(&self) -> u32 {
        let trace = self.result.as_ref().map(|result| serde_json::from_str::<serde_json::Value>(&result.trace));
        let run = trace.and_then(std::result::Result::ok).and_then(|trace| trace["run"].as_u64());
        run.and_then(|run| u32::try_from(run).ok()).unwrap_or(0)
    }

    /// What is written so that it is handled again.
    fn again(&self, run: Option<u32>, due: Timestamp) -> InboxResult {
        let before = self.result.as_ref();
        let mut trace = before.map(|result| result.trace.clone()).unwrap_or_default();
        if let Some(run) = run {
            let mut changed: serde_json::Value = serde_json::from_str(&trace).unwrap_or_default();
            changed["run"] = run.into();
            trace = changed.to_string();
        }
        let runs = before.map_or(0, |result| result.runs);
        InboxResult { status: InboxStatus::Waiting.number(), runs, due_at: Some(due), at: due, trace }
    }
}

/// A source event at the door.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Whose.
    pub org: OrgId,
    /// Where it came from.
    pub source: SourceId,
    /// When it reached us.
    pub received_at: Timestamp,
    /// The event.
    pub event: SourceEvent,
    /// When set, it cannot be read and is kept with this reason, with what arrived as payload.
    pub fault: Option<String>,
}

impl Arrival {
    /// What the inbox has of it once it is written down.
    fn entry(self, position: Position, id: SourceEventId, order_key: Hash) -> InboxEntry {
        let Self { org, source, received_at, event, fault } = self;
        let SourceEvent { occurred_at, name, payload, .. } = event;
        let result = fault.map(|reason| InboxResult::parked_at_the_door(received_at, reason));
        let payload = Some(payload);
        InboxEntry { position, org, id, source, order_key, received_at, occurred_at, name, payload, result }
    }
}

/// Flows write no result about events that none of them is for by name: that they were passed says it.
fn passed_by(row: InboxRow, passed: &[u64]) -> InboxRow {
    let Position { shard, seq } = row.position;
    if row.result.is_some() || passed.get(usize::from(shard)).is_none_or(|passed| *passed < seq) {
        return row;
    }
    let (status, trace) = (InboxStatus::Ignored.number(), r#"{"flows":[]}"#.to_owned());
    InboxRow { result: Some(InboxResult { status, runs: 1, due_at: None, at: row.received_at, trace }), ..row }
}

/// Which of an organization's events are wished for, from the newest on.
#[derive(Debug, Clone)]
pub struct Newest {
    /// Of these kinds.
    pub kinds: Vec<EventKind>,
    /// Written down no earlier than this.
    pub since: Option<Timestamp>,
    /// Of each shard only those below this number.
    pub before: Vec<u64>,
    /// How many at most.
    pub limit: u32,
}

/// Events from the newest on.
#[derive(Debug)]
pub struct NewestPage {
    /// They.
    pub events: Vec<LoggedEvent>,
    /// Below which number of each shard to read on.
    pub before: Vec<u64>,
    /// Whether there are older ones.
    pub has_more: bool,
}

impl Store {
    /// Takes source events in; answers after they are written down. The ids are those of the first arrival for duplicates.
    pub async fn accept(&self, arrivals: Vec<Arrival>) -> Result<Vec<(SourceEventId, Accepted)>> {
        self.accept_or_return(arrivals).await.map_err(|(error, _)| error)
    }

    /// [`Store::accept`] that gives back what it did not take, to be given again.
    pub async fn accept_or_return(
        &self,
        arrivals: Vec<Arrival>,
    ) -> std::result::Result<Vec<(SourceEventId, Accepted)>, (StoreError, Vec<Arrival>)> {
        let rows = match arrivals.iter().map(|arrival| self.seal_arrival(arrival)).collect::<Result<Vec<_>>>() {
            Ok(rows) => rows,
            Err(error) => return Err((error, arrivals)),
        };
        let keys: Vec<(SourceEventId, Hash)> = rows.iter().map(|row| (row.id, row.order_key)).collect();
        let accepted = match self.backend.accept(rows).await {
            Ok(accepted) => accepted,
            Err(error) => return Err((error, arrivals)),
        };
        for ((arrival, (id, order_key)), accepted) in arrivals.into_iter().zip(&keys).zip(&accepted) {
            if let Accepted::New(position) = *accepted {
                self.inbox_tails.keep(arrival.entry(position, *id, *order_key));
            }
        }
        let new = |accepted: &Accepted| match accepted {
            Accepted::New(position) => Some(position.shard),
            Accepted::Duplicate(_) => None,
        };
        self.tell_inbox(accepted.iter().filter_map(new));
        let with_id = |((id, _), accepted)| match accepted {
            Accepted::New(_) => (id, accepted),
            Accepted::Duplicate(first) => (first, accepted),
        };
        Ok(keys.into_iter().zip(accepted).map(with_id).collect())
    }

    fn seal_arrival(&self, arrival: &Arrival) -> Result<InboxInsert> {
        let Arrival { org, source, received_at, ref event, ref fault } = *arrival;
        let id = SourceEventId::mint(received_at, self.entropy());
        let (key, data_key) = self.keyring.mint_data_key(org, id.uuid())?;
        let order_key = self.keyring.blind(org, "order key", &event.order_key)?;
        let source_text = source.uuid().to_string();
        let word = u64::from_be_bytes([
            order_key[0],
            order_key[1],
            order_key[2],
            order_key[3],
            order_key[4],
            order_key[5],
            order_key[6],
            order_key[7],
        ]);
        Ok(InboxInsert {
            org,
            id,
            source,
            dedupe: self.keyring.blind(org, &source_text, &event.dedupe_key)?,
            dedupe_until: received_at.plus(std::time::Duration::from_secs(DEDUPE_DAYS * 86_400)),
            order_key,
            shard: (word % u64::from(self.backend.shards())) as u16,
            received_at,
            occurred_at: event.occurred_at,
            name: event.name.clone(),
            body: self.keyring.seal(&key, &context(INBOX_CONTEXT, id.uuid()), event.payload.as_bytes())?,
            data_key,
            fault: fault.clone(),
        })
    }

    /// The next source events of a shard, in order.
    pub async fn read_inbox(&self, shard: u16, after: u64, limit: u32) -> Result<Vec<InboxEntry>> {
        let rows = self.backend.read_inbox(shard, after, limit).await?;
        rows.into_iter().map(|row| self.open_inbox(row)).collect()
    }

    /// Source events of a shard that wait and are due.
    pub async fn due_inbox(&self, shard: u16, now: Timestamp, limit: u32) -> Result<Vec<InboxEntry>> {
        let rows = self.backend.due_inbox(shard, now, limit).await?;
        rows.into_iter().map(|row| self.open_inbox(row)).collect()
    }

    /// One source event.
    pub async fn source_event(&self, org: OrgId, id: SourceEventId) -> Result<Option<InboxEntry>> {
        let passed = self.backend.watermarks(Reader::Flows).await?;
        self.backend.source_event(org, id).await?.map(|row| self.open_inbox(passed_by(row, &passed))).transpose()
    }

    /// How often a source event came again; none when it did not.
    pub async fn repeats(&self, org: OrgId, id: SourceEventId) -> Result<Option<Repeats>> {
        self.backend.repeats(org, id).await
    }

    /// Source events, newest first.
    pub async fn source_events(&self, org: OrgId, filter: &InboxFilter, limit: u32) -> Result<Vec<InboxEntry>> {
        // Before the rows: what was passed by then and has no result then will never have one.
        let passed = match filter.status == Some(InboxStatus::Ignored.number()) {
            true => vec![u64::MAX; usize::from(self.backend.shards())],
            false => self.backend.watermarks(Reader::Flows).await?,
        };
        let rows = self.backend.source_events(org, filter, limit).await?;
        rows.into_iter().map(|row| self.open_inbox(passed_by(row, &passed))).collect()
    }

    /// Has a settled source event handled once more, at once: what was applied stays, what was rejected is decided anew.
    pub async fn replay(&self, entry: &InboxEntry, now: Timestamp) -> Result<()> {
        self.replay_all(std::slice::from_ref(entry), None, now).await
    }

    /// Has settled source events handled once more, in the order given. With a run number that they have not had before,
    /// what was applied is done again.
    pub async fn replay_all(&self, entries: &[InboxEntry], run: Option<u32>, now: Timestamp) -> Result<()> {
        let leases = self.backend.leases().await?;
        for lease in leases.iter().map(|row| row.lease) {
            let ours = entries.iter().filter(|entry| entry.position.shard == lease.shard);
            // Those that are due first are handled first.
            let due = |index: u64| Timestamp::from_micros(now.as_micros().saturating_add_unsigned(index));
            let results: Vec<_> =
                (0..).zip(ours).map(|(index, entry)| (entry.org, entry.id, entry.again(run, due(index)))).collect();
            if !results.is_empty() {
                self.backend.settle_inbox(InboxSettlement { lease, results, owners: Vec::new(), watermark: None }).await?;
                self.wake().tick_waiting(lease.shard);
                self.backend.nudge();
            }
        }
        Ok(())
    }

    /// Writes what became of a source event other than by flows, in the place of what was written before. Flows must not be
    /// about to handle it.
    pub async fn settle_by_hand(&self, entry: &InboxEntry, result: InboxResult) -> Result<()> {
        let leases = self.backend.leases().await?;
        let lease = leases.iter().map(|row| row.lease).find(|lease| lease.shard == entry.position.shard);
        let lease = lease.ok_or_else(|| StoreError::Internal(format!("shard {} has no lease", entry.position.shard)))?;
        let results = vec![(entry.org, entry.id, result)];
        self.backend.settle_inbox(InboxSettlement { lease, results, owners: Vec::new(), watermark: None }).await?;
        self.wake().tick_waiting(lease.shard);
        Ok(())
    }

    fn open_inbox(&self, row: InboxRow) -> Result<InboxEntry> {
        let id = row.id.uuid();
        let body = self
            .unseal(row.org, id, row.data_key.as_deref(), || context(INBOX_CONTEXT, id), &row.body)
            .and_then(|body| body.map(String::from_utf8).transpose().map_err(|error| StoreError::Internal(error.to_string())))
            .map_err(|error| damaged(error, "inbox", place(row.position)))?;
        Ok(InboxEntry {
            position: row.position,
            org: row.org,
            id: row.id,
            source: row.source,
            order_key: row.order_key,
            received_at: row.received_at,
            occurred_at: row.occurred_at,
            name: row.name,
            payload: body,
            result: row.result,
        })
    }

    /// The next events of a shard, in order.
    pub async fn read_events(&self, shard: u16, after: u64, limit: u32) -> Result<Vec<LoggedEvent>> {
        self.open_events(&self.backend.read_events(shard, after, limit).await?)
    }

    /// Events at given positions; those that are gone are left out.
    pub async fn events_at(&self, positions: &[Position]) -> Result<Vec<LoggedEvent>> {
        self.open_events(&self.backend.events_at(positions).await?)
    }

    /// Events of an organization after a number per shard.
    pub async fn feed(&self, org: OrgId, after: &[u64], limit: u32) -> Result<Vec<LoggedEvent>> {
        self.open_events(&self.backend.feed(org, after, limit).await?)
    }

    /// An organization's events from the newest on: by when they were written down, those of one shard in their order in any case.
    pub async fn newest(&self, org: OrgId, wish: &Newest) -> Result<NewestPage> {
        let mut shards = vec![VecDeque::new(); wish.before.len()];
        for row in self.backend.newest(org, wish).await? {
            if let Some(shard) = shards.get_mut(usize::from(row.position.shard)) {
                shard.push_back(row);
            }
        }
        let (mut rows, mut before) = (Vec::new(), wish.before.clone());
        while rows.len() < wish.limit as usize {
            let newest = shards.iter().enumerate().filter_map(|(shard, rows)| Some((rows.front()?.recorded_at, shard))).max();
            let Some(row) = newest.and_then(|(_, shard)| shards[shard].pop_front()) else { break };
            before[usize::from(row.position.shard)] = row.position.seq;
            rows.push(row);
        }
        let has_more = shards.iter().any(|rows| !rows.is_empty());
        Ok(NewestPage { events: self.open_events(&rows)?, before, has_more })
    }

    /// Events of a pass, oldest first.
    pub async fn events_of_pass(&self, org: OrgId, pass: PassId, after: u64, limit: u32) -> Result<Vec<LoggedEvent>> {
        self.open_events(&self.backend.events_of_pass(org, pass, after, limit).await?)
    }

    /// Events of a pass below a number of its shard, newest first.
    pub async fn newest_of_pass(&self, org: OrgId, pass: PassId, before: u64, limit: u32) -> Result<Vec<LoggedEvent>> {
        self.open_events(&self.backend.newest_of_pass(org, pass, before, limit).await?)
    }

    /// One event.
    pub async fn event(&self, org: OrgId, id: EventId) -> Result<Option<LoggedEvent>> {
        self.backend.event(org, id).await?.map(|row| self.open_event(&row)).transpose()
    }

    fn open_events(&self, rows: &[EventRow]) -> Result<Vec<LoggedEvent>> {
        rows.iter().map(|row| self.open_event(row)).collect()
    }

    /// Opens an event. Schema 1 is the only one so far; later ones are upcast here.
    pub fn open_event(&self, row: &EventRow) -> Result<LoggedEvent> {
        let id = row.id.uuid();
        let body = self
            .unseal(row.org, row.subject, row.data_key.as_deref(), || context(EVENT_CONTEXT, id), &row.body)
            .map_err(|error| damaged(error, "events", place(row.position)))?;
        let Some(body) = body else {
            return Ok(LoggedEvent::Erased(EventOutline {
                id: row.id,
                position: row.position,
                kind: EventKind::from_number(row.kind),
                occurred_at: row.occurred_at,
                pass: row.pass,
            }));
        };
        let body: EventBody<'_> = parse(&body, "events", id)?;
        let event = Event {
            id: row.id,
            org: row.org,
            position: row.position,
            schema: u16::try_from(row.schema).unwrap_or(0),
            occurred_at: row.occurred_at,
            recorded_at: row.recorded_at,
            actor: body.actor.into_owned(),
            cause: body.cause.into_owned(),
            project: row.project,
            pass: row.pass,
            contact: row.contact,
            version: u64::try_from(row.version).unwrap_or(0),
            facts: body.facts.into_owned(),
            image: body.image.into_owned(),
        };
        let under = SealedUnder { subject: row.subject, data_key: row.data_key.clone(), opened: OnceLock::new() };
        Ok(LoggedEvent::Whole(Box::new(event), under))
    }

    /// Seals something about an event (what a delivery sent and got back) as the event itself is sealed, so that erasing its
    /// subject erases this too. The subject and the sealed bytes are what an [`crate::AttemptRow`] keeps.
    pub fn seal_detail(&self, event: &Event, under: &SealedUnder, detail: &[u8]) -> Result<(Uuid, Vec<u8>)> {
        let detail = packed(detail);
        let key = match (under.opened.get(), &under.data_key) {
            (Some(key), _) => key,
            (None, None) => return Ok((under.subject, detail)),
            (None, Some(wrapped)) => {
                let key = self.keyring.open_data_key(event.org, under.subject, wrapped)?;
                under.opened.get_or_init(|| Arc::new(key))
            }
        };
        Ok((under.subject, self.keyring.seal(key, &context(b"attempt", event.id.uuid()), &detail)?))
    }

    /// Opens what [`Store::seal_detail`] sealed; nothing after erasure.
    pub fn open_detail(&self, row: &crate::AttemptRow) -> Result<Option<Vec<u8>>> {
        let about = || context(b"attempt", row.event.uuid());
        let detail = self.unseal(row.org, row.subject, row.data_key.as_deref(), about, &row.detail)?;
        detail.map(|detail| unpacked(detail, row.event)).transpose()
    }
}

/// First byte of a detail that was compressed. One that was not is JSON and begins otherwise.
const PACKED: u8 = 1;

/// A detail repeats what every request has, and there is one for every attempt: about half of it is left, for a few
/// microseconds. Sealed bytes do not compress, so it has to be done before.
fn packed(detail: &[u8]) -> Vec<u8> {
    match snap::raw::Encoder::new().compress_vec(detail) {
        Ok(small) if small.len() + 1 < detail.len() => [&[PACKED], &small[..]].concat(),
        _ => detail.to_vec(),
    }
}

fn unpacked(detail: Vec<u8>, event: EventId) -> Result<Vec<u8>> {
    let Some((&PACKED, small)) = detail.split_first() else { return Ok(detail) };
    snap::raw::Decoder::new().decompress_vec(small).map_err(|error| StoreError::Inconsistent {
        table: "attempts",
        column: "detail",
        row: event.to_string(),
        why: error.to_string(),
    })
}

/// A position as a person looks for it in the table.
fn place(position: Position) -> String {
    format!("shard {}, number {}", position.shard, position.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_come_back_as_they_were_and_what_repeats_takes_less_room() {
        let event = EventId::from_uuid(Uuid::nil());
        let headers = r#"{"request":{"headers":{"content-type":"application/json","content-length":"2"}}}"#;
        for detail in ["", "{}", headers, &headers.repeat(9), "\"\u{1}\""] {
            let packed = packed(detail.as_bytes());
            assert!(packed.len() <= detail.len());
            assert_eq!(unpacked(packed, event).unwrap(), detail.as_bytes());
        }
        assert!(packed(headers.repeat(9).as_bytes()).len() < 2 * headers.len());
        assert!(matches!(unpacked(vec![PACKED, 9], event), Err(StoreError::Inconsistent { .. })));
    }
}
