//! The file: frames under a transfer key.

use std::io::{self, Read, Write};

use aws_lc_rs::digest::{Context as Digest, SHA256};
use zeroize::Zeroizing;

use super::{Frame, MoveError, Moved};
use crate::{MasterKey, Store, StoreError};

/// The present form of the file. The first had no keys and notes.
pub(super) const FORM: u32 = 2;
/// This release, for the header.
pub(super) const RELEASE: &str = env!("CARGO_PKG_VERSION");
/// What the file begins with.
const MAGIC: &[u8; 8] = b"PBMOVE01";
/// Most bytes of a frame.
const MAX_FRAME: usize = 256 << 20;

/// Writes frames.
pub(super) struct Writer<'w, W> {
    out: W,
    pub(super) key: &'w MasterKey,
    store: &'w Store,
    frames: u64,
    digest: Digest,
}

impl<'w, W: Write> Writer<'w, W> {
    pub(super) fn begin(out: W, key: &'w MasterKey, store: &'w Store) -> Moved<Self> {
        let mut writer = Self { out, key, store, frames: 0, digest: Digest::new(&SHA256) };
        writer.bytes(MAGIC)?;
        Ok(writer)
    }

    /// Writes the last frame; the SHA-256 of the file.
    pub(super) fn end(mut self) -> Moved<String> {
        let frames = self.frames;
        self.frame(&Frame::End { frames })?;
        self.out.flush()?;
        let sum = self.digest.finish();
        Ok(sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }

    pub(super) fn frame(&mut self, frame: &Frame) -> Moved<()> {
        let plain = Zeroizing::new(serde_json::to_vec(frame).map_err(|error| StoreError::Internal(error.to_string()))?);
        let sealed = self.key.wrap(self.store.entropy(), &place(self.frames), &plain)?;
        let length = u32::try_from(sealed.len()).ok().filter(|length| *length as usize <= MAX_FRAME);
        let length = length.ok_or_else(|| MoveError::Refused("a frame became too large".to_owned()))?;
        self.bytes(&length.to_be_bytes())?;
        self.bytes(&sealed)?;
        self.frames += 1;
        Ok(())
    }
}

fn place(number: u64) -> Vec<u8> {
    [b"passbridge export".as_slice(), &number.to_be_bytes()].concat()
}

/// Reads frames.
pub(super) struct Frames<'k, R> {
    from: R,
    key: &'k MasterKey,
    frames: u64,
    ended: bool,
    /// What wrote it, in words.
    writer: String,
}

impl<'k, R: Read> Frames<'k, R> {
    pub(super) fn open(mut from: R, key: &'k MasterKey) -> Moved<Self> {
        let mut magic = [0; 8];
        from.read_exact(&mut magic).map_err(|_| MoveError::Damaged("it is no export".to_owned()))?;
        if &magic != MAGIC {
            return Err(MoveError::Damaged("it is no export of this form".to_owned()));
        }
        Ok(Self { from, key, frames: 0, ended: false, writer: "another release".to_owned() })
    }

    /// Why a file cannot be taken in that is whole, and not of this release.
    pub(super) fn foreign(&self, why: &str) -> MoveError {
        let writer = &self.writer;
        let what =
            format!("the file is whole, but {writer} wrote it, and this is release {RELEASE}, which cannot read all of it");
        let advice =
            "export again with this release, which opens the database of an earlier one, or import with the one that wrote it";
        MoveError::Refused(format!("{what} ({why}); nothing was written: {advice}"))
    }

    /// The next frame; nothing after the last.
    pub(super) fn next(&mut self) -> Moved<Option<Frame>> {
        let at = |what: &str, number: u64| MoveError::Damaged(format!("{what} in frame {number}"));
        let mut length = [0; 4];
        if self.ended {
            return match self.from.read(&mut length)? {
                0 => Ok(None),
                _ => Err(at("there is more after the end,", self.frames)),
            };
        }
        match self.from.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(at("it ends", self.frames)),
            read => read?,
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(at("a length that none has,", self.frames));
        }
        let mut sealed = Vec::new();
        self.from.by_ref().take(length as u64).read_to_end(&mut sealed)?;
        if sealed.len() < length {
            return Err(at("it ends", self.frames));
        }
        let plain =
            self.key.unwrap(&place(self.frames), &sealed).map_err(|_| at("something that does not open,", self.frames))?;
        let frame = serde_json::from_slice(&plain).map_err(|error| self.foreign(&format!("frame {}: {error}", self.frames)))?;
        match &frame {
            Frame::Header { form, release, .. } => {
                if let Some(release) = release {
                    self.writer = format!("release {release}");
                }
                if !(1..=FORM).contains(form) {
                    return Err(self.foreign(&format!("it has form {form}, and 1 to {FORM} are known here")));
                }
            }
            _ if self.frames == 0 => return Err(at("no header", 0)),
            Frame::End { frames } if *frames != self.frames => return Err(at("a number of frames that is not so,", self.frames)),
            Frame::End { .. } => self.ended = true,
            _ => {}
        }
        self.frames += 1;
        Ok(Some(frame))
    }
}
