//! A minimal reader of ZIP archives: stored and deflated entries, no encryption, no ZIP64, checksums verified.
//! Source: PKWARE, APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::DeflateDecoder;

/// Most files in a package.
const MAX_FILES: usize = 1000;
/// Most bytes of all files together, unpacked.
const MAX_UNPACKED_BYTES: usize = 50 << 20;

const END_SIGNATURE: u32 = 0x0605_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const END_BYTES: usize = 22;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Unpacks every file. The error is a sentence.
pub(super) fn unpack(zip: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let end = find_end(zip).ok_or("not a ZIP archive: no end of central directory")?;
    let count = usize::from(u16_at(zip, end + 10)?);
    if count > MAX_FILES {
        return Err(format!("{count} files, more than {MAX_FILES}"));
    }
    let mut at = usize_at(zip, end + 16)?;
    let mut room = MAX_UNPACKED_BYTES;
    let mut files = BTreeMap::new();
    for _ in 0..count {
        if u32_at(zip, at)? != CENTRAL_SIGNATURE {
            return Err("a central directory entry is missing".to_owned());
        }
        let name_len = usize::from(u16_at(zip, at + 28)?);
        let skip = usize::from(u16_at(zip, at + 30)?) + usize::from(u16_at(zip, at + 32)?);
        let name = slice(zip, at + CENTRAL_BYTES, name_len)?;
        let name = std::str::from_utf8(name).map_err(|_| "a file name is not UTF-8")?.to_owned();
        let entry = Entry {
            flags: u16_at(zip, at + 8)?,
            method: u16_at(zip, at + 10)?,
            crc32: u32_at(zip, at + 16)?,
            packed: usize_at(zip, at + 20)?,
            unpacked: usize_at(zip, at + 24)?,
            offset: usize_at(zip, at + 42)?,
        };
        at += CENTRAL_BYTES + name_len + skip;
        if name.ends_with('/') {
            continue;
        }
        room = room.checked_sub(entry.unpacked).ok_or("the files are too large unpacked")?;
        let content = entry.read(zip, &name)?;
        if files.insert(name.clone(), content).is_some() {
            return Err(format!("{name} is there twice"));
        }
    }
    Ok(files)
}

struct Entry {
    flags: u16,
    method: u16,
    crc32: u32,
    packed: usize,
    unpacked: usize,
    offset: usize,
}

impl Entry {
    fn read(&self, zip: &[u8], name: &str) -> Result<Vec<u8>, String> {
        if self.flags & 1 != 0 {
            return Err(format!("{name} is encrypted"));
        }
        if u32_at(zip, self.offset)? != LOCAL_SIGNATURE {
            return Err(format!("{name} has no local header"));
        }
        let name_len = usize::from(u16_at(zip, self.offset + 26)?);
        if slice(zip, self.offset + LOCAL_BYTES, name_len)? != name.as_bytes() {
            return Err(format!("{name} has another name in its local header"));
        }
        let start = self.offset + LOCAL_BYTES + name_len + usize::from(u16_at(zip, self.offset + 28)?);
        let packed = slice(zip, start, self.packed)?;
        let content = match self.method {
            STORED => packed.to_vec(),
            DEFLATED => inflate(packed, self.unpacked).map_err(|error| format!("{name}: {error}"))?,
            other => return Err(format!("{name} uses compression method {other}")),
        };
        if content.len() != self.unpacked || crc32fast::hash(&content) != self.crc32 {
            return Err(format!("{name} does not match its size or checksum"));
        }
        Ok(content)
    }
}

fn inflate(packed: &[u8], expected: usize) -> Result<Vec<u8>, std::io::Error> {
    let mut content = Vec::with_capacity(expected.min(MAX_UNPACKED_BYTES));
    // One byte more than promised is enough to notice a lie.
    DeflateDecoder::new(packed).take(expected as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// The end record, which a comment of up to 65,535 bytes may follow.
fn find_end(zip: &[u8]) -> Option<usize> {
    let last = zip.len().checked_sub(END_BYTES)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    (first..=last).rev().find(|at| u32_at(zip, *at) == Ok(END_SIGNATURE))
}

fn slice(zip: &[u8], at: usize, len: usize) -> Result<&[u8], String> {
    at.checked_add(len).and_then(|end| zip.get(at..end)).ok_or_else(|| "the archive is cut off".to_owned())
}

fn u16_at(zip: &[u8], at: usize) -> Result<u16, String> {
    slice(zip, at, 2).map(|b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(zip: &[u8], at: usize) -> Result<u32, String> {
    slice(zip, at, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn usize_at(zip: &[u8], at: usize) -> Result<usize, String> {
    u32_at(zip, at).map(|n| n as usize)
}
