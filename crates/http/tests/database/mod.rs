//! The database that the suite runs on.

use std::sync::Arc;

use domain::Timestamp;
use store::Backend;

/// A fresh one: SQLite in a folder of its own, or PostgreSQL where `TESTKIT_DATABASE` says so.
pub async fn fresh(now: Timestamp) -> (Arc<dyn Backend>, Option<tempfile::TempDir>) {
    let (backend, folder): (Arc<dyn Backend>, _) = match testkit::postgres::database_if_asked().await {
        Some(url) => (store_postgres::Postgres::open(&url, &store_postgres::Options::default()).await.unwrap(), None),
        None => {
            let folder = tempfile::tempdir().unwrap();
            (store_sqlite::Sqlite::open(folder.path(), &store_sqlite::Options::default()).unwrap(), Some(folder))
        }
    };
    backend.migrate(now).await.unwrap();
    (backend, folder)
}
