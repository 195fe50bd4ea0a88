//! A connector of one's own in JavaScript, after The Wallet Crew's model. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use crate::catalog::{Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Pace, retry, vendor};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "custom",
    label: "Custom connector",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: &[],
    settings: settings::SETTINGS,
    presets: &[],
    readme: include_str!("README.md"),
    source: None,
    destination: Some(Destination {
        wants: destination::wants,
        render: destination::render,
        judge: vendor::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace::SINGLE,
        vendor: Some(Vendor { call: Some(destination::call), ..Vendor::new(destination::check) }),
    }),
};
