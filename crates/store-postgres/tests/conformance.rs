//! The contract, on the real server.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use store::{Backend, conformance::START};
use store_postgres::{Options, Postgres};
use testkit::postgres::Cluster;

async fn fresh() -> (Arc<dyn Backend>, ()) {
    let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
    let backend = Postgres::open(&url, &Options::default()).await.unwrap();
    backend.migrate(START).await.unwrap();
    (backend, ())
}

store::conformance_tests!(fresh);
