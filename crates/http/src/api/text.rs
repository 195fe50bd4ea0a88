//! The few rules that names and slugs everywhere follow.

use crate::Problem;

/// Most characters of a name.
const NAME_CHARS: usize = 200;
/// Most characters of a slug.
const SLUG_CHARS: usize = 64;

/// A name shown to people: 1 to 200 characters, no control characters.
pub(crate) fn name(text: String, path: &str) -> Result<String, Problem> {
    let chars = text.chars().count();
    if text.trim().is_empty() || chars > NAME_CHARS || text.chars().any(char::is_control) {
        return Err(Problem::field(path, "expected 1 to 200 characters, not only blanks, no control characters"));
    }
    Ok(text)
}

/// A slug: lower case letters, digits and hyphens, 1 to 64 characters.
pub(crate) fn slug(text: &str, path: &str) -> Result<(), Problem> {
    let fits = (1..=SLUG_CHARS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits { Ok(()) } else { Err(Problem::field(path, "expected lower case letters, digits and inner hyphens, at most 64")) }
}
