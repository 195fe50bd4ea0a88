//! Checks on JSON text whose grammar is known to be right, without recursion, and places in it.

/// Deepest nesting of an event, in levels of arrays and objects. RudderStack and Segment document 200; whoever reads an event
/// after us, in the log or in what a flow made of it, stops at 128 as a rule (`serde_json` does), and it stands within other objects.
pub const MAX_DEPTH: usize = 100;
/// Longest path that a message shows, in bytes.
const MAX_PATH_BYTES: usize = 256;

/// Something that is JSON and still cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Trouble {
    /// Byte offset in the text.
    pub at: usize,
    /// What it is.
    pub kind: TroubleKind,
}

/// What can be wrong with well-formed JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TroubleKind {
    /// Nested too deep.
    #[error("nested deeper than {MAX_DEPTH} levels: flatten it")]
    TooDeep,
    /// Half of a UTF-16 pair.
    #[error("a \\u escape is half of a surrogate pair: send the character itself or both halves")]
    LoneSurrogate,
    /// Beyond what a 64-bit float holds.
    #[error("a number is larger than a 64-bit float holds: send it as text")]
    HugeNumber,
}

/// Looks for what serde's raw values let pass: nesting deeper than [`MAX_DEPTH`], lone surrogates, infinite numbers.
/// What is no JSON at all is left to the parser.
pub fn scan(text: &str) -> Result<(), Trouble> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut depth = 0usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Trouble { at, kind: TroubleKind::TooDeep });
                }
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'-' | b'0'..=b'9' => at = number_end(text, at)?,
            _ => at += 1,
        }
    }
    Ok(())
}

/// The offset behind the string that opens at `open`.
fn string_end(bytes: &[u8], open: usize) -> Result<usize, Trouble> {
    let mut at = open + 1;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(step) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else { return Ok(bytes.len()) };
        at += step;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        match escaped_unit(bytes, at) {
            Some(0xdc00..=0xdfff) => return Err(Trouble { at, kind: TroubleKind::LoneSurrogate }),
            Some(0xd800..=0xdbff) => match escaped_unit(bytes, at + 6) {
                Some(0xdc00..=0xdfff) => at += 12,
                _ => return Err(Trouble { at, kind: TroubleKind::LoneSurrogate }),
            },
            Some(_) => at += 6,
            None => at += 2,
        }
    }
}

/// The UTF-16 unit of a `\uXXXX` at `at`, when there is one.
fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let hex = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

/// Digits that surely fit a float when there is no exponent.
const SAFE_DIGITS: usize = 300;

/// The offset behind the number that starts at `start`.
fn number_end(text: &str, start: usize) -> Result<usize, Trouble> {
    let rest = &text.as_bytes()[start..];
    let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let length = rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len());
    let number = &text[start..start + length];
    let suspicious = length > SAFE_DIGITS || number.contains(['e', 'E']);
    // What is no number at all is left to the parser, too.
    if suspicious && number.parse::<f64>().is_ok_and(f64::is_infinite) {
        return Err(Trouble { at: start, kind: TroubleKind::HugeNumber });
    }
    Ok(start + length)
}

/// The byte offset of serde's line and column, both from 1.
pub fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}

enum Frame {
    Object { key: Option<(usize, usize)> },
    Array { index: usize },
}

/// The path of the value at byte `offset`, for people: `batch[3].context.traits`. Takes broken JSON too and says what is
/// open there.
pub fn path_at(text: &str, offset: usize) -> String {
    let bytes = &text.as_bytes()[..offset.min(text.len())];
    let mut stack: Vec<Frame> = Vec::new();
    let mut last_string = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = skip_string(bytes, at);
                last_string = Some((at + 1, end.saturating_sub(1).max(at + 1)));
                at = end;
                continue;
            }
            b'{' => stack.push(Frame::Object { key: None }),
            b'[' => stack.push(Frame::Array { index: 0 }),
            b'}' | b']' => drop(stack.pop()),
            b':' => {
                if let Some(Frame::Object { key }) = stack.last_mut() {
                    *key = last_string;
                }
            }
            b',' => match stack.last_mut() {
                Some(Frame::Object { key }) => *key = None,
                Some(Frame::Array { index }) => *index += 1,
                None => {}
            },
            _ => {}
        }
        at += 1;
    }
    show(text, &stack)
}

fn skip_string(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn show(text: &str, stack: &[Frame]) -> String {
    let mut path = String::new();
    for frame in stack {
        match frame {
            Frame::Object { key: Some((start, end)) } => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(text.get(*start..*end).unwrap_or("?"));
            }
            Frame::Object { key: None } => {}
            Frame::Array { index } => {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
        if path.len() > MAX_PATH_BYTES {
            path.truncate(path.floor_char_boundary(MAX_PATH_BYTES));
            path.push('…');
            break;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_trouble_and_its_place() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(scan(&deep(100)), Ok(()));
        assert_eq!(scan(&deep(101)), Err(Trouble { at: 100, kind: TroubleKind::TooDeep }));
        let kept = (0..20).fold(deep(MAX_DEPTH), |inner, _| format!("{{\"data\":{inner}}}"));
        assert!(serde_json::from_str::<serde_json::Value>(&kept).is_ok(), "what is taken can be read where it is kept");
        assert_eq!(scan(&"[".repeat(1 << 20)).unwrap_err().kind, TroubleKind::TooDeep);
        let cases = [
            (r#"{"a":{"b":[1,"\ud83d"]}}"#, TroubleKind::LoneSurrogate, "a.b[1]"),
            (r#"{"a":"\udE00\ud83d"}"#, TroubleKind::LoneSurrogate, "a"),
            (r#"{"a":0,"b":[{},{"c":-1e999}]}"#, TroubleKind::HugeNumber, "b[1].c"),
        ];
        for (text, kind, path) in cases {
            let trouble = scan(text).unwrap_err();
            assert_eq!((trouble.kind, path_at(text, trouble.at).as_str()), (kind, path), "{text}");
        }
        for text in [r#""\ud83d\ude00""#, r#"["\\ud83d", "\"", 1e300, 123456789012345678901234567890]"#, &"9".repeat(300)] {
            assert_eq!(scan(text), Ok(()), "{text}");
        }
        assert_eq!(scan(&"9".repeat(400)).unwrap_err().kind, TroubleKind::HugeNumber);
        for text in ["data=eyJ0eXBlIjo1e", "id=4e&number=1e-", "12e5f0", &"-".repeat(400)] {
            assert_eq!(scan(text), Ok(()), "a form is no number that is too large: {text}");
        }
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let text = "{\"batch\": [{\"a\": 1},\n {\"b\": tru}]}";
        let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        assert_eq!(path_at(text, offset_of(text, error.line(), error.column())), "batch[1].b");
    }

    proptest! {
        #[test]
        fn any_text_has_a_path(text in ".*", offset in 0usize..64) {
            let _ = path_at(&text, offset);
            let _ = scan(&text);
        }

        #[test]
        fn what_passes_can_be_read(text in r#"[\[\]{}",:\\ud8e0-9.a-f]{0,24}"#) {
            if serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok() && scan(&text).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}
