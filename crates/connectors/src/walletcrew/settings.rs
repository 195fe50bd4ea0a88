//! What can be set for a source.

use crate::kit::webhook::{PACE_OF_30, SWITCH_OFF, settings_with};
use crate::kit::{ENABLED, STRICT, Setting, Takes, USER};

/// The settings of a source.
pub const SOURCE_SETTINGS: &[Setting] = &[ENABLED, STRICT, USER];

/// The settings of a webhook.
pub const SETTINGS: &[Setting] = settings_with![PACE_OF_30, SWITCH_OFF; Setting {
    name: "signature_encoding",
    value: "`hex` or `base64`",
    takes: Takes::Choice(&["hex", "base64"]),
    default: "`hex`",
    about: "How `X-NEOSTORE-SIGNATURE` is written; The Wallet Crew does not publish which it uses.",
}];
