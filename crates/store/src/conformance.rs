//! What every adapter must do, as cases that its tests run one by one.
//!
//! An adapter's `tests/conformance.rs` holds one function that opens a fresh, empty backend, migrated at [`START`], with
//! whatever has to live as long as it does, and one line that turns every case into a test of its own:
//!
//! ```ignore
//! async fn fresh() -> (std::sync::Arc<dyn store::Backend>, tempfile::TempDir) { … }
//! store::conformance_tests!(fresh);
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod carried;
pub mod commit;
pub mod concurrency;
pub mod config;
pub mod deliveries;
mod fixtures;
pub mod google;
pub mod inbox;
pub mod jobs;
pub mod leases;
pub mod load;
pub mod log;
pub mod mirrored;
pub mod model;
pub mod synced;
pub mod upkeep;
pub mod wallets;

pub use fixtures::START;
pub use model::Dice;

/// Makes a `#[tokio::test]` of every case. `$fresh` names an `async fn() -> (Arc<dyn Backend>, guard)`.
#[macro_export]
macro_rules! conformance_tests {
    ($fresh:ident) => {
        $crate::conformance_tests!(@cases $fresh;
            inbox: duplicates_are_told_within_a_batch_and_across, sources_and_organizations_do_not_share_dedupe_keys,
                positions_are_dense_per_shard, rows_come_back_as_they_went_in, unreadable_events_are_parked_at_once,
                outcomes_and_watermark_are_written_under_the_lease, waiting_events_hold_their_key,
                waiting_events_that_are_due_together_come_back_in_their_order, waiting_events_are_hastened,
                delayed_events_come_back_and_hold_nobody, turns_lie_apart_and_are_given_once,
                source_events_are_listed_newest_first,
                events_without_a_result_are_ignored_once_they_are_passed, a_pulse_tells_what_there_is_to_do, erasing_a_contact_destroys_the_keys_of_its_source_events;
            commit: new_rows_come_back_as_they_went_in, an_insert_of_what_exists_is_a_conflict,
                a_version_that_moved_is_a_conflict, a_conflict_writes_nothing, external_ids_are_unique_until_deleted,
                required_contact_keys_conflict_and_others_stand_in_line, contact_keys_are_replaced,
                the_oldest_claim_that_stands_is_found,
                result_keys_are_claimed_once, results_expire, content_numbers_come_from_their_event,
                data_keys_are_made_once_and_destroyed, link_codes_are_claimed_once,
                installations_leave_pushes_alone;
            load: each_row_comes_once_with_its_contact, names_lead_to_contacts_and_their_passes,
                absent_keys_bring_nothing, large_loads_answer;
            log: events_come_back_in_order, reads_at_the_same_time_do_not_mix, feeds_hold_one_organization, newest_events_come_first, events_of_a_pass, passes_are_paged, passes_are_filtered, contacts_are_filtered,
                contacts_are_paged, due_passes_come_earliest_first;
            leases: only_one_seizes, beats_and_releases, writes_of_a_lost_lease_are_refused, a_name_is_one_incarnations;
            deliveries: owed_deliveries_are_claimed_when_due, claims_end_and_can_be_taken_back,
                settling_finishes_and_keeps, touched_deliveries_are_remembered, deliveries_and_attempts_are_listed,
                attempts_are_searched, replays_are_counted, earlier_events_of_a_pass_are_waited_for, newest_attempts_are_found, what_is_owed_about_an_event_or_a_pass_is_listed, deliveries_and_attempts_of_one_moment_are_paged,
                resends_are_owed_again, a_try_does_not_end_what_was_asked_for_meanwhile;
            config: resources_change_under_their_revision, what_was_decided_on_must_not_have_changed, slugs_are_unique_until_deleted, names_are_unique,
                changes_are_told_with_deletions, keys_and_blobs_are_kept, the_audit_is_paged,
                a_refused_change_writes_nothing, answers_are_kept_with_their_change;
            jobs: jobs_are_written_with_their_change, running_jobs_are_saved_under_a_lease, kinds_of_jobs_are_apart, one_job_is_under_way_for_a_subject, chunks_are_kept_and_dropped,
                chunks_are_saved_with_their_job;
            carried: what_moves_is_walked_whole_and_keys_are_kept;
            mirrored: what_a_run_leaves_behind_is_walked_and_forgotten;
            synced: what_was_told_is_found_replaced_and_forgotten, what_was_told_is_walked_and_removed, records_have_their_contacts;
            wallets: devices_are_walked_in_their_order, owed_pushes_come_due, devices_see_their_passes, stale_devices_are_found_once, failed_pushes_come_due,
                passes_sharing_a_number_come_together, a_pass_on_many_devices_is_walked_in_parts;
            google: changed_passes_tell_who_is_held, what_google_shall_hear_comes_due_until_it_knows,
                a_change_meanwhile_stays_due, what_is_asked_for_meanwhile_stays_due, what_is_over_is_forgotten,
                things_of_a_lost_lease_are_refused;
            upkeep: the_epoch_stays, migrating_again_changes_nothing, rings_keep_their_newest,
                old_inbox_rows_go_once_read, old_events_go_once_nobody_needs_them, forgotten_keys_may_be_used_again,
                old_attempts_go;
            concurrency: logs_stay_dense_under_concurrent_writers, no_update_is_lost, one_of_many_wins_a_name, no_more_are_made_than_were_counted,
                many_come_into_one_line, no_pass_is_issued_into_what_is_removed,
                no_pass_comes_to_be_of_who_is_erased;
            model: operations_agree_with_a_simple_model_1, operations_agree_with_a_simple_model_2,
                operations_agree_with_a_simple_model_3, operations_agree_with_a_simple_model_4;
        );
    };
    (@cases $fresh:ident; $($module:ident: $($case:ident),+;)+) => {$(
        mod $module {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (backend, guard) = super::$fresh().await;
                $crate::conformance::$module::$case(&backend).await;
                backend.close().await;
                drop(guard);
            }
        )+}
    )+};
}
