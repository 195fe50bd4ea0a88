//! Devices that are behind their passes.

use domain::{OrgId, PassId, ProjectId, Timestamp};
use uuid::Uuid;

use super::{InstallationRow, Lease};

/// How far devices that are behind their passes have been looked for in a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StalePlace {
    /// Passes of which the content changed up to this number are done.
    pub seq: u64,
    /// Within those that come after it: the last installation looked at, where one pass has more than are read together.
    pub within: Option<StaleKey>,
}

/// Where an installation stands among those that are behind: passes are walked in the order of their changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleKey {
    /// Its pass's `content_seq`.
    pub content_seq: i64,
    /// Whose.
    pub org: OrgId,
    /// Of which pass.
    pub pass: PassId,
    /// On which device.
    pub device: String,
}

impl StalePlace {
    /// The place of a number of which nothing was looked at beyond.
    pub const fn after(seq: u64) -> Self {
        Self { seq, within: None }
    }

    /// From where the next installations are, those on the key's own device and before it on its pass left out.
    pub fn from(&self) -> StaleKey {
        self.within.clone().unwrap_or_else(|| StaleKey {
            content_seq: i64::try_from(self.seq).unwrap_or(i64::MAX).saturating_add(1),
            org: OrgId::from_uuid(Uuid::nil()),
            pass: PassId::from_uuid(Uuid::nil()),
            device: String::new(),
        })
    }

    /// The place after what was found beyond this one: within the last pass where there may be more of it, else `seq`.
    pub fn next(&self, seq: u64, found: &[StaleDevice], limit: u32) -> Self {
        match found.last().filter(|_| found.len() >= limit as usize) {
            Some(last) => Self { seq: self.seq, within: Some(last.key()) },
            None => Self::after(seq),
        }
    }
}

/// A pass whose devices may be behind it.
#[derive(Debug, Clone)]
pub struct StaleDevice {
    /// The installation.
    pub installation: InstallationRow,
    /// What the pass's `content_seq` is now.
    pub content_seq: i64,
    /// The pass's project, for its pass type.
    pub project: ProjectId,
}

impl StaleDevice {
    /// Where it stands among those that are behind.
    pub fn key(&self) -> StaleKey {
        let InstallationRow { org, pass, device, .. } = &self.installation;
        StaleKey { content_seq: self.content_seq, org: *org, pass: *pass, device: device.clone() }
    }
}

/// Outcomes of pushes, written under the shard's lease.
#[derive(Debug, Clone)]
pub struct PushSettlement {
    /// The lease under which this is written.
    pub lease: Lease,
    /// What became of each installation's push.
    pub pushes: Vec<PushOutcome>,
    /// How far the wallet-sync reader has come in the lease's shard; none leaves it.
    pub watermark: Option<u64>,
}

/// What became of one push.
#[derive(Debug, Clone)]
pub struct PushOutcome {
    /// Whose.
    pub org: OrgId,
    /// The pass.
    pub pass: PassId,
    /// The device.
    pub device: String,
    /// What it was woken for; none when that failed.
    pub pushed_seq: Option<i64>,
    /// When to try again; none when done or given up.
    pub retry_at: Option<Timestamp>,
}
