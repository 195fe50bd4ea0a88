//! Shopify's webhooks: the classic `X-Shopify-…` headers and the newer ones without `X-`.

use std::borrow::Cow;

use crate::kit::json::Document;
use crate::kit::signature::{Hash, is_hmac, unbase64};
use crate::kit::{Arrival, Authentic, Decoded, Inbound, Lock, Refused, Track, Wrong, decode_one, settings, single};

const SIGNATURE: &str = "x-shopify-hmac-sha256";

/// A header of either family.
fn header<'a>(inbound: &'a Inbound, name: &str) -> Option<&'a str> {
    let classic = inbound.header(&format!("x-shopify-{name}"));
    classic.or_else(|| inbound.header(&format!("shopify-{name}"))).map(str::trim).filter(|text| !text.is_empty())
}

/// Base64 of HMAC-SHA256 of the body, keyed by the app's client secret or the shop's webhook secret as text.
pub(super) fn verify(inbound: Inbound, lock: &Lock<'_>) -> Result<Authentic, Refused> {
    if lock.secrets.is_empty() {
        return Err(Refused::NoSecret);
    }
    let given = header(&inbound, "hmac-sha256").and_then(unbase64).ok_or(Refused::Unsigned(SIGNATURE))?;
    lock.by_signature(inbound, SIGNATURE, |secret, inbound| {
        is_hmac(Hash::Sha256, secret.expose().as_bytes(), &[&inbound.body], &given)
    })
}

/// The event of a request.
pub(super) fn decode(authentic: &Authentic, arrival: &Arrival<'_>) -> Decoded {
    decode_one(authentic, arrival, |event| read(authentic.inbound(), event, arrival))
}

const TRAITS: &[(&str, &[&str])] = &[
    ("email", &["email", "contact_email", "customer.email"]),
    ("firstName", &["customer.first_name", "first_name", "billing_address.first_name"]),
    ("lastName", &["customer.last_name", "last_name", "billing_address.last_name"]),
    ("phone", &["phone", "customer.phone", "billing_address.phone"]),
];

fn read<'a>(inbound: &'a Inbound, event: &Document<'a>, arrival: &Arrival<'_>) -> Result<Option<Track<'a>>, Wrong> {
    let topic = header(inbound, "topic")
        .ok_or_else(|| Wrong::new("", "the header X-Shopify-Topic is missing: this is no webhook of Shopify's"))?;
    let shop = header(inbound, "shop-domain");
    if let Some(wanted) = settings::text(arrival.settings, "shop")
        && shop.is_some_and(|shop| !shop.eq_ignore_ascii_case(wanted))
    {
        return Ok(None);
    }
    let resource = single::first(event, &["id", "admin_graphql_api_id", "customer.id"]);
    // One event of a shop can touch several resources, and several subscriptions can tell the same one.
    let id = match (header(inbound, "event-id"), header(inbound, "webhook-id")) {
        (Some(id), _) => single::hashed(&[
            shop.unwrap_or_default().as_bytes(),
            topic.as_bytes(),
            id.as_bytes(),
            resource.as_deref().unwrap_or_default().as_bytes(),
        ]),
        (None, Some(webhook)) => webhook.to_owned(),
        (None, None) => single::hashed(&[topic.as_bytes(), &inbound.body]),
    };
    let of_customer: &[&str] = if topic.starts_with("customers/") { &["customer.id", "id"] } else { &["customer.id"] };
    let user = single::user(arrival.settings, event, of_customer);
    let happened = header(inbound, "triggered-at")
        .and_then(|at| at.parse().ok())
        .or_else(|| single::time(event, &["updated_at", "created_at"]));
    let envelope = [
        ("topic", Some(topic)),
        ("shop", shop),
        ("api_version", header(inbound, "api-version")),
        ("event_id", header(inbound, "event-id")),
        ("webhook_id", header(inbound, "webhook-id")),
    ];
    Ok(Some(Track {
        name: Cow::Borrowed(topic),
        id,
        traits: single::traits(event, TRAITS),
        order: user.is_none().then_some(resource).flatten().filter(|_| single::traits(event, &TRAITS[..1]).is_empty()),
        user,
        properties: Cow::Borrowed(event.text()),
        context: vec![("shopify", single::envelope(&envelope.map(|(key, value)| (key, value.map(Cow::Borrowed)))))],
        happened,
    }))
}
