//! Events as JSON in our own words, of which several shapes are made.

use domain::{Contact, Event, Holding, Lifecycle, Pass, Status, Wallet};
use serde_json::{Map, Value, json};

/// `pass.installed`, `contact.created` …
pub(crate) fn name(event: &Event) -> &'static str {
    event.kind().name()
}

/// The facts that only this type of event has.
pub(crate) fn facts(event: &Event) -> Map<String, Value> {
    match serde_json::to_value(&event.facts) {
        Ok(Value::Object(mut facts)) => {
            facts.remove("type");
            facts
        }
        _ => Map::new(),
    }
}

/// Registrations of a pass and how it came there, as The Wallet Crew's hooks tell it: those that are there now and that there ever
/// were, in all wallets; `medium` is `utm_medium`, `tags` the other campaign parameters as `name:value`, `origin` the page that
/// led to the pass.
pub(crate) fn registration(event: &Event) -> Value {
    let Some(pass) = &event.image.pass else { return json!({}) };
    let user_agent = match &event.facts {
        domain::Facts::PassInstalled { sighting, .. } => sighting.user_agent.clone(),
        _ => None,
    };
    let total: u32 = Wallet::ALL.iter().map(|wallet| pass.holding(*wallet).registrations()).sum();
    let active = pass.installations();
    let utm = &pass.origin.utm;
    let tags: Vec<String> =
        utm.iter().filter(|(name, _)| *name != "medium").map(|(name, value)| format!("{name}:{value}")).collect();
    json!({
        "registrationInformation": { "activeRegistrationCount": active, "totalRegistrationCount": total },
        "activeRegistrationCount": active,
        "totalRegistrationCount": total,
        "registrationSource":
            { "tags": tags, "medium": utm.get("medium"), "origin": pass.origin.referrer, "userAgent": user_agent },
    })
}

/// What an event says: facts, and how pass and contact stood after it. The secret part of the pass's address is in it only as
/// its page's address.
pub(crate) fn data(event: &Event, public_url: &str) -> Map<String, Value> {
    let mut data = Map::new();
    let image = &event.image;
    data.insert("facts".to_owned(), facts(event).into());
    if let Some(pass) = &image.pass {
        let mut shown = pass_object(pass, public_url);
        let project = image
            .project
            .as_ref()
            .map(|project| json!({ "id": project.id.to_string(), "name": project.name, "kind": project.kind }));
        let variant = image.variant.as_ref().map(|variant| json!({ "id": pass.variant.as_str(), "name": variant.name }));
        shown.insert("project".to_owned(), project.unwrap_or_else(|| json!({ "id": pass.project.to_string() })));
        shown.insert("variant".to_owned(), variant.unwrap_or_else(|| json!({ "id": pass.variant.as_str() })));
        data.insert("pass".to_owned(), shown.into());
    }
    if let Some(contact) = &image.contact {
        data.insert("contact".to_owned(), contact_object(contact).into());
    }
    data
}

/// The address of a pass's page.
pub(crate) fn page(pass: &Pass, public_url: &str) -> String {
    format!("{}/p/{}", public_url.trim_end_matches('/'), pass.code)
}

/// The name of a status.
pub(crate) const fn status(status: Status) -> &'static str {
    match status {
        Status::Issued => "issued",
        Status::Installed => "installed",
        Status::Uninstalled => "uninstalled",
        Status::Invalidated => "invalidated",
    }
}

fn pass_object(pass: &Pass, public_url: &str) -> Map<String, Value> {
    let reason = match &pass.lifecycle {
        Lifecycle::Revoked { reason, .. } => reason.clone(),
        _ => None,
    };
    let mut wallets = json!({ "apple": holding(&pass.apple), "google": holding(&pass.google) });
    if pass.unknown != Holding::default() {
        wallets["unknown"] = holding(&pass.unknown);
    }
    let shown = json!({
        "id": pass.id.to_string(),
        "external_id": pass.external_id,
        "serial": pass.serial,
        "template": pass.template.to_string(),
        "status": status(pass.status()),
        "state": pass.lifecycle.name(),
        "state_reason": reason,
        "starts_at": pass.validity.starts_at,
        "expires_at": pass.validity.expires_at,
        "uses": pass.uses.count,
        "uses_limit": pass.uses.limit,
        "fields": pass.fields,
        "balances": pass.balances,
        "wallets": wallets,
        "page": page(pass, public_url),
        "version": pass.version,
        "issued_at": pass.issued_at,
        "updated_at": pass.updated_at,
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

fn holding(holding: &Holding) -> Value {
    json!({
        "active": holding.active,
        "first_installed_at": holding.first_installed_at,
        "last_installed_at": holding.last_installed_at,
        "last_uninstalled_at": holding.last_uninstalled_at,
    })
}

fn contact_object(contact: &Contact) -> Map<String, Value> {
    let shown = json!({
        "id": contact.id.to_string(),
        "external_id": contact.external_id,
        "name": contact.name,
        "email": contact.email,
        "phone": contact.phone,
        "traits": contact.traits,
        "wallet_status": wallet_status(contact),
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

/// In which wallets the person has passes: `none`, `apple`, `google`, `both` or `unknown`.
pub(crate) fn wallet_status(contact: &Contact) -> &'static str {
    contact.wallet_status().name()
}
