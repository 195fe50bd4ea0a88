//! Segment as a destination, through its tracking API, and as a source: its webhook destination, signed, and the data plane of
//! its SDKs. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;
mod source;

use std::time::Duration;

use crate::catalog::{Descriptor, Destination, Maturity, Preset, Proof, Source, Vendor};
use crate::kit::tracking::destination as outgoing;
use crate::kit::{Pace, retry, tracking, vendor};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "segment",
    label: "Segment",
    maturity: Maturity::Ready,
    hosts: &["api.segment.io", "events.eu1.segmentapis.com"],
    source_settings: settings::SETTINGS,
    settings: settings::DESTINATION,
    presets: &[Preset {
        slug: "signed-up-issues-a-pass",
        about: "Issues a pass to whoever signs up.",
        flow: include_str!("presets/signed-up-issues-a-pass.yaml"),
    }],
    readme: include_str!("README.md"),
    source: Some(Source {
        proof: Proof::SecretOrKey,
        api: true,
        credential: tracking::credential,
        secret_form: None,
        greet: None,
        verify: source::verify,
        decode: tracking::decode,
        max_body_bytes: tracking::MAX_BODY_BYTES,
    }),
    destination: Some(Destination {
        wants: outgoing::wants,
        render: destination::render,
        judge: vendor::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace { events: 100, linger: Duration::from_millis(50), pause: Duration::ZERO, rest: Duration::ZERO },
        vendor: Some(Vendor { state: Some(outgoing::identified), ..Vendor::new(destination::check) }),
    }),
};
