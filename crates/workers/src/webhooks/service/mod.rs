//! A batch of deliveries to a service with an account: rendered together within its limits, sent, judged, taken apart.
//!
//! A service that holds a state of each contact is always told the present one, read here, whatever it was at the event: so a
//! repetition that comes late never overwrites what is newer. What it took is noted before the deliveries are settled, so that
//! what is noted was taken for certain.

mod batch;
mod held;
mod present;

use std::{sync::Arc, time::Duration};

use connectors::{catalog::Destination, kit::Outcome};
use domain::{DeliveryId, Event, EventKind, OrgId, Timestamp};
use outbound::http::Client;
use store::{StoreError, Stored, StoredTarget};

pub(crate) use held::held;

use super::{
    code,
    health::last_taken,
    lane::Lane,
    made::{self, Body},
    send::{Attempted, Delivery, Then, Tried},
    targets::Ready,
};
use crate::shard::House;
use batch::{Batch, Came, Trial};
use present::Present;

/// Bytes of an answer that are read: one line for each of a few hundred records.
const READ_BODY: usize = 1 << 20;

/// One attempt at each of the deliveries, all to the same target.
pub(super) async fn send(house: &Arc<House>, lane: &Lane, deliveries: &[Delivery]) -> Vec<Attempted> {
    let Some(first) = deliveries.first() else { return Vec::new() };
    let at = house.now();
    let all = |why: &dyn Fn(&Delivery) -> Attempted| deliveries.iter().map(why).collect();
    let catalog = house.store.catalog();
    let org = first.event.org;
    let stored = catalog.org(org).and_then(|config| config.targets.get(&first.to.target().id.uuid()));
    let Some(stored) = stored.filter(|stored| stored.value.target.enabled) else {
        return all(&|delivery| delivery.expire(house, "the target was switched off"));
    };
    let to = house.dispatcher.targets.ready(house, org, stored);
    let unsent = |why: String| all(&|delivery| delivery.conclude(house, at, &Tried::unsent(why.clone())));
    let (secrets, client) = match to.usable() {
        Ok((secrets, way)) => (secrets.clone(), &way.client),
        Err(why) => return unsent(why),
    };
    let destination = match to.known() {
        Ok((_, destination)) => destination,
        Err(why) => return unsent(why),
    };
    match held_until(house, &to, destination, deliveries).await {
        Ok(None) => {}
        Ok(Some(due)) => {
            return all(&|delivery| Attempted { row: None, then: Then::Again(delivery.row(delivery.attempts, due)) });
        }
        Err(error) => return unsent(format!("it could not be asked when the last one was sent: {error}")),
    }
    if let Some(call) = destination.vendor.and_then(|vendor| vendor.call) {
        return code::run(house, lane, &to, secrets.credentials, client, call, deliveries).await;
    }
    let present = match Present::read(house, &to, destination, deliveries).await {
        Ok(present) => present,
        Err(error) => return unsent(format!("the contacts could not be read: {error}")),
    };
    let made = match bodies(house, destination, client, deliveries).await {
        Ok(made) => made,
        Err(why) => return unsent(why),
    };
    let ids = deliveries.iter().map(|delivery| delivery.id).collect();
    let mut batch = match Batch::new(house, lane, &to, (&present.events, ids)) {
        Ok(batch) => batch,
        Err(why) => return unsent(why),
    };
    batch.made = made;
    let came = batch.run(present.wanted()).await;
    if let Err(error) = present.note(house, &to, &came).await {
        return unsent(format!("what was taken could not be noted: {error}"));
    }
    let concluded = deliveries.iter().zip(came).enumerate();
    concluded.map(|(number, (delivery, came))| batch.conclude(delivery, number, came, at)).collect()
}

/// The bodies that the target's owner makes, of services that take such.
async fn bodies(
    house: &Arc<House>,
    destination: &Destination,
    client: &Client,
    deliveries: &[Delivery],
) -> Result<Vec<Body>, String> {
    if destination.vendor.is_none_or(|vendor| vendor.around.is_none()) {
        return Ok(Vec::new());
    }
    let mut bodies = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        bodies.push(made::body(house, delivery, client).await?);
    }
    Ok(bodies)
}

/// Until when alerts are held back because one was sent a short while ago, by whichever node. A test is not.
async fn held_until(
    house: &House,
    to: &Ready,
    destination: &Destination,
    deliveries: &[Delivery],
) -> Result<Option<Timestamp>, StoreError> {
    let Some(every) = destination.vendor.and_then(|vendor| vendor.alerts_every) else { return Ok(None) };
    if deliveries.iter().any(|delivery| delivery.event.kind() == EventKind::WebhookTested) {
        return Ok(None);
    }
    let until = last_taken(house, to).await?.map(|last| last.plus(every(to.target())));
    Ok(until.filter(|until| *until > house.now()))
}

/// What a service did with a contact that it was told of beside its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It took it.
    Yes,
    /// It never will; why.
    Never(String),
    /// It did not; why, and when it wants to be asked again.
    NotNow(String, Option<Duration>),
}

/// A target as the configuration has it, with its credentials opened.
pub(crate) fn opened(house: &House, org: OrgId, stored: &Stored<StoredTarget>) -> Arc<Ready> {
    house.dispatcher.targets.ready(house, org, stored)
}

/// Tells a service of the contacts in these events, at its pace.
pub(crate) async fn tell(house: &Arc<House>, to: &Ready, events: &[Event]) -> Vec<Taken> {
    let not_now = |why: &str| vec![Taken::NotNow(why.to_owned(), None); events.len()];
    let lane = house.dispatcher.lane(to.target());
    let ids = events.iter().map(|event| DeliveryId::of(event.id.uuid(), to.target().id.uuid())).collect();
    let mut batch = match Batch::new(house, &lane, to, (events, ids)) {
        Ok(batch) => batch,
        Err(why) => return not_now(&why),
    };
    let came = batch.run((0..events.len()).collect()).await;
    let taken = |came| {
        let Came::Tried(trial) = came else { return Taken::Never("there is nothing to tell".to_owned()) };
        let Trial { outcome, error, .. } = *trial;
        match outcome {
            Outcome::Delivered => Taken::Yes,
            Outcome::Reject { reason, .. } | Outcome::Disable { reason } => Taken::Never(reason),
            Outcome::Retry { after } => Taken::NotNow(error.unwrap_or_default(), after),
        }
    };
    came.into_iter().map(taken).collect()
}
