//! Events as PassSlot would send them: `{id, type, created, data}`, signed with HMAC-SHA1.

use domain::{Event, EventKind, Facts, Pass, Target, Timestamp, VisitKind, Wallet};
use serde_json::{Map, Value, json};

use crate::kit::webhook::{self, Told};
use crate::kit::{Owed, Secrets, Sending, settings, signature, told};

/// Whether PassSlot has a word for it.
pub(super) const fn wants(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::PassCreated
            | EventKind::PassUpdated
            | EventKind::PassActivated
            | EventKind::PassExpired
            | EventKind::PassRevoked
            | EventKind::PassRendered
            | EventKind::PassInstalled
            | EventKind::PassUninstalled
            | EventKind::PassScanned
            | EventKind::PassScanRefused
    )
}

fn word(event: &Event) -> Option<&'static str> {
    match event.facts {
        Facts::PassCreated => Some("pass.created"),
        Facts::PassUpdated { .. } | Facts::PassActivated | Facts::PassExpired | Facts::PassRevoked { .. } => Some("pass.updated"),
        Facts::PassRendered { kind: VisitKind::ApplePackage, .. } => Some("pass.downloaded"),
        // PassSlot knows Apple's wallet alone; its words for devices are told of it alone.
        Facts::PassInstalled { wallet: Wallet::Apple, .. } => Some("registration.created"),
        Facts::PassUninstalled { wallet: Wallet::Apple, .. } => Some("registration.deleted"),
        Facts::PassScanned { .. } | Facts::PassScanRefused { .. } => Some("scan.performed"),
        _ => None,
    }
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, attempt_at: Timestamp) -> Vec<Sending> {
    let pass_type = settings::text(&target.settings, "pass_type");
    webhook::render(owed, target, secrets, attempt_at, |owed| {
        let (event, name) = (owed.event, word(owed.event)?);
        let data = data(event, event.image.pass.as_ref()?, pass_type, owed.public_url);
        let id = event.id.uuid().to_string();
        let message = Told::json(&json!({ "id": id, "type": name, "created": event.occurred_at, "data": data }))?;
        let tag = signature::hex_hmac_sha1(&secrets.current, &message.body);
        Some(message.with("x-passslot-signature", format!("sha1={tag}")))
    })
}

fn data(event: &Event, pass: &Pass, pass_type: Option<&str>, public_url: &str) -> Map<String, Value> {
    let mut data = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            data.insert(key.to_owned(), value);
        }
    };
    let of_pass = matches!(word(event), Some("pass.created" | "pass.updated" | "pass.downloaded"));
    if let Facts::PassInstalled { device, .. } | Facts::PassUninstalled { device, .. } = &event.facts {
        set("deviceLibraryIdentifier", device.clone().into());
    }
    set(if of_pass { "pid" } else { "passPid" }, pass.id.to_string().into());
    set(if of_pass { "serialNumber" } else { "passSerialNumber" }, pass.serial.clone().into());
    set("passTypeIdentifier", json!(pass_type));
    set(if of_pass { "templateId" } else { "passTemplateId" }, pass.template.to_string().into());
    if of_pass {
        set("url", told::page(pass, public_url).into());
    }
    if let Facts::PassScanned { scan, .. } | Facts::PassScanRefused { scan, .. } = &event.facts {
        set("scanner", json!(scan.operator));
        set("action", "redeem".into());
        set("time", json!(event.occurred_at));
        set("authorized", matches!(event.facts, Facts::PassScanned { .. }).into());
    }
    data
}
