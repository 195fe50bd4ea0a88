//! How long a webhook takes, from the acceptance of its event.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::Size;
use crate::cpu::{Counted, MICROS, Process};
use crate::database::Postgres;
use crate::fsync::Probe;
use crate::server::{Installation, free_port};
use crate::sink::PROMPT;
use crate::stats::Line;

/// From the acceptance of an event to the webhook about the pass that it issued, on both databases.
pub(crate) fn run(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let mut lines = single(size, &Installation::sqlite(binary, folder, "delivery-sqlite")?, "SQLite", None)?;
    let postgres = Postgres::start()?;
    let installation = Installation::postgres(binary, folder, "delivery-postgres", postgres.database()?)?;
    lines.extend(single(size, &installation, "PostgreSQL", Some(&postgres.process))?);
    Ok(lines)
}

/// Events one by one, evenly apart.
fn single(size: Size, installation: &Installation, name: &str, database: Option<&Process>) -> Result<Vec<Line>> {
    let server = installation.start(None)?;
    let sink = free_port()?;
    let setting = server.set_up()?;
    server.webhook(&setting.project, sink, &format!("{PROMPT}0"))?;
    let counted = Counted { server: &server.process, database };
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
        Line::new(format!("{name}, 200 events/s: fsync beside it, p50"), fsync.p50_ms, "ms"),
        Line::new(format!("{name}: fsync beside it, p99"), fsync.p99_ms, "ms"),
        Line::new(format!("{name}: accepted → webhook received, p50"), outcome.delivery_p50_ms, "ms")
            .at_most(3.0 + 3.0 * fsync.p50_ms),
        Line::new(format!("{name}: accepted → webhook received, p99"), outcome.delivery_p99_ms, "ms")
            .at_most(15.0 + 6.0 * fsync.p99_ms),
        Line::new(format!("{name}: CPU of server and database, event to delivered webhook"), cpu, "µs/event"),
    ])
}
