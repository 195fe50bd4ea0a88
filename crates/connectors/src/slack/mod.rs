//! Messages in a Slack channel. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use std::time::Duration;

use crate::catalog::{Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Pace, retry};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "slack",
    label: "Slack",
    maturity: Maturity::Beta,
    hosts: &["hooks.slack.com", "hooks.slack-gov.com"],
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
            linger: Duration::from_millis(80),
            pause: Duration::from_millis(1_100),
            rest: Duration::from_secs(1),
        },
        vendor: Some(Vendor::new(destination::check)),
    }),
};
