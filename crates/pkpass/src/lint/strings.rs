//! Rules on translations. Wallet looks up the literal label or value of `pass.json`, never the field's key.

use std::collections::HashSet;

use serde_json::Value;

use super::{File, Report};

pub(super) fn check(report: &mut Report, pass: &Value, files: &[File<'_>]) {
    let mut literals = HashSet::new();
    collect(pass, &mut literals);
    for file in files.iter().filter(|file| file.path.ends_with(".lproj/pass.strings")) {
        let Some(keys) = decode(file.data).and_then(|text| keys(&text)) else {
            let mend = "write lines such as `\"Points\" = \"Punkte\";`, as UTF-8 or as UTF-16 with a byte order mark";
            report.lost(file.path, "strings_unreadable", "nothing is translated into this language", mend);
            continue;
        };
        if let Some(key) = keys.iter().find(|key| !literals.contains(key.as_str())) {
            let consequence = format!("`{key}` stands nowhere in pass.json, so its translation is never shown");
            report.advice(file.path, "strings_unused", consequence, "use the literal label or value as key, not the field's key");
        }
    }
}

/// Every text except fields' keys, which are never shown.
fn collect<'a>(value: &'a Value, out: &mut HashSet<&'a str>) {
    match value {
        Value::String(text) => {
            out.insert(text);
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
        Value::Object(items) => items.iter().filter(|(name, _)| *name != "key").for_each(|(_, item)| collect(item, out)),
        _ => {}
    }
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

/// The keys of a strings file; nothing when it is not one.
fn keys(text: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut rest = skip(text)?;
    while !rest.is_empty() {
        let (key, after) = word(rest)?;
        let (_, after) = word(skip(skip(after)?.strip_prefix('=')?)?)?;
        rest = skip(skip(after)?.strip_prefix(';')?)?;
        out.push(key);
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
            '\\' => out.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_files_are_read() {
        let text = "/* greeting */\n\"Points\" = \"Punkte\";\n// more\n\"A \\\"b\\\"\" = \"\";";
        assert_eq!(keys(text), Some(vec!["Points".to_owned(), "A \"b\"".to_owned()]));
        assert_eq!(keys(""), Some(vec![]));
        for text in ["\"a\" = \"b\"", "\"a\" \"b\";", "a = b;", "\"a", "/* a"] {
            assert_eq!(keys(text), None, "{text}");
        }
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain("\"ü\" = \"ä\";".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(keys(&decode(&wide).unwrap()), Some(vec!["ü".to_owned()]));
    }
}
