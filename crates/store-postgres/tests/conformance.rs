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

#[tokio::test]
async fn it_is_decided_of_every_table_whether_it_moves() {
    let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
    let backend = Postgres::open(&url, &Options::default()).await.unwrap();
    backend.migrate(START).await.unwrap();
    backend.close().await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let tables = "SELECT relname::text FROM pg_class \
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition";
    let tables: Vec<String> = client.query(tables, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    store::conformance::carried::every_table_has_its_fate(&tables);
}
