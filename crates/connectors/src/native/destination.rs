//! Events in our own shape: `{id, type, occurred_at, recorded_at, version, data}`.

use domain::{Event, EventKind, Target, Timestamp};
use serde_json::{Value, json};

use crate::kit::webhook::{self, Told};
use crate::kit::{Owed, Secrets, Sending, told};

/// Every event has a name of ours.
pub(super) const fn wants(_: EventKind) -> bool {
    true
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    webhook::render(owed, target, secrets, attempt_at, |owed| {
        Told::same(owed, "native", || Some(body(owed.event, owed.public_url)))
    })
}

/// An event in our own shape.
pub fn body(event: &Event, public_url: &str) -> Value {
    json!({
        "id": event.id.to_string(),
        "type": told::name(event),
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "version": event.version,
        "data": told::data(event, public_url),
    })
}

/// An event as conditions and payloads see it: our own shape, whose words Segment's query language knows by other names too:
/// `event` is the type, `properties` are the data, `traits` what the contact is known by, `userId` the contact's external id.
pub fn view(event: &Event, public_url: &str) -> Value {
    with_other_names(body(event, public_url))
}

/// [`view`] of a pass that was installed, to try things on.
pub fn sample() -> Value {
    with_other_names(serde_json::from_str(include_str!("sample.json")).unwrap_or_default())
}

fn with_other_names(mut event: Value) -> Value {
    event["event"] = event["type"].clone();
    event["properties"] = event["data"].clone();
    let contact = &event["data"]["contact"];
    let mut traits = contact["traits"].clone();
    if contact.is_object() {
        for name in ["name", "email", "phone"].into_iter().filter(|name| !contact[name].is_null()) {
            traits[name] = contact[name].clone();
        }
    }
    let user = contact["external_id"].clone();
    event["traits"] = traits;
    event["userId"] = user;
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_the_words_that_conditions_know() {
        let sample = sample();
        assert_eq!((&sample["event"], &sample["properties"]["pass"]["state"]), (&json!("pass.installed"), &json!("active")));
        assert_eq!((&sample["userId"], &sample["traits"]["email"]), (&json!("member-1"), &json!("ada@example.com")));
        assert_eq!(sample["traits"]["tier"], "gold");
        assert!(with_other_names(json!({"type": "scan.unknown", "data": {}}))["traits"].is_null());
    }
}
