//! Publications: a template version that was published anew is brought to the phones that hold its passes.
//!
//! Nothing is written to the passes: a phone that asks is told by the number of the template's publication
//! ([`crate::Stored::changed`]) which of its passes have changed, and their `Last-Modified` rises with
//! [`crate::OrgCatalog::publications_of`]. What is left to do is to wake every device once, to have Google's objects drawn
//! again, and, where that was asked for, to note an event of every pass. That is a job, whose row says how far it is.

use domain::{OrgId, PassId, ProjectId, PublicationId, PublicationKind, TemplateId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{ConfigWrite, Job, JobBody, JobKind, JobState, Store, error::Result};

/// The waking of all devices that hold a pass of a published template.
pub type Publication = Job<Progress>;

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
    /// Whether every pass of the template gets an event *updated*.
    #[serde(default)]
    pub updated_events: bool,
    /// Whether all devices were looked at, so that it is the passes' turn.
    #[serde(default)]
    pub devices_done: bool,
    /// The last pass that was looked at.
    #[serde(default)]
    pub after_pass: Option<PassId>,
    /// How many passes of the template were looked at: for the events, and for what Google shall hear.
    #[serde(default)]
    pub passes: u64,
    /// How many of those Google shall be told of anew.
    #[serde(default)]
    pub google: u64,
}

impl Progress {
    /// A publication that has not begun.
    #[must_use]
    pub fn new(template: TemplateId, project: ProjectId, version: u32, updated_events: bool) -> Self {
        Self {
            template,
            project,
            version,
            devices: None,
            looked_at: 0,
            pushed: 0,
            retrying: 0,
            after: String::new(),
            updated_events,
            devices_done: false,
            after_pass: None,
            passes: 0,
            google: 0,
        }
    }
}

impl JobBody for Progress {
    type Id = PublicationKind;
    const KIND: JobKind = JobKind::Publication;
}

impl Store {
    /// The rows of a new publication, to be written with the template; running ones of the same template give way to it.
    pub async fn publish(&self, org: OrgId, progress: Progress, now: Timestamp) -> Result<(PublicationId, ConfigWrite)> {
        let template = progress.template;
        let id = PublicationId::mint(now, self.entropy());
        let shard = self.shard_of(org, template.uuid());
        let state = JobState::Running;
        let new = Publication { id, org, state, progress, created_at: now, updated_at: now, revision: 0, shard };
        let mut jobs = vec![new.next_row(now)?];
        let mut before = None;
        loop {
            let page = self.jobs::<Progress>(org, before, OLDER_AT_ONCE).await?;
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
}

/// How many publications are read together when older ones of a template are looked for.
const OLDER_AT_ONCE: u32 = 100;
