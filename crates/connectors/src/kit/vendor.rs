//! What destinations with an account have in common: addresses, headers, batches, and what most replies mean.

use std::time::Duration;

use bytes::Bytes;
use domain::{Event, EventKind, Target};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Credentials, Outcome, Reply, Request, Sent, SettingProblem, Verdict, settings};

/// Longest word of a vendor's that is taken into a reason, in bytes.
const MAX_CODE_BYTES: usize = 64;
/// Longest text of a vendor's that is kept, in bytes.
const MAX_SAID_BYTES: usize = 500;

/// How a token is got.
#[derive(Clone)]
pub enum Login {
    /// By OAuth 2.0 client credentials (RFC 6749, 4.4).
    Client {
        /// The token endpoint.
        url: String,
        /// Who asks.
        client_id: String,
        /// The proof.
        client_secret: Zeroizing<String>,
        /// For what, where that is said.
        scope: Option<String>,
    },
    /// By what a Google service account signs (RFC 7523).
    ServiceAccount {
        /// Its key file, JSON.
        key_file: Zeroizing<String>,
        /// For what.
        scope: &'static str,
    },
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client { url, .. } => f.debug_struct("Client").field("url", url).finish_non_exhaustive(),
            Self::ServiceAccount { scope, .. } => f.debug_struct("ServiceAccount").field("scope", scope).finish_non_exhaustive(),
        }
    }
}

/// Refuses a text that is no key file of a Google service account.
pub(crate) fn check_key_file(name: &str, credentials: &Credentials) -> Result<(), SettingProblem> {
    let Some(key_file) = credentials.get(name) else { return Ok(()) };
    let file: Value = serde_json::from_str(key_file).unwrap_or_default();
    if ["client_email", "private_key"].iter().any(|name| !file[*name].is_string()) {
        return Err(problem(name, "expected the JSON of a service account, with client_email and private_key"));
    }
    Ok(())
}

/// How one signs in to a database.
#[derive(Clone)]
pub struct Account {
    /// Who.
    pub user: String,
    /// The proof.
    pub password: Zeroizing<String>,
    /// Whether the connection is encrypted and the server's certificate checked.
    pub tls: bool,
    /// Certificates of the authorities that it is checked against, PEM, where those that are trusted everywhere do not do.
    pub authorities: Option<String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// A bucket or container of a storage, and how one signs in there.
#[derive(Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Where to call instead of the vendor's own address.
    pub endpoint: Option<String>,
    /// How one signs in.
    pub account: StoreAccount,
}

/// How one signs in to a storage.
#[derive(Clone)]
pub enum StoreAccount {
    /// S3, and what speaks like it.
    S3 {
        /// Its region.
        region: String,
        /// Who.
        access_key_id: String,
        /// The proof.
        secret_access_key: Zeroizing<String>,
    },
    /// Google Cloud Storage.
    Google {
        /// The key file of a service account.
        key_file: Zeroizing<String>,
    },
    /// Azure Blob Storage.
    Azure {
        /// The storage account.
        account: String,
        /// Its key, in base64.
        key: Zeroizing<String>,
    },
    /// None: a folder of the server's, below one that its operator names.
    Folder,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The settings of a destination: those of every one, then its own.
macro_rules! vendor_settings {
    ($($own:expr),* $(,)?) => {
        &[
            $crate::kit::webhook::PROJECT,
            $crate::kit::webhook::WALLET,
            $crate::kit::webhook::TEMPLATES,
            $crate::kit::webhook::EVENTS,
            $crate::kit::webhook::FILTER,
            $crate::kit::webhook::SWITCH_OFF,
            $crate::kit::webhook::EGRESS,
            $crate::kit::vendor::URL,
            $($own,)*
        ]
    };
}
pub(crate) use vendor_settings;

pub(crate) const URL: super::Setting = super::Setting {
    name: "url",
    value: "URL",
    takes: super::Takes::Own,
    default: "the vendor's own address",
    about: "Where to send instead: a sandbox, or a proxy of yours before the vendor.",
};

/// The address that paths are added to: the target's own, else the vendor's.
pub(crate) fn base<'a>(target: &'a Target, vendor: &'a str) -> &'a str {
    if target.url.is_empty() { vendor } else { target.url.trim_end_matches('/') }
}

/// A JSON request.
pub(crate) fn json(method: Method, url: String, body: String) -> Request {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, super::webhook::AGENT);
    Request { method, url, headers, body: Bytes::from(body) }
}

/// Adds a bearer token; why not, when it cannot stand in a header.
pub(crate) fn bearer(mut request: Request, token: Option<&str>) -> Result<Request, String> {
    let token = token.ok_or("there is no token to send with")?;
    let value =
        super::headers::sensitive(&format!("Bearer {token}")).ok_or("the token has characters that no header can carry")?;
    request.headers.insert(header::AUTHORIZATION, value);
    Ok(request)
}

/// Refuses a target that lacks one of these.
pub(crate) fn require(target: &Target, credentials: &Credentials, names: &[&str]) -> Result<(), SettingProblem> {
    let missing = |name: &&&str| !target.settings.contains_key(**name) && credentials.get(name).is_none();
    match names.iter().find(missing) {
        None => Ok(()),
        Some(name) => Err(problem(name, "this is required")),
    }
}

/// A setting that is not taken.
pub(crate) fn problem(name: &str, message: impl Into<String>) -> SettingProblem {
    SettingProblem { name: name.to_owned(), message: message.into() }
}

/// A setting's text, or what holds without it.
pub(crate) fn text<'a>(target: &'a Target, name: &str, default: &'a str) -> &'a str {
    settings::text(&target.settings, name).unwrap_or(default)
}

/// Whether a setting is switched on.
pub(crate) fn flag(target: &Target, name: &str) -> bool {
    target.settings.get(name) == Some(&domain::FieldValue::Flag(true))
}

/// Groups records, in their order, so that each group keeps to the vendor's limits. `size` is a record's own bytes; what stands
/// around and between them is counted by the caller into `most_bytes`.
pub(crate) fn groups<T>(records: Vec<T>, most: usize, most_bytes: usize, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        let own = size(&record) + 1;
        match groups.last_mut() {
            Some(group) if group.len() < most && bytes + own <= most_bytes => group.push(record),
            _ => {
                groups.push(vec![record]);
                bytes = 0;
            }
        }
        bytes += own;
    }
    groups
}

/// One record of a request: what makes it one, the events it is made of, and its JSON.
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) covers: Vec<usize>,
    pub(crate) json: Value,
}

/// Adds a record; of one key the newest takes the place of those before it, since vendors refuse a key twice.
pub(crate) fn newest(records: &mut Vec<Record>, key: String, event: usize, json: Value) {
    match records.iter_mut().find(|record| record.key == key) {
        Some(held) => {
            held.covers.push(event);
            held.json = json;
        }
        None => records.push(Record { key, covers: vec![event], json }),
    }
}

/// The records' JSON and the events that each covers.
pub(crate) fn apart(records: Vec<Record>) -> (Vec<Value>, Vec<Vec<usize>>) {
    records.into_iter().map(|record| (record.json, record.covers)).unzip()
}

/// What most replies mean: 2xx is taken, what is wrong with the request is laid to its records, the rest is tried again.
pub(crate) fn judge(sent: &Sent<'_>) -> Verdict {
    let Some(reply) = sent.reply else { return sent.all(Outcome::later()) };
    match reply.status {
        200..=299 => sent.all(Outcome::Delivered),
        400 | 404 | 409 | 413 | 414 | 422 | 431 => Verdict::Split(refused(reply)),
        _ => sent.all(Outcome::Retry { after: sent.asked() }),
    }
}

/// At least this long.
pub(crate) fn retry_in(sent: &Sent<'_>, least: Duration) -> Verdict {
    sent.all(Outcome::Retry { after: Some(sent.asked().unwrap_or(least).max(least)) })
}

/// A record that is not taken, with the vendor's words sealed beside.
pub(crate) fn refused(reply: &Reply) -> Outcome {
    let said = String::from_utf8_lossy(&reply.body[..reply.body.len().min(MAX_SAID_BYTES)]).into_owned();
    Outcome::Reject {
        reason: format!("the receiver answered {}", reply.status),
        said: Some(said).filter(|said| !said.is_empty()),
    }
}

/// A record that is not taken, by a code and a message of the vendor's.
pub(crate) fn refused_as(code: &str, message: &str) -> Outcome {
    let code: String = code.chars().filter(|c| c.is_ascii_alphanumeric() || "_-. ".contains(*c)).take(MAX_CODE_BYTES).collect();
    let said = Some(super::head(message, MAX_SAID_BYTES).to_owned()).filter(|said| !said.is_empty());
    Outcome::Reject { reason: format!("the receiver refused it: {code}"), said }
}

/// A reply's JSON.
pub(crate) fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// What happened, as people would say it: `Pass Installed`.
pub(crate) const fn title(kind: EventKind) -> &'static str {
    match kind {
        EventKind::PassCreated => "Pass Created",
        EventKind::PassRendered => "Pass Rendered",
        EventKind::PassInstalled => "Pass Installed",
        EventKind::PassUninstalled => "Pass Uninstalled",
        EventKind::PassUpdated => "Pass Updated",
        EventKind::PassActivated => "Pass Activated",
        EventKind::PassScanned => "Pass Scanned",
        EventKind::PassScanRefused => "Pass Scan Refused",
        EventKind::PassScanUndone => "Pass Scan Undone",
        EventKind::PassNotified => "Pass Notified",
        EventKind::PassMessageDropped => "Pass Message Dropped",
        EventKind::PassExpired => "Pass Expired",
        EventKind::PassRevoked => "Pass Revoked",
        EventKind::PassDeleted => "Pass Deleted",
        EventKind::ScanUnknown => "Scan Unknown",
        EventKind::ContactCreated => "Contact Created",
        EventKind::ContactUpdated => "Contact Updated",
        EventKind::ContactErased => "Contact Erased",
        EventKind::ContactWalletStatusChanged => "Wallet Status Changed",
        EventKind::MessageRequested => "Message Requested",
        EventKind::MessageSent => "Message Sent",
        EventKind::MessageDelivered => "Message Delivered",
        EventKind::MessageFailed => "Message Failed",
        EventKind::MessageUnknown => "Message Unknown",
        EventKind::WebhookTested => "Webhook Tested",
        EventKind::WebhookFailing => "Webhook Failing",
        EventKind::WebhookDisabled => "Webhook Disabled",
        EventKind::SignerExpiring => "Signer Expiring",
        EventKind::BackfillFailed => "Backfill Failed",
        EventKind::SyncFailed => "Sync Failed",
        EventKind::BatchFailed => "Batch Failed",
    }
}

/// An event for templates: `event`, `title`, `id`, `occurred_at`, `facts`, `pass`, `contact`.
pub(crate) fn told(event: &Event, public_url: &str) -> Value {
    let mut data = super::told::data(event, public_url);
    data.insert("event".to_owned(), event.kind().name().into());
    data.insert("title".to_owned(), title(event.kind()).into());
    data.insert("id".to_owned(), event.id.to_string().into());
    data.insert("occurred_at".to_owned(), serde_json::to_value(event.occurred_at).unwrap_or_default());
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_grouped_within_both_limits() {
        let grouped = |most, bytes| groups(vec![3_usize, 3, 3, 9, 1], most, bytes, |size| *size);
        assert_eq!(grouped(2, 100), [vec![3, 3], vec![3, 9], vec![1]]);
        assert_eq!(grouped(9, 8), [vec![3, 3], vec![3], vec![9], vec![1]], "one that is too large goes alone");
        assert!(groups(Vec::<usize>::new(), 2, 9, |size| *size).is_empty());
    }

    #[test]
    fn a_key_stands_once_with_its_newest_state() {
        let mut records = Vec::new();
        for (event, key) in ["a", "b", "a"].into_iter().enumerate() {
            newest(&mut records, key.to_owned(), event, event.into());
        }
        assert_eq!(apart(records), (vec![2.into(), 1.into()], vec![vec![0, 2], vec![1]]));
    }
}
