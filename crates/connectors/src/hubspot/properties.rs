//! The properties of contacts that are written to: `POST /crm/v3/properties/contacts/batch/create`, which answers 409 where one is
//! there already; then each by itself.
//! Source:
//! <https://developers.hubspot.com/docs/api-reference/crm-properties-v3/batch/post-crm-v3-properties-objectType-batch-create>.

use domain::Target;
use http::Method;
use serde_json::{Value, json};

use super::destination::{NAMES, VENDOR};
use super::settings::TOKEN;
use crate::catalog::Makes;
use crate::kit::{Request, Secrets, crm, vendor};

const PATH: &str = "/crm/v3/properties/contacts";
/// For people, and what HubSpot is to hold: a word, or a time.
const SHOWN: [(&str, bool); 5] = [
    ("Wallet status", false),
    ("Apple Wallet installed at", true),
    ("Google Wallet installed at", true),
    ("Wallet last changed at", true),
    ("Wallet last event", false),
];

pub(super) const MAKES: Makes = Makes { all, each };

fn all(target: &Target, secrets: &Secrets) -> Result<Request, String> {
    request(target, secrets, "/batch/create", &json!({ "inputs": inputs(target) }))
}

fn each(target: &Target, secrets: &Secrets) -> Result<Vec<Request>, String> {
    inputs(target).into_iter().map(|input| request(target, secrets, "", &input)).collect()
}

fn request(target: &Target, secrets: &Secrets, path: &str, body: &Value) -> Result<Request, String> {
    let url = format!("{}{PATH}{path}", vendor::base(target, VENDOR));
    vendor::bearer(vendor::json(Method::POST, url, body.to_string()), secrets.credentials.get(TOKEN.name))
}

fn inputs(target: &Target) -> Vec<Value> {
    let named = crm::FIELD_SETTINGS.iter().zip(NAMES).map(|(setting, name)| vendor::text(target, setting, name));
    let kept = named.zip(SHOWN).filter(|(name, _)| *name != "none");
    let input = |(name, (label, is_time)): (&str, (&str, bool))| {
        let (kind, field) = if is_time { ("datetime", "date") } else { ("string", "text") };
        json!({ "name": name, "label": label, "type": kind, "fieldType": field, "groupName": "contactinformation" })
    };
    kept.map(input).collect()
}
