//! What can be set for a source.

use crate::kit::webhook::settings_with;
use crate::kit::{ENABLED, STRICT, Setting, USER};

/// The settings of a source.
pub const SOURCE_SETTINGS: &[Setting] = &[ENABLED, STRICT, USER];

/// The settings of a webhook.
pub const SETTINGS: &[Setting] = settings_with![];
