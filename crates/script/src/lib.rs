//! What users write that runs here, each kind under limits of its own: code in JavaScript (transformations written for
//! RudderStack and connectors written for The Wallet Crew, unchanged) and texts with placeholders in Jinja's syntax ([`text`]).
//!
//! A [`Program`] is an ES module that exports `transformEvent(event, metadata)` or `transformBatch(events, metadata)`, with
//! libraries that it imports by name. It runs on QuickJS, in a context of its own for every batch or [`Feed`], so that nothing
//! outlives it and nothing of one organization is ever seen by another. There is no socket, no file, no clock to wait on: what
//! the outside is needed for goes through the [`Host`] that the caller hands in.
//!
//! Everything is bounded ([`Limits`]): time, memory, stack, log, output, calls of the host. An event on which the code
//! fails or never ends fails alone: a context that had to be stopped is thrown away and the others go on in a new one.
//!
//! What is kept of RudderStack's model is described at
//! <https://www.rudderstack.com/docs/transformations/overview/>. Differences: no `Intl` and no locale formatting
//! ([`Program::warnings`] points them out); events of a batch run one after another, so that their order is kept; none of
//! RudderStack's built-in `@rs/…` libraries.

pub mod jq;
pub mod js;
pub mod text;

mod connector;
mod fault;
mod globals;
mod limits;
mod program;
mod run;
mod sandbox;

pub use connector::{Called, Connector, Registered};
pub use fault::{Fault, FaultKind};
pub use limits::{Limits, MAX_SOURCE_BYTES};
pub use program::{Entry, Program, Warning};
pub use run::{Feed, Input, LogLine, Outcome, Transformed};

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// A request that the code makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET unless told.
    pub method: String,
    /// As the code wrote it; whoever sends it judges the address.
    pub url: String,
    /// By name.
    pub headers: BTreeMap<String, String>,
    /// Text, or JSON of whatever else was given.
    pub body: Option<String>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// As text.
    pub body: String,
}

/// What the code may ask of the outside. Every call blocks the code until it answers.
pub trait Host: Send + Sync {
    /// Time since some fixed moment, which never goes back; the time limit is measured by it.
    fn elapsed(&self) -> Duration;

    /// Sends a request, under the caller's own rules for addresses, time and size.
    ///
    /// # Errors
    /// A sentence for the author of the code.
    fn fetch(&self, request: &Request) -> Result<Reply, String> {
        Err(format!("fetch is not available here: {}", request.url))
    }

    /// Where an address is, as an object with `city`, `country`, `lat` and so on.
    ///
    /// # Errors
    /// A sentence for the author of the code.
    fn place(&self, ip: &str) -> Result<Value, String> {
        Err(format!("no places are known here: {ip}"))
    }

    /// A secret that the organization keeps for its transformations.
    fn credential(&self, _key: &str) -> Option<String> {
        None
    }
}
