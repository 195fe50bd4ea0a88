//! Random operations, the same for the same seed, compared with a model of maps and lists after every step.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ContactId, DeliveryId, OrgId, PassId, Position, SourceEventId};
use uuid::Uuid;

use super::fixtures::{
    Shared, at, contact, day, delivery, event, hash, id, key_bytes, lease, org, outcome, pass, result, settlement, source_event,
    uuid,
};
use crate::{
    Accepted, CommitRows, Committed, ContactKey, ContactRow, ContactWrite, DELETED, DeliveryRow, DeliverySettlement, EventRow,
    Hash, InboxInsert, InboxResult, InboxStatus, Lease, LoadKeys, Log, PassRow, PassWrite, Reader, ResultRow, StoreError,
    WaitingKey,
};

/// Operations of one run.
const STEPS: u64 = 250;
/// Things of each kind that operations choose from; few, so that they meet.
const THINGS: u64 = 8;

/// One run.
pub async fn operations_agree_with_a_simple_model_1(backend: &Shared) {
    run(backend, 1).await;
}
/// Another one.
pub async fn operations_agree_with_a_simple_model_2(backend: &Shared) {
    run(backend, 20_261_120).await;
}
/// Another one.
pub async fn operations_agree_with_a_simple_model_3(backend: &Shared) {
    run(backend, 0xDECA_FBAD).await;
}
/// Another one.
pub async fn operations_agree_with_a_simple_model_4(backend: &Shared) {
    run(backend, u64::MAX / 3).await;
}

/// SplitMix64 from a seed: small, and the same everywhere.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
    fn often(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    fn thing(&mut self) -> u64 {
        10 + self.below(THINGS)
    }
}

#[derive(Default, Clone)]
struct Model {
    inbox: Vec<Vec<(InboxInsert, Option<InboxResult>)>>,
    dedupe: BTreeMap<Hash, SourceEventId>,
    owners: BTreeMap<Uuid, Uuid>,
    data_keys: BTreeMap<Uuid, Vec<u8>>,
    passes: BTreeMap<PassId, PassRow>,
    contacts: BTreeMap<ContactId, ContactRow>,
    names: BTreeMap<Hash, Vec<ContactId>>,
    results: BTreeMap<String, ResultRow>,
    events: Vec<Vec<EventRow>>,
    deliveries: BTreeMap<DeliveryId, (DeliveryRow, bool)>,
    watermarks: Vec<u64>,
}

impl Model {
    fn accept(&mut self, rows: &[InboxInsert]) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        for row in rows {
            if let Some(first) = self.dedupe.get(&row.dedupe) {
                accepted.push(Accepted::Duplicate(*first));
                continue;
            }
            self.dedupe.insert(row.dedupe, row.id);
            self.data_keys.insert(row.id.uuid(), row.data_key.clone());
            let log = &mut self.inbox[usize::from(row.shard)];
            let parked = row.fault.clone().map(|trace| InboxResult {
                status: InboxStatus::Parked.number(),
                runs: 0,
                due_at: None,
                at: row.received_at,
                trace,
            });
            log.push((row.clone(), parked));
            accepted.push(Accepted::New(Position { shard: row.shard, seq: log.len() as u64 }));
        }
        accepted
    }

    /// What a commit leads to, without doing it when it conflicts.
    fn commit(&mut self, rows: &CommitRows) -> Committed {
        let mut next = self.clone();
        let Some(positions) = next.try_commit(rows) else { return Committed::Conflict };
        *self = next;
        Committed::Done(positions)
    }

    fn try_commit(&mut self, rows: &CommitRows) -> Option<Vec<Position>> {
        let destroyed: BTreeSet<_> = rows.destroyed_keys.iter().map(|(_, subject)| *subject).collect();
        let is_left = |row: &PassRow| {
            row.contact.is_some_and(|contact| destroyed.contains(&contact.uuid())) && !destroyed.contains(&row.id.uuid())
        };
        if self.passes.values().any(is_left) {
            return None;
        }
        for subject in &destroyed {
            self.data_keys.remove(subject);
            let owners = &self.owners;
            self.data_keys.retain(|key, _| owners.get(key) != Some(subject));
        }
        for (_, subject, key) in &rows.data_keys {
            if self.data_keys.insert(*subject, key.clone()).is_some() {
                return None;
            }
        }
        for write in &rows.contacts {
            let id = write.row.id;
            if self.contacts.get(&id).map(|row| row.version) != write.expected {
                return None;
            }
            self.contacts.insert(id, write.row.clone());
            for (hash, line) in &mut self.names {
                line.retain(|contact| *contact != id || write.keys.iter().any(|key| key.hash == *hash));
            }
        }
        for write in &rows.contacts {
            let id = write.row.id;
            for key in &write.keys {
                let line = self.names.entry(key.hash).or_default();
                if line.contains(&id) {
                    continue;
                }
                if key.required && !line.is_empty() {
                    return None;
                }
                line.push(id);
            }
        }
        for row in &rows.results {
            if self.results.get(&row.key).is_some_and(|stored| stored.expires_at > rows.now) {
                return None;
            }
            self.results.insert(row.key.clone(), row.clone());
        }
        let mut positions = Vec::new();
        for row in &rows.events {
            let log = &mut self.events[usize::from(row.position.shard)];
            let position = Position { seq: log.len() as u64 + 1, ..row.position };
            log.push(EventRow { position, ..row.clone() });
            positions.push(position);
        }
        self.write_passes(&rows.passes, &positions)?;
        Some(positions)
    }

    fn write_passes(&mut self, writes: &[PassWrite], positions: &[Position]) -> Option<()> {
        for write in writes {
            let stored = self.passes.get(&write.row.id);
            if stored.map(|row| row.version) != write.expected {
                return None;
            }
            let before = stored.map_or(0, |row| row.content_seq);
            let content_seq = write.content_event.map_or(before, |index| positions[index].seq as i64);
            let row = PassRow { content_seq, ..write.row.clone() };
            let rival = |other: &PassRow| other.id != row.id && other.external == row.external && other.state != DELETED;
            if row.external.is_some() && row.state != DELETED && self.passes.values().any(rival) {
                return None;
            }
            self.passes.insert(row.id, row);
        }
        Some(())
    }

    fn with_key(&self, row: &PassRow) -> PassRow {
        PassRow { data_key: self.data_keys.get(&row.subject).cloned(), ..row.clone() }
    }
}

/// The operations of one run.
struct Run<'a> {
    backend: &'a Shared,
    dice: Dice,
    model: Model,
    lease: Lease,
    next: u64,
}

async fn run(backend: &Shared, seed: u64) {
    let shards = usize::from(backend.shards());
    let model = Model {
        inbox: vec![Vec::new(); shards],
        events: vec![Vec::new(); shards],
        watermarks: vec![0; shards],
        ..Model::default()
    };
    let lease = lease(backend, 0, "a").await;
    let mut run = Run { backend, dice: Dice(seed), model, lease, next: 1_000 };
    for step in 0..STEPS {
        match run.dice.below(10) {
            0..=1 => run.accept().await,
            2..=5 => run.commit().await,
            6 => run.settle_inbox().await,
            7 => run.settle_deliveries().await,
            8 => run.claim().await,
            _ => run.load().await,
        }
        if step % 50 == 49 {
            run.compare().await;
        }
    }
}

impl Run<'_> {
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn shard(&mut self) -> u16 {
        self.dice.below(u64::from(self.backend.shards().min(2))) as u16
    }

    async fn accept(&mut self) {
        let mut rows = Vec::new();
        for _ in 0..=self.dice.below(5) {
            let n = self.fresh();
            let fault = self.dice.often(20).then(|| format!("{{\"fault\":{n}}}"));
            rows.push(InboxInsert { dedupe: hash(self.dice.below(400)), fault, ..source_event(n, self.shard()) });
        }
        let expected = self.model.accept(&rows);
        assert_eq!(self.backend.accept(rows).await.unwrap(), expected);
    }

    fn random_pass(&mut self, shard: u16) -> PassRow {
        let n = self.dice.thing();
        let contact = self.dice.often(50).then(|| self.dice.thing() + 20);
        PassRow {
            shard,
            contact: contact.map(id),
            external: self.dice.often(60).then(|| hash(self.dice.below(5))),
            state: if self.dice.often(15) { DELETED } else { 1 },
            subject: uuid(contact.unwrap_or(n)),
            installed: self.dice.below(4) as i16,
            due_at: self.dice.often(30).then(|| at(n)),
            body: vec![self.dice.below(256) as u8; 20],
            ..pass(n)
        }
    }

    async fn commit(&mut self) {
        let shard = self.shard();
        let mut rows = CommitRows { now: at(self.next), ..CommitRows::default() };
        let mut seen = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..self.dice.below(4) {
            let mut row = self.random_pass(shard);
            if !seen.0.insert(row.id) || row.external.is_some_and(|external| !seen.1.insert(external)) {
                continue;
            }
            let n = self.fresh();
            let stored = self.model.passes.get(&row.id).map(|row| row.version);
            let stale = self.dice.often(7);
            let expected = if stale { stored.map_or(Some(1), |_| None) } else { stored };
            row.version = expected.unwrap_or(0) + 1;
            if let Some(stored) = self.model.passes.get(&row.id) {
                row.shard = stored.shard;
            }
            let content_event = self.dice.often(60).then_some(rows.events.len());
            rows.events.push(event(n, &row));
            rows.passes.push(PassWrite { row, expected, content_event, code: None });
        }
        let mut seen = BTreeSet::new();
        while self.dice.often(40) {
            let write = self.random_contact();
            if seen.insert(write.row.id) {
                rows.contacts.push(write);
            }
        }
        for row in rows.passes.iter().map(|write| write.row.subject).chain(rows.contacts.iter().map(|c| c.row.id.uuid())) {
            let known = self.model.data_keys.contains_key(&row) || rows.data_keys.iter().any(|key| key.1 == row);
            if !known || self.dice.often(3) {
                rows.data_keys.push((org(), row, key_bytes(self.next)));
            }
        }
        rows.data_keys.dedup_by_key(|key| key.1);
        if self.dice.often(10) {
            let contact = self.dice.thing() + 20;
            rows.destroyed_keys.push((org(), uuid(contact)));
            // Seldom one is forgotten.
            let passes: Vec<_> = self.model.passes.values().filter(|row| row.contact == Some(id(contact))).collect();
            let kept = self.dice.often(80);
            rows.destroyed_keys.extend(passes.iter().skip(usize::from(!kept)).map(|row| (org(), row.id.uuid())));
        }
        if self.dice.often(40) {
            let key = self.dice.below(30).to_string();
            rows.results.push(result(&key, at(self.next + 40)));
        }
        let expected = self.model.commit(&rows);
        assert_eq!(self.backend.commit(rows.clone()).await.unwrap(), expected, "{rows:?}");
    }

    fn random_contact(&mut self) -> ContactWrite {
        let row = contact(self.dice.thing() + 20);
        let stored = self.model.contacts.get(&row.id).map(|row| row.version);
        let keys: BTreeMap<_, _> = (0..self.dice.below(3)).map(|_| (self.dice.below(12), self.dice.often(50))).collect();
        let keys = keys.into_iter().map(|(n, required)| ContactKey { hash: hash(n), required, place: None }).collect();
        ContactWrite { row: ContactRow { version: stored.unwrap_or(0) + 1, ..row }, expected: stored, keys }
    }

    async fn settle_inbox(&mut self) {
        let mut write = settlement(self.lease);
        let log = &mut self.model.inbox[0];
        if log.is_empty() {
            return;
        }
        let mut chosen = BTreeMap::new();
        for _ in 0..3 {
            let status = [InboxStatus::Done, InboxStatus::Waiting, InboxStatus::Parked][self.dice.below(3) as usize];
            let due = (status == InboxStatus::Waiting).then(|| at(self.dice.below(500)));
            chosen.insert(self.dice.below(log.len() as u64) as usize, outcome(status, due));
        }
        for (index, result) in chosen {
            log[index].1 = Some(result.clone());
            let event = log[index].0.id;
            write.results.push((org(), event, result));
            if self.dice.often(50) {
                let owner = self.dice.thing() + 20;
                write.owners.push((org(), event, id(owner)));
                self.model.owners.insert(event.uuid(), uuid(owner));
                if !self.model.data_keys.contains_key(&uuid(owner)) {
                    self.model.data_keys.remove(&event.uuid());
                }
            }
        }
        write.watermark = self.dice.often(50).then_some(log.len() as u64);
        let lost = self.dice.often(10);
        if lost {
            let before = self.backend.watermarks(Reader::Flows).await.unwrap();
            let stale = Lease { epoch: self.lease.epoch - 1, ..self.lease };
            let empty = crate::InboxSettlement { watermark: write.watermark, ..settlement(stale) };
            assert!(matches!(self.backend.settle_inbox(empty).await, Err(StoreError::LeaseLost { shard: 0 })));
            assert_eq!(self.backend.watermarks(Reader::Flows).await.unwrap(), before);
        }
        self.model.watermarks[0] = write.watermark.unwrap_or(self.model.watermarks[0]);
        self.backend.settle_inbox(write).await.unwrap();
    }

    async fn settle_deliveries(&mut self) {
        let mut write =
            DeliverySettlement { lease: self.lease, attempts: vec![], finished: vec![], owed: vec![], watermark: None };
        for n in 0..self.dice.below(5) {
            let row = delivery(self.dice.thing() + n * THINGS, Position { shard: 0, seq: n + 1 }, at(self.dice.below(1_000)));
            if self.dice.often(30) {
                write.finished.push(row.over());
                self.model.deliveries.remove(&row.id);
            } else {
                self.model.deliveries.insert(row.id, (row.clone(), false));
                write.owed.push(row);
            }
        }
        self.backend.settle_deliveries(write).await.unwrap();
    }

    async fn claim(&mut self) {
        if self.dice.often(20) {
            self.backend.unclaim_deliveries(self.lease, at(5)).await.unwrap();
            for (row, claimed) in self.model.deliveries.values_mut().filter(|(_, claimed)| *claimed) {
                (row.due_at, *claimed) = (at(5), false);
            }
        }
        let now = at(self.dice.below(1_000));
        let claimed = self.backend.claim_deliveries(self.lease, now, day(9), 100).await.unwrap();
        let due = self.model.deliveries.values_mut().filter(|(row, claimed)| row.due_at <= now && !*claimed);
        let expected: BTreeSet<_> = due.map(|(row, claimed)| (row.id, *claimed = true).0).collect();
        assert_eq!(claimed.into_iter().map(|row| row.id).collect::<BTreeSet<_>>(), expected);
        let next = self.model.deliveries.values().filter(|(_, claimed)| !claimed).map(|(row, _)| row.due_at).min();
        if let Some(next) = next {
            assert_eq!(self.backend.next_delivery(0).await.unwrap(), Some(next));
        }
    }

    async fn load(&mut self) {
        let n = self.dice.thing();
        let external = hash(self.dice.below(5));
        let name = hash(self.dice.below(12));
        let keys = LoadKeys {
            now: at(self.next),
            passes: vec![(org(), id(n))],
            externals: vec![(org(), id(50), external)],
            contact_keys: vec![(org(), name)],
            passes_of: vec![(org(), id(n + 20))],
            results: (0..30).map(|n| (org(), "key:1".to_owned(), n.to_string())).collect(),
            ..LoadKeys::default()
        };
        let model = &self.model;
        let mut loaded = self.backend.load(&keys).await.unwrap();
        let wanted = |row: &&PassRow| {
            let alive = row.state != DELETED;
            row.id == id(n) || row.contact == Some(id(n + 20)) || alive && row.external == Some(external)
        };
        let expected: Vec<_> = model.passes.values().filter(wanted).map(|row| model.with_key(row)).collect();
        loaded.passes.sort_by_key(|row| row.id);
        assert_eq!(loaded.passes, expected);
        let line = model.names.get(&name).cloned().unwrap_or_default();
        assert_eq!(self.backend.line(org(), name, None, 100).await.unwrap(), line);
        let holder = line.first().map(|contact| (org(), name, *contact));
        assert_eq!(loaded.contact_keys, holder.into_iter().collect::<Vec<_>>());
        let mut needed: BTreeSet<_> = expected.iter().filter_map(|row| row.contact).collect();
        needed.extend(holder.map(|(_, _, contact)| contact));
        needed.retain(|contact| model.contacts.contains_key(contact));
        let found: BTreeSet<_> = loaded.contacts.iter().map(|row| row.id).collect();
        assert!(found.is_superset(&needed), "{found:?} lacks some of {needed:?}");
        for row in &loaded.contacts {
            let data_key = model.data_keys.get(&row.id.uuid()).cloned();
            assert_eq!(*row, ContactRow { data_key, ..model.contacts[&row.id].clone() });
        }
        loaded.results.sort_by(|a, b| a.key.cmp(&b.key));
        let fresh = model.results.values().filter(|row| row.expires_at > at(self.next)).cloned();
        assert_eq!(loaded.results, fresh.collect::<Vec<_>>());
    }

    /// Everything that can be read, against everything that should be there.
    async fn compare(&mut self) {
        let model = &self.model;
        let heads = |lengths: Vec<usize>| lengths.into_iter().map(|length| length as u64).collect::<Vec<_>>();
        assert_eq!(self.backend.heads(Log::Inbox).await.unwrap(), heads(model.inbox.iter().map(Vec::len).collect()));
        assert_eq!(self.backend.heads(Log::Events).await.unwrap(), heads(model.events.iter().map(Vec::len).collect()));
        assert_eq!(self.backend.watermarks(Reader::Flows).await.unwrap(), model.watermarks);
        for shard in 0..self.backend.shards().min(2) {
            let stored = self.backend.read_inbox(shard, 0, 10_000).await.unwrap();
            let stored = stored.into_iter().map(|row| (row.id, row.position.seq, row.data_key, row.result));
            let inbox = model.inbox[usize::from(shard)].iter().zip(1u64..);
            let expected =
                inbox.map(|((row, result), seq)| (row.id, seq, model.data_keys.get(&row.id.uuid()).cloned(), result.clone()));
            assert_eq!(stored.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            let stored = self.backend.read_events(shard, 0, 10_000).await.unwrap();
            let with_key = |row: &EventRow| EventRow { data_key: model.data_keys.get(&row.subject).cloned(), ..row.clone() };
            assert_eq!(stored, model.events[usize::from(shard)].iter().map(with_key).collect::<Vec<_>>());
        }
        let passes = self.backend.passes(org(), None, None, None, 1_000).await.unwrap();
        assert_eq!(passes, model.passes.values().map(|row| model.with_key(row)).collect::<Vec<_>>());
        let contacts = self.backend.contacts(org(), None, 1_000).await.unwrap();
        assert!(contacts.iter().map(|row| (row.id, row.version)).eq(model.contacts.values().map(|row| (row.id, row.version))));
        let deliveries = self.backend.deliveries(org(), None, None, 1_000).await.unwrap();
        let owed: BTreeSet<_> = deliveries.into_iter().map(|row| row.id).collect();
        assert_eq!(owed, model.deliveries.keys().copied().collect());
        self.compare_waiting().await;
    }

    async fn compare_waiting(&self) {
        let model = &self.model;
        let waiting = model.inbox[0]
            .iter()
            .filter(|(_, result)| result.as_ref().is_some_and(|result| result.status == InboxStatus::Waiting.number()));
        let due = |result: &Option<InboxResult>| result.as_ref().and_then(|result| result.due_at);
        let mut keys: BTreeMap<(OrgId, Hash), WaitingKey> = BTreeMap::new();
        for ((row, result), first) in model.inbox[0].iter().zip(1u64..) {
            let is_waiting = result.as_ref().is_some_and(|result| result.status == InboxStatus::Waiting.number());
            let Some(due_at) = due(result).filter(|_| is_waiting) else { continue };
            let (org, order_key) = (row.org, row.order_key);
            let key = WaitingKey { org, order_key, first, due_at, all_due_at: due_at };
            let known = keys.entry((org, order_key)).or_insert(key);
            known.all_due_at = known.all_due_at.max(due_at);
        }
        let stored: BTreeSet<_> = self.backend.waiting_keys(0).await.unwrap().into_iter().collect();
        assert_eq!(stored, keys.into_values().collect());
        let due: BTreeSet<_> =
            waiting.filter(|(_, result)| due(result).is_some_and(|due| due <= at(250))).map(|(row, _)| row.id).collect();
        let stored = self.backend.due_inbox(0, at(250), 10_000).await.unwrap();
        assert_eq!(stored.into_iter().map(|row| row.id).collect::<BTreeSet<_>>(), due);
        let late = self.backend.due_passes(0, at(14), 1_000).await.unwrap();
        let expected = model.passes.values().filter(|row| row.shard == 0 && row.due_at.is_some_and(|due| due <= at(14)));
        assert_eq!(late.into_iter().map(|(_, pass)| pass).collect::<BTreeSet<_>>(), expected.map(|row| row.id).collect());
    }
}
