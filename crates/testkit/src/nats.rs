//! A real nats-server (among the clients) with JetStream, which syncs every message to disk before it says that it is kept, and
//! what its streams hold by the vendor's own client.

use std::{io, path::PathBuf, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::Instant,
};

use crate::clients::{self, ClientError};

/// How long it may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const PROGRAM: &str = "nats-server";

/// A server that can be ended and started again on the same port with the same files; it ends when this is dropped.
pub struct NatsServer {
    /// Where it listens, on this machine.
    pub port: u16,
    /// How the vendor's client signs in: `user` and `password`, or `token`.
    pub login: Value,
    program: PathBuf,
    files: TempDir,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts one. `more` is what else its configuration says, such as who may do what.
    ///
    /// # Errors
    /// When the clients are not installed, or it does not start.
    pub async fn start(more: &str) -> Result<Self, ClientError> {
        Self::with(more, true).await
    }

    /// Starts one that has JetStream switched off.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub async fn without_jetstream() -> Result<Self, ClientError> {
        Self::with("", false).await
    }

    async fn with(more: &str, jetstream: bool) -> Result<Self, ClientError> {
        let files = TempDir::new().map_err(failed)?;
        let free = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let port = free.local_addr().map_err(failed)?.port();
        drop(free);
        let store = files.path().join("store");
        let kept = format!("jetstream {{ store_dir: {:?}, sync_interval: always }}", store.display().to_string());
        let kept = if jetstream { kept.as_str() } else { "" };
        let configuration = format!("listen: \"127.0.0.1:{port}\"\nserver_name: test\n{kept}\n{more}\n");
        std::fs::write(files.path().join("nats.conf"), configuration).map_err(failed)?;
        let mut server = Self { port, login: json!({}), program: clients::python_program(PROGRAM)?, files, child: None };
        server.resume().await?;
        Ok(server)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends it without a word.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn kill(&mut self) -> Result<(), ClientError> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().await.map_err(failed)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn resume(&mut self) -> Result<(), ClientError> {
        let log = std::fs::File::create(self.files.path().join("log")).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.files.path().join("nats.conf")).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(log).kill_on_drop(true).spawn().map_err(failed)?;
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if child.try_wait().map_err(failed)?.is_some() || Instant::now() > until {
                let said = std::fs::read_to_string(self.files.path().join("log")).unwrap_or_default();
                return Err(failed(io::Error::other(said)));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.child = Some(child);
        Ok(())
    }

    /// Makes a stream, by the words of the vendor's client: `{"name": "EVENTS", "subjects": ["passbridge.>"]}`.
    ///
    /// # Errors
    /// When the server does not make it.
    pub async fn make(&self, stream: Value) -> Result<(), ClientError> {
        self.ask(json!({ "make": stream })).await.map(drop)
    }

    /// The messages of a stream, in their order: `seq`, `subject`, `headers`, `data`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn messages(&self, stream: &str) -> Result<Vec<Value>, ClientError> {
        let said = self.ask(json!({ "read": stream })).await?;
        said.lines().map(|line| serde_json::from_str(line).map_err(|error| failed(error.into()))).collect()
    }

    async fn ask(&self, mut what: Value) -> Result<String, ClientError> {
        what["url"] = json!(self.url());
        for (name, value) in self.login.as_object().into_iter().flatten() {
            what[name] = value.clone();
        }
        clients::python("nats_stream.py", &[], &format!("{what}\n"), PATIENCE).await
    }
}

fn failed(source: io::Error) -> ClientError {
    ClientError::Run { program: PROGRAM.to_owned(), source }
}
