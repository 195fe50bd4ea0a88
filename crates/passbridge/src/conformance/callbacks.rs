//! `passbridge conformance google`: a Google that calls back, and lies in one way after another.

use std::{
    path::PathBuf,
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args as Arguments;
use domain::{Clock as _, LinkCode};
use simulators::{
    conformance::{Depth, Endpoint, Holds, play_callbacks},
    google::{GoogleServer, Options},
};

use super::{network, sum_up, tell};
use crate::system::{SystemClock, SystemEntropy, say};

/// How often it is looked whether the endpoint has fetched the root keys.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, Arguments)]
pub(crate) struct Args {
    /// The call-back address
    url: String,
    /// The class of the pass: issuer, point, suffix
    #[arg(long, value_name = "ID")]
    class: String,
    /// A pass of the class that nobody has saved: issuer, point, suffix
    #[arg(long, value_name = "ID")]
    object: String,
    /// The port of 127.0.0.1 where the kit's root keys are, for an endpoint that is set to fetch them there
    #[arg(long, value_name = "PORT")]
    keys_port: u16,
    /// A shell command that ends with 0 when the pass counts as saved and with 1 when not; OBJECT is in its environment
    #[arg(long, value_name = "COMMAND")]
    held_command: Option<String>,
    /// Seconds that a call-back may take until it counts, and that the endpoint has to fetch the root keys
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    patience: u64,
    /// Call-backs at once in the crowded case
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(2..=1000))]
    callers: u16,
    /// A further root certificate (PEM or DER) that the endpoint is trusted by
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// Print one line of JSON a case, and one with the sums
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.url.starts_with("https://") && !args.url.starts_with("http://") {
        bail!("{} is no address: one starts with https://", args.url);
    }
    let issuers = [&args.class, &args.object].map(|id| id.split_once('.').map(|(issuer, _)| issuer));
    if issuers[0].is_none() || issuers[0] != issuers[1] {
        bail!("--class and --object are ids of one issuer, such as 3388000000022222222.club");
    }
    let options = Options::new(|| SystemClock.now().as_millis());
    let google = GoogleServer::start_at(args.keys_port, options).await;
    let google = Arc::new(google.with_context(|| format!("the port {} cannot be opened", args.keys_port))?);
    let endpoint = Endpoint {
        url: args.url.clone(),
        class: args.class.clone(),
        object: args.object.clone(),
        google: Arc::clone(&google),
        holds: args.held_command.clone().map(|command| holds(command, args.object.clone())),
        callers: usize::from(args.callers),
        patience: Duration::from_secs(args.patience),
        run: LinkCode::mint(&SystemEntropy).to_string(),
    };
    if !args.json {
        say(&format!("{} as Google calls it; its root keys are at {}", args.url, google.root_keys_url()));
    }
    let deadline = tokio::time::Instant::now() + endpoint.patience;
    while google.key_fetches() == 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let all = play_callbacks(&endpoint, &network(&args.root)?, Depth::Whole, |played| tell(played, args.json)).await;
    Ok(sum_up(&all, args.json))
}

fn holds(command: String, object: String) -> Holds {
    Arc::new(move || {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &command]).env("OBJECT", &object).stdin(Stdio::null()).kill_on_drop(true);
        Box::pin(async move {
            let output = shell.output().await.map_err(|error| format!("the command cannot be run: {error}"))?;
            match output.status.code() {
                Some(0) => Ok(true),
                Some(1) => Ok(false),
                _ => Err(format!("the command ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())),
            }
        })
    })
}
