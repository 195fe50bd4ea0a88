//! Webhooks in our own shape: everything that an event says. What is sent for which event: `README.md` beside this file.

mod destination;
pub mod settings;

pub use destination::{body, sample, view};

use crate::catalog::{Descriptor, Maturity};
use crate::kit::webhook;

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "native",
    label: "Passbridge",
    maturity: Maturity::Ready,
    hosts: &[],
    source_settings: &[],
    settings: settings::SETTINGS,
    presets: &[],
    readme: include_str!("README.md"),
    source: None,
    destination: Some(webhook::shape(destination::wants, destination::render)),
};
