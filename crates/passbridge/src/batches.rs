//! `passbridge batch`: files of rows, checked first, then run.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use flows::batch::Batch;
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::{
    api::Api,
    cli::Server,
    system::{complain, say},
};

/// How often a batch that is watched is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Rows of a report that a check shows by itself.
const SHOWN_ROWS: usize = 10;

#[derive(Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Look which rows of a file would fail; nothing is done
    ///
    /// The file is uploaded and every row is tried. `passbridge batch start` runs it afterwards, `passbridge batch report` has
    /// the rows that would fail, in the format of the file, to be mended and fed back.
    #[command(after_help = EXAMPLES)]
    Check {
        #[command(flatten)]
        file: FileArgs,
        /// Hold the rows back until `passbridge batch map` says which column becomes what
        #[arg(long)]
        hold: bool,
    },
    /// Look at the first rows of a batch, and at the first that failed or would
    Look {
        /// Its id
        batch: String,
    },
    /// Map the columns of a batch that did not run yet, and check it
    Map {
        /// Its id
        batch: String,
        /// Which column becomes what, or @FILE with a map in YAML; columns of the right name need none
        #[arg(long = "map", value_name = "WHAT=COLUMN")]
        map: Vec<String>,
    },
    /// Check a file and, unless a row would fail, run it
    #[command(after_help = EXAMPLES)]
    Run {
        #[command(flatten)]
        file: FileArgs,
        /// Run it also when rows would fail; those are reported
        #[arg(long)]
        anyway: bool,
        /// Not before this time, for example 2027-01-01T09:00:00+01:00
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Wait until every row was carried out, with a progress bar
        #[arg(long)]
        wait: bool,
    },
    /// List batches, newest first
    List,
    /// Show how far a batch is
    Show {
        /// Its id
        batch: String,
    },
    /// Watch a batch until it waits for somebody or comes to its end
    Watch {
        /// Its id
        batch: String,
    },
    /// Run a batch that was checked, or waits for its time
    Start {
        /// Its id
        batch: String,
        /// Wait until every row was carried out, with a progress bar
        #[arg(long)]
        wait: bool,
    },
    /// Halt a batch; the rows that are under way are finished
    Pause {
        /// Its id
        batch: String,
    },
    /// Let a batch that was paused go on where it was
    Resume {
        /// Its id
        batch: String,
    },
    /// End a batch; what was done stays done
    Cancel {
        /// Its id
        batch: String,
    },
    /// Get the rows that failed, or would, with why; in the format of the file, those of Parquet as NDJSON
    Report {
        /// Its id
        batch: String,
        /// Where to write them; they are printed unless told
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

const EXAMPLES: &str = "\
Examples:
  passbridge batch check members.csv --project coffee-club
  passbridge batch run members.csv --project coffee-club --map external_id=\"Member No\" --map contact.email=E-Mail --wait
  passbridge batch run news.csv --project coffee-club --operation notify --at 2027-01-01T09:00:00+01:00
  passbridge batch run lost.csv --project coffee-club --operation revoke --map find.external_id=card
  passbridge batch run export.csv --project coffee-club --map @map.yaml --encoding windows-1252
  passbridge batch run members.parquet --project coffee-club --wait";

#[derive(Debug, clap::Args)]
pub(crate) struct FileArgs {
    /// The file: CSV whose first row names the columns, NDJSON, or Parquet
    file: PathBuf,
    /// The project whose passes it is about: slug or id
    #[arg(long)]
    project: String,
    /// What is done for each row
    #[arg(long, default_value = "issue")]
    operation: Operation,
    /// Which column becomes what, or @FILE with a map in YAML; columns of the right name need none
    #[arg(long = "map", value_name = "WHAT=COLUMN")]
    map: Vec<String>,
    /// How the file is written; told by its name unless given
    #[arg(long)]
    format: Option<Format>,
    /// The file's encoding, for example windows-1252; UTF-8 unless given
    #[arg(long)]
    encoding: Option<String>,
    /// CSV: what stands between cells; found out unless given
    #[arg(long)]
    delimiter: Option<char>,
    /// An empty cell of CSV, or a null of Parquet, removes what it would set, instead of leaving it as it is
    #[arg(long)]
    clear_empty: bool,
    /// issue: what happens when there is a pass of that external id
    #[arg(long)]
    if_exists: Option<IfExists>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Operation {
    Issue,
    Update,
    Revoke,
    Delete,
    Notify,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Ndjson,
    Parquet,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IfExists {
    /// Change it; one that was revoked stays so
    Update,
    /// Change it, and switch it on again where it was revoked
    Reactivate,
    Skip,
    Reject,
}

fn name(value: &impl ValueEnum) -> Value {
    value.to_possible_value().map_or(Value::Null, |value| value.get_name().into())
}

pub(crate) async fn run(server: &Server, command: BatchCommand) -> anyhow::Result<ExitCode> {
    let turn = async |batch: &str, to: &str| server.show(Method::POST, &format!("/v1/batches/{batch}/{to}"), None).await;
    match command {
        BatchCommand::Check { file, hold } => {
            let batch = send(server, document(&file, "by_hand")?, &file.file, hold).await?;
            watch(server, &batch).await
        }
        BatchCommand::Look { batch } => look(server, &batch).await,
        BatchCommand::Map { batch, map: given } => {
            let change = json!({"map": map(&given)?});
            server.api()?.call(Method::PATCH, &format!("/v1/batches/{batch}"), Some(&change)).await?;
            watch(server, &batch).await
        }
        BatchCommand::Run { file, anyway, at, wait } => {
            let mut document = document(&file, if anyway { "always" } else { "if_clean" })?;
            document["start_at"] = at.into();
            let batch = send(server, document, &file.file, false).await?;
            if wait { watch(server, &batch).await } else { show(server, &batch).await }
        }
        BatchCommand::List => server.show(Method::GET, "/v1/batches?limit=100", None).await,
        BatchCommand::Show { batch } => show(server, &batch).await,
        BatchCommand::Watch { batch } => watch(server, &batch).await,
        BatchCommand::Start { batch, wait } => {
            if !wait {
                return turn(&batch, "run").await;
            }
            server.api()?.call(Method::POST, &format!("/v1/batches/{batch}/run"), None).await?;
            watch(server, &batch).await
        }
        BatchCommand::Pause { batch } => turn(&batch, "pause").await,
        BatchCommand::Resume { batch } => turn(&batch, "resume").await,
        BatchCommand::Cancel { batch } => turn(&batch, "cancel").await,
        BatchCommand::Report { batch, output } => report(server, &batch, output.as_deref()).await,
    }
}

async fn show(server: &Server, batch: &str) -> anyhow::Result<ExitCode> {
    server.show(Method::GET, &format!("/v1/batches/{batch}"), None).await
}

/// The first rows, and the first that failed or would.
async fn look(server: &Server, batch: &str) -> anyhow::Result<ExitCode> {
    let api = server.api()?;
    let read = async |what: &str| api.call(Method::GET, &format!("/v1/batches/{batch}/{what}?limit={SHOWN_ROWS}"), None).await;
    let failures = read("failures").await?;
    // A batch that is over has no rows any more.
    let sample = read("sample").await.unwrap_or_default();
    server.print(&json!({"sample": sample, "failures": failures["data"]}))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a batch of a file; its id.
async fn send(server: &Server, document: Value, path: &Path, hold: bool) -> anyhow::Result<String> {
    let length = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    let api = server.api()?;
    let made = api.call(Method::POST, "/v1/batches", Some(&document)).await?;
    let batch = made["id"].as_str().context("the server answered with something else than a batch")?.to_owned();
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} sent, {bytes_per_sec}, {eta} left")?);
    let told = bar.clone();
    let sent = api.upload(&format!("/v1/batches/{batch}/rows?hold={hold}"), path, move |bytes| told.inc(bytes)).await;
    bar.finish_and_clear();
    if let Err(error) = sent {
        // Nobody is to find a batch that awaits rows which never come.
        let _ = api.call(Method::POST, &format!("/v1/batches/{batch}/cancel"), None).await;
        return Err(error.context(format!("{} was not taken", path.display())));
    }
    Ok(batch)
}

fn document(file: &FileArgs, start: &str) -> anyhow::Result<Value> {
    let by_name = match file.file.extension().and_then(|ending| ending.to_str()) {
        Some("ndjson" | "jsonl") => Format::Ndjson,
        Some("parquet" | "pq") => Format::Parquet,
        _ => Format::Csv,
    };
    let format = file.format.unwrap_or(by_name);
    let mut document = json!({
        "project": file.project,
        "operation": name(&file.operation),
        "map": map(&file.map)?,
        "format": name(&format),
        "start": start,
    });
    let optional = [
        ("encoding", file.encoding.clone().map(Value::from)),
        ("delimiter", file.delimiter.map(|delimiter| delimiter.to_string().into())),
        ("empty_cells", file.clear_empty.then(|| "clear".into())),
        ("if_exists", file.if_exists.as_ref().map(name)),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            document[key] = value;
        }
    }
    Ok(document)
}

fn map(given: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut map = Map::new();
    for given in given {
        if let Some(file) = given.strip_prefix('@') {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
            map.extend(Batch::map_of_yaml(&text).map_err(|problem| anyhow::anyhow!("{file}: {problem}"))?);
        } else {
            let (what, column) = given.split_once('=').with_context(|| format!("{given}: expected WHAT=COLUMN or @FILE"))?;
            Batch::take_from(&mut map, what.trim(), column.trim()).map_err(|why| anyhow::anyhow!("{given}: {why}"))?;
        }
    }
    Ok(map)
}

/// Shows a batch's progress until it comes to its end, is halted, or waits to be run.
pub(crate) async fn watch(server: &Server, batch: &str) -> anyhow::Result<ExitCode> {
    let api = server.api()?;
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {percent}% {prefix}, {msg}, {eta} left")?);
    let now = loop {
        let now = api.call(Method::GET, &format!("/v1/batches/{batch}"), None).await?;
        let state = now["state"].as_str().context("the server answered with something else than a batch")?;
        let counts = if state == "checking" { &now["check"] } else { &now["run"] };
        let number = |name: &str| counts[name].as_u64().unwrap_or_default();
        bar.set_length(now["bytes"].as_u64().unwrap_or_default());
        bar.set_position(number("bytes"));
        let rows = if state == "reading" { now["rows_read"].as_u64().unwrap_or_default() } else { number("rows") };
        bar.set_prefix(format!("{state}: {rows} rows"));
        let waits = now["waits_for"].as_str().map(|reader| format!(", gives way to {reader}")).unwrap_or_default();
        bar.set_message(format!("{} failed{waits}", number("failed")));
        if !matches!(state, "reading" | "checking" | "scheduled" | "running") {
            break now;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    bar.finish_and_clear();
    server.print(&now)?;
    let unused: Vec<&str> = now["unused_columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !unused.is_empty() {
        complain(&format!("nothing takes these columns: {}", unused.join(", ")));
    }
    let failed = |part: &str| now[part]["failed"].as_u64().unwrap_or_default();
    let hint = format!("`passbridge batch report {batch}` has them, to be mended and fed back");
    let wrong = match now["state"].as_str().unwrap_or_default() {
        "done" if failed("run") == 0 && now["removal"]["kept"].is_null() => return Ok(ExitCode::SUCCESS),
        "done" if failed("run") == 0 => {
            let why = now["removal"]["kept"].as_str().unwrap_or_default();
            format!("passes whose rows are gone were left as they are: {why}")
        }
        "done" => format!("{} rows failed: {hint}", failed("run")),
        "checked" if failed("check") == 0 => return Ok(ExitCode::SUCCESS),
        "checked" => {
            excerpt(&api, batch).await?;
            format!(
                "{} rows would fail, nothing was done: {hint}; `passbridge batch start {batch}` runs the rest",
                failed("check")
            )
        }
        "failed" => format!("nothing more can be done: {}", now["fault"].as_str().unwrap_or_default()),
        "uploaded" => {
            complain(&format!(
                "`passbridge batch look {batch}` shows its first rows, `passbridge batch map {batch}` has them checked"
            ));
            return Ok(ExitCode::SUCCESS);
        }
        other => format!("the batch is {other}"),
    };
    complain(&wrong);
    Ok(ExitCode::FAILURE)
}

/// Says of the first rows of a report why they would fail.
async fn excerpt(api: &Api, batch: &str) -> anyhow::Result<()> {
    let mut text = Vec::new();
    api.download(&format!("/v1/batches/{batch}/report"), |piece| {
        // Whole pieces are as many rows as are to be shown, at least.
        if text.iter().filter(|byte| **byte == b'\n').count() <= SHOWN_ROWS {
            text.extend_from_slice(piece);
        }
    })
    .await?;
    for line in String::from_utf8_lossy(&text).lines().take(SHOWN_ROWS + 1) {
        complain(line);
    }
    Ok(())
}

async fn report(server: &Server, batch: &str, output: Option<&Path>) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/batches/{batch}/report");
    let Some(output) = output else {
        let mut text = Vec::new();
        server.api()?.download(&path, |piece| text.extend_from_slice(piece)).await?;
        say(String::from_utf8_lossy(&text).trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    let mut file = std::fs::File::create(output).with_context(|| format!("cannot write {}", output.display()))?;
    let mut written = Ok(());
    let write = |piece: &[u8]| {
        if written.is_ok() {
            written = file.write_all(piece);
        }
    };
    server.api()?.download(&path, write).await?;
    if let Err(error) = written.and_then(|()| file.sync_all()) {
        bail!("cannot write {}: {error}", output.display());
    }
    Ok(ExitCode::SUCCESS)
}
