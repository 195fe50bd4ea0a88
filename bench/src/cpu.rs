//! Processor time and memory by the kernel's counters, so that the figures hold on a busy machine. Linux only.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Made and thrown away before a measurement.
const WARM_UP: u64 = 50;
/// Nanoseconds in a second.
const NANOS: f64 = 1e9;
/// Microseconds in a second.
pub(crate) const MICROS: f64 = 1e6;
/// Processor time below which a server counts as idle, in seconds within [`IDLE_LOOK`].
const IDLE_CPU: f64 = 0.03;
/// How long a server is looked at.
pub(crate) const IDLE_LOOK: Duration = Duration::from_millis(500);
/// Longest wait for a server to have nothing more to do.
const IDLE_DEADLINE: Duration = Duration::from_secs(3_600);

/// Processor seconds that this thread has used.
pub(crate) fn thread_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("this kernel keeps no /proc/thread-self/schedstat")?;
    let nanos: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanos / NANOS)
}

/// Makes something until so many processor seconds of this thread are spent, and gives how often in a second. What was
/// made is looked at between the counted stretches.
pub(crate) fn rate<T>(seconds: f64, mut make: impl FnMut() -> Result<T>, look: impl Fn(&T) -> Result<()>) -> Result<f64> {
    const STRETCH: usize = 20;
    for _ in 0..WARM_UP {
        look(&make()?)?;
    }
    let (mut spent, mut count) = (0.0, 0usize);
    let mut made = Vec::with_capacity(STRETCH);
    while spent < seconds {
        let from = thread_seconds()?;
        for _ in 0..STRETCH {
            made.push(make()?);
        }
        spent += thread_seconds()? - from;
        count += STRETCH;
        for one in made.drain(..) {
            look(&one)?;
        }
    }
    Ok(count as f64 / spent)
}

/// Ticks of the kernel's clock in a second.
fn ticks_per_second() -> Result<f64> {
    let output = Command::new("getconf").arg("CLK_TCK").output().context("getconf CLK_TCK")?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// A process, its threads (ended ones too) and the children that it has waited for.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pid: u32,
    ticks: f64,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Result<Self> {
        Ok(Self { pid, ticks: ticks_per_second()? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The numbers of `/proc/PID/stat` after the command's name: the parent, then 3 … as in proc(5) from the fourth on.
    fn stat(pid: u32) -> Result<Vec<f64>> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} has ended"))?;
        let (_, rest) = text.rsplit_once(") ").context("/proc/PID/stat has an unknown form")?;
        Ok(rest.split(' ').skip(1).map(|number| number.trim().parse().unwrap_or(0.0)).collect())
    }

    /// Processor seconds so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = Self::stat(self.pid)?;
        // utime, stime, cutime, cstime are the 14th to 17th field; the list starts with the 4th
        Ok(stat.get(10..14).context("/proc/PID/stat is too short")?.iter().sum::<f64>() / self.ticks)
    }

    /// Processor seconds of this process and of everything below it that still runs.
    pub(crate) fn tree_cpu_seconds(&self) -> Result<f64> {
        let mut sum = self.cpu_seconds()?;
        for child in self.children()? {
            // a child that ends between the two looks is in its parent's count the next time
            sum += child.tree_cpu_seconds().unwrap_or(0.0);
        }
        Ok(sum)
    }

    pub(crate) fn children(&self) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if Self::stat(pid).is_ok_and(|stat| stat.first().is_some_and(|parent| *parent == f64::from(self.pid))) {
                found.push(Self { pid, ticks: self.ticks });
            }
        }
        Ok(found)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most resident memory that there ever was, in bytes.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

/// Whose processor time counts.
pub(crate) struct Counted<'a> {
    pub(crate) server: &'a Process,
    pub(crate) database: Option<&'a Process>,
}

impl Counted<'_> {
    pub(crate) fn seconds(&self) -> Result<f64> {
        let database = self.database.map(Process::tree_cpu_seconds).transpose()?;
        Ok(self.server.cpu_seconds()? + database.unwrap_or(0.0))
    }

    /// Waits until what was accepted has been worked off.
    pub(crate) fn settle(&self) -> Result<()> {
        let from = Instant::now();
        loop {
            let before = self.seconds()?;
            std::thread::sleep(IDLE_LOOK);
            if self.seconds()? - before <= IDLE_CPU {
                return Ok(());
            }
            ensure!(from.elapsed() < IDLE_DEADLINE, "the server does not come to rest");
        }
    }
}
