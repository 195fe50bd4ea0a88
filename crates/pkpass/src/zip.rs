//! ZIP records, written directly. Source: PKWARE *APPNOTE*, sections 4.3.7, 4.3.12 and 4.3.16; no zip64, since every limit
//! of this crate lies far under 4 GiB and 65,535 files.

use flate2::{Compress, Compression, FlushCompress, Status};

const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
pub(crate) const LOCAL_FIXED_BYTES: usize = 30;
pub(crate) const CENTRAL_FIXED_BYTES: usize = 46;
pub(crate) const END_BYTES: usize = 22;
/// Where time and date stand in a local header, and in a central one.
pub(crate) const LOCAL_TIME_AT: usize = 10;
pub(crate) const CENTRAL_TIME_AT: usize = 12;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const VERSION_STORED: u16 = 10;
const VERSION_DEFLATED: u16 = 20;
const MADE_BY_UNIX: u16 = 3 << 8 | 20;
const UTF8_NAME: u16 = 1 << 11;
/// A regular file, rw-r--r--.
const FILE_MODE: u32 = 0o100_644 << 16;

/// One file, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) path: &'a str,
    pub(crate) crc32: u32,
    pub(crate) size: u32,
    pub(crate) body: Body<'a>,
}

/// The bytes as they stand in the archive.
#[derive(Debug, Clone)]
pub(crate) enum Body<'a> {
    Stored(&'a [u8]),
    Deflated(&'a [u8]),
}

impl Body<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Stored(bytes) | Self::Deflated(bytes) => bytes,
        }
    }
}

impl Entry<'_> {
    /// Room that it takes in the archive, central record included.
    pub(crate) fn room(&self) -> usize {
        LOCAL_FIXED_BYTES + CENTRAL_FIXED_BYTES + 2 * self.path.len() + self.body.bytes().len()
    }

    /// Appends the local header and the bytes to `out`, and the central record to `central`.
    pub(crate) fn write(&self, time: DosTime, out: &mut Vec<u8>, central: &mut Vec<u8>) {
        let offset = out.len() as u32;
        let (method, version) = match self.body {
            Body::Stored(_) => (STORED, VERSION_STORED),
            Body::Deflated(_) => (DEFLATED, VERSION_DEFLATED),
        };
        let flags = if self.path.is_ascii() { 0 } else { UTF8_NAME };
        let mut common = [0u8; 26]; // from "version needed" to "extra field length", the same in both records
        common[0..2].copy_from_slice(&version.to_le_bytes());
        common[2..4].copy_from_slice(&flags.to_le_bytes());
        common[4..6].copy_from_slice(&method.to_le_bytes());
        common[6..10].copy_from_slice(&time.0);
        common[10..14].copy_from_slice(&self.crc32.to_le_bytes());
        common[14..18].copy_from_slice(&(self.body.bytes().len() as u32).to_le_bytes());
        common[18..22].copy_from_slice(&self.size.to_le_bytes());
        common[22..24].copy_from_slice(&(self.path.len() as u16).to_le_bytes());

        out.extend_from_slice(&LOCAL_SIGNATURE.to_le_bytes());
        out.extend_from_slice(&common);
        out.extend_from_slice(self.path.as_bytes());
        out.extend_from_slice(self.body.bytes());

        central.extend_from_slice(&CENTRAL_SIGNATURE.to_le_bytes());
        central.extend_from_slice(&MADE_BY_UNIX.to_le_bytes());
        central.extend_from_slice(&common);
        central.extend_from_slice(&[0; 6]); // comment length, disk, internal attributes
        central.extend_from_slice(&FILE_MODE.to_le_bytes());
        central.extend_from_slice(&offset.to_le_bytes());
        central.extend_from_slice(self.path.as_bytes());
    }
}

/// Appends the central directory and the end record.
pub(crate) fn finish(out: &mut Vec<u8>, central: &[u8], entries: usize) {
    let offset = out.len() as u32;
    out.extend_from_slice(central);
    out.extend_from_slice(&END_SIGNATURE.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(entries as u16).to_le_bytes());
    out.extend_from_slice(&(entries as u16).to_le_bytes());
    out.extend_from_slice(&(central.len() as u32).to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
}

/// Time and date in MS-DOS form, UTC, to two seconds, from 1980 to 2107; moments outside are moved to the nearer end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DosTime(pub(crate) [u8; 4]);

impl DosTime {
    pub(crate) const EPOCH: Self = Self([0, 0, 0x21, 0]);
    const FIRST_UNIX: i64 = 315_532_800;
    const LAST_UNIX: i64 = 4_354_819_198;

    pub(crate) fn from_unix(seconds: i64) -> Self {
        let Ok(t) = crate::asn1::date_time(seconds.clamp(Self::FIRST_UNIX, Self::LAST_UNIX)) else { return Self::EPOCH };
        let time = u16::from(t.hour()) << 11 | u16::from(t.minutes()) << 5 | (u16::from(t.seconds()) / 2);
        let date = (t.year() - 1980) << 9 | u16::from(t.month()) << 5 | u16::from(t.day());
        let ([a, b], [c, d]) = (time.to_le_bytes(), date.to_le_bytes());
        Self([a, b, c, d])
    }
}

/// Raw deflate at the fastest level; nothing when that does not make it smaller.
pub(crate) fn deflate(data: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len());
    let mut compress = Compress::new(Compression::fast(), false);
    match compress.compress_vec(data, &mut out, FlushCompress::Finish) {
        Ok(Status::StreamEnd) if out.len() < data.len() => Some(out),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times_are_clamped_and_exact() {
        assert_eq!(DosTime::from_unix(i64::MIN), DosTime::EPOCH);
        assert_eq!(DosTime::from_unix(DosTime::FIRST_UNIX), DosTime::EPOCH);
        // 2026-11-20 20:11:18 UTC
        let [a, b, c, d] = DosTime::from_unix(1_795_205_478).0;
        let (time, date) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        assert_eq!((time >> 11, time >> 5 & 63, (time & 31) * 2), (20, 11, 18));
        assert_eq!(((date >> 9) + 1980, date >> 5 & 15, date & 31), (2026, 11, 20));
        assert_eq!(DosTime::from_unix(i64::MAX), DosTime::from_unix(DosTime::LAST_UNIX));
    }

    #[test]
    fn only_what_shrinks_is_deflated() {
        assert!(deflate(&[b'a'; 500]).is_some_and(|bytes| bytes.len() < 50));
        assert_eq!(deflate(b"ab"), None);
    }
}
