//! What stands in a cell, as JSON.
//!
//! Whole numbers, floating point and flags are what they are; decimals are text, digit by digit; times are RFC 3339 in UTC
//! where the column is of points in time, and without a zone where it is of what a clock shows; bytes are text where they are
//! UTF-8, else base64; structures and maps are objects, lists are lists.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Timestamp;
use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit},
    record::{Field, Row},
    schema::types::Type,
};
use serde_json::{Map, Number, Value};

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Bytes of a UUID.
const UUID_BYTES: usize = 16;

/// A row as an object.
pub(super) fn row(row: &Row, schema: &Type) -> Map<String, Value> {
    let kind = |number: usize| if schema.is_group() { schema.get_fields().get(number).map(|field| &**field) } else { None };
    row.get_column_iter().enumerate().map(|(number, (name, field))| (name.clone(), value(field, kind(number)))).collect()
}

/// A value of a type; what the type would say is not known everywhere within lists and maps.
fn value(field: &Field, kind: Option<&Type>) -> Value {
    let logical = kind.and_then(|kind| kind.get_basic_info().logical_type_ref());
    match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => (*flag).into(),
        Field::Byte(number) => (*number).into(),
        Field::Short(number) => (*number).into(),
        Field::Int(number) => (*number).into(),
        Field::Long(number) => long(*number, logical),
        Field::UByte(number) => (*number).into(),
        Field::UShort(number) => (*number).into(),
        Field::UInt(number) => (*number).into(),
        Field::ULong(number) => (*number).into(),
        Field::Float16(number) => float(f64::from(f32::from(*number))),
        // The shortest decimal that is this number, not what its bits are as a longer one.
        Field::Float(number) => number.to_string().parse().map_or(Value::Null, float),
        Field::Double(number) => float(*number),
        Field::Decimal(_) => field.to_string().into(),
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => blob(bytes.data(), logical),
        Field::Date(days) => day(*days).into(),
        Field::TimeMillis(millis) => time_of_day(i64::from(*millis) * 1_000).into(),
        Field::TimeMicros(micros) => time_of_day(*micros).into(),
        Field::TimestampMillis(millis) => time(millis.saturating_mul(1_000), logical).into(),
        Field::TimestampMicros(micros) => time(*micros, logical).into(),
        Field::Group(inner) => kind.map_or_else(|| untyped(inner), |kind| row(inner, kind)).into(),
        Field::ListInternal(list) => {
            let of = kind.and_then(element);
            list.elements().iter().map(|field| value(field, of)).collect()
        }
        Field::MapInternal(map) => {
            let of = kind.and_then(entry);
            let entries = map.entries().iter().map(|(key, field)| (text(&value(key, None)), value(field, of)));
            Value::Object(entries.collect())
        }
    }
}

fn untyped(inner: &Row) -> Map<String, Value> {
    inner.get_column_iter().map(|(name, field)| (name.clone(), value(field, None))).collect()
}

/// A number that JSON has no word for is a text.
fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

/// Nanoseconds have no type in the old annotations, so they come as plain numbers.
fn long(number: i64, logical: Option<&LogicalType>) -> Value {
    match logical {
        Some(LogicalType::Timestamp(of)) if of.unit == TimeUnit::NANOS => time(number.div_euclid(1_000), logical).into(),
        Some(LogicalType::Time(of)) if of.unit == TimeUnit::NANOS => time_of_day(number.div_euclid(1_000)).into(),
        _ => number.into(),
    }
}

fn blob(bytes: &[u8], logical: Option<&LogicalType>) -> Value {
    if logical == Some(&LogicalType::Uuid) && bytes.len() == UUID_BYTES {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into();
    }
    // Some writers do not say of texts that they are.
    std::str::from_utf8(bytes).map_or_else(|_| STANDARD.encode(bytes), str::to_owned).into()
}

fn day(days: i32) -> String {
    let text = Timestamp::from_micros(i64::from(days) * MICROS_PER_DAY).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

fn time_of_day(micros: i64) -> String {
    let text = Timestamp::from_micros(micros.rem_euclid(MICROS_PER_DAY)).to_string();
    text.trim_start_matches("1970-01-01T").trim_end_matches('Z').to_owned()
}

/// A point in time, or what a clock somewhere shows.
fn time(micros: i64, logical: Option<&LogicalType>) -> String {
    let text = Timestamp::from_micros(micros).to_string();
    match logical {
        Some(LogicalType::Timestamp(of)) if !of.is_adjusted_to_u_t_c => text.trim_end_matches('Z').to_owned(),
        _ => text,
    }
}

fn text(key: &Value) -> String {
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}

/// The type of a list's elements (parquet-format, `LogicalTypes.md`, lists).
fn element(list: &Type) -> Option<&Type> {
    let is_list = list.is_group() && list.get_basic_info().converted_type() == ConvertedType::LIST;
    let repeated = if is_list { &**list.get_fields().first()? } else { list };
    match repeated {
        group if is_list && group.is_group() && group.get_fields().len() == 1 => group.get_fields().first().map(|only| &**only),
        other => Some(other),
    }
}

/// The type of a map's values.
fn entry(map: &Type) -> Option<&Type> {
    let pair = map.is_group().then(|| map.get_fields().first()).flatten()?;
    pair.is_group().then(|| pair.get_fields().get(1)).flatten().map(|value| &**value)
}
