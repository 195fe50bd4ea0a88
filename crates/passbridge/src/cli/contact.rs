//! `passbridge contact`: finding contacts.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;

use super::Server;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List contacts
    List {
        /// Only the one with this external id
        #[arg(long)]
        external_id: Option<String>,
        /// Only the one with this e-mail address
        #[arg(long)]
        email: Option<String>,
        /// Only those whose passes are in these wallets: none, apple, google or both
        #[arg(long, value_parser = ["none", "apple", "google", "both", "unknown"])]
        wallet_status: Option<String>,
        /// `next_cursor` of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    let Command::List { external_id, email, wallet_status, cursor } = command;
    let asked = [("external_id", external_id), ("email", email), ("wallet_status", wallet_status), ("cursor", cursor)];
    let query = serde_urlencoded::to_string(asked)?;
    server.show(Method::GET, &format!("/v1/contacts?limit=100&{query}"), None).await
}
