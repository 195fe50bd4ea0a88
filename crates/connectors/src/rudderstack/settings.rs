//! What can be set for RudderStack as a source and as a destination.

use crate::kit::tracking::destination::WRITE_KEY;
use crate::kit::{Setting, Takes, crm, webhook};

/// The settings of a source.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "enabled",
        value: "true or false",
        takes: Takes::Own,
        default: "true",
        about: "Whether events are taken. When not, senders get 404, as from RudderStack's gateway for a disabled source.",
    },
    Setting {
        name: "strict",
        value: "true or false",
        takes: Takes::Own,
        default: "false",
        about: "Whether one event that cannot be read fails its whole request with RudderStack's own 400. Otherwise the \
                good events are taken and the bad one is kept with its reason.",
    },
];

const DATA_PLANE: Setting =
    Setting { name: "url", value: "URL", takes: Takes::Own, default: "required", about: "The address of your data plane." };

/// The settings of a destination.
pub const DESTINATION: &[Setting] = &[
    webhook::PROJECT,
    webhook::WALLET,
    webhook::TEMPLATES,
    webhook::EVENTS,
    webhook::FILTER,
    webhook::SWITCH_OFF,
    webhook::EGRESS,
    webhook::BACKFILL,
    webhook::BACKFILL_EVERYTHING,
    DATA_PLANE,
    WRITE_KEY,
    crm::KEY,
];
