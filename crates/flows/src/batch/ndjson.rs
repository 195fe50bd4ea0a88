//! One line of NDJSON.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::EmptyCells;
use super::report::TEXT;
use crate::problem;

/// Adds a row of a table as a line. Nulls say what empty cells say.
pub fn line(mut row: Map<String, Value>, empty_cells: EmptyCells, out: &mut Vec<u8>) {
    if empty_cells == EmptyCells::Ignore {
        row.retain(|_, value| !value.is_null());
    }
    out.extend_from_slice(Value::Object(row).to_string().as_bytes());
    out.push(b'\n');
}

/// A row that a database wrote as JSON, with its long numbers digit by digit, as a line's; none where it cannot be read.
pub fn row(json: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(&exact(json)).ok()
}

/// Adds a row that cannot be read as a line: whoever reads that says why.
pub fn unread(json: &str, out: &mut Vec<u8>) {
    // In JSON a line ends between two values alone.
    out.extend(json.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    out.push(b'\n');
}

/// The object that a line holds. Numbers of more digits than a double keeps are texts in it, digit by digit, unless
/// only their fraction is that long.
pub(super) fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(&exact(text)) {
        Ok(Value::Object(members)) if members.contains_key(TEXT) => {
            Err(format!("was not mended: put the object that it should be in the place of the line with `{TEXT}`"))
        }
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(other) => Err(format!("expected an object, found {}", problem::kind(&other))),
        Err(error) => {
            let words = error.to_string();
            let words = match words.split(" at line ").next().unwrap_or_default() {
                "unexpected end of hex escape" => "a lone surrogate, or an escape that is cut short",
                words => words,
            };
            let of_array = matches!(text.trim_ascii(), "[" | "]") || text.trim_ascii_end().ends_with("},");
            let hint = if of_array { ": lines of an array are no NDJSON, leave out its brackets and commas" } else { "" };
            Err(format!("is not JSON: {words} at character {}{hint}", error.column()))
        }
    }
}

/// The JSON with those of its numbers in quotes that would not be read as they are written: a member's number of 23 digits
/// would be another member's too.
fn exact(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = after_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let rest = &text[at..];
                let length =
                    rest.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).count();
                let number = &rest[..length];
                if !is_kept(number) {
                    out.push_str(&text[copied..at]);
                    out.extend(["\"", number, "\""]);
                    copied = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    if copied == 0 { Cow::Borrowed(text) } else { Cow::Owned(out + &text[copied..]) }
}

/// The place after the string that begins at `at`.
fn after_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// Whether a number is read as it is written; also what is none, or beyond all doubles, which the reader of JSON tells.
fn is_kept(number: &str) -> bool {
    // A double keeps any fifteen digits.
    const KEPT_DIGITS: usize = 15;
    let is_whole = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let is_plain = is_whole || !number.contains(['e', 'E']);
    if (is_plain && number.len() <= KEPT_DIGITS) || number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    // A measure, not an id: what a double loses of its last digits is less than any field shows.
    let whole_digits = number.trim_start_matches('-').find('.');
    if is_plain && whole_digits.is_some_and(|digits| digits <= KEPT_DIGITS) {
        return true;
    }
    let Ok(read) = serde_json::from_str::<Number>(number) else { return true };
    // As a double, a long whole number is told with an exponent, however few of its digits are none.
    !is_whole && read.as_f64().is_none_or(|read| decimal(&format!("{read:e}")) == decimal(number))
}

/// The digits of a number and the power of ten that they are multiplied by; none of what no file means.
fn decimal(number: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = digits.trim_end_matches('0');
    let scale = i64::try_from(digits.len() - significant.len()).ok()? - i64::try_from(fraction.len()).ok()?;
    let significant = significant.trim_start_matches('0');
    let exponent = if significant.is_empty() { 0 } else { exponent.parse::<i64>().ok()?.checked_add(scale)? };
    Some((significant.to_owned(), exponent))
}
