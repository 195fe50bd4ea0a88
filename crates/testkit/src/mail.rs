//! A real mail server (aiosmtpd, among the clients), with what it got.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    sync::watch,
};

use crate::{
    clients::{self, ClientError},
    tls::Leaf,
};

/// How long it may take to start, or a mail to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a mail server is protected, and whom it lets in.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// Over TLS: by STARTTLS, or from the start.
    pub tls: Option<(bool, Leaf)>,
    /// Only with this user and password.
    pub login: Option<(String, String)>,
}

/// A running mail server; it ends when this is dropped. How an address begins says what is done with it: `nobody` and `denied`
/// are refused for good, `full` for now, `later` the first time, `spam` after its content.
pub struct MailServer {
    /// Where it listens, on this machine.
    pub port: u16,
    got: Arc<Mutex<Vec<Value>>>,
    changed: watch::Receiver<usize>,
    _child: Child,
    _files: TempDir,
}

impl MailServer {
    /// Starts one.
    ///
    /// # Errors
    /// When the clients are not installed, or it does not start.
    pub async fn start(manner: &Manner) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Run { program: "smtp.py".to_owned(), source };
        let files = TempDir::new().map_err(failed)?;
        let mut told = json!({});
        if let Some((from_the_start, leaf)) = &manner.tls {
            for (name, content) in [("certificate", &leaf.certificate), ("key", &leaf.key)] {
                let file = files.path().join(name);
                std::fs::write(&file, content).map_err(failed)?;
                told[name] = json!(file);
            }
            told["tls"] = json!(if *from_the_start { "implicit" } else { "starttls" });
        }
        if let Some((user, password)) = &manner.login {
            told["user"] = json!(user);
            told["password"] = json!(password);
        }
        let (program, script) = clients::python_script("smtp.py")?;
        let mut command = Command::new(program);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let pipe = || failed(std::io::Error::other("it has no pipes"));
        let stdin = child.stdin.as_mut().ok_or_else(pipe)?;
        stdin.write_all(format!("{told}\n").as_bytes()).await.map_err(failed)?;
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(pipe)?).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let first = first.map_err(|_| ClientError::TooLong("smtp.py".to_owned()))?.map_err(failed)?;
        let port = first.and_then(|line| line.parse().ok()).ok_or_else(|| failed(std::io::Error::other("it says no port")))?;
        let got: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (tell, changed) = watch::channel(0);
        tokio::spawn(listen(lines, Arc::clone(&got), tell));
        Ok(Self { port, got, changed, _child: child, _files: files })
    }

    /// What it got so far, in order: `from`, `to`, `headers` (names in lower case), `text`, `html`, `files`, `tls`, `peer`.
    pub fn got(&self) -> Vec<Value> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it got so many.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Value>, ClientError> {
        let mut changed = self.changed.clone();
        let come = tokio::time::timeout(PATIENCE, changed.wait_for(|now| *now >= count)).await;
        match come {
            Ok(Ok(_)) => Ok(self.got()),
            _ => Err(ClientError::TooLong(format!("{count} mails; there are {}", self.got().len()))),
        }
    }
}

/// A mail server that takes every mail and hangs up without a word when it has come; where it listens, on this machine. It ends
/// with the runtime.
///
/// # Errors
/// When there is no port.
pub async fn mute() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(hang_up(stream));
        }
    });
    Ok(port)
}

async fn hang_up(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 here\r\n").await?;
    let (mut line, mut is_content) = (String::new(), false);
    while stream.read_line(&mut line).await? > 0 && !(is_content && line == ".\r\n") {
        if !is_content {
            is_content = line.starts_with("DATA");
            stream.write_all(if is_content { b"354 go\r\n" } else { b"250 yes\r\n" }).await?;
        }
        line.clear();
    }
    Ok(())
}

async fn listen(mut lines: Lines<BufReader<ChildStdout>>, got: Arc<Mutex<Vec<Value>>>, tell: watch::Sender<usize>) {
    while let Ok(Some(line)) = lines.next_line().await {
        let count = {
            let mut got = got.lock().unwrap_or_else(PoisonError::into_inner);
            got.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            got.len()
        };
        tell.send_replace(count);
    }
}
