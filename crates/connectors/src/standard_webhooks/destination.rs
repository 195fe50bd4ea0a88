//! Events in the body that Standard Webhooks advises: `{type, timestamp, data}`.

use domain::{EventKind, Target, Timestamp};
use serde_json::json;

use crate::kit::webhook::{self, Told};
use crate::kit::{Owed, Secrets, Sending, told};

/// Every event has a name.
pub(super) const fn wants(_: EventKind) -> bool {
    true
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    webhook::render(owed, target, secrets, attempt_at, |owed| {
        let event = owed.event;
        let data = || told::data(event, owed.public_url);
        let body = || json!({ "type": told::name(event), "timestamp": event.occurred_at, "data": data() });
        Told::same(owed, "standard-webhooks", || Some(body()))
    })
}
