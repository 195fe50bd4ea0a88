//! Steps that wait for a time.

use std::time::Duration;

use domain::{Contact, FieldValue, Pass, PassRef, Timestamp};
use serde_json::Value;

use super::expression::{Expression, Given};
use crate::problem::{self, kind};

/// The longest that a step waits, in days.
pub const MAX_WAIT_DAYS: u64 = 400;

/// Until when a step waits, as a plan has it.
#[derive(Debug, Clone)]
pub(super) enum WaitPlan {
    For(Duration),
    Event(Expression),
    Place(Place),
}

/// Until when a step waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// Until then.
    Until(Timestamp),
    /// Until the time that stands there. It is looked up when the wait begins.
    Look(PassRef, Place),
}

/// Where a time stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a field of the pass.
    Field(String),
    /// When the pass begins to be valid.
    StartsAt,
    /// When the pass ends to be valid.
    ExpiresAt,
    /// In a trait of its holder.
    Trait(String),
}

impl Place {
    /// Of a pass: `fields.KEY`, `starts_at` or `expires_at`.
    pub(super) fn of_pass(text: &str) -> Option<Self> {
        match text {
            "starts_at" => Some(Self::StartsAt),
            "expires_at" => Some(Self::ExpiresAt),
            other => other.strip_prefix("fields.").filter(|key| !key.is_empty()).map(|key| Self::Field(key.to_owned())),
        }
    }

    /// Of a contact: `traits.KEY`.
    pub(super) fn of_contact(text: &str) -> Option<Self> {
        text.strip_prefix("traits.").filter(|key| !key.is_empty()).map(|key| Self::Trait(key.to_owned()))
    }

    /// How it is written.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Field(key) => format!("fields.{key} of the pass"),
            Self::StartsAt => "starts_at of the pass".to_owned(),
            Self::ExpiresAt => "expires_at of the pass".to_owned(),
            Self::Trait(key) => format!("traits.{key} of the contact"),
        }
    }

    /// The time that stands there.
    ///
    /// # Errors
    /// When nothing stands there, or no time with its zone, in words without the value.
    pub fn read(&self, pass: &Pass, contact: Option<&Contact>) -> Result<Timestamp, String> {
        let found = match self {
            Self::StartsAt => return pass.validity.starts_at.ok_or_else(|| format!("there is no {}", self.name())),
            Self::ExpiresAt => return pass.validity.expires_at.ok_or_else(|| format!("there is no {}", self.name())),
            Self::Field(key) => pass.fields.get(key),
            Self::Trait(key) => contact.and_then(|contact| contact.traits.get(key)),
        };
        let found = found.ok_or_else(|| format!("nothing at {}", self.name()))?;
        let text = match found {
            FieldValue::Text(text) => Value::from(text.as_str()),
            _ => Value::Null,
        };
        instant(&text).ok().flatten().ok_or_else(|| format!("{EXPECTED} at {}", self.name()))
    }
}

const EXPECTED: &str = "expected a time with its zone such as 2026-11-20T09:30:00+01:00";

/// A point in time as text: RFC 3339, where the zone is never missing.
fn instant(value: &Value) -> Result<Option<Timestamp>, String> {
    match value {
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => text.trim().parse().map(Some).map_err(|_| EXPECTED.to_owned()),
        other => Err(format!("{EXPECTED}, found {}", kind(other))),
    }
}

/// Refuses what lies too far ahead.
///
/// # Errors
/// In words.
pub(super) fn within(until: Timestamp, from: Timestamp) -> Result<Timestamp, String> {
    if until > from.plus(Duration::from_secs(MAX_WAIT_DAYS * 86_400)) {
        return Err(format!("lies more than {MAX_WAIT_DAYS} days ahead"));
    }
    Ok(until)
}

impl Wait {
    /// Until when, as it was looked up.
    ///
    /// # Errors
    /// In words, when it lies too far ahead.
    pub fn found(until: Timestamp, now: Timestamp) -> Result<Self, String> {
        within(until, now).map(Self::Until)
    }
}

impl WaitPlan {
    /// The time of the event, or nothing where it has none.
    pub(super) fn of_event(expression: &Expression, event: &Value, path: &str) -> Result<Timestamp, crate::Problem> {
        match expression.read(event, instant)? {
            Given::Value(until) => Ok(until),
            Given::Missing | Given::Null => {
                Err(crate::Problem::new(problem::key(path, "until"), format!("nothing at {}", expression.origin())))
            }
        }
    }
}
