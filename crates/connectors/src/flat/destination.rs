//! Events as one level of members, for tools that map fields by clicking: Zapier, Make, n8n, spreadsheets.

use domain::{Event, EventKind, Facts, FieldValue, Target, Timestamp};
use serde_json::{Map, Value, json};

use crate::kit::webhook::{self, Told};
use crate::kit::{Owed, Secrets, Sending, told};

/// Every event has a name.
pub(super) const fn wants(_: EventKind) -> bool {
    true
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    webhook::render(owed, target, secrets, attempt_at, |owed| {
        Told::same(owed, "flat", || Some(flat(owed.event, owed.public_url)))
    })
}

/// Where a member is not known it is left out, so that a tool does not overwrite what it has.
fn flat(event: &Event, public_url: &str) -> Map<String, Value> {
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            out.insert(key.to_owned(), value);
        }
    };
    set("id", event.id.to_string().into());
    set("event", told::name(event).into());
    set("occurred_at", json!(event.occurred_at));
    match &event.facts {
        Facts::PassInstalled { wallet, .. } | Facts::PassUninstalled { wallet, .. } => set("wallet", wallet.name().into()),
        Facts::PassScanned { scan, .. } | Facts::PassScanRefused { scan, .. } => {
            set("scan_operator", json!(scan.operator));
            set("scan_device", json!(scan.device));
            set("scan_location", json!(scan.location));
        }
        _ => {}
    }
    if let Some(pass) = &event.image.pass {
        set("pass_id", pass.id.to_string().into());
        set("pass_external_id", json!(pass.external_id));
        set("pass_serial", pass.serial.clone().into());
        set("pass_status", told::status(pass.status()).into());
        set("pass_state", pass.lifecycle.name().into());
        set("pass_page", told::page(pass, public_url).into());
        set("project_id", pass.project.to_string().into());
        set("project_name", json!(event.image.project.as_ref().map(|project| &project.name)));
        set("variant_id", pass.variant.as_str().into());
        set("variant_name", json!(event.image.variant.as_ref().map(|variant| &variant.name)));
        set("template_id", pass.template.to_string().into());
        set("uses", pass.uses.count.into());
        set("uses_limit", json!(pass.uses.limit));
        set("starts_at", json!(pass.validity.starts_at));
        set("expires_at", json!(pass.validity.expires_at));
        set("issued_at", json!(pass.issued_at));
        set("updated_at", json!(pass.updated_at));
        set("apple_installed", (pass.apple.active > 0).into());
        set("google_installed", (pass.google.active > 0).into());
        for (name, value) in &pass.fields {
            set(&format!("field_{}", plain(name)), scalar(value));
        }
        for (name, amount) in &pass.balances {
            set(&format!("balance_{}", plain(name)), amount.to_string().into());
        }
    }
    if let Some(contact) = &event.image.contact {
        set("contact_id", contact.id.to_string().into());
        set("contact_external_id", json!(contact.external_id));
        set("contact_name", json!(contact.name));
        set("contact_email", json!(contact.email));
        set("contact_phone", json!(contact.phone));
        set("contact_wallet_status", told::wallet_status(contact).into());
        for (name, value) in &contact.traits {
            set(&format!("trait_{}", plain(name)), scalar(value));
        }
    }
    out
}

fn scalar(value: &FieldValue) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// A name without the characters by which such tools take a member apart.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}
