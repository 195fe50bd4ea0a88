//! Stripe's events: `Stripe-Signature`, snapshot events and thin ones.

use std::borrow::Cow;

use crate::kit::json::{self, Document};
use crate::kit::signature::{Hash, is_hmac, unhex};
use crate::kit::{Arrival, Authentic, Decoded, Inbound, Lock, Refused, SharedSecret, Track, Wrong, decode_one, settings, single};

const SIGNATURE: &str = "stripe-signature";
/// Seconds that a signature's time may be from now; Stripe's libraries use the same.
const TOLERANCE: i64 = 300;
/// Signatures of one header that are looked at.
const MAX_SIGNATURES: usize = 16;

/// `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=…]`: HMAC-SHA256 of `t.body`, keyed by the secret's text. Any one that fits
/// will do, as there are two while a secret is rolled; other schemes than `v1` prove nothing.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    if lock.secrets.is_empty() {
        return Err(Refused::NoSecret);
    }
    let header = inbound.header(SIGNATURE).ok_or(Refused::Unsigned(SIGNATURE))?.to_owned();
    let (time, tags) = parts(&header).ok_or(Refused::Unsigned(SIGNATURE))?;
    let tolerance = settings::whole(lock.settings, "tolerance").unwrap_or(TOLERANCE);
    let authentic = lock.by_signature(inbound, SIGNATURE, |secret: &SharedSecret, inbound| {
        let signed: [&[u8]; 3] = [time.as_bytes(), b".", &inbound.body];
        tags.iter().any(|tag| is_hmac(Hash::Sha256, secret.expose().as_bytes(), &signed, tag))
    })?;
    let seconds: i64 = time.parse().map_err(|_| Refused::Unsigned(SIGNATURE))?;
    if seconds.saturating_sub(lock.now.as_seconds()).saturating_abs() > tolerance {
        return Err(Refused::Stale(tolerance));
    }
    Ok(authentic)
}

fn parts(header: &str) -> Option<(&str, Vec<Vec<u8>>)> {
    let pairs = || header.split(',').filter_map(|pair| pair.trim().split_once('='));
    let time = pairs().find(|(key, _)| *key == "t")?.1;
    let tags: Vec<_> = pairs().filter(|(key, _)| *key == "v1").filter_map(|(_, hex)| unhex(hex)).take(MAX_SIGNATURES).collect();
    (!tags.is_empty()).then_some((time, tags))
}

/// The event of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    decode_one(authentic, arrival, |event| read(event, arrival))
}

const TRAITS: &[(&str, &[&str])] = &[
    ("email", &["customer_details.email", "customer_email", "receipt_email", "billing_details.email", "email"]),
    ("name", &["customer_details.name", "customer_name", "billing_details.name", "shipping.name"]),
    ("phone", &["customer_details.phone", "customer_phone", "billing_details.phone", "phone"]),
];

fn read<'a>(event: &Document<'a>, arrival: &Arrival<'_>) -> Result<Option<Track<'a>>, Wrong> {
    let kind = event.members().given("object").and_then(json::text).unwrap_or_default();
    let thin = kind == "v2.core.event";
    if kind != "event" && !thin {
        return Err(Wrong::new("object", "expected `event` or `v2.core.event`: this is no event of Stripe's"));
    }
    let word = |key: &str| event.members().given(key).and_then(single::word);
    let name = word("type").ok_or_else(|| Wrong::missing("type"))?;
    let id = word("id").ok_or_else(|| Wrong::missing("id"))?;
    let live = event.members().given("livemode");
    let wanted = settings::text(arrival.settings, "livemode").unwrap_or("any");
    if wanted == "live" && live == Some("false") || wanted == "test" && live == Some("true") {
        return Ok(None);
    }
    let properties = if thin { thin_properties(event) } else { snapshot(event)? };
    let told = Document::of(&properties);
    let is_customer = told.at("object").and_then(json::text).is_some_and(|object| object == "customer");
    // A customer's own id, in the event about the customer itself and in those of everything else, expanded or not.
    let customer: &[&str] = if is_customer { &["id"] } else { &["customer", "customer.id", "client_reference_id"] };
    let owned = |found: Option<Cow<'_, str>>| found.map(|text| Cow::Owned(text.into_owned()));
    let user = owned(single::user(arrival.settings, &told, customer));
    let order = owned(single::first(&told, customer).or_else(|| single::first(&told, &["id"])));
    let traits = single::traits(&told, TRAITS).into_iter().map(|(key, value)| (key, Cow::Owned(value.into_owned())));
    let mut envelope = vec![
        ("api_version", word("api_version")),
        ("account", word("account")),
        ("request", single::first(event, &["request.id"])),
    ];
    envelope.push(("livemode", live.map(Cow::Borrowed)));
    Ok(Some(Track {
        name,
        id: id.into_owned(),
        user,
        traits: traits.collect(),
        order,
        happened: single::time(event, &["created"]),
        context: vec![("stripe", single::envelope(&envelope))],
        properties,
    }))
}

/// What a snapshot event is about, with what changed of it.
fn snapshot<'a>(event: &Document<'a>) -> Result<Cow<'a, str>, Wrong> {
    let object = event.object_at("data.object");
    let object = object.ok_or_else(|| Wrong::new("data.object", "expected an object: this is no event of Stripe's"))?;
    let Some(before) = event.at("data.previous_attributes") else { return Ok(Cow::Borrowed(object.text())) };
    let mut out = json::Writer::new(object.text().len() + before.len() + 32);
    for (key, value) in object.members().members() {
        out.raw(key, value);
    }
    out.raw("previous_attributes", before);
    Ok(Cow::Owned(out.finish()))
}

/// A thin event carries ids only: what it is about, and little data.
fn thin_properties(event: &Document<'_>) -> Cow<'static, str> {
    let mut out = json::Writer::new(256);
    for key in ["related_object", "data", "reason"] {
        if let Some(value) = event.at(key) {
            out.raw(key, value);
        }
    }
    Cow::Owned(out.finish())
}
