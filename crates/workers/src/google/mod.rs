//! Google's side of the workers.
//!
//! - The *notice* reader of each shard finds passes whose content changed and notes that Google shall hear of them.
//! - A *lane* per Google account, run by whoever holds the shard that the account's Google project falls on, tells Google:
//!   it inserts and patches, at most 20 requests in any second, and notes what Google has. All requests of a project go
//!   through one place, so that the limit holds over all nodes.
//! - A lane that finds a project whose passes it has not spoken for *introduces* them: those that were issued before.
//! - *Drift* compares what Google says about holders with what its call-backs told.
//! - The root keys, by which call-backs prove themselves, are kept fresh.
//!
//! Everything converges from rows: what is not settled is done again, and can be. The one thing that must not be done
//! twice, a message that notifies, is announced in the row before it is sent and looked for at Google before it is repeated.
//!
//! Requests that may go at the same moment go as one, to Google's `/batch` address; each takes its slot of the 20 all the same, as
//! Google counts what is inside.

mod drift;
mod dry_run;
mod flight;
mod flight_news;
mod introduce;
mod lane;
mod line;
mod memory;
mod news;
mod notice;
mod pacer;
mod post;
mod roots;
mod shapes;
mod sync;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use domain::Timestamp;
use google_wallet::callback::RootKeys;

pub(crate) use lane::run as run_lanes;
pub(crate) use notice::{account, asked, run as notice};
pub(crate) use pacer::Pacers;
pub(crate) use roots::run as keep_roots;

/// Waits from one time to another.
pub type Sleep = Arc<dyn Fn(Timestamp, Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// How to reach Google Wallet, and how Google reaches us.
#[derive(Clone)]
pub struct GoogleSettings {
    /// The REST interface.
    pub api_url: String,
    /// Where access tokens are granted, instead of the address in each account's key file.
    pub token_url: Option<String>,
    /// Where Google publishes the keys that its call-backs are signed with.
    pub root_keys_url: String,
    /// Where the outside reaches us: Google fetches images there.
    pub public_url: String,
    /// Where Google tells of passes saved and deleted; none to be told nothing.
    pub callback_url: Option<String>,
    /// How often what Google says about holders is compared with what we know.
    pub drift_every: Duration,
    /// Takes the root keys whenever they were fetched.
    pub on_root_keys: Arc<dyn Fn(RootKeys) + Send + Sync>,
    /// Waits for the pace of requests, by the same clock as the workers'.
    pub sleep: Sleep,
}

impl std::fmt::Debug for GoogleSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GoogleSettings")
            .field("api_url", &self.api_url)
            .field("token_url", &self.token_url)
            .field("root_keys_url", &self.root_keys_url)
            .field("callback_url", &self.callback_url)
            .finish_non_exhaustive()
    }
}

impl GoogleSettings {
    /// Google itself, for a server that is reached at an address; call-backs need https.
    pub fn new(public_url: &str, on_root_keys: impl Fn(RootKeys) + Send + Sync + 'static) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        let callback_url = public_url.starts_with("https://").then(|| format!("{public_url}/google/callback"));
        let until = |now: Timestamp, at: Timestamp| {
            Duration::from_micros(u64::try_from(at.as_micros().saturating_sub(now.as_micros())).unwrap_or(0))
        };
        Self {
            api_url: google_wallet::rest::BASE.to_owned(),
            token_url: None,
            root_keys_url: google_wallet::callback::ROOT_KEYS_URL.to_owned(),
            public_url,
            callback_url,
            drift_every: Duration::from_secs(86_400),
            on_root_keys: Arc::new(on_root_keys),
            sleep: Arc::new(move |now, at| Box::pin(tokio::time::sleep(until(now, at)))),
        }
    }

    /// Whether somebody else plays Google, who may know keys that Google does not.
    pub(crate) fn is_simulated(&self) -> bool {
        self.api_url != google_wallet::rest::BASE
    }
}
