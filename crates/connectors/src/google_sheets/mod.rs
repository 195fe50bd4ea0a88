//! A Google Sheet as a destination: a row for every event, or for every value of a key column. Set-up and limits: `README.md`
//! beside this file.

mod destination;
pub mod settings;
mod upsert;

use std::time::Duration;

use crate::catalog::{Descriptor, Destination, Looks, Maturity, Vendor};
use crate::kit::{Pace, retry};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "google-sheets",
    label: "Google Sheets",
    maturity: Maturity::Beta,
    hosts: &["sheets.googleapis.com"],
    source_settings: &[],
    settings: settings::SETTINGS,
    presets: &[],
    readme: include_str!("README.md"),
    source: None,
    destination: Some(Destination {
        wants: destination::wants,
        render: destination::render,
        judge: destination::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace {
            events: destination::MOST,
            linger: Duration::from_millis(500),
            pause: Duration::from_millis(1_100),
            rest: Duration::ZERO,
        },
        vendor: Some(Vendor {
            login: Some(destination::login),
            looks: Some(Looks { ask: upsert::ask, render: upsert::render }),
            ..Vendor::new(destination::check)
        }),
    }),
};
