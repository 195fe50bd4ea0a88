//! What senders of SMS have in common: their text.

use domain::{Event, EventKind, Target};

use super::{Owed, Setting, SettingProblem, Takes, head, message, template, vendor};

const DEFAULT: &str = "{% if message %}{{ message }} {% else %}{% if pass.project.name %}{{ pass.project.name }}: {% endif %}\
    here is your pass. {% endif %}{{ link }}";
/// Longest text, in bytes: the ten parts that carriers put together again.
const MAX_BYTES: usize = 1_530;

pub(crate) const TEXT: Setting = Setting {
    name: "text",
    value: "template",
    takes: Takes::Lines(template::MAX_TEMPLATE_BYTES),
    default: "the message, or that the pass is here, and the address of its page",
    about: "The text, in Jinja's syntax. There are `message` (what the flow or the caller says), `link` (the pass's page), \
            `unsubscribe_link`, `pass` and `contact` as in the native shape. It is cut at 1,530 bytes.",
};

/// Only messages that are to go out.
pub(crate) const fn wants(kind: EventKind) -> bool {
    matches!(kind, EventKind::MessageRequested)
}

pub(crate) fn check(target: &Target) -> Result<(), SettingProblem> {
    template::check(vendor::text(target, TEXT.name, DEFAULT)).map_err(|problem| vendor::problem(TEXT.name, problem))
}

/// The number that a message goes to.
pub(crate) fn to(event: &Event) -> Option<&str> {
    message::asked(event).map(|message| message.to.as_str())
}

/// What a message says; an error when that is nothing.
pub(crate) fn text(owed: &Owed<'_>, target: &Target) -> Result<String, String> {
    let asked = message::asked(owed.event).ok_or("it is no message")?;
    let text = template::render(vendor::text(target, TEXT.name, DEFAULT), &message::values(owed, asked));
    let text = text.map_err(|why| format!("its text: {why}"))?;
    let text = head(text.trim(), MAX_BYTES);
    if text.is_empty() { Err("its text is empty".to_owned()) } else { Ok(text.to_owned()) }
}
