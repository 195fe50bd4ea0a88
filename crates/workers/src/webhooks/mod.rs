//! Webhooks: every event that is owed to a target becomes a delivery that ends as delivered, failed or expired.
//!
//! One pump per shard reads the event log, finds in memory to whom each event is owed, and starts a task per delivery, which
//! waits for its target's lane. While targets answer, all that is written is one row per attempt and the watermark, many
//! in one transaction. What is not settled soon is spilled into the store and comes back when it is due, so a slow target
//! holds neither the watermark nor anybody else. After a restart, deliveries that have an attempt or are owed are not sent
//! again as new: duplicates are at most what was in flight and what was not written yet.

mod book;
mod carry;
mod code;
mod files;
mod gather;
mod health;
mod lane;
mod made;
mod message;
mod order;
mod proof;
mod pump;
mod record;
mod send;
mod service;
mod targets;
mod turns;
mod ways;
mod window;

use std::{path::PathBuf, time::Duration};

use domain::Users;
use outbound::egress::Egress;

pub(crate) use files::keep_folder_clean;
pub(crate) use lane::Dispatcher;
pub(crate) use pump::run;
pub(crate) use record::{hash as record_hash, together};
pub(crate) use service::{Taken, held, opened, tell};
pub(crate) use targets::Ready;
pub(crate) use ways::Ways;

/// How long a claimed delivery is ours; longer than it may wait and take together.
const CLAIM: Duration = Duration::from_secs(60);
/// Time for one request whose target asks for no other, from resolving the name to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(15);

/// How webhooks are sent.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Requests to one target at once.
    pub concurrency: usize,
    /// After this, what is not settled is kept in the store instead of in memory.
    pub spill_after: Duration,
    /// Our own address without a slash at its end, for links to passes.
    pub public_url: String,
    /// Folder of this machine below which destinations may write files, each organization in one of its own; without it none may.
    pub files_folder: Option<PathBuf>,
    /// The ways out that targets and syncs may name, and of which organizations.
    pub egresses: Vec<(Egress, Users)>,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            concurrency: 8,
            spill_after: Duration::from_millis(100),
            public_url: "http://localhost:8080".to_owned(),
            files_folder: None,
            egresses: Vec::new(),
        }
    }
}
