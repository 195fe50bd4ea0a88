//! What webhooks of vendors have in common: one event per request, or a few, told in the vendor's words, and turned into
//! the same normal form as tracked events, so that flows need to know one form only.

use std::borrow::Cow;

use aws_lc_rs::digest;
use domain::{SourceEvent, Timestamp};
use serde_json::error::Category;
use uuid::Uuid;

use super::json::{self, Document, Kind, Writer};
use super::{Answer, Arrival, Authentic, Decoded, Fault, Setting, Settings, Takes, head, settings};

/// Most bytes of a request, inflated.
pub(crate) const MAX_BODY_BYTES: usize = 4_000 * 1_024;
/// Most bytes of one event.
pub(crate) const MAX_EVENT_BYTES: usize = 1_024 * 1_024;
/// Most events of one request.
pub(crate) const MAX_EVENTS: usize = 10_000;
/// Longest id that is kept as it is, in bytes; of longer ones a hash is.
const MAX_ID_BYTES: usize = 200;

/// The setting that says where the user's own id of a customer stands.
pub(crate) const USER: Setting = Setting {
    name: "user",
    value: "a path such as `metadata.member_id`",
    takes: Takes::Path,
    default: "the sender's own id of the customer",
    about: "Where in `properties` your own id of the customer stands. It becomes `userId`; where it is missing, the default does.",
};

/// The setting about events that cannot be read.
pub(crate) const STRICT: Setting = Setting {
    name: "strict",
    value: "true or false",
    takes: Takes::Own,
    default: "false",
    about: "Whether an event that cannot be read is answered with 400. Otherwise it is kept with its reason and answered with 200, so that \
            the sender neither repeats it nor gives up on us.",
};

/// The setting that every source has.
pub(crate) const ENABLED: Setting = Setting {
    name: "enabled",
    value: "true or false",
    takes: Takes::Own,
    default: "true",
    about: "Whether events are taken. When not, senders get 404.",
};

/// Something that happened, as flows see it: a `track` call.
#[derive(Debug, Default)]
pub(crate) struct Track<'a> {
    /// What happened, in the vendor's words.
    pub(crate) name: Cow<'a, str>,
    /// What makes it recognisable when it comes again.
    pub(crate) id: String,
    /// Whom it is about.
    pub(crate) user: Option<Cow<'a, str>>,
    /// What is known of the person, by trait.
    pub(crate) traits: Vec<(&'static str, Cow<'a, str>)>,
    /// What its order is kept for, when that is not the person: a pass, an order.
    pub(crate) order: Option<Cow<'a, str>>,
    /// The JSON object that tells it.
    pub(crate) properties: Cow<'a, str>,
    /// The vendor's envelope: JSON by key, under `context`.
    pub(crate) context: Vec<(&'static str, String)>,
    /// When it happened.
    pub(crate) happened: Option<Timestamp>,
}

impl Track<'_> {
    /// The event in its normal form.
    pub(crate) fn into_event(mut self, received: Timestamp) -> SourceEvent {
        if self.id.is_empty() || self.id.len() > MAX_ID_BYTES {
            self.id = hashed(&[self.id.as_bytes()]);
        }
        let happened = self.happened.unwrap_or(received).min(received);
        let mut out = Writer::new(self.properties.len() + 512);
        out.text("type", "track");
        out.text("messageId", &self.id);
        if let Some(user) = &self.user {
            out.text("userId", user);
        }
        out.text("event", &self.name);
        let traits = |out: &mut Writer| {
            out.open("traits");
            for (key, value) in &self.traits {
                out.text(key, value);
            }
            out.close();
        };
        out.open("context");
        for (key, value) in &self.context {
            out.raw(key, value);
        }
        traits(&mut out);
        out.close();
        traits(&mut out);
        out.raw("properties", &self.properties);
        for (key, time) in
            [("originalTimestamp", happened), ("sentAt", received), ("receivedAt", received), ("timestamp", happened)]
        {
            out.time(key, time);
        }
        let email = self.traits.iter().find(|(key, _)| *key == "email").map(|(_, email)| domain::normalise_email(email));
        let order = self.order.or(self.user).map(Cow::into_owned).or(email).unwrap_or_else(|| self.id.clone());
        let name = SourceEvent::name_of("track", Some(&self.name));
        let occurred_at = self.happened.map(|at| at.min(received));
        SourceEvent { dedupe_key: self.id, order_key: order, name, occurred_at, payload: out.finish() }
    }
}

/// What keeps an event from being read.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// Where, below the event.
    pub(crate) path: String,
    /// What to change.
    pub(crate) message: String,
}

impl Wrong {
    pub(crate) fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into() }
    }
    /// Something that should be text, or a number, is not.
    pub(crate) fn missing(path: &str) -> Self {
        Self::new(path, "expected text that is not empty")
    }
    fn below(mut self, place: &str) -> Self {
        let dot = if place.is_empty() || self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{place}{dot}{}", self.path);
        self
    }
}

/// The events of a request that tells one.
pub(crate) fn decode_one<'a>(
    authentic: &'a Authentic,
    arrival: &Arrival<'_>,
    read: impl Fn(&Document<'a>) -> Result<Option<Track<'a>>, Wrong>,
) -> Decoded {
    let items = text_of(&authentic.inbound().body).map(|text| vec![(String::new(), text)]);
    decode_all(authentic, arrival, items, |_, event| read(event))
}

/// The events of a request that was taken apart already, each with its place; total, like every `decode`.
pub(crate) fn decode_all<'a>(
    authentic: &'a Authentic,
    arrival: &Arrival<'_>,
    items: Result<Vec<(String, &'a str)>, Wrong>,
    read: impl Fn(usize, &Document<'a>) -> Result<Option<Track<'a>>, Wrong>,
) -> Decoded {
    let mut decoded = Decoded { events: Vec::new(), faults: Vec::new(), switched_off: 0, answer: Answer::ok() };
    match items {
        Err(wrong) => {
            let body = &authentic.inbound().body;
            let raw = String::from_utf8_lossy(&body[..body.len().min(Fault::MAX_RAW_BYTES)]);
            decoded.faults.push(Fault { path: wrong.path, message: wrong.message, raw: authentic.blot(&raw) });
        }
        Ok(items) => {
            for (number, (place, text)) in items.into_iter().enumerate() {
                match document(text).and_then(|event| read(number, &event)) {
                    Ok(Some(track)) => decoded.events.push(track.into_event(arrival.received_at)),
                    Ok(None) => decoded.switched_off += 1,
                    Err(wrong) => {
                        let Wrong { path, message } = wrong.below(&place);
                        let raw = authentic.blot(head(text, Fault::MAX_RAW_BYTES));
                        decoded.faults.push(Fault { path, message, raw });
                    }
                }
            }
        }
    }
    if let Some(fault) = decoded.faults.first() {
        if arrival.strict {
            decoded.events.clear();
            decoded.answer = Answer { status: 400, ..Answer::parked(fault) };
        } else if decoded.events.is_empty() && decoded.switched_off == 0 {
            decoded.answer = Answer::parked(fault);
        }
    }
    decoded
}

/// The body as JSON text without blanks around it, nor the byte order mark that some tools write before it.
pub(crate) fn text_of(body: &[u8]) -> Result<&str, Wrong> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Wrong::new("", format!("byte {} is not UTF-8: send JSON as UTF-8", error.valid_up_to())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    if text.is_empty() {
        return Err(Wrong::new("", "the body is empty: send JSON"));
    }
    Ok(text)
}

/// Text as a JSON object that can be taken.
fn document(text: &str) -> Result<Document<'_>, Wrong> {
    if text.len() > MAX_EVENT_BYTES {
        let message = format!("the event has {} bytes, more than {MAX_EVENT_BYTES}: send less with it", text.len());
        return Err(Wrong::new("", message));
    }
    json::scan(text).map_err(|trouble| Wrong::new(&json::path_at(text, trouble.at), trouble.kind.to_string()))?;
    Document::parse(text).map_err(|error| match error.classify() {
        Category::Data => Wrong::new("", format!("expected an object, found {}", json::kind(text).name())),
        Category::Syntax | Category::Eof | Category::Io => {
            let path = json::path_at(text, json::offset_of(text, error.line(), error.column()));
            Wrong::new(&path, format!("not JSON: {error}"))
        }
    })
}

/// A JSON array's items with their places below `place`; [`decode_all`] checks each of them.
pub(crate) fn items<'a>(array: &'a str, place: &str) -> Result<Vec<(String, &'a str)>, Wrong> {
    let unreadable = |error: serde_json::Error| Wrong::new(place, format!("not an array in JSON: {error}"));
    let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(array).map_err(unreadable)?;
    match items.len() {
        0 => Err(Wrong::new(place, "the array has no events")),
        1..=MAX_EVENTS => {
            Ok(items.into_iter().enumerate().map(|(number, raw)| (format!("{place}[{number}]"), raw.get())).collect())
        }
        count => Err(Wrong::new(place, format!("{count} events in one request, at most {MAX_EVENTS}: send fewer"))),
    }
}

/// Text that is not blank, trimmed, or a number's digits.
pub(crate) fn word(value: &str) -> Option<Cow<'_, str>> {
    match json::kind(value) {
        Kind::Number => Some(Cow::Borrowed(value)),
        Kind::Text => match json::text(value)? {
            Cow::Borrowed(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(Cow::Borrowed),
            Cow::Owned(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()).map(Cow::Owned),
        },
        _ => None,
    }
}

/// The first of the paths at which there is a word.
pub(crate) fn first<'a>(event: &Document<'a>, paths: &[&str]) -> Option<Cow<'a, str>> {
    paths.iter().find_map(|path| word(event.at(path)?))
}

/// The traits that stand at these paths, the first one that is there.
pub(crate) fn traits<'a>(event: &Document<'a>, known: &[(&'static str, &[&str])]) -> Vec<(&'static str, Cow<'a, str>)> {
    known.iter().filter_map(|(name, paths)| Some((*name, first(event, paths)?))).collect()
}

/// The customer's id where the setting `user` says, else where the vendor has it.
pub(crate) fn user<'a>(settings: &Settings, properties: &Document<'a>, else_at: &[&str]) -> Option<Cow<'a, str>> {
    settings::text(settings, USER.name).and_then(|path| first(properties, &[path])).or_else(|| first(properties, else_at))
}

/// A time at the first of the paths where there is one.
pub(crate) fn time(event: &Document<'_>, paths: &[&str]) -> Option<Timestamp> {
    paths.iter().find_map(|path| super::tracking::time::parse(event.at(path)?))
}

/// An id made of the content: the same request again has the same one.
pub(crate) fn hashed(parts: &[&[u8]]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in parts {
        hash.update(&part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finish().as_ref()[..16].iter().fold(String::with_capacity(32), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A new id for an event that nothing makes recognisable.
pub(crate) fn fresh(arrival: &Arrival<'_>, number: usize) -> String {
    Uuid::new_v5(&arrival.fresh, &u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes()).to_string()
}

/// A JSON object of words, for `context`.
pub(crate) fn envelope(parts: &[(&str, Option<Cow<'_, str>>)]) -> String {
    let mut out = Writer::new(128);
    for (key, value) in parts {
        if let Some(value) = value {
            out.text(key, value);
        }
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(text_of(b"\xef\xbb\xbf {\"a\": 1}\n").unwrap(), "{\"a\": 1}");
        assert!(text_of(b"\xef\xbb\xbf").is_err() && text_of(b"\xff\xfe{\0").is_err());
    }
}
