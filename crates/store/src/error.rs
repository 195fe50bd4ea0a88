//! What can go wrong with a store, named by what follows from it.

/// Why a store did not do what was asked. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or does not answer; trying again later may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// No room is left on the database's disk. Nothing is accepted until there is.
    #[error("the database's disk is full: free some space; nothing is accepted until then")]
    DiskFull,
    /// Another process holds the data folder or the lock.
    #[error("the database is locked: {0}")]
    Locked(String),
    /// What is stored contradicts itself; somebody has to look at it.
    #[error("the database is inconsistent: table {table}, column {column}, row {row}: {why}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key, without personal values.
        row: String,
        /// What is wrong.
        why: String,
    },
    /// The file is damaged or no database.
    #[error("the database is corrupt: {0}")]
    Corrupt(String),
    /// The database was written by a newer version of Passbridge.
    #[error("the database has schema {found}, this version knows {known}: use a newer version of Passbridge")]
    TooNew {
        /// The schema it has.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// The shard's lease belongs to another node now; whoever wrote must stop.
    #[error("the lease on shard {shard} was lost to another node")]
    LeaseLost {
        /// The shard.
        shard: u16,
    },
    /// A slug or name is taken.
    #[error("{0} is taken")]
    Taken(String),
    /// The master key does not open what is stored.
    #[error("the master key does not open what is stored: start with the key that this database was made with")]
    WrongMasterKey,
    /// A fault of ours.
    #[error("internal error in the store: {0}")]
    Internal(String),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::DiskFull | Self::Locked(_))
    }
}

/// The result of a store call.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
