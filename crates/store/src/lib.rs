//! The storage contract.
//!
//! [`Backend`] is what an adapter fulfils: rows with plain columns and sealed bodies, about forty calls, each one
//! transaction. [`Store`] is what the house uses: the same in domain words, with everything personal sealed on the way
//! down and opened on the way up. Adapters decide nothing; the conformance suite holds every one of them to the contract.

mod answers;
mod backend;
mod backfills;
mod batches;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod google;
mod jobs;
mod keyring;
mod kinds;
mod lines;
mod logs;
pub mod moving;
mod publications;
mod rows;
mod states;
mod store;
mod synced;
mod syncs;
mod tail;
mod targets;
mod wishes;

pub use answers::KeptAnswer;
pub use backend::{Backend, Log, Pulse, Reader, Retention};
pub use backfills::{Backfill, BackfillProgress};
pub use batches::{
    AUDITED_BATCH, Batch, BatchFile, BatchPhase, BatchStart, BatchTally, BatchWork, CHUNK_BYTES, Intake, IntakeFrom,
};
pub use config::{
    Catalog, Ending, OrgCatalog, PreviousSigner, Resource, ScanKeys, Stored, StoredDraft, StoredFlow, StoredFlowVersion,
    StoredGoogleAccount, StoredInspector, StoredSigner, StoredSigningRequest, StoredTransformation, StoredVersion, ToldEnding,
};
pub use error::{Result, StoreError};
pub use google::{
    ChangedPass, GoogleChecked, GoogleDrift, GoogleNote, GoogleOutcome, GoogleSettlement, GoogleThingRow, GoogleWants,
    NOTIFICATIONS, NOTIFICATIONS_WITHIN, dry_run_thing, google_class_thing,
};
pub use jobs::{CHUNK_DAYS, Chunk, Job, JobBody};
pub use keyring::{DataKey, Keyring, MasterKey};
pub use kinds::{
    AttemptOutcome, DELETED, InboxStatus, JobKind, JobState, NameKind, PassState, ResourceKind, wallet_number, wallets_number,
};
pub use logs::{Arrival, DEDUPE_DAYS, EventOutline, InboxEntry, LoggedEvent, Newest, NewestPage, SealedUnder};
pub use publications::{Progress, Publication};
pub use rows::*;
pub use states::{Changes, Held, NewEvent, NewResult, RESULT_DAYS, States, StoredResult, Touch};
pub use store::{AUDITED_BLOB, Capture, ConfigChange, Store, Wake, blob_row};
pub use synced::MOST_SHARE;
pub use syncs::{Incremental, Removal, Removed, RemovedAction, StoredSync, SyncScope};
pub use tail::{EventFollower, FollowedEvent, InboxFollower, KeptEvent, Page};
pub use targets::{SealedSecret, StoredTarget};
pub use wishes::Wish;
