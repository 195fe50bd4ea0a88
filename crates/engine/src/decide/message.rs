//! Messages to holders: asking for one, and what became of it. Neither changes the pass.

use domain::{
    Answer, Contact, ContactId, Facts, MessageFault, MessageNews, MessageOrder, MessageRef, Outgoing, Pass, PassRef, Reject,
    RejectCode, Target, Wallet,
};

use super::{Draft, lifecycle};

/// Most characters of what a message says.
const MAX_TEXT_CHARS: usize = 2_000;
/// Most characters of a subject.
const MAX_SUBJECT_CHARS: usize = 200;
/// Most bytes of an address that a test goes to.
const MAX_ADDRESS_BYTES: usize = 254;

/// Whoever cannot be told is no fault of the command: that is noted, and what else was asked for goes on.
pub(super) fn send(draft: &mut Draft<'_>, reference: &PassRef, order: &MessageOrder) -> Result<Answer, Reject> {
    check(order)?;
    let pass = draft.pass(reference)?;
    lifecycle::refuse_deleted(&pass)?;
    let sender = sender(draft, &pass, order)?.id;
    let (channel, test) = (order.channel, order.test_to.is_some());
    let found = match &order.test_to {
        Some(to) => Ok(to.clone()),
        None => holder(draft, &pass).ok_or(MessageFault::NoAddress).and_then(|it| it.address(channel, order.despite_bounce)),
    };
    let facts = match found {
        Ok(to) => {
            let (subject, text) = (order.subject.clone(), order.text.clone());
            let wallets = offered(draft, &pass);
            Facts::MessageRequested { message: Outgoing { sender, channel, to, wallets, subject, text, test } }
        }
        Err(reason) => {
            let message = MessageRef { id: None, sender, channel, to: None, test };
            Facts::MessageFailed { message, reason, detail: None }
        }
    };
    Ok(Answer::Noted { event: draft.event(facts, false, &pass) })
}

fn holder<'d>(draft: &'d Draft<'_>, pass: &Pass) -> Option<&'d Contact> {
    pass.contact.and_then(|id| draft.contact(id))
}

/// The wallets that the pass's project has an account for.
fn offered(draft: &Draft<'_>, pass: &Pass) -> Vec<Wallet> {
    let Some(project) = draft.view.config.project(pass.project) else { return Vec::new() };
    let apple = project.apple_pass_type.is_some().then_some(Wallet::Apple);
    apple.into_iter().chain(project.google_issuer.is_some().then_some(Wallet::Google)).collect()
}

fn check(order: &MessageOrder) -> Result<(), Reject> {
    let invalid = |path: &str, message: &str| Err(Reject::new(RejectCode::Invalid, path, message));
    let is_long = |text: &Option<String>, most: usize| {
        text.as_ref().is_some_and(|text| text.trim().is_empty() || text.chars().count() > most)
    };
    if is_long(&order.text, MAX_TEXT_CHARS) {
        return invalid("text", "must have 1 to 2000 characters");
    }
    if is_long(&order.subject, MAX_SUBJECT_CHARS) || order.subject.as_ref().is_some_and(|it| it.contains(char::is_control)) {
        return invalid("subject", "must have 1 to 200 characters in one line");
    }
    if order.test_to.as_ref().is_some_and(|to| to.is_empty() || to.len() > MAX_ADDRESS_BYTES || to.contains(char::is_control)) {
        return invalid("to", "must have 1 to 254 bytes in one line");
    }
    Ok(())
}

/// The destination that is named; else the only one for this way, where one for the pass's project goes before one for all.
fn sender<'d>(draft: &'d Draft<'_>, pass: &Pass, order: &MessageOrder) -> Result<&'d Target, Reject> {
    let channel = order.channel;
    let fits = |target: &&Target| target.sends == Some(channel) && target.project.is_none_or(|only| only == pass.project);
    let all = draft.view.config.targets.values().map(|stored| &stored.value.target).filter(fits);
    let not_found = |message: String| Err(Reject::new(RejectCode::NotFound, "sender", message));
    let mut found: Vec<&Target> = match &order.sender {
        Some(wanted) => all.filter(|target| target.name == *wanted || target.id.to_string() == *wanted).collect(),
        None => all.collect(),
    };
    if found.iter().any(|target| target.project.is_some()) {
        found.retain(|target| target.project.is_some());
    }
    if found.is_empty() {
        let what = match &order.sender {
            Some(_) => "no destination of this name or id sends",
            None => "no destination sends",
        };
        return not_found(format!("{what} messages by {} for this project: make one", channel.name()));
    }
    found.retain(|target| target.enabled);
    match found.as_slice() {
        [one] => Ok(one),
        [] => not_found("the destination that would send it is switched off".to_owned()),
        several => {
            let mut names: Vec<&str> = several.iter().map(|target| target.name.as_str()).collect();
            names.sort_unstable();
            not_found(format!("say which destination sends it: {}", names.join(", ")))
        }
    }
}

/// The person's address is kept with the event only as long as the person is known and the pass theirs: the event is sealed for
/// whoever has it now.
pub(super) fn record(
    draft: &mut Draft<'_>,
    reference: &PassRef,
    asked_of: Option<ContactId>,
    message: &MessageRef,
    news: &MessageNews,
) -> Result<Answer, Reject> {
    let pass = draft.pass(reference)?;
    let is_theirs = |contact: &Contact| contact.erased_at.is_none() && Some(contact.id) == asked_of;
    let mut message = message.clone();
    if !message.test && !holder(draft, &pass).is_some_and(is_theirs) {
        message.to = None;
    }
    let facts = match news.clone() {
        MessageNews::Begun => return Ok(Draft::unchanged(&pass)),
        MessageNews::Sent { server_id } => Facts::MessageSent { message, server_id },
        MessageNews::Delivered { server_id } => Facts::MessageDelivered { message, server_id },
        MessageNews::Unknown { detail } => Facts::MessageUnknown { message, detail },
        MessageNews::Failed { reason, detail } => {
            if reason.is_of_address() && !message.test {
                shun(draft, pass.contact, &message);
            }
            Facts::MessageFailed { message, reason, detail }
        }
    };
    Ok(Answer::Noted { event: draft.event(facts, false, &pass) })
}

/// Nothing more is sent to an address that refused a message, as long as it is the person's.
fn shun(draft: &mut Draft<'_>, contact: Option<ContactId>, message: &MessageRef) {
    let Some(mut contact) = contact.and_then(|id| draft.contact(id)).cloned() else { return };
    let Some(to) = message.to.as_ref().filter(|to| contact.address(message.channel, true).as_ref() == Ok(*to)) else { return };
    if contact.bounced.insert(message.channel, to.clone()).as_ref() != Some(to) {
        contact.version += 1;
        contact.updated_at = draft.now.max(contact.updated_at);
        draft.put_contact(contact.clone());
        draft.contact_event(Facts::ContactUpdated, &contact);
    }
}
