//! Webhooks at a steady rate, to many endpoints, beside some that do not answer, and asleep. What is counted is what the events
//! cost beyond the same events without a webhook: from the engine's commit to the attempt in the log.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::Size;
use crate::cpu::{Counted, Process};
use crate::database::Postgres;
use crate::load::Outcome;
use crate::server::{Installation, Server, Setting, free_port};
use crate::sink::{ENDLESS, PROMPT, SILENT, SLOW};
use crate::stats::{Line, median};

/// Events of a request.
const BATCH: u64 = 10;
/// Events a second at which waits, statements and the log have their aims.
const AIMED_RATE: u64 = 1_000;
/// Events that are sent to see the most.
const MOST: u64 = 30_000;
/// Endpoints of the wide case.
const ENDPOINTS: u32 = 100;
/// Of these, in the hostile case: some never answer, some late, one without end.
const HOSTILE: [(&str, u32); 3] = [(SILENT, 5), (SLOW, 5), (ENDLESS, 1)];
/// Runs with hostile endpoints, and without them, in turns. A p99 is what the worst of some dozens of events make of it.
const ROUNDS: u32 = 5;
/// Webhooks of projects in which nothing happens.
const FEW: u32 = 10;
/// How long a server that has nothing to do is looked at.
const SLEEP: Duration = Duration::from_secs(20);

/// A steady rate to one endpoint, and the most that it gets.
pub(crate) fn run_steady(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let mut lines = steady(size, &Installation::sqlite(binary, folder, "webhooks-sqlite")?, "SQLite", None)?;
    let mut postgres = Postgres::start()?;
    postgres.count_statements()?;
    let installation = Installation::postgres(binary, folder, "webhooks-postgres", postgres.database()?)?;
    lines.extend(steady(size, &installation, "PostgreSQL", Some(&postgres))?);
    Ok(lines)
}

/// Many endpoints, hostile and sleeping ones.
pub(crate) fn run(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let mut lines = wide(size, &Installation::sqlite(binary, folder, "webhooks-wide")?)?;
    lines.extend(hostile(size, binary, folder)?);
    lines.extend(asleep(size, binary, folder)?);
    Ok(lines)
}

/// A server with its events, and how far they are numbered.
struct House<'a> {
    server: Server,
    setting: Setting,
    sink: u16,
    /// Where endpoints are that do not answer as they should.
    hostile: u16,
    database: Option<&'a Process>,
    next: u64,
}

impl<'a> House<'a> {
    fn open(installation: &Installation, database: Option<&'a Process>) -> Result<Self> {
        let server = installation.start(None)?;
        let setting = server.set_up()?;
        Ok(Self { server, setting, sink: free_port()?, hostile: free_port()?, database, next: 0 })
    }

    fn webhooks(&self, path: &str, count: u32) -> Result<()> {
        let port = if path == PROMPT { self.sink } else { self.hostile };
        for number in 0..count {
            self.server.webhook(&self.setting.project, port, &format!("{path}{number}"))?;
        }
        Ok(())
    }

    /// Events at a rate that issue passes, and processor seconds until all is done that they cause. Every endpoint must get every
    /// event.
    fn events(&mut self, rate: u64, seconds: f64, batch: u64, endpoints: u32) -> Result<(Outcome, f64)> {
        self.send(&[("--rate", rate.to_string()), ("--seconds", seconds.to_string())], batch, endpoints)
    }

    /// The same for so many events, as fast as they are accepted.
    fn burst(&mut self, events: u64, batch: u64, endpoints: u32) -> Result<(Outcome, f64)> {
        self.send(&[("--events", events.to_string())], batch, endpoints)
    }

    fn send(&mut self, much: &[(&'static str, String)], batch: u64, endpoints: u32) -> Result<(Outcome, f64)> {
        let counted = Counted { server: &self.server.process, database: self.database };
        counted.settle()?;
        let before = counted.seconds()?;
        let mut arguments = vec![
            ("--event", "membership_signed_up".to_owned()),
            ("--first", self.next.to_string()),
            ("--batch", batch.to_string()),
        ];
        arguments.extend_from_slice(much);
        if endpoints > 0 {
            arguments.push(("--sink", self.sink.to_string()));
            arguments.push(("--hostile", self.hostile.to_string()));
            arguments.push(("--endpoints", endpoints.to_string()));
        }
        let outcome = self.server.load(&self.setting, &arguments)?;
        self.next += outcome.events;
        let (due, came) = (outcome.events * u64::from(endpoints), outcome.delivered);
        ensure!(came == due, "{came} of {due} webhooks came");
        counted.settle()?;
        Ok((outcome, counted.seconds()? - before))
    }
}

/// One endpoint; the same events before without it.
fn steady(size: Size, installation: &Installation, name: &str, postgres: Option<&Postgres>) -> Result<Vec<Line>> {
    let mut house = House::open(installation, postgres.map(|postgres| &postgres.process))?;
    let (rate, seconds) = (size.webhook_rate, size.webhook_seconds);
    let work = || postgres.map(Postgres::work).transpose();
    house.events(rate, 2.0, BATCH, 0)?;
    let before = work()?;
    let (without, bare_cpu) = house.events(rate, seconds, BATCH, 0)?;
    let between = work()?;
    house.webhooks(PROMPT, 1)?;
    house.events(rate, 2.0, BATCH, 1)?;
    let start = work()?;
    let (with, cpu) = house.events(rate, seconds, BATCH, 1)?;
    let end = work()?;
    let (most, _) = house.burst(MOST, BATCH, 1)?;
    let memory = house.server.process.peak_bytes()? as f64 / 1e6;
    house.server.stop()?;
    let (bare, all) = (bare_cpu / without.events as f64 * 1000.0, cpu / with.events as f64 * 1000.0);
    let aims = if postgres.is_some() { [0.25, 0.5] } else { [0.15, 0.35] };
    let aimed = |line: Line, most: f64| if rate == AIMED_RATE { line.at_most(most) } else { line };
    let mut lines = vec![
        Line::new(
            format!("{name}, {rate} events/s for {seconds} s, {} bytes a webhook: CPU, event to pass", with.delivered_bytes),
            bare,
            "s/1,000",
        ),
        Line::new(format!("{name}: CPU, event to pass to delivered and logged webhook"), all, "s/1,000"),
        Line::new(format!("{name}: … the webhook's part (aim {}, at the worst {})", aims[0], aims[1]), all - bare, "s/1,000")
            .at_most(aims[0]),
        Line::new(format!("{name}: accepted → webhook, p50"), with.delivery_p50_ms, "ms"),
        aimed(Line::new(format!("{name}: accepted → webhook, p99"), with.delivery_p99_ms, "ms"), 100.0),
        Line::new(format!("{name}: the last webhook after the last event"), with.delivered_seconds - with.seconds, "s"),
        Line::new(
            format!("{name}: the most, {MOST} events as fast as they are accepted, from event to webhook"),
            most.delivered as f64 / most.delivered_seconds,
            "/s",
        ),
        Line::new(format!("{name}: resident memory at its peak, all of this"), memory, "MB"),
    ];
    if let (Some(before), Some(between), Some(start), Some(end)) = (before, between, start, end) {
        let each = |from: f64, to: f64, events: u64| (to - from) / events as f64;
        let all = each(start.statements, end.statements, with.events);
        let of_readers = each(start.of_readers, end.of_readers, with.events);
        let wal = each(start.wal, end.wal, with.events) - each(before.wal, between.wal, without.events);
        lines.extend([
            Line::new(format!("{name}: SQL statements, event to logged attempt, all"), all, "/event"),
            aimed(
                Line::new(
                    format!("{name}: … of the readers of the event log, theirs that write attempts included"),
                    of_readers,
                    "/event",
                ),
                0.25,
            ),
            aimed(Line::new(format!("{name}: write-ahead log, the webhook's part"), wal / 1024.0, "KiB/event"), 2.4),
        ]);
    }
    Ok(lines)
}

/// From one event to many endpoints.
fn wide(size: Size, installation: &Installation) -> Result<Vec<Line>> {
    let mut house = House::open(installation, None)?;
    let (rate, seconds) = (size.webhook_rate / u64::from(ENDPOINTS), size.webhook_seconds);
    let (without, bare) = house.events(rate.max(1), seconds, 1, 0)?;
    house.webhooks(PROMPT, ENDPOINTS)?;
    house.events(rate.max(1), 2.0, 1, ENDPOINTS)?;
    let (with, cpu) = house.events(rate.max(1), seconds, 1, ENDPOINTS)?;
    house.server.stop()?;
    let part = (cpu / with.events as f64 - bare / without.events as f64) / f64::from(ENDPOINTS) * 1000.0;
    Ok(vec![
        Line::new(
            format!("1 → {ENDPOINTS} endpoints, {} webhooks/s: CPU, the webhooks' part", rate.max(1) * u64::from(ENDPOINTS)),
            part,
            "s/1,000",
        )
        .at_most(0.08),
        Line::new(format!("1 → {ENDPOINTS} endpoints: accepted → webhook, p99"), with.delivery_p99_ms, "ms"),
    ])
}

/// Many endpoints of which some do not answer as they should, beside as many that do.
fn hostile(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let (rate, seconds) = ((size.webhook_rate / u64::from(ENDPOINTS) / 2).max(1), size.webhook_seconds.max(15.0));
    let bad: u32 = HOSTILE.iter().map(|(_, count)| count).sum();
    let round = |number: u32, is_hostile: bool| -> Result<(f64, f64)> {
        let name = if is_hostile { "webhooks-hostile" } else { "webhooks-friendly" };
        let mut house = House::open(&Installation::sqlite(binary, folder, &format!("{name}-{number}"))?, None)?;
        let good = if is_hostile { ENDPOINTS - bad } else { ENDPOINTS };
        house.webhooks(PROMPT, good)?;
        if is_hostile {
            for (path, count) in HOSTILE {
                house.webhooks(path, count)?;
            }
        }
        let (outcome, _) = house.events(rate, seconds, 1, good)?;
        Ok((outcome.delivery_p99_ms, house.server.process.peak_bytes()? as f64 / 1e6))
    };
    let mut found = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for number in 0..ROUNDS {
        for (is_hostile, (times, peaks)) in [false, true].into_iter().zip(&mut found) {
            let (p99, peak) = round(number, is_hostile)?;
            times.push(p99);
            peaks.push(peak);
        }
    }
    let [friendly, hostile] = found.map(|(times, peaks)| (median(&times), median(&peaks)));
    let (p99, memory) = (hostile.0 / friendly.0, hostile.1 - friendly.1);
    Ok(vec![
        Line::new(
            format!("{ENDPOINTS} endpoints that answer: accepted → webhook, p99, median of {ROUNDS} runs"),
            friendly.0,
            "ms",
        ),
        Line::new("… 5 of them silent, 5 answering after 10 s, 1 with a gigabyte: p99 of the others", hostile.0, "ms"),
        Line::new("… to that without them", p99, "times").at_most(1.1),
        Line::new("… more memory at the peak", memory, "MB").at_most(50.0),
    ])
}

/// Webhooks of a project in which nothing happens.
fn asleep(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let mut found = Vec::new();
    for count in [FEW, size.sleepers] {
        let installation = Installation::sqlite(binary, folder, &format!("webhooks-asleep-{count}"))?;
        let house = House::open(&installation, None)?;
        house.webhooks(PROMPT, count)?;
        let key = house.server.admin_key.clone();
        house.server.stop()?;
        let server = installation.start(key.as_deref())?;
        let counted = Counted { server: &server.process, database: None };
        counted.settle()?;
        let before = counted.seconds()?;
        std::thread::sleep(SLEEP);
        let core = (counted.seconds()? - before) / SLEEP.as_secs_f64() * 100.0;
        found.push((core, server.process.resident_bytes()? as f64 / 1e6));
        server.stop()?;
    }
    Ok(vec![
        Line::new(format!("{} sleeping webhooks beside {FEW}: more of a core", size.sleepers), found[1].0 - found[0].0, "%")
            .at_most(1.0),
        Line::new(format!("{} sleeping webhooks beside {FEW}: more memory", size.sleepers), found[1].1 - found[0].1, "MB")
            .at_most(5.0),
    ])
}
