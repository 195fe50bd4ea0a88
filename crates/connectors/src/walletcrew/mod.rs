//! The Wallet Crew's webhooks as a source, so that an account there can be mirrored or moved. Set-up and limits: `README.md`
//! beside this file.

mod destination;
pub mod settings;
mod source;

use std::time::Duration;

use crate::catalog::{Descriptor, Destination, Maturity, Preset, Proof, Source};
use crate::kit::{MAX_BODY_BYTES, retry, tracking, webhook};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "walletcrew",
    label: "The Wallet Crew",
    maturity: Maturity::Beta,
    hosts: &[],
    source_settings: settings::SOURCE_SETTINGS,
    settings: settings::SETTINGS,
    presets: &[Preset {
        slug: "mirrors-passes",
        about: "Has a pass here for every pass there, by its id, in the wallets that have it, and counts its scans.",
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
        profile: retry::Profile { deadline: Some(Duration::from_secs(30)), ..retry::Profile::STANDARD },
        ..webhook::shape(destination::wants, destination::render)
    }),
};
