//! `passbridge pass`: what holders are told.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::Server;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell a pass's holder something, at once or at a time
    #[command(after_help = "\
Examples:
  passbridge pass notify 03515U2nk4hy0GFQOIxS1K 'Fresh beans today'
  passbridge pass notify 03515U2nk4hy0GFQOIxS1K 'Doors open' --at 2026-12-24T17:00:00+01:00 --until 2026-12-24T23:00:00+01:00")]
    Notify {
        /// The pass's id
        pass: String,
        /// What, at most 500 characters
        text: String,
        /// When, RFC 3339 with its zone; at once unless told
        #[arg(long)]
        at: Option<String>,
        /// Until when it is worth showing, RFC 3339 with its zone
        #[arg(long)]
        until: Option<String>,
    },
    /// Cancel the messages of a pass that wait for their time
    CancelNotices {
        /// The pass's id
        pass: String,
    },
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Notify { pass, text, at, until } => {
            let body = json!({"text": text, "at": at, "until": until});
            server.show(Method::POST, &format!("/v1/passes/{pass}/notify"), Some(&body)).await
        }
        Command::CancelNotices { pass } => {
            server.show(Method::POST, &format!("/v1/passes/{pass}/notify/cancel"), Some(&json!({}))).await
        }
    }
}
