//! Flows on the inbox: source events in order per order key, different keys side by side.
//!
//! A batch is read, every event is put into the lane of its key, and the first events of all lanes are carried out
//! together: many customers' events are one commit. Code of users' own, which may run long, runs beside: an event that it is
//! not done with soon is set aside with the later ones of its key, written down as waiting, and carried out when it is. What
//! became of events is written with the watermark in one transaction, while the next are carried out already, and what becomes
//! of these in the next transaction. After a crash they are read again, and the commands' idempotency keys make that harmless.
//!
//! A flow may put steps off: until a time, or until its turn where it has a rate. Its event is then *delayed*: what was done is
//! written down with when the rest is due, nobody waits behind it, and when it is due the flow goes on from there. Turns are
//! given out by the store, one after another over all shards and nodes.
//!
//! A rejection parks its event and the customer's next goes on. A store that is away delays the batch. Anything else that
//! is wrong with the store holds that customer alone: the event waits, and later ones of its key wait behind it.

mod aside;
mod held;
mod job;
mod lanes;
mod plans;
pub(crate) mod transform;
pub(crate) mod workshop;

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use domain::{FlowId, OrgId, SourceEventId, Timestamp};
use store::{Hash, InboxEntry, InboxFollower, InboxResult, InboxSettlement, InboxStatus, Page, Pulse, Reader, Turns};
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

use crate::{
    pulse::LOOK_ANYWAY,
    shard::{End, Shard, dense},
};
use aside::{Aside, Placed, Ready};
use held::Held;
use job::{Job, Verdict};
use plans::Plans;

/// Source events that are read together.
const BATCH: u32 = 256;
/// Outcomes that are gathered while others are being written, before those are waited for …
const MOST_GATHERED: usize = 256;
/// … and source events that may have been passed meanwhile, most of which no flow wants, so that there is nothing to write of them.
const MOST_UNWRITTEN: u64 = 8_192;
/// How long an event waits that a fault of ours holds.
const HOLD: Duration = Duration::from_secs(60);
/// How long an event waits that is set aside, should this process not come back to it.
const ASIDE: Duration = Duration::from_secs(15);
/// How long an event waits for which its transformation has no room.
const CROWDED_FOR: Duration = Duration::from_secs(5);
/// Why an event waits, for its trace.
const BEHIND: &str = "behind an earlier event";
const RUNNING: &str = "its transformation, or that of an earlier event, is still running";
const CROWDED: &str = "its transformation has more to do than it can";
/// Runs after which an event that a fault of ours holds is parked for a person.
const MAX_HELD_RUNS: i32 = 100;

type Key = (OrgId, Hash);

struct FlowReader {
    shard: Shard,
    inbox: InboxFollower,
    plans: Plans,
    held: Held,
    aside: Aside,
    watermark: u64,
    /// Whether there may be events that wait and are due.
    look_for_due: bool,
    /// When that was last looked for.
    looked_at: Instant,
    /// The outcomes that are being written: at most one settlement.
    settling: JoinSet<Result<(), End>>,
    /// What is to be written after it.
    gathered: Option<InboxSettlement>,
    /// The watermark that is written, or is being written.
    written: u64,
}

/// Runs until the shard is stopped or lost.
pub(crate) async fn run(shard: Shard) -> End {
    let error = match FlowReader::open(shard).await {
        Ok(mut reader) => reader.work().await,
        Err(end) => return end,
    };
    error.err().unwrap_or(End::Stopped)
}

impl FlowReader {
    async fn open(shard: Shard) -> Result<Self, End> {
        let number = shard.number();
        let backend = shard.house.store.backend();
        let marks = shard.insist("read watermarks", || backend.watermarks(Reader::Flows)).await?;
        // What waited for a transformation waits for nothing any more, and what is behind it for nothing but that.
        shard.insist("hasten waiting events", || backend.hasten_inbox(shard.lease, shard.house.now())).await?;
        let keys = shard.insist("read waiting keys", || backend.waiting_keys(number)).await?;
        let watermark = marks.get(usize::from(number)).copied().unwrap_or(0);
        Ok(Self {
            inbox: shard.house.store.follow_inbox(number),
            shard,
            plans: Plans::default(),
            held: Held::new(&keys),
            aside: Aside::default(),
            watermark,
            look_for_due: true,
            looked_at: Instant::now(),
            settling: JoinSet::new(),
            gathered: None,
            written: watermark,
        })
    }

    async fn work(&mut self) -> Result<(), End> {
        let shard = self.shard.clone();
        let wake = shard.house.store.wake();
        let (mut ticks, mut replays) = (wake.inbox_of(shard.number()), wake.waiting_of(shard.number()));
        let mut pulses = shard.house.pulses.subscribe();
        loop {
            if shard.is_stopping() {
                self.settled().await?;
                return Err(End::Stopped);
            }
            self.write_on()?;
            ticks.mark_unchanged();
            let is_due = |pulse: &Pulse| pulse.inbox_due.is_some_and(|due| due <= shard.house.now());
            self.look_for_due |= replays.has_changed().unwrap_or(false) || self.looked_at.elapsed() >= LOOK_ANYWAY;
            self.look_for_due |= is_due(&shard.pulse());
            replays.mark_unchanged();
            let mut busy = false;
            if self.look_for_due {
                busy = self.due().await?;
                (self.look_for_due, self.looked_at) = (busy, Instant::now());
            }
            busy |= self.next().await?;
            if !busy {
                let watermark = self.watermark;
                let wanted = |pulse: &Pulse| pulse.inbox > watermark || is_due(pulse);
                tokio::select! {
                    ended = shard.idle(&mut ticks, &mut pulses, None, wanted) => match ended {
                        // What is being written is waited for above.
                        Ok(()) | Err(End::Stopped) => {}
                        Err(lost) => return Err(lost),
                    },
                    Some(settled) = self.settling.join_next() => written(settled)?,
                    () = self.aside.arrived() => self.carry_out(Vec::new(), None).await?,
                }
            }
        }
    }

    /// Carries out the next events of the log; whether there may be more.
    async fn next(&mut self) -> Result<bool, End> {
        let (shard, inbox, after) = (self.shard.clone(), &self.inbox, self.watermark);
        let read = || async {
            let page = inbox.next(after, BATCH).await?;
            dense("inbox", shard.number(), after, page.entries.iter().map(|entry| entry.position.seq))?;
            Ok(page)
        };
        let Page { entries, has_more } = self.shard.insist("read the inbox", read).await?;
        let Some(last) = entries.last().map(|entry| entry.position.seq) else { return Ok(false) };
        // Those that could not be read have a result since they arrived.
        let fresh = entries.into_iter().filter(|entry| entry.result.is_none()).collect();
        self.carry_out(fresh, Some(last)).await?;
        self.watermark = last;
        Ok(has_more || self.shard.pulse().inbox > last)
    }

    /// Carries out events that waited: replays, and what a fault of ours held.
    async fn due(&mut self) -> Result<bool, End> {
        // What is settled already is not to be found waiting.
        self.settled().await?;
        let shard = self.shard.clone();
        let now = shard.house.now();
        let read = || shard.house.store.due_inbox(shard.number(), now, BATCH);
        let mut entries = shard.insist("read waiting events", read).await?;
        let some = !entries.is_empty();
        let all = u32::try_from(entries.len()).is_ok_and(|read| read < BATCH);
        if some {
            entries.sort_unstable_by_key(|entry| entry.position.seq);
            self.carry_out(entries, None).await?;
        }
        if all {
            self.held.came_to(now);
        }
        Ok(some)
    }

    /// Carries out these events, and those that were set aside and wait for nothing any more.
    async fn carry_out(&mut self, entries: Vec<InboxEntry>, watermark: Option<u64>) -> Result<(), End> {
        let house = self.shard.house.clone();
        let mut settlement = self.settlement(watermark);
        let ready = self.place(entries, &mut settlement).await?;
        let until = self.aside.begin(&house.workshop);
        // Transformations run meanwhile.
        self.finish(ready, &mut settlement).await?;
        let ready = self.aside.ready(until).await;
        self.finish(ready, &mut settlement).await?;
        let now = house.now();
        let due = now.plus(ASIDE);
        settlement.results.extend(self.aside.note().map(|entry| (entry.org, entry.id, behind(entry, due, now, RUNNING))));
        let nothing = settlement.results.is_empty() && watermark.is_none();
        if nothing { Ok(()) } else { self.settle(settlement).await }
    }

    /// Tells apart what is behind an event that waits, what waits for a transformation, and the others.
    async fn place(&mut self, entries: Vec<InboxEntry>, settlement: &mut InboxSettlement) -> Result<Vec<Ready>, End> {
        let house = self.shard.house.clone();
        let catalog = self.shard.insist("read the configuration", || house.catalog()).await?;
        let (now, mut ready) = (house.now(), Vec::new());
        for entry in entries {
            if self.aside.again(entry.id) {
                continue;
            }
            if let Some(due) = self.held.behind(&entry, now) {
                self.look_for_due |= due <= now;
                settlement.results.push((entry.org, entry.id, behind(&entry, due, now, BEHIND)));
                continue;
            }
            let plans = self.plans.of(&catalog, entry.org);
            match self.aside.place(entry, plans) {
                Placed::Ready(one) => ready.push(one),
                Placed::Aside => {}
                Placed::Full(entry) => {
                    let due = self.held.hold((entry.org, entry.order_key), entry.position.seq, now, CROWDED_FOR);
                    settlement.results.push((entry.org, entry.id, behind(&entry, due, now, CROWDED)));
                }
            }
        }
        Ok(ready)
    }

    async fn finish(&mut self, events: Vec<Ready>, settlement: &mut InboxSettlement) -> Result<(), End> {
        let house = self.shard.house.clone();
        let (now, mut jobs) = (house.now(), Vec::with_capacity(events.len()));
        for Ready { entry, plans, made } in events {
            // While it was aside, an earlier one was held.
            match self.held.behind(&entry, now) {
                Some(due) => settlement.results.push((entry.org, entry.id, behind(&entry, due, now, BEHIND))),
                None => jobs.push(Job::new(&entry, &plans, &made, &*house.entropy, now)),
            }
        }
        self.take_turns(&mut jobs, now).await?;
        let done = lanes::carry_out(&self.shard, jobs).await?;
        let now = house.now();
        for job in done {
            let verdict = job.verdict();
            metrics::counter!("source_events_total", "outcome" => verdict.name()).increment(1);
            let result = match verdict {
                // That the watermark has passed it says enough.
                Verdict::Unwanted => continue,
                Verdict::Held if job.runs() < MAX_HELD_RUNS => self.hold(&job, now),
                Verdict::Held | Verdict::Parked => job.result(InboxStatus::Parked, now),
                Verdict::Delayed => job.result(InboxStatus::Delayed, now),
                Verdict::Done => job.result(InboxStatus::Done, now),
                Verdict::Ignored => job.result(InboxStatus::Ignored, now),
            };
            settlement.owners.extend(job.owner().map(|contact| (job.org, job.id, contact)));
            settlement.results.push((job.org, job.id, result));
        }
        Ok(())
    }

    /// Takes turns of flows that have a rate for the events that are for them, in their order. Those that are given and not
    /// used, because this breaks off, delay what comes after and nothing else.
    async fn take_turns(&self, jobs: &mut [Job], now: Timestamp) -> Result<(), End> {
        let mut wanted: BTreeMap<(OrgId, FlowId), (Duration, Vec<usize>)> = BTreeMap::new();
        for (index, job) in jobs.iter().enumerate() {
            for (flow, apart) in job.turns_needed() {
                wanted.entry((job.org, flow)).or_insert_with(|| (apart, Vec::new())).1.push(index);
            }
        }
        let backend = self.shard.house.store.backend();
        for ((org, flow), (apart, places)) in wanted {
            let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
            let turns = Turns { org, flow, now, count, apart };
            let first = self.shard.insist("take turns of a flow", || backend.take_turns(turns)).await?;
            for (number, index) in (0..).zip(places) {
                jobs[index].take_turn(flow, first.plus(apart * number));
            }
        }
        Ok(())
    }

    /// Begins to write outcomes, or puts them to what is written after those that are being written; waits for these only where
    /// much has been put together. The next events are carried out meanwhile: after a crash all are read again, and the commands'
    /// keys make that harmless.
    async fn settle(&mut self, settlement: InboxSettlement) -> Result<(), End> {
        match &mut self.gathered {
            Some(gathered) => join(gathered, settlement),
            None => self.gathered = Some(settlement),
        }
        self.write_on()?;
        let is_much = |gathered: &InboxSettlement| {
            let passed = gathered.watermark.map_or(0, |watermark| watermark.saturating_sub(self.written));
            gathered.results.len() >= MOST_GATHERED || passed >= MOST_UNWRITTEN
        };
        if self.gathered.as_ref().is_some_and(is_much)
            && let Some(settled) = self.settling.join_next().await
        {
            written(settled)?;
            self.write_on()?;
        }
        Ok(())
    }

    /// Begins to write what is gathered, where nothing is being written.
    fn write_on(&mut self) -> Result<(), End> {
        while let Some(settled) = self.settling.try_join_next() {
            written(settled)?;
        }
        if self.settling.is_empty()
            && let Some(settlement) = self.gathered.take()
        {
            self.written = settlement.watermark.unwrap_or(self.written);
            let shard = self.shard.clone();
            self.settling.spawn(async move {
                let backend = shard.house.store.backend();
                shard.insist("settle source events", || backend.settle_inbox(settlement.clone())).await
            });
        }
        Ok(())
    }

    /// Waits until all outcomes are written.
    async fn settled(&mut self) -> Result<(), End> {
        self.write_on()?;
        while let Some(settled) = self.settling.join_next().await {
            written(settled)?;
            self.write_on()?;
        }
        Ok(())
    }

    fn settlement(&self, watermark: Option<u64>) -> InboxSettlement {
        InboxSettlement { lease: self.shard.lease, results: Vec::new(), owners: Vec::new(), watermark }
    }

    fn hold(&mut self, job: &Job, now: Timestamp) -> InboxResult {
        let due = self.held.hold(job.key, job.seq, now, HOLD);
        let mut result = job.result(InboxStatus::Waiting, now);
        result.due_at = Some(due);
        result
    }
}

/// Puts later outcomes to earlier ones: of one event the later stands.
fn join(earlier: &mut InboxSettlement, later: InboxSettlement) {
    if !later.results.is_empty() {
        let anew: HashSet<SourceEventId> = later.results.iter().map(|(_, event, _)| *event).collect();
        earlier.results.retain(|(_, event, _)| !anew.contains(event));
        let owned: HashSet<SourceEventId> = later.owners.iter().map(|(_, event, _)| *event).collect();
        earlier.owners.retain(|(_, event, _)| !owned.contains(event));
    }
    earlier.results.extend(later.results);
    earlier.owners.extend(later.owners);
    earlier.watermark = later.watermark.or(earlier.watermark);
}

/// How the writing of outcomes ended. One that broke off left the shard's state unknown: it is begun afresh.
fn written(settled: Result<Result<(), End>, JoinError>) -> Result<(), End> {
    settled.unwrap_or_else(|error| {
        tracing::error!(%error, "the writing of outcomes broke off");
        Err(End::LeaseLost)
    })
}

/// What is written of an event that has to wait. What waited in its flows goes on waiting.
fn behind(entry: &InboxEntry, due: Timestamp, now: Timestamp, why: &str) -> InboxResult {
    let delayed = entry.result.as_ref().filter(|result| result.status == InboxStatus::Delayed.number());
    match delayed {
        Some(result) => InboxResult { due_at: Some(due), at: now, ..result.clone() },
        None => waiting(entry, due, now, why),
    }
}

fn waiting(entry: &InboxEntry, due: Timestamp, now: Timestamp, why: &str) -> InboxResult {
    InboxResult {
        status: InboxStatus::Waiting.number(),
        runs: entry.result.as_ref().map_or(0, |result| result.runs),
        due_at: Some(due),
        at: now,
        trace: serde_json::json!({ "reason": why, "flows": [], "run": entry.run() }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use domain::ContactId;
    use store::Lease;
    use uuid::Uuid;

    use super::*;

    fn settlement(results: &[(u128, InboxStatus)], owners: &[(u128, u128)], watermark: Option<u64>) -> InboxSettlement {
        let (org, at) = (OrgId::from_uuid(Uuid::nil()), Timestamp::from_micros(0));
        let event = |number| SourceEventId::from_uuid(Uuid::from_u128(number));
        let result =
            |status: InboxStatus| InboxResult { status: status.number(), runs: 0, due_at: None, at, trace: String::new() };
        let contact = |number| ContactId::from_uuid(Uuid::from_u128(number));
        InboxSettlement {
            lease: Lease { shard: 0, epoch: 1 },
            results: results.iter().map(|(number, status)| (org, event(*number), result(*status))).collect(),
            owners: owners.iter().map(|(number, owner)| (org, event(*number), contact(*owner))).collect(),
            watermark,
        }
    }

    #[test]
    fn of_outcomes_that_are_written_together_the_later_stands() {
        let mut all = settlement(&[(1, InboxStatus::Waiting), (2, InboxStatus::Done)], &[(2, 20), (1, 19)], Some(2));
        join(&mut all, settlement(&[(3, InboxStatus::Parked), (1, InboxStatus::Done)], &[(1, 10)], None));
        join(&mut all, settlement(&[], &[], Some(9)));
        let expected = [(2, InboxStatus::Done), (3, InboxStatus::Parked), (1, InboxStatus::Done)];
        let expected = settlement(&expected, &[(2, 20), (1, 10)], Some(9));
        assert_eq!((all.results, all.owners, all.watermark), (expected.results, expected.owners, expected.watermark));
    }
}
