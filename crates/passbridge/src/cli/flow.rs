//! `passbridge flow`: which source event leads to which command.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Subcommand;
use flows::flow::Flow;
use http::Method;
use serde_json::{Value, json};

use super::{Server, json_file, map, saved, text};

const LIST: &str = "/v1/flows";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a flow on a sample event and show what it would do; nothing is done
    ///
    /// Prints whether the event is for the flow, and every step with its outcome, the values that were resolved, and what would
    /// become of it against the passes as they are.
    Test {
        /// The flow (YAML or JSON)
        flow: PathBuf,
        /// The sample event (JSON), as the source sends it
        #[arg(required_unless_present = "source_event", conflicts_with = "source_event")]
        event: Option<PathBuf>,
        /// Run it on this event out of the inbox instead
        #[arg(long, value_name = "ID")]
        source_event: Option<String>,
    },
    /// Check a flow and save it, replacing the one of the same slug
    Save {
        /// The flow (YAML or JSON)
        flow: PathBuf,
        /// Save it as the draft of that flow, which goes on as it is until the draft is published
        #[arg(long)]
        draft: bool,
    },
    /// Let the draft of a flow run
    Publish {
        /// Its slug
        slug: String,
    },
    /// List what a flow was and is, newest first
    Versions {
        /// Its slug
        slug: String,
        /// Show the document of this one
        #[arg(long)]
        version: Option<i64>,
    },
    /// Show what maps can set, guess one, and try it: of a flow's step, or of a batch
    Map {
        #[command(subcommand)]
        command: map::Command,
    },
    /// Let an earlier version of a flow run again
    Restore {
        /// Its slug
        slug: String,
        /// The number of the version
        version: i64,
    },
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Test { flow, event, source_event } => {
            let mut body = json!({"document": json_of(&document(&flow)?)?});
            match (event, source_event) {
                (Some(file), _) => body["event"] = json_file(&file)?,
                (None, id) => body["source_event"] = json!(id),
            }
            server.show(Method::POST, "/v1/flows/test", Some(&body)).await
        }
        Command::Save { flow, draft: true } => {
            let document = document(&flow)?;
            let path = format!("{}/draft", of(server, &document.slug).await?);
            server.show(Method::PUT, &path, Some(&json_of(&document)?)).await
        }
        Command::Save { flow, draft: false } => {
            let document = document(&flow)?;
            let path = match saved(server, LIST, &document.slug).await? {
                Some(id) => (Method::PUT, format!("{LIST}/{id}")),
                None => (Method::POST, LIST.to_owned()),
            };
            server.show(path.0, &path.1, Some(&json_of(&document)?)).await
        }
        Command::Publish { slug } => {
            let path = format!("{}/publish", of(server, &slug).await?);
            server.show(Method::POST, &path, None).await
        }
        Command::Versions { slug, version } => {
            let path = format!("{}/versions", of(server, &slug).await?);
            let path = version.map_or_else(|| path.clone(), |version| format!("{path}/{version}"));
            server.show(Method::GET, &path, None).await
        }
        Command::Map { command } => map::run(server, command).await,
        Command::Restore { slug, version } => {
            let path = format!("{}/versions/{version}/restore", of(server, &slug).await?);
            server.show(Method::POST, &path, None).await
        }
    }
}

/// The address of the saved flow of a slug.
async fn of(server: &Server, slug: &str) -> anyhow::Result<String> {
    let id = saved(server, LIST, slug).await?.with_context(|| format!("there is no flow `{slug}`: save it first"))?;
    Ok(format!("{LIST}/{id}"))
}

fn document(file: &Path) -> anyhow::Result<Flow> {
    Flow::from_yaml(&text(file)?).map_err(|problem| anyhow::anyhow!("{}: {problem}", file.display()))
}

fn json_of(flow: &Flow) -> anyhow::Result<Value> {
    flow.to_json().map_err(|problem| anyhow::anyhow!("{problem}"))
}
