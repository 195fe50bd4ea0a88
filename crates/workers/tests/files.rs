//! Parquet files in a storage that checks signatures, and in Azure's own emulator, read by DuckDB: what is written, and that
//! sending it again overwrites it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{path::Path, time::Duration};

use domain::{TargetId, Validity, Wallet};
use house::{
    House,
    services::{destination, ended, install},
    until,
};
use serde_json::{Value, json};
use store::AttemptOutcome;
use testkit::{
    clients,
    lakes::{ACCOUNT, ACCOUNT_KEY, Azurite},
    objects::{ACCESS_KEY_ID, Objects, REGION, SECRET_ACCESS_KEY},
};

const PATIENCE: Duration = Duration::from_secs(30);

async fn files(house: &House, storage: &Objects, secret: &str) -> TargetId {
    let settings = json!({"bucket": "lake", "prefix": "wallet/events", "region": REGION, "access_key_id": ACCESS_KEY_ID});
    destination(house, "parquet", &storage.url(), settings, &[("secret_access_key", secret)]).await
}

/// What DuckDB finds in the files below a folder.
async fn found_below(folder: &Path, query: &str) -> Vec<Value> {
    let said = clients::python("lake.py", &[folder.to_str().unwrap(), query], "", PATIENCE).await.unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What DuckDB finds in the files.
async fn found(storage: &Objects, query: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    for (key, bytes) in storage.shelf().objects {
        let path = folder.path().join(key.strip_prefix("lake/wallet/events/").unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    found_below(folder.path(), query).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_in_files_that_others_read() {
    let house = House::new().await;
    let storage = Objects::start("lake").await.unwrap();
    let target = files(&house, &storage, SECRET_ACCESS_KEY).await;
    for number in 0..30 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, if number < 20 { Wallet::Apple } else { Wallet::Google }, "phone").await;
    }
    // The first file is kept each of the three times that it is sent, and its answer lost.
    storage.with(|shelf| shelf.lose = 3);
    let workers = house.workers().await;
    until("it failed once", || async { ended(&house, target, AttemptOutcome::Retrying).await == 120 }).await;
    until("all are in files", || async {
        house.clock.forward(Duration::from_secs(10));
        ended(&house, target, AttemptOutcome::Delivered).await == 120
    })
    .await;
    let attempts = house.attempts(target).await;
    let lost = attempts.iter().find(|attempt| attempt.outcome == 2).unwrap();
    assert_eq!(lost.error.as_deref(), Some("the storage answered 500 InternalError"));
    workers.drain(PATIENCE).await;

    let shelf = storage.shelf();
    let mut folders: Vec<&str> = shelf.objects.keys().map(|key| key.rsplit_once('/').unwrap().0).collect();
    folders.dedup();
    assert_eq!(folders.len(), shelf.objects.len(), "the same events again are the same file: {:?}", shelf.puts);
    assert_eq!(shelf.puts.values().max(), Some(&4), "{:?}", shelf.puts);
    let wallets =
        "SELECT wallet, count(*), count(DISTINCT id), min(day)::text FROM TABLE(pass_installed) GROUP BY ALL ORDER BY ALL";
    assert_eq!(found(&storage, wallets).await, [json!(["apple", 20, 20, "2027-01-15"]), json!(["google", 10, 10, "2027-01-15"])]);
    let types = "SELECT DISTINCT typeof(received_at), typeof(uses), typeof(balance_points), typeof(again), typeof(user_id) \
        FROM TABLE(pass_installed)";
    let expected = json!(["TIMESTAMP WITH TIME ZONE", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR"]);
    assert_eq!(found(&storage, types).await, [expected]);
    let tracks = "SELECT event, count(*), count(DISTINCT user_id) FROM TABLE(tracks) GROUP BY ALL ORDER BY ALL";
    assert_eq!(found(&storage, tracks).await, [json!(["pass_created", 30, 30]), json!(["pass_installed", 30, 30])]);
    let newest = "SELECT arg_max(wallet_status, received_at), count(*) FROM TABLE(identifies) WHERE user_id = 'person-25'";
    assert_eq!(found(&storage, newest).await, [json!(["google", 2])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_storage_does_not_take_waits_with_its_word_for_why() {
    let house = House::new().await;
    let storage = Objects::start("lake").await.unwrap();
    let forged = files(&house, &storage, "another-secret").await;
    let target = files(&house, &storage, SECRET_ACCESS_KEY).await;
    storage.with(|shelf| shelf.refuse = vec![(403, "AccessDenied")]);
    let workers = house.workers().await;
    house.issued("1", Validity::default()).await;
    for (target, word) in [(forged, "403 SignatureDoesNotMatch"), (target, "403 AccessDenied")] {
        until(word, || async { ended(&house, target, AttemptOutcome::Retrying).await == 2 }).await;
        let attempt = house.attempts(target).await.remove(0);
        assert_eq!(attempt.error, Some(format!("the storage answered {word}")));
        let detail = house.store.open_detail(&attempt).unwrap().unwrap();
        let detail = String::from_utf8(detail.to_vec()).unwrap();
        assert!(!detail.contains("another-secret") && !detail.contains(SECRET_ACCESS_KEY), "{detail}");
    }
    assert!(storage.shelf().objects.is_empty());
    until("it goes on", || async {
        house.clock.forward(Duration::from_secs(10));
        ended(&house, target, AttemptOutcome::Delivered).await == 2
    })
    .await;
    assert_eq!(found(&storage, "SELECT event FROM TABLE(tracks)").await, [json!(["pass_created"])]);
    workers.drain(PATIENCE).await;
}

/// Ten passes and their installations.
async fn ten_installed(house: &House) {
    for number in 0..10 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(house, &pass, Wallet::Apple, "phone").await;
    }
}

async fn all_delivered(house: &House, target: TargetId, events: usize) {
    until("all are in files", || async {
        house.clock.forward(Duration::from_secs(10));
        ended(house, target, AttemptOutcome::Delivered).await == events
    })
    .await;
}

const WALLETS: &str = "SELECT wallet, count(*), count(DISTINCT id), min(day)::text FROM TABLE(pass_installed) GROUP BY ALL";

/// Azurite checks signatures as Azure does; what it keeps is fetched by the vendor's own client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_takes_files_that_are_signed_with_the_key_of_its_account() {
    let house = House::new().await;
    let azure = Azurite::start("lake").await.unwrap();
    let settings = |bucket: &str| json!({"store": "azure", "bucket": bucket, "prefix": "wallet/events", "account": ACCOUNT});
    let forged = [("account_key", "YW5vdGhlciBrZXk=")];
    let forged = destination(&house, "parquet", azure.url(), settings("lake"), &forged).await;
    let right = [("account_key", ACCOUNT_KEY)];
    let nowhere = destination(&house, "parquet", azure.url(), settings("gone"), &right).await;
    let target = destination(&house, "parquet", azure.url(), settings("lake"), &right).await;
    ten_installed(&house).await;
    let workers = house.workers().await;
    for (refused, why) in [(forged, "403 AuthorizationFailure"), (nowhere, "404 ContainerNotFound")] {
        until(why, || async { ended(&house, refused, AttemptOutcome::Retrying).await > 0 }).await;
        let attempt = house.attempts(refused).await.remove(0);
        assert_eq!(attempt.error, Some(format!("the storage answered {why}")));
    }
    all_delivered(&house, target, 40).await;
    workers.drain(PATIENCE).await;

    let folder = tempfile::tempdir().unwrap();
    azure.fetch("lake", folder.path()).await.unwrap();
    assert_eq!(found_below(&folder.path().join("wallet/events"), WALLETS).await, [json!(["apple", 10, 10, "2027-01-15"])]);
}

/// With a token that the account of the key file signed, each file once however often its answer is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_takes_files_with_the_token_of_a_service_account() {
    const EMAIL: &str = "lake@example.iam.gserviceaccount.com";
    let house = House::new().await;
    let key_file = || google_wallet::ServiceAccount::development_key_file(EMAIL, "https://oauth2.googleapis.com/token").unwrap();
    let (right, forged) = (key_file(), key_file());
    let storage = Objects::google("lake", &right).await.unwrap();
    let made = async |bucket: &str, key_file: &[u8]| {
        let settings = json!({"store": "gcs", "bucket": bucket, "prefix": "wallet/events"});
        destination(&house, "parquet", &storage.url(), settings, &[("key_file", std::str::from_utf8(key_file).unwrap())]).await
    };
    let (forged, nowhere) = (made("lake", &forged).await, made("gone", &right).await);
    let target = made("lake", &right).await;
    storage.with(|shelf| (shelf.lose, shelf.refuse) = (3, vec![(429, "SlowDown")]));
    ten_installed(&house).await;
    let workers = house.workers().await;
    for (refused, why) in [(forged, "401 AuthenticationRequired"), (nowhere, "404 NoSuchBucket")] {
        until(why, || async { ended(&house, refused, AttemptOutcome::Retrying).await > 0 }).await;
        let attempt = house.attempts(refused).await.remove(0);
        assert_eq!(attempt.error, Some(format!("the storage answered {why}")));
    }
    all_delivered(&house, target, 40).await;
    workers.drain(PATIENCE).await;
    let shelf = storage.shelf();
    let folders: std::collections::BTreeSet<&str> = shelf.objects.keys().map(|key| key.rsplit_once('/').unwrap().0).collect();
    assert_eq!(folders.len(), shelf.objects.len(), "the same events again are the same file: {:?}", shelf.puts);
    assert!(shelf.refuse.is_empty() && shelf.lose == 0 && shelf.puts.values().any(|puts| *puts > 1), "{:?}", shelf.puts);
    assert_eq!(found(&storage, WALLETS).await, [json!(["apple", 10, 10, "2027-01-15"])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_the_servers_is_written_as_a_storage_is() {
    let house = House::new().await;
    let allowed = tempfile::tempdir().unwrap();
    let settings = json!({"store": "folder", "prefix": "wallet/events"});
    let target = destination(&house, "parquet", "", settings, &[]).await;
    for number in 0..10 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
    }
    // As long as no folder is allowed, nothing is lost and nothing written.
    let workers = house.workers().await;
    until("it failed once", || async { ended(&house, target, AttemptOutcome::Retrying).await == 40 }).await;
    let why = house.attempts(target).await.remove(0).error.unwrap();
    assert!(why.contains("files_folder"), "{why}");
    workers.drain(PATIENCE).await;

    let mut quick = house::quick();
    quick.webhooks.files_folder = Some(allowed.path().to_owned());
    let own = allowed.path().join(house.org.to_string());
    std::fs::write(&own, "in the way").unwrap();
    let workers = house.workers_with(quick).await;
    until("it failed again", || async {
        house.clock.forward(Duration::from_secs(10));
        ended(&house, target, AttemptOutcome::Retrying).await >= 80
    })
    .await;
    std::fs::remove_file(&own).unwrap();
    until("all are in files", || async {
        house.clock.forward(Duration::from_secs(60));
        ended(&house, target, AttemptOutcome::Delivered).await == 40
    })
    .await;
    workers.drain(PATIENCE).await;
    let wallets = "SELECT wallet, count(*), count(DISTINCT id), min(day)::text FROM TABLE(pass_installed) GROUP BY ALL";
    assert_eq!(found_below(&own.join("wallet/events"), wallets).await, [json!(["apple", 10, 10, "2027-01-15"])]);
}
