//! Jobs: made with a change, saved under a revision and a lease, found while they run.

use super::fixtures::{START, Shared, at, day, lease, org, other_org, uuid};
use crate::{ChunkRow, ConfigWrite, ConfigWritten, JobKind, JobRow, JobState, Lease, Retention, StoreError};

fn job(n: u64) -> JobRow {
    JobRow {
        org: org(),
        id: uuid(n),
        kind: JobKind::Publication.number(),
        subject: None,
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
    let listed = async |before, limit| backend.jobs(org(), JobKind::Publication.number(), before, limit).await.unwrap();
    assert_eq!(listed(None, 2).await, [job(3), job(2)], "newest first");
    assert_eq!(listed(Some(uuid(2)), 9).await, [over]);
    assert!(backend.jobs(org(), JobKind::Batch.number(), None, 9).await.unwrap().is_empty(), "of another kind");
    assert!(backend.jobs(other_org(), JobKind::Publication.number(), None, 9).await.unwrap().is_empty());
}

/// Workers find the running jobs of their shard, and write under their lease; people need none.
pub async fn running_jobs_are_saved_under_a_lease(backend: &Shared) {
    let held = lease(backend, 0, "a").await;
    let elsewhere = JobRow { shard: backend.shards() - 1, ..job(4) };
    let paused = JobRow { state: JobState::Paused.number(), ..job(3) };
    write(backend, vec![job(2), job(1), paused, elsewhere]).await;
    let running = backend.running_jobs(JobKind::Publication.number(), 0, 9).await.unwrap();
    assert_eq!(running[..2], [job(1), job(2)], "oldest first");
    assert_eq!(running.len(), if backend.shards() == 1 { 3 } else { 2 });
    let next = JobRow { revision: 2, body: "{}".to_owned(), updated_at: at(7), ..job(1) };
    assert!(backend.save_job(Some(held), next.clone(), Vec::new()).await.unwrap());
    assert!(!backend.save_job(Some(held), next.clone(), Vec::new()).await.unwrap(), "somebody was faster");
    assert_eq!(backend.job(org(), uuid(1)).await.unwrap(), Some(next.clone()));
    let after = JobRow { revision: 3, state: JobState::Paused.number(), ..next };
    let lost = backend.save_job(Some(Lease { epoch: held.epoch - 1, ..held }), after.clone(), Vec::new()).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost { .. })), "{lost:?}");
    assert!(backend.save_job(None, after, Vec::new()).await.unwrap());
    assert_eq!(backend.running_jobs(JobKind::Publication.number(), 0, 1).await.unwrap(), [job(2)]);
}

/// Jobs of one kind are listed, and found while they run, without those of another.
pub async fn kinds_of_jobs_are_apart(backend: &Shared) {
    let backfill = |n: u64| JobRow { kind: JobKind::Backfill.number(), ..job(n) };
    write(backend, vec![backfill(2), job(4), backfill(1), backfill(3)]).await;
    assert_eq!(write(backend, vec![backfill(1)]).await, ConfigWritten::Conflict, "it exists");
    assert_eq!(backend.job(org(), uuid(1)).await.unwrap(), Some(backfill(1)));
    assert_eq!(backend.job(other_org(), uuid(1)).await.unwrap(), None);
    let kind = JobKind::Backfill.number();
    assert_eq!(backend.jobs(org(), kind, None, 2).await.unwrap(), [backfill(3), backfill(2)], "newest first");
    assert_eq!(backend.jobs(org(), kind, Some(uuid(2)), 9).await.unwrap(), [backfill(1)]);
    assert_eq!(backend.running_jobs(kind, 0, 2).await.unwrap(), [backfill(1), backfill(2)], "oldest first");
    let paused = JobRow { revision: 2, state: JobState::Paused.number(), updated_at: at(7), ..backfill(1) };
    assert!(backend.save_job(None, paused, Vec::new()).await.unwrap());
    assert_eq!(backend.running_jobs(kind, 0, 9).await.unwrap(), [backfill(2), backfill(3)]);
    assert_eq!(backend.running_jobs(JobKind::Publication.number(), 0, 9).await.unwrap(), [job(4)]);
}

/// Of what a job is about, one is under way, halted or not, until it is over.
pub async fn one_job_is_under_way_for_a_subject(backend: &Shared) {
    let kind = JobKind::Backfill.number();
    let about = |n: u64, subject: u64| JobRow { kind, subject: Some(uuid(subject)), ..job(n) };
    assert!(matches!(write(backend, vec![about(1, 7), about(2, 8)]).await, ConfigWritten::Done(_)));
    assert_eq!(write(backend, vec![about(3, 7)]).await, ConfigWritten::Conflict, "it is running");
    let halted = JobRow { revision: 2, state: JobState::Paused.number(), ..about(1, 7) };
    assert!(backend.save_job(None, halted.clone(), Vec::new()).await.unwrap());
    assert_eq!(write(backend, vec![about(3, 7)]).await, ConfigWritten::Conflict, "it is halted");
    let elsewhere = JobRow { org: other_org(), ..about(4, 7) };
    let other_kind = JobRow { kind: JobKind::Publication.number(), ..about(5, 7) };
    assert!(matches!(write(backend, vec![elsewhere, other_kind]).await, ConfigWritten::Done(_)));
    let over = JobRow { revision: 3, state: JobState::Done.number(), ..halted };
    assert!(backend.save_job(None, over.clone(), Vec::new()).await.unwrap());
    assert!(matches!(write(backend, vec![about(6, 7)]).await, ConfigWritten::Done(_)));
    assert_eq!(backend.jobs_about(org(), kind, uuid(7), None, 9).await.unwrap(), [about(6, 7), over.clone()], "newest first");
    assert_eq!(backend.jobs_about(org(), kind, uuid(7), None, 1).await.unwrap(), [about(6, 7)]);
    assert_eq!(backend.jobs_about(org(), kind, uuid(7), Some(uuid(6)), 9).await.unwrap(), [over], "before one");
    assert!(backend.jobs_about(org(), kind, uuid(9), None, 9).await.unwrap().is_empty());
}

fn chunk(bundle: u64, number: u32) -> ChunkRow {
    ChunkRow { org: org(), bundle: uuid(bundle), number, expires_at: day(30), body: vec![number as u8; 3_000] }
}

/// Files are kept in pieces, each under its number, and go piece by piece.
pub async fn chunks_are_kept_and_dropped(backend: &Shared) {
    for row in [chunk(1, 0), chunk(1, 1), chunk(1, 2), chunk(2, 0)] {
        backend.put_chunk(row).await.unwrap();
    }
    let other = ChunkRow { body: b"again".to_vec(), ..chunk(1, 1) };
    backend.put_chunk(other.clone()).await.unwrap();
    let read = async |bundle, number| backend.chunk(org(), uuid(bundle), number).await.unwrap();
    assert_eq!(read(1, 1).await, Some(other), "the last of its number counts");
    assert_eq!(read(1, 2).await, Some(chunk(1, 2)));
    assert_eq!((read(1, 3).await, read(3, 0).await), (None, None));
    assert_eq!(backend.chunk(other_org(), uuid(1), 0).await.unwrap(), None);
    let mut gone = Vec::new();
    for _ in 0..3 {
        gone.push(backend.drop_chunks(org(), uuid(1), 2).await.unwrap());
    }
    assert_eq!(gone, [2, 1, 0]);
    assert_eq!((read(1, 0).await, read(2, 0).await), (None, Some(chunk(2, 0))));
    let keep = Retention { inbox_before: START, events_before: START, attempts_before: START };
    backend.maintain(day(29), keep).await.unwrap();
    assert!(read(2, 0).await.is_some());
    backend.maintain(day(30), keep).await.unwrap();
    assert_eq!(read(2, 0).await, None, "its time is over");
}

/// What a job leaves behind is written with how far it is, or not at all.
pub async fn chunks_are_saved_with_their_job(backend: &Shared) {
    write(backend, vec![job(1)]).await;
    let held = lease(backend, 0, "a").await;
    let next = JobRow { revision: 2, ..job(1) };
    assert!(backend.save_job(Some(held), next.clone(), vec![chunk(1, 0), chunk(1, 1)]).await.unwrap());
    assert!(!backend.save_job(Some(held), next.clone(), vec![chunk(1, 2)]).await.unwrap());
    let after = JobRow { revision: 3, ..next };
    let stale = Lease { epoch: held.epoch - 1, ..held };
    assert!(backend.save_job(Some(stale), after, vec![chunk(1, 3)]).await.is_err());
    for (number, is_there) in [(0, true), (1, true), (2, false), (3, false)] {
        let found = backend.chunk(org(), uuid(1), number).await.unwrap();
        assert_eq!(found, is_there.then(|| chunk(1, number)), "{number}");
    }
}
