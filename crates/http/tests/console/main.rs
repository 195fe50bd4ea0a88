//! The console as its visitors meet it: real router, real store, real port, forms followed as a browser would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod batches;
mod browser;
mod chromium;
mod comparisons;
#[path = "../database/mod.rs"]
mod database;
mod deliveries;
mod flows;
mod frame;
mod passes;
#[allow(dead_code, reason = "shared with the API's tests")]
#[path = "../api/server.rs"]
mod server;
mod source_events;
mod targets;
