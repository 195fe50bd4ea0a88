//! HubSpot's contacts as a destination for wallet statuses. Set-up and limits: `README.md` beside this file.

mod destination;
mod held;
mod properties;
pub mod settings;

use std::time::Duration;

use crate::catalog::{Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Pace, crm, retry};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "hubspot",
    label: "HubSpot",
    maturity: Maturity::Beta,
    hosts: &["api.hubapi.com"],
    source_settings: &[],
    settings: settings::SETTINGS,
    presets: &[],
    readme: include_str!("README.md"),
    source: None,
    destination: Some(Destination {
        wants: crm::wants,
        render: destination::render,
        judge: destination::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace {
            events: destination::MOST,
            linger: Duration::from_millis(50),
            pause: Duration::from_millis(110),
            rest: Duration::ZERO,
        },
        vendor: Some(Vendor {
            state: Some(destination::state),
            makes: Some(properties::MAKES),
            holds: Some(held::HOLDS),
            ..Vendor::new(destination::check)
        }),
    }),
};
