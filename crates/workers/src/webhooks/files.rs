//! Files that destinations are written as: in an object storage, or in a folder of this machine that is kept clean.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use connectors::kit::{Bucket, Request, StoreAccount};
use domain::OrgId;
use outbound::{
    http::{Client, Limits},
    object,
};
use serde_json::json;

use super::carry::{Carried, answered, failed};
use crate::shard::House;

/// How long a piece of a file stays that nobody touches, and how often it is looked for: a file is written within seconds, perhaps
/// by another node.
const PIECES_STAY: Duration = Duration::from_secs(3_600);

/// Writes the rows of a request as files.
pub(super) async fn write(
    house: &House,
    client: &Client,
    org: OrgId,
    bucket: Bucket,
    request: &Request,
    limits: Limits,
) -> Result<Carried, String> {
    let batch: object::Batch =
        serde_json::from_slice(&request.body).map_err(|error| format!("its rows cannot be written: {error}"))?;
    let account = match bucket.account {
        StoreAccount::S3 { region, access_key_id, secret_access_key } => {
            object::Account::S3 { region, access_key_id, secret_access_key }
        }
        StoreAccount::Google { key_file } => object::Account::Google { key_file },
        StoreAccount::Azure { account, key } => object::Account::Azure { account, key },
        StoreAccount::Folder => {
            let root = house.settings.webhooks.files_folder.as_ref();
            let root = root.ok_or("the operator of this server allows no folder any more (files_folder)")?;
            // No organization sees another's files, whatever it calls its own.
            let batch = object::Batch { prefix: format!("{org}/{}", batch.prefix), ..batch };
            return written(object::write_below(root.clone(), &batch).await);
        }
    };
    let place = object::Place { bucket: bucket.name, endpoint: bucket.endpoint, account };
    written(object::write(client, &place, &batch, limits.deadline).await)
}

fn written(outcome: Result<(), object::Unwritten>) -> Result<Carried, String> {
    match outcome {
        Ok(()) => Ok(answered(200, Bytes::new(), None)),
        Err(object::Unwritten::Failed(failure)) => Ok(failed(&failure)),
        Err(object::Unwritten::Refused { status, code }) => {
            let error = format!("the storage answered {status} {code}").trim_end().to_owned();
            Ok(answered(status, Bytes::from(json!({ "code": code }).to_string()), Some(error)))
        }
        Err(object::Unwritten::Unusable(why)) => Err(format!("the storage cannot be used: {why}")),
    }
}

/// Removes from the folder that destinations write to what a writer left that died: at the start, and now and then.
pub(crate) async fn keep_folder_clean(house: Arc<House>) {
    let Some(root) = &house.settings.webhooks.files_folder else { return };
    loop {
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(house.now().as_micros()).unwrap_or_default());
        let removed = object::sweep_below(root.clone(), now, PIECES_STAY).await;
        if removed > 0 {
            tracing::info!(removed, "pieces of files were removed that nobody writes any more");
        }
        tokio::time::sleep(PIECES_STAY).await;
    }
}
