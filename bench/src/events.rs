//! Durable intake and delivery: processor time per event, latencies beside the disk's own, memory and start.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::postgres::Cluster;

use crate::Size;
use crate::cpu::Process;
use crate::fsync::Probe;
use crate::server::{Installation, Server, Setting, data_folder, free_port};
use crate::stats::{Line, median};

/// Connections of the closed loop.
const CONNECTIONS: &str = "64";
/// Events of a batch.
const BATCH: u64 = 100;
/// Processor time below which a server counts as idle, in seconds within [`IDLE_LOOK`].
const IDLE_CPU: f64 = 0.03;
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// Longest wait for a server to have nothing more to do.
const IDLE_DEADLINE: Duration = Duration::from_secs(3_600);
const MICROS: f64 = 1e6;

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

/// Intake on SQLite and on PostgreSQL.
pub(crate) fn intake(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let sqlite = Installation { binary: binary.to_owned(), data: data_folder(folder, "intake-sqlite")?, database: None };
    let mut lines = intake_on(size, &sqlite, "SQLite", None, [60.0, 15.0])?;

    let own = Process::new(std::process::id())?;
    let before: Vec<u32> = own.children()?.iter().map(Process::pid).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let cluster = runtime.block_on(Cluster::start())?;
    let database = own.children()?.into_iter().find(|child| !before.contains(&child.pid())).context("no PostgreSQL process")?;
    let url = runtime.block_on(cluster.create_database())?;
    let postgres = Installation { binary: binary.to_owned(), data: data_folder(folder, "intake-postgres")?, database: Some(url) };
    lines.extend(intake_on(size, &postgres, "PostgreSQL", Some(&database), [120.0, 30.0])?);
    Ok(lines)
}

fn intake_on(
    size: Size,
    installation: &Installation,
    name: &str,
    database: Option<&Process>,
    bounds: [f64; 2],
) -> Result<Vec<Line>> {
    let server = installation.start(None)?;
    let setting = server.set_up(None)?;
    let counted = Counted { server: &server.process, database };
    let mut first = 0;
    let mut lines = Vec::new();
    let whose = if database.is_some() { "server and database" } else { "server" };
    for (batch, bound, what) in [(1, bounds[0], "single events"), (BATCH, bounds[1], "batches of 100")] {
        let (mut accepting, mut all, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=size.rounds {
            counted.settle()?;
            let before = counted.seconds()?;
            let seconds = if round == 0 { 1.0 } else { size.load_seconds };
            let outcome = server.load(&setting, &closed_loop(first, batch, seconds))?;
            let accepted = counted.seconds()?;
            counted.settle()?;
            first += outcome.events;
            if round > 0 {
                let events = outcome.events as f64;
                accepting.push((accepted - before) / events * MICROS);
                all.push((counted.seconds()? - before) / events * MICROS);
                rates.push(events / outcome.seconds);
            }
        }
        let line = |what: String, values: &[f64], unit| Line::new(what, median(values), unit);
        lines.push(line(format!("{name}, {what}: {whose} CPU while accepting"), &accepting, "µs/event").at_most(bound));
        lines.push(line(format!("{name}, {what}: … and until flows have read them all"), &all, "µs/event"));
        lines.push(line(format!("{name}, {what}: accepted"), &rates, "events/s"));
    }
    if database.is_none() {
        lines.extend(accept_latency(size, installation, &server, &setting, first)?);
    }
    server.stop()?;
    Ok(lines)
}

fn closed_loop(first: u64, batch: u64, seconds: f64) -> Vec<(&'static str, String)> {
    vec![
        ("--event", "page_looked_at".to_owned()), // no flow takes it: intake alone
        ("--first", first.to_string()),
        ("--connections", CONNECTIONS.to_owned()),
        ("--batch", batch.to_string()),
        ("--seconds", seconds.to_string()),
    ]
}

fn accept_latency(size: Size, installation: &Installation, server: &Server, setting: &Setting, first: u64) -> Result<Vec<Line>> {
    let probe = Probe::start(&installation.data)?;
    let mut arguments = closed_loop(first, 1, size.open_loop_seconds);
    arguments.push(("--rate", "1000".to_owned()));
    let outcome = server.load(setting, &arguments)?;
    let fsync = probe.finish()?;
    Ok(vec![
        Line::new("SQLite, 1,000 events/s: fsync beside it, p50", fsync.p50_ms, "ms"),
        Line::new("SQLite, 1,000 events/s: fsync beside it, p99", fsync.p99_ms, "ms"),
        Line::new("SQLite, 1,000 events/s: accepted, p50", outcome.accept_p50_ms, "ms"),
        Line::new("SQLite, 1,000 events/s: accepted, p99", outcome.accept_p99_ms, "ms").at_most(6.0 + 6.0 * fsync.p99_ms),
    ])
}

/// From the acceptance of an event to the webhook about the pass that it issued.
pub(crate) fn delivery(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let installation = Installation { binary: binary.to_owned(), data: data_folder(folder, "delivery")?, database: None };
    let server = installation.start(None)?;
    let sink = free_port()?;
    let setting = server.set_up(Some(sink))?;
    let counted = Counted { server: &server.process, database: None };
    let run = |first: u64, seconds: f64| {
        let arguments = [
            ("--event", "membership_signed_up".to_owned()),
            ("--first", first.to_string()),
            ("--rate", "200".to_owned()),
            ("--seconds", seconds.to_string()),
            ("--sink", sink.to_string()),
        ];
        server.load(&setting, &arguments)
    };
    let warm = run(0, 2.0)?;
    counted.settle()?;
    let probe = Probe::start(&installation.data)?;
    let before = counted.seconds()?;
    let outcome = run(warm.events, size.open_loop_seconds)?;
    let cpu = (counted.seconds()? - before) / outcome.events as f64 * MICROS;
    let fsync = probe.finish()?;
    ensure!(outcome.delivered == outcome.events, "{} of {} webhooks came", outcome.delivered, outcome.events);
    server.stop()?;
    Ok(vec![
        Line::new("200 events/s: fsync beside it, p50", fsync.p50_ms, "ms"),
        Line::new("200 events/s: fsync beside it, p99", fsync.p99_ms, "ms"),
        Line::new("200 events/s: accepted → webhook received, p50", outcome.delivery_p50_ms, "ms")
            .at_most(3.0 + 3.0 * fsync.p50_ms),
        Line::new("200 events/s: accepted → webhook received, p99", outcome.delivery_p99_ms, "ms")
            .at_most(15.0 + 6.0 * fsync.p99_ms),
        Line::new("200 events/s: server CPU, event to delivered webhook", cpu, "µs/event"),
    ])
}

/// Memory of an idle server, and the start with many passes, seeded over the whole road: batches of events that a flow
/// makes into passes.
pub(crate) fn start(size: Size, binary: &Path, folder: &Path, passes: u64) -> Result<Vec<Line>> {
    let installation = Installation { binary: binary.to_owned(), data: data_folder(folder, "start")?, database: None };
    let server = installation.start(None)?;
    let empty = server.started_in;
    let setting = server.set_up(None)?;
    let counted = Counted { server: &server.process, database: None };
    counted.settle()?;
    let idle = server.process.resident_bytes()?;
    let from = Instant::now();
    let arguments = [
        ("--event", "membership_signed_up".to_owned()),
        ("--connections", "8".to_owned()),
        ("--batch", BATCH.to_string()),
        ("--events", passes.to_string()),
        ("--seconds", "900".to_owned()),
    ];
    let before = counted.seconds()?;
    let seeded = server.load(&setting, &arguments)?.events;
    counted.settle()?;
    let (seeding, seeding_cpu) = (from.elapsed(), counted.seconds()? - before);
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
    Ok(vec![
        Line::new("start to the first answer of the API, first start on an empty folder", empty.as_secs_f64() * 1000.0, "ms"),
        Line::new("resident memory, idle, empty", idle as f64 / 1e6, "MB").at_most(60.0),
        Line::new("passes issued from batches of events, for the next lines", seeded as f64, ""),
        Line::new("… event to issued pass, server CPU", seeding_cpu / seeded as f64 * MICROS, "µs/pass"),
        Line::new("… event to issued pass, throughput", seeded as f64 / seeding.as_secs_f64(), "passes/s"),
        Line::new("start to the first answer of the API, with these passes", median(&starts), "ms").at_most(300.0),
        Line::new("resident memory, idle, with these passes", median(&memory), "MB").at_most(60.0),
    ])
}
