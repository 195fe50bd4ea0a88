//! The suite of the contract on a database in a folder of its own.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use store::{Backend, conformance::START};
use store_sqlite::{KeysAside, Options, Sqlite};

async fn fresh() -> (Arc<dyn Backend>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let backend: Arc<dyn Backend> = Sqlite::open(folder.path(), &Options::default()).unwrap();
    backend.migrate(START).await.unwrap();
    (backend, folder)
}

store::conformance_tests!(fresh);

/// The same with keys that are taken over as they come.
mod taken_over {
    use super::*;

    async fn fresh() -> (Arc<dyn Backend>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { keys_aside: KeysAside { least: 2, most: 2 }, ..Options::default() };
        let backend: Arc<dyn Backend> = Sqlite::open(folder.path(), &options).unwrap();
        backend.migrate(START).await.unwrap();
        (backend, folder)
    }

    store::conformance_tests!(fresh);
}
