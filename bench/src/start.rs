//! From event to pass, in a small store and in a large one; memory and start.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::Size;
use crate::cpu::{Counted, MICROS};
use crate::intake::BATCH;
use crate::server::{Installation, Server, Setting};
use crate::stats::{Line, median};

/// Passes that are issued to see what one costs.
const SAMPLE: u64 = 10_000;
/// How often that is looked at in a large store, where what is done now and then (pages copied into the database) is more at a
/// time and does not fall into every sample.
const LARGE_SAMPLES: u64 = 10;
/// Connections that events come over.
const CONNECTIONS: &str = "8";
/// Most seconds of one run of the load generator.
const LOAD_SECONDS: &str = "900";

/// What one event costs.
struct Cost {
    cpu: f64,
    per_second: f64,
}

/// Sends so many events from a number on and waits until all is done that they cause.
fn events(server: &Server, setting: &Setting, name: &str, first: u64, count: u64) -> Result<Cost> {
    let counted = Counted { server: &server.process, database: None };
    counted.settle()?;
    let (from, before) = (Instant::now(), counted.seconds()?);
    let arguments = [
        ("--event", name.to_owned()),
        ("--first", first.to_string()),
        ("--connections", CONNECTIONS.to_owned()),
        ("--batch", BATCH.to_string()),
        ("--events", count.to_string()),
        ("--seconds", LOAD_SECONDS.to_owned()),
    ];
    let sent = server.load(setting, &arguments)?.events;
    ensure!(sent == count, "{sent} of {count} events were sent");
    counted.settle()?;
    let spent = from.elapsed() - crate::cpu::IDLE_LOOK.min(from.elapsed());
    Ok(Cost { cpu: (counted.seconds()? - before) / count as f64 * MICROS, per_second: count as f64 / spent.as_secs_f64() })
}

/// Seeds a store over the whole road, events that a flow makes into passes, and starts a server on it.
pub(crate) fn run(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let passes = size.passes.max(2 * SAMPLE);
    let installation = Installation::sqlite(binary, folder, "start")?;
    let server = installation.start(None)?;
    let empty = server.started_in;
    let setting = server.set_up()?;
    Counted { server: &server.process, database: None }.settle()?;
    let idle = server.process.resident_bytes()?;
    let issue = |first, count| events(&server, &setting, "membership_signed_up", first, count);
    let ignored = events(&server, &setting, "page_looked_at", passes, SAMPLE)?;
    let small = issue(0, SAMPLE)?;
    let last = (passes / SAMPLE - 1).min(LARGE_SAMPLES);
    let between = passes - SAMPLE - last * SAMPLE;
    let seeding = if between > 0 { Some(issue(SAMPLE, between)?) } else { None };
    let mut large = 0.0;
    for sample in (1..=last).rev() {
        large += issue(passes - sample * SAMPLE, SAMPLE)?.cpu / last as f64;
    }
    let key = server.admin_key.clone();
    server.stop()?;
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let server = installation.start(key.as_deref())?;
        starts.push(server.started_in.as_secs_f64() * 1000.0);
        Counted { server: &server.process, database: None }.settle()?;
        memory.push(server.process.resident_bytes()? as f64 / 1e6);
        server.stop()?;
    }
    let n = passes / 1000;
    let mut lines = vec![
        Line::new("batches of events that no flow takes: server CPU", ignored.cpu, "µs/event"),
        Line::new(format!("batches of events → issued passes, the first {SAMPLE}: server CPU, all"), small.cpu, "µs/pass"),
        Line::new("… without what an ignored event costs: event → flow → pass committed", small.cpu - ignored.cpu, "µs/pass")
            .at_most(150.0),
        Line::new("… throughput", small.per_second, "passes/s"),
        Line::new(format!("the last {last} times {SAMPLE} of {n},000 passes: server CPU, all"), large, "µs/pass"),
        Line::new(format!("… in a store of {n},000 passes to one of 10,000"), large / small.cpu, "times").at_most(1.3),
    ];
    if let Some(seeding) = seeding {
        lines.push(Line::new("passes between these: server CPU, all", seeding.cpu, "µs/pass"));
    }
    lines.extend([
        Line::new("start to the first answer of the API, first start on an empty folder", millis(empty), "ms"),
        Line::new("start to the first answer of the API, with these passes", median(&starts), "ms").at_most(300.0),
        Line::new("resident memory, idle, empty", idle as f64 / 1e6, "MB").at_most(60.0),
        Line::new("resident memory, idle, with these passes", median(&memory), "MB").at_most(60.0),
    ]);
    Ok(lines)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
