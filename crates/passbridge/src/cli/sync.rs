//! `passbridge sync`: batches that are saved, whose rows a query finds in a database.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::Server;
use crate::batches;

const LIST: &str = "/v1/syncs";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a sync of a file, or replace the one of its slug
    ///
    /// The file is YAML or JSON: slug, name, database, query, batch, schedule. The password stands in a file of its own.
    #[command(after_help = "\
Example of a file:
  slug: members
  name: Members of the warehouse
  database: {url: postgresql://warehouse.example.com/analytics, user: passbridge}
  query: SELECT member_no AS external_id, email, tier, updated_at FROM members WHERE active
  incremental: {column: updated_at}
  batch: {project: coffee-club, operation: issue}
  schedule: {cron: '*/15 6-22 * * *', zone: Europe/Berlin}

  passbridge sync put members.yaml --password-file warehouse.password
  passbridge sync try members
  passbridge sync run members --wait")]
    Put {
        /// The file
        file: PathBuf,
        /// A file with the password of the database's user; the one that is kept stays unless told
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
    /// List them
    List,
    /// Show one
    Show {
        /// Its slug or id
        sync: String,
    },
    /// Ask one's query for its columns and first rows; nothing is done
    Try {
        /// Its slug or id
        sync: String,
    },
    /// Run one now; `passbridge batch` shows, pauses, resumes and cancels the run
    Run {
        /// Its slug or id
        sync: String,
        /// Read all rows, not only those that changed since the last run
        #[arg(long)]
        full: bool,
        /// Wait until every row was carried out, with a progress bar
        #[arg(long)]
        wait: bool,
    },
    /// List the runs of one, newest first, with what became of their rows
    Runs {
        /// Its slug or id
        sync: String,
    },
    /// Delete one
    Delete {
        /// Its slug or id
        sync: String,
    },
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Put { file, password_file } => put(server, &file, password_file).await,
        Command::List => server.show(Method::GET, "/v1/syncs?limit=100", None).await,
        Command::Show { sync } => server.show(Method::GET, &one(server, &sync).await?, None).await,
        Command::Try { sync } => server.show(Method::POST, &format!("{}/try", one(server, &sync).await?), None).await,
        Command::Run { sync, full, wait } => {
            let path = format!("{}/run", one(server, &sync).await?);
            let begun = server.api()?.call(Method::POST, &path, Some(&json!({"full": full}))).await?;
            match begun["id"].as_str() {
                Some(batch) if wait => batches::watch(server, batch).await,
                _ => {
                    server.print(&begun)?;
                    Ok(ExitCode::SUCCESS)
                }
            }
        }
        Command::Runs { sync } => server.show(Method::GET, &format!("{}/runs", one(server, &sync).await?), None).await,
        Command::Delete { sync } => server.show(Method::DELETE, &one(server, &sync).await?, None).await,
    }
}

async fn put(server: &Server, file: &std::path::Path, password_file: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let map = flows::batch::Batch::map_of_yaml(&text).map_err(|problem| anyhow::anyhow!("{}: {problem}", file.display()))?;
    let mut body = Value::Object(map);
    if let Some(file) = password_file {
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        if !body["database"].is_object() {
            bail!("there is no `database` that the password is for");
        }
        body["database"]["password"] = json!(text.trim_end_matches(['\r', '\n']));
    }
    match named(server, body["slug"].as_str().unwrap_or_default()).await? {
        Some(id) => server.show(Method::PUT, &format!("{LIST}/{id}"), Some(&body)).await,
        None => server.show(Method::POST, LIST, Some(&body)).await,
    }
}

/// The path of a sync by its slug or id.
async fn one(server: &Server, sync: &str) -> anyhow::Result<String> {
    match named(server, sync).await? {
        Some(id) => Ok(format!("{LIST}/{id}")),
        None if sync.parse::<domain::SyncId>().is_ok() => Ok(format!("{LIST}/{sync}")),
        None => bail!("there is no sync `{sync}`: `passbridge sync list` shows those that there are"),
    }
}

/// The id of a slug.
async fn named(server: &Server, slug: &str) -> anyhow::Result<Option<String>> {
    let api = server.api()?;
    let mut path = format!("{LIST}?limit=100");
    loop {
        let page = api.call(Method::GET, &path, None).await?;
        let found = page["data"].as_array().into_iter().flatten().find(|sync| sync["slug"] == slug);
        if let Some(id) = found.and_then(|sync| sync["id"].as_str()) {
            return Ok(Some(id.to_owned()));
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{LIST}?limit=100&cursor={cursor}"),
            None => return Ok(None),
        }
    }
}
