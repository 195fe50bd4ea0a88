//! Parquet files in object storage or a folder as a destination, for data lakes. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use std::time::Duration;

use crate::catalog::{Carrier, Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Pace, retry, rows, tracking};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "parquet",
    label: "Parquet files",
    maturity: Maturity::Beta,
    hosts: &["*.amazonaws.com", "*.blob.core.windows.net", "storage.googleapis.com", Descriptor::OWN_FOLDER],
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
        pace: Pace { events: destination::MOST, linger: Duration::from_secs(10), pause: Duration::ZERO, rest: Duration::ZERO },
        vendor: Some(Vendor {
            state: Some(tracking::destination::known),
            carrier: Carrier::Objects(destination::bucket),
            ..Vendor::new(destination::check)
        }),
    }),
};
