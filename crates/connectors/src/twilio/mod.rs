//! Messages to holders by SMS through Twilio. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;
mod status;

use domain::Channel;

use crate::catalog::{Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Messenger, Pace, retry};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "twilio",
    label: "Twilio (SMS)",
    maturity: Maturity::Beta,
    hosts: &["api.twilio.com"],
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
        pace: Pace::SINGLE,
        vendor: Some(Vendor {
            messenger: Some(Messenger {
                channel: Channel::Sms,
                knows_again: |_| false,
                read: destination::read,
                hear: Some(status::hear),
            }),
            ..Vendor::new(destination::check)
        }),
    }),
};
