//! Messages to holders by e-mail. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use domain::Channel;

use crate::catalog::{Carrier, Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Messenger, Pace, mail, retry};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "smtp",
    label: "E-mail (SMTP)",
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
        judge: mail::judge,
        profile: retry::Profile::STANDARD,
        pace: Pace::SINGLE,
        vendor: Some(Vendor {
            takes_url: true,
            carrier: Carrier::Mail,
            messenger: Some(Messenger { channel: Channel::Email, knows_again: |_| true, read: mail::read, hear: None }),
            ..Vendor::new(destination::check)
        }),
    }),
};
