//! Webhooks in PassKit's shape: the same body, verbs and event names, so that receivers built for PassKit work unchanged,
//! with Standard Webhooks headers beside. What is sent for which event: `README.md` beside this file.

mod destination;
mod record;
pub mod settings;
mod wire;

pub use destination::{body, judge, render, wants};
pub use wire::protocol;

use crate::catalog::{Descriptor, Destination, Maturity};

/// The catalog's entry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    slug: "passkit",
    label: "Webhook (PassKit's shape)",
    maturity: Maturity::Ready,
    hosts: &[],
    settings: settings::SETTINGS,
    readme: include_str!("README.md"),
    source: None,
    destination: Some(Destination { wants, render: destination::render_all, judge: destination::judge_all }),
};
