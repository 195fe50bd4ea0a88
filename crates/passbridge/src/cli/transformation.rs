//! `passbridge transformation`: code in files.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{Server, json_file, saved, text};

const LIST: &str = "/v1/transformations";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run code on sample events and show what it makes of them and what it writes; nothing is done
    Test {
        /// The code (JavaScript)
        code: PathBuf,
        /// A sample event or a list of them (JSON), as sources send them
        events: PathBuf,
    },
    /// Check code and save it, replacing that of the same slug
    Save {
        /// The code (JavaScript)
        code: PathBuf,
        /// What flows name it by, or what code imports it by; the file's name unless told
        #[arg(long)]
        slug: Option<String>,
        /// It is a library, to be imported by other code
        #[arg(long)]
        library: bool,
        /// Keep it as a draft beside the code that runs
        #[arg(long, conflicts_with = "library")]
        draft: bool,
    },
    /// Make the draft the code that runs
    Publish {
        /// Its slug
        slug: String,
    },
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Test { code, events } => {
            let events = match json_file(&events)? {
                Value::Array(events) => Value::Array(events),
                event => json!([event]),
            };
            let body = json!({"code": text(&code)?, "events": events});
            server.show(Method::POST, &format!("{LIST}/test"), Some(&body)).await
        }
        Command::Save { code, slug, library, draft } => {
            let slug = slug.or_else(|| stem(&code)).context("give --slug")?;
            save(server, &text(&code)?, &slug, library, draft).await
        }
        Command::Publish { slug } => {
            let id = saved(server, LIST, &slug).await?.with_context(|| format!("there is no transformation {slug}"))?;
            server.show(Method::POST, &format!("{LIST}/{id}/publish"), None).await
        }
    }
}

async fn save(server: &Server, code: &str, slug: &str, library: bool, draft: bool) -> anyhow::Result<ExitCode> {
    let Some(id) = saved(server, LIST, slug).await? else {
        let body = json!({"slug": slug, "name": slug, "library": library, "code": code});
        return server.show(Method::POST, LIST, Some(&body)).await;
    };
    let path = format!("{LIST}/{id}");
    let held = server.api()?.call(Method::GET, &path, None).await?;
    let mut body = json!({"slug": slug, "library": library});
    for key in ["name", "enabled", "code", "draft"] {
        body[key] = held[key].clone();
    }
    if body["draft"].is_null() {
        body.as_object_mut().map(|body| body.remove("draft"));
    }
    body[if draft { "draft" } else { "code" }] = json!(code);
    server.show(Method::PUT, &path, Some(&body)).await
}

fn stem(file: &Path) -> Option<String> {
    file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned)
}
