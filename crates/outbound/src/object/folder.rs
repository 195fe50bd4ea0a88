//! Files in a folder of this machine. A file is there whole or not at all, and stays when the machine loses power: it is written
//! beside its place, synced, renamed, and the folder synced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aws_lc_rs::rand;

use super::Unwritten;

/// How the name of a file ends that is being written.
const PART: &str = ".part";
/// Hexadecimal digits before that.
const SUFFIX_DIGITS: usize = 16;
/// Folders below the root that are looked through: an organization's, a prefix of several, table and day.
const DEEPEST: usize = 16;

/// Writes a file below a root; `path` has slashes between its parts.
pub(super) fn put(root: &Path, path: &str, bytes: &[u8]) -> Result<(), Unwritten> {
    let unusable = |error: io::Error| Unwritten::Unusable(format!("the folder does not take {path}: {error}"));
    let Some((folder, name)) = path.rsplit_once('/').filter(|_| path.split('/').all(is_plain)) else {
        return Err(Unwritten::Unusable(format!("{path} is no path below the folder")));
    };
    let folder = enter(root, folder).map_err(unusable)?;
    let mut suffix = [0; 8];
    rand::fill(&mut suffix).map_err(|_| unusable(io::Error::other("the system has no randomness")))?;
    // No reader takes it for a file of rows, even when we die before it is renamed.
    let beside = folder.join(format!(".{name}.{:016x}{PART}", u64::from_be_bytes(suffix)));
    let written = write(&beside, bytes).and_then(|()| fs::rename(&beside, folder.join(name))).and_then(|()| sync(&folder));
    if written.is_err() {
        // It is there no more when it was renamed.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(unusable)
}

/// Removes what writers that died left behind: pieces that nobody has touched for so long. Links are not followed, and what cannot
/// be read or removed is left for the next time. How many went.
pub(super) fn sweep(root: &Path, now: SystemTime, untouched: Duration) -> usize {
    let (mut removed, mut folders) = (0, vec![(root.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < DEEPEST {
                folders.push((entry.path(), depth + 1));
            }
            let is_old = || {
                let touched = entry.metadata().and_then(|it| it.modified()).ok();
                touched.and_then(|touched| now.duration_since(touched).ok()).is_some_and(|age| age >= untouched)
            };
            if kind.is_file() && is_piece(&entry.file_name().to_string_lossy()) && is_old() {
                removed += usize::from(fs::remove_file(entry.path()).is_ok());
            }
        }
    }
    removed
}

/// Whether a name is one that [`put`] gives to what it writes.
fn is_piece(name: &str) -> bool {
    let suffix = name.strip_prefix('.').and_then(|name| name.strip_suffix(PART)).and_then(|name| name.rsplit_once('.'));
    suffix.is_some_and(|(_, digits)| digits.len() == SUFFIX_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Whether a part of a path is the name of something in the folder before it.
fn is_plain(part: &str) -> bool {
    !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':']) && !part.chars().any(char::is_control)
}

/// The folder below a root, made where it is not there. No part of the way is a link, which could lead elsewhere.
fn enter(root: &Path, path: &str) -> io::Result<PathBuf> {
    let mut at = root.to_owned();
    for part in path.split('/') {
        let below = at.join(part);
        match fs::create_dir(&below) {
            Ok(()) => sync(&at)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&below)?.is_dir() {
                    return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{part} is a link or a file")));
                }
            }
            Err(error) => return Err(error),
        }
        at = below;
    }
    Ok(at)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_there_whole_and_alone_and_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        for bytes in [b"one".as_slice(), b"another"] {
            put(root.path(), "org/tracks/day=2026-11-20/a.parquet", bytes).unwrap();
            let folder = root.path().join("org/tracks/day=2026-11-20");
            assert_eq!(
                (names(&folder), fs::read(folder.join("a.parquet")).unwrap().as_slice()),
                (vec!["a.parquet".to_owned()], bytes)
            );
        }
    }

    #[test]
    fn what_a_writer_left_is_removed_once_it_is_old_and_nothing_else_is() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = root.path().join("org/wallet/tracks/day=2026-11-20");
        fs::create_dir_all(&folder).unwrap();
        let left = ".a.parquet.0123456789abcdef.part";
        for name in [left, "a.parquet", ".a.parquet.0123.part", ".hidden.part", "b.0123456789abcdef.part"] {
            fs::write(folder.join(name), b"x").unwrap();
        }
        fs::write(elsewhere.path().join(left), b"x").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join("link")).unwrap();
        let written = fs::metadata(folder.join(left)).unwrap().modified().unwrap();
        let hour = Duration::from_secs(3_600);
        assert_eq!(sweep(root.path(), written + hour / 2, hour), 0, "somebody may be writing it");
        assert_eq!(sweep(root.path(), written + hour, hour), 1);
        let mut rest = names(&folder);
        rest.sort();
        assert_eq!(rest, [".a.parquet.0123.part", ".hidden.part", "a.parquet", "b.0123456789abcdef.part"]);
        assert_eq!(names(elsewhere.path()), [left], "a link is not followed");
        assert_eq!(sweep(&root.path().join("none"), written, hour), 0);
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for path in ["../a/b", "a/../../b", "/etc/b", "a//b", "a/./b", "a\\..\\b/c", "c:/b", "a\0/b", "a/.hidden", "b", ""] {
            assert!(matches!(put(root.path(), path, b"x"), Err(Unwritten::Unusable(_))), "{path:?}");
        }
        assert_eq!(names(root.path()), Vec::<String>::new(), "nothing was made");
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join("link")).unwrap();
        let refused = put(root.path(), "link/day/a.parquet", b"x").unwrap_err();
        assert!(matches!(&refused, Unwritten::Unusable(why) if why.contains("is a link")), "{refused:?}");
        assert_eq!(names(elsewhere.path()), Vec::<String>::new());
    }

    #[test]
    fn what_is_in_the_way_is_said_and_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("org/tracks/a.parquet")).unwrap();
        let refused = put(root.path(), "org/tracks/a.parquet", b"x").unwrap_err();
        assert!(matches!(&refused, Unwritten::Unusable(why) if why.contains("org/tracks/a.parquet")), "{refused:?}");
        assert_eq!(names(&root.path().join("org/tracks")), ["a.parquet"], "no piece is left over");
    }
}
