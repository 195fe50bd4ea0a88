//! The suite of the contract on a database in a folder of its own.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use store::{Backend, conformance::START};
use store_sqlite::{Options, Sqlite};

async fn fresh() -> (Arc<dyn Backend>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let backend: Arc<dyn Backend> = Sqlite::open(folder.path(), &Options::default()).unwrap();
    backend.migrate(START).await.unwrap();
    (backend, folder)
}

store::conformance_tests!(fresh);
