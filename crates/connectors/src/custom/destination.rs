//! Which function of the code an event calls, and with what.
//! Source: <https://docs.thewalletcrew.io/connect/custom-connector/installation-changed-extensibility>.

use domain::{Event, EventKind, Facts, Target, Timestamp};
use serde_json::{Map, Value};

use super::settings::{CODE, INSTALLED, PASS_UPDATER, UNINSTALLED};
use crate::catalog::Call;
use crate::kit::{Credentials, Owed, Secrets, Sending, SettingProblem, told, vendor};

pub(super) const fn wants(kind: EventKind) -> bool {
    matches!(kind, EventKind::PassInstalled | EventKind::PassUninstalled)
}

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[CODE.name])
}

/// The code sends what it likes.
pub(super) fn render(_: &[Owed<'_>], _: &Target, _: &Secrets, _: Timestamp) -> Vec<Sending> {
    Vec::new()
}

pub(super) fn call(owed: &Owed<'_>, _: &Target) -> Option<Call> {
    let event = owed.event;
    let (function, wallet) = match &event.facts {
        Facts::PassInstalled { wallet, .. } => (INSTALLED, wallet),
        Facts::PassUninstalled { wallet, .. } => (UNINSTALLED, wallet),
        _ => return None,
    };
    let pass = event.image.pass.as_ref()?;
    let arguments = vec![
        ("passId", pass.id.to_string().into()),
        ("passType", pass.variant.as_str().into()),
        ("identifiers", identifiers(event).into()),
        ("device", wallet.name().into()),
        ("additionalInformation", told::registration(event)),
    ];
    Some(Call { point: PASS_UPDATER, function, arguments })
}

fn identifiers(event: &Event) -> Map<String, Value> {
    let (pass, contact) = (event.image.pass.as_ref(), event.image.contact.as_ref());
    let known = [
        ("passId", pass.and_then(|pass| pass.external_id.clone())),
        ("customerId", contact.and_then(|contact| contact.external_id.clone())),
        ("email", contact.and_then(|contact| contact.email.clone())),
        ("phone", contact.and_then(|contact| contact.phone.clone())),
    ];
    let mut out: Map<String, Value> =
        known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
    for (name, value) in contact.into_iter().flat_map(|contact| &contact.traits) {
        out.entry(name.clone()).or_insert_with(|| serde_json::to_value(value).unwrap_or_default());
    }
    out
}
