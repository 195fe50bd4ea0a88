//! The conformance kit: what a phone demands of a pass web service, one case after another, against any implementation.
//!
//! Each case says what Apple demands, what came, and why it matters to a holder. Cases register phones under device ids of
//! their own and unregister them again, so that a server in use is left as it was found; [`Depth::Look`] plays only those that
//! write nothing at all. What only its owner can do, changing and ending a pass, is handed in, as is a push service to watch.
//!
//! [`play_callbacks`] does the same for the other wallet: a Google that calls back, and lies.
//!
//! Source: Apple, *Adding a Web Service to Update Passes* and its endpoints.

mod bench;
mod callback;
mod cases;
mod crowd;
mod fetch;
mod list;
mod registration;
mod update;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

pub use callback::{CALLBACK_CASES, Endpoint, Holds, play_callbacks};
pub use cases::{CASES, Case};

use crate::apns::ApnsServer;
use crate::iphone::{Network, Refused, WalletPass};
use bench::{Bench, Short};

/// A pass as its web service knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// `passTypeIdentifier`.
    pub pass_type: String,
    /// `serialNumber`.
    pub serial: String,
    /// `authenticationToken`.
    pub token: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("pass_type", &self.pass_type).field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Credential {
    /// Out of a package: the credential, and the web service that it names.
    ///
    /// # Errors
    /// When a phone refuses the package, or it names no web service.
    pub fn read(pkpass: &[u8]) -> Result<(Self, String), Refused> {
        let pass = WalletPass::read(pkpass)?;
        let none = || Refused("it names no web service, so no phone ever asks for it".to_owned());
        let service = pass.web_service.ok_or_else(none)?;
        Ok((Self { pass_type: pass.key.pass_type, serial: pass.key.serial, token: service.token }, service.url))
    }
}

/// Changes the pass at its server so that its package differs, or ends it, and returns once that is done; the text says why it could
/// not.
pub type Update = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// What is tested, and what helps to test it.
pub struct Subject {
    /// The web service's address as in `webServiceURL`: before `/v1`, without a slash at its end.
    pub service: String,
    /// The pass that is played with; without one only the few cases are played that need none.
    pub pass: Option<Credential>,
    /// Another pass of the same server.
    pub other: Option<Credential>,
    /// How the pass is changed.
    pub update: Option<Update>,
    /// How the pass is ended for good: revoked, or deleted.
    pub end: Option<Update>,
    /// The push service that the server pushes to.
    pub apns: Option<Arc<ApnsServer>>,
    /// Phones at once in the crowded cases.
    pub phones: usize,
    /// How long a change may take from its owner's side to the list and to the push service.
    pub patience: Duration,
    /// The time, in seconds since 1970; certificates are judged by it.
    pub now: i64,
    /// Sets the device ids of this run apart from those of others; letters and digits.
    pub run: String,
}

/// How much is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Only what writes nothing at the server.
    Look,
    /// Everything.
    Whole,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds; says what was seen.
    Passed(String),
    /// It does not; says what came.
    Failed(String),
    /// It could not be played; says what was missing.
    Skipped(String),
}

/// A case and how it ended.
#[derive(Debug, Clone)]
pub struct Played {
    /// The case.
    pub case: &'static Case,
    /// How it ended.
    pub verdict: Verdict,
}

/// Plays the cases in their order; `told` hears of each as it ends.
pub async fn play(subject: &Subject, network: &Network, depth: Depth, mut told: impl FnMut(&Played)) -> Vec<Played> {
    let bench = Bench::new(subject, network);
    let mut all = Vec::with_capacity(CASES.len());
    for case in CASES.iter().filter(|case| depth == Depth::Whole || case.only_looks) {
        let outcome = Box::pin(cases::play(case, &bench)).await;
        bench.tidy().await;
        let verdict = match outcome {
            Ok(seen) => Verdict::Passed(seen),
            Err(Short::Broken(came)) => Verdict::Failed(came),
            Err(Short::Without(what)) => Verdict::Skipped(what),
        };
        let played = Played { case, verdict };
        told(&played);
        all.push(played);
    }
    all
}
