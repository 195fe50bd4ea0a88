//! Moving house at the level of the store: what breaks off goes on, what is damaged leaves nothing, what arrives is the same.
#![allow(clippy::unwrap_used, clippy::panic)]

mod house;

use std::{
    io::{self, Read},
    sync::Arc,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use domain::{Clock as _, ContactRef, Entropy, Timestamp};
use house::{House, START, System};
use serde_json::{Value, json};
use store::{Backend, MasterKey, NameKind, Store, moving::MoveError};

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

/// What stands in front of the frames, and what seals them: form, nonce, text and tag, bound to the frame's number.
const MAGIC: &[u8] = b"PBMOVE01";
const SEAL_FORM: u8 = 1;

fn sealing(key: &MasterKey) -> LessSafeKey {
    let hex = key.to_hex();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).unwrap())
}

fn place(number: usize) -> Vec<u8> {
    [b"passbridge export".as_slice(), &u64::try_from(number).unwrap().to_be_bytes()].concat()
}

/// The frames of a file, opened.
fn opened(file: &[u8], key: &MasterKey) -> Vec<Value> {
    let (key, mut rest, mut frames) = (sealing(key), file.strip_prefix(MAGIC).unwrap(), Vec::new());
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let (sealed, more) = more.split_at(u32::from_be_bytes(*length).try_into().unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&sealed[1..=NONCE_LEN]).unwrap();
        let mut plain = sealed[1 + NONCE_LEN..].to_vec();
        let plain = key.open_in_place(nonce, Aad::from(place(frames.len())), &mut plain).unwrap();
        frames.push(serde_json::from_slice(plain).unwrap());
        rest = more;
    }
    frames
}

/// A file of frames, as whoever has the key could have written it.
fn sealed(mut frames: Vec<Value>, key: &MasterKey) -> Vec<u8> {
    let (key, mut file) = (sealing(key), MAGIC.to_vec());
    let last = frames.len() - 1;
    frames[last] = json!({"end": {"frames": last}});
    for (number, frame) in frames.iter().enumerate() {
        let mut nonce = [0; NONCE_LEN];
        System.fill(&mut nonce);
        let mut text = serde_json::to_vec(frame).unwrap();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place(number)), &mut text).unwrap();
        let frame = [&[SEAL_FORM], nonce.as_slice(), &text].concat();
        file.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
        file.extend(frame);
    }
    file
}

/// Leaves members of these names out, however deep.
fn without(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !names.contains(&name.as_str()));
            members.values_mut().for_each(|value| without(value, names));
        }
        Value::Array(all) => all.iter_mut().for_each(|value| without(value, names)),
        _ => {}
    }
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
    house.outcome(domain::Action::EraseContact { contact: erased, expected_version: None }).await;
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
    house
        .outcome(domain::Action::EraseContact { contact: ContactRef::External("person-m2".to_owned()), expected_version: None })
        .await;
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
    let shares = house.issued("m3").await.contact.unwrap();
    let keyed_alike = [(contact, "home@example.com".to_owned()), (shares, "home@example.com".to_owned())];
    assert_eq!(house.store.sharing(org, target, &keyed_alike).await.unwrap().len(), 2);
    house.store.backend().note_mirrored(org, sync, run, vec![pass.id]).await.unwrap();

    let transfer = MasterKey::mint(&System);
    let mut file = Vec::new();
    let (taken, _) = house.store.export(&[org], &transfer, true, now, &mut file).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (backend, store) = empty(&folder).await;
    assert_eq!(store.import(&transfer, now, || Ok(&file[..])).await.unwrap(), taken);
    assert!(taken.keys >= 3 && taken.notes == 4, "{taken:?}");

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
    let one = store.sharing(org, target, &keyed_alike[..1]).await.unwrap();
    let mut both = [contact, shares];
    both.sort_unstable();
    assert_eq!(one[&contact], both, "who is one record with them there is known without being told anew");
    assert_eq!(backend.count_mirrored(org, sync, domain::BatchId::mint(now, &System)).await.unwrap(), (1, 1));
}

#[tokio::test]
async fn where_a_page_was_moves_along_and_refuses_nothing() {
    let house = peopled().await;
    let (org, now, transfer) = (house.org, house.clock.now(), MasterKey::mint(&System));
    let names = ["old", "taken"].map(|slug| (NameKind::FormerEnrolment, slug.as_bytes().to_vec(), house.project.uuid()));
    let change = store::ConfigChange { org, actor: "{}".to_owned(), now, names: names.to_vec(), removed_names: Vec::new() };
    let catalog = house.store.catalog();
    let stored = &catalog.org(org).unwrap().projects[&house.project.uuid()];
    assert!(house.store.put(&change, &*stored.value, stored.revision).await.unwrap());
    let mut file = Vec::new();
    house.store.export(&[org], &transfer, true, now, &mut file).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (backend, store) = empty(&folder).await;
    let kind = NameKind::FormerEnrolment.number();
    let other = (domain::OrgId::mint(now, &System), house.project.uuid());
    let theirs = store::DirectoryRow { kind, name: b"taken".to_vec(), org: other.0, target: other.1 };
    backend.write_config(store::ConfigWrite { names: vec![theirs], now, ..store::ConfigWrite::default() }).await.unwrap();
    store.import(&transfer, now, || Ok(&file[..])).await.unwrap();
    assert_eq!(backend.look_up(kind, b"old").await.unwrap(), Some((org, house.project.uuid())));
    assert_eq!(backend.look_up(kind, b"taken").await.unwrap(), Some(other), "who has it keeps it");
}

/// What an export of the first release had not: frames of keys and notes, who wrote it, and what passes and flows have since.
#[tokio::test]
async fn an_export_of_an_earlier_release_is_taken_in() {
    let house = peopled().await;
    let (org, now, transfer) = (house.org, house.clock.now(), MasterKey::mint(&System));
    let flow = store::StoredFlow {
        id: domain::FlowId::mint(now, &System),
        slug: "sign-up".to_owned(),
        document: json!({"slug": "sign-up", "project": "club", "when": {}, "steps": []}),
        draft: None,
        version: Some(1),
        published_at: Some(now),
        enabled_at: Some(now),
        created_at: now,
    };
    let change = store::ConfigChange { org, actor: "{}".to_owned(), now, names: Vec::new(), removed_names: Vec::new() };
    assert!(house.store.put(&change, &flow, 0).await.unwrap());
    let mut file = Vec::new();
    let (taken, _) = house.store.export(&[org], &transfer, true, now, &mut file).await.unwrap();
    let mut frames = opened(&file, &transfer);
    assert!(frames[0]["header"]["release"].is_string());
    frames[0] = json!({"header": {"form": 1, "made_at": now}});
    let later = ["results", "messages", "synced", "records", "mirrored"];
    frames.retain(|frame| !later.iter().any(|kind| frame.get(kind).is_some()));
    for frame in &mut frames {
        without(frame, &["as_of"]);
        let resources = frame.pointer_mut("/configuration/resources").and_then(Value::as_array_mut);
        for resource in resources.into_iter().flatten() {
            let mut body: Value = serde_json::from_str(resource["body"].as_str().unwrap()).unwrap();
            without(&mut body, &["version", "published_at", "enabled_at", "egress"]);
            // A template has a version of its own since the first.
            if resource["kind"] != 4 {
                resource["body"] = json!(body.to_string());
            }
        }
    }
    let earlier = sealed(frames, &transfer);
    let folder = tempfile::tempdir().unwrap();
    let (_, store) = empty(&folder).await;
    let arrived = store.import(&transfer, now, || Ok(&earlier[..])).await.unwrap();
    assert_eq!(arrived, store::moving::Tally { keys: 0, notes: 0, ..taken });
    let before = house.store.passes(org, None, None, None, 200).await.unwrap();
    let after = store.passes(org, None, None, None, 200).await.unwrap();
    assert_eq!(after, before.into_iter().map(|pass| domain::Pass { as_of: None, ..pass }).collect::<Vec<_>>());
    let catalog = store.catalog_now().await.unwrap();
    let known = catalog.org(org).unwrap().flows.values().next().unwrap();
    assert_eq!((known.value.version, known.value.document["slug"].as_str()), (None, Some("sign-up")));
}

#[tokio::test]
async fn an_export_that_this_release_cannot_read_is_refused_by_name_and_leaves_nothing() {
    let house = peopled().await;
    let (org, now, transfer) = (house.org, house.clock.now(), MasterKey::mint(&System));
    let mut file = Vec::new();
    house.store.export(&[org], &transfer, true, now, &mut file).await.unwrap();
    let frames = opened(&file, &transfer);
    let place = |kind: &str| frames.iter().position(|frame| frame.get(kind).is_some()).unwrap();
    let (passes, configuration) = (place("passes"), place("configuration"));
    type Change = fn(&mut Value);
    let cases: [(usize, Change, &str); 5] = [
        (0, |header| header["header"]["form"] = json!(3), "release 99.1 wrote it, and this is release"),
        (passes, |frame| without(frame, &["serial"]), "missing field `serial`"),
        (passes, |frame| *frame = json!({"dreams": {}}), "unknown variant `dreams`"),
        (configuration, |frame| frame["configuration"]["resources"][0]["body"] = json!("{}"), "missing field"),
        (configuration, |frame| frame["configuration"]["resources"][0]["kind"] = json!(99), "99 is no kind of resource"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (backend, store) = empty(&folder).await;
    for (at, change, why) in cases {
        let mut frames = frames.clone();
        frames[0]["header"]["release"] = json!("99.1");
        change(&mut frames[at]);
        let other = sealed(frames, &transfer);
        match store.import(&transfer, now, || Ok(&other[..])).await {
            Err(MoveError::Refused(said)) => {
                assert!(said.contains(why) && said.contains("export again with this release"), "{why}: {said}");
            }
            other => panic!("{why}: {other:?}"),
        }
        assert!(backend.org_keys().await.unwrap().is_empty(), "{why}: nothing was written");
    }
    let headless = sealed(frames[1..].to_vec(), &transfer);
    assert!(matches!(store.import(&transfer, now, || Ok(&headless[..])).await, Err(MoveError::Damaged(_))));
}
