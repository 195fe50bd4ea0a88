//! What a batch of commands looked at and decided about: batches that share nothing of it decide the same in either order.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use domain::{ContactId, ContactRef, OrgId, PassId, PassRef, ProjectId, normalise_email};
use store::{States, Touch};

/// Passes, people, their names and idempotency keys, as hashes: two that meet by chance make batches wait for each other in
/// vain, and nothing worse.
#[derive(Debug, Default)]
pub(crate) struct Footprint(HashSet<u64>);

/// One thing of which a batch may depend on another's.
#[derive(Hash)]
enum Mark<'m> {
    Pass(PassId),
    External(ProjectId, &'m str),
    Contact(ContactId),
    ContactExternal(&'m str),
    Email(&'m str),
    Key(&'m str, &'m str),
}

impl Footprint {
    /// Of commands that ask for this.
    pub(crate) fn of<'t>(touches: impl IntoIterator<Item = &'t (OrgId, Touch)>) -> Self {
        let mut footprint = Self::default();
        for (org, touch) in touches {
            footprint.touch(*org, touch);
        }
        footprint
    }

    /// And of these states: as they were loaded, which have the names that are given up, and as they were decided.
    pub(crate) fn add(&mut self, states: &States) {
        for ((org, id), held) in &states.passes {
            let pass = &held.value;
            self.mark(*org, &Mark::Pass(*id));
            if let Some(external_id) = &pass.external_id {
                self.mark(*org, &Mark::External(pass.project, external_id));
            }
            pass.contact.into_iter().for_each(|contact| self.mark(*org, &Mark::Contact(contact)));
        }
        for ((org, id), held) in &states.contacts {
            self.mark(*org, &Mark::Contact(*id));
            held.value.external_id.iter().for_each(|name| self.mark(*org, &Mark::ContactExternal(name)));
            held.value.email.iter().for_each(|email| self.email(*org, email));
        }
    }

    pub(crate) fn is_disjoint(&self, other: &Self) -> bool {
        self.0.is_disjoint(&other.0)
    }

    fn touch(&mut self, org: OrgId, touch: &Touch) {
        for pass in &touch.passes {
            match pass {
                PassRef::Id(id) => self.mark(org, &Mark::Pass(*id)),
                PassRef::External { project, external_id } => self.mark(org, &Mark::External(*project, external_id)),
                PassRef::OfContact { contact, .. } => self.contact(org, contact),
            }
        }
        for contact in touch.contacts.iter().chain(&touch.everything_of) {
            self.contact(org, contact);
        }
        touch.installations.iter().for_each(|(pass, ..)| self.mark(org, &Mark::Pass(*pass)));
        touch.key.iter().for_each(|key| self.mark(org, &Mark::Key(&key.principal, &key.key)));
    }

    fn contact(&mut self, org: OrgId, contact: &ContactRef) {
        match contact {
            ContactRef::Id(id) => self.mark(org, &Mark::Contact(*id)),
            ContactRef::External(name) => self.mark(org, &Mark::ContactExternal(name)),
            ContactRef::Email(email) => self.email(org, email),
        }
    }

    fn email(&mut self, org: OrgId, email: &str) {
        self.mark(org, &Mark::Email(&normalise_email(email)));
    }

    fn mark(&mut self, org: OrgId, mark: &Mark<'_>) {
        let mut hasher = DefaultHasher::new();
        (org, mark).hash(&mut hasher);
        self.0.insert(hasher.finish());
    }
}

#[cfg(test)]
mod tests {
    use domain::{Contact, IdempotencyKey, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn org(number: u128) -> OrgId {
        OrgId::from_uuid(Uuid::from_u128(number))
    }

    fn of(touch: Touch) -> Footprint {
        Footprint::of(&[(org(1), touch)])
    }

    fn passes(passes: &[PassRef]) -> Footprint {
        of(Touch { passes: passes.to_vec(), ..Touch::default() })
    }

    fn people(contact: ContactRef) -> Footprint {
        of(Touch { everything_of: vec![contact], ..Touch::default() })
    }

    fn keyed(principal: &str, key: &str) -> Footprint {
        let key =
            IdempotencyKey { principal: principal.to_owned(), key: key.to_owned(), fingerprint: [0; 32], keep_image: false };
        of(Touch { key: Some(key), ..Touch::default() })
    }

    #[test]
    fn who_asks_for_the_same_in_other_words_is_not_apart() {
        let (id, project) = (PassId::from_uuid(Uuid::from_u128(1)), ProjectId::from_uuid(Uuid::from_u128(2)));
        let external = |name: &str| PassRef::External { project, external_id: name.to_owned() };
        let email = |email: &str| ContactRef::Email(email.to_owned());
        assert!(!passes(&[PassRef::Id(id), external("a")]).is_disjoint(&passes(&[external("a")])));
        assert!(passes(&[external("a")]).is_disjoint(&passes(&[external("b")])));
        let held = PassRef::OfContact { project, contact: email("Ada@Example.com") };
        assert!(!passes(&[held]).is_disjoint(&people(email(" ada@example.com"))));
        assert!(people(email("a")).is_disjoint(&people(ContactRef::External("a".to_owned()))));
        assert!(!keyed("p", "k").is_disjoint(&keyed("p", "k")));
        assert!(keyed("p", "k").is_disjoint(&keyed("pk", "")));
        let installed = Touch { installations: vec![(id, domain::Wallet::Apple, "phone".to_owned())], ..Touch::default() };
        assert!(!of(installed).is_disjoint(&passes(&[PassRef::Id(id)])));
    }

    #[test]
    fn organizations_have_nothing_in_common() {
        let touch = || Touch { contacts: vec![ContactRef::External("a".to_owned())], ..Touch::default() };
        assert!(Footprint::of(&[(org(1), touch())]).is_disjoint(&Footprint::of(&[(org(2), touch())])));
    }

    #[test]
    fn a_name_that_is_given_up_is_not_apart_from_who_asks_for_it() {
        let id = ContactId::from_uuid(Uuid::from_u128(1));
        let called = |email: &str| {
            let contact = Contact { email: Some(email.to_owned()), ..Contact::new(id, Timestamp::from_micros(0)) };
            let mut states = States::default();
            states.put_contact(org(1), contact);
            states
        };
        let mut renamed = Footprint::default();
        renamed.add(&called("before@example.com"));
        renamed.add(&called("after@example.com"));
        for email in ["before@example.com", "after@example.com"] {
            assert!(!renamed.is_disjoint(&people(ContactRef::Email(email.to_owned()))), "{email}");
        }
        assert!(renamed.is_disjoint(&people(ContactRef::Email("other@example.com".to_owned()))));
    }
}
