//! Events as PassEngine would send them: `{event, timestamp, data}`, signed in its header.

use domain::{Event, EventKind, Facts, Lifecycle, Pass, Target, Timestamp};
use serde_json::{Value, json};

use crate::kit::webhook::{self, Told};
use crate::kit::{self, Owed, Secrets, Sending, signature};

/// Whether PassEngine has a word for it: a pass that is made, scanned or changes its status, and a client that is made.
pub(super) const fn wants(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::PassCreated
            | EventKind::PassScanned
            | EventKind::PassScanRefused
            | EventKind::PassActivated
            | EventKind::PassExpired
            | EventKind::PassRevoked
            | EventKind::ContactCreated
    )
}

fn word(event: &Event) -> Option<&'static str> {
    match event.facts {
        Facts::PassCreated => Some("pass.created"),
        Facts::PassScanned { .. } | Facts::PassScanRefused { .. } => Some("pass.scanned"),
        Facts::PassActivated | Facts::PassExpired | Facts::PassRevoked { .. } => Some("pass.status_changed"),
        Facts::ContactCreated => Some("client.created"),
        _ => None,
    }
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    webhook::render(owed, target, secrets, attempt_at, |owed| {
        let name = word(owed.event)?;
        let message = Told::same(owed, "passengine", || told(owed.event, owed.public_url))?;
        let tag = signature::hex_hmac(&secrets.current, &message.body);
        Some(message.with("x-passengine-signature", tag).with("x-2pass-event", name.to_owned()))
    })
}

/// The body of a webhook that tells an event; nothing where PassEngine has no word for it.
pub fn told(event: &Event, public_url: &str) -> Option<Value> {
    Some(json!({ "event": word(event)?, "timestamp": millis(event.occurred_at), "data": data(event, public_url)? }))
}

/// A time as JavaScript writes it: RFC 3339 with milliseconds.
fn millis(time: Timestamp) -> String {
    let seconds = Timestamp::from_seconds(time.as_seconds()).to_string();
    let milliseconds = time.subsec_nanos() / 1_000_000;
    format!("{}.{milliseconds:03}Z", seconds.trim_end_matches('Z'))
}

fn data(event: &Event, public_url: &str) -> Option<Value> {
    let contact = event.image.contact.as_ref();
    if matches!(event.facts, Facts::ContactCreated) {
        let contact = contact?;
        return Some(json!({
            "id": contact.id.to_string(), "name": contact.name, "email": contact.email, "phone": contact.phone,
            "createdAt": millis(contact.created_at),
        }));
    }
    let pass = event.image.pass.as_ref()?;
    let name =
        contact.and_then(|contact| contact.name.as_deref()).or(event.image.variant.as_ref().map(|variant| variant.name.as_str()));
    let mut data = json!({
        "id": pass.id.to_string(),
        "code": pass.code.to_string(),
        "name": name,
        "type": if pass.uses.limit == Some(1) { "single" } else { "multi" },
        "status": status(pass),
        "usagesCount": pass.uses.count,
        "maxUsages": pass.uses.limit,
        "validFrom": pass.validity.starts_at.map(millis),
        "validUntil": pass.validity.expires_at.map(millis),
        "client": contact.map(|contact| json!({ "name": contact.name, "email": contact.email })),
        "publicUrl": kit::told::page(pass, public_url),
        "createdAt": millis(pass.issued_at),
    });
    match &event.facts {
        Facts::PassScanned { scan, .. } => data["scan"] = scan_object(event, scan, &"accepted"),
        Facts::PassScanRefused { scan, reason } => data["scan"] = scan_object(event, scan, reason),
        Facts::PassActivated => data["previousStatus"] = "revoked".into(),
        Facts::PassExpired => data["previousStatus"] = "active".into(),
        Facts::PassRevoked { .. } => data["previousStatus"] = before(pass, event.occurred_at).into(),
        _ => {}
    }
    Some(data)
}

fn scan_object(event: &Event, scan: &domain::ScanInput, result: &impl serde::Serialize) -> Value {
    json!({ "id": event.id.to_string(), "at": millis(event.occurred_at), "result": result, "scanner": scan.operator, "location": scan.location })
}

/// What a pass was when it was revoked at a time.
fn before(pass: &Pass, at: Timestamp) -> &'static str {
    if pass.validity.expires_at.is_some_and(|end| end <= at) {
        return "expired";
    }
    if pass.uses.limit.is_some_and(|most| pass.uses.count >= most) { "used" } else { "active" }
}

const fn status(pass: &Pass) -> &'static str {
    match pass.lifecycle {
        Lifecycle::Active => "active",
        Lifecycle::Used { .. } => "used",
        Lifecycle::Expired { .. } => "expired",
        // What PassEngine can activate is called revoked there.
        Lifecycle::Inactive | Lifecycle::Revoked { .. } | Lifecycle::Deleted { .. } => "revoked",
    }
}
