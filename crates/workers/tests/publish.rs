//! Publications: every device is woken once, after a crash at most one batch twice, and a halt holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{collections::HashMap, time::Duration};

use domain::{
    Action, Clock as _, Facts, PassId, PassRef, PublicationId, Sighting, Template, TemplateId, TemplateStatus, Timestamp,
    Validity, Variant, Wallet,
};
use house::{House, System, apple::PushService, quick, until};
use simulators::apns::{Answer, ApnsServer, Push};
use store::{JobState, LoggedEvent, Publication};
use tokio::sync::broadcast::Receiver;

const PATIENCE: Duration = Duration::from_secs(20);
/// Devices that are looked at together, as the worker has it.
const BATCH: usize = 512;

/// A house whose passes are signed, and the push service that its phones hang on.
async fn signed() -> (House, ApnsServer) {
    let mut house = House::new().await;
    let apns = PushService::start(&mut house).await.apns;
    (house, apns)
}

fn token(device: usize) -> String {
    format!("{device:064x}")
}

async fn install(house: &House, pass: PassId, device: usize) {
    let sighting = Sighting { at: house.clock.now(), ..Sighting::default() };
    let (device, push_token) = (format!("device-{device:06}"), Some(token(device)));
    let action = Action::RecordInstall { pass: PassRef::Id(pass), wallet: Wallet::Apple, device, push_token, sighting };
    house.engine.submit(house.command(action)).await.unwrap();
}

async fn install_many(house: &House, pass: PassId, devices: std::ops::Range<usize>) {
    let command = |device: usize| {
        let sighting = Sighting { at: house.clock.now(), ..Sighting::default() };
        let (device, push_token) = (format!("device-{device:06}"), Some(token(device)));
        house.command(Action::RecordInstall { pass: PassRef::Id(pass), wallet: Wallet::Apple, device, push_token, sighting })
    };
    let verdicts = house.engine.submit_all(devices.map(command).collect()).await;
    assert!(verdicts.iter().all(Result::is_ok));
}

/// Publishes the next version of the house's template, as the API does.
async fn publish(house: &House) -> PublicationId {
    publish_with(house, false).await
}

async fn publish_with(house: &House, updated_events: bool) -> PublicationId {
    let catalog = house.store.catalog();
    let config = catalog.org(house.org).unwrap();
    let stored = config.templates.values().min_by_key(|stored| stored.value.id).unwrap();
    let template = Template { version: stored.value.version + 1, ..(*stored.value).clone() };
    let progress = store::Progress::new(template.id, house.project, template.version, updated_events);
    let (id, jobs) = house.store.publish(house.org, progress, house.clock.now()).await.unwrap();
    let write = house.store.config_write(&house.change(), &template, stored.revision, false).unwrap().and(jobs);
    assert!(house.store.written(write).await.unwrap());
    id
}

async fn held(house: &House, id: PublicationId) -> Publication {
    house.store.job::<store::Progress>(house.org, id).await.unwrap().unwrap()
}

async fn comes_to(house: &House, id: PublicationId, state: JobState) -> Publication {
    until("the publication came to its end", || async { held(house, id).await.state == state }).await;
    held(house, id).await
}

/// How often each token was woken since the receiver listens.
fn woken(pushes: &mut Receiver<Push>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    while let Ok(push) = pushes.try_recv() {
        *counts.entry(push.token).or_insert(0) += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_device_is_woken_once() {
    let (house, apns) = signed().await;
    let (one, two) = (house.issued("one", Validity::default()).await, house.issued("two", Validity::default()).await);
    let many = BATCH + 40;
    install_many(&house, one.id, 0..many).await;
    install(&house, two.id, 3).await;
    // A phone that is there and cannot be reached now, and one that is gone.
    apns.answer(&token(5), Answer::ServiceUnavailable);
    let before = house.store.events_of_pass(house.org, one.id, 0, 1_000).await.unwrap().len();
    let mut pushes = apns.pushes();
    let workers = house.workers().await;
    let id = publish(&house).await;
    let done = comes_to(&house, id, JobState::Done).await;
    let counted = (done.progress.devices, done.progress.looked_at, done.progress.pushed, done.progress.retrying);
    assert_eq!(counted, (Some(many as u64), many as u64, many as u64 - 1, 1));
    let counts = woken(&mut pushes);
    assert_eq!(counts.len(), many - 1);
    assert!(counts.values().all(|count| *count == 1), "a phone with two passes, too, is woken once");
    let (backend, tomorrow) = (house.store.backend(), house.clock.now().plus(Duration::from_secs(86_400)));
    let mut due = Vec::new();
    for shard in 0..backend.shards() {
        due.extend(backend.due_pushes(shard, tomorrow, 10).await.unwrap().into_iter().map(|row| row.installation.device));
    }
    assert_eq!(due, ["device-000005"], "the one that could not be reached is owed a push");
    let after = house.store.events_of_pass(house.org, one.id, 0, 1_000).await.unwrap().len();
    assert_eq!(after, before, "nothing happened to any pass");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_updated_event_of_every_pass_is_told_once_when_asked_for() {
    let (house, _apns) = signed().await;
    let (one, gone) = (house.issued("one", Validity::default()).await, house.issued("gone", Validity::default()).await);
    house.engine.submit(house.command(Action::Delete { pass: PassRef::Id(gone.id), expected_version: None })).await.unwrap();
    let workers = house.workers().await;
    let id = publish_with(&house, true).await;
    let done = comes_to(&house, id, JobState::Done).await;
    assert_eq!((done.progress.passes, done.progress.google), (2, 0));
    let told = async |pass: PassId| {
        let events = house.store.events_of_pass(house.org, pass, 0, 100).await.unwrap();
        let facts = |event| match event {
            LoggedEvent::Whole(event, _) => Some(event.facts),
            LoggedEvent::Erased(_) => None,
        };
        let is_news = |facts: &Facts| matches!(facts, Facts::PassUpdated { changed, .. } if changed == &["template"]);
        events.into_iter().filter_map(facts).filter(is_news).count()
    };
    assert_eq!(told(one.id).await, 1);
    let after = house.store.pass(house.org, one.id).await.unwrap().unwrap();
    assert_eq!(after.content_version, one.content_version, "phones were woken by the publication itself");
    assert_eq!(told(gone.id).await, 0, "nobody sees a deleted pass");
    // As after a crash before the progress was written.
    let again =
        Publication { state: JobState::Running, progress: store::Progress { after_pass: None, ..done.progress.clone() }, ..done };
    assert!(house.store.save_job(None, &again, &[], house.clock.now()).await.unwrap());
    comes_to(&house, id, JobState::Done).await;
    assert_eq!(told(one.id).await, 1, "once");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_of_other_templates_are_left_alone() {
    let (house, apns) = signed().await;
    let pass = house.issued("one", Validity::default()).await;
    // A second template and variant of the project, and a pass of that.
    let catalog = house.store.catalog();
    let config = catalog.org(house.org).unwrap();
    let template = config.templates.values().next().unwrap().value.clone();
    let later = Timestamp::from_micros(house.clock.now().as_micros() + 10_000_000);
    let other = Template { id: TemplateId::mint(later, &System), status: TemplateStatus::Published, ..(*template).clone() };
    assert!(house.store.put(&house.change(), &other, 0).await.unwrap());
    let stored = &config.projects[&house.project.uuid()];
    let mut project = (*stored.value).clone();
    let gold =
        Variant { id: "gold".parse().unwrap(), name: "Gold".to_owned(), template: other.id, ..project.variants[0].clone() };
    project.variants.insert(0, gold);
    assert!(house.store.put(&house.change(), &project, stored.revision).await.unwrap());
    let gold = house.issued("two", Validity::default()).await;
    assert_eq!((pass.template, gold.template), (template.id, other.id));
    install(&house, pass.id, 1).await;
    install(&house, gold.id, 2).await;
    let mut pushes = apns.pushes();
    let workers = house.workers().await;
    let id = publish(&house).await;
    let done = comes_to(&house, id, JobState::Done).await;
    assert_eq!((done.progress.looked_at, done.progress.pushed), (2, 1));
    assert_eq!(woken(&mut pushes).keys().collect::<Vec<_>>(), [&token(1)]);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halt_holds_and_a_later_version_takes_over() {
    let (house, apns) = signed().await;
    let pass = house.issued("one", Validity::default()).await;
    install_many(&house, pass.id, 0..3).await;
    let id = publish(&house).await;
    let halted = Publication { state: JobState::Paused, ..held(&house, id).await };
    assert!(house.store.save_job(None, &halted, &[], house.clock.now()).await.unwrap());
    let mut pushes = apns.pushes();
    let workers = house.workers().await;
    // A second one shows that the worker has been by.
    let next = publish(&house).await;
    assert_eq!(held(&house, id).await.state, JobState::Superseded, "also one that was paused gives way");
    comes_to(&house, next, JobState::Done).await;
    let counts = woken(&mut pushes);
    assert!(counts.len() == 3 && counts.values().all(|count| *count == 1), "the later one alone: {counts:?}");
    let last = publish(&house).await;
    comes_to(&house, last, JobState::Done).await;
    assert!(woken(&mut pushes).values().all(|count| *count == 1));
    assert!(!house.store.save_job(None, &halted, &[], house.clock.now()).await.unwrap(), "an old revision changes nothing");
    assert_eq!(PublicationId::from_uuid(last.uuid()).to_string().len(), 22);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_wakes_at_most_one_batch_twice() {
    let (house, apns) = signed().await;
    let pass = house.issued("one", Validity::default()).await;
    let many = 3 * BATCH;
    for start in (0..many).step_by(256) {
        install_many(&house, pass.id, start..start + 256).await;
    }
    let mut pushes = apns.pushes();
    let id = publish(&house).await;
    for some in [100, BATCH + 100] {
        let node = house.doomed("one", quick()).await;
        until("some were woken", || async { apns.accepted() >= some as u64 }).await;
        node.vanish();
    }
    let workers = house.workers().await;
    let done = comes_to(&house, id, JobState::Done).await;
    assert_eq!(done.progress.looked_at, many as u64);
    let counts = woken(&mut pushes);
    assert_eq!(counts.len(), many, "nobody is left out");
    let again: usize = counts.values().map(|count| count - 1).sum();
    assert!(again <= 2 * BATCH, "{again} were woken again by two crashes");
    workers.drain(PATIENCE).await;
}
