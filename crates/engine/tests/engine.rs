//! The engine over a real SQLite file: keys, races, replay from events, erasure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use domain::{
    Action, Amount, Answer, Clock, Command, CommandId, ContactId, ContactInput, ContactRef, EventKind, Facts, FieldDef,
    IdempotencyKey, IfExists, Lifecycle, MessageEnd, Pass, PassChange, PassId, PassRef, RefusedScan, RejectCode, Timestamp,
    UninstallReason, Void, Wallet,
};
use engine::{Engine, EngineError, Outcome};
use proptest::prelude::*;
use store::LoggedEvent;

mod house;

use house::{House, START, System, futures_all, house, house_with};

#[tokio::test]
async fn a_key_happens_once_and_answers_the_same() {
    let house = house().await;
    let pass = house.issued("a").await;
    let key = |fingerprint: u8| {
        Some(IdempotencyKey {
            principal: "key".to_owned(),
            key: "k".to_owned(),
            fingerprint: [fingerprint; 32],
            keep_image: true,
        })
    };
    let mut commands = Vec::new();
    for _ in 0..20 {
        commands.push(Command { key: key(1), ..house.command(house.add(pass.id, "5")) });
    }
    let outcomes = futures_all(&house, commands).await;
    let first = outcomes[0].as_ref().unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.as_ref().unwrap().replayed).count(), 1);
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().pass == first.pass));
    let later = Command { key: key(1), ..house.command(house.add(pass.id, "5")) };
    house.did(house.add(pass.id, "1")).await;
    assert_eq!(house.engine.submit(later).await.unwrap().pass.unwrap().balances["points"].to_string(), "5", "as it was then");
    let other = Command { key: key(2), ..house.command(house.add(pass.id, "6")) };
    let refused = house.engine.submit(other).await.unwrap_err();
    assert!(matches!(refused, EngineError::Rejected(reject) if reject.code == RejectCode::KeyReused));
    assert_eq!(house.store.pass(house.org, pass.id).await.unwrap().unwrap().balances["points"].to_string(), "6");
}

#[tokio::test]
async fn two_engines_on_one_store_lose_no_update() {
    let house = house().await;
    let pass = house.issued("a").await;
    let (other, runner) = Engine::new(Arc::clone(&house.store), Arc::clone(&house.clock) as Arc<dyn Clock>);
    tokio::spawn(runner.run());
    let mut tasks = Vec::new();
    for number in 0..100 {
        let engine = if number % 2 == 0 { house.engine.clone() } else { other.clone() };
        let command = house.command(house.add(pass.id, "1"));
        tasks.push(tokio::spawn(async move { engine.submit(command).await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let pass = house.store.pass(house.org, pass.id).await.unwrap().unwrap();
    assert_eq!((pass.balances["points"].to_string(), pass.version), ("100".to_owned(), 101));
}

#[tokio::test]
async fn the_second_scan_of_a_single_use_pass_is_refused_and_told() {
    let house = house().await;
    let mut issue = house.issue("a");
    issue.uses_limit = Some(1);
    let pass = house.did(Action::Issue(Box::new(issue))).await;
    let scan = || house.scan(pass.id);
    let outcomes = futures_all(&house, (0..50).map(|_| house.command(scan())).collect()).await;
    let accepted = outcomes.iter().filter(|it| matches!(it.as_ref().unwrap().answer, Answer::Scanned { .. })).count();
    assert_eq!(accepted, 1);
    let refused = |answer: &Answer| {
        matches!(answer, Answer::ScanRefused { pass: Some(_), reason: RefusedScan::AlreadyUsed, version: 2, .. })
    };
    assert_eq!(outcomes.iter().filter(|it| refused(&it.as_ref().unwrap().answer)).count(), 49);
    let kinds = house.kinds(pass.id).await;
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::PassScanRefused).count(), 49);
}

#[tokio::test]
async fn validity_ends_by_sweep_and_by_decide() {
    let house = house().await;
    let end = Timestamp::from_micros(START + 1_000_000);
    let mut issue = house.issue("a");
    issue.validity.expires_at = Some(end);
    let pass = house.did(Action::Issue(Box::new(issue))).await;
    let due = |now| house.store.backend().due_passes(0, now, 10);
    assert!(due(end.minus(std::time::Duration::from_micros(1))).await.unwrap().is_empty());
    assert_eq!(due(end).await.unwrap(), [(house.org, pass.id)]);
    house.clock.0.store(end.as_micros(), Ordering::Relaxed);
    let outcome = house.outcome(house.scan(pass.id)).await;
    assert!(matches!(outcome.answer, Answer::ScanRefused { reason: RefusedScan::Expired, .. }));
    assert_eq!(house.kinds(pass.id).await, [EventKind::PassCreated, EventKind::PassExpired, EventKind::PassScanRefused]);
    assert!(due(end).await.unwrap().is_empty());
    let later = Some(Some(end.plus(std::time::Duration::from_secs(60))));
    let change = Box::new(PassChange { expires_at: later, ..PassChange::default() });
    let pass = house.did(Action::Update { pass: PassRef::Id(pass.id), change, expected_version: None }).await;
    assert_eq!(pass.lifecycle, Lifecycle::Active);
}

#[tokio::test]
async fn an_issue_that_meets_a_void_pass_says_so_and_switches_it_on_where_that_is_asked_for() {
    let house = house().await;
    let pass = house.issued("a").await;
    let again = |if_exists: IfExists, undoes: Option<&str>| {
        let mut issue = house.issue("a");
        (issue.if_exists, issue.undoes) = (if_exists, undoes.map(str::to_owned));
        Action::Issue(Box::new(issue))
    };
    let revoke = |reason: &str| Action::Revoke { pass: PassRef::Id(pass.id), reason: Some(reason.to_owned()) };
    assert_eq!(house.outcome(again(IfExists::Reactivate, None)).await.answer.stays(), None);
    house.did(revoke("it was stolen")).await;
    for (if_exists, undoes) in [(IfExists::Update, None), (IfExists::Keep, None), (IfExists::Update, Some("its row is gone"))] {
        let left = house.outcome(again(if_exists, undoes)).await;
        assert!(matches!(left.answer, Answer::Unchanged { stays: Some(Void::Revoked), .. }), "{:?}", left.answer);
    }
    // What changed of it is kept, and it is as void as before.
    let mut moved = house.issue("a");
    (moved.if_exists, moved.variant) = (IfExists::Update, Some("gold".parse().unwrap()));
    let left = house.outcome(Action::Issue(Box::new(moved))).await;
    assert!(matches!(left.answer, Answer::Done { created: false, stays: Some(Void::Revoked), .. }), "{:?}", left.answer);

    let back = house.outcome(again(IfExists::Reactivate, None)).await;
    assert!(matches!(back.answer, Answer::Done { created: false, stays: None, .. }), "{:?}", back.answer);
    assert_eq!(back.pass.unwrap().lifecycle, Lifecycle::Active);
    house.did(revoke("its row is gone")).await;
    let back = house.did(again(IfExists::Update, Some("its row is gone"))).await;
    assert_eq!(back.lifecycle, Lifecycle::Active);
    let kinds = house.kinds(pass.id).await;
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::PassActivated).count(), 2, "{kinds:?}");

    // One whose time is over needs a later one first.
    let end = Timestamp::from_micros(START + 1_000_000);
    let change = Box::new(PassChange { expires_at: Some(Some(end)), ..PassChange::default() });
    house.did(Action::Update { pass: PassRef::Id(pass.id), change, expected_version: None }).await;
    house.did(revoke("its row is gone")).await;
    house.clock.0.store(end.as_micros(), Ordering::Relaxed);
    assert_eq!(house.refused(again(IfExists::Reactivate, None)).await, RejectCode::NotAllowed);
    assert_eq!(house.outcome(again(IfExists::Update, Some("its row is gone"))).await.answer.stays(), Some(Void::Revoked));
    let mut longer = house.issue("a");
    longer.validity.expires_at = Some(end.plus(std::time::Duration::from_secs(60)));
    longer.if_exists = IfExists::Reactivate;
    assert_eq!(house.did(Action::Issue(Box::new(longer))).await.lifecycle, Lifecycle::Active);
}

/// Commands that are submitted together are gathered behind the first; what is found is the same as if each had come alone.
#[tokio::test]
async fn an_external_id_that_a_pass_gave_up_is_free_within_a_batch_too() {
    let house = house().await;
    let (renamed, erased) = (house.issued("first").await, house.issued("second").await);
    let change = Box::new(PassChange { external_id: Some("third".to_owned()), ..PassChange::default() });
    let issue = |external_id: &str| {
        let mut issue = house.issue(external_id);
        issue.if_exists = IfExists::Update;
        house.command(Action::Issue(Box::new(issue)))
    };
    let commands = vec![
        house.command(house.add(renamed.id, "1")),
        house.command(Action::Update { pass: PassRef::Id(renamed.id), change, expected_version: None }),
        house.command(Action::EraseContact { contact: ContactRef::External("person-second".to_owned()), expected_version: None }),
        issue("first"),
        issue("second"),
        issue("third"),
    ];
    let outcomes = futures_all(&house, commands).await;
    let found: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().pass.map(|pass| pass.id)).collect();
    let [.., first, second, third] = found[..] else { unreachable!() };
    assert!(![Some(renamed.id), Some(erased.id)].contains(&first) && first.is_some(), "the renamed pass is `third` now");
    assert!(![Some(renamed.id), Some(erased.id)].contains(&second) && second.is_some(), "nobody finds what was erased");
    assert_eq!(third, Some(renamed.id));
    let stored = async |name| house.store.pass_by_external_id(house.org, house.project, name).await.unwrap().map(|pass| pass.id);
    assert_eq!([stored("first").await, stored("second").await, stored("third").await], [first, second, third]);
}

#[tokio::test]
async fn rejections_point_at_the_fault_and_change_nothing() {
    let house = house().await;
    let pass = house.issued("a").await;
    assert_eq!(house.refused(Action::Issue(Box::new(house.issue("a")))).await, RejectCode::AlreadyExists);
    assert_eq!(house.refused(house.add(pass.id, "-1")).await, RejectCode::Insufficient);
    let stale = Action::Update {
        pass: PassRef::Id(pass.id),
        change: Box::new(PassChange { variant: Some("gold".parse().unwrap()), ..PassChange::default() }),
        expected_version: Some(9),
    };
    assert_eq!(house.refused(stale).await, RejectCode::VersionConflict);
    let taken = house.issued("b").await;
    let change = Box::new(PassChange { external_id: Some("a".to_owned()), ..PassChange::default() });
    let rename = Action::Update { pass: PassRef::Id(taken.id), change, expected_version: None };
    assert_eq!(house.refused(rename).await, RejectCode::AlreadyExists);
    house.did(Action::Delete { pass: PassRef::Id(pass.id), expected_version: None }).await;
    assert_eq!(house.refused(house.add(pass.id, "1")).await, RejectCode::NotAllowed);
    let again = house.issued("a").await;
    assert_ne!(again.id, pass.id, "a deleted pass gives its external id free");
    assert_eq!(house.kinds(taken.id).await, [EventKind::PassCreated]);
}

#[tokio::test]
async fn last_modified_never_repeats_for_a_changed_pass() {
    let house = house().await;
    let mut pass = house.issued("a").await;
    for _ in 0..5 {
        let next = house.did(house.add(pass.id, "1")).await;
        assert!(next.last_modified > pass.last_modified && next.content_version == pass.content_version + 1);
        pass = next;
    }
}

#[tokio::test]
async fn installations_are_counted_once_per_device() {
    let house = house().await;
    let pass = house.issued("a").await;
    for device in ["phone", "watch", "phone"] {
        house.outcome(house.install(pass.id, device)).await;
    }
    let contact =
        || async { house.store.contact(house.org, &ContactRef::External("person-a".to_owned())).await.unwrap().unwrap() };
    assert_eq!(contact().await.wallet_status().name(), "apple");
    let gone = |device: &str| Action::RecordUninstall {
        pass: PassRef::Id(pass.id),
        wallet: Wallet::Apple,
        device: device.to_owned(),
        reason: UninstallReason::Unregistered,
    };
    house.outcome(gone("phone")).await;
    assert_eq!(contact().await.wallet_status().name(), "apple", "the watch still has it");
    house.outcome(gone("watch")).await;
    house.outcome(gone("watch")).await;
    assert_eq!(contact().await.wallet_status().name(), "apple", "held: the watch may take it again");
    house.clock.0.fetch_add(i64::try_from(Pass::HOLD.as_micros()).unwrap(), Ordering::Relaxed);
    house.outcome(Action::Expire { pass: PassRef::Id(pass.id) }).await;
    assert_eq!(contact().await.wallet_status().name(), "none");
    let kinds = house.kinds(pass.id).await;
    let count = |wanted| kinds.iter().filter(|kind| **kind == wanted).count();
    assert_eq!((count(EventKind::PassInstalled), count(EventKind::PassUninstalled)), (2, 2));
}

#[tokio::test]
async fn erasing_a_person_leaves_nothing_to_read() {
    let house = house().await;
    let mut issue = house.issue("a");
    let secret = "Somebody Unmistakable";
    issue.contact = Some(ContactInput {
        external_id: Some("p1".to_owned()),
        name: Some(secret.to_owned()),
        email: Some("somebody@example.com".to_owned()),
        ..ContactInput::default()
    });
    let pass = house.did(Action::Issue(Box::new(issue))).await;
    let gone = house.issued("tombstone").await;
    house.did(Action::Delete { pass: PassRef::Id(gone.id), expected_version: None }).await;
    house.outcome(Action::EraseContact { contact: ContactRef::External("p1".to_owned()), expected_version: None }).await;
    house
        .outcome(Action::EraseContact { contact: ContactRef::External("person-tombstone".to_owned()), expected_version: None })
        .await;
    let events = house.store.events_of_pass(house.org, pass.id, 0, 100).await.unwrap();
    assert!(matches!(events[0], LoggedEvent::Erased(_)));
    let read = house.store.pass(house.org, pass.id).await.unwrap().unwrap();
    assert_eq!((read.lifecycle.name(), read.external_id), ("revoked", None));
    assert_eq!(house.store.pass(house.org, gone.id).await.unwrap().unwrap().lifecycle.name(), "deleted");
    assert!(house.store.contact(house.org, &ContactRef::Email("somebody@example.com".to_owned())).await.unwrap().is_none());
    for file in std::fs::read_dir(house._folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

/// One of the commands that the property test draws; small numbers, so that they meet on the same passes.
#[derive(Debug, Clone)]
enum Step {
    Issue(u8),
    Add(u8, i8),
    Move(u8, bool),
    Revoke(u8),
    Activate(u8),
    Scan(u8),
    Install(u8, u8),
    Uninstall(u8, u8),
    Delete(u8),
    Rename(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(0..4), 1..60)
}

fn step(pass: std::ops::Range<u8>) -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => pass.clone().prop_map(Step::Issue),
        4 => (pass.clone(), any::<i8>()).prop_map(|(pass, amount)| Step::Add(pass, amount)),
        1 => (pass.clone(), any::<bool>()).prop_map(|(pass, gold)| Step::Move(pass, gold)),
        1 => pass.clone().prop_map(Step::Revoke),
        1 => pass.clone().prop_map(Step::Activate),
        2 => pass.clone().prop_map(Step::Scan),
        2 => (pass.clone(), 0u8..3).prop_map(|(pass, device)| Step::Install(pass, device)),
        2 => (pass.clone(), 0u8..3).prop_map(|(pass, device)| Step::Uninstall(pass, device)),
        1 => pass.clone().prop_map(Step::Delete),
        1 => pass.prop_map(Step::Rename),
    ]
}

fn action(house: &House, ids: &[PassId], step: &Step) -> Action {
    let by_id = |pass: &u8| PassRef::Id(ids[usize::from(*pass)]);
    match step {
        Step::Issue(pass) => {
            let mut issue = house.issue(&pass.to_string());
            issue.id = ids[usize::from(*pass)];
            issue.uses_limit = Some(3);
            issue.if_exists = IfExists::Keep;
            Action::Issue(Box::new(issue))
        }
        Step::Add(pass, amount) => house.add(ids[usize::from(*pass)], &amount.to_string()),
        Step::Move(pass, gold) => {
            let variant = Some(if *gold { "gold" } else { "base" }.parse().unwrap());
            let change = Box::new(PassChange { variant, ..PassChange::default() });
            Action::Update { pass: by_id(pass), change, expected_version: None }
        }
        Step::Revoke(pass) => Action::Revoke { pass: by_id(pass), reason: None },
        Step::Activate(pass) => Action::Activate { pass: by_id(pass) },
        Step::Scan(pass) => house.scan(ids[usize::from(*pass)]),
        Step::Install(pass, device) => house.install(ids[usize::from(*pass)], &device.to_string()),
        Step::Uninstall(pass, device) => Action::RecordUninstall {
            pass: by_id(pass),
            wallet: Wallet::Apple,
            device: device.to_string(),
            reason: UninstallReason::Unregistered,
        },
        Step::Delete(pass) => Action::Delete { pass: by_id(pass), expected_version: None },
        Step::Rename(pass) => Action::PutContact {
            new_id: ContactId::mint(house.clock.now(), &System),
            input: ContactInput {
                external_id: Some(format!("person-{pass}")),
                name: Some(format!("Name {}", house.clock.now().as_micros())),
                ..ContactInput::default()
            },
        },
    }
}

/// Everything about a pass and its holder but the times.
fn outline(pass: &Pass) -> (String, BTreeMap<String, Amount>, &'static str, u32, u32, u64, u64) {
    let variant = pass.variant.to_string();
    (
        variant,
        pass.balances.clone(),
        pass.lifecycle.name(),
        pass.uses.count,
        pass.apple.active,
        pass.version,
        pass.content_version,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// What fills several commits, of which the later are decided while the earlier are written, ends as one command after
    /// another would: the same answers, events and states.
    #[test]
    fn commands_of_several_commits_are_as_if_one_after_another(steps in prop::collection::vec(step(0..200), 600..900)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let (together, serial) = (house().await, house().await);
            let ids: Vec<PassId> = (0..200).map(|_| PassId::mint(together.clock.now(), &System)).collect();
            let commands = |house: &House| steps.iter().map(|step| house.command(action(house, &ids, step))).collect::<Vec<_>>();
            let answered = together.engine.submit_all(commands(&together)).await;
            let mut expected = Vec::new();
            for command in commands(&serial) {
                expected.push(serial.engine.submit(command).await);
            }
            let told = |verdict: &Result<Outcome, EngineError>| match verdict {
                Ok(outcome) => Ok(outcome.pass.as_deref().map(outline)),
                Err(EngineError::Rejected(reject)) => Err(reject.code),
                Err(EngineError::Unavailable(error)) => panic!("{error}"),
            };
            assert_eq!(answered.iter().map(told).collect::<Vec<_>>(), expected.iter().map(told).collect::<Vec<_>>());
            let events = async |house: &House| {
                let log = house.store.read_events(0, 0, 10_000).await.unwrap();
                log.into_iter().map(|event| event.whole().unwrap()).map(|event| (event.pass, event.kind())).collect::<Vec<_>>()
            };
            assert_eq!(events(&together).await, events(&serial).await);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Commands that race end as some order of them: the order in which their events stand in the log. And the state is
    /// what the last event about it shows.
    #[test]
    fn racing_commands_equal_some_order_and_state_equals_events(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let (racing, serial) = (house().await, house().await);
            let ids: Vec<PassId> = (0..4).map(|_| PassId::mint(racing.clock.now(), &System)).collect();
            let commands: Vec<Command> = steps.iter().map(|step| racing.command(action(&racing, &ids, step))).collect();
            let by_command: HashMap<_, _> = commands.iter().zip(&steps).map(|(command, step)| (command.id, step.clone())).collect();
            let racing_ids: Vec<CommandId> = commands.iter().map(|command| command.id).collect();
            futures_all(&racing, commands).await;
            let log = racing.store.read_events(0, 0, 10_000).await.unwrap();
            let events: Vec<_> = log.into_iter().map(|event| event.whole().unwrap()).collect();
            // State equals the last event's image.
            for id in &ids {
                let shown = events.iter().rev().find(|event| event.pass == Some(*id)).and_then(|event| event.image.pass.clone());
                assert_eq!(racing.store.pass(racing.org, *id).await.unwrap(), shown);
            }
            // Dense, and versions of each pass rise by one with every change.
            for (index, event) in events.iter().enumerate() {
                assert_eq!(event.position.seq, index as u64 + 1);
            }
            // Played again in the order of the log, with those that left no event anywhere, the outlines are the same.
            let mut order = Vec::new();
            for event in &events {
                let owner = racing_ids.iter().find(|id| (0u64..64).any(|n| domain::EventId::derive(event.recorded_at, id.uuid(), &(n as usize).to_be_bytes()) == event.id));
                let owner = *owner.expect("every event belongs to a command");
                if order.last() != Some(&owner) && !order.contains(&owner) {
                    order.push(owner);
                }
            }
            for id in &order {
                let step = &by_command[id];
                serial.engine.submit(serial.command(action(&serial, &ids, step))).await.unwrap();
            }
            for id in &ids {
                let raced = racing.store.pass(racing.org, *id).await.unwrap();
                let played = serial.store.pass(serial.org, *id).await.unwrap();
                assert_eq!(raced.as_ref().map(outline), played.as_ref().map(outline));
            }
        });
    }
}

#[tokio::test]
async fn what_is_planned_is_said_once_in_its_order_and_not_after_the_end() {
    let house = house().await;
    let pass = house.issued("a").await;
    let at = |second: i64| Timestamp::from_micros(START + second * 1_000_000);
    let plan = |text: &str, second: i64, until: Option<i64>| {
        let (pass, text) = (PassRef::Id(pass.id), text.to_owned());
        Action::Notify { pass, text, at: Some(at(second)), until: until.map(at) }
    };
    let due = |second: i64| house.store.backend().due_passes(0, at(second), 10);
    let held = async || house.store.pass(house.org, pass.id).await.unwrap().unwrap();
    let dropped = async || {
        let told = house.events(pass.id).await.into_iter().filter_map(|event| match event.facts {
            Facts::PassMessageDropped { message, reason } => Some((message.text, reason)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    for (text, second, until) in [("late", 30, None), ("early", 10, Some(15)), ("missed", 20, Some(25))] {
        house.did(plan(text, second, until)).await;
    }
    let texts = |pass: &Pass| pass.planned.iter().map(|message| message.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&held().await), ["early", "missed", "late"]);
    assert_eq!(held().await.content_version, 1, "nothing is shown yet");
    assert!(due(9).await.unwrap().is_empty());
    assert_eq!(due(10).await.unwrap(), [(house.org, pass.id)]);
    let refused = house.engine.submit(house.command(plan("x", 40, Some(40)))).await.unwrap_err();
    assert!(matches!(refused, EngineError::Rejected(reject) if reject.path == "until"));

    let sweep = || Action::Expire { pass: PassRef::Id(pass.id) };
    house.clock.0.store(at(10).as_micros(), Ordering::Relaxed);
    house.outcome(sweep()).await;
    house.outcome(sweep()).await;
    assert_eq!(held().await.message.unwrap().text, "early");
    house.clock.0.store(at(30).as_micros(), Ordering::Relaxed);
    house.outcome(sweep()).await;
    let now = held().await;
    assert_eq!((now.message.clone().unwrap().text.as_str(), now.planned.len()), ("late", 0), "what nobody would see is left out");
    let told = house.kinds(pass.id).await.into_iter().filter(|kind| *kind == EventKind::PassNotified).count();
    assert_eq!(told, 2);
    assert_eq!(dropped().await, [("missed".to_owned(), MessageEnd::Missed)]);
    assert!(due(1_000).await.unwrap().is_empty());

    house.did(plan("never", 50, None)).await;
    house.did(Action::CancelNotices { pass: PassRef::Id(pass.id) }).await;
    assert_eq!(dropped().await.last(), Some(&("never".to_owned(), MessageEnd::Cancelled)));
    assert!(due(1_000).await.unwrap().is_empty());
    house.did(plan("never", 50, None)).await;
    house.did(Action::Revoke { pass: PassRef::Id(pass.id), reason: None }).await;
    assert!(held().await.planned.is_empty(), "a pass that is over says nothing more");
    assert_eq!(dropped().await.last(), Some(&("never".to_owned(), MessageEnd::Revoked)), "and this is told");
    for number in 0..=Pass::MAX_PLANNED {
        let refused = house.engine.submit(house.command(plan("x", 60, None))).await.is_err();
        assert!(refused, "{number}: nothing can be planned for it");
    }
    house.did(Action::Activate { pass: PassRef::Id(pass.id) }).await;
    house.did(plan("tomorrow", 5_000, None)).await;
    let ends = PassChange { expires_at: Some(Some(at(1_000))), ..PassChange::default() };
    house.did(Action::Update { pass: PassRef::Id(pass.id), change: Box::new(ends), expected_version: None }).await;
    house.clock.0.store(at(1_000).as_micros(), Ordering::Relaxed);
    house.outcome(sweep()).await;
    assert_eq!(dropped().await.last(), Some(&("tomorrow".to_owned(), MessageEnd::Expired)));
    let last = house.kinds(pass.id).await;
    assert!(last.ends_with(&[EventKind::PassExpired, EventKind::PassMessageDropped]), "{last:?}");
    let lasts = PassChange { expires_at: Some(None), ..PassChange::default() };
    house.did(Action::Update { pass: PassRef::Id(pass.id), change: Box::new(lasts), expected_version: None }).await;
    for number in 0..=Pass::MAX_PLANNED {
        let taken = house.engine.submit(house.command(plan("x", 6_000, None))).await.is_ok();
        assert_eq!(taken, number < Pass::MAX_PLANNED, "{number}");
    }
}

#[tokio::test]
async fn a_boarding_pass_knows_as_of_when_it_has_each_field() {
    let house = house_with(|project| {
        project.kind = domain::ProjectKind::BoardingPass;
        let field = |key: &str| serde_json::from_value::<FieldDef>(serde_json::json!({"key": key, "label": key})).unwrap();
        project.fields = vec![field("gate"), field("seat")];
    })
    .await;
    let text = |text: &str| domain::FieldValue::Text(text.to_owned());
    let issue = domain::Issue { fields: BTreeMap::from([("gate".to_owned(), text("A1"))]), ..house.issue("a") };
    let pass = house.did(Action::Issue(Box::new(issue))).await;
    let issued = pass.fields_as_of["gate"];
    assert_eq!((pass.fields_as_of.len(), issued), (1, pass.issued_at));
    let second = |second: i64| Timestamp::from_micros(START + second * 1_000_000);
    let say = async |fields: &[(&str, Option<&str>)], told: Option<i64>| {
        house.clock.0.fetch_add(60_000_000, Ordering::Relaxed);
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), value.map(text))).collect();
        let change = Box::new(PassChange { fields, ..PassChange::default() });
        let update = Action::Update { pass: PassRef::Id(pass.id), change, expected_version: None };
        let told = told.map(|at| domain::Told { at: second(at), late: domain::Late::Apply });
        *house.engine.submit(Command { told, ..house.command(update) }).await.unwrap().pass.unwrap()
    };
    let held = say(&[("gate", Some("A1")), ("seat", Some("12C"))], Some(50)).await;
    assert_eq!((held.fields_as_of["gate"], held.fields_as_of["seat"]), (issued, second(50)), "the same again is no change");
    let held = say(&[("gate", Some("B7"))], None).await;
    assert_eq!((held.fields_as_of["gate"], held.fields_as_of["seat"]), (held.updated_at, second(50)));
    let held = say(&[("seat", None)], Some(100)).await;
    assert_eq!((held.fields.contains_key("seat"), held.fields_as_of["seat"]), (false, second(100)), "that it has none is known");
}

#[tokio::test]
async fn what_is_no_single_address_is_none() {
    let house = house().await;
    let put = |email: &str, external_id: &str| {
        let input =
            ContactInput { external_id: Some(external_id.to_owned()), email: Some(email.to_owned()), ..ContactInput::default() };
        house.engine.submit(house.command(Action::PutContact { new_id: ContactId::mint(house.clock.now(), &System), input }))
    };
    for email in [
        "a b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "a\u{0}@example.com",
        "a@exa\u{a0}mple.com",
        "nobody",
        "@",
        "a@",
        "@example.com",
        "a@@example.com",
        "a@example.com,b@example.com",
        "<a@example.com>",
    ] {
        let refused = put(email, "m1").await.unwrap_err();
        assert!(matches!(refused, EngineError::Rejected(reject) if reject.path == "contact.email"), "{email:?}");
    }
    let long = put("a@example.com", &"x".repeat(257)).await.unwrap_err();
    assert!(matches!(long, EngineError::Rejected(reject) if reject.path == "contact.external_id"));
    for email in [" A@Example.com ", "\"a,b@c\"@example.com", "ä@exämple.com", "a@localhost"] {
        put(email, "m1").await.unwrap();
    }
}
