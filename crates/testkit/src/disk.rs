//! A disk that is soon full: a memory file system of its own, which needs root to mount.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

/// A file system of its own, that is soon full.
#[derive(Debug)]
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one of such a size, `64m`.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount(size: &str) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = format!("size={size},mode=777");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status()?;
        if !done.success() {
            return Err(io::Error::other("a small file system cannot be mounted: this needs root"));
        }
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Takes all room that is left.
    ///
    /// # Errors
    /// When it cannot be written to for another reason than that.
    pub fn fill(&self) -> io::Result<()> {
        let mut file = std::fs::File::create(self.filler())?;
        loop {
            match file.write_all(&[0; 4_096]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When it was not taken.
    pub fn free(&self) -> io::Result<()> {
        std::fs::remove_file(self.filler())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
