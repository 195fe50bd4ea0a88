//! Tables of a PostgreSQL database as a destination, for analysts. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use std::time::Duration;

use crate::catalog::{Carrier, Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Pace, retry, rows, tracking};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "postgresql",
    label: "PostgreSQL",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: &[],
    settings: settings::SETTINGS,
    presets: &[],
    readme: include_str!("README.md"),
    source: None,
    destination: Some(Destination {
        wants: rows::wants,
        render: destination::render,
        judge: destination::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace {
            events: destination::MOST,
            linger: Duration::from_millis(50),
            pause: Duration::from_millis(250),
            rest: Duration::ZERO,
        },
        vendor: Some(Vendor {
            takes_url: true,
            state: Some(tracking::destination::known),
            holds: Some(destination::HOLDS),
            carrier: Carrier::Database(destination::account),
            ..Vendor::new(destination::check)
        }),
    }),
};
