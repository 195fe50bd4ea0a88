//! Checks the signatures of a request against the secrets of the webhooks that point at the bin.

use connectors::kit::{Earlier, Secret, Secrets, signature};
use domain::OrgId;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use store::{SealedSecret, Stored, StoredTarget};

use crate::App;

/// One signature and what it turned out to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Checked {
    /// `webhook-signature`, or that of a vendor's own.
    pub(super) header: String,
    /// Whether a webhook that points here made it over exactly these bytes.
    pub(super) valid: bool,
    /// What that means.
    pub(super) says: String,
}

/// Whether a header's text is what a secret makes of a body.
type Fits = fn(&Secret, &[u8], &str) -> bool;

/// The headers that PassKit, PassEngine, The Wallet Crew and PassSlot sign in, each keyed by the secret's text.
const OF_VENDORS: [(&str, Fits); 4] = [
    ("X-PassKit-Signature", signature::is_hex_hmac),
    ("X-PassEngine-Signature", signature::is_hex_hmac),
    ("X-Neostore-Signature", |secret, body, given| {
        signature::is_hex_hmac(secret, body, given) || signature::is_base64_hmac(secret, body, given)
    }),
    ("X-PassSlot-Signature", signature::is_hex_hmac_sha1),
];

pub(super) fn check(app: &App, org: OrgId, bin: &str, headers: &HeaderMap, body: &[u8]) -> Vec<Checked> {
    let secrets = secrets(app, org, bin);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut checked = Vec::new();
    for (header, fits) in OF_VENDORS {
        let Some(given) = text(header) else { continue };
        let made = secrets.iter().find(|(_, secrets)| secrets.at(app.now()).any(|secret| fits(secret, body, given)));
        checked.push(verdict(header, made));
    }
    if let (Some(id), Some(at), Some(given)) = (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature")) {
        let made = secrets.iter().find(|(_, secrets)| signature::check_standard(secrets, id, at, given, body, app.now()).is_ok());
        checked.push(verdict("webhook-signature", made));
    }
    checked
}

fn verdict(header: &str, made: Option<&(String, Secrets)>) -> Checked {
    let says = match made {
        Some((webhook, _)) => format!("made by webhook “{webhook}” over these bytes"),
        None => "made by no webhook that points here, or over other bytes, or at another time".to_owned(),
    };
    Checked { header: header.to_owned(), valid: made.is_some(), says }
}

/// Names and secrets of the webhooks that point at the bin.
fn secrets(app: &App, org: OrgId, bin: &str) -> Vec<(String, Secrets)> {
    let address = format!("/inspect/{bin}/in");
    let catalog = app.store.catalog();
    let points_here = |stored: &&Stored<StoredTarget>| {
        let path = stored.value.target.url.parse::<http::Uri>().ok().map(|uri| uri.path().to_owned());
        path.is_some_and(|path| path == address || path.starts_with(&format!("{address}/")))
    };
    let open = |stored: &Stored<StoredTarget>| {
        let target = &stored.value.target;
        let open = |held: &SealedSecret| -> Option<Earlier> {
            let opened = app.store.open_of::<StoredTarget>(org, target.id.uuid(), &held.sealed).ok()?;
            Some(Earlier { secret: std::str::from_utf8(&opened).ok()?.parse().ok()?, until: held.until })
        };
        let mut all = stored.value.sealed_secrets.iter().filter_map(open);
        let current = all.next()?.secret;
        Some((target.name.clone(), Secrets::rotated(current, all.collect())))
    };
    catalog.org(org).map(|config| config.targets.values().filter(points_here).filter_map(open).collect()).unwrap_or_default()
}
