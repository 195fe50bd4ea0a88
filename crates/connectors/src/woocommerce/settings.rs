//! What can be set for a WooCommerce source.

use crate::kit::{ENABLED, STRICT, Setting, USER};

/// The settings.
pub const SETTINGS: &[Setting] = &[ENABLED, STRICT, USER];
