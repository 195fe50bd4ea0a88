//! Several passes in one file (`.pkpasses`), as Safari and Mail take them. Source: Apple, *Distributing and updating a pass*.

use crate::zip::{self, Body, DosTime, Entry};

/// Most passes of a bundle.
pub const MAX_BUNDLE_PASSES: usize = 10;
/// Largest bundle, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 150 << 20;

/// Why passes do not make a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// None, or more than Apple takes.
    #[error("a bundle holds 1 to {MAX_BUNDLE_PASSES} passes, not {0}; hand out several bundles")]
    Count(usize),
    /// Larger than Apple takes.
    #[error("the bundle would have more than {MAX_BUNDLE_BYTES} bytes; hand out several bundles")]
    TooLarge,
}

/// Puts finished passes into one `.pkpasses`. `time` (unix seconds) dates the files.
///
/// # Errors
/// When there are none, too many, or they are too large.
pub fn bundle(passes: &[impl AsRef<[u8]>], time: i64) -> Result<Vec<u8>, BundleError> {
    if passes.is_empty() || passes.len() > MAX_BUNDLE_PASSES {
        return Err(BundleError::Count(passes.len()));
    }
    let size: usize = passes.iter().map(|pass| pass.as_ref().len()).sum();
    if size > MAX_BUNDLE_BYTES {
        return Err(BundleError::TooLarge);
    }
    let mut out = Vec::with_capacity(size + 2048);
    let mut central = Vec::new();
    for (number, pass) in passes.iter().enumerate() {
        let (path, data) = (format!("pass{}.pkpass", number + 1), pass.as_ref());
        let entry = Entry { path: &path, crc32: crc32fast::hash(data), size: data.len() as u32, body: Body::Stored(data) };
        entry.write(DosTime::from_unix(time), &mut out, &mut central);
    }
    zip::finish(&mut out, &central, passes.len());
    Ok(out)
}
