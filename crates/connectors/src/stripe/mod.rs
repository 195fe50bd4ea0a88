//! Stripe as a source. Set-up and limits: `README.md` beside this file.

pub mod settings;
mod source;

use crate::catalog::{Descriptor, Maturity, Preset, Proof, Source};
use crate::kit::{MAX_BODY_BYTES, tracking};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "stripe",
    label: "Stripe",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: settings::SETTINGS,
    settings: &[],
    presets: &[
        Preset {
            slug: "checkout-issues-a-pass",
            about: "Issues a pass when a checkout is paid.",
            flow: include_str!("presets/checkout-issues-a-pass.yaml"),
        },
        Preset {
            slug: "subscription-deleted-revokes",
            about: "Revokes the customer's pass when the subscription ends.",
            flow: include_str!("presets/subscription-deleted-revokes.yaml"),
        },
    ],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::SenderSecret,
        api: false,
        credential: tracking::credential,
        secret_form: None,
        greet: None,
        verify: source::verify,
        decode: source::decode,
        max_body_bytes: MAX_BODY_BYTES,
    }),
    destination: None,
};
