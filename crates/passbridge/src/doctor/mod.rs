//! `passbridge doctor`: why a phone would refuse a pass, a design, a certificate, a web service or a whole server.

mod certificate;
mod package;
mod report;
mod server;
mod service;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args as Arguments;
use domain::TemplateId;

use crate::cli::Server;
use report::Report;

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = pkpass::MAX_BUNDLE_BYTES as u64;
/// What a ZIP archive starts with.
const ZIP: &[u8] = b"PK";

#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  passbridge doctor                                  the running server: configuration, signers, what ends when, its web service
  passbridge doctor club.pkpass                      a finished pass or a .pkpasses bundle; needs no server
  passbridge doctor club.pkpass --service            and the web service that the pass names
  passbridge doctor pass.cer                         a certificate: .cer, PEM or .p12
  passbridge doctor design.json                      a template as for POST /v1/templates, without saving it
  passbridge doctor 03515U2nk4hy0GFQOIxS1K           a template of the running server; Google itself is asked, too
  passbridge doctor https://passes.example.com/apple a web service, or a pass, at an address

Ends with 1 when something does not work for a holder.")]
pub(crate) struct Args {
    /// A pass, a certificate, a template or an address; without it the running server
    subject: Option<String>,
    /// A root certificate (PEM or DER) that counts as trusted, in place of Apple's
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// A file with the password of a .p12
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Ask the web service that a pass names, too, as a phone would
    #[arg(long)]
    service: bool,
    /// A further root certificate (PEM or DER) that web services are trusted by
    #[arg(long, value_name = "FILE")]
    tls_root: Vec<PathBuf>,
    #[command(flatten)]
    server: Server,
}

/// Does what was asked.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let reports = examine(args).await?;
    let is_bad = reports.iter().any(Report::is_refused);
    for report in &reports {
        report.print(args.server.json);
    }
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn examine(args: &Args) -> anyhow::Result<Vec<Report>> {
    let Some(subject) = args.subject.as_deref() else { return server::whole(args).await };
    if subject.starts_with("https://") || subject.starts_with("http://") {
        return service::at(args, subject).await;
    }
    let path = Path::new(subject);
    if !path.exists() {
        if subject.parse::<TemplateId>().is_ok() {
            return server::template(args, subject).await;
        }
        bail!("{subject}: no such file, no address and no template's id");
    }
    let bytes = if path.is_dir() { packed(path)? } else { read(path)? };
    if bytes.starts_with(ZIP) || has_extension(path, "pkpass") || has_extension(path, "pkpasses") {
        let mut reports = package::of_file(args, path, &bytes)?;
        if args.service {
            reports.extend(service::of_pass(args, &bytes).await?);
        }
        return Ok(reports);
    }
    if has_extension(path, "json") || bytes.trim_ascii_start().starts_with(b"{") {
        return server::trial(args, subject, &bytes).await;
    }
    Ok(vec![certificate::of_file(args, subject, &bytes)?])
}

/// A pass that was unpacked.
fn packed(folder: &Path) -> anyhow::Result<Vec<u8>> {
    if !folder.join("signature").exists() {
        let name = folder.display();
        bail!(
            "{name}: a folder without a signature: take it in with `passbridge template import`, and ask for the template's id"
        );
    }
    crate::designs::pack(folder)
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

/// Reads a file that is not larger than any pass.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > MAX_FILE_BYTES {
        bail!("{} has {size} bytes; a pass has at most {MAX_FILE_BYTES}", path.display());
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The roots that count as trusted: those given, else Apple's.
fn roots(args: &Args) -> anyhow::Result<Vec<Vec<u8>>> {
    if args.root.is_empty() {
        return Ok(vec![pkpass::APPLE_ROOT.to_vec()]);
    }
    let mut all = Vec::new();
    for file in &args.root {
        let found = pkpass::certificates(&read(file)?).with_context(|| format!("{} is damaged", file.display()))?;
        let der = found.into_iter().next().with_context(|| format!("{} holds no certificate", file.display()))?;
        pkpass::Certificate::from_der(&der).with_context(|| format!("{} is no certificate", file.display()))?;
        all.push(der);
    }
    Ok(all)
}
