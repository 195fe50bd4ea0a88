//! `passbridge destination`: services that are told of events.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::{Server, setting, text};
use crate::system::say;

const LIST: &str = "/v1/destinations";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a destination; `passbridge connector list` shows what there is, `passbridge connector show hubspot` what it takes
    #[command(after_help = "\
Examples:
  passbridge destination add hubspot --setting access_token=@token.txt --setting key=email
  passbridge destination add slack --setting webhook_url=@slack.txt --event pass.installed
  passbridge destination add custom --setting code=@connector.js --setting secret.crm=@crm.txt")]
    Add {
        /// The service's slug, for example hubspot
        kind: String,
        /// Name shown to people; the service's unless told
        #[arg(long)]
        name: Option<String>,
        /// Where to send, where the service's address is not known
        #[arg(long)]
        url: Option<String>,
        /// A setting, for example key=email; name=@FILE takes what stands in a file. May be given several times
        #[arg(long = "setting", value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// A header, for example 'Authorization: Bearer …', where the service takes some. May be given several times
        #[arg(long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
        /// Only this project
        #[arg(long)]
        project: Option<String>,
        /// Only these events, for example pass.installed. May be given several times
        #[arg(long = "event")]
        events: Vec<String>,
    },
    /// List them
    List,
    /// Show one
    Show {
        /// Its id
        destination: String,
    },
    /// Tell one of the newest event that it is meant for once more
    Test {
        /// Its id
        destination: String,
    },
    /// Delete one
    Delete {
        /// Its id
        destination: String,
    },
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    let one = |id: &str| format!("{LIST}/{id}");
    match command {
        Command::Add { kind, name, url, settings, headers, project, events } => {
            let settings = settings.iter().map(|given| from_file(setting(given)?)).collect::<anyhow::Result<Map<_, _>>>()?;
            let headers = headers.iter().map(|given| header(given)).collect::<anyhow::Result<Map<_, _>>>()?;
            let mut body =
                json!({"name": name.unwrap_or_else(|| kind.clone()), "kind": kind, "settings": settings, "headers": headers});
            body["url"] = json!(url);
            body["project"] = json!(project);
            body["events"] = if events.is_empty() { Value::Null } else { json!(events) };
            server.show(Method::POST, LIST, Some(&body)).await
        }
        Command::List => list(server).await,
        Command::Show { destination } => server.show(Method::GET, &one(&destination), None).await,
        Command::Test { destination } => server.show(Method::POST, &format!("{}/test", one(&destination)), None).await,
        Command::Delete { destination } => server.show(Method::DELETE, &one(&destination), None).await,
    }
}

/// What stands in a file, where the value names one.
fn from_file((name, value): (String, Value)) -> anyhow::Result<(String, Value)> {
    let Some(file) = value.as_str().and_then(|value| value.strip_prefix('@')) else { return Ok((name, value)) };
    let content = text(file.as_ref())?;
    Ok((name, content.trim_end_matches(['\r', '\n']).into()))
}

fn header(given: &str) -> anyhow::Result<(String, Value)> {
    let (name, value) = given.split_once(':').with_context(|| format!("{given}: expected NAME: VALUE"))?;
    Ok((name.trim().to_owned(), value.trim().into()))
}

async fn list(server: &Server) -> anyhow::Result<ExitCode> {
    let path = format!("{LIST}?limit=100");
    if server.json {
        return server.show(Method::GET, &path, None).await;
    }
    let answer = server.api()?.call(Method::GET, &path, None).await?;
    for destination in answer["data"].as_array().into_iter().flatten() {
        let text = |name: &str| destination[name].as_str().unwrap_or_default().to_owned();
        let state = match (destination["enabled"].as_bool(), destination["disabled_reason"].as_str()) {
            (Some(true), _) => "on".to_owned(),
            (_, Some(reason)) => format!("off: {reason}"),
            _ => "off".to_owned(),
        };
        say(&format!("{}  {:<14}  {:<24}  {state}", text("id"), text("kind"), text("name")));
    }
    Ok(ExitCode::SUCCESS)
}
