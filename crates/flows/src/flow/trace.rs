//! What the trace of a flow says while it waits: for its turn, or in a step for its time.
//!
//! A trace is JSON that is kept with the source event. `turn` is there for a flow that has a rate; a step that waits has the
//! outcome `waiting`, the time that it is due at and since when it waits.

use domain::{Timestamp, Void};
use serde_json::{Value, json};

const WAITING: &str = "waiting";

/// Words of a trace.
pub struct Marks;

impl Marks {
    /// Of a turn or a step that waits.
    #[must_use]
    pub fn waiting(due_at: Timestamp, since: Timestamp) -> Value {
        json!({"outcome": WAITING, "due_at": due_at, "since": since})
    }

    /// Sets members of a turn or a step.
    pub fn set(note: &mut Value, members: Value) {
        match (note.as_object_mut(), members) {
            (Some(note), Value::Object(members)) => note.extend(members),
            (_, members) => *note = members,
        }
    }

    /// When a turn or a step that waits is due.
    #[must_use]
    pub fn due_at(note: &Value) -> Option<Timestamp> {
        if note["outcome"] == WAITING { note["due_at"].as_str()?.parse().ok() } else { None }
    }

    /// Whether a step is over for this run, whatever came of it.
    #[must_use]
    pub fn is_settled(step: &Value) -> bool {
        !matches!(step["outcome"].as_str(), None | Some(WAITING | "command" | "wait"))
    }
}

/// The outcome of an issue that met a void pass and left it so.
#[must_use]
pub const fn still(stays: Void) -> &'static str {
    match stays {
        Void::Used => "still_used",
        Void::Expired => "still_expired",
        Void::Revoked => "still_revoked",
    }
}

/// The turn and the steps of a flow.
fn notes(flow: &Value) -> impl Iterator<Item = &Value> {
    std::iter::once(&flow["turn"]).chain(flow["steps"].as_array().into_iter().flatten())
}

/// Whether a flow waits for its turn or in a step.
#[must_use]
pub fn is_waiting(flow: &Value) -> bool {
    notes(flow).any(|note| note["outcome"] == WAITING)
}

/// Since when it does.
#[must_use]
pub fn waiting_since(flow: &Value) -> Option<Timestamp> {
    notes(flow).find(|note| note["outcome"] == WAITING)?["since"].as_str()?.parse().ok()
}

/// Ends the waiting of a flow for good: what waits is cancelled, and what would come after it is not done.
pub fn cancel(flow: &mut Value, why: &str) {
    let end = |note: &mut Value| {
        if note["outcome"] == WAITING {
            Marks::set(note, json!({"outcome": "cancelled", "reason": why}));
        }
    };
    if flow["turn"].is_object() {
        end(&mut flow["turn"]);
    }
    for step in flow["steps"].as_array_mut().into_iter().flatten() {
        end(step);
        if matches!(step["outcome"].as_str(), Some("command" | "wait")) {
            step["outcome"] = json!("not_reached");
        }
    }
}
