//! Which of an object's values notify their holder when they change: those of fields with a change message that have a slot of
//! their own among the ones Google notifies of. Of a flight, gates and times stand in the class: they notify all who hold a pass
//! for it.
//!
//! Google keeps a list of them for each vertical and none for generic passes; a text among the modules never notifies.
//! Public source: <https://developers.google.com/wallet/retail/loyalty-cards/use-cases/trigger-push-notifications>.

use domain::{Design, DesignField};
use google_wallet::{Class, Object, Vertical};
use serde_json::{Map, Value, json};

use super::facts::{OF_FLIGHT, names, tag};
use super::slots::{Slot, Slotted, slots};
use crate::PassView;

/// Fields of a pass that have a place in an object's own parts.
const EVENT: [&str; 4] = ["seat", "row", "section", "gate"];
const FLIGHT: [&str; 2] = ["seat", "boarding_group"];
const TRANSIT: [&str; 3] = ["origin", "destination", "departure"];

/// The values of a flight's class whose change notifies, those that it has none of as null; none where the design announces no
/// such change, by a field with a change message that shows the same.
#[must_use]
pub fn google_class_notice(design: &Design, class: &Class) -> Option<Map<String, Value>> {
    let value = serde_json::to_value(class).ok()?;
    let mut noticed = json!({});
    let announced = |tags: &[&str]| design.fields.iter().any(|field| tells_of(field, design, tags));
    for shared in OF_FLIGHT.iter().filter(|shared| shared.notifies && announced(shared.tags)) {
        let place = shared.place;
        let told = place.iter().try_fold(&value, |value, key| value.get(key)).cloned().unwrap_or_default();
        match place {
            [part, key] => noticed[*part][*key] = told,
            _ => noticed[place[0]] = told,
        }
    }
    match noticed {
        Value::Object(noticed) if !noticed.is_empty() => Some(noticed),
        _ => None,
    }
}

/// Whether a field announces a change of what all passes of a flight share.
pub(crate) fn tells_of_flight(field: &DesignField, design: &Design) -> bool {
    OF_FLIGHT.iter().any(|shared| shared.notifies && tells_of(field, design, shared.tags))
}

/// Whether a field with a change message shows what one of these tags says.
fn tells_of(field: &DesignField, design: &Design, tags: &[&str]) -> bool {
    let names: Vec<String> = tags.iter().filter_map(|name| tag(design, name)).flat_map(names).collect();
    field.change_message.is_some() && field.value.names().any(|name| names.iter().any(|it| it == name))
}

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
