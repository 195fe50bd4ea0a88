//! One batch: load, decide, commit; again when somebody else was faster.

use std::{collections::HashSet, sync::Arc};

use domain::{Answer, Cause, Clock, Command, Late, OrgId, Reject, RejectCode, Timestamp};
use store::{Catalog, Changes, Committed, NewResult, States, Store, StoreError, Touch};

use crate::{
    decide::{self, Decision, View},
    footprint::Footprint,
    group::{EngineError, Outcome, Verdict},
    touch::{found, touch},
};

/// How often a batch that lost a race is decided again before it is called unavailable.
const MAX_RACES: usize = 16;

/// What became of a batch.
pub(crate) struct Carried {
    pub(crate) verdicts: Vec<Verdict>,
    /// What it had to do with, where all of it was written as it was decided first.
    pub(crate) footprint: Option<Footprint>,
}

/// Decides a batch before its turn has come to be written; nothing where that fails, or not all of it can be decided together.
pub(crate) async fn decide_ahead(store: &Store, clock: &dyn Clock, commands: &[Command]) -> Option<Decided> {
    let decided = decide_together(store, clock, commands, &touches(store, commands)).await.ok()?;
    (decided.verdicts.len() == commands.len()).then_some(decided)
}

/// Carries a batch out, as it was decided ahead if it was. A batch that the store cannot take is halved, so that no command
/// fails because of its neighbour.
pub(crate) async fn carry_out(store: &Store, clock: &dyn Clock, commands: &[Command], mut ahead: Option<Decided>) -> Carried {
    let mut carried = Carried { verdicts: Vec::with_capacity(commands.len()), footprint: None };
    let mut stride = Stride(commands.len());
    while carried.verdicts.len() < commands.len() {
        let part = stride.of(&commands[carried.verdicts.len()..]);
        match try_batch(store, clock, part, ahead.take()).await {
            Ok((decided, footprint)) => {
                stride.took(decided.len());
                carried.footprint = footprint.filter(|_| decided.len() == commands.len());
                carried.verdicts.extend(decided);
            }
            Err(error) if part.len() > 1 && !error.is_transient() => {
                tracing::warn!(%error, commands = part.len(), "a batch failed and is halved");
                stride = Stride(part.len() / 2);
            }
            Err(error) => {
                stride.took(part.len());
                let error = Arc::new(error);
                carried.verdicts.extend(part.iter().map(|_| Err(EngineError::Unavailable(Arc::clone(&error)))));
            }
        }
    }
    carried
}

/// How many commands are tried together: fewer after a batch of which not all could be decided or written together, then more
/// again, so that what is loaded in vain grows no faster than the commands.
struct Stride(usize);

impl Stride {
    fn of<'c, T>(&self, rest: &'c [T]) -> &'c [T] {
        &rest[..self.0.min(rest.len())]
    }

    /// Of those that were tried so many were done.
    fn took(&mut self, done: usize) {
        self.0 = done.max(1).saturating_mul(2);
    }
}

/// What commands would be answered if they were carried out now, one after another; nothing is written. After one that takes away
/// an address or external id that a later one names, the later ones are answered as if those before were not.
///
/// # Errors
/// When the store does not answer.
pub async fn preview(store: &Store, clock: &dyn Clock, commands: &[Command]) -> Result<Vec<Verdict>, StoreError> {
    let touches = touches(store, commands);
    let mut verdicts = Vec::with_capacity(commands.len());
    let mut stride = Stride(commands.len());
    while verdicts.len() < commands.len() {
        let (part, touches) = (stride.of(&commands[verdicts.len()..]), stride.of(&touches[verdicts.len()..]));
        let decided = decide_together(store, clock, part, touches).await?.verdicts;
        stride.took(decided.len());
        verdicts.extend(decided);
    }
    Ok(verdicts)
}

fn touches(store: &Store, commands: &[Command]) -> Vec<(OrgId, Touch)> {
    let known = store.catalog();
    let projects = |org| known.org(org).map_or_else(Vec::new, |config| config.projects.values().map(|it| it.value.id).collect());
    commands.iter().map(|command| (command.org, touch(command, &projects(command.org)))).collect()
}

/// What was decided and is not written.
pub(crate) struct Decided {
    verdicts: Vec<Verdict>,
    states: States,
    changes: Changes,
    written: Written,
    pub(crate) footprint: Footprint,
}

/// Decides commands one after another, up to the first that asks for somebody by an address, or for a pass by an external id, whose
/// holder gave it up before in the same batch; at least one.
async fn decide_together(
    store: &Store,
    clock: &dyn Clock,
    commands: &[Command],
    touches: &[(OrgId, Touch)],
) -> Result<Decided, StoreError> {
    let now = clock.now();
    let mut states = store.load(touches, now).await?;
    let more =
        commands.iter().filter_map(|command| Some((command.org, found(command.org, command, &states)?))).collect::<Vec<_>>();
    if !more.is_empty() {
        states.installations.extend(store.load(&more, now).await?.installations);
    }
    let catalog = store.catalog_at(states.config_version).await?;
    let mut footprint = Footprint::of(touches.iter().chain(&more));
    footprint.add(&states);
    let mut changes = Changes { now, ..Changes::default() };
    let mut written = Written::default();
    let mut verdicts = Vec::with_capacity(commands.len());
    for (command, (_, touch)) in commands.iter().zip(touches) {
        if states.is_unsettled(command.org, touch) {
            break;
        }
        verdicts.push(decide_one(store, &catalog, &mut states, &mut changes, &mut written, command, now));
    }
    footprint.add(&states);
    Ok(Decided { verdicts, states, changes, written, footprint })
}

/// Verdicts of the first commands, all or as many as could be decided together, and what those had to do with where no race was
/// lost.
async fn try_batch(
    store: &Store,
    clock: &dyn Clock,
    commands: &[Command],
    mut ahead: Option<Decided>,
) -> Result<(Vec<Verdict>, Option<Footprint>), StoreError> {
    let touches = touches(store, commands);
    for races in 0..MAX_RACES {
        let Decided { verdicts, mut states, mut changes, written, footprint } = match ahead.take() {
            Some(decided) => decided,
            None => decide_together(store, clock, commands, &touches).await?,
        };
        let footprint = Some(footprint).filter(|_| races == 0);
        if changes.events.is_empty() && changes.results.is_empty() && written.is_empty() {
            return Ok((verdicts, footprint));
        }
        written.into_changes(&states, &mut changes);
        match store.commit(&mut states, &mut changes).await? {
            Committed::Done(_) => return Ok((verdicts, footprint)),
            Committed::Conflict => tracing::debug!(commands = commands.len(), "a race was lost; deciding again"),
        }
    }
    Err(StoreError::Unavailable(format!("{MAX_RACES} races in a row were lost to other writers")))
}

/// Which states changed, each once.
#[derive(Default)]
struct Written {
    passes: HashSet<(OrgId, domain::PassId)>,
    /// Contacts that passes came to be of.
    holders: HashSet<(OrgId, domain::ContactId)>,
    contacts: HashSet<(OrgId, domain::ContactId)>,
    installations: HashSet<(OrgId, domain::PassId, domain::Wallet, String)>,
}

impl Written {
    fn is_empty(&self) -> bool {
        self.passes.is_empty() && self.contacts.is_empty() && self.installations.is_empty()
    }
    fn into_changes(self, states: &States, changes: &mut Changes) {
        let issued = |key: &(OrgId, domain::PassId)| states.passes.get(key).filter(|held| held.stored_version.is_none());
        let into = self.passes.iter().filter_map(|key| Some((key.0, issued(key)?.value.project)));
        changes.issued_into = into.collect::<HashSet<_>>().into_iter().collect();
        changes.passes.extend(self.passes);
        changes.holders.extend(self.holders);
        changes.contacts.extend(self.contacts);
        changes.installations.extend(self.installations);
        changes.passes.sort_unstable();
        changes.holders.sort_unstable();
        changes.contacts.sort_unstable();
        changes.installations.sort_unstable();
    }
}

fn decide_one(
    store: &Store,
    catalog: &Catalog,
    states: &mut States,
    changes: &mut Changes,
    written: &mut Written,
    command: &Command,
    now: Timestamp,
) -> Verdict {
    if let Some(verdict) = replay(states, command) {
        return verdict;
    }
    let unknown = || Reject::new(RejectCode::NotFound, "org", "no such organization");
    let decision = catalog
        .org(command.org)
        .ok_or_else(unknown)
        .and_then(|config| {
            let shard = |id| store.shard_of(command.org, id);
            decide::decide(&View { org: command.org, states, config, shard: &shard }, command, now)
        })
        .map_err(EngineError::Rejected)?;
    let outcome = apply(states, changes, written, command.org, decision);
    // What a flow left because it came late, or because it met a void pass, is decided anew when it is asked for again: the flow
    // may have been changed to take it.
    let is_of_flow = matches!(command.cause, Cause::SourceEvent { .. });
    let is_void = is_of_flow && matches!(&outcome.answer, Answer::Unchanged { stays: Some(_), .. });
    let is_left = is_void || outcome.answer.late().is_some_and(|late| late.decision == Late::Skip);
    if let Some(key) = command.key.as_ref().filter(|_| !is_left) {
        remember(states, changes, command.org, key, &outcome);
    }
    Ok(outcome)
}

/// The stored answer under the command's idempotency key, if there is one.
fn replay(states: &States, command: &Command) -> Option<Verdict> {
    let key = command.key.as_ref()?;
    let stored = states.results.get(&(command.org, key.principal.clone(), key.key.clone()))?;
    if stored.fingerprint != key.fingerprint {
        let message = "this idempotency key was used for another request: use a new key";
        return Some(Err(EngineError::Rejected(Reject::new(RejectCode::KeyReused, "", message))));
    }
    Some(Ok(Outcome {
        answer: stored.answer.clone(),
        pass: stored.pass.clone(),
        contact: stored.contact.clone(),
        replayed: true,
    }))
}

fn apply(states: &mut States, changes: &mut Changes, written: &mut Written, org: OrgId, decision: Decision) -> Outcome {
    for contact in decision.contacts {
        written.contacts.insert((org, contact.id));
        states.put_contact(org, contact);
    }
    for pass in decision.passes {
        written.passes.insert((org, pass.id));
        let before = states.passes.get(&(org, pass.id)).and_then(|held| held.value.contact);
        written.holders.extend(pass.contact.filter(|contact| before != Some(*contact)).map(|contact| (org, contact)));
        states.put_pass(org, pass);
    }
    for installation in decision.installations {
        let key = (org, installation.pass, installation.wallet, installation.device.clone());
        written.installations.insert(key.clone());
        states.installations.insert(key, installation);
    }
    changes.events.extend(decision.events);
    changes.erased.extend(decision.erased.into_iter().map(|contact| (org, contact)));
    let (pass_id, contact_id) = match &decision.answer {
        Answer::Done { pass, contact, .. } | Answer::Unchanged { pass, contact, .. } => (*pass, *contact),
        Answer::Scanned { pass, .. } => (Some(*pass), None),
        Answer::ScanRefused { pass, .. } => (*pass, None),
        Answer::Noted { .. } => (None, None),
    };
    let pass = pass_id.and_then(|id| states.passes.get(&(org, id))).map(|held| Box::new(held.value.clone()));
    let contact_id = contact_id.or_else(|| pass.as_ref().and_then(|pass| pass.contact));
    let contact = contact_id.and_then(|id| states.contacts.get(&(org, id))).map(|held| Box::new(held.value.clone()));
    Outcome { answer: decision.answer, pass, contact, replayed: false }
}

fn remember(states: &mut States, changes: &mut Changes, org: OrgId, key: &domain::IdempotencyKey, outcome: &Outcome) {
    let kept = |keep: bool| if keep { (outcome.pass.clone(), outcome.contact.clone()) } else { (None, None) };
    let (pass, contact) = kept(key.keep_image);
    let stored = store::StoredResult {
        fingerprint: key.fingerprint,
        answer: outcome.answer.clone(),
        pass: pass.clone(),
        contact: contact.clone(),
    };
    states.results.insert((org, key.principal.clone(), key.key.clone()), stored);
    changes.results.push(NewResult { org, key: key.clone(), answer: outcome.answer.clone(), pass, contact });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many commands are tried, with those that are tried again, where a batch ends before each multiple of a number.
    fn tried(commands: &[usize], every: usize) -> usize {
        let (mut done, mut tried, mut stride) = (0, 0, Stride(commands.len()));
        while done < commands.len() {
            let part = stride.of(&commands[done..]);
            tried += part.len();
            let took = 1 + part[1..].iter().take_while(|number| *number % every != 0).count();
            stride.took(took);
            done += took;
        }
        tried
    }

    #[test]
    fn commands_that_undo_one_another_are_tried_a_few_times_each() {
        let commands: Vec<usize> = (0..4_096).collect();
        for every in [1, 2, 3, 7, 100] {
            let tried = tried(&commands, every);
            assert!(tried < 5 * commands.len(), "{every}: {tried}");
        }
        assert_eq!(tried(&commands, usize::MAX), commands.len());
    }
}
