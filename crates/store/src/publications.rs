//! Publications: a template version that was published anew is brought to the phones that hold its passes.
//!
//! Nothing is written to the passes: a phone that asks is told by the number of the template's publication
//! ([`crate::Stored::changed`]) which of its passes have changed, and their `Last-Modified` rises with
//! [`crate::OrgCatalog::publications_of`]. What is left to do is to wake every device once. That is a job, whose row says how
//! far it is.

use domain::{OrgId, ProjectId, PublicationId, TemplateId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{ConfigWrite, JobRow, JobState, Lease, Store, StoreError, error::Result, states::parse, store::to_json};

/// The waking of all devices that hold a pass of a published template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its id, sorts by time.
    pub id: PublicationId,
    /// Whose.
    pub org: OrgId,
    /// Where it stands.
    pub state: JobState,
    /// What is published and how far it is.
    pub progress: Progress,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last came on.
    pub updated_at: Timestamp,
    /// Counts its changes, from 1.
    pub revision: i64,
    /// The shard whose worker brings it on.
    pub shard: u16,
}

/// What is published and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The template.
    pub template: TemplateId,
    /// Its project.
    pub project: ProjectId,
    /// The version.
    pub version: u32,
    /// How many devices there are to look at; none before that was counted.
    pub devices: Option<u64>,
    /// How many were looked at.
    pub looked_at: u64,
    /// How many of those hold such a pass and were woken.
    pub pushed: u64,
    /// How many of those could not be reached and are tried again by themselves.
    pub retrying: u64,
    /// The last device that was looked at.
    pub after: String,
}

impl Publication {
    fn of(row: &JobRow) -> Result<Self> {
        let state = JobState::from_number(row.state).ok_or_else(|| StoreError::Inconsistent {
            table: "jobs",
            column: "state",
            row: row.id.to_string(),
            why: format!("{} is no state", row.state),
        })?;
        Ok(Self {
            id: PublicationId::from_uuid(row.id),
            org: row.org,
            state,
            progress: parse(row.body.as_bytes(), "jobs", row.id)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
            shard: row.shard,
        })
    }

    fn next_row(&self, now: Timestamp) -> Result<JobRow> {
        Ok(JobRow {
            org: self.org,
            id: self.id.uuid(),
            shard: self.shard,
            state: self.state.number(),
            body: to_json(&self.progress)?,
            revision: self.revision + 1,
            created_at: self.created_at,
            updated_at: now,
        })
    }
}

impl Store {
    /// The rows of a new publication, to be written with the template; running ones of the same template give way to it.
    pub async fn publish(
        &self,
        org: OrgId,
        template: TemplateId,
        project: ProjectId,
        version: u32,
        now: Timestamp,
    ) -> Result<(PublicationId, ConfigWrite)> {
        let progress =
            Progress { template, project, version, devices: None, looked_at: 0, pushed: 0, retrying: 0, after: String::new() };
        let id = PublicationId::mint(now, self.entropy());
        let shard = self.shard_of(org, template.uuid());
        let state = JobState::Running;
        let new = Publication { id, org, state, progress, created_at: now, updated_at: now, revision: 0, shard };
        let mut jobs = vec![new.next_row(now)?];
        let mut before = None;
        loop {
            let page = self.publications(org, before, OLDER_AT_ONCE).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            for older in page.iter().filter(|older| !older.state.is_over() && older.progress.template == template) {
                jobs.push(Publication { state: JobState::Superseded, ..older.clone() }.next_row(now)?);
            }
            if page.len() < OLDER_AT_ONCE as usize {
                break;
            }
        }
        Ok((id, ConfigWrite { jobs, now, ..ConfigWrite::default() }))
    }

    /// A publication.
    pub async fn publication(&self, org: OrgId, id: PublicationId) -> Result<Option<Publication>> {
        self.backend.job(org, id.uuid()).await?.as_ref().map(Publication::of).transpose()
    }

    /// Publications, newest first.
    pub async fn publications(&self, org: OrgId, before: Option<PublicationId>, limit: u32) -> Result<Vec<Publication>> {
        self.backend.jobs(org, before.map(domain::Id::uuid), limit).await?.iter().map(Publication::of).collect()
    }

    /// Running publications of a shard, oldest first.
    pub async fn running_publications(&self, shard: u16, limit: u32) -> Result<Vec<Publication>> {
        self.backend.running_jobs(shard, limit).await?.iter().map(Publication::of).collect()
    }

    /// Writes how far a publication is, or that it was halted; false when somebody else changed it meanwhile.
    pub async fn save_publication(&self, lease: Option<Lease>, publication: &Publication, now: Timestamp) -> Result<bool> {
        let saved = self.backend.save_job(lease, publication.next_row(now)?).await?;
        self.wake().tick_config();
        Ok(saved)
    }
}

/// How many publications are read together when older ones of a template are looked for.
const OLDER_AT_ONCE: u32 = 100;
