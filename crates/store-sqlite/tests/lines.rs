//! Whoever a release that kept one contact of each address left out is found when its database is opened.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use domain::{Contact, ContactId, ContactRef, Entropy, OrgId, Organization};
use rusqlite::Connection;
use store::{Backend, Changes, Committed, MasterKey, States, Store, conformance::START};
use store_sqlite::{Options, Sqlite};

struct System;
impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).unwrap();
    }
}

const ADDRESS: &str = "home@example.com";

/// As the releases before left it: one row of each name.
const AS_BEFORE: &str =
    "CREATE TABLE before (org BLOB NOT NULL, hash BLOB NOT NULL, contact BLOB NOT NULL, PRIMARY KEY (org, hash))
        STRICT, WITHOUT ROWID;
    INSERT INTO before SELECT org, hash, contact FROM contact_keys WHERE place = 0;
    DROP TABLE contact_keys;
    ALTER TABLE before RENAME TO contact_keys;
    CREATE INDEX contact_keys_contact ON contact_keys (org, contact);
    DROP TABLE unlined;
    PRAGMA user_version = 18;";

async fn write(store: &Store, org: OrgId, contact: Contact, mut states: States) {
    let mut changes = Changes { now: START, contacts: vec![(org, contact.id)], ..Changes::default() };
    states.put_contact(org, contact);
    assert!(matches!(store.commit(&mut states, &mut changes).await.unwrap(), Committed::Done(_)));
}

async fn person(store: &Store, org: OrgId, external_id: &str) -> ContactId {
    let id = ContactId::mint(START, &System);
    let touch = store::Touch { contacts: vec![ContactRef::Email(ADDRESS.to_owned())], ..store::Touch::default() };
    let states = store.load(&[(org, touch)], START).await.unwrap();
    let contact =
        Contact { external_id: Some(external_id.to_owned()), email: Some(ADDRESS.to_owned()), ..Contact::new(id, START) };
    write(store, org, contact, states).await;
    id
}

async fn found(store: &Store, org: OrgId) -> Option<ContactId> {
    store.contact(org, &ContactRef::Email(ADDRESS.to_owned())).await.unwrap().map(|contact| contact.id)
}

/// One loses the address.
async fn moves(store: &Store, org: OrgId, id: ContactId) {
    let touch = store::Touch { contacts: vec![ContactRef::Id(id)], ..store::Touch::default() };
    let states = store.load(&[(org, touch)], START).await.unwrap();
    let held = states.contacts[&(org, id)].value.clone();
    write(store, org, Contact { email: None, version: held.version + 1, ..held }, states).await;
}

#[tokio::test]
async fn those_that_were_left_out_stand_behind_whoever_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::mint(&System);
    let org = OrgId::mint(START, &System);
    let open = async || {
        let backend = Sqlite::open(folder.path(), &Options::default()).unwrap();
        backend.migrate(START).await.unwrap();
        (Arc::clone(&backend), Store::open(backend, &key, Arc::new(System)).await.unwrap())
    };
    let (backend, store) = open().await;
    let organization = Organization { id: org, name: "Ours".to_owned(), created_at: START };
    store.create_org(&organization, "{}".to_owned(), START).await.unwrap();
    let mut people = Vec::new();
    for external_id in ["a", "b", "c"] {
        people.push(person(&store, org, external_id).await);
    }
    assert_eq!(found(&store, org).await, Some(people[0]));
    backend.close().await;
    drop(store);

    let database = Connection::open(folder.path().join("passbridge.db")).unwrap();
    database.execute_batch(include_str!("before_keys.sql")).unwrap();
    database.execute_batch(AS_BEFORE).unwrap();
    let names: i64 = database.query_row("SELECT count(*) FROM contact_keys", [], |row| row.get(0)).unwrap();
    assert_eq!(names, 4, "three external ids and one address");
    drop(database);

    let (backend, store) = open().await;
    assert!(backend.unlined().await.unwrap().is_empty());
    let mut left: Vec<ContactId> = people.clone();
    left[1..].sort_unstable();
    let line = store.contacts_with(org, ADDRESS, None, 9).await.unwrap();
    assert_eq!(
        line.iter().map(|contact| (contact.id, contact.version)).collect::<Vec<_>>(),
        left.iter().map(|id| (*id, 1)).collect::<Vec<_>>()
    );
    for id in left {
        assert_eq!(found(&store, org).await, Some(id));
        moves(&store, org, id).await;
    }
    assert_eq!(found(&store, org).await, None);
    backend.close().await;
}
