//! `passbridge flow map`: what a map of a flow's step or of a batch can set, a guess at one, and what one makes of a sample.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::{Server, json_file, saved, text};
use crate::system::say;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what a map can set, and what each place takes
    Targets {
        #[command(flatten)]
        of: Of,
    },
    /// Guess a map for a sample; look at it before you use it
    Suggest {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        sample: Sample,
    },
    /// Try a map on a sample and show what would be asked for, and what is wrong; nothing is done
    ///
    /// Ends with status 1 where something is wrong.
    Test {
        #[command(flatten)]
        of: Of,
        /// The map (YAML or JSON), as a flow's step or a batch takes it
        map: PathBuf,
        #[command(flatten)]
        sample: Sample,
    },
}

/// Which map.
#[derive(Debug, clap::Args)]
pub(super) struct Of {
    /// The project whose passes it is about: slug or id
    project: String,
    /// What the step, or the batch, does
    #[arg(long, default_value = "issue")]
    action: Action,
    /// It is for the rows of a batch, not for source events
    #[arg(long)]
    rows: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Action {
    Issue,
    Update,
    Activate,
    Revoke,
    Delete,
    Notify,
    Send,
    Wait,
    RecordInstall,
    RecordUninstall,
    RecordScan,
}

/// What a map is tried on.
#[derive(Debug, clap::Args)]
pub(super) struct Sample {
    /// The sample (JSON): an event as flows see it, or a row as an object of column names and cells
    #[arg(required_unless_present = "source_event", conflicts_with = "source_event")]
    sample: Option<PathBuf>,
    /// This event out of the inbox instead
    #[arg(long, value_name = "ID")]
    source_event: Option<String>,
}

impl Of {
    fn action(&self) -> String {
        self.action.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn over(&self) -> &'static str {
        if self.rows { "rows" } else { "events" }
    }

    /// The address of what the API has for this project.
    async fn path(&self, server: &Server, what: &str) -> anyhow::Result<String> {
        let id = saved(server, "/v1/projects", &self.project).await?.unwrap_or_else(|| self.project.clone());
        Ok(format!("/v1/projects/{id}/mapping-{what}"))
    }

    async fn ask(&self, server: &Server, what: &str, sample: &Sample, map: Option<String>) -> anyhow::Result<Value> {
        let mut body = json!({"action": self.action(), "over": self.over(), "sample": sample.read(server).await?});
        if let Some(map) = map {
            body["text"] = json!(map);
        }
        server.api()?.call(Method::POST, &self.path(server, what).await?, Some(&body)).await
    }
}

impl Sample {
    async fn read(&self, server: &Server) -> anyhow::Result<Value> {
        match (&self.sample, &self.source_event) {
            (Some(file), _) => json_file(file),
            (None, id) => {
                let id = id.as_deref().context("give a sample or --source-event")?;
                Ok(server.api()?.call(Method::GET, &format!("/v1/source-events/{id}"), None).await?["payload"].clone())
            }
        }
    }
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Targets { of } => targets(server, &of).await,
        Command::Suggest { of, sample } => {
            let guess = of.ask(server, "suggestion", &sample, None).await?;
            // By itself it is a file that `test`, a batch and a flow's step take.
            server.print(if server.is_json() { &guess } else { &guess["map"] })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Test { of, map, sample } => {
            let tested = of.ask(server, "test", &sample, Some(text(&map)?)).await?;
            server.print(&tested)?;
            let is_right = tested["problems"].as_array().is_none_or(Vec::is_empty);
            Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

async fn targets(server: &Server, of: &Of) -> anyhow::Result<ExitCode> {
    let path = format!("{}?action={}&over={}", of.path(server, "targets").await?, of.action(), of.over());
    let found = server.api()?.call(Method::GET, &path, None).await?;
    if server.is_json() {
        server.print(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let places = found["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |place: &Value, name: &str| place[name].as_str().unwrap_or_default().to_owned();
    let width = places.iter().map(|place| text(place, "place").len()).max().unwrap_or_default();
    for place in places {
        let choices: Vec<&str> = place["choices"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let more = match (place["required"] == true, place["one_of"].as_str()) {
            (true, _) => " (required)".to_owned(),
            (false, Some(which)) => format!(" (one of those that say which {which})"),
            (false, None) if choices.is_empty() => String::new(),
            (false, None) => format!(" (one of {})", choices.join(", ")),
        };
        say(&format!("{:<width$}  {:<8}  {}{more}", text(place, "place"), text(place, "takes"), text(place, "label")));
    }
    Ok(ExitCode::SUCCESS)
}
