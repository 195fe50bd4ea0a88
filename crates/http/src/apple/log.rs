//! `POST /v1/log`: what went wrong on a phone. Kept in a ring of the organization whose pass type a line names.
//!
//! Anybody can write here: bodies, lines and rings are bounded, and a line that names no pass type of ours is dropped.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use serde::Deserialize;

use super::owner;
use crate::{App, extract::read_body};

/// The ring that phones' lines are kept in.
pub(crate) const RING: &str = "apple log";
/// Most bytes of a request.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Most lines of a request that are looked at.
const MAX_LINES: usize = 50;
/// Most bytes of a line that are kept.
const MAX_LINE_BYTES: usize = 1_024;
/// Most requests with lines that a ring keeps.
const KEPT: u32 = 200;

#[derive(Deserialize)]
struct Lines {
    #[serde(default)]
    logs: Vec<String>,
}

/// Always 200: a phone can do nothing about a refusal.
pub(super) async fn log(State(app): State<Arc<App>>, request: Request) -> StatusCode {
    let Ok(body) = read_body(request, MAX_BODY_BYTES).await else { return StatusCode::OK };
    let Ok(lines) = serde_json::from_slice::<Lines>(&body) else { return StatusCode::OK };
    let mut by_type: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mut line in lines.logs.into_iter().take(MAX_LINES) {
        line.truncate(line.floor_char_boundary(MAX_LINE_BYTES));
        line.retain(|character| !character.is_control());
        if let Some(pass_type) = pass_type(&line) {
            by_type.entry(pass_type.to_owned()).or_default().push(line);
        }
    }
    for (pass_type, lines) in by_type {
        let Ok(Some(org)) = owner(&app, &pass_type).await else { continue };
        let body = serde_json::json!({ "pass_type": pass_type, "lines": lines }).to_string();
        if let Err(error) = app.store.capture(org, RING, app.now(), body.as_bytes(), KEPT).await {
            tracing::warn!(%error, "a phone's log was not kept");
        }
    }
    StatusCode::OK
}

/// The first word of a line that looks like a pass type identifier.
fn pass_type(line: &str) -> Option<&str> {
    let word = |character: char| !(character.is_ascii_alphanumeric() || ".-_".contains(character));
    line.split(word).map(|word| word.trim_matches('.')).find(|word| word.starts_with("pass.") && word.len() > "pass.".len())
}

#[cfg(test)]
mod tests {
    use super::pass_type;

    #[test]
    fn lines_name_their_pass_type() {
        let line = "Get serial #s task (for device 4f, pass type pass.com.example.club, last updated (null)) failed";
        assert_eq!(pass_type(line), Some("pass.com.example.club"));
        assert_eq!(pass_type("the pass. was bad"), None);
    }
}
