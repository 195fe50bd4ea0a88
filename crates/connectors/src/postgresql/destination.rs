//! Batches of rows, and what the server says of them by its SQLSTATE.
//! Source: appendix A of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use std::collections::HashMap;

use bytes::Bytes;
use domain::{Contact, ContactId, Target, Timestamp};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::settings::{AUTHORITIES, PASSWORD, SCHEMA, TLS, USER};
use crate::catalog::{Differences, Holds, Sharing};
use crate::kit::vendor::{self, Record};
use crate::kit::{
    Account, Credentials, Outcome, Owed, Reply, Request, Secrets, Sending, Sent, SettingProblem, Verdict, crm, rows,
};

/// Events of one transaction.
pub(super) const MOST: usize = 500;
/// The column that says which contact a row of `users` shows.
const OWNER: &str = "contact_id";
/// Bytes of one transaction.
const MAX_BYTES: usize = 4 << 20;
/// Classes of SQLSTATE, and codes, that are laid to a row: wrong data, violated constraints, what is raised by triggers, too
/// much in a row, a name that would be a column too many.
const OF_ROWS: [&str; 5] = ["22", "23", "P0", "54000", "54011"];

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[USER.name, PASSWORD.name])?;
    let authorities = vendor::text(target, AUTHORITIES.name, "");
    if !authorities.is_empty() && !authorities.contains("-----BEGIN CERTIFICATE-----") {
        return Err(vendor::problem(AUTHORITIES.name, "expected certificates in PEM: -----BEGIN CERTIFICATE-----"));
    }
    crm::check_key(target)
}

pub(super) fn account(target: &Target, credentials: &Credentials) -> Account {
    Account {
        user: vendor::text(target, USER.name, "").to_owned(),
        password: Zeroizing::new(credentials.get(PASSWORD.name).unwrap_or_default().to_owned()),
        tls: vendor::text(target, TLS.name, "verify") != "off",
        authorities: Some(vendor::text(target, AUTHORITIES.name, "").to_owned()).filter(|pem| !pem.is_empty()),
    }
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, _: &Secrets, now: Timestamp) -> Vec<Sending> {
    let wanted = owed.iter().enumerate().filter(|(_, owed)| rows::wants(owed.event.kind()));
    let records = wanted.map(|(event, owed)| {
        let json = Value::Array(rows::of(owed, target, now));
        Record { key: String::new(), covers: vec![event], json }
    });
    let records = records.collect();
    let groups = vendor::groups(records, MOST, MAX_BYTES, |record: &Record| record.json.to_string().len());
    let sending = |group: Vec<Record>| {
        let (rows, covers) = vendor::apart(group);
        let rows: Vec<Value> = rows.into_iter().flat_map(|rows| rows.as_array().cloned().unwrap_or_default()).collect();
        let body = json!({ "schema": vendor::text(target, SCHEMA.name, "passbridge"), "rows": rows }).to_string();
        let request =
            Request { method: Method::POST, url: target.url.clone(), headers: HeaderMap::new(), body: Bytes::from(body) };
        Sending { request: Ok(request), covers }
    };
    groups.into_iter().map(sending).collect()
}

pub(super) const HOLDS: Holds = Holds { most: MOST, paced: false, ask, differs };

/// The rows of `users` as they should be, to be compared by the server, by the types of its columns.
fn ask(contacts: &[&Contact], target: &Target, _: &Secrets) -> Result<Request, String> {
    let rows: Vec<Value> = contacts.iter().filter_map(|contact| rows::user(contact, target)).collect();
    let body = json!({ "schema": vendor::text(target, SCHEMA.name, "passbridge"), "compare": rows, "tell": OWNER }).to_string();
    Ok(Request { method: Method::POST, url: target.url.clone(), headers: HeaderMap::new(), body: Bytes::from(body) })
}

fn differs(contacts: &[&Contact], sharing: &Sharing, target: &Target, reply: &Reply) -> Result<Differences, String> {
    let body = vendor::body(reply);
    if reply.status != 200 {
        let sqlstate = body["sqlstate"].as_str().unwrap_or_default();
        if OF_ROWS.iter().any(|class| sqlstate.starts_with(class)) {
            // Values that its columns cannot hold: writing tells which.
            return Ok(vec![Some("values that cannot be compared".to_owned()); contacts.len()]);
        }
        return Err(format!("PostgreSQL could not compare its rows (SQLSTATE {sqlstate})"));
    }
    let rows = body.as_array().ok_or("there was no answer to what the tables hold")?;
    let shared = crm::may_share(target);
    let mut other: HashMap<&str, Vec<&Value>> = HashMap::new();
    for row in rows {
        other.entry(row["id"].as_str().unwrap_or_default()).or_default().push(row);
    }
    let one = |contact: &&Contact| {
        let those = sharing.get(&contact.id).map(Vec::as_slice);
        let rows = other.get(crm::key(contact, &target.settings).ok()?.replace('\0', "").as_str())?;
        rows.iter().find_map(|row| columns(row, shared && shows_another(row, those)))
    };
    Ok(contacts.iter().map(one).collect())
}

/// Whether a row may show another of the contacts who are one record.
fn shows_another(row: &Value, those: Option<&[ContactId]>) -> bool {
    let shown = row["told"].as_str().unwrap_or_default();
    those.is_none_or(|those| those.iter().any(|id| id.to_string() == shown))
}

/// The columns that are held otherwise, where any are. Of a row that shows another of the contacts who share its key, only the
/// wallets are this one's too.
fn columns(row: &Value, shows_another: bool) -> Option<String> {
    let mut names: Vec<&str> = row["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() {
        return Some(Holds::MISSING.to_owned());
    }
    if shows_another && names.contains(&OWNER) {
        names.retain(|name| name.starts_with("wallet_") || name.ends_with("_wallet_installed_at"));
    }
    (!names.is_empty()).then(|| names.join(", "))
}

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    let Some(reply) = sent.reply else { return sent.all(Outcome::later()) };
    if reply.status == 200 {
        return sent.all(Outcome::Delivered);
    }
    let said = vendor::body(reply);
    let word = |name: &str| said[name].as_str().unwrap_or_default();
    if OF_ROWS.iter().any(|class| word("sqlstate").starts_with(class)) {
        return Verdict::Split(vendor::refused_as(&format!("SQLSTATE {}", word("sqlstate")), word("message")));
    }
    // The account, the schema, the disk, a restart: people mend it, and what waits goes on.
    sent.all(Outcome::later())
}
