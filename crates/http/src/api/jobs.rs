//! What jobs have in common: they are found, halted, let go on and ended.

use domain::Id;
use store::{Job, JobBody, JobState};

use crate::{App, Conflict, Problem, auth::Caller};

/// How often a change is tried again that a worker's progress came before.
const MAX_RACES: usize = 20;

/// A job by its id.
pub(super) async fn find<B: JobBody>(app: &App, caller: &Caller, id: Id<B::Id>, what: &str) -> Result<Job<B>, Problem> {
    app.store.job(caller.org, id).await?.ok_or_else(|| Problem::no_such(what))
}

/// Brings a job from one of some states into another.
pub(super) async fn turn<B>(
    app: &App,
    caller: &Caller,
    id: Id<B::Id>,
    what: &str,
    from: &[JobState],
    to: JobState,
) -> Result<Job<B>, Problem>
where
    B: JobBody + Sync,
{
    for _ in 0..MAX_RACES {
        let job = find::<B>(app, caller, id, what).await?;
        if job.state == to {
            return Ok(job);
        }
        if !from.contains(&job.state) {
            let detail = format!("it is {} already", state_name(job.state));
            return Err(Problem::Conflict { code: Conflict::NotAllowed, detail });
        }
        let turned = Job { state: to, ..job };
        if app.store.save_job(None, &turned, &[], app.now()).await? {
            return Ok(turned);
        }
    }
    Err(Problem::raced())
}

pub(super) const fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Running => "running",
        JobState::Paused => "paused",
        JobState::Done => "done",
        JobState::Cancelled => "cancelled",
        JobState::Superseded => "superseded",
        JobState::Failed => "failed",
    }
}
