//! What can be set for a Stripe source.

use crate::kit::{ENABLED, STRICT, Setting, Takes, USER};

/// The settings.
pub const SETTINGS: &[Setting] = &[
    ENABLED,
    STRICT,
    Setting {
        name: "livemode",
        value: "`any`, `live` or `test`",
        takes: Takes::Choice(&["any", "live", "test"]),
        default: "`any`",
        about: "Which of Stripe's modes are listened to; events of the other are left alone.",
    },
    Setting {
        name: "tolerance",
        value: "60 to 3600 seconds",
        takes: Takes::Whole(60, 3_600),
        default: "300",
        about: "How far the time in the signature may be from now.",
    },
    USER,
];
