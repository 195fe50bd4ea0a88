//! Events as CloudEvents 1.0, in structured or in binary mode.

use std::fmt::Write as _;

use domain::{Event, EventKind, Target, Timestamp};
use http::HeaderName;
use serde_json::{Map, Value, json};

use crate::kit::webhook::{self, Told};
use crate::kit::{Owed, Secrets, Sending, settings, told};

/// Every event has a name.
pub(super) const fn wants(_: EventKind) -> bool {
    true
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    let binary = settings::text(&target.settings, "mode") == Some("binary");
    webhook::render(owed, target, secrets, attempt_at, |owed| {
        if binary {
            let mut message = Told::same(owed, "cloudevents binary", || Some(told::data(owed.event, owed.public_url)))?;
            for (name, value) in attributes(owed.event) {
                let name = HeaderName::try_from(format!("ce-{name}")).ok()?;
                message.headers.push((name, quoted(value.as_str().unwrap_or_default())));
            }
            return Some(message);
        }
        Told::same(owed, "cloudevents", || Some(whole(owed)))
            .map(|message| Told { media: "application/cloudevents+json", ..message })
    })
}

/// An event in structured mode.
pub(crate) fn whole(owed: &Owed<'_>) -> Value {
    let mut whole = attributes(owed.event);
    whole.insert("datacontenttype".to_owned(), "application/json".into());
    whole.insert("data".to_owned(), told::data(owed.event, owed.public_url).into());
    whole.into()
}

/// The attributes, and the extension `partitionkey`, by which events of one pass stay in order.
pub(crate) fn attributes(event: &Event) -> Map<String, Value> {
    let subject = event.pass.map(|id| id.to_string()).or_else(|| event.contact.map(|id| id.to_string()));
    let project = event.project.map(|id| format!("/projects/{id}")).unwrap_or_default();
    let all = json!({
        "specversion": "1.0",
        "id": event.id.to_string(),
        "source": format!("/organizations/{}{project}", event.org),
        "type": format!("io.passbridge.{}.v1", told::name(event)),
        "time": event.occurred_at,
    });
    let mut all = if let Value::Object(all) = all { all } else { Map::new() };
    if let Some(subject) = subject {
        all.insert("subject".to_owned(), subject.clone().into());
        all.insert("partitionkey".to_owned(), subject.into());
    }
    all
}

/// A value as the binding wants it in a header: what is not printable ASCII, a blank, `"` or `%` percent-encoded.
fn quoted(value: &str) -> String {
    value.bytes().fold(String::with_capacity(value.len()), |mut out, byte| {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_percent_encoded() {
        assert_eq!(quoted("Euro € 100%\""), "Euro%20%E2%82%AC%20100%25%22");
    }
}
