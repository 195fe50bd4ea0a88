//! Records by upsert: `PATCH /v0/<base>/<table>` with `performUpsert`, at most ten records.
//! Source: <https://airtable.com/developers/web/api/update-multiple-records>.

use std::time::Duration;

use domain::{Contact, Target, Timestamp};
use http::Method;
use script::text::percent_encoded;
use serde_json::{Value, json};

use super::settings::{BASE, KEY_FIELD, TABLE, TOKEN};
use crate::kit::{Credentials, Owed, Secrets, Sending, Sent, SettingProblem, State, Verdict, crm, vendor};

/// Records of one request.
pub(super) const MOST: usize = 10;
pub(super) const VENDOR: &str = "https://api.airtable.com";
const NAMES: crm::Names =
    ["Wallet status", "Apple Wallet installed at", "Google Wallet installed at", "Wallet last changed at", "Wallet last event"];
/// How long Airtable takes nothing after its limit was passed.
const PENALTY: Duration = Duration::from_secs(30);

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[TOKEN.name, BASE.name, TABLE.name])?;
    let base = vendor::text(target, BASE.name, "");
    if !base.starts_with("app") || !base.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(vendor::problem(BASE.name, "expected the base's id: it begins with app"));
    }
    crm::check(target)
}

pub(super) fn key_field(target: &Target) -> &str {
    vendor::text(target, KEY_FIELD.name, "Member")
}

pub(super) fn state(contact: &Contact, target: &Target) -> Result<State, String> {
    crm::state(contact, target, &NAMES)
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, _: Timestamp) -> Vec<Sending> {
    let key = key_field(target);
    let (records, mut out) = crm::records(owed, target, state, |state| {
        let mut fields = serde_json::Map::new();
        fields.insert(key.to_owned(), state.key.clone().into());
        fields.extend(state.json(&Value::Null));
        json!({ "fields": fields })
    });
    let (base, table) = (vendor::text(target, BASE.name, ""), vendor::text(target, TABLE.name, ""));
    for group in vendor::groups(records, MOST, usize::MAX, |_| 0) {
        let (records, covers) = vendor::apart(group);
        let url = format!("{}/v0/{}/{}", vendor::base(target, VENDOR), percent_encoded(base), percent_encoded(table));
        let body = json!({ "performUpsert": { "fieldsToMergeOn": [key] }, "typecast": true, "records": records });
        let request = vendor::json(Method::PATCH, url, body.to_string());
        out.push(Sending { request: vendor::bearer(request, secrets.credentials.get(TOKEN.name)), covers });
    }
    out
}

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    match sent.reply {
        Some(reply) if reply.status == 429 => vendor::retry_in(sent, PENALTY),
        _ => vendor::judge(sent),
    }
}
