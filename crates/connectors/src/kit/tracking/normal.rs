//! One event in its normal form, the one that flows see.
//!
//! All keys of the sender are kept. Beside them there are always `type`, `messageId`, `traits`, `context.traits`,
//! `properties`, `originalTimestamp`, `sentAt`, `receivedAt` and the corrected `timestamp`; ids are text or absent.
//! `traits` and `context.traits` are the same merged object, `traits` winning, because some SDKs fill only one of them;
//! in a group call they stay apart, as `traits` describes the group there.

use std::borrow::Cow;

use aws_lc_rs::digest;
use domain::{SourceEvent, Timestamp};
use serde_json::error::Category;
use uuid::{Builder, Uuid};

use super::time::Times;
use super::wire::{Call, MAX_EVENT_BYTES, Words};
use crate::kit::json::{self, Kind, Object, Writer};
use crate::kit::{Arrival, Entrance, head, single};

/// What the events of one request have in common.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub(super) entrance: Entrance,
    /// The call that the path names; none where each event says it.
    pub(super) call: Option<Call>,
    pub(super) context: Object<'a>,
    pub(super) integrations: Object<'a>,
    pub(super) sent: Option<Timestamp>,
    /// Bytes that the two objects add to every event.
    pub(super) bytes: usize,
}

/// What is wrong with one event.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) words: Words,
    /// Below the event.
    pub(super) path: String,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(words: Words, path: &str, message: impl Into<String>) -> Self {
        Self { words, path: path.to_owned(), message: message.into() }
    }
}

/// What serde says about text that is no JSON, or not the JSON that it should be.
pub(super) fn unreadable(text: &str, error: &serde_json::Error) -> Problem {
    let path = json::path_at(text, json::offset_of(text, error.line(), error.column()));
    match error.classify() {
        Category::Data if !text.starts_with(['{', '[']) => {
            Problem::new(Words::NotAnEvent, "", format!("expected an object, found {}", json::kind(text).name()))
        }
        Category::Data => Problem::new(Words::NotAnEvent, &path, error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => Problem::new(Words::InvalidJson, &path, format!("not JSON: {error}")),
    }
}

/// Keys that are written anew, or in the case of the write key not at all.
const REWRITTEN: [&str; 14] = [
    "anonymousId",
    "context",
    "event",
    "integrations",
    "messageId",
    "originalTimestamp",
    "properties",
    "receivedAt",
    "sentAt",
    "timestamp",
    "traits",
    "type",
    "userId",
    "writeKey",
];

/// The event in its normal form; nothing when its sender asks us to leave it alone.
pub(super) fn normalise(
    text: &str,
    number: usize,
    shared: &Shared<'_>,
    arrival: &Arrival<'_>,
) -> Result<Option<SourceEvent>, Problem> {
    let size = text.len() + shared.bytes;
    // Events of a webhook come from many places, and none of them would be told at a data plane that they are too large.
    let most = match shared.entrance {
        Entrance::Api => MAX_EVENT_BYTES,
        Entrance::Webhook => single::MAX_EVENT_BYTES,
    };
    if size > most {
        let message = format!("the event has {size} bytes with its batch's context, more than {most}: send less with it");
        return Err(Problem::new(Words::TooLarge, "", message));
    }
    json::scan(text).map_err(|trouble| Problem {
        words: Words::InvalidJson,
        path: json::path_at(text, trouble.at),
        message: trouble.kind.to_string(),
    })?;
    let event = Object::parse(text).map_err(|error| unreadable(text, &error))?;
    let call = call_of(&event, shared)?;
    let mut integrations = object(&event, "integrations")?;
    integrations.fill_from(&shared.integrations);
    if switched_off(&integrations, shared.entrance) {
        return Ok(None);
    }
    let parts = Parts::read(&event, call, shared, arrival, integrations)?;
    let message_id = match id(&event, "messageId")? {
        Some(given) => given,
        None => Cow::Owned(invented(&event, call, number, parts.times.told, arrival).to_string()),
    };
    let payload = parts.write(&event, call, &message_id, text.len());
    let order_key = parts.order_key(&message_id).into_owned();
    Ok(Some(SourceEvent {
        dedupe_key: message_id.into_owned(),
        order_key,
        name: name_for_people(call, &event, parts.event.as_deref()),
        occurred_at: parts.times.told.then_some(parts.times.corrected),
        payload,
    }))
}

/// What of an event is read and written anew.
struct Parts<'a> {
    user: Option<Cow<'a, str>>,
    anonymous: Option<Cow<'a, str>>,
    event: Option<Cow<'a, str>>,
    context: Object<'a>,
    /// The person's traits.
    person: Object<'a>,
    /// A group's own traits.
    group: Option<Object<'a>>,
    properties: Object<'a>,
    integrations: Object<'a>,
    times: Times,
    email: Option<Cow<'a, str>>,
}

impl<'a> Parts<'a> {
    fn read(
        event: &Object<'a>,
        call: Call,
        shared: &Shared<'a>,
        arrival: &Arrival<'_>,
        integrations: Object<'a>,
    ) -> Result<Self, Problem> {
        let mut context = object(event, "context")?;
        context.fill_from(&shared.context);
        let of_context = member_object(context.given("traits"), "context.traits")?;
        let (person, group) = match call {
            Call::Group => (of_context, Some(object(event, "traits")?)),
            _ => {
                let mut person = object(event, "traits")?;
                person.fill_from(&of_context);
                (person, None)
            }
        };
        let forwarded = shared.entrance == Entrance::Webhook;
        let mut parts = Self {
            user: id(event, "userId")?,
            anonymous: id(event, "anonymousId")?,
            event: event_name(event, call)?,
            properties: object(event, "properties")?,
            times: Times::of(event, forwarded, shared.sent, arrival.received_at),
            context,
            person,
            group,
            integrations,
            email: None,
        };
        if parts.user.is_none() && parts.anonymous.is_none() {
            parts.email = parts.find_email();
            if !forwarded || parts.email.is_none() {
                return Err(Problem::new(
                    Words::NoIdentity,
                    "userId",
                    "the event names nobody: send userId or anonymousId as text that is not empty",
                ));
            }
        }
        Ok(parts)
    }

    fn find_email(&self) -> Option<Cow<'a, str>> {
        let of = |object: &Object<'a>| object.given("email").and_then(json::text).filter(|email| !email.trim().is_empty());
        of(&self.person).or_else(|| of(&self.properties))
    }

    fn order_key<'k>(&'k self, message_id: &'k str) -> Cow<'k, str> {
        match (&self.user, &self.anonymous, &self.email) {
            (Some(id), _, _) | (None, Some(id), _) => Cow::Borrowed(id),
            (None, None, Some(email)) => Cow::Owned(domain::normalise_email(email)),
            (None, None, None) => Cow::Borrowed(message_id),
        }
    }

    fn write(&self, event: &Object<'_>, call: Call, message_id: &str, bytes: usize) -> String {
        let mut out = Writer::new(bytes + 512);
        out.text("type", call.name());
        out.text("messageId", message_id);
        for (key, value) in [("userId", &self.user), ("anonymousId", &self.anonymous), ("event", &self.event)] {
            if let Some(value) = value {
                out.text(key, value);
            }
        }
        for (key, value) in event.members().filter(|(key, _)| !REWRITTEN.contains(key)) {
            out.raw(key, value);
        }
        out.open("context");
        for (key, value) in self.context.members().filter(|(key, _)| *key != "traits") {
            out.raw(key, value);
        }
        out.object("traits", &self.person);
        out.close();
        out.object("traits", self.group.as_ref().unwrap_or(&self.person));
        out.object("properties", &self.properties);
        if !self.integrations.is_empty() {
            out.object("integrations", &self.integrations);
        }
        let Times { original, sent, received, corrected, .. } = self.times;
        for (key, time) in [("originalTimestamp", original), ("sentAt", sent), ("receivedAt", received), ("timestamp", corrected)]
        {
            out.time(key, time);
        }
        out.finish()
    }
}

fn call_of(event: &Object<'_>, shared: &Shared<'_>) -> Result<Call, Problem> {
    if let Some(call) = shared.call {
        return Ok(call);
    }
    let told = event.given("type").and_then(json::text).unwrap_or_default();
    match Call::from_name(told.trim()) {
        Some(call) if call != Call::Batch => Ok(call),
        _ => Err(Problem::new(
            Words::NotAnEvent,
            "type",
            format!("{:?} is no event type: expected identify, track, page, screen, group or alias", head(&told, 40)),
        )),
    }
}

/// An id as text: numbers take their own digits, `null` and blank text count as absent.
fn id<'a>(event: &Object<'a>, key: &str) -> Result<Option<Cow<'a, str>>, Problem> {
    let Some(value) = event.given(key) else { return Ok(None) };
    match json::kind(value) {
        Kind::Number => Ok(Some(Cow::Borrowed(value))),
        Kind::Text => Ok(json::text(value).map(trimmed).filter(|text| !text.is_empty())),
        other => Err(Problem::new(Words::NotAnEvent, key, format!("expected text or a number, found {}", other.name()))),
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

fn event_name<'a>(event: &Object<'a>, call: Call) -> Result<Option<Cow<'a, str>>, Problem> {
    let value = event.given("event");
    match value.map(|value| (json::kind(value), json::text(value))) {
        Some((Kind::Text, Some(text))) if !text.trim().is_empty() => Ok(Some(text)),
        Some((Kind::Text, _)) | None if call != Call::Track => Ok(None),
        Some((Kind::Text, _)) | None => {
            Err(Problem::new(Words::NotAnEvent, "event", "a track call needs the name of what happened in event"))
        }
        Some((other, _)) => Err(Problem::new(Words::NotAnEvent, "event", format!("expected text, found {}", other.name()))),
    }
}

fn object<'a>(event: &Object<'a>, key: &str) -> Result<Object<'a>, Problem> {
    member_object(event.given(key), key)
}

/// An object, or an empty one where nothing is given.
pub(super) fn member_object<'a>(value: Option<&'a str>, path: &str) -> Result<Object<'a>, Problem> {
    let Some(value) = value else { return Ok(Object::default()) };
    Object::parse(value)
        .map_err(|_| Problem::new(Words::NotAnEvent, path, format!("expected an object, found {}", json::kind(value).name())))
}

/// The name by which senders can switch us off in `integrations`.
const OUR_NAME: &str = "Passbridge";

/// Whether the sender asks us to leave an event alone. What reaches our webhook was meant for us by whoever set it up, so
/// `All` counts only where SDKs speak to us directly.
fn switched_off(integrations: &Object<'_>, entrance: Entrance) -> bool {
    match (integrations.given(OUR_NAME), entrance) {
        (Some(ours), _) => ours == "false",
        (None, Entrance::Api) => integrations.given("All") == Some("false"),
        (None, Entrance::Webhook) => false,
    }
}

/// An id for an event that brings none. When it tells a time of its own the id is a hash of its content, so that a request
/// that is sent again is recognised. Without any, two equal events may both be meant: the id is new, derived from the
/// fresh one that was handed in.
fn invented(event: &Object<'_>, call: Call, number: usize, told: bool, arrival: &Arrival<'_>) -> Uuid {
    if !told {
        return Uuid::new_v5(&arrival.fresh, &u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes());
    }
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(call.name().as_bytes());
    for (key, value) in event.members().filter(|(key, _)| !["sentAt", "writeKey", "messageId", "type"].contains(key)) {
        hash.update(&key.len().to_be_bytes());
        hash.update(key.as_bytes());
        hash.update(&value.len().to_be_bytes());
        hash.update(value.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

fn name_for_people(call: Call, event: &Object<'_>, track: Option<&str>) -> String {
    let own = match call {
        Call::Track => track.map(Cow::Borrowed),
        Call::Page | Call::Screen => event.given("name").and_then(json::text),
        Call::Group => event.given("groupId").and_then(json::text),
        _ => None,
    };
    SourceEvent::name_of(call.name(), own.as_deref())
}
