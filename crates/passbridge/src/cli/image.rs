//! `passbridge image`: one picture for a role of a design.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Subcommand, builder::PossibleValuesParser};
use domain::ImageRole;
use http::{Method, header};
use serde_json::{Value, json};

use super::Server;
use crate::{
    api::{self, Api},
    system::{complain, say},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Upload one picture for a role: every size that the wallets need is made of it
    ///
    /// PNG, JPEG or WebP, at most 10 MiB and 16 million pixels. What had to be enlarged, left out or cut is told on standard
    /// error, with what would make it better.
    #[command(after_help = "\
Examples:
  passbridge image add strip summer.jpg --template 2Gk…    puts it into the template's draft
  passbridge image add logo logo-de.png --template 2Gk… --language de")]
    Add {
        /// What it is for
        #[arg(value_parser = PossibleValuesParser::new(ImageRole::ALL.map(ImageRole::key)))]
        role: String,
        /// The picture
        file: PathBuf,
        /// Put it into this template (id); what is published stays as it is until the draft is published
        #[arg(long, value_name = "ID")]
        template: Option<String>,
        /// For this language of the template alone, for example de
        #[arg(long, requires = "template", value_name = "TAG")]
        language: Option<String>,
    },
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    let Command::Add { role, file, template, language } = command;
    let api = server.api()?;
    let made = upload(&api, &role, &file).await?;
    let saved = match &template {
        Some(template) => Some(put(&api, template, language.as_deref(), &role, &made["set"]).await?),
        None => None,
    };
    match saved {
        _ if server.json => server.print(&made)?,
        Some(()) => say(&format!("{role} is in the draft of the template: publish it when the design is as it should be")),
        None => server.print(&json!({"images": {role: made["set"]}}))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Has every size made of a picture for a role: the server's answer, whose notes are told on standard error.
pub(crate) async fn upload(api: &Api, role: &str, file: &Path) -> anyhow::Result<Value> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let path = format!("/v1/image-sets/{role}");
    let reply = api.send(Method::POST, &path, &[("content-type", "application/octet-stream")], bytes).await?;
    let made = api::read(&reply).with_context(|| file.display().to_string())?;
    for note in made["notes"].as_array().into_iter().flatten() {
        let word = |key: &str| note[key].as_str().unwrap_or_default();
        complain(&format!("{role} {}: {}; {}", word("size"), word("effect"), word("mend")));
    }
    Ok(made)
}

/// Puts a set of images into a template's design, or its draft where it has one.
async fn put(api: &Api, template: &str, language: Option<&str>, role: &str, set: &Value) -> anyhow::Result<()> {
    let path = format!("/v1/templates/{template}");
    let reply = api.send(Method::GET, &path, &[], "").await?;
    let found = api::read(&reply).with_context(|| path.clone())?;
    let version = reply.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or("*").to_owned();
    let next = if found["draft"].is_null() { &found } else { &found["draft"] };
    let mut change = json!({"name": next["name"], "design": next["design"]});
    if !change["design"].is_object() {
        bail!("the server answered with something else than a template");
    }
    match language {
        Some(language) => change["design"]["translations"][language]["images"][role] = set.clone(),
        None => change["design"]["images"][role] = set.clone(),
    }
    let headers = [("content-type", "application/json"), ("if-match", version.as_str())];
    let reply = api.send(Method::PUT, &path, &headers, change.to_string()).await?;
    api::read(&reply).map(drop).context(path)
}
