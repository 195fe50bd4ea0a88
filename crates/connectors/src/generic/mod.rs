//! JSON from anything that can send it. Set-up and limits: `README.md` beside this file.

pub mod settings;
mod source;

use crate::catalog::{Descriptor, Maturity, Preset, Proof, Source};
use crate::kit::MAX_BODY_BYTES;

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "generic",
    label: "Any JSON webhook",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: settings::SETTINGS,
    settings: &[],
    presets: &[Preset {
        slug: "member-joined-issues",
        about: "Issues a pass to whoever joins, or switches the one that is there on again.",
        flow: include_str!("presets/member-joined-issues.yaml"),
    }],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::SecretOrKey,
        api: false,
        credential: source::credential,
        secret_form: None,
        greet: None,
        verify: source::verify,
        decode: source::decode,
        max_body_bytes: MAX_BODY_BYTES,
    }),
    destination: None,
};
