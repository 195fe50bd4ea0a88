//! Batches of rows for files, and what the storage says of them.
//! Sources: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>,
//! <https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes>.

use bytes::Bytes;
use domain::{Target, Timestamp};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::settings::{ACCESS_KEY_ID, ACCOUNT, ACCOUNT_KEY, BUCKET, KEY_FILE, PREFIX, REGION, SECRET_ACCESS_KEY, STORE};
use crate::kit::vendor::{self, Record};
use crate::kit::{
    Bucket, Credentials, Outcome, Owed, Request, Secrets, Sending, Sent, SettingProblem, StoreAccount, Verdict, crm, rows,
};

/// Events of one round of files.
pub(super) const MOST: usize = 1_000;
/// Bytes of their rows as JSON; a file has a part of them.
const MAX_BYTES: usize = 8 << 20;

pub(super) fn check(target: &Target, credentials: &Credentials) -> Result<(), SettingProblem> {
    let needed: &[&str] = match vendor::text(target, STORE.name, "s3") {
        "gcs" => &[BUCKET.name, KEY_FILE.name],
        "azure" => &[BUCKET.name, ACCOUNT.name, ACCOUNT_KEY.name],
        "folder" => &[],
        _ => &[BUCKET.name, ACCESS_KEY_ID.name, SECRET_ACCESS_KEY.name],
    };
    vendor::require(target, credentials, needed)?;
    // They become parts of a host's name.
    let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    for (setting, value) in [(BUCKET, ""), (REGION, "us-east-1"), (ACCOUNT, "")] {
        if !word(vendor::text(target, setting.name, value)) {
            return Err(vendor::problem(setting.name, "expected letters, digits, dots, hyphens and underscores"));
        }
    }
    if vendor::text(target, STORE.name, "s3") == "folder" {
        if !target.url.is_empty() {
            return Err(vendor::problem("url", "a folder has no address"));
        }
        let tricky = |part: &str| part.starts_with('.') || part.contains(['\\', ':']) || part.chars().any(char::is_control);
        if vendor::text(target, PREFIX.name, "").split('/').any(tricky) {
            return Err(vendor::problem(PREFIX.name, "no name in it begins with a dot or has a backslash or a colon in it"));
        }
    }
    let prefix = vendor::text(target, PREFIX.name, "");
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    if !prefix.is_empty() && prefix.split('/').any(odd) {
        return Err(vendor::problem(PREFIX.name, "expected names with slashes between them: wallet/events"));
    }
    vendor::check_key_file(KEY_FILE.name, credentials)?;
    crm::check_key(target)
}

pub(super) fn bucket(target: &Target, credentials: &Credentials) -> Bucket {
    let secret = |name: &str| Zeroizing::new(credentials.get(name).unwrap_or_default().to_owned());
    let text = |name: &str, default: &str| vendor::text(target, name, default).to_owned();
    let account = match vendor::text(target, STORE.name, "s3") {
        "gcs" => StoreAccount::Google { key_file: secret(KEY_FILE.name) },
        "folder" => StoreAccount::Folder,
        "azure" => StoreAccount::Azure { account: text(ACCOUNT.name, ""), key: secret(ACCOUNT_KEY.name) },
        _ => StoreAccount::S3 {
            region: text(REGION.name, "us-east-1"),
            access_key_id: text(ACCESS_KEY_ID.name, ""),
            secret_access_key: secret(SECRET_ACCESS_KEY.name),
        },
    };
    let endpoint = Some(target.url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty());
    Bucket { name: text(BUCKET.name, ""), endpoint, account }
}

/// The address below which the files are.
fn place(target: &Target) -> String {
    let text = |name: &str, default: &'static str| vendor::text(target, name, default);
    let (bucket, prefix) = (text(BUCKET.name, ""), text(PREFIX.name, "passbridge"));
    if !target.url.is_empty() {
        return format!("{}/{bucket}/{prefix}", target.url.trim_end_matches('/'));
    }
    match text(STORE.name, "s3") {
        // By RFC 8089, and below the folder that the operator names.
        "folder" => format!("file://localhost/{prefix}"),
        "gcs" => format!("https://storage.googleapis.com/{bucket}/{prefix}"),
        "azure" => format!("https://{}.blob.core.windows.net/{bucket}/{prefix}", text(ACCOUNT.name, "")),
        _ => format!("https://{bucket}.s3.{}.amazonaws.com/{prefix}", text(REGION.name, "us-east-1")),
    }
}

pub(super) fn render(owed: &[Owed<'_>], target: &Target, _: &Secrets, now: Timestamp) -> Vec<Sending> {
    let wanted = owed.iter().enumerate().filter(|(_, owed)| rows::wants(owed.event.kind()));
    let records = wanted.map(|(event, owed)| {
        // What is replaced by what is newer cannot stand in files that stay as they are.
        let rows = rows::of(owed, target, now).into_iter().filter(|row| row["newest_by"].is_null());
        Record { key: String::new(), covers: vec![event], json: rows.collect() }
    });
    let groups = vendor::groups(records.collect(), MOST, MAX_BYTES, |record: &Record| record.json.to_string().len());
    let sending = |group: Vec<Record>| {
        let (rows, covers) = vendor::apart(group);
        let rows: Vec<Value> = rows.into_iter().flat_map(|rows| rows.as_array().cloned().unwrap_or_default()).collect();
        let body = json!({ "prefix": vendor::text(target, PREFIX.name, "passbridge"), "rows": rows }).to_string();
        let request = Request { method: Method::PUT, url: place(target), headers: HeaderMap::new(), body: Bytes::from(body) };
        Sending { request: Ok(request), covers }
    };
    groups.into_iter().map(sending).collect()
}

pub(super) fn judge(sent: &Sent<'_>) -> Verdict {
    match sent.reply {
        Some(reply) if reply.status == 200 => sent.all(Outcome::Delivered),
        Some(reply) if reply.status == 413 => Verdict::Split(vendor::refused(reply)),
        // The account, the bucket, its policy, too many requests: people mend it, or time does.
        _ => sent.all(Outcome::Retry { after: sent.asked() }),
    }
}
