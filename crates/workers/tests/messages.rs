//! Messages to holders, through a real mail server and a fake of Twilio that enforces what Twilio documents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod house;

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Action, Answer, Channel, ContactId, ContactInput, DeliveryId, Event, EventId, EventKind, Facts, FieldValue, IdempotencyKey,
    MessageFault, MessageNews, MessageOrder, MessageRef, Pass, PassChange, PassRef, Project, ProjectKind, Target, TargetEvents,
    TargetId, Validity,
};
use house::{House, System, until};
use serde_json::{Value, json};
use store::{DeliveryRow, StoredTarget, Wish};
use testkit::{
    mail::{MailServer, Manner},
    vendors::{Service, TOKEN, TWILIO_ACCOUNT, Vendor},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A sender, as the API would make it.
async fn sender(
    house: &House,
    kind: &str,
    url: &str,
    channel: Channel,
    settings: Value,
    credentials: &[(&str, &str)],
) -> TargetId {
    let settings: BTreeMap<String, FieldValue> = serde_json::from_value(settings).unwrap();
    let change = |target: &mut Target| {
        target.dialect = kind.to_owned();
        target.settings = settings;
        target.sends = Some(channel);
        target.headers = BTreeMap::new();
    };
    let id = house.target_with(url, change).await;
    let stored = house.store.current().await.unwrap().org(house.org).unwrap().targets[&id.uuid()].clone();
    let mut changed: StoredTarget = (*stored.value).clone();
    for (name, value) in credentials {
        changed.sealed_settings.insert((*name).to_owned(), house.store.seal_setting(house.org, id, value).unwrap());
    }
    assert!(house.store.put(&house.change(), &changed, stored.revision).await.unwrap());
    id
}

async fn twilio(house: &House, vendor: &Vendor) -> TargetId {
    let settings = json!({"account_sid": TWILIO_ACCOUNT, "from": "+14155552671"});
    sender(house, "twilio", &vendor.url(), Channel::Sms, settings, &[("auth_token", TOKEN)]).await
}

async fn member(house: &House, id: &str, email: &str, phone: &str) -> Pass {
    let pass = house.issued(id, Validity::default()).await;
    let (email, phone) = (Some(email.to_owned()), Some(phone.to_owned()));
    let input = ContactInput { external_id: Some(format!("person-{id}")), email, phone, ..ContactInput::default() };
    let action = Action::PutContact { new_id: ContactId::mint(domain::Clock::now(&*house.clock), &System), input };
    house.engine.submit(house.command(action)).await.unwrap();
    pass
}

async fn send(house: &House, pass: &Pass, channel: Channel, text: Option<&str>) -> EventId {
    let text = text.map(str::to_owned);
    ask(house, pass, MessageOrder { channel, sender: None, test_to: None, subject: None, text, despite_bounce: false }).await
}

async fn send_by(house: &House, pass: &Pass, channel: Channel, sender: TargetId) -> EventId {
    let sender = Some(sender.to_string());
    ask(house, pass, MessageOrder { channel, sender, test_to: None, subject: None, text: None, despite_bounce: false }).await
}

async fn ask(house: &House, pass: &Pass, order: MessageOrder) -> EventId {
    let action = Action::Send { pass: PassRef::Id(pass.id), order: Box::new(order) };
    match house.engine.submit(house.command(action)).await.unwrap().answer {
        Answer::Noted { event } => event,
        other => panic!("{other:?}"),
    }
}

/// What a server leaves that stopped after it had written down that it was about to send.
async fn begin(house: &House, pass: &Pass, asked: EventId, sender: TargetId, channel: Channel) {
    let key = format!("{}/begin/0", DeliveryId::of(asked.uuid(), sender.uuid()));
    let key = IdempotencyKey { principal: "messages".to_owned(), key, fingerprint: [0; 32], keep_image: false };
    let message = Box::new(MessageRef { id: Some(asked), sender, channel, to: None, test: false });
    let (pass, holder) = (PassRef::Id(pass.id), pass.contact);
    let begin = Action::RecordMessage { pass, holder, message, news: MessageNews::Begun };
    house.engine.submit(domain::Command { key: Some(key), ..house.command(begin) }).await.unwrap();
}

async fn wants_no(house: &House, channel: Channel, pass: &Pass) {
    let wish = Action::SetWanted { contact: pass.contact.unwrap(), channel, wanted: false };
    house.engine.submit(house.command(wish)).await.unwrap();
}

async fn timeline(house: &House, pass: &Pass) -> Vec<Event> {
    let events = house.store.events_of_pass(house.org, pass.id, 0, 100).await.unwrap();
    events.into_iter().map(|event| event.whole().unwrap()).filter(|event| event.kind().name().starts_with("message.")).collect()
}

async fn kinds(house: &House, pass: &Pass) -> Vec<EventKind> {
    timeline(house, pass).await.iter().map(Event::kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_goes_out_with_the_pass_and_what_comes_back_is_noted() {
    let house = House::new().await;
    let there = MailServer::start(&Manner::default()).await.unwrap();
    let url = format!("smtp+plain://127.0.0.1:{}", there.port);
    let post = sender(&house, "smtp", &url, Channel::Email, json!({"from": "Club <club@example.com>"}), &[]).await;
    let anna = member(&house, "1", "anna@example.org", "+4930901820").await;
    let nobody = member(&house, "2", "nobody@example.org", "+4930901821").await;
    let later = member(&house, "3", "later@example.org", "+4930901822").await;
    let asked = send(&house, &anna, Channel::Email, Some("Hello <Anna>")).await;
    send(&house, &nobody, Channel::Email, None).await;
    send(&house, &later, Channel::Email, None).await;
    let mut settings = house::quick();
    settings.webhooks.public_url = "https://passes.example.com".to_owned();
    let workers = house.workers_with(settings).await;

    let sent = [EventKind::MessageRequested, EventKind::MessageSent];
    until("the mail went out", || async { kinds(&house, &anna).await == sent }).await;
    let got = there.wait_for(1).await.unwrap();
    let mail = got.iter().find(|mail| mail["to"][0] == "anna@example.org").unwrap();
    let delivery = DeliveryId::of(asked.uuid(), post.uuid());
    assert_eq!(mail["headers"]["message-id"], format!("<{delivery}@example.com>"));
    assert_eq!(mail["headers"]["auto-submitted"], "auto-generated");
    // A slash is escaped too in HTML.
    let (text, html) = (mail["text"].as_str().unwrap(), mail["html"].as_str().unwrap().replace("&#x2f;", "/"));
    let page = format!("/p/{}", anna.code);
    assert!(text.contains("Hello <Anna>") && text.contains(&page), "{text}");
    assert!(html.contains("Hello &lt;Anna&gt;") && html.contains(&format!("{page}/apple")), "{html}");
    let wish = Wish { org: house.org, contact: anna.contact.unwrap(), channel: Channel::Email };
    let unsubscribe = format!("https://passes.example.com/u/{}", wish.text(house.store.keyring()).unwrap());
    assert_eq!(mail["headers"]["list-unsubscribe"], format!("<{unsubscribe}>"));
    assert_eq!(mail["headers"]["list-unsubscribe-post"], "List-Unsubscribe=One-Click");
    assert!(text.contains(&unsubscribe) && html.contains(&unsubscribe), "{text}");
    assert_eq!(mail["files"][0]["content"], "UEs=", "the package: {}", mail["files"]);
    let facts = timeline(&house, &anna).await.pop().unwrap().facts;
    assert!(
        matches!(&facts, Facts::MessageSent { message, server_id: Some(id) } if message.id == Some(asked) && id.contains("queued as"))
    );

    let failed = [EventKind::MessageRequested, EventKind::MessageFailed];
    until("the bounce is noted", || async { kinds(&house, &nobody).await == failed }).await;
    let facts = timeline(&house, &nobody).await.pop().unwrap().facts;
    let Facts::MessageFailed { reason: MessageFault::Bounced, detail: Some(detail), .. } = facts else { panic!("{facts:?}") };
    assert!(detail.contains("5.1.1"), "{detail}");
    send(&house, &nobody, Channel::Email, None).await;
    let facts = timeline(&house, &nobody).await.pop().unwrap().facts;
    assert!(matches!(facts, Facts::MessageFailed { reason: MessageFault::BouncedBefore, .. }), "{facts:?}");

    until("what was put off is tried again", || async {
        house.clock.forward(Duration::from_secs(10));
        kinds(&house, &later).await == sent
    })
    .await;
    let tried = house.attempts(post).await;
    assert_eq!(tried.iter().filter(|attempt| attempt.status == Some(451)).count(), 1, "greylisted once");
    let count = there.got().len();
    assert_eq!((count, there.wait_for(2).await.unwrap().len()), (2, 2), "nothing goes out twice");
    workers.drain(PATIENCE).await;
}

/// Makes the house's project one of flights, whose passes name theirs by the field `departs`.
async fn fly(house: &House) {
    let catalog = house.store.catalog();
    let config = catalog.org(house.org).unwrap();
    let project = &config.projects[&house.project.uuid()];
    let fields = serde_json::from_value(json!([{"key": "departs", "label": "Departs", "type": "time"}])).unwrap();
    let google_issuer = Some("3388000000000000001".to_owned());
    let flights = Project { kind: ProjectKind::BoardingPass, fields, google_issuer, ..(*project.value).clone() };
    assert!(house.store.put(&house.change(), &flights, project.revision).await.unwrap());
    let template = config.templates.values().next().unwrap();
    let mut design = (*template.value).clone();
    let tags = json!({"airlineCode": "XX", "flightNumber": 101, "departureAirportCode": "BER", "destinationAirportCode": "OSL",
        "originalDepartureDate": "{{fields.departs}}"});
    design.design.semantics = tags.as_object().unwrap().clone();
    assert!(house.store.put(&house.change(), &design, template.revision).await.unwrap());
}

async fn names_its_flight(house: &House, pass: &Pass) {
    let departs = FieldValue::from("2026-12-24T08:15:00+01:00");
    let change = PassChange { fields: BTreeMap::from([("departs".to_owned(), Some(departs))]), ..PassChange::default() };
    let action = Action::Update { pass: PassRef::Id(pass.id), change: Box::new(change), expected_version: None };
    house.engine.submit(house.command(action)).await.unwrap();
}

fn leads_to(mail: &Value, pass: &Pass, wallet: &str) -> bool {
    let html = mail["html"].as_str().unwrap().replace("&#x2f;", "/");
    html.contains(&format!("/p/{}/{wallet}", pass.code))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_leads_to_google_once_the_pass_names_its_flight() {
    let house = House::new().await;
    fly(&house).await;
    let there = MailServer::start(&Manner::default()).await.unwrap();
    let url = format!("smtp+plain://127.0.0.1:{}", there.port);
    sender(&house, "smtp", &url, Channel::Email, json!({"from": "Air <air@example.com>"}), &[]).await;
    let anna = member(&house, "1", "anna@example.org", "+4930901820").await;
    let workers = house.workers().await;

    send(&house, &anna, Channel::Email, None).await;
    let mail = there.wait_for(1).await.unwrap()[0].clone();
    assert!(leads_to(&mail, &anna, "apple") && !leads_to(&mail, &anna, "google"), "{mail}");
    names_its_flight(&house, &anna).await;
    send(&house, &anna, Channel::Email, None).await;
    let mail = there.wait_for(2).await.unwrap()[1].clone();
    assert!(leads_to(&mail, &anna, "apple") && leads_to(&mail, &anna, "google"), "{mail}");
    workers.drain(PATIENCE).await;
}

/// A message that waits for its server, its rate or a node is judged when it is tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_goes_by_the_pass_and_its_holder_as_they_are_when_it_is_tried() {
    let house = House::new().await;
    fly(&house).await;
    let there = MailServer::start(&Manner::default()).await.unwrap();
    let url = format!("smtp+plain://127.0.0.1:{}", there.port);
    sender(&house, "smtp", &url, Channel::Email, json!({"from": "Air <air@example.com>"}), &[]).await;
    let named = member(&house, "1", "anna@example.org", "+4930901820").await;
    let deleted = member(&house, "2", "bert@example.org", "+4930901821").await;
    let silent = member(&house, "3", "cora@example.org", "+4930901822").await;
    let given_away = member(&house, "4", "dora@example.org", "+4930901823").await;
    for pass in [&named, &deleted, &silent, &given_away] {
        send(&house, pass, Channel::Email, None).await;
    }
    names_its_flight(&house, &named).await;
    wants_no(&house, Channel::Email, &silent).await;
    house.engine.submit(house.command(Action::Delete { pass: PassRef::Id(deleted.id), expected_version: None })).await.unwrap();
    let other = ContactInput { external_id: Some("person-5".to_owned()), ..ContactInput::default() };
    let new_contact = Some(ContactId::mint(domain::Clock::now(&*house.clock), &System));
    let change = PassChange { contact: Some(other), new_contact, ..PassChange::default() };
    let action = Action::Update { pass: PassRef::Id(given_away.id), change: Box::new(change), expected_version: None };
    house.engine.submit(house.command(action)).await.unwrap();
    let workers = house.workers().await;

    let failed = [EventKind::MessageRequested, EventKind::MessageFailed];
    for (pass, fault, said) in [
        (&deleted, MessageFault::Undelivered, Some("its pass was deleted")),
        (&silent, MessageFault::Unsubscribed, None),
        (&given_away, MessageFault::Undelivered, Some("its pass is somebody else's now")),
    ] {
        until("it is noted that nobody is told", || async { kinds(&house, pass).await == failed }).await;
        let facts = timeline(&house, pass).await.pop().unwrap().facts;
        let Facts::MessageFailed { reason, detail, message } = &facts else { panic!("{facts:?}") };
        assert_eq!((*reason, detail.as_deref()), (fault, said));
        let is_theirs = pass.id != given_away.id;
        assert_eq!(message.to.is_some(), is_theirs, "an address is kept for whoever has the pass, nobody before: {message:?}");
    }
    let sent = [EventKind::MessageRequested, EventKind::MessageSent];
    until("the mail went out", || async { kinds(&house, &named).await == sent }).await;
    let got = there.got();
    assert!(got.len() == 1 && leads_to(&got[0], &named, "google"), "{got:?}");
    workers.drain(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sms_goes_out_once_and_what_nobody_knows_is_said_and_left() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Twilio).await.unwrap();
    vendor.with(|books| books.refused.push("+4930901822".to_owned()));
    let target = twilio(&house, &vendor).await;
    let anna = member(&house, "1", "anna@example.org", "+49 30 901820").await;
    let begun = member(&house, "2", "bert@example.org", "+4930901821").await;
    let stopped = member(&house, "3", "cora@example.org", "+4930901822").await;
    let asked = send(&house, &begun, Channel::Sms, None).await;
    begin(&house, &begun, asked, target, Channel::Sms).await;
    send(&house, &anna, Channel::Sms, Some("Grüße & mehr:")).await;
    send(&house, &stopped, Channel::Sms, None).await;
    let workers = house.workers().await;

    let sent = [EventKind::MessageRequested, EventKind::MessageSent];
    until("it went out", || async { kinds(&house, &anna).await == sent }).await;
    let facts = timeline(&house, &anna).await.pop().unwrap().facts;
    let Facts::MessageSent { server_id: Some(sid), .. } = facts else { panic!("{facts:?}") };
    let told = vendor.books().messages[&sid].clone();
    assert_eq!((told["To"].as_str(), told["From"].as_str()), (Some("+4930901820"), Some("+14155552671")));
    let body = told["Body"].as_str().unwrap();
    assert!(body.starts_with("Grüße & mehr: http") && body.ends_with(&anna.code.to_string()), "{body}");

    let unknown = [EventKind::MessageRequested, EventKind::MessageUnknown];
    until("it is not known", || async { kinds(&house, &begun).await == unknown }).await;
    let failed = [EventKind::MessageRequested, EventKind::MessageFailed];
    until("who wrote STOP is left alone", || async { kinds(&house, &stopped).await == failed }).await;
    send(&house, &stopped, Channel::Sms, None).await;
    let facts = timeline(&house, &stopped).await.pop().unwrap().facts;
    assert!(matches!(facts, Facts::MessageFailed { reason: MessageFault::BouncedBefore, .. }), "{facts:?}");

    // Slowed down it comes again; after an answer that says nothing it never does.
    vendor.with(|books| books.next.push((429, json!({"code": 20429, "message": "Too Many Requests"}))));
    let slowed = member(&house, "4", "dora@example.org", "+4930901823").await;
    send(&house, &slowed, Channel::Sms, None).await;
    until("it comes again", || async {
        house.clock.forward(Duration::from_secs(10));
        kinds(&house, &slowed).await == sent
    })
    .await;
    vendor.with(|books| books.next.push((502, json!("bad gateway"))));
    let broken = member(&house, "5", "emil@example.org", "+4930901824").await;
    let asked = send(&house, &broken, Channel::Sms, None).await;
    until("it is not known", || async { kinds(&house, &broken).await == unknown }).await;
    // Somebody asks for the delivery once more.
    let event = house.store.event(house.org, asked).await.unwrap().unwrap();
    let id = DeliveryId::of(asked.uuid(), target.uuid());
    let (position, due_at) = (event.position(), domain::Clock::now(&*house.clock));
    let asked_at = Some(due_at);
    let row = DeliveryRow { org: house.org, id, target, event: asked, position, attempts: 0, due_at, behind: false, asked_at };
    house.store.backend().owe(vec![row]).await.unwrap();
    until("the delivery is over", || async {
        house.clock.forward(Duration::from_secs(1));
        house.store.backend().delivery(house.org, id).await.unwrap().is_none()
    })
    .await;
    assert_eq!(kinds(&house, &broken).await, unknown);
    let numbers: Vec<_> = vendor.books().messages.values().map(|told| told["To"].as_str().unwrap().to_owned()).collect();
    assert_eq!(numbers, ["+4930901820", "+4930901823"], "two went out, each once");
    workers.drain(PATIENCE).await;
}

/// A message that may have gone out did not fail, even where it cannot be sent any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_gone_out_is_not_known_whatever_came_since() {
    let house = House::new().await;
    let there = MailServer::start(&Manner::default()).await.unwrap();
    let url = format!("smtp+plain://127.0.0.1:{}", there.port);
    let post = sender(&house, "smtp", &url, Channel::Email, json!({"from": "Club <club@example.com>"}), &[]).await;
    let dumb = format!("smtp+plain://127.0.0.1:{}", testkit::mail::mute().await.unwrap());
    let dumb = sender(&house, "smtp", &dumb, Channel::Email, json!({"from": "Club <club@example.com>"}), &[]).await;
    let vendor = Vendor::start(Service::Twilio).await.unwrap();
    let phone = twilio(&house, &vendor).await;
    let [silent, deleted, again, text, mute, gone] = {
        let mut made = Vec::new();
        for (id, name) in (0..).zip(["silent", "deleted", "again", "text", "mute", "gone"]) {
            made.push(member(&house, name, &format!("{name}@example.org"), &format!("+493090182{id}")).await);
        }
        <[Pass; 6]>::try_from(made).unwrap()
    };
    for (pass, channel, by) in [
        (&silent, Channel::Email, post),
        (&deleted, Channel::Email, post),
        (&again, Channel::Email, post),
        (&text, Channel::Sms, phone),
        (&gone, Channel::Sms, phone),
    ] {
        let asked = send_by(&house, pass, channel, by).await;
        begin(&house, pass, asked, by, channel).await;
    }
    send_by(&house, &mute, Channel::Email, dumb).await;
    wants_no(&house, Channel::Email, &silent).await;
    wants_no(&house, Channel::Sms, &text).await;
    house.engine.submit(house.command(Action::Delete { pass: PassRef::Id(deleted.id), expected_version: None })).await.unwrap();
    let unheard = send_by(&house, &gone, Channel::Email, post).await;
    wants_no(&house, Channel::Email, &gone).await;
    let workers = house.workers().await;

    let unknown = [EventKind::MessageRequested, EventKind::MessageUnknown];
    for (pass, why) in [(&silent, "unsubscribed"), (&deleted, "its pass was deleted"), (&text, "unsubscribed")] {
        until("it is not known", || async { kinds(&house, pass).await == unknown }).await;
        let facts = timeline(&house, pass).await.pop().unwrap().facts;
        let Facts::MessageUnknown { detail, .. } = facts else { panic!("{facts:?}") };
        assert!(detail.ends_with(why), "{detail}");
    }
    let sent = [EventKind::MessageRequested, EventKind::MessageSent];
    until("what the server knows again is sent again", || async { kinds(&house, &again).await == sent }).await;
    // One of another way, that nobody had begun with, fails as ever.
    let of_gone = async || {
        let told = timeline(&house, &gone).await.into_iter();
        let about = |message: &MessageRef| message.id == Some(unheard);
        told.filter(|event| matches!(&event.facts, Facts::MessageFailed { message, .. } if about(message))).count()
    };
    until("it failed", || async { of_gone().await == 1 }).await;

    // A server took it, and did not say so.
    until("it was tried", || async { house.attempts(dumb).await.iter().any(|attempt| attempt.next_at.is_some()) }).await;
    wants_no(&house, Channel::Email, &mute).await;
    until("it is not known", || async {
        house.clock.forward(Duration::from_secs(10));
        kinds(&house, &mute).await == unknown
    })
    .await;
    workers.drain(PATIENCE).await;
}

/// A try that does not come to sending is one, too, and does not make that before forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sms_that_may_have_gone_out_is_not_sent_after_a_try_that_could_not_be_made() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Twilio).await.unwrap();
    let target = twilio(&house, &vendor).await;
    let pass = member(&house, "1", "anna@example.org", "+4930901820").await;
    let asked = send(&house, &pass, Channel::Sms, None).await;
    begin(&house, &pass, asked, target, Channel::Sms).await;
    // A credential that does not open, and then one that does.
    let credential = async |of: TargetId| {
        let stored = house.store.current().await.unwrap().org(house.org).unwrap().targets[&target.uuid()].clone();
        let mut changed: StoredTarget = (*stored.value).clone();
        changed.sealed_settings.insert("auth_token".to_owned(), house.store.seal_setting(house.org, of, TOKEN).unwrap());
        assert!(house.store.put(&house.change(), &changed, stored.revision).await.unwrap());
    };
    credential(TargetId::mint(domain::Clock::now(&*house.clock), &System)).await;
    let workers = house.workers().await;
    until("it was tried", || async { !house.attempts(target).await.is_empty() }).await;
    credential(target).await;
    until("it is not known", || async {
        house.clock.forward(Duration::from_secs(10));
        kinds(&house, &pass).await == [EventKind::MessageRequested, EventKind::MessageUnknown]
    })
    .await;
    assert!(vendor.books().messages.is_empty(), "it is not sent again");
    workers.drain(PATIENCE).await;
}

/// The sender is deleted before anybody read that it is to send, and while a delivery is owed to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_sender_is_gone_fails_and_says_so() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Twilio).await.unwrap();
    let target = twilio(&house, &vendor).await;
    let unread = member(&house, "1", "anna@example.org", "+4930901820").await;
    let begun = member(&house, "3", "cora@example.org", "+4930901822").await;
    let asked = send(&house, &begun, Channel::Sms, None).await;
    begin(&house, &begun, asked, target, Channel::Sms).await;
    let owed = member(&house, "2", "bert@example.org", "+4930901821").await;
    send(&house, &unread, Channel::Sms, None).await;
    let asked = send(&house, &owed, Channel::Sms, None).await;
    let event = house.store.event(house.org, asked).await.unwrap().unwrap();
    let (id, position) = (DeliveryId::of(asked.uuid(), target.uuid()), event.position());
    let due_at = domain::Clock::now(&*house.clock).plus(Duration::from_secs(5));
    let asked_at = None;
    let row = DeliveryRow { org: house.org, id, target, event: asked, position, attempts: 1, due_at, behind: false, asked_at };
    house.store.backend().owe(vec![row]).await.unwrap();
    let stored = house.store.current().await.unwrap().org(house.org).unwrap().targets[&target.uuid()].clone();
    assert!(house.store.remove(&house.change(), &*stored.value, stored.revision).await.unwrap());
    let workers = house.workers().await;

    let failed = [EventKind::MessageRequested, EventKind::MessageFailed];
    until("nobody read it", || async { kinds(&house, &unread).await == failed }).await;
    until("it was owed", || async {
        house.clock.forward(Duration::from_secs(1));
        kinds(&house, &owed).await == failed
    })
    .await;
    let unknown = [EventKind::MessageRequested, EventKind::MessageUnknown];
    until("it is not known", || async { kinds(&house, &begun).await == unknown }).await;
    for pass in [&unread, &owed] {
        let facts = timeline(&house, pass).await.pop().unwrap().facts;
        let Facts::MessageFailed { reason, detail, message } = facts else { panic!("{facts:?}") };
        assert_eq!((reason, message.sender), (MessageFault::Undelivered, target));
        assert!(detail.unwrap().contains("its sender was deleted"));
    }
    until("nothing is owed", || async {
        house.clock.forward(Duration::from_secs(1));
        house.store.backend().delivery(house.org, id).await.unwrap().is_none()
    })
    .await;
    assert!(vendor.books().messages.is_empty());
    workers.drain(PATIENCE).await;
    let workers = house.workers().await;
    assert_eq!(kinds(&house, &unread).await, failed, "once");
    workers.drain(PATIENCE).await;
}

/// Twilio is asked to tell, at an address of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sms_says_where_its_fate_is_told() {
    let house = House::new().await;
    let vendor = Vendor::start(Service::Twilio).await.unwrap();
    twilio(&house, &vendor).await;
    let anna = member(&house, "1", "anna@example.org", "+4930901820").await;
    let asked = send(&house, &anna, Channel::Sms, None).await;
    let mut settings = house::quick();
    settings.webhooks.public_url = "https://passes.example.com".to_owned();
    let workers = house.workers_with(settings).await;
    until("it went out", || async { !vendor.books().messages.is_empty() }).await;
    let told = vendor.books().messages.values().next().unwrap().clone();
    assert_eq!(told["StatusCallback"], format!("https://passes.example.com/messages/{}/{asked}/status", house.org));
    workers.drain(PATIENCE).await;
}

/// A destination that is told of the running of things.
async fn alerts(house: &House, server: &MailServer) -> TargetId {
    let settings = json!({"from": "Passes <passes@example.com>", "to": "ops@example.com"});
    let settings: BTreeMap<String, FieldValue> = serde_json::from_value(settings).unwrap();
    let change = |target: &mut Target| {
        target.dialect = "mail-alerts".to_owned();
        target.settings = settings;
        target.events = TargetEvents::Operational;
        target.headers = BTreeMap::new();
    };
    house.target_with(&format!("smtp+plain://localhost:{}", server.port), change).await
}

/// Notes that so many webhooks were switched off.
async fn switched_off(house: &House, count: usize) {
    for _ in 0..count {
        let webhook = TargetId::mint(domain::Clock::now(&*house.clock), &System);
        let facts = Facts::WebhookDisabled { webhook, name: "CRM".to_owned(), reason: "it answered 410".to_owned() };
        house.engine.submit(house.command(Action::Note { facts: Box::new(facts) })).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_get_one_mail_for_all_that_happened_since_the_last() {
    let house = House::new().await;
    let server = MailServer::start(&Manner::default()).await.unwrap();
    let target = alerts(&house, &server).await;
    let workers = house.workers().await;
    house.issued("1", Validity::default()).await;
    switched_off(&house, 30).await;
    let first = server.wait_for(1).await.unwrap();
    assert_eq!(
        (&first[0]["to"], &first[0]["headers"]["auto-submitted"]),
        (&json!(["ops@example.com"]), &json!("auto-generated"))
    );
    let told = |mail: &Value| mail["text"].as_str().unwrap().matches("CRM (").count();
    assert!(told(&first[0]) > 0 && first[0]["headers"]["subject"].as_str().unwrap().starts_with("Passbridge: "), "{first:?}");
    let delivered = async || house.attempts(target).await.iter().filter(|row| row.outcome == 1).count();
    until("what was in it is settled", || async { delivered().await == told(&first[0]) }).await;
    switched_off(&house, 10).await;
    let waiting = async || house.store.backend().deliveries(house.org, Some(target), None, 100).await.unwrap();
    let due = async || {
        let (rows, now) = (waiting().await, domain::Clock::now(&*house.clock));
        let later = |row: &&DeliveryRow| row.due_at > now.plus(Duration::from_secs(60));
        // Those that a busy reader put off for some seconds hear at their next turn what the others heard. Time must not run so
        // fast that the next mail is due before they do.
        if rows.iter().any(|row| row.due_at > now && !later(&row)) {
            house.clock.forward(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        rows.iter().filter(later).count()
    };
    let left = 40 - told(&first[0]);
    until("the others wait for the next", || async { due().await == left }).await;
    workers.drain(PATIENCE).await;
    // Another process keeps to it too.
    let workers = house.workers().await;
    switched_off(&house, 1).await;
    until("so does what comes after", || async { due().await == left + 1 }).await;
    assert_eq!(server.got().len(), 1);
    house.clock.forward(Duration::from_secs(15 * 60));
    let mails = server.wait_for(2).await.unwrap();
    assert_eq!(told(&mails[1]), left + 1, "{}", mails[1]["text"]);
    until("nothing is left", || async { waiting().await.is_empty() }).await;
    assert!(house.attempts(target).await.iter().all(|row| row.outcome == 1), "waiting is no attempt");
    assert_eq!(server.got().len(), 2);
    workers.drain(PATIENCE).await;
}
