//! What can be set for a RudderStack source; the values live in [`domain::Source`].

use crate::kit::{Setting, Takes};

/// The settings.
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
