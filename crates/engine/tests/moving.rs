//! Moving house at the level of the store: what breaks off goes on, what is damaged leaves nothing, what arrives is the same.
#![allow(clippy::unwrap_used, clippy::panic)]

mod house;

use std::{
    io::{self, Read},
    sync::Arc,
};

use domain::{Clock as _, ContactRef, Entropy, Timestamp};
use house::{House, START, System};
use store::{Backend, MasterKey, Store, moving::MoveError};

/// Gives out so many bytes and breaks off then.
struct Breaking<'b>(&'b [u8], usize);

impl Read for Breaking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1 == 0 && !self.0.is_empty() {
            return Err(io::Error::other("the disk is gone"));
        }
        let most = self.1.min(buffer.len());
        let read = (&mut self.0).read(&mut buffer[..most])?;
        self.1 -= read;
        Ok(read)
    }
}

async fn empty(folder: &tempfile::TempDir) -> (Arc<dyn Backend>, Arc<Store>) {
    let backend = store_sqlite::Sqlite::open(folder.path(), &store_sqlite::Options::default()).unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(System);
    backend.migrate(Timestamp::from_micros(START)).await.unwrap();
    let store = Store::open(Arc::clone(&backend) as Arc<dyn Backend>, &MasterKey::mint(&System), entropy).await.unwrap();
    (backend, store)
}

async fn peopled() -> House {
    let house = house::house().await;
    for number in 0..130 {
        let pass = house.issued(&format!("m{number}")).await;
        if number % 3 == 0 {
            house.did(house.install(pass.id, &format!("device-{number}"))).await;
        }
        if number % 5 == 0 {
            house.did(house.add(pass.id, "7")).await;
        }
    }
    let erased = ContactRef::External("person-m9".to_owned());
    house.outcome(domain::Action::EraseContact { contact: erased }).await;
    house
}

#[tokio::test]
async fn an_import_that_breaks_off_goes_on_and_a_damaged_file_leaves_nothing() {
    let house = peopled().await;
    let transfer = MasterKey::mint(&System);
    let now = house.clock.now();
    let mut file = Vec::new();
    let owed = house.store.export(&[house.org], &transfer, false, now, &mut file).await;
    assert!(matches!(owed, Err(MoveError::Refused(_))), "nobody has read the log yet: {owed:?}");
    file.clear();
    let (taken, _) = house.store.export(&[house.org], &transfer, true, now, &mut file).await.unwrap();
    assert_eq!((taken.passes, taken.contacts, taken.installations), (130, 130, 44));
    assert!(!file.windows(8).any(|window| window == b"person-m"), "it is sealed");

    let folder = tempfile::tempdir().unwrap();
    let (backend, store) = empty(&folder).await;
    for at in (0..file.len()).step_by(file.len() / 40) {
        let mut damaged = file.clone();
        damaged[at] ^= 4;
        let refused = store.import(&transfer, now, || Ok(&damaged[..])).await;
        assert!(matches!(refused, Err(MoveError::Damaged(_))), "byte {at}: {refused:?}");
        let cut = store.import(&transfer, now, || Ok(&file[..at])).await;
        assert!(matches!(cut, Err(MoveError::Damaged(_))), "cut at {at}: {cut:?}");
    }
    let other = store.import(&MasterKey::mint(&System), now, || Ok(&file[..])).await;
    assert!(matches!(other, Err(MoveError::Damaged(_))), "another key: {other:?}");
    assert!(backend.org_keys().await.unwrap().is_empty(), "nothing was written");

    // It breaks off in the middle three times; the organization is nobody's until it is whole.
    for part in 1..4 {
        let mut opened = 0;
        let breaking = || {
            opened += 1;
            Ok(Breaking(&file, if opened == 1 { usize::MAX } else { file.len() * part / 4 }))
        };
        let broken = store.import(&transfer, now, breaking).await;
        assert!(matches!(broken, Err(MoveError::File(_))), "{broken:?}");
        assert!(store.catalog_now().await.unwrap().org(house.org).is_none_or(|config| config.organization.is_none()));
    }
    let arrived = store.import(&transfer, now, || Ok(&file[..])).await.unwrap();
    assert_eq!(arrived, taken);
    assert!(matches!(store.import(&transfer, now, || Ok(&file[..])).await, Err(MoveError::Refused(_))), "not twice");

    assert_ne!(store.epoch(), house.store.epoch(), "phones list everything once");
    let (mut old, mut new) = (None, None);
    loop {
        let before = house.store.passes(house.org, None, None, old, 100).await.unwrap();
        let after = store.passes(house.org, None, None, new, 100).await.unwrap();
        let Some(last) = before.last() else { break };
        (old, new) = (Some(last.id), Some(last.id));
        assert_eq!(before, after);
        for pass in &before {
            let kinds = async |store: &Store| {
                let events = store.events_of_pass(house.org, pass.id, 0, 100).await.unwrap();
                events.into_iter().filter_map(store::LoggedEvent::whole).map(|event| (event.id, event.facts)).collect::<Vec<_>>()
            };
            assert_eq!(kinds(&house.store).await, kinds(&store).await);
            assert_eq!(
                house.store.installations(house.org, pass.id, None, 100).await.unwrap(),
                store.installations(house.org, pass.id, None, 100).await.unwrap()
            );
            let token = |store: &Store| store.keyring().apple_token(house.org, "pass.x", &pass.serial, pass.token_epoch).unwrap();
            assert_eq!(token(&house.store), token(&store));
        }
    }
    for number in [0, 64, 129] {
        let of = ContactRef::External(format!("person-m{number}"));
        assert_eq!(house.store.contact(house.org, &of).await.unwrap(), store.contact(house.org, &of).await.unwrap());
        let found = store.pass_by_external_id(house.org, house.project, &format!("m{number}")).await.unwrap();
        assert!(found.is_some());
    }
    let gone = ContactRef::External("person-m9".to_owned());
    assert_eq!(store.contact(house.org, &gone).await.unwrap(), None);
    for reader in store::Reader::CARRIERS {
        assert_eq!(backend.watermarks(reader).await.unwrap(), backend.heads(reader.log()).await.unwrap(), "news to nobody");
    }
}

/// A key that was used before the move binds after it, a message id is known, and notes are as they were.
#[tokio::test]
async fn what_has_a_key_happens_once_also_after_the_move() {
    let house = house::house().await;
    let (org, now) = (house.org, house.clock.now());
    let keyed = |name: &str, fingerprint: u8| {
        let (principal, key) = ("key:1".to_owned(), name.to_owned());
        Some(domain::IdempotencyKey { principal, key, fingerprint: [fingerprint; 32], keep_image: true })
    };
    let with_key = |action: domain::Action, name: &str| domain::Command { key: keyed(name, 1), ..house.command(action) };
    let pass = house.issued("m1").await;
    let added = house.engine.submit(with_key(house.add(pass.id, "7"), "add")).await.unwrap();
    let gone = house.issued("m2").await;
    house.engine.submit(with_key(house.add(gone.id, "7"), "gone")).await.unwrap();
    house.outcome(domain::Action::EraseContact { contact: ContactRef::External("person-m2".to_owned()) }).await;
    let source = domain::SourceId::mint(now, &System);
    let arrival = |text: &str| {
        let text = text.to_owned();
        let event = domain::SourceEvent {
            dedupe_key: text.clone(),
            order_key: text,
            name: "track x".to_owned(),
            occurred_at: None,
            payload: "{}".to_owned(),
        };
        store::Arrival { org, source, received_at: now, event, fault: None }
    };
    let (first, _) = house.store.accept(vec![arrival("one")]).await.unwrap()[0];
    let (target, sync, run) =
        (domain::TargetId::mint(now, &System), domain::SyncId::mint(now, &System), domain::BatchId::mint(now, &System));
    let contact = pass.contact.unwrap();
    let told = house.store.synced_hash(org, "state").unwrap();
    house.store.note_synced(org, target, [(contact, Some(told))]).await.unwrap();
    house.store.backend().note_mirrored(org, sync, run, vec![pass.id]).await.unwrap();

    let transfer = MasterKey::mint(&System);
    let mut file = Vec::new();
    let (taken, _) = house.store.export(&[org], &transfer, true, now, &mut file).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (backend, store) = empty(&folder).await;
    assert_eq!(store.import(&transfer, now, || Ok(&file[..])).await.unwrap(), taken);
    assert!(taken.keys >= 3 && taken.notes == 2, "{taken:?}");

    let (engine, runner) = engine::Engine::new(Arc::clone(&store), Arc::clone(&house.clock) as Arc<dyn domain::Clock>);
    tokio::spawn(runner.run());
    let again = engine.submit(with_key(house.add(pass.id, "7"), "add")).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.answer, again.pass), (added.answer, added.pass), "what it was answered");
    let other = domain::Command { key: keyed("add", 2), ..house.command(house.add(pass.id, "9")) };
    assert!(engine.submit(other).await.is_err(), "the key is another command's");
    assert!(
        engine.submit(with_key(house.add(gone.id, "7"), "gone")).await.unwrap().replayed,
        "it binds although they were erased"
    );
    assert_eq!(store.pass(org, pass.id).await.unwrap(), house.store.pass(org, pass.id).await.unwrap());
    assert_eq!(store.accept(vec![arrival("one")]).await.unwrap()[0], (first, store::Accepted::Duplicate(first)));
    assert!(matches!(store.accept(vec![arrival("two")]).await.unwrap()[0].1, store::Accepted::New(_)));
    assert_eq!(store.synced(org, target, &[contact]).await.unwrap()[&contact], told);
    assert_eq!(backend.count_mirrored(org, sync, domain::BatchId::mint(now, &System)).await.unwrap(), (1, 1));
}
