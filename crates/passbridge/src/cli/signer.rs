//! `passbridge signer`: certificates that sign Apple passes.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{Server, text};
use crate::system::say;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and a signing request for Apple; the key stays on the server
    ///
    /// Upload the request in Apple's developer portal (Identifiers, Pass Type IDs, Create Certificate) and give what it lets you
    /// download to `passbridge signer answer`.
    #[command(after_help = "\
Examples:
  passbridge signer request --email passes@example.com --name \"Bean & Co passes\" --out pass.certSigningRequest
  passbridge signer request --email passes@example.com --name \"Bean & Co passes\" --signer 03515U2nk4hy0GFQOIxS1K")]
    Request {
        /// An e-mail address that stands in the request
        #[arg(long)]
        email: String,
        /// A name that stands in the request, 1 to 64 characters
        #[arg(long)]
        name: String,
        /// The signer whose certificate it is to renew; left out for a new pass type
        #[arg(long, value_name = "ID")]
        signer: Option<String>,
        /// Where to write the request (PEM)
        #[arg(long, value_name = "FILE", default_value = "pass.certSigningRequest")]
        out: PathBuf,
    },
    /// Give Apple's answer to a request: it makes a signer, or renews the one of its pass type
    ///
    /// A renewed signer signs and pushes with the new certificate at once, and installed passes go on as they are. Refused when
    /// the certificate is not for the request's key, another pass type or another team, not of WWDR G4, or not valid.
    Answer {
        /// The request's id
        request: String,
        /// The certificate as downloaded from Apple (.cer or PEM)
        file: PathBuf,
        /// The intermediate certificate; Apple's WWDR G4 need not be given
        #[arg(long, value_name = "FILE")]
        intermediate: Option<PathBuf>,
    },
    /// Add a pass type certificate with its key, from a .p12 or from files
    ///
    /// The pass type and the team are read out of the certificate. Keys are sealed on the server and never shown again.
    /// Apple's intermediate certificate WWDR G4 need not be given.
    #[command(after_help = "\
Examples:
  passbridge signer add --p12 Certificates.p12 --password-file p12.password
  passbridge signer add --certificate pass.cer --private-key pass.key")]
    Add(Files),
    /// Replace a signer's certificate by another one of the same pass type and team
    Renew {
        /// The signer's id
        signer: String,
        #[command(flatten)]
        files: Files,
    },
    /// Go back to the certificate before the last renewal
    Rollback {
        /// The signer's id
        signer: String,
    },
    /// List signers: their pass types, and when their certificates end
    List,
}

#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// The .p12 that Keychain Access exports
    #[arg(long, conflicts_with_all = ["certificate", "private_key"])]
    p12: Option<PathBuf>,
    /// The certificate (.cer or PEM)
    #[arg(long, requires = "private_key")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, requires = "certificate")]
    private_key: Option<PathBuf>,
    /// The intermediate certificate; Apple's WWDR G4 need not be given
    #[arg(long)]
    intermediate: Option<PathBuf>,
    /// A file with the password of the .p12 or key
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Does what was asked.
pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Request { email, name, signer, out } => request(server, &email, &name, signer.as_deref(), &out).await,
        Command::Answer { request, file, intermediate } => {
            let mut body = json!({"certificate": certificate(&file)?});
            if let Some(intermediate) = &intermediate {
                body["intermediate"] = certificate(intermediate)?.into();
            }
            server.show(Method::POST, &format!("/v1/signing-requests/{request}/answer"), Some(&body)).await
        }
        Command::Add(files) => server.show(Method::POST, "/v1/signers", Some(&files.body()?)).await,
        Command::Renew { signer, files } => {
            server.show(Method::PUT, &format!("/v1/signers/{signer}"), Some(&files.body()?)).await
        }
        Command::Rollback { signer } => server.show(Method::POST, &format!("/v1/signers/{signer}/rollback"), None).await,
        Command::List => list(server).await,
    }
}

async fn request(server: &Server, email: &str, name: &str, signer: Option<&str>, out: &Path) -> anyhow::Result<ExitCode> {
    if out.exists() {
        bail!("{} is there already: give another file with --out", out.display());
    }
    let body = json!({"email": email, "name": name, "signer": signer});
    let made = server.api()?.call(Method::POST, "/v1/signing-requests", Some(&body)).await?;
    let (id, pem) = (made["id"].as_str().unwrap_or_default(), made["request"].as_str().unwrap_or_default());
    std::fs::write(out, pem).with_context(|| format!("cannot write {}", out.display()))?;
    if server.json {
        server.print(&made)?;
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!(
        "{} is the request {id}; its key stays on the server.\nUpload it at https://developer.apple.com/account/resources \
         (Identifiers, Pass Type IDs, your pass type, Create Certificate), then:\n  passbridge signer answer {id} pass.cer",
        out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

async fn list(server: &Server) -> anyhow::Result<ExitCode> {
    if server.json {
        return server.show(Method::GET, "/v1/signers?limit=100", None).await;
    }
    let (api, mut path) = (server.api()?, "/v1/signers?limit=100".to_owned());
    loop {
        let page = api.call(Method::GET, &path, None).await?;
        for signer in page["data"].as_array().into_iter().flatten() {
            let text = |name: &str| signer[name].as_str().unwrap_or_default().to_owned();
            let (id, pass_type, team, end) = (text("id"), text("pass_type"), text("team"), text("expires_at"));
            let days = signer["expires_in_days"].as_i64().unwrap_or_default();
            let end = end.split('T').next().unwrap_or_default();
            say(&format!("{id:<22}  {pass_type:<40}  {team:<10}  ends {end}, in {days} days{}", mark(&signer["warning"])));
        }
        let Some(cursor) = page["next_cursor"].as_str() else { return Ok(ExitCode::SUCCESS) };
        path = format!("/v1/signers?limit=100&cursor={cursor}");
    }
}

fn mark(warning: &Value) -> &'static str {
    match warning.as_str() {
        Some("past") => ": it has ended, nothing can be signed",
        Some(_) => ": renew it",
        None => "",
    }
}

impl Files {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = json!({});
        match (&self.p12, &self.certificate, &self.private_key) {
            (Some(p12), None, None) => body["p12"] = encoded(&bytes(p12)?).into(),
            (None, Some(file), Some(key)) => {
                body["certificate"] = certificate(file)?.into();
                body["private_key"] = text(key)?.into();
            }
            _ => bail!("give either --p12, or --certificate with --private-key"),
        }
        if let Some(file) = &self.intermediate {
            body["intermediate"] = certificate(file)?.into();
        }
        if let Some(file) = &self.password_file {
            body["password"] = text(file)?.trim_end_matches(['\r', '\n']).into();
        }
        Ok(body)
    }
}

/// A certificate's file as the API takes it: PEM as it is, DER in base64.
fn certificate(file: &Path) -> anyhow::Result<String> {
    let bytes = bytes(file)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(binary) => encoded(binary.as_bytes()),
    })
}

fn bytes(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn encoded(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
