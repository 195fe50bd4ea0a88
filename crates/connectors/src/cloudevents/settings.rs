//! What can be set for a source of CloudEvents.

use crate::kit::webhook::settings_with;
use crate::kit::{ENABLED, STRICT, Setting, Takes, USER};

/// The settings of a source.
pub const SOURCE_SETTINGS: &[Setting] = &[ENABLED, STRICT, USER];

/// The settings of a webhook.
pub const SETTINGS: &[Setting] = settings_with![Setting {
    name: "mode",
    value: "`structured` or `binary`",
    takes: Takes::Choice(&["structured", "binary"]),
    default: "`structured`",
    about: "Whether attributes and data stand in the body together, or the attributes in headers and the data in the body.",
}];
