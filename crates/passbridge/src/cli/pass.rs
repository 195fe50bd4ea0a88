//! `passbridge pass`: finding passes, and what holders are told.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::Server;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List passes
    List {
        /// Only of this project (id)
        #[arg(long)]
        project: Option<String>,
        /// Only of this contact (id)
        #[arg(long)]
        contact: Option<String>,
        /// Only those with this external id
        #[arg(long)]
        external_id: Option<String>,
        /// Only those that are installed there: apple, google, any or none
        #[arg(long, value_parser = ["apple", "google", "any", "none"])]
        installed: Option<String>,
        /// Only those in this state
        #[arg(long, value_parser = ["inactive", "active", "used", "expired", "revoked", "deleted"])]
        state: Option<String>,
        /// Only those that changed at this time or later, for example 2026-11-20T09:30:00Z, in the order of their last change
        #[arg(long, value_name = "TIME")]
        updated_since: Option<String>,
        /// `next_cursor` of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
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
        Command::List { project, contact, external_id, installed, state, updated_since, cursor } => {
            let asked = [
                ("project", project),
                ("contact", contact),
                ("external_id", external_id),
                ("installed", installed),
                ("state", state),
                ("updated_since", updated_since),
                ("cursor", cursor),
            ];
            let query = serde_urlencoded::to_string(asked)?;
            server.show(Method::GET, &format!("/v1/passes?limit=100&{query}"), None).await
        }
        Command::Notify { pass, text, at, until } => {
            let body = json!({"text": text, "at": at, "until": until});
            server.show(Method::POST, &format!("/v1/passes/{pass}/notify"), Some(&body)).await
        }
        Command::CancelNotices { pass } => {
            server.show(Method::POST, &format!("/v1/passes/{pass}/notify/cancel"), Some(&json!({}))).await
        }
    }
}
