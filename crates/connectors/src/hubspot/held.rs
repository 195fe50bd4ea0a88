//! What HubSpot holds of contacts: `POST /crm/v3/objects/contacts/batch/read`, at most 100 inputs.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-read>.

use std::collections::HashMap;

use domain::{Contact, Target, Timestamp};
use http::Method;
use serde_json::{Value, json};

use super::destination::{MOST, VENDOR, state, text};
use super::settings::{KEY_PROPERTY, TOKEN};
use crate::catalog::{Differences, Holds, Sharing};
use crate::kit::{Reply, Request, Secrets, vendor};

const PATH: &str = "/crm/v3/objects/contacts/batch/read";

pub(super) const HOLDS: Holds = Holds { most: MOST, paced: true, ask, differs };

fn ask(contacts: &[&Contact], target: &Target, secrets: &Secrets) -> Result<Request, String> {
    let property = key_property(target);
    let states: Vec<_> = contacts.iter().filter_map(|contact| state(contact, target).ok()).collect();
    let mut properties: Vec<&str> = states.first().map_or_else(Vec::new, |state| state.fields.iter().map(|it| &*it.0).collect());
    properties.push(property);
    let mut keys: Vec<&str> = states.iter().map(|state| state.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    let inputs: Vec<Value> = keys.into_iter().map(|key| json!({ "id": key })).collect();
    let body = json!({ "idProperty": property, "properties": properties, "inputs": inputs }).to_string();
    let request = vendor::json(Method::POST, format!("{}{PATH}", vendor::base(target, VENDOR)), body);
    vendor::bearer(request, secrets.credentials.get(TOKEN.name))
}

/// 207 comes where some contacts are not there, which stand among its errors.
fn differs(contacts: &[&Contact], _: &Sharing, target: &Target, reply: &Reply) -> Result<Differences, String> {
    if !matches!(reply.status, 200 | 207) {
        return Err(format!("HubSpot answered {} when it was asked what it holds", reply.status));
    }
    let property = key_property(target);
    let body = vendor::body(reply);
    let results = body["results"].as_array().ok_or("HubSpot answered without results when it was asked what it holds")?;
    let held: HashMap<String, &Value> = results
        .iter()
        .filter_map(|one| Some((folded(property, one["properties"][property].as_str()?), &one["properties"])))
        .collect();
    let one = |contact: &&Contact| {
        let state = state(contact, target).ok()?;
        let Some(held) = held.get(&folded(property, &state.key)) else { return Some(Holds::MISSING.to_owned()) };
        let wanted = text(state.json(&"".into()));
        let other = wanted.iter().filter(|(name, value)| !same(value.as_str().unwrap_or_default(), &held[name.as_str()]));
        let mut names: Vec<&str> = other.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        Some(names.join(", ")).filter(|names| !names.is_empty())
    };
    Ok(contacts.iter().map(one).collect())
}

fn key_property(target: &Target) -> &str {
    vendor::text(target, KEY_PROPERTY.name, "email")
}

/// HubSpot keeps e-mail addresses in lower case.
fn folded(property: &str, key: &str) -> String {
    if property == "email" { key.to_lowercase() } else { key.to_owned() }
}

/// What is cleared comes as null; times have milliseconds.
fn same(wanted: &str, held: &Value) -> bool {
    let held = held.as_str().unwrap_or_default();
    let time = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_millis);
    wanted == held || time(wanted).is_some_and(|wanted| time(held) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    #[test]
    fn what_hubspot_holds_is_compared_by_what_it_means() {
        let contact: Contact = serde_json::from_value(json!({
            "id": "0000000000000000000001", "version": 3, "email": "Ada@example.com", "traits": {},
            "wallets": {"0000000000000000000002": {"apple": 1, "google": 0, "apple_installed_at": "2026-11-20T10:00:00.123456Z",
                "changed_at": "2026-11-20T10:00:00.123456Z", "last_event": "installed"}},
            "created_at": "2026-11-19T10:00:00Z", "updated_at": "2026-11-20T10:00:00Z",
        }))
        .unwrap();
        let mut target = Target::new(domain::TargetId::from_uuid(Default::default()), "", "", Timestamp::from_seconds(0));
        target.settings = serde_json::from_value(json!({"key": "email"})).unwrap();
        let held = |status: &str, installed: &str| {
            json!({"email": "ada@example.com", "wallet_status": status, "apple_wallet_installed_at": installed,
                "google_wallet_installed_at": null, "wallet_last_changed_at": "2026-11-20T10:00:00.123Z",
                "wallet_last_event": "installed"})
        };
        let answer = |status, body: Value| {
            let reply = Reply { status, headers: HeaderMap::new(), body: Bytes::from(body.to_string()) };
            differs(&[&contact], &Sharing::new(), &target, &reply)
        };
        let of = |held: Value| answer(200, json!({"results": [{"id": "7", "properties": held}]})).unwrap().remove(0);
        assert_eq!(of(held("apple", "2026-11-20T10:00:00.123Z")), None);
        assert_eq!(of(held("none", "2026-11-20T10:00:00.124Z")).as_deref(), Some("apple_wallet_installed_at, wallet_status"));
        assert_eq!(answer(207, json!({"results": []})).unwrap(), [Some("no record".to_owned())]);
        assert!(answer(403, json!({})).unwrap_err().contains("403") && answer(200, json!([])).is_err());
    }
}
