//! `passbridge webhook`: try webhooks, and send again what they missed.

use std::{process::ExitCode, time::Duration};

use http::Method;
use serde_json::{Value, json};

use super::Server;
use crate::system::complain;

/// How often it is looked how far a replay is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Send a webhook an event and show what came of it
    Test {
        /// Its id
        webhook: String,
        /// The newest event of this type instead of a webhook.test
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
    },
    /// See how webhooks and destinations fare: the last try at each, since when it has taken nothing, how much it is owed
    Health {
        /// The id of one; all of them unless told
        webhook: Option<String>,
    },
    /// Give a webhook a new signing secret, which is shown this once
    ///
    /// Bodies are signed with the earlier ones too for a while, so that nothing is lost while the receiver changes over.
    Rotate {
        /// Its id
        webhook: String,
        /// For how many hours; 0 ends the earlier ones at once
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        overlap_hours: u32,
    },
    /// End the earlier signing secrets of a webhook at once
    EndRotation {
        /// Its id
        webhook: String,
    },
    /// Send a webhook again what happened in some time: what it missed, or all
    ///
    /// Replays go behind what happens now. Without --from it is what was missed while the webhook was switched off; it is switched
    /// on again.
    Replay {
        /// Its id, or a destination's
        webhook: String,
        /// From this time on (RFC 3339)
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Up to this time; now unless told
        #[arg(long, value_name = "TIME", requires = "from")]
        to: Option<String>,
        /// Also what it has taken already
        #[arg(long)]
        all: bool,
        /// How many a second
        #[arg(long, value_name = "NUMBER")]
        per_second: Option<u32>,
        /// Do not wait until all are sent
        #[arg(long)]
        no_wait: bool,
    },
}

pub(crate) async fn run(server: &Server, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Test { webhook, kind } => {
            let query = kind.map(|kind| format!("?type={kind}")).unwrap_or_default();
            let answer = server.api()?.call(Method::POST, &format!("/v1/webhooks/{webhook}/test{query}"), None).await?;
            server.print(&answer)?;
            Ok(if answer["attempt"]["outcome"] == "delivered" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Health { webhook } => {
            let one = webhook.map(|webhook| format!("/{webhook}")).unwrap_or_else(|| "?limit=100".to_owned());
            server.print(&server.api()?.call(Method::GET, &format!("/v1/deliveries/health{one}"), None).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Rotate { webhook, overlap_hours } => {
            let path = format!("/v1/webhooks/{webhook}/secrets?overlap_hours={overlap_hours}");
            server.print(&server.api()?.call(Method::POST, &path, None).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::EndRotation { webhook } => {
            let path = format!("/v1/webhooks/{webhook}/secrets");
            server.print(&server.api()?.call(Method::DELETE, &path, None).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Replay { webhook, from, to, all, per_second, no_wait } => {
            let mut wish = json!({"missed": from.is_none(), "from": from, "to": to, "all": all, "per_second": per_second});
            replay(server, &webhook, &mut wish, !no_wait).await
        }
    }
}

async fn replay(server: &Server, webhook: &str, wish: &mut Value, wait: bool) -> anyhow::Result<ExitCode> {
    let (api, path) = (server.api()?, format!("/v1/webhooks/{webhook}/replay"));
    let (mut looked_at, mut owed) = (0, 0);
    loop {
        let part = api.call(Method::POST, &path, Some(wish)).await?;
        looked_at += part["looked_at"].as_u64().unwrap_or(0);
        owed += part["owed"].as_u64().unwrap_or(0);
        complain(&format!("{looked_at} events looked at, {owed} to be sent"));
        if part["next_cursor"].is_null() {
            break;
        }
        wish["cursor"] = part["next_cursor"].clone();
    }
    let mut waiting = owed;
    while wait && waiting > 0 {
        let progress = api.call(Method::GET, &path, None).await?;
        let now = progress["waiting"].as_u64().unwrap_or(0);
        if now != waiting {
            complain(&format!("{now} waiting"));
        }
        waiting = now;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    server.print(&json!({"looked_at": looked_at, "owed": owed, "waiting": waiting}))?;
    Ok(ExitCode::SUCCESS)
}
