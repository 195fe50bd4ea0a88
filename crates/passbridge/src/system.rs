//! The world: clock, randomness, terminal. The only place where the ambient versions are used.

use domain::{Clock, Entropy, Timestamp};

/// The operating system's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The operating system's randomness. A system that has none left is in no state to go on.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::expect_used, reason = "there is no safe way to go on without randomness")]
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).expect("the operating system gives no randomness");
    }
}

/// Prints a line for people or programs on standard output.
#[expect(clippy::print_stdout, reason = "a command line tool prints")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Prints a line about what went wrong on standard error.
#[expect(clippy::print_stderr, reason = "a command line tool complains on standard error")]
pub(crate) fn complain(line: &str) {
    eprintln!("passbridge: {line}");
}
