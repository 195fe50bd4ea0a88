//! Contacts that a backfill tells a destination of, and that it compares when nothing differs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Size;
use crate::cpu::{Counted, MICROS};
use crate::house::House;
use crate::server::{Installation, MASTER_KEY, Server, text};
use crate::sink;
use crate::stats::Line;

/// How often a backfill is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Longest time that a backfill may stand still.
const STILL: Duration = Duration::from_secs(60);

/// Walks all contacts once when nothing was told of them yet, and once more when all was.
pub(crate) fn run(size: Size, binary: &Path, folder: &Path) -> Result<Vec<Line>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let url = format!("http://{}", listener.local_addr()?);
    runtime.spawn(sink::serve(listener, sink::Received::default()));
    let installation = Installation::sqlite(binary, folder, "backfill")?;
    let server = installation.start(None)?;
    server.set_up()?;
    let key = server.admin_key.clone();
    server.stop()?;
    runtime.block_on(async {
        let house = House::of_server(&installation.data, MASTER_KEY).await?;
        house.put_contacts(size.contacts).await?;
        house.close().await;
        anyhow::Ok(())
    })?;

    let server = installation.start(key.as_deref())?;
    let counted = Counted { server: &server.process, database: None };
    counted.settle()?;
    let destination = json!({"name": "Tracks", "kind": "rudderstack", "url": url, "settings": {"write_key": "bench"}});
    let destination = text(&server.call("POST", "/v1/destinations", Some(&destination))?, "id")?;
    counted.settle()?;
    let idle = server.process.resident_bytes()?;
    let (told, told_cpu) = walk(&server, &destination, size.contacts, "repaired")?;
    let (compared, compared_cpu) = walk(&server, &destination, size.contacts, "matched")?;
    let peak = server.process.peak_bytes()?;
    server.stop()?;
    let count = size.contacts as f64;
    Ok(vec![
        Line::new("contacts", count, ""),
        Line::new("told of for the first time, 100 to a request", count / told.as_secs_f64(), "/s"),
        Line::new("… server CPU", told_cpu / count * MICROS, "µs/contact"),
        Line::new("compared, none different", count / compared.as_secs_f64(), "/s").at_least(20_000.0),
        Line::new("… server CPU", compared_cpu / count * MICROS, "µs/contact"),
        Line::new("resident memory before", idle as f64 / 1e6, "MB"),
        Line::new("resident memory, peak", peak as f64 / 1e6, "MB"),
    ])
}

/// Runs a backfill to its end, of which so many must have come to this; how long it took, and the server's processor seconds.
fn walk(server: &Server, destination: &str, contacts: u64, came_to: &str) -> Result<(Duration, f64)> {
    let counted = Counted { server: &server.process, database: None };
    counted.settle()?;
    let (from, cpu) = (Instant::now(), counted.seconds()?);
    let begun = server.call("POST", &format!("/v1/destinations/{destination}/backfill"), Some(&json!({})))?;
    let path = format!("/v1/backfills/{}", text(&begun, "id")?);
    let (mut last, mut moved) = (Value::Null, Instant::now());
    let done = loop {
        let held = server.call("GET", &path, None)?;
        if held["looked_at"] != last {
            (last, moved) = (held["looked_at"].clone(), Instant::now());
        }
        match held["state"].as_str() {
            Some("done") => break held,
            Some("running") if moved.elapsed() < STILL => std::thread::sleep(LOOK),
            _ => bail!("the backfill does not come to its end: {held}"),
        }
    };
    let took = from.elapsed();
    ensure!(done[came_to] == contacts && done["looked_at"] == contacts, "not all {came_to}: {done}");
    Ok((took, counted.seconds()? - cpu))
}
