//! PassSlot's events: `{id, type, created, data}`, signed with HMAC-SHA1.

use std::borrow::Cow;

use crate::catalog::Greeting;
use crate::kit::json::Document;
use crate::kit::signature::{Hash, is_hmac, unhex};
use crate::kit::{Answer, Arrival, Authentic, Decoded, Inbound, Lock, Refused, SharedSecret, Track, Wrong, decode_one, single};

const SIGNATURE: &str = "x-passslot-signature";
/// Longest handshake, in bytes.
const MAX_HANDSHAKE_BYTES: usize = 4_096;
/// Longest token of a handshake, in characters.
const MAX_TOKEN_CHARS: usize = 256;

/// `webhook.verify` asks whether somebody is there, before any secret is known: the token is returned as plain text.
pub(super) fn greet(inbound: &Inbound) -> Option<Greeting> {
    let text = std::str::from_utf8(&inbound.body).ok().filter(|text| text.len() <= MAX_HANDSHAKE_BYTES)?.trim_ascii();
    if !text.contains("webhook.verify") {
        return None;
    }
    let asked = Document::of(text);
    if single::first(&asked, &["type"])? != "webhook.verify" {
        return None;
    }
    let token = single::first(&asked, &["data.token"])?;
    let plain =
        token.len() <= MAX_TOKEN_CHARS && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=+/:".contains(&byte));
    plain.then(|| Greeting { answer: Answer { status: 200, text: token.into_owned() }, headers: Vec::new() })
}

/// `X-Passslot-Signature: sha1=<hex>`: HMAC-SHA1 of the body, keyed by the secret's text.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    lock.by_signature_or_key(inbound, SIGNATURE, |secret: &SharedSecret, inbound| {
        let hex = inbound.header(SIGNATURE).and_then(|header| header.trim().strip_prefix("sha1="));
        hex.and_then(unhex).is_some_and(|tag| is_hmac(Hash::Sha1, secret.expose().as_bytes(), &[&inbound.body], &tag))
    })
}

/// The event of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    decode_one(authentic, arrival, |event| read(event, arrival))
}

fn read<'a>(event: &Document<'a>, arrival: &Arrival<'_>) -> Result<Option<Track<'a>>, Wrong> {
    let name = single::first(event, &["type"]).ok_or_else(|| Wrong::missing("type"))?;
    let data = event.object_at("data").ok_or_else(|| Wrong::new("data", "expected an object"))?;
    let id = single::first(event, &["id"]).map_or_else(|| single::hashed(&[event.text().as_bytes()]), Cow::into_owned);
    Ok(Some(Track {
        name,
        id,
        user: single::user(arrival.settings, &data, &[]),
        traits: Vec::new(),
        order: single::first(&data, &["pid", "passPid", "serialNumber", "passSerialNumber"]),
        properties: Cow::Borrowed(data.text()),
        context: Vec::new(),
        happened: single::time(event, &["created"]),
    }))
}
