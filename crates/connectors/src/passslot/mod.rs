//! PassSlot's webhooks as a source, so that an account there can be mirrored or moved. Set-up and limits: `README.md`
//! beside this file.

mod destination;
pub mod settings;
mod source;

use crate::catalog::{Descriptor, Maturity, Preset, Proof, Source};
use crate::kit::{MAX_BODY_BYTES, tracking, webhook};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "passslot",
    label: "PassSlot",
    maturity: Maturity::Beta,
    hosts: &[],
    source_settings: settings::SOURCE_SETTINGS,
    settings: settings::SETTINGS,
    presets: &[Preset {
        slug: "mirrors-passes",
        about: "Has a pass here for every pass there, by its id, on the phones that have it, and counts redemptions.",
        flow: include_str!("presets/mirrors-passes.yaml"),
    }],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::SecretOrKey,
        api: false,
        credential: tracking::credential,
        secret_form: None,
        greet: Some(source::greet),
        verify: source::verify,
        decode: source::decode,
        max_body_bytes: MAX_BODY_BYTES,
    }),
    destination: Some(webhook::shape(destination::wants, destination::render)),
};
