//! Tables in Parquet files that somebody gives us, read a row at a time. Source: <https://parquet.apache.org/docs/file-format/>.
//!
//! Nothing that a file says about itself is believed: before a row group is unpacked every page of it is looked at, and one that
//! would take more memory than [`MAX_PAGE_BYTES`], or a row group whose columns would together take more than
//! [`MAX_OPEN_BYTES`], ends the reading. Packed with Snappy or Zstandard, or not at all: the other methods of the format have no
//! bound that can be known before.

mod cells;
mod pages;

use std::{
    io::{self, Read},
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use parquet::{
    errors::ParquetError,
    file::{
        reader::{ChunkReader, FileReader as _, Length},
        serialized_reader::SerializedFileReader,
    },
    record::reader::RowIter,
    schema::types::Type,
};
use serde_json::{Map, Value};

/// The largest page, packed or unpacked, and the largest footer, in bytes.
pub const MAX_PAGE_BYTES: usize = 64 << 20;
/// What the largest pages of all columns of a row group may take together, in bytes: they are open at once.
pub const MAX_OPEN_BYTES: usize = 256 << 20;
/// The most columns of a file.
pub const MAX_COLUMNS: usize = 1_000;
/// What a whole file begins and ends with, and what one with an encrypted footer does.
const MAGIC: [&[u8]; 2] = [b"PAR1", b"PARE"];
/// Bytes of the shortest file: magic, an empty footer, its length, magic.
const LEAST_BYTES: u64 = 12;
/// Bytes of a file that are fetched at a time where it is not known how many are needed.
const WINDOW_BYTES: usize = 16 << 10;
/// Longest words about what is wrong, in bytes.
const MAX_WORDS: usize = 300;

/// Where a file is kept. What is asked for is within it.
pub trait Storage: Send + Sync {
    /// How long it is.
    fn bytes(&self) -> u64;
    /// A stretch of it.
    ///
    /// # Errors
    /// When it cannot be had now.
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is broken, encrypted, or more than it may be; in words.
    #[error("{0}")]
    Refused(String),
    /// Where it is kept does not give it out at the moment.
    #[error("what was uploaded cannot be read now: {0}")]
    Away(io::Error),
}

/// A file whose footer was read.
pub struct Table {
    file: SerializedFileReader<Kept>,
    kept: Kept,
}

impl Table {
    /// Reads a file's footer.
    ///
    /// # Errors
    /// When it is not there, broken, or the file is not for us.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Self, Unreadable> {
        let kept = Kept { storage, failed: Arc::default() };
        kept.guard(|| {
            kept.begins_well()?;
            let file = SerializedFileReader::new(kept.clone())?;
            check_columns(file.metadata().file_metadata().schema())?;
            Ok(Self { file, kept: kept.clone() })
        })
    }

    /// The names of its columns.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        self.file.metadata().file_metadata().schema().get_fields().iter().map(|field| field.name().to_owned()).collect()
    }

    /// Gives out the rows as objects, nulls among their members, until there are no more or `take` breaks off.
    ///
    /// # Errors
    /// When the file cannot be read any further; the rows before it were given out.
    pub fn rows(&self, mut take: impl FnMut(Map<String, Value>) -> ControlFlow<()>) -> Result<(), Unreadable> {
        let schema = self.file.metadata().file_metadata().schema();
        self.kept.guard(|| {
            for number in 0..self.file.num_row_groups() {
                let group = self.file.get_row_group(number)?;
                pages::check(&self.kept, group.metadata())?;
                for row in RowIter::from_row_group(None, &*group)? {
                    if take(cells::row(&row?, schema)).is_break() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("columns", &self.columns()).finish_non_exhaustive()
    }
}

fn check_columns(schema: &Type) -> Result<(), Unreadable> {
    let columns = schema.get_fields();
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        let count = columns.len();
        return Err(Unreadable::Refused(format!("the file has {count} columns; there must be one and may be {MAX_COLUMNS}")));
    }
    let mut names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Unreadable::Refused(format!("two columns of the file are called `{}`", pair[0]))),
        None => Ok(()),
    }
}

/// What the library said, as one says it to somebody who has the file.
impl From<ParquetError> for Unreadable {
    fn from(error: ParquetError) -> Self {
        let words: String = error.to_string().chars().take(MAX_WORDS).collect();
        Self::Refused(format!("the Parquet file is broken, or of a kind that cannot be read: {words}"))
    }
}

/// A file for the library, which remembers when it could not be had.
#[derive(Clone)]
struct Kept {
    storage: Arc<dyn Storage>,
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Kept {
    fn begins_well(&self) -> Result<(), Unreadable> {
        let bytes = self.storage.bytes();
        let refused = |why: &str| Err(Unreadable::Refused(why.to_owned()));
        if bytes < LEAST_BYTES {
            return refused("the file is no Parquet: it is too short");
        }
        let magic = MAGIC[0].len();
        let head = self.get_bytes(0, magic)?;
        let tail = self.get_bytes(bytes - magic as u64, magic)?;
        match (&head[..], &tail[..]) {
            (b"PAR1", b"PAR1") => Ok(()),
            (_, b"PARE") | (b"PARE", _) => refused("the Parquet file is encrypted: write it without encryption"),
            (b"PAR1", _) => refused("the Parquet file is cut short: its end is missing"),
            _ => refused("the file is no Parquet: it does not begin with PAR1"),
        }
    }

    /// Runs what reads the file. Files that are not as they say make the library fail in ways of its own.
    fn guard<T>(&self, read: impl FnOnce() -> Result<T, Unreadable>) -> Result<T, Unreadable> {
        let outcome = catch_unwind(AssertUnwindSafe(read));
        if let Some(error) = self.failed.lock().take() {
            return Err(Unreadable::Away(error));
        }
        outcome.unwrap_or_else(|_| {
            Err(Unreadable::Refused("the Parquet file is broken, or has a column of a type that cannot be read".to_owned()))
        })
    }
}

impl Length for Kept {
    fn len(&self) -> u64 {
        self.storage.bytes()
    }
}

impl ChunkReader for Kept {
    type T = Reading;

    fn get_read(&self, start: u64) -> Result<Reading, ParquetError> {
        Ok(Reading { kept: self.clone(), at: start, window: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.storage.bytes()) {
            return Err(ParquetError::EOF("it ends before what it says to have".to_owned()));
        }
        if length > MAX_PAGE_BYTES {
            return Err(ParquetError::General(format!("a part of {length} bytes; there may be {MAX_PAGE_BYTES}")));
        }
        self.storage.read(start, length).map_err(|error| {
            let words = error.to_string();
            self.failed.lock().get_or_insert(error);
            ParquetError::General(words)
        })
    }
}

/// Reads on from a place of a file.
struct Reading {
    kept: Kept,
    at: u64,
    window: Bytes,
}

impl Read for Reading {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.window.is_empty() {
            let left = usize::try_from(self.kept.len().saturating_sub(self.at)).unwrap_or(usize::MAX);
            self.window = self.kept.get_bytes(self.at, left.min(WINDOW_BYTES)).map_err(io::Error::other)?;
            self.at += self.window.len() as u64;
        }
        let length = out.len().min(self.window.len());
        self.window.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
