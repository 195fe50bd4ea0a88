//! WooCommerce's webhooks, and the ping that it sends when one is saved.

use std::borrow::Cow;

use crate::catalog::Greeting;
use crate::kit::json::Document;
use crate::kit::signature::{Hash, is_hmac, unbase64};
use crate::kit::{Answer, Arrival, Authentic, Decoded, Inbound, Lock, Refused, SharedSecret, Track, Wrong, decode_one, single};

const SIGNATURE: &str = "x-wc-webhook-signature";
/// Longest ping, in bytes.
const MAX_PING_BYTES: usize = 64;

/// `webhook_id=N` as a form, unsigned: the merchant sees an error unless it is answered with exactly 200.
pub(super) fn greet(inbound: &Inbound) -> Option<Greeting> {
    let text = std::str::from_utf8(&inbound.body).ok().filter(|text| text.len() <= MAX_PING_BYTES)?;
    let digits = text.trim().strip_prefix("webhook_id=")?;
    let ping = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    ping.then(|| Greeting { answer: Answer::ok(), headers: Vec::new() })
}

/// Base64 of HMAC-SHA256 of the body. WooCommerce decodes HTML entities in the secret before it signs, so a secret that has
/// some is tried in both forms.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    if lock.secrets.is_empty() {
        return Err(Refused::NoSecret);
    }
    let given = inbound.header(SIGNATURE).and_then(|text| unbase64(text.trim())).ok_or(Refused::Unsigned(SIGNATURE))?;
    lock.by_signature(inbound, SIGNATURE, |secret: &SharedSecret, inbound| {
        let fits = |key: &str| is_hmac(Hash::Sha256, key.as_bytes(), &[&inbound.body], &given);
        fits(secret.expose()) || (secret.expose().contains('&') && fits(&decoded(secret.expose())))
    })
}

/// The five entities that WordPress's `wp_specialchars_decode` knows with `ENT_QUOTES`, `&amp;` last.
fn decoded(secret: &str) -> zeroize::Zeroizing<String> {
    let mut text = zeroize::Zeroizing::new(secret.to_owned());
    for (entity, plain) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#039;", "'"), ("&#39;", "'"), ("&amp;", "&")] {
        text = zeroize::Zeroizing::new(text.replace(entity, plain));
    }
    text
}

/// The event of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    decode_one(authentic, arrival, |event| read(authentic.inbound(), event, arrival))
}

const TRAITS: &[(&str, &[&str])] = &[
    ("email", &["billing.email", "email"]),
    ("firstName", &["billing.first_name", "first_name"]),
    ("lastName", &["billing.last_name", "last_name"]),
    ("phone", &["billing.phone", "phone"]),
];

fn read<'a>(inbound: &'a Inbound, event: &Document<'a>, arrival: &Arrival<'_>) -> Result<Option<Track<'a>>, Wrong> {
    let header = |name: &str| inbound.header(name).map(str::trim).filter(|text| !text.is_empty());
    let topic = header("x-wc-webhook-topic")
        .ok_or_else(|| Wrong::new("", "the header X-WC-Webhook-Topic is missing: this is no webhook of WooCommerce's"))?;
    let store = header("x-wc-webhook-source");
    let resource = single::first(event, &["id"]);
    let is_customer = topic.starts_with("customer.");
    // A guest's customer id is 0. The delivery id is no use to recognise anything: it is made of the second.
    let customer: &[&str] = if is_customer { &["id"] } else { &["customer_id"] };
    let user = single::user(arrival.settings, event, customer).filter(|user| user != "0");
    let parts = [store.unwrap_or_default(), topic, resource.as_deref().unwrap_or_default()].map(str::as_bytes);
    let id = single::hashed(&[parts[0], parts[1], parts[2], &inbound.body]);
    let traits = single::traits(event, TRAITS);
    let order = if user.is_none() && traits.is_empty() { resource } else { None };
    let envelope = [
        ("topic", Some(topic)),
        ("source", store),
        ("webhook_id", header("x-wc-webhook-id")),
        ("delivery_id", header("x-wc-webhook-delivery-id")),
    ];
    Ok(Some(Track {
        name: Cow::Borrowed(topic),
        id,
        user,
        traits,
        order,
        properties: Cow::Borrowed(event.text()),
        context: vec![("woocommerce", single::envelope(&envelope.map(|(key, value)| (key, value.map(Cow::Borrowed)))))],
        happened: single::time(event, &["date_modified_gmt", "date_created_gmt"]),
    }))
}
