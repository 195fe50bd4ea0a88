//! `passbridge serve`: the rooms put together.

use std::{
    io::IsTerminal as _,
    path::Path,
    process::ExitCode,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use anyhow::{Context as _, bail};
use domain::{Clock, Entropy, Users};
use engine::Engine;
use metrics_exporter_prometheus::PrometheusBuilder;
use outbound::{
    egress::Egress,
    http::{Client, Roots},
    policy::AddressPolicy,
};
use store::{Backend, Store};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use workers::Workers;

use crate::{
    config::{self, Config},
    keys, listen, public_url,
    system::{SystemClock, SystemEntropy, complain, say},
};

/// How long a stop waits for what is running; SIGTERM to the end within 10 seconds.
const DRAIN: Duration = Duration::from_secs(8);

/// A server that runs in this process.
pub(crate) struct Running {
    /// The store, for what has no address: the demo's set-up.
    pub(crate) store: Arc<Store>,
    /// Where it is reached.
    pub(crate) public_url: String,
    backend: Arc<dyn Backend>,
    workers: Workers,
    stop: watch::Sender<bool>,
    streams: http_server::Streams,
    serving: JoinHandle<()>,
    engine: JoinHandle<()>,
}

/// Runs until told to stop.
pub(crate) async fn run(config: &Config, organization: &str, json: bool) -> anyhow::Result<ExitCode> {
    log(config)?;
    let listener = TcpListener::bind(&config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    let mut config = config.clone();
    if config.public_url.is_none() {
        config.public_url = Some(ask_public_url(&config, &listener)?);
    }
    let (running, admin_key) = start(&config, listener, organization).await?;
    if let Some(key) = admin_key {
        say(&if json {
            serde_json::json!({"admin_key": key}).to_string()
        } else {
            format!("admin key: {key}\n(shown this once; make others with it: POST {}/v1/keys)", running.public_url)
        });
    }
    say(&if json {
        serde_json::json!({"listening": running.public_url}).to_string()
    } else {
        format!("listening on {}, documentation at {}/docs", config.listen, running.public_url)
    });
    signal().await?;
    running.drain().await;
    Ok(ExitCode::SUCCESS)
}

/// Asks for the public URL when a person is there, else falls back on the listening address and warns.
fn ask_public_url(config: &Config, listener: &TcpListener) -> anyhow::Result<String> {
    use std::io::{BufRead as _, IsTerminal as _};
    let scheme = if config.tls_certificate.is_some() { "https" } else { "http" };
    let port = listener.local_addr()?.port();
    let fallback = format!("{scheme}://localhost:{port}");
    if std::io::stdin().is_terminal() {
        complain(&format!(
            "where will phones and mail readers reach this server? It is baked into every pass. [{fallback}] \
             (set public_url to be asked no more)"
        ));
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        let line = line.trim();
        if line.is_empty() {
            return Ok(fallback);
        }
        return Ok(line.to_owned());
    }
    complain(&format!("no public_url is set: passes will point at {fallback}, which only this machine reaches"));
    Ok(fallback)
}

/// Builds everything and starts it. The admin key is there only the first time.
pub(crate) async fn start(
    config: &Config,
    listener: TcpListener,
    organization: &str,
) -> anyhow::Result<(Running, Option<String>)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let public_url = config.public_url.clone().context("public_url is not set")?.trim_end_matches('/').to_owned();
    if let Err(why) = public_url::check(&public_url) {
        // Passes that are out there ask at it.
        if remembered_public_url(config) != public_url {
            return Err(why);
        }
        complain(&why.to_string());
    }
    if public_url.starts_with("http://") && !public_url::is_local(&public_url) {
        complain("public_url is plain http: Apple Wallet only speaks https to a pass's web service");
    }
    let tls = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(listen::tls(certificate, key)?),
        _ => None,
    };
    let backend = open(config).await?;
    backend.migrate(clock.now()).await?;
    let is_new = backend.org_keys().await?.is_empty();
    let master = keys::master(config, is_new)?;
    let store = Store::open(Arc::clone(&backend), &master, Arc::clone(&entropy)).await?;
    remember_public_url(config, &public_url)?;
    let admin_key = match is_new {
        true => Some(keys::first_organization(&store, organization).await?.1),
        false => None,
    };
    let (engine, runner) = Engine::new(Arc::clone(&store), Arc::clone(&clock));
    let engine_task = tokio::spawn(runner.run());
    let policy = policy(config);
    let roots = Arc::new(http_server::GoogleRoots::default());
    let webhooks = workers::WebhookSettings {
        public_url: public_url.clone(),
        files_folder: config.files_folder.clone(),
        egresses: egresses(config)?,
        ..workers::WebhookSettings::default()
    };
    let made: Arc<OnceLock<Weak<http_server::App>>> = Arc::default();
    let deps = workers::Deps {
        store: Arc::clone(&store),
        engine: engine.clone(),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        client: Client::new(outbound::http::Settings::new(policy.clone(), Roots::system_and(&[])?))?,
        packages: packages(&made),
        apns: workers::ApnsSettings { url: config.apns_url.clone(), roots: apns_roots(config)?, policy: policy.clone() },
        google: google(config, &public_url, &roots),
        node: config.node.clone(),
    };
    let working =
        workers::Settings { webhooks, pace: workers::Pace::taking_over_after(config.take_over_after()), ..Default::default() };
    let workers = workers::start_with(deps, working).await?;
    let mut settings = settings(config, &public_url, policy)?;
    let health = workers.health();
    settings.fitness = Some(http_server::Fitness::new(move || health.fault()));
    settings.google_roots = roots;
    let app = http_server::App::new(Arc::clone(&store), engine, clock, entropy, settings, metrics());
    // Nobody else sets it.
    let _ = made.set(Arc::downgrade(&app));
    let (stop, stopped) = watch::channel(false);
    let streams = app.streams();
    let serving = tokio::spawn(listen::serve(listener, tls, http_server::router(app), stopped, DRAIN));
    Ok((Running { store, public_url, backend, workers, stop, streams, serving, engine: engine_task }, admin_key))
}

impl Running {
    /// Stops accepting, lets what is running finish, writes down what is known, closes.
    pub(crate) async fn drain(self) {
        let _ = self.stop.send(true);
        self.streams.end();
        let _ = tokio::time::timeout(DRAIN, self.serving).await;
        self.workers.drain(DRAIN / 2).await;
        let backend = Arc::clone(&self.backend);
        drop(self.store);
        let _ = tokio::time::timeout(Duration::from_secs(1), self.engine).await;
        backend.close().await;
        tracing::info!("stopped");
    }
}

pub(crate) async fn open(config: &Config) -> anyhow::Result<Arc<dyn Backend>> {
    std::fs::create_dir_all(&config.data).with_context(|| format!("cannot make the data folder {}", config.data.display()))?;
    match &config.database {
        None => Ok(store_sqlite::Sqlite::open(&config.data, &store_sqlite::Options::default())?),
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            let opened = store_postgres::Postgres::open(url, &store_postgres::Options::default()).await;
            Ok(opened.with_context(|| format!("cannot open {}", config::hide_password(url)))?)
        }
        Some(url) => bail!("database must start with postgres://: {}", config::hide_password(url)),
    }
}

/// Which addresses webhooks may be sent to.
fn policy(config: &Config) -> AddressPolicy {
    AddressPolicy {
        allow_loopback: config.allow_loopback,
        allow_networks: config.allow_networks.clone(),
        allow_ports: config.allow_ports.clone(),
        ..AddressPolicy::default()
    }
}

/// The ways out that may be named; says which of them nobody may use, or this machine cannot send by at present.
fn egresses(config: &Config) -> anyhow::Result<Vec<(Egress, Users)>> {
    let egresses = config.egresses()?;
    for (egress, users) in &egresses {
        if *users == Users::default() {
            let why = "no organization may send by it: give organizations = [\"ID\"], or [\"*\"] for all";
            complain(&format!("egress.{}: {why}", egress.name()));
        }
        if let Err(error) = egress.check() {
            complain(&format!("egress.{}: nothing can be sent from its source_address at present: {error}", egress.name()));
        }
    }
    Ok(egresses)
}

fn settings(config: &Config, public_url: &str, policy: AddressPolicy) -> anyhow::Result<http_server::Settings> {
    let mut settings = http_server::Settings::new(public_url);
    settings.trusted_proxies.clone_from(&config.trusted_proxies);
    settings.rate_per_second = config.rate_per_second;
    settings.address_limits = http_server::AddressLimits {
        pages_per_minute: config.pages_per_minute,
        enrolments_per_minute: config.enrolments_per_minute,
        inspected_per_minute: config.inspected_per_minute,
        registrations_per_minute: config.registrations_per_minute,
        phone_logs_per_minute: config.phone_logs_per_minute,
        callbacks_per_minute: config.callbacks_per_minute,
        sign_ins_per_minute: config.sign_ins_per_minute,
    };
    settings.address_policy = policy;
    settings.egresses = config.egresses()?.into_iter().map(|(egress, users)| (egress.name().to_owned(), users)).collect();
    settings.takes_files = config.files_folder.is_some();
    if config.forwarded_by == "forwarded" {
        settings.forwarded_by = http_server::ForwardedBy::Forwarded;
    }
    if let Some(file) = &config.places {
        settings.places =
            Some(http_server::Places::open(file).with_context(|| format!("places: cannot read {}", file.display()))?);
    }
    Ok(settings)
}

/// What attaches packages to mails, once there is an application that makes them.
fn packages(made: &Arc<OnceLock<Weak<http_server::App>>>) -> workers::Packages {
    let made = Arc::clone(made);
    Arc::new(move |org, pass| {
        let app = made.get().and_then(Weak::upgrade);
        Box::pin(async move { app.ok_or("the server is starting")?.package(org, pass).await })
    })
}

fn apns_roots(config: &Config) -> anyhow::Result<Roots> {
    let Some(file) = &config.apns_roots else { return Ok(Roots::system_and(&[])?) };
    config::roots(file).context("apns_roots")
}

/// How to reach Google; what its call-backs are proven by goes to whoever listens for them.
fn google(config: &Config, public_url: &str, roots: &Arc<http_server::GoogleRoots>) -> workers::GoogleSettings {
    let roots = Arc::clone(roots);
    let mut settings = workers::GoogleSettings::new(public_url, move |keys| roots.set(keys));
    settings.root_keys_url.clone_from(&config.google_root_keys_url);
    settings.api_url.clone_from(&config.google_url);
    settings.token_url.clone_from(&config.google_token_url);
    if config.google_url != google_wallet::rest::BASE {
        // Whoever plays Google on this machine can call back without TLS.
        settings.callback_url = Some(format!("{public_url}/google/callback"));
    }
    settings
}

fn metrics() -> Option<metrics_exporter_prometheus::PrometheusHandle> {
    // A second server in the same process has the first one's recorder.
    PrometheusBuilder::new().install_recorder().ok()
}

/// Where the public URL of the last start is kept, in the data folder.
const PUBLIC_URL_FILE: &str = "public-url";

/// Warns when the public URL is another than before: passes that are out there keep asking at the old one.
fn remember_public_url(config: &Config, public_url: &str) -> anyhow::Result<()> {
    let before = remembered_public_url(config);
    if !before.is_empty() && before != public_url {
        complain(&format!(
            "public_url was {before} before: passes issued under it keep asking there, so keep that address leading here"
        ));
    }
    write_if_changed(&config.data.join(PUBLIC_URL_FILE), &before, public_url)
}

/// The public URL of the last start; nothing before the first.
fn remembered_public_url(config: &Config) -> String {
    std::fs::read_to_string(config.data.join(PUBLIC_URL_FILE)).unwrap_or_default().trim().to_owned()
}

fn write_if_changed(file: &Path, before: &str, text: &str) -> anyhow::Result<()> {
    if before.trim() != text {
        std::fs::write(file, format!("{text}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Starts logging to standard error.
pub(crate) fn log(config: &Config) -> anyhow::Result<()> {
    let filter =
        tracing_subscriber::EnvFilter::try_new(&config.log).with_context(|| format!("log: {:?} is no filter", config.log))?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let started = if config.log_format == "json" { builder.json().try_init() } else { builder.try_init() };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}

/// Waits for SIGTERM or Ctrl-C.
pub(crate) async fn signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
