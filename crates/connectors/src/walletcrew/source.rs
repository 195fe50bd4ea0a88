//! The Wallet Crew's events. Their names and the signature's header are public, the body's members are not in every detail:
//! whatever carries name, id, time and data under a usual name is understood.

use std::borrow::Cow;

use crate::kit::json::Document;
use crate::kit::signature::{Hash, is_hmac, unbase64, unhex};
use crate::kit::{Arrival, Authentic, Decoded, Inbound, Lock, Refused, SharedSecret, Track, Wrong, decode_one, single};

const SIGNATURE: &str = "x-neostore-signature";

/// `X-NEOSTORE-SIGNATURE`: HMAC-SHA256 of the body, keyed by the secret's text. Whether it is hexadecimal or base64 is not
/// published, so either is taken.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    lock.by_signature_or_key(inbound, SIGNATURE, |secret: &SharedSecret, inbound| {
        let Some(header) = inbound.header(SIGNATURE).map(str::trim) else { return false };
        let bare = header.strip_prefix("sha256=").unwrap_or(header);
        let fits = |tag: Vec<u8>| is_hmac(Hash::Sha256, secret.expose().as_bytes(), &[&inbound.body], &tag);
        unhex(bare).is_some_and(fits) || unbase64(bare).is_some_and(fits)
    })
}

/// The event of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    decode_one(authentic, arrival, |event| read(event, arrival))
}

const USERS: &[&str] =
    &["identifiers.customerId", "identifiers.customer.id", "identifiers.externalId", "customerId", "accountId"];
const TRAITS: &[(&str, &[&str])] = &[("email", &["identifiers.email", "metadata.email", "email"])];

fn read<'a>(event: &Document<'a>, arrival: &Arrival<'_>) -> Result<Option<Track<'a>>, Wrong> {
    let name = single::first(event, &["eventType", "type", "event", "name"]);
    let name = name.ok_or_else(|| Wrong::missing("eventType"))?;
    let data = ["properties", "data", "payload"].iter().find_map(|key| event.at(key));
    let data = data.and_then(|data| Document::parse(data).ok());
    let data = data.as_ref().unwrap_or(event);
    let id = single::first(event, &["id", "eventId", "operationId"]);
    Ok(Some(Track {
        name,
        id: id.map_or_else(|| single::hashed(&[event.text().as_bytes()]), Cow::into_owned),
        user: single::user(arrival.settings, data, USERS),
        traits: single::traits(data, TRAITS),
        order: single::first(data, &["passId", "id"]),
        properties: Cow::Borrowed(data.text()),
        context: Vec::new(),
        happened: single::time(event, &["timestamp", "date", "createdAt"]),
    }))
}
