//! The schema, one numbered step after another; `user_version` counts the steps done.

use rusqlite::{Connection, Transaction, TransactionBehavior, config::DbConfig, params};
use store::{Reader, StoreError};

use crate::{backend::SHARDS, fault::Result, keys};

/// Every step, in order. A step that was released is never changed.
const STEPS: &[&str] = &[
    include_str!("../migrations/0001_start.sql"),
    include_str!("../migrations/0002_sealed_headers.sql"),
    include_str!("../migrations/0003_jobs.sql"),
    include_str!("../migrations/0004_nodes.sql"),
    include_str!("../migrations/0005_push_tries.sql"),
    include_str!("../migrations/0006_google.sql"),
    include_str!("../migrations/0007_synced.sql"),
    include_str!("../migrations/0008_replays.sql"),
    include_str!("../migrations/0009_batches.sql"),
    include_str!("../migrations/0010_job_subjects.sql"),
    include_str!("../migrations/0011_delayed.sql"),
    include_str!("../migrations/0012_mirrored.sql"),
    include_str!("../migrations/0013_repeats.sql"),
    include_str!("../migrations/0014_asked_again.sql"),
    include_str!("../migrations/0015_owed_to_a_target.sql"),
    include_str!("../migrations/0016_installed.sql"),
    include_str!("../migrations/0017_records.sql"),
    include_str!("../migrations/0018_pages_of_the_owed.sql"),
    include_str!("../migrations/0019_lines.sql"),
    include_str!("../migrations/0020_keys.sql"),
];

/// Marks the file as ours in its header: "PBdg".
const APPLICATION: i64 = 0x5042_6467;

/// The number of a log in `heads`.
pub(crate) const INBOX: i64 = 1;
/// See [`INBOX`].
pub(crate) const EVENTS: i64 = 2;

/// Those of the first step; later steps bring their own.
const READERS: [Reader; 4] = [Reader::Flows, Reader::Webhooks, Reader::WalletSync, Reader::Integrity];

/// Lets a statement keep its plan whatever is bound to it. Otherwise SQLite looks at what is bound where a partial index might
/// serve, and prepares the statement anew for every other value.
pub(crate) fn keep_plans(db: &Connection) -> Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Refuses files of others and of newer versions.
pub(crate) fn check(db: &Connection) -> Result<()> {
    let application: i64 = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION {
        let text = "the file is a database of another program: name another data folder".to_owned();
        return Err(StoreError::Corrupt(text).into());
    }
    let known = STEPS.len() as i64;
    if found > known {
        return Err(StoreError::TooNew { found, known }.into());
    }
    Ok(())
}

/// Does the steps that are missing, each in its own transaction.
pub(crate) fn migrate(db: &Connection) -> Result<()> {
    check(db)?;
    let done: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (step, sql) in STEPS.iter().enumerate().skip(usize::try_from(done).unwrap_or(0)) {
        let transaction = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        if step == 0 {
            start(&transaction)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", step as i64 + 1)?;
        transaction.commit()?;
        tracing::info!(step = step + 1, "database schema brought up to date");
    }
    // After the step that brings it, and where it was lost with damaged pages.
    if keys::has_no_index(db)? {
        let transaction = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
        keys::index(&transaction)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Rows that are there from the start.
fn start(db: &Connection) -> Result<()> {
    db.execute_batch(
        "INSERT INTO meta (name, value)
         VALUES ('log_epoch', random() & 0x7fffffffffffffff), ('config_version', 0), ('written', 0)",
    )?;
    for shard in 0..SHARDS {
        for log in [INBOX, EVENTS] {
            db.execute("INSERT INTO heads (log, shard, seq) VALUES (?1, ?2, 0)", params![log, shard])?;
        }
        for reader in READERS {
            db.execute("INSERT INTO watermarks (reader, shard, seq) VALUES (?1, ?2, 0)", params![reader.name(), shard])?;
        }
        db.execute("INSERT INTO leases (shard, epoch, owner, beat) VALUES (?1, 0, '', 0)", [shard])?;
    }
    Ok(())
}
