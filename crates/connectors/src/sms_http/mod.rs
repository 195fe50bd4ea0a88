//! Messages to holders by SMS through any HTTP API. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use domain::Channel;

use crate::catalog::{Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Messenger, Pace, retry};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "sms-http",
    label: "SMS (HTTP API)",
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
        judge: destination::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace::SINGLE,
        vendor: Some(Vendor {
            takes_url: true,
            messenger: Some(Messenger {
                channel: Channel::Sms,
                knows_again: destination::knows_again,
                read: destination::read,
                hear: None,
            }),
            ..Vendor::new(destination::check)
        }),
    }),
};
