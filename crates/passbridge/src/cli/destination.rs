//! `passbridge destination`: services that are told of events.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Subcommand;
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::{Server, setting, text};
use crate::system::say;

const LIST: &str = "/v1/destinations";
const BACKFILLS: &str = "/v1/backfills";
/// How often a backfill that is watched is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a destination; `passbridge connector list` shows what there is, `passbridge connector show hubspot` what it takes
    #[command(after_help = "\
Examples:
  passbridge destination add hubspot --setting access_token=@token.txt --setting key=email
  passbridge destination add postgresql --url postgresql://warehouse.example.com/analytics --setting user=passbridge --setting password=@password.txt
  passbridge destination add nats --url nats://nats.example.com --setting credentials=@passbridge.creds
  passbridge destination add http-call --url https://crm.example.com/hook --payload body.yaml
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
        /// Only events for which this condition holds, for example 'properties.pass.variant = "gold"'
        #[arg(long)]
        filter: Option<String>,
        /// What makes the body, of http-call: a file, YAML or JSON, with a `template`, a `mapping` or the slug of a `transformation`
        #[arg(long, value_name = "FILE")]
        payload: Option<PathBuf>,
        /// Send by this way out, which the server's operator configured (`[egress.NAME]`)
        #[arg(long, value_name = "NAME")]
        egress: Option<String>,
        /// Compare all contacts with what it holds, where that can be read, else with what it was told, every so many hours
        #[arg(long, value_name = "HOURS")]
        backfill_every: Option<u32>,
        /// Tell it of everybody anew then
        #[arg(long, requires = "backfill_every")]
        backfill_everything: bool,
    },
    /// List them
    List,
    /// Show one
    Show {
        /// Its id
        destination: String,
    },
    /// Tell one of the newest event that it is meant for once more; let a sender of messages send one to you
    Test {
        /// Its id
        destination: String,
        /// Of a sender of messages: the e-mail address or phone number that it goes to
        #[arg(long)]
        to: Option<String>,
        /// Of a sender of messages: the pass that it is about; the newest unless told
        #[arg(long, requires = "to")]
        pass: Option<String>,
    },
    /// Compare what one holds of every contact, or was told of it, with the truth, and repair what differs
    ///
    /// What some hold is read (`state_is_read` of `passbridge connector show`); of the others it is known what they were told last,
    /// and --everything repairs what somebody changed there.
    ///
    /// That goes on in the background whether or not anybody watches; `passbridge backfill` shows, pauses and cancels it.
    Backfill {
        /// Its id
        destination: String,
        /// Tell it of everybody anew, as if nothing were known of what it holds
        #[arg(long)]
        everything: bool,
        /// Wait until all contacts were compared, showing how far it is
        #[arg(long)]
        wait: bool,
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
        Command::Add {
            kind,
            name,
            url,
            settings,
            headers,
            project,
            events,
            filter,
            payload,
            egress,
            backfill_every,
            backfill_everything,
        } => {
            let settings = settings.iter().map(|given| from_file(setting(given)?)).collect::<anyhow::Result<Map<_, _>>>()?;
            let headers = headers.iter().map(|given| header(given)).collect::<anyhow::Result<Map<_, _>>>()?;
            let mut body =
                json!({"name": name.unwrap_or_else(|| kind.clone()), "kind": kind, "settings": settings, "headers": headers});
            body["url"] = json!(url);
            body["project"] = json!(project);
            body["filter"] = json!(filter);
            body["payload"] = json!(payload.map(|file| in_file(&file)).transpose()?);
            body["egress"] = json!(egress);
            body["backfill_every_hours"] = json!(backfill_every);
            body["backfill_everything"] = json!(backfill_everything);
            body["events"] = if events.is_empty() { Value::Null } else { json!(events) };
            server.show(Method::POST, LIST, Some(&body)).await
        }
        Command::List => list(server).await,
        Command::Show { destination } => server.show(Method::GET, &one(&destination), None).await,
        Command::Test { destination, to, pass } => {
            let body = to.map(|to| json!({"to": to, "pass": pass}));
            server.show(Method::POST, &format!("{}/test", one(&destination)), body.as_ref()).await
        }
        Command::Backfill { destination, everything, wait } => {
            let path = format!("{}/backfill", one(&destination));
            let begun = server.api()?.call(Method::POST, &path, Some(&json!({"everything": everything}))).await?;
            match begun["id"].as_str() {
                Some(id) if wait => watch(server, id).await,
                _ => {
                    server.print(&begun)?;
                    Ok(ExitCode::SUCCESS)
                }
            }
        }
        Command::Delete { destination } => server.show(Method::DELETE, &one(&destination), None).await,
    }
}

/// What stands in a file of YAML or JSON.
fn in_file(file: &std::path::Path) -> anyhow::Result<Map<String, Value>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    flows::batch::Batch::map_of_yaml(&text).map_err(|problem| anyhow::anyhow!("{}: {problem}", file.display()))
}

#[derive(Debug, Subcommand)]
pub(super) enum BackfillCommand {
    /// List backfills, newest first
    List,
    /// Show how far a backfill is, and what it changed
    Show {
        /// Its id
        backfill: String,
    },
    /// Watch a backfill until it comes to its end
    Watch {
        /// Its id
        backfill: String,
    },
    /// Halt a backfill; the batch that is under way is finished
    Pause {
        /// Its id
        backfill: String,
    },
    /// Let a backfill that was paused go on where it was
    Resume {
        /// Its id
        backfill: String,
    },
    /// End a backfill; whom it told of stays told of
    Cancel {
        /// Its id
        backfill: String,
    },
}

pub(super) async fn backfill(server: &Server, command: BackfillCommand) -> anyhow::Result<ExitCode> {
    let turn = async |id: &str, to: &str| server.show(Method::POST, &format!("{BACKFILLS}/{id}/{to}"), None).await;
    match command {
        BackfillCommand::List => server.show(Method::GET, &format!("{BACKFILLS}?limit=100"), None).await,
        BackfillCommand::Show { backfill } => server.show(Method::GET, &format!("{BACKFILLS}/{backfill}"), None).await,
        BackfillCommand::Watch { backfill } => watch(server, &backfill).await,
        BackfillCommand::Pause { backfill } => turn(&backfill, "pause").await,
        BackfillCommand::Resume { backfill } => turn(&backfill, "resume").await,
        BackfillCommand::Cancel { backfill } => turn(&backfill, "cancel").await,
    }
}

/// Shows how far a backfill is until it comes to its end, or is halted.
async fn watch(server: &Server, backfill: &str) -> anyhow::Result<ExitCode> {
    let api = server.api()?;
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} contacts compared, {msg}, {per_sec}")?);
    loop {
        let now = api.call(Method::GET, &format!("{BACKFILLS}/{backfill}"), None).await?;
        let number = |name: &str| now[name].as_u64().unwrap_or_default();
        bar.set_position(number("looked_at"));
        let trouble = now["trouble"].as_str().map(|why| format!("; waits: {why}")).unwrap_or_default();
        bar.set_message(format!(
            "{} repaired ({} changed there), {} refused{trouble}",
            number("repaired"),
            number("drifted"),
            number("refused")
        ));
        match now["state"].as_str() {
            Some("running") => tokio::time::sleep(LOOK_EVERY).await,
            state => {
                bar.finish();
                server.print(&now)?;
                return Ok(if state == Some("done") { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        }
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
