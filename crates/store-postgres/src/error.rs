//! What PostgreSQL says, as what follows from it.

use store::StoreError;
use tokio_postgres::error::SqlState;

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(crate) enum Failed {
    /// PostgreSQL or the way to it.
    Postgres(tokio_postgres::Error),
    /// Known in the contract's words already.
    Store(StoreError),
    /// Somebody else was faster.
    Conflict,
}

pub(crate) type Attempt<T> = Result<T, Failed>;

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failed {
    /// Whether the same transaction may simply be run again: it lost against another one and left nothing.
    pub(crate) fn is_lost_race(&self) -> bool {
        matches!(self, Self::Postgres(error) if matches!(
            error.code(),
            Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED)
        ))
    }

    /// The constraint that was violated, when a row was there already.
    pub(crate) fn unique(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                Some(error.as_db_error().and_then(tokio_postgres::error::DbError::constraint).unwrap_or_default())
            }
            _ => None,
        }
    }

    /// Whether another session made the same thing first, as when two nodes migrate at once.
    pub(crate) fn is_there_already(&self) -> bool {
        matches!(self, Self::Postgres(error) if matches!(
            error.code(),
            Some(&SqlState::DUPLICATE_TABLE | &SqlState::DUPLICATE_OBJECT | &SqlState::UNIQUE_VIOLATION)
        ))
    }

    /// Whether a lock was not to be had in time, so that the step is better tried another time.
    pub(crate) fn is_locked_out(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Postgres(error) => of_postgres(&error),
            Failed::Store(error) => error,
            Failed::Conflict => Self::Internal("a conflict where none can be told".into()),
        }
    }
}

/// Names the consequence of an error. Details and hints stay out: they may quote values.
pub(crate) fn of_postgres(error: &tokio_postgres::Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        return if error.is_closed() || is_of_connection(error) {
            StoreError::Unavailable(with_causes(error))
        } else {
            StoreError::Internal(with_causes(error))
        };
    };
    let text = format!("{} ({})", said.message(), said.code().code());
    match said.code().code() {
        "53100" => StoreError::DiskFull,
        "55P03" => StoreError::Locked(text),
        "XX001" | "XX002" => StoreError::Corrupt(text),
        // Read-only: a standby, or a primary that was demoted.
        "25006" | "40001" | "40P01" | "57014" | "25P03" => StoreError::Unavailable(text),
        code if ["08", "28", "3D", "53", "57", "58"].contains(&&code[..2]) => StoreError::Unavailable(text),
        _ => StoreError::Internal(text),
    }
}

fn is_of_connection(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.is::<std::io::Error>() || inner.is::<rustls::Error>() {
            return true;
        }
        cause = inner.source();
    }
    let text = error.to_string();
    ["timeout", "error connecting", "error performing TLS"].iter().any(|start| text.starts_with(start))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// The pool's errors.
pub(crate) fn of_pool(error: deadpool_postgres::PoolError) -> StoreError {
    match error {
        deadpool_postgres::PoolError::Backend(error) => of_postgres(&error),
        deadpool_postgres::PoolError::Timeout(_) => {
            StoreError::Unavailable("all connections to PostgreSQL are busy: give it more, or less to do".into())
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}
