//! What Google Wallet holds, as rows.

use std::time::Duration;

use domain::{OrgId, PassId, ProjectId, TemplateId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::rows::Lease;

/// Messages that Google lets notify the holder of one pass within [`NOTIFICATIONS_WITHIN`].
pub const NOTIFICATIONS: u32 = 3;
/// The time for which Google counts notifications.
pub const NOTIFICATIONS_WITHIN: Duration = Duration::from_secs(86_400);

/// What Google holds, or shall hold, of a pass (or of a template, as a class), and when to see to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleThingRow {
    /// Whose.
    pub org: OrgId,
    /// The pass, the class (see [`google_class_thing`]), or the account itself for its standing work.
    pub thing: Uuid,
    /// The Google account that it belongs to.
    pub account: Uuid,
    /// 0 is seen to before 1.
    pub urgency: i16,
    /// The pass's `content_seq` when it was last looked at.
    pub wanted_seq: i64,
    /// The `content_seq` that Google has; 0 when it has nothing.
    pub synced_seq: i64,
    /// When there is something to do; none when Google has what it shall have.
    pub due_at: Option<Timestamp>,
    /// What whoever talks to Google has to remember, as JSON. Nothing personal.
    pub body: String,
}

/// A pass whose content changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedPass {
    /// Whose.
    pub org: OrgId,
    /// The pass.
    pub pass: PassId,
    /// Its project.
    pub project: ProjectId,
    /// Its `content_seq` now.
    pub content_seq: i64,
    /// Whether somebody has it in Google Wallet.
    pub held: bool,
}

/// Passes that Google shall hear of, written under the lease of the passes' shard.
#[derive(Debug, Clone)]
pub struct GoogleWants {
    /// The lease under which this is written.
    pub lease: Lease,
    /// The passes, each with the account that speaks for it and its urgency; due from `due_at` on.
    pub passes: Vec<(ChangedPass, Uuid, i16)>,
    /// When they are due.
    pub due_at: Timestamp,
    /// How far the reader has come in the lease's shard.
    pub watermark: u64,
}

/// What became of things, written under the lease of whoever talks to Google for the account.
#[derive(Debug, Clone)]
pub struct GoogleSettlement {
    /// The lease under which this is written.
    pub lease: Lease,
    /// The outcomes; a thing that has no row gets one.
    pub outcomes: Vec<GoogleOutcome>,
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleOutcome {
    /// Whose.
    pub org: OrgId,
    /// The thing.
    pub thing: Uuid,
    /// The account.
    pub account: Uuid,
    /// When the thing was due as it was read. Whoever asked for it anew meanwhile is not overruled.
    pub seen_due_at: Option<Timestamp>,
    /// What Google has now; none leaves what is noted.
    pub synced_seq: Option<i64>,
    /// When to try again. Without one the thing rests, unless its pass has changed or it was asked for anew meanwhile: then it
    /// stays due.
    pub retry_at: Option<Timestamp>,
    /// What to remember from now on.
    pub body: String,
}

/// What a comparison of an account's objects with Google found and changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoogleDrift {
    /// When it began.
    pub at: Timestamp,
    /// Objects that were compared.
    pub compared: u64,
    /// Objects that are no passes of ours.
    pub foreign: u64,
    /// Installs that no call-back had told.
    pub installed: u64,
    /// Removals that no call-back had told.
    pub uninstalled: u64,
}

/// What Google said of a design when it was asked without anything being kept there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoogleChecked {
    /// When.
    pub at: Timestamp,
    /// Whether Google could be asked.
    pub asked: bool,
    /// Why Google would not take such passes, or why it could not be asked.
    pub refused: Option<String>,
    /// What to change; empty where nobody knows.
    pub mend: String,
}

/// The thing that a class is: its template, or a flight of it. `class` is the class's id.
#[must_use]
pub fn google_class_thing(template: TemplateId, class: &str) -> Uuid {
    let is_shared = class.split_once('.').is_some_and(|(_, suffix)| suffix.parse() == Ok(template));
    if is_shared { template.uuid() } else { Uuid::new_v5(&template.uuid(), class.as_bytes()) }
}

/// What asks an account whether Google would take a template's passes, due now. There is one such thing for each template.
#[must_use]
pub fn dry_run_thing(org: OrgId, template: TemplateId, account: Uuid, now: Timestamp) -> GoogleThingRow {
    GoogleThingRow {
        org,
        thing: Uuid::new_v5(&template.uuid(), b"dry run"),
        account,
        urgency: 0,
        wanted_seq: 0,
        synced_seq: 0,
        due_at: Some(now),
        body: serde_json::json!({"dry_run": template}).to_string(),
    }
}

/// What is noted of a thing, as far as people want to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GoogleNote {
    /// Why the last try failed, and what to change.
    pub problem: Option<String>,
    /// Of a pass: when messages notified, microseconds since 1970.
    pub notified: Vec<i64>,
    /// Of an account: what the last comparison found.
    pub drift: Option<GoogleDrift>,
    /// Of a dry run: what Google said.
    pub checked: Option<GoogleChecked>,
}

impl GoogleNote {
    /// How many messages may still notify the holder of the pass within 24 hours.
    #[must_use]
    pub fn notifications_left(&self, now: Timestamp) -> u32 {
        let since = now.minus(NOTIFICATIONS_WITHIN).as_micros();
        let recent = self.notified.iter().filter(|at| **at > since).count();
        NOTIFICATIONS.saturating_sub(u32::try_from(recent).unwrap_or(u32::MAX))
    }
}

impl GoogleThingRow {
    /// What people want to know of it.
    #[must_use]
    pub fn note(&self) -> GoogleNote {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}
