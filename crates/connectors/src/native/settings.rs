//! What can be set for a webhook of this shape.

use crate::kit::Setting;
use crate::kit::webhook::{PAYLOAD, settings_with};

/// The settings.
pub const SETTINGS: &[Setting] = settings_with![PAYLOAD];
