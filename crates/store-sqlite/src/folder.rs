//! The data folder and the lock on it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use store::{Result, StoreError};

/// The database's file in the folder.
const DATABASE: &str = "passbridge.db";
/// The file that is locked while a process has the folder. It holds that process's id, for people.
const LOCK: &str = "passbridge.lock";

/// A folder that this process has to itself until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self> {
        let unavailable = |what: &str, error: std::io::Error| {
            StoreError::Unavailable(format!("cannot {what} the data folder {}: {error}", path.display()))
        };
        make(path).map_err(|error| unavailable("make", error))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(|error| unavailable("lock", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut file)),
            Err(TryLockError::Error(error)) => return Err(unavailable("lock", error)),
        }
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
            _ => unavailable("write to", error),
        })?;
        Ok(Self { path: path.to_owned(), _lock: file })
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }
}

#[cfg(unix)]
fn make(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)
}

fn in_use(path: &Path, file: &mut File) -> StoreError {
    let mut holder = String::new();
    // Who holds it is only told; where it cannot be read, the sentence does without.
    let _ = file.take(32).read_to_string(&mut holder);
    let holder = match holder.trim() {
        "" => String::new(),
        id => format!(" (process {id})"),
    };
    StoreError::Locked(format!(
        "another Passbridge{holder} is running on the data folder {}: stop it, or use another folder",
        path.display()
    ))
}
