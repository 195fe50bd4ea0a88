//! The native API as its clients meet it: real router, real store, real port.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod batches;
mod configuration;
#[path = "../database/mod.rs"]
mod database;
mod destinations;
mod doctor;
mod foreign;
mod hostile;
mod imports;
mod life;
mod links;
mod messages;
mod passengine;
mod pictures;
mod races;
mod redraw;
mod restated;
mod scans;
mod server;
mod signers;
mod source_events;
mod sources;
mod stream;
mod transformations;
mod webhooks;
