//! The connectors there are, alphabetical. A new one is a folder and a line here.

use domain::{EventKind, Target, Timestamp};

use crate::kit::{
    Arrival, Authentic, Decoded, Inbound, KeyHash, Outcome, Owed, Refused, Reply, Secrets, Sending, Setting, WriteKey,
};
use crate::{passkit, rudderstack};

/// Every connector.
pub const CONNECTORS: &[Descriptor] = &[passkit::DESCRIPTOR, rudderstack::DESCRIPTOR];

/// The connector of that slug.
pub fn find(slug: &str) -> Option<&'static Descriptor> {
    CONNECTORS.iter().find(|connector| connector.slug == slug)
}

/// What a connector is and can do.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// Its name in configuration: lower case letters, digits and hyphens.
    pub slug: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// How far it has come.
    pub maturity: Maturity,
    /// Hosts of the vendor that it may call; empty when it calls none, or only what a user configures.
    pub hosts: &'static [&'static str],
    /// What can be set.
    pub settings: &'static [Setting],
    /// Set-up at the vendor, limits and retries, in Markdown.
    pub readme: &'static str,
    /// What takes events from the vendor.
    pub source: Option<Source>,
    /// What sends events to the vendor, or in its shape.
    pub destination: Option<Destination>,
}

/// How far a connector has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maturity {
    /// Tried with the vendor's own clients.
    Ready,
    /// Built to public documentation, not yet tried with the vendor.
    Beta,
}

/// The functions of a source.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// The credential that a request carries, to find its source by.
    pub credential: fn(&Inbound) -> Option<WriteKey>,
    /// Lets a request in, or not.
    pub verify: fn(Inbound, &KeyHash) -> Result<Authentic, Refused>,
    /// The events of a request. Never panics.
    pub decode: fn(&Authentic, &Arrival) -> Decoded,
    /// Most bytes of a request, inflated.
    pub max_body_bytes: usize,
}

/// The functions of a destination.
#[derive(Debug, Clone, Copy)]
pub struct Destination {
    /// Whether it has a word for a kind of event.
    pub wants: fn(EventKind) -> bool,
    /// The requests that carry the events, in their order. Events that the destination has no word for are covered by none.
    pub render: fn(&[Owed<'_>], &Target, &Secrets, Timestamp) -> Vec<Sending>,
    /// What the reply to a request means for each of the events that it covers. No reply is a failure on the way.
    pub judge: fn(Option<&Reply>, usize, Timestamp) -> Vec<Outcome>,
}
