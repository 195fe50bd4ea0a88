//! Salesforce's records as a destination for wallet statuses. Set-up and limits: `README.md` beside this file.

mod destination;
mod held;
pub mod settings;

use std::time::Duration;

use crate::catalog::{Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Pace, crm, retry};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "salesforce",
    label: "Salesforce",
    maturity: Maturity::Beta,
    hosts: &["*.my.salesforce.com"],
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
        pace: Pace { events: destination::MOST, linger: Duration::from_millis(50), pause: Duration::ZERO, rest: Duration::ZERO },
        vendor: Some(Vendor {
            login: Some(destination::login),
            state: Some(destination::state),
            holds: Some(held::HOLDS),
            ..Vendor::new(destination::check)
        }),
    }),
};
