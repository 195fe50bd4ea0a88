//! How much code may use.

use std::time::Duration;

/// How much a run may use. The defaults are for code that stands between an event and a pass: well above what
/// transformations need, well below what would be felt by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For loading the code, and for each event or, with `transformBatch`, the batch; time in host calls is not in it.
    pub time: Duration,
    /// For a run with `transformEvent` as a whole, host calls included: events that are left then are not tried.
    pub total: Duration,
    /// For all host calls of a run together.
    pub host_time: Duration,
    /// Host calls of a run.
    pub host_calls: usize,
    /// Heap, in bytes.
    pub memory: usize,
    /// Stack, in bytes; the thread must have at least twice that.
    pub stack: usize,
    /// Lines of log that are kept; what is beyond is counted.
    pub log_lines: usize,
    /// Longest line of log that is kept whole, in bytes.
    pub log_line: usize,
    /// Largest output of one event, in bytes of JSON.
    pub output: usize,
    /// Most events that one event becomes.
    pub fan_out: usize,
    /// After so many contexts that had to be stopped, the events that are left of the batch fail untried.
    pub stops: usize,
}

/// The largest program and the largest library, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(500),
            total: Duration::from_secs(15),
            host_time: Duration::from_secs(10),
            host_calls: 500,
            memory: 48 * 1024 * 1024,
            stack: 512 * 1024,
            log_lines: 100,
            log_line: 1024,
            output: 512 * 1024,
            fan_out: 100,
            stops: 3,
        }
    }
}
