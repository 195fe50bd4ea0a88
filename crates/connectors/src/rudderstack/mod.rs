//! RudderStack as a source, through its webhook destination and as the data plane of its SDKs; Segment's SDKs speak the
//! same protocol. Set-up and limits: `README.md` beside this file.

mod normal;
pub mod settings;
mod source;
mod time;
mod wire;

pub use source::{credential, decode, verify};
pub use wire::{Call, MAX_BODY_BYTES, MAX_DECODED_BYTES, MAX_EVENT_BYTES, MAX_EVENTS};

use crate::catalog::{Descriptor, Maturity, Source};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "rudderstack",
    label: "RudderStack",
    maturity: Maturity::Ready,
    hosts: &[],
    settings: settings::SETTINGS,
    readme: include_str!("README.md"),
    source: Some(Source { credential, verify, decode, max_body_bytes: MAX_BODY_BYTES }),
    destination: None,
};
