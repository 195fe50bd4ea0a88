//! librdkafka's own mock of a Kafka cluster (among the clients): three brokers, topics of four partitions, real sockets, and
//! its own consumer that checks the checksums of what is there.
//!
//! What it does not prove: it keeps everything in memory, replicates nothing (so that `acks=all` is taken and means nothing),
//! knows no SASL, no TLS, no rights, no quotas and no limits of its topics' configuration, and its errors are few.

use std::{io, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

use crate::clients::{self, ClientError};

/// How long it may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const SCRIPT: &str = "kafka_mock.py";

/// A running cluster; it ends when this is dropped.
pub struct KafkaMock {
    /// `host:port` of its brokers.
    pub brokers: Vec<String>,
    pipes: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
    _child: Child,
}

impl KafkaMock {
    /// Starts one.
    ///
    /// # Errors
    /// When the clients are not installed, or it does not start.
    pub async fn start() -> Result<Self, ClientError> {
        let (program, script) = clients::python_script(SCRIPT)?;
        let mut command = Command::new(program);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let pipe = || failed(io::Error::other("it has no pipes"));
        let stdin = child.stdin.take().ok_or_else(pipe)?;
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(pipe)?).lines();
        let brokers = line(&mut lines).await?.split(',').map(str::to_owned).collect();
        Ok(Self { brokers, pipes: Mutex::new((stdin, lines)), _child: child })
    }

    /// The address of its first broker.
    pub fn url(&self) -> String {
        format!("kafka://{}", self.brokers.first().map(String::as_str).unwrap_or_default())
    }

    /// Makes a topic of four partitions.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn make(&self, topic: &str) -> Result<(), ClientError> {
        self.ask(json!({ "make": topic })).await.map(drop)
    }

    /// The records of a topic: `partition`, `offset`, `key`, `headers`, `value`, `timestamp`; those of a partition in their order.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn records(&self, topic: &str) -> Result<Vec<Value>, ClientError> {
        Ok(self.ask(json!({ "read": topic })).await?.as_array().cloned().unwrap_or_default())
    }

    /// The partition that librdkafka's own producer puts a key into by Java's partitioner.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn partition(&self, topic: &str, key: &str) -> Result<Value, ClientError> {
        self.ask(json!({ "partition": key, "of": topic })).await
    }

    async fn ask(&self, what: Value) -> Result<Value, ClientError> {
        let mut pipes = self.pipes.lock().await;
        pipes.0.write_all(format!("{what}\n").as_bytes()).await.map_err(failed)?;
        let said = line(&mut pipes.1).await?;
        serde_json::from_str(&said).map_err(|error| failed(error.into()))
    }
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String, ClientError> {
    let next = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    let next = next.map_err(|_| ClientError::TooLong(SCRIPT.to_owned()))?.map_err(failed)?;
    next.ok_or_else(|| failed(io::Error::other("it ended")))
}

fn failed(source: io::Error) -> ClientError {
    ClientError::Run { program: SCRIPT.to_owned(), source }
}
