//! Keeps Google's root keys: fetched at the start, and anew when half of their life has passed.
//!
//! Nobody can make us fetch them, least of all by sending call-backs with bad signatures: the time of the next fetch
//! follows from the keys and from our own failures alone.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::Timestamp;
use google_wallet::callback::{MAX_KEYS_BYTES, RootKeys};
use http::Request;
use outbound::http::Limits;
use tokio::sync::watch;

use crate::shard::House;

/// The bounds of one fetch.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(20), max_body: MAX_KEYS_BYTES };
/// Keys are fetched anew at least so often.
const LONGEST_KEPT: Duration = Duration::from_secs(12 * 3_600);
/// And never more often, however soon they expire.
const SHORTEST_KEPT: Duration = Duration::from_secs(60);
/// First pause after a failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);
/// How often the clock is looked at while waiting: it may be put forward.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Fetches and keeps until told to stop.
pub(crate) async fn run(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let next = match fetch(&house).await {
            Ok(keys) => {
                pause = FIRST_PAUSE;
                let next = refresh_at(&keys, house.now());
                (house.google.on_root_keys)(keys);
                next
            }
            Err(why) => {
                tracing::warn!(why, url = house.google.root_keys_url, "Google's root keys were not fetched; trying again");
                let jitter = Duration::from_millis(house.random() % 1_000);
                let next = house.now().plus(pause + jitter);
                pause = (pause * 2).min(LONGEST_PAUSE);
                next
            }
        };
        if wait_until(&house, &mut stop, next).await {
            return;
        }
    }
}

/// Waits; true when told to stop.
async fn wait_until(house: &House, stop: &mut watch::Receiver<bool>, at: Timestamp) -> bool {
    while let Some(left) = left(house.now(), at) {
        tokio::select! {
            // A sender that is gone means the same.
            _ = stop.wait_for(|stopping| *stopping) => return true,
            () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
        }
    }
    false
}

fn left(now: Timestamp, at: Timestamp) -> Option<Duration> {
    u64::try_from(at.as_micros() - now.as_micros()).ok().filter(|left| *left > 0).map(Duration::from_micros)
}

async fn fetch(house: &House) -> Result<RootKeys, String> {
    let request = Request::get(&house.google.root_keys_url).body(Bytes::new()).map_err(|error| error.to_string())?;
    let reply = house.client.send(request, LIMITS).await.map_err(|failure| failure.to_string())?;
    if !reply.status.is_success() {
        return Err(format!("the answer was {}", reply.status));
    }
    RootKeys::parse(&reply.body, house.now().as_millis()).map_err(|error| error.to_string())
}

/// When half of the shortest life of the keys has passed.
fn refresh_at(keys: &RootKeys, now: Timestamp) -> Timestamp {
    let life = keys.earliest_expiry_millis().and_then(|expiry| u64::try_from(expiry - now.as_millis()).ok());
    let half = life.map_or(LONGEST_KEPT, |life| Duration::from_millis(life / 2));
    now.plus(half.clamp(SHORTEST_KEPT, LONGEST_KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(life: Duration) -> RootKeys {
        let expires = life.as_millis();
        let json = format!(
            r#"{{"keys": [{{"keyValue": "AA==", "protocolVersion": "ECv2SigningOnly", "keyExpiration": "{expires}"}}]}}"#
        );
        RootKeys::parse(json.as_bytes(), 0).unwrap()
    }

    #[test]
    fn keys_are_fetched_anew_at_half_their_life() {
        let now = Timestamp::from_micros(0);
        let after = |life: u64| refresh_at(&keys(Duration::from_secs(life)), now).as_seconds();
        assert_eq!(after(3_600), 1_800);
        assert_eq!(after(10), 60, "not in a hurry");
        assert_eq!(after(365 * 86_400), 12 * 3_600, "not trusted for a year");
    }
}
