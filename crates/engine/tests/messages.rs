//! Messages to holders, as they are decided: who sends, to which address, and who is not told.
#![allow(clippy::unwrap_used, clippy::panic)]

mod house;

use domain::{
    Action, Answer, Channel, Clock as _, ContactInput, EventKind, Facts, FieldValue, MessageFault, MessageNews, MessageOrder,
    MessageRef, PassRef, RejectCode, Target, TargetId, Wallet,
};
use house::House;
use store::ConfigChange;

fn order(channel: Channel) -> MessageOrder {
    MessageOrder { channel, sender: None, test_to: None, subject: None, text: None, despite_bounce: false }
}

async fn sender(house: &House, name: &str, channel: Channel, change: impl FnOnce(&mut Target)) -> TargetId {
    let id = TargetId::mint(house.clock.now(), &house::System);
    let mut target = Target::new(id, name, "smtp://mail.example.com", house.clock.now());
    target.sends = Some(channel);
    change(&mut target);
    let stored = house.store.seal_target(house.org, target, Vec::new()).unwrap();
    let change = ConfigChange {
        org: house.org,
        actor: "{}".to_owned(),
        now: house.clock.now(),
        names: Vec::new(),
        removed_names: Vec::new(),
    };
    assert!(house.store.put(&change, &stored, 0).await.unwrap());
    id
}

async fn told(house: &House, action: Action) -> Facts {
    let Answer::Noted { event } = house.outcome(action).await.answer else { panic!("no note") };
    house.store.event(house.org, event).await.unwrap().unwrap().whole().unwrap().facts
}

async fn member(house: &House, id: &str, email: &str, phone: Option<&str>) -> PassRef {
    let mut issue = house.issue(id);
    let phone = phone.map(str::to_owned);
    issue.contact =
        Some(ContactInput { external_id: Some(id.to_owned()), email: Some(email.to_owned()), phone, ..Default::default() });
    PassRef::Id(house.did(Action::Issue(Box::new(issue))).await.id)
}

fn send(pass: &PassRef, order: MessageOrder) -> Action {
    Action::Send { pass: pass.clone(), order: Box::new(order) }
}

#[tokio::test]
async fn the_only_sender_sends_and_several_are_told_apart() {
    let house = house::house_with(|project| project.apple_pass_type = Some("pass.com.example.club".to_owned())).await;
    let pass = member(&house, "m1", "anna@example.org", Some("+49 30 901820")).await;
    assert_eq!(house.refused(send(&pass, order(Channel::Email))).await, RejectCode::NotFound);
    let post = sender(&house, "Post", Channel::Email, |_| ()).await;
    let text = Some("Hello".to_owned());
    let facts = told(&house, send(&pass, MessageOrder { text: text.clone(), ..order(Channel::Email) })).await;
    let Facts::MessageRequested { message } = facts else { panic!("{facts:?}") };
    assert_eq!((message.sender, message.to.as_str(), message.text), (post, "anna@example.org", text));
    assert_eq!(message.wallets, [Wallet::Apple], "what its project offers");
    assert_eq!(house.refused(send(&pass, order(Channel::Sms))).await, RejectCode::NotFound, "that one sends no SMS");
    let sms = sender(&house, "Phone", Channel::Sms, |_| ()).await;
    let Facts::MessageRequested { message } = told(&house, send(&pass, order(Channel::Sms))).await else { panic!() };
    assert_eq!((message.sender, message.to.as_str()), (sms, "+4930901820"), "in international form");
    let news = sender(&house, "News", Channel::Email, |_| ()).await;
    assert_eq!(house.refused(send(&pass, order(Channel::Email))).await, RejectCode::NotFound, "which of the two?");
    let by_name = MessageOrder { sender: Some("News".to_owned()), ..order(Channel::Email) };
    let Facts::MessageRequested { message } = told(&house, send(&pass, by_name)).await else { panic!() };
    assert_eq!(message.sender, news);
    let project = house.project;
    let own = sender(&house, "Own", Channel::Email, |target| target.project = Some(project)).await;
    let Facts::MessageRequested { message } = told(&house, send(&pass, order(Channel::Email))).await else { panic!() };
    assert_eq!(message.sender, own, "one for the project goes before those for all");
    let PassRef::Id(id) = pass else { panic!() };
    assert_eq!(house.kinds(id).await.iter().filter(|kind| **kind == EventKind::MessageRequested).count(), 4);
}

#[tokio::test]
async fn who_cannot_or_does_not_want_to_be_told_is_not() {
    let house = house::house().await;
    sender(&house, "Post", Channel::Email, |_| ()).await;
    sender(&house, "Phone", Channel::Sms, |_| ()).await;
    let failed = async |pass: &PassRef, channel| match told(&house, send(pass, order(channel))).await {
        Facts::MessageFailed { message, reason, .. } => {
            assert_eq!((message.id, message.to), (None, None));
            Some(reason)
        }
        _ => None,
    };
    let pass = member(&house, "m1", "anna@example.org", Some("030 901820")).await;
    assert_eq!(failed(&pass, Channel::Sms).await, Some(MessageFault::NoAddress), "a number without its country");
    assert_eq!(failed(&pass, Channel::Email).await, None);
    for (name, value, expected) in [
        ("sms_unsubscribed", FieldValue::Flag(true), None),
        ("email_unsubscribed", FieldValue::from("no"), None),
        ("email_unsubscribed", FieldValue::from("Yes"), Some(MessageFault::Unsubscribed)),
        ("email_unsubscribed", FieldValue::Flag(false), None),
        ("unsubscribed", FieldValue::Flag(true), Some(MessageFault::Unsubscribed)),
    ] {
        let traits = [(name.to_owned(), value)].into();
        let input = ContactInput { external_id: Some("m1".to_owned()), traits, ..Default::default() };
        house.outcome(Action::PutContact { new_id: domain::ContactId::mint(house.clock.now(), &house::System), input }).await;
        assert_eq!(failed(&pass, Channel::Email).await, expected, "{name}");
    }
}

#[tokio::test]
async fn an_address_that_refused_a_message_is_not_tried_again_until_it_changes() {
    let house = house::house().await;
    let post = sender(&house, "Post", Channel::Email, |_| ()).await;
    let pass = member(&house, "m1", "anna@example.org", None).await;
    let Answer::Noted { event } = house.outcome(send(&pass, order(Channel::Email))).await.answer else { panic!() };
    let to = Some("anna@example.org".to_owned());
    let message = MessageRef { id: Some(event), sender: post, channel: Channel::Email, to, test: false };
    let by = domain::ContactRef::External("m1".to_owned());
    let holder = Some(house.store.contact(house.org, &by).await.unwrap().unwrap().id);
    let record = |news| Action::RecordMessage { pass: pass.clone(), holder, message: Box::new(message.clone()), news };
    assert!(matches!(house.outcome(record(MessageNews::Begun)).await.answer, Answer::Unchanged { .. }));
    let detail = Some("5.1.1 no such user".to_owned());
    let facts = told(&house, record(MessageNews::Failed { reason: MessageFault::Bounced, detail })).await;
    assert!(
        matches!(&facts, Facts::MessageFailed { message: of, reason: MessageFault::Bounced, .. } if *of == message),
        "{facts:?}"
    );
    let again = told(&house, send(&pass, order(Channel::Email))).await;
    assert!(matches!(again, Facts::MessageFailed { reason: MessageFault::BouncedBefore, .. }), "{again:?}");
    let despite = told(&house, send(&pass, MessageOrder { despite_bounce: true, ..order(Channel::Email) })).await;
    assert!(matches!(despite, Facts::MessageRequested { .. }));
    let moved =
        ContactInput { external_id: Some("m1".to_owned()), email: Some("anna@example.net".to_owned()), ..Default::default() };
    house.outcome(Action::PutContact { new_id: domain::ContactId::mint(house.clock.now(), &house::System), input: moved }).await;
    let Facts::MessageRequested { message } = told(&house, send(&pass, order(Channel::Email))).await else { panic!() };
    assert_eq!(message.to, "anna@example.net");
}

/// Says what a person wants, and whether that was news.
async fn says(house: &House, contact: domain::ContactId, channel: Channel, wanted: bool) -> bool {
    let answer = house.outcome(Action::SetWanted { contact, channel, wanted }).await.answer;
    assert!(matches!(answer, Answer::Done { .. } | Answer::Unchanged { .. }), "{answer:?}");
    matches!(answer, Answer::Done { .. })
}

#[tokio::test]
async fn what_a_person_wants_is_theirs_to_say_for_each_way() {
    let house = house::house().await;
    let post = sender(&house, "Post", Channel::Email, |_| ()).await;
    sender(&house, "Phone", Channel::Sms, |_| ()).await;
    let pass = member(&house, "m1", "anna@example.org", Some("+4930901820")).await;
    let by = domain::ContactRef::External("m1".to_owned());
    let contact = house.store.contact(house.org, &by).await.unwrap().unwrap().id;
    let reached = async |channel| matches!(told(&house, send(&pass, order(channel))).await, Facts::MessageRequested { .. });
    assert!(says(&house, contact, Channel::Email, false).await);
    assert!(!says(&house, contact, Channel::Email, false).await, "no news");
    assert_eq!((reached(Channel::Email).await, reached(Channel::Sms).await), (false, true));
    assert!(says(&house, contact, Channel::Email, true).await);
    assert!(reached(Channel::Email).await);

    // The business has noted that they want nothing at all: one way is opened again, no other.
    let traits = [("unsubscribed".to_owned(), FieldValue::from("yes"))].into();
    let input = ContactInput { external_id: Some("m1".to_owned()), traits, ..Default::default() };
    house.outcome(Action::PutContact { new_id: domain::ContactId::mint(house.clock.now(), &house::System), input }).await;
    assert_eq!((reached(Channel::Email).await, reached(Channel::Sms).await), (false, false));
    assert!(says(&house, contact, Channel::Email, true).await);
    assert_eq!((reached(Channel::Email).await, reached(Channel::Sms).await), (true, false));

    // Their provider told of a complaint; they come back.
    let to = Some("anna@example.org".to_owned());
    let message = MessageRef { id: None, sender: post, channel: Channel::Email, to, test: false };
    let news = MessageNews::Failed { reason: MessageFault::Unsubscribed, detail: None };
    let holder = Some(contact);
    house.outcome(Action::RecordMessage { pass: pass.clone(), holder, message: Box::new(message), news }).await;
    assert!(!reached(Channel::Email).await);
    assert!(says(&house, contact, Channel::Email, true).await);
    assert!(reached(Channel::Email).await);

    house.outcome(Action::EraseContact { contact: by, expected_version: None }).await;
    let gone = Action::SetWanted { contact, channel: Channel::Email, wanted: false };
    assert_eq!(house.refused(gone).await, RejectCode::NotFound, "nobody is made anew by it");
}
