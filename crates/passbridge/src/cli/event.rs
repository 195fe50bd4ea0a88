//! `passbridge event`: what became of a source event.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::Server;

const LIST: &str = "/v1/source-events";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List source events, newest first
    List {
        /// Only of this source (id)
        #[arg(long)]
        source: Option<String>,
        /// Only those of which this became: ignored, done, parked, waiting or delayed
        #[arg(long)]
        status: Option<String>,
        /// Only those in whose name this stands, in any case
        #[arg(long)]
        name: Option<String>,
        /// `next_cursor` of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// What arrived, which flows looked at it, what each step was given and what became of it
    Show {
        /// Its id
        id: String,
    },
    /// Have an event handled again: what was not applied is decided anew, with the flows as they are now
    Replay {
        /// Its id
        id: String,
        /// A number that it has not had yet: what was applied is done once more
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        run: Option<u32>,
    },
    /// Cancel what waits of an event for its time or its turn; what was done stays
    Cancel {
        /// Its id
        id: String,
    },
    /// Have all events from a point in time handled again, in the order of their arrival
    ReplaySince {
        /// From then on, for example 2026-11-20T09:30:00Z
        since: String,
        /// Before then
        #[arg(long)]
        until: Option<String>,
        /// Only of this source (id)
        #[arg(long)]
        source: Option<String>,
        /// Only those of which this became: ignored, done or parked
        #[arg(long)]
        status: Option<String>,
        /// A number that they have not had yet: what was applied is done once more
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        run: Option<u32>,
    },
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { source, status, name, cursor } => {
            let asked = [("source", source), ("status", status), ("name", name), ("cursor", cursor)];
            let query = serde_urlencoded::to_string(asked)?;
            server.show(Method::GET, &format!("{LIST}?limit=100&{query}"), None).await
        }
        Command::Show { id } => server.show(Method::GET, &format!("{LIST}/{id}"), None).await,
        Command::Replay { id, run } => {
            server.show(Method::POST, &format!("{LIST}/{id}/replay"), Some(&json!({"run": run}))).await
        }
        Command::Cancel { id } => server.show(Method::POST, &format!("{LIST}/{id}/cancel"), None).await,
        Command::ReplaySince { since, until, source, status, run } => {
            let mut body = json!({"since": since});
            for (key, value) in
                [("until", json!(until)), ("source", json!(source)), ("status", json!(status)), ("run", json!(run))]
            {
                if !value.is_null() {
                    body[key] = value;
                }
            }
            server.show(Method::POST, &format!("{LIST}/replay"), Some(&body)).await
        }
    }
}
