//! Files of rows in somebody's object storage (S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage), or in a
//! folder of this machine.
//!
//! A batch becomes one Parquet file for each table and day, in folders that readers know as partitions: `tracks/day=2026-11-20/…`.
//! A file is named by the keys of its rows, so the same rows sent again overwrite it and other rows never do.

mod carrier;
mod folder;
mod parquet;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{Context, SHA256};
use object_store::{
    ObjectStore, ObjectStoreExt as _, RetryConfig, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, path::Path,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    http::{Client, Failure, Phase},
    rows::{Cell, Row},
};
use carrier::Carrier;

/// How often a request that may have been lost is sent again, within the deadline.
const RETRIES: usize = 2;
/// Bytes of a file's name: half of a SHA-256 in hexadecimal.
const NAME_BYTES: usize = 16;
/// Where rows without a time are.
const NO_DAY: &str = "1970-01-01";

/// A bucket or container with a user's account.
#[derive(Clone)]
pub struct Place {
    /// Its name.
    pub bucket: String,
    /// Where to call instead of the vendor's own address.
    pub endpoint: Option<String>,
    /// Whose it is.
    pub account: Account,
}

/// How one signs in.
#[derive(Clone)]
pub enum Account {
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
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("bucket", &self.bucket).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Rows that are written together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// What stands before the tables' names, without a slash at its ends; may be empty.
    pub prefix: String,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Why files were not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwritten {
    /// There was no talking to the storage.
    Failed(Failure),
    /// It did not take a file.
    Refused {
        /// HTTP status.
        status: u16,
        /// Its word for why, such as `AccessDenied`.
        code: String,
    },
    /// The account cannot be used, or rows cannot stand in a file; why, without a credential.
    Unusable(String),
}

/// Writes the files of a batch into a folder of this machine. When it fails, some may be written; the same batch again replaces
/// them.
///
/// # Errors
/// When one cannot be written: the disk is full, the folder is gone or not ours to write to, or the path leads out of it.
pub async fn write_below(root: PathBuf, batch: &Batch) -> Result<(), Unwritten> {
    let mut encoded = Vec::new();
    for (path, rows) in files(batch) {
        let bytes = parquet::encode(&rows).map_err(|error| Unwritten::Unusable(error.to_string()))?;
        encoded.push((path.to_string(), bytes));
    }
    let writing = move || encoded.iter().try_for_each(|(path, bytes)| folder::put(&root, path, bytes));
    // A disk that hangs cannot be given up on: what it writes later would be written twice.
    tokio::task::spawn_blocking(writing).await.map_err(|error| Unwritten::Unusable(error.to_string()))?
}

/// Removes what [`write_below`] left in a folder when its process died in the middle: pieces that nobody has touched for so long,
/// for another process may be writing there. How many went.
pub async fn sweep_below(root: PathBuf, now: SystemTime, untouched: Duration) -> usize {
    tokio::task::spawn_blocking(move || folder::sweep(&root, now, untouched)).await.unwrap_or_default()
}

/// Writes the files of a batch. When it fails, some may be written; the same batch again overwrites them.
///
/// # Errors
/// When one cannot be written within `deadline`.
pub async fn write(client: &Client, place: &Place, batch: &Batch, deadline: Duration) -> Result<(), Unwritten> {
    let carrier = Carrier::new(client.clone(), deadline);
    let store = open(place, &carrier, deadline).map_err(|error| Unwritten::Unusable(error.to_string()))?;
    let writing = async {
        for (path, rows) in files(batch) {
            let bytes = parquet::encode(&rows).map_err(|error| Unwritten::Unusable(error.to_string()))?;
            store
                .put(&path, bytes.into())
                .await
                .map_err(|error| carrier.why().unwrap_or(Unwritten::Unusable(error.to_string())))?;
        }
        Ok(())
    };
    match tokio::time::timeout(deadline, writing).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Unwritten::Failed(Failure::Timeout { phase: Phase::Answer, after: deadline, status: None })),
    }
}

fn open(place: &Place, carrier: &Carrier, deadline: Duration) -> object_store::Result<Arc<dyn ObjectStore>> {
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: deadline, ..RetryConfig::default() };
    // Which addresses may be called, plain ones too, is the policy's to say.
    Ok(match &place.account {
        Account::S3 { region, access_key_id, secret_access_key } => {
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(&place.bucket)
                .with_region(region)
                .with_access_key_id(access_key_id)
                .with_secret_access_key(secret_access_key.as_str())
                .with_virtual_hosted_style_request(place.endpoint.is_none())
                .with_allow_http(true)
                .with_retry(retry)
                .with_http_connector(carrier.clone());
            if let Some(endpoint) = &place.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            Arc::new(builder.build()?)
        }
        Account::Google { key_file } => {
            let mut builder = GoogleCloudStorageBuilder::new()
                .with_bucket_name(&place.bucket)
                .with_service_account_key(key_file.as_str())
                .with_retry(retry)
                .with_http_connector(carrier.clone());
            if let Some(endpoint) = &place.endpoint {
                builder = builder.with_base_url(endpoint);
            }
            Arc::new(builder.build()?)
        }
        Account::Azure { account, key } => {
            let mut builder = MicrosoftAzureBuilder::new()
                .with_account(account)
                .with_container_name(&place.bucket)
                .with_access_key(key.as_str())
                .with_allow_http(true)
                .with_retry(retry)
                .with_http_connector(carrier.clone());
            if let Some(endpoint) = &place.endpoint {
                builder = builder.with_endpoint(format!("{endpoint}/{account}"));
            }
            Arc::new(builder.build()?)
        }
    })
}

/// The files that rows make, in their order.
fn files(batch: &Batch) -> Vec<(Path, Vec<&Row>)> {
    let mut files: BTreeMap<(&str, &str), Vec<&Row>> = BTreeMap::new();
    for row in &batch.rows {
        files.entry((&row.table, day(row))).or_default().push(row);
    }
    let named = files.into_iter().map(|((table, day), rows)| {
        let path = format!("{}/{table}/day={day}/{}.parquet", batch.prefix, name(&rows));
        (Path::from(path), rows)
    });
    named.collect()
}

/// The day on which a row's event was recorded, in UTC.
fn day(row: &Row) -> &str {
    match row.values.get("received_at") {
        Some(Cell::Time { time }) => time.get(..10).unwrap_or(NO_DAY),
        _ => NO_DAY,
    }
}

/// A name for these rows, whatever their order.
fn name(rows: &[&Row]) -> String {
    let id = |row: &&Row| match row.values.get("id") {
        Some(Cell::Text(id)) => id.clone(),
        _ => String::new(),
    };
    let mut ids: Vec<String> = rows.iter().map(id).collect();
    ids.sort_unstable();
    let mut digest = Context::new(&SHA256);
    for id in ids {
        digest.update(id.as_bytes());
        digest.update(&[0]);
    }
    digest.finish().as_ref().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(table: &str, id: &str, day: &str) -> Row {
        let values = [("id", Cell::Text(id.to_owned())), ("received_at", Cell::Time { time: format!("{day}T10:00:00Z") })];
        Row {
            table: table.to_owned(),
            newest_by: None,
            clears: None,
            values: values.map(|(name, cell)| (name.to_owned(), cell)).into(),
        }
    }

    #[test]
    fn files_are_named_by_their_rows() {
        let rows = [row("tracks", "a", "2026-11-20"), row("tracks", "b", "2026-11-20"), row("tracks", "c", "2026-11-21")];
        let paths = |rows: &[Row]| {
            let batch = Batch { prefix: "wallet/events".to_owned(), rows: rows.to_vec() };
            files(&batch).into_iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>()
        };
        let first = paths(&rows);
        assert_eq!(first.len(), 2);
        assert!(first[0].starts_with("wallet/events/tracks/day=2026-11-20/") && first[0].ends_with(".parquet"), "{first:?}");
        let mut turned = rows.to_vec();
        turned.reverse();
        assert_eq!(paths(&turned), first, "in any order");
        assert_ne!(paths(&rows[..1])[0], first[0], "other rows, another file");
    }
}
