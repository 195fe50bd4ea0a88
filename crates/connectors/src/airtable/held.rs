//! What an Airtable table holds of contacts: `POST /v0/<base>/<table>/listRecords`, whose answers have at most 100 records.
//! Sources: <https://airtable.com/developers/web/api/list-records>,
//! <https://support.airtable.com/docs/enforcement-of-url-length-limit-for-web-api-requests>.

use std::collections::HashMap;

use domain::{Contact, Target};
use http::Method;
use script::text::percent_encoded;
use serde_json::{Value, json};

use super::destination::{VENDOR, key_field, state};
use super::settings::{BASE, TABLE, TOKEN};
use crate::catalog::{Differences, Holds, Sharing};
use crate::kit::{Reply, Request, Secrets, crm, vendor};

/// Contacts of one question, so that a table in which some key stands twice still answers with all of them.
const MOST: usize = 50;
const PAGE: usize = 100;

pub(super) const HOLDS: Holds = Holds { most: MOST, paced: true, ask, differs };

fn ask(contacts: &[&Contact], target: &Target, secrets: &Secrets) -> Result<Request, String> {
    let key = key_field(target);
    let states: Vec<_> = contacts.iter().filter_map(|contact| state(contact, target).ok()).collect();
    let mut fields: Vec<&str> = states.first().map_or_else(Vec::new, |state| state.fields.iter().map(|it| &*it.0).collect());
    fields.push(key);
    let mut keys: Vec<&str> = states.iter().map(|state| state.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    // What is added to a text is a text, whatever kind of field it is.
    let one = |key_value: &&str| format!("{{{}}}&\"\"={}", escaped(key, '}'), literal(key_value));
    let formula = format!("OR({})", keys.iter().map(one).collect::<Vec<_>>().join(","));
    let (base, table) = (vendor::text(target, BASE.name, ""), vendor::text(target, TABLE.name, ""));
    let url = format!("{}/v0/{}/{}/listRecords", vendor::base(target, VENDOR), percent_encoded(base), percent_encoded(table));
    let body = json!({ "filterByFormula": formula, "fields": fields, "pageSize": PAGE });
    vendor::bearer(vendor::json(Method::POST, url, body.to_string()), secrets.credentials.get(TOKEN.name))
}

/// A text as formulas have it.
fn literal(text: &str) -> String {
    let text = escaped(text, '"');
    format!("\"{}\"", text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"))
}

fn escaped(text: &str, end: char) -> String {
    text.replace('\\', "\\\\").replace(end, &format!("\\{end}"))
}

/// A token that may not read (403) leaves what was told last as all that can be compared.
fn differs(contacts: &[&Contact], _: &Sharing, target: &Target, reply: &Reply) -> Result<Differences, String> {
    match reply.status {
        200 => {}
        403 => return Ok(vec![None; contacts.len()]),
        status => return Err(format!("Airtable answered {status} when it was asked what it holds")),
    }
    let body = vendor::body(reply);
    let records = body["records"].as_array().ok_or("Airtable answered without records when it was asked what it holds")?;
    let key = key_field(target);
    let mut held: HashMap<String, &Value> = HashMap::new();
    for record in records {
        held.entry(text(&record["fields"][key])).or_insert(&record["fields"]);
    }
    let one = |contact: &&Contact| {
        let state = state(contact, target).ok()?;
        let Some(held) = held.get(&state.key) else { return Some(Holds::MISSING.to_owned()) };
        crm::other_fields(&state, |name| value(&held[name]))
    };
    Ok(contacts.iter().map(one).collect())
}

/// A cell's value; of a field that takes several, the one there is.
fn value(cell: &Value) -> Value {
    match cell.as_array().map(Vec::as_slice) {
        Some([one]) => one.clone(),
        _ => cell.clone(),
    }
}

fn text(cell: &Value) -> String {
    match value(cell) {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_leave_its_literal() {
        assert_eq!(literal("a\"),TRUE()\\"), r#""a\"),TRUE()\\""#);
        assert_eq!(escaped("Member {id}", '}'), r"Member {id\}");
    }
}
