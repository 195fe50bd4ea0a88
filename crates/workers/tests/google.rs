//! Google Wallet: keys, objects and holders, against a simulated Google over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{sync::Arc, time::Duration};

use domain::Clock as _;
use google_wallet::callback::RootKeys;
use house::{House, until};
use parking_lot::Mutex;
use simulators::google::{GoogleServer, Options};
use workers::GoogleSettings;

async fn google(house: &House) -> GoogleServer {
    let clock = Arc::clone(&house.clock);
    GoogleServer::start(Options::new(move || clock.now().as_millis())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_keys_are_fetched_at_the_start_and_again_before_they_expire() {
    let mut house = House::new().await;
    let google = google(&house).await;
    let seen = Arc::new(Mutex::new(Vec::<RootKeys>::new()));
    let keep = Arc::clone(&seen);
    house.google =
        GoogleSettings { root_keys_url: google.root_keys_url(), ..GoogleSettings::new(move |keys| keep.lock().push(keys)) };
    let workers = house.workers().await;
    until("the first keys", async || !seen.lock().is_empty()).await;
    let first = seen.lock()[0].earliest_expiry_millis().unwrap();
    assert!(first > house.clock.now().as_millis());
    workers.drain(Duration::from_secs(5)).await;
    assert_eq!(seen.lock().len(), 1, "nothing asks for them again so soon");
    let again = house.workers().await;
    until("keys after a restart", async || seen.lock().len() == 2).await;
    again.drain(Duration::from_secs(5)).await;
}
