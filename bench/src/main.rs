//! Measures Passbridge beside its peers: medians and ratios from one run, processor time by the kernel's counters.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock and the environment")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that prints its result")]

mod backfill;
mod batch;
mod cpu;
mod database;
mod delivery;
mod fixture;
mod flows;
mod fsync;
mod google;
mod house;
mod intake;
mod load;
mod parts;
mod passes;
mod peers;
mod server;
mod sink;
mod start;
mod stats;
mod wallets;
mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::stats::Line;

/// The allocator of the server, so that what is measured in this process is what it does there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Rounds of which the median counts.
    rounds: usize,
    /// Processor seconds of each round of a computation.
    cpu_seconds: f64,
    /// Seconds of each round of a closed loop.
    load_seconds: f64,
    /// Seconds of an open loop.
    open_loop_seconds: f64,
    /// Passes in the store when a large one is measured.
    passes: u64,
    /// Rows of a batch.
    rows: u64,
    /// Contacts that a backfill compares.
    contacts: u64,
    /// Installed passes that a template is published to.
    devices: u64,
    /// Objects at Google.
    google_objects: u64,
    /// Events a second of the steady rate, and for how many seconds.
    webhook_rate: u64,
    webhook_seconds: f64,
    /// Webhooks that sleep.
    sleepers: u32,
}

const QUICK: Size = Size {
    rounds: 3,
    cpu_seconds: 0.5,
    load_seconds: 3.0,
    open_loop_seconds: 10.0,
    passes: 100_000,
    rows: 50_000,
    contacts: 100_000,
    devices: 10_000,
    google_objects: 1_000,
    webhook_rate: 1_000,
    webhook_seconds: 10.0,
    sleepers: 1_000,
};
const FULL: Size = Size {
    rounds: 5,
    cpu_seconds: 3.0,
    load_seconds: 10.0,
    open_loop_seconds: 60.0,
    passes: 1_000_000,
    rows: 1_000_000,
    contacts: 1_000_000,
    devices: 1_000_000,
    google_objects: 10_000,
    webhook_rate: 2_000,
    webhook_seconds: 600.0,
    sleepers: 10_000,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Signed passes per processor second, beside the peers.
    Passes,
    /// Durable intake on SQLite and PostgreSQL, beside its parts.
    Intake,
    /// Field mappings and code of the user's.
    Flows,
    /// From an accepted event to its webhook.
    Delivery,
    /// Webhooks at a steady rate, and the most of them.
    Steady,
    /// Webhooks to many endpoints, beside hostile ones, and asleep.
    Webhooks,
    /// A template published to many phones, lists, pages.
    Wallets,
    /// Google at its pace, and its call-backs.
    Google,
    /// A CSV of rows that become passes.
    Batch,
    /// Contacts that a backfill tells of and compares.
    Backfill,
    /// From event to pass in a small and a large store, memory and start.
    Start,
}

/// Measures Passbridge beside its peers.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure and print
    Run(RunArguments),
    /// Send load to a server on this machine; started by `run`
    Load(load::Options),
    /// Take HTTP requests and do nothing; started by `run`
    Bare {
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
    },
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Longer rounds and more of them
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// Short rounds, the default
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Folder with the installed peers (see `peers/install`); without it they are left out
    #[arg(long)]
    peers: Option<PathBuf>,
    /// The server's binary
    #[arg(long)]
    server: PathBuf,
    /// Where data folders are made; they decide which disk is measured
    #[arg(long, default_value = "/var/tmp")]
    folder: PathBuf,
    /// Passes in the store when a large one and its start are measured
    #[arg(long)]
    passes: Option<u64>,
    /// Installed passes that a template is published to
    #[arg(long)]
    devices: Option<u64>,
    /// Events a second of the webhooks' steady rate
    #[arg(long)]
    rate: Option<u64>,
    /// Seconds of the webhooks' steady rate
    #[arg(long)]
    seconds: Option<f64>,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Load(options) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            println!("{}", serde_json::to_string(&runtime.block_on(load::run(options))?)?);
            Ok(())
        }
        Command::Bare { listen } => tokio::runtime::Runtime::new()?.block_on(parts::serve(listen)),
    }
}

fn run(arguments: &RunArguments) -> Result<()> {
    let mut size = if arguments.full { FULL } else { QUICK };
    size.passes = arguments.passes.unwrap_or(size.passes);
    size.devices = arguments.devices.unwrap_or(size.devices);
    size.webhook_rate = arguments.rate.unwrap_or(size.webhook_rate);
    size.webhook_seconds = arguments.seconds.unwrap_or(size.webhook_seconds);
    let folder = tempfile::tempdir_in(&arguments.folder)?;
    let (folder, server) = (folder.path(), arguments.server.as_path());
    let part = |part, title: &str, measure: &dyn Fn() -> Result<Vec<Line>>| -> Result<()> {
        if !arguments.only.is_empty() && !arguments.only.contains(&part) {
            return Ok(());
        }
        println!("\n{title}");
        for line in measure()? {
            println!("  {line}");
        }
        Ok(())
    };
    part(Part::Passes, "Signed passes, one core", &|| passes::run(size, folder, arguments.peers.as_deref()))?;
    part(Part::Intake, "Durable intake over HTTP, closed loop, 64 connections", &|| intake::run(size, server, folder))?;
    part(Part::Flows, "Mappings and code, one core", &|| flows::run(size, folder, arguments.peers.as_deref()))?;
    part(Part::Delivery, "Delivery", &|| delivery::run(size, server, folder))?;
    part(Part::Steady, "Webhooks at a steady rate", &|| webhooks::run_steady(size, server, folder))?;
    part(Part::Webhooks, "Webhooks to many", &|| webhooks::run(size, server, folder))?;
    part(Part::Wallets, "Phones, SQLite", &|| wallets::run(size, server, folder))?;
    part(Part::Google, "Google", &|| google::run(size, folder))?;
    part(Part::Batch, "A CSV of rows becomes passes, SQLite", &|| batch::run(size, server, folder))?;
    part(Part::Backfill, "A backfill, SQLite", &|| backfill::run(size, server, folder))?;
    part(Part::Start, "From event to pass, memory and start, SQLite", &|| start::run(size, server, folder))
}
