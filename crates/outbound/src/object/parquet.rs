//! Rows as a Parquet file: every column optional, compressed with Snappy. Source: <https://parquet.apache.org/docs/file-format/>.

use std::sync::Arc;

use domain::Timestamp;
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::{ParquetError, Result},
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::types::{Type, TypePtr},
};

use crate::rows::{Cell, Kind, Row, columns};

/// A file of these rows, all of one table.
pub(super) fn encode(rows: &[&Row]) -> Result<Vec<u8>> {
    let columns = columns(rows.iter().copied());
    let fields: Result<Vec<TypePtr>> = columns.iter().map(|(name, kind)| field(name, *kind)).collect();
    let schema = Type::group_type_builder("row").with_fields(fields?).build()?;
    let created_by = concat!("passbridge version ", env!("CARGO_PKG_VERSION")).to_owned();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_created_by(created_by).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (name, kind) in &columns {
        let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
        let cells: Vec<Option<&Cell>> =
            rows.iter().map(|row| row.values.get(*name).filter(|cell| **cell != Cell::Null(()))).collect();
        write(&mut column, *kind, &cells)?;
        column.close()?;
    }
    group.close()?;
    writer.into_inner()
}

fn field(name: &str, kind: Kind) -> Result<TypePtr> {
    let (physical, logical) = match kind {
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Kind::Whole => (Physical::INT64, None),
        Kind::Number => (Physical::DOUBLE, None),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    builder.with_logical_type(logical).build().map(Arc::new)
}

fn write(column: &mut SerializedColumnWriter<'_>, kind: Kind, cells: &[Option<&Cell>]) -> Result<()> {
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let present = cells.iter().flatten().copied();
    match kind {
        Kind::Flag => {
            let values: Vec<bool> = present.map(|cell| matches!(cell, Cell::Flag(true))).collect();
            column.typed::<BoolType>().write_batch(&values, Some(&levels), None)
        }
        Kind::Time => {
            let values = present.map(micros).collect::<Result<Vec<i64>>>()?;
            column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)
        }
        Kind::Whole => {
            let value = |cell: &Cell| if let Cell::Whole(number) = cell { *number } else { 0 };
            let values: Vec<i64> = present.map(value).collect();
            column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)
        }
        Kind::Number => {
            let values = present.map(number).collect::<Result<Vec<f64>>>()?;
            column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)
        }
        Kind::Text => {
            let values: Vec<ByteArray> = present.map(|cell| ByteArray::from(text(cell).into_bytes())).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)
        }
    }
    .map(drop)
}

fn micros(cell: &Cell) -> Result<i64> {
    let wrong = || ParquetError::General("a time is none".to_owned());
    let Cell::Time { time } = cell else { return Err(wrong()) };
    time.parse::<Timestamp>().map(Timestamp::as_micros).map_err(|_| wrong())
}

fn number(cell: &Cell) -> Result<f64> {
    let text = text(cell);
    text.parse().map_err(|_| ParquetError::General("a number is none".to_owned()))
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null(()) => String::new(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Whole(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
        Cell::Number { number } => number.clone(),
        Cell::Time { time } => time.clone(),
    }
}
