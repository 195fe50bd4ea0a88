//! `passbridge template` and `passbridge publication`: publishing a design, and watching it come to the phones.

use std::{process::ExitCode, time::Duration};

use anyhow::bail;
use clap::Subcommand;
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    api::Api,
    cli::Server,
    designs::{self, FileCommand},
    system::complain,
};

/// How often a publication that is watched is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(crate) enum TemplateCommand {
    /// List templates with their versions and drafts
    List,
    /// Publish a template's draft
    ///
    /// Every pass is drawn with the new version at once. The phones that hold one are woken in the background; that goes on
    /// whether or not anybody watches. `passbridge publication` shows, pauses and cancels it. Google's objects follow. No pass
    /// counts as updated by that unless --updated-events asks for it.
    Publish {
        /// The template's id
        template: String,
        /// Wait until every phone was woken, with a progress bar
        #[arg(long)]
        wait: bool,
        /// Have webhooks and destinations told of every pass that it was updated
        #[arg(long)]
        updated_events: bool,
    },
    #[command(flatten)]
    File(FileCommand),
    /// List the versions that were published, newest first
    Versions {
        /// The template's id
        template: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PublicationCommand {
    /// List publications, newest first
    List,
    /// Show how far a publication is
    Show {
        /// Its id
        publication: String,
    },
    /// Watch a publication until it comes to its end
    Watch {
        /// Its id
        publication: String,
    },
    /// Halt a publication; the batch that is under way is finished
    Pause {
        /// Its id
        publication: String,
    },
    /// Let a publication that was paused go on where it was
    Resume {
        /// Its id
        publication: String,
    },
    /// End a publication; the version stays published
    Cancel {
        /// Its id
        publication: String,
    },
}

pub(crate) async fn template(server: &Server, command: TemplateCommand) -> anyhow::Result<ExitCode> {
    match command {
        TemplateCommand::List => server.show(Method::GET, "/v1/templates?limit=100", None).await,
        TemplateCommand::File(command) => designs::run(server, command).await,
        TemplateCommand::Versions { template } => {
            server.show(Method::GET, &format!("/v1/templates/{template}/versions"), None).await
        }
        TemplateCommand::Publish { template, wait, updated_events } => {
            let body = json!({"updated_events": updated_events});
            let path = format!("/v1/templates/{template}/publish");
            let published = server.api()?.call(Method::POST, &path, Some(&body)).await?;
            server.print(&published)?;
            match published["publication"].as_str() {
                Some(publication) if wait => watch(server, publication).await,
                _ => Ok(ExitCode::SUCCESS),
            }
        }
    }
}

pub(crate) async fn publication(server: &Server, command: PublicationCommand) -> anyhow::Result<ExitCode> {
    let turn = async |publication: &str, to: &str| {
        server.show(Method::POST, &format!("/v1/publications/{publication}/{to}"), None).await
    };
    match command {
        PublicationCommand::List => server.show(Method::GET, "/v1/publications?limit=100", None).await,
        PublicationCommand::Show { publication } => {
            server.show(Method::GET, &format!("/v1/publications/{publication}"), None).await
        }
        PublicationCommand::Watch { publication } => watch(server, &publication).await,
        PublicationCommand::Pause { publication } => turn(&publication, "pause").await,
        PublicationCommand::Resume { publication } => turn(&publication, "resume").await,
        PublicationCommand::Cancel { publication } => turn(&publication, "cancel").await,
    }
}

/// Shows a publication's progress until it comes to its end, or is halted.
async fn watch(server: &Server, publication: &str) -> anyhow::Result<ExitCode> {
    let api = server.api()?;
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} devices looked at, {msg}, {per_sec}, {eta} left")?);
    loop {
        let now = read(&api, publication).await?;
        let number = |name: &str| now[name].as_u64().unwrap_or_default();
        bar.set_length(number("devices").max(number("looked_at")));
        bar.set_position(number("looked_at"));
        bar.set_message(format!("{} woken", number("pushed")));
        match now["state"].as_str().unwrap_or_default() {
            "running" => tokio::time::sleep(LOOK_EVERY).await,
            "done" => {
                bar.finish();
                server.print(&now)?;
                return Ok(ExitCode::SUCCESS);
            }
            other => {
                bar.abandon();
                complain(&format!("the publication is {other}"));
                server.print(&now)?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
}

async fn read(api: &Api, publication: &str) -> anyhow::Result<Value> {
    let answer = api.call(Method::GET, &format!("/v1/publications/{publication}"), None).await?;
    if !answer["state"].is_string() {
        bail!("the server answered with something else than a publication");
    }
    Ok(answer)
}
