//! Targets: endpoints that are owed events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{EventKind, ProjectId, TargetId, Timestamp};

/// A webhook that is owed events. The signing secret is sealed beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// Name shown to people.
    pub name: String,
    /// Only events of this project; none means all of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    /// Where to send.
    pub url: String,
    /// Which events.
    pub events: TargetEvents,
    /// Headers to send beside the signature. They may be credentials: the store keeps them sealed beside the target and
    /// leaves this empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether every event is sent by POST instead of PassKit's POST, PUT and DELETE.
    #[serde(default)]
    pub post_only: bool,
    /// How an uninstall is named.
    #[serde(default)]
    pub uninstall_name: UninstallName,
    /// Whether Standard Webhooks headers are left out.
    #[serde(default)]
    pub without_standard_headers: bool,
    /// Whether deliveries are made; while not, none are owed.
    pub enabled: bool,
    /// Why it was switched off by us, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// When it was made; events before that are not owed.
    pub created_at: Timestamp,
}

/// Which events a target is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetEvents {
    /// All that its dialect has a name for.
    All,
    /// These.
    Only(Vec<EventKind>),
}

impl TargetEvents {
    /// Whether a kind is among them.
    pub fn contain(&self, kind: EventKind) -> bool {
        match self {
            Self::All => true,
            Self::Only(kinds) => kinds.contains(&kind),
        }
    }
}

/// How PassKit's shape names an uninstall: its enum has one name, its published sample shows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UninstallName {
    /// `PASS_EVENT_UNINSTALLED`, as the enum has it.
    #[default]
    Uninstalled,
    /// `PASS_EVENT_RECORD_UPDATED`, as the published sample has it.
    RecordUpdated,
}
