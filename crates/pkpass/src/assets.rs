//! The files that are the same for all passes of a template version, with everything about them computed once.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;

use crate::path::{self, PathError};
use crate::png::{self, PngError, PngSize};
use crate::zip::{self, Body, DosTime, Entry};

/// Most files of one template.
pub const MAX_ASSET_FILES: usize = 500;
/// Largest single file, in bytes.
pub const MAX_ASSET_BYTES: usize = 8 << 20;
/// Largest sum of all files, in bytes.
pub const MAX_ASSETS_BYTES: usize = 32 << 20;

const RESERVED: [&str; 3] = ["pass.json", "manifest.json", "signature"];

/// Why files cannot be the assets of a pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    /// A path that cannot stand in a package.
    #[error(transparent)]
    Path(#[from] PathError),
    /// `pass.json`, `manifest.json` or `signature`, which building makes itself.
    #[error("`{0}` is made when the pass is built; leave it out of the template's files")]
    Reserved(String),
    /// A leftover of an operating system.
    #[error("`{0}` is a leftover of the file manager, not part of the design; remove it")]
    Junk(String),
    /// The path stands there twice, perhaps in another case.
    #[error("`{0}` is there twice (upper and lower case count as the same); keep one")]
    Duplicate(String),
    /// An image that is no PNG, or of a forbidden size.
    #[error("the image `{path}` cannot be used: {fault}")]
    Image {
        /// Which file.
        path: String,
        /// What is wrong with it.
        fault: PngError,
    },
    /// Too many files.
    #[error("more than {MAX_ASSET_FILES} files; a pass needs a few images and one folder per language")]
    TooManyFiles,
    /// One file is too large.
    #[error("`{path}` has {bytes} bytes, at most {MAX_ASSET_BYTES} are allowed; make it smaller")]
    FileTooLarge {
        /// Which file.
        path: String,
        /// Its size.
        bytes: usize,
    },
    /// All files together are too large.
    #[error(
        "the files have more than {MAX_ASSETS_BYTES} bytes together; phones fetch them with every update, so make them smaller"
    )]
    TooLarge,
}

/// One file with its hashes and its form in the archive.
#[derive(Debug)]
pub struct Asset {
    path: String,
    data: Bytes,
    deflated: Option<Vec<u8>>,
    sha1_hex: [u8; 40],
    crc32: u32,
    png: Option<PngSize>,
}

impl Asset {
    fn prepare(path: String, data: Bytes) -> Result<Self, AssetError> {
        path::check(&path)?;
        if RESERVED.contains(&path::collision_key(&path).as_str()) {
            return Err(AssetError::Reserved(path));
        }
        if path::is_junk(&path) {
            return Err(AssetError::Junk(path));
        }
        if data.len() > MAX_ASSET_BYTES {
            return Err(AssetError::FileTooLarge { path, bytes: data.len() });
        }
        let is_png = has_extension(&path, "png");
        let png = match is_png.then(|| png::header(&data)).transpose() {
            Ok(png) => png,
            Err(fault) => return Err(AssetError::Image { path, fault }),
        };
        let deflated = if is_png { None } else { zip::deflate(&data) };
        let (sha1_hex, crc32) = (sha1_hex(&data), crc32fast::hash(&data));
        Ok(Self { path, data, deflated, sha1_hex, crc32, png })
    }

    /// Path inside the package.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The file's bytes.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Size in pixels, for PNG images.
    pub fn png_size(&self) -> Option<PngSize> {
        self.png
    }

    fn entry(&self) -> Entry<'_> {
        let body = self.deflated.as_deref().map_or(Body::Stored(&self.data), Body::Deflated);
        Entry { path: &self.path, crc32: self.crc32, size: self.data.len() as u32, body }
    }
}

/// Files prepared for building: hashed, checksummed, and laid out as the first part of the archive.
#[derive(Debug, Clone)]
pub struct Assets {
    files: Vec<Arc<Asset>>,
    layout: Arc<Layout>,
}

/// The finished bytes; they stand at the start of every archive, so that all offsets are known beforehand.
#[derive(Debug, Default)]
struct Layout {
    local: Vec<u8>,
    central: Vec<u8>,
    local_times: Vec<usize>,
    central_times: Vec<usize>,
    /// `"path":"hash",` for each file.
    manifest: Vec<u8>,
}

impl Assets {
    /// Checks, hashes and lays out the files.
    ///
    /// # Errors
    /// Says which file is at fault and what to do about it.
    pub fn prepare(files: impl IntoIterator<Item = (String, Bytes)>) -> Result<Self, AssetError> {
        let mut prepared = Vec::new();
        for (path, data) in files {
            if prepared.len() >= MAX_ASSET_FILES {
                return Err(AssetError::TooManyFiles);
            }
            prepared.push(Arc::new(Asset::prepare(path, data)?));
        }
        Self::lay_out(prepared)
    }

    /// These assets with some files added or replaced, for instance one person's photo. The rest is not hashed again.
    ///
    /// # Errors
    /// As [`Assets::prepare`].
    pub fn overlay(&self, files: impl IntoIterator<Item = (String, Bytes)>) -> Result<Self, AssetError> {
        let added = Self::prepare(files)?;
        let replaced: HashSet<&str> = added.files.iter().map(|asset| asset.path()).collect();
        let kept = self.files.iter().filter(|asset| !replaced.contains(asset.path())).cloned();
        let merged: Vec<_> = kept.chain(added.files.iter().cloned()).collect();
        if merged.len() > MAX_ASSET_FILES {
            return Err(AssetError::TooManyFiles);
        }
        Self::lay_out(merged)
    }

    fn lay_out(mut files: Vec<Arc<Asset>>) -> Result<Self, AssetError> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut seen = HashSet::new();
        if let Some(twice) = files.iter().find(|asset| !seen.insert(path::collision_key(&asset.path))) {
            return Err(AssetError::Duplicate(twice.path.clone()));
        }
        if files.iter().map(|asset| asset.data.len()).sum::<usize>() > MAX_ASSETS_BYTES {
            return Err(AssetError::TooLarge);
        }
        let mut layout = Layout::default();
        layout.local.reserve_exact(files.iter().map(|asset| asset.entry().room()).sum());
        for asset in &files {
            layout.local_times.push(layout.local.len() + zip::LOCAL_TIME_AT);
            layout.central_times.push(layout.central.len() + zip::CENTRAL_TIME_AT);
            asset.entry().write(DosTime::EPOCH, &mut layout.local, &mut layout.central);
            push_manifest_line(&mut layout.manifest, &asset.path, &asset.sha1_hex);
        }
        Ok(Self { files, layout: Arc::new(layout) })
    }

    /// The files, sorted by path.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Asset> {
        self.files.iter().map(AsRef::as_ref)
    }

    /// One file.
    pub fn get(&self, path: &str) -> Option<&Asset> {
        self.files.binary_search_by(|asset| asset.path.as_str().cmp(path)).ok().map(|at| self.files[at].as_ref())
    }

    /// The whole manifest of a pass with this `pass.json`.
    pub(crate) fn manifest(&self, pass_json: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.layout.manifest.len() + 64);
        out.push(b'{');
        out.extend_from_slice(&self.layout.manifest);
        push_manifest_line(&mut out, "pass.json", &sha1_hex(pass_json));
        out.pop(); // the last comma
        out.push(b'}');
        out
    }

    /// Room for the assets' part of an archive, central records included.
    pub(crate) fn room(&self) -> usize {
        self.layout.local.len() + self.layout.central.len()
    }

    /// Copies the assets' part, with this time, to the empty archive and central directory.
    pub(crate) fn write(&self, time: DosTime, out: &mut Vec<u8>, central: &mut Vec<u8>) {
        debug_assert!(out.is_empty() && central.is_empty());
        out.extend_from_slice(&self.layout.local);
        central.extend_from_slice(&self.layout.central);
        for at in &self.layout.local_times {
            out[*at..*at + 4].copy_from_slice(&time.0);
        }
        for at in &self.layout.central_times {
            central[*at..*at + 4].copy_from_slice(&time.0);
        }
    }
}

pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case(extension))
}

/// Lowercase hex SHA-1, which is what Apple's manifest holds.
pub(crate) fn sha1_hex(data: &[u8]) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data);
    let mut out = [0; 40];
    for (pair, byte) in out.chunks_exact_mut(2).zip(hash.as_ref()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

fn push_manifest_line(out: &mut Vec<u8>, path: &str, sha1_hex: &[u8; 40]) {
    out.extend_from_slice(serde_json::Value::from(path).to_string().as_bytes());
    out.extend_from_slice(b":\"");
    out.extend_from_slice(sha1_hex);
    out.extend_from_slice(b"\",");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::png::tests::png;

    fn file(path: &str, data: impl Into<Bytes>) -> (String, Bytes) {
        (path.to_owned(), data.into())
    }

    #[test]
    fn files_are_sorted_hashed_and_measured() {
        let assets = Assets::prepare([
            file("logo.png", png(160, 50)),
            file("en.lproj/pass.strings", "\"a\" = \"b\";"),
            file("icon.png", png(38, 38)),
        ])
        .unwrap();
        let paths: Vec<_> = assets.files().map(Asset::path).collect();
        assert_eq!(paths, ["en.lproj/pass.strings", "icon.png", "logo.png"]);
        assert_eq!(assets.get("logo.png").unwrap().png_size(), Some(PngSize { width: 160, height: 50 }));
        let manifest: serde_json::Value = serde_json::from_slice(&assets.manifest(b"abc")).unwrap();
        assert_eq!(manifest["pass.json"], "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(manifest.as_object().unwrap().len(), 4);
    }

    #[test]
    fn no_assets_make_a_manifest_of_one_line() {
        let assets = Assets::prepare([]).unwrap();
        assert_eq!(assets.manifest(b"abc"), br#"{"pass.json":"a9993e364706816aba3e25717850c26c9cd0d89d"}"#);
    }

    #[test]
    fn bad_files_are_named() {
        let refused = |files: Vec<(String, Bytes)>| Assets::prepare(files).unwrap_err();
        assert!(matches!(refused(vec![file("../icon.png", png(1, 1))]), AssetError::Path(PathError::Traversal(_))));
        assert!(matches!(refused(vec![file("Pass.json", "{}")]), AssetError::Reserved(_)));
        assert!(matches!(refused(vec![file(".DS_Store", "x")]), AssetError::Junk(_)));
        assert!(matches!(refused(vec![file("a.txt", "x"), file("A.TXT", "x")]), AssetError::Duplicate(_)));
        assert!(matches!(refused(vec![file("icon.png", "GIF89a")]), AssetError::Image { fault: PngError::NotPng, .. }));
        assert!(matches!(refused(vec![file("a.bin", vec![0; MAX_ASSET_BYTES + 1])]), AssetError::FileTooLarge { .. }));
        let big = Bytes::from(vec![0; MAX_ASSET_BYTES]);
        assert_eq!(refused((0..5).map(|n| (format!("{n}.bin"), big.clone())).collect()), AssetError::TooLarge);
        let many = (0..=MAX_ASSET_FILES).map(|n| (format!("{n}.txt"), Bytes::new())).collect();
        assert_eq!(refused(many), AssetError::TooManyFiles);
    }

    #[test]
    fn an_overlay_replaces_and_adds() {
        let base = Assets::prepare([file("icon.png", png(38, 38)), file("thumbnail.png", png(90, 90))]).unwrap();
        let mine = base.overlay([file("thumbnail.png", png(180, 180)), file("strip.png", png(375, 144))]).unwrap();
        assert_eq!(mine.files().len(), 3);
        assert_eq!(mine.get("thumbnail.png").unwrap().png_size().unwrap().width, 180);
        assert_eq!(base.get("thumbnail.png").unwrap().png_size().unwrap().width, 90);
    }
}
