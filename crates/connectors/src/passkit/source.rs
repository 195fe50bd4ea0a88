//! PassKit's webhooks as a source: what PassKit tells of its own passes.

use std::borrow::Cow;

use domain::Timestamp;

use crate::kit::json::Document;
use crate::kit::signature::{Hash, is_hmac, unbase64, unhex};
use crate::kit::{Arrival, Authentic, Decoded, Inbound, Lock, Refused, SharedSecret, Track, Wrong, decode_one, single};

const SIGNATURE: &str = "x-passkit-signature";

/// `X-PassKit-Signature`: HMAC-SHA256 of the body. PassKit publishes neither the encoding nor how the secret, base64 of 64
/// bytes, is read as a key; receivers in the field try each of them, and so do we.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    lock.by_signature_or_key(inbound, SIGNATURE, |secret: &SharedSecret, inbound| {
        let Some(header) = inbound.header(SIGNATURE).map(str::trim) else { return false };
        let bare = header.strip_prefix("sha256=").unwrap_or(header);
        let keys = [Some(secret.expose().as_bytes().to_vec()), unbase64(secret.expose())];
        let tags = [unhex(bare), unbase64(bare)];
        keys.iter().flatten().any(|key| tags.iter().flatten().any(|tag| is_hmac(Hash::Sha256, key, &[&inbound.body], tag)))
    })
}

/// The event of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    decode_one(authentic, arrival, |event| read(event, arrival))
}

const USERS: &[&str] = &["externalId", "personDetails.externalId"];
const TRAITS: &[(&str, &[&str])] = &[
    ("email", &["personDetails.emailAddress"]),
    ("name", &["personDetails.displayName"]),
    ("firstName", &["personDetails.forename"]),
    ("lastName", &["personDetails.surname"]),
    ("phone", &["personDetails.mobileNumber"]),
];
/// Places of the external id in `recordData`, whose names have dots in them.
const EXTERNAL: [&str; 3] = ["members.member.externalId", "singleUseCoupons.coupon.externalId", "person.externalId"];

fn read<'a>(event: &Document<'a>, arrival: &Arrival<'_>) -> Result<Option<Track<'a>>, Wrong> {
    let name = single::first(event, &["event"]).ok_or_else(|| Wrong::missing("event"))?;
    let pass = event.object_at("pass").ok_or_else(|| Wrong::new("pass", "expected an object"))?;
    let record = pass.object_at("recordData").unwrap_or_default();
    let in_record = || EXTERNAL.iter().find_map(|name| single::word(record.members().given(name)?));
    Ok(Some(Track {
        // There is no id of the event: the same body again is the same event.
        id: single::hashed(&[event.text().as_bytes()]),
        user: single::user(arrival.settings, &pass, USERS).or_else(in_record),
        traits: single::traits(&pass, TRAITS),
        order: single::first(&pass, &["id"]),
        happened: happened(&name, &pass),
        name,
        properties: Cow::Borrowed(pass.text()),
        context: Vec::new(),
    }))
}

/// When it happened: the time in the record that goes with the event.
fn happened(name: &str, pass: &Document<'_>) -> Option<Timestamp> {
    let key = match name {
        "PASS_EVENT_RECORD_CREATED" => "metadata.issueAt",
        "PASS_EVENT_INSTALLED" => "metadata.lastInstalledAt",
        "PASS_EVENT_UNINSTALLED" => "metadata.lastUninstalledAt",
        "PASS_EVENT_INVALIDATED" => "metadata.invalidatedAt",
        _ => "metadata.lastUpdatedAt",
    };
    let moment = Document::of(pass.at(key)?);
    let number = |name: &str| moment.at(name).and_then(|digits| digits.parse::<i64>().ok());
    match number("seconds") {
        Some(seconds) if (0..=253_402_300_799).contains(&seconds) => {
            let micros = number("nanos").filter(|nanos| (0..1_000_000_000).contains(nanos)).unwrap_or_default() / 1_000;
            Some(Timestamp::from_micros(seconds * 1_000_000 + micros))
        }
        Some(_) => None,
        None => single::time(pass, &[key]),
    }
}
