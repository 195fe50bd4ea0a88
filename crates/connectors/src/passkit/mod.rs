//! Webhooks in PassKit's shape, out and in. Out: the same body, verbs and event names, so that receivers built for PassKit work
//! unchanged, with Standard Webhooks headers beside. What is sent for which event: `README.md` beside this file.

mod destination;
mod record;
pub mod settings;
pub mod smart_pass;
mod source;
mod wire;

pub use destination::{body, judge, render, wants};
pub use wire::protocol;

use crate::catalog::{Descriptor, Maturity, Preset, Proof, Source};
use crate::kit::{MAX_BODY_BYTES, tracking, webhook};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "passkit",
    label: "PassKit",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: settings::SOURCE_SETTINGS,
    settings: settings::SETTINGS,
    presets: &[Preset {
        slug: "mirrors-passes",
        about: "Has a pass here for every record there, by its id, installed as that is, and revokes it when that ends.",
        flow: include_str!("presets/mirrors-passes.yaml"),
    }],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::SecretOrKey,
        api: false,
        credential: tracking::credential,
        secret_form: None,
        greet: None,
        verify: source::verify,
        decode: source::decode,
        max_body_bytes: MAX_BODY_BYTES,
    }),
    destination: Some(webhook::shape(wants, destination::render_all)),
};
