//! Rows by `values:append`, as they are (`RAW`): what begins with `=` stays a text. A request is taken whole or not at all.
//! Sources: <https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/append>,
//! <https://developers.google.com/workspace/sheets/api/limits>.

use std::time::Duration;

use domain::{EventKind, Target, Timestamp};
use http::Method;
use script::text::percent_encoded;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::settings::{COLUMNS, KEY, KEY_FILE, SHEET, SPREADSHEET};
use crate::kit::vendor::{self, Record};
use crate::kit::{Credentials, Login, Outcome, Owed, Request, Secrets, Sending, Sent, SettingProblem, Verdict};

/// Rows of one request.
pub(super) const MOST: usize = 500;
/// Bytes of a request's rows; Google advises at most 2 MB.
pub(super) const MAX_BYTES: usize = 1_500_000;
/// Characters that a cell takes.
const MAX_CELL: usize = 50_000;
/// Most columns after the first.
const MAX_COLUMNS: usize = 50;
const VENDOR: &str = "https://sheets.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/spreadsheets";
/// Quotas are refilled every minute.
const QUOTA: Duration = Duration::from_secs(60);
/// How long it is waited for somebody to make room in a sheet that is full.
const FULL: Duration = Duration::from_secs(3_600);
const DEFAULT_COLUMNS: &str =
    "occurred_at,title,contact.external_id,contact.email,contact.name,pass.project.name,pass.external_id,facts.wallet";

/// Every event but looks at a pass.
pub(super) const fn wants(kind: EventKind) -> bool {
    !matches!(kind, EventKind::PassRendered)
}

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    vendor::require(target, credentials, &[KEY_FILE.name, SPREADSHEET.name])?;
    let id = vendor::text(target, SPREADSHEET.name, "");
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(vendor::problem(SPREADSHEET.name, "expected what stands between /d/ and /edit in the spreadsheet's address"));
    }
    let columns: Vec<_> = columns(target).collect();
    let is_path = |path: &&str| path.split('.').all(|part| !part.is_empty() && !part.contains(char::is_whitespace));
    if columns.len() > MAX_COLUMNS || !columns.iter().all(is_path) {
        return Err(vendor::problem(COLUMNS.name, format!("expected at most {MAX_COLUMNS} paths: occurred_at,contact.email")));
    }
    if !vendor::text(target, KEY.name, "").is_empty() && super::upsert::key_column(target).is_none() {
        return Err(vendor::problem(KEY.name, format!("expected one of the columns: {}", columns.join(", "))));
    }
    vendor::check_key_file(KEY_FILE.name, credentials)
}

pub(super) fn login(_: &Target, credentials: &Credentials) -> Option<Login> {
    let key_file = Zeroizing::new(credentials.get(KEY_FILE.name)?.to_owned());
    Some(Login::ServiceAccount { key_file, scope: SCOPE })
}

pub(super) fn columns(target: &Target) -> impl Iterator<Item = &str> {
    vendor::text(target, COLUMNS.name, DEFAULT_COLUMNS).split(',').map(str::trim)
}

/// What stands in a cell.
fn cell(told: &Value, path: &str) -> Value {
    let found = path.split('.').try_fold(told, |at, part| at.get(part)).unwrap_or(&Value::Null);
    let text = match found {
        Value::Null => return "".into(),
        Value::Bool(_) | Value::Number(_) => return found.clone(),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => found.to_string(),
    };
    text.chars().take(MAX_CELL).collect::<String>().into()
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, secrets: &Secrets, _: Timestamp) -> Vec<Sending> {
    let wanted = owed.iter().enumerate().filter(|(_, owed)| wants(owed.event.kind()));
    let records = wanted.map(|(event, owed)| Record { key: String::new(), covers: vec![event], json: row(owed, target).into() });
    append(records.collect(), target, secrets)
}

/// An event's cells.
pub(super) fn row(owed: &Owed<'_>, target: &Target) -> Vec<Value> {
    let told = vendor::told(owed.event, owed.public_url);
    std::iter::once("id").chain(columns(target)).map(|path| cell(&told, path)).collect()
}

/// Requests that add these rows below what is there.
pub(super) fn append(records: Vec<Record>, target: &Target, secrets: &Secrets) -> Vec<Sending> {
    let groups = vendor::groups(records, MOST, MAX_BYTES, |record| record.json.to_string().len());
    let path = format!("/{}:append?valueInputOption=RAW&insertDataOption=INSERT_ROWS", percent_encoded(&range(target, "A:A")));
    let sending = |group: Vec<Record>| {
        let (rows, covers) = vendor::apart(group);
        let body = json!({ "majorDimension": "ROWS", "values": rows }).to_string();
        Sending { request: request(Method::POST, &path, body, target, secrets), covers }
    };
    groups.into_iter().map(sending).collect()
}

/// Cells of the sheet, in A1 notation.
pub(super) fn range(target: &Target, cells: &str) -> String {
    format!("'{}'!{cells}", vendor::text(target, SHEET.name, "Sheet1").replace('\'', "''"))
}

/// A request about the spreadsheet's values.
pub(super) fn request(method: Method, path: &str, body: String, target: &Target, secrets: &Secrets) -> Result<Request, String> {
    let spreadsheet = vendor::text(target, SPREADSHEET.name, "");
    let url = format!("{}/v4/spreadsheets/{spreadsheet}/values{path}", vendor::base(target, VENDOR));
    vendor::bearer(vendor::json(method, url, body), secrets.token.as_ref().map(crate::kit::Token::expose))
}

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    let Some(reply) = sent.reply else { return vendor::judge(sent) };
    match reply.status {
        401 => Verdict::Renew,
        429 => vendor::retry_in(sent, QUOTA),
        // The cells of a spreadsheet are counted; somebody has to make room.
        400 if vendor::body(reply)["error"]["message"].as_str().is_some_and(|said| said.contains("above the limit of")) => {
            vendor::retry_in(sent, FULL)
        }
        // It is not shared with the account any more, or gone, which can be mended.
        403 | 404 => sent.all(Outcome::Retry { after: sent.asked() }),
        _ => vendor::judge(sent),
    }
}
