//! Which paths may stand in a package.

/// Longest path inside a package, in bytes.
const MAX_PATH_BYTES: usize = 256;
/// Deepest nesting; Apple uses one level (`en.lproj/logo.png`).
const MAX_PATH_DEPTH: usize = 4;

/// Why a path cannot stand in a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path is empty.
    #[error("a file has an empty name; name it relative to the pass folder, such as `icon.png`")]
    Empty,
    /// The path is longer or deeper than the limits.
    #[error("the path `{0}` is longer than 256 bytes or deeper than 4 levels; a pass needs at most `<language>.lproj/<file>`")]
    TooLong(String),
    /// The path starts at a root or a drive.
    #[error("the path `{0}` is absolute; name files relative to the pass folder")]
    Absolute(String),
    /// The path leaves the folder or has an empty or dot component.
    #[error("the path `{0}` has an empty, `.` or `..` component; name files directly, such as `en.lproj/pass.strings`")]
    Traversal(String),
    /// The path holds a backslash or a control character.
    #[error("the path `{0}` holds a backslash or a control character; separate folders with `/`")]
    Character(String),
}

/// Checks that a path is relative, forward-slashed, free of `.` and `..`, and of bounded length.
pub(crate) fn check(path: &str) -> Result<(), PathError> {
    let shown = || path.chars().take(80).flat_map(char::escape_default).collect::<String>();
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.len() > MAX_PATH_BYTES || path.split('/').count() > MAX_PATH_DEPTH {
        return Err(PathError::TooLong(shown()));
    }
    if path.chars().any(|c| c == '\\' || c.is_control()) {
        return Err(PathError::Character(shown()));
    }
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    if path.starts_with('/') || drive {
        return Err(PathError::Absolute(shown()));
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(PathError::Traversal(shown()));
    }
    Ok(())
}

/// The form under which two paths collide on a case-insensitive file system.
pub(crate) fn collision_key(path: &str) -> String {
    path.to_lowercase()
}

/// Whether an operating system left a file behind, such as `.DS_Store`: Wallet refuses some, and all bloat every pass.
#[must_use]
pub fn is_junk(path: &str) -> bool {
    path.starts_with("__MACOSX/")
        || path.split('/').any(|part| matches!(part, ".DS_Store" | "Thumbs.db" | "desktop.ini") || part.starts_with("._"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        for path in ["icon.png", "icon@2x.png", "zh-Hans.lproj/pass.strings", "personalization.json", "a..b.png"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        assert_eq!(check(""), Err(PathError::Empty));
        for path in ["../x", "a/../x", "a//b", "./a", "a/", "a/."] {
            assert!(matches!(check(path), Err(PathError::Traversal(_))), "{path}");
        }
        for path in ["/etc/passwd", "C:/x", "c:x"] {
            assert!(matches!(check(path), Err(PathError::Absolute(_))), "{path}");
        }
        for path in ["a\\b", "a\0b", "a\nb"] {
            assert!(matches!(check(path), Err(PathError::Character(_))), "{path}");
        }
        assert!(matches!(check(&"x".repeat(300)), Err(PathError::TooLong(_))));
        assert!(matches!(check("a/b/c/d/e"), Err(PathError::TooLong(_))));
    }

    #[test]
    fn junk_is_recognised() {
        assert!(is_junk(".DS_Store") && is_junk("en.lproj/.DS_Store") && is_junk("__MACOSX/._icon.png"));
        assert!(!is_junk("icon.png"));
    }
}
