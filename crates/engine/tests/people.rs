//! Who is found by an e-mail address that several people have, whatever becomes of them and in whichever batches.
#![allow(clippy::unwrap_used, clippy::panic)]

mod house;

use std::{collections::BTreeMap, sync::Arc};

use domain::{Action, Clock as _, ContactId, ContactInput, ContactRef};
use house::{House, System, futures_all};
use store::{Backend as _, FollowedEvent, LoggedEvent, MasterKey, Store};

/// Rounds of the random walk, of a few commands each.
const ROUNDS: usize = 120;

fn email(name: &str) -> ContactRef {
    ContactRef::Email(format!("{name}@example.com"))
}

/// What is told of a person: an external id, an address, either or both.
fn put(house: &House, external_id: Option<&str>, address: Option<&str>) -> (ContactId, Action) {
    let new_id = ContactId::mint(house.clock.now(), &System);
    let email = address.map(|name| format!("{name}@example.com"));
    let input = ContactInput { external_id: external_id.map(str::to_owned), email, ..ContactInput::default() };
    (new_id, Action::PutContact { new_id, input })
}

async fn found(store: &Store, house: &House, name: &str) -> Option<ContactId> {
    store.contact(house.org, &email(name)).await.unwrap().map(|contact| contact.id)
}

/// Commands that are submitted together are gathered behind the first; who is found is the same as if each had come alone.
#[tokio::test]
async fn who_gives_an_address_up_makes_place_within_a_batch_too() {
    let house = house::house().await;
    let mut people = Vec::new();
    for external_id in ["a", "b", "c"] {
        let (id, action) = put(&house, Some(external_id), Some("home"));
        house.outcome(action).await;
        people.push(id);
    }
    let by = |name: &str| ContactRef::External(name.to_owned());
    let commands = vec![
        house.command(put(&house, Some("d"), None).1),
        house.command(put(&house, None, Some("home")).1),
        house.command(Action::EraseContact { contact: by("a"), expected_version: None }),
        house.command(put(&house, None, Some("home")).1),
        house.command(put(&house, Some("b"), Some("away")).1),
        house.command(put(&house, None, Some("home")).1),
        house.command(Action::EraseContact { contact: email("away"), expected_version: None }),
        house.command(Action::EraseContact { contact: email("home"), expected_version: None }),
        house.command(put(&house, Some("a"), Some("home")).1),
        house.command(put(&house, None, Some("home")).1),
    ];
    let outcomes = futures_all(&house, commands).await;
    let contacts: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().answer.contact().unwrap()).collect();
    let [a, b, c] = people[..] else { unreachable!() };
    assert_eq!(contacts[1..8], [a, a, b, b, c, b, c]);
    assert!(contacts[8] != a && contacts[9] == contacts[8], "the external id of somebody who was erased is free: {contacts:?}");
    assert_eq!(found(&house.store, &house, "home").await, Some(contacts[8]));
}

/// What every contact has, and who stands in which line.
#[derive(Default)]
struct Model {
    people: BTreeMap<ContactId, (Option<String>, Option<String>)>,
    lines: BTreeMap<String, Vec<ContactId>>,
}

impl Model {
    fn first(&self, address: &str) -> Option<ContactId> {
        self.lines.get(address).and_then(|line| line.first()).copied()
    }

    fn by_external(&self, external_id: &str) -> Option<ContactId> {
        self.people.iter().find(|(_, (held, _))| held.as_deref() == Some(external_id)).map(|(id, _)| *id)
    }

    fn put(&mut self, new_id: ContactId, external_id: Option<&str>, address: Option<&str>) -> ContactId {
        let named = external_id.and_then(|external_id| self.by_external(external_id));
        let first = address.and_then(|address| self.first(address));
        let same = first.filter(|id| external_id.is_none() || self.people[id].0.is_none());
        let id = named.or(same).unwrap_or(new_id);
        let held = self.people.entry(id).or_default();
        held.0 = external_id.map(str::to_owned).or(held.0.take());
        if let Some(address) = address.filter(|address| held.1.as_deref() != Some(address)) {
            let left = held.1.replace(address.to_owned());
            self.leave(id, left);
            self.lines.entry(address.to_owned()).or_default().push(id);
        }
        id
    }

    fn leave(&mut self, id: ContactId, address: Option<String>) {
        if let Some(line) = address.and_then(|address| self.lines.get_mut(&address)) {
            line.retain(|contact| *contact != id);
        }
    }

    fn erase(&mut self, id: ContactId) {
        let (_, address) = self.people.remove(&id).unwrap();
        self.leave(id, address);
    }
}

/// A walk over few people and few addresses, in bursts that are gathered into batches, compared with a model that takes one command
/// after another; and the same lines after a move.
#[tokio::test]
async fn the_oldest_claim_is_found_after_any_order_of_changes_and_erasures() {
    let house = house::house().await;
    let (mut model, mut state) = (Model::default(), 0x9E37_79B9_7F4A_7C15_u64);
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let (external_ids, addresses) = (["p", "q", "r", "s", "t"], ["x", "y", "z"]);
    for round in 0..ROUNDS {
        let (mut commands, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..=below(7) {
            let (external_id, address) = (external_ids[below(5)], addresses[below(3)]);
            if below(4) == 0 {
                let Some(id) = model.by_external(external_id) else { continue };
                model.erase(id);
                commands.push(house.command(Action::EraseContact {
                    contact: ContactRef::External(external_id.to_owned()),
                    expected_version: None,
                }));
                expected.push(id);
                continue;
            }
            let (named, addressed) = [(true, true), (true, true), (true, false), (false, true)][below(4)];
            let (external_id, address) = (Some(external_id).filter(|_| named), Some(address).filter(|_| addressed));
            let (new_id, action) = put(&house, external_id, address);
            commands.push(house.command(action));
            expected.push(model.put(new_id, external_id, address));
        }
        let outcomes = futures_all(&house, commands).await;
        let reached: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().answer.contact().unwrap()).collect();
        assert_eq!(reached, expected, "round {round}");
        for address in addresses {
            assert_eq!(found(&house.store, &house, address).await, model.first(address), "{address} in round {round}");
        }
    }
    same_lines(&house, &house.store, &model).await;

    let transfer = MasterKey::mint(&System);
    let mut file = Vec::new();
    let now = house.clock.now();
    house.store.export(&[house.org], &transfer, true, now, &mut file).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let backend = store_sqlite::Sqlite::open(folder.path(), &store_sqlite::Options::default()).unwrap();
    backend.migrate(now).await.unwrap();
    let store = Store::open(backend, &MasterKey::mint(&System), Arc::new(System)).await.unwrap();
    store.import(&transfer, now, || Ok(&file[..])).await.unwrap();
    same_lines(&house, &store, &model).await;
}

async fn same_lines(house: &House, store: &Store, model: &Model) {
    assert!(model.lines.values().any(|line| line.len() > 2), "the walk is worth its name: {:?}", model.lines);
    for (address, line) in &model.lines {
        let address = format!("{address}@example.com");
        let contacts = store.contacts_with(house.org, &address, None, 100).await.unwrap();
        assert_eq!(contacts.iter().map(|contact| contact.id).collect::<Vec<_>>(), *line, "{address}");
    }
}

/// Another node knows nothing of what this one decides: either the pass is issued and erased with its holder, or it is decided anew
/// and has another holder of that name. Each can be read afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_pass_while_they_are_erased_elsewhere() {
    let house = house::house().await;
    let (other, runner) = engine::Engine::new(Arc::clone(&house.store), Arc::clone(&house.clock) as Arc<dyn domain::Clock>);
    tokio::spawn(runner.run());
    for round in 0..60 {
        let name = format!("r{round}");
        house.issued(&name).await;
        let contact = ContactRef::External(format!("person-{name}"));
        let holder = house.store.contact(house.org, &contact).await.unwrap().unwrap().id;
        let mut issue = house.issue(&format!("{name}-b"));
        issue.contact = Some(ContactInput { external_id: Some(format!("person-{name}")), ..ContactInput::default() });
        let pass = issue.id;
        let issue = house.command(Action::Issue(Box::new(issue)));
        let erase = house.command(Action::EraseContact { contact, expected_version: None });
        let (issued, erased) = tokio::join!(other.submit(issue), house.engine.submit(erase));
        erased.unwrap();
        issued.unwrap();
        let pass = house.store.pass(house.org, pass).await.unwrap().unwrap();
        let is_revoked = matches!(pass.lifecycle, domain::Lifecycle::Revoked { .. });
        assert_eq!(pass.contact == Some(holder), is_revoked, "round {round}");
    }
}

/// Whoever follows the events of a shard gets from memory what they would read, and nothing of who is erased.
#[tokio::test]
async fn events_that_are_followed_are_as_the_store_has_them() {
    let house = house::house().await;
    let mut issue = house.issue("followed");
    issue.contact = Some(ContactInput { external_id: Some("follower".to_owned()), ..ContactInput::default() });
    let pass = house.did(Action::Issue(Box::new(issue))).await;
    let shard = pass.shard;
    let follower = house.store.follow_events(shard);
    let before = house.store.read_events(shard, 0, 100).await.unwrap().len() as u64;

    house.did(house.add(pass.id, "5")).await;
    house.did(house.install(pass.id, "phone")).await;
    let page = follower.next(before, 100).await.unwrap();
    assert!(page.entries.len() > 1 && page.entries.iter().all(|event| matches!(event, FollowedEvent::Kept(_))), "{page:?}");
    let stored = house.store.read_events(shard, before, 100).await.unwrap();
    assert_eq!(page.entries.len(), stored.len());
    for (followed, stored) in page.entries.iter().zip(stored) {
        let (event, under) = house.store.open_followed(followed).unwrap().unwrap();
        let LoggedEvent::Whole(read, read_under) = stored else { panic!("nobody was erased") };
        assert_eq!(*event, *read);
        let sealed = |under| house.store.seal_detail(&event, under, b"detail").unwrap();
        let ((subject, detail), (as_read, other)) = (sealed(&under), sealed(&read_under));
        assert_eq!((subject, detail.len()), (as_read, other.len()), "what is sealed about it goes with its subject");
    }

    let after = before + page.entries.len() as u64;
    house.did(house.add(pass.id, "5")).await;
    let contact = ContactRef::External("follower".to_owned());
    house.outcome(Action::EraseContact { contact, expected_version: None }).await;
    let page = follower.next(after, 100).await.unwrap();
    assert!(page.entries.len() > 1 && page.entries.iter().all(|event| matches!(event, FollowedEvent::Stored(_))), "{page:?}");
    assert!(house.store.open_followed(&page.entries[0]).unwrap().is_none(), "it is about somebody who was erased");
}
