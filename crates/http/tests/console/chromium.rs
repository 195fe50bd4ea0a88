//! The console in Chromium: with scripts, on a desktop and on a phone.

use std::time::Duration;

use serde_json::json;
use testkit::clients;

use crate::server::Server;

const BROWSER_WITHIN: Duration = Duration::from_secs(120);

/// Walks through the console as `testkit/clients/console.mjs` says.
async fn walk(server: &Server, walk: &str, more: &serde_json::Value) {
    let input = json!({"url": format!("http://{}/console", server.address), "key": server.admin, "walk": walk, "more": more});
    let seen = clients::node("console.mjs", &[clients::chromium()], &input.to_string(), BROWSER_WITHIN).await;
    seen.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_and_finds_its_way() {
    let server = Server::start().await;
    server.furnish().await;
    walk(&server, "frame", &json!({})).await;
}
