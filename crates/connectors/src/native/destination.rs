//! Events in our own shape: `{id, type, occurred_at, recorded_at, version, data}`.

use domain::{EventKind, Target, Timestamp};
use serde_json::json;

use crate::kit::webhook::{self, Told};
use crate::kit::{Owed, Secrets, Sending, told};

/// Every event has a name of ours.
pub(super) const fn wants(_: EventKind) -> bool {
    true
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    webhook::render(owed, target, secrets, attempt_at, |owed| {
        let event = owed.event;
        Told::json(&json!({
            "id": event.id.to_string(),
            "type": told::name(event),
            "occurred_at": event.occurred_at,
            "recorded_at": event.recorded_at,
            "version": event.version,
            "data": told::data(event, owed.public_url),
        }))
    })
}
