//! Which of an object's values notify their holder when they change: those of fields with a change message that have a slot of
//! their own among the ones Google notifies of.
//!
//! Google keeps a list of them for each vertical and none for generic passes; a text among the modules never notifies.
//! Public source: <https://developers.google.com/wallet/retail/loyalty-cards/use-cases/trigger-push-notifications>.

use domain::Design;
use google_wallet::{Object, Vertical};
use serde_json::{Map, Value};

use super::slots::{Slot, Slotted, slots};
use crate::PassView;

/// Fields of a pass that have a place in an object's own parts.
const EVENT: [&str; 4] = ["seat", "row", "section", "gate"];
const FLIGHT: [&str; 2] = ["seat", "boarding_group"];
const TRANSIT: [&str; 3] = ["origin", "destination", "departure"];

/// The values of an object whose change notifies; none where the design announces no such change.
#[must_use]
pub fn google_notice(view: &PassView<'_>, object: &Object) -> Option<Map<String, Value>> {
    if view.is_blank() {
        return None;
    }
    let value = serde_json::to_value(object).ok()?;
    let keys = noticed(object.vertical(), &view.template.design).into_iter().flatten();
    let noticed: Map<String, Value> = keys.filter_map(|key| Some((key.to_owned(), value.get(key)?.clone()))).collect();
    (!noticed.is_empty()).then_some(noticed)
}

/// Of each field of a design, the part of the object whose change notifies, where the field announces it.
pub(crate) fn noticed(vertical: Vertical, design: &Design) -> Vec<Option<&'static str>> {
    let part_of = |slotted: &Slotted<'_>| match slotted.slot {
        _ if slotted.field.change_message.is_none() => None,
        Slot::Points => Some("loyaltyPoints"),
        Slot::SecondPoints => Some("secondaryLoyaltyPoints"),
        Slot::Balance => Some("balance"),
        Slot::Header => None,
        Slot::Text => part(vertical, slotted.field.value.sole_name()?.strip_prefix("fields.")?),
    };
    slots(vertical, design).iter().map(part_of).collect()
}

fn part(vertical: Vertical, field: &str) -> Option<&'static str> {
    match vertical {
        Vertical::EventTicket if EVENT.contains(&field) => Some("seatInfo"),
        Vertical::Flight if FLIGHT.contains(&field) => Some("boardingAndSeatingInfo"),
        Vertical::Transit if TRANSIT.contains(&field) => Some("ticketLeg"),
        _ => None,
    }
}
