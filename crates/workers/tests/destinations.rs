//! Destinations with accounts, over a real database and fakes that enforce the services' limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::collections::HashSet;
use std::time::Duration;

use domain::{Action, ContactId, ContactInput, Facts, PassChange, PassRef, TargetEvents, TargetId, Validity, Wallet};
use house::{
    House,
    services::{destination, ended, install, remove},
    until,
};
use serde_json::{Value, json};
use store::{AttemptOutcome, BackfillProgress, JobState};
use testkit::vendors::{Books, Service, TOKEN, Vendor};

const PATIENCE: Duration = Duration::from_secs(30);

const BY_MEMBER: &[(&str, &str)] = &[("access_token", TOKEN)];

fn by_member() -> Value {
    json!({"key": "external_id", "key_property": "member_id"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_database_holds_what_the_phones_say() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::HubSpot).await.unwrap();
    vendor.with(|books| books.refused.push("person-7".to_owned()));
    let target = destination(&house, "hubspot", &vendor.url(), by_member(), BY_MEMBER).await;
    let mut passes = Vec::new();
    for number in 0..130 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
        passes.push(pass);
    }
    install(&house, &passes[1], Wallet::Apple, "watch").await;
    install(&house, &passes[2], Wallet::Google, "").await;
    let workers = house.workers().await;
    until("all but the refused one are held", || async { vendor.books().records.len() == 129 }).await;
    until("the refused one is given up", || async { ended(&house, target, AttemptOutcome::Failed).await == 1 }).await;
    let books = vendor.books();
    assert!(books.batches.iter().all(|size| *size <= 100) && books.batches.len() < 30, "{:?}", books.batches);
    assert_eq!(books.records["person-0"]["wallet_status"], "apple");
    until("both wallets", || async { vendor.books().records["person-2"]["wallet_status"] == "both" }).await;
    assert_eq!(vendor.books().records["person-0"]["google_wallet_installed_at"], "");
    let failed = house.attempts(target).await.into_iter().find(|attempt| attempt.outcome == 3).unwrap();
    assert_eq!(failed.error.as_deref(), Some("the receiver refused it: VALIDATION_ERROR"));
    let detail = house.store.open_detail(&failed).unwrap().unwrap();
    let detail: Value = serde_json::from_slice(&detail).unwrap();
    let body = detail["request"]["body"].as_str().unwrap();
    assert!(body.contains("person-7") && !body.contains("person-8"), "an attempt tells of its own person alone: {body}");
    assert!(detail["reply"]["body"].as_str().unwrap().contains("is bad"), "{detail}");
    assert!(!detail.to_string().contains(TOKEN));

    // One of two devices, and a phone that drops the pass and takes it again: nothing changes, so nothing is sent.
    let before = vendor.books().requests;
    remove(&house, &passes[1], Wallet::Apple, "watch").await;
    remove(&house, &passes[3], Wallet::Apple, "phone").await;
    install(&house, &passes[3], Wallet::Apple, "phone").await;
    remove(&house, &passes[4], Wallet::Apple, "phone").await;
    house.clock.forward(Duration::from_secs(400));
    until("the removal counts", || async { vendor.books().records["person-4"]["wallet_status"] == "none" }).await;
    let books = vendor.books();
    assert_eq!(books.requests, before + 1);
    let record = &books.records["person-4"];
    assert_eq!((&record["apple_wallet_installed_at"], &record["wallet_last_event"]), (&json!(""), &json!("uninstalled")));
    assert_eq!(books.records["person-3"]["wallet_status"], "apple");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_repetition_tells_the_present() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::HubSpot).await.unwrap();
    vendor.with(|books| books.next = vec![(503, json!({})); 2]);
    let target = destination(&house, "hubspot", &vendor.url(), by_member(), BY_MEMBER).await;
    let workers = house.workers().await;
    let pass = house.issued("1", Validity::default()).await;
    install(&house, &pass, Wallet::Apple, "phone").await;
    until("it failed once", || async { ended(&house, target, AttemptOutcome::Retrying).await == 1 }).await;
    install(&house, &pass, Wallet::Google, "").await;
    until("so did the next", || async { ended(&house, target, AttemptOutcome::Retrying).await == 2 }).await;
    house.clock.forward(Duration::from_secs(30));
    until("both are through", || async { ended(&house, target, AttemptOutcome::Delivered).await == 2 }).await;
    assert_eq!(vendor.books().records["person-1"]["wallet_status"], "both");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_is_told_of_once_it_has_a_key() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::HubSpot).await.unwrap();
    let settings = json!({"key": "email", "key_property": "email"});
    let target = destination(&house, "hubspot", &vendor.url(), settings, BY_MEMBER).await;
    let workers = house.workers().await;
    let pass = house.issued("1", Validity::default()).await;
    install(&house, &pass, Wallet::Google, "").await;
    until("it cannot be told yet", || async { ended(&house, target, AttemptOutcome::Failed).await == 1 }).await;
    assert!(house.attempts(target).await[0].error.as_ref().unwrap().contains("no email"));
    let mut input = ContactInput { external_id: Some("person-1".to_owned()), ..ContactInput::default() };
    let contact = |input: &ContactInput| Action::PutContact {
        new_id: ContactId::mint(domain::Clock::now(&*house.clock), &house::System),
        input: input.clone(),
    };
    input.email = Some(" Ada@Example.com".to_owned());
    house.engine.submit(house.command(contact(&input))).await.unwrap();
    until("it is told", || async { vendor.books().records.contains_key("ada@example.com") }).await;
    let requests = vendor.books().requests;
    input.name = Some("Ada".to_owned());
    house.engine.submit(house.command(contact(&input))).await.unwrap();
    let other = house.issued("2", Validity::default()).await;
    install(&house, &other, Wallet::Apple, "phone").await;
    until("the log is read", || async { ended(&house, target, AttemptOutcome::Failed).await == 2 }).await;
    assert_eq!(vendor.books().requests, requests, "a name is none of its business");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_got_once_and_again_when_it_is_refused() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Salesforce).await.unwrap();
    let settings = json!({"domain": "acme.my.salesforce.com", "client_id": "c", "external_id_field": "Member_Id__c"});
    let target = destination(&house, "salesforce", &vendor.url(), settings, &[("client_secret", TOKEN)]).await;
    vendor.with(|books| books.refused.push("person-1".to_owned()));
    let workers = house.workers().await;
    for number in 0..3 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
    }
    until("two are held", || async { vendor.books().records.len() == 2 }).await;
    until("one is given up", || async { ended(&house, target, AttemptOutcome::Failed).await == 1 }).await;
    vendor.with(|books| books.next = vec![(401, json!([{"errorCode": "INVALID_SESSION_ID"}]))]);
    let pass = house.issued("9", Validity::default()).await;
    install(&house, &pass, Wallet::Google, "").await;
    until("it is held with a new token", || async { vendor.books().records.contains_key("person-9") }).await;
    assert_eq!(vendor.books().records["person-9"]["Wallet_Status__c"], "google");
    assert_eq!((vendor.books().tokens, ended(&house, target, AttemptOutcome::Retrying).await), (2, 0));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_refused_whole_is_taken_apart() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Airtable).await.unwrap();
    let settings = json!({"base": "appA1b2C3", "table": "Members"});
    let target = destination(&house, "airtable", &vendor.url(), settings, BY_MEMBER).await;
    vendor.with(|books| books.refused.push("person-5".to_owned()));
    for number in 0..20 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
    }
    let workers = house.workers().await;
    until("all but one are held", || async { vendor.books().records.len() == 19 }).await;
    until("one is given up", || async { ended(&house, target, AttemptOutcome::Failed).await == 1 }).await;
    until("all are written", || async { ended(&house, target, AttemptOutcome::Delivered).await == 19 }).await;
    let books = vendor.books();
    assert_eq!(books.slowed, 0, "{:?}", books.batches);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_the_calls_of_a_day_used_up_goes_when_there_are_some_again() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Salesforce).await.unwrap();
    let settings = json!({"domain": "acme.my.salesforce.com", "client_id": "c", "external_id_field": "Member_Id__c"});
    let target = destination(&house, "salesforce", &vendor.url(), settings, &[("client_secret", TOKEN)]).await;
    vendor.with(|books| books.calls_left = Some(0));
    let workers = house.workers().await;
    let pass = house.issued("1", Validity::default()).await;
    install(&house, &pass, Wallet::Apple, "phone").await;
    until("it is put off", || async { ended(&house, target, AttemptOutcome::Retrying).await == 1 }).await;
    let tried = house.attempts(target).await.remove(0);
    assert_eq!((tried.status, vendor.books().records.len()), (Some(403), 0));
    assert!(tried.next_at.unwrap() >= tried.at.plus(Duration::from_secs(15 * 60)), "{tried:?}");
    vendor.with(|books| books.calls_left = Some(1));
    house.clock.forward(Duration::from_secs(20 * 60));
    until("it is held", || async { ended(&house, target, AttemptOutcome::Delivered).await == 1 }).await;
    assert_eq!(vendor.books().records["person-1"]["Wallet_Status__c"], "apple");
    workers.drain(PATIENCE).await;
}

/// A field that the table does not have: Airtable's words say which.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_a_base_does_not_have_is_named() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Airtable).await.unwrap();
    let there = ["Member", "Wallet status", "Apple Wallet installed at", "Google Wallet installed at", "Wallet last event"];
    vendor.with(|books| books.properties = there.map(str::to_owned).to_vec());
    let target =
        destination(&house, "airtable", &vendor.url(), json!({"base": "appA1b2C3", "table": "Members"}), BY_MEMBER).await;
    let workers = house.workers().await;
    let pass = house.issued("1", Validity::default()).await;
    install(&house, &pass, Wallet::Apple, "phone").await;
    until("it is given up", || async { ended(&house, target, AttemptOutcome::Failed).await == 1 }).await;
    let attempt = house.attempts(target).await.remove(0);
    let said = String::from_utf8(house.store.open_detail(&attempt).unwrap().unwrap().to_vec()).unwrap();
    assert!(said.contains("UNKNOWN_FIELD_NAME") && said.contains("Wallet last changed at"), "{said}");
    assert_eq!(attempt.status, Some(422));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_platforms_get_calls_in_batches() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Tracking).await.unwrap();
    let target = destination(&house, "rudderstack", &vendor.url(), json!({}), &[("write_key", TOKEN)]).await;
    for number in 0..60 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
    }
    let workers = house.workers().await;
    // Contact and pass made, installed, and the status that changed.
    until("all calls came", || async { vendor.books().messages.len() == 240 }).await;
    until("all are written", || async { ended(&house, target, AttemptOutcome::Delivered).await == 240 }).await;
    let books = vendor.books();
    assert!(books.batches.len() < 60, "{:?}", books.batches);
    let count = |kind: &str, event: &str| {
        books.messages.values().filter(|call| call["type"] == kind && (event.is_empty() || call["event"] == event)).count()
    };
    assert_eq!((count("identify", ""), count("track", "Pass Installed"), count("track", "Pass Created")), (120, 60, 60));
    let status = books.messages.values().filter(|call| call["traits"]["walletStatus"] == "apple").count();
    assert!(status >= 60, "who was identified before the installation was sent may have been told of it already: {status}");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_gets_one_message_for_many_events_and_a_dead_one_is_switched_off() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Slack).await.unwrap();
    let address = "https://hooks.slack.com/services/T0/B0/fake";
    let target = destination(&house, "slack", &vendor.url(), json!({}), &[("webhook_url", address)]).await;
    let stored = house.store.current().await.unwrap().org(house.org).unwrap().targets[&target.uuid()].clone();
    let mut only = (*stored.value).clone();
    only.target.events = TargetEvents::Only(vec![domain::EventKind::PassInstalled]);
    assert!(house.store.put(&house.change(), &only, stored.revision).await.unwrap());
    for number in 0..5 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
    }
    let workers = house.workers().await;
    until("all are told", || async { ended(&house, target, AttemptOutcome::Delivered).await == 5 }).await;
    let books = vendor.books();
    let lines: usize = books.messages.values().map(|text| text.as_str().unwrap().lines().count()).sum();
    assert!(books.messages.len() <= 3 && lines == 5 && books.slowed == 0, "{books:?}");
    let line = "Pass Installed (Apple Wallet): person-0, Club 0";
    assert!(books.messages.values().any(|text| text.as_str().unwrap().lines().any(|held| held == line)), "{books:?}");
    let attempt = &house.attempts(target).await[0];
    let detail = String::from_utf8(house.store.open_detail(attempt).unwrap().unwrap().to_vec()).unwrap();
    assert!(!detail.contains("/services/T0"), "{detail}");
    vendor.with(|books| books.next = vec![(404, json!("no_service"))]);
    let pass = house.issued("9", Validity::default()).await;
    install(&house, &pass, Wallet::Google, "").await;
    until("it is switched off", || async {
        let catalog = house.store.current().await.unwrap();
        !catalog.org(house.org).unwrap().targets[&target.uuid()].value.target.enabled
    })
    .await;
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_long_on_its_way_to_a_channel_holds_back_the_next() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Slack).await.unwrap();
    let address = "https://hooks.slack.com/services/T0/B0/fake";
    let target = destination(&house, "slack", &vendor.url(), json!({}), &[("webhook_url", address)]).await;
    vendor.with(|books| books.late = Duration::from_millis(800));
    let workers = house.workers().await;
    house.issued("1", Validity::default()).await;
    until("the first is on its way", || async { vendor.books().late.is_zero() }).await;
    house.issued("2", Validity::default()).await;
    until("both and whose they are is told", || async { ended(&house, target, AttemptOutcome::Delivered).await == 4 }).await;
    let books = vendor.books();
    assert_eq!((books.messages.len(), books.slowed), (2, 0), "{books:?}");
    workers.drain(PATIENCE).await;
}

const CODE: &str = r#"
import { getSecret } from "neo/secrets";
const tell = async (installed, passId, identifiers, device, info) => {
    const answer = await fetch("URL", {
        method: "PATCH",
        headers: { "X-Token": getSecret("crm") },
        body: JSON.stringify({ installed, customer: identifiers.customerId, device, count: info.activeRegistrationCount }),
    });
    console.log("answered", answer.status, getSecret("crm"));
    if (!answer.ok) throw new Error("answered " + answer.status + " for " + identifiers.customerId + " " + getSecret("crm"));
};
export default (context) => context.register("runtime.wallet.passUpdater", {
    OnPassInstalled: (passId, passType, identifiers, device, info) => tell(true, passId, identifiers, device, info),
    OnPassUninstalled: (passId, passType, identifiers, device, info) => tell(false, passId, identifiers, device, info),
});
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_of_one_s_own_is_run_with_its_secrets_and_tried_again() {
    let house = House::new().await;
    let sink = house::Sink::start(&[500], 1_000).await;
    let code = CODE.replace("URL", &sink.url);
    let target = destination(&house, "custom", "", json!({ "code": code }), &[("secret.crm", "hush-hush")]).await;
    let workers = house.workers().await;
    let pass = house.issued("1", Validity::default()).await;
    install(&house, &pass, Wallet::Apple, "phone").await;
    until("it failed once", || async { ended(&house, target, AttemptOutcome::Retrying).await == 1 }).await;
    let attempt = house.attempts(target).await.remove(0);
    assert!(attempt.error.as_ref().unwrap().starts_with("the code failed at connector:"), "{attempt:?}");
    let detail: Value = serde_json::from_slice(&house.store.open_detail(&attempt).unwrap().unwrap()).unwrap();
    assert_eq!(detail["log"], json!(["answered 500 ***"]));
    assert!(detail["fault"].as_str().unwrap().contains("answered 500 for person-1 ***"));
    assert!(!detail.to_string().contains("hush"), "{detail}");
    house.clock.forward(Duration::from_secs(30));
    until("it went through", || async { ended(&house, target, AttemptOutcome::Delivered).await == 1 }).await;
    remove(&house, &pass, Wallet::Apple, "phone").await;
    until("the removal is told at once", || async { ended(&house, target, AttemptOutcome::Delivered).await == 2 }).await;
    let seen = sink.behaviour.seen.lock().clone();
    assert!(seen.iter().all(|(headers, _)| headers["x-token"] == "hush-hush"));
    let last: Value = serde_json::from_slice(&seen.last().unwrap().1).unwrap();
    assert_eq!(last, json!({"installed": false, "customer": "person-1", "device": "apple", "count": 0}));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_a_batch_survives_a_stop() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::HubSpot).await.unwrap();
    let target = destination(&house, "hubspot", &vendor.url(), by_member(), BY_MEMBER).await;
    let workers = house.workers().await;
    for number in 0..30 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
    }
    workers.drain(PATIENCE).await;
    let workers = house.workers().await;
    until("all are held", || async { vendor.books().records.len() == 30 }).await;
    until("all are written", || async { ended(&house, target, AttemptOutcome::Delivered).await == 30 }).await;
    assert!(house.store.backend().deliveries(house.org, Some(target), None, 10).await.unwrap().is_empty());
    workers.drain(PATIENCE).await;
}

/// Begins a backfill.
async fn begin(house: &House, target: TargetId, everything: bool) -> store::Backfill {
    let now = domain::Clock::now(&*house.clock);
    let (begun, write) = house.store.begin_backfill(house.org, target, everything, now).unwrap();
    assert!(house.store.written(write).await.unwrap());
    begun
}

/// Lets a backfill run to its end.
async fn backfilled(house: &House, target: TargetId, everything: bool) -> BackfillProgress {
    let begun = begin(house, target, everything).await;
    ends(house, &begun).await
}

async fn ends(house: &House, begun: &store::Backfill) -> BackfillProgress {
    until("the backfill is done", || async {
        house.clock.forward(Duration::from_secs(1));
        let held = house.store.job::<BackfillProgress>(house.org, begun.id).await.unwrap().unwrap();
        held.state == JobState::Done
    })
    .await;
    house.store.job::<BackfillProgress>(house.org, begun.id).await.unwrap().unwrap().progress
}

/// A destination that was made after everything had happened.
async fn late_destination(house: &House, vendor: &Vendor) -> TargetId {
    let target = destination(house, "hubspot", &vendor.url(), by_member(), BY_MEMBER).await;
    let stored = house.store.current().await.unwrap().org(house.org).unwrap().targets[&target.uuid()].clone();
    let mut late = (*stored.value).clone();
    late.target.created_at = domain::Clock::now(&*house.clock);
    assert!(house.store.put(&house.change(), &late, stored.revision).await.unwrap());
    target
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_compares_repairs_and_reports() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::HubSpot).await.unwrap();
    for number in 0..130 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        if number % 2 == 0 {
            install(&house, &pass, Wallet::Google, "").await;
        }
    }
    let nobody = ContactInput { email: Some("nobody@example.com".to_owned()), ..ContactInput::default() };
    let new_id = ContactId::mint(domain::Clock::now(&*house.clock), &house::System);
    house.engine.submit(house.command(Action::PutContact { new_id, input: nobody })).await.unwrap();
    vendor.with(|books| books.refused.push("person-7".to_owned()));
    // One of the properties is there already.
    vendor.with(|books| books.properties.push("wallet_status".to_owned()));
    let target = late_destination(&house, &vendor).await;
    let workers = house.workers().await;
    let first = backfilled(&house, target, false).await;
    assert_eq!(vendor.books().properties.len(), 5, "the others were made");
    assert_eq!((first.looked_at, first.matched, first.repaired, first.refused, first.nameless), (131, 0, 129, 1, 1));
    assert_eq!((first.samples.len(), first.trouble), (1, None));
    let records = vendor.books().records;
    assert_eq!(
        (records.len(), &records["person-2"]["wallet_status"], &records["person-3"]["wallet_status"]),
        (129, &json!("google"), &json!("none"))
    );
    let told = notices(&house).await;
    assert!(
        matches!(&told[..], [Facts::BackfillFailed { webhook, refused: 1, paused: false, .. }] if *webhook == target),
        "{told:?}"
    );
    vendor.with(|books| books.refused.clear());
    let requests = vendor.books().requests;
    let second = backfilled(&house, target, false).await;
    assert_eq!((second.matched, second.repaired, second.drifted), (129, 1, 0), "only what is missing");
    assert_eq!(vendor.books().requests, requests + 3, "two that read, one that writes");

    // What somebody changed or deleted at the vendor is found.
    vendor.with(|books| {
        books.records.get_mut("person-2").unwrap().insert("wallet_status".to_owned(), json!("apple"));
        books.records.remove("person-3");
    });
    let third = backfilled(&house, target, false).await;
    assert_eq!((third.matched, third.repaired, third.drifted), (128, 2, 2));
    let mut fields: Vec<_> = third.drift.iter().map(|(_, fields)| fields.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["no record", "wallet_status"]);
    let records = vendor.books().records;
    assert_eq!(
        (&records["person-2"]["wallet_status"], &records["person-3"]["wallet_status"]),
        (&json!("google"), &json!("none"))
    );
    assert_eq!(backfilled(&house, target, false).await.matched, 130);
    let whole = backfilled(&house, target, true).await;
    assert_eq!((whole.repaired, whole.matched), (130, 0));
    assert_eq!(vendor.books().records["person-2"]["wallet_status"], "google");
    assert_eq!(notices(&house).await.len(), 1, "of those that went well nobody is told");
    workers.drain(PATIENCE).await;
}

/// What somebody changed or deleted at a vendor is found, told anew and counted, whatever fields the vendor has.
async fn a_backfill_finds_drift(
    vendor: Vendor,
    kind: &str,
    settings: Value,
    credentials: &[(&str, &str)],
    [status, at]: [&str; 2],
) {
    let house = House::new().await;
    for name in ["0", "1", "2", "O'Neil \"{x}\\", "4", "5"] {
        let pass = house.issued(name, Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
    }
    let target = destination(&house, kind, &vendor.url(), settings, credentials).await;
    let workers = house.workers().await;
    until("all are held", || async { vendor.books().records.len() == 6 }).await;
    until("all are noted", || async { ended(&house, target, AttemptOutcome::Delivered).await == 6 }).await;
    let first = backfilled(&house, target, false).await;
    assert_eq!((first.matched, first.repaired, first.drifted), (6, 0, 0), "{first:?}");
    vendor.with(|books| {
        books.records.get_mut("person-0").unwrap().insert(status.to_owned(), json!("none"));
        books.records.get_mut("person-1").unwrap().insert(at.to_owned(), Value::Null);
        books.records.get_mut("person-2").unwrap().insert("Notes".to_owned(), json!("theirs"));
        books.records.remove("person-O'Neil \"{x}\\");
    });
    let second = backfilled(&house, target, false).await;
    assert_eq!((second.matched, second.repaired, second.drifted), (3, 3, 3), "{second:?}");
    let mut fields: Vec<_> = second.drift.iter().map(|(_, fields)| fields.as_str()).collect();
    fields.sort_unstable();
    let mut expected = ["no record", status, at];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    let books = vendor.books();
    assert!(books.records.values().all(|record| record[status] == "apple" && record[at].is_string()), "{:?}", books.records);
    assert_eq!((books.records.len(), &books.records["person-2"]["Notes"], books.slowed), (6, &json!("theirs"), 0));
    assert_eq!(backfilled(&house, target, false).await.matched, 6);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_finds_what_was_changed_in_a_base() {
    let settings = json!({"base": "appA1b2C3", "table": "Members"});
    let vendor = Vendor::start(Service::Airtable).await.unwrap();
    a_backfill_finds_drift(vendor, "airtable", settings, BY_MEMBER, ["Wallet status", "Apple Wallet installed at"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_finds_what_was_changed_in_an_org() {
    let settings = json!({"domain": "acme.my.salesforce.com", "client_id": "c", "external_id_field": "Member_Id__c"});
    let vendor = Vendor::start(Service::Salesforce).await.unwrap();
    let fields = ["Wallet_Status__c", "Apple_Wallet_Installed_At__c"];
    a_backfill_finds_drift(vendor, "salesforce", settings, &[("client_secret", TOKEN)], fields).await;
}

/// A session that ends while it is read is begun anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_org_holds_is_read_with_a_new_token_when_one_is_refused() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Salesforce).await.unwrap();
    let settings = json!({"domain": "acme.my.salesforce.com", "client_id": "c", "external_id_field": "Member_Id__c"});
    let target = destination(&house, "salesforce", &vendor.url(), settings, &[("client_secret", TOKEN)]).await;
    let workers = house.workers().await;
    let pass = house.issued("1", Validity::default()).await;
    install(&house, &pass, Wallet::Apple, "phone").await;
    until("it is noted", || async { ended(&house, target, AttemptOutcome::Delivered).await == 1 }).await;
    vendor.with(|books| books.token = "another".to_owned());
    let compared = backfilled(&house, target, false).await;
    assert_eq!((compared.matched, compared.failures, vendor.books().tokens), (1, 0, 2), "{compared:?}");
    workers.drain(PATIENCE).await;
}

/// A service that is asked too often what it holds is left alone as long as after a write too many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_was_passed_by_reading_is_kept_like_one_by_writing() {
    let org = json!({"domain": "acme.my.salesforce.com", "client_id": "c", "external_id_field": "Member_Id__c"});
    let base = json!({"base": "appA1b2C3", "table": "Members"});
    let too_often = json!({"errors": [{"error": "RATE_LIMIT_REACHED"}]});
    let used_up = json!([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]);
    for (service, kind, settings, secret, refused, pause) in [
        (Service::Airtable, "airtable", base, BY_MEMBER, (429, too_often), 30),
        (Service::Salesforce, "salesforce", org, &[("client_secret", TOKEN)][..], (403, used_up), 15 * 60),
    ] {
        let house = House::new().await;
        let vendor = Vendor::start(service).await.unwrap();
        let target = destination(&house, kind, &vendor.url(), settings, secret).await;
        let workers = house.workers().await;
        let pass = house.issued("1", Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
        until("it is noted", || async { ended(&house, target, AttemptOutcome::Delivered).await == 1 }).await;
        vendor.with(|books| books.next.push(refused));
        let begun = begin(&house, target, false).await;
        let held = async || house.store.job::<BackfillProgress>(house.org, begun.id).await.unwrap().unwrap();
        until("it waits", || async { held().await.progress.failures == 1 }).await;
        let progress = held().await.progress;
        let waits = progress.not_before.unwrap().since(begun.created_at);
        assert!(waits >= Duration::from_secs(pause), "{kind}: {progress:?}");
        until("it is done", || async {
            house.clock.forward(Duration::from_secs(60));
            held().await.state == JobState::Done
        })
        .await;
        assert_eq!(held().await.progress.matched, 1, "{kind}");
        workers.drain(PATIENCE).await;
    }
}

/// A token that may write and not read, as those made before were: what was told is what is compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_that_may_not_be_read_is_compared_with_what_was_told() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Airtable).await.unwrap();
    let settings = json!({"base": "appA1b2C3", "table": "Members"});
    let target = destination(&house, "airtable", &vendor.url(), settings, BY_MEMBER).await;
    let workers = house.workers().await;
    let pass = house.issued("1", Validity::default()).await;
    install(&house, &pass, Wallet::Apple, "phone").await;
    until("it is noted", || async { ended(&house, target, AttemptOutcome::Delivered).await == 1 }).await;
    let refused = json!({"error": {"type": "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"}});
    vendor.with(|books| (books.records.clear(), books.next.push((403, refused))));
    let compared = backfilled(&house, target, false).await;
    assert_eq!((compared.matched, compared.drifted, compared.failures), (1, 0, 0), "{compared:?}");
    workers.drain(PATIENCE).await;
}

/// Tells of a person as the API does.
async fn tell(house: &House, told: Value) {
    let new_id = ContactId::mint(domain::Clock::now(&*house.clock), &house::System);
    let input: ContactInput = serde_json::from_value(told).unwrap();
    house.engine.submit(house.command(Action::PutContact { new_id, input })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_platform_is_told_what_is_gone() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Tracking).await.unwrap();
    let target = destination(&house, "segment", &vendor.url(), json!({}), &[("write_key", TOKEN)]).await;
    let workers = house.workers().await;
    let told = async |count: usize| {
        until("it is told", || async { ended(&house, target, AttemptOutcome::Delivered).await == count }).await;
        let messages = vendor.with(|books| std::mem::take(&mut books.messages));
        let call = messages.into_values().next().unwrap_or_default();
        assert!(call.is_null() || call["type"] == "identify", "{call}");
        call["traits"].clone()
    };
    tell(&house, json!({"external_id": "ada", "name": "Ada", "phone": "+44", "traits": {"tier": "gold", "points": 5}})).await;
    let traits = told(1).await;
    assert_eq!((&traits["tier"], traits.get("phone")), (&json!("gold"), Some(&json!("+44"))));
    tell(&house, json!({"external_id": "ada", "phone": null, "traits": {"tier": null, "never": null}})).await;
    let traits = told(2).await;
    assert_eq!((&traits["name"], &traits["points"]), (&json!("Ada"), &json!(5)));
    assert_eq!(
        (traits.get("tier"), traits.get("phone")),
        (Some(&Value::Null), Some(&Value::Null)),
        "null takes it away: {traits}"
    );
    assert!(traits.get("never").is_none() && traits.get("email").is_none(), "what never was is not told: {traits}");
    tell(&house, json!({"external_id": "ada", "traits": {"tier": null}})).await;
    tell(&house, json!({"external_id": "ada", "traits": {"tier": "silver"}})).await;
    let traits = told(3).await;
    assert_eq!((&traits["tier"], traits.get("phone")), (&json!("silver"), Some(&Value::Null)));

    // Who was told nothing of it, for the destination was away, is told by a comparison.
    assert_eq!(backfilled(&house, target, false).await.matched, 1);
    let stored = house.store.current().await.unwrap().org(house.org).unwrap().targets[&target.uuid()].clone();
    let turned = |enabled: bool| {
        let mut turned = (*stored.value).clone();
        turned.target.enabled = enabled;
        turned
    };
    assert!(house.store.put(&house.change(), &turned(false), stored.revision).await.unwrap());
    tell(&house, json!({"external_id": "ada", "traits": {"points": null}})).await;
    assert!(house.store.put(&house.change(), &turned(true), stored.revision + 1).await.unwrap());
    let compared = backfilled(&house, target, false).await;
    let calls = vendor.books().messages;
    let is_told = |call: &&Value| call["traits"].get("points") == Some(&Value::Null);
    assert_eq!((compared.looked_at, calls.values().filter(is_told).count() >= 1), (1, true), "{compared:?} {calls:?}");
    assert_eq!(backfilled(&house, target, false).await.matched, 1);
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_of_one_is_not_taken_from_another_with_the_same_key() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Tracking).await.unwrap();
    let person = |id: &str, traits: Value| json!({"external_id": id, "email": "home@example.com", "name": id, "traits": traits});
    tell(&house, person("ann", json!({"tier": "gold", "size": "M"}))).await;
    tell(&house, person("bob", json!({"tier": "silver"}))).await;
    let settings = json!({"key": "email"});
    let target = destination(&house, "segment", &vendor.url(), settings, &[("write_key", TOKEN)]).await;
    let workers = house.workers().await;
    // Both are told of: it is known who shares a record.
    backfilled(&house, target, false).await;
    vendor.with(|books| books.messages.clear());
    tell(&house, json!({"external_id": "ann", "name": null, "traits": {"tier": null, "size": null}})).await;
    let told = || {
        let calls = vendor.books().messages;
        let mut traits = calls.into_values().map(|call| call["traits"].clone());
        traits.find(|traits| traits.get("size") == Some(&Value::Null))
    };
    until("it is told", || async { told().is_some() }).await;
    let traits = told().unwrap();
    assert_eq!((traits.get("name"), traits.get("tier")), (None, None), "the other has a name and a tier: {traits}");
    workers.drain(PATIENCE).await;
}

/// Gives a person an address.
async fn has_email(house: &House, external_id: &str, email: &str) {
    let new_id = ContactId::mint(domain::Clock::now(&*house.clock), &house::System);
    let (external_id, email) = (Some(external_id.to_owned()), Some(email.to_owned()));
    let input = ContactInput { external_id, email, ..ContactInput::default() };
    house.engine.submit(house.command(Action::PutContact { new_id, input })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_with_the_same_key_are_one_record_with_the_wallets_of_all() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::HubSpot).await.unwrap();
    let mut passes = Vec::new();
    for number in 0..2 {
        passes.push(house.issued(&number.to_string(), Validity::default()).await);
        has_email(&house, &format!("person-{number}"), "Home@Example.com").await;
    }
    let settings = json!({"key": "email", "key_property": "email"});
    let target = destination(&house, "hubspot", &vendor.url(), settings, BY_MEMBER).await;
    let workers = house.workers().await;
    let status = || vendor.books().records.get("home@example.com").map(|record| record["wallet_status"].clone());
    install(&house, &passes[0], Wallet::Apple, "phone").await;
    until("the first is told", || async { status() == Some(json!("apple")) }).await;
    install(&house, &passes[1], Wallet::Google, "").await;
    until("both count", || async { status() == Some(json!("both")) }).await;
    // Whoever of them is told of, now and by a comparison: nothing is overwritten, and nothing comes and goes.
    backfilled(&house, target, false).await;
    let again = backfilled(&house, target, false).await;
    assert_eq!((again.matched, again.repaired, again.drifted), (2, 0, 0));
    assert_eq!(status(), Some(json!("both")));
    remove(&house, &passes[0], Wallet::Apple, "phone").await;
    house.clock.forward(Duration::from_secs(400));
    until("the one that is left", || async { status() == Some(json!("google")) }).await;
    // Who moves away takes the wallets along.
    has_email(&house, "person-1", "away@example.com").await;
    until("a record of its own", || async { vendor.books().records.contains_key("away@example.com") }).await;
    backfilled(&house, target, false).await;
    let records = vendor.books().records;
    assert_eq!(
        (&records["home@example.com"]["wallet_status"], &records["away@example.com"]["wallet_status"]),
        (&json!("none"), &json!("google"))
    );
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_beyond_the_hundred_of_one_key_overwrites_nothing() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::HubSpot).await.unwrap();
    for number in 0..102 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        has_email(&house, &format!("person-{number}"), "info@example.com").await;
        if number == 0 {
            install(&house, &pass, Wallet::Apple, "phone").await;
            house.clock.forward(Duration::from_secs(1));
        }
    }
    let settings = json!({"key": "email", "key_property": "email"});
    let target = destination(&house, "hubspot", &vendor.url(), settings, BY_MEMBER).await;
    let workers = house.workers().await;
    backfilled(&house, target, true).await;
    let again = backfilled(&house, target, false).await;
    assert_eq!((again.matched, again.repaired), (102, 0));
    assert_eq!(vendor.books().records["info@example.com"]["wallet_status"], "apple");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_turned_elsewhere_is_not_believed_to_hold_what_it_was_told() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Airtable).await.unwrap();
    for number in 0..5 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    let settings = json!({"base": "appA1b2C3", "table": "Members"});
    let target = destination(&house, "airtable", &vendor.url(), settings, BY_MEMBER).await;
    let workers = house.workers().await;
    backfilled(&house, target, false).await;
    assert_eq!(backfilled(&house, target, false).await.matched, 5, "it was told of all");
    let stored = house.store.current().await.unwrap().org(house.org).unwrap().targets[&target.uuid()].clone();
    let mut turned = (*stored.value).clone();
    turned.target.settings.insert("key_field".to_owned(), domain::FieldValue::from("Number"));
    assert!(house.store.put(&house.change(), &turned, stored.revision).await.unwrap());
    let told = backfilled(&house, target, false).await;
    assert_eq!((told.matched, told.repaired), (0, 5));
    assert!(vendor.books().records.values().all(|record| record.contains_key("Number")));
    workers.drain(PATIENCE).await;
}

/// What was noted about backfills.
async fn notices(house: &House) -> Vec<Facts> {
    let shards = usize::from(house.store.backend().shards());
    let events = house.store.feed(house.org, &vec![0; shards], 1_000).await.unwrap();
    let facts = events.into_iter().filter_map(store::LoggedEvent::whole).map(|event| event.facts);
    facts.filter(|facts| matches!(facts, Facts::BackfillFailed { .. })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_waits_for_its_destination_is_halted_and_goes_on() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::HubSpot).await.unwrap();
    for number in 0..150 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    let target = late_destination(&house, &vendor).await;
    // It is down at first.
    vendor.with(|books| books.next = vec![(503, json!({})); 4]);
    let workers = house.workers().await;
    let begun = begin(&house, target, false).await;
    let another = async || {
        let now = domain::Clock::now(&*house.clock);
        let (_, write) = house.store.begin_backfill(house.org, target, true, now).unwrap();
        house.store.written(write).await.unwrap()
    };
    assert!(!another().await, "one at a time");
    let held = async || house.store.job::<BackfillProgress>(house.org, begun.id).await.unwrap().unwrap();
    until("it waits", || async { held().await.progress.failures > 0 }).await;
    let waiting = held().await;
    assert!(waiting.progress.trouble.as_ref().unwrap().contains("503") && waiting.progress.not_before.is_some(), "{waiting:?}");
    until("it is halted", || async {
        let paused = store::Backfill { state: JobState::Paused, ..held().await };
        house.store.save_job(None, &paused, &[], domain::Clock::now(&*house.clock)).await.unwrap()
    })
    .await;
    house.clock.forward(Duration::from_secs(3_600));
    assert!(!another().await, "one that is halted is under way");
    assert_eq!(held().await.state, JobState::Paused);
    workers.drain(PATIENCE).await;
    assert_eq!(vendor.books().records.len(), 0);
    // Another process goes on where it was.
    let workers = house.workers().await;
    let resumed = store::Backfill { state: JobState::Running, ..held().await };
    assert!(house.store.save_job(None, &resumed, &[], domain::Clock::now(&*house.clock)).await.unwrap());
    until("it is done", || async {
        house.clock.forward(Duration::from_secs(60));
        held().await.state == JobState::Done
    })
    .await;
    let done = held().await.progress;
    assert_eq!((done.looked_at, done.repaired, vendor.books().records.len()), (150, 150, 150));
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_is_compared_by_its_schedule_and_forgotten_when_it_is_deleted() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::HubSpot).await.unwrap();
    for number in 0..5 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    let target = late_destination(&house, &vendor).await;
    let stored = async || house.store.current().await.unwrap().org(house.org).unwrap().targets[&target.uuid()].clone();
    let held = stored().await;
    let mut scheduled = (*held.value).clone();
    scheduled.target.backfill_every_hours = Some(24);
    assert!(house.store.put(&house.change(), &scheduled, held.revision).await.unwrap());
    let workers = house.workers().await;
    let done = async || {
        let backfills = house.store.jobs::<BackfillProgress>(house.org, None, 100).await.unwrap();
        backfills.into_iter().filter(|backfill| backfill.state == JobState::Done).collect::<Vec<_>>()
    };
    until("the minutes go by", || async {
        house.clock.forward(Duration::from_secs(1_800));
        done().await.len() == 2
    })
    .await;
    let backfills = done().await;
    assert_eq!((backfills[1].progress.everything, backfills[0].progress.everything), (false, false));
    assert!(backfills[0].created_at.since(backfills[1].created_at) >= Duration::from_secs(24 * 3_600), "{backfills:?}");
    assert_eq!((backfills[1].progress.repaired, backfills[0].progress.matched, vendor.books().records.len()), (5, 5, 5));
    assert_eq!(house.store.backend().next_synced(None).await.unwrap(), Some((house.org, target)));
    let held = stored().await;
    assert!(house.store.remove(&house.change(), &*held.value, held.revision).await.unwrap());
    until("what it was told is forgotten", || async {
        house.clock.forward(Duration::from_secs(60));
        house.store.backend().next_synced(None).await.unwrap().is_none()
    })
    .await;
    workers.drain(PATIENCE).await;
}

/// A small generator: the same numbers in every run.
struct Dice(u64);
impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_the_customer_database_agrees_with_the_phones_in_the_end() {
    for seed in 1..=3 {
        let house = House::new().await;
        let vendor = Vendor::start(Service::HubSpot).await.unwrap();
        let target = destination(&house, "hubspot", &vendor.url(), by_member(), BY_MEMBER).await;
        let (mut dice, mut on) = (Dice(seed), std::collections::BTreeSet::new());
        let mut passes = Vec::new();
        for number in 0..12 {
            passes.push(house.issued(&number.to_string(), Validity::default()).await);
        }
        let mut workers = house.workers().await;
        for _ in 0..150 {
            let pass = usize::try_from(dice.below(12)).unwrap();
            let (wallet, device) =
                [(Wallet::Apple, "phone"), (Wallet::Apple, "watch"), (Wallet::Google, "")][dice.below(3) as usize];
            match dice.below(12) {
                0..=4 => {
                    install(&house, &passes[pass], wallet, device).await;
                    on.insert((pass, wallet.name(), device));
                }
                5..=8 => {
                    remove(&house, &passes[pass], wallet, device).await;
                    on.remove(&(pass, wallet.name(), device));
                }
                9 => vendor.with(|books| books.next.push(([429, 500, 503][dice.below(3) as usize], json!({})))),
                10 => house.clock.forward(Duration::from_secs(dice.below(400))),
                _ => {
                    workers.drain(PATIENCE).await;
                    workers = house.workers().await;
                }
            }
        }
        let oracle = |pass: usize| {
            let has = |wallet: &str| on.iter().any(|(of, held, _)| *of == pass && *held == wallet);
            match (has("apple"), has("google")) {
                (true, true) => "both",
                (true, false) => "apple",
                (false, true) => "google",
                (false, false) => "none",
            }
        };
        vendor.with(|books| books.next.clear());
        until("all removals count", || async {
            house.clock.forward(Duration::from_secs(60));
            let all = house.store.contacts(house.org, None, 100).await.unwrap();
            all.iter().all(|contact| {
                let number: usize = contact.external_id.as_ref().unwrap()["person-".len()..].parse().unwrap();
                contact.wallet_status().name() == oracle(number)
            })
        })
        .await;
        until("it agrees without any repair", || async {
            house.clock.forward(Duration::from_secs(600));
            let records = vendor.books().records;
            (0..12).all(|pass| match records.get(&format!("person-{pass}")) {
                Some(record) => record["wallet_status"] == oracle(pass),
                None => oracle(pass) == "none",
            })
        })
        .await;
        until("nothing is owed", || async {
            house.clock.forward(Duration::from_secs(600));
            house.store.backend().deliveries(house.org, Some(target), None, 10).await.unwrap().is_empty()
        })
        .await;
        let sent: usize = vendor.books().batches.iter().sum();
        let told = backfilled(&house, target, false).await;
        let never = (0..12).filter(|pass| !vendor.books().records.contains_key(&format!("person-{pass}"))).count();
        assert_eq!((told.looked_at, never), (12, 0));
        assert!(sent <= 150, "no more writes than changes: {sent}");
        workers.drain(PATIENCE).await;
    }
}

/// Contacts without passes, named `person-0` and so on.
async fn contacts(house: &House, count: u64) {
    let mut put = tokio::task::JoinSet::new();
    for number in 0..count {
        let input = ContactInput { external_id: Some(format!("person-{number}")), ..ContactInput::default() };
        let new_id = ContactId::mint(domain::Clock::now(&*house.clock), &house::System);
        let (engine, command) = (house.engine.clone(), house.command(Action::PutContact { new_id, input }));
        put.spawn(async move { engine.submit(command).await.map(drop) });
        if put.len() >= 512 {
            put.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    while let Some(done) = put.join_next().await {
        done.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_takes_a_part_at_a_time_is_backfilled_to_the_end() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Tracking).await.unwrap();
    contacts(&house, 2_500).await;
    // It takes three requests of a hundred, and then none for a while: never a batch of the walk at once.
    vendor.with(|books| books.fails_every = 4);
    let target = destination(&house, "rudderstack", &vendor.url(), json!({}), &[("write_key", TOKEN)]).await;
    let workers = house.workers().await;
    until("the log is behind us", || async { ended(&house, target, AttemptOutcome::Retrying).await == 0 }).await;
    let begun = begin(&house, target, true).await;
    let held = async || house.store.job::<BackfillProgress>(house.org, begun.id).await.unwrap().unwrap();
    until("it is done or halted", || async {
        house.clock.forward(Duration::from_secs(30));
        held().await.state != JobState::Running
    })
    .await;
    let BackfillProgress { looked_at, matched, repaired, refused, failures, .. } = held().await.progress;
    assert_eq!(held().await.state, JobState::Done, "{:?}", held().await.progress);
    assert_eq!((looked_at, matched, repaired, refused, failures), (2_500, 0, 2_500, 0, 0), "each counts once");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_begins_when_it_is_asked_for() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Tracking).await.unwrap();
    house.issued("1", Validity::default()).await;
    let target = destination(&house, "rudderstack", &vendor.url(), json!({}), &[("write_key", TOKEN)]).await;
    let ticks = house.store.wake().config();
    let begun = begin(&house, target, true).await;
    assert!(ticks.has_changed().unwrap(), "its worker is woken although nothing is configured by it");
    // The first is found at the start; a worker that is not woken would not look for the second before tomorrow.
    let settings = workers::Settings { backfills_every: Duration::from_secs(86_400), ..house::quick() };
    let workers = house.workers_with(settings).await;
    ends(&house, &begun).await;
    backfilled(&house, target, true).await;
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_has_a_row_for_every_event_and_computes_none_of_them() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Sheets).await.unwrap();
    let token_uri = format!("{}/oauth2/token", vendor.url());
    let key = google_wallet::ServiceAccount::development_key_file("sheets@example.iam.gserviceaccount.com", &token_uri).unwrap();
    let settings =
        json!({"spreadsheet": "1AbC-d_E", "sheet": "Club's cards", "columns": "event, contact.external_id,pass.external_id"});
    let credentials = [("key_file", std::str::from_utf8(&key).unwrap())];
    let target = destination(&house, "google-sheets", &vendor.url(), settings, &credentials).await;
    for number in 0..4 {
        house.issued(&number.to_string(), Validity::default()).await;
    }
    house.issued("=HYPERLINK(\"https://example.com\")", Validity::default()).await;
    house.issued("bad", Validity::default()).await;
    vendor.with(|books| (books.most_rows, books.refused) = (Some(0), vec!["person-bad".to_owned()]));
    let workers = house.workers().await;
    until("it is full", || async {
        // Several requests that fail in a row hold the next ones back for a while.
        house.clock.forward(Duration::from_secs(60));
        let tried = house.attempts(target).await;
        let kept = tried.iter().filter(|row| row.outcome == AttemptOutcome::Retrying.number());
        kept.map(|row| row.event).collect::<HashSet<_>>().len() == 12
    })
    .await;
    assert_eq!(ended(&house, target, AttemptOutcome::Failed).await, 0, "nothing is given up for that");
    // Somebody makes room; meanwhile the token ended.
    vendor.with(|books| (books.most_rows, books.token) = (None, "another".to_owned()));
    until("all but the bad ones are there", || async {
        house.clock.forward(Duration::from_secs(600));
        vendor.with(|books| books.rows.len()) == 10
    })
    .await;
    until("those are given up", || async { ended(&house, target, AttemptOutcome::Failed).await >= 1 }).await;
    let books = vendor.books();
    let mut ids: Vec<_> = books.rows.iter().map(|row| row[0].to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), books.slowed, books.tokens), (10, 0, 2));
    let formula = json!("=HYPERLINK(\"https://example.com\")");
    assert!(books.rows.iter().any(|row| row[1] == "pass.created" && row[3] == formula), "{:?}", books.rows);
    workers.drain(PATIENCE).await;
}

/// As the connector's README has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_keeps_a_row_with_the_wallet_status_of_every_contact() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Sheets).await.unwrap();
    let token_uri = format!("{}/oauth2/token", vendor.url());
    let key = google_wallet::ServiceAccount::development_key_file("sheets@example.iam.gserviceaccount.com", &token_uri).unwrap();
    let settings = json!({"spreadsheet": "1AbC-d_E", "sheet": "Club's cards", "key": "contact.external_id",
        "columns": "occurred_at,contact.external_id,contact.email,contact.wallet_status"});
    let credentials = [("key_file", std::str::from_utf8(&key).unwrap())];
    let target = destination(&house, "google-sheets", &vendor.url(), settings, &credentials).await;
    let stored = house.store.current().await.unwrap().org(house.org).unwrap().targets[&target.uuid()].clone();
    let mut only = (*stored.value).clone();
    only.target.events = TargetEvents::Only(vec![domain::EventKind::ContactWalletStatusChanged]);
    assert!(house.store.put(&house.change(), &only, stored.revision).await.unwrap());
    let workers = house.workers().await;
    let mut passes = Vec::new();
    for number in 0..3 {
        let pass = house.issued(&number.to_string(), Validity::default()).await;
        install(&house, &pass, Wallet::Apple, "phone").await;
        passes.push(pass);
    }
    install(&house, &passes[1], Wallet::Google, "").await;
    remove(&house, &passes[2], Wallet::Apple, "phone").await;
    let expected = ["person-0 apple", "person-1 both", "person-2 none"];
    until("each has one row, with the present", || async {
        house.clock.forward(Duration::from_secs(60));
        let said = |row: &Vec<Value>| format!("{} {}", row[2].as_str().unwrap(), row[4].as_str().unwrap());
        let mut rows: Vec<String> = vendor.books().rows.iter().map(said).collect();
        rows.sort_unstable();
        rows == expected
    })
    .await;
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_with_a_key_has_one_row_for_each_value_of_it_that_shows_the_newest_event() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Sheets).await.unwrap();
    let token_uri = format!("{}/oauth2/token", vendor.url());
    let key = google_wallet::ServiceAccount::development_key_file("sheets@example.iam.gserviceaccount.com", &token_uri).unwrap();
    let settings = json!({"spreadsheet": "1AbC-d_E", "sheet": "Club's cards", "key": "pass.external_id",
        "columns": "event,pass.external_id,pass.balances.points"});
    let credentials = [("key_file", std::str::from_utf8(&key).unwrap())];
    let target = destination(&house, "google-sheets", &vendor.url(), settings, &credentials).await;
    let begun = [json!(""), json!("by hand"), json!("2"), json!(""), json!("a note beside")];
    let heading = ["Event id", "What", "Pass", "Points", "Notes"].map(Value::from);
    vendor.with(|books| books.rows = vec![heading.to_vec(), begun.to_vec()]);
    let mut passes = Vec::new();
    for number in 0..4 {
        passes.push(house.issued(&number.to_string(), Validity::default()).await.id);
    }
    let workers = house.workers().await;
    until("they are there", || async { vendor.with(|books| books.rows.len()) == 5 }).await;
    let shows = |books: &Books, pass: &str| {
        let rows: Vec<_> = books.rows.iter().filter(|row| row[2] == pass).cloned().collect();
        let [row] = rows.as_slice() else { panic!("{pass} has {} rows: {:?}", rows.len(), books.rows) };
        row.clone()
    };
    assert_eq!(vendor.books().rows[0], heading, "the heading stays");
    let taken = vendor.books().rows[1].clone();
    assert_eq!((&taken[1], &taken[4]), (&json!("pass.created"), &json!("a note beside")), "a row that somebody began is taken");
    for _ in 0..2 {
        for pass in &passes {
            let add = domain::BalanceChange::Add("1".parse().unwrap());
            let change = PassChange { balances: [("points".to_owned(), add)].into(), ..PassChange::default() };
            let update = Action::Update { pass: PassRef::Id(*pass), change: Box::new(change), expected_version: None };
            house.engine.submit(house.command(update)).await.unwrap();
        }
    }
    until("they show the newest", || async {
        house.clock.forward(Duration::from_secs(2));
        let books = vendor.books();
        (0..4).all(|number: i32| shows(&books, &number.to_string())[3] == "2")
    })
    .await;
    assert_eq!(vendor.books().rows.len(), 5, "and nobody has two");
    assert_eq!(ended(&house, target, AttemptOutcome::Failed).await, 0);
    workers.drain(PATIENCE).await;
}
