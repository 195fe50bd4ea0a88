//! Standard Webhooks as a source: <https://www.standardwebhooks.com>. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;
mod source;

use crate::catalog::{Descriptor, Maturity, Preset, Proof, Source};
use crate::kit::{MAX_BODY_BYTES, tracking, webhook};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "standard-webhooks",
    label: "Standard Webhooks",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: settings::SOURCE_SETTINGS,
    settings: settings::SETTINGS,
    presets: &[Preset {
        slug: "contact-created-issues",
        about: "Issues a pass to a new contact, or switches the one that is there on again.",
        flow: include_str!("presets/contact-created-issues.yaml"),
    }],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::SenderSecret,
        api: false,
        credential: tracking::credential,
        secret_form: Some(source::secret_form),
        greet: None,
        verify: source::verify,
        decode: source::decode,
        max_body_bytes: MAX_BODY_BYTES,
    }),
    destination: Some(webhook::shape(destination::wants, destination::render)),
};
