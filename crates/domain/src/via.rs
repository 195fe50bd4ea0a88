//! Through which organizations news has come, so that none takes its own for somebody else's.

use serde::{Deserialize, Serialize};

use crate::OrgId;

/// The organizations that an event and its pass have come through, each of which told the next by a webhook. What comes back to one
/// of them has gone in a circle. A circle in which somebody drops the headers that carry these is not recognised and has no end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Via {
    /// The event's, the first of them first: each of them did what the one before told of.
    pub event: Vec<OrgId>,
    /// The pass's: it was made because of a pass of theirs.
    pub pass: Vec<OrgId>,
}

impl Via {
    /// Organizations that an event comes through at most; after that it goes no further.
    pub const MOST: usize = 16;

    /// Whether it has come through nobody that tells.
    pub fn is_empty(&self) -> bool {
        self.event.is_empty() && self.pass.is_empty()
    }

    /// Everybody whose news this is, each once.
    pub fn all(&self) -> Vec<OrgId> {
        let mut all = self.event.clone();
        all.extend(self.pass.iter().filter(|org| !self.event.contains(org)));
        all
    }
}
