//! WooCommerce as a source. Set-up and limits: `README.md` beside this file.

pub mod settings;
mod source;

use crate::catalog::{Descriptor, Maturity, Preset, Proof, Source};
use crate::kit::{MAX_BODY_BYTES, tracking};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "woocommerce",
    label: "WooCommerce",
    maturity: Maturity::Beta,
    hosts: &[],
    source_settings: settings::SETTINGS,
    settings: &[],
    presets: &[Preset {
        slug: "order-completed-issues-or-updates",
        about: "Issues a pass to the customer of an order that is paid or completed, or updates the one that is there.",
        flow: include_str!("presets/order-completed-issues-or-updates.yaml"),
    }],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::OurSecret,
        api: false,
        credential: tracking::credential,
        secret_form: None,
        greet: Some(source::greet),
        verify: source::verify,
        decode: source::decode,
        max_body_bytes: MAX_BODY_BYTES,
    }),
    destination: None,
};
