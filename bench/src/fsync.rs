//! How long the disk takes to make a small write durable, measured beside a run: latencies are judged against it.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::stats::percentile;

/// Bytes of a write, as of a page of a log.
const WRITE_BYTES: usize = 4096;
/// Pause between two writes: enough of them for a percentile, few enough not to be load themselves.
const PAUSE: Duration = Duration::from_millis(20);

/// Measures until it is stopped.
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<f64>>>,
}

/// Milliseconds that an fsync took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fsync {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Probe {
    /// Writes and syncs a file of its own in the folder.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(folder.join("fsync-probe"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut took = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let from = Instant::now();
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&[took.len() as u8; WRITE_BYTES])?;
                file.sync_data()?;
                took.push(from.elapsed().as_secs_f64() * 1000.0);
                std::thread::sleep(PAUSE);
            }
            Ok(took)
        });
        Ok(Self { stop, thread })
    }

    pub(crate) fn finish(self) -> Result<Fsync> {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.thread.join().map_err(|_| anyhow!("the fsync probe panicked"))??;
        Ok(Fsync { p50_ms: percentile(&took, 0.5), p99_ms: percentile(&took, 0.99) })
    }
}
