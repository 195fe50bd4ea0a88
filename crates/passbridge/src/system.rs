//! The world: clock, randomness, terminal. The only place where the ambient versions are used.

use std::{cell::RefCell, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::Context as _;
use domain::{Clock, Entropy, Timestamp};
use zeroize::Zeroizing;

/// The operating system's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The operating system's randomness, drawn ahead: a source event takes five small pieces, and every draw has a price of
/// its own. A system that has none left is in no state to go on.
pub(crate) struct SystemEntropy;

/// Random bytes that a thread draws at once.
const DRAWN_BYTES: usize = 1_024;

/// Random bytes that were drawn and not given out yet, at the end of the array.
struct Drawn {
    bytes: Zeroizing<[u8; DRAWN_BYTES]>,
    left: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = RefCell::new(Drawn { bytes: Zeroizing::new([0; DRAWN_BYTES]), left: 0 });
}

impl Drawn {
    fn fill(&mut self, buffer: &mut [u8]) {
        if self.left < buffer.len() {
            draw(self.bytes.as_mut());
            self.left = DRAWN_BYTES;
        }
        let from = DRAWN_BYTES - self.left;
        let given = &mut self.bytes[from..from + buffer.len()];
        buffer.copy_from_slice(given);
        // What was given out is nowhere but with whom it was given to.
        given.fill(0);
        self.left -= buffer.len();
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() > DRAWN_BYTES / 4 {
            return draw(buffer);
        }
        DRAWN.with_borrow_mut(|drawn| drawn.fill(buffer));
    }
}

#[expect(clippy::expect_used, reason = "there is no safe way to go on without randomness")]
fn draw(buffer: &mut [u8]) {
    aws_lc_rs::rand::fill(buffer).expect("the operating system gives no randomness");
}

/// Prints a line for people or programs on standard output. Whoever reads it may have seen enough and closed it, as `head`
/// does: then the rest is for nobody.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints bytes as they are on standard output; whether somebody reads it still.
pub(crate) fn pour(bytes: &[u8]) -> bool {
    let mut out = std::io::stdout();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

/// Prints a line about what went wrong on standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "passbridge: {line}");
}

/// Writes a new file that only its owner may read.
pub(crate) fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.with_context(|| format!("cannot write {}", file.display()))?;
    opened.write_all(text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_random_byte_is_given_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for length in [16, 32, 12, 200, 256, 257, 4_096].into_iter().cycle().take(2_000) {
            let mut bytes = vec![0; length];
            SystemEntropy.fill(&mut bytes);
            assert!(bytes.chunks_exact(4).filter(|chunk| **chunk == [0; 4]).count() < 2, "left as it was");
            assert!(seen.insert(bytes[..12].to_vec()), "given before");
        }
    }
}
