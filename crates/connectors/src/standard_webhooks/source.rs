//! Messages of Standard Webhooks 1.0.0, signed with a shared secret (`v1`) or with Ed25519 (`v1a`).

use std::borrow::Cow;

use crate::kit::json::{self, Document, Kind, Writer};
use crate::kit::signature::{Hash, TOLERANCE_SECONDS, is_ed25519, is_hmac, unbase64};
use crate::kit::{Arrival, Authentic, Decoded, Inbound, Lock, Refused, SharedSecret, Track, Wrong, decode_one, single};

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
/// Signatures of one header that are looked at.
const MAX_SIGNATURES: usize = 16;
/// Bytes of an Ed25519 public key.
const PUBLIC_BYTES: usize = 32;

enum Key {
    Shared(Vec<u8>),
    Public(Vec<u8>),
}

/// `whsec_` and base64 of the shared bytes, `whpk_` and base64 of a public key; without a prefix it is a shared secret, as
/// some senders show it.
fn key(secret: &SharedSecret) -> Option<Key> {
    let text = secret.expose();
    match text.strip_prefix("whpk_") {
        Some(public) => unbase64(public).filter(|bytes| bytes.len() == PUBLIC_BYTES).map(Key::Public),
        None => unbase64(text.strip_prefix("whsec_").unwrap_or(text)).filter(|bytes| !bytes.is_empty()).map(Key::Shared),
    }
}

pub(super) fn secret_form(secret: &SharedSecret) -> Result<(), &'static str> {
    key(secret).map(drop).ok_or("expected whsec_ and base64 of the shared secret, or whpk_ and base64 of an Ed25519 public key")
}

/// Lets a request in whose `webhook-signature` holds a signature that fits, made within five minutes of now.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    if lock.secrets.is_empty() {
        return Err(Refused::NoSecret);
    }
    let header = |name: &'static str| inbound.header(name).map(|text| text.trim().to_owned()).ok_or(Refused::Unsigned(name));
    let (id, time, signatures) = (header(ID)?, header(TIMESTAMP)?, header(SIGNATURE)?);
    let seconds: i64 = time.parse().map_err(|_| Refused::Unsigned(TIMESTAMP))?;
    let given: Vec<(&str, Vec<u8>)> = signatures
        .split_ascii_whitespace()
        .filter_map(|part| part.split_once(','))
        .filter_map(|(version, text)| Some((version, unbase64(text)?)))
        .take(MAX_SIGNATURES)
        .collect();
    let authentic = lock.by_signature(inbound, SIGNATURE, |secret, inbound| {
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", &inbound.body];
        match key(secret) {
            Some(Key::Shared(key)) => {
                given.iter().any(|(version, tag)| *version == "v1" && is_hmac(Hash::Sha256, &key, &parts, tag))
            }
            Some(Key::Public(key)) => {
                let message = parts.concat();
                given.iter().any(|(version, tag)| *version == "v1a" && is_ed25519(&key, &message, tag))
            }
            None => false,
        }
    })?;
    if seconds.saturating_sub(lock.now.as_seconds()).saturating_abs() > TOLERANCE_SECONDS {
        return Err(Refused::Stale(TOLERANCE_SECONDS));
    }
    Ok(authentic)
}

/// The event of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    decode_one(authentic, arrival, |event| read(authentic.inbound(), event, arrival))
}

const USERS: &[&str] = &["userId", "user_id", "customer_id", "customerId", "user.id", "customer.id"];
const TRAITS: &[(&str, &[&str])] = &[("email", &["email", "user.email", "customer.email"])];

fn read<'a>(inbound: &'a Inbound, event: &Document<'a>, arrival: &Arrival<'_>) -> Result<Option<Track<'a>>, Wrong> {
    let name = single::first(event, &["type", "event_type", "eventType", "event"]).ok_or_else(|| Wrong::missing("type"))?;
    let data = event.at("data").map(Document::of);
    let data = data.as_ref().unwrap_or(event);
    let properties = match json::kind(data.text()) {
        Kind::Object => Cow::Borrowed(data.text()),
        _ => {
            let mut out = Writer::new(data.text().len() + 16);
            out.raw("data", data.text());
            Cow::Owned(out.finish())
        }
    };
    Ok(Some(Track {
        name,
        id: inbound.header(ID).unwrap_or_default().trim().to_owned(),
        user: single::user(arrival.settings, data, USERS),
        traits: single::traits(data, TRAITS),
        order: None,
        properties,
        context: Vec::new(),
        happened: single::time(event, &["timestamp"]),
    }))
}
