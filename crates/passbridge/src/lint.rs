//! `passbridge pass lint`: why a phone would refuse a finished pass, or what it would leave out. Needs no server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use clap::Subcommand;
use domain::Clock as _;
use pkpass::{Certificate, Finding, Limits, Package, Severity};
use serde_json::{Value, json};

use crate::system::{SystemClock, say};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = pkpass::MAX_BUNDLE_BYTES as u64;

#[derive(Debug, Subcommand)]
pub(crate) enum PassCommand {
    /// Say why a phone would refuse a .pkpass or .pkpasses, and what it would leave out
    ///
    /// Verifies the manifest, the signature, the certificates and their dates, and checks every rule of Apple's on pass.json,
    /// images and translations. Ends with 1 when a phone would refuse the pass.
    Lint {
        /// The pass, or the bundle
        file: PathBuf,
        /// A root certificate (PEM or DER) that the chain must lead to; without one it is followed up to the intermediate
        #[arg(long, value_name = "FILE")]
        root: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Does what was asked.
pub(crate) fn run(command: &PassCommand) -> anyhow::Result<ExitCode> {
    let PassCommand::Lint { file, root, json } = command;
    let roots = root.iter().map(|path| root_der(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
    let now = SystemClock.now().as_seconds();
    let bytes = read(file)?;
    let is_bundle = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pkpasses"));
    let name = file.display().to_string();
    let packages = if is_bundle {
        Package::parse_bundle(&bytes, &Limits::BUNDLE)
            .map(|all| all.into_iter().map(|(path, it)| (format!("{name}/{path}"), it)).collect())
    } else {
        Package::parse(&bytes, &Limits::PASS).map(|package| vec![(name.clone(), package)])
    };
    let packages: Vec<(String, Package)> = packages.with_context(|| format!("{name}: a phone would refuse it"))?;
    let mut refused = false;
    for (name, package) in &packages {
        let findings = pkpass::lint_package(package, &roots, now);
        refused |= findings.iter().any(|finding| finding.severity == Severity::Refused);
        if *json {
            say(&json!({"file": name, "findings": findings.iter().map(shown).collect::<Vec<_>>()}).to_string());
        } else {
            tell(name, package, &roots, &findings, now);
        }
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell(name: &str, package: &Package, roots: &[&[u8]], findings: &[Finding], now: i64) {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let verdict = match (count(Severity::Refused), count(Severity::Lost)) {
        (0, 0) => "a phone takes it and shows all of it".to_owned(),
        (0, lost) => format!("a phone takes it, and {lost} things are left out or shown otherwise"),
        (refused, _) => format!("a phone refuses it, for {refused} reasons"),
    };
    say(&format!("{name}: {verdict}"));
    if let Some(leaf) = pkpass::verify(package, roots, now).leaf {
        let days = leaf.not_after().saturating_sub(now).div_euclid(86_400);
        say(&format!(
            "  signed by {} for team {}; the certificate ends in {days} days",
            leaf.pass_type_identifier().unwrap_or_default(),
            leaf.team_identifier().unwrap_or_default()
        ));
    }
    for finding in findings {
        say(&format!("\n{}  {}  ({})", word(finding.severity), finding.path, finding.rule));
        say(&format!("  {}", finding.consequence));
        say(&format!("  mend: {}", finding.mend));
        say(&format!("  see {}", finding.source));
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Refused => "refused",
        Severity::Lost => "lost",
        Severity::Advice => "advice",
    }
}

fn shown(finding: &Finding) -> Value {
    json!({"severity": word(finding.severity), "path": finding.path, "rule": finding.rule, "source": finding.source,
        "consequence": finding.consequence, "mend": finding.mend})
}

/// Reads a file that is not larger than any pass.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > MAX_FILE_BYTES {
        bail!("{} has {size} bytes; a pass has at most {MAX_FILE_BYTES}", path.display());
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn root_der(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = read(path)?;
    let der = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => {
            let lines = text.lines().skip_while(|line| !line.starts_with("-----BEGIN CERTIFICATE")).skip(1);
            let body: String = lines.take_while(|line| !line.starts_with("-----")).map(str::trim).collect();
            base64::engine::general_purpose::STANDARD.decode(body).with_context(|| format!("{} is damaged", path.display()))?
        }
        _ => bytes,
    };
    Certificate::from_der(&der).map(|_| der).with_context(|| format!("{} is no certificate", path.display()))
}
