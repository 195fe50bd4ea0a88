//! What can be set for a Segment source; the values live in [`domain::Source`].

use crate::kit::{ENABLED, Setting, Takes};

/// The settings.
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
