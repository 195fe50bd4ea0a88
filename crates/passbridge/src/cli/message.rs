//! `passbridge message`: holders are sent the address of their pass.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use http::Method;
use serde_json::json;

use super::Server;

/// By which way.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Channel {
    Email,
    Sms,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send a pass's holder the address of its page; `passbridge destination add smtp` makes what sends it
    #[command(after_help = "\
Examples:
  passbridge message send 03515U2nk4hy0GFQOIxS1K --channel email
  passbridge message send 03515U2nk4hy0GFQOIxS1K --channel sms --text 'Here is your card again:'")]
    Send {
        /// The pass's id
        pass: String,
        /// By which way
        #[arg(long)]
        channel: Channel,
        /// The destination that sends it, by name or id; the only one there is unless told
        #[arg(long)]
        sender: Option<String>,
        /// The subject of an e-mail
        #[arg(long)]
        subject: Option<String>,
        /// What it says before the address
        #[arg(long)]
        text: Option<String>,
        /// Send it also to an address that refused a message before
        #[arg(long)]
        despite_bounce: bool,
    },
    /// Note that a message came back
    Bounce {
        /// The pass's id
        pass: String,
        /// The message's id
        message: String,
        /// Why, in the receiving server's words
        #[arg(long)]
        detail: Option<String>,
        /// The person wants no more messages
        #[arg(long)]
        unsubscribed: bool,
    },
}

pub(super) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Send { pass, channel, sender, subject, text, despite_bounce } => {
            let channel = match channel {
                Channel::Email => "email",
                Channel::Sms => "sms",
            };
            let body =
                json!({"channel": channel, "sender": sender, "subject": subject, "text": text, "despite_bounce": despite_bounce});
            let answer = server.api()?.call(Method::POST, &format!("/v1/passes/{pass}/messages"), Some(&body)).await?;
            server.print(&answer)?;
            Ok(if answer["state"] == "failed" { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Command::Bounce { pass, message, detail, unsubscribed } => {
            let body = json!({"detail": detail, "unsubscribed": unsubscribed});
            server.show(Method::POST, &format!("/v1/passes/{pass}/messages/{message}/bounce"), Some(&body)).await
        }
    }
}
