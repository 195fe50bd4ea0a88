//! Google's side of the kit: a Google that calls back, and lies in one way after another, against any endpoint.
//!
//! The endpoint must take the root keys of this Google for Google's: it is told their address in place of the real one. Right
//! call-backs say that a holder saved or deleted one pass, so it should be one that nobody holds; afterwards it is deleted again.
//! What only its owner can see, whether the pass counts as saved, is handed in.
//!
//! Source: Google, *Use callbacks for saves and deletions*.

mod cases;
mod desk;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

pub use cases::CALLBACK_CASES;
pub(super) use cases::CallbackId;

use super::{Case, Depth, Played, Verdict, bench::Short};
use crate::google::GoogleServer;
use crate::iphone::Network;
use desk::Desk;

/// Whether the pass counts as saved in Google Wallet, by its owner's words; the text says why that cannot be told.
pub type Holds = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<bool, String>> + Send>> + Send + Sync>;

/// The endpoint that is tested, and what helps to test it.
pub struct Endpoint {
    /// The call-back address.
    pub url: String,
    /// The class of the pass: `issuer.suffix`.
    pub class: String,
    /// The pass: `issuer.suffix`.
    pub object: String,
    /// The Google that signs; the endpoint fetches its root keys.
    pub google: Arc<GoogleServer>,
    /// Whether the pass counts as saved.
    pub holds: Option<Holds>,
    /// Call-backs at once in the crowded case.
    pub callers: usize,
    /// How long a right call-back may take until it counts.
    pub patience: Duration,
    /// Sets the nonces of this run apart from those of others; letters and digits.
    pub run: String,
}

/// Plays the cases in their order; `told` hears of each as it ends.
pub async fn play_callbacks(endpoint: &Endpoint, network: &Network, depth: Depth, mut told: impl FnMut(&Played)) -> Vec<Played> {
    let desk = Desk::new(endpoint, network);
    let mut all = Vec::with_capacity(CALLBACK_CASES.len());
    for case in CALLBACK_CASES.iter().filter(|case: &&Case| depth == Depth::Whole || case.only_looks) {
        let verdict = match Box::pin(cases::play(case, &desk)).await {
            Ok(seen) => Verdict::Passed(seen),
            Err(Short::Broken(came)) => Verdict::Failed(came),
            Err(Short::Without(what)) => Verdict::Skipped(what),
        };
        let played = Played { case, verdict };
        told(&played);
        all.push(played);
    }
    if depth == Depth::Whole {
        desk.leave().await;
    }
    all
}
