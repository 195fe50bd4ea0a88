//! JSON as Wallet takes it: a byte order mark and trailing commas are no obstacle. Apple's own sample boarding pass has one.

use std::borrow::Cow;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads JSON as leniently as Wallet: a byte order mark and trailing commas are no obstacle.
///
/// # Errors
/// When it is not JSON even so.
pub fn read_json(bytes: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_slice(&forgive(bytes))
}

/// The same text without byte order mark and without commas that stand directly before `]` or `}`.
pub(crate) fn forgive(bytes: &[u8]) -> Cow<'_, [u8]> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut out: Option<Vec<u8>> = None;
    let mut in_string = false;
    let mut escaped = false;
    let mut kept_until = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' if !in_string && closes_next(&bytes[at + 1..]) => {
                out.get_or_insert_with(|| Vec::with_capacity(bytes.len())).extend_from_slice(&bytes[kept_until..at]);
                kept_until = at + 1;
            }
            _ => {}
        }
    }
    match out {
        None => Cow::Borrowed(bytes),
        Some(mut out) => {
            out.extend_from_slice(&bytes[kept_until..]);
            Cow::Owned(out)
        }
    }
}

fn closes_next(rest: &[u8]) -> bool {
    rest.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b']' | b'}'))
}
