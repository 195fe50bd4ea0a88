//! What Salesforce holds of contacts: a SOQL query for the records of these external ids.
//! Sources: <https://developer.salesforce.com/docs/platform/api-rest/guide/resources-query.html>,
//! <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_quotedstringescapes.htm>.

use std::collections::HashMap;

use domain::{Contact, Target};
use http::Method;
use script::text::percent_encoded;
use serde_json::Value;

use super::destination::{host, state};
use super::settings::{API_VERSION, EXTERNAL_ID_FIELD, OBJECT};
use crate::catalog::{Differences, Holds, Sharing};
use crate::kit::{Reply, Request, Secrets, State, crm, vendor};

/// Contacts of one question.
const MOST: usize = 100;
/// Longest address, in bytes: with its headers, among them a token of up to 2,000, a request has at most 16,384.
/// Source: <https://help.salesforce.com/s/articleView?id=000386264&language=en_US&type=1>.
const MAX_URL: usize = 12_000;

pub(super) const HOLDS: Holds = Holds { most: MOST, paced: true, ask, differs };

fn ask(contacts: &[&Contact], target: &Target, secrets: &Secrets) -> Result<Request, String> {
    let states: Vec<State> = contacts.iter().filter_map(|contact| state(contact, target).ok()).collect();
    let (url, _) = question(&states, target);
    let request = vendor::json(Method::GET, url, String::new());
    vendor::bearer(request, secrets.token.as_ref().map(crate::kit::Token::expose))
}

/// The address that asks for what is held of contacts, and the keys that found room in it.
fn question<'s>(states: &'s [State], target: &Target) -> (String, Vec<&'s str>) {
    let (object, key) = (vendor::text(target, OBJECT.name, "Contact"), vendor::text(target, EXTERNAL_ID_FIELD.name, ""));
    let version = vendor::text(target, API_VERSION.name, "v62.0");
    let mut fields: Vec<&str> = states.first().map_or_else(Vec::new, |state| state.fields.iter().map(|it| &*it.0).collect());
    fields.push(key);
    let begins = format!("SELECT {} FROM {object} WHERE {key} IN (", fields.join(","));
    let mut url = format!("{}/services/data/{version}/query?q={}", host(target), percent_encoded(&begins));
    let mut keys: Vec<&str> = states.iter().map(|state| state.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut asked = Vec::with_capacity(keys.len());
    for key in keys {
        let comma = if asked.is_empty() { "" } else { "," };
        let added = percent_encoded(&format!("{comma}{}", literal(key)));
        if url.len() + added.len() > MAX_URL {
            break;
        }
        url.push_str(&added);
        asked.push(key);
    }
    url.push_str("%29");
    (url, asked)
}

/// A text as SOQL has it.
fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    format!("'{escaped}'")
}

/// Of contacts whose keys found no room in the question, what was told last is all that is compared.
fn differs(contacts: &[&Contact], _: &Sharing, target: &Target, reply: &Reply) -> Result<Differences, String> {
    let body = vendor::body(reply);
    if reply.status != 200 {
        let code: String =
            body[0]["errorCode"].as_str().unwrap_or_default().chars().filter(|c| c.is_ascii_uppercase() || *c == '_').collect();
        return Err(format!("Salesforce answered {} {code} when it was asked what it holds", reply.status));
    }
    let records = body["records"].as_array().ok_or("Salesforce answered without records when it was asked what it holds")?;
    let field = vendor::text(target, EXTERNAL_ID_FIELD.name, "");
    // Whether upper and lower case are one is the field's to say; of two records that differ in it the very one counts.
    let mut held: HashMap<String, &Value> = HashMap::new();
    for record in records {
        let key = record[field].as_str().unwrap_or_default();
        held.entry(key.to_lowercase()).or_insert(record);
    }
    let exact: HashMap<&str, &Value> = records.iter().filter_map(|record| Some((record[field].as_str()?, record))).collect();
    let states: Vec<Option<State>> = contacts.iter().map(|contact| state(contact, target).ok()).collect();
    let known: Vec<State> = states.iter().flatten().cloned().collect();
    let (_, asked) = question(&known, target);
    let one = |state: Option<State>| {
        let state = state?;
        asked.binary_search(&state.key.as_str()).ok()?;
        let found = exact.get(state.key.as_str()).or_else(|| held.get(&state.key.to_lowercase()));
        let Some(held) = found else { return Some(Holds::MISSING.to_owned()) };
        crm::other_fields(&state, |name| held[name].clone())
    };
    Ok(states.into_iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_its_limit_and_a_key_stays_in_its_literal() {
        assert_eq!(literal("O'Neil\\"), r"'O\'Neil\\'");
        let mut target = Target::new(domain::TargetId::from_uuid(Default::default()), "", "", domain::Timestamp::from_seconds(0));
        target.settings =
            serde_json::from_value(serde_json::json!({"domain": "acme.my.salesforce.com", "external_id_field": "Member_Id__c"}))
                .unwrap();
        let states = |bytes: usize| -> Vec<State> {
            (0..MOST).map(|number| State { key: format!("{number:0bytes$}"), fields: Vec::new() }).collect()
        };
        let usual = states(40);
        let (url, asked) = question(&usual, &target);
        assert!(url.len() < MAX_URL && asked.len() == MOST, "{}", url.len());
        let long = states(250);
        let (url, asked) = question(&long, &target);
        assert!(url.len() <= MAX_URL + 3 && (20..MOST).contains(&asked.len()), "{} {}", url.len(), asked.len());
    }
}
