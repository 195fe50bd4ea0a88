//! What a version before this one kept in the clear is sealed when its database is opened.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use domain::{Entropy, OrgId, Organization, Target, TargetId};
use rusqlite::Connection;
use store::{Backend, ConfigChange, MasterKey, Resource, Store, StoredTarget, conformance::START};
use store_sqlite::{Options, Sqlite};

const TOKEN: &str = "Bearer token-of-the-receiver";

struct System;
impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).unwrap();
    }
}

fn target() -> Target {
    let id = TargetId::mint(START, &System);
    let mut target = Target::new(id, "Hook", "https://hooks.example.com/", START);
    target.headers = BTreeMap::from([("Authorization".to_owned(), TOKEN.to_owned())]);
    target
}

#[tokio::test]
async fn headers_in_the_clear_are_sealed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::mint(&System);
    let org = OrgId::mint(START, &System);
    let old = StoredTarget {
        target: target(),
        sealed_headers: BTreeMap::new(),
        sealed_credentials: BTreeMap::new(),
        sealed_settings: BTreeMap::new(),
        sealed_secrets: Vec::new(),
    };
    let (kept, gone) = (old.clone(), StoredTarget { target: target(), ..old });
    {
        let backend = Sqlite::open(folder.path(), &Options::default()).unwrap();
        backend.migrate(START).await.unwrap();
        let store = Store::open(Arc::clone(&backend) as Arc<dyn Backend>, &key, Arc::new(System)).await.unwrap();
        let organization = Organization { id: org, name: "Ours".to_owned(), created_at: START };
        store.create_org(&organization, "{}".to_owned(), START).await.unwrap();
        let change = ConfigChange { org, actor: "{}".to_owned(), now: START, names: Vec::new(), removed_names: Vec::new() };
        assert!(store.put(&change, &kept, 0).await.unwrap());
        assert!(store.put(&change, &gone, 0).await.unwrap());
        assert!(store.remove(&change, &gone, 1).await.unwrap());
        backend.close().await;
    }
    let file = folder.path().join("passbridge.db");
    let database = Connection::open(&file).unwrap();
    let plain = |table: &str, column: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table} WHERE {column} LIKE '%token-of-the-receiver%'");
        database.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((plain("resources", "body"), plain("audit", "before || after"), plain("audit", "after")), (2, 0, 2));
    // As the version before left it, and then the step that takes the clear values out.
    database.execute_batch(include_str!("../migrations/0002_sealed_headers.sql")).unwrap();
    let backend = Sqlite::open(folder.path(), &Options::default()).unwrap();
    backend.migrate(START).await.unwrap();
    let store = Store::open(Arc::clone(&backend) as Arc<dyn Backend>, &key, Arc::new(System)).await.unwrap();
    assert_eq!((plain("resources", "body"), plain("audit", "before"), plain("audit", "after")), (0, 0, 0));
    let catalog = store.catalog();
    let stored = &catalog.org(org).unwrap().targets[&kept.id()];
    assert_eq!((stored.revision, stored.value.header_names().collect::<Vec<_>>()), (2, vec!["Authorization"]));
    assert_eq!(store.open_target(org, &stored.value).unwrap(), kept.target, "as it was before");
    backend.close().await;
}
