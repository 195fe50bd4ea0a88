//! What can be set for a source.

use crate::kit::webhook::{PACE_OF_30, SWITCH_OFF_AFTER_5, settings_with};
use crate::kit::{ENABLED, STRICT, Setting, USER};

/// The settings of a source.
pub const SOURCE_SETTINGS: &[Setting] = &[ENABLED, STRICT, USER];

/// The settings of a webhook.
pub const SETTINGS: &[Setting] = settings_with![PACE_OF_30, SWITCH_OFF_AFTER_5;];
