//! Backfills: all contacts are walked in their order, what a destination should hold of each is worked out anew and compared with
//! what it took last, and it is told where that is something else. Where what it holds can be read, that is read of those it took
//! as they are, so that what somebody changed there is found, told anew and counted.
//!
//! How far the walk is stands in its row, so a crash costs one batch that is compared again; whom the destination took in between
//! match then. Where it takes no more for now, the walk has come as far as the first contact that it did not take. Events go out
//! meanwhile: a contact that changed while it was told of is read again afterwards, and told of again, so that whatever order the
//! two arrived in, the last that the destination hears is the present.

use std::{collections::HashMap, sync::Arc, time::Duration};

use connectors::catalog::Sharing;
use domain::{Actor, Cause, Contact, ContactId, Event, EventId, Facts, Image, Position, Target, Timestamp};
use store::{Backfill, BackfillProgress, Hash, JobState, StoreError};
use uuid::Uuid;

use crate::{
    jobs,
    notes::note,
    shard::{End, House, Shard},
    webhooks::{Ready, Taken, held, opened, record_hash, tell, together},
};

/// Contacts that are compared together.
const BATCH: u32 = 1_000;
/// How often it is looked which destinations are to be compared by their schedule.
pub(crate) const SCHEDULE_EVERY: Duration = Duration::from_secs(60);
/// First pause after a destination did not answer; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Tries in a row after which a backfill is halted until somebody lets it go on.
const MOST_FAILURES: u32 = 20;
/// How often contacts that change again and again while they are told of are told of again; their events go out anyhow.
const MOST_ROUNDS: usize = 5;
/// Refusals that are kept for people to look at.
const MOST_SAMPLES: usize = 20;

/// Runs until the shard is stopped or lost.
pub(crate) async fn run(shard: Shard) -> End {
    let poll = shard.house.settings.backfills_every;
    jobs::run(shard, poll, |progress: &BackfillProgress| progress.not_before, step).await
}

/// Begins the backfills that are due by their destinations' schedule: so many hours after the last one was begun. One that is
/// still under way holds back the next.
pub(crate) async fn begin_due(shard: &Shard) -> Result<(), End> {
    let (house, now) = (&shard.house, shard.house.now());
    let catalog = shard.insist("read the configuration", || house.catalog()).await?;
    for (org, config) in catalog.orgs() {
        for stored in config.targets.values() {
            let target = &stored.value.target;
            let Some(hours) = target.backfill_every_hours.filter(|_| target.enabled) else { continue };
            if house.store.shard_of(org, target.id.uuid()) != shard.number() {
                continue;
            }
            let newest = || house.store.newest_job::<BackfillProgress>(org, target.id.uuid());
            let newest = shard.insist("read backfills", newest).await?;
            let since = newest.as_ref().map_or(target.created_at, |newest| newest.created_at);
            let is_due = since.plus(Duration::from_secs(u64::from(hours) * 3_600)) <= now;
            if !is_due || newest.is_some_and(|newest| !newest.state.is_over()) {
                continue;
            }
            let begin = || async {
                let (begun, write) = house.store.begin_backfill(org, target.id, target.backfill_everything, now)?;
                Ok(house.store.written(write).await?.then_some(begun.id))
            };
            // Somebody may have begun one meanwhile.
            if let Some(begun) = shard.insist("begin a backfill", begin).await? {
                tracing::info!(backfill = %begun, target = %target.id, hours, "a backfill begins by its destination's schedule");
            }
        }
    }
    Ok(())
}

/// The next batch of a backfill.
async fn step(shard: &Shard, mut backfill: Backfill) -> Result<(), End> {
    let (house, org) = (&shard.house, backfill.org);
    let catalog = shard.insist("read the configuration", || house.catalog()).await?;
    let stored = catalog.org(org).and_then(|config| config.targets.get(&backfill.progress.target.uuid()));
    let Some(stored) = stored.filter(|stored| stored.value.target.enabled) else {
        backfill.progress.trouble = Some("the destination was switched off or deleted".to_owned());
        return finish(shard, backfill, JobState::Cancelled).await;
    };
    let to = opened(house, org, stored);
    let after = backfill.progress.after;
    let contacts = shard.insist("read contacts", || house.store.contacts(org, after, BATCH)).await?;
    if contacts.is_empty() {
        return finish(shard, backfill, JobState::Done).await;
    }
    let mut walk = Walk { shard, to: &to, backfill: backfill.id.uuid(), tally: Tally::default(), after: None };
    let came = walk.batch(contacts, backfill.progress.everything).await?;
    // What was decided of the batch is kept even when the rest of it has to wait: a destination that takes a part at a time
    // comes on with every try, and nobody is counted twice.
    if let Some(after) = walk.after {
        backfill.progress.after = Some(after);
        (backfill.progress.failures, backfill.progress.trouble, backfill.progress.not_before) = (0, None, None);
    }
    walk.tally.add_to(&mut backfill.progress);
    match came {
        Ok(()) => jobs::save(shard, backfill, &[]).await.map(drop),
        Err(trouble) => wait(shard, backfill, trouble).await,
    }
}

/// What keeps a destination from answering.
struct Trouble {
    why: String,
    after: Option<Duration>,
}

/// Notes that a backfill cannot go on for now.
async fn wait(shard: &Shard, mut backfill: Backfill, trouble: Trouble) -> Result<(), End> {
    let progress = &mut backfill.progress;
    progress.failures += 1;
    let pause = (FIRST_PAUSE * 2_u32.saturating_pow(progress.failures.min(16) - 1))
        .min(LONGEST_PAUSE)
        .max(trouble.after.unwrap_or_default());
    let pauses = progress.failures >= MOST_FAILURES;
    progress.not_before = Some(shard.house.now().plus(pause));
    progress.trouble = Some(trouble.why);
    let state = if pauses { JobState::Paused } else { backfill.state };
    if pauses {
        report(shard, &backfill, true).await?;
    }
    tracing::warn!(backfill = %backfill.id, failures = backfill.progress.failures, "a destination does not take a backfill now");
    jobs::save(shard, Backfill { state, ..backfill }, &[]).await.map(drop)
}

async fn finish(shard: &Shard, backfill: Backfill, state: JobState) -> Result<(), End> {
    let BackfillProgress { looked_at, matched, repaired, drifted, refused, nameless, .. } = backfill.progress;
    tracing::info!(backfill = %backfill.id, looked_at, matched, repaired, drifted, refused, nameless, ?state, "a backfill ended");
    if state == JobState::Done && refused > 0 {
        report(shard, &backfill, false).await?;
    }
    jobs::save(shard, Backfill { state, ..backfill }, &[]).await.map(drop)
}

/// Tells whoever asked for it that a backfill was refused in part, or was paused: once for each time that it stops at one place,
/// and before that is written down, so that a crash in between loses nothing.
async fn report(shard: &Shard, backfill: &Backfill, paused: bool) -> Result<(), End> {
    let (house, progress) = (&shard.house, &backfill.progress);
    let catalog = shard.insist("read the configuration", || house.catalog()).await?;
    let target = catalog.org(backfill.org).and_then(|config| config.targets.get(&progress.target.uuid()));
    let facts = || Facts::BackfillFailed {
        backfill: backfill.id,
        webhook: progress.target,
        name: target.map(|stored| stored.value.target.name.clone()).unwrap_or_default(),
        paused,
        refused: progress.refused,
        reason: progress.trouble.clone().filter(|_| paused),
    };
    let key = format!("{}/{paused}/{}/{}", backfill.id, progress.looked_at, house.now().as_seconds() / 86_400);
    shard.insist("note a backfill's trouble", || note(house, backfill.org, "backfills", key.clone(), facts())).await
}

/// What came of a batch.
#[derive(Default)]
struct Tally {
    looked_at: u64,
    matched: u64,
    repaired: u64,
    refused: u64,
    nameless: u64,
    samples: Vec<(ContactId, String)>,
    /// Whom it held otherwise although it had been told, and which fields.
    drift: Vec<(ContactId, String)>,
}

impl Tally {
    fn add_to(self, progress: &mut BackfillProgress) {
        progress.looked_at += self.looked_at;
        progress.matched += self.matched;
        progress.repaired += self.repaired;
        progress.refused += self.refused;
        progress.nameless += self.nameless;
        let room = MOST_SAMPLES.saturating_sub(progress.samples.len());
        progress.samples.extend(self.samples.into_iter().take(room));
        progress.drifted += self.drift.len() as u64;
        let room = MOST_SAMPLES.saturating_sub(progress.drift.len());
        progress.drift.extend(self.drift.into_iter().take(room));
        metrics::counter!("backfill_contacts_total").increment(self.looked_at);
    }
}

/// What is known of a contact of a batch.
enum Seen {
    Matches,
    Nameless,
    /// It is to be told of; which fields it holds otherwise although it had been told.
    Differs(Option<String>),
}

/// What a destination made of a contact.
enum Decided {
    Taken,
    Refused(String),
}

/// What a destination made of those that it was told of; whom it would not hear of now is not among them.
type Decisions = HashMap<ContactId, Decided>;

/// One batch of a walk.
struct Walk<'w> {
    shard: &'w Shard,
    to: &'w Ready,
    backfill: Uuid,
    /// Of those up to [`Walk::after`].
    tally: Tally,
    /// The contact up to which everything is decided.
    after: Option<ContactId>,
}

impl Walk<'_> {
    fn house(&self) -> &Arc<House> {
        &self.shard.house
    }

    fn target(&self) -> &Target {
        self.to.target()
    }

    /// What the destination should hold of a contact; why nothing, when it has no name there.
    fn hash(&self, contact: &Contact) -> Result<Result<Hash, String>, StoreError> {
        let Some(state) = self.to.vendor().and_then(|vendor| vendor.state) else {
            return Ok(Err("the destination holds no state".to_owned()));
        };
        match state(contact, self.target()) {
            Ok(state) => record_hash(self.house(), self.to.org, self.target(), &state).map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }

    /// Contacts with the wallets of those that they are one record with, and who those are.
    async fn together(&self, contacts: Vec<Contact>) -> Result<(Vec<Contact>, Sharing), End> {
        if !self.to.vendor().is_some_and(|vendor| vendor.may_share(self.target())) {
            return Ok((contacts, Sharing::new()));
        }
        let (house, to) = (self.house(), self.to);
        let shared = || {
            let mut contacts = contacts.clone();
            async move { together(house, to, &mut contacts).await.map(|sharing| (contacts, sharing)) }
        };
        self.shard.insist("see who shares a record", shared).await
    }

    /// Compares contacts and tells of those that are something else, in pieces that the destination takes at once.
    async fn batch(&mut self, contacts: Vec<Contact>, everything: bool) -> Result<Result<(), Trouble>, End> {
        let ids: Vec<ContactId> = contacts.iter().map(|contact| contact.id).collect();
        let (org, target) = (self.to.org, self.target().id);
        let house = Arc::clone(self.house());
        let (contacts, sharing) = self.together(contacts).await?;
        let synced = self.shard.insist("read what was told", || house.store.synced(org, target, &ids)).await?;
        let most = self.to.dialect().map_or(1, |destination| destination.pace.events.max(1));
        let mut hashed = Vec::with_capacity(contacts.len());
        for contact in contacts {
            let hash = self.shard.insist("compare a contact", || std::future::ready(self.hash(&contact))).await?;
            hashed.push((contact, hash));
        }
        let is_told = |contact: &Contact, hash: &Hash| !everything && synced.get(&contact.id) == Some(hash);
        let told = hashed.iter().filter(|(contact, hash)| hash.as_ref().is_ok_and(|hash| is_told(contact, hash)));
        let told: Vec<&Contact> = told.map(|(contact, _)| contact).filter(|contact| contact.erased_at.is_none()).collect();
        let mut changed_there = match self.held(&told, &sharing).await {
            Ok(changed) => changed,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let (mut piece, mut different) = (Vec::new(), Vec::new());
        for (contact, hash) in hashed {
            let id = contact.id;
            if contact.erased_at.is_some() {
                piece.push((id, Seen::Matches));
                continue;
            }
            piece.push(match hash {
                Err(_) => (id, Seen::Nameless),
                Ok(hash) => {
                    let drift = changed_there.remove(&id);
                    if drift.is_none() && is_told(&contact, &hash) {
                        (id, Seen::Matches)
                    } else {
                        different.push((contact, hash));
                        (id, Seen::Differs(drift))
                    }
                }
            });
            if different.len() == most {
                let (piece, different) = (std::mem::take(&mut piece), std::mem::take(&mut different));
                if let Err(trouble) = self.settle(piece, different).await? {
                    return Ok(Err(trouble));
                }
                if self.shard.is_stopping() {
                    // What is decided is written down first.
                    return Ok(Ok(()));
                }
            }
        }
        self.settle(piece, different).await
    }

    /// Whom of those that it was told of as they are it holds otherwise, with the fields; where that can be read.
    async fn held(&self, contacts: &[&Contact], sharing: &Sharing) -> Result<HashMap<ContactId, String>, Trouble> {
        let Some(holds) = self.to.vendor().and_then(|vendor| vendor.holds) else { return Ok(HashMap::new()) };
        let held = held(self.house(), self.to, holds, (contacts, sharing)).await;
        let held = held.map_err(|(why, after)| Trouble { why, after })?;
        let changed = contacts.iter().zip(held).filter_map(|(contact, other)| Some((contact.id, other?)));
        Ok(changed.collect())
    }

    /// Tells of what differs in a piece, and counts its contacts up to the first that nothing was decided of.
    async fn settle(
        &mut self,
        piece: Vec<(ContactId, Seen)>,
        different: Vec<(Contact, Hash)>,
    ) -> Result<Result<(), Trouble>, End> {
        let (mut decisions, trouble) = self.tell(different).await?;
        for (contact, seen) in piece {
            match seen {
                Seen::Matches => self.tally.matched += 1,
                Seen::Nameless => self.tally.nameless += 1,
                Seen::Differs(drift) => match decisions.remove(&contact) {
                    Some(Decided::Taken) => {
                        self.tally.repaired += 1;
                        self.tally.drift.extend(drift.map(|fields| (contact, fields)));
                    }
                    Some(Decided::Refused(why)) => {
                        self.tally.refused += 1;
                        self.tally.samples.push((contact, why));
                    }
                    None => break,
                },
            }
            self.tally.looked_at += 1;
            self.after = Some(contact);
        }
        Ok(trouble.map_or(Ok(()), Err))
    }

    /// Tells of some contacts, and again of those that changed meanwhile.
    async fn tell(&self, contacts: Vec<(Contact, Hash)>) -> Result<(Decisions, Option<Trouble>), End> {
        let mut round = contacts;
        let mut decisions = HashMap::new();
        for _ in 0..MOST_ROUNDS {
            if round.is_empty() {
                break;
            }
            let events: Vec<Event> = round.iter().map(|(contact, hash)| self.event(contact, hash)).collect();
            let taken = tell(self.house(), self.to, &events).await;
            let trouble = self.note(&round, taken, &mut decisions).await?;
            if trouble.is_some() {
                return Ok((decisions, trouble));
            }
            round = self.changed(round).await?;
        }
        Ok((decisions, None))
    }

    /// Notes what was taken, and what keeps the walk from going on.
    async fn note(
        &self,
        round: &[(Contact, Hash)],
        taken: Vec<Taken>,
        decisions: &mut Decisions,
    ) -> Result<Option<Trouble>, End> {
        let mut told = Vec::new();
        let mut trouble = None;
        for ((contact, hash), taken) in round.iter().zip(taken) {
            told.push((contact.id, (taken == Taken::Yes).then_some(*hash)));
            match taken {
                Taken::Yes => drop(decisions.insert(contact.id, Decided::Taken)),
                Taken::Never(why) => drop(decisions.insert(contact.id, Decided::Refused(why))),
                Taken::NotNow(why, after) => {
                    decisions.remove(&contact.id);
                    trouble = Some(Trouble { why, after });
                }
            }
        }
        let (house, org, target) = (Arc::clone(self.house()), self.to.org, self.target().id);
        self.shard.insist("note what was told", || house.store.note_synced(org, target, told.clone())).await?;
        Ok(trouble)
    }

    /// Those of some contacts that are to be told otherwise by now.
    async fn changed(&self, round: Vec<(Contact, Hash)>) -> Result<Vec<(Contact, Hash)>, End> {
        let ids: Vec<ContactId> = round.iter().map(|(contact, _)| contact.id).collect();
        let (house, org) = (Arc::clone(self.house()), self.to.org);
        let mut present = self.shard.insist("read contacts", || house.store.contacts_of(org, &ids)).await?;
        for (contact, _) in &round {
            if present.get(&contact.id).is_some_and(|now| now.version == contact.version || now.erased_at.is_some()) {
                present.remove(&contact.id);
            }
        }
        let (present, _) = self.together(present.into_values().collect()).await?;
        let mut present: HashMap<ContactId, Contact> = present.into_iter().map(|contact| (contact.id, contact)).collect();
        let mut changed = Vec::new();
        for (contact, hash) in round {
            let Some(present) = present.remove(&contact.id) else { continue };
            let shard = self.shard;
            match shard.insist("compare a contact", || std::future::ready(self.hash(&present))).await? {
                Ok(now) if now != hash => changed.push((present, now)),
                _ => {}
            }
        }
        Ok(changed)
    }

    /// A contact as an event, which is told and written nowhere. The same state of the same contact has the same id within a walk.
    fn event(&self, contact: &Contact, hash: &Hash) -> Event {
        let name = [contact.id.uuid().as_bytes().as_slice(), hash].concat();
        let now: Timestamp = self.house().now();
        Event {
            id: EventId::from_uuid(Uuid::new_v5(&self.backfill, &name)),
            org: self.to.org,
            position: Position { shard: self.shard.number(), seq: 0 },
            schema: Event::SCHEMA,
            occurred_at: contact.wallet_status().changed_at.unwrap_or(contact.updated_at),
            recorded_at: now,
            actor: Actor::System,
            cause: Cause::Schedule,
            project: None,
            pass: None,
            contact: Some(contact.id),
            version: contact.version,
            facts: Facts::ContactUpdated,
            image: Image { contact: Some(contact.clone()), ..Image::default() },
        }
    }
}
