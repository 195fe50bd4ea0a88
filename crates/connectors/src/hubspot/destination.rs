//! Contacts by batch upsert: `POST /crm/v3/objects/contacts/batch/upsert`, at most 100 inputs.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-upsert>.

use std::collections::HashMap;
use std::time::Duration;

use domain::{Contact, Target, Timestamp};
use http::Method;
use serde_json::{Map, Value, json};

use super::settings::{KEY_PROPERTY, TOKEN};
use crate::kit::{
    Credentials, Outcome, Owed, Secrets, Sending, Sent, SettingProblem, State, Verdict, crm,
    vendor::{self},
};

/// Inputs of one request.
pub(super) const MOST: usize = 100;
pub(super) const VENDOR: &str = "https://api.hubapi.com";
const PATH: &str = "/crm/v3/objects/contacts/batch/upsert";
pub(super) const NAMES: crm::Names =
    ["wallet_status", "apple_wallet_installed_at", "google_wallet_installed_at", "wallet_last_changed_at", "wallet_last_event"];
/// The window of the limit by the second.
const BURST: Duration = Duration::from_secs(10);
/// How long nothing is sent once the limit of the day is reached; it is reset at the account's midnight.
const DAY: Duration = Duration::from_secs(60 * 60);

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[TOKEN.name])?;
    crm::check(target)?;
    let property = vendor::text(target, KEY_PROPERTY.name, "email");
    if property == "email" && vendor::text(target, crm::KEY.name, "external_id") != "email" {
        return Err(vendor::problem(
            crm::KEY.name,
            "`key_property` is `email`: set `key` to `email`, or name the property that holds the key",
        ));
    }
    let named = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    match [KEY_PROPERTY.name].into_iter().chain(crm::FIELD_SETTINGS).find(|name| !named(vendor::text(target, name, "x"))) {
        Some(name) => Err(vendor::problem(name, "HubSpot's internal names have lower case letters, digits and underscores")),
        None => Ok(()),
    }
}

pub(super) fn state(contact: &Contact, target: &Target) -> Result<State, String> {
    crm::state(contact, target, &NAMES)
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, _: Timestamp) -> Vec<Sending> {
    let property = vendor::text(target, KEY_PROPERTY.name, "email");
    let (records, mut out) = crm::records(
        owed,
        target,
        state,
        |state| json!({ "idProperty": property, "id": state.key, "properties": text(state.json(&"".into())) }),
    );
    for group in vendor::groups(records, MOST, usize::MAX, |_| 0) {
        let (mut inputs, covers) = vendor::apart(group);
        for (number, input) in inputs.iter_mut().enumerate() {
            // It comes back with what became of the input.
            input["objectWriteTraceId"] = number.to_string().into();
        }
        let url = format!("{}{PATH}", vendor::base(target, VENDOR));
        let request = vendor::json(Method::POST, url, json!({ "inputs": inputs }).to_string());
        out.push(Sending { request: vendor::bearer(request, secrets.credentials.get(TOKEN.name)), covers });
    }
    out
}

/// Values of properties are text.
pub(super) fn text(fields: Map<String, Value>) -> Map<String, Value> {
    let text = |value: Value| if value.is_string() { value } else { value.to_string().into() };
    fields.into_iter().map(|(name, value)| (name, text(value))).collect()
}

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    match sent.reply {
        Some(reply) if reply.status == 207 => Verdict::Each(apart(&vendor::body(reply), sent.records)),
        Some(reply) if reply.status == 429 => {
            let is_day = vendor::body(reply)["policyName"].as_str().is_some_and(|policy| policy.contains("DAILY"));
            vendor::retry_in(sent, if is_day { DAY } else { BURST })
        }
        _ => vendor::judge(sent),
    }
}

/// A reply in which only some inputs were taken: results and errors carry the inputs' trace ids.
fn apart(body: &Value, records: usize) -> Vec<Outcome> {
    let mut known: HashMap<usize, Outcome> = HashMap::new();
    for result in body["results"].as_array().into_iter().flatten() {
        known.extend(number(&result["objectWriteTraceId"]).map(|number| (number, Outcome::Delivered)));
    }
    for error in body["errors"].as_array().into_iter().flatten() {
        let category = error["category"].as_str().unwrap_or("ERROR");
        let outcome = match category {
            "RATE_LIMITS" | "RATE_LIMIT" | "INTERNAL_ERROR" | "TIMEOUT" => Outcome::later(),
            _ => vendor::refused_as(category, error["message"].as_str().unwrap_or_default()),
        };
        let traced = &error["context"]["objectWriteTraceId"];
        let numbers = traced.as_array().map_or_else(|| vec![traced], |all| all.iter().collect());
        for number in numbers.into_iter().chain([&error["objectWriteTraceId"]]).filter_map(number) {
            known.insert(number, outcome.clone());
        }
    }
    // What nothing is said of may have been taken or not: writing it once more does no harm.
    (0..records).map(|number| known.remove(&number).unwrap_or(Outcome::later())).collect()
}

fn number(trace: &Value) -> Option<usize> {
    trace.as_str()?.parse().ok()
}
