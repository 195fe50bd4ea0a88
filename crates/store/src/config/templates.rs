//! What comes before and after a published template.

use domain::{TemplateId, Timestamp};
use serde::{Deserialize, Serialize};

/// What is to follow a published template; the template itself changes only when a draft is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDraft {
    /// Its id.
    pub id: TemplateId,
    /// The text of the template's id: a template has one draft.
    pub slug: String,
    /// The template.
    pub template: TemplateId,
    /// Name shown to people.
    pub name: String,
    /// The design.
    pub design: domain::Design,
}

/// A version of a template that was published and is not any more. Its design is a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVersion {
    /// Its id.
    pub id: TemplateId,
    /// The template.
    pub template: TemplateId,
    /// Its number, from 1.
    pub version: u32,
    /// Name shown to people.
    pub name: String,
    /// SHA-256 of its design as JSON, under which that is kept.
    pub design: [u8; 32],
    /// When it was published.
    pub published_at: Timestamp,
    /// When the next one was.
    pub superseded_at: Timestamp,
}
