//! Passbridge: business events in, Apple and Google Wallet passes out, and every sign of a pass's life back.
//!
//! This crate reads the configuration once, builds the rooms, hands them to each other, and holds nothing else.

mod api;
mod batches;
mod cli;
mod config;
mod conformance;
mod demo;
mod designs;
mod doctor;
mod follow;
mod keys;
mod listen;
mod moving;
mod public_url;
mod publications;
mod serve;
mod system;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            system::complain(&format!("cannot start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(code) => code,
        Err(error) => {
            system::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
