//! `passbridge demo`: the main job, played against itself over real HTTP and narrated.

mod narrator;
mod setting;
mod story;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;

use crate::{config::Config, serve, system::say};
use narrator::Narrator;

/// Ports that are tried, from the first on.
const PORTS: std::ops::Range<u16> = 8080..8180;

/// What the demo is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Exit after the story; with an error when a step of it failed
    #[arg(long)]
    once: bool,
    /// Folder for the demo's database; it leaves `demo.pkpass` and `development-root.pem` there
    #[arg(long, value_name = "DIR", default_value = "passbridge-demo")]
    data: PathBuf,
    /// Port to listen on; the next free one is taken when it is busy [default: 8080]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// What to log beside the story
    #[arg(long, value_name = "LEVELS", default_value = "error")]
    log: String,
    /// Print the story as JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Plays the demo.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&args.data).with_context(|| format!("cannot make {}", args.data.display()))?;
    let narrator = Narrator::new(args.json);
    let (listener, port) = listen(args, &narrator).await?;
    let stage = setting::Stage::build(&args.data).await?;
    let base = format!("http://localhost:{port}");
    let config = Config {
        data: args.data.clone(),
        listen: format!("127.0.0.1:{port}"),
        public_url: Some(base.clone()),
        allow_loopback: true,
        apns_url: stage.apns.url(),
        apns_roots: Some(stage.root_file.clone()),
        google_url: stage.google.api_url(),
        google_token_url: Some(stage.google.token_url()),
        google_root_keys_url: stage.google.root_keys_url(),
        log: args.log.clone(),
        ..Config::default()
    };
    serve::log(&config)?;
    let (running, admin_key) = serve::start(&config, listener, "Juniper Coffee").await?;
    narrator.title(&format!("Passbridge runs at {base}, its data in {}", args.data.display()));
    let played = play(args, &narrator, stage, &running, admin_key).await;
    if let Err(error) = &played {
        narrator.failed(error);
    }
    if args.once {
        running.drain().await;
        return Ok(if played.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Ok(links) = &played {
        narrator.links(links);
    }
    if !args.json {
        let keys = args.data.join(setting::KEYS);
        say(&format!("\nThe console asks for an API key: the admin_key in {}.\nServing until Ctrl-C.", keys.display()));
    }
    serve::signal().await?;
    running.drain().await;
    Ok(ExitCode::SUCCESS)
}

async fn play(
    args: &Args,
    narrator: &Narrator,
    stage: setting::Stage,
    running: &serve::Running,
    admin_key: Option<String>,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let scene = narrator
        .step("Set up: organization, loyalty project, template, signing identity, flows, source, webhook", async {
            setting::set_up(&stage, running, &args.data, admin_key).await
        })
        .await?;
    story::tell(narrator, stage, scene, &args.data).await
}

async fn listen(args: &Args, narrator: &Narrator) -> anyhow::Result<(TcpListener, u16)> {
    let first = args.port.unwrap_or(PORTS.start);
    for port in first..first.saturating_add(PORTS.len() as u16) {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => {
                if port != first {
                    narrator.note(&format!("port {first} is busy, taking {port}"));
                }
                return Ok((listener, port));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(|| format!("cannot listen on port {port}")),
        }
    }
    bail!("ports {first} and the next {} are all busy: name a free one with --port", PORTS.len());
}
