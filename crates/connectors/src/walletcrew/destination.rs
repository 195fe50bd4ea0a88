//! Events as The Wallet Crew would send them, in the members of its documented event table.

use domain::{Event, EventKind, Facts, ProjectKind, Target, Timestamp};
use serde_json::{Map, Value, json};

use crate::kit::webhook::{self, Told};
use crate::kit::{Owed, Secrets, Sending, settings, signature};

/// Whether The Wallet Crew has a word for it.
pub(super) const fn wants(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::PassCreated
            | EventKind::PassUpdated
            | EventKind::PassActivated
            | EventKind::PassExpired
            | EventKind::PassRevoked
            | EventKind::PassDeleted
            | EventKind::PassInstalled
            | EventKind::PassUninstalled
            | EventKind::PassScanned
    )
}

fn word(event: &Event) -> Option<&'static str> {
    match event.facts {
        Facts::PassCreated => Some("Pass:Created"),
        Facts::PassUpdated { .. }
        | Facts::PassActivated
        | Facts::PassExpired
        | Facts::PassRevoked { .. }
        | Facts::PassDeleted => Some("Pass:Updated"),
        Facts::PassInstalled { .. } => Some("Pass:Installed"),
        Facts::PassUninstalled { .. } => Some("Pass:Uninstalled"),
        Facts::PassScanned { .. } => Some("Pass:Scanned"),
        _ => None,
    }
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    let base64 = settings::text(&target.settings, "signature_encoding") == Some("base64");
    webhook::render(owed, target, secrets, attempt_at, |owed| {
        let (event, name) = (owed.event, word(owed.event)?);
        let message = Told::json(&json!({
            "id": event.id.to_string(),
            "timestamp": event.occurred_at,
            "tenantId": event.org.to_string(),
            "eventType": name,
            "operationId": event.id.to_string(),
            "properties": properties(event)?,
        }))?;
        let sign = if base64 { signature::base64_hmac } else { signature::hex_hmac };
        let tag = sign(&secrets.current, &message.body);
        Some(message.with("x-neostore-signature", tag))
    })
}

fn properties(event: &Event) -> Option<Value> {
    let pass = event.image.pass.as_ref()?;
    let contact = event.image.contact.as_ref();
    let mut identifiers = Map::new();
    let known = [
        ("passId", pass.external_id.as_ref()),
        ("customerId", contact.and_then(|contact| contact.external_id.as_ref())),
        ("email", contact.and_then(|contact| contact.email.as_ref())),
    ];
    for (name, value) in known {
        if let Some(value) = value {
            identifiers.insert(name.to_owned(), value.clone().into());
        }
    }
    let mut metadata: Map<String, Value> =
        pass.fields.iter().map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default())).collect();
    metadata.extend(pass.balances.iter().map(|(name, amount)| (name.clone(), amount.to_string().into())));
    metadata.insert("state".to_owned(), pass.lifecycle.name().into());
    let device = match &event.facts {
        Facts::PassInstalled { wallet, .. } | Facts::PassUninstalled { wallet, .. } => Some(wallet.name()),
        _ => None,
    };
    let kind = event.image.project.as_ref().map_or(ProjectKind::Generic, |project| project.kind);
    let kind = match kind {
        ProjectKind::Membership => "customerCard",
        ProjectKind::EventTicket => "eventTicket",
        ProjectKind::GiftCard => "giftCard",
        ProjectKind::Coupon => "offer",
        ProjectKind::BoardingPass | ProjectKind::Transit | ProjectKind::Generic => "generic",
    };
    Some(json!({
        "passId": pass.id.to_string(),
        "passType": pass.variant.as_str(),
        "passKind": kind,
        "identifiers": identifiers,
        "metadata": metadata,
        "device": device,
        "additionalInformation": {},
    }))
}
