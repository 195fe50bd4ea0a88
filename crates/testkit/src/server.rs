//! The real program on a free port, over a data folder or a database of its own.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use crate::http::{CallError, Client};

/// How long a start may take.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How often it is asked whether it is ready.
const START_POLL: Duration = Duration::from_millis(5);
/// How long it may take to stop when told to.
const STOP_DEADLINE: Duration = Duration::from_secs(15);
/// Ports that the system gives to nobody's outgoing connections, so that one can be taken again after a kill.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Requests per second of one key, so that tests are not held up.
const RATE_PER_SECOND: &str = "1000000";
/// A master key for PostgreSQL, where the program makes none itself.
pub const MASTER_KEY: &str = "6d61737465722d6b65792d666f722d746573747320206f6e6c79202020202020";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A folder, file or process could not be made.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It ended, or said nothing in time.
    #[error("the server {what}; it said:\n{said}")]
    NotReady {
        /// What it did.
        what: String,
        /// Its output.
        said: String,
    },
    /// No port is free.
    #[error("no port is free")]
    NoPort,
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> ServerError {
    move |source| ServerError::Io { what, source }
}

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The PostgreSQL database to run on; an embedded SQLite without it.
    pub database: Option<String>,
    /// The node's name; `test` without it.
    pub node: Option<String>,
    /// Further settings by their names in the configuration.
    pub settings: Vec<(&'static str, String)>,
    /// The admin key, where the database was set up by another server already.
    pub admin_key: Option<String>,
    /// The data folder; one of its own without it.
    pub data: Option<PathBuf>,
    /// The port; a free one without it.
    pub port: Option<u16>,
}

/// A running `passbridge serve`. Killed and its files removed when dropped.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    folder: TempDir,
    setup: Setup,
    port: u16,
    child: Option<Child>,
    admin_key: String,
    client: Client,
}

impl Server {
    /// Starts the program on an embedded SQLite, or on the PostgreSQL database of the URL, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready within a minute.
    pub async fn start(binary: impl AsRef<Path>, database: Option<String>) -> Result<Self, ServerError> {
        Self::start_with(binary, Setup { database, ..Setup::default() }).await
    }

    /// Starts the program as it is wanted, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready within a minute.
    pub async fn start_with(binary: impl AsRef<Path>, setup: Setup) -> Result<Self, ServerError> {
        let folder = tempfile::Builder::new().prefix("passbridge-test-").tempdir().map_err(io_error("make a folder"))?;
        let port = setup.port.or_else(free_port);
        let mut server = Self {
            binary: binary.as_ref().to_owned(),
            folder,
            admin_key: setup.admin_key.clone().unwrap_or_default(),
            setup,
            port: port.ok_or(ServerError::NoPort)?,
            child: None,
            client: Client::default(),
        };
        server.spawn().await?;
        if server.admin_key.is_empty() {
            server.admin_key = server.wait_for_key().await?;
        }
        Ok(server)
    }

    /// The key is told once the server listens, perhaps after it was asked whether it is ready.
    async fn wait_for_key(&self) -> Result<String, ServerError> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(key) = self.printed_key() {
                return Ok(key);
            }
            if Instant::now() > deadline {
                return Err(self.not_ready("printed no admin key".to_owned()));
            }
            tokio::time::sleep(START_POLL).await;
        }
    }

    async fn spawn(&mut self) -> Result<(), ServerError> {
        let file = |name: &str| File::options().append(true).create(true).open(self.folder.path().join(name));
        let mut command = program(&self.binary);
        command
            .args(["serve", "--json", "--allow-loopback", "--log", "info"])
            .args(["--node", self.setup.node.as_deref().unwrap_or("test"), "--data"])
            .arg(self.data())
            .args(["--listen", &format!("127.0.0.1:{}", self.port), "--public-url", &self.url("")])
            .env("PASSBRIDGE_RATE_PER_SECOND", RATE_PER_SECOND)
            .stdin(Stdio::null())
            .stdout(file("stdout").map_err(io_error("open its output"))?)
            .stderr(file("stderr").map_err(io_error("open its output"))?)
            .current_dir(self.folder.path())
            .kill_on_drop(true);
        if let Some(database) = &self.setup.database {
            command.env("PASSBRIDGE_DATABASE", database).env("PASSBRIDGE_MASTER_KEY", MASTER_KEY);
        }
        for (name, value) in &self.setup.settings {
            command.env(format!("PASSBRIDGE_{}", name.to_uppercase()), value);
        }
        self.child = Some(command.spawn().map_err(io_error("start the program"))?);
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> Result<(), ServerError> {
        let deadline = Instant::now() + START_DEADLINE;
        let url = self.url("/readyz");
        loop {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(self.not_ready(format!("ended with {status}")));
            }
            let asked = self.client.send(Method::GET, &url, &[], bytes::Bytes::new()).await;
            if asked.is_ok_and(|reply| reply.status.is_success()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("was not ready in {START_DEADLINE:?}")));
            }
            tokio::time::sleep(START_POLL).await;
        }
    }

    fn not_ready(&self, what: String) -> ServerError {
        ServerError::NotReady { what, said: self.said() }
    }

    /// What it wrote so far, for a failing test to show.
    pub fn said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("{}{}", read("stdout"), read("stderr"))
    }

    fn printed_key(&self) -> Option<String> {
        let text = fs::read_to_string(self.folder.path().join("stdout")).ok()?;
        let said = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        said.filter_map(|line| line["admin_key"].as_str().map(str::to_owned)).next()
    }

    /// Ends it at once, with signal 9, as a power cut would.
    ///
    /// # Errors
    /// When it ended already.
    pub async fn kill9(&mut self) -> Result<(), ServerError> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if let Ok(Some(status)) = child.try_wait() {
            return Err(self.not_ready(format!("ended by itself with {status}")));
        }
        child.kill().await.map_err(io_error("kill the program"))
    }

    /// Starts it again on the same data and port, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.kill9().await?;
        self.spawn().await
    }

    /// Whether it still runs: a server that gave up in the face of a fault does not.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Tells it to stop, and waits until it did.
    ///
    /// # Errors
    /// When it does not stop within 15 seconds.
    pub async fn terminate(&mut self) -> Result<ExitStatus, ServerError> {
        let Some(mut child) = self.child.take() else { return Err(self.not_ready("does not run".to_owned())) };
        let id = child.id().map(|id| id.to_string()).unwrap_or_default();
        let told = Command::new("kill").args(["-TERM", &id]).status().await.map_err(io_error("run kill"))?;
        if !told.success() {
            return Err(self.not_ready("cannot be told to stop".to_owned()));
        }
        match tokio::time::timeout(STOP_DEADLINE, child.wait()).await {
            Ok(status) => status.map_err(io_error("wait for the program")),
            Err(_) => Err(self.not_ready(format!("did not stop in {STOP_DEADLINE:?}"))),
        }
    }

    /// The address of a path of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.setup.data.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// The admin key that it printed at its first start.
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// Calls its API with the admin key.
    ///
    /// # Errors
    /// When no answer comes, or one that is not a success.
    pub async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        self.client.json(&self.admin_key, method, &self.url(path), body).await
    }

    /// A client whose connections are its own.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// The program without the settings of whoever runs the tests: it refuses `PASSBRIDGE_` variables that it does not know.
pub fn program(binary: impl AsRef<Path>) -> Command {
    let mut command = Command::new(binary.as_ref());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PASSBRIDGE_") {
            command.env_remove(name);
        }
    }
    command
}

/// A port that nobody listens on, chosen differently by every caller and process.
pub fn free_port() -> Option<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    let first = std::process::id().wrapping_mul(97) % u32::from(span);
    (0..span)
        .map(|_| {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            PORTS.start + u16::try_from((first + step) % u32::from(span)).unwrap_or_default()
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}
