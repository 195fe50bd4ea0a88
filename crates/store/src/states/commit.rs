//! States become rows: what a batch of commands changed, sealed and written in one transaction.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use domain::{ContactId, Event, Installation, InstallationState, OrgId, PassId, Timestamp};
use uuid::Uuid;

use super::{
    CONTACT_CONTEXT, Changes, EVENT_CONTEXT, NewResult, PASS_CONTEXT, RESULT_CONTEXT, RESULT_DAYS, ResultBody, States, context,
    parse,
};
use crate::{
    Committed, DataKey, SealedUnder, Store,
    error::Result,
    kinds::{PassState, reason_number, wallet_number, wallets_number},
    logs::EventBody,
    rows::{CommitRows, ContactRow, ContactWrite, EventRow, InstallationRow, PassRow, PassWrite, ResultRow},
    store::to_json,
    tail::KeptEvent,
};

impl Store {
    /// Writes what a batch of commands changed: states, events and results in one transaction. Once it is done the events are gone
    /// from `changes`, to whoever follows them.
    pub async fn commit(&self, states: &mut States, changes: &mut Changes) -> Result<Committed> {
        let mut rows = self.seal_changes(states, changes)?;
        rows.standing = self.may_be_removed(&changes.issued_into);
        let standing = rows.standing.clone();
        // Those of who is erased by the same commit are not kept.
        let is_erasure = !rows.destroyed_keys.is_empty();
        let sealed: Vec<(Uuid, usize)> = rows.events.iter().map(|row| (row.subject, row.body.len())).collect();
        let committed = self.backend.commit(rows).await?;
        if let Committed::Done(positions) = &committed {
            self.never_removed(standing);
            if is_erasure {
                self.event_tails.clear();
            } else {
                for ((new, position), (subject, bytes)) in changes.events.drain(..).zip(positions).zip(sealed) {
                    let under = SealedUnder::known(subject, states.data_keys.get(&(new.event.org, subject)).cloned());
                    let event = Arc::new(Event { position: *position, ..new.event });
                    self.event_tails.keep(KeptEvent { event, under: Arc::new(under), bytes });
                }
            }
            self.tell_events(positions.iter().map(|position| position.shard));
        }
        Ok(committed)
    }

    fn seal_changes(&self, states: &mut States, changes: &Changes) -> Result<CommitRows> {
        let mut rows = CommitRows { now: changes.now, ..CommitRows::default() };
        for (org, contact) in &changes.erased {
            rows.destroyed_keys.push((*org, contact.uuid()));
            let passes = states.passes.iter().filter(|((owner, _), held)| owner == org && held.value.contact == Some(*contact));
            rows.destroyed_keys.extend(passes.map(|((owner, id), _)| (*owner, id.uuid())));
        }
        for (org, id) in &changes.contacts {
            self.seal_contact(states, *org, *id, &mut rows)?;
        }
        // In the order in which they came to have their addresses.
        rows.contacts.sort_by_key(|write| states.joined.get(&(write.row.org, write.row.id)).map(|joined| joined.turn));
        // Of several events of a pass the last one counts.
        let content: HashMap<(OrgId, PassId), usize> = (0..)
            .zip(&changes.events)
            .filter_map(|(index, new)| Some(((new.event.org, new.event.pass.filter(|_| new.content)?), index)))
            .collect();
        // Those that are written keep to their versions by that.
        let unwritten = |key: &&(OrgId, ContactId)| changes.contacts.binary_search(key).is_err();
        let version = |key: &(OrgId, ContactId)| states.contacts.get(key).and_then(|held| held.stored_version);
        let holders = changes.holders.iter().filter(unwritten);
        rows.holders.extend(holders.filter_map(|key| Some((key.0, key.1, stored(version(key)?)))));
        for (org, id) in &changes.passes {
            self.seal_pass(states, *org, *id, content.get(&(*org, *id)).copied(), &mut rows)?;
        }
        for key in &changes.installations {
            let (Some(installation), Some(held)) = (states.installations.get(key), states.passes.get(&(key.0, key.1))) else {
                continue;
            };
            rows.installations.push(installation_row(key.0, installation, held.value.shard));
        }
        for new in &changes.events {
            rows.events.push(self.seal_event(states, &new.event, &mut rows.data_keys)?);
        }
        for new in &changes.results {
            rows.results.push(self.seal_result(states, new, changes.now, &mut rows.data_keys)?);
        }
        Ok(rows)
    }

    fn seal_contact(&self, states: &mut States, org: OrgId, id: ContactId, rows: &mut CommitRows) -> Result<()> {
        let Some(held) = states.contacts.get(&(org, id)) else { return Ok(()) };
        let contact = &held.value;
        let body = if contact.erased_at.is_some() {
            Vec::new()
        } else {
            self.seal_under(
                &mut states.data_keys,
                org,
                id.uuid(),
                &context(CONTACT_CONTEXT, id.uuid()),
                to_json(contact)?.as_bytes(),
                &mut rows.data_keys,
            )?
        };
        let mut keys = self.keys_of(org, contact)?;
        if let Some(joined) = states.joined.get(&(org, id)) {
            let address = keys.iter_mut().filter(|key| !key.required);
            address.for_each(|key| (key.required, key.place) = (joined.first, joined.place));
        }
        let version = stored(contact.version);
        let status = contact.wallet_status();
        let row = ContactRow {
            org,
            id,
            version,
            created_at: contact.created_at,
            updated_at: contact.updated_at,
            wallets: wallets_number(status.apple > 0, status.google > 0, status.unknown > 0),
            data_key: None,
            body,
        };
        rows.contacts.push(ContactWrite { row, expected: held.stored_version.map(stored), keys });
        Ok(())
    }

    fn seal_pass(
        &self,
        states: &mut States,
        org: OrgId,
        id: PassId,
        content_event: Option<usize>,
        rows: &mut CommitRows,
    ) -> Result<()> {
        let Some(held) = states.passes.get(&(org, id)) else { return Ok(()) };
        let pass = &held.value;
        let subject = states.subject_of(org, pass);
        let (context, json) = (context(PASS_CONTEXT, id.uuid()), to_json(pass)?);
        let body = self.seal_under(&mut states.data_keys, org, subject, &context, json.as_bytes(), &mut rows.data_keys)?;
        let external = match &pass.external_id {
            Some(external_id) if !pass.lifecycle.is_deleted() => Some(self.external_hash(org, external_id)?),
            _ => None,
        };
        let row = PassRow {
            org,
            id,
            project: pass.project,
            shard: pass.shard,
            version: stored(pass.version),
            content_seq: 0,
            contact: pass.contact,
            external,
            state: PassState::of(&pass.lifecycle).number(),
            installed: wallets_number(pass.apple.active > 0, pass.google.active > 0, pass.unknown.active > 0),
            due_at: pass.due_at(),
            issued_at: pass.issued_at,
            updated_at: pass.updated_at,
            subject,
            data_key: None,
            body,
        };
        let code = held.stored_version.is_none().then(|| pass.code.as_str().to_owned());
        rows.passes.push(PassWrite { row, expected: held.stored_version.map(stored), content_event, code });
        Ok(())
    }

    fn seal_event(&self, states: &mut States, event: &Event, keys: &mut Vec<(OrgId, Uuid, Vec<u8>)>) -> Result<EventRow> {
        let subject = match (&event.image.pass, event.contact) {
            (Some(pass), _) => states.subject_of(event.org, pass),
            (None, Some(contact)) if event.image.contact.as_ref().is_some_and(|it| it.erased_at.is_none()) => contact.uuid(),
            _ => Uuid::nil(),
        };
        let json = to_json(&EventBody::of(event))?;
        debug_assert_eq!(
            parse::<EventBody<'_>>(json.as_bytes(), "events", event.id.uuid()).ok(),
            Some(EventBody::of(event)),
            "who reads it back must find what is kept"
        );
        let body = self.seal_under(
            &mut states.data_keys,
            event.org,
            subject,
            &context(EVENT_CONTEXT, event.id.uuid()),
            json.as_bytes(),
            keys,
        )?;
        Ok(EventRow {
            position: event.position,
            org: event.org,
            id: event.id,
            kind: event.kind().number(),
            schema: i16::try_from(event.schema).unwrap_or(i16::MAX),
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            project: event.project,
            pass: event.pass,
            contact: event.contact,
            version: stored(event.version),
            subject,
            data_key: None,
            body,
        })
    }

    fn seal_result(
        &self,
        states: &mut States,
        new: &NewResult,
        now: Timestamp,
        keys: &mut Vec<(OrgId, Uuid, Vec<u8>)>,
    ) -> Result<ResultRow> {
        let subject = match (&new.pass, &new.contact) {
            (Some(pass), _) => states.subject_of(new.org, pass),
            (None, Some(contact)) if contact.erased_at.is_none() => contact.id.uuid(),
            _ => Uuid::nil(),
        };
        let (answer, pass, contact) = (new.answer.clone(), new.pass.clone(), new.contact.clone());
        let body = ResultBody { answer, pass, contact, sealed_answer: None };
        let json = to_json(&body)?;
        let context = context(RESULT_CONTEXT, subject);
        let body = self.seal_under(&mut states.data_keys, new.org, subject, &context, json.as_bytes(), keys)?;
        Ok(ResultRow {
            org: new.org,
            principal: new.key.principal.clone(),
            key: new.key.key.clone(),
            fingerprint: new.key.fingerprint,
            subject,
            data_key: None,
            body,
            expires_at: now.plus(std::time::Duration::from_secs(RESULT_DAYS * 86_400)),
        })
    }

    /// Seals under the subject's data key, which is made if it has none yet; nil means that nothing in it is personal.
    fn seal_under(
        &self,
        known: &mut HashMap<(OrgId, Uuid), Arc<DataKey>>,
        org: OrgId,
        subject: Uuid,
        context: &[u8],
        value: &[u8],
        minted: &mut Vec<(OrgId, Uuid, Vec<u8>)>,
    ) -> Result<Vec<u8>> {
        if subject.is_nil() {
            return Ok(value.to_vec());
        }
        let key = match known.entry((org, subject)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let (key, wrapped) = self.keyring.mint_data_key(org, subject)?;
                minted.push((org, subject, wrapped));
                vacant.insert(Arc::new(key))
            }
        };
        self.keyring.seal(key, context, value)
    }
}

/// Versions are counted from 1 and never come near the end of an `i64`.
fn stored(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn installation_row(org: OrgId, installation: &Installation, shard: u16) -> InstallationRow {
    let (active, since) = match &installation.state {
        InstallationState::Active { since } => (true, *since),
        InstallationState::Gone { since, .. } => (false, *since),
    };
    InstallationRow {
        org,
        pass: installation.pass,
        wallet: wallet_number(installation.wallet),
        device: installation.device.clone(),
        shard,
        active,
        since,
        reason: reason_number(&installation.state),
        first_installed_at: installation.first_installed_at,
        push_token: installation.push_token.clone(),
        pushed_seq: 0,
        push_due_at: None,
        push_tries: 0,
    }
}
