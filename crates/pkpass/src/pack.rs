//! A folder as an archive without signature: how `.pass` and `.pkpasstemplate` folders travel.

use crate::path::{self, PathError};
use crate::zip::{self, Body, DosTime, Entry};

/// Most files of a folder.
pub const MAX_PACK_FILES: usize = 1000;
/// Largest sum of a folder's files, in bytes.
pub const MAX_PACK_BYTES: usize = 64 << 20;

/// Why files do not make an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// A path that no package may hold.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Too many files.
    #[error("the folder has more than {MAX_PACK_FILES} files; a pass has a few dozen")]
    TooMany,
    /// Too large together.
    #[error("the files of the folder have more than {MAX_PACK_BYTES} bytes together")]
    TooLarge,
}

/// Puts files into a ZIP archive, in their order. `time` (unix seconds) dates them.
///
/// # Errors
/// When a path cannot stand in a package, or there is too much.
pub fn pack<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>, time: i64) -> Result<Vec<u8>, PackError> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    let (mut count, mut bytes) = (0, 0);
    for (path, data) in files {
        path::check(path)?;
        count += 1;
        bytes += data.len();
        if count > MAX_PACK_FILES {
            return Err(PackError::TooMany);
        }
        if bytes > MAX_PACK_BYTES {
            return Err(PackError::TooLarge);
        }
        let deflated = zip::deflate(data);
        let body = deflated.as_deref().map_or(Body::Stored(data), Body::Deflated);
        let entry = Entry { path, crc32: crc32fast::hash(data), size: data.len() as u32, body };
        entry.write(DosTime::from_unix(time), &mut out, &mut central);
    }
    zip::finish(&mut out, &central, count);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Package};

    #[test]
    fn a_folder_is_read_back_with_or_without_its_name() {
        let strings = [b'a'; 300];
        let files: [(&str, &[u8]); 2] = [("pass.json", b"{}"), ("de.lproj/pass.strings", &strings)];
        let plain = pack(files, 1_795_205_478).unwrap();
        let read = Package::parse_folder(&plain, &Limits::PASS).unwrap();
        assert_eq!(read.files().collect::<Vec<_>>(), [files[1], files[0]]);
        let named = files.map(|(path, data)| (format!("Card.pkpasstemplate/{path}"), data));
        let mut named: Vec<(&str, &[u8])> = named.iter().map(|(path, data)| (path.as_str(), *data)).collect();
        named.push(("__MACOSX/._Card.pkpasstemplate", b"x"));
        let named = pack(named, 0).unwrap();
        assert_eq!(Package::parse_folder(&named, &Limits::PASS).unwrap(), read, "as a file manager packs it");
        assert_eq!(pack([("../x", &b""[..])], 0), Err(PackError::Path(PathError::Traversal("../x".to_owned()))));
        assert_eq!(pack((0..=MAX_PACK_FILES).map(|_| ("a", &b""[..])), 0), Err(PackError::TooMany));
    }
}
