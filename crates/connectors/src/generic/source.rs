//! Requests of whoever can send JSON, read as the settings say.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::kit::json::{self, Document};
use crate::kit::signature::{Hash, TOLERANCE_SECONDS, is_hmac, unbase64, unhex};
use crate::kit::{
    Arrival, Authentic, Decoded, Inbound, KeyHash, Lock, Refused, Settings, SharedSecret, Track, WriteKey, Wrong, decode_all,
    settings, single, tracking,
};

const SIGNATURE: &str = "x-signature";

/// The write key: as with the tracking sources, or where people would look for a place for it.
pub(super) fn credential(inbound: &Inbound) -> Option<WriteKey> {
    tracking::credential(inbound)
        .or_else(|| WriteKey::new(basic(inbound)?.split_once(':')?.1))
        .or_else(|| WriteKey::new(inbound.header("x-api-key")?.trim()))
        .or_else(|| ["key", "token", "access_token"].iter().find_map(|name| WriteKey::new(inbound.parameter(name)?)))
}

fn basic(inbound: &Inbound) -> Option<String> {
    let (scheme, rest) = inbound.header("authorization")?.trim().split_once(' ')?;
    let fits = scheme.eq_ignore_ascii_case("basic") && rest.len() <= 4 * SharedSecret::MAX_BYTES;
    String::from_utf8(STANDARD.decode(rest.trim()).ok().filter(|_| fits)?).ok()
}

/// By signature or token once the source has a secret, by write key until then.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    if lock.secrets.is_empty() {
        return lock.by_key(inbound, credential);
    }
    let header = settings::text(lock.settings, "signature_header").unwrap_or(SIGNATURE).to_ascii_lowercase();
    if settings::text(lock.settings, "secret_as") == Some("token") {
        let shown = tokens(&inbound, &header);
        if shown.is_empty() {
            return Err(Refused::Unsigned("of the token"));
        }
        return lock.by_signature(inbound, "of the token", |secret, _| {
            // Hashes are compared, so that neither the place of a difference nor the length of the secret shows.
            shown.iter().any(|token| KeyHash::of(token) == KeyHash::of(secret.expose()))
        });
    }
    let given = inbound.header(&header).ok_or(Refused::Unsigned("of the signature"))?.trim().to_owned();
    let given = tag(&given, lock.settings).ok_or(Refused::Unsigned("of the signature"))?;
    let time = match settings::text(lock.settings, "timestamp_header") {
        None => None,
        Some(name) => Some(inbound.header(name).ok_or(Refused::Unsigned("of the time"))?.trim().to_owned()),
    };
    let hash = match settings::text(lock.settings, "signature_hash") {
        Some("sha1") => Hash::Sha1,
        Some("sha512") => Hash::Sha512,
        _ => Hash::Sha256,
    };
    let authentic = lock.by_signature(inbound, "the signature's header", |secret, inbound| match &time {
        None => is_hmac(hash, secret.expose().as_bytes(), &[&inbound.body], &given),
        Some(time) => is_hmac(hash, secret.expose().as_bytes(), &[time.as_bytes(), b".", &inbound.body], &given),
    })?;
    if let Some(time) = time {
        let seconds: i64 = time.parse().map_err(|_| Refused::Unsigned("of the time"))?;
        if seconds.saturating_sub(lock.now.as_seconds()).saturating_abs() > TOLERANCE_SECONDS {
            return Err(Refused::Stale(TOLERANCE_SECONDS));
        }
    }
    Ok(authentic)
}

/// Where a token may stand.
fn tokens(inbound: &Inbound, header: &str) -> Vec<zeroize::Zeroizing<String>> {
    let authorization = inbound.header("authorization").unwrap_or_default().trim();
    let bearer = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let mut found = vec![bearer.map(|(_, token)| token.trim().to_owned())];
    let pair = basic(inbound);
    found.push(pair.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password.to_owned()));
    found.push(pair.as_deref().map(|pair| pair.split_once(':').map_or(pair, |(user, _)| user).to_owned()));
    found.push(inbound.header(header).map(|token| token.trim().to_owned()));
    found.push(inbound.parameter("token").map(str::to_owned));
    let fits = |token: &String| (1..=SharedSecret::MAX_BYTES).contains(&token.len());
    found.into_iter().flatten().filter(fits).map(zeroize::Zeroizing::new).collect()
}

/// The bytes of a signature, a prefix such as `sha256=` left out. Padding of base64 is no prefix.
fn tag(given: &str, settings: &Settings) -> Option<Vec<u8>> {
    let prefixed = |(word, rest): (&str, &'_ str)| {
        !rest.is_empty() && !rest.starts_with('=') && word.len() <= 16 && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let bare = match given.split_once('=') {
        Some((word, rest)) if prefixed((word, rest)) => rest,
        _ => given,
    };
    if settings::text(settings, "signature_encoding") == Some("base64") { unbase64(bare) } else { unhex(bare) }
}

/// The events of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    let items = items(authentic, arrival.settings);
    decode_all(authentic, arrival, items, |number, event| read(authentic.inbound(), number, event, arrival))
}

fn items<'a>(authentic: &'a Authentic, settings: &Settings) -> Result<Vec<(String, &'a str)>, Wrong> {
    let text = single::text_of(&authentic.inbound().body)?;
    match settings::text(settings, "items") {
        Some(path) => {
            let array = json::at(text, path).filter(|value| value.starts_with('['));
            single::items(array.ok_or_else(|| Wrong::new(path, "expected an array of events here"))?, path)
        }
        None if text.starts_with('[') => single::items(text, ""),
        None => Ok(vec![(String::new(), text)]),
    }
}

fn read<'a>(
    inbound: &'a Inbound,
    number: usize,
    event: &Document<'a>,
    arrival: &Arrival<'_>,
) -> Result<Option<Track<'a>>, Wrong> {
    let set = |name: &str| settings::text(arrival.settings, name);
    let at = |name: &str, usual: &[&str]| match set(name) {
        Some(path) => single::first(event, &[path]),
        None => single::first(event, usual),
    };
    let usual = ["event", "type", "name", "topic", "action"];
    let name = at("event", &usual).or_else(|| set("event_name").map(|name| Cow::Owned(name.to_owned())));
    let name = name.ok_or_else(|| {
        let path = set("event").unwrap_or("event");
        Wrong::new(
            path,
            "expected the name of what happened here: set `event` to where it stands, or `event_name` to a fixed one",
        )
    })?;
    let times = ["timestamp", "time", "occurred_at", "occurredAt", "created_at", "createdAt"];
    let happened = match set("timestamp") {
        Some(path) => single::time(event, &[path]),
        None => single::time(event, &times),
    };
    let alone = arrival_is_one(inbound);
    let header =
        || ["idempotency-key", "webhook-id", "x-request-id"].iter().find_map(|name| inbound.header(name)).filter(|_| alone);
    let id = match at("id", &["id", "event_id", "eventId", "messageId", "uuid"]) {
        // The same resource in another event is another thing that happened.
        Some(id) if set("id").is_none() => single::hashed(&[name.as_bytes(), id.as_bytes(), event.text().as_bytes()]),
        Some(id) => id.into_owned(),
        None => match (header(), happened) {
            (Some(id), _) => id.to_owned(),
            (None, Some(_)) => single::hashed(&[event.text().as_bytes()]),
            (None, None) => single::fresh(arrival, number),
        },
    };
    let users = ["userId", "user_id", "customer_id", "customerId", "user.id", "customer.id"];
    let email = at("email", &["email", "user.email", "customer.email"]);
    Ok(Some(Track {
        name,
        id,
        user: at("user", &users),
        traits: email.map(|email| ("email", email)).into_iter().collect(),
        order: None,
        properties: Cow::Borrowed(event.text()),
        context: Vec::new(),
        happened,
    }))
}

/// Whether a request tells one event, so that an id in its headers is the event's.
fn arrival_is_one(inbound: &Inbound) -> bool {
    inbound.body.trim_ascii().starts_with(b"{")
}
