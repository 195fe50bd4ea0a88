//! Events as The Wallet Crew would send them, in the members of its documented event table.

use domain::{Contact, Event, EventKind, Facts, Pass, ProjectKind, Target, Timestamp, Wallet};
use serde_json::{Map, Value, json};

use crate::kit::webhook::{self, Told};
use crate::kit::{Owed, Secrets, Sending, settings, signature, told};

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
            | EventKind::ContactCreated
            | EventKind::ContactUpdated
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
        Facts::ContactCreated => Some("Customer:Created"),
        Facts::ContactUpdated => Some("Customer:Updated"),
        _ => None,
    }
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    let base64 = settings::text(&target.settings, "signature_encoding") == Some("base64");
    webhook::render(owed, target, secrets, attempt_at, |owed| {
        let (event, name) = (owed.event, word(owed.event)?);
        let body = || {
            let properties = properties(event)?;
            Some(json!({
                "id": event.id.to_string(),
                "timestamp": event.occurred_at,
                "tenantId": event.org.to_string(),
                "eventType": name,
                "operationId": event.id.to_string(),
                "properties": properties,
            }))
        };
        let message = Told::same(owed, "walletcrew", body)?;
        let sign = if base64 { signature::base64_hmac } else { signature::hex_hmac };
        let tag = sign(&secrets.current, &message.body);
        Some(message.with("x-neostore-signature", tag))
    })
}

/// What is told of a customer: identifiers, and what else is known as metadata.
fn customer(contact: &Contact) -> Value {
    let mut metadata: Map<String, Value> =
        contact.traits.iter().map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default())).collect();
    for (name, value) in [("name", &contact.name), ("phone", &contact.phone)] {
        metadata.extend(value.clone().map(|value| (name.to_owned(), value.into())));
    }
    metadata.insert("walletStatus".to_owned(), contact.wallet_status().name().into());
    json!({ "customerId": contact.id.to_string(), "identifiers": identifiers(None, Some(contact)), "metadata": metadata })
}

fn identifiers(pass: Option<&Pass>, contact: Option<&Contact>) -> Map<String, Value> {
    let mut identifiers = Map::new();
    let known = [
        ("passId", pass.and_then(|pass| pass.external_id.as_ref())),
        ("customerId", contact.and_then(|contact| contact.external_id.as_ref())),
        ("email", contact.and_then(|contact| contact.email.as_ref())),
    ];
    for (name, value) in known {
        if let Some(value) = value {
            identifiers.insert(name.to_owned(), value.clone().into());
        }
    }
    identifiers
}

fn properties(event: &Event) -> Option<Value> {
    let contact = event.image.contact.as_ref();
    if matches!(event.facts, Facts::ContactCreated | Facts::ContactUpdated) {
        return contact.map(customer);
    }
    let pass = event.image.pass.as_ref()?;
    let mut metadata: Map<String, Value> =
        pass.fields.iter().map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default())).collect();
    metadata.extend(pass.balances.iter().map(|(name, amount)| (name.clone(), amount.to_string().into())));
    metadata.insert("state".to_owned(), pass.lifecycle.name().into());
    let device = match &event.facts {
        Facts::PassInstalled { wallet: Wallet::Unknown, .. } | Facts::PassUninstalled { wallet: Wallet::Unknown, .. } => None,
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
        "identifiers": identifiers(Some(pass), contact),
        "metadata": metadata,
        "device": device,
        "additionalInformation": device.map_or_else(|| json!({}), |_| told::registration(event)),
    }))
}
