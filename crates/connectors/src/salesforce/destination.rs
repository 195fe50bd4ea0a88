//! Records by upsert of a collection: `PATCH …/composite/sobjects/<object>/<external id field>`, at most 200 records.
//! Source: <https://developer.salesforce.com/docs/platform/api-rest/guide/resources-composite-sobjects-collections-upsert.html>.

use std::time::Duration;

use domain::{Contact, Target, Timestamp};
use http::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::settings::{API_VERSION, CLIENT_ID, CLIENT_SECRET, DOMAIN, EXTERNAL_ID_FIELD, OBJECT};
use crate::kit::{Credentials, Login, Outcome, Owed, Secrets, Sending, Sent, SettingProblem, State, Verdict, crm, vendor};

/// Records of one request.
pub(super) const MOST: usize = 200;
const NAMES: crm::Names = [
    "Wallet_Status__c",
    "Apple_Wallet_Installed_At__c",
    "Google_Wallet_Installed_At__c",
    "Wallet_Last_Changed_At__c",
    "Wallet_Last_Event__c",
];
/// How long nothing is sent once the limit of the day is reached, which counts the last 24 hours.
const DAY: Duration = Duration::from_secs(15 * 60);

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[DOMAIN.name, CLIENT_ID.name, CLIENT_SECRET.name, EXTERNAL_ID_FIELD.name])?;
    crm::check(target)?;
    let domain = vendor::text(target, DOMAIN.name, "");
    let label = domain.strip_suffix(".my.salesforce.com").unwrap_or_default();
    if label.is_empty() || !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
        return Err(vendor::problem(DOMAIN.name, "expected your My Domain, for example acme.my.salesforce.com"));
    }
    let version = vendor::text(target, API_VERSION.name, "v62.0");
    let is_version =
        version.strip_prefix('v').and_then(|rest| rest.strip_suffix(".0")).is_some_and(|number| number.parse::<u16>().is_ok());
    if !is_version {
        return Err(vendor::problem(API_VERSION.name, "expected for example v62.0"));
    }
    let named = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let names = [EXTERNAL_ID_FIELD.name, OBJECT.name].into_iter().chain(crm::FIELD_SETTINGS);
    match names.into_iter().find(|name| !named(vendor::text(target, name, "x"))) {
        Some(name) => Err(vendor::problem(name, "API names have letters, digits and underscores")),
        None => Ok(()),
    }
}

pub(super) fn host(target: &Target) -> String {
    let domain = format!("https://{}", vendor::text(target, DOMAIN.name, ""));
    vendor::base(target, &domain).to_owned()
}

pub(super) fn login(target: &Target, credentials: &Credentials) -> Option<Login> {
    Some(Login::Client {
        url: format!("{}/services/oauth2/token", host(target)),
        client_id: vendor::text(target, CLIENT_ID.name, "").to_owned(),
        client_secret: Zeroizing::new(credentials.get(CLIENT_SECRET.name)?.to_owned()),
        scope: None,
    })
}

pub(super) fn state(contact: &Contact, target: &Target) -> Result<State, String> {
    crm::state(contact, target, &NAMES)
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, _: Timestamp) -> Vec<Sending> {
    let object = vendor::text(target, OBJECT.name, "Contact");
    let field = vendor::text(target, EXTERNAL_ID_FIELD.name, "");
    let version = vendor::text(target, API_VERSION.name, "v62.0");
    let (records, mut out) = crm::records(owed, target, state, |state| {
        let mut record = serde_json::Map::new();
        record.insert("attributes".to_owned(), json!({ "type": object }));
        record.insert(field.to_owned(), state.key.clone().into());
        record.extend(state.json(&Value::Null));
        record.into()
    });
    for group in vendor::groups(records, MOST, usize::MAX, |_| 0) {
        let (records, covers) = vendor::apart(group);
        let url = format!("{}/services/data/{version}/composite/sobjects/{object}/{field}", host(target));
        let request = vendor::json(Method::PATCH, url, json!({ "allOrNone": false, "records": records }).to_string());
        out.push(Sending { request: vendor::bearer(request, secrets.token.as_ref().map(crate::kit::Token::expose)), covers });
    }
    out
}

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    let Some(reply) = sent.reply else { return vendor::judge(sent) };
    let body = vendor::body(reply);
    match reply.status {
        200..=299 => match body.as_array().filter(|results| results.len() == sent.records) {
            Some(results) => Verdict::Each(results.iter().map(one).collect()),
            // Not one answer for each record: writing them once more does no harm.
            None => sent.all(Outcome::later()),
        },
        401 => Verdict::Renew,
        403 if body[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED" => vendor::retry_in(sent, DAY),
        400 if body[0]["errorCode"] == "UNABLE_TO_LOCK_ROW" => sent.all(Outcome::later()),
        _ => vendor::judge(sent),
    }
}

/// What became of one record; they come in the order of the request.
fn one(result: &Value) -> Outcome {
    if result["success"] == true {
        return Outcome::Delivered;
    }
    let error = &result["errors"][0];
    match error["statusCode"].as_str().unwrap_or("UNKNOWN") {
        "UNABLE_TO_LOCK_ROW" | "REQUEST_LIMIT_EXCEEDED" | "SERVER_UNAVAILABLE" | "QUERY_TIMEOUT" => Outcome::later(),
        code => vendor::refused_as(code, error["message"].as_str().unwrap_or_default()),
    }
}
