//! Streams of NATS JetStream as a destination. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use std::time::Duration;

use crate::catalog::{Carrier, Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Pace, retry, stream};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "nats",
    label: "NATS JetStream",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: &[],
    settings: settings::SETTINGS,
    presets: &[],
    readme: include_str!("README.md"),
    source: None,
    destination: Some(Destination {
        wants: stream::wants,
        render: destination::render,
        judge: stream::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace {
            events: stream::MOST,
            linger: Duration::from_millis(20),
            pause: Duration::from_millis(100),
            rest: Duration::ZERO,
        },
        vendor: Some(Vendor {
            takes_url: true,
            carrier: Carrier::Nats(destination::account),
            in_order: true,
            ..Vendor::new(destination::check)
        }),
    }),
};
