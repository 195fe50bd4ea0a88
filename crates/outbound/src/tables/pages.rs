//! What the pages of a row group say that they hold, before any is unpacked.
//!
//! The heads of pages are in Thrift's compact protocol; all that is looked for are the sizes and the counts. Source:
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>, `PageHeader`.

use std::io::Read;

use parquet::{
    basic::Compression,
    file::{
        metadata::{ColumnChunkMetaData, RowGroupMetaData},
        reader::ChunkReader as _,
    },
};

use super::{Kept, MAX_OPEN_BYTES, MAX_PAGE_BYTES, Unreadable};

/// The most values of a page: room is made for them before they are read.
const MAX_PAGE_VALUES: i64 = 1 << 24;
/// Longest head of a page, in bytes.
const MAX_HEAD_BYTES: u64 = 1 << 20;
/// How deep the structures of a head may lie in each other.
const MAX_DEPTH: u8 = 8;
/// Fields of a `PageHeader`.
const KIND: i64 = 1;
const UNPACKED: i64 = 2;
const PACKED: i64 = 3;
/// Fields of a `PageHeader` with a structure whose first field is a count of values: of data pages and dictionaries.
const COUNTED: [i64; 3] = [5, 7, 8];
/// The kind of page that is a dictionary.
const DICTIONARY: i64 = 2;

/// Refuses a row group that would take too much memory.
pub(super) fn check(kept: &Kept, group: &RowGroupMetaData) -> Result<(), Unreadable> {
    let mut open = 0_usize;
    for column in group.columns() {
        open = open.saturating_add(check_column(kept, column)?);
    }
    if open > MAX_OPEN_BYTES {
        return Err(Unreadable::Refused(format!(
            "the pages of a row group take {open} bytes of memory at once; there may be {MAX_OPEN_BYTES}: write smaller pages"
        )));
    }
    Ok(())
}

/// What a column takes at once: its dictionary and its largest page, packed and unpacked.
fn check_column(kept: &Kept, column: &ColumnChunkMetaData) -> Result<usize, Unreadable> {
    let name = column.column_path().string();
    let refused = |why: String| Err(Unreadable::Refused(format!("column `{name}` of the Parquet file {why}")));
    match column.compression() {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => {}
        other => return refused(format!("is packed with {other}: write it with Snappy or Zstandard")),
    }
    let (start, length) = column.byte_range();
    let mut at = start;
    let end = start.saturating_add(length);
    let (mut dictionary, mut largest) = (0, 0);
    while at < end {
        let Some((head, taken)) = head(kept, at)? else { return refused("has a page that cannot be read".to_owned()) };
        let bound = |size: i64| usize::try_from(size).ok().filter(|size| *size <= MAX_PAGE_BYTES);
        let (Some(packed), Some(unpacked)) = (bound(head.packed), bound(head.unpacked)) else {
            let size = head.unpacked.max(head.packed);
            return refused(format!("has a page of {size} bytes when unpacked; there may be {MAX_PAGE_BYTES}"));
        };
        let most = if head.kind == DICTIONARY { head.unpacked } else { MAX_PAGE_VALUES };
        if !(0..=most).contains(&head.values) {
            return refused(format!("has a page of {} values; there may be {most}", head.values));
        }
        let open = packed + unpacked;
        let held = if head.kind == DICTIONARY { &mut dictionary } else { &mut largest };
        *held = open.max(*held);
        at += taken + packed as u64;
    }
    Ok(dictionary + largest)
}

/// The head of a page.
#[derive(Default)]
struct Head {
    kind: i64,
    unpacked: i64,
    packed: i64,
    values: i64,
}

/// The head of the page at a place and its length; none where there is no such thing.
fn head(kept: &Kept, at: u64) -> Result<Option<(Head, u64)>, Unreadable> {
    let reading = kept.get_read(at)?;
    let mut thrift = Thrift { input: reading.take(MAX_HEAD_BYTES) };
    let mut head = Head { unpacked: -1, packed: -1, ..Head::default() };
    let read = thrift.structure(MAX_DEPTH, &mut |path, value| match *path {
        [KIND] => head.kind = value,
        [UNPACKED] => head.unpacked = value,
        [PACKED] => head.packed = value,
        [outer, 1] if COUNTED.contains(&outer) => head.values = value,
        _ => {}
    });
    let taken = MAX_HEAD_BYTES - thrift.input.limit();
    Ok(read.map(|()| (head, taken)))
}

/// Reads Thrift's compact protocol; none where there is something else.
struct Thrift<R> {
    input: R,
}

/// Told of every whole number with the fields that lead to it.
type Tell<'t> = &'t mut dyn FnMut(&[i64], i64);

impl<R: Read> Thrift<R> {
    fn structure(&mut self, depth: u8, tell: Tell<'_>) -> Option<()> {
        self.fields(&[], depth, tell)
    }

    fn fields(&mut self, within: &[i64], depth: u8, tell: Tell<'_>) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let mut field = 0;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Some(());
            }
            field = if byte >> 4 == 0 { self.number()? } else { field + i64::from(byte >> 4) };
            let path = [within, &[field]].concat();
            match byte & 0x0f {
                4..=6 => tell(&path, self.number()?),
                12 => self.fields(&path, depth, tell)?,
                // Flags are in the type itself.
                1 | 2 => {}
                kind => self.pass(kind, depth)?,
            }
        }
    }

    /// Passes over a value.
    fn pass(&mut self, kind: u8, depth: u8) -> Option<()> {
        match kind {
            1..=3 => self.byte().map(drop),
            4..=6 => self.number().map(drop),
            7 => self.bytes(8),
            8 => {
                let length = self.varint()?;
                self.bytes(length)
            }
            9 | 10 => {
                let depth = depth.checked_sub(1)?;
                let byte = self.byte()?;
                let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                (0..count).try_for_each(|_| self.pass(byte & 0x0f, depth))
            }
            12 => self.fields(&[], depth, &mut |_, _| {}),
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte).ok()?;
        Some(byte[0])
    }

    fn bytes(&mut self, count: u64) -> Option<()> {
        let passed = std::io::copy(&mut self.input.by_ref().take(count), &mut std::io::sink()).ok()?;
        (passed == count).then_some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A whole number, zigzag.
    fn number(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}
