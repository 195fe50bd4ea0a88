//! The step from one contact of each name to a line of them, on a database with rows of a release before it.
#![allow(clippy::unwrap_used)]

mod rows;

use std::sync::Arc;

use rows::{commit, contact, hash, id};
use store::{Backend, CommitRows, Committed, ContactWrite, LoadKeys, conformance::START};
use store_postgres::{Options, Postgres};
use testkit::postgres::Cluster;
use tokio_postgres::NoTls;

/// As the releases before left it: one row of each name.
const AS_BEFORE: &str = "DELETE FROM contact_keys WHERE place > 0;
    DROP INDEX contact_keys_contact;
    ALTER TABLE contact_keys DROP CONSTRAINT contact_keys_pkey;
    ALTER TABLE contact_keys DROP COLUMN place;
    ALTER TABLE contact_keys ADD PRIMARY KEY (org, hash);
    CREATE INDEX contact_keys_contact ON contact_keys (org, contact);
    DROP TABLE unlined;";

async fn written(backend: &Postgres, write: ContactWrite) {
    let committed = backend.commit(CommitRows { contacts: vec![write], ..commit() }).await.unwrap();
    assert!(matches!(committed, Committed::Done(_)), "{committed:?}");
}

fn of(n: u64) -> ContactWrite {
    let mut write = contact(n, &[n, 40]);
    write.keys[1].required = false;
    write
}

#[tokio::test]
async fn whoever_was_found_stays_the_first_and_the_others_come_behind() {
    let url = Cluster::shared().await.unwrap().create_database().await.unwrap();
    let backend: Arc<Postgres> = Postgres::open(&url, &Options::default()).await.unwrap();
    backend.migrate(START).await.unwrap();
    for n in [32, 31, 30] {
        written(&backend, of(n)).await;
    }
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute(AS_BEFORE).await.unwrap();
    client.batch_execute(include_str!("../migrations/0020_lines.sql")).await.unwrap();
    drop(client);
    driver.await.unwrap().unwrap();

    backend.close().await;
    let backend: Arc<Postgres> = Postgres::open(&url, &Options::default()).await.unwrap();
    backend.migrate(START).await.unwrap();
    assert_eq!(backend.unlined().await.unwrap(), [id(1)]);
    assert_eq!(backend.line(id(1), hash(40), None, 9).await.unwrap(), [id(32)]);
    // What is written as it was, with all its names, stands in their lines; twice is harmless.
    for n in [30, 31, 31, 30] {
        written(&backend, ContactWrite { expected: Some(1), ..of(n) }).await;
    }
    assert_eq!(backend.line(id(1), hash(40), None, 9).await.unwrap(), [id(32), id(30), id(31)]);
    let keys = LoadKeys { contact_keys: vec![(id(1), hash(40)), (id(1), hash(30))], ..LoadKeys::default() };
    let mut found: Vec<_> = backend.load(&keys).await.unwrap().contact_keys.into_iter().map(|(_, _, contact)| contact).collect();
    found.sort_unstable();
    assert_eq!(found, [id(30), id(32)]);
    backend.lined(id(1)).await.unwrap();
    assert!(backend.unlined().await.unwrap().is_empty());
    backend.close().await;
}
