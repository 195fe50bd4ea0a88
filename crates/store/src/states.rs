//! What the engine reads and writes: the states that a batch of commands touches, and what becomes of them.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use domain::{
    Answer, Contact, ContactId, ContactRef, Event, IdempotencyKey, Installation, InstallationState, OrgId, Pass, PassId, PassRef,
    ProjectId, Timestamp, Wallet, normalise_email,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Committed, DataKey, Keyring, Store, StoreError,
    error::Result,
    kinds::{PassState, reason_from_number, reason_number, wallet_from_number, wallet_number, wallets_number},
    rows::{
        CommitRows, ContactKey, ContactRow, ContactWrite, EventRow, Hash, InstallationRow, LoadKeys, LoadedRows, PassFilter,
        PassRow, PassWrite, ResultRow,
    },
    store::to_json,
};

/// How long a result is kept under its idempotency key.
pub const RESULT_DAYS: u64 = 30;

/// Which states one command touches.
#[derive(Debug, Clone, Default)]
pub struct Touch {
    /// Passes, with their contacts.
    pub passes: Vec<PassRef>,
    /// Contacts.
    pub contacts: Vec<ContactRef>,
    /// Contacts with all their passes that are not deleted.
    pub everything_of: Vec<ContactRef>,
    /// Installations.
    pub installations: Vec<(PassId, Wallet, String)>,
    /// The stored result under this key.
    pub key: Option<IdempotencyKey>,
}

/// A state and the version that the store holds of it.
#[derive(Debug, Clone)]
pub struct Held<T> {
    /// The state, as decided so far.
    pub value: T,
    /// The stored version; none while it is not stored.
    pub stored_version: Option<u64>,
}

/// A command's stored result.
#[derive(Debug, Clone)]
pub struct StoredResult {
    /// What it was asked.
    pub fingerprint: [u8; 32],
    /// What was answered.
    pub answer: Answer,
    /// The pass as it was then, if that was asked to be kept and was not erased.
    pub pass: Option<Box<Pass>>,
    /// The contact as it was then, likewise.
    pub contact: Option<Box<Contact>>,
}

/// The states that a batch of commands touches, changed one command after another.
#[derive(Default)]
pub struct States {
    /// Passes.
    pub passes: HashMap<(OrgId, PassId), Held<Pass>>,
    /// Contacts.
    pub contacts: HashMap<(OrgId, ContactId), Held<Contact>>,
    /// Installations.
    pub installations: HashMap<(OrgId, PassId, Wallet, String), Installation>,
    /// Results under idempotency keys.
    pub results: HashMap<(OrgId, String, String), StoredResult>,
    /// The store-wide configuration version at the time.
    pub config_version: i64,
    externals: HashMap<(OrgId, ProjectId, String), PassId>,
    /// The first of those who have each name.
    names: HashMap<(OrgId, ContactRef), ContactId>,
    /// Addresses whose first gave them up meanwhile: only the store knows who is next.
    unsettled: HashSet<(OrgId, ContactRef)>,
    /// Contacts that came to have their address.
    joined: HashMap<(OrgId, ContactId), Joined>,
    turns: usize,
    data_keys: HashMap<(OrgId, Uuid), DataKey>,
}

/// How a contact came to have its address.
#[derive(Clone, Copy)]
struct Joined {
    /// The how manieth of the batch it was.
    turn: usize,
    /// Whether nobody was found to have it.
    first: bool,
    /// Its place in the line, where that is known.
    place: Option<i64>,
}

/// What a batch of commands changed, beside the states themselves.
#[derive(Debug, Default)]
pub struct Changes {
    /// The present.
    pub now: Timestamp,
    /// Passes to write.
    pub passes: Vec<(OrgId, PassId)>,
    /// Contacts to write.
    pub contacts: Vec<(OrgId, ContactId)>,
    /// Installations to write.
    pub installations: Vec<(OrgId, PassId, Wallet, String)>,
    /// Events to append; the position's number is filled by the commit.
    pub events: Vec<NewEvent>,
    /// Results to keep.
    pub results: Vec<NewResult>,
    /// Contacts whose data keys are destroyed, with their passes'.
    pub erased: Vec<(OrgId, ContactId)>,
}

/// An event to append.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event.
    pub event: Event,
    /// Whether what a wallet shows changed with it.
    pub content: bool,
}

/// A result to keep.
#[derive(Debug, Clone)]
pub struct NewResult {
    /// Whose.
    pub org: OrgId,
    /// Under which key.
    pub key: IdempotencyKey,
    /// What was answered.
    pub answer: Answer,
    /// The pass as it is now, to be kept with it.
    pub pass: Option<Box<Pass>>,
    /// The contact as it is now, to be kept with it.
    pub contact: Option<Box<Contact>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ResultBody {
    pub(crate) answer: Answer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pass: Option<Box<Pass>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contact: Option<Box<Contact>>,
    /// The answer to a request that was no command, sealed, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sealed_answer: Option<String>,
}

impl States {
    /// The data key of a subject that was loaded.
    pub(crate) fn data_key(&self, org: OrgId, subject: Uuid) -> Option<&DataKey> {
        self.data_keys.get(&(org, subject))
    }

    /// The pass that a reference means now.
    pub fn find_pass(&self, org: OrgId, pass: &PassRef) -> Option<PassId> {
        match pass {
            PassRef::Id(id) => self.passes.contains_key(&(org, *id)).then_some(*id),
            PassRef::External { project, external_id } => {
                let id = *self.externals.get(&(org, *project, external_id.clone()))?;
                let held = self.passes.get(&(org, id))?;
                (!held.value.lifecycle.is_deleted()).then_some(id)
            }
            PassRef::OfContact { project, contact } => {
                let contact = self.find_contact(org, contact)?;
                self.passes_of(org, contact)
                    .filter(|pass| pass.project == *project)
                    .max_by_key(|pass| (pass.issued_at, pass.id))
                    .map(|pass| pass.id)
            }
        }
    }

    /// The contact that a reference means now.
    pub fn find_contact(&self, org: OrgId, contact: &ContactRef) -> Option<ContactId> {
        let id = match contact {
            ContactRef::Id(id) => *id,
            other => *self.names.get(&(org, normalised(other)))?,
        };
        self.contacts.get(&(org, id)).filter(|held| held.value.erased_at.is_none()).map(|_| id)
    }

    /// The contact's passes among these states that are not deleted.
    pub fn passes_of(&self, org: OrgId, contact: ContactId) -> impl Iterator<Item = &Pass> {
        self.passes
            .iter()
            .filter(move |((owner, _), held)| {
                *owner == org && held.value.contact == Some(contact) && !held.value.lifecycle.is_deleted()
            })
            .map(|(_, held)| &held.value)
    }

    /// Takes in a pass that was made or changed, so that later commands of the batch find it by its names.
    pub fn put_pass(&mut self, org: OrgId, pass: Pass) {
        if let Some(external_id) = &pass.external_id {
            self.externals.insert((org, pass.project, external_id.clone()), pass.id);
        }
        match self.passes.get_mut(&(org, pass.id)) {
            Some(held) => held.value = pass,
            None => {
                self.passes.insert((org, pass.id), Held { value: pass, stored_version: None });
            }
        }
    }

    /// Whether somebody who is asked for cannot be told before what was decided so far is written: whoever was found by their
    /// address has it no more.
    pub fn is_unsettled(&self, org: OrgId, touch: &Touch) -> bool {
        if self.unsettled.is_empty() {
            return false;
        }
        let of_passes = touch.passes.iter().filter_map(|pass| match pass {
            PassRef::OfContact { contact, .. } => Some(contact),
            _ => None,
        });
        let mut people = of_passes.chain(&touch.contacts).chain(&touch.everything_of);
        people.any(|contact| self.unsettled.contains(&(org, normalised(contact))))
    }

    /// Takes in a contact that was made or changed, so that later commands of the batch find it by its names.
    pub fn put_contact(&mut self, org: OrgId, contact: Contact) {
        let before: Vec<_> = self.contacts.get(&(org, contact.id)).map_or_else(Vec::new, |held| names_of(&held.value).collect());
        let after: Vec<_> = names_of(&contact).collect();
        for name in before.iter().filter(|name| !after.contains(name)) {
            let named = (org, name.clone());
            if self.names.get(&named) == Some(&contact.id) {
                self.names.remove(&named);
                if matches!(name, ContactRef::Email(_)) {
                    self.unsettled.insert(named);
                }
            }
        }
        for name in after.into_iter().filter(|name| !before.contains(name)) {
            let is_address = matches!(name, ContactRef::Email(_));
            let first = *self.names.entry((org, name)).or_insert(contact.id) == contact.id;
            if is_address {
                self.turns += 1;
                self.joined.insert((org, contact.id), Joined { turn: self.turns, first, place: None });
            }
        }
        match self.contacts.get_mut(&(org, contact.id)) {
            Some(held) => held.value = contact,
            None => {
                self.contacts.insert((org, contact.id), Held { value: contact, stored_version: None });
            }
        }
    }

    /// Gives a contact that was put its place among those who have its address; none means behind those who have it by now.
    pub(crate) fn stand(&mut self, org: OrgId, contact: ContactId, place: Option<i64>) {
        if let Some(joined) = self.joined.get_mut(&(org, contact)) {
            (joined.first, joined.place) = (false, place);
        }
    }

    /// Under whose data key a pass is sealed now: its contact, or itself without one; nil once its contact was erased.
    fn subject_of(&self, org: OrgId, pass: &Pass) -> Uuid {
        match pass.contact {
            None => pass.id.uuid(),
            Some(contact) => match self.contacts.get(&(org, contact)) {
                Some(held) if held.value.erased_at.is_some() => Uuid::nil(),
                _ => contact.uuid(),
            },
        }
    }
}

fn names_of(contact: &Contact) -> impl Iterator<Item = ContactRef> {
    let external = contact.external_id.clone().map(ContactRef::External);
    external.into_iter().chain(contact.email.clone().map(ContactRef::Email))
}

fn normalised(contact: &ContactRef) -> ContactRef {
    match contact {
        ContactRef::Email(email) => ContactRef::Email(normalise_email(email)),
        other => other.clone(),
    }
}

pub(crate) const PASS_CONTEXT: &[u8] = b"pass";
pub(crate) const CONTACT_CONTEXT: &[u8] = b"contact";
pub(crate) const EVENT_CONTEXT: &[u8] = b"event";
pub(crate) const RESULT_CONTEXT: &[u8] = b"result";

/// What a sealed value is, bound to it as associated data.
pub(crate) fn context(kind: &[u8], id: Uuid) -> Vec<u8> {
    [kind, id.as_bytes()].concat()
}

impl Store {
    /// Loads the states that a batch of commands touches, with the results that have not expired at `now`.
    pub async fn load(&self, touches: &[(OrgId, Touch)], now: Timestamp) -> Result<States> {
        let mut keys = LoadKeys { now, ..LoadKeys::default() };
        let mut states = States::default();
        let mut externals: HashMap<(OrgId, ProjectId, Hash), String> = HashMap::new();
        let mut names: HashMap<(OrgId, Hash), ContactRef> = HashMap::new();
        for (org, touch) in touches {
            self.add_keys(*org, touch, &mut keys, &mut externals, &mut names)?;
        }
        dedupe(&mut keys);
        let rows = self.backend.load(&keys).await?;
        states.config_version = rows.config_version;
        self.open_rows(rows, &names, &mut states)?;
        Ok(states)
    }

    fn add_keys(
        &self,
        org: OrgId,
        touch: &Touch,
        keys: &mut LoadKeys,
        externals: &mut HashMap<(OrgId, ProjectId, Hash), String>,
        names: &mut HashMap<(OrgId, Hash), ContactRef>,
    ) -> Result<()> {
        let mut name = |contact: &ContactRef| -> Result<Option<Hash>> {
            let Some(hash) = self.contact_hash(org, contact)? else { return Ok(None) };
            names.insert((org, hash), normalised(contact));
            Ok(Some(hash))
        };
        for pass in &touch.passes {
            match pass {
                PassRef::Id(id) => keys.passes.push((org, *id)),
                PassRef::External { project, external_id } => {
                    let hash = self.external_hash(org, external_id)?;
                    externals.insert((org, *project, hash), external_id.clone());
                    keys.externals.push((org, *project, hash));
                }
                PassRef::OfContact { contact: ContactRef::Id(id), .. } => keys.passes_of.push((org, *id)),
                PassRef::OfContact { contact, .. } => keys.passes_of_keys.extend(name(contact)?.map(|hash| (org, hash))),
            }
        }
        for contact in &touch.contacts {
            match contact {
                ContactRef::Id(id) => keys.contacts.push((org, *id)),
                other => keys.contact_keys.extend(name(other)?.map(|hash| (org, hash))),
            }
        }
        for contact in &touch.everything_of {
            match contact {
                ContactRef::Id(id) => {
                    keys.contacts.push((org, *id));
                    keys.passes_of.push((org, *id));
                }
                other => keys.passes_of_keys.extend(name(other)?.map(|hash| (org, hash))),
            }
        }
        let installation =
            |(pass, wallet, device): &(PassId, Wallet, String)| (org, *pass, wallet_number(*wallet), device.clone());
        keys.installations.extend(touch.installations.iter().map(installation));
        keys.results.extend(touch.key.iter().map(|key| (org, key.principal.clone(), key.key.clone())));
        Ok(())
    }

    pub(crate) fn external_hash(&self, org: OrgId, external_id: &str) -> Result<Hash> {
        self.keyring.blind(org, "pass external id", external_id)
    }

    pub(crate) fn contact_hash(&self, org: OrgId, contact: &ContactRef) -> Result<Option<Hash>> {
        match contact {
            ContactRef::Id(_) => Ok(None),
            ContactRef::External(id) => self.keyring.blind(org, "contact external id", id).map(Some),
            ContactRef::Email(email) => self.keyring.blind(org, "contact e-mail", &normalise_email(email)).map(Some),
        }
    }

    fn open_rows(&self, rows: LoadedRows, names: &HashMap<(OrgId, Hash), ContactRef>, states: &mut States) -> Result<()> {
        for row in rows.contacts {
            let (key, contact) = self.open_contact(&row)?;
            states.data_keys.extend(key.map(|key| ((row.org, row.id.uuid()), key)));
            states.contacts.insert((row.org, row.id), Held { stored_version: Some(contact.version), value: contact });
        }
        for row in rows.passes {
            let (key, pass) = self.open_pass(&row)?;
            states.data_keys.extend(key.map(|key| ((row.org, row.subject), key)));
            if let Some(external_id) = pass.external_id.clone().filter(|_| !pass.lifecycle.is_deleted()) {
                states.externals.insert((row.org, pass.project, external_id), pass.id);
            }
            states.passes.insert((row.org, row.id), Held { stored_version: Some(pass.version), value: pass });
        }
        for (org, hash, contact) in rows.contact_keys {
            states.names.extend(names.get(&(org, hash)).map(|name| ((org, name.clone()), contact)));
        }
        for row in rows.installations {
            let installation = open_installation(&row)?;
            states.installations.insert((row.org, row.pass, installation.wallet, row.device), installation);
        }
        for row in rows.results {
            let body =
                self.unseal(row.org, row.subject, row.data_key.as_deref(), || context(RESULT_CONTEXT, row.subject), &row.body)?;
            // A result whose subject was erased still binds, without saying about whom: what was done stays done.
            let body: ResultBody = match body {
                Some(body) => parse(&body, "results", row.subject)?,
                None => {
                    let answer = Answer::Unchanged { pass: None, contact: None, version: 0, late: None, stays: None };
                    ResultBody { answer, pass: None, contact: None, sealed_answer: None }
                }
            };
            let result =
                StoredResult { fingerprint: row.fingerprint, answer: body.answer, pass: body.pass, contact: body.contact };
            states.results.insert((row.org, row.principal, row.key), result);
        }
        Ok(())
    }

    /// Opens a pass row; also the data key, for sealing it again.
    pub(crate) fn open_pass(&self, row: &PassRow) -> Result<(Option<DataKey>, Pass)> {
        let key = row.data_key.as_deref().map(|wrapped| self.keyring.open_data_key(row.org, row.subject, wrapped)).transpose()?;
        let opened = match (&key, row.subject.is_nil()) {
            (_, true) => row.body.clone(),
            (Some(key), false) => Keyring::open(key, &context(PASS_CONTEXT, row.id.uuid()), &row.body)?,
            (None, false) => return Err(lost_key("passes", row.id.uuid())),
        };
        Ok((key, parse(&opened, "passes", row.id.uuid())?))
    }

    /// The keys of names that a contact has: the external id is nobody else's.
    pub(crate) fn keys_of(&self, org: OrgId, contact: &Contact) -> Result<Vec<ContactKey>> {
        let mut keys = Vec::new();
        for name in names_of(contact) {
            let required = matches!(name, ContactRef::External(_));
            keys.extend(self.contact_hash(org, &name)?.map(|hash| ContactKey { hash, required, place: None }));
        }
        Ok(keys)
    }

    pub(crate) fn open_contact(&self, row: &ContactRow) -> Result<(Option<DataKey>, Contact)> {
        if row.body.is_empty() {
            return Ok((None, erased(row)));
        }
        let wrapped = row.data_key.as_deref().ok_or_else(|| lost_key("contacts", row.id.uuid()))?;
        let key = self.keyring.open_data_key(row.org, row.id.uuid(), wrapped)?;
        let opened = Keyring::open(&key, &context(CONTACT_CONTEXT, row.id.uuid()), &row.body)?;
        Ok((Some(key), parse(&opened, "contacts", row.id.uuid())?))
    }

    /// Opens a body sealed under a subject's key; nothing when that key was destroyed.
    pub(crate) fn unseal(
        &self,
        org: OrgId,
        subject: Uuid,
        wrapped: Option<&[u8]>,
        context: impl FnOnce() -> Vec<u8>,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        match wrapped {
            _ if subject.is_nil() => Ok(Some(body.to_vec())),
            None => Ok(None),
            Some(wrapped) => Keyring::open(&self.keyring.open_data_key(org, subject, wrapped)?, &context(), body).map(Some),
        }
    }

    /// Writes what a batch of commands changed: states, events and results in one transaction.
    pub async fn commit(&self, states: &mut States, changes: &Changes) -> Result<Committed> {
        let rows = self.seal_changes(states, changes)?;
        let committed = self.backend.commit(rows).await?;
        if let Committed::Done(positions) = &committed {
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
        let json = to_json(&crate::logs::EventBody::of(event))?;
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
        known: &mut HashMap<(OrgId, Uuid), DataKey>,
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
                vacant.insert(key)
            }
        };
        self.keyring.seal(key, context, value)
    }

    /// A pass.
    pub async fn pass(&self, org: OrgId, id: PassId) -> Result<Option<Pass>> {
        let rows = self.backend.load(&LoadKeys { passes: vec![(org, id)], ..LoadKeys::default() }).await?;
        rows.passes.first().map(|row| self.open_pass(row).map(|(_, pass)| pass)).transpose()
    }

    /// A pass with its contact and its place among the changes of its shard.
    pub async fn pass_with_contact(&self, org: OrgId, id: PassId) -> Result<Option<(Pass, Option<Contact>)>> {
        let rows = self.backend.load(&LoadKeys { passes: vec![(org, id)], ..LoadKeys::default() }).await?;
        let Some(row) = rows.passes.first() else { return Ok(None) };
        let (_, pass) = self.open_pass(row)?;
        let contact = rows.contacts.iter().find(|contact| Some(contact.id) == pass.contact);
        Ok(Some((pass, contact.map(|row| self.open_contact(row).map(|(_, contact)| contact)).transpose()?)))
    }

    /// The passes of some keys.
    pub async fn passes_of(&self, keys: &LoadKeys) -> Result<Vec<Pass>> {
        let rows = self.backend.load(keys).await?;
        rows.passes.iter().map(|row| self.open_pass(row).map(|(_, pass)| pass)).collect()
    }

    /// A page of passes in the order of their ids.
    pub async fn passes(
        &self,
        org: OrgId,
        project: Option<ProjectId>,
        contact: Option<ContactId>,
        after: Option<PassId>,
        limit: u32,
    ) -> Result<Vec<Pass>> {
        let rows = self.backend.passes(org, project, contact, after, limit).await?;
        rows.iter().map(|row| self.open_pass(row).map(|(_, pass)| pass)).collect()
    }

    /// A page of the passes that fulfil a filter.
    pub async fn find_passes(&self, org: OrgId, filter: &PassFilter, limit: u32) -> Result<Vec<Pass>> {
        let rows = self.backend.find_passes(org, filter, limit).await?;
        rows.iter().map(|row| self.open_pass(row).map(|(_, pass)| pass)).collect()
    }

    /// A page of a project's passes in the order of their ids, each with the number of the last event that changed what it
    /// shows.
    pub async fn passes_as_shown(
        &self,
        org: OrgId,
        project: ProjectId,
        after: Option<PassId>,
        limit: u32,
    ) -> Result<Vec<(Pass, i64)>> {
        let rows = self.backend.passes(org, Some(project), None, after, limit).await?;
        rows.iter().map(|row| self.open_pass(row).map(|(_, pass)| (pass, row.content_seq))).collect()
    }

    /// The pass of an external id that is not deleted.
    pub async fn pass_by_external_id(&self, org: OrgId, project: ProjectId, external_id: &str) -> Result<Option<Pass>> {
        let hash = self.external_hash(org, external_id)?;
        let rows = self.backend.load(&LoadKeys { externals: vec![(org, project, hash)], ..LoadKeys::default() }).await?;
        rows.passes.first().map(|row| self.open_pass(row).map(|(_, pass)| pass)).transpose()
    }

    /// The passes of an external id that are not deleted, of some projects.
    pub async fn passes_by_external_id(&self, org: OrgId, projects: &[ProjectId], external_id: &str) -> Result<Vec<Pass>> {
        let hash = self.external_hash(org, external_id)?;
        let externals = projects.iter().map(|project| (org, *project, hash)).collect();
        self.passes_of(&LoadKeys { externals, ..LoadKeys::default() }).await
    }

    /// A contact.
    pub async fn contact(&self, org: OrgId, contact: &ContactRef) -> Result<Option<Contact>> {
        let mut keys = LoadKeys::default();
        match (contact, self.contact_hash(org, contact)?) {
            (ContactRef::Id(id), _) => keys.contacts.push((org, *id)),
            (_, hash) => keys.contact_keys.extend(hash.map(|hash| (org, hash))),
        }
        let rows = self.backend.load(&keys).await?;
        rows.contacts.first().map(|row| self.open_contact(row).map(|(_, contact)| contact)).transpose()
    }

    /// A page of contacts in the order of their ids.
    pub async fn contacts(&self, org: OrgId, after: Option<ContactId>, limit: u32) -> Result<Vec<Contact>> {
        let rows = self.backend.contacts(org, after, limit).await?;
        rows.iter().map(|row| self.open_contact(row).map(|(_, contact)| contact)).collect()
    }

    /// A page of the contacts with passes in these wallets, in the order of their ids.
    pub async fn find_contacts(&self, org: OrgId, wallets: i16, after: Option<ContactId>, limit: u32) -> Result<Vec<Contact>> {
        let rows = self.backend.find_contacts(org, wallets, after, limit).await?;
        rows.iter().map(|row| self.open_contact(row).map(|(_, contact)| contact)).collect()
    }

    /// Passes that an Apple device is registered for, each with the number of the last event that changed what it shows.
    pub async fn passes_on_device(&self, org: OrgId, device: &str) -> Result<Vec<(Pass, u64)>> {
        let rows = self.backend.passes_on_device(org, device).await?;
        let open = |row: &PassRow| Ok((self.open_pass(row)?.1, u64::try_from(row.content_seq).unwrap_or(0)));
        rows.iter().map(open).collect()
    }

    /// A pass's installations after one, in the order of wallets and devices.
    pub async fn installations(
        &self,
        org: OrgId,
        pass: PassId,
        after: Option<(Wallet, String)>,
        limit: u32,
    ) -> Result<Vec<Installation>> {
        let after = after.map(|(wallet, device)| (wallet_number(wallet), device));
        self.backend.installations(org, pass, after, limit).await?.iter().map(open_installation).collect()
    }
}

/// Versions are counted from 1 and never come near the end of an `i64`.
fn stored(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn dedupe(keys: &mut LoadKeys) {
    fn unique<T: Ord>(list: &mut Vec<T>) {
        list.sort_unstable();
        list.dedup();
    }
    unique(&mut keys.passes);
    unique(&mut keys.externals);
    unique(&mut keys.contacts);
    unique(&mut keys.contact_keys);
    unique(&mut keys.passes_of);
    unique(&mut keys.passes_of_keys);
    unique(&mut keys.installations);
    unique(&mut keys.results);
}

fn erased(row: &ContactRow) -> Contact {
    Contact {
        version: u64::try_from(row.version).unwrap_or(0),
        erased_at: Some(row.updated_at),
        updated_at: row.updated_at,
        ..Contact::new(row.id, row.created_at)
    }
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

pub(crate) fn open_installation(row: &InstallationRow) -> Result<Installation> {
    let fault = |column, why: String| StoreError::Inconsistent { table: "installations", column, row: row.pass.to_string(), why };
    let wallet = wallet_from_number(row.wallet).ok_or_else(|| fault("wallet", format!("{} is no wallet", row.wallet)))?;
    let state = if row.active {
        InstallationState::Active { since: row.since }
    } else {
        let reason = row.reason.and_then(reason_from_number);
        let reason = reason.ok_or_else(|| fault("reason", format!("{:?} is no reason", row.reason)))?;
        InstallationState::Gone { since: row.since, reason }
    };
    Ok(Installation {
        pass: row.pass,
        wallet,
        device: row.device.clone(),
        push_token: row.push_token.clone(),
        state,
        first_installed_at: row.first_installed_at,
    })
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &[u8], table: &'static str, id: Uuid) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| StoreError::Inconsistent {
        table,
        column: "body",
        row: id.to_string(),
        why: error.to_string(),
    })
}

/// Names the row whose sealed body does not open.
pub(crate) fn damaged(error: StoreError, table: &'static str, row: impl std::fmt::Display) -> StoreError {
    match error {
        StoreError::Internal(why) => StoreError::Inconsistent { table, column: "body", row: row.to_string(), why },
        other => other,
    }
}

fn lost_key(table: &'static str, id: Uuid) -> StoreError {
    StoreError::Inconsistent { table, column: "subject", row: id.to_string(), why: "its data key is gone".to_owned() }
}
