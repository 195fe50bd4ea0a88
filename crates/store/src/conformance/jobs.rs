//! Jobs: made with a change, saved under a revision and a lease, found while they run.

use super::fixtures::{START, Shared, at, lease, org, other_org, uuid};
use crate::{ConfigWrite, ConfigWritten, JobRow, JobState, Lease, StoreError};

fn job(n: u64) -> JobRow {
    JobRow {
        org: org(),
        id: uuid(n),
        shard: 0,
        state: JobState::Running.number(),
        body: format!(r#"{{"n":{n}}}"#),
        revision: 1,
        created_at: at(n),
        updated_at: START,
    }
}

async fn write(backend: &Shared, jobs: Vec<JobRow>) -> ConfigWritten {
    backend.write_config(ConfigWrite { jobs, ..ConfigWrite::default() }).await.unwrap()
}

/// A job is made and replaced with a change of configuration, or not at all.
pub async fn jobs_are_written_with_their_change(backend: &Shared) {
    assert!(matches!(write(backend, vec![job(1), job(2)]).await, ConfigWritten::Done(_)));
    assert_eq!(backend.job(org(), uuid(1)).await.unwrap(), Some(job(1)));
    assert_eq!(backend.job(other_org(), uuid(1)).await.unwrap(), None);
    let over = JobRow { revision: 2, state: JobState::Superseded.number(), updated_at: at(5), ..job(1) };
    assert!(matches!(write(backend, vec![over.clone(), job(3)]).await, ConfigWritten::Done(_)));
    assert_eq!(write(backend, vec![over.clone(), job(4)]).await, ConfigWritten::Conflict, "revision 1 is gone");
    assert_eq!(write(backend, vec![job(5), job(2)]).await, ConfigWritten::Conflict, "it exists");
    let listed = async |before, limit| backend.jobs(org(), before, limit).await.unwrap();
    assert_eq!(listed(None, 2).await, [job(3), job(2)], "newest first");
    assert_eq!(listed(Some(uuid(2)), 9).await, [over]);
    assert!(backend.jobs(other_org(), None, 9).await.unwrap().is_empty());
}

/// Workers find the running jobs of their shard, and write under their lease; people need none.
pub async fn running_jobs_are_saved_under_a_lease(backend: &Shared) {
    let held = lease(backend, 0, "a").await;
    let elsewhere = JobRow { shard: backend.shards() - 1, ..job(4) };
    let paused = JobRow { state: JobState::Paused.number(), ..job(3) };
    write(backend, vec![job(2), job(1), paused, elsewhere]).await;
    let running = backend.running_jobs(0, 9).await.unwrap();
    assert_eq!(running[..2], [job(1), job(2)], "oldest first");
    assert_eq!(running.len(), if backend.shards() == 1 { 3 } else { 2 });
    let next = JobRow { revision: 2, body: "{}".to_owned(), updated_at: at(7), ..job(1) };
    assert!(backend.save_job(Some(held), next.clone()).await.unwrap());
    assert!(!backend.save_job(Some(held), next.clone()).await.unwrap(), "somebody was faster");
    assert_eq!(backend.job(org(), uuid(1)).await.unwrap(), Some(next.clone()));
    let after = JobRow { revision: 3, state: JobState::Paused.number(), ..next };
    let lost = backend.save_job(Some(Lease { epoch: held.epoch - 1, ..held }), after.clone()).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost { .. })), "{lost:?}");
    assert!(backend.save_job(None, after).await.unwrap());
    assert_eq!(backend.running_jobs(0, 1).await.unwrap(), [job(2)]);
}
