//! What a service that holds a state is told: the contacts as they are now, whatever they were at the event.

use std::collections::HashMap;

use connectors::{catalog::Destination, kit::Outcome};
use domain::{Contact, ContactId, Event, EventKind};
use store::{Hash, StoreError};

use super::{
    super::{record, send::Delivery, targets::Ready},
    batch::Came,
};
use crate::shard::House;

/// The events with their contacts as they are now, where the destination holds a state.
pub(super) struct Present {
    pub(super) events: Vec<Event>,
    /// What is told of each event's contact, where it is told of one.
    states: Vec<Option<(ContactId, Hash)>>,
    /// Events that there is nothing to tell of.
    nothing: Vec<bool>,
}

impl Present {
    /// Reads the contacts of these deliveries as they are now.
    pub(super) async fn read(
        house: &House,
        to: &Ready,
        destination: &Destination,
        deliveries: &[Delivery],
    ) -> Result<Self, StoreError> {
        let mut events: Vec<Event> = deliveries.iter().map(|delivery| (*delivery.event).clone()).collect();
        let mut states = vec![None; events.len()];
        let mut nothing = vec![false; events.len()];
        let Some(state) = destination.vendor.and_then(|vendor| vendor.state) else { return Ok(Self { events, states, nothing }) };
        let (org, target) = (to.org, to.target());
        let told = |event: &Event| {
            let kind = event.kind();
            let is_told =
                matches!(kind, EventKind::ContactCreated | EventKind::ContactUpdated | EventKind::ContactWalletStatusChanged);
            event.image.contact.as_ref().map(|contact| contact.id).filter(|_| is_told)
        };
        let mut ids: Vec<ContactId> = events.iter().filter_map(told).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut contacts: HashMap<ContactId, Contact> = house.store.contacts_of(org, &ids).await?;
        contacts.retain(|_, contact| contact.erased_at.is_none());
        record::together(house, to, contacts.values_mut()).await?;
        let synced = house.store.synced(org, target.id, &ids).await?;
        for (number, event) in events.iter_mut().enumerate() {
            let Some(id) = told(event) else { continue };
            let Some(contact) = contacts.get(&id) else {
                nothing[number] = true;
                continue;
            };
            event.image.contact = Some(contact.clone());
            if let Ok(state) = state(contact, target) {
                let hash = record::hash(house, org, target, &state)?;
                // A change of the contact matters where it changes what is told of it.
                nothing[number] = event.kind() == EventKind::ContactUpdated && synced.get(&id) == Some(&hash);
                states[number] = Some((id, hash));
            }
        }
        Ok(Self { events, states, nothing })
    }

    /// The events that there is something to tell of.
    pub(super) fn wanted(&self) -> Vec<usize> {
        (0..self.events.len()).filter(|number| !self.nothing[*number]).collect()
    }

    /// Notes what the destination holds now; of what it did not take for certain it is not known.
    pub(super) async fn note(&self, house: &House, to: &Ready, came: &[Came]) -> Result<(), StoreError> {
        let mut told: HashMap<ContactId, Option<Hash>> = HashMap::new();
        for (state, came) in self.states.iter().zip(came.iter()) {
            let (Some((contact, hash)), Came::Tried(trial)) = (state, came) else { continue };
            told.insert(*contact, (trial.outcome == Outcome::Delivered).then_some(*hash));
        }
        house.store.note_synced(to.org, to.target().id, told).await
    }
}
