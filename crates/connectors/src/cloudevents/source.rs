//! CloudEvents in their three content modes (HTTP protocol binding 1.0.2), and the handshake of its webhook specification.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;

use crate::catalog::Greeting;
use crate::kit::json::{self, Document, Kind, Writer};
use crate::kit::{
    Answer, Arrival, Authentic, Decoded, Inbound, Lock, Refused, Track, WriteKey, Wrong, decode_all, decode_one, single, tracking,
};

/// Most attributes of an event that are looked at.
const MAX_ATTRIBUTES: usize = 64;

/// A Bearer token or `?access_token=`, as the webhook specification asks of targets; HTTP Basic and `X-Write-Key` too.
pub(super) fn credential(inbound: &Inbound) -> Option<WriteKey> {
    tracking::credential(inbound).or_else(|| WriteKey::new(inbound.parameter("access_token")?))
}

pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    lock.by_key(inbound, credential)
}

/// The abuse protection of the webhook specification: a sender asks by OPTIONS whether it may send.
pub(super) fn greet(inbound: &Inbound) -> Option<Greeting> {
    if inbound.method != Method::OPTIONS {
        return None;
    }
    let origin = inbound.header("webhook-request-origin")?.to_owned();
    let mut headers = vec![("webhook-allowed-origin", origin), ("allow", "POST".to_owned())];
    if let Some(rate) = inbound.header("webhook-request-rate") {
        headers.push(("webhook-allowed-rate", rate.to_owned()));
    }
    Some(Greeting { answer: Answer { status: 200, text: String::new() }, headers })
}

/// The events of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    let inbound = authentic.inbound();
    let media = inbound.header("content-type").unwrap_or_default().trim().to_ascii_lowercase();
    if media.starts_with("application/cloudevents-batch") {
        // An empty batch is valid and says nothing.
        if single::text_of(&inbound.body).is_ok_and(|text| text.split_ascii_whitespace().collect::<String>() == "[]") {
            return Decoded { events: Vec::new(), faults: Vec::new(), switched_off: 0, answer: Answer::ok() };
        }
        let items = single::text_of(&inbound.body).and_then(|text| single::items(text, ""));
        return decode_all(authentic, arrival, items, |_, event| structured(event, arrival));
    }
    if media.starts_with("application/cloudevents") || !inbound.headers.contains_key("ce-specversion") {
        return decode_one(authentic, arrival, |event| structured(event, arrival));
    }
    binary(authentic, &media, arrival)
}

/// The attributes of an event, and what they are called in messages.
struct Attributes<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> Attributes<'a> {
    fn get(&self, name: &str) -> Option<&Cow<'a, str>> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
    fn required(&self, name: &str) -> Result<Cow<'a, str>, Wrong> {
        let value = self.get(name).filter(|value| !value.trim().is_empty()).cloned();
        value.ok_or_else(|| Wrong::new(name, "the attribute is missing: every CloudEvent has specversion, id, source and type"))
    }
    fn track(self, properties: Cow<'a, str>, arrival: &Arrival<'_>) -> Result<Track<'a>, Wrong> {
        let version = self.required("specversion")?;
        if version != "1.0" && version != "0.3" {
            return Err(Wrong::new("specversion", format!("expected 1.0, found {:?}", crate::kit::head(&version, 20))));
        }
        let (id, source, name) = (self.required("id")?, self.required("source")?, self.required("type")?);
        let happened = self.get("time").and_then(|time| time.trim().parse().ok());
        let users = ["userId", "user_id", "customer_id", "customerId", "user.id", "customer.id"];
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let told = Document::of(&properties);
        let user = single::user(arrival.settings, &told, &users).map(owned);
        let emails: &[(&str, &[&str])] = &[("email", &["email", "user.email", "customer.email"])];
        let traits = single::traits(&told, emails).into_iter().map(|(key, value)| (key, owned(value))).collect();
        let order = if user.is_some() { None } else { self.get("partitionkey").or_else(|| self.get("subject")).cloned() };
        let mut envelope = Writer::new(256);
        for (key, value) in &self.0 {
            envelope.text(key, value);
        }
        Ok(Track {
            name,
            id: single::hashed(&[source.as_bytes(), id.as_bytes()]),
            user,
            traits,
            order,
            properties,
            context: vec![("cloudevents", envelope.finish())],
            happened,
        })
    }
}

/// Everything in the body, data and attributes beside one another.
fn structured<'a>(event: &Document<'a>, arrival: &Arrival<'_>) -> Result<Option<Track<'a>>, Wrong> {
    let event = event.members();
    let attributes = event
        .members()
        .filter(|(key, _)| !matches!(*key, "data" | "data_base64"))
        .filter_map(|(key, value)| {
            let value = if json::kind(value) == Kind::Flag { Some(Cow::Borrowed(value)) } else { single::word(value) };
            Some((key.to_owned(), value?))
        })
        .take(MAX_ATTRIBUTES)
        .collect();
    let properties = match (event.given("data"), event.given("data_base64")) {
        (Some(data), _) => object(data),
        (None, Some(encoded)) => {
            let bytes = json::text(encoded).and_then(|text| STANDARD.decode(text.as_bytes()).ok());
            let bytes = bytes.ok_or_else(|| Wrong::new("data_base64", "expected base64"))?;
            Cow::Owned(data(&bytes)?)
        }
        (None, None) => Cow::Borrowed("{}"),
    };
    Attributes(attributes).track(properties, arrival).map(Some)
}

/// Attributes in `ce-` headers, the data as the body.
fn binary<'a>(authentic: &'a Authentic, media: &str, arrival: &Arrival<'_>) -> Decoded {
    let inbound = authentic.inbound();
    let mut attributes: Vec<(String, Cow<'a, str>)> = Vec::new();
    for (name, value) in inbound.headers.iter().take(MAX_ATTRIBUTES * 2) {
        if let Some(name) = name.as_str().strip_prefix("ce-") {
            attributes.push((name.to_owned(), unquoted(value.as_bytes())));
        }
    }
    attributes.truncate(MAX_ATTRIBUTES);
    if !media.is_empty() {
        attributes.push(("datacontenttype".to_owned(), Cow::Owned(media.to_owned())));
    }
    let text = match data(&inbound.body) {
        Ok(text) => text,
        Err(wrong) => return decode_all(authentic, arrival, Err(wrong), |_, _| Ok(None)),
    };
    let track = Attributes(attributes).track(Cow::Owned(text), arrival);
    let mut track = Some(track.map(Some));
    let whole = std::str::from_utf8(&inbound.body).unwrap_or_default().trim_ascii();
    let item = if json::kind(whole) == Kind::Object && !whole.is_empty() { whole } else { "{}" };
    let slot = std::cell::RefCell::new(&mut track);
    decode_all(authentic, arrival, Ok(vec![(String::new(), item)]), |_, _| slot.borrow_mut().take().unwrap_or(Ok(None)))
}

/// A header's value, percent-decoded, as the binding asks of receivers; values in quotes too, as older senders write them.
fn unquoted(value: &[u8]) -> Cow<'static, str> {
    let value = value.trim_ascii();
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let mut bytes = Vec::with_capacity(inner.len());
    let mut at = 0;
    while let Some(&byte) = inner.get(at) {
        let coded = inner.get(at + 1..at + 3).filter(|_| byte == b'%');
        let decoded = coded.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Data as a JSON object: an object as it is, other JSON under `data`, text under `text`, anything else as base64.
fn data(bytes: &[u8]) -> Result<String, Wrong> {
    let mut out = Writer::new(bytes.len() + 32);
    match std::str::from_utf8(bytes).map(str::trim_ascii) {
        Ok("") => {}
        Ok(text) if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() => {
            json::scan(text).map_err(|trouble| Wrong::new(&json::path_at(text, trouble.at), trouble.kind.to_string()))?;
            return Ok(object(text).into_owned());
        }
        Ok(text) => out.text("text", text),
        Err(_) => out.text("data_base64", &STANDARD.encode(bytes)),
    }
    Ok(out.finish())
}

fn object(text: &str) -> Cow<'_, str> {
    if json::kind(text) == Kind::Object {
        return Cow::Borrowed(text);
    }
    let mut out = Writer::new(text.len() + 16);
    out.raw("data", text);
    Cow::Owned(out.finish())
}
