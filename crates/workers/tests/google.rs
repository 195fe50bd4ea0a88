//! Google Wallet: keys, objects and holders, against a simulated Google over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    Action, Amount, BalanceChange, Clock as _, Design, DesignField, FieldPlace, ImageRole, ImageSet, Pass, PassChange, PassRef,
    Project, ProjectKind, Sighting, SignerId, Template, Text, UninstallReason, Validity, Wallet,
};
use google_wallet::callback::RootKeys;
use house::{House, System, until};
use parking_lot::Mutex;
use serde_json::Value;
use simulators::google::{Fault, GoogleServer, Options};
use store::{Reader, StoredGoogleAccount};
use workers::GoogleSettings;

async fn google(house: &House) -> GoogleServer {
    let clock = Arc::clone(&house.clock);
    GoogleServer::start(Options::new(move || clock.now().as_millis())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_keys_are_fetched_at_the_start_and_again_before_they_expire() {
    let mut house = House::new().await;
    let google = google(&house).await;
    let seen = Arc::new(Mutex::new(Vec::<RootKeys>::new()));
    let keep = Arc::clone(&seen);
    house.google = GoogleSettings {
        root_keys_url: google.root_keys_url(),
        ..GoogleSettings::new("http://localhost:1", move |keys| keep.lock().push(keys))
    };
    let workers = house.workers().await;
    until("the first keys", async || !seen.lock().is_empty()).await;
    let first = seen.lock()[0].earliest_expiry_millis().unwrap();
    assert!(first > house.clock.now().as_millis());
    workers.drain(Duration::from_secs(5)).await;
    assert_eq!(seen.lock().len(), 1, "nothing asks for them again so soon");
    let again = house.workers().await;
    until("keys after a restart", async || seen.lock().len() == 2).await;
    again.drain(Duration::from_secs(5)).await;
}

const ISSUER: &str = "3388000000000000001";

/// A house whose project is a gift card at Google too, and the Google that knows its account.
async fn with_google() -> (House, GoogleServer) {
    let mut house = House::new().await;
    let google = google(&house).await;
    house.google.api_url = google.api_url();
    house.google.token_url = Some(google.token_url());
    house.google.root_keys_url = google.root_keys_url();
    house.google.public_url = "https://passes.example.com".to_owned();
    let key_file = testkit::keys::service_account("passes@club.example").unwrap();
    google.add_user(key_file.as_bytes(), ISSUER).unwrap();
    let now = house.clock.now();
    let id = SignerId::mint(now, &System);
    let account = StoredGoogleAccount {
        id,
        issuer: ISSUER.to_owned(),
        client_email: "passes@club.example".to_owned(),
        sealed_key: house.store.seal_for::<StoredGoogleAccount>(house.org, id.uuid(), key_file.as_bytes()).unwrap(),
        development: true,
        created_at: now,
    };
    assert!(house.store.put(&house.change(), &account, 0).await.unwrap());
    let catalog = house.store.catalog();
    let stored = &catalog.org(house.org).unwrap().projects[&house.project.uuid()];
    let project = Project { kind: ProjectKind::GiftCard, google_issuer: Some(ISSUER.to_owned()), ..(*stored.value).clone() };
    assert!(house.store.put(&house.change(), &project, stored.revision).await.unwrap());
    (house, google)
}

/// Waiting puts the clock forward instead, which Google has too.
fn hurry(house: &mut House) {
    let clock = Arc::clone(&house.clock);
    house.google.sleep = Arc::new(move |_, until| {
        let left = u64::try_from(until.as_micros() - clock.now().as_micros()).unwrap_or(0);
        clock.forward(Duration::from_micros(left));
        Box::pin(tokio::task::yield_now())
    });
}

fn object(google: &GoogleServer, pass: &Pass) -> Option<Value> {
    google.get("giftCardObject", &format!("{ISSUER}.{}", pass.id))
}

async fn has_state(google: &GoogleServer, pass: &Pass, state: &str) {
    until(state, async || object(google, pass).is_some_and(|object| object["state"] == state)).await;
}

async fn submit(house: &House, action: Action) -> Pass {
    *house.engine.submit(house.command(action)).await.unwrap().pass.unwrap()
}

async fn install(house: &House, google: &GoogleServer, pass: &Pass) {
    // As a holder does by a link; the call-back is another test's.
    google.hold(&format!("{ISSUER}.{}", pass.id)).unwrap();
    let sighting = Sighting { at: house.clock.now(), ..Sighting::default() };
    let (pass, wallet, device) = (PassRef::Id(pass.id), Wallet::Google, String::new());
    submit(house, Action::RecordInstall { pass, wallet, device, push_token: None, sighting }).await;
}

async fn notify(house: &House, pass: &Pass, text: &str) {
    submit(house, Action::Notify { pass: PassRef::Id(pass.id), text: text.to_owned(), at: None, until: None }).await;
}

async fn shows(google: &GoogleServer, pass: &Pass, text: &str) {
    let shown = || object(google, pass)?["messages"].as_array()?.iter().any(|message| message["body"] == text).then_some(());
    until(text, async || shown().is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_has_a_pass_as_it_is() {
    let (house, google) = with_google().await;
    let workers = house.workers().await;
    let pass = house.issued("one", Validity::default()).await;
    has_state(&google, &pass, "ACTIVE").await;
    let other = house.issued("two", Validity::default()).await;
    has_state(&google, &other, "ACTIVE").await;
    submit(&house, Action::Revoke { pass: PassRef::Id(pass.id), reason: None }).await;
    has_state(&google, &pass, "INACTIVE").await;
    submit(&house, Action::Activate { pass: PassRef::Id(pass.id) }).await;
    has_state(&google, &pass, "ACTIVE").await;
    submit(&house, Action::Delete { pass: PassRef::Id(other.id), expected_version: None }).await;
    has_state(&google, &other, "INACTIVE").await;
    let blank = object(&google, &other).unwrap();
    assert_eq!(blank["cardNumber"], other.id.to_string(), "the holder's number is gone");
    workers.drain(Duration::from_secs(5)).await;
    let classes = google.arrivals().into_iter().filter(|arrival| arrival.path.starts_with("giftCardClass")).count();
    assert_eq!(classes, 1, "one request for the class, however many passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_delay_and_lose_nothing() {
    use Fault::{LostAfter, LostBefore, Status};
    let (mut house, google) = with_google().await;
    hurry(&mut house);
    google.fail_next([Status(503), LostAfter, LostBefore, Status(429), Status(500), LostAfter, Status(403)]);
    let workers = house.workers().await;
    let passes = [house.issued("one", Validity::default()).await, house.issued("two", Validity::default()).await];
    let in_time = async |pass: &Pass, state: &str| {
        until(state, async || {
            house.clock.forward(Duration::from_millis(100));
            object(&google, pass).is_some_and(|object| object["state"] == state)
        })
        .await;
    };
    for pass in &passes {
        in_time(pass, "ACTIVE").await;
    }
    google.revoke_tokens();
    google.fail_next([LostAfter]);
    submit(&house, Action::Revoke { pass: PassRef::Id(passes[0].id), reason: None }).await;
    in_time(&passes[0], "INACTIVE").await;
    workers.drain(Duration::from_secs(5)).await;
    assert_eq!(google.count("giftCardObject"), 2);
    assert!(google.most_in_a_second() <= 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_never_shown_twice_and_three_a_day_notify() {
    let (house, google) = with_google().await;
    let workers = house.workers().await;
    let pass = house.issued("one", Validity::default()).await;
    has_state(&google, &pass, "ACTIVE").await;
    install(&house, &google, &pass).await;
    for text in ["first", "second"] {
        notify(&house, &pass, text).await;
        shows(&google, &pass, text).await;
    }
    // The answer to the patch comes, that to the message is lost although it has arrived.
    google.fail_matching("addMessage", Fault::LostAfter);
    notify(&house, &pass, "third").await;
    shows(&google, &pass, "third").await;
    notify(&house, &pass, "fourth").await;
    shows(&google, &pass, "fourth").await;
    let settled = async || {
        let row = house.store.backend().google_thing(house.org, pass.id.uuid()).await.unwrap().unwrap();
        row.due_at.is_none() && row.synced_seq == row.wanted_seq
    };
    until("everything is settled", settled).await;
    let messages = object(&google, &pass).unwrap()["messages"].as_array().unwrap().clone();
    let texts: Vec<_> = messages.iter().map(|message| message["body"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, ["first", "second", "third", "fourth"], "each once");
    let shown: Vec<_> = google.notifications().into_iter().filter_map(|shown| shown.text).collect();
    assert_eq!(shown, ["first", "second", "third"], "the fourth within a day is silent");
    workers.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_call_backs_are_repaired() {
    let (mut house, google) = with_google().await;
    house.google.drift_every = Duration::from_millis(200);
    let workers = house.workers().await;
    let saved = house.issued("saved", Validity::default()).await;
    let gone = house.issued("gone", Validity::default()).await;
    for pass in [&saved, &gone] {
        has_state(&google, pass, "ACTIVE").await;
    }
    install(&house, &google, &gone).await;
    google.mute(true);
    google.delete(&format!("{ISSUER}.{}", gone.id)).await.unwrap();
    google.hold(&format!("{ISSUER}.{}", saved.id)).unwrap();
    let active = async |pass: &Pass| house.store.pass(house.org, pass.id).await.unwrap().unwrap().google.active;
    until("the install is found", async || active(&saved).await == 1).await;
    assert_eq!(active(&gone).await, 1, "a call-back may be on its way still");
    house.clock.forward(Duration::from_secs(600));
    until("the removal is found", async || active(&gone).await == 0).await;
    let holding = house.store.pass(house.org, gone.id).await.unwrap().unwrap().google;
    assert_eq!(holding.last_uninstall_reason, Some(UninstallReason::Drift));
    workers.drain(Duration::from_secs(5)).await;
}

/// A house whose passes are loyalty cards with points that announce their changes.
async fn with_points() -> (House, GoogleServer) {
    let (house, google) = with_google().await;
    let catalog = house.store.catalog();
    let config = catalog.org(house.org).unwrap();
    let stored = &config.projects[&house.project.uuid()];
    let project = Project { kind: ProjectKind::Membership, ..(*stored.value).clone() };
    assert!(house.store.put(&house.change(), &project, stored.revision).await.unwrap());
    let mut points = DesignField::new("points", Text::parse("{{balances.points}}").unwrap(), FieldPlace::Header);
    points.label = "Points".to_owned();
    points.change_message = Some("Now %@".to_owned());
    redesign(&house, |design| {
        // Google wants a logo of a loyalty class; nobody fetches it here.
        let logo = ImageSet { x1: Some("ab".repeat(32)), ..ImageSet::default() };
        design.images.extend([(ImageRole::Icon, logo.clone()), (ImageRole::Logo, logo)]);
        design.fields.push(points);
    })
    .await;
    (house, google)
}

async fn redesign(house: &House, change: impl FnOnce(&mut Design)) -> Template {
    let catalog = house.store.catalog();
    let stored = catalog.org(house.org).unwrap().templates.values().next().unwrap().clone();
    let mut template = (*stored.value).clone();
    change(&mut template.design);
    template.version += 1;
    assert!(house.store.put(&house.change(), &template, stored.revision).await.unwrap());
    template
}

fn card(google: &GoogleServer, pass: &Pass) -> Option<Value> {
    google.get("loyaltyObject", &format!("{ISSUER}.{}", pass.id))
}

async fn add(house: &House, pass: &Pass, points: i64, message: Option<&str>) {
    let balances = BTreeMap::from([("points".to_owned(), BalanceChange::Set(Amount::from_micros(points * 1_000_000)))]);
    let change = PassChange { balances, message: message.map(str::to_owned), ..PassChange::default() };
    submit(house, Action::Update { pass: PassRef::Id(pass.id), change: Box::new(change), expected_version: None }).await;
}

async fn has_points(google: &GoogleServer, pass: &Pass, points: i64) {
    until("the points", async || card(google, pass).is_some_and(|card| card["loyaltyPoints"]["balance"]["int"] == points)).await;
}

async fn is_settled(house: &House, pass: &Pass) {
    until("everything is settled", async || {
        let row = house.store.backend().google_thing(house.org, pass.id.uuid()).await.unwrap();
        row.is_some_and(|row| row.due_at.is_none() && row.synced_seq == row.wanted_seq)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_changes_notify_and_count_among_three_a_day() {
    let (house, google) = with_points().await;
    let workers = house.workers().await;
    let pass = house.issued("one", Validity::default()).await;
    has_points(&google, &pass, 0).await;
    add(&house, &pass, 1, None).await;
    has_points(&google, &pass, 1).await;
    assert!(google.notifications().is_empty(), "nobody holds it");
    is_settled(&house, &pass).await;
    install(&house, &google, &pass).await;
    // The patch is done and its answer lost: it notifies once all the same.
    google.fail_matching(&format!("loyaltyObject/{ISSUER}"), Fault::LostAfter);
    add(&house, &pass, 2, None).await;
    has_points(&google, &pass, 2).await;
    is_settled(&house, &pass).await;
    assert_eq!(google.notifications().len(), 1, "told once");
    add(&house, &pass, 3, Some("Three points")).await;
    shows_on(&google, &pass, "Three points").await;
    is_settled(&house, &pass).await;
    let shown: Vec<_> = google.notifications().into_iter().map(|shown| shown.text).collect();
    assert_eq!(shown, [None, Some("Three points".to_owned())], "the message alone");
    for points in 4..=6 {
        add(&house, &pass, points, None).await;
        has_points(&google, &pass, points).await;
        is_settled(&house, &pass).await;
    }
    assert_eq!(google.notifications().len(), 3, "the others of the day are silent");
    workers.drain(Duration::from_secs(5)).await;
}

async fn shows_on(google: &GoogleServer, pass: &Pass, text: &str) {
    let shown = || card(google, pass)?["messages"].as_array()?.iter().any(|message| message["body"] == text).then_some(());
    until(text, async || shown().is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_brings_google_after_and_clears_what_is_gone() {
    let (house, google) = with_points().await;
    redesign(&house, |design| {
        let uri = |of: &str| serde_json::json!({"appTarget": {"targetUri": {"uri": format!("https://example.com/{of}")}}});
        let links = serde_json::json!({"androidAppLinkInfo": uri("android"), "webAppLinkInfo": uri("web")});
        design.google.insert("appLinkData".to_owned(), links);
    })
    .await;
    let workers = house.workers().await;
    let pass = house.issued("one", Validity::default()).await;
    has_points(&google, &pass, 0).await;
    let links = |template: &Template| {
        let id = render::class_id(ISSUER, template).unwrap().to_string();
        google.get("loyaltyClass", &id).unwrap()["appLinkData"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(card(&google, &pass).unwrap()["loyaltyPoints"]["label"], "Points");
    is_settled(&house, &pass).await;
    let template = redesign(&house, |design| {
        design.google["appLinkData"].as_object_mut().unwrap().remove("webAppLinkInfo");
        design.fields[0].label.clear();
    })
    .await;
    let progress = store::Progress::new(template.id, house.project, template.version, false);
    let (id, write) = house.store.publish(house.org, progress, house.clock.now()).await.unwrap();
    assert!(house.store.written(write).await.unwrap());
    until("the object follows", async || card(&google, &pass).unwrap()["loyaltyPoints"].get("label").is_none()).await;
    assert_eq!(links(&template), ["androidAppLinkInfo"], "what is gone within the class is gone");
    until("it is done", async || {
        house.store.job::<store::Progress>(house.org, id).await.unwrap().unwrap().state == store::JobState::Done
    })
    .await;
    let done = house.store.job::<store::Progress>(house.org, id).await.unwrap().unwrap().progress;
    assert_eq!((done.passes, done.google), (1, 1));
    workers.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_is_asked_of_a_design_and_keeps_nothing() {
    let (house, google) = with_points().await;
    let workers = house.workers().await;
    let ask = async |template: &Template| {
        let account = house.store.catalog().org(house.org).unwrap().google_account_of(ISSUER).unwrap().value.id.uuid();
        let asked = house.clock.now();
        let row = store::dry_run_thing(house.org, template.id, account, asked);
        let thing = row.thing;
        house.store.backend().ask_google(vec![row], true).await.unwrap();
        let checked =
            async || house.store.backend().google_thing(house.org, thing).await.unwrap().and_then(|row| row.note().checked);
        until("an answer", async || checked().await.is_some_and(|checked| checked.at >= asked)).await;
        checked().await.unwrap()
    };
    let template = redesign(&house, |_| ()).await;
    let checked = ask(&template).await;
    assert!(checked.asked && checked.refused.is_none(), "{checked:?}");
    let many: Vec<_> = (0..11).map(|n| serde_json::json!({"latitude": n, "longitude": n})).collect();
    let template = redesign(&house, |design| drop(design.google.insert("merchantLocations".to_owned(), many.into()))).await;
    let checked = ask(&template).await;
    assert!(checked.asked && checked.refused.as_deref().is_some_and(|why| why.contains("too long")), "{checked:?}");
    // The draft is what would be published.
    let id = domain::TemplateId::mint(house.clock.now(), &System);
    let mut design = template.design.clone();
    design.google.clear();
    let draft = store::StoredDraft { id, slug: template.id.to_string(), template: template.id, name: "Draft".to_owned(), design };
    assert!(house.store.put(&house.change(), &draft, 0).await.unwrap());
    assert!(ask(&template).await.refused.is_none());
    google.fail_matching("jwt/validate", Fault::Status(503));
    let checked = ask(&template).await;
    assert!(!checked.asked && checked.refused.is_some(), "{checked:?}");
    assert_eq!((google.count("loyaltyObject"), google.count("loyaltyClass")), (0, 0), "nothing is kept");
    workers.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_issued_before_their_project_had_an_issuer_get_their_objects() {
    let (house, google) = with_google().await;
    let issuer = async |issuer: Option<&str>| {
        house.store.refresh().await.unwrap();
        let catalog = house.store.catalog();
        let stored = &catalog.org(house.org).unwrap().projects[&house.project.uuid()];
        let project = Project { google_issuer: issuer.map(str::to_owned), ..(*stored.value).clone() };
        assert!(house.store.put(&house.change(), &project, stored.revision).await.unwrap());
    };
    issuer(None).await;
    let passes = [house.issued("one", Validity::default()).await, house.issued("two", Validity::default()).await];
    let workers = house.workers().await;
    until("the reader has passed them", async || house.mark(Reader::Google).await >= 2).await;
    assert_eq!(google.count("giftCardObject"), 0);
    issuer(Some(ISSUER)).await;
    for pass in &passes {
        has_state(&google, pass, "ACTIVE").await;
    }
    workers.drain(Duration::from_secs(5)).await;
    let arrivals = google.arrivals();
    let inserts = arrivals.iter().filter(|arrival| arrival.path == "giftCardObject").count();
    assert_eq!(inserts, 2, "each once");
}

/// Changed passes of the test of the pace.
const MANY: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_holds_and_every_change_arrives_once() {
    let (mut house, google) = with_google().await;
    hurry(&mut house);
    let mut passes = Vec::new();
    for number in 0..MANY {
        passes.push(house.issued(&number.to_string(), Validity::default()).await);
    }
    let began = house.clock.now();
    let workers = house.workers().await;
    until("all are there", async || google.count("giftCardObject") == MANY).await;
    let took = Duration::from_micros(u64::try_from(house.clock.now().as_micros() - began.as_micros()).unwrap());
    for pass in &passes {
        submit(&house, Action::Revoke { pass: PassRef::Id(pass.id), reason: None }).await;
    }
    for pass in &passes {
        has_state(&google, pass, "INACTIVE").await;
    }
    workers.drain(Duration::from_secs(5)).await;
    assert!(google.most_in_a_second() <= 20, "{} in one second", google.most_in_a_second());
    let least = Duration::from_millis(u64::try_from(MANY).unwrap() * 50 - 1_000);
    assert!(took >= least, "{took:?} is too fast to be true");
    let arrivals = google.arrivals();
    assert!(arrivals.iter().all(|arrival| arrival.status == 200), "nothing was refused");
    let about = |pass: &Pass| arrivals.iter().filter(|arrival| arrival.path.ends_with(&pass.id.to_string())).count();
    assert!(passes.iter().all(|pass| about(pass) == 1), "each was patched once");
    let together: usize = google.batches().iter().sum();
    assert!(together * 2 > arrivals.len(), "{together} of {} went in batches", arrivals.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_batch_whose_answer_is_lost_are_shown_once() {
    let (house, google) = with_google().await;
    let mut passes = Vec::new();
    for number in 0..8 {
        passes.push(house.issued(&number.to_string(), Validity::default()).await);
    }
    let workers = house.workers().await;
    for pass in &passes {
        has_state(&google, pass, "ACTIVE").await;
        install(&house, &google, pass).await;
    }
    workers.drain(Duration::from_secs(5)).await;
    // They are told while nobody works: all wait for the second before whose end nobody is asked, and go at one moment.
    for pass in &passes {
        notify(&house, pass, "doors open").await;
    }
    google.fail_matching("/batch", Fault::LostAfter);
    let workers = house.workers().await;
    for pass in &passes {
        shows(&google, pass, "doors open").await;
    }
    let settled = async |pass: &Pass| {
        let row = house.store.backend().google_thing(house.org, pass.id.uuid()).await.unwrap().unwrap();
        row.due_at.is_none() && row.synced_seq == row.wanted_seq
    };
    for pass in &passes {
        until("it is settled", async || settled(pass).await).await;
    }
    workers.drain(Duration::from_secs(5)).await;
    let batches = google.batches();
    assert!(batches.iter().any(|requests| *requests > 1), "the first was lost: {batches:?}");
    let shown: Vec<_> = google.notifications().into_iter().filter_map(|shown| shown.text).collect();
    assert_eq!(shown, ["doors open"; 8], "each holder once");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_batch_is_taken_each_goes_alone() {
    let (house, google) = with_google().await;
    google.refuse_batches(true);
    let mut passes = Vec::new();
    for number in 0..8 {
        passes.push(house.issued(&number.to_string(), Validity::default()).await);
    }
    let workers = house.workers().await;
    for pass in &passes {
        has_state(&google, pass, "ACTIVE").await;
    }
    workers.drain(Duration::from_secs(5)).await;
    assert!(google.batches().is_empty() && google.arrivals().iter().all(|arrival| arrival.status == 200));
}

/// A house whose passes are for flights; which, the pass says.
async fn with_flights() -> (House, GoogleServer) {
    let (house, google) = with_google().await;
    let catalog = house.store.catalog();
    let stored = &catalog.org(house.org).unwrap().projects[&house.project.uuid()];
    let fields = serde_json::json!([
        {"key": "number", "label": "Flight", "type": "number", "default": 101},
        {"key": "departs", "label": "Departs", "type": "time", "default": "2026-12-24T08:15:00+01:00"},
        {"key": "gate", "label": "Gate", "default": "A12"},
        {"key": "seat", "label": "Seat"},
    ]);
    let fields = serde_json::from_value(fields).unwrap();
    let project = Project { kind: ProjectKind::BoardingPass, fields, ..(*stored.value).clone() };
    assert!(house.store.put(&house.change(), &project, stored.revision).await.unwrap());
    redesign(&house, |design| {
        let tags = serde_json::json!({"airlineCode": "XX", "flightNumber": "{{fields.number}}", "departureAirportCode": "BER",
            "destinationAirportCode": "OSL", "originalDepartureDate": "{{fields.departs}}", "departureGate": "{{fields.gate}}"});
        design.semantics = tags.as_object().unwrap().clone();
    })
    .await;
    (house, google)
}

fn boarding(google: &GoogleServer, pass: &Pass) -> Option<Value> {
    google.get("flightObject", &format!("{ISSUER}.{}", pass.id))
}

async fn say(house: &House, pass: &Pass, field: &str, value: domain::FieldValue) {
    let change = PassChange { fields: BTreeMap::from([(field.to_owned(), Some(value))]), ..PassChange::default() };
    submit(house, Action::Update { pass: PassRef::Id(pass.id), change: Box::new(change), expected_version: None }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flight_is_a_class_that_follows_the_newest_of_its_passes() {
    let (house, google) = with_flights().await;
    let workers = house.workers().await;
    let (one, two) = two_who_fly(&house, &google).await;
    let class_of = |pass: &Pass| boarding(&google, pass).unwrap()["classId"].as_str().unwrap().to_owned();
    let flight = class_of(&one);
    assert!(flight.ends_with("-XX-101-20261224T081500") && class_of(&two) == flight, "{flight}");
    assert_eq!(google.count("flightClass"), 1, "they share it");
    let gate = || google.get("flightClass", &flight).unwrap()["origin"]["gate"].clone();
    assert_eq!(gate(), "A12");

    house.clock.forward(Duration::from_secs(60));
    say(&house, &one, "gate", "B7".into()).await;
    until("the new gate", async || gate() == "B7").await;
    // somebody asks for the other, which nobody told of the gate
    let row = house.store.backend().google_thing(house.org, two.id.uuid()).await.unwrap().unwrap();
    let again = store::GoogleThingRow { due_at: Some(house.clock.now()), ..row };
    house.store.backend().ask_google(vec![again], true).await.unwrap();
    is_settled(&house, &two).await;
    assert_eq!(gate(), "B7", "an older pass does not put it back");

    say(&house, &two, "departs", "2026-12-25T08:15:00+01:00".into()).await;
    until("the next day's flight", async || class_of(&two).ends_with("-XX-101-20261225T081500")).await;
    assert_eq!((google.count("flightClass"), class_of(&one)), (2, flight.clone()));
    submit(&house, Action::Delete { pass: PassRef::Id(one.id), expected_version: None }).await;
    until("it is void", async || boarding(&google, &one).unwrap()["state"] == "INACTIVE").await;
    assert_eq!(class_of(&one), flight);
    workers.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_said_a_flights_gate_last_is_right_about_it() {
    let (house, google) = with_flights().await;
    let workers = house.workers().await;
    let (one, two) = two_who_fly(&house, &google).await;
    let flight = boarding(&google, &one).unwrap()["classId"].as_str().unwrap().to_owned();
    let gate = || google.get("flightClass", &flight).unwrap()["origin"]["gate"].clone();
    let patches = || google.arrivals().iter().filter(|arrival| arrival.path.contains("/flightClass")).count();
    let tell = async |pass: &Pass, field: &str, value: &str| {
        house.clock.forward(Duration::from_secs(60));
        say(&house, pass, field, value.into()).await;
    };
    // What is said to a holder comes after the class of their pass.
    let is_brought = async |pass: &Pass, text: &str| {
        notify(&house, pass, text).await;
        until("what came after", async || boarding(&google, pass).is_some_and(|object| object.to_string().contains(text))).await;
    };
    tell(&one, "gate", "B7").await;
    until("the new gate", async || gate() == "B7").await;
    let before = patches();
    // The other, which still has the old gate, changes otherwise.
    tell(&two, "seat", "12C").await;
    is_brought(&two, "Seat 12C").await;
    assert_eq!((gate(), patches()), ("B7".into(), before), "the flight is as it was");
    tell(&two, "gate", "B9").await;
    until("the gate after that", async || gate() == "B9").await;
    workers.drain(Duration::from_secs(5)).await;

    // While nobody tells Google, all of it happens.
    tell(&two, "gate", "C1").await;
    tell(&one, "gate", "C2").await;
    tell(&two, "seat", "14A").await;
    let workers = house.workers().await;
    for pass in [&one, &two] {
        is_brought(pass, "Good evening").await;
    }
    assert_eq!(gate(), "C2");
    redesign(&house, |design| design.colors.background = Some("#102030".to_owned())).await;
    tell(&two, "seat", "15F").await;
    until("the new design", async || google.get("flightClass", &flight).unwrap()["hexBackgroundColor"] == "#102030").await;
    is_brought(&two, "Seat 15F").await;
    assert_eq!(gate(), "C2");
    workers.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_passenger_leaves_google_too() {
    let (house, google) = with_flights().await;
    redesign(&house, |design| {
        design.semantics.insert("seats".to_owned(), serde_json::json!([{"seatNumber": "{{fields.seat}}"}]));
    })
    .await;
    let workers = house.workers().await;
    let pass = house.issued("one", Validity::default()).await;
    say(&house, &pass, "seat", "12C".into()).await;
    until("the seat", async || boarding(&google, &pass).is_some_and(|object| object.to_string().contains("12C"))).await;
    is_settled(&house, &pass).await;
    let contact = domain::ContactRef::Id(pass.contact.unwrap());
    house.engine.submit(house.command(Action::EraseContact { contact, expected_version: None })).await.unwrap();
    until("it is void", async || boarding(&google, &pass).unwrap()["state"] == "INACTIVE").await;
    let left = boarding(&google, &pass).unwrap().to_string();
    assert!(!left.contains("12C"), "{left}");
    is_settled(&house, &pass).await;
    workers.drain(Duration::from_secs(5)).await;
}

/// Two passes of one flight that Google has.
async fn two_who_fly(house: &House, google: &GoogleServer) -> (Pass, Pass) {
    let both = (house.issued("one", Validity::default()).await, house.issued("two", Validity::default()).await);
    for pass in [&both.0, &both.1] {
        until("the boarding pass", async || boarding(google, pass).is_some()).await;
        is_settled(house, pass).await;
    }
    both
}

/// Flights whose design announces another gate.
async fn with_announced_gates() -> (House, GoogleServer) {
    let (house, google) = with_flights().await;
    redesign(&house, |design| {
        let mut gate = DesignField::new("gate", Text::parse("{{fields.gate}}").unwrap(), FieldPlace::Header);
        gate.change_message = Some("Gate %@".to_owned());
        design.fields.push(gate);
    })
    .await;
    (house, google)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_gate_is_announced_whatever_comes_with_it() {
    let (house, google) = with_announced_gates().await;
    let workers = house.workers().await;
    let (one, two) = two_who_fly(&house, &google).await;
    for pass in [&one, &two] {
        install(&house, &google, pass).await;
    }
    let shown = |pass: &Pass| -> Vec<Option<String>> {
        let id = format!("{ISSUER}.{}", pass.id);
        google.notifications().into_iter().filter(|shown| shown.object == id).map(|shown| shown.text).collect()
    };
    let flight = boarding(&google, &one).unwrap()["classId"].as_str().unwrap().to_owned();
    // The patch is done and its answer lost: it notifies once all the same, and the message comes once after it.
    google.fail_matching(&format!("flightClass/{ISSUER}"), Fault::LostAfter);
    house.clock.forward(Duration::from_secs(60));
    let message = Some("Your lounge is open".to_owned());
    let change =
        PassChange { fields: BTreeMap::from([("gate".to_owned(), Some("B7".into()))]), message, ..PassChange::default() };
    submit(&house, Action::Update { pass: PassRef::Id(one.id), change: Box::new(change), expected_version: None }).await;
    until("the message", async || shown(&one).len() == 2).await;
    is_settled(&house, &one).await;
    assert_eq!(google.get("flightClass", &flight).unwrap()["origin"]["gate"], "B7");
    assert_eq!(shown(&one), [None, Some("Your lounge is open".to_owned())], "of the gate, and what only this one is told");
    assert_eq!(shown(&two), [None], "told of the gate, once");
    workers.drain(Duration::from_secs(5)).await;

    // A new design alone tells nobody anything; a gate that changed before Google heard of either does.
    redesign(&house, |design| design.colors.background = Some("#102030".to_owned())).await;
    house.clock.forward(Duration::from_secs(60));
    say(&house, &two, "seat", "12C".into()).await;
    let workers = house.workers().await;
    until("the design", async || google.get("flightClass", &flight).unwrap()["hexBackgroundColor"] == "#102030").await;
    is_settled(&house, &two).await;
    assert_eq!((shown(&one).len(), shown(&two).len()), (2, 1));
    workers.drain(Duration::from_secs(5)).await;
    redesign(&house, |design| design.colors.background = Some("#405060".to_owned())).await;
    house.clock.forward(Duration::from_secs(60));
    say(&house, &two, "gate", "B9".into()).await;
    let workers = house.workers().await;
    until("the next gate", async || google.get("flightClass", &flight).unwrap()["origin"]["gate"] == "B9").await;
    is_settled(&house, &two).await;
    assert_eq!((shown(&one).len(), shown(&two).len()), (3, 2));
    workers.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_gate_is_announced_once_to_all_who_fly_and_three_times_a_day() {
    let (house, google) = with_announced_gates().await;
    let workers = house.workers().await;
    let (one, two) = two_who_fly(&house, &google).await;
    for pass in [&one, &two] {
        install(&house, &google, pass).await;
    }
    let flight = boarding(&google, &one).unwrap()["classId"].as_str().unwrap().to_owned();
    let shown = async |gate: &str| {
        house.clock.forward(Duration::from_secs(60));
        say(&house, &one, "gate", gate.into()).await;
        until("the new gate", async || google.get("flightClass", &flight).unwrap()["origin"]["gate"] == gate).await;
        is_settled(&house, &one).await;
        google.notifications().len()
    };
    // The patch is done and its answer lost: it notifies once all the same.
    google.fail_matching(&format!("flightClass/{ISSUER}"), Fault::LostAfter);
    assert_eq!(shown("B7").await, 2, "both who fly, once");
    say(&house, &two, "gate", "B7".into()).await;
    is_settled(&house, &two).await;
    assert_eq!(google.notifications().len(), 2, "the same gate again is no news");
    assert_eq!((shown("B8").await, shown("B9").await, shown("C1").await), (4, 6, 6), "three a day");
    notify(&house, &two, "Last call").await;
    until("the message", async || boarding(&google, &two).unwrap()["messages"][0]["body"] == "Last call").await;
    assert_eq!(google.notifications().len(), 6, "messages are counted with them");
    workers.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_call_backs_of_flights_are_repaired_too() {
    let (mut house, google) = with_flights().await;
    house.google.drift_every = Duration::from_millis(200);
    let workers = house.workers().await;
    let pass = house.issued("saved", Validity::default()).await;
    until("the boarding pass", async || boarding(&google, &pass).is_some()).await;
    google.mute(true);
    google.hold(&format!("{ISSUER}.{}", pass.id)).unwrap();
    let active = async || house.store.pass(house.org, pass.id).await.unwrap().unwrap().google.active;
    until("the install is found", async || active().await == 1).await;

    let class = boarding(&google, &pass).unwrap()["classId"].as_str().unwrap().to_owned();
    let thing = store::google_class_thing(pass.template, &class);
    let known = async || house.store.backend().google_thing(house.org, thing).await.unwrap().is_some();
    assert!(known().await);
    // A month after its departure, the class is forgotten; what Google has stays.
    let over = "2027-01-24T08:00:00Z".parse::<domain::Timestamp>().unwrap();
    house.clock.forward(Duration::from_micros(u64::try_from(over.as_micros() - house.clock.now().as_micros()).unwrap()));
    until("the flight is forgotten", async || !known().await).await;
    assert!(google.get("flightClass", &class).is_some() && boarding(&google, &pass).is_some());
    workers.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_message_is_sent_when_its_time_has_come() {
    let (house, google) = with_google().await;
    let workers = house.workers().await;
    let pass = house.issued("one", Validity::default()).await;
    has_state(&google, &pass, "ACTIVE").await;
    install(&house, &google, &pass).await;
    let (at, until_then) =
        (house.clock.now().plus(Duration::from_secs(3_600)), house.clock.now().plus(Duration::from_secs(7_200)));
    let text = "Doors open".to_owned();
    submit(&house, Action::Notify { pass: PassRef::Id(pass.id), text, at: Some(at), until: Some(until_then) }).await;
    is_settled(&house, &pass).await;
    assert!(object(&google, &pass).unwrap().get("messages").is_none(), "not yet");
    workers.drain(Duration::from_secs(5)).await;

    house.clock.forward(Duration::from_secs(3_601));
    let workers = house.workers().await;
    shows(&google, &pass, "Doors open").await;
    let message = object(&google, &pass).unwrap()["messages"][0].clone();
    assert_eq!(message["displayInterval"]["end"]["date"].as_str().unwrap()[..19], until_then.to_string()[..19]);
    let pass = house.store.pass(house.org, pass.id).await.unwrap().unwrap();
    assert!(pass.planned.is_empty() && pass.message.unwrap().at >= at);
    workers.drain(Duration::from_secs(5)).await;
}
