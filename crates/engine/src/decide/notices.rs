//! Messages to the holder, at once or planned.
//!
//! A planned message is kept with its pass and makes it due: whoever looks at the pass then, the sweep at the latest, sends it in
//! the same commit. A pass that is over says nothing more: what was planned is dropped, and an event says so.

use domain::{Answer, Facts, Message, MessageEnd, Pass, PassRef, Reject, RejectCode, Timestamp};

use super::{
    Draft,
    lifecycle::{check_message, refuse_deleted},
};

pub(super) fn notify(
    draft: &mut Draft<'_>,
    reference: &PassRef,
    text: &str,
    at: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Answer, Reject> {
    check_message(text)?;
    let before = draft.pass(reference)?;
    refuse_deleted(&before)?;
    let message = Message { text: text.to_owned(), at: at.unwrap_or(draft.now).max(draft.now), until };
    if until.is_some_and(|until| until <= message.at) {
        return Err(Reject::new(RejectCode::Invalid, "until", "must come after the message is sent"));
    }
    let mut pass = before.clone();
    if message.at > draft.now {
        plan(draft, &mut pass, message)?;
        draft.put_pass(Some(&before), &pass);
    } else {
        draft.say(&mut pass, message);
    }
    Ok(Draft::done(&pass, false))
}

fn plan(draft: &mut Draft<'_>, pass: &mut Pass, message: Message) -> Result<(), Reject> {
    if pass.lifecycle.is_void() {
        return Err(Reject::new(RejectCode::NotAllowed, "at", "the pass is over: nothing can be planned for it"));
    }
    if pass.planned.len() >= Pass::MAX_PLANNED {
        let most = format!("{} messages are planned for the pass already: cancel them first", Pass::MAX_PLANNED);
        return Err(Reject::new(RejectCode::NotAllowed, "at", most));
    }
    pass.planned.push(message);
    pass.planned.sort_by_key(|message| message.at);
    draft.touch_pass(pass, false);
    Ok(())
}

pub(super) fn cancel(draft: &mut Draft<'_>, reference: &PassRef) -> Result<Answer, Reject> {
    let before = draft.pass(reference)?;
    if before.planned.is_empty() {
        return Ok(Draft::unchanged(&before));
    }
    let mut pass = before.clone();
    let planned = std::mem::take(&mut pass.planned);
    draft.drop_messages(pass.id, planned, MessageEnd::Cancelled);
    draft.touch_pass(&mut pass, false);
    draft.put_pass(Some(&before), &pass);
    Ok(Draft::done(&pass, false))
}

impl Draft<'_> {
    /// Sends what was planned for by now. What nobody would be shown any more is left out.
    pub(super) fn say_planned(&mut self, pass: &mut Pass) {
        let due = pass.planned.iter().take_while(|message| message.at <= self.now).count();
        if due == 0 || pass.lifecycle.is_void() {
            return;
        }
        let before = pass.clone();
        let due: Vec<Message> = pass.planned.drain(..due).collect();
        let now = self.now;
        let is_shown = |message: &Message| message.until.is_none_or(|until| until > now);
        let (shown, missed): (Vec<_>, Vec<_>) = due.into_iter().partition(is_shown);
        self.drop_messages(pass.id, missed, MessageEnd::Missed);
        if shown.is_empty() {
            self.touch_pass(pass, false);
            self.put_pass(Some(&before), pass);
        }
        for message in shown {
            self.say(pass, Message { at: now, ..message });
        }
    }

    fn say(&mut self, pass: &mut Pass, message: Message) {
        let before = pass.clone();
        pass.message = Some(message.clone());
        self.touch_pass(pass, true);
        self.put_pass(Some(&before), pass);
        self.event(Facts::PassNotified { message }, true, pass);
    }
}
