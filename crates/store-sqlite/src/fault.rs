//! What can go wrong, until it is told in the contract's words.

use rusqlite::ErrorCode;
use store::StoreError;

/// A failure inside a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error,
            Fault::Sqlite(error) => named(&error),
        }
    }
}

/// An error of SQLite by what follows from it.
pub(crate) fn named(error: &rusqlite::Error) -> StoreError {
    let text = error.to_string();
    let rusqlite::Error::SqliteFailure(code, _) = error else { return StoreError::Internal(text) };
    match code.code {
        ErrorCode::DiskFull => StoreError::DiskFull,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StoreError::Locked(format!("{text}; another program is using the database file: close it"))
        }
        ErrorCode::DatabaseCorrupt => StoreError::Corrupt(format!(
            "{text}; stop the server, keep a copy of the data folder, and restore the last backup or run SQLite's .recover, then \
             `DELETE FROM key_index; DELETE FROM key_tail;` on what it recovered, so that the next start makes both anew"
        )),
        ErrorCode::NotADatabase => {
            StoreError::Corrupt(format!("{text}; the file is no SQLite database: restore the last backup"))
        }
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            StoreError::Unavailable(format!("{text}; check the data folder's disk and permissions"))
        }
        ErrorCode::OutOfMemory => StoreError::Unavailable(text),
        _ => StoreError::Internal(text),
    }
}

/// Extended codes of a unique index and a primary key that were hit.
const UNIQUE: [i32; 2] = [rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE, rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY];

/// Whether a statement failed because of a unique key.
pub(crate) fn is_unique(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _) if UNIQUE.contains(&code.extended_code))
}
