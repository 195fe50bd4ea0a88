//! What can be set for Segment as a source and as a destination.

use crate::kit::tracking::destination::WRITE_KEY;
use crate::kit::vendor::vendor_settings;
use crate::kit::{ENABLED, Setting, Takes, crm, webhook};

/// The settings of a source.
pub const SETTINGS: &[Setting] = &[
    ENABLED,
    Setting {
        name: "strict",
        value: "true or false",
        takes: Takes::Own,
        default: "false",
        about: "Whether one event that cannot be read fails its whole request with 400. Otherwise the good events are taken and \
                the bad one is kept with its reason.",
    },
];

pub(super) const REGION: Setting = Setting {
    name: "region",
    value: "`us` or `eu`",
    takes: Takes::Choice(&["us", "eu"]),
    default: "us",
    about: "Where your workspace is.",
};

/// The settings of a destination.
pub const DESTINATION: &[Setting] =
    vendor_settings![webhook::BACKFILL, webhook::BACKFILL_EVERYTHING, WRITE_KEY, REGION, crm::KEY];
