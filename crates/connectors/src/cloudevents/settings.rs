//! What can be set for a source of CloudEvents.

use crate::kit::{ENABLED, STRICT, Setting, USER};

/// The settings.
pub const SETTINGS: &[Setting] = &[ENABLED, STRICT, USER];
