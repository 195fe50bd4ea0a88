//! Flows, their versions, and the code that they run events through.

use domain::{FlowId, Timestamp, TransformationId};
use serde::{Deserialize, Serialize};

use super::Stored;

/// A flow as it was saved: the checked document of `crates/flows`, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredFlow {
    /// Its id.
    pub id: FlowId,
    /// Its slug.
    pub slug: String,
    /// The flow document.
    pub document: serde_json::Value,
    /// A document that is being worked on: it does not run until it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<serde_json::Value>,
    /// The number of the document: the revision of this row that it came with. Missing where that is the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// When the document came; missing where that is when the row last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// When it was last switched on again; what waited in it from before is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Stored<StoredFlow> {
    /// The number of its document.
    pub fn version(&self) -> i64 {
        self.value.version.unwrap_or(self.revision)
    }
}

/// A version of a flow that ran and does not any more. Its document is a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFlowVersion {
    /// Its id.
    pub id: FlowId,
    /// The flow.
    pub flow: FlowId,
    /// Its number; later ones are greater.
    pub version: i64,
    /// SHA-256 of its document as JSON, under which that is kept.
    pub document: [u8; 32],
    /// When it began to run.
    pub published_at: Timestamp,
    /// When the next one did.
    pub superseded_at: Timestamp,
}

/// JavaScript that flows run events through, or a library that such code imports; as it was checked by `crates/script`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTransformation {
    /// Its id.
    pub id: TransformationId,
    /// What flows call it; a library's is what code imports it by.
    pub slug: String,
    /// Name shown to people.
    pub name: String,
    /// Whether it is a library.
    #[serde(default)]
    pub library: bool,
    /// The code that runs.
    pub code: String,
    /// Code that is being worked on; it runs in tests alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
    /// Whether it runs; when not, events pass by it unchanged.
    pub enabled: bool,
    /// Whether it exports `transformBatch`, not `transformEvent`.
    #[serde(default)]
    pub batch: bool,
    /// When it was made.
    pub created_at: Timestamp,
}
