//! What can be set for alerts by mail.

use std::time::Duration;

use domain::{FieldValue, Target};

use crate::kit::mail::{FROM, PASSWORD, URL, USER};
use crate::kit::{Setting, Takes, webhook};

/// Minutes between two mails unless set otherwise.
const EVERY: f64 = 15.0;
/// Most minutes between two mails: a day.
const LONGEST: i64 = 1_440;

pub(super) const TO: Setting = Setting {
    name: "to",
    value: "`ops@example.com`",
    takes: Takes::Text(320),
    default: "required",
    about: "Who gets them: one address, which may be that of a list.",
};
const EVERY_MINUTES: Setting = Setting {
    name: "every_minutes",
    value: "1 to 1440",
    takes: Takes::Whole(1, LONGEST),
    default: "15",
    about: "Least time between two mails. What happens in between comes together in the next.",
};

/// The settings.
pub const SETTINGS: &[Setting] =
    &[webhook::EVENTS, webhook::SWITCH_OFF, webhook::EGRESS, URL, USER, PASSWORD, FROM, TO, EVERY_MINUTES];

/// The least time between two mails.
pub(super) fn every(target: &Target) -> Duration {
    let minutes = match target.settings.get(EVERY_MINUTES.name) {
        Some(FieldValue::Number(number)) => number.as_f64().unwrap_or(EVERY),
        _ => EVERY,
    };
    Duration::from_secs_f64(60.0 * minutes.clamp(1.0, LONGEST as f64))
}
