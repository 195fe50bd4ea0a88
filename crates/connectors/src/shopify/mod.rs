//! Shopify as a source. Set-up and limits: `README.md` beside this file.

pub mod settings;
mod source;

use crate::catalog::{Descriptor, Maturity, Preset, Proof, Source};
use crate::kit::{MAX_BODY_BYTES, tracking};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "shopify",
    label: "Shopify",
    maturity: Maturity::Beta,
    hosts: &[],
    source_settings: settings::SETTINGS,
    settings: &[],
    presets: &[
        Preset {
            slug: "order-paid-issues-or-updates",
            about: "Issues a pass to the customer of a paid order, or updates the one that is there.",
            flow: include_str!("presets/order-paid-issues-or-updates.yaml"),
        },
        Preset {
            slug: "customer-deleted-deletes",
            about: "Deletes the pass of a customer whom the shop deletes.",
            flow: include_str!("presets/customer-deleted-deletes.yaml"),
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
