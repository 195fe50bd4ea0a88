//! Calls of any HTTP API, put together from templates. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use crate::catalog::{Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Pace, retry, webhook};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "http-call",
    label: "HTTP call",
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
        judge: webhook::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace::SINGLE,
        vendor: Some(Vendor {
            takes_url: true,
            signs: true,
            around: Some(destination::around),
            ..Vendor::new(destination::check)
        }),
    }),
};
