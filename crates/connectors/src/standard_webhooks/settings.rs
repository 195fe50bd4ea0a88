//! What can be set for a source of Standard Webhooks.

use crate::kit::webhook::{PAYLOAD, settings_with};
use crate::kit::{ENABLED, STRICT, Setting, Takes, USER};

/// The settings of a source.
pub const SOURCE_SETTINGS: &[Setting] = &[ENABLED, STRICT, USER];

/// The settings of a webhook.
pub const SETTINGS: &[Setting] = settings_with![
    PAYLOAD,
    Setting {
        name: "signature",
        value: "`symmetric` or `ed25519`",
        takes: Takes::Choice(&["symmetric", "ed25519"]),
        default: "`symmetric`",
        about: "Whether messages are signed with the shared secret (`v1`), or with a key of which the receiver gets the public half (`v1a`, `public_key` of the webhook).",
    }
];
