//! A CSV of rows becomes passes: rows a second, processor time per row, and the most memory that it takes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Size;
use crate::cpu::{Counted, MICROS};
use crate::server::{Installation, Server};
use crate::stats::Line;

/// How often a batch is looked at; its progress is written about once a second.
const LOOK: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(1_800);

/// Rows of members who are all different.
fn rows(count: u64) -> String {
    let mut text = String::from("external_id,email,name,tier,points\n");
    for row in 0..count {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "m-{row},member.{row}@example.com,Member Number {row},gold,{}", row % 500);
    }
    text
}

/// Waits for a state; the batch then, and how long it took.
fn until(server: &Server, path: &str, wanted: &str) -> Result<(Value, Duration)> {
    let from = Instant::now();
    loop {
        let batch = server.call("GET", path, None)?;
        match batch["state"].as_str() {
            Some(state) if state == wanted => return Ok((batch, from.elapsed())),
            Some("checking" | "running") if from.elapsed() < DEADLINE => std::thread::sleep(LOOK),
            _ => bail!("the batch is not {wanted}: {batch}"),
        }
    }
}

/// Uploads, checks and runs a file.
pub(crate) fn run(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let installation = Installation::sqlite(binary, folder, "batch")?;
    let server = installation.start(None)?;
    server.set_up()?;
    let counted = Counted { server: &server.process, database: None };
    counted.settle()?;
    let idle = server.process.resident_bytes()?;
    let made = server.call("POST", "/v1/batches", Some(&json!({"project": "bench-club", "operation": "issue"})))?;
    let path = format!("/v1/batches/{}", made["id"].as_str().context("no batch")?);
    let file = rows(size.rows);
    let count = size.rows as f64;

    let (from, cpu) = (Instant::now(), counted.seconds()?);
    server.send("PUT", &format!("{path}/rows"), "text/csv", file.as_bytes())?;
    let uploaded = from.elapsed();
    let (_, checked) = until(&server, &path, "checked")?;
    let cpu_before = counted.seconds()?;
    let check_cpu = cpu_before - cpu;
    server.call("POST", &format!("{path}/run"), None)?;
    let (batch, ran) = until(&server, &path, "done")?;
    let run_cpu = counted.seconds()? - cpu_before;
    ensure!(batch["run"]["created"] == size.rows, "not every row issued a pass: {batch}");
    counted.settle()?;
    let all_cpu = counted.seconds()? - cpu_before;
    let peak = server.process.peak_bytes()?;
    server.stop()?;
    let megabytes = file.len() as f64 / 1e6;
    Ok(vec![
        Line::new("rows", count, ""),
        Line::new("uploaded", megabytes / uploaded.as_secs_f64(), "MB/s"),
        Line::new("uploaded and checked: server CPU", check_cpu / count * MICROS, "µs/row"),
        Line::new("checked", count / checked.as_secs_f64(), "rows/s"),
        Line::new("run: server CPU", run_cpu / count * MICROS, "µs/row"),
        Line::new("run: … and until every reader has passed", all_cpu / count * MICROS, "µs/row"),
        Line::new("run: passes issued", count / ran.as_secs_f64(), "rows/s").at_least(10_000.0),
        Line::new("resident memory before", idle as f64 / 1e6, "MB"),
        Line::new("resident memory, peak", peak as f64 / 1e6, "MB"),
    ])
}
