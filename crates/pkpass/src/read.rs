//! Reading packages made by anyone: everything is bounded before it is unpacked, and what no pass needs is refused.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipFileHeaderRecord, ZipSliceArchive};

use crate::bundle::MAX_BUNDLE_PASSES;
use crate::model::Pass;
use crate::path::{self, PathError};

/// Bounds of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest archive, in bytes as it comes.
    pub archive_bytes: usize,
    /// Most entries, folders included.
    pub entries: usize,
    /// Largest single file, in bytes unpacked.
    pub file_bytes: usize,
    /// Largest sum of all files, in bytes unpacked.
    pub total_bytes: usize,
    /// Largest growth by unpacking, looked at from 64 KiB on.
    pub ratio: usize,
}

impl Limits {
    /// Bounds for one pass.
    pub const PASS: Self =
        Self { archive_bytes: 32 << 20, entries: 1000, file_bytes: 16 << 20, total_bytes: 64 << 20, ratio: 200 };
    /// Bounds for a bundle; the passes inside are read under [`Limits::PASS`].
    pub const BUNDLE: Self = Self {
        archive_bytes: crate::MAX_BUNDLE_BYTES,
        entries: 40,
        file_bytes: Self::PASS.archive_bytes,
        total_bytes: crate::MAX_BUNDLE_BYTES,
        ratio: 200,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::PASS
    }
}

/// Below this size (bytes unpacked) growth by unpacking does no harm.
const RATIO_FREE_BYTES: usize = 64 << 10;

/// Why bytes are refused as a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not a ZIP, or a damaged one.
    #[error("this is not a readable ZIP archive ({0}); a .pkpass is a ZIP of pass.json, images, manifest.json and signature")]
    Archive(String),
    /// Larger than allowed.
    #[error("the archive has {bytes} bytes, at most {limit} are read")]
    ArchiveTooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// More entries than allowed.
    #[error("the archive has more than {0} entries; a pass has a few dozen files")]
    TooManyEntries(usize),
    /// A path that no package may hold.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A name that is not UTF-8.
    #[error("entry {0} has a name that is not UTF-8; rename the file")]
    Name(usize),
    /// The same path twice.
    #[error("`{0}` is in the archive twice (upper and lower case count as the same), so readers would disagree on its content")]
    Duplicate(String),
    /// A symbolic link.
    #[error("`{0}` is a symbolic link; put the file itself into the archive")]
    Symlink(String),
    /// An encrypted entry.
    #[error("`{0}` is encrypted; passes are not")]
    Encrypted(String),
    /// A compression other than stored or deflate.
    #[error("`{0}` is compressed in a way that passes do not use; make the archive with plain `zip`")]
    Compression(String),
    /// Unpacked too large, or grown too much.
    #[error("`{path}` unpacks to more than {limit} bytes; it is refused as a possible ZIP bomb")]
    TooLarge {
        /// Which file.
        path: String,
        /// The bound it exceeds.
        limit: usize,
    },
    /// All files together are too large.
    #[error("the files unpack to more than {0} bytes together")]
    TotalTooLarge(usize),
    /// The content does not fit its checksum, size or local header, or overlaps another entry.
    #[error("`{0}` is damaged: its content does not fit what the archive says about it")]
    Damaged(String),
    /// A bundle with an entry that is no pass.
    #[error("`{path}` in the bundle is no pass: {fault}")]
    InBundle {
        /// Which entry.
        path: String,
        /// What is wrong with it.
        fault: Box<ReadError>,
    },
    /// A bundle without passes, or with more than Apple takes.
    #[error("a bundle holds 1 to {MAX_BUNDLE_PASSES} passes, this one {0}")]
    BundleCount(usize),
}

/// An unpacked package: its files, nothing checked beyond the archive itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    files: BTreeMap<String, Vec<u8>>,
}

impl Package {
    /// Unpacks a `.pkpass`.
    ///
    /// # Errors
    /// When it is no archive, exceeds a limit, or holds an entry that no pass needs.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, ReadError> {
        unpack(bytes, limits).map(|files| Self { files })
    }

    /// Unpacks a `.pkpass`, or a packed `.pass` or `.pkpasstemplate` folder. A folder that everything lies in is taken off the
    /// paths, and what operating systems leave behind is passed over.
    ///
    /// # Errors
    /// As [`Package::parse`].
    pub fn parse_folder(bytes: &[u8], limits: &Limits) -> Result<Self, ReadError> {
        let mut files = unpack(bytes, limits)?;
        files.retain(|path, _| !path::is_junk(path));
        let folder = files.keys().next().and_then(|path| path.split_once('/')).map(|(folder, _)| format!("{folder}/"));
        if let Some(folder) = folder.filter(|folder| files.keys().all(|path| path.starts_with(folder.as_str()))) {
            files = files.into_iter().map(|(path, data)| (path[folder.len()..].to_owned(), data)).collect();
        }
        Ok(Self { files })
    }

    /// Unpacks a `.pkpasses`: the passes by their name in the bundle.
    ///
    /// # Errors
    /// As [`Package::parse`], also for each pass inside.
    pub fn parse_bundle(bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Self)>, ReadError> {
        let files = unpack(bytes, limits)?;
        let passes: Vec<_> = files.into_iter().filter(|(path, _)| crate::assets::has_extension(path, "pkpass")).collect();
        if passes.is_empty() || passes.len() > MAX_BUNDLE_PASSES {
            return Err(ReadError::BundleCount(passes.len()));
        }
        let inside = |(path, bytes): (String, Vec<u8>)| match Self::parse(&bytes, &Limits::PASS) {
            Ok(package) => Ok((path, package)),
            Err(fault) => Err(ReadError::InBundle { path, fault: Box::new(fault) }),
        };
        passes.into_iter().map(inside).collect()
    }

    /// All files by path, sorted.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, data)| (path.as_str(), data.as_slice()))
    }

    /// One file.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The bytes of `pass.json`.
    pub fn pass_json(&self) -> Option<&[u8]> {
        self.file("pass.json")
    }

    /// `pass.json` as types, forgiving what Wallet forgives. Absent when there is none.
    ///
    /// # Errors
    /// When it is not JSON, or a key has another type than Apple documents; [`crate::lint_package`] says where.
    pub fn pass(&self) -> Option<Result<Pass, serde_json::Error>> {
        self.pass_json().map(Pass::from_json)
    }
}

fn unpack(bytes: &[u8], limits: &Limits) -> Result<BTreeMap<String, Vec<u8>>, ReadError> {
    if bytes.len() > limits.archive_bytes {
        return Err(ReadError::ArchiveTooLarge { bytes: bytes.len(), limit: limits.archive_bytes });
    }
    let damaged = |fault: rawzip::Error| ReadError::Archive(fault.to_string());
    let archive = ZipArchive::from_slice(bytes).map_err(damaged)?;
    let mut entries = archive.entries();
    let mut checked = Vec::new();
    let mut seen = HashSet::new();
    let mut count = 0;
    while let Some(record) = entries.next_entry().map_err(damaged)? {
        count += 1;
        if count > limits.entries {
            return Err(ReadError::TooManyEntries(limits.entries));
        }
        if let Some(path) = check_entry(&record, count)? {
            if !seen.insert(path::collision_key(&path)) {
                return Err(ReadError::Duplicate(path));
            }
            checked.push((path, record));
        }
    }
    // every entry is checked before the first one is unpacked
    check_overlap(&archive, &checked)?;
    let mut files = BTreeMap::new();
    let mut total = 0usize;
    for (path, record) in checked {
        let room = limits.file_bytes.min(limits.total_bytes - total);
        let data = match inflate(&archive, &record, &path, room, limits.ratio) {
            Err(ReadError::TooLarge { limit, .. }) if limit == room && room < limits.file_bytes => {
                Err(ReadError::TotalTooLarge(limits.total_bytes))
            }
            other => other,
        }?;
        total += data.len();
        files.insert(path, data);
    }
    Ok(files)
}

/// The path of a file that may be unpacked; nothing for a folder.
fn check_entry(record: &ZipFileHeaderRecord<'_>, number: usize) -> Result<Option<String>, ReadError> {
    let name = std::str::from_utf8(record.file_path().as_bytes()).map_err(|_| ReadError::Name(number))?;
    if record.mode().is_symlink() {
        return Err(ReadError::Symlink(name.to_owned()));
    }
    if let Some(folder) = name.strip_suffix('/') {
        path::check(folder)?;
        return Ok(None);
    }
    path::check(name)?;
    let flags = record.flags();
    if flags.is_encrypted() || flags.has_strong_encryption() || flags.is_masked() {
        return Err(ReadError::Encrypted(name.to_owned()));
    }
    match record.compression_method() {
        CompressionMethod::STORE | CompressionMethod::DEFLATE => Ok(Some(name.to_owned())),
        _ => Err(ReadError::Compression(name.to_owned())),
    }
}

/// Refuses entries that share bytes, or whose local header tells another story than the central directory.
fn check_overlap(archive: &ZipSliceArchive<&[u8]>, entries: &[(String, ZipFileHeaderRecord<'_>)]) -> Result<(), ReadError> {
    let mut ranges = Vec::with_capacity(entries.len());
    for (path, record) in entries {
        let damaged = || ReadError::Damaged(path.clone());
        let entry = archive.get_entry(record.wayfinder()).map_err(|_| damaged())?;
        let local = entry.local_header();
        if local.file_path().as_bytes() != record.file_path().as_bytes()
            || local.compression_method() != record.compression_method()
            || local.flags().is_encrypted()
        {
            return Err(damaged());
        }
        ranges.push((record.local_header_offset(), entry.compressed_data_range().1, path));
    }
    ranges.sort_unstable();
    match ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => Err(ReadError::Damaged(pair[1].2.clone())),
        None => Ok(()),
    }
}

fn inflate(
    archive: &ZipSliceArchive<&[u8]>,
    record: &ZipFileHeaderRecord<'_>,
    path: &str,
    room: usize,
    ratio: usize,
) -> Result<Vec<u8>, ReadError> {
    let damaged = || ReadError::Damaged(path.to_owned());
    let entry = archive.get_entry(record.wayfinder()).map_err(|_| damaged())?;
    let packed = entry.data();
    let limit = room.min(packed.len().saturating_mul(ratio).max(RATIO_FREE_BYTES));
    let claimed = record.uncompressed_size_hint();
    if claimed > limit as u64 {
        return Err(ReadError::TooLarge { path: path.to_owned(), limit });
    }
    let data = if record.compression_method() == CompressionMethod::STORE {
        packed.to_vec()
    } else {
        let mut out = Vec::with_capacity(claimed as usize);
        let read = DeflateDecoder::new(packed).take(limit as u64 + 1).read_to_end(&mut out).map_err(|_| damaged())?;
        if read > limit {
            return Err(ReadError::TooLarge { path: path.to_owned(), limit });
        }
        out
    };
    if data.len() as u64 != claimed || crc32fast::hash(&data) != record.crc32() {
        return Err(damaged());
    }
    Ok(data)
}
