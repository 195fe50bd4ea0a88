//! What the engine reads and writes: the states that a batch of commands touches, and what becomes of them.

mod commit;
mod load;
mod read;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use domain::{
    Answer, Contact, ContactId, ContactRef, Event, IdempotencyKey, Installation, OrgId, Pass, PassId, PassRef, ProjectId,
    Timestamp, Wallet, normalise_email,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use load::open_installation;

use crate::{DataKey, StoreError, error::Result};

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
    /// External ids that passes gave up meanwhile: free for others once that is written.
    released: HashSet<(OrgId, ProjectId, String)>,
    /// The first of those who have each name.
    names: HashMap<(OrgId, ContactRef), ContactId>,
    /// Addresses whose first gave them up meanwhile: only the store knows who is next.
    unsettled: HashSet<(OrgId, ContactRef)>,
    /// Contacts that came to have their address.
    joined: HashMap<(OrgId, ContactId), Joined>,
    turns: usize,
    data_keys: HashMap<(OrgId, Uuid), Arc<DataKey>>,
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
    /// Projects that passes were issued into, which must not have been removed meanwhile.
    pub issued_into: Vec<(OrgId, ProjectId)>,
    /// Contacts that passes came to be of, which must not have changed meanwhile.
    pub holders: Vec<(OrgId, ContactId)>,
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
        self.data_keys.get(&(org, subject)).map(Arc::as_ref)
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
        let found_by = |pass: &Pass| pass.external_id.clone().filter(|_| !pass.lifecycle.is_deleted());
        let before = self.passes.get(&(org, pass.id)).and_then(|held| found_by(&held.value));
        let after = found_by(&pass);
        if before != after {
            if let Some(external_id) = before {
                let named = (org, pass.project, external_id);
                self.externals.remove(&named);
                self.released.insert(named);
            }
            if let Some(external_id) = after {
                self.externals.insert((org, pass.project, external_id), pass.id);
            }
        }
        match self.passes.get_mut(&(org, pass.id)) {
            Some(held) => held.value = pass,
            None => {
                self.passes.insert((org, pass.id), Held { value: pass, stored_version: None });
            }
        }
    }

    /// Whether what is asked for cannot be told before what was decided so far is written: whoever was found by an address, or
    /// the pass that was found by an external id, has it no more.
    pub fn is_unsettled(&self, org: OrgId, touch: &Touch) -> bool {
        let is_released = |pass: &PassRef| match pass {
            PassRef::External { project, external_id } => self.released.contains(&(org, *project, external_id.clone())),
            _ => false,
        };
        if !self.released.is_empty() && touch.passes.iter().any(is_released) {
            return true;
        }
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
