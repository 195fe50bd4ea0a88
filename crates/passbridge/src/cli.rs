//! The command line.

mod contact;
mod destination;
mod event;
mod flow;
pub(crate) mod image;
mod map;
mod message;
mod pass;
mod signer;
mod sync;
mod transformation;
mod webhook;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::{
    api::Api,
    batches::{self, BatchCommand},
    config::{self, Flags},
    conformance, demo, doctor, follow, moving,
    publications::{self, PublicationCommand, TemplateCommand},
    serve,
    system::{pour, say},
};

/// Business events in, Apple and Google Wallet passes out, and every sign of a pass's life back.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "\
First steps:
  passbridge demo                 the main job, played and narrated on this machine, no account needed
  passbridge serve                for real; prints an admin key at its first start
  passbridge config               every setting, its value and where that comes from

Commands that talk to a running server take its address and key from --server and --key, or from PASSBRIDGE_URL
and PASSBRIDGE_KEY."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    ///
    /// Settings come from passbridge.toml (or --config), then PASSBRIDGE_… variables, then flags. The first start sets up
    /// an organization and prints an admin key once. SIGTERM or Ctrl-C finishes what is running within 10 seconds.
    Serve(ServeArgs),
    /// Take organizations out of this installation, as a file
    ///
    /// The server must not run. The file holds everything but source events, attempts, batches and the audit log; it is sealed under a
    /// transfer key, which stands in a file of its own and is made where there is none. What is still owed to webhooks and
    /// destinations is refused: let the server finish first, or give --leave-behind.
    Export(moving::ExportArgs),
    /// Take in what `passbridge export` wrote, on SQLite or PostgreSQL
    ///
    /// The server must not run. The file is checked wholly before anything is written. An import that broke off goes on when it is
    /// started again. Serve it under the address that it had before: phones go on as they are.
    Import(moving::ImportArgs),
    /// Play the main job against itself and narrate it
    ///
    /// Starts a server on an embedded SQLite with a development signing identity of its own, sends it RudderStack events,
    /// installs the pass on a simulated iPhone, and shows each step with its result and its time. Then it keeps serving.
    Demo(demo::Args),
    /// Show every setting, its value and where that comes from
    ///
    /// Every setting can stand in passbridge.toml under its name, and in the environment as PASSBRIDGE_NAME; most are flags of
    /// `passbridge serve` too. Secrets are not shown.
    Config {
        #[command(flatten)]
        flags: Flags,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check, try and save flows
    Flow {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: flow::Command,
    },
    /// Show what became of a source event, step by step, and have it handled again
    Event {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: event::Command,
    },
    /// Show what events can come from and go to
    Connector {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: ConnectorCommand,
    },
    /// Make sources of events
    Source {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: SourceCommand,
    },
    /// Tell services of events: HubSpot, Salesforce, Segment, Slack, any HTTP API, code of yours
    Destination {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: destination::Command,
    },
    /// Find passes by where they are installed, their state and their last change; tell a pass's holder something
    Pass {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: pass::Command,
    },
    /// Find contacts by the wallets that their passes are in
    Contact {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: contact::Command,
    },
    /// Send holders the address of their pass by e-mail or SMS
    Message {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: message::Command,
    },
    /// Follow comparisons of destinations with the truth
    Backfill {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: destination::BackfillCommand,
    },
    /// Try, save and publish transformations: JavaScript that flows run events through, as RudderStack's
    Transformation {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: transformation::Command,
    },
    /// Get, add and renew the certificates that sign Apple passes
    Signer {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: signer::Command,
    },
    /// Add service accounts that speak to Google Wallet
    GoogleAccount {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: GoogleCommand,
    },
    /// Publish designs, take them in from passes and hand them out
    Template {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: TemplateCommand,
    },
    /// Upload pictures for designs
    Image {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: image::Command,
    },
    /// Follow published designs on their way to the phones
    Publication {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: PublicationCommand,
    },
    /// Try webhooks, and send again what they missed
    Webhook {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: webhook::Command,
    },
    /// Follow events live, and send them on to a program on this machine
    ///
    /// Each event is shown as it happens. With --forward it is sent on as the webhook that it would get, signed with a secret that
    /// is shown first. A stream that breaks is opened again where it was; nothing is skipped.
    #[command(after_help = "\
Examples:
  passbridge listen
  passbridge listen --forward http://localhost:3000/hook --events pass.created,pass.installed")]
    Listen {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        args: follow::Args,
    },
    /// Look at requests that an inspector took, and send them again
    Inspector {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: follow::InspectorCommand,
    },
    /// Say why a phone would refuse a pass, a certificate, a design, a web service or the whole server, and what to do about it
    ///
    /// Each finding names the rule and the place, what a holder meets, what to change, and the page that the rule stands on.
    Doctor(Box<doctor::Args>),
    /// Play Apple's whole pass web service against any server, as phones do, and say what is broken
    ///
    /// Each case says what Apple demands, what came, and why it matters. Phones register under device ids of their own and
    /// unregister again.
    Conformance(Box<conformance::Args>),
    /// Issue, change, revoke, delete or notify passes for every row of a file
    Batch {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: BatchCommand,
    },
    /// Save batches whose rows a query finds in a database, try them, run them by hand or by a schedule
    Sync {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: sync::Command,
    },
    /// Call the API: `passbridge api GET /v1/passes`
    ///
    /// Prints the answer, and a stream of events (`/v1/events/stream`) as they come. A refusal is printed with the path of every
    /// value that does not fit, and ends with status 1. What can be called stands in the server's /docs.
    Api {
        #[command(flatten)]
        server: Server,
        /// GET, POST, PUT, PATCH or DELETE
        method: Method,
        /// The path, for example /v1/projects
        path: String,
        /// The JSON to send, or @FILE
        body: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct ServeArgs {
    #[command(flatten)]
    flags: Flags,
    /// Name of the organization that the first start sets up
    #[arg(long, value_name = "NAME", default_value = "My organization")]
    organization: String,
    /// Print what is said as JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Which server to talk to.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// The address of the server
    #[arg(long = "server", value_name = "URL", env = "PASSBRIDGE_URL", default_value = "http://localhost:8080", global = true)]
    address: String,
    /// An API key
    #[arg(long, env = "PASSBRIDGE_KEY", hide_env_values = true, global = true)]
    key: Option<String>,
    /// Print the answer as one line of JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum ConnectorCommand {
    /// List them
    List,
    /// Show one: its settings, its presets, how to set it up at the vendor
    Show {
        /// Its slug, for example stripe
        slug: String,
    },
}

#[derive(Debug, Subcommand)]
enum SourceCommand {
    /// Make a source; the answer alone shows its credentials
    Add {
        /// The connector's slug, for example stripe
        kind: String,
        /// Short name, unique in the organization; the connector's slug unless told
        #[arg(long)]
        slug: Option<String>,
        /// Name shown to people; the connector's unless told
        #[arg(long)]
        name: Option<String>,
        /// A setting, for example livemode=live; may be given several times
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// A file with the secret that the sender signs with
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Add the secret that the sender signs with; the one before stays in force beside it
    Secret {
        /// The source's id
        source: String,
        /// A file with the secret; one is made where it is left out and the connector allows that
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum GoogleCommand {
    /// Add the key file of a service account
    Add {
        /// The key file (JSON)
        key_file: PathBuf,
        /// The issuer id that the account acts for
        #[arg(long)]
        issuer: String,
    },
    /// Compare what Google says about holders with what is known, and repair what its call-backs missed
    Compare {
        /// The account's id
        account: String,
    },
}

/// Does what was asked.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(&config::read(&args.flags)?, &args.organization, args.json).await,
        Command::Export(args) => moving::export(&args).await,
        Command::Import(args) => moving::import(&args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Config { flags, json } => show_config(&flags, json),
        Command::Flow { server, command } => flow::run(&server, command).await,
        Command::Event { server, command } => event::run(&server, command).await,
        Command::Connector { server, command } => connector(&server, command).await,
        Command::Source { server, command } => source(&server, command).await,
        Command::Destination { server, command } => destination::run(&server, command).await,
        Command::Pass { server, command } => pass::run(&server, command).await,
        Command::Contact { server, command } => contact::run(&server, command).await,
        Command::Message { server, command } => message::run(&server, command).await,
        Command::Backfill { server, command } => destination::backfill(&server, command).await,
        Command::Transformation { server, command } => transformation::run(&server, command).await,
        Command::Signer { server, command } => signer::run(&server, command).await,
        Command::GoogleAccount { server, command: GoogleCommand::Add { key_file, issuer } } => {
            let body = json!({"issuer": issuer, "key_file": text(&key_file)?});
            server.show(Method::POST, "/v1/google-accounts", Some(&body)).await
        }
        Command::Template { server, command } => publications::template(&server, command).await,
        Command::Image { server, command } => image::run(&server, command).await,
        Command::Publication { server, command } => publications::publication(&server, command).await,
        Command::GoogleAccount { server, command: GoogleCommand::Compare { account } } => {
            server.show(Method::POST, &format!("/v1/google-accounts/{account}/comparison"), None).await
        }
        Command::Webhook { server, command } => webhook::run(&server, command).await,
        Command::Listen { server, args } => follow::run(&server, &args).await,
        Command::Inspector { server, command } => follow::inspector(&server, command).await,
        Command::Doctor(args) => doctor::run(&args).await,
        Command::Conformance(args) => conformance::run(&args).await,
        Command::Batch { server, command } => batches::run(&server, command).await,
        Command::Sync { server, command } => sync::run(&server, command).await,
        Command::Api { server, method, path, body } => {
            let body = body.map(|body| json_argument(&body)).transpose()?;
            if method != Method::GET || body.is_some() {
                return server.show(method, &path, body.as_ref()).await;
            }
            if let Some(answer) = server.api()?.follow(&path, pour).await? {
                server.print(&answer)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Server {
    /// Whether answers are wanted as lines of JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn api(&self) -> anyhow::Result<Api> {
        Api::new(&self.address, self.key.clone())
    }

    pub(crate) async fn show(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<ExitCode> {
        let answer = self.api()?.call(method, path, body).await?;
        self.print(&answer)?;
        Ok(ExitCode::SUCCESS)
    }

    pub(crate) fn print(&self, answer: &Value) -> anyhow::Result<()> {
        say(&if self.json { answer.to_string() } else { serde_json::to_string_pretty(answer)? });
        Ok(())
    }
}

fn show_config(flags: &Flags, json: bool) -> anyhow::Result<ExitCode> {
    let rows = config::explain(flags)?;
    if json {
        say(&serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    let shown = |value: &Value| match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let width = rows.iter().map(|row| shown(&row.value).chars().count()).max().unwrap_or_default();
    for row in &rows {
        say(&format!("{:<16}  {:<width$}  {}", row.name, shown(&row.value), row.source));
    }
    Ok(ExitCode::SUCCESS)
}

/// The id of the saved thing of that slug in a list of the API.
pub(crate) async fn saved(server: &Server, list: &str, slug: &str) -> anyhow::Result<Option<String>> {
    let api = server.api()?;
    let mut path = format!("{list}?limit=100");
    loop {
        let page = api.call(Method::GET, &path, None).await?;
        let flows = page["data"].as_array().cloned().unwrap_or_default();
        let same = |flow: &&Value| flow["slug"] == slug || flow["document"]["slug"] == slug;
        if let Some(flow) = flows.iter().find(same) {
            return Ok(flow["id"].as_str().map(str::to_owned));
        }
        let Some(cursor) = page["next_cursor"].as_str() else { return Ok(None) };
        path = format!("{list}?limit=100&cursor={cursor}");
    }
}

async fn connector(server: &Server, command: ConnectorCommand) -> anyhow::Result<ExitCode> {
    let (path, is_list) = match &command {
        ConnectorCommand::List => ("/v1/connectors".to_owned(), true),
        ConnectorCommand::Show { slug } => (format!("/v1/connectors/{slug}"), false),
    };
    if server.json {
        return server.show(Method::GET, &path, None).await;
    }
    let answer = server.api()?.call(Method::GET, &path, None).await?;
    if !is_list {
        say(answer["readme"].as_str().unwrap_or_default());
        for preset in answer["source"]["presets"].as_array().into_iter().flatten() {
            let text = |name: &str| preset[name].as_str().unwrap_or_default().to_owned();
            say(&format!("# {}\n{}", text("about"), text("flow")));
        }
        return Ok(ExitCode::SUCCESS);
    }
    for connector in answer["data"].as_array().into_iter().flatten() {
        let text = |name: &str| connector[name].as_str().unwrap_or_default().to_owned();
        let roles = ["source", "webhook", "destination"];
        let roles: Vec<_> = roles.into_iter().filter(|role| !connector[*role].is_null()).collect();
        say(&format!("{:<18}  {:<18}  {:<19}  {}", text("slug"), text("label"), roles.join(", "), text("maturity")));
    }
    Ok(ExitCode::SUCCESS)
}

async fn source(server: &Server, command: SourceCommand) -> anyhow::Result<ExitCode> {
    let secret = |file: Option<PathBuf>| file.map(|file| Ok::<_, anyhow::Error>(text(&file)?.trim().to_owned())).transpose();
    match command {
        SourceCommand::Add { kind, slug, name, settings, secret_file } => {
            let settings = settings.iter().map(|given| setting(given)).collect::<anyhow::Result<serde_json::Map<_, _>>>()?;
            let (slug, name) = (slug.unwrap_or_else(|| kind.clone()), name.unwrap_or_else(|| kind.clone()));
            let body = json!({"kind": kind, "slug": slug, "name": name, "settings": settings, "secret": secret(secret_file)?});
            server.show(Method::POST, "/v1/sources", Some(&body)).await
        }
        SourceCommand::Secret { source, secret_file } => {
            let body = json!({"secret": secret(secret_file)?});
            server.show(Method::POST, &format!("/v1/sources/{source}/secrets"), Some(&body)).await
        }
    }
}

/// `name=value`; what reads as a number or as true or false is one.
fn setting(given: &str) -> anyhow::Result<(String, Value)> {
    let (name, value) = given.split_once('=').with_context(|| format!("{given}: expected NAME=VALUE"))?;
    let read: Option<Value> = serde_json::from_str(value).ok().filter(|value: &Value| value.is_number() || value.is_boolean());
    Ok((name.to_owned(), read.unwrap_or_else(|| value.into())))
}

fn json_argument(argument: &str) -> anyhow::Result<Value> {
    let text = match argument.strip_prefix('@') {
        Some(file) => text(file.as_ref())?,
        None => argument.to_owned(),
    };
    serde_json::from_str(&text).context("the body is no JSON")
}

fn json_file(path: &std::path::Path) -> anyhow::Result<Value> {
    serde_json::from_str(&text(path)?).with_context(|| format!("{} is no JSON", path.display()))
}

fn text(path: &std::path::Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests;
