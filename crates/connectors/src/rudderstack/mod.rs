//! RudderStack as a source, through its webhook destination and as the data plane of its SDKs; Segment's SDKs speak the
//! same protocol. Set-up and limits: `README.md` beside this file.

pub mod settings;

use crate::catalog::{Descriptor, Maturity, Proof, Source};
use crate::kit::{Authentic, Inbound, Lock, Refused, tracking};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "rudderstack",
    label: "RudderStack",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: settings::SETTINGS,
    settings: &[],
    presets: &[],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::Key,
        api: true,
        credential: tracking::credential,
        secret_form: None,
        greet: None,
        verify,
        decode: tracking::decode,
        max_body_bytes: tracking::MAX_BODY_BYTES,
    }),
    destination: None,
};

/// Lets a request in when it carries the source's write key.
fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    lock.by_key(inbound, tracking::credential)
}
