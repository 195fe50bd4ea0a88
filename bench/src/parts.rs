//! The parts that intake cannot do without, each alone, by the same load generator in the same run: an HTTP request with
//! such a body through a bare axum, the body taken apart, a row written durably. Their sum is what our cost is held against,
//! because it moves with the machine as our cost does.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use bytes::Bytes;
use rusqlite::{Connection, params};
use serde_json::Value;

use crate::Size;
use crate::cpu::{MICROS, Process, rate, thread_seconds};
use crate::load;
use crate::server::{data_folder, free_port};
use crate::stats::{Line, median};

/// Rows of a transaction.
const GROUP: u64 = 64;
/// Longest wait for the bare server.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// What the aims for intake were set against, in µs: an HTTP request, an event taken apart (2 to 7; this makes the laxer aim),
/// an event inserted.
const AIMED_AGAINST: [f64; 3] = [20.0, 2.0, 6.0];

/// The sum of the parts, in µs per event, that the aims for so many events to a request were set against.
pub(crate) fn aimed_sum(batch: u64) -> f64 {
    let [http, parse, insert] = AIMED_AGAINST;
    http / batch as f64 + parse + insert
}

/// Processor time of each part per event, in µs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) http: f64,
    pub(crate) parse: f64,
    pub(crate) insert: f64,
}

impl Parts {
    pub(crate) fn sum(&self) -> f64 {
        self.http + self.parse + self.insert
    }

    /// Measures the parts of intake with so many events to a request.
    pub(crate) fn measure(size: Size, folder: &Path, batch: u64) -> Result<Self> {
        let (mut http, mut parse, mut insert) = (Vec::new(), Vec::new(), Vec::new());
        let bare = Bare::start()?;
        for round in 0..=size.rounds {
            let one =
                [http_cpu(&bare, batch, size.load_seconds)?, parse_cpu(batch, size.cpu_seconds)?, insert_cpu(size, folder)?];
            if round > 0 {
                http.push(one[0]);
                parse.push(one[1]);
                insert.push(one[2]);
            }
        }
        Ok(Self { http: median(&http), parse: median(&parse), insert: median(&insert) })
    }

    pub(crate) fn lines(&self, what: &str) -> Vec<Line> {
        vec![
            Line::new(format!("{what}: bare axum, the same requests"), self.http, "µs/event"),
            Line::new(format!("{what}: serde_json alone"), self.parse, "µs/event"),
            Line::new(
                format!("{what}: SQLite alone, one table, {GROUP} rows to a commit, synchronous=FULL"),
                self.insert,
                "µs/event",
            ),
        ]
    }
}

/// A server that does nothing but take requests: `bench bare`. It ends with whoever started it, when its input does.
pub(crate) async fn serve(listen: SocketAddr) -> Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let router = Router::new().fallback(|body: Bytes| async move { if body.is_empty() { "nothing" } else { "OK" } });
    Ok(axum::serve(tokio::net::TcpListener::bind(listen).await?, router).await?)
}

struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    fn start() -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(std::env::current_exe()?);
        let child = command.args(["bare", "--listen", &address.to_string()]).stdin(Stdio::piped()).spawn()?;
        let bare = Self { child, address };
        let from = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            ensure!(from.elapsed() < START_DEADLINE, "the bare server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(bare)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn http_cpu(bare: &Bare, batch: u64, seconds: f64) -> Result<f64> {
    let process = Process::new(bare.child.id())?;
    let arguments = [
        ("--write-key", "none".to_owned()),
        ("--event", "page_looked_at".to_owned()),
        ("--batch", batch.to_string()),
        ("--seconds", seconds.to_string()),
    ];
    let before = process.cpu_seconds()?;
    let outcome = load::start(bare.address, &arguments)?;
    Ok((process.cpu_seconds()? - before) / outcome.events as f64 * MICROS)
}

fn parse_cpu(batch: u64, seconds: f64) -> Result<f64> {
    let body = load::body("page_looked_at", 0, batch);
    let per_second = rate(seconds, || Ok(serde_json::from_str::<Value>(&body)?), |_| Ok(()))?;
    Ok(MICROS / per_second / batch as f64)
}

fn insert_cpu(size: Size, folder: &Path) -> Result<f64> {
    let path = data_folder(folder, "insert")?.join("alone.db");
    let _ = std::fs::remove_file(&path);
    let db = Connection::open(&path)?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    ensure!(mode == "wal", "no write-ahead log on this disk");
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute("CREATE TABLE inbox (pos INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT", [])?;
    let body = load::body("page_looked_at", 0, 1);
    let (from, mut count) = (thread_seconds()?, 0);
    while thread_seconds()? - from < size.cpu_seconds {
        db.execute_batch("BEGIN IMMEDIATE")?;
        let mut insert = db.prepare_cached("INSERT INTO inbox (pos, body) VALUES (?1, ?2)")?;
        for _ in 0..GROUP {
            count += 1;
            insert.execute(params![count, body.as_bytes()])?;
        }
        db.execute_batch("COMMIT")?;
    }
    let spent = thread_seconds()? - from;
    db.close().map_err(|(_, error)| error).context("SQLite alone")?;
    Ok(spent / count as f64 * MICROS)
}
