//! PassEngine's webhooks as a source, so that an account there can be mirrored or moved. Set-up and limits: `README.md`
//! beside this file.

mod destination;
pub mod settings;
mod source;

pub use destination::told;

use std::time::Duration;

use crate::catalog::{Descriptor, Destination, Maturity, Preset, Proof, Source};
use crate::kit::{MAX_BODY_BYTES, retry, tracking, webhook};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "passengine",
    label: "PassEngine",
    maturity: Maturity::Beta,
    hosts: &[],
    source_settings: settings::SOURCE_SETTINGS,
    settings: settings::SETTINGS,
    presets: &[Preset {
        slug: "mirrors-passes",
        about: "Has a pass here for every pass there, by its id, revoked and active as that is, and counts its scans.",
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
    destination: Some(Destination {
        profile: retry::Profile {
            pauses: Some(&[1, 30, 300]),
            disable_after: Some(5),
            most_targets: Some(10),
            deadline: Some(Duration::from_secs(30)),
        },
        ..webhook::shape(destination::wants, destination::render)
    }),
};
