//! Segment as a source: its webhook destination, signed, and the data plane of its SDKs. Set-up and limits: `README.md`
//! beside this file.

pub mod settings;
mod source;

use crate::catalog::{Descriptor, Maturity, Preset, Proof, Source};
use crate::kit::tracking;

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "segment",
    label: "Segment",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: settings::SETTINGS,
    settings: &[],
    presets: &[Preset {
        slug: "signed-up-issues-a-pass",
        about: "Issues a pass to whoever signs up.",
        flow: include_str!("presets/signed-up-issues-a-pass.yaml"),
    }],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::SecretOrKey,
        api: true,
        credential: tracking::credential,
        secret_form: None,
        greet: None,
        verify: source::verify,
        decode: tracking::decode,
        max_body_bytes: tracking::MAX_BODY_BYTES,
    }),
    destination: None,
};
