//! Azurite (among the clients), Azure's own emulator of its Blob Storage, which checks signatures as Azure does.

use std::{io, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::clients::{self, ClientError};

/// How long one may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const PROGRAM: &str = "azurite";
/// The storage account of [`Azurite`].
pub const ACCOUNT: &str = "wallets";
/// Its key, in base64.
pub const ACCOUNT_KEY: &str = "b2YgdGhlIHRlc3RzIGFsb25lLCBhbmQgb2Ygbm9ib2R5IGVsc2U=";

/// Azure's emulator of its Blob Storage, in memory; ends when dropped.
#[derive(Debug)]
pub struct Azurite {
    url: String,
    _child: Child,
}

impl Azurite {
    /// Starts it with one container.
    ///
    /// # Errors
    /// When the clients are not installed, or it does not start.
    pub async fn start(container: &str) -> Result<Self, ClientError> {
        let mut command = Command::new("node");
        command.arg(clients::node_program("azurite/dist/src/blob/main.js")?);
        command.args(["--inMemoryPersistence", "--disableTelemetry", "--silent", "--blobHost", "127.0.0.1", "--blobPort", "0"]);
        command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{ACCOUNT_KEY}"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let said = child.stdout.take().ok_or_else(|| failed(io::Error::other("it has no output")))?;
        let listening = async {
            let mut lines = BufReader::new(said).lines();
            while let Some(line) = lines.next_line().await? {
                if let Some((_, url)) = line.split_once("successfully listens on ") {
                    return Ok(url.trim().to_owned());
                }
            }
            Err(io::Error::other("it ended before it listened"))
        };
        let listening = tokio::time::timeout(PATIENCE, listening).await.map_err(|_| ClientError::TooLong(PROGRAM.to_owned()))?;
        let azurite = Self { url: listening.map_err(failed)?, _child: child };
        azurite.ask(&["make", container]).await?;
        Ok(azurite)
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes all blobs of a container below a folder, by the vendor's own client; their names.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn fetch(&self, container: &str, folder: &Path) -> Result<Vec<String>, ClientError> {
        self.ask(&["fetch", container, &folder.to_string_lossy()]).await
    }

    async fn ask(&self, arguments: &[&str]) -> Result<Vec<String>, ClientError> {
        let (name, url) = (ACCOUNT, &self.url);
        let place =
            format!("DefaultEndpointsProtocol=http;AccountName={name};AccountKey={ACCOUNT_KEY};BlobEndpoint={url}/{name};");
        let said = clients::python("lake_azure.py", arguments, &place, PATIENCE).await?;
        Ok(said.lines().map(str::to_owned).collect())
    }
}

fn failed(source: io::Error) -> ClientError {
    ClientError::Run { program: PROGRAM.to_owned(), source }
}
