//! Real clients of the field, and a browser, run as programs. `clients/install` puts them into a folder; `./test` does so.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, process::Command};

/// Names the folder of the clients.
pub const CLIENTS_VARIABLE: &str = "TESTKIT_CLIENTS";

/// Why a client did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// They are not installed.
    #[error(
        "{CLIENTS_VARIABLE} does not name the folder of the real clients: run ./test, or crates/testkit/clients/install FOLDER"
    )]
    NotInstalled,
    /// It cannot be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// Which program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It took too long.
    #[error("{0} did not end in time")]
    TooLong(String),
    /// It failed.
    #[error("{program} failed ({status}):\n{said}")]
    Failed {
        /// Which program.
        program: String,
        /// How.
        status: std::process::ExitStatus,
        /// Its output.
        said: String,
    },
}

fn folder() -> Result<PathBuf, ClientError> {
    crate::variable(CLIENTS_VARIABLE).map(PathBuf::from).filter(|folder| folder.is_dir()).ok_or(ClientError::NotInstalled)
}

/// Runs a script of `clients/` with Node.
///
/// # Errors
/// When it is not there, does not end in time, or fails.
pub async fn node(script: &str, arguments: &[&str], input: &str, deadline: Duration) -> Result<String, ClientError> {
    let mut command = Command::new("node");
    command.arg(folder()?.join("npm").join(script)).args(arguments);
    run(command, script, input, deadline).await
}

/// Runs a script of `clients/` with Python.
///
/// # Errors
/// When it is not there, does not end in time, or fails.
pub async fn python(script: &str, arguments: &[&str], input: &str, deadline: Duration) -> Result<String, ClientError> {
    let (program, file) = python_script(script)?;
    let mut command = Command::new(program);
    command.arg(file).args(arguments);
    run(command, script, input, deadline).await
}

/// Python, and a script of `clients/` for it.
///
/// # Errors
/// When they are not installed.
pub fn python_script(script: &str) -> Result<(PathBuf, PathBuf), ClientError> {
    let folder = folder()?.join("python");
    Ok((folder.join("bin/python"), folder.join(script)))
}

/// Where a script is that a package for Node brings, such as `azurite/dist/src/blob/main.js`.
///
/// # Errors
/// When it is not installed.
pub fn node_program(path: &str) -> Result<PathBuf, ClientError> {
    let program = folder()?.join("npm/node_modules").join(path);
    if program.is_file() { Ok(program) } else { Err(ClientError::NotInstalled) }
}

/// Where a program is that a package brings, such as `nats-server`.
///
/// # Errors
/// When it is not installed.
pub fn python_program(name: &str) -> Result<PathBuf, ClientError> {
    let program = folder()?.join("python/bin").join(name);
    if program.is_file() { Ok(program) } else { Err(ClientError::NotInstalled) }
}

/// Runs a program that a client's package brings, such as `schemathesis`.
///
/// # Errors
/// When it is not there, does not end in time, or fails.
pub async fn python_tool(
    tool: &str,
    arguments: &[&str],
    folder_to_work_in: &Path,
    deadline: Duration,
) -> Result<String, ClientError> {
    let mut command = Command::new(folder()?.join("python/bin").join(tool));
    command.args(arguments).current_dir(folder_to_work_in);
    run(command, tool, "", deadline).await
}

/// Runs any program, with `input` on its standard input, and returns what it wrote.
///
/// # Errors
/// When it cannot be run, does not end in time, or fails.
pub async fn run(mut command: Command, program: &str, input: &str, deadline: Duration) -> Result<String, ClientError> {
    let failed = |source| ClientError::Run { program: program.to_owned(), source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads nothing may have ended before; its exit code tells.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let ended = tokio::time::timeout(deadline, child.wait_with_output()).await;
    let output = ended.map_err(|_| ClientError::TooLong(program.to_owned()))?.map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let said = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
    Err(ClientError::Failed { program: program.to_owned(), status: output.status, said })
}

/// Where Chromium is.
pub fn chromium() -> &'static str {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("chromium")
}
