//! Columns to values and back. A column that does not hold what it should is told by its name.

use domain::{Id, IdKind, Position, Timestamp};
use rusqlite::{
    Row,
    types::{FromSql, ValueRef},
};
use store::StoreError;
use uuid::Uuid;

use crate::fault::Result;

/// Bits of a stored position that hold the number; the shard is above them.
const SEQ_BITS: u32 = 48;

/// A position as it is stored.
pub(crate) fn pos(position: Position) -> i64 {
    place(position.shard, position.seq)
}

/// The stored form of a shard's number; numbers past the end of a shard are its end.
pub(crate) fn place(shard: u16, seq: u64) -> i64 {
    let last = (1 << SEQ_BITS) - 1;
    (i64::from(shard) << SEQ_BITS) | seq.min(last) as i64
}

/// The last possible position of a shard.
pub(crate) fn end(shard: u16) -> i64 {
    place(shard, u64::MAX)
}

/// A stored position.
pub(crate) fn position(pos: i64) -> Position {
    Position { shard: (pos >> SEQ_BITS) as u16, seq: (pos & ((1 << SEQ_BITS) - 1)) as u64 }
}

/// An id as it is stored.
pub(crate) fn key<K: IdKind>(id: Id<K>) -> [u8; 16] {
    id.uuid().into_bytes()
}

/// A row being read, by the list of columns that it was selected with.
pub(crate) struct Columns<'a> {
    row: &'a Row<'a>,
    table: &'static str,
    names: &'static str,
    next: usize,
}

impl<'a> Columns<'a> {
    /// Reads `row` from its first column on; `names` is the select list, for errors.
    pub(crate) fn new(row: &'a Row<'a>, table: &'static str, names: &'static str) -> Self {
        Self { row, table, names, next: 0 }
    }

    /// The next column.
    pub(crate) fn value<T: FromSql>(&mut self) -> Result<T> {
        let index = self.next;
        self.next += 1;
        self.row.get(index).map_err(|error| match error {
            rusqlite::Error::SqliteFailure(..) => error.into(),
            other => self.inconsistent(index, &other.to_string()).into(),
        })
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid> {
        Ok(Uuid::from_bytes(self.value()?))
    }

    pub(crate) fn id<K: IdKind>(&mut self) -> Result<Id<K>> {
        Ok(Id::from_uuid(self.uuid()?))
    }

    pub(crate) fn id_option<K: IdKind>(&mut self) -> Result<Option<Id<K>>> {
        Ok(self.value::<Option<[u8; 16]>>()?.map(|bytes| Id::from_uuid(Uuid::from_bytes(bytes))))
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp> {
        Ok(Timestamp::from_micros(self.value()?))
    }

    pub(crate) fn time_option(&mut self) -> Result<Option<Timestamp>> {
        Ok(self.value::<Option<i64>>()?.map(Timestamp::from_micros))
    }

    pub(crate) fn position(&mut self) -> Result<Position> {
        Ok(position(self.value()?))
    }

    fn inconsistent(&self, index: usize, why: &str) -> StoreError {
        let column = self.names.split(',').nth(index).map_or("?", str::trim);
        let row = match self.row.get_ref(0) {
            Ok(ValueRef::Integer(number)) => number.to_string(),
            Ok(ValueRef::Blob(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => "unknown".to_owned(),
        };
        StoreError::Inconsistent { table: self.table, column, row, why: why.to_owned() }
    }
}

/// All rows of a query, each read by `read`.
pub(crate) fn all<T>(mut rows: rusqlite::Rows<'_>, read: impl Fn(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The first row of a query, if there is one.
pub(crate) fn first<T>(mut rows: rusqlite::Rows<'_>, read: impl Fn(&Row<'_>) -> Result<T>) -> Result<Option<T>> {
    rows.next()?.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_sort_by_shard_and_number() {
        for position_ in [Position { shard: 0, seq: 1 }, Position { shard: 15, seq: 1 << 40 }] {
            assert_eq!(position(pos(position_)), position_);
        }
        assert!(end(0) < place(1, 0));
        assert!(place(3, u64::MAX) == end(3));
    }
}
