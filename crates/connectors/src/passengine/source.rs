//! PassEngine's events: `{event, timestamp, data}`, signed with HMAC-SHA256.

use std::borrow::Cow;

use crate::kit::json::Document;
use crate::kit::signature::{Hash, is_hmac, unhex};
use crate::kit::{Arrival, Authentic, Decoded, Inbound, Lock, Refused, SharedSecret, Track, Wrong, decode_one, single};

const SIGNATURE: &str = "x-passengine-signature";

/// `X-PassEngine-Signature: <hex>`: HMAC-SHA256 of the body, keyed by the secret's text.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    lock.by_signature_or_key(inbound, SIGNATURE, |secret: &SharedSecret, inbound| {
        let tag = inbound.header(SIGNATURE).and_then(|header| unhex(header.trim()));
        tag.is_some_and(|tag| is_hmac(Hash::Sha256, secret.expose().as_bytes(), &[&inbound.body], &tag))
    })
}

/// The event of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    decode_one(authentic, arrival, |event| read(event, arrival))
}

const TRAITS: &[(&str, &[&str])] =
    &[("email", &["client.email", "email"]), ("name", &["client.name"]), ("phone", &["client.phone", "phone"])];

fn read<'a>(event: &Document<'a>, arrival: &Arrival<'_>) -> Result<Option<Track<'a>>, Wrong> {
    let name = single::first(event, &["event"]).ok_or_else(|| Wrong::missing("event"))?;
    let data = event.object_at("data").ok_or_else(|| Wrong::new("data", "expected an object"))?;
    let of_client = name.starts_with("client.");
    Ok(Some(Track {
        // There is no id of the event: the same body again is the same event.
        id: single::first(event, &["id"]).map_or_else(|| single::hashed(&[event.text().as_bytes()]), Cow::into_owned),
        name,
        user: single::user(arrival.settings, &data, if of_client { &["id"] } else { &["client.id"] }),
        traits: single::traits(&data, TRAITS),
        order: single::first(&data, &["id", "pass.id", "code"]),
        properties: Cow::Borrowed(data.text()),
        context: Vec::new(),
        happened: single::time(event, &["timestamp"]),
    }))
}
