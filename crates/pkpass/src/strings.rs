//! `pass.strings`: the translations of one language. Wallet looks up the literal label or value of `pass.json`, never a
//! field's key. Source: Apple, *Creating the Source for a Pass*, and the strings files of *Resource Programming Guide*.

/// Why a text is no strings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no strings file: write lines such as `\"Points\" = \"Punkte\";`, as UTF-8 or as UTF-16 with a byte order mark")]
pub struct StringsError;

/// The path of a language's strings file inside a package. The language is a BCP 47 tag such as `de` or `zh-Hans`.
#[must_use]
pub fn strings_path(language: &str) -> String {
    format!("{language}.lproj/pass.strings")
}

/// Writes translations as a strings file. Text beyond ASCII is written as UTF-16 with a byte order mark, which every
/// system reads; plain ASCII stays one byte a character.
#[must_use]
pub fn write_strings<'a>(translations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut text = String::new();
    for (from, to) in translations {
        text.push('"');
        escape(from, &mut text);
        text.push_str("\" = \"");
        escape(to, &mut text);
        text.push_str("\";\n");
    }
    if text.is_ascii() {
        return text.into_bytes();
    }
    [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
}

/// Reads a strings file: UTF-16 with a byte order mark, or UTF-8 with or without one.
///
/// # Errors
/// When it is not one.
pub fn read_strings(data: &[u8]) -> Result<Vec<(String, String)>, StringsError> {
    pairs(&decode(data).ok_or(StringsError)?).ok_or(StringsError)
}

fn decode(data: &[u8]) -> Option<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    match data {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => std::str::from_utf8(rest).ok().map(str::to_owned),
        _ => std::str::from_utf8(data).ok().map(str::to_owned),
    }
}

fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut out = Vec::new();
    let mut rest = skip(text)?;
    while !rest.is_empty() {
        let (key, after) = word(rest)?;
        let (value, after) = word(skip(skip(after)?.strip_prefix('=')?)?)?;
        rest = skip(skip(after)?.strip_prefix(';')?)?;
        out.push((key, value));
    }
    Some(out)
}

/// Passes over white space and comments.
fn skip(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_start();
        text = if let Some(comment) = text.strip_prefix("/*") {
            comment.split_once("*/")?.1
        } else if let Some(comment) = text.strip_prefix("//") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else {
            return Some(text);
        }
    }
}

/// A quoted text with its escapes resolved, and what follows it.
fn word(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('"')?;
    let mut out = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &body[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'U' | 'u' => {
                    let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    out.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
    }

    #[test]
    fn strings_files_are_read() {
        let text = "/* greeting */\n\"Points\" = \"Punkte\";\n// more\n\"A \\\"b\\\"\" = \"\\U00fc\";";
        assert_eq!(read_strings(text.as_bytes()), Ok(owned(&[("Points", "Punkte"), ("A \"b\"", "ü")])));
        assert_eq!(read_strings(b""), Ok(vec![]));
        for text in ["\"a\" = \"b\"", "\"a\" \"b\";", "a = b;", "\"a", "/* a", "\"\\Uzzzz\" = \"\";"] {
            assert_eq!(read_strings(text.as_bytes()), Err(StringsError), "{text}");
        }
        let big = [0xfe, 0xff].into_iter().chain("\"ü\" = \"ä\";".encode_utf16().flat_map(u16::to_be_bytes)).collect::<Vec<u8>>();
        assert_eq!(read_strings(&big), Ok(owned(&[("ü", "ä")])));
    }

    #[test]
    fn only_text_beyond_ascii_is_wide() {
        assert_eq!(write_strings([("Points", "Points \"x\"\n")]), b"\"Points\" = \"Points \\\"x\\\"\\n\";\n");
        assert!(write_strings([("Points", "Grüße")]).starts_with(&[0xff, 0xfe]));
        assert_eq!(strings_path("zh-Hans"), "zh-Hans.lproj/pass.strings");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(pairs in proptest::collection::vec((any::<String>(), any::<String>()), 0..8)) {
            let bytes = write_strings(pairs.iter().map(|(from, to)| (from.as_str(), to.as_str())));
            prop_assert_eq!(read_strings(&bytes), Ok(pairs));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = read_strings(&bytes);
        }
    }
}
