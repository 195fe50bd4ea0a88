//! Durable intake: processor time per event beside that of its parts, and how long a sender waits.

use std::path::Path;

use anyhow::Result;

use crate::Size;
use crate::cpu::{Counted, MICROS, Process};
use crate::database::Postgres;
use crate::fsync::Probe;
use crate::parts::{Parts, aimed_sum};
use crate::server::{Installation, Server, Setting};
use crate::stats::{Line, median};

/// Connections of the closed loop.
const CONNECTIONS: &str = "64";
/// Events of a batch.
pub(crate) const BATCH: u64 = 100;

/// How events come in, and the aims for single ones and for batches, in µs.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// By RudderStack's data plane, or signed to the address of a source.
    signed: bool,
    aims: [f64; 2],
}

const PLAIN: Way = Way { name: "data plane", signed: false, aims: [60.0, 15.0] };
const SIGNED: Way = Way { name: "signed", signed: true, aims: [70.0, 20.0] };

/// Intake on SQLite and on PostgreSQL.
pub(crate) fn run(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let (single, batched) = (Parts::measure(size, folder, 1)?, Parts::measure(size, folder, BATCH)?);
    let mut lines = [single.lines("single events"), batched.lines("batches of 100")].concat();
    let parts = [single.sum(), batched.sum()];
    let sqlite = Installation::sqlite(binary, folder, "intake-sqlite")?;
    lines.extend(on(size, &sqlite, "SQLite", None, 1.0, parts)?);
    let postgres = Postgres::start()?;
    let installation = Installation::postgres(binary, folder, "intake-postgres", postgres.database()?)?;
    lines.extend(on(size, &installation, "PostgreSQL", Some(&postgres.process), 2.0, parts)?);
    Ok(lines)
}

fn on(
    size: Size,
    installation: &Installation,
    database_name: &str,
    database: Option<&Process>,
    allowance: f64,
    parts: [f64; 2],
) -> Result<Vec<Line>> {
    let server = installation.start(None)?;
    let setting = server.set_up()?;
    let counted = Counted { server: &server.process, database };
    let (mut first, mut lines) = (0, Vec::new());
    for way in [PLAIN, SIGNED] {
        for (at, (batch, what)) in [(1, "single"), (BATCH, "batches of 100")].into_iter().enumerate() {
            let cost = closed_loops(size, &server, &setting, &counted, &mut first, (way, batch))?;
            let name = format!("{database_name}, {}, {what}", way.name);
            let aim = way.aims[at] * allowance;
            lines.push(Line::new(format!("{name}: CPU while accepting"), cost.accepting, "µs/event").at_most(aim));
            let ratio = Line::new(format!("{name}: … to the sum of its parts"), cost.accepting / parts[at], "times");
            lines.push(ratio.at_most(aim / aimed_sum(batch)));
            lines.push(Line::new(format!("{name}: … and until flows have read them all"), cost.all, "µs/event"));
            lines.push(Line::new(format!("{name}: accepted"), cost.rate, "events/s"));
        }
    }
    if database.is_none() {
        lines.extend(accept_latency(size, installation, &server, &setting, first)?);
    }
    server.stop()?;
    Ok(lines)
}

struct Cost {
    accepting: f64,
    all: f64,
    rate: f64,
}

fn closed_loops(
    size: Size,
    server: &Server,
    setting: &Setting,
    counted: &Counted<'_>,
    first: &mut u64,
    (way, batch): (Way, u64),
) -> Result<Cost> {
    let (mut accepting, mut all, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=size.rounds {
        counted.settle()?;
        let before = counted.seconds()?;
        let seconds = if round == 0 { 1.0 } else { size.load_seconds };
        let mut arguments = ignored(*first, batch, seconds);
        if way.signed {
            arguments.push(("--source", setting.signed_source.clone()));
            arguments.push(("--secret", setting.secret.clone()));
        }
        let outcome = server.load(setting, &arguments)?;
        let accepted = counted.seconds()?;
        counted.settle()?;
        *first += outcome.events;
        if round > 0 {
            let events = outcome.events as f64;
            accepting.push((accepted - before) / events * MICROS);
            all.push((counted.seconds()? - before) / events * MICROS);
            rates.push(events / outcome.seconds);
        }
    }
    Ok(Cost { accepting: median(&accepting), all: median(&all), rate: median(&rates) })
}

/// Events that no flow takes: intake alone.
fn ignored(first: u64, batch: u64, seconds: f64) -> Vec<(&'static str, String)> {
    vec![
        ("--event", "page_looked_at".to_owned()),
        ("--first", first.to_string()),
        ("--connections", CONNECTIONS.to_owned()),
        ("--batch", batch.to_string()),
        ("--seconds", seconds.to_string()),
    ]
}

fn accept_latency(size: Size, installation: &Installation, server: &Server, setting: &Setting, first: u64) -> Result<Vec<Line>> {
    let probe = Probe::start(&installation.data)?;
    let mut arguments = ignored(first, 1, size.open_loop_seconds);
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
