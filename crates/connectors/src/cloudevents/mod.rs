//! CloudEvents 1.0 over HTTP as a source: <https://cloudevents.io>. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;
mod source;

pub(crate) use destination::{attributes, whole};

use crate::catalog::{Descriptor, Maturity, Preset, Proof, Source};
use crate::kit::{MAX_BODY_BYTES, webhook};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "cloudevents",
    label: "CloudEvents",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: settings::SOURCE_SETTINGS,
    settings: settings::SETTINGS,
    presets: &[Preset {
        slug: "member-joined-issues",
        about: "Issues a pass to whoever joins, or switches the one that is there on again.",
        flow: include_str!("presets/member-joined-issues.yaml"),
    }],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::Key,
        api: false,
        credential: source::credential,
        secret_form: None,
        greet: Some(source::greet),
        verify: source::verify,
        decode: source::decode,
        max_body_bytes: MAX_BODY_BYTES,
    }),
    destination: Some(webhook::shape(destination::wants, destination::render)),
};
