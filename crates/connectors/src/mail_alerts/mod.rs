//! Mail to whoever runs this server, when something needs them. Set-up and limits: `README.md` beside this file.

mod destination;
pub mod settings;

use std::time::Duration;

use crate::catalog::{Carrier, Descriptor, Destination, Maturity, Vendor};
use crate::kit::{Pace, mail, retry};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "mail-alerts",
    label: "E-mail to the operator",
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
        // What happened at once comes in one mail, and the last one is in the log before it is asked when that was.
        pace: Pace {
            events: destination::MOST,
            linger: Duration::from_secs(2),
            pause: Duration::from_secs(5),
            rest: Duration::ZERO,
        },
        vendor: Some(Vendor {
            takes_url: true,
            carrier: Carrier::Mail,
            alerts_every: Some(settings::every),
            ..Vendor::new(destination::check)
        }),
    }),
};
