//! Webhooks of one level of members, for tools such as Zapier, Make and n8n. What is sent: `README.md` beside this file.

mod destination;
pub mod settings;

use crate::catalog::{Descriptor, Maturity};
use crate::kit::webhook;

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "flat",
    label: "Flat JSON",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: &[],
    settings: settings::SETTINGS,
    presets: &[],
    readme: include_str!("README.md"),
    source: None,
    destination: Some(webhook::shape(destination::wants, destination::render)),
};
